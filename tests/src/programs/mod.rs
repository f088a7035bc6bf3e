//! Programs that tests start as child processes.

pub mod child;
pub mod handler_host;
pub mod input_directory;
pub mod server;

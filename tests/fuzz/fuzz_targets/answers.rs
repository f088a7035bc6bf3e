//! The target `answers` as a program of libFuzzer.

#![cfg_attr(fuzzing, no_main)]
handler_host_fuzz::target!(answers);

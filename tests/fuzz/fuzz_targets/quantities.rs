//! The target `quantities` as a program of libFuzzer.

#![cfg_attr(fuzzing, no_main)]
handler_host_fuzz::target!(quantities);

//! What a hostile guest might do.

use std::hint::black_box;
use std::io::{Write, stderr, stdout};

use handler_sdk::log;
use wasip2::clocks::monotonic_clock;
use wasip2::random::random;

/// Runs without end.
pub(crate) fn spin() -> ! {
    loop {
        black_box(());
    }
}

/// Takes memory and writes to it until there is no more.
pub(crate) fn hog() -> ! {
    const CHUNK: usize = 1 << 20;
    let mut chunks = Vec::new();
    loop {
        chunks.push(black_box(vec![1_u8; CHUNK]));
    }
}

/// Uses up the stack. The addition after the call keeps the compiler from making a loop of it.
pub(crate) fn recurse(depth: u64) -> u64 {
    if black_box(true) {
        recurse(black_box(depth + 1)) + 1
    } else {
        depth
    }
}

/// Takes handles and keeps them. A handle costs the host more than the guest.
pub(crate) fn keep_handles() -> ! {
    let mut handles = Vec::new();
    loop {
        handles.push(black_box(monotonic_clock::subscribe_duration(1)));
    }
}

/// Asks for this many random bytes at once.
pub(crate) fn draw(bytes: u64) {
    black_box(random::get_random_bytes(bytes));
}

/// Writes this text without any change to the log, to standard output and to standard error.
pub(crate) fn say(text: &str) {
    log::info(text);
    let _ = writeln!(stdout(), "{text}");
    let _ = writeln!(stderr(), "{text}");
}

/// Writes this many lines to the log, to standard output and to standard error.
pub(crate) fn chatter(lines: usize) {
    for line in 0..lines {
        log::info(format!("log line {line}"));
        // The host may refuse more output. The guest goes on.
        let _ = writeln!(stdout(), "stdout line {line}");
        let _ = writeln!(stderr(), "stderr line {line}");
    }
}

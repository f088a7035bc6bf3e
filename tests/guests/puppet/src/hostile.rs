//! What a guest must not get away with.

use std::hint::black_box;
use std::io::{Write, stderr, stdout};

use handler_sdk::log;

/// Never returns.
pub(crate) fn spin() -> ! {
    loop {
        black_box(());
    }
}

/// Takes memory, and touches it, until there is none.
pub(crate) fn hog() -> ! {
    const CHUNK: usize = 1 << 20;
    let mut chunks = Vec::new();
    loop {
        chunks.push(black_box(vec![1_u8; CHUNK]));
    }
}

/// Uses up the stack. The sum behind the call keeps the compiler from making it a loop.
pub(crate) fn recurse(depth: u64) -> u64 {
    if black_box(true) {
        recurse(black_box(depth + 1)) + 1
    } else {
        depth
    }
}

/// Writes this many lines to each of the log, standard output and standard error.
pub(crate) fn chatter(lines: usize) {
    for line in 0..lines {
        log::info(format!("log line {line}"));
        // A host that takes no more may say so; the guest goes on.
        let _ = writeln!(stdout(), "stdout line {line}");
        let _ = writeln!(stderr(), "stderr line {line}");
    }
}

use std::sync::Arc;

use handler_host_core::{Fault, one_line};
use parking_lot::Mutex;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Lines that one call may write.
const LINES: usize = 100;
/// Bytes that one call may write.
const BYTES: usize = 16 << 10;
/// How many bytes of the last error output are kept to explain a trap.
const LAST_WORDS: usize = 300;

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Everything that a guest writes during one call goes here: the log, standard output and standard error, under
/// one budget.
#[derive(Clone)]
pub(crate) struct Console(Arc<Mutex<ConsoleState>>);

struct ConsoleState {
    handler: String,
    object: String,
    lines_left: usize,
    bytes_left: usize,
    is_over: bool,
    partial: [Vec<u8>; 2],
    last_words: String,
}

/// One of the two standard streams.
#[derive(Clone, Copy)]
pub(crate) enum Channel {
    Output,
    Error,
}

impl Console {
    pub(crate) fn new(handler: &str, object: &str) -> Self {
        Self(Arc::new(Mutex::new(ConsoleState {
            handler: handler.to_owned(),
            object: object.to_owned(),
            lines_left: LINES,
            bytes_left: BYTES,
            is_over: false,
            partial: [Vec::new(), Vec::new()],
            last_words: String::new(),
        })))
    }

    pub(crate) fn write(&self, level: Level, message: &str) {
        self.0.lock().line(level, message);
    }

    pub(crate) fn stream(&self, channel: Channel) -> Stream {
        Stream {
            console: self.clone(),
            channel,
        }
    }

    /// Ends lines that have no newline, and explains a trap with what the guest wrote last.
    pub(crate) fn trap(&self, cause: &str) -> Fault {
        let mut state = self.0.lock();
        state.flush();
        let said = state.last_words.trim();
        Fault::Trap(if said.is_empty() {
            cause.to_owned()
        } else {
            format!("{cause}; it said: {said}")
        })
    }

    pub(crate) fn flush(&self) {
        self.0.lock().flush();
    }
}

impl ConsoleState {
    fn bytes(&mut self, channel: Channel, bytes: &[u8]) {
        let index = channel as usize;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            // A guest that never ends its line must not fill the host's memory.
            let room = BYTES.saturating_sub(self.partial.get(index).map_or(0, Vec::len));
            let Some(partial) = self.partial.get_mut(index) else {
                return;
            };
            partial.extend_from_slice(part.get(..part.len().min(room)).unwrap_or(part));
            if part.ends_with(b"\n") {
                self.end_line(channel);
            }
        }
    }

    fn end_line(&mut self, channel: Channel) {
        let Some(partial) = self.partial.get_mut(channel as usize) else {
            return;
        };
        let bytes = std::mem::take(partial);
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end();
        // Rust prints this advice after a panic. It is meant for people who can start the program again.
        if line.is_empty() || line.starts_with("note: run with `RUST_BACKTRACE") {
            return;
        }
        match channel {
            Channel::Output => self.line(Level::Info, line),
            Channel::Error => {
                self.remember(line);
                self.line(Level::Warn, line);
            }
        }
    }

    fn flush(&mut self) {
        self.end_line(Channel::Output);
        self.end_line(Channel::Error);
    }

    fn remember(&mut self, line: &str) {
        if self.last_words.len() >= LAST_WORDS {
            return;
        }
        self.last_words.push_str(&one_line(line));
        self.last_words.push(' ');
        self.last_words
            .truncate(self.last_words.floor_char_boundary(LAST_WORDS));
    }

    fn line(&mut self, level: Level, message: &str) {
        if self.is_over {
            return;
        }
        let (handler, object) = (&self.handler, &self.object);
        // A long line is not even escaped, which makes it up to six times as long.
        let message = (message.len() <= self.bytes_left).then(|| one_line(message));
        let message = message.filter(|message| message.len() <= self.bytes_left);
        let (Some(message), true) = (message, self.lines_left > 0) else {
            self.is_over = true;
            tracing::warn!(%handler, %object, "the handler wrote more than {LINES} lines or {BYTES} bytes in one call; the rest is dropped");
            return;
        };
        self.lines_left -= 1;
        self.bytes_left -= message.len();
        match level {
            Level::Debug => tracing::debug!(%handler, %object, "{message}"),
            Level::Info => tracing::info!(%handler, %object, "{message}"),
            Level::Warn => tracing::warn!(%handler, %object, "{message}"),
            Level::Error => tracing::error!(%handler, %object, "{message}"),
        }
    }
}

/// One of the guest's standard streams. Writing to it never blocks and never fails.
pub(crate) struct Stream {
    console: Console,
    channel: Channel,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 calls this, and it is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.console.stream(self.channel))
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.console.0.lock().bytes(self.channel, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(BYTES)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

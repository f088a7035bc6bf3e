//! Command lines of `handler-host` over a directory of input files and the directory of the guests.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::handler_host::{Output, handler_host};
use crate::objects::evc;
use crate::paths;

/// The command line that renders a file of claims; the path of the file follows it.
pub const RENDER_EVC: &str = "render --module GUESTS/evc.wasm --filename";
/// The command line that renders the Puppets of the file `puppet.yaml`.
pub const RENDER_PUPPET: &str = "render --module GUESTS/puppet.wasm --filename DIR/puppet.yaml";

/// Texts by which the messages of a Rust program give its data types away.
const RUST_DEBUG: [&str; 7] = [
    "Some(",
    "None",
    "Err(",
    "Ok(",
    "Custom {",
    "Error {",
    "stack backtrace",
];

/// A temporary directory of input files. It holds the file `claim.yaml` with one claim.
pub struct InputDirectory {
    /// The directory, removed when this is dropped.
    pub directory: TempDir,
}

impl InputDirectory {
    /// A new directory. Panics if it cannot be made.
    #[expect(
        clippy::new_without_default,
        reason = "it makes a directory, which no default value should do"
    )]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory: {error}"));
        let inputs = Self { directory };
        inputs.write("claim.yaml", evc("a", "1G").to_string());
        inputs
    }

    /// Writes a file. Panics if that fails.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let written = fs::write(self.directory.path().join(name), content);
        written.unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
    }

    /// Runs a command line. In it and in what it prints, `DIR` stands for this directory and `GUESTS` for the
    /// directory of the guests.
    pub async fn run(&self, command: &str) -> Output {
        self.run_with(command, &[]).await
    }

    /// As [`run`](Self::run), with more arguments, which may contain spaces.
    pub async fn run_with(&self, command: &str, more: &[&str]) -> Output {
        let arguments = command.split(' ').chain(more.iter().copied());
        let directories = self.directories();
        let arguments = arguments.map(|argument| {
            let put = |text: String, (name, path): &(&str, String)| text.replace(name, path);
            directories.iter().fold(argument.to_owned(), put)
        });
        let mut output = handler_host(arguments).await;
        for (name, path) in &directories {
            output.stdout = output.stdout.replace(path, name);
            output.stderr = output.stderr.replace(path, name);
        }
        output
    }

    /// Runs a command line that must fail with exit code 1 and exactly one error message, the last line that
    /// it prints. Returns that message without `error: `.
    pub async fn refusal(&self, command: &str) -> String {
        self.refusal_with(command, &[]).await
    }

    /// As [`refusal`](Self::refusal), with more arguments, which may contain spaces.
    pub async fn refusal_with(&self, command: &str, more: &[&str]) -> String {
        let output = self.run_with(command, more).await;
        let run = format!("{command} {more:?}\n{}", output.stderr);
        assert_eq!(output.code, Some(1), "{run}");
        let lines = complaints(&output);
        let [complaint] = lines.as_slice() else {
            panic!("not one error message: {run}");
        };
        for debug in RUST_DEBUG {
            assert!(!output.stderr.contains(debug), "{debug}: {run}");
        }
        // Nothing may follow the message.
        assert!(
            output.stderr.ends_with(&format!("error: {complaint}\n")),
            "{run}"
        );
        complaint.clone()
    }

    fn directories(&self) -> [(&'static str, String); 2] {
        let guest = paths::guest("puppet").unwrap_or_else(|error| panic!("{error:#}"));
        let guests = guest.parent().unwrap_or(Path::new("/"));
        [
            ("GUESTS", guests.display().to_string()),
            ("DIR", self.directory.path().display().to_string()),
        ]
    }
}

/// The error messages of a program that has ended, without `error: `.
pub fn complaints(output: &Output) -> Vec<String> {
    let lines = output.stderr.lines();
    lines
        .filter_map(|line| line.strip_prefix("error: "))
        .map(str::to_owned)
        .collect()
}

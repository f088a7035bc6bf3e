//! Where command lines are tried: a directory of input files, beside the guests.

use std::fs;
use std::path::Path;

use handler_host_tests::{Output, evc, handler_host, paths};
use tempfile::TempDir;

pub(crate) const RENDER_EVC: &str = "render --module GUESTS/evc.wasm --filename";
pub(crate) const RENDER_PUPPET: &str =
    "render --module GUESTS/puppet.wasm --filename DIR/puppet.yaml";

/// A directory of input files, beside the guests.
pub(crate) struct Desk {
    pub(crate) directory: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let desk = Self { directory };
        desk.write("claim.yaml", evc("a", "1G").to_string());
        desk
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.directory.path().join(name), content).unwrap();
    }

    /// Runs a command line, in which `DIR/` is this directory and `GUESTS/` that of the guests.
    pub(crate) async fn run(&self, command: &str) -> Output {
        self.run_with(command, &[]).await
    }

    pub(crate) async fn run_with(&self, command: &str, more: &[&str]) -> Output {
        let arguments = command.split(' ').chain(more.iter().copied());
        let places = self.places();
        let arguments = arguments.map(|argument| {
            let put = |text: String, (name, path): &(&str, String)| text.replace(name, path);
            places.iter().fold(argument.to_owned(), put)
        });
        let mut output = handler_host(arguments).await;
        for (name, path) in &places {
            output.stdout = output.stdout.replace(path, name);
            output.stderr = output.stderr.replace(path, name);
        }
        output
    }

    /// Runs a command line that must be refused: gives the last word, less `error: `.
    pub(crate) async fn refusal(&self, command: &str) -> String {
        self.refusal_with(command, &[]).await
    }

    pub(crate) async fn refusal_with(&self, command: &str, more: &[&str]) -> String {
        let output = self.run_with(command, more).await;
        let place = format!("{command} {more:?}\n{}", output.stderr);
        assert_eq!(output.code, Some(1), "{place}");
        let lines = complaints(&output);
        let [complaint] = lines.as_slice() else {
            panic!("not one complaint: {place}");
        };
        for debug in [
            "Some(",
            "None",
            "Err(",
            "Ok(",
            "Custom {",
            "Error {",
            "stack backtrace",
        ] {
            assert!(!output.stderr.contains(debug), "{debug}: {place}");
        }
        // The last word, and nothing behind it.
        assert!(
            output.stderr.ends_with(&format!("error: {complaint}\n")),
            "{place}"
        );
        complaint.clone()
    }

    fn places(&self) -> [(&'static str, String); 2] {
        let guests = paths::guest("puppet").unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        [
            ("GUESTS", text(guests.parent().unwrap())),
            ("DIR", text(self.directory.path())),
        ]
    }
}

pub(crate) fn complaints(output: &Output) -> Vec<String> {
    let lines = output.stderr.lines();
    lines
        .filter_map(|line| line.strip_prefix("error: "))
        .map(str::to_owned)
        .collect()
}

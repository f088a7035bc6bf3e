//! The project's Markdown: its links, and its console blocks, which are played as shell sessions.

mod markdown;
mod output;
mod session;

use std::fs;
use std::path::{Path, PathBuf};

pub use self::markdown::{Block, Document, Link, Run, ShellStep};
pub use self::output::shows;
pub use self::session::{Ran, ShellSession};
use crate::paths;

/// Where the Markdown that people read lies: files, or directories that are searched as a whole.
const PLACES: [&str; 6] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs",
    "host/adr",
];

/// The paths of all documents, within the checkout and sorted.
pub fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in PLACES {
        search(Path::new(place), &mut found);
    }
    found.sort();
    found
}

fn search(place: &Path, found: &mut Vec<PathBuf>) {
    let whole = paths::workspace().join(place);
    if whole.is_file() {
        if place.extension().is_some_and(|it| it == "md") {
            found.push(place.to_owned());
        }
        return;
    }
    let entries = fs::read_dir(&whole);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", whole.display()));
    for entry in entries.flatten() {
        search(&place.join(entry.file_name()), found);
    }
}

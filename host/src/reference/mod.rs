//! The pages of docs/reference that are made from the program itself, and the tests that they are up to date.

mod cli;
mod handler;

use std::path::Path;
use std::{env, fs};

/// Holds a page against what it is made from; `UPDATE_DOCS=1` in the environment writes it anew.
fn expect(page: &str, text: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = directory.join("../docs/reference").join(page);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = written
        .lines()
        .zip(text.lines())
        .find(|(is, made)| is != made);
    let differs = differs.map_or(String::new(), |(is, made)| {
        format!("\nis:   {is}\nmade: {made}")
    });
    assert!(
        written == text,
        "docs/reference/{page} is not what the program says; `just docs` writes it anew{differs}"
    );
}

/// Text as a cell of a table holds it: in one line, and its bars are no borders.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

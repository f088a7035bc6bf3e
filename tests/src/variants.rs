//! Modules that differ: variants of the guest `chameleon`, made by writing other bytes into it.

use std::fs;
use std::path::Path;

use crate::paths;

const BEFORE: &[u8] = b"HANDLER-HOST-VARIANT:base:ok;";
const LENGTH: usize = 64;

/// The guest `chameleon` under another name, which its children carry as the label `variant`, and in a
/// mode: `ok`, `trap`, `trapNew`, `describeTrap`, `describeMore`, `some`, `fail` or `half`. Its own
/// `variant.rs` says what each does. Panics if the guest is not built, or the text does not fit.
pub fn variant(name: &str, mode: &str) -> Vec<u8> {
    let path = paths::guest("chameleon").unwrap_or_else(|error| panic!("{error:#}"));
    let mut bytes =
        fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let places: Vec<usize> = bytes
        .windows(BEFORE.len())
        .enumerate()
        .filter_map(|(place, window)| (window == BEFORE).then_some(place))
        .collect();
    let [place] = places[..] else {
        panic!(
            "{} has {} places for a variant, not one",
            path.display(),
            places.len()
        );
    };
    let text = format!("HANDLER-HOST-VARIANT:{name}:{mode};");
    assert!(text.len() <= LENGTH, "{text} is longer than {LENGTH} bytes");
    let padded = format!("{text:.<LENGTH$}");
    bytes[place..place + LENGTH].copy_from_slice(padded.as_bytes());
    bytes
}

/// Puts a file in place at once: whoever reads it sees all of what was there, or all of what is there now.
pub fn write_atomically(path: &Path, bytes: &[u8]) {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let written = fs::write(&new, bytes).and_then(|()| fs::rename(&new, path));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

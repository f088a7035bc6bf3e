//! Modules that differ: variants of the guest `chameleon`. A test makes one by changing bytes of the guest.

use std::fs;
use std::path::Path;

use crate::paths;

const BEFORE: &[u8] = b"HANDLER-HOST-VARIANT:base:ok;";
const LENGTH: usize = 64;

/// The guest `chameleon` with this name, which its children carry as the label `variant`, and this mode: `ok`,
/// `trap`, `trapNew`, `describeTrap`, `describeMore`, `some`, `fail` or `half`. The guest's file `variant.rs` says
/// what each mode does. Panics if the guest is not built, or if the name is too long.
pub fn variant(name: &str, mode: &str) -> Vec<u8> {
    let path = paths::guest("chameleon").unwrap_or_else(|error| panic!("{error:#}"));
    let mut bytes =
        fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let offsets: Vec<usize> = bytes
        .windows(BEFORE.len())
        .enumerate()
        .filter_map(|(offset, window)| (window == BEFORE).then_some(offset))
        .collect();
    let [offset] = offsets[..] else {
        panic!(
            "{} has {} places for a variant, not one",
            path.display(),
            offsets.len()
        );
    };
    let text = format!("HANDLER-HOST-VARIANT:{name}:{mode};");
    assert!(text.len() <= LENGTH, "{text} is longer than {LENGTH} bytes");
    let padded = format!("{text:.<LENGTH$}");
    bytes[offset..offset + LENGTH].copy_from_slice(padded.as_bytes());
    bytes
}

/// Replaces a file by a rename, so that a reader sees either the whole old file or the whole new one.
pub fn write_atomically(path: &Path, bytes: &[u8]) {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let written = fs::write(&new, bytes).and_then(|()| fs::rename(&new, path));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// The digest of a module's bytes, as a status writes it.
pub fn digest(bytes: &[u8]) -> String {
    handler_host_core::Digest::of(bytes).to_string()
}

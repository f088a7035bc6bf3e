//! What a component of this world may import.

use crate::error::ModuleError;

/// The beginning of each name that may be imported, and the beginning of its version.
const GRANTED: [(&str, &str); 8] = [
    ("handler-host:handler/log", "0.1.0"),
    ("handler-host:handler/types", "0.1.0"),
    ("wasi:cli/", "0.2."),
    ("wasi:clocks/", "0.2."),
    ("wasi:filesystem/", "0.2."),
    ("wasi:io/", "0.2."),
    ("wasi:random/", "0.2."),
    ("wasi:sockets/", "0.2."),
];

/// Refuses an import that handlers are not granted.
pub(super) fn check(import: &str) -> Result<(), ModuleError> {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let is_granted = GRANTED
        .into_iter()
        .any(|(name, granted)| interface.starts_with(name) && version.starts_with(granted));
    match is_granted {
        true => Ok(()),
        false => Err(ModuleError::Import(import.to_owned())),
    }
}

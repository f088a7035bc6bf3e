//! The file of the audit log, read from a mark on.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::entries::{AuditEntries, AuditEntry};
use super::event::AuditEvent;

/// The audit log of a control plane.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

/// A position in the audit log. [`AuditLog::since`] leaves out what was logged before it.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

impl AuditLog {
    pub(crate) fn of(path: &Path) -> Self {
        AuditLog {
            path: path.to_owned(),
        }
    }

    /// The present end of the log.
    pub fn mark(&self) -> Mark {
        Mark(fs::metadata(&self.path).map_or(0, |metadata| metadata.len()))
    }

    /// The requests since a mark, each once, in the order in which they were logged.
    ///
    /// The API server logs a request when it answers it, and the client may see the answer a moment before
    /// the log has it. So wait with `eventually` for a request that must come, and use
    /// `ControlPlane::audit_since` before you count requests.
    pub fn since(&self, mark: &Mark) -> AuditEntries {
        let text = self.text_from(mark.0).unwrap_or_default();
        let mut logged = HashSet::new();
        let entries = text
            .split_inclusive('\n')
            // The API server may still be writing the last line.
            .filter(|line| line.ends_with('\n'))
            .filter_map(|line| serde_json::from_str::<AuditEvent>(line).ok())
            // A watch was logged when it began, perhaps before the mark; its end is no request of its own.
            .filter(|event| !event.ends_a_watch())
            .filter(|event| logged.insert(event.audit_id.clone()))
            .map(AuditEntry::from)
            .collect();
        AuditEntries(entries)
    }

    fn text_from(&self, offset: u64) -> std::io::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    }
}

use std::path::Path;

use handler_host_core::{Digest, RolledBack};
use serde::{Deserialize, Serialize};

/// The content of a handler's file.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct HandlerRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) good: Option<GoodRecord>,
    // This is the name in files that earlier hosts wrote.
    #[serde(rename = "rejected", default, skip_serializing_if = "Option::is_none")]
    pub(super) rolled_back: Option<RolledBackRecord>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct GoodRecord {
    pub(super) digest: String,
    pub(super) origin: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct RolledBackRecord {
    pub(super) digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) good: Option<String>,
    pub(super) spec: String,
    pub(super) error: String,
}

impl From<&RolledBack> for RolledBackRecord {
    fn from(rolled_back: &RolledBack) -> Self {
        Self {
            digest: rolled_back.digest.to_string(),
            good: rolled_back.good.map(|digest| digest.to_string()),
            spec: rolled_back.spec.to_string(),
            error: rolled_back.error.clone(),
        }
    }
}

impl RolledBackRecord {
    /// It is None if it is damaged, and then a line in the log says so.
    pub(super) fn read(self, handler: &str) -> Option<RolledBack> {
        let digest = |text: &str| {
            let read = text.parse::<Digest>();
            read.inspect_err(|error| damaged(Path::new(handler), &error.to_string()))
                .ok()
        };
        Some(RolledBack {
            digest: digest(&self.digest)?,
            good: match &self.good {
                Some(good) => Some(digest(good)?),
                None => None,
            },
            spec: digest(&self.spec)?,
            error: self.error,
        })
    }
}

/// Logs that something in the state directory is damaged.
pub(super) fn damaged(path: &Path, reason: &str) {
    tracing::warn!(
        "{} in the state directory is damaged and counts as missing: {reason}",
        path.display()
    );
}

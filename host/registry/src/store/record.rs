use std::path::Path;

use handler_host_core::Digest;
use serde::{Deserialize, Serialize};

use super::{Rejected, damaged};

/// What a handler's file says.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) good: Option<GoodRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rejected: Option<RejectedRecord>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct GoodRecord {
    pub(super) digest: String,
    pub(super) origin: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct RejectedRecord {
    pub(super) digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) good: Option<String>,
    pub(super) spec: String,
    pub(super) error: String,
}

impl From<&Rejected> for RejectedRecord {
    fn from(rejected: &Rejected) -> Self {
        Self {
            digest: rejected.digest.to_string(),
            good: rejected.good.map(|digest| digest.to_string()),
            spec: rejected.spec.to_string(),
            error: rejected.error.clone(),
        }
    }
}

impl RejectedRecord {
    /// None, said in the log, if it is damaged.
    pub(super) fn read(self, handler: &str) -> Option<Rejected> {
        let digest = |text: &str| {
            let read = text.parse::<Digest>();
            read.inspect_err(|error| damaged(Path::new(handler), &error.to_string()))
                .ok()
        };
        Some(Rejected {
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

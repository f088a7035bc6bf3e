use std::fmt;

use bytes::Bytes;

use crate::Digest;

/// A module as its source held it.
#[derive(Clone, PartialEq, Eq)]
pub struct FetchedModule {
    /// Its bytes.
    pub bytes: Bytes,
    /// The digest of the bytes.
    pub digest: Digest,
    /// Where the bytes were found, for people.
    pub origin: String,
}

impl fmt::Debug for FetchedModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedModule")
            .field("digest", &self.digest)
            .field("size", &self.bytes.len())
            .field("origin", &self.origin)
            .finish()
    }
}

/// A module that failed its trial and was taken back. It is not tried again under the same spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The digest of that module.
    pub digest: Digest,
    /// The digest of the module that serves instead.
    pub good: Option<Digest>,
    /// The digest of the Handler's spec at that time. Under another spec the module is tried again.
    pub spec: Digest,
    /// Why it was taken back, for people.
    pub error: String,
}

/// What is kept of a handler's modules outside the API server, to survive a restart of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptModules {
    /// The last module that passed its trial, or was the first.
    pub good: Option<FetchedModule>,
    /// The last module that was rolled back.
    pub rolled_back: Option<RolledBack>,
}

use std::fmt;

use bytes::Bytes;
use handler_host_core::Digest;

use crate::FetchError;

/// A module as its source held it.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
    /// Where they were found, for people.
    pub origin: String,
}

impl Fetched {
    /// Takes bytes for a module, unless another one is asked for. Digests them, so not on an async thread.
    pub(crate) fn of(
        bytes: Bytes,
        origin: String,
        pinned: Option<Digest>,
    ) -> Result<Self, FetchError> {
        let digest = Digest::of(&bytes);
        check_pin(&origin, pinned, digest)?;
        Ok(Self {
            bytes,
            digest,
            origin,
        })
    }
}

/// Refuses a module that is not the one asked for.
pub(crate) fn check_pin(
    origin: &str,
    pinned: Option<Digest>,
    found: Digest,
) -> Result<(), FetchError> {
    match pinned {
        Some(expected) if expected != found => Err(FetchError::DigestMismatch {
            origin: origin.to_owned(),
            expected,
            found,
        }),
        Some(_) | None => Ok(()),
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("digest", &self.digest)
            .field("size", &self.bytes.len())
            .field("origin", &self.origin)
            .finish()
    }
}

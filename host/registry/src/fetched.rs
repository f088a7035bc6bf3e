use bytes::Bytes;
use handler_host_core::{Digest, FetchedModule};

use crate::FetchError;

/// Accepts bytes as a module, unless another module is pinned. It digests them, so it must not run on an async
/// thread.
pub(crate) fn fetched(
    bytes: Bytes,
    origin: String,
    pinned: Option<Digest>,
) -> Result<FetchedModule, FetchError> {
    let digest = Digest::of(&bytes);
    check_pin(&origin, pinned, digest)?;
    Ok(FetchedModule {
        bytes,
        digest,
        origin,
    })
}

/// Refuses a module that is not the pinned one.
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

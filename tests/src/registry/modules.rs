//! Modules as images: pushed to a registry, fetched and followed by a host's own code.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use handler_host_core::{FetchedModule, Image, ModuleLocation, ModuleSource};
use handler_host_registry::{Access, FetchError, PushOptions, Pushed, follow, push};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

/// The modules of a source that is followed.
pub type FollowedModules = Pin<Box<dyn Stream<Item = Result<FetchedModule, FetchError>> + Send>>;

/// Access with the usual patience and without credentials.
pub fn access() -> Access {
    Access {
        // The docker config of the user who runs the tests must not matter.
        docker_config: Some("/nowhere/config.json".into()),
        ..Access::default()
    }
}

/// The options of a push to a registry without TLS, with this access.
pub fn push_options(access: Access) -> PushOptions {
    PushOptions {
        is_plain_http: true,
        access,
        ..PushOptions::default()
    }
}

/// An image in a registry without TLS, which is looked up ten times a second.
pub fn image(reference: &str) -> ModuleSource {
    ModuleSource {
        location: ModuleLocation::Image(Image {
            reference: reference.to_owned(),
            pull_secret: None,
            is_plain_http: true,
            poll_interval: Duration::from_millis(100),
        }),
        pinned: None,
    }
}

/// Pushes a module without credentials. Panics if that fails.
pub async fn push_to(reference: &str, module: &[u8]) -> Pushed {
    let pushed = push(module.to_vec(), reference, &push_options(access())).await;
    pushed.unwrap_or_else(|error| panic!("cannot push {reference}: {error}"))
}

/// Follows a source with this access.
pub fn follow_with(source: ModuleSource, access: Access) -> FollowedModules {
    Box::pin(follow(source, access))
}

/// The next module of a source that is followed, or the next error. Panics if neither comes in time.
pub async fn next(modules: &mut FollowedModules) -> Result<FetchedModule, FetchError> {
    match timeout(DEADLINE, modules.next()).await {
        Ok(Some(next)) => next,
        Ok(None) => panic!("the source ended"),
        Err(_) => panic!("the source gave neither a module nor an error within {DEADLINE:?}"),
    }
}

use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use handler_host_core::{Digest, FetchedModule, ModuleLocation, ModuleSource};

use crate::config_map::{ConfigMapFollower, ConfigMapPlace};
use crate::file::{FileFollower, fetch_file};
use crate::image::{ImageFollower, fetch_image};
use crate::{Access, FetchError};

/// Reads the module that a source holds now.
///
/// # Errors
///
/// When it cannot be read, is larger than [`LARGEST`](crate::LARGEST), or is not the one that is pinned.
pub async fn fetch(source: &ModuleSource, access: &Access) -> Result<FetchedModule, FetchError> {
    match &source.location {
        ModuleLocation::File(path) => fetch_file(path, source.pinned, access.patience).await,
        ModuleLocation::ConfigMap {
            namespace,
            name,
            key,
        } => {
            entry(namespace, name, key, source.pinned)
                .fetch(access)
                .await
        }
        ModuleLocation::Image(image) => fetch_image(image, source.pinned, access).await,
    }
}

/// Follows a source. The first item is the module that it holds now, or why it cannot be read. Then each change
/// is an item; the stream does not end.
///
/// The same module comes again only after an error, to show that the error is over. The same error comes once,
/// until another item comes. After an error the source is read again.
pub fn follow(
    source: ModuleSource,
    access: Access,
) -> impl Stream<Item = Result<FetchedModule, FetchError>> + Send + 'static {
    changes(states(source, access))
}

/// What a source holds at each look at it, whether or not it changed.
fn states(
    source: ModuleSource,
    access: Access,
) -> BoxStream<'static, Result<FetchedModule, FetchError>> {
    let pinned = source.pinned;
    match source.location {
        ModuleLocation::File(path) => {
            let file = FileFollower::new(path, pinned, access.patience);
            stream::unfold(file, async |mut file| Some((file.next().await, file))).boxed()
        }
        ModuleLocation::ConfigMap {
            namespace,
            name,
            key,
        } => {
            let entry = entry(&namespace, &name, &key, pinned);
            match entry.client(&access) {
                Ok(client) => {
                    let map = ConfigMapFollower::new(entry, client, access.patience.idle);
                    stream::unfold(map, async |mut map| Some((map.next().await, map))).boxed()
                }
                Err(error) => once_for_ever(error),
            }
        }
        ModuleLocation::Image(image) => match ImageFollower::new(image, pinned, access) {
            Ok(image) => {
                stream::unfold(image, async |mut image| Some((image.next().await, image))).boxed()
            }
            Err(error) => once_for_ever(error),
        },
    }
}

/// An error that does not go away.
fn once_for_ever(error: FetchError) -> BoxStream<'static, Result<FetchedModule, FetchError>> {
    stream::iter([Err(error)]).chain(stream::pending()).boxed()
}

fn entry(namespace: &str, name: &str, key: &str, pinned: Option<Digest>) -> ConfigMapPlace {
    ConfigMapPlace {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        key: key.to_owned(),
        pinned,
    }
}

/// The last item of a stream.
#[derive(PartialEq)]
enum LastItem {
    Module(Digest),
    Error(FetchError),
}

/// The items that differ from the one before.
fn changes(
    states: impl Stream<Item = Result<FetchedModule, FetchError>> + Send + 'static,
) -> impl Stream<Item = Result<FetchedModule, FetchError>> + Send + 'static {
    let mut last = None;
    states.filter(move |state| {
        let item = Some(match state {
            Ok(module) => LastItem::Module(module.digest),
            Err(error) => LastItem::Error(error.clone()),
        });
        let is_change = item != last;
        last = item;
        std::future::ready(is_change)
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::fetched::fetched;

    fn module(text: &'static str) -> Result<FetchedModule, FetchError> {
        fetched(Bytes::from_static(text.as_bytes()), "here".to_owned(), None)
    }

    fn error(text: &str) -> Result<FetchedModule, FetchError> {
        let origin = text.to_owned();
        Err(FetchError::TooLarge { origin })
    }

    #[tokio::test]
    async fn only_changes_are_items_and_a_module_comes_again_after_an_error() {
        let states = [
            module("a"),
            module("a"),
            error("x"),
            error("x"),
            error("y"),
            module("a"),
            module("b"),
            module("b"),
            error("y"),
        ];
        let items: Vec<_> = changes(stream::iter(states)).collect().await;
        let expected = [
            module("a"),
            error("x"),
            error("y"),
            module("a"),
            module("b"),
            error("y"),
        ];
        assert_eq!(items, expected);
    }
}

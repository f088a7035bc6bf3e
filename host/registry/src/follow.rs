use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use handler_host_core::{Digest, ModuleSource, ModuleLocation};

use crate::config_map::{ConfigMapSource, Entry};
use crate::file::{FileSource, fetch_file};
use crate::image::{ImageSource, fetch_image};
use crate::{Access, FetchError, Fetched};

/// Reads the module that a source holds now.
///
/// # Errors
///
/// When it cannot be read, is larger than [`LARGEST`](crate::LARGEST), or is not the one that is pinned.
pub async fn fetch(source: &ModuleSource, access: &Access) -> Result<Fetched, FetchError> {
    match &source.place {
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

/// Follows a source: first what it holds now, or why it cannot be read, then each change, for ever.
///
/// The same module is told again only after an error, so that the error is known to be over. The same error
/// is told once, until something else comes. Errors are tried again.
pub fn follow(
    source: ModuleSource,
    access: Access,
) -> impl Stream<Item = Result<Fetched, FetchError>> + Send + 'static {
    news(looks(source, access))
}

/// Everything that is seen of a source, changed or not.
fn looks(source: ModuleSource, access: Access) -> BoxStream<'static, Result<Fetched, FetchError>> {
    let pinned = source.pinned;
    match source.place {
        ModuleLocation::File(path) => {
            let file = FileSource::new(path, pinned, access.patience);
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
                    let map = ConfigMapSource::new(entry, client, access.patience.idle);
                    stream::unfold(map, async |mut map| Some((map.next().await, map))).boxed()
                }
                Err(error) => once_for_ever(error),
            }
        }
        ModuleLocation::Image(image) => match ImageSource::new(image, pinned, access) {
            Ok(image) => {
                stream::unfold(image, async |mut image| Some((image.next().await, image))).boxed()
            }
            Err(error) => once_for_ever(error),
        },
    }
}

/// An error that no waiting mends.
fn once_for_ever(error: FetchError) -> BoxStream<'static, Result<Fetched, FetchError>> {
    stream::iter([Err(error)]).chain(stream::pending()).boxed()
}

fn entry(namespace: &str, name: &str, key: &str, pinned: Option<Digest>) -> Entry {
    Entry {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        key: key.to_owned(),
        pinned,
    }
}

/// What was told last.
#[derive(PartialEq)]
enum Told {
    Module(Digest),
    Error(FetchError),
}

/// Only what differs from what was told before it.
fn news(
    looks: impl Stream<Item = Result<Fetched, FetchError>> + Send + 'static,
) -> impl Stream<Item = Result<Fetched, FetchError>> + Send + 'static {
    let mut last = None;
    looks.filter(move |look| {
        let told = Some(match look {
            Ok(module) => Told::Module(module.digest),
            Err(error) => Told::Error(error.clone()),
        });
        let is_news = told != last;
        last = told;
        std::future::ready(is_news)
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn module(text: &'static str) -> Result<Fetched, FetchError> {
        Fetched::of(Bytes::from_static(text.as_bytes()), "here".to_owned(), None)
    }

    fn error(text: &str) -> Result<Fetched, FetchError> {
        let origin = text.to_owned();
        Err(FetchError::TooLarge { origin })
    }

    #[tokio::test]
    async fn only_what_changed_is_told_and_a_module_again_after_an_error() {
        let looks = [
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
        let told: Vec<_> = news(stream::iter(looks)).collect().await;
        let expected = [
            module("a"),
            error("x"),
            error("y"),
            module("a"),
            module("b"),
            error("y"),
        ];
        assert_eq!(told, expected);
    }
}

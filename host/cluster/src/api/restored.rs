use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use handler_host_core::{Backoff as Delays, version_number};
use kube::api::ListParams;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Config, Event};
use kube::runtime::{WatchStreamExt, watcher as kube_watch};
use kube::{Api, Resource, ResourceExt};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use super::error::answered;

/// What is known of the versions of a cluster, for watches that are to notice that it was restored from an older copy.
///
/// The API server lets a watch begin at a version that it has not reached yet, and sends nothing until it does. So a
/// watch that is resumed after a restoration would be silent, and what was changed meanwhile would be lost. The versions of
/// all kinds come from one counter of etcd.
#[derive(Default)]
pub(crate) struct Restorations(Mutex<Known>);

#[derive(Default)]
struct Known {
    newest: u128,
    restorations: u64,
}

impl Restorations {
    fn saw(&self, version: u128) {
        let mut known = self.0.lock();
        known.newest = known.newest.max(version);
    }

    fn newest(&self) -> u128 {
        self.0.lock().newest
    }

    /// Notes the version that the cluster was at when it was asked. It is older than one that was `seen` before the
    /// question only if an older copy was restored.
    fn was_at(&self, version: u128, seen: u128) {
        let mut known = self.0.lock();
        // If another watch has noticed it already, the newest version is one of after the restoration.
        if version < seen && known.newest >= seen {
            known.restorations += 1;
            known.newest = version;
        }
    }

    fn count(&self) -> u64 {
        self.0.lock().restorations
    }
}

/// Watches a kind for ever, and lists it anew when the cluster was restored from an older copy. After each loss of the
/// connection the API server is asked once for the version that it is at.
pub(crate) fn watch_across_restorations<K, B>(
    api: Api<K>,
    config: Config,
    backoff: impl Fn() -> B + Send + 'static,
    restorations: Arc<Restorations>,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    B: Backoff + Send + 'static,
{
    let begin = {
        let (api, config) = (api.clone(), config);
        move || {
            kube_watch(api.clone(), config.clone())
                .backoff(backoff())
                .boxed()
        }
    };
    let watch = RestoredWatch {
        stream: begin(),
        begin,
        api,
        restorations_seen: restorations.count(),
        restorations,
        question: None,
    };
    futures::stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((event, watch))
    })
}

struct RestoredWatch<K, F> {
    stream: BoxStream<'static, watcher::Result<Event<K>>>,
    begin: F,
    api: Api<K>,
    restorations: Arc<Restorations>,
    /// How many restorations there were when the stream began.
    restorations_seen: u64,
    /// Asks for the version that the API server is at.
    question: Option<BoxFuture<'static, ()>>,
}

impl<K, F> RestoredWatch<K, F>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    F: Fn() -> BoxStream<'static, watcher::Result<Event<K>>>,
{
    async fn next(&mut self) -> Option<watcher::Result<Event<K>>> {
        loop {
            let question = async {
                match &mut self.question {
                    Some(question) => question.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = question => {
                    self.question = None;
                    let restorations = self.restorations.count();
                    if restorations != self.restorations_seen {
                        self.restorations_seen = restorations;
                        tracing::warn!("the API server is at an older version than before, as when its storage was restored from a copy; listing everything anew");
                        self.stream = (self.begin)();
                    }
                }
                event = self.stream.next() => {
                    let event = event?;
                    match &event {
                        Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => {
                            let version = object.resource_version().unwrap_or_default();
                            self.restorations.saw(version_number(&version));
                        }
                        Ok(Event::Init | Event::InitDone) => {}
                        Err(error) if is_lost_connection(error) && self.question.is_none() => {
                            let question = ask(self.api.clone(), self.restorations.clone());
                            self.question = Some(question.boxed());
                        }
                        Err(_) => {}
                    }
                    return Some(event);
                }
            }
        }
    }
}

/// Whether the API server was lost, or a proxy or the API server itself says that it cannot answer: it may be another one,
/// or have another storage, when it does.
fn is_lost_connection(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            let kube::Error::Api(status) = error else {
                return true;
            };
            status.code >= 500
        }
        watcher::Error::WatchError(status) => status.code >= 500,
        watcher::Error::NoResourceVersion => false,
    }
}

/// Asks the API server for the version that it is at, until it answers.
async fn ask<K>(api: Api<K>, restorations: Arc<Restorations>)
where
    K: Clone + DeserializeOwned + Debug,
{
    let one = ListParams::default().limit(1);
    let mut attempts = 0_u32;
    loop {
        // Before the question: what is seen while it is under way may be newer than the answer.
        let seen = restorations.newest();
        if let Ok(list) = answered(api.list_metadata(&one)).await
            && let Some(version) = list.metadata.resource_version
        {
            return restorations.was_at(version_number(&version), seen);
        }
        attempts = attempts.saturating_add(1);
        let delay = Delays::default().delay(attempts, fastrand::f64());
        tokio::time::sleep(delay.min(Duration::from_secs(5))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_runs_backwards_is_a_restoration() {
        let known = Restorations::default();
        known.saw(10);
        known.saw(7);
        let seen = known.newest();
        known.was_at(12, seen);
        assert_eq!(known.count(), 0);
        // What is seen while the question is under way is no restoration.
        known.saw(15);
        known.was_at(12, seen);
        assert_eq!(known.count(), 0);
        known.was_at(11, known.newest());
        assert_eq!(known.count(), 1);
        // Another watch finds out the same.
        known.was_at(11, 15);
        known.was_at(11, known.newest());
        assert_eq!(known.count(), 1);
    }
}

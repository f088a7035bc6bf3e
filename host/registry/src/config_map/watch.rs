use std::pin::Pin;
use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, DefaultBackoff, watch_object};
use tokio::time::timeout;

use crate::kube_problem::{kube_problem, no_answer};

/// Why the state of a ConfigMap is not known for now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WatchProblem {
    /// It cannot be listed. The text says why, for people.
    Unlisted(String),
    /// Its watch ended with an error, or did not start. The list that follows shows its state.
    Unwatched,
}

/// A ConfigMap, or None if there is none of its name.
pub(super) type ConfigMapState = Result<Option<ConfigMap>, WatchProblem>;

/// Watches a ConfigMap. After an error it is listed again, because a resumed watch is silent until something
/// changes, and the end of the error would go unnoticed. If this host may list it but not watch it, the lists
/// show each change within a minute.
pub(super) fn watch(
    api: Api<ConfigMap>,
    name: String,
    patience: Duration,
) -> BoxStream<'static, ConfigMapState> {
    let lives = lives(move || watch_object(api.clone(), &name), patience);
    lives.backoff(Pauses::default()).boxed()
}

/// One watch after the other, each up to its first error. The first item of each is its list, which must come in
/// time. After that a watch may be silent for any time.
fn lives<W>(mut begin: impl FnMut() -> W, patience: Duration) -> impl Stream<Item = ConfigMapState>
where
    W: Stream<Item = Result<Option<ConfigMap>, watcher::Error>>,
{
    stream::unfold(None, move |watch: Option<Pin<Box<W>>>| {
        let is_running = watch.is_some();
        let mut watch = watch.unwrap_or_else(|| Box::pin(begin()));
        async move {
            let next = watch.next();
            let look = if is_running {
                next.await?.map_err(|error| problem(&error))
            } else {
                match timeout(patience, next).await {
                    Ok(look) => look?.map_err(|error| problem(&error)),
                    Err(_) => Err(WatchProblem::Unlisted(no_answer(patience))),
                }
            };
            let rest = look.is_ok().then_some(watch);
            Some((look, rest))
        }
    })
}

fn problem(error: &watcher::Error) -> WatchProblem {
    match error {
        watcher::Error::InitialListFailed(error) => WatchProblem::Unlisted(kube_problem(error)),
        watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::NoResourceVersion => WatchProblem::Unwatched,
    }
}

/// The pauses of kube's own backoff. They grow with each error until there was none for two minutes. A list that
/// succeeds does not shorten them: if this host may list but not watch, it would list every second.
#[derive(Default)]
struct Pauses(DefaultBackoff);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    type ScriptedEvent = Result<Option<ConfigMap>, watcher::Error>;

    /// Watches that send these events, and are silent afterwards.
    fn scripted<const N: usize>(
        lives: [Vec<ScriptedEvent>; N],
    ) -> impl FnMut() -> BoxStream<'static, ScriptedEvent> {
        let mut lives = VecDeque::from(lives);
        move || {
            let events = lives.pop_front().unwrap_or_default();
            stream::iter(events).chain(stream::pending()).boxed()
        }
    }

    fn object() -> Option<ConfigMap> {
        Some(ConfigMap::default())
    }

    fn cause() -> kube::Error {
        kube::Error::LinesCodecMaxLineLengthExceeded
    }

    #[tokio::test]
    async fn an_object_is_told_again_after_each_error() {
        let lives = lives(
            scripted([
                vec![Ok(object()), Err(watcher::Error::WatchStartFailed(cause()))],
                vec![Err(watcher::Error::InitialListFailed(cause()))],
                vec![Ok(object()), Err(watcher::Error::WatchFailed(cause()))],
                vec![Ok(None), Ok(object())],
            ]),
            LONG,
        );
        let told: Vec<_> = lives.take(7).collect().now_or_never().unwrap();
        let unlisted = Err(WatchProblem::Unlisted(kube_problem(&cause())));
        let unwatched = || Err(WatchProblem::Unwatched);
        let expected = [
            Ok(object()),
            unwatched(),
            unlisted,
            Ok(object()),
            unwatched(),
            Ok(None),
            Ok(object()),
        ];
        assert_eq!(told, expected);
    }

    #[tokio::test]
    async fn a_list_without_answer_is_told_and_begun_anew() {
        let lives = lives(scripted([vec![], vec![Ok(object())]]), Duration::ZERO);
        let told = timeout(LONG, lives.take(2).collect::<Vec<_>>());
        let told = told.await.expect("the second list is begun");
        let silent = WatchProblem::Unlisted("no answer within 0 s".to_owned());
        assert_eq!(told, [Err(silent), Ok(object())]);
    }

    #[tokio::test]
    async fn a_watch_may_be_silent_for_ever() {
        let mut lives = Box::pin(lives(scripted([vec![Ok(None)]]), Duration::ZERO));
        assert_eq!(lives.next().await, Some(Ok(None)));
        assert_eq!(lives.next().now_or_never(), None);
    }

    #[test]
    fn a_list_that_works_does_not_shorten_the_pauses() {
        let mut pauses = Pauses::default();
        let longest = Duration::from_secs(30);
        for _ in 0..10 {
            pauses.next();
            pauses.reset();
        }
        assert!(pauses.next() >= Some(longest));
    }
}

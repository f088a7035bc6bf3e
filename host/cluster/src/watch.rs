use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use handler_host_core::{Key, Kind, Object, Scope};
use kube::Client;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use tokio::sync::{Notify, oneshot};

use crate::apply::ChildKind;
use crate::cache::Cache;
use crate::discovery::Served;
use crate::received::Received;
use crate::refusal::connection_problem;
use crate::trouble::Trouble;

/// The longest that a watch waits after an error: a right that was granted is to be noticed within seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long a watch waits before it is tried again.
#[derive(Default)]
pub(crate) struct WatchBackoff(DefaultBackoff);

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // Not all watches at once.
        let longest = LONGEST_WAIT.mul_f64(1.0 - fastrand::f64() / 4.0);
        self.0.next().map(|delay| delay.min(longest))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// One watch: of a kind, in a namespace or in all, filled into a cache.
pub(crate) struct Watch {
    pub(crate) served: Served,
    pub(crate) namespace: Option<String>,
    /// A label selector; empty for everything.
    pub(crate) labels: String,
    pub(crate) cache: Arc<Cache>,
    pub(crate) fill: Arc<Fill>,
}

/// How far the first filling of a cache is.
pub(crate) struct Fill {
    is_settled: AtomicBool,
    settled: Arc<Notify>,
}

impl Fill {
    /// Just begun; the end is told there.
    pub(crate) fn new(settled: &Arc<Notify>) -> Self {
        Self {
            is_settled: AtomicBool::new(false),
            settled: Arc::clone(settled),
        }
    }

    /// It is full, or the API server refuses what would fill it.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Acquire)
    }

    fn settle(&self) {
        if !self.is_settled.swap(true, Ordering::AcqRel) {
            self.settled.notify_one();
        }
    }
}

impl Watch {
    /// That of a kind in a namespace, or in all; objects that are in none are watched everywhere.
    pub(crate) fn of(
        kind: &ChildKind,
        namespace: Option<&String>,
        labels: String,
        fill: Arc<Fill>,
    ) -> Self {
        Self {
            served: kind.served.clone(),
            namespace: namespace
                .filter(|_| kind.served.scope == Scope::Namespaced)
                .cloned(),
            labels,
            cache: kind.cache.clone(),
            fill,
        }
    }

    /// Fills the cache for ever, and tells of each object that came, changed or went. `filled` is told
    /// once, when everything that existed is in the cache.
    pub(crate) async fn run(
        self,
        client: Client,
        filled: oneshot::Sender<()>,
        on_change: impl Fn(&Object),
    ) {
        let api = self.served.api(&client, self.namespace.as_deref());
        let mut config = watcher::Config::default();
        if !self.labels.is_empty() {
            config = config.labels(&self.labels);
        }
        let stream = kube::runtime::watcher(api, config).backoff(WatchBackoff::default());
        self.follow(stream, filled, on_change).await;
    }

    async fn follow(
        &self,
        stream: impl Stream<Item = Result<Event<Received>, watcher::Error>>,
        filled: oneshot::Sender<()>,
        on_change: impl Fn(&Object),
    ) {
        let trouble = Trouble::at(format!("watching {}", self.place()));
        let mut filled = Some(filled);
        let mut listed: HashSet<Key> = HashSet::new();
        let mut stream = pin!(stream);
        while let Some(event) = stream.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    trouble.met(&watch_problem(&error));
                    if is_refused(&error) {
                        self.fill.settle();
                    }
                    continue;
                }
            };
            // A list begins before the API server has answered.
            if !matches!(event, Event::Init) {
                trouble.is_over();
            }
            match event {
                Event::Init => listed.clear(),
                Event::InitApply(object) => {
                    if let Some(object) = self.read(object) {
                        listed.insert(object.key());
                        self.take_in(object, &on_change);
                    }
                }
                Event::InitDone => {
                    for gone in self.cache.retain(self.namespace.as_deref(), &listed) {
                        on_change(&gone);
                    }
                    listed = HashSet::new();
                    self.fill.settle();
                    // Nobody listens any more only while the host stops.
                    let _ = filled.take().map(|filled| filled.send(()));
                }
                Event::Apply(object) => {
                    if let Some(object) = self.read(object) {
                        self.take_in(object, &on_change);
                    }
                }
                Event::Delete(object) => {
                    if let Some(object) = self.read(object) {
                        self.cache.remove(&object);
                        on_change(&object);
                    }
                }
            }
        }
    }

    /// Whoever the object belonged to before has news too.
    fn take_in(&self, object: Object, on_change: &impl Fn(&Object)) {
        if let Some(before) = self.cache.get(&object.key()) {
            on_change(&before);
        }
        on_change(&self.cache.insert(object));
    }

    fn read(&self, object: Received) -> Option<Object> {
        read(&self.served.kind, object)
    }

    fn place(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} in {namespace}", self.served.kind),
            None => self.served.kind.to_string(),
        }
    }
}

/// What the API server sent, as an object; what is none is said and passed over.
pub(crate) fn read(kind: &Kind, received: Received) -> Option<Object> {
    match received.into_object(kind) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::error!(%kind, "the API server sent something else: {error}");
            None
        }
    }
}

/// Whether the API server will say the same until somebody grants a right or defines a kind.
fn is_refused(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) => {
            matches!(status.code, 401 | 403 | 404)
        }
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

/// The problem alone: whose watch it is, the trouble says.
pub(crate) fn watch_problem(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => connection_problem(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

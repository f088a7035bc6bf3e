use std::collections::HashMap;
use std::sync::{Arc, Weak};

use handler_host_core::{Object, RelatedScope};
use kube::Client;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::cache::Cache;
use super::fill::FillProgress;
use super::kind_watch::KindWatch;
use super::object_memory::{HandlerObjects, ObjectMemory};
use crate::api::{Restorations, ServedKind};

/// The watches of related objects of all handlers of a host. Handlers that see the same objects in the name of the same
/// account share one watch and one cache.
#[derive(Clone, Default)]
pub struct RelatedWatches {
    memory: ObjectMemory,
    watches: Arc<Mutex<HashMap<Place, Weak<RelatedWatch>>>>,
}

/// What is watched, and in whose name; None is the host's own account.
type Place = (Option<String>, RelatedScope);

/// One watch and its cache. It ends with its last subscription.
struct RelatedWatch {
    served: ServedKind,
    cache: Arc<Cache>,
    subscribers: Arc<Subscribers>,
    fill: watch::Receiver<FillState>,
    task: AbortHandle,
}

/// How far a watch is with its first list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FillState {
    Filling,
    /// The API server refused the list.
    Refused,
    Filled,
}

/// What a handler does when something happens to an object that it may see.
pub(super) struct Subscriber {
    /// An object was created, changed or deleted.
    pub(super) on_change: Box<dyn Fn(&Object) + Send + Sync>,
    /// The API server answers as if it did not serve the kind.
    pub(super) on_gone: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Subscribers {
    list: RwLock<Vec<(u64, Subscriber)>>,
    next: Mutex<u64>,
}

/// A handler's part in a watch, which ends when this is dropped.
pub(super) struct Subscription {
    watch: Arc<RelatedWatch>,
    number: u64,
}

impl RelatedWatches {
    /// Watches whose objects take of this memory.
    #[must_use]
    pub fn new(memory: &ObjectMemory) -> Self {
        Self {
            memory: memory.clone(),
            watches: Arc::default(),
        }
    }

    /// Follows the objects of a scope, as `client` sees them.
    pub(super) fn subscribe(
        &self,
        client: &Client,
        account: Option<&str>,
        scope: &RelatedScope,
        served: &ServedKind,
        subscriber: Subscriber,
    ) -> Subscription {
        let place = (account.map(str::to_owned), scope.clone());
        let mut watches = self.watches.lock();
        watches.retain(|_, watch| watch.strong_count() > 0);
        let known = watches.get(&place).and_then(Weak::upgrade);
        let watch = known
            .filter(|watch| watch.served == *served)
            .unwrap_or_else(|| {
                let watch = Arc::new(RelatedWatch::start(client, scope, served, &self.memory));
                watches.insert(place, Arc::downgrade(&watch));
                watch
            });
        drop(watches);
        let number = watch.subscribers.add(subscriber);
        Subscription { watch, number }
    }
}

impl RelatedWatch {
    fn start(
        client: &Client,
        scope: &RelatedScope,
        served: &ServedKind,
        memory: &ObjectMemory,
    ) -> Self {
        let cache = Arc::new(Cache::of_related(Arc::new(HandlerObjects::new(memory))));
        let subscribers = Arc::new(Subscribers::default());
        let mut progress = FillProgress::default();
        let on_gone = subscribers.clone();
        let watch = KindWatch {
            served: served.clone(),
            namespace: scope.namespace.clone(),
            name: scope.name.clone(),
            labels: scope.labels.to_string(),
            cache: cache.clone(),
            fill: progress.add_watch(),
            restorations: Arc::<Restorations>::default(),
            on_gone: Box::new(move || on_gone.gone()),
        };
        let (tell, fill) = watch::channel(FillState::Filling);
        let (filled, is_filled) = oneshot::channel();
        let (client, on_change) = (client.clone(), subscribers.clone());
        let task = tokio::spawn(async move {
            let told = async {
                progress.filled().await;
                tell.send_if_modified(|state| {
                    let is_first = *state == FillState::Filling;
                    if is_first {
                        *state = FillState::Refused;
                    }
                    is_first
                });
                if is_filled.await.is_ok() {
                    tell.send_replace(FillState::Filled);
                }
                // The sender is dropped only when the watch ends.
                std::future::pending::<()>().await;
            };
            let watching = watch.run(client, filled, |object| on_change.changed(object));
            tokio::select! {
                () = watching => {}
                () = told => {}
            }
        });
        Self {
            served: served.clone(),
            cache,
            subscribers,
            fill,
            task: task.abort_handle(),
        }
    }
}

impl Drop for RelatedWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscribers {
    fn add(&self, subscriber: Subscriber) -> u64 {
        let mut next = self.next.lock();
        *next += 1;
        self.list.write().push((*next, subscriber));
        *next
    }

    fn changed(&self, object: &Object) {
        for (_, subscriber) in self.list.read().iter() {
            (subscriber.on_change)(object);
        }
    }

    fn gone(&self) {
        for (_, subscriber) in self.list.read().iter() {
            (subscriber.on_gone)();
        }
    }
}

impl Subscription {
    pub(super) fn cache(&self) -> Arc<Cache> {
        self.watch.cache.clone()
    }

    /// Waits until the cache was filled, or the API server refused the list.
    pub(super) async fn settled(&self) {
        self.reached(|state| state != FillState::Filling).await;
    }

    /// Waits until the cache is filled.
    pub(super) async fn filled(&self) {
        self.reached(|state| state == FillState::Filled).await;
    }

    async fn reached(&self, is_reached: impl Fn(FillState) -> bool) {
        let mut fill = self.watch.fill.clone();
        // Without its sender the watch has ended, which `ended` tells.
        if fill.wait_for(|state| is_reached(*state)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the watch has ended by itself, which is a defect of the host.
    pub(super) async fn ended(&self) {
        let mut fill = self.watch.fill.clone();
        while fill.changed().await.is_ok() {}
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut list = self.watch.subscribers.list.write();
        list.retain(|(number, _)| *number != self.number);
    }
}

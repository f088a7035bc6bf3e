use std::time::Duration;

use handler_host_cluster::{
    ClusterError, Kinds, NotServed, ParentCounts, Serving, ServingNews, WatchPlace, WatchedKinds,
};
use handler_host_core::{GrantError, GrantRequest, Rule, ServingState, TrialProgress, TrialSoFar};
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::HostContext;
use crate::client::HandlerClient;

/// How far a handler is on its way to serving, apart from its module.
pub(super) enum ServingStage {
    /// Its kinds are looked for in the cluster.
    Looking(KindSearch),
    /// As the cluster is, it can never be served.
    Refused(String),
    /// Its kinds are watched; a module may be missing.
    Watching(Box<WatchedKinds>),
    /// It serves.
    Serving(Serving),
}

/// A search for the kinds of a handler, which ends when this is dropped.
pub(super) struct KindSearch {
    task: JoinHandle<Result<Kinds, GrantError>>,
    missing: watch::Receiver<Option<NotServed>>,
}

/// What happened to a handler at its stage.
pub(super) enum StageNews {
    /// Something else is missing in the cluster, or the caches are filled: how it stands is to be reported.
    Progress,
    /// All kinds are served, or can never be granted as they are served.
    Found(Result<Box<Kinds>, GrantError>),
    /// A granted kind is served otherwise than it was found.
    KindsChanged,
    /// The handler that serves has news.
    Serving(ServingNews),
}

impl ServingStage {
    /// Begins to look for kinds.
    pub(super) fn look(client: Client, request: GrantRequest) -> Self {
        let (told, missing) = watch::channel(None);
        let task = tokio::spawn(async move {
            let tell = |lack: &NotServed| {
                told.send_if_modified(|told| {
                    let is_news = told.as_ref() != Some(lack);
                    *told = Some(lack.clone());
                    is_news
                });
            };
            Kinds::served(&client, &request, tell).await
        });
        Self::Looking(KindSearch { task, missing })
    }

    /// Begins to watch kinds that were found, in the name of the handler's account.
    pub(super) fn watch(
        kinds: Kinds,
        handler: &str,
        host: &HostContext,
        client: &HandlerClient,
    ) -> Result<Self, ClusterError> {
        let metrics = host.monitoring.metrics.handler(handler);
        let place = WatchPlace {
            client: &client.client,
            account: client.account.as_deref(),
            namespaces: &host.options.namespaces,
            memory: &host.object_memory,
            related: &host.related,
        };
        let watched = kinds.watch(&place, metrics)?;
        Ok(Self::Watching(Box::new(watched)))
    }

    /// The watched kinds, for a module that serves from now on. The stage is refused until it is set anew.
    pub(super) fn take_watched(&mut self) -> Option<WatchedKinds> {
        if !matches!(self, Self::Watching(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Refused(String::new())) {
            Self::Watching(watched) => Some(*watched),
            Self::Looking(_) | Self::Refused(_) | Self::Serving(_) => None,
        }
    }

    /// What the condition `Ready` goes by.
    pub(super) fn state(&self) -> ServingState {
        match self {
            Self::Looking(search) => {
                let missing = search.missing.borrow();
                let message = missing.as_ref().map(|lack| lack.message().to_owned());
                ServingState::Looking(message)
            }
            Self::Refused(message) => ServingState::Refused(message.clone()),
            Self::Watching(_) => ServingState::Watching,
            Self::Serving(serving) => ServingState::Serving {
                missing: serving.missing(),
                trial: serving.progress(),
            },
        }
    }

    /// The rights that serving takes, once the kinds are found; with parents that get a finalizer or not.
    pub(super) fn rules(&self, has_finalizer: bool) -> Option<Vec<Rule>> {
        match self {
            Self::Looking(_) | Self::Refused(_) => None,
            Self::Watching(watched) => Some(watched.rules(has_finalizer)),
            Self::Serving(serving) => Some(serving.rules(has_finalizer)),
        }
    }

    pub(super) fn serving(&self) -> Option<&Serving> {
        match self {
            Self::Looking(_) | Self::Refused(_) | Self::Watching(_) => None,
            Self::Serving(serving) => Some(serving),
        }
    }

    /// Holds all work on parents back, or goes on.
    pub(super) fn set_paused(&self, is_paused: bool) {
        match self {
            Self::Looking(_) | Self::Refused(_) => {}
            Self::Watching(watched) => watched.set_paused(is_paused),
            Self::Serving(serving) => serving.set_paused(is_paused),
        }
    }

    /// How the parents stand, if they are served.
    pub(super) fn counts(&self) -> Option<ParentCounts> {
        self.serving().map(Serving::counts)
    }

    /// How the trial of the module that serves goes.
    pub(super) fn progress(&self) -> TrialProgress {
        self.serving().map(Serving::progress).unwrap_or_default()
    }

    /// How the trial of the module that serves stands.
    pub(super) fn trial(&self) -> TrialSoFar {
        self.serving().map(Serving::trial).unwrap_or_default()
    }

    /// What it waits for that will come by itself.
    pub(super) fn waits_for(&self) -> Option<String> {
        let is_filled = match self {
            Self::Looking(search) => return search.waits_for(),
            Self::Refused(_) => return None,
            Self::Watching(watched) => watched.is_filled(),
            Self::Serving(serving) => serving.is_filled(),
        };
        (!is_filled).then(|| "its caches are being filled".to_owned())
    }

    /// Waits for something to happen.
    pub(super) async fn next(&mut self) -> StageNews {
        match self {
            Self::Looking(search) => search.next().await,
            Self::Watching(watched) => {
                let is_filled = watched.is_filled();
                tokio::select! {
                    () = watched.filled(), if !is_filled => StageNews::Progress,
                    () = watched.changed() => StageNews::KindsChanged,
                }
            }
            Self::Refused(_) => std::future::pending().await,
            Self::Serving(serving) => StageNews::Serving(serving.next().await),
        }
    }

    /// Ends; calls and writes under way may end first.
    pub(super) async fn stop(self, patience: Duration) {
        match self {
            Self::Looking(_) | Self::Refused(_) | Self::Watching(_) => {}
            Self::Serving(serving) => serving.stop(patience).await,
        }
    }
}

impl KindSearch {
    /// What it waits for that needs no administrator.
    fn waits_for(&self) -> Option<String> {
        match &*self.missing.borrow() {
            None => Some("its kinds are being looked for".to_owned()),
            Some(NotServed::Unanswered(problem)) => {
                Some(format!("its kinds are being looked for: {problem}"))
            }
            Some(NotServed::Answered(_)) => None,
        }
    }

    async fn next(&mut self) -> StageNews {
        tokio::select! {
            found = &mut self.task => match found {
                Ok(found) => StageNews::Found(found.map(Box::new)),
                Err(error) => {
                    let error = ClusterError::Ended(error.to_string());
                    StageNews::Serving(ServingNews::Ended(error))
                }
            },
            Ok(()) = self.missing.changed() => StageNews::Progress,
        }
    }
}

impl Drop for KindSearch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

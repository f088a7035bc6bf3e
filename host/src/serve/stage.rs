use std::time::Duration;

use handler_host_cluster::{ClusterError, Kinds, Observed, Serving, ServingNews, Wanted};
use handler_host_core::{GrantError, Rule};
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Host;
use crate::client::HandlerClient;

/// How far a handler is on its way to serving.
pub(crate) enum Stage {
    /// Its kinds are looked for in the cluster.
    Looking(Looking),
    /// It can never serve what it is granted, as the cluster is.
    Refused(String),
    /// All but a module is there; its kinds are watched already.
    Ready(Box<Observed>),
    /// It serves.
    Serving(Serving),
}

/// A search for kinds, ended with this.
pub(crate) struct Looking {
    task: JoinHandle<Result<Kinds, GrantError>>,
    missing: watch::Receiver<String>,
}

/// What happened at a stage.
pub(crate) enum StageNews {
    /// Something is still missing.
    Missing,
    /// All kinds are served.
    Found(Result<Box<Kinds>, GrantError>),
    /// Of the handler that serves.
    Serving(ServingNews),
}

impl Stage {
    pub(crate) fn look(client: Client, wanted: Wanted) -> Self {
        let (told, missing) = watch::channel(String::new());
        let task = tokio::spawn(async move {
            let tell = |problem: &str| {
                told.send_if_modified(|told| {
                    let is_news = told != problem;
                    problem.clone_into(told);
                    is_news
                });
            };
            Kinds::served(&client, &wanted, tell).await
        });
        Self::Looking(Looking { task, missing })
    }

    /// Begins to watch kinds that were found, in the name of the handler's account.
    pub(crate) fn observe(
        kinds: Kinds,
        host: &Host,
        client: &HandlerClient,
    ) -> Result<Self, ClusterError> {
        let observed = kinds.observe(&client.client, &host.options.namespaces)?;
        Ok(Self::Ready(Box::new(observed)))
    }

    /// What is still missing in the cluster; empty while nobody knows.
    pub(crate) fn missing(&self) -> String {
        match self {
            Self::Looking(looking) => looking.missing.borrow().clone(),
            Self::Refused(_) | Self::Ready(_) | Self::Serving(_) => String::new(),
        }
    }

    /// Takes what is observed, for somebody who serves it from now on.
    pub(crate) fn take_ready(&mut self) -> Option<Observed> {
        if !matches!(self, Self::Ready(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Refused(String::new())) {
            Self::Ready(observed) => Some(*observed),
            Self::Looking(_) | Self::Refused(_) | Self::Serving(_) => None,
        }
    }

    /// The rights that serving takes, once the kinds are found; with parents that get a finalizer or not.
    pub(crate) fn rules(&self, has_finalizer: bool) -> Option<Vec<Rule>> {
        match self {
            Self::Looking(_) | Self::Refused(_) => None,
            Self::Ready(observed) => Some(observed.rules(has_finalizer)),
            Self::Serving(serving) => Some(serving.rules(has_finalizer)),
        }
    }

    pub(crate) fn serving(&self) -> Option<&Serving> {
        match self {
            Self::Looking(_) | Self::Refused(_) | Self::Ready(_) => None,
            Self::Serving(serving) => Some(serving),
        }
    }

    /// Waits for something to happen.
    pub(crate) async fn next(&mut self) -> StageNews {
        match self {
            Self::Looking(looking) => looking.next().await,
            Self::Refused(_) | Self::Ready(_) => std::future::pending().await,
            Self::Serving(serving) => StageNews::Serving(serving.next().await),
        }
    }

    /// As [`stop`](Self::stop), and lets parents go that a finalizer of the handler would hold.
    pub(crate) async fn retire(self, patience: Duration) {
        match self {
            Self::Looking(_) | Self::Refused(_) | Self::Ready(_) => {}
            Self::Serving(serving) => serving.retire(patience).await,
        }
    }

    /// Lets what is under way end.
    pub(crate) async fn stop(self, patience: Duration) {
        match self {
            Self::Looking(_) | Self::Refused(_) | Self::Ready(_) => {}
            Self::Serving(serving) => serving.stop(patience).await,
        }
    }
}

impl Looking {
    async fn next(&mut self) -> StageNews {
        tokio::select! {
            found = &mut self.task => match found {
                Ok(found) => StageNews::Found(found.map(Box::new)),
                Err(error) => {
                    let error = ClusterError::Ended(error.to_string());
                    StageNews::Serving(ServingNews::Ended(error))
                }
            },
            Ok(()) = self.missing.changed() => StageNews::Missing,
        }
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

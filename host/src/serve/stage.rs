use std::time::Duration;

use handler_host_cluster::{ClusterError, Kinds, Serving, ServingNews, Wanted};
use handler_host_core::{GrantError, Rule};
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How far a handler is on its way to serving.
pub(crate) enum Stage {
    /// Its kinds are looked for in the cluster.
    Looking(Looking),
    /// It can never serve what it is granted, as the cluster is.
    Refused(String),
    /// All but a module is there.
    Ready(Box<Kinds>),
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

    /// What is still missing in the cluster; empty while nobody knows.
    pub(crate) fn missing(&self) -> String {
        match self {
            Self::Looking(looking) => looking.missing.borrow().clone(),
            Self::Refused(_) | Self::Ready(_) | Self::Serving(_) => String::new(),
        }
    }

    /// The rights that serving takes, once the kinds are found; with parents that get a finalizer or not.
    pub(crate) fn rules(&self, has_finalizer: bool) -> Option<Vec<Rule>> {
        match self {
            Self::Looking(_) | Self::Refused(_) => None,
            Self::Ready(kinds) => Some(kinds.rules(has_finalizer)),
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

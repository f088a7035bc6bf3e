use std::time::Duration;

use handler_host_cluster::{ClusterError, Kinds, Lack, Serving, ServingNews, Wanted};
use handler_host_core::GrantError;
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
    missing: watch::Receiver<Option<Lack>>,
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
        let (told, missing) = watch::channel(None);
        let task = tokio::spawn(async move {
            let tell = |lack: &Lack| {
                told.send_if_modified(|told| {
                    let is_news = told.as_ref() != Some(lack);
                    *told = Some(lack.clone());
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
            Self::Looking(looking) => {
                let lack = looking.missing.borrow();
                lack.as_ref()
                    .map_or_else(String::new, |lack| lack.message().to_owned())
            }
            Self::Refused(_) | Self::Ready(_) | Self::Serving(_) => String::new(),
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
    /// What it waits for that is not somebody's deed.
    pub(crate) fn waits_for(&self) -> Option<String> {
        match &*self.missing.borrow() {
            None => Some("its kinds are being looked for".to_owned()),
            Some(Lack::Unanswered(problem)) => {
                Some(format!("its kinds are being looked for: {problem}"))
            }
            Some(Lack::Answered(_)) => None,
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
            Ok(()) = self.missing.changed() => StageNews::Missing,
        }
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

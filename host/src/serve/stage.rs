use std::time::Duration;

use handler_host_cluster::{
    ClusterError, Kinds, NotServed, Observed, Serving, ServingNews, Wanted,
};
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
    missing: watch::Receiver<Option<NotServed>>,
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
            let tell = |lack: &NotServed| {
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

    /// Begins to watch kinds that were found, in the name of the handler's account.
    pub(crate) fn observe(
        kinds: Kinds,
        handler: &str,
        host: &Host,
        client: &HandlerClient,
    ) -> Result<Self, ClusterError> {
        let observed = kinds.observe(
            &client.client,
            &host.options.namespaces,
            host.gauges.meters.handler(handler),
        )?;
        Ok(Self::Ready(Box::new(observed)))
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

    /// What it waits for that will come by itself.
    pub(crate) fn waits_for(&self) -> Option<String> {
        let is_warm = match self {
            Self::Looking(looking) => return looking.waits_for(),
            Self::Refused(_) => return None,
            Self::Ready(observed) => observed.is_warm(),
            Self::Serving(serving) => serving.is_warm(),
        };
        (!is_warm).then(|| "its caches are being filled".to_owned())
    }

    /// Waits for something to happen.
    pub(crate) async fn next(&mut self) -> StageNews {
        match self {
            Self::Looking(looking) => looking.next().await,
            Self::Ready(observed) if !observed.is_warm() => {
                observed.warm().await;
                StageNews::Serving(ServingNews::Warm)
            }
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
            Ok(()) = self.missing.changed() => StageNews::Missing,
        }
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

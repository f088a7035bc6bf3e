use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use handler_host_core::FetchedModule;
use kube::{Api, Client};

use super::place::ConfigMapPlace;
use super::watch::{ConfigMapState, WatchProblem, watch};
use crate::FetchError;

/// Follows an entry of a ConfigMap by a watch.
pub(crate) struct ConfigMapFollower {
    entry: ConfigMapPlace,
    states: BoxStream<'static, ConfigMapState>,
}

impl ConfigMapFollower {
    pub(crate) fn new(entry: ConfigMapPlace, client: Client, patience: Duration) -> Self {
        let api = Api::namespaced(client, &entry.namespace);
        let states = watch(api, entry.name.clone(), patience);
        Self { entry, states }
    }

    /// The module that the entry holds, or why it cannot be read, as soon as the API server reports it.
    pub(crate) async fn next(&mut self) -> Result<FetchedModule, FetchError> {
        loop {
            match self.states.next().await {
                Some(Ok(object)) => return self.entry.module(object).await,
                Some(Err(WatchProblem::Unlisted(problem))) => {
                    return Err(self.entry.refused(problem));
                }
                Some(Err(WatchProblem::Unwatched)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

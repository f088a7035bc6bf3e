use std::sync::Arc;

use handler_host_core::{FetchedModule, KeptModules, RolledBack};
use handler_host_registry::{Store, StoreError};

use crate::serve::HostContext;

/// What must survive a restart of the host. A failure to read or write it is logged, and stops nothing.
impl HostContext {
    pub(crate) async fn kept(self: &Arc<Self>, key: &str) -> KeptModules {
        let read = self.with_store(key, |store, key| store.kept(key));
        read.await.unwrap_or_default()
    }

    pub(crate) async fn keep_good(self: &Arc<Self>, key: &str, module: FetchedModule) {
        let keep = self.with_store(key, move |store, key| store.keep_good(key, &module));
        keep.await;
    }

    pub(crate) async fn keep_rolled_back(self: &Arc<Self>, key: &str, module: RolledBack) {
        let keep = self.with_store(key, move |store, key| store.keep_rolled_back(key, &module));
        keep.await;
    }

    pub(crate) async fn forget_rolled_back(self: &Arc<Self>, key: &str) {
        let forget = self.with_store(key, |store, key| store.clear_rolled_back(key));
        forget.await;
    }

    pub(crate) async fn forget(self: &Arc<Self>, key: &str) {
        let forget = self.with_store(key, |store, key| store.forget(key));
        forget.await;
    }

    async fn with_store<T: Send + 'static>(
        self: &Arc<Self>,
        key: &str,
        work: impl FnOnce(&Store, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        let (host, key) = (self.clone(), key.to_owned());
        let worked = tokio::task::spawn_blocking(move || {
            let store = host.store.as_ref()?;
            match work(store, &key) {
                Ok(found) => Some(found),
                Err(error) => {
                    tracing::warn!(handler = %key, "{error}");
                    None
                }
            }
        });
        worked.await.ok().flatten()
    }
}

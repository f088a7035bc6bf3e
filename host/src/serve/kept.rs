use std::sync::Arc;

use handler_host_registry::{Fetched, Kept, Rejected, Store, StoreError};

use super::Host;

/// What must survive a restart. That it cannot be read or written is told, and stops nothing.
impl Host {
    pub(crate) async fn kept(self: &Arc<Self>, handler: &str) -> Kept {
        let read = self.with_store(handler, |store, handler| store.kept(handler));
        read.await.unwrap_or_default()
    }

    pub(crate) async fn keep_good(self: &Arc<Self>, handler: &str, module: &Fetched) {
        let module = module.clone();
        let keep = self.with_store(handler, move |store, handler| {
            store.keep_good(handler, &module)
        });
        keep.await;
    }

    pub(crate) async fn reject(self: &Arc<Self>, handler: &str, rejected: &Rejected) {
        let rejected = rejected.clone();
        let keep = self.with_store(handler, move |store, handler| {
            store.reject(handler, &rejected)
        });
        keep.await;
    }

    pub(crate) async fn clear_rejected(self: &Arc<Self>, handler: &str) {
        let clear = self.with_store(handler, |store, handler| store.clear_rejected(handler));
        clear.await;
    }

    pub(crate) async fn forget(self: &Arc<Self>, handler: &str) {
        let forget = self.with_store(handler, |store, handler| store.forget(handler));
        forget.await;
    }

    async fn with_store<T: Send + 'static>(
        self: &Arc<Self>,
        handler: &str,
        work: impl FnOnce(&Store, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        let (host, handler) = (self.clone(), handler.to_owned());
        let worked = tokio::task::spawn_blocking(move || {
            let store = host.store.as_ref()?;
            match work(store, &handler) {
                Ok(found) => Some(found),
                Err(error) => {
                    tracing::warn!(%handler, "{error}");
                    None
                }
            }
        });
        worked.await.ok().flatten()
    }
}

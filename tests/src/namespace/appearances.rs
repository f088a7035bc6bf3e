//! When volume claims appear.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};

use super::isolated::Namespace;
use crate::objects::kinds::PVC;

/// A watch of the volume claims that are created from now on.
pub struct Appearances(BoxStream<'static, kube::Result<WatchEvent<DynamicObject>>>);

impl Appearances {
    /// The watch of a namespace.
    ///
    /// # Errors
    ///
    /// What the API server says.
    pub async fn in_namespace(namespace: &Namespace) -> Result<Self> {
        let api = namespace.api(PVC);
        let list = api.list(&ListParams::default()).await?;
        let version = list.metadata.resource_version.unwrap_or_default();
        Ok(Self(
            api.watch(&WatchParams::default(), &version).await?.boxed(),
        ))
    }

    /// When each of the next `count` volume claims was seen.
    ///
    /// # Errors
    ///
    /// When the watch ends or fails.
    pub async fn next(&mut self, count: usize) -> Result<HashMap<String, Instant>> {
        let mut seen = HashMap::new();
        while seen.len() < count {
            match self.0.try_next().await?.context("the watch ended")? {
                WatchEvent::Added(object) => {
                    seen.insert(object.metadata.name.unwrap_or_default(), Instant::now());
                }
                WatchEvent::Error(status) => bail!("the watch failed: {}", status.message),
                WatchEvent::Modified(_) | WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
            }
        }
        Ok(seen)
    }
}

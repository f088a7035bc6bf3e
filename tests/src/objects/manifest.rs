//! Manifests in YAML or JSON: read from text and files, and applied.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, WatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, ApiResource, Scope};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// The field manager of the objects that tests apply.
pub const FIELD_MANAGER: &str = "tests";
const ESTABLISHED_DEADLINE: Duration = Duration::from_secs(30);

/// Reads the objects of a YAML or JSON text, which may have several documents.
pub fn parse(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    Ok(documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect())
}

/// Reads the objects of a YAML or JSON file.
pub fn read(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read manifest {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is not a manifest", path.display()))
}

/// Applies objects of any kind by server-side apply. A namespaced object that names no namespace goes to `default`.
pub async fn apply(client: &Client, objects: &[Value]) -> Result<Vec<DynamicObject>> {
    let mut applied = Vec::new();
    for object in objects {
        let object: DynamicObject = serde_json::from_value(object.clone())
            .context("a manifest needs apiVersion, kind and metadata")?;
        let types = object
            .types
            .as_ref()
            .context("a manifest needs apiVersion and kind")?;
        let (resource, capabilities) =
            discovery::pinned_kind(client, &GroupVersionKind::try_from(types)?).await?;
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(client.clone(), &resource),
            Scope::Namespaced => {
                let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
                Api::namespaced_with(client.clone(), &namespace, &resource)
            }
        };
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let name = object.name_any();
        let result = api.patch(&name, &parameters, &Patch::Apply(&object)).await;
        applied.push(result.with_context(|| format!("cannot apply {} {name}", resource.kind))?);
    }
    Ok(applied)
}

/// Applies the CRDs of a file and waits until the objects of each can be listed and watched.
pub async fn apply_crds(client: &Client, path: &Path) -> Result<()> {
    for applied in apply(client, &read(path)?).await? {
        let crd: CustomResourceDefinition = applied.try_parse().with_context(|| {
            format!(
                "{} holds an object that is not a CustomResourceDefinition",
                path.display()
            )
        })?;
        wait_until_served(client, &crd).await?;
    }
    Ok(())
}

/// Waits until a CRD is established and its objects can be listed and watched. Just after a CRD was made,
/// the API server answers 404, and then 429 while it fills its cache.
pub async fn wait_until_served(client: &Client, crd: &CustomResourceDefinition) -> Result<()> {
    let deadline = Instant::now() + ESTABLISHED_DEADLINE;
    loop {
        let Err(error) = list_and_watch(client, crd).await else {
            return Ok(());
        };
        if Instant::now() > deadline {
            let name = crd.name_any();
            bail!(
                "{name} is not served after {} s: {error:#}",
                ESTABLISHED_DEADLINE.as_secs()
            );
        }
        sleep(Duration::from_millis(25)).await;
    }
}

async fn list_and_watch(client: &Client, crd: &CustomResourceDefinition) -> Result<()> {
    let now = Api::<CustomResourceDefinition>::all(client.clone())
        .get(&crd.name_any())
        .await?;
    let conditions = now
        .status
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    if !conditions
        .iter()
        .any(|condition| condition.type_ == "Established" && condition.status == "True")
    {
        bail!("it has no condition Established");
    }
    for version in crd.spec.versions.iter().filter(|version| version.served) {
        let kind = GroupVersionKind::gvk(&crd.spec.group, &version.name, &crd.spec.names.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &crd.spec.names.plural);
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let list = objects.list(&ListParams::default().limit(1)).await?;
        let from = list.metadata.resource_version.unwrap_or_default();
        // The status of the answer is enough. The watch ends when the stream is dropped.
        drop(objects.watch(&WatchParams::default(), &from).await?);
    }
    Ok(())
}

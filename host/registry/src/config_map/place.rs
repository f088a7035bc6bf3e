use bytes::Bytes;
use handler_host_core::{Digest, FetchedModule};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::fetched::fetched;
use crate::kube_problem::{kube_problem, no_answer};
use crate::{Access, FetchError, LARGEST};

/// An entry of a ConfigMap.
#[derive(Clone)]
pub(crate) struct ConfigMapPlace {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) pinned: Option<Digest>,
}

impl ConfigMapPlace {
    /// Reads the module that the entry holds now.
    pub(crate) async fn fetch(&self, access: &Access) -> Result<FetchedModule, FetchError> {
        let api = Api::namespaced(self.client(access)?, &self.namespace);
        match timeout(access.patience.whole, api.get_opt(&self.name)).await {
            Ok(Ok(object)) => self.module(object).await,
            Ok(Err(error)) => Err(self.refused(kube_problem(&error))),
            Err(_) => Err(self.refused(no_answer(access.patience.whole))),
        }
    }

    pub(crate) fn client(&self, access: &Access) -> Result<Client, FetchError> {
        let what = self.to_string();
        access.client.clone().ok_or(FetchError::NoCluster { what })
    }

    pub(super) fn refused(&self, problem: String) -> FetchError {
        FetchError::Cluster {
            what: self.to_string(),
            problem,
        }
    }

    pub(super) async fn module(
        &self,
        object: Option<ConfigMap>,
    ) -> Result<FetchedModule, FetchError> {
        let bytes = self.bytes(object)?;
        let origin = format!("{self} {}", self.key);
        if bytes.len() as u64 > LARGEST {
            return Err(FetchError::TooLarge { origin });
        }
        let (lost, pinned) = (origin.clone(), self.pinned);
        let digested = spawn_blocking(move || fetched(bytes, origin, pinned));
        digested
            .await
            .unwrap_or(Err(FetchError::Lost { origin: lost }))
    }

    fn bytes(&self, object: Option<ConfigMap>) -> Result<Bytes, FetchError> {
        let (namespace, name, key) = (self.namespace.clone(), self.name.clone(), self.key.clone());
        let Some(object) = object else {
            return Err(FetchError::NoConfigMap {
                namespace,
                name,
                key,
            });
        };
        let mut entries = object.binary_data.unwrap_or_default();
        if let Some(bytes) = entries.remove(&key) {
            return Ok(bytes.0.into());
        }
        if object.data.is_some_and(|texts| texts.contains_key(&key)) {
            return Err(FetchError::Text {
                namespace,
                name,
                key,
            });
        }
        Err(FetchError::NoEntry {
            namespace,
            name,
            key,
            keys: entries.into_keys().collect(),
        })
    }
}

impl std::fmt::Display for ConfigMapPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConfigMap {}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn entry() -> ConfigMapPlace {
        ConfigMapPlace {
            namespace: "ops".to_owned(),
            name: "modules".to_owned(),
            key: "evc.wasm".to_owned(),
            pinned: None,
        }
    }

    #[tokio::test]
    async fn an_entry_of_binary_data_is_a_module() {
        let bytes = ByteString(b"a".to_vec());
        let object = ConfigMap {
            binary_data: Some([("evc.wasm".to_owned(), bytes)].into()),
            ..ConfigMap::default()
        };
        let module = entry().module(Some(object)).await.unwrap();
        assert_eq!(module.digest, Digest::of(b"a"));
        assert_eq!(module.origin, "ConfigMap ops/modules evc.wasm");
    }

    #[rstest]
    #[case::no_object(
        Value::Null,
        "there is no ConfigMap modules in namespace ops; `kubectl create configmap modules --namespace ops --from-file evc.wasm` makes it"
    )]
    #[case::another_key(
        json!({"binaryData": {"a.wasm": "", "b.wasm": ""}}),
        "has no entry evc.wasm in binaryData, only a.wasm, b.wasm; name one of those"
    )]
    #[case::nothing(json!({}), "only nothing")]
    #[case::text(json!({"data": {"evc.wasm": "a"}}), "is text; a module belongs into binaryData")]
    #[tokio::test]
    async fn what_is_no_module_is_refused_with_the_remedy(
        #[case] object: Value,
        #[case] told: &str,
    ) {
        let object: Option<ConfigMap> = serde_json::from_value(object).unwrap();
        let error = entry().module(object).await.unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

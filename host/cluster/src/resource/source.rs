use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules;

// Optional fields have `schemars(with)` of their type. Without it they would be nullable: the API server would keep a
// null, and `has()` would find it.

/// Where a module comes from: one of `path`, `configMap` and `image`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new(
    "[has(self.path), has(self.configMap), has(self.image)].filter(given, given).size() == 1"
).message("must name one source; give exactly one of path, configMap and image"))]
#[x_kube(validation = Rule::new(
    "has(self.image) || !(has(self.pullSecret) || has(self.plainHttp) || has(self.pollInterval))"
).message("pullSecret, plainHttp and pollInterval are for images only; drop them, or give image"))]
#[serde(rename_all = "camelCase")]
pub struct ModuleSpec {
    /// A file that the host can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 4096))]
    pub path: Option<String>,
    /// An entry of a ConfigMap's binaryData.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ConfigMapEntry")]
    pub config_map: Option<ConfigMapEntry>,
    /// An OCI image: `registry/repository:tag` is looked up again and again,
    /// `registry/repository@sha256:…` is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 512))]
    #[x_kube(validation = Rule::new(
        "self.matches('^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$') && self.matches('/.*[:@]')"
    ).message("must name registry, repository, and tag or digest; write it as registry.example/evc:1 or registry.example/evc@sha256:…"))]
    pub image: Option<String>,
    /// The digest that the module's bytes must have: `sha256:` and 64 of 0-9a-f.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^sha256:[0-9a-f]{64}$')")
        .message("must be sha256: and 64 of 0-9a-f, as `sha256sum` prints them"))]
    pub digest: Option<String>,
    /// A Secret of type kubernetes.io/dockerconfigjson to pull the image with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PullSecret")]
    pub pull_secret: Option<PullSecret>,
    /// Whether the image's registry is spoken to without TLS; false if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub plain_http: Option<bool>,
    /// How often the image's tag is looked up: 1s to 24h; 1m if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 32))]
    #[x_kube(validation = rules::POLL_INTERVAL.duration_rule())]
    pub poll_interval: Option<String>,
}

/// An entry of a ConfigMap's `binaryData`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMapEntry {
    /// The ConfigMap's namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its binaryData.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A Secret of type `kubernetes.io/dockerconfigjson`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullSecret {
    /// The Secret's namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

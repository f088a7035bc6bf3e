use std::collections::BTreeMap;

use handler_host_core::Digest;
use serde::{Deserialize, Serialize};

use crate::RegistryProblem;

/// The media type of an image's manifest.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of the config of a WebAssembly image,
/// <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.
pub(crate) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// The media type of its layer.
pub(crate) const LAYER: &str = "application/wasm";
/// The media types that layers had before that was agreed on.
const OLDER_LAYERS: [&str; 3] = [
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];

/// As far as it matters here, the manifest of an image.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<Descriptor>,
    #[serde(default)]
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// Those of an index, which is no image but names several.
    #[serde(default, skip_serializing)]
    manifests: Option<Vec<serde::de::IgnoredAny>>,
}

/// What a manifest says of a part of the image.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: i64,
}

/// The part of an image that is its module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Descriptor {
    /// Describes bytes with this digest and length.
    pub(crate) fn of(media_type: &str, digest: Digest, size: usize) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: digest.to_string(),
            size: i64::try_from(size).unwrap_or(i64::MAX),
        }
    }
}

impl Manifest {
    /// The manifest of an image that holds one module.
    pub(crate) fn of_module(
        config: Descriptor,
        layer: Descriptor,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: Some(config),
            layers: vec![layer],
            annotations,
            manifests: None,
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, RegistryProblem> {
        serde_json::from_slice(bytes).map_err(|error| garbled(error.to_string()))
    }

    /// The one layer that is a module.
    pub(crate) fn module(&self) -> Result<Found, RegistryProblem> {
        if self.manifests.is_some() {
            return Err(RegistryProblem::Index);
        }
        let is_module = |layer: &&Descriptor| {
            layer.media_type == LAYER || OLDER_LAYERS.contains(&layer.media_type.as_str())
        };
        let modules: Vec<_> = self.layers.iter().filter(is_module).collect();
        match modules.as_slice() {
            [] => Err(RegistryProblem::NoModule {
                found: self
                    .layers
                    .iter()
                    .map(|layer| layer.media_type.clone())
                    .collect(),
            }),
            [layer] => Ok(Found {
                digest: layer
                    .digest
                    .parse()
                    .map_err(|error| garbled(format!("{error}")))?,
                size: u64::try_from(layer.size)
                    .map_err(|_| garbled(format!("a layer of {} bytes", layer.size)))?,
            }),
            several => Err(RegistryProblem::SeveralModules(several.len())),
        }
    }
}

fn garbled(reason: String) -> RegistryProblem {
    RegistryProblem::Garbled {
        what: "its manifest".to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn module(layers: &[&str]) -> Result<Found, RegistryProblem> {
        let layers: Vec<_> = layers
            .iter()
            .map(|media_type| {
                let digest = Digest::of(b"a").to_string();
                json!({"mediaType": media_type, "digest": digest, "size": 1})
            })
            .collect();
        let manifest = json!({"schemaVersion": 2, "layers": layers});
        Manifest::read(manifest.to_string().as_bytes())?.module()
    }

    #[rstest]
    #[case::agreed_on(&[LAYER])]
    #[case::wasm_to_oci(&["application/vnd.wasm.content.layer.v1+wasm"])]
    #[case::solo(&["application/vnd.module.wasm.content.layer.v1+wasm"])]
    #[case::runwasi(&["application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"])]
    #[case::beside_a_readme(&["text/markdown", LAYER])]
    fn a_module_is_found_by_its_media_type(#[case] layers: &[&str]) {
        let digest = Digest::of(b"a");
        assert_eq!(module(layers), Ok(Found { digest, size: 1 }));
    }

    #[rstest]
    #[case::nothing(&[], "it holds no module, only nothing;")]
    #[case::a_container(
        &["application/vnd.oci.image.layer.v1.tar+gzip", "text/plain"],
        "only application/vnd.oci.image.layer.v1.tar+gzip, text/plain; push one with"
    )]
    #[case::two(&[LAYER, LAYER], "it holds 2 modules")]
    fn an_image_without_one_module_is_refused(#[case] layers: &[&str], #[case] told: &str) {
        let error = module(layers).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }

    #[rstest]
    #[case::an_index(json!({"schemaVersion": 2, "manifests": [{"digest": "x"}]}), "it is an index")]
    #[case::a_list(json!([]), "its manifest cannot be read")]
    #[case::a_digest_of_another_kind(
        json!({"schemaVersion": 2, "layers": [{"mediaType": LAYER, "digest": "md5:0", "size": 1}]}),
        "\"md5:0\" is no digest"
    )]
    #[case::less_than_nothing(
        json!({"schemaVersion": 2, "layers": [
            {"mediaType": LAYER, "digest": Digest::of(b"a").to_string(), "size": -1}
        ]}),
        "a layer of -1 bytes"
    )]
    fn a_manifest_that_is_none_is_refused(#[case] manifest: serde_json::Value, #[case] told: &str) {
        let read = Manifest::read(manifest.to_string().as_bytes());
        let error = read.and_then(|manifest| manifest.module()).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

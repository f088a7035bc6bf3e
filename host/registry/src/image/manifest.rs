use std::collections::BTreeMap;

use handler_host_core::Digest;
use serde::{Deserialize, Serialize};

use crate::RegistryProblem;

/// The media type of an image's manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of the config of a WebAssembly image,
/// <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.
pub(super) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// The media type of its layer.
pub(super) const LAYER: &str = "application/wasm";
/// The media types of layers before that layout was agreed on.
const OLDER_LAYERS: [&str; 3] = [
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];

/// The manifest of an image, as far as this crate needs it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) config: Option<Descriptor>,
    #[serde(default)]
    pub(super) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    /// The manifests of an index. An index is not an image, but a list of several.
    #[serde(default, skip_serializing)]
    manifests: Option<Vec<serde::de::IgnoredAny>>,
}

/// What a manifest says about a part of the image.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: i64,
}

/// The layer of an image that is its module.
#[derive(Debug, PartialEq, Eq)]
pub struct ModuleLayer {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has, as the manifest says.
    pub size: u64,
}

/// Finds the one module of an image in the text of its manifest.
///
/// # Errors
///
/// When the text is not the manifest of an image, or the image has no module or several.
pub fn module_layer(manifest: &[u8]) -> Result<ModuleLayer, RegistryProblem> {
    Manifest::read(manifest)?.module()
}

impl Descriptor {
    /// Describes bytes with this digest and length.
    pub(super) fn of(media_type: &str, digest: Digest, size: usize) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: digest.to_string(),
            size: i64::try_from(size).unwrap_or(i64::MAX),
        }
    }
}

impl Manifest {
    /// The manifest of an image that holds one module.
    pub(super) fn of_module(
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

    fn read(bytes: &[u8]) -> Result<Self, RegistryProblem> {
        // The error's own text may quote what came, which may be the answer of another kind of server.
        serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            garbled(format!(
                "it is not that of an image (line {line}, column {column})"
            ))
        })
    }

    /// The one layer that is a module.
    fn module(&self) -> Result<ModuleLayer, RegistryProblem> {
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
            [layer] => Ok(ModuleLayer {
                digest: layer
                    .digest
                    .parse()
                    .map_err(|_| garbled("the digest of its module is no SHA-256".to_owned()))?,
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

    fn module(layers: &[&str]) -> Result<ModuleLayer, RegistryProblem> {
        let layers: Vec<_> = layers
            .iter()
            .map(|media_type| {
                let digest = Digest::of(b"a").to_string();
                json!({"mediaType": media_type, "digest": digest, "size": 1})
            })
            .collect();
        let manifest = json!({"schemaVersion": 2, "layers": layers});
        module_layer(manifest.to_string().as_bytes())
    }

    #[rstest]
    #[case::agreed_on(&[LAYER])]
    #[case::wasm_to_oci(&["application/vnd.wasm.content.layer.v1+wasm"])]
    #[case::solo(&["application/vnd.module.wasm.content.layer.v1+wasm"])]
    #[case::runwasi(&["application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"])]
    #[case::beside_a_readme(&["text/markdown", LAYER])]
    fn a_module_is_found_by_its_media_type(#[case] layers: &[&str]) {
        let digest = Digest::of(b"a");
        assert_eq!(module(layers), Ok(ModuleLayer { digest, size: 1 }));
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
        "the digest of its module is no SHA-256"
    )]
    #[case::less_than_nothing(
        json!({"schemaVersion": 2, "layers": [
            {"mediaType": LAYER, "digest": Digest::of(b"a").to_string(), "size": -1}
        ]}),
        "a layer of -1 bytes"
    )]
    fn what_is_not_the_manifest_of_an_image_is_refused(
        #[case] manifest: serde_json::Value,
        #[case] told: &str,
    ) {
        let error = module_layer(manifest.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

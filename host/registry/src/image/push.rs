use std::collections::BTreeMap;

use bytes::Bytes;
use handler_host_core::Digest;
use oci_spec::distribution::Reference;
use serde::Serialize;
use tokio::time::timeout;

use super::credentials::Credentials;
use super::manifest::{CONFIG, Descriptor, LAYER, Manifest};
use super::reference::parse;
use super::session::{Session, SessionPurpose};
use crate::{Access, PushError, RegistryProblem};

/// How a module is pushed.
#[derive(Clone, Debug, Default)]
pub struct PushOptions {
    /// Whether the registry speaks HTTP without TLS.
    pub is_plain_http: bool,
    /// Annotations of the image, such as `org.opencontainers.image.source`.
    pub annotations: BTreeMap<String, String>,
    /// What the module imports and exports, for readers of the image.
    pub component: ComponentInfo,
    /// The docker config file with the credentials, and the time limits. The client of the cluster is not used.
    pub access: Access,
}

/// What a component imports and exports, as its image states it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ComponentInfo {
    /// The names of its exports.
    pub exports: Vec<String>,
    /// The names of its imports.
    pub imports: Vec<String>,
    /// The world it was built for, such as `handler-host:handler/handler@0.1.0`.
    pub target: Option<String>,
}

/// A module that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The reference that always names this image: `host/repository@sha256:…`.
    pub pinned: String,
    /// The reference that names this image until the tag is moved: `host/repository:tag`.
    pub tagged: String,
    /// The digest of the manifest.
    pub manifest: Digest,
    /// The digest of the module.
    pub module: Digest,
}

/// Makes an image of a module and pushes it, in the layout of the CNCF that `wkg oci` and others read. The
/// same module and options give the same image.
///
/// # Errors
///
/// When the text is not a reference or has a digest, or when the registry does not accept the image.
pub async fn push(
    bytes: impl Into<Bytes>,
    reference: &str,
    options: &PushOptions,
) -> Result<Pushed, PushError> {
    let place = place(reference)?;
    let image = Built::of(bytes.into(), options);
    let whole = options.access.patience.whole;
    let pushed = timeout(whole, image.push(&place, options)).await;
    let refused = |problem| PushError::Image {
        reference: reference.to_owned(),
        problem,
    };
    pushed
        .unwrap_or(Err(RegistryProblem::Slow(whole)))
        .map_err(refused)?;
    let name = format!("{}/{}", place.registry(), place.repository());
    Ok(Pushed {
        pinned: format!("{name}@{}", image.digest),
        tagged: format!("{name}:{}", place.tag().unwrap_or_default()),
        manifest: image.digest,
        module: image.module,
    })
}

fn place(text: &str) -> Result<Reference, PushError> {
    let refused = |reason| PushError::Reference {
        reference: text.to_owned(),
        reason,
    };
    let reference = parse(text).map_err(refused)?;
    match reference.digest() {
        Some(_) => Err(refused(
            "its digest is known only when it was pushed".to_owned(),
        )),
        None => Ok(reference),
    }
}

/// The parts of an image.
struct Built {
    layer: Bytes,
    module: Digest,
    config: Bytes,
    manifest: Bytes,
    digest: Digest,
}

/// The config of an image that holds a module.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageConfig<'a> {
    /// Readers require it. It is a fixed time, so that the same module always gives the same image.
    created: &'static str,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [String; 1],
    component: &'a ComponentInfo,
}

impl Built {
    fn of(layer: Bytes, options: &PushOptions) -> Self {
        let module = Digest::of(&layer);
        let config = json(&ImageConfig {
            created: "1970-01-01T00:00:00Z",
            architecture: "wasm",
            os: "wasip2",
            layer_digests: [module.to_string()],
            component: &options.component,
        });
        let manifest = json(&Manifest::of_module(
            Descriptor::of(CONFIG, Digest::of(&config), config.len()),
            Descriptor::of(LAYER, module, layer.len()),
            options.annotations.clone(),
        ));
        Self {
            digest: Digest::of(&manifest),
            layer,
            module,
            config,
            manifest,
        }
    }

    async fn push(&self, place: &Reference, options: &PushOptions) -> Result<(), RegistryProblem> {
        let access = &options.access;
        let mut session = Session::open(
            place,
            SessionPurpose::Push,
            options.is_plain_http,
            Credentials::of_config_file(place, access).await?,
            &access.patience,
        )?;
        session.greet().await?;
        session.push_blob(self.module, self.layer.clone()).await?;
        let config = Digest::of(&self.config);
        session.push_blob(config, self.config.clone()).await?;
        // The manifest comes last: registries refuse one that names parts which they do not have.
        let tag = place.tag().unwrap_or_default();
        session.push_manifest(tag, self.manifest.clone()).await
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // Structures of texts and numbers always have a JSON form.
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn built(text: &'static str) -> Built {
        let options = PushOptions {
            annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            ..PushOptions::default()
        };
        Built::of(Bytes::from_static(text.as_bytes()), &options)
    }

    #[test]
    fn the_same_module_gives_the_same_image_and_another_one_another() {
        assert_eq!(built("a").digest, built("a").digest);
        assert_ne!(built("a").digest, built("b").digest);
    }

    #[test]
    fn an_image_has_the_layout_that_others_read() {
        let image = built("a");
        let digest = image.module.to_string();
        let config: Value = serde_json::from_slice(&image.config).unwrap();
        assert_eq!(
            config,
            json!({
                "created": "1970-01-01T00:00:00Z",
                "architecture": "wasm",
                "os": "wasip2",
                "layerDigests": [digest],
                "component": {"exports": [], "imports": [], "target": null},
            })
        );
        let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
        assert_eq!(
            manifest,
            json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {
                    "mediaType": "application/vnd.wasm.config.v0+json",
                    "digest": Digest::of(&image.config).to_string(),
                    "size": image.config.len(),
                },
                "layers": [{"mediaType": "application/wasm", "digest": digest, "size": 1}],
                "annotations": {"a": "b"},
            })
        );
    }

    #[rstest]
    #[case::with_a_digest(
        "ghcr.io/acme/evc@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "its digest is known only when it was pushed"
    )]
    #[case::a_url("oci://ghcr.io/acme/evc", "it is a URL")]
    fn a_text_that_names_no_place_is_refused(#[case] text: &str, #[case] reason: &str) {
        let error = place(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(error.ends_with("write host/repository:tag"), "{error}");
    }
}

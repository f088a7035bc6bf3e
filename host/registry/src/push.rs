use std::collections::BTreeMap;

use bytes::Bytes;
use handler_host_core::Digest;
use oci_client::Reference;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use reqwest::header::HeaderValue;
use serde::Serialize;
use tokio::time::timeout;

use crate::image::{
    Authorization, CONFIG, Credentials, Descriptor, LAYER, MANIFEST, Manifest, Session, parse,
    problem_of,
};
use crate::{Access, Patience, PushError, RegistryProblem};

/// How a module is pushed.
#[derive(Clone, Debug, Default)]
pub struct PushOptions {
    /// Whether to speak HTTP without TLS.
    pub is_plain_http: bool,
    /// Annotations of the image, such as `org.opencontainers.image.source`.
    pub annotations: BTreeMap<String, String>,
    /// What the module imports and exports, for those who look at the image.
    pub component: ComponentInfo,
    /// Whose credentials, and how much patience. The cluster is not asked.
    pub access: Access,
}

/// What a component imports and exports, as its image says.
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
    /// What names this image and no other: `host/repository@sha256:…`.
    pub pinned: String,
    /// What names the image until the tag moves on: `host/repository:tag`.
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
/// When the reference has a digest or is none, or the registry does not take the image.
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
struct Config<'a> {
    /// Readers ask for it. A real time would give the same module another image each time.
    created: &'static str,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [String; 1],
    component: &'a ComponentInfo,
}

impl Built {
    fn of(layer: Bytes, options: &PushOptions) -> Self {
        let module = Digest::of(&layer);
        let config = json(&Config {
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

    /// What the manifest names comes before it: registries take no other.
    async fn push(&self, place: &Reference, options: &PushOptions) -> Result<(), RegistryProblem> {
        let access = &options.access;
        let credentials = Credentials::of_config_file(place, access).await?;
        let mut session =
            Session::open(place, options.is_plain_http, credentials, &access.patience)?;
        let auth = match session.authorize_push().await? {
            Authorization::Nobody => RegistryAuth::Anonymous,
            Authorization::Basic { name, password } => RegistryAuth::Basic(name, password),
            Authorization::Bearer(token) => RegistryAuth::Bearer(token),
        };
        let client = client(options.is_plain_http, &access.patience)?;
        let registry = place.resolve_registry();
        client.store_auth_if_needed(registry, &auth).await;
        let told = |error| told(&error, &session, &access.patience);
        for part in [&self.layer, &self.config] {
            let digest = Digest::of(part).to_string();
            if !client.blob_exists(place, &digest).await.map_err(told)? {
                let pushed = client.push_blob(place, part.clone(), &digest).await;
                pushed.map_err(told)?;
            }
        }
        let pushed = client.push_manifest_raw(
            place,
            self.manifest.clone(),
            HeaderValue::from_static(MANIFEST),
        );
        pushed.await.map(drop).map_err(told)
    }
}

fn client(is_plain_http: bool, patience: &Patience) -> Result<oci_client::Client, RegistryProblem> {
    let config = ClientConfig {
        protocol: match is_plain_http {
            true => ClientProtocol::Http,
            false => ClientProtocol::Https,
        },
        connect_timeout: Some(patience.connect),
        // An answer to an upload begins only when all of it is up.
        read_timeout: Some(patience.idle * 4),
        user_agent: crate::image::USER_AGENT,
        extra_root_certificates: crate::image::authorities(),
        ..ClientConfig::default()
    };
    oci_client::Client::try_from(config).map_err(|error| RegistryProblem::NoTls(error.to_string()))
}

/// What an error of an upload means.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's many ways not to follow a specification"
)]
fn told(error: &OciDistributionError, session: &Session, patience: &Patience) -> RegistryProblem {
    let answer = |code, message: &str| match code {
        401 | 403 => session.refusal(),
        _ => RegistryProblem::Answer {
            code,
            what: "the upload".to_owned(),
            message: message.lines().next().unwrap_or_default().to_owned(),
        },
    };
    match error {
        OciDistributionError::RequestError(error) => match error.status() {
            Some(status) => answer(status.as_u16(), &status.to_string()),
            None => problem_of(error, patience),
        },
        OciDistributionError::ServerError { code, message, .. } => answer(*code, message),
        OciDistributionError::AuthenticationFailure(_)
        | OciDistributionError::UnauthorizedError { .. } => session.refusal(),
        other => RegistryProblem::Garbled {
            what: "the registry's answer to the upload".to_owned(),
            reason: other.to_string(),
        },
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // Plain structures of texts and numbers always have a JSON form.
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
    fn what_names_no_place_is_refused(#[case] text: &str, #[case] reason: &str) {
        let error = place(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(error.ends_with("write host/repository:tag"), "{error}");
    }
}

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use oci_spec::distribution::Reference;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::keyring::Keyring;
use crate::file::{read_text, reason};
use crate::kube_problem::kube_problem;
use crate::{Access, FetchError, RegistryProblem};

/// The largest docker config file that is read.
const LARGEST_CONFIG: u64 = 1 << 20;
/// The entry of a Secret of type `kubernetes.io/dockerconfigjson`.
const ENTRY: &str = ".dockerconfigjson";
/// The entry of a Secret of type `kubernetes.io/dockercfg`, which came before.
const OLD_ENTRY: &str = ".dockercfg";

/// The credentials for one registry, and where they were found.
pub(super) struct Credentials {
    pub(super) login: RegistryLogin,
    /// The registry that they are for.
    registry: String,
    /// Where they were found or looked for, for people.
    place: String,
}

/// How this host identifies itself to a registry.
pub(super) enum RegistryLogin {
    Anonymous,
    Password {
        name: String,
        password: String,
    },
    /// What `docker login` keeps for some registries instead of a password.
    IdentityToken(String),
}

impl Credentials {
    /// The credentials in a docker config file, or those of the helpers that it names.
    pub(super) async fn of_config_file(
        reference: &Reference,
        access: &Access,
    ) -> Result<Self, RegistryProblem> {
        let found = |login, place| Self {
            login,
            registry: reference.registry().to_owned(),
            place,
        };
        let path = access.docker_config.clone().or_else(default_path);
        let Some(path) = path else {
            let place = "the docker config file".to_owned();
            return Ok(found(RegistryLogin::Anonymous, place));
        };
        let server = server(reference);
        let place = path.display().to_string();
        // A helper is a program, so this blocks.
        let login = spawn_blocking(move || of_file(&path, &server)).await;
        let login = login.unwrap_or_else(|_| Err("the thread that reads them failed".to_owned()));
        match login {
            Ok(login) => Ok(found(login, place)),
            Err(reason) => Err(RegistryProblem::Credentials { place, reason }),
        }
    }

    /// The credentials in a Secret.
    pub(super) async fn of_secret(
        (namespace, name): &(String, String),
        reference: &Reference,
        access: &Access,
    ) -> Result<Self, FetchError> {
        let place = format!("Secret {namespace}/{name}");
        let what = place.clone();
        let Some(client) = access.client.clone() else {
            return Err(FetchError::NoCluster { what });
        };
        let refused = |problem| FetchError::Cluster {
            what: what.clone(),
            problem,
        };
        let api = Api::<Secret>::namespaced(client, namespace);
        let secret = api.get(name).await;
        let secret = secret.map_err(|error| refused(kube_problem(&error)))?;
        let mut entries = secret.data.unwrap_or_default();
        let config = entries.remove(ENTRY);
        let Some(config) = config.or_else(|| entries.remove(OLD_ENTRY)) else {
            let remedy = "make it with `kubectl create secret docker-registry`";
            return Err(refused(format!("it has no entry {ENTRY}; {remedy}")));
        };
        Ok(Self {
            login: of_auths(&config.0, reference.registry(), reference.repository())
                .map_err(refused)?,
            registry: reference.registry().to_owned(),
            place,
        })
    }

    /// Why these credentials do not go to the place where the registry gives tokens.
    pub(super) fn withheld(&self, realm: String) -> RegistryProblem {
        RegistryProblem::Realm {
            realm,
            registry: self.registry.clone(),
            place: self.place.clone(),
        }
    }

    /// Why the registry does not accept a request with these credentials.
    pub(super) fn refusal(&self) -> RegistryProblem {
        let (registry, place) = (self.registry.clone(), self.place.clone());
        match self.login {
            RegistryLogin::Anonymous => RegistryProblem::NoCredentials { registry, place },
            RegistryLogin::Password { .. } | RegistryLogin::IdentityToken(_) => {
                RegistryProblem::WrongCredentials { registry, place }
            }
        }
    }
}

fn default_path() -> Option<PathBuf> {
    let directory = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    Some(directory.or_else(home)?.join("config.json"))
}

/// The name under which docker keeps the credentials of an image's registry.
fn server(reference: &Reference) -> String {
    match reference.registry() {
        "docker.io" => "https://index.docker.io/v1/".to_owned(),
        registry => registry.to_owned(),
    }
}

fn of_file(path: &Path, server: &str) -> Result<RegistryLogin, String> {
    match read_text(path, LARGEST_CONFIG) {
        Ok(config) => find(config.as_bytes(), server),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(RegistryLogin::Anonymous),
        Err(error) => Err(reason(&error)),
    }
}

/// Reads only what the config itself holds, as the kubelet does. A Secret must not name programs that run on this host.
fn of_auths(config: &[u8], registry: &str, repository: &str) -> Result<RegistryLogin, String> {
    let config: Value =
        serde_json::from_slice(config).map_err(|_| format!("its entry {ENTRY} is not JSON"))?;
    // The older entry holds the auths themselves.
    let auths = config.get("auths").unwrap_or(&config);
    Keyring::of(auths).login(registry, repository)
}

/// The text of the field `auth` of a docker config.
pub(super) fn decoded(auth: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(auth)
        .ok()?;
    String::from_utf8(bytes).ok()
}

fn find(config: &[u8], server: &str) -> Result<RegistryLogin, String> {
    match docker_credential::get_credential_from_reader(config, server) {
        Ok(DockerCredential::UsernamePassword(name, password)) => {
            Ok(RegistryLogin::Password { name, password })
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(RegistryLogin::IdentityToken(token)),
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound,
        ) => Ok(RegistryLogin::Anonymous),
        // Docker's own helpers say this when they have no credentials.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. })
            if stdout.contains("credentials not found") =>
        {
            Ok(RegistryLogin::Anonymous)
        }
        Err(CredentialRetrievalError::HelperFailure { helper, stderr, .. }) => {
            let line = stderr.lines().next().unwrap_or_default().to_owned();
            Err(format!("{helper} failed: {line}"))
        }
        Err(CredentialRetrievalError::HelperCommunicationError) => {
            Err("the credential helper that it names cannot be run; install it, or drop it from the file".to_owned())
        }
        Err(CredentialRetrievalError::ConfigReadError) => {
            Err("it is not a docker config in JSON; `docker login` writes one".to_owned())
        }
        Err(error) => Err(format!("{error}; `docker login` writes it again")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn told(found: Result<RegistryLogin, String>) -> String {
        match found {
            Ok(RegistryLogin::Anonymous) => "anonymous".to_owned(),
            Ok(RegistryLogin::Password { name, password }) => format!("{name}:{password}"),
            Ok(RegistryLogin::IdentityToken(token)) => format!("token {token}"),
            Err(reason) => reason,
        }
    }

    #[rstest]
    // me:secret
    #[case::a_login(json!({"auths": {"reg:5000": {"auth": "bWU6c2VjcmV0"}}}), "me:secret")]
    #[case::by_url(json!({"auths": {"https://reg:5000/v1/": {"auth": "bWU6c2VjcmV0"}}}), "me:secret")]
    #[case::a_token(json!({"auths": {"reg:5000": {"identitytoken": "t"}}}), "token t")]
    #[case::somewhere_else(json!({"auths": {"other": {"auth": "bWU6c2VjcmV0"}}}), "anonymous")]
    #[case::nothing(json!({}), "anonymous")]
    #[case::garbled(json!({"auths": {"reg:5000": {"auth": "%"}}}), "Unable to decode credential; `docker login` writes it again")]
    fn credentials_are_found_by_registry(#[case] config: Value, #[case] expected: &str) {
        let config = config.to_string();
        assert_eq!(told(find(config.as_bytes(), "reg:5000")), expected);
    }

    #[test]
    fn a_secret_cannot_name_a_program() {
        let config = json!({"credsStore": "none", "credHelpers": {"reg": "none"}}).to_string();
        assert_eq!(told(of_auths(config.as_bytes(), "reg", "a")), "anonymous");
        let told = told(find(config.as_bytes(), "reg"));
        assert!(told.contains("cannot be run"), "{told}");
    }

    #[test]
    fn a_missing_file_means_no_credentials_and_a_broken_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        assert_eq!(told(of_file(&path, "reg")), "anonymous");
        fs::write(&path, "{").unwrap();
        let told = told(of_file(&path, "reg"));
        assert!(told.contains("not a docker config in JSON"), "{told}");
    }
}

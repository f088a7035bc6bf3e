use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use oci_client::Reference;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::config_map::kube_problem;
use crate::{Access, FetchError, RegistryProblem};

/// The entry of a Secret of type `kubernetes.io/dockerconfigjson`.
const ENTRY: &str = ".dockerconfigjson";

/// Who asks a registry, and where that is written.
pub(crate) struct Credentials {
    pub(crate) who: Who,
    /// For people.
    pub(crate) place: String,
}

/// Who asks a registry.
pub(crate) enum Who {
    Nobody,
    User {
        name: String,
        password: String,
    },
    /// What `docker login` keeps of some registries instead of a password.
    Token(String),
}

impl Credentials {
    /// Those of a docker config file or of the helpers that it names.
    pub(crate) async fn of_config_file(
        reference: &Reference,
        access: &Access,
    ) -> Result<Self, RegistryProblem> {
        let path = access.docker_config.clone().or_else(default_path);
        let Some(path) = path else {
            return Ok(Self::nobody("the docker config file"));
        };
        let server = server(reference);
        let place = path.display().to_string();
        // Helpers are programs.
        let found = spawn_blocking(move || of_file(&path, &server)).await;
        let failed = |reason| RegistryProblem::Credentials {
            place: place.clone(),
            reason,
        };
        let found = found.unwrap_or_else(|_| Err("the thread that reads them failed".to_owned()));
        let who = found.map_err(failed)?;
        Ok(Self { who, place })
    }

    /// Those of a Secret.
    pub(crate) async fn of_secret(
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
        let Some(config) = entries.remove(ENTRY) else {
            let remedy = "make it with `kubectl create secret docker-registry`";
            return Err(refused(format!("it has no entry {ENTRY}; {remedy}")));
        };
        let who = of_auths(&config.0, &server(reference)).map_err(refused)?;
        Ok(Self { who, place })
    }

    fn nobody(place: &str) -> Self {
        Self {
            who: Who::Nobody,
            place: place.to_owned(),
        }
    }
}

fn default_path() -> Option<PathBuf> {
    let directory = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    Some(directory.or_else(home)?.join("config.json"))
}

/// By which name credentials of the image's registry are kept.
fn server(reference: &Reference) -> String {
    match reference.registry() {
        "docker.io" => "https://index.docker.io/v1/".to_owned(),
        registry => registry.to_owned(),
    }
}

fn of_file(path: &Path, server: &str) -> Result<Who, String> {
    match fs::read(path) {
        Ok(config) => find(&config, server),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Who::Nobody),
        Err(error) => Err(crate::file::reason(&error)),
    }
}

/// Only what the config itself holds: a Secret must not name programs to run.
fn of_auths(config: &[u8], server: &str) -> Result<Who, String> {
    let config: Value =
        serde_json::from_slice(config).map_err(|_| format!("its entry {ENTRY} is no JSON"))?;
    let auths = json!({ "auths": config["auths"] });
    find(auths.to_string().as_bytes(), server)
}

fn find(config: &[u8], server: &str) -> Result<Who, String> {
    match docker_credential::get_credential_from_reader(config, server) {
        Ok(DockerCredential::UsernamePassword(name, password)) => {
            Ok(Who::User { name, password })
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Who::Token(token)),
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound,
        ) => Ok(Who::Nobody),
        // What docker's own helpers say when they have none.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. })
            if stdout.contains("credentials not found") =>
        {
            Ok(Who::Nobody)
        }
        Err(CredentialRetrievalError::HelperFailure { helper, stderr, .. }) => {
            let line = stderr.lines().next().unwrap_or_default().to_owned();
            Err(format!("{helper} failed: {line}"))
        }
        Err(CredentialRetrievalError::HelperCommunicationError) => {
            Err("the credential helper that it names cannot be run; install it, or drop it from the file".to_owned())
        }
        Err(CredentialRetrievalError::ConfigReadError) => {
            Err("it is no docker config in JSON; `docker login` writes one".to_owned())
        }
        Err(error) => Err(format!("{error}; `docker login` writes it anew")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn told(found: Result<Who, String>) -> String {
        match found {
            Ok(Who::Nobody) => "nobody".to_owned(),
            Ok(Who::User { name, password }) => format!("{name}:{password}"),
            Ok(Who::Token(token)) => format!("token {token}"),
            Err(reason) => reason,
        }
    }

    #[rstest]
    // me:secret
    #[case::a_login(json!({"auths": {"reg:5000": {"auth": "bWU6c2VjcmV0"}}}), "me:secret")]
    #[case::by_url(json!({"auths": {"https://reg:5000/v1/": {"auth": "bWU6c2VjcmV0"}}}), "me:secret")]
    #[case::a_token(json!({"auths": {"reg:5000": {"identitytoken": "t"}}}), "token t")]
    #[case::somewhere_else(json!({"auths": {"other": {"auth": "bWU6c2VjcmV0"}}}), "nobody")]
    #[case::nothing(json!({}), "nobody")]
    #[case::garbled(json!({"auths": {"reg:5000": {"auth": "%"}}}), "Unable to decode credential; `docker login` writes it anew")]
    fn credentials_are_found_by_registry(#[case] config: Value, #[case] expected: &str) {
        let config = config.to_string();
        assert_eq!(told(find(config.as_bytes(), "reg:5000")), expected);
        assert_eq!(told(of_auths(config.as_bytes(), "reg:5000")), expected);
    }

    #[test]
    fn a_secret_cannot_name_a_program() {
        let config = json!({"credsStore": "none", "credHelpers": {"reg": "none"}}).to_string();
        assert_eq!(told(of_auths(config.as_bytes(), "reg")), "nobody");
        let told = told(find(config.as_bytes(), "reg"));
        assert!(told.contains("cannot be run"), "{told}");
    }

    #[test]
    fn a_missing_file_is_nobody_and_a_broken_one_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        assert_eq!(told(of_file(&path, "reg")), "nobody");
        fs::write(&path, "{").unwrap();
        let told = told(of_file(&path, "reg"));
        assert!(told.contains("no docker config in JSON"), "{told}");
    }
}

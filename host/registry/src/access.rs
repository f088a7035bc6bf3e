use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use kube::Client;

/// What fetching a module needs: a client of the cluster, credentials, and time limits.
#[derive(Clone, Default)]
pub struct Access {
    /// Reads ConfigMaps and pull secrets. If it is None, neither can be read.
    pub client: Option<Client>,
    /// A docker config file with credentials for registries. If it is None, it is `config.json` in
    /// `$DOCKER_CONFIG` or in `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// A directory with space for a module that is being pulled. Without one, it is that of the system for temporary files.
    pub scratch: Option<PathBuf>,
    /// The time limits.
    pub patience: Patience,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection to a registry, including its TLS handshake; 10 s by default.
    pub connect: Duration,
    /// For the next bytes of a registry, and for the first answer about a ConfigMap that is followed; 30 s by
    /// default.
    pub idle: Duration,
    /// For a whole fetch or push; 5 min by default.
    pub whole: Duration,
    /// How long ago the last write to a file must be before it is read; 100 ms by default.
    pub quiet: Duration,
    /// The time after which a file is checked though no change of it was reported; 10 s by default.
    pub look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            whole: Duration::from_secs(300),
            quiet: Duration::from_millis(100),
            look: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("has_client", &self.client.is_some())
            .field("docker_config", &self.docker_config)
            .field("scratch", &self.scratch)
            .field("patience", &self.patience)
            .finish()
    }
}

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use kube::Client;

/// With what a module is fetched: whose eyes, whose credentials, how much patience.
#[derive(Clone, Default)]
pub struct Access {
    /// Reads ConfigMaps and pull secrets. None: neither can be read.
    pub client: Option<Client>,
    /// A docker config file with credentials of registries. None: `config.json` in `$DOCKER_CONFIG`, or in
    /// `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// How long to wait for what.
    pub patience: Patience,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection to a registry, its TLS handshake included; 10 s by default.
    pub connect: Duration,
    /// For the next bytes of a registry, or a ConfigMap that is followed; 30 s by default.
    pub idle: Duration,
    /// For a whole fetch; 5 min by default.
    pub whole: Duration,
    /// A file must not have been written to for so long before it is read; 100 ms by default.
    pub quiet: Duration,
    /// How often a file is looked at though nothing was heard of it; 10 s by default.
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
            .field("patience", &self.patience)
            .finish()
    }
}

use std::path::{Path, PathBuf};

use handler_host_cluster::resource::{Handler, SettingsError};
use handler_host_core::Settings;

use super::modules::LoadedModule;
use super::rights::quoted;

/// Where handlers are declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HandlerOrigin {
    /// By `--module`: one handler, and what is wrong with it ends the host.
    Module {
        /// The arguments with which `handler-host rbac` prints what it needs.
        rbac_arguments: String,
    },
    /// By Handlers in files or directories of these paths. The log says how they stand.
    Files(Vec<PathBuf>),
    /// By Handlers in the cluster. Their status says how they stand.
    Cluster,
}

/// A handler as it is declared.
#[derive(Clone)]
pub(crate) struct DeclaredHandler {
    pub(crate) name: String,
    /// Of a Handler in the cluster.
    pub(crate) uid: Option<String>,
    pub(crate) generation: Option<i64>,
    pub(crate) settings: Result<Settings, SettingsError>,
    /// Whether it is being deleted.
    pub(crate) is_deleting: bool,
    /// The Handler, where it is in the cluster.
    pub(crate) resource: Option<Box<Handler>>,
    /// Modules that are loaded already.
    pub(crate) preloaded: Vec<LoadedModule>,
}

impl HandlerOrigin {
    /// The arguments with which `handler-host rbac` prints what a handler needs.
    pub(super) fn rbac_arguments(&self, name: &str) -> String {
        match self {
            Self::Module { rbac_arguments } => rbac_arguments.clone(),
            Self::Cluster => format!("--handler {name}"),
            Self::Files(paths) => {
                let paths = paths.iter().map(|path| quoted(&like_a_path(path)));
                format!("--handler {}", paths.collect::<Vec<_>>().join(" "))
            }
        }
    }
}

impl DeclaredHandler {
    /// By a Handler.
    pub(super) fn of(handler: Handler, origin: &HandlerOrigin) -> Self {
        let metadata = &handler.metadata;
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone(),
            generation: metadata.generation,
            settings: Settings::try_from(&handler),
            is_deleting: metadata.deletion_timestamp.is_some(),
            resource: match origin {
                HandlerOrigin::Cluster => Some(Box::new(handler)),
                HandlerOrigin::Files(_) | HandlerOrigin::Module { .. } => None,
            },
            preloaded: Vec::new(),
        }
    }

    /// Whether nothing changed that a handler is served by. Its status is written by a host.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.uid == other.uid
            && self.generation == other.generation
    }
}

/// The path as `rbac` takes it for one: a word without a dot or slash is the name of a Handler in the cluster.
fn like_a_path(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains(['.', '/']) {
        text
    } else {
        format!("./{text}")
    }
}

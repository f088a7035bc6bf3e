//! The manifests of `host/deploy`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{ControlPlane, kubectl, paths};

/// Applies the base to the shared control plane, once. No controller makes Pods there; the account of the host and
/// its rights are what counts. Panics if it cannot be applied.
pub async fn deployed() {
    static DEPLOYED: OnceCell<()> = OnceCell::const_new();
    let deploy = async || {
        let base = paths::workspace().join("host/deploy/base");
        let base = base.display().to_string();
        let told = kubectl(ControlPlane::shared().await, &["apply", "-k", &base], "").await;
        assert_eq!(told.code, Some(0), "{}", told.stderr);
    };
    DEPLOYED.get_or_init(deploy).await;
}

/// A copy of what the worked example is applied from, with its module where it says to put it.
pub struct Example(TempDir);

impl Example {
    /// With the module that is built. Panics if there is none.
    pub fn checkout() -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory: {error}"));
        for part in ["host/deploy", "guest-evc"] {
            let to = directory.path().join(part);
            let copied = copy(&paths::workspace().join(part), &to);
            copied.unwrap_or_else(|error| panic!("cannot copy {part}: {error}"));
        }
        let example = Self(directory);
        let module = paths::guest("evc").unwrap_or_else(|error| panic!("{error:#}"));
        let module = fs::read(&module);
        example.put(&module.unwrap_or_else(|error| panic!("no module: {error}")));
        example
    }

    /// What `kubectl apply -k` is given.
    pub fn overlay(&self) -> PathBuf {
        self.0.path().join("host/deploy/overlays/evc")
    }

    /// Puts another module there.
    pub fn put(&self, module: &[u8]) {
        let written = fs::write(self.overlay().join("evc.wasm"), module);
        written.unwrap_or_else(|error| panic!("cannot write the module: {error}"));
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

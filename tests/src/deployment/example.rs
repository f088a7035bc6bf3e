//! The manifests of the worked example.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::paths;

/// A copy of the directories that the worked example is applied from. The module is in the file that the manifests
/// name.
pub struct ExampleManifests(TempDir);

impl ExampleManifests {
    /// Copies the manifests of this checkout, with the guest as it is built. Panics if the guest is not built.
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

    /// The directory for `kubectl apply -k`.
    pub fn overlay(&self) -> PathBuf {
        self.0.path().join("host/deploy/overlays/evc")
    }

    /// Replaces the module.
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

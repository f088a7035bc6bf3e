//! The paths of binaries, guests and manifests.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The programs of a control plane.
const ASSETS: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kubectl",
];

/// The directory of this checkout.
pub fn workspace() -> PathBuf {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_directory
        .parent()
        .unwrap_or(crate_directory)
        .to_path_buf()
}

/// The target directory of Cargo.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// A binary of this workspace. Cargo built it with the profile of the running binary.
pub fn binary(name: &str) -> Result<PathBuf> {
    let running = env::current_exe().context("cannot tell where the running binary is")?;
    let mut directory = running.parent().unwrap_or(Path::new("/"));
    if directory.ends_with("deps") {
        directory = directory.parent().unwrap_or(directory);
    }
    let path = directory.join(name);
    if !path.is_file() {
        bail!(
            "{} is missing: the suites run the real `{name}`; build it with `cargo build --bin {name}`, or run `just test`",
            path.display()
        );
    }
    Ok(path)
}

/// The `handler-host` under test. It is the file that HANDLER_HOST_BINARY names, or else the binary of this workspace.
pub fn handler_host() -> Result<PathBuf> {
    match env::var_os("HANDLER_HOST_BINARY") {
        Some(path) => Ok(PathBuf::from(path)),
        None => binary("handler-host"),
    }
}

/// The module of a guest, where `just build-guest` puts it.
pub fn guest(name: &str) -> Result<PathBuf> {
    let path = target().join("guests").join(name).with_extension("wasm");
    if !path.is_file() {
        bail!(
            "{} is missing: guests are built before the suites run; run `just build-guest`",
            path.display()
        );
    }
    Ok(path)
}

/// The directory of etcd, kube-apiserver, kube-controller-manager and kubectl.
pub fn assets() -> Result<PathBuf> {
    let directory = env::var_os("KUBEBUILDER_ASSETS")
        .filter(|value| !value.is_empty())
        .map_or_else(|| target().join("kubebuilder-assets"), PathBuf::from);
    for name in ASSETS {
        if !directory.join(name).is_file() {
            bail!(
                "{} is missing: a control plane needs {}; run `just control-plane`, or set KUBEBUILDER_ASSETS to a directory that has them",
                directory.join(name).display(),
                ASSETS.join(", ")
            );
        }
    }
    Ok(directory)
}

/// The image registry, which is in the directory of the control plane.
pub fn registry() -> Result<PathBuf> {
    let path = assets()?.join("registry");
    if !path.is_file() {
        bail!(
            "{} is missing: the suites push images to a real registry; run `just control-plane`, or put it there",
            path.display()
        );
    }
    Ok(path)
}

/// The directory of kubelet, kube-scheduler, kube-proxy, and the images of the Pods of this project.
pub fn node() -> Result<PathBuf> {
    let directory = target().join("node");
    if !directory.join("images").is_dir() {
        bail!(
            "{} is missing: a node needs kubelet, kube-scheduler and kube-proxy; run `just e2e`, or tests/node/build",
            directory.join("images").display()
        );
    }
    Ok(directory)
}

/// The files of the CRDs that the shared control plane has.
pub fn crds() -> [PathBuf; 3] {
    [
        handler_crd(),
        workspace().join("guest-evc/crd.yaml"),
        workspace().join("tests/guests/puppet/crd.yaml"),
    ]
}

/// The file of the CRD of Handlers, as `handler-host crd` prints it.
pub fn handler_crd() -> PathBuf {
    workspace().join("host/deploy/base/crd.yaml")
}

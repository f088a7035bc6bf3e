//! Images for the Pods of a node.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::programs::child;

/// The socket of containerd, as in tests/node/config.
pub(crate) const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// Imports the image of an OCI layout into containerd, for Pods that ask for `name`. No registry is needed.
///
/// An annotation of the manifest in the layout's index carries the name. `ctr --index-name` would name the
/// index instead, which containerd's garbage collector may remove before it has its name.
pub(crate) async fn import(layout: &Path, name: &str) -> Result<()> {
    let directory = tempfile::tempdir().context("cannot create a temporary directory")?;
    let index = layout.join("index.json");
    let index = fs::read(&index).with_context(|| format!("cannot read {}", index.display()))?;
    let mut index: Value = serde_json::from_slice(&index)?;
    index["manifests"][0]["annotations"]["io.containerd.image.name"] = name.into();
    fs::write(directory.path().join("index.json"), index.to_string())?;
    let archive = directory.path().join("image.tar").display().to_string();
    let (from, named) = (
        layout.display().to_string(),
        directory.path().display().to_string(),
    );
    let tar = ["--create", "--file", &archive, "--directory", &from];
    let rest = ["oci-layout", "blobs", "--directory", &named, "index.json"];
    run("tar", &[&tar[..], &rest].concat()).await?;
    let whose = ["--address", CONTAINERD, "--namespace", "k8s.io"];
    run(
        "ctr",
        &[&whose[..], &["images", "import", &archive]].concat(),
    )
    .await
}

async fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = child::command(Path::new(program))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!(
            "`{program} {}` ended with {}: {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

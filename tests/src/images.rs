//! Images brought to the node's containerd.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::child;

/// containerd's socket, as tests/node/config says.
pub(crate) const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// Imports the image of an OCI layout for Pods that ask for `name`. No registry is asked.
///
/// The name goes by the annotation of the layout's entry. `ctr --index-name` would name the layout's index instead,
/// which containerd writes where its garbage collector may find it before it is named.
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

//! Images brought to the node's containerd.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::child;

/// containerd's socket, as tests/node/config says.
pub(crate) const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// Imports the image of an OCI layout for Pods that ask for `name`. No registry is asked.
pub(crate) async fn import(layout: &Path, name: &str) -> Result<()> {
    let archive = tempfile::NamedTempFile::new().context("cannot create a temporary file")?;
    let (layout, archive) = (
        layout.display().to_string(),
        archive.path().display().to_string(),
    );
    run(
        "tar",
        &["--create", "--file", &archive, "--directory", &layout, "."],
    )
    .await?;
    let import = ["images", "import", "--index-name", name, &archive];
    let whose = ["--address", CONTAINERD, "--namespace", "k8s.io"];
    run("ctr", &[&whose[..], &import].concat()).await
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

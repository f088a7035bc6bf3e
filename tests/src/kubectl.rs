//! kubectl, as a user types it.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

use crate::{ControlPlane, Identity, Output, child, paths};

/// Runs kubectl as the administrator of a control plane, with this standard input.
pub async fn kubectl(control_plane: &ControlPlane, arguments: &[&str], input: &str) -> Output {
    let run = async {
        // Else it would keep what one control plane serves for the next at the same port.
        let cache = tempfile::tempdir()?;
        let mut kubectl = child::command(&paths::assets()?.join("kubectl"))
            .args(arguments)
            .env("KUBECONFIG", control_plane.kubeconfig(Identity::Admin))
            .env("KUBECACHEDIR", cache.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = kubectl.stdin.take() {
            // One that ends without reading its input has said why on stderr.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = kubectl.wait_with_output().await?;
        anyhow::Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    };
    run.await
        .unwrap_or_else(|error| panic!("cannot run kubectl {}: {error:#}", arguments.join(" ")))
}

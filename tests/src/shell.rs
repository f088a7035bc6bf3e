//! Command lines as a user types them, with `handler-host` and `kubectl` at hand.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

use crate::control_plane::ControlPlane;
use crate::handler_host::Output;
use crate::identity::Identity;
use crate::{child, paths};

const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a command line in a shell, as one of the users of the control plane.
pub async fn shell(line: &str, identity: Identity) -> Output {
    let kubeconfig = ControlPlane::shared().await.kubeconfig(identity);
    let cache = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory: {error}"));
    let child = child::command(Path::new("sh"))
        .args(["-c", line])
        .env("PATH", search_path())
        .env("KUBECONFIG", kubeconfig)
        .env("KUBECACHEDIR", cache.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start a shell: {error}"));
    match timeout(DEADLINE, child.wait_with_output()).await {
        Ok(Ok(output)) => Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Ok(Err(error)) => panic!("cannot wait for `{line}`: {error}"),
        Err(_) => panic!("`{line}` did not end within {DEADLINE:?}"),
    }
}

/// Runs the command that a message names as its remedy, behind `grant it: `, as the administrator.
pub async fn follow_advice(message: &str) {
    let end = "kubectl apply -f -";
    let advice = message.split_once("grant it: ").map(|(_, advice)| advice);
    // In a line of the log more follows.
    let Some((command, _)) = advice.and_then(|advice| advice.split_once(end)) else {
        panic!("no command in {message:?}");
    };
    let command = &format!("{command}{end}");
    let output = shell(command, Identity::Admin).await;
    assert_eq!(output.code, Some(0), "{command}\n{}", output.stderr);
}

fn search_path() -> OsString {
    let host = paths::handler_host().unwrap_or_else(|error| panic!("{error:#}"));
    let assets = paths::assets().unwrap_or_else(|error| panic!("{error:#}"));
    let inherited = env::var_os("PATH").unwrap_or_default();
    let first = [host.parent().map(ToOwned::to_owned), Some(assets)];
    let all = first
        .into_iter()
        .flatten()
        .chain(env::split_paths(&inherited));
    env::join_paths(all).unwrap_or_else(|error| panic!("no PATH: {error}"))
}

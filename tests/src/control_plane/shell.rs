//! Command lines that a shell runs, with `handler-host` and `kubectl` on the PATH.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use super::shared::ControlPlane;
use crate::accounts::TestAccount;
use crate::paths;
use crate::programs::handler_host::{Output, run};

/// Runs a command line in a shell, as one of the users of the shared control plane.
pub async fn shell(line: &str, account: TestAccount) -> Output {
    let kubeconfig = ControlPlane::shared().await.kubeconfig(account);
    let cache = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory: {error}"));
    let environment = [
        ("PATH", search_path()),
        ("KUBECONFIG", kubeconfig.into_os_string()),
        ("KUBECACHEDIR", cache.path().as_os_str().to_owned()),
    ];
    run(Path::new("sh"), ["-c", line], &environment, "").await
}

/// Runs, as the administrator, the command that stands behind `grant it: ` in a message. Panics if there is none,
/// or if it fails.
pub async fn follow_advice(message: &str) {
    let end = "kubectl apply -f -";
    let advice = message.split_once("grant it: ").map(|(_, advice)| advice);
    // In a line of the log, more text follows the command.
    let Some((command, _)) = advice.and_then(|advice| advice.split_once(end)) else {
        panic!("no command in {message:?}");
    };
    let command = &format!("{command}{end}");
    let output = shell(command, TestAccount::Admin).await;
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

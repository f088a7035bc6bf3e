//! Runs of kubectl.

use std::ffi::OsStr;

use super::shared::ControlPlane;
use crate::accounts::TestAccount;
use crate::paths;
use crate::programs::handler_host::{Output, run};

/// Runs kubectl as the administrator of a control plane, with this standard input.
pub async fn kubectl<S: AsRef<OsStr>>(
    control_plane: &ControlPlane,
    arguments: impl IntoIterator<Item = S>,
    input: &str,
) -> Output {
    let assets = paths::assets().unwrap_or_else(|error| panic!("{error:#}"));
    // A new cache for each run: kubectl keeps the kinds of a server by its address, and another control plane may
    // have had that address.
    let cache = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory: {error}"));
    let environment = [
        ("KUBECONFIG", control_plane.kubeconfig(TestAccount::Admin)),
        ("KUBECACHEDIR", cache.path().to_owned()),
    ];
    run(&assets.join("kubectl"), arguments, &environment, input).await
}

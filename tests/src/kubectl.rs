//! kubectl, as a user types it.

use std::ffi::OsStr;

use crate::handler_host::run;
use crate::{ControlPlane, Identity, Output, paths};

/// Runs kubectl as the administrator of a control plane, with this standard input.
pub async fn kubectl<S: AsRef<OsStr>>(
    control_plane: &ControlPlane,
    arguments: impl IntoIterator<Item = S>,
    input: &str,
) -> Output {
    let assets = paths::assets().unwrap_or_else(|error| panic!("{error:#}"));
    // Else it would keep what one control plane serves for the next at the same port.
    let cache = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory: {error}"));
    let environment = [
        ("KUBECONFIG", control_plane.kubeconfig(Identity::Admin)),
        ("KUBECACHEDIR", cache.path().to_owned()),
    ];
    run(&assets.join("kubectl"), arguments, &environment, input).await
}

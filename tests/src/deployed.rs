//! The manifests of `host/deploy/base` in the shared control plane. No controller makes Pods there; the account
//! of the host and its rights are what counts.

use tokio::sync::OnceCell;

use crate::{ControlPlane, kubectl, paths};

/// Applies the base, once. Panics if it cannot be applied.
pub async fn deployed() {
    static DEPLOYED: OnceCell<()> = OnceCell::const_new();
    let deploy = async || {
        let base = paths::workspace().join("host/deploy/base");
        let base = base.display().to_string();
        let told = kubectl(ControlPlane::shared().await, &["apply", "-k", &base], "").await;
        assert_eq!(told.code, Some(0), "{}", told.stderr);
    };
    DEPLOYED.get_or_init(deploy).await;
}

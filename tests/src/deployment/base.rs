//! The manifests of `host/deploy/base` on the shared control plane.

use tokio::sync::OnceCell;

use crate::control_plane::{ControlPlane, kubectl};
use crate::paths;

/// Applies the base to the shared control plane; later calls do nothing. No controller makes Pods there, so what
/// tests use is the service account of the host and its rights. Panics if the base cannot be applied.
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

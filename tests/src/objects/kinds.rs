//! The kinds of objects that tests use.

/// A kind of objects, as `("apiVersion", "Kind")`.
pub type ResourceKind = (&'static str, &'static str);

/// The parents of the worked example.
pub const CLAIM: ResourceKind = ("kopf.dev/v1", "EphemeralVolumeClaim");
/// The parents of the guest `puppet`, which does what its parent says.
pub const PUPPET: ResourceKind = ("tests.handler-host.dev/v1", "Puppet");
/// The resource Handler, which is cluster-scoped.
pub const HANDLER: ResourceKind = ("handler-host.dev/v1alpha1", "Handler");
/// The children of claims, and possible children of Puppets.
pub const PVC: ResourceKind = ("v1", "PersistentVolumeClaim");
/// Possible children of Puppets.
pub const CONFIG_MAP: ResourceKind = ("v1", "ConfigMap");
/// The Events that the host publishes.
pub const EVENT: ResourceKind = ("events.k8s.io/v1", "Event");

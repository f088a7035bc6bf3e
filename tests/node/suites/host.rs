//! The host as it is deployed: its image in Pods, by the manifests of `host/deploy`.

mod cluster;
mod leaders;
mod modules;
mod operations;

pub(crate) use cluster::Host;

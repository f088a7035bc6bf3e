//! The host as it is deployed: its image in Pods, by the manifests of `host/deploy`.

mod leaders;
mod modules;
mod operations;

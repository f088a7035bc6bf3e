use kube::Client;

/// The clients that a handler is served with. They act in different names.
#[derive(Clone)]
pub struct ApiClients {
    /// Acts in the name of the host: finds kinds and publishes Events.
    pub host: Client,
    /// Acts in the name of the handler's account: reads and writes parents and children.
    pub handler: Client,
}

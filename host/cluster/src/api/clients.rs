use kube::Client;

/// In whose names the API server is asked for what concerns a handler.
#[derive(Clone)]
pub struct ApiClients {
    /// The host itself: it looks for kinds and publishes Events.
    pub host: Client,
    /// The handler's account: it reads and writes parents and children.
    pub handler: Client,
}

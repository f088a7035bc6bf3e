//! Whether a server is ready.

use anyhow::Result;
use http::Request;
use kube::{Client, Config};

/// A client of a server whose certificate is its own and is not checked.
pub(super) fn unverified(url: &str) -> Result<Client> {
    let mut config = Config::new(url.parse()?);
    config.accept_invalid_certs = true;
    Ok(Client::try_from(config)?)
}

/// Whether a server answers without an error.
pub(super) async fn is_ok(url: &str, path: &str) -> bool {
    match unverified(url) {
        Ok(client) => answers(&client, path).await,
        Err(_) => false,
    }
}

/// Whether the server of a client answers without an error.
pub(super) async fn answers(client: &Client, path: &str) -> bool {
    match Request::get(path).body(Vec::new()) {
        Ok(request) => client.request_text(request).await.is_ok(),
        Err(_) => false,
    }
}

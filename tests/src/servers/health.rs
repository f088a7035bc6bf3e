//! Whether a server is ready.

use http::Request;
use kube::{Client, Config};

/// Whether a server answers without an error. Its certificate is its own and is not checked.
pub(super) async fn is_ok(url: &str, path: &str) -> bool {
    let Ok(url) = url.parse() else { return false };
    let mut config = Config::new(url);
    config.accept_invalid_certs = true;
    match Client::try_from(config) {
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

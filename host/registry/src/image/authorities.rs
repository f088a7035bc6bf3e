use std::env;
use std::sync::LazyLock;

use reqwest::Certificate;

/// The variables that rustls-native-certs reads before it looks where systems keep certificates.
const NAMED: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The authorities to trust besides those of the system.
///
/// There are none, unless the system has none, as in an image that is made from scratch; then they are those
/// that Mozilla trusts. If a variable of the environment names authorities, only these are trusted, even if
/// nothing is there: a user who names authorities wants no others.
pub(super) fn authorities() -> reqwest::Result<Vec<Certificate>> {
    static HAS_NONE: LazyLock<bool> = LazyLock::new(|| {
        let is_named = NAMED.iter().any(|name| env::var_os(name).is_some());
        !is_named && rustls_native_certs::load_native_certs().certs.is_empty()
    });
    let certificates = match *HAS_NONE {
        true => webpki_root_certs::TLS_SERVER_ROOT_CERTS,
        false => &[],
    };
    let certificates = certificates.iter();
    certificates
        .map(|certificate| Certificate::from_der(certificate))
        .collect()
}

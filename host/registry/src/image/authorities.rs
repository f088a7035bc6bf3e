use std::env;
use std::sync::LazyLock;

use oci_client::client::{Certificate, CertificateEncoding};

/// What rustls-native-certs looks at before the places where systems keep certificates.
const NAMED: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The authorities to trust besides those of the system: none but where that has none, as an image made
/// from scratch, and then those that Mozilla trusts. What the environment names is taken as it is, even if
/// nothing is there: whoever names authorities wants no others.
pub(crate) fn authorities() -> Vec<Certificate> {
    static IS_WITHOUT: LazyLock<bool> = LazyLock::new(|| {
        let is_named = NAMED.iter().any(|name| env::var_os(name).is_some());
        !is_named && rustls_native_certs::load_native_certs().certs.is_empty()
    });
    let certificates = match *IS_WITHOUT {
        true => webpki_root_certs::TLS_SERVER_ROOT_CERTS,
        false => &[],
    };
    let certificates = certificates.iter().map(|certificate| Certificate {
        encoding: CertificateEncoding::Der,
        data: certificate.to_vec(),
    });
    certificates.collect()
}

//! The proxy between this host and the API server.

use std::env;
use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use handler_host_cluster::innermost_cause;
use handler_host_core::Proxies;
use http::Uri;
use ipnet::IpNet;

use crate::anew::begin_anew;

/// The proxies that the environment names.
pub(crate) fn proxies() -> Proxies {
    Proxies::of(|name| env::var(name).ok())
}

/// Begins the program anew without the entries of NO_PROXY that kube does not understand.
///
/// kube refuses every cluster if one entry is empty or no host, such as after a last comma, where Go and so kubectl ignore
/// it. The programs that a kubeconfig names for credentials need the rest of the environment.
pub(crate) fn tolerate_no_proxy() {
    for name in ["NO_PROXY", "no_proxy"] {
        let Ok(value) = env::var(name) else {
            continue;
        };
        let understood = understood(&value);
        if understood == value {
            continue;
        }
        // Where that fails, kube says what is wrong.
        return begin_anew(name, understood);
    }
}

/// The entries that kube takes.
fn understood(no_proxy: &str) -> String {
    let entries: Vec<_> = no_proxy.split(',').map(str::trim).collect();
    if entries.contains(&"*") {
        return "*".to_owned();
    }
    let is_host = |entry: &str| entry.parse::<Uri>().is_ok_and(|uri| uri.host().is_some());
    let is_understood = |entry: &&str| {
        entry.parse::<IpNet>().is_ok() || entry.parse::<IpAddr>().is_ok() || is_host(entry)
    };
    let entries: Vec<_> = entries.into_iter().filter(is_understood).collect();
    entries.join(",")
}

/// An error of a connection that goes through a proxy.
#[derive(Debug)]
pub(crate) struct ThroughProxy {
    message: String,
}

impl ThroughProxy {
    pub(crate) fn new(error: &(dyn Error + 'static), proxy: &Uri) -> Self {
        Self {
            message: format!(
                "{} (through the proxy {})",
                innermost_cause(error),
                shown(proxy)
            ),
        }
    }
}

impl fmt::Display for ThroughProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ThroughProxy {}

/// The proxy without its password.
fn shown(proxy: &Uri) -> String {
    let host = proxy.host().unwrap_or_default();
    match proxy.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::all_is_well("a.example,10.0.0.0/8,::1", "a.example,10.0.0.0/8,::1")]
    #[case::a_last_comma("127.0.0.1,", "127.0.0.1")]
    #[case::nothing(" , ", "")]
    #[case::everything("a, *", "*")]
    #[case::no_host("10.0.0.0/99,/x,a", "a")]
    fn what_kube_refuses_is_left_out(#[case] no_proxy: &str, #[case] expected: &str) {
        assert_eq!(understood(no_proxy), expected);
    }

    #[test]
    fn a_proxy_is_named_without_its_password() {
        let proxy = "http://me:secret@proxy.example:3128".parse().unwrap();
        let error = std::io::Error::other("refused");
        let told = ThroughProxy::new(&error, &proxy).to_string();
        assert_eq!(told, "refused (through the proxy proxy.example:3128)");
    }
}

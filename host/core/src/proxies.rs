//! Which requests go through a proxy, as kubectl and other Go programs decide it.
//!
//! The rules are those of Go's `golang.org/x/net/http/httpproxy`: `HTTPS_PROXY` and `HTTP_PROXY` by the scheme of the
//! request, in upper case before lower case, and `NO_PROXY` for the exceptions. A request to this machine never goes
//! through a proxy. What Go ignores in `NO_PROXY` is ignored here too.

use std::net::IpAddr;

use ipnet::IpNet;

/// The proxies that the environment names.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    exceptions: Vec<Exception>,
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    /// `*`: no request goes through a proxy.
    Everything,
    /// `10.0.0.0/8`.
    Network(IpNet),
    /// `10.0.0.1`, with a port or without.
    Address(IpAddr, Option<String>),
    /// `example.com` with its subdomains, or `.example.com` and `*.example.com` for these alone; with a port or without.
    Domain {
        /// With a dot in front.
        suffix: String,
        is_itself: bool,
        port: Option<String>,
    },
}

impl Proxies {
    /// The proxies of an environment.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&str; 2]| {
            let mut values = names.into_iter().filter_map(&variable);
            values.find(|value| !value.is_empty())
        };
        let no_proxy = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
        Self {
            http: first(["HTTP_PROXY", "http_proxy"]).map(with_scheme),
            https: first(["HTTPS_PROXY", "https_proxy"]).map(with_scheme),
            exceptions: exceptions_in(&no_proxy),
        }
    }

    /// The URLs of all proxies.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        [&self.http, &self.https]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// The URL of the proxy for a request; None if the request goes to the server itself.
    #[must_use]
    pub fn proxy_for(&self, is_tls: bool, host: &str, port: u16) -> Option<&str> {
        let proxy = if is_tls { &self.https } else { &self.http };
        let proxy = proxy.as_deref()?;
        let host = host
            .trim_matches(['[', ']'])
            .trim_end_matches('.')
            .to_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        let is_here = host == "localhost" || address.is_some_and(|it| it.is_loopback());
        let port = port.to_string();
        let mut exceptions = self.exceptions.iter();
        let is_excepted = exceptions.any(|it| it.applies(&host, address, &port));
        (!is_here && !is_excepted).then_some(proxy)
    }
}

impl Exception {
    fn applies(&self, host: &str, address: Option<IpAddr>, port: &str) -> bool {
        let is_port = |wanted: &Option<String>| wanted.as_deref().is_none_or(|it| it == port);
        match self {
            Self::Everything => true,
            Self::Network(network) => address.is_some_and(|it| network.contains(&it)),
            Self::Address(known, wanted) => address == Some(*known) && is_port(wanted),
            Self::Domain {
                suffix,
                is_itself,
                port: wanted,
            } => {
                let is_domain = *is_itself && suffix.strip_prefix('.') == Some(host);
                (is_domain || host.ends_with(suffix)) && is_port(wanted)
            }
        }
    }
}

fn exceptions_in(no_proxy: &str) -> Vec<Exception> {
    let entries = no_proxy.split(',').map(|entry| entry.trim().to_lowercase());
    entries.filter_map(|entry| exception(&entry)).collect()
}

fn exception(entry: &str) -> Option<Exception> {
    if entry == "*" {
        return Some(Exception::Everything);
    }
    if entry.contains('/') {
        return entry.parse().ok().map(Exception::Network);
    }
    let (host, port) = match entry.parse::<IpAddr>() {
        // An address of IPv6 has colons of its own.
        Ok(_) => (entry, None),
        Err(_) => match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.to_owned()).filter(|it| !it.is_empty())),
            None => (entry, None),
        },
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        return Some(Exception::Address(address, port));
    }
    let host = host
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(host);
    let (suffix, is_itself) = match host.strip_prefix('.') {
        Some(_) => (host.to_owned(), false),
        None => (format!(".{host}"), true),
    };
    (!host.is_empty()).then_some(Exception::Domain {
        suffix,
        is_itself,
        port,
    })
}

/// The URL with `http` as its scheme if it has none, such as `proxy:3128`.
fn with_scheme(proxy: String) -> String {
    if proxy.contains("://") {
        proxy
    } else {
        format!("http://{proxy}")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn proxies(no_proxy: &str) -> Proxies {
        Proxies::of(|name| match name {
            "HTTPS_PROXY" => Some("proxy:3128".to_owned()),
            "NO_PROXY" => Some(no_proxy.to_owned()),
            _ => None,
        })
    }

    #[rstest]
    #[case::nothing("", "api.example.com", 443, true)]
    #[case::localhost("", "localhost", 6443, false)]
    #[case::loopback("", "127.0.0.1", 6443, false)]
    #[case::loopback_of_ipv6("", "[::1]", 6443, false)]
    #[case::everything("*", "api.example.com", 443, false)]
    #[case::everything_among_others("a, *", "api.example.com", 443, false)]
    #[case::the_name("api.example.com", "api.example.com", 443, false)]
    #[case::in_capitals("API.example.com", "api.Example.com", 443, false)]
    #[case::a_subdomain("example.com", "api.example.com", 443, false)]
    #[case::not_a_suffix_of_a_word("ample.com", "api.example.com", 443, true)]
    #[case::subdomains_alone(".example.com", "example.com", 443, true)]
    #[case::subdomains_by_a_dot(".example.com", "api.example.com", 443, false)]
    #[case::subdomains_by_a_star("*.example.com", "api.example.com", 443, false)]
    #[case::subdomains_by_a_star_alone("*.example.com", "example.com", 443, true)]
    #[case::a_port("api.example.com:6443", "api.example.com", 6443, false)]
    #[case::another_port("api.example.com:6443", "api.example.com", 443, true)]
    #[case::an_address("10.0.0.1", "10.0.0.1", 6443, false)]
    #[case::an_address_with_a_port("10.0.0.1:443", "10.0.0.1", 6443, true)]
    #[case::an_address_of_ipv6("fd00::1", "[fd00::1]", 443, false)]
    #[case::an_address_of_ipv6_with_a_port("[fd00::1]:443", "fd00::1", 443, false)]
    #[case::a_network("10.0.0.0/8", "10.1.2.3", 443, false)]
    #[case::a_network_with_host_bits("10.1.2.3/8", "10.9.9.9", 443, false)]
    #[case::another_network("10.0.0.0/8", "11.0.0.1", 443, true)]
    #[case::a_network_and_a_name("10.0.0.0/8", "api.example.com", 443, true)]
    #[case::spaces_and_empty_entries(" , a ,, api.example.com , ", "api.example.com", 443, false)]
    #[case::entries_that_mean_nothing(
        "10.0.0.0/99,:443,api.example.com",
        "api.example.com",
        443,
        false
    )]
    #[case::only_spaces_between("a api.example.com", "api.example.com", 443, true)]
    fn exceptions_are_those_of_go(
        #[case] no_proxy: &str,
        #[case] host: &str,
        #[case] port: u16,
        #[case] is_proxied: bool,
    ) {
        let proxies = proxies(no_proxy);
        let proxy = proxies.proxy_for(true, host, port);
        assert_eq!(proxy, is_proxied.then_some("http://proxy:3128"));
        assert_eq!(proxies.proxy_for(false, host, port), None);
    }

    #[test]
    fn a_variable_in_upper_case_goes_first_and_an_empty_one_is_none() {
        let of = |pairs: &'static [(&'static str, &'static str)]| {
            let proxies = Proxies::of(|name| {
                let mut pairs = pairs.iter();
                pairs
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            });
            proxies.proxy_for(true, "a", 1).map(str::to_owned)
        };
        assert_eq!(
            of(&[("HTTPS_PROXY", "http://b"), ("https_proxy", "http://c")]).as_deref(),
            Some("http://b")
        );
        assert_eq!(
            of(&[("HTTPS_PROXY", ""), ("https_proxy", "http://c")]).as_deref(),
            Some("http://c")
        );
        assert_eq!(of(&[("HTTP_PROXY", "http://b")]), None);
    }
}

//! Where requests may go. A registry is a foreign server that names other servers: in redirects, as the place of tokens, and
//! as the place of uploads. None of them may be a way to servers that only this machine reaches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, OnceLock};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::task::spawn_blocking;

use super::transport::proxy_hosts;
use crate::RegistryProblem;

/// What a server at an address is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressKind {
    /// A server like any other, in the Internet or in a network of one's own.
    Ordinary,
    /// This machine.
    Loopback,
    /// This machine, for a system that connects to it.
    Unspecified,
    /// A neighbour on the same link; clouds tell a machine its credentials from such an address.
    LinkLocal,
    /// Another address from which a cloud tells a machine its credentials.
    Metadata,
    /// Several machines at once.
    Multicast,
}

/// Where clouds tell a machine about itself, besides at link-local addresses: Alibaba, Oracle, Azure, Amazon and Google.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254)),
];

impl AddressKind {
    fn of(address: IpAddr) -> Self {
        let address = plain(address);
        if address.is_loopback() {
            Self::Loopback
        } else if is_unspecified(address) {
            Self::Unspecified
        } else if is_link_local(address) {
            Self::LinkLocal
        } else if METADATA.contains(&address) {
            Self::Metadata
        } else if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
            Self::Multicast
        } else {
            Self::Ordinary
        }
    }

    fn spoken(self) -> &'static str {
        match self {
            Self::Ordinary => "an address of a network",
            Self::Loopback => "a loopback address",
            Self::Unspecified => "an unspecified address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a cloud's metadata",
            Self::Multicast => "a multicast address",
        }
    }
}

/// The IPv4 address that an IPv6 address stands for, or else the address itself.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4((u32::from(high) << 16 | u32::from(low)).into());
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        // `::1` and `::` are addresses of IPv6.
        [0, 0, 0, 0, 0, 0] if g != 0 => v4(g, h),
        // 6to4.
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn is_unspecified(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unspecified(),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Where the requests of one session may go: to the registry, and from there to ordinary addresses, or to addresses of the
/// same kind as its own.
pub(super) struct Destinations {
    registry: Url,
    is_plain_http: bool,
    /// What the registry's address is. If it has a name, the first answer of DNS decides, so that a later one cannot lead
    /// elsewhere.
    kind: OnceLock<AddressKind>,
    /// The hosts of the proxies that the environment names. The user chose them, so they may be anywhere.
    proxies: Vec<String>,
}

impl Destinations {
    pub(super) fn of(registry: Url, is_plain_http: bool) -> Self {
        let kind = OnceLock::new();
        if let Some(address) = literal(&registry) {
            let _ = kind.set(AddressKind::of(address));
        }
        Self {
            registry,
            is_plain_http,
            kind,
            proxies: proxy_hosts(),
        }
    }

    /// Whether a URL leads to the registry itself.
    pub(super) fn is_registry(&self, url: &Url) -> bool {
        self.registry.origin() == url.origin()
    }

    /// Refuses a URL to which no request may go. Where it has a name, what the name resolves to is checked when it is
    /// resolved.
    pub(super) fn check(&self, url: &Url) -> Result<(), RegistryProblem> {
        if self.is_registry(url) {
            return Ok(());
        }
        let refused = |reason: String| {
            Err(RegistryProblem::Destination {
                place: origin(url),
                reason,
            })
        };
        match url.scheme() {
            "https" => {}
            "http" if self.is_plain_http => {}
            _ if self.is_plain_http => return refused("which is reached by no HTTP".to_owned()),
            _ => return refused("which is not reached over TLS".to_owned()),
        }
        if let Some(address) = literal(url) {
            let kind = AddressKind::of(address);
            return match self.takes(kind) {
                true => Ok(()),
                false => refused(format!("which is {}", kind.spoken())),
            };
        }
        let host = url.host_str().unwrap_or_default();
        let is_own = self.registry.host_str() == Some(host);
        match self.proxies.iter().any(|proxy| proxy == host) && !is_own {
            true => refused("which is the proxy of this host".to_owned()),
            false => Ok(()),
        }
    }

    /// Whether the credentials for the registry may go to the place where it gives tokens. With TLS the registry is who it
    /// says it is, and so is the realm that it names. Without, anybody on the way may have named the realm.
    pub(super) fn may_get_credentials(&self, realm: &Url) -> bool {
        let place = |url: &Url| {
            let host = url.host_str().map(str::to_owned);
            (host, url.port_or_known_default())
        };
        let is_own = place(realm) == place(&self.registry);
        match self.registry.scheme() {
            "https" => realm.scheme() == "https",
            _ => is_own,
        }
    }

    fn takes(&self, kind: AddressKind) -> bool {
        let own = self.kind.get().copied();
        kind == AddressKind::Ordinary || Some(kind) == own
    }

    /// Those addresses of a name that requests may go to.
    fn admitted(
        &self,
        name: &str,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, RegistryProblem> {
        if self.proxies.iter().any(|proxy| proxy == name) {
            return Ok(addresses);
        }
        let kinds = addresses
            .iter()
            .map(|address| AddressKind::of(address.ip()));
        let kinds: Vec<_> = kinds.collect();
        let Some(first) = kinds.first().copied() else {
            return Ok(addresses);
        };
        if self.registry.host_str() == Some(name) {
            let has_ordinary = kinds.contains(&AddressKind::Ordinary);
            let kind = self.kind.get_or_init(|| match has_ordinary {
                true => AddressKind::Ordinary,
                false => first,
            });
            addresses.retain(|address| AddressKind::of(address.ip()) == *kind);
        } else {
            addresses.retain(|address| self.takes(AddressKind::of(address.ip())));
        }
        match addresses.is_empty() {
            true => Err(RegistryProblem::Destination {
                place: name.to_owned(),
                reason: format!("whose name stands for {}", first.spoken()),
            }),
            false => Ok(addresses),
        }
    }
}

/// Scheme, host and port of a URL, for people. The rest of it may hold a secret.
pub(super) fn origin(url: &Url) -> String {
    let origin = url.origin();
    let origin = match origin.is_tuple() {
        true => origin.ascii_serialization(),
        false => format!("a URL of the scheme {}", url.scheme()),
    };
    origin.chars().take(200).collect()
}

/// The address that a URL has in place of a name.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_matches(['[', ']']).parse().ok()
}

/// Resolves names for the requests of a session.
pub(super) struct CheckedResolver(pub(super) Arc<Destinations>);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let destinations = self.0.clone();
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let asked = name.clone();
            // The port is that of the URL.
            let found = spawn_blocking(move || (asked.as_str(), 0).to_socket_addrs()).await?;
            let addresses = destinations.admitted(&name, found?.collect())?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn of(registry: &str) -> Destinations {
        let registry = Url::parse(registry).unwrap();
        let is_plain_http = registry.scheme() == "http";
        Destinations {
            proxies: vec!["proxy.example".to_owned()],
            ..Destinations::of(registry, is_plain_http)
        }
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        let address = |text: &&str| SocketAddr::new(text.parse().unwrap(), 0);
        texts.iter().map(address).collect()
    }

    #[rstest]
    #[case::public("93.184.215.14", AddressKind::Ordinary)]
    #[case::private("10.1.2.3", AddressKind::Ordinary)]
    #[case::public_6("2606:4700::1", AddressKind::Ordinary)]
    #[case::unique_local("fd12::1", AddressKind::Ordinary)]
    #[case::loopback("127.1.2.3", AddressKind::Loopback)]
    #[case::loopback_6("::1", AddressKind::Loopback)]
    #[case::loopback_mapped("::ffff:127.0.0.1", AddressKind::Loopback)]
    #[case::loopback_compatible("::127.0.0.1", AddressKind::Loopback)]
    #[case::loopback_nat64("64:ff9b::127.0.0.1", AddressKind::Loopback)]
    #[case::loopback_6to4("2002:7f00:1::", AddressKind::Loopback)]
    #[case::unspecified("0.0.0.0", AddressKind::Unspecified)]
    #[case::this_network("0.1.2.3", AddressKind::Unspecified)]
    #[case::unspecified_6("::", AddressKind::Unspecified)]
    #[case::link_local("169.254.1.1", AddressKind::LinkLocal)]
    #[case::link_local_mapped("::ffff:169.254.169.254", AddressKind::LinkLocal)]
    #[case::link_local_6("febf::1", AddressKind::LinkLocal)]
    #[case::metadata("100.100.100.200", AddressKind::Metadata)]
    #[case::metadata_6("fd00:ec2::254", AddressKind::Metadata)]
    #[case::multicast("224.0.0.1", AddressKind::Multicast)]
    #[case::broadcast("255.255.255.255", AddressKind::Multicast)]
    #[case::multicast_6("ff02::1", AddressKind::Multicast)]
    fn addresses_have_kinds(#[case] address: &str, #[case] kind: AddressKind) {
        assert_eq!(AddressKind::of(address.parse().unwrap()), kind);
    }

    #[rstest]
    #[case::itself("https://reg.example", "https://reg.example/v2/", None)]
    #[case::a_store_of_blobs("https://reg.example", "https://blobs.example/a?sig=s", None)]
    #[case::a_private_address("https://reg.example", "https://10.0.0.1/", None)]
    #[case::without_tls(
        "https://reg.example",
        "http://reg.example/",
        Some("not reached over TLS")
    )]
    #[case::another_scheme("http://reg.example", "ftp://a.example/", Some("by no HTTP"))]
    #[case::a_file(
        "https://reg.example",
        "file:///etc/passwd",
        Some("a URL of the scheme file")
    )]
    #[case::plain_to_plain("http://reg.example", "http://blobs.example/", None)]
    #[case::loopback(
        "https://reg.example",
        "https://127.0.0.1/",
        Some("a loopback address")
    )]
    #[case::loopback_as_a_number(
        "https://reg.example",
        "https://2130706433/",
        Some("a loopback address")
    )]
    #[case::mapped(
        "https://reg.example",
        "https://[::ffff:7f00:1]/",
        Some("a loopback address")
    )]
    #[case::metadata(
        "http://reg.example",
        "http://169.254.169.254/",
        Some("a link-local address")
    )]
    #[case::local_to_local("http://127.0.0.1:5000", "http://127.0.0.1:5001/", None)]
    #[case::local_to_link_local("http://127.0.0.1", "http://[fe80::1]/", Some("link-local"))]
    #[case::local_to_unspecified("http://127.0.0.1", "http://0.0.0.0/", Some("an unspecified"))]
    #[case::the_proxy("https://reg.example", "https://proxy.example/", Some("the proxy"))]
    #[case::a_proxy_that_is_the_registry("https://proxy.example", "https://proxy.example:8/", None)]
    fn a_request_goes_only_where_it_may(
        #[case] registry: &str,
        #[case] url: &str,
        #[case] refused: Option<&str>,
    ) {
        let checked = of(registry).check(&Url::parse(url).unwrap());
        match (checked, refused) {
            (Ok(()), None) => {}
            (Err(error), Some(reason)) => {
                let error = error.to_string();
                assert!(error.contains(reason), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case::ordinary("https://reg.example", "b.example", &["10.0.0.1"], &["10.0.0.1"])]
    #[case::one_that_is_local("https://reg.example", "b.example", &["127.0.0.1", "10.0.0.1"], &["10.0.0.1"])]
    #[case::local("https://reg.example", "b.example", &["127.0.0.1", "::1"], &[])]
    #[case::mapped("https://reg.example", "b.example", &["::ffff:169.254.169.254"], &[])]
    #[case::the_registry_itself("https://reg.example", "reg.example", &["127.0.0.1"], &["127.0.0.1"])]
    #[case::of_a_registry_in_two_places("https://reg.example", "reg.example", &["127.0.0.1", "10.0.0.1"], &["10.0.0.1"])]
    #[case::of_a_local_registry("http://127.0.0.1:1", "b.example", &["127.0.0.2"], &["127.0.0.2"])]
    #[case::metadata_of_a_local_registry("http://127.0.0.1:1", "b.example", &["169.254.169.254"], &[])]
    #[case::the_proxy("https://reg.example", "proxy.example", &["127.0.0.1"], &["127.0.0.1"])]
    fn what_a_name_stands_for_is_checked(
        #[case] registry: &str,
        #[case] name: &str,
        #[case] found: &[&str],
        #[case] admitted: &[&str],
    ) {
        let destinations = of(registry);
        match destinations.admitted(name, addresses(found)) {
            Ok(kept) => assert_eq!(kept, addresses(admitted)),
            Err(error) => {
                assert!(admitted.is_empty(), "{error}");
                assert!(error.to_string().contains("whose name stands for a"));
            }
        }
    }

    #[test]
    fn the_registry_stays_where_it_was_first() {
        let destinations = of("https://reg.example");
        let public = addresses(&["93.184.215.14"]);
        assert_eq!(
            destinations.admitted("reg.example", public.clone()),
            Ok(public)
        );
        let local = addresses(&["127.0.0.1"]);
        assert!(destinations.admitted("reg.example", local).is_err());
    }

    #[rstest]
    #[case::own("https://reg.example", "https://reg.example/token", true)]
    #[case::another_with_tls("https://reg.example", "https://auth.example/token", true)]
    #[case::another_without("https://reg.example", "http://auth.example/token", false)]
    #[case::own_without("https://reg.example", "http://reg.example/token", false)]
    #[case::plain_and_own("http://reg.example:5000", "http://reg.example:5000/token", true)]
    #[case::plain_and_another_port("http://reg.example:5000", "http://reg.example/token", false)]
    #[case::plain_and_another("http://reg.example", "http://auth.example/token", false)]
    #[case::plain_and_another_with_tls("http://reg.example", "https://auth.example/token", false)]
    fn credentials_go_only_where_they_may(
        #[case] registry: &str,
        #[case] realm: &str,
        #[case] is_allowed: bool,
    ) {
        let realm = Url::parse(realm).unwrap();
        assert_eq!(of(registry).may_get_credentials(&realm), is_allowed);
    }
}

//! Which addresses an issuer may send the gateway to. Knows addresses and names; sends nothing.
//!
//! SECURITY: discovery documents name further URLs. An issuer on the internet must not use that to make the gateway
//! call into its own network (server-side request forgery), so where an issuer itself is reached is as far in as it
//! may point.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::config::is_localhost;

/// How far out an address is; a smaller one is closer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Reach {
    /// Unspecified, link-local (cloud metadata), multicast, reserved: no issuer is there.
    Never = 0,
    /// This very host.
    Loopback = 1,
    /// Private, shared or unique-local.
    Private = 2,
    /// Everything else.
    Public = 3,
}

impl Reach {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        match ip.octets() {
            [127, ..] => Self::Loopback,
            [0, ..] | [169, 254, ..] | [224..=255, ..] => Self::Never,
            [10, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [100, 64..=127, ..]
            | [192, 0, 0, _]
            | [198, 18..=19, ..] => Self::Private,
            _ => Self::Public,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let embedded = |a: u16, b: u16| {
            let ([a, b], [c, d]) = (a.to_be_bytes(), b.to_be_bytes());
            Self::of_v4(Ipv4Addr::new(a, b, c, d))
        };
        match ip.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // ::/96: unspecified, and IPv4-compatible, long deprecated.
            [0, 0, 0, 0, 0, 0, ..] | [0xfe80..=0xfebf, ..] | [0xff00..=0xffff, ..] => Self::Never,
            [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Self::Private,
            // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to the IPv4 address inside.
            [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x2002, a, b, ..] => embedded(a, b),
            [0x64, 0xff9b, ..] => Self::Private,
            _ => Self::Public,
        }
    }

    fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Never,
            1 => Self::Loopback,
            2 => Self::Private,
            _ => Self::Public,
        }
    }
}

/// Resolves names for one issuer's HTTP client, and withholds addresses that are further in than the issuer.
pub(crate) struct Guard {
    issuer: String,
    /// The furthest in that the issuer itself was last seen; until it was, nothing but public addresses will do.
    ///
    /// INVARIANT: never [`Reach::Never`], so that nothing there is ever allowed.
    floor: AtomicU8,
}

impl Guard {
    /// Makes the guard of an issuer; `None` where its URL names an address at which no issuer can be.
    pub(crate) fn of(issuer: &Url) -> Option<Arc<Self>> {
        let floor = match literal(issuer) {
            Some(ip) => Reach::of(ip),
            None => Reach::Public,
        };
        let issuer = issuer.host_str()?.to_owned();
        (floor != Reach::Never).then(|| Arc::new(Self { issuer, floor: AtomicU8::new(floor as u8) }))
    }

    /// Returns whether the issuer may send us to this address.
    pub(crate) fn allows(&self, ip: IpAddr) -> bool {
        Reach::of(ip) >= Reach::from_u8(self.floor.load(Ordering::Acquire))
    }

    /// Returns whether the issuer may send us to this URL, as far as can be said before its name is resolved.
    pub(crate) fn allows_url(&self, url: &Url) -> bool {
        literal(url).is_none_or(|ip| self.allows(ip))
    }

    fn choose(&self, name: &str, found: Vec<SocketAddr>) -> Vec<SocketAddr> {
        if is_localhost(name) && found.iter().any(|it| Reach::of(it.ip()) != Reach::Loopback) {
            // SECURITY: plain http was allowed for this name because it means this host.
            return Vec::new();
        }
        if name.eq_ignore_ascii_case(&self.issuer) {
            let usable: Vec<_> = found.into_iter().filter(|it| Reach::of(it.ip()) != Reach::Never).collect();
            if let Some(closest) = usable.iter().map(|it| Reach::of(it.ip())).min() {
                self.floor.store(closest as u8, Ordering::Release);
            }
            usable
        } else {
            found.into_iter().filter(|it| self.allows(it.ip())).collect()
        }
    }
}

/// What an HTTP client is given to resolve names with.
pub(crate) struct GuardedResolver(pub(crate) Arc<Guard>);

/// Makes what an HTTP client resolves the name of one configured server with: never to an address at which no server is, and
/// `localhost` to nothing but this host. `None` where the URL names no host, or such an address itself.
pub fn resolver(server: &Url) -> Option<Arc<impl Resolve + use<>>> {
    Guard::of(server).map(|guard| Arc::new(GuardedResolver(guard)))
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<_> = tokio::net::lookup_host((name, 0)).await?.collect();
            let chosen = guard.choose(name, found);
            if chosen.is_empty() {
                return Err(
                    format!("{name:?} resolves only to addresses that this issuer may not point to").into()
                );
            }
            Ok(Box::new(chosen.into_iter()) as Addrs)
        })
    }
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host() {
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
        Some(Host::Domain(_)) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ip: &str, expected: Reach) {
        assert_eq!(Reach::of(ip.parse().unwrap()), expected, "{ip}");
    }

    #[test]
    fn an_address_is_as_far_out_as_its_innermost_meaning() {
        for ip in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"] {
            check(ip, Reach::Loopback);
        }
        for ip in [
            "10.0.0.1",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
        ] {
            check(ip, Reach::Private);
        }
        for ip in [
            "0.0.0.0",
            "169.254.169.254",
            "::",
            "fe80::1",
            "ff02::1",
            "255.255.255.255",
            "::ffff:169.254.169.254",
        ] {
            check(ip, Reach::Never);
        }
        for ip in ["1.1.1.1", "172.32.0.1", "2606:4700::1111"] {
            check(ip, Reach::Public);
        }
    }

    fn guard(issuer: &str) -> Arc<Guard> {
        Guard::of(&Url::parse(issuer).unwrap()).unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|it| SocketAddr::new(it.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn an_issuer_may_not_point_further_in_than_it_is() {
        let guard = guard("https://idp.example.com");
        // Not resolved yet: public only.
        assert!(!guard.allows("10.0.0.1".parse().unwrap()));
        assert_eq!(guard.choose("idp.example.com", addresses(&["1.2.3.4"])).len(), 1);
        assert_eq!(
            guard.choose("keys.example.com", addresses(&["10.0.0.1", "127.0.0.1", "169.254.169.254"])).len(),
            0
        );
        assert_eq!(
            guard.choose("keys.example.com", addresses(&["10.0.0.1", "5.6.7.8"])),
            addresses(&["5.6.7.8"])
        );
        // An issuer inside may point inside, though never to this host or to link-local.
        assert_eq!(guard.choose("IDP.example.com", addresses(&["10.0.0.1"])).len(), 1);
        assert_eq!(
            guard.choose("keys.example.com", addresses(&["10.0.0.2", "127.0.0.1", "169.254.169.254"])),
            addresses(&["10.0.0.2"])
        );
    }

    #[test]
    fn localhost_must_be_this_host() {
        let guard = guard("http://localhost:9000");
        assert!(guard.choose("localhost", addresses(&["127.0.0.1", "1.2.3.4"])).is_empty());
        assert_eq!(guard.choose("localhost", addresses(&["127.0.0.1", "::1"])).len(), 2);
    }

    #[test]
    fn no_issuer_is_at_an_address_of_no_host() {
        for url in ["https://169.254.169.254", "https://[::]", "https://0.0.0.0"] {
            assert!(Guard::of(&Url::parse(url).unwrap()).is_none(), "{url}");
        }
    }
}

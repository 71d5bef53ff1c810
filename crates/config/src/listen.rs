//! `[listen]`: where clients connect. Opens no socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use url::{Host, Url};

use crate::context::{Context, PathKind};
use crate::read::Table;
use crate::secret_ref::SecretRef;

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Addresses for PostgreSQL clients; never empty.
    // INVARIANT: all on loopback, unless `tls` is there.
    pub postgres: Vec<SocketAddr>,
    /// The gateway's certificate; `None` means that TLS is not offered.
    pub tls: Option<Tls>,
    /// Addresses for HTTP; HTTPS where `tls` is there. May be empty.
    // INVARIANT: as of `postgres`.
    pub http: Vec<SocketAddr>,
    /// Where people reach `http`.
    pub public_url: Option<PublicUrl>,
}

/// A scheme, a host and perhaps a port, as people reach the gateway over HTTP: an origin (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let url =
            Url::parse(text).map_err(|_| "is no URL; write one like \"https://gatepost.example.com\"")?;
        let loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => return Err("names no host"),
        };
        // SECURITY: cookies and tokens travel there.
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            _ => return Err("must be https:; http: is for this host only"),
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("must have no path, query or fragment");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must have no user name");
        }
        Ok(Self(url))
    }

    /// Returns `https://host` or `https://host:port`, without a slash at its end: what browsers send as `Origin`.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Returns `host` or `host:port`: what browsers send as `Host`.
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Returns whether it is `https`.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns the URL of a path, which begins with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

/// The certificate that clients are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM file: the certificate and its intermediates.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: SecretRef,
    /// PEM file: authorities of client certificates. `Some` makes the gateway ask for them.
    pub client_ca: Option<PathBuf>,
}

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Listen> {
    let written = table.value("postgres", context).and_then(|value| value.strings(context));
    let has_tls = table.value("tls", context).is_some();
    let tls = table.table("tls", context).map(|table| tls(&table, context));
    let postgres = addresses(written?, has_tls, context);
    let http = match table.value("http", context) {
        Some(value) => addresses(value.strings(context)?, has_tls, context),
        None => Vec::new(),
    };
    if let Some(both) = http.iter().find(|address| address.port() != 0 && postgres.contains(address)) {
        context.error(
            table.span(),
            format!("\"{both}\" can't be both \"postgres\" and \"http\"; give each its own port"),
        );
    }
    let tls = match tls {
        Some(read) => Some(read?),
        None => None,
    };
    let public_url = match table.value("public_url", context) {
        None => None,
        Some(value) => {
            let text = value.string(context)?;
            match PublicUrl::parse(&text) {
                Ok(url) => Some(url),
                Err(problem) => {
                    context.error(value.span(), format!("\"{text}\" {problem}"));
                    return None;
                }
            }
        }
    };
    Some(Listen { postgres, tls, http, public_url })
}

fn addresses(
    written: Vec<(std::ops::Range<usize>, String)>,
    has_tls: bool,
    context: &mut Context<'_>,
) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for (span, text) in written {
        let Ok(address) = text.parse::<SocketAddr>() else {
            let message = format!(
                "\"{text}\" is no address to listen on; write an IP address and a port, like \"127.0.0.1:6432\" or \"[::1]:6432\""
            );
            context.error(span, message);
            continue;
        };
        // SECURITY: tokens are never taken without TLS off loopback, so such an address could only refuse.
        if !has_tls && !address.ip().to_canonical().is_loopback() {
            let message = format!(
                "\"{text}\" can be reached from other hosts, whose clients need TLS; add tls = {{ certificate = \"…\", key = \"file:…\" }} to [listen], or listen on 127.0.0.1"
            );
            context.error(span, message);
        } else if addresses.contains(&address) && address.port() != 0 {
            context.error(span, format!("\"{text}\" is listed twice"));
        } else {
            addresses.push(address);
        }
    }
    addresses
}

fn tls(table: &Table<'_>, context: &mut Context<'_>) -> Option<Tls> {
    let certificate =
        table.value("certificate", context).and_then(|value| value.path(PathKind::File, context));
    let key = table.value("key", context).and_then(|value| value.secret(context));
    let client_ca = match table.value("client_ca", context) {
        Some(value) => value.path(PathKind::File, context).map(Some),
        None => Some(None),
    };
    Some(Tls { certificate: certificate?, key: key?, client_ca: client_ca? })
}

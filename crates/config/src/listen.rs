//! `[listen]`: where clients connect. Opens no socket.

use std::net::SocketAddr;
use std::path::PathBuf;

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
    Some(Listen { postgres, tls, http })
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

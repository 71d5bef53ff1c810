//! Where clients and people connect. Knows no Rust type of a setting.

use super::Default::{Absent, Required, Toml};
use super::{Section, key};

pub(crate) const LISTEN: Section = Section {
    name: "listen",
    header: "[listen]",
    about: "Where clients connect.",
    keys: &[
        key(
            "postgres",
            "address or list of addresses",
            Toml("\"127.0.0.1:6432\""),
            "An IP address and a port, as `0.0.0.0:6432` or `[::1]:6432`. An address that other hosts can reach needs `tls`: clients that are not on this host are refused without TLS.",
        ),
        key(
            "tls",
            "table",
            Absent("no TLS: only clients on this host can connect"),
            "The certificate that clients are shown; see `listen.tls`.",
        ),
        key(
            "http",
            "address or list of addresses",
            Absent("no HTTP; the local socket in `state.path` is there all the same"),
            "Where operators and issuers reach the gateway over HTTP: sessions, blocks, logout, health. An IP address and a port; one that other hosts can reach needs `tls`, and then all of them speak HTTPS.",
        ),
        key(
            "public_url",
            "URL",
            Absent("links are left out of what approvers are sent"),
            "Where people reach `http`, as `https://gatepost.example.com`: a scheme and a host, with a port if it is not the scheme's own; no path. `http:` on loopback only. Links to requests begin with it, and logins come back to it: `PUBLIC_URL/login/callback` must be registered with the issuer, exactly so. A proxy in front that ends TLS must pass on `Host`.",
        ),
    ],
    later: &[],
};

pub(crate) const TLS: Section = Section {
    name: "tls",
    header: "listen.tls",
    about: "The gateway's own certificate.",
    keys: &[
        key("certificate", "path", Required, "PEM file: the certificate, followed by its intermediates."),
        key(
            "key",
            "secret reference",
            Required,
            "The certificate's private key, in PEM (PKCS#8, PKCS#1 or SEC1).",
        ),
        key(
            "client_ca",
            "path",
            Absent("certificates are asked for only if an issuer believes them"),
            "PEM file: authorities of client certificates, for each `[[issuer]]` of kind `certificate` that has no `ca` of its own. Clients are asked for a certificate, and need not have one.",
        ),
    ],
    later: &[],
};

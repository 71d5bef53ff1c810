//! What must be known of an issuer to fetch its keys, and which addresses are acceptable. Fetches nothing.

use std::path::PathBuf;
use std::time::Duration;

use identity::{CertificateRules, IssuerRules, KeySetLimits};
use url::{Host, Url};

use crate::credential::Credential;
use crate::introspect::Introspection;

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFrom {
    /// Its discovery document says it.
    Discovery,
    /// A key set at this URL; nothing is discovered.
    Jwks(String),
    /// A SPIFFE trust bundle at this URL.
    Bundle(String),
    /// A SPIFFE trust bundle, or certificates of authorities as PEM, in this file.
    File(PathBuf),
}

/// One issuer: the rules for its tokens, and how its keys are fetched and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The rules; `issuer_url` is also where discovery begins.
    pub rules: IssuerRules,
    /// Where its keys are.
    pub keys_from: KeysFrom,
    /// Shown as a bearer token where discovery or keys are fetched at the issuer's own origin, or at the configured address of the keys.
    pub bearer: Option<Credential>,
    /// How it is asked about tokens, if it is.
    pub introspection: Option<Introspection>,
    /// What its certificates mean, if they are believed.
    pub certificates: Option<CertificateRules>,
    /// PEM: lists of revoked certificates.
    pub revoked: Option<PathBuf>,
    /// PEM certificates trusted for this issuer in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Older keys are refreshed in the background, while they go on serving. A key that the issuer withdraws is
    /// believed for at most about this long while the issuer can be reached.
    pub keys_age_max: Duration,
    /// Older keys stop serving: how long an issuer may be unreachable.
    pub keys_stale_max: Duration,
    /// The least time between the starts of two fetches, whatever the tokens say.
    pub refresh_floor: Duration,
    /// The longest that one HTTP request may take, its body included; a fetch is two requests.
    pub fetch_timeout: Duration,
    /// The limits of the key set; `bytes_max` is also that of the discovery document.
    pub limits: KeySetLimits,
}

impl IssuerConfig {
    /// The default of [`keys_age_max`](Self::keys_age_max).
    pub const KEYS_AGE: Duration = Duration::from_secs(5 * 60);
    /// The default of [`keys_stale_max`](Self::keys_stale_max).
    pub const KEYS_STALE: Duration = Duration::from_secs(24 * 60 * 60);
    /// The default of [`refresh_floor`](Self::refresh_floor).
    pub const REFRESH_FLOOR: Duration = Duration::from_secs(10);
    /// The default of [`fetch_timeout`](Self::fetch_timeout).
    pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

    /// Returns the configuration with the default times and limits.
    pub fn new(rules: IssuerRules) -> Self {
        Self {
            rules,
            keys_from: KeysFrom::Discovery,
            bearer: None,
            introspection: None,
            certificates: None,
            revoked: None,
            ca_file: None,
            keys_age_max: Self::KEYS_AGE,
            keys_stale_max: Self::KEYS_STALE,
            refresh_floor: Self::REFRESH_FLOOR,
            fetch_timeout: Self::FETCH_TIMEOUT,
            limits: KeySetLimits::default(),
        }
    }
}

/// An issuer that can't be used as it is configured: the operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum BadIssuer {
    /// Its URL is not acceptable.
    #[error("issuer {name:?}: url {url:?} {problem}")]
    Url {
        /// The issuer's name.
        name: String,
        /// Its URL.
        url: String,
        /// What is wrong, and how to mend it.
        problem: &'static str,
    },
    /// Its CA file can't be read.
    #[error("issuer {name:?}: ca_file {path:?} can't be read")]
    CaFile {
        /// The issuer's name.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its CA file has no certificate, or one that can't be used.
    #[error("issuer {name:?}: ca_file {path:?} has no usable PEM certificate")]
    CaPem {
        /// The issuer's name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// TLS can't be set up.
    #[error("issuer {name:?}: no HTTP client can be made; are the system's CA certificates installed?")]
    Client {
        /// The issuer's name.
        name: String,
        /// Why.
        source: reqwest::Error,
    },
    /// Two issuers share a name or a URL, so that a token's issuer would not be one.
    #[error("issuer {name:?} is configured twice, by its name or by its url {url:?}")]
    Twice {
        /// The second one's name.
        name: String,
        /// The second one's URL.
        url: String,
    },
}

/// Checks a URL of an issuer's: `https`, or `http` on loopback; no user, query or fragment (OpenID Connect Discovery 3).
pub(crate) fn issuer_url(name: &str, url: &str) -> Result<Url, BadIssuer> {
    let bad = |problem| BadIssuer::Url { name: name.to_owned(), url: url.to_owned(), problem };
    let url = Url::parse(url).map_err(|_| bad("is not a URL; write it as https://idp.example.com"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("has a user or password; remove it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("has a query or fragment; an issuer has neither"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(bad("is plain http off loopback; use https")),
        _ => Err(bad("is not https")),
    }
}

/// Checks an address that an issuer's discovery document names: `https`, or `http` on loopback where the issuer itself is there.
pub(crate) fn issuer_endpoint(uri: &str, plain: bool) -> Result<Url, &'static str> {
    let url = Url::parse(uri).map_err(|_| "is not a URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if plain && is_loopback(&url) => Ok(url),
        "http" => Err("is plain http, which only a plain http issuer on loopback may name"),
        _ => Err("is not https"),
    }
}

/// Returns whether a URL's host is written as a loopback address or as `localhost` (RFC 6761 6.3). What `localhost`
/// then resolves to is checked when it is.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => is_localhost(name),
        None => false,
    }
}

/// Returns whether a host name is `localhost` or under it.
pub(crate) fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
}

//! The URL of an upstream, as libpq writes it, without credentials. Connects to nothing.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use url::Url;

/// PostgreSQL's own port (`DEF_PGPORT`, pg_config.h).
const PORT_DEFAULT: u16 = 5432;

/// Where a database is, and how the way there is protected.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// The server.
    pub host: Host,
    /// Its TCP port; of a Unix socket, the number in its name.
    pub port: u16,
    /// The database's name there.
    pub database: String,
    /// What is asked of the way there.
    pub tls: UpstreamTls,
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// To be looked up.
    Name(String),
    /// Used as it is.
    Address(IpAddr),
    /// The folder that its Unix socket is in.
    Socket(PathBuf),
}

/// libpq's `sslmode`, without those that fall back to plain text by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamTls {
    /// `disable`: plain text.
    Disable,
    /// `require`: TLS with whoever answers.
    Require,
    /// `verify-ca`: the certificate must lead to one of these.
    VerifyCa(Roots),
    /// `verify-full`: and be for this host.
    VerifyFull(Roots),
}

/// libpq's `sslrootcert`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Roots {
    /// The system's certificates.
    System,
    /// A PEM file.
    File(PathBuf),
}

impl UpstreamTls {
    /// Returns libpq's word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa(_) => "verify-ca",
            Self::VerifyFull(_) => "verify-full",
        }
    }

    /// Returns the certificates that it relies on, if it does.
    pub const fn roots(&self) -> Option<&Roots> {
        match self {
            Self::Disable | Self::Require => None,
            Self::VerifyCa(roots) | Self::VerifyFull(roots) => Some(roots),
        }
    }
}

impl Host {
    /// Returns whether what is sent there stays on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Name(name) => name.eq_ignore_ascii_case("localhost"),
            Self::Address(address) => address.to_canonical().is_loopback(),
            Self::Socket(_) => true,
        }
    }
}

impl Upstream {
    /// Returns the Unix socket to connect to, where it is one (`UNIXSOCK_PATH`, libpq/pqcomm.h).
    pub fn socket_path(&self) -> Option<PathBuf> {
        match &self.host {
            Host::Socket(folder) => Some(folder.join(format!(".s.PGSQL.{}", self.port))),
            Host::Name(_) | Host::Address(_) => None,
        }
    }

    /// Reads user and password from the URL of another login for the same server.
    ///
    /// SECURITY: the error is a fragment without any part of the URL.
    ///
    /// # Errors
    /// Operator: it is no such URL, or leads to another server.
    pub fn credential(&self, text: &str) -> Result<(String, Option<String>), &'static str> {
        let no_url = "is no URL like \"postgres://USER:PASSWORD@HOST:PORT/DBNAME\"";
        let bad_percent = |_| "has a bad \"%\" in it";
        let url = Url::parse(text).map_err(|_| no_url)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err("must begin with postgres://");
        }
        if url.username().is_empty() {
            return Err("names no user");
        }
        let parameters = Parameters::parse(url.query().unwrap_or_default()).unwrap_or_default();
        let there =
            host(url.host_str().unwrap_or_default(), parameters.host.as_deref()).map_err(|_| no_url)?;
        let port = url.port().or_else(|| parameters.port.as_deref()?.parse().ok()).unwrap_or(PORT_DEFAULT);
        // SECURITY: a credential goes to the server that it is for and to no other.
        if (&there, port) != (&self.host, self.port) {
            return Err("leads to another server than \"upstream\"");
        }
        let user = decoded(url.username()).map_err(bad_percent)?;
        let password = url.password().map(decoded).transpose().map_err(bad_percent)?;
        Ok((user, password))
    }

    /// Reads the URL of a server and of a login there, for a command that is given one: `postgres://USER:PASSWORD@HOST:PORT/DBNAME` with
    /// the parameters of `upstream`. Relative paths are of `base`. Returns user and password, too.
    ///
    /// SECURITY: the error is a fragment without any part of the URL.
    ///
    /// # Errors
    /// Operator: it is no such URL.
    pub fn parse_login(text: &str, base: &Path) -> Result<(Self, String, Option<String>), String> {
        let no_url = || "is no URL like \"postgres://USER:PASSWORD@HOST:PORT/DBNAME\"".to_owned();
        let mut url = Url::parse(text.trim()).map_err(|_| no_url())?;
        let user = decoded(url.username()).map_err(|_| "has a bad \"%\" in it")?;
        let password = url.password().map(decoded).transpose().map_err(|_| "has a bad \"%\" in it")?;
        if user.is_empty() {
            return Err("names no user".to_owned());
        }
        url.set_password(None).and_then(|()| url.set_username("")).map_err(|()| no_url())?;
        let server = Self::parse(url.as_str(), &user, |path| crate::resolve(base, path));
        let server = server.map_err(|why| why.trim_start_matches("\"upstream\" ").to_owned())?;
        Ok((server, user, password))
    }

    /// Reads a URL; `database` is meant where it names none, and `resolve` says what a relative path means.
    ///
    /// SECURITY: the error is a fragment without any part of the URL, since one slip of the pen makes a credential of any.
    pub(crate) fn parse(
        text: &str,
        database: &str,
        resolve: impl Fn(&str) -> PathBuf,
    ) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| {
            format!("\"upstream\" is no URL like \"postgres://HOST:PORT/DBNAME\": {error}")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("\"upstream\" must hold no user or password; name them in \"login\"".to_owned());
        }
        let parameters = Parameters::parse(url.query().unwrap_or_default())?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err("\"upstream\" must begin with postgres://".to_owned());
        }
        if url.fragment().is_some() {
            return Err("\"upstream\" must be without \"#\"".to_owned());
        }
        let path = decoded(url.path().trim_start_matches('/'))?;
        let database = if path.is_empty() { database.to_owned() } else { path };
        let host = host(url.host_str().unwrap_or_default(), parameters.host.as_deref())?;
        let port = match (url.port(), &parameters.port) {
            (Some(_), Some(_)) => return Err("\"upstream\" has two ports".to_owned()),
            (Some(port), None) => port,
            (None, Some(digits)) => digits.parse().unwrap_or(0),
            (None, None) => PORT_DEFAULT,
        };
        if port == 0 {
            return Err("\"upstream\" must have a port from 1 to 65535".to_owned());
        }
        let tls = tls(&host, &parameters, resolve)?;
        Ok(Self { host, port, database, tls })
    }
}

fn host(authority: &str, parameter: Option<&str>) -> Result<Host, String> {
    let wrong = |what: &str| Err(format!("\"upstream\" {what}"));
    let authority = decoded(authority)?;
    let host = match (authority.as_str(), parameter) {
        ("", None) => {
            return wrong("names no host; a Unix socket is \"postgres:///DBNAME?host=/run/postgresql\"");
        }
        ("", Some(host)) | (host, None) => host,
        (_, Some(_)) => return wrong("has two hosts"),
    };
    if host.starts_with('/') {
        return Ok(Host::Socket(PathBuf::from(host)));
    }
    if host.contains(',') {
        return wrong("must name one host");
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return Ok(Host::Address(address));
    }
    let name = bare.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !name || bare.is_empty() {
        return wrong("has a host that is no name; write one outside ASCII in its \"xn--\" form");
    }
    Ok(Host::Name(bare.to_owned()))
}

fn tls(
    host: &Host,
    parameters: &Parameters,
    resolve: impl Fn(&str) -> PathBuf,
) -> Result<UpstreamTls, String> {
    const MODES: &str = "write disable, require, verify-ca or verify-full";
    let wrong = |message: String| Err(message);
    let roots = match parameters.sslrootcert.as_deref() {
        None | Some("system") => Roots::System,
        Some(path) => Roots::File(resolve(path)),
    };
    let mode = match parameters.sslmode.as_deref() {
        None if host.is_local() => "disable",
        None => "verify-full",
        Some(mode) => mode,
    };
    let tls = match mode {
        "disable" => UpstreamTls::Disable,
        "require" => UpstreamTls::Require,
        "verify-ca" => UpstreamTls::VerifyCa(roots),
        "verify-full" => UpstreamTls::VerifyFull(roots),
        "allow" | "prefer" => {
            return wrong(format!("sslmode \"{mode}\" would fall back to plain text unnoticed; {MODES}"));
        }
        _ => return wrong(format!("the sslmode is unknown; {MODES}")),
    };
    if parameters.sslrootcert.is_some() && tls.roots().is_none() {
        return wrong(format!("sslrootcert is of no use with sslmode {mode}; write sslmode=verify-full"));
    }
    if matches!(host, Host::Socket(_)) && tls != UpstreamTls::Disable {
        return wrong("a Unix socket has no TLS; leave sslmode out".to_owned());
    }
    Ok(tls)
}

/// The parameters of a URL that are understood here.
#[derive(Default)]
struct Parameters {
    host: Option<String>,
    port: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, String> {
        let mut parameters = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?;
            let place = match name.as_str() {
                "host" => &mut parameters.host,
                "port" => &mut parameters.port,
                "sslmode" => &mut parameters.sslmode,
                "sslrootcert" => &mut parameters.sslrootcert,
                "user" | "password" | "passfile" | "sslpassword" | "sslkey" | "sslcert" => {
                    return Err(format!(
                        "\"upstream\" must hold no credential (\"{name}\"); name user and password in \"login\""
                    ));
                }
                other => {
                    // Only what is libpq's word can't be a piece of a password.
                    let libpq = LIBPQ.iter().find(|known| **known == other);
                    let which = libpq.map_or_else(String::new, |known| format!(" \"{known}\""));
                    return Err(format!(
                        "\"upstream\" has a parameter{which} that is not available; known are host, port, sslmode, sslrootcert"
                    ));
                }
            };
            let value = decoded(value)?;
            if value.is_empty() || place.replace(value).is_some() {
                return Err(format!("\"upstream\" has \"{name}\" twice or without a value"));
            }
        }
        Ok(parameters)
    }
}

/// Parameters that libpq has and this does not (PostgreSQL 18 manual, 32.1.2).
const LIBPQ: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "gssencmode",
    "hostaddr",
    "keepalives",
    "load_balance_hosts",
    "options",
    "require_auth",
    "sslcrl",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// Undoes percent encoding as libpq does (`conninfo_uri_decode`, fe-connect.c): `+` is itself.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "\"upstream\" has a bad \"%\" in it".to_owned();
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = digit(rest.next()).zip(digit(rest.next())).ok_or_else(wrong)?;
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(wrong)
}

/// Percent-encodes what would end a part of a URL.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl std::fmt::Display for Upstream {
    /// Writes the URL with nothing left to a default.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, database, tls } = self;
        let database = encoded(database).replace('/', "%2F");
        let folder = |path: &Path| encoded(&path.to_string_lossy());
        match host {
            Host::Name(name) => write!(f, "postgres://{name}:{port}/{database}?")?,
            Host::Address(IpAddr::V4(v4)) => write!(f, "postgres://{v4}:{port}/{database}?")?,
            Host::Address(IpAddr::V6(v6)) => write!(f, "postgres://[{v6}]:{port}/{database}?")?,
            Host::Socket(path) => write!(f, "postgres:///{database}?host={}&port={port}&", folder(path))?,
        }
        write!(f, "sslmode={}", tls.as_str())?;
        match tls.roots() {
            Some(Roots::File(path)) => write!(f, "&sslrootcert={}", folder(path)),
            Some(Roots::System) => f.write_str("&sslrootcert=system"),
            None => Ok(()),
        }
    }
}

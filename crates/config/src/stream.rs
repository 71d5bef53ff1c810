//! `[[stream]]`: where audit events are sent as they happen. Sends nothing, and fetches no secret.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::Pattern;

use crate::context::{Context, PathKind};
use crate::read::{Table, Value};
use crate::secret_ref::SecretRef;
use crate::vault::optional;
use crate::words::{is_loopback, name, one_of, required, web};

/// A stream of audit events to somewhere outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Unique; lower-case letters, digits, `-`, `_`: it is part of a file's name.
    pub name: String,
    /// Where it goes.
    pub kind: StreamKind,
    /// How events are written.
    pub format: StreamFormat,
    /// Which events go by it, by name. Never empty.
    pub events: Vec<Pattern>,
    /// Whether texts and parameters of statements leave by it.
    pub statement: StreamStatement,
    /// Whether a statement waits until its record has arrived there.
    // INVARIANT: only of kinds that answer, at once.
    pub required: bool,
    /// Where a new stream begins.
    pub begin: StreamBegin,
    /// How long one delivery may take.
    pub timeout: Duration,
    /// Authorities beside the system's.
    pub ca: Option<PathBuf>,
}

/// Where a stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Files on this machine, a line for each event.
    File {
        /// The file that is written.
        path: PathBuf,
        /// The size at which it is set aside.
        rotate_bytes: u64,
        /// How many that were set aside are kept.
        keep: u32,
    },
    /// Syslog, RFC 5424.
    Syslog {
        /// The server's name or address.
        host: String,
        /// Its port.
        port: u16,
        /// How the connection is kept secret.
        tls: SyslogTls,
        /// The gateway's certificate and its key, where the server asks for one.
        client: Option<(PathBuf, SecretRef)>,
    },
    /// Signed HTTP requests, each with some events.
    Http {
        /// `https`, or `http` on loopback.
        url: String,
        /// What they are signed with: `whsec_` and base64.
        secret: SecretRef,
    },
    /// OpenTelemetry logs over HTTP.
    Otlp {
        /// `https`, or `http` on loopback; whole, as `https://HOST:4318/v1/logs`.
        url: String,
        /// What it is sent with, as for a login.
        headers: BTreeMap<String, SecretRef>,
    },
    /// NATS JetStream.
    Nats {
        /// `tls://HOST:PORT`, or `nats://` on loopback.
        url: String,
        /// The subject that is published to; a JetStream stream must take it in.
        subject: String,
        /// Who the gateway is there.
        login: NatsLogin,
    },
    /// Parquet files in an object store, in folders by day.
    Parquet {
        /// The name of an `[[object_store]]`.
        object_store: String,
        /// What keys begin with; without slashes at its ends.
        prefix: String,
        /// How long events are gathered for one file.
        interval: Duration,
    },
}

impl StreamKind {
    /// Returns the word of the configuration.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Syslog { .. } => "syslog",
            Self::Http { .. } => "http",
            Self::Otlp { .. } => "otlp",
            Self::Nats { .. } => "nats",
            Self::Parquet { .. } => "parquet",
        }
    }
}

/// How a connection to a syslog server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogTls {
    /// TLS from the first byte (RFC 5425).
    Tls,
    /// Not at all: on loopback only.
    None,
}

impl SyslogTls {
    /// Returns the word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::None => "none",
        }
    }
}

/// Who the gateway is at a NATS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatsLogin {
    /// Nobody.
    None,
    /// User and password.
    User(SecretRef, SecretRef),
    /// A token.
    Token(SecretRef),
    /// What a `.creds` file holds: a JWT and its key.
    Credentials(SecretRef),
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFormat {
    /// As in the journal.
    Gatepost,
    /// As classes of the Open Cybersecurity Schema Framework.
    Ocsf,
}

impl StreamFormat {
    /// Returns the word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gatepost => "gatepost",
            Self::Ocsf => "ocsf",
        }
    }
}

/// Whether texts and parameters of statements leave by a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatement {
    /// As in the journal.
    Full,
    /// Neither.
    None,
}

impl StreamStatement {
    /// Returns the word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

/// Where a stream begins that has no position yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamBegin {
    /// With the oldest record that there is.
    Start,
    /// With the first record after it was first seen.
    Now,
}

impl StreamBegin {
    /// Returns the word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Now => "now",
        }
    }
}

impl Stream {
    /// Returns every secret that is needed, with what it is.
    pub fn secrets(&self) -> Vec<(String, &SecretRef)> {
        let one = |what: &str, reference| (what.to_owned(), reference);
        match &self.kind {
            StreamKind::File { .. } | StreamKind::Parquet { .. } => Vec::new(),
            StreamKind::Syslog { client, .. } => client.iter().map(|(_, key)| one("key", key)).collect(),
            StreamKind::Http { secret, .. } => vec![one("secret", secret)],
            StreamKind::Otlp { headers, .. } => {
                headers.iter().map(|(name, it)| (format!("header \"{name}\""), it)).collect()
            }
            StreamKind::Nats { login, .. } => match login {
                NatsLogin::None => Vec::new(),
                NatsLogin::User(user, password) => vec![one("user", user), one("password", password)],
                NatsLogin::Token(token) => vec![one("token", token)],
                NatsLogin::Credentials(creds) => vec![one("credentials", creds)],
            },
        }
    }
}

/// Keys that not every kind has.
const OF_KINDS: [(&str, &[&str]); 20] = [
    ("format", &["file", "syslog", "http", "nats"]),
    ("path", &["file"]),
    ("rotate", &["file"]),
    ("keep", &["file"]),
    ("host", &["syslog"]),
    ("tls", &["syslog"]),
    ("certificate", &["syslog"]),
    ("key", &["syslog"]),
    ("url", &["http", "otlp", "nats"]),
    ("secret", &["http"]),
    ("headers", &["otlp"]),
    ("subject", &["nats"]),
    ("user", &["nats"]),
    ("password", &["nats"]),
    ("token", &["nats"]),
    ("credentials", &["nats"]),
    ("object_store", &["parquet"]),
    ("prefix", &["parquet"]),
    ("interval", &["parquet"]),
    ("ca", &["syslog", "http", "otlp", "nats"]),
];

const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
const ROTATE: std::ops::RangeInclusive<u64> = (1 << 16)..=(1 << 40);
/// RFC 5425 section 4.1.
const SYSLOG_TLS_PORT: u16 = 6514;

/// `stores` holds the names of all object stores, `None` for one that could not be read.
pub(crate) fn read(
    table: &Table<'_>,
    stores: &[Option<String>],
    context: &mut Context<'_>,
) -> Option<Stream> {
    let name = table.value("name", context).and_then(|value| name(&value, context));
    let words = ["file", "syslog", "http", "otlp", "nats", "parquet"].map(|word| (word, word));
    let kind = table.value("kind", context).and_then(|value| one_of(&value, &words, context));
    let formats = [StreamFormat::Gatepost, StreamFormat::Ocsf].map(|it| (it.as_str(), it));
    let format = table.value("format", context).and_then(|value| one_of(&value, &formats, context));
    let events = table.value("events", context).and_then(|value| value.strings(context));
    let shown = [StreamStatement::Full, StreamStatement::None].map(|it| (it.as_str(), it));
    let statement = table.value("statement", context).and_then(|value| one_of(&value, &shown, context));
    let is_required = table.value("required", context).and_then(|value| value.boolean(context));
    let begins = [StreamBegin::Start, StreamBegin::Now].map(|it| (it.as_str(), it));
    let begin = table.value("begin", context).and_then(|value| one_of(&value, &begins, context));
    let timeout = table.value("timeout", context).and_then(|value| value.duration(TIMEOUT, context));
    let ca = optional(table, "ca", context, |value, context| value.path(PathKind::File, context));
    let kind = kind.and_then(|word| {
        for (key, kinds) in OF_KINDS {
            if let (false, Some(span)) = (kinds.contains(&word), table.written(key)) {
                let message = format!("\"{key}\" means nothing for kind \"{word}\"; remove it");
                context.error_at_secret(span, message);
            }
        }
        match word {
            "file" => file(table, context),
            "syslog" => syslog(table, context),
            "http" => {
                let url = required(table, "url", context).and_then(|value| web(&value, context));
                let secret = required(table, "secret", context).and_then(|value| value.secret(context));
                Some(StreamKind::Http { url: url?, secret: secret? })
            }
            "otlp" => {
                let url = required(table, "url", context).and_then(|value| web(&value, context));
                let headers = table.value("headers", context).and_then(|value| headers(&value, context));
                Some(StreamKind::Otlp { url: url?, headers: headers? })
            }
            "nats" => nats(table, context),
            _ => parquet(table, stores, context),
        }
    });
    if let (Some(kind), Some(true), Some(span)) = (&kind, is_required, table.written("required")) {
        // SECURITY: nobody would know whether the record has arrived.
        let why = match kind {
            StreamKind::Syslog { .. } => Some("nothing confirms there that an event has arrived"),
            StreamKind::Parquet { .. } => Some("events are gathered for minutes"),
            StreamKind::File { .. }
            | StreamKind::Http { .. }
            | StreamKind::Otlp { .. }
            | StreamKind::Nats { .. } => None,
        };
        if let Some(why) = why {
            let message = format!("a stream of kind \"{}\" can't be required: {why}", kind.as_str());
            context.error(span, message);
            return None;
        }
    }
    Some(Stream {
        name: name?,
        kind: kind?,
        format: format?,
        events: events?.iter().map(|(_, text)| Pattern::new(text)).collect(),
        statement: statement?,
        required: is_required?,
        begin: begin?,
        timeout: timeout?,
        ca: ca?,
    })
}

fn file(table: &Table<'_>, context: &mut Context<'_>) -> Option<StreamKind> {
    let path = required(table, "path", context).and_then(|value| value.string(context));
    let rotate_bytes = table.value("rotate", context).and_then(|value| value.bytes(ROTATE, context));
    let keep = table.value("keep", context).and_then(|value| value.number(1..=100_000, context));
    let keep = keep.and_then(|keep| u32::try_from(keep).ok());
    Some(StreamKind::File { path: context.resolve(&path?), rotate_bytes: rotate_bytes?, keep: keep? })
}

fn syslog(table: &Table<'_>, context: &mut Context<'_>) -> Option<StreamKind> {
    let words = [SyslogTls::Tls, SyslogTls::None].map(|it| (it.as_str(), it));
    let tls = table.value("tls", context).and_then(|value| one_of(&value, &words, context));
    let host = required(table, "host", context).and_then(|value| {
        let text = value.string(context)?;
        let url = url::Url::parse(&format!("syslog://{text}")).ok();
        let plain = url.as_ref().filter(|it| {
            it.username().is_empty()
                && it.password().is_none()
                && it.path().is_empty()
                && it.query().is_none()
                && it.fragment().is_none()
        });
        let Some((host, port)) =
            plain.and_then(|it| Some((it.host_str()?, it.port().unwrap_or(SYSLOG_TLS_PORT))))
        else {
            context.error(
                value.span(),
                format!("\"host\" must be written as HOST or HOST:PORT, not \"{text}\""),
            );
            return None;
        };
        if tls == Some(SyslogTls::None) && !is_loopback(host) {
            let message = format!("\"{host}\" is not this host, and tls = \"none\" is for loopback only");
            context.error(value.span(), message);
            return None;
        }
        Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
    });
    let certificate =
        optional(table, "certificate", context, |value, context| value.path(PathKind::File, context));
    let key = optional(table, "key", context, |value, context| value.secret(context));
    let client = match (certificate?, key?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            let message = "\"certificate\" and \"key\" belong together: write both, or neither";
            context.error_at_secret(table.span(), message.to_owned());
            return None;
        }
    };
    let (host, port) = host?;
    Some(StreamKind::Syslog { host, port, tls: tls?, client })
}

fn headers(value: &Value<'_>, context: &mut Context<'_>) -> Option<BTreeMap<String, SecretRef>> {
    let headers = value.secret_map(context)?;
    // RFC 9110 section 5.6.2.
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if let Some(bad) = headers.keys().find(|name| name.is_empty() || !name.chars().all(token)) {
        let message = format!("\"{}\" is no name of a header", bad.escape_debug());
        context.error_at_secret(value.span(), message);
        return None;
    }
    Some(headers)
}

fn nats(table: &Table<'_>, context: &mut Context<'_>) -> Option<StreamKind> {
    let url = required(table, "url", context).and_then(|value| broker(&value, context));
    let subject = required(table, "subject", context).and_then(|value| {
        let text = value.string(context)?;
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '*' | '>');
        if text.split('.').all(|part| !part.is_empty() && part.chars().all(plain)) && !text.starts_with('$') {
            return Some(text);
        }
        let message = format!("\"subject\" must be words with dots between, not \"{}\"", text.escape_debug());
        context.error(value.span(), message);
        None
    });
    let mut secret = |key: &str| optional(table, key, context, |value, context| value.secret(context));
    let [user, password, token, credentials] = ["user", "password", "token", "credentials"].map(&mut secret);
    let login = match (user?, password?, token?, credentials?) {
        (None, None, None, None) => NatsLogin::None,
        (Some(user), Some(password), None, None) => NatsLogin::User(user, password),
        (None, None, Some(token), None) => NatsLogin::Token(token),
        (None, None, None, Some(credentials)) => NatsLogin::Credentials(credentials),
        _ => {
            let message =
                "write \"user\" and \"password\", or \"token\", or \"credentials\", or none of them";
            context.error_at_secret(table.span(), message.to_owned());
            return None;
        }
    };
    Some(StreamKind::Nats { url: url?, subject: subject?, login })
}

/// Reads `tls://HOST:PORT`, or `nats://HOST:PORT` on loopback.
fn broker(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let text = value.string(context)?;
    let url = url::Url::parse(&text).ok().filter(|url| {
        url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
    });
    let wrong = match &url {
        Some(url) if url.scheme() == "tls" => return Some(text),
        Some(url) if url.scheme() == "nats" && url.host_str().is_some_and(is_loopback) => return Some(text),
        Some(url) if url.scheme() == "nats" => "must be tls:; nats: is for loopback only",
        _ => "must be like \"tls://HOST:PORT\", without user and password",
    };
    context.error_at_secret(value.span(), format!("\"{}\" {wrong}", value.name()));
    None
}

fn parquet(table: &Table<'_>, stores: &[Option<String>], context: &mut Context<'_>) -> Option<StreamKind> {
    let object_store = required(table, "object_store", context).and_then(|value| {
        let text = value.string(context)?;
        if stores.iter().any(|known| known.as_ref().is_none_or(|known| *known == text)) {
            return Some(text);
        }
        context.error(value.span(), format!("there is no [[object_store]] named \"{text}\""));
        None
    });
    let prefix = table.value("prefix", context).and_then(|value| {
        let text = value.string(context)?;
        let trimmed = text.trim_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
        let good = |word: &str| !word.is_empty() && word != "." && word != ".." && word.chars().all(plain);
        if trimmed.split('/').all(good) {
            return Some(trimmed.to_owned());
        }
        let message =
            "\"prefix\" must be of letters, digits, \"-\", \"_\", \".\" and \"=\", with \"/\" between";
        context.error(value.span(), message.to_owned());
        None
    });
    let interval = table.value("interval", context).and_then(|value| value.duration(INTERVAL, context));
    Some(StreamKind::Parquet { object_store: object_store?, prefix: prefix?, interval: interval? })
}

//! `[telemetry]`: who may read the gateway's numbers, and where spans go. Sends nothing, and fetches no secret.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::context::{Context, PathKind};
use crate::read::{Table, Value};
use crate::secret_ref::SecretRef;
use crate::vault::address;

/// Headers that a request has by itself, or that say where it ends.
const NOT_OURS: [&str; 6] =
    ["connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"];
const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

/// What monitoring may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Who may read `/metrics`.
    pub metrics: Metrics,
    /// Where spans go; `None`: nowhere, and none are made.
    pub otlp: Option<Otlp>,
}

/// A collector of OpenTelemetry that takes OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// The URL that spans are posted to: `https`, or `http` on loopback.
    pub endpoint: String,
    /// Sent with each request, by name in lower case.
    pub headers: BTreeMap<String, SecretRef>,
    /// Of sessions, and of requests over HTTP.
    pub sample: Share,
    /// Of the statements of such sessions.
    pub sample_statements: Share,
    /// For one request.
    pub timeout: Duration,
    /// Authorities beside the system's.
    pub ca: Option<PathBuf>,
    /// What the gateway is called: `service.name`.
    pub service: String,
}

/// A share of something, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    // INVARIANT: at most a million.
    millionths: u32,
}

impl Share {
    /// Of 1.
    const WHOLE: u32 = 1_000_000;

    /// Returns it as a number from 0 to 1; `None`: it is none.
    pub(crate) fn read(number: f64) -> Option<Self> {
        let millionths = (number * f64::from(Self::WHOLE)).round();
        // What is between two millionths is the nearer of them, but nothing becomes nothing that is not.
        let in_range = (0.0..=f64::from(Self::WHOLE)).contains(&millionths);
        (in_range && (millionths >= 1.0 || number == 0.0)).then_some(Self { millionths: millionths as u32 })
    }

    /// Returns it, from 0 to 1.
    pub fn get(self) -> f64 {
        f64::from(self.millionths) / f64::from(Self::WHOLE)
    }
}

impl fmt::Display for Share {
    /// Writes it as TOML does a decimal number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.get())
    }
}

/// Who may read `/metrics`. Over the local socket it can be read in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Nobody else.
    Local,
    /// Whoever has the role viewer or more, at `[listen] http`.
    Viewer,
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Viewer => f.write_str("viewer"),
        }
    }
}

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Telemetry> {
    let metrics = table.value("metrics", context).and_then(|value| metrics(&value, context));
    let otlp = match table.written("otlp") {
        None => Some(None),
        Some(_) => table.table("otlp", context).and_then(|table| otlp(&table, context)).map(Some),
    };
    Some(Telemetry { metrics: metrics?, otlp: otlp? })
}

fn otlp(table: &Table<'_>, context: &mut Context<'_>) -> Option<Otlp> {
    let endpoint = table.value("endpoint", context).and_then(|value| endpoint(&value, context));
    let headers = table.value("headers", context).and_then(|value| {
        let read = value.secret_map(context)?;
        let named: Vec<_> =
            read.into_iter().map(|(name, secret)| Some((header(&name, &value, context)?, secret))).collect();
        let (count, headers) = (named.len(), named.into_iter().collect::<Option<BTreeMap<_, _>>>()?);
        if headers.len() < count {
            context.error_at_secret(value.span(), "\"headers\" names one twice".to_owned());
            return None;
        }
        Some(headers)
    });
    let mut share = |key: &str| table.value(key, context).and_then(|value| value.share(context));
    let (sample, sample_statements) = (share("sample"), share("sample_statements"));
    let timeout = table.value("timeout", context).and_then(|value| value.duration(TIMEOUT, context));
    let ca = match table.value("ca", context) {
        Some(value) => value.path(PathKind::File, context).map(Some),
        None => Some(None),
    };
    let service = table.value("service", context).and_then(|value| value.string(context));
    Some(Otlp {
        endpoint: endpoint?,
        headers: headers?,
        sample: sample?,
        sample_statements: sample_statements?,
        timeout: timeout?,
        ca: ca?,
        service: service?,
    })
}

/// Reads where spans go; of a collector without a path, to where it takes them by default.
fn endpoint(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let url = address(value, context)?;
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    Some(if path.is_some() { url } else { format!("{url}/v1/traces") })
}

fn header(name: &str, value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let name = name.to_ascii_lowercase();
    // RFC 9110 5.6.2.
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        let message = format!("\"{}\" in \"headers\" is no name of a header", name.escape_debug());
        context.error_at_secret(value.span(), message);
        return None;
    }
    if NOT_OURS.contains(&name.as_str()) {
        context.error_at_secret(value.span(), format!("the header \"{name}\" is the gateway's to write"));
        return None;
    }
    Some(name)
}

fn metrics(value: &Value<'_>, context: &mut Context<'_>) -> Option<Metrics> {
    let text = value.string(context)?;
    match text.as_str() {
        "local" => Some(Metrics::Local),
        "viewer" => Some(Metrics::Viewer),
        other => {
            context.error(value.span(), format!("metrics \"{other}\" is neither \"local\" nor \"viewer\""));
            None
        }
    }
}

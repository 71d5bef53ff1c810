//! `[telemetry]`: who may read the gateway's numbers, and where traces go. Sends nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use crate::context::Context;
use crate::read::{Table, Value};
use crate::secret_ref::SecretRef;
use crate::vault::{address, optional};

/// Numbers and traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Who may read `/metrics`.
    pub metrics: Metrics,
    /// Where traces go; `None`: there are none.
    pub otlp: Option<Otlp>,
}

/// Who may read `/metrics`. Over the local socket it can be read in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Nobody else.
    Local,
    /// Whoever has the role viewer or more, at `[listen] http`.
    Viewer,
    /// Whoever reaches this address, which serves nothing else.
    Open(SocketAddr),
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Viewer => f.write_str("viewer"),
            Self::Open(address) => address.fmt(f),
        }
    }
}

/// A collector of traces that speaks OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// Its URL, without `/v1/traces`.
    pub endpoint: String,
    /// What is sent with each request, by name of the header.
    pub headers: BTreeMap<String, SecretRef>,
    /// One in so many sessions and requests is traced.
    pub sample: u32,
}

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Telemetry> {
    let metrics = table.value("metrics", context).and_then(|value| metrics(&value, context));
    let otlp = match table.written("otlp") {
        None => Some(None),
        Some(_) => table.table("otlp", context).and_then(|table| otlp(&table, context)).map(Some),
    };
    Some(Telemetry { metrics: metrics?, otlp: otlp? })
}

fn metrics(value: &Value<'_>, context: &mut Context<'_>) -> Option<Metrics> {
    let text = value.string(context)?;
    match text.as_str() {
        "local" => Some(Metrics::Local),
        "viewer" => Some(Metrics::Viewer),
        other => match other.parse() {
            Ok(address) => Some(Metrics::Open(address)),
            Err(_) => {
                let message = format!(
                    "metrics \"{other}\" is neither \"local\" nor \"viewer\" nor an IP address and port like \"127.0.0.1:9187\""
                );
                context.error(value.span(), message);
                None
            }
        },
    }
}

fn otlp(table: &Table<'_>, context: &mut Context<'_>) -> Option<Otlp> {
    let endpoint = table.value("endpoint", context).and_then(|value| address(&value, context));
    let headers = optional(table, "headers", context, |value, context| {
        let headers = value.secret_map(context)?;
        let word = |name: &String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if headers.keys().all(word) {
            return Some(headers);
        }
        let message = "\"headers\" must be named with letters, digits, \"-\" and \"_\"";
        context.error_at_secret(value.span(), message.to_owned());
        None
    });
    let sample = table.value("sample", context).and_then(|value| value.number(1..=1_000_000, context));
    let sample = sample.and_then(|sample| u32::try_from(sample).ok());
    Some(Otlp { endpoint: endpoint?, headers: headers?.unwrap_or_default(), sample: sample? })
}

//! OpenTelemetry logs over HTTP, in JSON (OTLP 1.x, `/v1/logs`): the event's line is the body, and what is asked for most are attributes.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>, <https://opentelemetry.io/docs/specs/otel/logs/data-model/>.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use model::Secret;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::http::answered;
use crate::{Failure, Item, tls};

/// Severity numbers of the data model.
const INFO: u8 = 9;
const WARN: u8 = 13;
/// Of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A collector.
pub(crate) struct Otlp {
    client: reqwest::Client,
    url: String,
    headers: HeaderMap,
}

impl Otlp {
    pub(crate) fn new(
        url: &str,
        fetched: &[(&str, Secret<String>)],
        ca: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        for (name, secret) in fetched {
            let bad =
                || Failure::new(format!("header \"{name}\" can't be sent: its name or its value is not one"));
            let mut value = HeaderValue::from_str(secret.expose().trim()).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(*name).map_err(|_| bad())?, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self { client: tls::http_client(ca)?, url: url.to_owned(), headers })
    }

    pub(crate) async fn take(&self, items: &[Item], journal: &str) -> Result<(), Failure> {
        let request = self.client.post(&self.url).headers(self.headers.clone());
        let body = body(items, journal, SystemTime::now()).to_string();
        let mut answer = answered(request.body(body)).await?;
        let mut read = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.map_err(|error| Failure::of("no answer", &error.without_url()))?
        {
            read.extend_from_slice(&chunk);
            if read.len() > ANSWER_BYTES_MAX {
                return Err(Failure::new("the answer is too long"));
            }
        }
        // A collector may answer in protobuf or not at all: then it has taken everything.
        let rejected = serde_json::from_slice::<Value>(&read).ok().and_then(|it| rejected(&it));
        match rejected {
            // SECURITY: it will not take them later either, and what is given up would be missing there unseen: the stream stands still, and says so.
            Some(count) => {
                Err(Failure::new(format!("the collector has rejected {count} of {} events", items.len())))
            }
            None => Ok(()),
        }
    }
}

fn rejected(answer: &Value) -> Option<u64> {
    let rejected = answer.get("partialSuccess")?.get("rejectedLogRecords")?;
    // A 64-bit number is a string in the JSON of protobuf.
    let count = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok())?;
    (count > 0).then_some(count)
}

fn body(items: &[Item], journal: &str, now: SystemTime) -> Value {
    let observed = now.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_nanos()).to_string();
    let records: Vec<Value> = items.iter().map(|item| record(item, journal, &observed)).collect();
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            text("service.name", "gatepost"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", journal),
        ]},
        "scopeLogs": [{"scope": {"name": "gatepost.audit"}, "logRecords": records}],
    }]})
}

/// Attributes by the semantic conventions where there is one: <https://opentelemetry.io/docs/specs/semconv/database/>.
fn record(item: &Item, journal: &str, observed: &str) -> Value {
    let fields: Value = serde_json::from_str(&item.line).unwrap_or_default();
    let mut attributes = vec![
        json!({"key": "gatepost.seq", "value": {"intValue": item.mark.seq.to_string()}}),
        json!({"key": "gatepost.journal", "value": {"stringValue": journal}}),
        json!({"key": "db.system.name", "value": {"stringValue": "postgresql"}}),
    ];
    let mut text = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            attributes.push(json!({"key": key, "value": {"stringValue": value}}));
        }
    };
    let word = |name: &str| fields.get(name).and_then(Value::as_str);
    text("db.namespace", word("database"));
    text("session.id", word("session"));
    text("gatepost.verdict", word("verdict"));
    text("db.response.status_code", word("sqlstate"));
    let subject = fields.pointer("/identity/subject").and_then(Value::as_str);
    text("user.id", subject);
    text("gatepost.issuer", fields.pointer("/identity/issuer").and_then(Value::as_str));
    let warns = word("verdict") == Some("deny")
        || ["incident", "authentication_failed", "control_refused", "policy_refused", "limit_exceeded"]
            .contains(&&*item.event);
    let (number, severity) = if warns { (WARN, "WARN") } else { (INFO, "INFO") };
    json!({
        "timeUnixNano": item.time.0.to_string(),
        "observedTimeUnixNano": observed,
        "severityNumber": number,
        "severityText": severity,
        "eventName": format!("gatepost.{}", item.event),
        "body": {"stringValue": item.line},
        "attributes": attributes,
    })
}

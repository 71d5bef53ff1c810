//! The messages of OTLP that carry spans, as far as they are used here, and their bytes. Knows no connection.
//!
//! Numbers and types are those of `opentelemetry/proto/trace/v1/trace.proto`, `common/v1/common.proto`, `resource/v1/resource.proto` and
//! `collector/trace/v1/trace_service.proto` of opentelemetry-proto 1.7; what is written is read with OpenTelemetry's own types in the tests.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::span::{Kind, Span, Status, Value};

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    events: Vec<EventMessage>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<LinkMessage>,
    #[prost(message, optional, tag = "15")]
    status: Option<StatusMessage>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct EventMessage {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct LinkMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct StatusMessage {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "OneValue", tags = "1, 2, 3")]
    value: Option<OneValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OneValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Truth(bool),
    #[prost(int64, tag = "3")]
    Number(i64),
}

/// What a collector answers: `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
}

/// `TRACE_FLAGS` of W3C: these spans are kept.
const SAMPLED: u32 = 1;
/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;
/// The semantic conventions that names are of.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// Makes the body of a request: `ExportTraceServiceRequest`.
pub(crate) fn request(resource: &[(&'static str, String)], spans: &[Span]) -> Vec<u8> {
    let attributes = resource.iter().map(|(key, value)| pair(key, OneValue::Text(value.clone())));
    let scope = Scope { name: "gatepost".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_spans = ScopeSpans { scope: Some(scope), spans: spans.iter().map(span).collect() };
    let resource_spans = ResourceSpans {
        resource: Some(Resource { attributes: attributes.collect() }),
        scope_spans: vec![scope_spans],
        schema_url: SCHEMA.to_owned(),
    };
    ExportRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

/// Reads how many spans a collector took and will not keep; 0 where it says nothing that can be read.
pub(crate) fn rejected(answer: &[u8]) -> u64 {
    let partial = ExportResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
    partial.and_then(|partial| u64::try_from(partial.rejected_spans).ok()).unwrap_or(0)
}

fn span(span: &Span) -> SpanMessage {
    SpanMessage {
        trace_id: span.trace.to_bytes().to_vec(),
        span_id: span.id.to_bytes().to_vec(),
        parent_span_id: span.parent.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
        },
        start_time_unix_nano: nanoseconds(span.start),
        // A clock that is set back makes no span that ends before it begins.
        end_time_unix_nano: nanoseconds(span.end.max(span.start)),
        attributes: span.attributes.iter().map(|(key, said)| pair(key, value(said))).collect(),
        events: span
            .events
            .iter()
            .map(|(name, at)| EventMessage { time_unix_nano: nanoseconds(*at), name: (*name).to_owned() })
            .collect(),
        links: span
            .links
            .iter()
            .map(|(trace, id)| LinkMessage {
                trace_id: trace.to_bytes().to_vec(),
                span_id: id.to_bytes().to_vec(),
            })
            .collect(),
        status: match span.status {
            Status::Unset => None,
            Status::Error => Some(StatusMessage { code: ERROR }),
        },
        flags: SAMPLED,
    }
}

fn pair(key: &str, value: OneValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

fn value(value: &Value) -> OneValue {
    match value {
        Value::Word(word) => OneValue::Text((*word).to_owned()),
        Value::Name(name) => OneValue::Text(name.clone()),
        Value::Number(number) => OneValue::Number(*number),
        Value::Truth(truth) => OneValue::Truth(*truth),
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::rejected;

    #[test]
    fn an_answer_that_is_none_says_nothing() {
        for answer in
            [&b""[..], b"<html>", &[0x0a, 0x02, 0x08, 0x07], &[0x7b; 4096], &[0x0a; 4096], &[0xff; 64]]
        {
            let said = rejected(answer);
            assert_eq!(said, if answer == [0x0a, 0x02, 0x08, 0x07] { 7 } else { 0 }, "{answer:?}");
        }
        // -1
        let less = [0x0a, 0x0b, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(rejected(&less), 0);
    }
}

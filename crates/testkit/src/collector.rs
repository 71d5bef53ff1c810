//! A collector of OpenTelemetry, as far as spans go: takes OTLP over HTTP, and reads it with OpenTelemetry's own types.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost_of_otlp::Message as _;

use crate::http::{Answer, Request, Server};
use crate::process::poll;
use crate::tls::Certified;

/// What a request to a collector held.
#[derive(Clone, Debug)]
pub struct Posted {
    /// As it came.
    pub request: Request,
    /// What all its spans are of.
    pub resource: BTreeMap<String, String>,
    /// Its spans.
    pub spans: Vec<Taken>,
}

/// A span, with its attributes as text.
#[derive(Clone, Debug)]
pub struct Taken {
    /// As OpenTelemetry's types have it.
    pub span: Span,
    /// By key; numbers and truths as they are printed.
    pub attributes: BTreeMap<String, String>,
}

impl Taken {
    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// Returns an attribute; empty if it isn't there.
    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// Returns when it began and ended, in nanoseconds since 1970.
    pub fn times(&self) -> (u64, u64) {
        (self.span.start_time_unix_nano, self.span.end_time_unix_nano)
    }

    /// Whether it is directly within another.
    pub fn is_in(&self, parent: &Self) -> bool {
        self.span.trace_id == parent.span.trace_id && self.span.parent_span_id == parent.span.span_id
    }

    /// Whether it is the first of its trace.
    pub fn is_root(&self) -> bool {
        self.span.parent_span_id.is_empty()
    }
}

/// What is answered to the nth request, counted from 0.
type Mood = Box<dyn Fn(usize) -> Answer + Send + Sync>;

/// A collector; ends on drop.
pub struct Collector {
    server: Server,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Collector {
    /// Starts one that takes everything.
    pub fn start() -> Self {
        Self::answering(Box::new(|_| Self::takes(0)))
    }

    /// Starts one that answers as is said; what it does not take, it has seen all the same.
    pub fn answering(mood: Mood) -> Self {
        let posted = Arc::default();
        Self { server: Server::start(taking(&posted, mood)), posted }
    }

    /// Starts one with TLS that takes everything.
    pub fn start_tls(certified: &Certified) -> Self {
        let posted = Arc::default();
        let mood: Mood = Box::new(|_| Self::takes(0));
        Self { server: Server::start_tls(certified, taking(&posted, mood)), posted }
    }

    /// The answer of a collector that takes what it got, and keeps all but so many spans.
    pub fn takes(rejected: i64) -> Answer {
        let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message: String::new() };
        let partial_success = (rejected > 0).then_some(partial);
        let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        let headers = vec![("Content-Type".to_owned(), "application/x-protobuf".to_owned())];
        Answer { status: 200, headers, body, delay: Duration::ZERO }
    }

    /// Returns its URL, without a path.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns what has been posted to it.
    ///
    /// # Panics
    /// A thread of its has panicked.
    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().expect("no panic").clone()
    }

    /// Returns all spans so far, as they came.
    pub fn spans(&self) -> Vec<Taken> {
        self.posted().into_iter().flat_map(|posted| posted.spans).collect()
    }

    /// Waits until what has come so far is what is awaited, and returns that.
    ///
    /// # Panics
    /// It is not within 20 s.
    #[track_caller]
    pub fn wait<T>(&self, awaited: impl Fn(&[Taken]) -> Option<T>) -> T {
        let found = poll(Duration::from_secs(20), || awaited(&self.spans()));
        found.unwrap_or_else(|| panic!("it does not come: {:#?}", self.spans()))
    }
}

fn taking(posted: &Arc<Mutex<Vec<Posted>>>, mood: Mood) -> impl Fn(&Request) -> Answer + Send + Sync + use<> {
    let posted = Arc::clone(posted);
    move |request| {
        let read = ExportTraceServiceRequest::decode(request.bytes.as_slice());
        let read = read.unwrap_or_else(|error| panic!("{error}: {request:?}"));
        let mut taken = Posted { request: request.clone(), resource: BTreeMap::new(), spans: Vec::new() };
        for of_resource in read.resource_spans {
            let resource = of_resource.resource.unwrap_or_default();
            taken.resource.extend(texts(&resource.attributes));
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                taken.spans.push(Taken { attributes: texts(&span.attributes), span });
            }
        }
        let mut all = posted.lock().expect("no panic");
        all.push(taken);
        mood(all.len() - 1)
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(truth)) => truth.to_string(),
        other => panic!("{}: {other:?} is written by nobody here", pair.key),
    };
    attributes.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

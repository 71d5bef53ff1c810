//! The span of a request over HTTP. Knows no path, no body and nobody.

use std::time::{Duration, SystemTime};

use otlp::{Kind, Parent, Span, SpanIds, TraceId, Value};

use super::Traces;
use super::session::fail;
use crate::cancel;

/// A request that has been answered.
pub(crate) struct RequestSpan {
    /// One of HTTP's.
    pub(crate) method: &'static str,
    /// With its variables unfilled.
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    pub(crate) roles: Vec<&'static str>,
    pub(crate) took: Duration,
    /// `traceparent`, of somebody who may say so.
    pub(crate) parent: Option<Parent>,
}

impl Traces {
    /// Tells of a request, if it is one of those that have a span. Whose caller does not trace it has none.
    pub(crate) fn request(&self, request: RequestSpan) {
        let RequestSpan { method, route, status, roles, took, parent } = request;
        let (Ok(trace), Ok(id)) = (cancel::random::<16>(), cancel::random::<8>()) else { return };
        let trace = match parent {
            Some(parent) if !parent.is_sampled() => return,
            Some(parent) => Some(parent.trace),
            None => TraceId::new(u128::from_be_bytes(trace)),
        };
        let Some(trace) = trace.filter(|trace| self.sessions.takes(trace.lot())) else { return };
        let end = SystemTime::now();
        let id = SpanIds::new(u64::from_be_bytes(id)).next_id();
        let (name, times) = (format!("{method} {route}"), (end.checked_sub(took).unwrap_or(end), end));
        let mut span = Span::new((trace, id), parent.map(|parent| parent.span), &name, Kind::Server, times);
        span.attributes = vec![
            ("http.request.method", Value::Word(method)),
            ("http.route", Value::Word(route)),
            ("http.response.status_code", Value::Number(status.into())),
        ];
        if !roles.is_empty() {
            span.attributes.push(("gatepost.roles", Value::Name(roles.join(","))));
        }
        // As OpenTelemetry's conventions have it, what the caller did wrong is no failure of the server's.
        fail(&mut span, (status >= 500).then(|| Value::Name(status.to_string())));
        self.send(vec![span]);
    }
}

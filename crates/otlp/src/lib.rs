//! Spans of OpenTelemetry, and how they leave: OTLP over HTTP, in protobuf.
//!
//! Knows times, names and typed attributes. Must not know sessions, statements, or who anybody is: what may be in a span is decided where
//! spans are made, and an attribute is a word of ours, a number, or a name that somebody there vouches for ([`Value`]).

mod context;
mod encode;
mod export;
mod queue;
mod span;

pub use context::{Parent, Ratio, SpanId, SpanIds, TraceId};
pub use export::{Exporter, Headers, Settings, SettingsError};
pub use queue::Counts;
pub use span::{Kind, Span, Status, Value};

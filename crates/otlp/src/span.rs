//! A span as it is made. Knows no encoding.

use std::time::SystemTime;

use crate::context::{SpanId, TraceId};

/// Something that took its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Of which trace.
    pub trace: TraceId,
    /// Its own name.
    pub id: SpanId,
    /// Within which span; `None`: the first of its trace.
    pub parent: Option<SpanId>,
    /// What it is called: few for all, never made of what somebody sent.
    pub name: String,
    /// Whose work it is.
    pub kind: Kind,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// What is known of it, by names of OpenTelemetry's semantic conventions or of ours.
    pub attributes: Vec<(&'static str, Value)>,
    /// What happened meanwhile, and when.
    pub events: Vec<(&'static str, SystemTime)>,
    /// Spans of other traces that it belongs to.
    pub links: Vec<(TraceId, SpanId)>,
    /// Whether it failed.
    pub status: Status,
}

impl Span {
    /// Makes a span that says nothing yet but when it began and ended.
    pub fn new(
        (trace, id): (TraceId, SpanId),
        parent: Option<SpanId>,
        name: &str,
        kind: Kind,
        (start, end): (SystemTime, SystemTime),
    ) -> Self {
        let (attributes, events, links) = (Vec::new(), Vec::new(), Vec::new());
        let name = name.to_owned();
        Self { trace, id, parent, name, kind, start, end, attributes, events, links, status: Status::Unset }
    }
}

/// Whose work a span is: `SpanKind` of OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Within this process.
    Internal,
    /// For somebody who asked over a network.
    Server,
    /// Of somebody else, whom this process has asked over a network.
    Client,
}

/// Whether a span failed. There is no text with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing is said.
    Unset,
    /// It failed.
    Error,
}

/// What an attribute says.
///
/// SECURITY: there is no way to put in it what somebody sent by accident: texts are of this program, or names.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A word of this program.
    Word(&'static str),
    /// A name of the configuration or of a database's catalog, a number of ours as text, or a SQLSTATE.
    Name(String),
    /// A number.
    Number(i64),
    /// Whether something is so.
    Truth(bool),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

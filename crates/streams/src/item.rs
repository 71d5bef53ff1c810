//! Records as they are sent. Knows no destination.

use audit::{Hash, Record, Seq, Time};
use config::{Stream, StreamFormat, StreamStatement};
use serde_json::Value;

/// How far a stream is: a record's number and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub(crate) seq: Seq,
    pub(crate) hash: Hash,
}

/// One event as it is sent.
#[derive(Clone, Debug)]
pub struct Item {
    /// The record, and its hash.
    pub mark: Mark,
    /// When it was written.
    pub time: Time,
    /// The event's stable name; `checkpoint` of what is none.
    pub event: String,
    /// One line of JSON in the stream's format, without a newline.
    pub line: String,
}

/// What of a journal's records goes by a stream, and how it is written.
pub(crate) struct Form<'a> {
    pub(crate) stream: &'a Stream,
    /// The journal's random name, hex.
    pub(crate) journal: &'a str,
}

impl Form<'_> {
    /// Writes a record; `None`: it does not go by this stream.
    pub(crate) fn item(&self, record: &Record<'_>) -> Option<Item> {
        let event = event_name(record.payload).unwrap_or("checkpoint");
        if !self.stream.events.iter().any(|pattern| pattern.matches(event)) {
            return None;
        }
        let event = event.to_owned();
        let line = match (self.stream.format, self.stream.statement) {
            (StreamFormat::Gatepost, StreamStatement::Full) => self.named(record),
            (StreamFormat::Gatepost, StreamStatement::None) => self.fields(record)?.to_string(),
            (StreamFormat::Ocsf, _) => ocsf::event(
                &self.fields(record)?,
                record.time.0.div_euclid(1_000_000),
                env!("CARGO_PKG_VERSION"),
            )
            .to_string(),
        };
        Some(Item { mark: Mark { seq: record.seq, hash: record.hash }, time: record.time, event, line })
    }

    /// As the journal has it, with the journal's name and the record's hash at the end: together with `seq` they say of a copy where it belongs.
    fn named(&self, record: &Record<'_>) -> String {
        let mut line = audit::render::json_line(record, None);
        line.truncate(line.len().saturating_sub(1));
        line.push_str(&format!(",\"journal\":\"{}\",\"hash\":\"{}\"}}", self.journal, record.hash));
        line
    }

    /// SECURITY: what can't be read as JSON is not sent where texts must not leave.
    fn fields(&self, record: &Record<'_>) -> Option<Value> {
        let mut fields: Value = serde_json::from_str(&self.named(record)).ok()?;
        if self.stream.statement == StreamStatement::None
            && let Some(object) = fields.as_object_mut()
        {
            for name in ["text", "runs", "parameters"] {
                object.remove(name);
            }
        }
        Some(fields)
    }
}

/// The first member of every event.
fn event_name(payload: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(payload).ok()?;
    let (name, _) = text.strip_prefix("{\"event\":\"")?.split_once('"')?;
    Some(name)
}

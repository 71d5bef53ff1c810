//! Records as people and programs read them. Knows no terminal and no files.

use std::fmt::Write as _;

use crate::frame::{Kind, Record};
use crate::json::is_deceptive;

/// Writes a record as one line of JSON: its `seq` and `time`, then the fields of its event. An `outcome` is added to the
/// statement that it belongs to, as a field without session and number; a statement that has none yet gets `null`.
pub fn json_line(record: &Record<'_>, outcome: Option<Joined<'_>>) -> String {
    let mut line = String::with_capacity(record.payload.len() + 256);
    let Record { seq, time, kind, code, hash: _, payload } = record;
    // Writing into a `String` can't fail.
    let _ = write!(line, "{{\"seq\":{seq},\"time\":\"{time}\"");
    let object = match kind {
        Kind::Event => inner(payload),
        Kind::Checkpoint | Kind::Other(_) => None,
    };
    let note = std::str::from_utf8(payload).ok().filter(|_| *kind == Kind::Checkpoint);
    match (object, note) {
        (Some(fields), _) => {
            let _ = write!(line, ",{fields}");
        }
        (None, Some(note)) => {
            let note = serde_json::Value::from(note);
            let _ = write!(line, ",\"event\":\"checkpoint\",\"note\":{note}");
        }
        (None, None) => {
            let _ = write!(line, ",\"event\":null,\"code\":{},\"payload_bytes\":{}", code.0, payload.len());
        }
    }
    match outcome {
        None => {}
        Some(Joined::Missing) => line.push_str(",\"outcome\":null"),
        Some(Joined::Outcome(outcome)) => {
            let fields = inner(outcome.payload).and_then(after_statement).unwrap_or_default();
            let _ = write!(line, ",\"outcome\":{{\"seq\":{},\"time\":\"{}\"", outcome.seq, outcome.time);
            let _ = write!(line, "{}{fields}}}", if fields.is_empty() { "" } else { "," });
        }
    }
    line.push('}');
    line
}

/// What a statement's record is joined with.
#[derive(Clone, Copy, Debug)]
pub enum Joined<'a> {
    /// The record of its outcome.
    Outcome(&'a Record<'a>),
    /// There is none: it was refused, is still running, or the gateway died.
    Missing,
}

/// Makes text safe and visible in one cell of a table on a terminal: what [`Fragment`](crate::Fragment)s escape is written as
/// `\n`, `\t`, `\u{1b}`.
pub fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// The text between the braces of a payload.
fn inner(payload: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(payload).ok()?;
    text.strip_prefix('{')?.strip_suffix('}').filter(|fields| !fields.is_empty())
}

/// The fields of an outcome after those that name its statement; they are the first three, and hold no commas.
fn after_statement(fields: &str) -> Option<&str> {
    fields.splitn(4, ',').nth(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_shows_what_it_holds_in_one_line() {
        assert_eq!(cell("a\nb\t\u{1b}[31m\u{202e}é"), r"a\nb\t\u{1b}[31m\u{202e}é");
    }
}

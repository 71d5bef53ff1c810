//! A script for psql that runs what the session ran. Knows SQL's words and psql's; no connection.
//!
//! What the gateway refused stands as a comment: the database never saw it. So does what can't be written down without becoming something
//! else: COPY in binary or cut short, a text that is no SQL. Where such a thing failed a transaction, a statement that fails stands in
//! its place, so that COMMIT rolls back as it did.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use recording::{Entry, Opening, Sent, What};
use wire::backend::{CopyResponse, ReadyForQuery, TransactionStatus, tag};
use wire::error::ErrorFields;
use wire::frame;

use super::moment;
use crate::lexer::{Token, first_word, tokens};
use crate::safe::{self, Brackets};
use crate::values;

/// A statement whose end hasn't come.
#[derive(Debug)]
struct Pending {
    number: u64,
    at: Duration,
    sent: Sent,
    /// Rows that the client sent for COPY; `None` if it was not that.
    copy: Option<Vec<u8>>,
    binary: bool,
    cut: bool,
    failed: Option<String>,
    done: bool,
}

/// Writes a recording as an SQL script.
#[derive(Debug)]
pub struct SqlScript {
    opening: Opening,
    pending: VecDeque<Pending>,
    status: TransactionStatus,
}

impl SqlScript {
    /// Begins; returns the head.
    pub fn begin(opening: &Opening) -> (Self, String) {
        let lines = [
            format!("Session {} of {} at {}", opening.session, opening.identity, opening.database),
            format!("began {}; from a recording by Gatepost, for psql", moment(opening, Duration::ZERO)),
            "Statements that were refused, or that can't be written down as they were, stand as comments."
                .to_owned(),
        ];
        let mut head: String = lines.iter().map(|line| comment(line)).collect();
        head.push_str("\\encoding UTF8\n\\set ON_ERROR_STOP off\nSET standard_conforming_strings = on;\n");
        let script =
            Self { opening: opening.clone(), pending: VecDeque::new(), status: TransactionStatus::Idle };
        (script, head)
    }

    /// Returns what an entry adds: a statement, when it is answered.
    pub fn entry(&mut self, entry: &Entry) -> String {
        let mut out = String::new();
        let number = entry.statement;
        match &entry.what {
            What::Sent(sent) => self.pending.push_back(Pending {
                number,
                at: entry.at,
                sent: (**sent).clone(),
                copy: None,
                binary: false,
                cut: false,
                failed: None,
                done: false,
            }),
            What::Received(bytes) => self.received(number, bytes, &mut out),
            What::CopyData(data) => {
                if let Some(it) = self.find(number) {
                    it.copy.get_or_insert_default().extend_from_slice(data);
                }
            }
            What::Gap { why } => {
                self.flush(&mut out);
                out.push_str(&comment(&format!("not recorded up to here: {why}")));
            }
            What::Ended { .. } => self.flush(&mut out),
            What::CopyCut(_) => {
                if let Some(it) = self.find(number) {
                    it.cut = true;
                }
            }
            What::Cut { .. } | What::Hold(_) | What::CancelRequested | What::Kept(_) => {}
        }
        out
    }

    /// Returns what was not answered.
    pub fn end(mut self) -> String {
        let mut out = String::new();
        self.flush(&mut out);
        out
    }

    fn find(&mut self, number: u64) -> Option<&mut Pending> {
        self.pending.iter_mut().find(|it| it.number == number)
    }

    fn received(&mut self, number: u64, bytes: &[u8], out: &mut String) {
        let mut rest = bytes;
        while let Ok(Some(message)) = frame::next(rest, usize::MAX) {
            rest = rest.get(message.raw.len()..).unwrap_or_default();
            let Some(it) = self.find(number) else {
                self.ready(message.tag, message.body);
                continue;
            };
            match message.tag {
                tag::COPY_IN_RESPONSE => {
                    it.copy.get_or_insert_default();
                    it.binary = CopyResponse::parse(message.body).is_ok_and(|copy| copy.format == 1);
                }
                tag::ERROR_RESPONSE => {
                    let state = ErrorFields::parse(message.body).ok().and_then(|fields| fields.sqlstate());
                    it.failed = Some(state.map_or_else(|| "XX000".to_owned(), |it| it.as_str().to_owned()));
                    it.done = true;
                }
                tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED => it.done = true,
                _ => {}
            }
            while self.pending.front().is_some_and(|it| it.done) {
                self.write_first(out);
            }
            self.ready(message.tag, message.body);
        }
    }

    fn ready(&mut self, message: u8, body: &[u8]) {
        if message == tag::READY_FOR_QUERY
            && let Ok(ready) = ReadyForQuery::parse(body)
        {
            self.status = ready.status;
        }
    }

    fn flush(&mut self, out: &mut String) {
        while !self.pending.is_empty() {
            self.write_first(out);
        }
    }

    fn write_first(&mut self, out: &mut String) {
        let Some(it) = self.pending.pop_front() else { return };
        let refused = it.sent.decision.sqlstate.as_ref();
        let outcome = match (refused, &it.failed, it.done) {
            (Some(sqlstate), _, _) => format!(", refused with {sqlstate}"),
            (None, Some(sqlstate), _) => format!(", failed with {sqlstate}"),
            (None, None, true) => String::new(),
            (None, None, false) => ", its end is not recorded".to_owned(),
        };
        out.push('\n');
        out.push_str(&comment(&format!("{} at {}{outcome}", it.number, moment(&self.opening, it.at))));
        match runnable(&it) {
            Ok(text) => out.push_str(&text),
            Err(why) => {
                out.push_str(&comment(&format!("not run: {why}")));
                out.push_str(&comment(&it.sent.text));
                let state = refused.or(it.failed.as_ref()).filter(|state| is_state(state));
                if let (TransactionStatus::InTransaction, Some(state)) = (self.status, state) {
                    let _ = writeln!(
                        out,
                        "DO $gatepost$ BEGIN RAISE EXCEPTION 'it failed here' USING ERRCODE = '{state}'; END $gatepost$;"
                    );
                }
            }
        }
    }
}

fn is_state(text: &str) -> bool {
    text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// Comments, one for each line.
fn comment(text: &str) -> String {
    let text = safe::text(text.as_bytes(), Brackets::Theirs);
    text.split('\n').fold(String::new(), |mut out, line| {
        out.extend(["-- ", line, "\n"]);
        out
    })
}

/// Writes a statement as psql is to be given it, or says why that can't be.
// SECURITY: psql obeys a backslash outside of quotes, and reads lines after COPY FROM STDIN as data. What an agent sent must
// be neither: whoever runs the script is somebody else.
fn runnable(it: &Pending) -> Result<String, &'static str> {
    if it.sent.decision.sqlstate.is_some() {
        return Err("it was refused");
    }
    if !it.done {
        return Err("whether it ran is not recorded");
    }
    // What the server could parse has its parentheses and its BEGIN and END in pairs, which psql counts.
    if it.failed.as_deref() == Some("42601") {
        return Err("it is no SQL");
    }
    if it.sent.parameters_cut > 0 {
        return Err("its parameters are not all recorded");
    }
    let mut text = String::with_capacity(it.sent.text.len());
    let mut ended = false;
    for (range, token) in tokens(&it.sent.text) {
        let own = it.sent.text.get(range).unwrap_or_default();
        ended = match token {
            Token::Blank | Token::Comment => ended,
            Token::Sign => own == ";",
            _ => false,
        };
        match token {
            Token::Backslash => return Err("there is a backslash outside of quotes"),
            Token::Unterminated => return Err("a quote or comment has no end"),
            Token::Colon => text.push_str("\\:"),
            Token::Parameter(number) => {
                let at = number.checked_sub(1);
                match at.and_then(|at| Some((at, it.sent.parameters.get(at)?))) {
                    Some((_, None)) => text.push_str("NULL"),
                    Some((at, Some(value))) => text.push_str(&literal(&it.sent, at, value)?),
                    None if it.sent.parameters.is_empty() => text.push_str(own),
                    None => return Err("a parameter is missing"),
                }
            }
            Token::Quoted | Token::Comment | Token::Word | Token::Blank | Token::Sign => text.push_str(own),
        }
    }
    if first_word(&it.sent.text) == "COPY" && it.failed.is_some() {
        return Err("a COPY that failed would take what follows for its data");
    }
    text.push_str(if ended { "\n" } else { "\n;\n" });
    let Some(data) = &it.copy else { return Ok(text) };
    if it.binary {
        return Err("a script can't have the rows of COPY in binary");
    }
    if it.cut {
        return Err("not all of its rows are recorded");
    }
    let data = std::str::from_utf8(data).map_err(|_| "its rows are not UTF-8")?;
    if data.split('\n').any(|line| line.trim_end_matches('\r') == "\\.") {
        return Err("its rows have a line that would end them");
    }
    text.push_str(data);
    if !data.is_empty() && !data.ends_with('\n') {
        text.push('\n');
    }
    text.push_str("\\.\n");
    Ok(text)
}

/// A parameter as a literal, whose type is found as a parameter's is.
fn literal(sent: &Sent, at: usize, value: &str) -> Result<String, &'static str> {
    let type_oid = sent.parameter_types.get(at).copied().unwrap_or_default();
    let text = if sent.parameters_binary.iter().any(|binary| usize::from(*binary) == at) {
        let bytes = value.strip_prefix("\\x").and_then(|digits| hex::decode(digits).ok());
        let bytes = bytes.ok_or("a parameter can't be read")?;
        let text = values::of_binary(type_oid, &bytes);
        let text = text.ok_or("a parameter is binary, of a type that isn't known here")?;
        String::from_utf8(text.into_owned()).map_err(|_| "a parameter is not UTF-8")?
    } else {
        value.to_owned()
    };
    let cast = values::type_name(type_oid).map(|name| format!("::{name}")).unwrap_or_default();
    Ok(model::quote_literal(&text) + &cast)
}

#[cfg(test)]
mod tests;

//! ErrorResponse and NoticeResponse: the same fields under two tags.
//!
//! Knows the fields (manual, "Error and Notice Message Fields"), not which of them a client may see.

use std::fmt;

use crate::message::{self, MessageError, Reader};
use crate::sqlstate::{self, SqlState};

/// Field codes (manual, "Error and Notice Message Fields"; `PG_DIAG_*`, postgres_ext.h).
pub mod field {
    /// Severity, translated.
    pub const SEVERITY: u8 = b'S';
    /// Severity, never translated; PostgreSQL 9.6 and later.
    pub const SEVERITY_NONLOCALIZED: u8 = b'V';
    /// SQLSTATE.
    pub const SQLSTATE: u8 = b'C';
    /// The primary message.
    pub const MESSAGE: u8 = b'M';
    /// A second message with more about the problem.
    pub const DETAIL: u8 = b'D';
    /// What to do about it.
    pub const HINT: u8 = b'H';
    /// Where in the statement, in characters from 1.
    pub const POSITION: u8 = b'P';
    /// Where in the internal query.
    pub const INTERNAL_POSITION: u8 = b'p';
    /// The text of a query that the client did not send, as one in a function.
    pub const INTERNAL_QUERY: u8 = b'q';
    /// The call stack.
    pub const WHERE: u8 = b'W';
    /// Schema of the object.
    pub const SCHEMA: u8 = b's';
    /// Table of the object.
    pub const TABLE: u8 = b't';
    /// Column.
    pub const COLUMN: u8 = b'c';
    /// Data type.
    pub const DATA_TYPE: u8 = b'd';
    /// Constraint.
    pub const CONSTRAINT: u8 = b'n';
    /// Source file of the server.
    pub const FILE: u8 = b'F';
    /// Line in it.
    pub const LINE: u8 = b'L';
    /// Routine in it.
    pub const ROUTINE: u8 = b'R';
}

/// How bad it is (`error_severity`, utils/error/elog.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session ends.
    Fatal,
    /// All sessions end.
    Panic,
    /// A notice that deserves care.
    Warning,
    /// A notice.
    Notice,
    /// A notice for developers.
    Debug,
    /// A notice that was asked for.
    Info,
    /// A notice for the server's log.
    Log,
}

impl Severity {
    /// Returns the word that goes into fields `S` and `V`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Panic => "PANIC",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Log => "LOG",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The fields of an ErrorResponse or NoticeResponse, owned and in order.
///
/// `Debug` shows codes, severity and SQLSTATE only: the texts quote data.
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorFields {
    // INVARIANT: no code is 0 and no text holds a NUL.
    fields: Vec<(u8, Vec<u8>)>,
}

impl ErrorFields {
    /// Starts the fields of an error or notice of our own, with severity (both forms), SQLSTATE and message.
    ///
    /// NUL bytes in texts, here and in the methods that add to it, are left out: they can't be sent.
    pub fn new(severity: Severity, sqlstate: SqlState, message: impl AsRef<[u8]>) -> Self {
        Self { fields: Vec::with_capacity(6) }
            .with(field::SEVERITY, severity.as_str())
            .with(field::SEVERITY_NONLOCALIZED, severity.as_str())
            .with(field::SQLSTATE, sqlstate.as_str())
            .with(field::MESSAGE, message)
    }

    /// Sets the detail.
    #[must_use]
    pub fn detail(self, text: impl AsRef<[u8]>) -> Self {
        self.with(field::DETAIL, text)
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(self, text: impl AsRef<[u8]>) -> Self {
        self.with(field::HINT, text)
    }

    /// Sets where in the statement the problem is, in characters from 1.
    #[must_use]
    pub fn position(self, characters: usize) -> Self {
        self.with(field::POSITION, characters.to_string())
    }

    /// Sets a field, in its old place if it was there. A `code` of 0 means the end of the fields and is left out.
    #[must_use]
    pub fn with(mut self, code: u8, text: impl AsRef<[u8]>) -> Self {
        if code == 0 {
            return self;
        }
        let text: Vec<u8> = text.as_ref().iter().copied().filter(|byte| *byte != 0).collect();
        match self.fields.iter_mut().find(|(c, _)| *c == code) {
            Some((_, old)) => *old = text,
            None => self.fields.push((code, text)),
        }
        self
    }

    /// Keeps the fields whose code is wanted; for what a client may see of an upstream's error.
    pub fn retain(&mut self, mut wanted: impl FnMut(u8) -> bool) {
        self.fields.retain(|(code, _)| wanted(*code));
    }

    /// Reads the body of an ErrorResponse or NoticeResponse. Any codes are taken, repeated ones too, and none is needed:
    /// an upstream may be newer or hostile, so ask for what must be there.
    ///
    /// # Errors
    /// The sender's fault: no terminator, or bytes after it.
    pub fn parse(body: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "ErrorResponse");
        let mut fields = Vec::new();
        loop {
            match reader.u8()? {
                0 => break,
                code => fields.push((code, reader.string()?.to_vec())),
            }
        }
        reader.end()?;
        Ok(Self { fields })
    }

    /// Appends the fields as a message with the given tag.
    ///
    /// SECURITY: an error must always be sayable, so fields too long for one message are replaced by a short text.
    pub(crate) fn encode(&self, tag: u8, out: &mut Vec<u8>) {
        if self.encode_whole(tag, out).is_ok() {
            return;
        }
        let state = self.sqlstate().unwrap_or(sqlstate::INTERNAL_ERROR);
        let short = Self::new(Severity::Error, state, "message too long to send");
        let short = match self.severity() {
            Some(severity) if severity.len() < 32 => {
                short.with(field::SEVERITY, severity).with(field::SEVERITY_NONLOCALIZED, severity)
            }
            _ => short,
        };
        // a hundred bytes can't be too long
        let _ = short.encode_whole(tag, out);
    }

    fn encode_whole(&self, tag: u8, out: &mut Vec<u8>) -> Result<(), message::EncodeError> {
        message::message(out, tag, |w| {
            for (code, text) in &self.fields {
                w.u8(*code);
                w.string("error field", text)?;
            }
            w.u8(0);
            Ok(())
        })
    }

    /// Iterates over codes and texts in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.fields.iter().map(|(code, text)| (*code, text.as_slice()))
    }

    /// Returns the first field with this code.
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.iter().find(|(c, _)| *c == code).map(|(_, text)| text)
    }

    /// Returns the severity: the untranslated one if there is one.
    pub fn severity(&self) -> Option<&[u8]> {
        self.get(field::SEVERITY_NONLOCALIZED).or_else(|| self.get(field::SEVERITY))
    }

    /// Returns the SQLSTATE; `None` if it is missing or none.
    pub fn sqlstate(&self) -> Option<SqlState> {
        self.get(field::SQLSTATE).and_then(SqlState::from_bytes)
    }

    /// Returns the primary message.
    pub fn message(&self) -> Option<&[u8]> {
        self.get(field::MESSAGE)
    }

    /// Returns whether the sender ends the session after this: severity FATAL or PANIC.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity(), Some(b"FATAL" | b"PANIC"))
    }
}

impl fmt::Debug for ErrorFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes: String = self.fields.iter().map(|(code, _)| char::from(*code)).collect();
        let severity = self.severity().map(String::from_utf8_lossy);
        write!(f, "ErrorFields({severity:?}, {:?}, fields {codes:?})", self.sqlstate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;

    fn encoded(fields: &ErrorFields) -> Vec<u8> {
        let mut out = Vec::new();
        fields.encode(b'E', &mut out);
        out
    }

    #[test]
    fn fields_come_in_the_order_of_postgresql() {
        let fields = ErrorFields::new(Severity::Error, sqlstate::INSUFFICIENT_PRIVILEGE, "no")
            .detail("because")
            .hint("ask")
            .position(8);
        assert_eq!(
            encoded(&fields),
            b"E\0\0\0\x2fSERROR\0VERROR\0C42501\0Mno\0Dbecause\0Hask\0P8\0\0".to_vec()
        );
    }

    #[test]
    fn nul_can_not_start_a_field_of_its_own() {
        let fields =
            ErrorFields::new(Severity::Error, sqlstate::SYNTAX_ERROR, "a\0Dforged\0\0").detail("real");
        let out = encoded(&fields);
        let body = frame::next(&out, 1000).unwrap().unwrap().body;
        let parsed = ErrorFields::parse(body).unwrap();
        assert_eq!(parsed.message(), Some(&b"aDforged"[..]));
        assert_eq!(parsed.get(field::DETAIL), Some(&b"real"[..]));
        assert_eq!(parsed, fields);
    }

    #[test]
    fn setting_a_field_again_replaces_it() {
        let fields = ErrorFields::new(Severity::Error, sqlstate::SYNTAX_ERROR, "a").with(field::MESSAGE, "b");
        assert_eq!(fields.iter().filter(|(code, _)| *code == field::MESSAGE).count(), 1);
        assert_eq!(fields.message(), Some(&b"b"[..]));
        assert_eq!(fields.clone().with(0, "x"), fields);
    }

    #[test]
    fn untranslated_severity_wins() {
        let fields = ErrorFields::parse(b"SFEHLER\0VFATAL\0\0").unwrap();
        assert_eq!(fields.severity(), Some(&b"FATAL"[..]));
        assert!(fields.is_fatal());
        assert_eq!(ErrorFields::parse(b"SFATAL\0\0").unwrap().severity(), Some(&b"FATAL"[..]));
    }

    #[test]
    fn sqlstate_may_be_missing_or_nonsense() {
        assert_eq!(ErrorFields::parse(b"\0").unwrap().sqlstate(), None);
        assert_eq!(ErrorFields::parse(b"Cabc\0\0").unwrap().sqlstate(), None);
        assert_eq!(ErrorFields::parse(b"C42P01\0\0").unwrap().sqlstate(), Some(sqlstate::UNDEFINED_TABLE));
    }

    #[test]
    fn malformed_bodies_are_refused() {
        let truncated = MessageError::Truncated { message: "ErrorResponse" };
        assert_eq!(ErrorFields::parse(b""), Err(truncated));
        assert_eq!(ErrorFields::parse(b"Mx\0"), Err(truncated));
        assert_eq!(ErrorFields::parse(b"Mx"), Err(MessageError::Unterminated { message: "ErrorResponse" }));
        assert_eq!(
            ErrorFields::parse(b"Mx\0\0y"),
            Err(MessageError::Trailing { message: "ErrorResponse", bytes: 1 })
        );
    }

    #[test]
    fn debug_shows_no_texts() {
        let fields = ErrorFields::new(Severity::Error, sqlstate::UNDEFINED_TABLE, "ssn 123");
        assert_eq!(format!("{fields:?}"), "ErrorFields(Some(\"ERROR\"), Some(42P01), fields \"SVCM\")");
    }
}

//! One statement of a message, and what bounds the reading of it. Knows no grammar.

use std::borrow::Cow;
use std::ops::Range;

use crate::{Ask, Command, Effect};

/// One statement of a message.
///
/// Ranges are bytes of the message's text. `#[must_use]`: a statement whose asks are not answered is undecided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Statement {
    /// From the statement's first token to the end of its last one: no white space, comment or `;` around it.
    pub range: Range<usize>,
    /// What it is.
    pub command: Command,
    /// What the caller must know before it can decide; in the order of the statement. The statement may be
    /// allowed only if every ask is answered and allowed; an empty list means that nothing is named.
    pub asks: Vec<Ask>,
    /// What running it changes in the session.
    pub effect: Effect,
    /// Literals that are secrets (passwords, connection strings), quotes included; in ascending order, disjoint.
    /// Best effort: for records and logs, never for a decision.
    pub secrets: Vec<Range<usize>>,
    /// Whether running it (or asking the server about it) takes a snapshot, after which `SET TRANSACTION ISOLATION
    /// LEVEL` fails: PostgreSQL's `PlannedStmtRequiresSnapshot` (src/backend/tcop/pquery.c).
    pub takes_snapshot: bool,
}

impl Statement {
    /// A text that [`parse`](crate::parse) can't read and the server can: a query, if the server's tree says so. Of what is
    /// nested too deeply for this crate, or written for another version.
    pub fn unread(text: &str) -> Self {
        let sql = Sql::Slice { range: 0..text.len(), blank: None };
        Self {
            range: 0..text.len(),
            command: Command::Select,
            asks: vec![Ask::Query { sql, role: crate::QueryRole::Unread, parameters: Vec::new() }],
            effect: Effect::None,
            secrets: Vec::new(),
            takes_snapshot: true,
        }
    }
}

/// A query text that can be sent to the server on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sql {
    /// A slice of the message.
    Slice {
        /// Bytes of the message.
        range: Range<usize>,
        /// Bytes inside `range` that must be read as blanks (`INTO t` of `SELECT INTO`).
        blank: Option<Range<usize>>,
    },
    /// Written by this crate from the grammar's tree; its positions mean nothing to the client.
    Made(String),
}

impl Sql {
    /// The text on its own, of `message`, the text that was parsed. Its character `n` is character
    /// `n + offset_chars` of the message.
    pub fn bare<'a>(&'a self, message: &'a str) -> Cow<'a, str> {
        match self {
            Self::Made(text) => Cow::Borrowed(text),
            Self::Slice { range, blank: None } => {
                Cow::Borrowed(message.get(range.clone()).unwrap_or_default())
            }
            Self::Slice { range, blank: Some(blank) } => {
                let text = |range: Range<usize>| message.get(range).unwrap_or_default();
                let mut out = text(range.start..blank.start).to_owned();
                out.extend(text(blank.clone()).chars().map(|_| ' '));
                out.push_str(text(blank.end..range.end));
                Cow::Owned(out)
            }
        }
    }

    /// Characters of `message` before the text; `None` where the text isn't a slice of it.
    ///
    /// PostgreSQL counts error positions in characters (`errposition`, src/backend/utils/error/elog.c): add this to
    /// the `P` field of an answer about [`bare`](Self::bare) to speak of the client's text. Counts the message up to
    /// the text: for errors, not for every statement.
    pub fn offset_chars(&self, message: &str) -> Option<usize> {
        match self {
            Self::Slice { range, .. } => Some(message.get(..range.start)?.chars().count()),
            Self::Made(_) => None,
        }
    }

    /// The text with one blank for each character of the message before it, so that the server's positions are
    /// positions in the message. As long as the message so far: for messages of few statements.
    pub fn padded<'a>(&'a self, message: &'a str) -> Cow<'a, str> {
        match self.offset_chars(message) {
            None | Some(0) => self.bare(message),
            Some(chars) => {
                let mut out = " ".repeat(chars);
                out.push_str(&self.bare(message));
                Cow::Owned(out)
            }
        }
    }
}

/// How `'...'` is read: the session's `standard_conforming_strings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strings {
    /// `on`, the default: a backslash is a backslash.
    Standard,
    /// `off`: a backslash escapes.
    Escaping,
}

/// How much text and how many statements are read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest text, in bytes.
    pub bytes_max: usize,
    /// Most statements in one text.
    pub statements_max: usize,
}

impl Default for Limits {
    /// 1 MiB and 10,000 statements: a text of 100,000 statements takes about a second to read.
    fn default() -> Self {
        Self { bytes_max: 1 << 20, statements_max: 10_000 }
    }
}

/// Why a text can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// PostgreSQL's words where its grammar refused, ours where a limit did.
    pub message: String,
    /// Where, in characters from 1, as ErrorResponse's field `P`; `None` where no place is to blame.
    pub position: Option<usize>,
    /// The SQLSTATE PostgreSQL would give: 42601, 54000 for a limit, or 54001 for one of nesting.
    pub sqlstate: &'static str,
}

//! What the upstream will answer, in order, and what waits before it may be sent.

use std::sync::Arc;
use std::time::Instant;

use wire::error::ErrorFields;

use crate::authorize::{Allowed, Judged, Parse, Permit};
use crate::forward::InProgress;
use crate::namespace::OpNumber;
use crate::quota::Spent;
use crate::record::Ticket;
use crate::results::Rows;
use crate::trace::Traced;

/// One message (or flight of questions) that the upstream will answer.
pub(crate) struct Op {
    pub(crate) number: OpNumber,
    pub(crate) kind: OpKind,
}

/// What kind of answer is expected.
pub(crate) enum OpKind {
    /// ParseComplete.
    Parse,
    /// BindComplete.
    Bind,
    /// CloseComplete; whether the client asked.
    Close { hidden: bool },
    /// RowDescription or NoData, after ParameterDescription for a statement.
    Describe { judged: Arc<Judged> },
    /// Rows, then CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute(Box<Run>),
    /// Everything up to ReadyForQuery. In a script, ReadyForQuery is ours.
    Query(Box<Run>),
    /// ReadyForQuery.
    Sync,
    /// An error, in place of which the client gets this one. Simple protocol: then ReadyForQuery.
    /// Refused is the statement of that number, or one after it that has no record.
    Refused { error: Box<ErrorFields>, simple: bool, statement: u64 },
    /// Answers to questions; they go to the inquiry that waits.
    Flight,
    /// ReadyForQuery after something that only the gateway sent.
    Hidden(HiddenKind),
}

/// Why the gateway sent something of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HiddenKind {
    /// Sync after a failed question of the simple protocol: the client gets the error, then ReadyForQuery.
    QuestionFailed,
    /// Sync after a question, where the client has no transaction open.
    QuestionOver,
    /// Sync before a statement is held, so that the server keeps no lock of what was only parsed.
    Unlocked,
    /// BEGIN, COMMIT or ROLLBACK around the statements of one Query.
    Bracket(Bracket),
}

/// The implicit transaction of a Query with several statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bracket {
    Begin,
    Commit,
    Rollback,
    /// ROLLBACK before a statement that an implicit transaction doesn't take, so that the server itself refuses it.
    Abandon,
}

/// A statement being executed.
pub(crate) struct Run {
    /// Counts the session's statements from 1.
    pub(crate) number: u64,
    pub(crate) judged: Arc<Judged>,
    /// Its record.
    pub(crate) ticket: Ticket,
    pub(crate) started: Instant,
    pub(crate) rows: Rows,
    pub(crate) rows_count: u64,
    pub(crate) bytes: u64,
    /// Of its portal or cursor, or its own.
    pub(crate) spent: Arc<Spent>,
    /// Characters of the client's message before the text that was sent on its own.
    pub(crate) offset_chars: usize,
    /// Whether the outcome is already recorded.
    pub(crate) done: bool,
    pub(crate) in_script: bool,
    /// That it was forwarded as a write: COPY data may follow.
    pub(crate) token: Option<InProgress>,
    /// An ErrorResponse has come.
    pub(crate) failed: bool,
    /// What is known of it for its spans, if it is traced.
    pub(crate) traced: Option<Box<Traced>>,
}

impl OpKind {
    /// Returns the statement whose execution is being answered.
    pub(crate) fn run(&self) -> Option<&Run> {
        match self {
            Self::Execute(run) | Self::Query(run) => Some(run),
            _ => None,
        }
    }

    /// Likewise, to change it.
    pub(crate) fn run_mut(&mut self) -> Option<&mut Run> {
        match self {
            Self::Execute(run) | Self::Query(run) => Some(run),
            _ => None,
        }
    }
}

/// A message on its way to the upstream, in order behind a statement whose record isn't kept yet.
pub(crate) enum Deferred {
    /// A Query or Execute.
    Run { allowed: Allowed, ticket: Ticket, message: Vec<u8>, op: Op },
    /// A Parse.
    Parse { permit: Permit<Parse>, message: Vec<u8>, op: Op },
    /// A Bind.
    Bind { allowed: Allowed, message: Vec<u8>, op: Op },
    /// A Describe, Close, Sync or Flush; Flush has no answer.
    Client { message: Vec<u8>, op: Option<Op> },
    /// A refusal in its place in the pipeline; first closes a statement that a question has left.
    Fail { close: Option<(Op, Vec<u8>)>, op: Op },
    /// Around the statements of a script.
    Bracket { bracket: Bracket, op: Op },
}

impl Deferred {
    /// Returns what will be answered to it.
    pub(crate) fn op(&self) -> Option<&Op> {
        match self {
            Self::Run { op, .. }
            | Self::Parse { op, .. }
            | Self::Bind { op, .. }
            | Self::Fail { op, .. }
            | Self::Bracket { op, .. } => Some(op),
            Self::Client { op, .. } => op.as_ref(),
        }
    }
}

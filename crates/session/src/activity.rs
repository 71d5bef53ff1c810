//! What a session does just now, for whoever looks on. Asked for, never kept: a statement pays nothing for it.

use std::time::Instant;

use wire::backend::TransactionStatus;

use crate::running::{Running, Waiting};

/// What a session does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// What it is at.
    pub state: State,
    /// Statements decided so far.
    pub statements: u64,
    /// `application_name` as it is now.
    pub application_name: Option<String>,
}

/// What a session is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its client has not proven who it is.
    Authenticating,
    /// It logs in upstream.
    Connecting,
    /// Nothing is under way.
    Idle,
    /// Nothing is under way, and a transaction is open.
    InTransaction,
    /// Nothing is under way, and a transaction is open that has failed.
    InFailedTransaction,
    /// A statement is analysed, or waits for its record to be kept.
    Deciding,
    /// A statement is held until approvers have answered.
    Held {
        /// The request, once there is one.
        approval: Option<u64>,
        /// When they were asked.
        since: Instant,
    },
    /// A statement runs.
    Running {
        /// Its number in the session, as in the journal.
        statement: u64,
        /// When it was forwarded.
        since: Instant,
    },
    /// It is over.
    Ended,
}

impl State {
    /// Returns its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticating => "authenticating",
            Self::Connecting => "connecting",
            Self::Idle => "idle",
            Self::InTransaction => "idle in transaction",
            Self::InFailedTransaction => "idle in failed transaction",
            Self::Deciding => "deciding",
            Self::Held { .. } => "held",
            Self::Running { .. } => "running",
            Self::Ended => "ended",
        }
    }
}

pub(crate) fn of(running: &Running) -> Activity {
    let run = running.ops.iter().find_map(|op| op.kind.run()).filter(|run| !run.done);
    let held = match &running.waiting {
        Some(Waiting::Approval(holding)) => holding.request(),
        _ => None,
    };
    let state = match (run, running.status) {
        _ if running.closed => State::Ended,
        _ if let Some((number, since)) = held => {
            State::Held { approval: number.map(|number| number.0), since }
        }
        (Some(run), _) => State::Running { statement: run.number, since: run.started },
        _ if !running.deferred.is_empty()
            || matches!(running.waiting, Some(Waiting::Answer(_) | Waiting::Approval(_))) =>
        {
            State::Deciding
        }
        (None, TransactionStatus::Idle) => State::Idle,
        (None, TransactionStatus::InTransaction) => State::InTransaction,
        (None, TransactionStatus::Failed) => State::InFailedTransaction,
    };
    let application_name = running.application_name.clone();
    Activity { state, statements: running.statement_last, application_name }
}

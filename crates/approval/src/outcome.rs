//! What becomes of a request, as the session that asked is told.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ask::Binding;
use crate::request::Number;
use crate::who::Stamp;

/// The answer to an [`Ask`](crate::Ask). `Waiting` comes first, if at all; exactly one of the others ends it.
#[derive(Debug)]
pub enum Answer {
    /// Approvers have been asked.
    Waiting(Waiting),
    /// It may be decided again with this, once.
    Granted(Grant),
    /// An approver said no.
    Denied {
        /// The request.
        number: Number,
        /// Who.
        by: String,
        /// What the requester is to be told.
        message: Option<String>,
    },
    /// It is over, undecided.
    Ended {
        /// The request.
        number: Number,
        /// Why.
        why: Ended,
    },
    /// Nobody could be asked: nothing is open.
    Failed(String),
}

/// What the requester is told while it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The request.
    pub number: Number,
    /// Groups that were asked, by name.
    pub asked: Vec<String>,
    /// Until when.
    pub until: Stamp,
    /// Where approvers see it, if the gateway knows its own address.
    pub link: Option<String>,
}

/// Why a request is over that nobody decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Nobody answered in time, or what was approved was not used in time.
    Expired,
    /// The client cancelled the statement.
    Cancelled,
    /// The client has gone, or the session was ended.
    SessionEnded,
    /// The policy has changed.
    PolicyChanged,
    /// The requester has taken it back.
    Withdrawn,
    /// The gateway that held it has gone.
    Lost,
}

impl Ended {
    /// Returns the word that reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::SessionEnded => "session_ended",
            Self::PolicyChanged => "policy_changed",
            Self::Withdrawn => "withdrawn",
            Self::Lost => "lost",
        }
    }
}

/// Proof that approvers have agreed to what the binding names, to be spent by value.
#[derive(Debug)]
pub struct Grant {
    pub(crate) number: Number,
    pub(crate) binding: Binding,
    pub(crate) approved_by: BTreeSet<String>,
    pub(crate) persons: Vec<String>,
}

impl Grant {
    /// The request.
    pub const fn number(&self) -> Number {
        self.number
    }

    /// What was approved.
    pub const fn binding(&self) -> Binding {
        self.binding
    }

    /// Names in `[approvers]`, for `context.approved_by`.
    pub const fn approved_by(&self) -> &BTreeSet<String> {
        &self.approved_by
    }

    /// Who, as `issuer:subject`.
    pub fn persons(&self) -> &[String] {
        &self.persons
    }
}

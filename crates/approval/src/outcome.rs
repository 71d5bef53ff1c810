//! What becomes of a request, as the session that asked is told.

use serde::{Deserialize, Serialize};

use crate::claim::Grant;
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

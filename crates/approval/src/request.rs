//! A request from its opening to its end: the one state machine that decides what a vote, a deadline or a claim does.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ask::Ask;
use crate::outcome::Ended;
use crate::who::{Stamp, Who};

/// A request's number: unique in a store, counted up from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(pub u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What was asked, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its number.
    pub number: Number,
    /// What is asked.
    pub ask: Ask,
    /// When.
    pub opened: Stamp,
    /// Until when approvers may decide; of an approved one, until when it may be used.
    pub until: Stamp,
    /// The gateway that holds the session: its instance, new at each start.
    pub gateway: String,
    /// Where it stands.
    pub state: State,
    /// What was said to it, in order.
    pub votes: Vec<Vote>,
    /// How often it has been used.
    pub used: u32,
}

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for approvers.
    Open,
    /// Enough have approved; not yet used, or not yet as often as it may be.
    Approved,
    /// Somebody has denied it.
    Denied,
    /// Used as often as it may be.
    Used,
    /// Over for another reason.
    Ended(Ended),
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who, with the groups of that moment.
    pub by: Who,
    /// For whom, where it was delegated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegated_by: Option<Who>,
    /// What.
    pub verdict: Verdict,
    /// Why; of a denial, what the requester is told.
    pub reason: Option<String>,
    /// When.
    pub at: Stamp,
    /// Where: `console`, `cli`, `slack`, `teams`, `email`, `webhook`.
    pub via: String,
    /// Names in `[approvers]` that it counts for.
    pub counts_for: Vec<String>,
}

/// What a vote says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No; one is enough.
    Deny,
    /// Run it now; to be reviewed.
    BreakGlass,
    /// A break-glass has been looked at.
    Review,
}

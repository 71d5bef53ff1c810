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
    /// Whether somebody has yet to look at a break-glass.
    #[serde(default)]
    pub review: Review,
    /// When it became what it is.
    #[serde(default)]
    pub changed: Stamp,
}

impl Request {
    /// Opens one.
    pub fn open(number: Number, ask: Ask, gateway: String, opened: Stamp, until: Stamp) -> Self {
        let (state, votes, review) = (State::Open, Vec::new(), Review::None);
        Self { number, ask, opened, until, gateway, state, votes, used: 0, review, changed: opened }
    }

    /// Names the entries of `[approvers]` that are asked.
    pub fn asked(&self) -> Vec<String> {
        self.ask.needs.iter().map(|need| need.name.clone()).collect()
    }

    /// Returns whether anything can still become of it.
    pub const fn is_live(&self) -> bool {
        matches!(self.state, State::Open | State::Approved)
    }

    /// Ends it for another reason than a vote; returns whether that changed anything.
    pub fn end(&mut self, why: Ended, now: Stamp) -> bool {
        let live = self.is_live();
        if live {
            self.close(State::Ended(why), now);
        }
        live
    }

    /// Ends it if its time is over; returns whether it is over by that.
    pub fn expire(&mut self, now: Stamp) -> bool {
        now >= self.until && self.end(Ended::Expired, now)
    }

    /// Returns who denied it, and what the requester is to be told.
    pub fn denial(&self) -> Option<&Vote> {
        self.votes.iter().find(|vote| vote.verdict == Verdict::Deny)
    }
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

impl State {
    /// Returns the word that reports use.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Used => "used",
            Self::Ended(why) => why.as_str(),
        }
    }
}

/// What is to be done after a break-glass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Review {
    /// Nothing: nobody has broken the glass.
    #[default]
    None,
    /// Somebody else has to look at it.
    Due,
    /// Somebody has.
    Done,
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

impl Verdict {
    /// Returns the word that reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::BreakGlass => "break_glass",
            Self::Review => "review",
        }
    }
}

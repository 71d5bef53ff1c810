//! The gateway at a glance: what runs, what waits, what was refused of late. Numbers, names and short lists.

use schemars::JsonSchema;
use serde::Serialize;

use super::observed::{Noted, Observed, Refused};
use super::series::{Counts, Point};
use super::{Sight, now, shown};

/// Refusals and incidents in one overview.
const SHORT: usize = 20;

/// The gateway at a glance.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Overview {
    /// When this was so, RFC 3339.
    pub at: String,
    /// Counts go back to here, RFC 3339; `None`: nothing is known yet.
    pub since: Option<String>,
    /// Whether the journal of before has been read to its end; until then, counts grow.
    pub complete: bool,
    /// Live sessions.
    pub sessions: SessionCounts,
    /// Requests for approval, of all gateways that share the store.
    pub approvals: ApprovalCounts,
    /// Statements.
    pub statements: StatementCounts,
    /// Identities that have been seen.
    pub identities: usize,
    /// What was refused of late, the latest first, 20 at most.
    pub refused: Vec<RefusedNow>,
    /// What is to be looked at, the latest first, 20 at most.
    pub incidents: Vec<Incident>,
    /// What runs now or waits, the longest first, 100 at most.
    pub running: Vec<RunningNow>,
}

/// Requests for approval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApprovalCounts {
    /// That wait; `None`: the store doesn't answer.
    pub open: Option<u64>,
    /// Break-glasses that nobody has reviewed.
    pub review_due: Option<u64>,
    /// For how long the statement that has been held longest at this gateway has waited, in milliseconds.
    pub longest_held_ms: Option<u64>,
}

/// Live sessions, by what they are at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SessionCounts {
    /// All.
    pub live: usize,
    /// With a statement that runs.
    pub running: usize,
    /// With a statement that waits for approval.
    pub held: usize,
    /// With an open transaction and nothing under way.
    pub in_transaction: usize,
}

/// Statements, by what became of them.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StatementCounts {
    /// Of the last sixty minutes.
    pub last_hour: Counts,
    /// Of the last 24 hours.
    pub last_day: Counts,
    /// Sixty points, a minute each.
    pub minutes: Vec<Point>,
    /// 24 points, an hour each.
    pub hours: Vec<Point>,
}

/// Somebody or something that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RefusedNow {
    /// The record's number: `/audit/{seq}`.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// `statement`, `authentication_failed`, `limit_exceeded`, `upstream_failed`, `control_refused`.
    pub event: String,
    /// The session's id.
    pub session: Option<String>,
    /// `issuer:subject`; of who did not prove it, as they claim.
    pub identity: Option<String>,
    /// The database as clients name it.
    pub database: Option<String>,
    /// Of a statement: `deny` or `hold`.
    pub verdict: Option<String>,
    /// What the client was told.
    pub sqlstate: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// The rules that decided it.
    pub rules: Vec<String>,
    /// The statement's text, 400 characters at most; only for who may see texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether that is all of it.
    pub text_is_whole: bool,
}

/// Something that is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Incident {
    /// The record's number: `/audit/{seq}`.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// The event's name: `incident`, `journal_faulted`, ...
    pub event: String,
    /// The database as clients name it.
    pub database: Option<String>,
    /// Of an incident: a stable word.
    pub kind: Option<String>,
    /// What exactly.
    pub detail: Option<String>,
}

/// A statement that runs or waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunningNow {
    /// The session's id.
    pub session: String,
    /// `issuer:subject`.
    pub identity: Option<String>,
    /// The database as clients name it.
    pub database: String,
    /// What the session is at: `running`, ...
    pub state: String,
    /// Its number in the session.
    pub statement: Option<u64>,
    /// The request that it waits for, if it waits for approval.
    pub approval: Option<u64>,
    /// For how long, in milliseconds.
    pub for_ms: Option<u64>,
    /// The statement's text, 400 characters at most; only for who may see texts, and where it is found at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Refused {
    pub(super) fn shown(&self, sight: Sight) -> RefusedNow {
        RefusedNow {
            seq: self.seq,
            at: shown(self.time),
            event: self.event.clone(),
            session: self.session.map(|id| id.to_string()),
            identity: self.identity.clone(),
            database: self.database.clone(),
            verdict: self.verdict.clone(),
            sqlstate: self.sqlstate.clone(),
            why: self.reason.clone(),
            rules: self.rules.clone(),
            text: sight.text(self.text.clone()).flatten(),
            text_is_whole: self.text_is_whole,
        }
    }
}

impl Noted {
    pub(super) fn shown(&self) -> Incident {
        Incident {
            seq: self.seq,
            at: shown(self.time),
            event: self.event.clone(),
            database: self.database.clone(),
            kind: self.kind.clone(),
            detail: self.detail.clone(),
        }
    }
}

impl Observed {
    /// Shows what is known without asking sessions.
    pub(crate) fn overview(
        &self,
        sight: Sight,
        (sessions, approvals): (SessionCounts, ApprovalCounts),
        running: Vec<RunningNow>,
    ) -> Overview {
        let now = now();
        Overview {
            at: shown(now),
            since: self.since(),
            complete: self.caught_up,
            sessions,
            approvals,
            statements: StatementCounts {
                last_hour: self.series.hour(now),
                last_day: self.series.day(now),
                minutes: self.series.minutes(now),
                hours: self.series.hours(now),
            },
            identities: self.people.len(),
            refused: self.refused.iter().rev().take(SHORT).map(|it| it.shown(sight)).collect(),
            incidents: self.noted.iter().rev().take(SHORT).map(Noted::shown).collect(),
            running,
        }
    }
}

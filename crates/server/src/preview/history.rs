//! What came before a request: its session so far, and what the same identity had approved. Pure.

use std::collections::BTreeSet;
use std::time::SystemTime;

use approval::{Ask, Request, State, Verdict, shown};
use audit::Time;
use schemars::JsonSchema;
use serde::Serialize;

use super::text::{Run, runs};
use crate::views::AuditRow;

/// Characters of a text that is only told beside the one that is asked about.
const TEXT_CHARS_MAX: usize = 400;
/// Earlier requests that are told.
const BEFORE_MAX: usize = 10;

/// A statement of the session that waits.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SoFar {
    /// Its record's number in the audit trail.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// What kind of statement.
    pub kind: Option<String>,
    /// The verdict's word.
    pub verdict: Option<String>,
    /// How it ended.
    pub result: Option<String>,
    /// What the client was told, or the server said.
    pub sqlstate: Option<String>,
    /// Rows returned or copied.
    pub rows: Option<u64>,
    /// Its text, 400 characters at most.
    pub text: Vec<Run>,
    /// Whether that is all of it.
    pub text_is_whole: bool,
}

impl From<AuditRow> for SoFar {
    fn from(row: AuditRow) -> Self {
        let AuditRow { seq, at, kind, verdict, result, sqlstate, rows, text, text_is_whole, .. } = row;
        let text = runs(shown::statement(text.as_deref().unwrap_or_default()));
        Self { seq, at, kind, verdict, result, sqlstate, rows, text, text_is_whole }
    }
}

/// Something that the same identity had approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApprovedBefore {
    /// The request.
    pub number: u64,
    /// When it became what it is, RFC 3339.
    pub at: String,
    /// `approved` or `used`.
    pub state: String,
    /// The database as clients name it.
    pub database: String,
    /// The very same statement with the same parameters.
    pub same_statement: bool,
    /// The same but for literals and parameters.
    pub same_shape: bool,
    /// Relations that both touch.
    pub relations: Vec<String>,
    /// Who approved: `issuer:subject`.
    pub approved_by: Vec<String>,
    /// Its text, 400 characters at most.
    pub text: Vec<Run>,
    /// Whether that is all of it.
    pub text_is_whole: bool,
}

/// Sorts what was approved before: the same statement first, then the same shape, then what touches the most of the same relations,
/// then the newest.
pub(crate) fn approved_before(request: &Request, others: Vec<Request>) -> Vec<ApprovedBefore> {
    let mine = relations(&request.ask);
    let mut before: Vec<ApprovedBefore> = others
        .iter()
        .filter(|other| {
            other.number != request.number && matches!(other.state, State::Approved | State::Used)
        })
        .map(|other| one(request, other, &mine))
        .collect();
    before.sort_by_key(|it| {
        let shared = it.relations.len();
        (!it.same_statement, !it.same_shape, std::cmp::Reverse(shared), std::cmp::Reverse(it.number))
    });
    before.truncate(BEFORE_MAX);
    before
}

fn one(request: &Request, other: &Request, mine: &BTreeSet<&str>) -> ApprovedBefore {
    let (ask, theirs) = (&request.ask, &other.ask);
    let text: String = theirs.statement.text.chars().take(TEXT_CHARS_MAX).collect();
    let votes =
        other.votes.iter().filter(|vote| matches!(vote.verdict, Verdict::Approve | Verdict::BreakGlass));
    ApprovedBefore {
        number: other.number.0,
        at: Time::from(SystemTime::from(other.changed)).to_string(),
        state: other.state.as_str().to_owned(),
        database: theirs.database.clone(),
        same_statement: theirs.binding == ask.binding,
        same_shape: theirs.pattern.is_some() && theirs.pattern == ask.pattern,
        relations: relations(theirs).intersection(mine).map(|name| (*name).to_owned()).collect(),
        approved_by: votes.map(|vote| vote.by.to_string()).collect(),
        text_is_whole: text.len() == theirs.statement.text.len(),
        text: runs(shown::statement(&text)),
    }
}

/// Names the relations that a statement touches, with their kind.
fn relations(ask: &Ask) -> BTreeSet<&str> {
    let of = |resource: &str| {
        ["database", "schema ", "column ", "function "].iter().any(|it| resource.starts_with(it))
    };
    ask.touches.iter().map(|touch| touch.resource.as_str()).filter(|resource| !of(resource)).collect()
}

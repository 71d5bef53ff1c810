//! What a query gives: a record, with its outcome where it has one. Knows how it reads, not how it is printed.

use audit::render::{self, Joined};
use audit::{Record, Time};

use super::filter::View;
use crate::reader::OwnedRecord;

/// A record that was looked for.
#[derive(Clone, Debug)]
pub struct Row {
    record: OwnedRecord,
    outcome: Ended,
}

#[derive(Clone, Debug)]
enum Ended {
    /// Not a thing that has an outcome of its own.
    Never,
    /// Refused, running, or lost with its gateway.
    NotYet,
    With(OwnedRecord),
}

/// A row for a table: each field is one line, safe on a terminal; empty where it does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// When.
    pub time: Time,
    /// The record's number.
    pub seq: u64,
    /// The event's name.
    pub event: String,
    /// The connection.
    pub session: String,
    /// `issuer:subject`.
    pub identity: String,
    /// The database as clients name it.
    pub database: String,
    /// The verdict's word.
    pub verdict: String,
    /// What is touched: `select public.customers, execute pg_catalog.now`.
    pub touches: String,
    /// How it ended: a command tag or a SQLSTATE.
    pub result: String,
    /// The statement's text, or what the event says.
    pub text: String,
}

impl Row {
    /// A record as what it is: a statement waits for its outcome.
    pub fn of(record: &Record<'_>, view: &View) -> Self {
        if view.is("statement") { Self::statement(record) } else { Self::alone(record) }
    }

    /// A record that has no outcome of its own.
    pub fn alone(record: &Record<'_>) -> Self {
        Self { record: record.into(), outcome: Ended::Never }
    }

    /// A statement, whose outcome is not known yet.
    pub fn statement(record: &Record<'_>) -> Self {
        Self { record: record.into(), outcome: Ended::NotYet }
    }

    /// Adds a statement's outcome.
    pub fn join(&mut self, outcome: &Record<'_>) {
        self.outcome = Ended::With(outcome.into());
    }

    /// Lends the record.
    pub fn record(&self) -> Record<'_> {
        self.record.as_record()
    }

    /// Lends the record of the outcome.
    pub fn outcome(&self) -> Option<Record<'_>> {
        match &self.outcome {
            Ended::With(outcome) => Some(outcome.as_record()),
            Ended::Never | Ended::NotYet => None,
        }
    }

    /// Returns the row as one line of JSON; a statement has an `outcome`, which is `null` where there is none.
    pub fn to_json(&self) -> String {
        let outcome = self.outcome();
        let joined = match &self.outcome {
            Ended::Never => None,
            Ended::NotYet | Ended::With(_) => Some(outcome.as_ref().map_or(Joined::Missing, Joined::Outcome)),
        };
        render::json_line(&self.record(), joined)
    }

    /// Returns the row for a table.
    pub fn summary(&self) -> Summary {
        let record = self.record();
        let view = View::of(&record);
        let ended = self.outcome().map(|outcome| View::of(&outcome));
        let result = ended.as_ref().and_then(View::result).or_else(|| view.result());
        let touches: Vec<_> = view.touched().iter().map(|t| format!("{} {}", t.action, t.name)).collect();
        let cell = |text: Option<&str>| render::cell(text.unwrap_or_default());
        let text = view.text.as_deref().or(view.reason.as_deref()).or(view.detail.as_deref());
        Summary {
            time: record.time,
            seq: record.seq.0,
            event: cell(view.event.as_deref()),
            session: cell(view.session.as_deref()),
            identity: cell(view.who().as_deref()),
            database: cell(view.database.as_deref()),
            verdict: cell(view.verdict.as_deref()),
            touches: cell(Some(&touches.join(", "))),
            result: cell(result.as_deref()),
            text: cell(text),
        }
    }
}

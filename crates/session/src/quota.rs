//! The bundle's limits in one session: which hold for it, what counts, and what is said when one is reached.
//!
//! What is then done about it is for `stop`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use policy::{Bundle, CostLimit, LimitKind, Limits};
use sql::{Command, Effect};
use wire::error::{ErrorFields, Severity};
use wire::sqlstate::{self, SqlState};

use crate::analysis::{Analysis, Results};
use crate::authorize::Judged;
use crate::input::Now;
use crate::refuse::Refusal;
use crate::running::{Running, Status, Turn};
use crate::scope::Scope;
use crate::shared::Database;
use crate::usage::{Daily, Day, Place, Usage};

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// Its key in `bundle.toml`.
    pub(crate) limit: &'static str,
    /// Its group; `None` for everybody's.
    pub(crate) group: Option<Arc<str>>,
    sqlstate: SqlState,
    severity: Severity,
    message: String,
    detail: String,
    hint: String,
}

impl Eq for Reached {}

impl Reached {
    /// Returns the error as the client gets it.
    pub(crate) fn error(&self) -> ErrorFields {
        ErrorFields::new(self.severity, self.sqlstate, &self.message).detail(&self.detail).hint(&self.hint)
    }

    /// A statement whose estimated cost is over the limit; the estimate itself is only told where nothing is in it that the
    /// identity may not see.
    pub(crate) fn cost(limit: &CostLimit, estimate: Option<f64>) -> Self {
        let detail = match estimate {
            Some(estimate) => format!("The planner expects {estimate:.2}."),
            None => "The planner expects more. How much is withheld: the statement touches masked columns."
                .to_owned(),
        };
        Self {
            limit: "cost",
            group: limit.group.clone(),
            sqlstate: sqlstate::PROGRAM_LIMIT_EXCEEDED,
            severity: Severity::Error,
            message: format!("limit exceeded: estimated cost is over {} of {}", limit.max, limit.whose()),
            detail,
            hint: "Ask for less, or in a way that an index helps; EXPLAIN shows what costs.".to_owned(),
        }
    }

    /// Says what was reached, and by how much.
    pub(crate) fn told(&self) -> String {
        let detail = self.detail.trim_end_matches('.');
        format!("{} ({detail})", self.message)
    }

    /// Says what was reached, for the record.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn state(&self) -> SqlState {
        self.sqlstate
    }
}

/// Rows and bytes of one statement, however many times its portal or cursor is executed.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// See the module.
pub(crate) struct Quota {
    limits: Limits,
    usage: Arc<Usage>,
    _place: Option<Place>,
    /// `[rows, bytes]` of a statement, and of a day; the largest number where there is no limit.
    statement_max: [u64; 2],
    day_max: [u64; 2],
    /// The limit that the last statement was refused by.
    told: Option<&'static str>,
}

const NONE: u64 = u64::MAX;

impl Quota {
    /// Takes a session's place among those of its identity.
    pub(crate) fn enter(
        scope: &Scope,
        bundle: &Bundle,
        database: &Database,
        now: Now,
    ) -> Result<Self, Reached> {
        let limits = held(scope, bundle, database);
        let usage = database.usages.of(scope.holder(), now);
        let max = limits.get(LimitKind::Sessions).map_or(NONE, |limit| limit.max);
        let Some(place) = usage.enter(max) else {
            let detail = format!("This identity has {max} sessions of this database open in this gateway.");
            let hint = "One can begin when another has ended.".to_owned();
            let parts = (sqlstate::TOO_MANY_CONNECTIONS, Severity::Fatal, detail, hint);
            return Err(reached(&limits, LimitKind::Sessions, parts));
        };
        let mut quota = Self {
            limits: Limits::default(),
            usage,
            _place: Some(place),
            statement_max: [NONE; 2],
            day_max: [NONE; 2],
            told: None,
        };
        quota.set(limits);
        Ok(quota)
    }

    /// Another bundle is in force.
    pub(crate) fn change(&mut self, scope: &Scope, bundle: &Bundle, database: &Database) {
        self.set(held(scope, bundle, database));
    }

    fn set(&mut self, limits: Limits) {
        let max = |kind| limits.get(kind).map_or(NONE, |limit| limit.max);
        self.statement_max = [max(LimitKind::RowsPerStatement), max(LimitKind::BytesPerStatement)];
        self.day_max = [max(LimitKind::RowsPerDay), max(LimitKind::BytesPerDay)];
        self.limits = limits;
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns whether anything limits what a statement may return or copy.
    pub(crate) fn limits_rows(&self) -> bool {
        self.statement_max != [NONE; 2] || self.day_max != [NONE; 2]
    }

    /// Returns whether rows of a statement count: a plan and a setting are no data.
    pub(crate) fn counts(analysis: &Analysis) -> bool {
        let rows = match &analysis.results {
            Results::None => false,
            // A write without RETURNING, or a query of nothing but how many rows there are.
            Results::Columns(columns) => !columns.is_empty() || analysis.reads_only,
            Results::Unknown => true,
        };
        rows || analysis.copies()
    }

    /// Counts a statement that is about to be run or refused.
    pub(crate) fn begin_statement(&self, now: Instant) -> Result<(), Reached> {
        match self.limits.get(LimitKind::StatementsPerMinute) {
            Some(limit) => {
                self.usage.begin_statement(limit.max, now).map_err(|seconds| self.minute_is_full(seconds))
            }
            None => Ok(()),
        }
    }

    /// Says whether a statement could begin, before anything is done for it.
    pub(crate) fn may_begin_statement(&self, now: Instant) -> Result<(), Reached> {
        match self.limits.get(LimitKind::StatementsPerMinute) {
            Some(limit) => {
                self.usage.may_begin_statement(limit.max, now).map_err(|seconds| self.minute_is_full(seconds))
            }
            None => Ok(()),
        }
    }

    fn minute_is_full(&self, seconds: u64) -> Reached {
        let kind = LimitKind::StatementsPerMinute;
        let max = self.max(kind);
        let plural = if seconds == 1 { "" } else { "s" };
        let detail = format!("{max} statements of this identity have begun within a minute.");
        let hint = format!("It resets in {seconds} second{plural}.");
        reached(&self.limits, kind, (sqlstate::CONFIGURATION_LIMIT_EXCEEDED, Severity::Error, detail, hint))
    }

    /// Refuses what returns or copies rows when there is nothing left of the day.
    pub(crate) fn day_has_room(&self, analysis: &Analysis, now: Now) -> Result<(), Reached> {
        if self.day_max == [NONE; 2] || !Self::counts(analysis) {
            return Ok(());
        }
        let (rows, bytes) = self.usage.taken_on(Day::of(now.wall));
        if rows >= self.day_max[0] {
            return Err(self.day_is_over(Daily::Rows, now));
        }
        if bytes >= self.day_max[1] {
            return Err(self.day_is_over(Daily::Bytes, now));
        }
        Ok(())
    }

    fn day_is_over(&self, daily: Daily, now: Now) -> Reached {
        let (kind, what) = match daily {
            Daily::Rows => (LimitKind::RowsPerDay, "rows"),
            Daily::Bytes => (LimitKind::BytesPerDay, "bytes of rows"),
        };
        let tomorrow = Day::of(now.wall).next().begin();
        let left = tomorrow.duration_since(now.wall).unwrap_or_default().as_secs();
        let (hours, minutes) = (left / 3600, left / 60 % 60);
        let detail =
            format!("A day has {} {what} for this identity; no more than that was returned.", self.max(kind));
        let hint = format!("It resets at midnight UTC, in {hours} h {minutes} min.");
        reached(&self.limits, kind, (sqlstate::CONFIGURATION_LIMIT_EXCEEDED, Severity::Error, detail, hint))
    }

    /// Counts rows on their way, if there is room for them in the statement and in the day.
    pub(crate) fn take(&self, spent: &Spent, rows: u64, bytes: u64, now: Now) -> Result<(), Reached> {
        let sum = |sum: &AtomicU64, n: u64| sum.load(Ordering::Relaxed).saturating_add(n);
        let (all_rows, all_bytes) = (sum(&spent.rows, rows), sum(&spent.bytes, bytes));
        if all_rows > self.statement_max[0] {
            return Err(self.statement_is_over(LimitKind::RowsPerStatement));
        }
        if all_bytes > self.statement_max[1] {
            return Err(self.statement_is_over(LimitKind::BytesPerStatement));
        }
        if self.day_max != [NONE; 2] {
            let max = (self.day_max[0], self.day_max[1]);
            self.usage
                .take(Day::of(now.wall), rows, bytes, max)
                .map_err(|daily| self.day_is_over(daily, now))?;
        }
        spent.rows.store(all_rows, Ordering::Relaxed);
        spent.bytes.store(all_bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Counts what a statement took of a day that was not limited while it did.
    pub(crate) fn note(&self, rows: u64, bytes: u64, now: Now) {
        if self.day_max == [NONE; 2] && bytes > 0 {
            self.usage.add(Day::of(now.wall), rows, bytes);
        }
    }

    fn statement_is_over(&self, kind: LimitKind) -> Reached {
        let max = self.max(kind);
        let what = if kind == LimitKind::RowsPerStatement { "rows" } else { "bytes of rows" };
        let detail = format!(
            "A statement, with all that is fetched from its cursor, has {max} {what}; it was stopped there."
        );
        let hint = "Ask for less: with WHERE, LIMIT, or an aggregate.".to_owned();
        reached(&self.limits, kind, (sqlstate::PROGRAM_LIMIT_EXCEEDED, Severity::Error, detail, hint))
    }

    pub(crate) fn statement_is_late(&self) -> Reached {
        let kind = LimitKind::StatementTimeout;
        let detail = format!("A statement has {} seconds; it was cancelled.", self.max(kind));
        let hint = "SET statement_timeout does not change this limit.".to_owned();
        reached(&self.limits, kind, (sqlstate::QUERY_CANCELED, Severity::Error, detail, hint))
    }

    pub(crate) fn idled(&self, kind: LimitKind) -> Reached {
        let (state, what) = match kind {
            LimitKind::IdleInTransactionTimeout => (
                sqlstate::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "while a transaction was open, which is rolled back",
            ),
            _ => (sqlstate::IDLE_SESSION_TIMEOUT, "in this session"),
        };
        let detail = format!("Nothing was asked for {} seconds {what}.", self.max(kind));
        reached(&self.limits, kind, (state, Severity::Fatal, detail, "Connect again.".to_owned()))
    }

    fn max(&self, kind: LimitKind) -> u64 {
        self.limits.get(kind).map_or(NONE, |limit| limit.max)
    }
}

impl Running {
    /// Counts a statement that is about to be run, or says which limit keeps it from being run.
    pub(crate) fn count_statement(&mut self, judged: &Judged, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let analysis = &judged.analysis;
        if self.may_always(&analysis.effect) {
            return Ok(());
        }
        let fetches = matches!(analysis.command, Some(Command::Fetch | Command::Move));
        let room = match &judged.approved {
            // It was counted when approvers were asked.
            Some(_) if !fetches => Ok(()),
            _ => self.quota.begin_statement(turn.now.monotonic),
        };
        let room = room.and_then(|()| self.quota.day_has_room(analysis, turn.now));
        self.tell_once(room, turn)
    }

    /// Says whether the server may be asked about a statement that could not be run then.
    pub(crate) fn may_ask(&mut self, effect: &Effect, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        if self.may_always(effect) {
            return Ok(());
        }
        let room = self.quota.may_begin_statement(turn.now.monotonic);
        self.tell_once(room, turn)
    }

    /// Counts a statement that the server would not parse.
    pub(crate) fn count_unparsed(&mut self, turn: &mut Turn<'_>) {
        // That there is no room was said before it was asked about.
        let _ = self.quota.begin_statement(turn.now.monotonic);
    }

    /// A client must always be able to end the transaction that is, or may be, open.
    fn may_always(&self, effect: &Effect) -> bool {
        let open = self.status != Status::Idle
            || self.pipeline_open
            || self.script.is_some()
            || !self.ops.is_empty()
            || !self.deferred.is_empty();
        open && matches!(effect, Effect::Commit { chain: false } | Effect::Rollback { chain: false })
    }

    /// Records that a limit is reached when it wasn't for the statement before.
    fn tell_once(&mut self, room: Result<(), Reached>, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let limit = room.as_ref().err().map(|reached| reached.limit);
        let told = std::mem::replace(&mut self.quota.told, limit);
        let Err(reached) = room else { return Ok(()) };
        if told != limit {
            self.record_limit(Some(self.statement_last + 1), &reached, turn);
        }
        Err(Refusal::Limited(Box::new(reached)))
    }

    /// Returns what is counted of the cursor that a statement fetches from, or else the beginning of a count.
    pub(crate) fn spent_of(&self, effect: &Effect) -> Arc<Spent> {
        match effect {
            Effect::Fetch { name, .. } => {
                let portal = self.portals.get(name.as_bytes());
                portal.map_or_else(|| self.opened_spent.clone(), |portal| portal.spent.clone())
            }
            _ => Arc::default(),
        }
    }
}

/// The limits that hold for a session; where nothing is enforced, none.
fn held(scope: &Scope, bundle: &Bundle, database: &Database) -> Limits {
    if database.settings.enforce { bundle.limits(scope.identity()) } else { Limits::default() }
}

fn reached(limits: &Limits, kind: LimitKind, parts: (SqlState, Severity, String, String)) -> Reached {
    let (sqlstate, severity, detail, hint) = parts;
    let limit = limits.get(kind);
    let whose = limit.map(policy::Limit::whose).unwrap_or_default();
    let max = limit.map_or(NONE, |limit| limit.max);
    let time = matches!(
        kind,
        LimitKind::StatementTimeout | LimitKind::IdleTimeout | LimitKind::IdleInTransactionTimeout
    );
    let unit = if time { " s" } else { "" };
    Reached {
        limit: kind.as_str(),
        group: limit.and_then(|limit| limit.group.clone()),
        sqlstate,
        severity,
        message: format!("limit exceeded: {} = {max}{unit} of {whose}", kind.as_str()),
        detail,
        hint,
    }
}

//! How many rows a statement would change, by running it in a transaction that is rolled back.
//!
//! SECURITY: only where the policy allows it, for who may decide about the request, and only for a statement of which everything that
//! would run is known to be undone by the rollback: what isn't known is not run. Only numbers leave; rows are dropped as they come.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use approval::{Ask, Request};
use audit::{Event, IdentityForm, RowsCounted, Time};
use model::Identity;
use schemars::JsonSchema;
use serde::Serialize;

use super::second::{Second, Whom, database, left};
use super::{NotShown, tables};
use crate::gateway::Gateway;
use crate::upstream::{Bound, QueryError, QueryLimits, Row};

/// The longest wait for a lock: others wait behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// What the server may say of rows that RETURNING returns, and that are dropped.
const RETURNED_BYTES_MAX: usize = 256 << 20;

/// How many rows a statement would change if it ran now.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RowCount {
    /// By relation, those that foreign keys reach included; none that don't change.
    pub relations: Vec<RelationCount>,
    /// The command tag that the statement ended with: `DELETE 3`.
    pub command: String,
    /// What else is to be known about the numbers.
    pub notes: Vec<String>,
    /// When it was counted, RFC 3339.
    pub at: String,
}

/// Rows of one relation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RelationCount {
    /// Schema and name.
    pub relation: String,
    /// Rows inserted.
    pub inserted: u64,
    /// Rows updated.
    pub updated: u64,
    /// Rows deleted.
    pub deleted: u64,
}

/// Returns how long the policy lets a request's rows be counted: every group that must approve has to allow it, and the shortest time
/// counts.
pub(crate) fn limit(ask: &Ask) -> Option<Duration> {
    let limits: Option<Vec<Duration>> = ask.needs.iter().map(|group| group.count_rows).collect();
    limits?.into_iter().min()
}

/// Counts. Whether `by` may ask for it was found out before.
pub(crate) async fn count(
    gateway: &Arc<Gateway>,
    request: &Request,
    by: &Identity,
) -> Result<RowCount, NotShown> {
    let Request { number, ask, .. } = request;
    let limit = limit(ask).ok_or_else(|| {
        NotShown::NotAllowed(
            "the policy doesn't let rows be counted (count_rows of its approvers)".to_owned(),
        )
    })?;
    let _turn = gateway.previews.begin_count(number.0, &ask.database)?;
    let by = IdentityForm(by).render();
    let requester = ask.requester.to_string();
    let record = |outcome: &str, counts: &[(&str, u64)], reason: Option<&str>| {
        gateway.record(&Event::RowsCounted(RowsCounted {
            approval: number.0,
            session: ask.session.as_deref(),
            requester: &requester,
            database: &ask.database,
            by: &by,
            outcome,
            counts,
            reason,
        }))
    };
    let unrecorded = |error: journal::JournalError| {
        NotShown::Gateway(format!("it can't be recorded, so it is not done: {error}"))
    };
    record("begun", &[], None).map_err(unrecorded)?;
    let counted = counted(gateway, ask, limit).await;
    match &counted {
        Ok(RowCount { relations, .. }) => {
            let counts: Vec<(&str, u64)> = relations
                .iter()
                .map(|it| (it.relation.as_str(), it.inserted + it.updated + it.deleted))
                .collect();
            // SECURITY: what was found out and is not on record is not told.
            record("counted", &counts, None).map_err(unrecorded)?;
        }
        Err(error) => record("failed", &[], Some(&error.to_string())).map_err(unrecorded)?,
    }
    counted
}

async fn counted(gateway: &Arc<Gateway>, ask: &Ask, limit: Duration) -> Result<RowCount, NotShown> {
    let mut second = Second::open(gateway, &ask.database, Whom::of(gateway, ask)).await?;
    let found = run(&mut second, ask, limit).await;
    // Whatever came of it: a transaction that is open ends with its connection.
    let _undone = second.run("ROLLBACK").await;
    second.close().await;
    let (relations, command, mut notes) = found?;
    if matches!(ask.wait, approval::Wait::Held { in_transaction: true }) {
        notes.push(
            "its session has a transaction open: what that has changed by now is not seen here".to_owned(),
        );
    }
    Ok(RowCount { relations, command, notes, at: Time::from(SystemTime::now()).to_string() })
}

type Found = (Vec<RelationCount>, String, Vec<String>);

async fn run(second: &mut Second, ask: &Ask, limit: Duration) -> Result<Found, NotShown> {
    let began = Instant::now();
    let (whole, lock) = (limit.as_millis(), LOCK_TIMEOUT.min(limit).as_millis());
    // The server gives up by itself, also where the gateway has gone.
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE NOT DEFERRABLE; SET LOCAL statement_timeout TO {whole}; \
         SET LOCAL lock_timeout TO {lock}; SET LOCAL idle_in_transaction_session_timeout TO {whole}"
    );
    second.run(&begin).await.map_err(database)?;
    // From here on the statement's tables are locked against other definitions: its tree was made in this transaction.
    let (examined, bounds) = second.examine_asked(ask).await?;
    let catalog = second.probe.catalog();
    let remains = examined.remains(&catalog);
    stop(&remains.stops)?;
    second.is_same(ask, &examined, &bounds)?;
    let rows = second.run(&tables::query(&remains.written, &remains.touched)).await.map_err(database)?;
    let mut stops = tables::stops(&rows, |oid| examined.function_stops(&catalog, oid));
    let types = tables::types_query(examined.made_types(), &remains.touched);
    stops.extend(tables::types_stop(&second.run(&types).await.map_err(database)?));
    stop(&stops)?;
    let counting = second.run("SHOW track_counts").await.map_err(database)?;
    if text(counting.first(), 0) != "on" {
        return Err(NotShown::Impossible("the server doesn't count rows: track_counts is off".to_owned()));
    }
    let limits = QueryLimits {
        rows_max: usize::MAX,
        bytes_max: RETURNED_BYTES_MAX,
        timeout: left(began, limit) + Duration::from_secs(1),
    };
    give(second, began, limit).await?;
    let bound = Bound { sql: &ask.statement.text, types: &bounds.types, values: &bounds.values };
    let done =
        second.probe.upstream().run_bound(bound, limits, drop).await.map_err(|error| failed(error, limit))?;
    let mut notes = Vec::new();
    give(second, began, limit).await?;
    // What the server would check only when the transaction is committed.
    if let Err(error) = second.run("SET CONSTRAINTS ALL IMMEDIATE").await {
        if !matches!(error, QueryError::Refused { .. }) {
            return Err(failed(error, limit));
        }
        return Err(NotShown::Impossible(format!("it would fail when it is committed: {}", refused(&error))));
    }
    if left(began, limit).is_zero() {
        notes.push("it took all the time that it has here".to_owned());
    }
    give(second, began, limit).await?;
    let counts = second.run(COUNTS).await.map_err(|error| failed(error, limit))?;
    let relations = counts.iter().map(relation).collect();
    Ok((relations, done.unwrap_or_default(), notes))
}

/// Gives the next statement the time that is left: the server's limit is for each of them alone.
async fn give(second: &mut Second, began: Instant, limit: Duration) -> Result<(), NotShown> {
    // 0 would be no limit.
    let left = left(began, limit).as_millis().max(1);
    second.run(&format!("SET LOCAL statement_timeout TO {left}")).await.map_err(database)?;
    Ok(())
}

/// What this transaction has changed (`pg_stat_get_xact_tuples_inserted` and its kin), by relation. Nothing was changed on this
/// connection before.
const COUNTS: &str = "SELECT pg_catalog.concat(n.nspname, '.', c.relname), \
     pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid), pg_catalog.pg_stat_get_xact_tuples_updated(c.oid), \
     pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
     WHERE c.relkind::pg_catalog.text OPERATOR(pg_catalog.=) 'r' \
     AND n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog' \
     AND (pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) OPERATOR(pg_catalog.+) \
     pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) OPERATOR(pg_catalog.+) \
     pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)) OPERATOR(pg_catalog.>) 0 ORDER BY 1";

fn text(row: Option<&Row>, at: usize) -> String {
    let cell = row.and_then(|row| row.get(at)).and_then(Option::as_deref).unwrap_or_default();
    String::from_utf8_lossy(cell).into_owned()
}

fn relation(row: &Row) -> RelationCount {
    let number = |at| text(Some(row), at).parse().unwrap_or(0);
    RelationCount {
        relation: text(Some(row), 0),
        inserted: number(1),
        updated: number(2),
        deleted: number(3),
    }
}

fn stop(stops: &[String]) -> Result<(), NotShown> {
    match stops {
        [] => Ok(()),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            Err(NotShown::Impossible(format!(
                "not counted, since a rollback might not undo it all: {first}{more}"
            )))
        }
    }
}

fn refused(error: &QueryError) -> String {
    match error {
        // SECURITY: the text may quote values of rows.
        QueryError::Refused { sqlstate: Some(state), .. } => format!("SQLSTATE {state}"),
        _ => "an error".to_owned(),
    }
}

fn failed(error: QueryError, limit: Duration) -> NotShown {
    let state = match &error {
        QueryError::Refused { sqlstate, .. } => sqlstate.map(|state| state.to_string()),
        QueryError::TimedOut(_) => return late(limit),
        _ => return database(error),
    };
    match state.as_deref() {
        // query_canceled
        Some("57014") => late(limit),
        // lock_not_available
        Some("55P03") => {
            let why = "not counted: it would have had to wait for others' locks, perhaps for those of its own session";
            NotShown::Impossible(why.to_owned())
        }
        _ => NotShown::Impossible(format!("it would fail: {}", refused(&error))),
    }
}

fn late(limit: Duration) -> NotShown {
    NotShown::Impossible(format!("not counted: it takes longer than {} s", limit.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(count_rows: Option<u64>) -> approval::Group {
        approval::Group {
            name: "g".to_owned(),
            members: approval::Members::Any(vec!["g".to_owned()]),
            quorum: 1,
            reason_required: false,
            count_rows: count_rows.map(Duration::from_secs),
            break_glass: None,
        }
    }

    #[test]
    fn every_group_must_allow_counting_and_the_shortest_time_counts() {
        let limit = |groups: &[Option<u64>]| {
            let limits: Option<Vec<Duration>> = groups.iter().map(|it| group(*it).count_rows).collect();
            limits.and_then(|limits| limits.into_iter().min()).map(|limit| limit.as_secs())
        };
        assert_eq!(limit(&[Some(5), Some(3)]), Some(3));
        assert_eq!(limit(&[Some(5), None]), None);
        assert_eq!(limit(&[]), None);
    }
}

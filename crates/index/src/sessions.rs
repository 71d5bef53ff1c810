//! Sessions: what each one did, added up; and finding them.

use std::collections::HashMap;

use audit::{Record, Seq, Time};
use journal::query::View;
use model::SessionId;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Row, Transaction, params, params_from_iter};
use serde_json::Value;

use crate::IndexError;

/// What batches add to a session.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    first: Seq,
    last: Seq,
    earliest: Time,
    latest: Time,
    /// The record of its start, or of a statement, says whose it is.
    facts: Option<Facts>,
    is_of_start: bool,
    ended: Option<(Time, String)>,
    statements: u64,
    refusals: u64,
    holds: u64,
    errors: u64,
    rows: u64,
    bytes: u64,
    recording: Option<(String, Seq)>,
}

#[derive(Debug, Default)]
struct Facts {
    identity: String,
    subject: String,
    behalf: Option<String>,
    behalf_subject: Option<String>,
    groups: Vec<String>,
    database: Option<String>,
    client: Option<String>,
    application: Option<String>,
    method: Option<String>,
}

impl Facts {
    fn of(record: &Record<'_>, view: &View) -> Option<Self> {
        let who = view.identity.as_ref()?;
        let fields: serde_json::Map<String, Value> = serde_json::from_slice(record.payload).ok()?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            identity: who.to_string(),
            subject: who.subject.clone(),
            behalf: who.on_behalf_of.as_ref().map(ToString::to_string),
            behalf_subject: who.on_behalf_of.as_ref().map(|party| party.subject.clone()),
            groups: who.groups.clone(),
            database: view.database.clone(),
            client: text("client"),
            application: text("application_name").filter(|name| !name.is_empty()),
            method: text("method"),
        })
    }
}

impl Delta {
    /// Its gateway has gone.
    pub(crate) fn lose(&mut self) {
        let latest = self.latest;
        self.ended.get_or_insert_with(|| (latest, LOST.to_owned()));
    }
}

/// Why a session ended whose gateway went without saying so.
const LOST: &str = "lost";

/// Adds a record to the session that it is about.
pub(crate) fn note(sessions: &mut HashMap<u128, Delta>, record: &Record<'_>, view: &View) {
    let (Some(session), Some(event)) = (view.session(), view.event.as_deref()) else { return };
    let is_known = matches!(event, "session_started" | "statement" | "outcome" | "disconnected");
    let is_recording = event.starts_with("recording_");
    if !is_known && !is_recording {
        return;
    }
    let delta = sessions.entry(session.0).or_default();
    if delta.first.0 == 0 {
        (delta.first, delta.earliest) = (record.seq, record.time);
    }
    (delta.last, delta.latest) = (record.seq, delta.latest.max(record.time));
    let is_start = event == "session_started";
    if is_start || (event == "statement" && delta.facts.is_none()) {
        delta.facts = Facts::of(record, view);
        delta.is_of_start = is_start;
    }
    match event {
        "statement" => {
            let refused = view.is_refusal();
            delta.statements += 1;
            delta.refusals += u64::from(refused);
            delta.errors += u64::from(view.sqlstate.is_some() && !refused);
            let held = view.approval().is_some() || view.verdict.as_deref() == Some("hold");
            delta.holds += u64::from(held);
        }
        "outcome" => {
            delta.errors += u64::from(view.sqlstate.is_some() || view.lost().is_some());
            delta.rows = delta.rows.saturating_add(view.rows.unwrap_or(0));
            delta.bytes = delta.bytes.saturating_add(view.bytes.unwrap_or(0));
        }
        "disconnected" => {
            delta.ended = Some((record.time, view.reason.clone().unwrap_or_default()));
        }
        _ if is_recording => delta.recording = Some((event.to_owned(), record.seq)),
        _ => {}
    }
}

/// Writes what a batch adds. `restarted`: whoever had not ended before it has.
pub(crate) fn write(
    transaction: &Transaction<'_>,
    sessions: &HashMap<u128, Delta>,
    restarted: bool,
) -> Result<(), IndexError> {
    if restarted {
        end_all(transaction)?;
    }
    let mut known = transaction.prepare_cached("SELECT 1 FROM sessions WHERE id = ?1")?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO sessions (id, first, last, groups, began, latest, statements, refusals, holds, errors, rows, bytes)
         VALUES (?1, ?2, ?2, '[]', ?3, ?3, 0, 0, 0, 0, 0, 0)",
    )?;
    let mut add = transaction.prepare_cached(
        "UPDATE sessions SET last = max(last, ?2), latest = max(latest, ?3), ended = coalesce(?4, ended),
         reason = coalesce(?5, reason), statements = statements + ?6, refusals = refusals + ?7, holds = holds + ?8,
         errors = errors + ?9, rows = rows + ?10, bytes = bytes + ?11, recorded = coalesce(?12, recorded),
         recording = coalesce(?13, recording) WHERE id = ?1",
    )?;
    let mut name = transaction.prepare_cached(
        "UPDATE sessions SET identity = ?2, subject = ?3, behalf = ?4, behalf_subject = ?5, groups = ?6, database = ?7,
         client = ?8, application = ?9, method = coalesce(?10, method) WHERE id = ?1 AND (?11 OR identity IS NULL)",
    )?;
    let mut read = transaction.prepare_cached("SELECT * FROM sessions WHERE id = ?1")?;
    let mut seal = transaction.prepare_cached("UPDATE sessions SET crc = ?2 WHERE id = ?1")?;
    for (id, delta) in sessions {
        let id = id.to_be_bytes();
        if !known.exists([id])? {
            if delta.facts.is_none() {
                // A connection that never was anybody's.
                continue;
            }
            insert.execute(params![id, number(delta.first.0), delta.earliest.0])?;
        }
        let ended = delta.ended.as_ref();
        let recording = delta.recording.as_ref();
        add.execute(params![
            id,
            number(delta.last.0),
            delta.latest.0,
            ended.map(|it| it.0.0),
            ended.map(|it| &it.1),
            number(delta.statements),
            number(delta.refusals),
            number(delta.holds),
            number(delta.errors),
            number(delta.rows),
            number(delta.bytes),
            recording.map(|it| &it.0),
            recording.map(|it| number(it.1.0)),
        ])?;
        if let Some(facts) = &delta.facts {
            let Facts { identity, subject, behalf, behalf_subject, groups, .. } = facts;
            let Facts { database, client, application, method, .. } = facts;
            let groups = serde_json::to_string(groups).unwrap_or_else(|_| "[]".to_owned());
            name.execute(params![
                id,
                identity,
                subject,
                behalf,
                behalf_subject,
                groups,
                database,
                client,
                application,
                method,
                delta.is_of_start
            ])?;
        }
        let row = read.query_row([id], SessionRow::of)?;
        seal.execute(params![id, row.crc()])?;
    }
    Ok(())
}

/// Ends all sessions that have not: nothing survives its gateway.
fn end_all(transaction: &Transaction<'_>) -> Result<(), IndexError> {
    let mut open = transaction.prepare_cached("SELECT * FROM sessions WHERE ended IS NULL")?;
    let open: Vec<SessionRow> = open.query_map([], SessionRow::of)?.collect::<Result<_, _>>()?;
    let mut end =
        transaction.prepare_cached("UPDATE sessions SET ended = ?2, reason = ?3, crc = ?4 WHERE id = ?1")?;
    for mut row in open {
        (row.ended, row.reason) = (Some(row.latest), Some(LOST.to_owned()));
        end.execute(params![row.id.0.to_be_bytes(), row.latest.0, LOST, row.crc()])?;
    }
    Ok(())
}

/// A number as SQLite has it.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What sessions are looked for; one must pass every part that is given.
#[derive(Clone, Debug, Default)]
pub struct SessionSearch {
    /// This one.
    pub session: Option<SessionId>,
    /// `issuer:subject`, or the subject alone.
    pub identity: Option<String>,
    /// For whom it acts: `issuer:subject`, or the subject alone.
    pub on_behalf_of: Option<String>,
    /// A group of its identity.
    pub group: Option<String>,
    /// The database as clients name it.
    pub database: Option<String>,
    /// That went on then or later.
    pub since: Option<Time>,
    /// That began before.
    pub until: Option<Time>,
    /// With so many refusals at least.
    pub refusals_min: Option<u64>,
    /// With so many statements that waited for approval, or would have had to, at least.
    pub holds_min: Option<u64>,
    /// With so many errors at least.
    pub errors_min: Option<u64>,
    /// That there is a recording of.
    pub recorded: Option<Recorded>,
    /// Whose first record is before this one: where the page before ended.
    pub before: Option<Seq>,
}

/// Whether there is a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// There is.
    Yes,
    /// There isn't.
    No,
}

/// A session in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Its first record.
    pub first: Seq,
    /// Its last record.
    pub last: Seq,
    /// `issuer:subject`.
    pub identity: Option<String>,
    /// For whom it acts.
    pub on_behalf_of: Option<String>,
    /// The groups of its identity.
    pub groups: Vec<String>,
    /// The database as clients name it.
    pub database: Option<String>,
    /// Where from.
    pub client: Option<String>,
    /// `application_name`, at its start.
    pub application: Option<String>,
    /// How it logged in.
    pub method: Option<String>,
    /// When it began.
    pub began: Time,
    /// When its last record was.
    pub latest: Time,
    /// When it ended; `None`: it goes on.
    pub ended: Option<Time>,
    /// Why it ended; `lost`: its gateway went without saying so.
    pub reason: Option<String>,
    /// Statements that were decided.
    pub statements: u64,
    /// Of those, refused by the gateway.
    pub refusals: u64,
    /// Of those, approved, or refused for want of approval.
    pub holds: u64,
    /// Statements that the server refused or that failed.
    pub errors: u64,
    /// Rows returned or copied.
    pub rows: u64,
    /// Bytes of those rows.
    pub bytes: u64,
    /// What was said last of its recording: an event's name, `recording_ended`, ...
    pub recorded: Option<String>,
    /// The record that says so, and where the recording is.
    pub recording: Option<Seq>,
}

impl SessionRow {
    /// Of everything that is said of it.
    fn crc(&self) -> i64 {
        i64::from(crc32fast::hash(format!("{self:?}").as_bytes()))
    }

    /// Reads it, if it is what was written.
    fn checked(row: &Row<'_>) -> Result<Self, IndexError> {
        let read = Self::of(row)?;
        let is_whole = row.get::<_, Option<i64>>("crc")? == Some(read.crc());
        if is_whole { Ok(read) } else { Err(IndexError::damaged("a session is not what was written")) }
    }

    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |name: &str| row.get::<_, i64>(name).map(|it| u64::try_from(it).unwrap_or(0));
        let groups: String = row.get("groups")?;
        Ok(Self {
            id: SessionId(u128::from_be_bytes(row.get("id")?)),
            first: Seq(count("first")?),
            last: Seq(count("last")?),
            identity: row.get("identity")?,
            on_behalf_of: row.get("behalf")?,
            groups: serde_json::from_str(&groups).unwrap_or_default(),
            database: row.get("database")?,
            client: row.get("client")?,
            application: row.get("application")?,
            method: row.get("method")?,
            began: Time(row.get("began")?),
            latest: Time(row.get("latest")?),
            ended: row.get::<_, Option<i64>>("ended")?.map(Time),
            reason: row.get("reason")?,
            statements: count("statements")?,
            refusals: count("refusals")?,
            holds: count("holds")?,
            errors: count("errors")?,
            rows: count("rows")?,
            bytes: count("bytes")?,
            recorded: row.get("recorded")?,
            recording: row.get::<_, Option<i64>>("recording")?.map(|it| Seq(u64::try_from(it).unwrap_or(0))),
        })
    }
}

/// Finds sessions, the newest first, and hands them out until that is enough.
pub(crate) fn find(
    connection: &Connection,
    search: &SessionSearch,
    mut each: impl FnMut(SessionRow) -> std::ops::ControlFlow<()>,
) -> Result<(), IndexError> {
    let SessionSearch { session, identity, on_behalf_of, group, database, since, until, .. } = search;
    let SessionSearch { refusals_min, holds_min, errors_min, recorded, before, .. } = search;
    let mut sql = "SELECT * FROM sessions WHERE 1".to_owned();
    let mut values: Vec<SqlValue> = Vec::new();
    let mut given = |condition: &str, value: Option<SqlValue>| {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(" AND ");
            sql.push_str(&condition.replace('?', &format!("?{}", values.len())));
        }
    };
    let text = |text: &Option<String>| text.clone().map(SqlValue::Text);
    let at_least = |min: &Option<u64>| min.map(|min| SqlValue::Integer(number(min)));
    given("id = ?", session.map(|id| SqlValue::Blob(id.0.to_be_bytes().to_vec())));
    given("(identity = ? OR subject = ?)", text(identity));
    given("(behalf = ? OR behalf_subject = ?)", text(on_behalf_of));
    given("EXISTS (SELECT 1 FROM json_each(groups) WHERE value = ?)", text(group));
    given("database = ?", text(database));
    given("(ended IS NULL OR ended >= ?)", since.map(|time| SqlValue::Integer(time.0)));
    given("began < ?", until.map(|time| SqlValue::Integer(time.0)));
    given("refusals >= ?", at_least(refusals_min));
    given("holds >= ?", at_least(holds_min));
    given("errors >= ?", at_least(errors_min));
    given("(recorded IS NOT NULL) = ?", recorded.map(|it| SqlValue::Integer(i64::from(it == Recorded::Yes))));
    given("first < ?", before.map(|seq| SqlValue::Integer(number(seq.0))));
    sql.push_str(" ORDER BY first DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        if each(SessionRow::checked(row)?).is_break() {
            break;
        }
    }
    Ok(())
}

/// Reads all sessions and compares each with what it says of itself.
pub(crate) fn verify(connection: &Connection) -> Result<(), IndexError> {
    find(connection, &SessionSearch::default(), |_| std::ops::ControlFlow::Continue(()))
}

/// Returns one session.
pub(crate) fn one(connection: &Connection, id: SessionId) -> Result<Option<SessionRow>, IndexError> {
    let mut statement = connection.prepare_cached("SELECT * FROM sessions WHERE id = ?1")?;
    let mut rows = statement.query([id.0.to_be_bytes()])?;
    rows.next()?.map(SessionRow::checked).transpose()
}

//! `gatepost audit search`, `audit reindex` and `sessions search`: over the index, or, where there is none, the journal itself.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use audit::{Seq, Time};
use index::{
    Asked, Fingerprint, Found, Index, IndexError, Recorded, SessionRow, Status as Standing, Step, Writer,
};
use journal::query::{Filter, Row};
use journal::search::{Budget, From, Measure, Search};
use serde_json::{Value, json};

use super::audit::{Printer, conditions, instant};
use crate::args;
use crate::failure::{Failure, Status, chain};
use crate::output::{Cell, Format, Out, Tone};
use crate::settings;

/// Records of one look.
const PAGE: usize = 500;

fn files(config: Option<&Path>, files: args::Files) -> Result<Index, Failure> {
    let args::Files { journal, index } = files;
    let (journal, index): (PathBuf, PathBuf) = match (journal, index) {
        (Some(journal), Some(index)) => (journal, index),
        (journal, index) => {
            let config = settings::load(config)?;
            (journal.unwrap_or(config.journal.path), index.unwrap_or(config.index.path))
        }
    };
    Ok(Index::new(index, journal))
}

/// `gatepost audit search`.
pub(super) fn search(config: Option<&Path>, search: args::Search) -> Result<Status, Failure> {
    let args::Search { files: places, filter, statements, group, approval, period, limit, format } = search;
    let index = files(config, places)?;
    let (since, until) = times(period)?;
    let filter = Filter { since, until, ..conditions(filter) };
    let asked = asked(filter, statements, group, approval);
    freshen(&index);
    let mut printer = Printer::with_fingerprints(format);
    let mut left = limit;
    let mut print = |rows: &[Row]| -> Result<bool, Failure> {
        for row in rows {
            printer.row(row)?;
        }
        Ok(!printer.closed())
    };
    let (mut from, mut unreadable) = (From::End, 0);
    let mut finished = left == 0;
    while !finished {
        let found = match index.search(&asked, from, left.min(PAGE), unbounded()) {
            Ok(found) if asked.is_known() => found,
            Err(error) if !told_instead(&error) => return Err(Failure::of(&error)),
            other => {
                if let Err(error) = other {
                    note(&format!("{}; reading the journal instead", chain(&error)));
                }
                walk(index.dir(), &asked, from, left, &mut print)?;
                break;
            }
        };
        let Found { rows, next, unreadable: lost, .. } = found;
        unreadable += lost.len();
        left = left.saturating_sub(rows.len());
        finished = !print(&rows)? || left == 0 || next.is_none();
        from = next.map_or(from, From::Before);
    }
    printer.finish()?;
    if unreadable > 0 {
        note(&format!(
            "{unreadable} records can't be read: the journal was changed; see \"gatepost audit verify\""
        ));
    }
    Ok(Status::Success)
}

/// Searches the journal itself.
fn walk(
    dir: &Path,
    asked: &Asked,
    mut from: From,
    mut left: usize,
    print: &mut dyn FnMut(&[Row]) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let journal = journal::search::Index::new(dir);
    while left > 0 {
        let page =
            journal.search(&asked.search, from, PAGE, unbounded()).map_err(|error| Failure::of(&error))?;
        let rows: Vec<Row> = page
            .rows
            .into_iter()
            .filter(|row| asked.fingerprint.is_none() || asked.admits(row))
            .take(left)
            .collect();
        left -= rows.len();
        match page.next {
            Some(next) if print(&rows)? => from = From::Before(next),
            _ => {
                print(&rows)?;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Whether the journal is read instead of the index, rather than nothing.
const fn told_instead(error: &IndexError) -> bool {
    !matches!(error, IndexError::Journal(_))
}

fn unbounded() -> Budget {
    Budget { until: Instant::now() + Duration::from_secs(86_400), bytes: u64::MAX }
}

fn times(period: args::Period) -> Result<(Option<Time>, Option<Time>), Failure> {
    let now = SystemTime::now();
    let args::Period { since, until } = period;
    let since = since.map(|text| instant("since", &text, now)).transpose()?;
    Ok((since, until.map(|text| instant("until", &text, now)).transpose()?))
}

fn asked(
    filter: Filter,
    statements: args::Statements,
    group: Option<String>,
    approval: Option<u64>,
) -> Asked {
    let args::Statements { column, rule, sqlstate, fingerprint, like, .. } = statements;
    let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let measure = Measure {
        rows_min: statements.rows_min,
        rows_max: statements.rows_max,
        duration_us_min: statements.duration_min.map(us),
        duration_us_max: statements.duration_max.map(us),
    };
    let fingerprint = fingerprint.or_else(|| like.map(|text| Fingerprint::of(&text)));
    Asked { search: Search { filter, sqlstate, column, rule, approval, group, measure }, fingerprint }
}

/// Brings an index up to date that no gateway keeps so just now. Where that can't be, searches do without.
fn freshen(index: &Index) {
    if index.path().exists()
        && let Ok(mut writer) = Writer::open(index.path(), index.dir())
    {
        if let Some(why) = writer.made_anew() {
            note(&format!("the index is made anew: {why}"));
        }
        if let Err(error) = catch_up(&mut writer) {
            note(&format!("the index can't be brought up to date: {}", chain(&error)));
        }
    }
}

fn catch_up(writer: &mut Writer) -> Result<(), IndexError> {
    let mut told = Instant::now();
    while writer.step()? == Step::More {
        if told.elapsed() >= Duration::from_secs(2) {
            told = Instant::now();
            note(&format!("indexed {} records", writer.position().0.saturating_sub(1)));
        }
    }
    writer.commit()
}

/// Says something beside the answer, to whoever looks on.
#[expect(clippy::print_stderr, reason = "progress belongs there, and is never data")]
fn note(text: &str) {
    if std::io::stderr().is_terminal() || !text.starts_with("indexed") {
        eprintln!("gatepost: {text}");
    }
}

/// `gatepost audit reindex`.
pub(super) fn reindex(config: Option<&Path>, reindex: args::Reindex) -> Result<Status, Failure> {
    let args::Reindex { files: places, check, format } = reindex;
    let index = files(config, places)?;
    if check {
        return self::check(&index, format);
    }
    match Writer::open(index.path(), index.dir()) {
        Ok(mut writer) => {
            writer.make_anew("it was asked for".to_owned()).map_err(|error| Failure::of(&error))?;
            catch_up(&mut writer).map_err(|error| Failure::of(&error))?;
        }
        Err(IndexError::Busy(_)) => {
            // A gateway keeps it: it makes its own anew, and goes on reading along.
            index.ask_anew().map_err(|error| Failure::of(&error))?;
            await_gateway(&index)?;
        }
        Err(error) => return Err(Failure::of(&error)),
    }
    let standing = index.status().map_err(|error| Failure::of(&error))?;
    show(&index, &standing, None, format)?;
    Ok(Status::Success)
}

/// How long a gateway may seem to do nothing about it.
const GATEWAY_TIME_MAX: Duration = Duration::from_secs(60);

fn await_gateway(index: &Index) -> Result<(), Failure> {
    let (mut moved, mut last) = (Instant::now(), Seq(0));
    loop {
        let pending = index.is_asked_anew().unwrap_or(true);
        let behind = index.behind().unwrap_or(u64::MAX);
        if !pending && behind < 1000 {
            return Ok(());
        }
        let next = index.status().map_or(Seq(0), |status| status.next);
        if next != last {
            (moved, last) = (Instant::now(), next);
            note(&format!("indexed {} records", next.0.saturating_sub(1)));
        }
        if moved.elapsed() > GATEWAY_TIME_MAX {
            return Err(Failure::new("the gateway does not make its index anew; see its log"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn check(index: &Index, format: Format) -> Result<Status, Failure> {
    let standing = index.status().map_err(|error| Failure::of(&error))?;
    let found = index.verify().err();
    show(index, &standing, found.as_ref(), format)?;
    Ok(if found.is_some() { Status::CheckFailed } else { Status::Success })
}

fn show(
    index: &Index,
    standing: &Standing,
    damage: Option<&IndexError>,
    format: Format,
) -> Result<(), Failure> {
    let Standing { next, records, sessions, from, to, bytes, holes } = standing;
    let time = |time: &Option<Time>| time.map_or(Value::Null, |time| time.to_string().into());
    let behind = index.behind().ok();
    let holes: Vec<String> = holes
        .iter()
        .map(|(first, next, why)| format!("{first} to {}: {why}", Seq(next.0.saturating_sub(1))))
        .collect();
    let mut facts = vec![
        ("index", Cell::new(index.path().display().to_string())),
        ("last", Cell::new(next.0.saturating_sub(1))),
        ("behind", Cell::new(behind)),
        ("records", Cell::new(*records)),
        ("sessions", Cell::new(*sessions)),
        ("from", Cell::new(time(from))),
        ("until", Cell::new(time(to))),
        ("bytes", Cell::new(*bytes)),
        ("unread", Cell::new(holes)),
    ];
    facts.push(match damage {
        None => ("standing", Cell::toned(Tone::Good, "whole")),
        Some(error) => ("standing", Cell::toned(Tone::Bad, chain(error))),
    });
    let mut out = Out::new();
    match format {
        Format::Table => {
            let rows: Vec<_> = facts.into_iter().map(|(name, cell)| vec![Cell::new(name), cell]).collect();
            out.table(Format::Table, &["fact", "value"], &rows)
        }
        Format::Json => {
            let (names, cells): (Vec<_>, Vec<_>) = facts.into_iter().unzip();
            out.table(Format::Json, &names, &[cells])
        }
    }
}

/// `gatepost sessions search`.
pub(super) fn sessions(config: Option<&Path>, search: args::SessionSearch) -> Result<Status, Failure> {
    let args::SessionSearch {
        files: places, identity, on_behalf_of, group, database, session, period, ..
    } = search;
    let args::SessionSearch { refused, held, failed, recorded, relation, verdict, text, statements, .. } =
        search;
    let index = files(config, places)?;
    let (since, until) = times(period)?;
    let filter = Filter { relation, verdict, text, since, until, ..Filter::default() };
    let asked = asked(filter, statements, None, None);
    let of_statements = {
        let Asked { search: Search { filter, sqlstate, column, rule, measure, .. }, fingerprint } = &asked;
        let texts = [&filter.relation, &filter.verdict, &filter.text, sqlstate, column, rule];
        texts.iter().any(|it| it.is_some()) || !measure.is_any() || fingerprint.is_some()
    };
    let wanted = index::SessionSearch {
        session,
        identity,
        on_behalf_of,
        group,
        database,
        since,
        until,
        refusals_min: refused,
        holds_min: held,
        errors_min: failed,
        recorded: recorded.then_some(Recorded::Yes),
        before: None,
    };
    freshen(&index);
    let (rows, _) = index
        .sessions(&wanted, of_statements.then_some(&asked), search.limit, unbounded())
        .map_err(|error| Failure::of(&error))?;
    print_sessions(&rows, search.format)?;
    Ok(Status::Success)
}

fn print_sessions(rows: &[SessionRow], format: Format) -> Result<(), Failure> {
    let headings: &[&str] = match format {
        Format::Table => &[
            "id",
            "identity",
            "database",
            "began",
            "ended",
            "reason",
            "statements",
            "refusals",
            "holds",
            "errors",
            "rows",
            "recorded",
        ],
        Format::Json => &[
            "id",
            "identity",
            "on_behalf_of",
            "groups",
            "database",
            "client",
            "application_name",
            "method",
            "began",
            "ended",
            "reason",
            "statements",
            "refusals",
            "holds",
            "errors",
            "rows",
            "bytes",
            "recorded",
            "recording",
            "first",
            "last",
        ],
    };
    let cells = |row: &SessionRow| {
        let json = json!({
            "id": row.id.to_string(),
            "identity": row.identity,
            "on_behalf_of": row.on_behalf_of,
            "groups": row.groups,
            "database": row.database,
            "client": row.client,
            "application_name": row.application,
            "method": row.method,
            "began": row.began.to_string(),
            "ended": row.ended.map(|time| time.to_string()),
            "reason": row.reason,
            "statements": row.statements,
            "refusals": row.refusals,
            "holds": row.holds,
            "errors": row.errors,
            "rows": row.rows,
            "bytes": row.bytes,
            "recorded": row.recorded,
            "recording": row.recording.map(|seq| seq.0),
            "first": row.first.0,
            "last": row.last.0,
        });
        let cell = |name: &&str| Cell::new(json.get(*name).cloned().unwrap_or(Value::Null));
        headings.iter().map(cell).collect::<Vec<_>>()
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    Out::new().table(format, headings, &rows)
}

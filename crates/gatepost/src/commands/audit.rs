//! `gatepost audit`: looks at the journal's files, whether a gateway runs or not. Needs nothing else.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use audit::{Anchor, Finding, Problem, Report, Seq, Start, Time};
use journal::VerifyError;
use journal::query::{self, Filter, Limit, Row, Summary};
use journal::reader::Reader;
use serde_json::Value;

use crate::args;
use crate::commands::migration;
use crate::failure::{Failure, Status};
use crate::output::{Cell, Format, Out, RecordFormat, Tone};
use crate::settings;

pub(crate) fn run(config: Option<&Path>, command: args::Audit) -> Result<Status, Failure> {
    match command {
        args::Audit::Query { journal, filter, since, until, last, format } => {
            let dir = folder(config, journal)?;
            let (since, until) = period(since, until)?;
            let filter = Filter { since, until, limit: last.map(Limit::Last), ..conditions(filter) };
            print(&dir, &filter, format)
        }
        args::Audit::Streams { format } => super::streams::run(config, format),
        args::Audit::Tail { journal, filter, lines, format } => {
            tail(&folder(config, journal)?, conditions(filter), lines, format)
        }
        args::Audit::Report(report) if report.migration => migrated(config, report),
        args::Audit::Report(report) => super::evidence::run(config, report),
        args::Audit::Verify { journal, anchors, retained, format } => {
            let anchors = anchors.iter().map(|text| anchor(text)).collect::<Result<Vec<_>, _>>()?;
            let start = if retained { Start::Retained } else { Start::Genesis };
            verify(&folder(config, journal)?, start, &anchors, format)
        }
    }
}

fn migrated(config: Option<&Path>, report: args::evidence::Report) -> Result<Status, Failure> {
    let args::evidence::Report {
        journal,
        database,
        since,
        until,
        bundle,
        as_groups,
        account_groups,
        format,
        ..
    } = report;
    let dir = folder(config, journal)?;
    let (since, until) = period(since, until)?;
    let by_account = account_groups.iter().map(|text| account(text)).collect::<Result<_, _>>()?;
    let wanted = migration::Wanted { since, until, database, bundle, groups: as_groups, by_account };
    migration::run(&dir, &wanted, format)
}

pub(crate) fn folder(config: Option<&Path>, journal: args::Journal) -> Result<PathBuf, Failure> {
    match journal.journal {
        Some(dir) => Ok(dir),
        None => Ok(settings::load(config)?.journal.path),
    }
}

fn conditions(filter: args::Filter) -> Filter {
    let args::Filter { identity, on_behalf_of, database, relation, verdict, event, session, text } = filter;
    Filter {
        identity,
        on_behalf_of,
        database,
        relation,
        verdict,
        session,
        event,
        since: None,
        until: None,
        text,
        limit: None,
    }
}

/// Reads a period's ends.
pub(crate) fn period(
    since: Option<String>,
    until: Option<String>,
) -> Result<(Option<Time>, Option<Time>), Failure> {
    let now = SystemTime::now();
    let read = |option, text: Option<String>| text.map(|text| instant(option, &text, now)).transpose();
    Ok((read("since", since)?, read("until", until)?))
}

/// Reads a time, a date (its beginning, in UTC), or how long ago.
fn instant(option: &str, text: &str, now: SystemTime) -> Result<Time, Failure> {
    if let Ok(ago) = args::lifetime(text) {
        return Ok(Time::from(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)));
    }
    let of_date =
        |date: jiff::civil::Date| date.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp());
    let timestamp = text.parse::<jiff::Timestamp>().or_else(|_| text.parse().and_then(of_date));
    timestamp.map(|timestamp| Time::from(SystemTime::from(timestamp))).map_err(|_| {
        Failure::usage(format!(
            "--{option} \"{text}\" is no time; write 2026-11-23T10:00:00Z, 2026-11-23, or how long ago: 15m, 2h, 7d"
        ))
    })
}

/// Reads `ACCOUNT=GROUP,GROUP`.
fn account(text: &str) -> Result<(String, BTreeSet<String>), Failure> {
    let (account, groups) =
        text.split_once('=').filter(|(account, _)| !account.is_empty()).ok_or_else(|| {
            Failure::usage(format!(
                "--account-groups \"{text}\" must be an account, = and its groups with commas between"
            ))
        })?;
    let groups = groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect();
    Ok((account.to_owned(), groups))
}

fn anchor(text: &str) -> Result<Anchor, Failure> {
    let read = || {
        let (seq, hash) = text.split_once(':')?;
        Some(Anchor { seq: Seq(seq.parse().ok()?), hash: hash.parse().ok()? })
    };
    read().ok_or_else(|| {
        Failure::usage(format!(
            "--anchor \"{text}\" must be a record's number, a colon and 64 hexadecimal digits"
        ))
    })
}

/// Prints rows as they come, in whichever form.
struct Printer {
    out: Out,
    format: RecordFormat,
    begun: bool,
}

/// Of the columns of a table; each record is printed when it is read, so these can't depend on what follows.
const WIDTHS: [usize; 8] = [20, 8, 24, 12, 15, 13, 12, 0];

impl Printer {
    fn new(format: RecordFormat) -> Self {
        Self { out: Out::new(), format, begun: false }
    }

    fn row(&mut self, row: &Row) -> Result<(), Failure> {
        let first = !self.begun;
        self.begun = true;
        match self.format {
            RecordFormat::Table => {
                if first {
                    let heading = |text: &str| (Tone::Heading, text.to_owned());
                    let headings =
                        ["time", "session", "identity", "database", "event", "verdict", "result", "text"];
                    self.out.row(&WIDTHS, &headings.map(heading))?;
                }
                self.out.row(&WIDTHS, &cells(row.summary()))
            }
            RecordFormat::Json => {
                self.out.text(if first { "[\n" } else { ",\n" })?;
                self.out.text(&row.to_json())
            }
            RecordFormat::Jsonl => self.out.line(&row.to_json()),
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        match (self.format, self.begun) {
            (RecordFormat::Json, true) => self.out.text("\n]\n")?,
            (RecordFormat::Json, false) => self.out.text("[]\n")?,
            (RecordFormat::Table | RecordFormat::Jsonl, _) => {}
        }
        self.out.flush()
    }
}

fn cells(summary: Summary) -> [(Tone, String); 8] {
    let Summary { time, seq: _, event, session, identity, database, verdict, touches: _, result, text } =
        summary;
    let tone = match verdict.as_str() {
        "deny" | "hold" => Tone::Bad,
        "mask" | "observed-deny" | "observed-hold" | "observed-mask" => Tone::Warning,
        "allow" => Tone::Good,
        _ => Tone::Plain,
    };
    let plain = |text: String| (Tone::Plain, if text.is_empty() { "-".to_owned() } else { text });
    // Milliseconds and eight digits tell records apart well enough; JSON has all of both.
    let short: String = session.chars().take(8).collect();
    let time = time.to_string();
    let seconds =
        time.split_once('.').map_or(time.as_str(), |(seconds, _)| seconds).trim_end_matches('Z').to_owned();
    [
        (Tone::Plain, format!("{seconds}Z")),
        plain(short),
        plain(identity),
        plain(database),
        plain(event),
        (tone, if verdict.is_empty() { "-".to_owned() } else { verdict }),
        plain(result),
        plain(text),
    ]
}

fn print(dir: &Path, filter: &Filter, format: RecordFormat) -> Result<Status, Failure> {
    let mut printer = Printer::new(format);
    let mut printed = Ok(());
    let found = query::run(dir, filter, |row| {
        printed = printer.row(&row);
        if printed.is_err() || printer.out.closed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    printed?;
    // What was found before the damage is good, and is shown.
    printer.finish()?;
    found.map_err(|error| Failure::of(&error))?;
    Ok(Status::Success)
}

fn tail(dir: &Path, filter: Filter, lines: usize, format: RecordFormat) -> Result<Status, Failure> {
    let format = match format {
        // An array has an end.
        RecordFormat::Json | RecordFormat::Jsonl => RecordFormat::Jsonl,
        RecordFormat::Table => RecordFormat::Table,
    };
    let mut printer = Printer::new(format);
    let mut printed = Ok(());
    let reader = Reader::open_at_end(dir).map_err(|error| Failure::of(&error))?;
    let new = reader.position();
    let old = Filter { limit: Some(Limit::Last(lines)), ..filter.clone() };
    let mut each = |row: Row, flush: bool| {
        printed = printer.row(&row);
        if flush && printed.is_ok() {
            printed = printer.out.flush();
        }
        if printed.is_err() || printer.out.closed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let mut result = query::run(dir, &old, |row| {
        // Written since: told below.
        if row.record().seq >= new { ControlFlow::Continue(()) } else { each(row, true) }
    });
    if result.is_ok() {
        result = query::follow(reader, &filter, || false, |row| each(row, true));
    }
    printed?;
    result.map_err(|error| Failure::of(&error))?;
    Ok(Status::Success)
}

/// How a journal stands.
pub(crate) enum Standing {
    Whole(Report),
    /// Whole, but for a record at its end that is being written, or never was.
    Unfinished(Finding),
    Damaged(Finding),
}

/// A record that a running gateway is just writing looks unfinished; that passes.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

fn verify(dir: &Path, start: Start, anchors: &[Anchor], format: Format) -> Result<Status, Failure> {
    let standing = settled(dir, start, anchors)?;
    let status = match &standing {
        Standing::Whole(_) | Standing::Unfinished(_) => Status::Success,
        Standing::Damaged(_) => Status::CheckFailed,
    };
    show(dir, &standing, format)?;
    Ok(status)
}

/// Verifies, and waits a moment for what a running gateway is just writing.
pub(crate) fn settled(dir: &Path, start: Start, anchors: &[Anchor]) -> Result<Standing, Failure> {
    let mut found = standing(dir, start, anchors)?;
    for _ in 1..TRIES {
        if !matches!(found, Standing::Unfinished(_)) {
            break;
        }
        std::thread::sleep(BETWEEN_TRIES);
        found = standing(dir, start, anchors)?;
    }
    Ok(found)
}

fn standing(dir: &Path, start: Start, anchors: &[Anchor]) -> Result<Standing, Failure> {
    match journal::verify_dir(dir, start, anchors) {
        Ok(report) => Ok(Standing::Whole(report)),
        Err(VerifyError::Found(finding)) if finding.is_recoverable() => {
            // SECURITY: a known record that the end should hold is missing, however the end came about.
            let beyond = anchors.iter().find(|anchor| anchor.seq >= finding.seq);
            Ok(match beyond {
                Some(anchor) => {
                    Standing::Damaged(Finding { problem: Problem::EndsEarly(*anchor), ..finding })
                }
                None => Standing::Unfinished(finding),
            })
        }
        Err(VerifyError::Found(finding)) => Ok(Standing::Damaged(finding)),
        Err(error @ VerifyError::Io { .. }) => Err(Failure::of(&error)),
    }
}

fn show(dir: &Path, standing: &Standing, format: Format) -> Result<(), Failure> {
    let mut facts: Vec<(&str, Cell)> = Vec::new();
    let (tone, word) = match standing {
        Standing::Whole(_) => (Tone::Good, "whole"),
        Standing::Unfinished(_) => (Tone::Warning, "unfinished"),
        Standing::Damaged(_) => (Tone::Bad, "damaged"),
    };
    facts.push(("standing", Cell::toned(tone, word)));
    facts.push(("folder", Cell::new(dir.display().to_string())));
    match standing {
        Standing::Whole(report) => {
            let Report { journal, first, head, records, segments, bytes, times } = report;
            facts.push(("journal", Cell::new(journal.to_string())));
            facts.push(("records", Cell::new(*records)));
            facts.push(("segments", Cell::new(*segments)));
            facts.push(("bytes", Cell::new(*bytes)));
            facts.push(("first", Cell::new(first.0)));
            let time = |pick: fn(&(Time, Time)) -> Time| {
                times.as_ref().map_or(Value::Null, |times| pick(times).to_string().into())
            };
            facts.push(("from", Cell::new(time(|times| times.0))));
            facts.push(("until", Cell::new(time(|times| times.1))));
            facts.push(("anchor", Cell::new(format!("{}:{}", head.seq, head.hash))));
        }
        Standing::Unfinished(finding) => {
            let whole = finding.seq.0.saturating_sub(1);
            facts.push(("last", Cell::new(whole)));
            facts.push(("found", Cell::new(finding.to_string())));
        }
        Standing::Damaged(finding) => facts.push(("found", Cell::toned(Tone::Bad, finding.to_string()))),
    }
    let mut out = Out::new();
    match format {
        Format::Table => {
            let rows = facts.into_iter().map(|(name, cell)| vec![Cell::new(name), cell]).collect::<Vec<_>>();
            out.table(Format::Table, &["fact", "value"], &rows)
        }
        Format::Json => {
            let (names, cells): (Vec<_>, Vec<_>) = facts.into_iter().unzip();
            out.table(Format::Json, &names, &[cells])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use audit::Time;

    use super::{anchor, instant};

    #[test]
    fn times_are_instants_dates_or_ages() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let check = |text: &str, seconds: i64| {
            assert_eq!(instant("since", text, now).ok(), Some(Time(seconds * 1_000_000_000)), "{text}");
        };
        check("1970-01-02T00:00:00Z", 86400);
        check("1970-01-02T01:00:00+01:00", 86400);
        check("1970-01-03", 2 * 86400);
        check("10m", 1_000_000 - 600);
        assert!(instant("since", "yesterday", now).is_err());
    }

    #[test]
    fn an_anchor_is_a_number_and_a_hash() {
        assert!(anchor(&format!("7:{}", "ab".repeat(32))).is_ok());
        for text in ["7", "7:ab", ":", "x:00"] {
            assert!(anchor(text).is_err(), "{text}");
        }
    }
}

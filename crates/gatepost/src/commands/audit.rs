//! `gatepost audit`: looks at the journal's files, whether a gateway runs or not. Needs nothing else.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use audit::{Anchor, Finding, Problem, Report, Start, Time};
use index::Fingerprint;
use journal::VerifyError;
use journal::query::{self, Filter, Limit, Row, Summary, View};
use journal::reader::Reader;

use crate::args;
use crate::commands::{integrity, migration};
use crate::failure::{Failure, Status};
use crate::output::{Out, RecordFormat, Tone};
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
        args::Audit::Search(search) => super::search::search(config, *search),
        args::Audit::Reindex(reindex) => super::search::reindex(config, reindex),
        args::Audit::Tail { journal, filter, lines, format } => {
            tail(&folder(config, journal)?, conditions(filter), lines, format)
        }
        args::Audit::Report(report) if report.migration => migrated(config, report),
        args::Audit::Report(report) => super::evidence::run(config, report),
        args::Audit::Verify(asked) => integrity::verify(config, asked),
        args::Audit::Prove(asked) => {
            let dir = match &asked.journal.journal {
                Some(dir) => dir.clone(),
                None => settings::load(config)?.journal.path,
            };
            integrity::run_prove(&dir, &asked)
        }
        args::Audit::Keygen(asked) => integrity::keygen(&asked),
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

pub(super) fn conditions(filter: args::Filter) -> Filter {
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
pub(super) fn instant(option: &str, text: &str, now: SystemTime) -> Result<Time, Failure> {
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

/// Prints rows as they come, in whichever form.
pub(super) struct Printer {
    out: Out,
    format: RecordFormat,
    begun: bool,
    /// Whether JSON tells what texts have in common that differ in literals alone.
    fingerprints: bool,
}

/// Of the columns of a table; each record is printed when it is read, so these can't depend on what follows.
const WIDTHS: [usize; 8] = [20, 8, 24, 12, 15, 13, 12, 0];

impl Printer {
    pub(super) fn new(format: RecordFormat) -> Self {
        Self { out: Out::new(), format, begun: false, fingerprints: false }
    }

    pub(super) fn with_fingerprints(format: RecordFormat) -> Self {
        Self { fingerprints: true, ..Self::new(format) }
    }

    pub(super) const fn closed(&self) -> bool {
        self.out.closed()
    }

    fn json(&self, row: &Row) -> String {
        let mut json = row.to_json();
        let text = View::of(&row.record()).text.filter(|_| self.fingerprints);
        if let Some(text) = text
            && json.ends_with('}')
        {
            json.pop();
            json.push_str(&format!(",\"fingerprint\":\"{}\"}}", Fingerprint::of(&text)));
        }
        json
    }

    pub(super) fn row(&mut self, row: &Row) -> Result<(), Failure> {
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
                let json = self.json(row);
                self.out.text(&json)
            }
            RecordFormat::Jsonl => {
                let json = self.json(row);
                self.out.line(&json)
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use audit::Time;

    use super::instant;

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
}

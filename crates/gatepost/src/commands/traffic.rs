//! `gatepost policy suggest` and `gatepost policy replay`: from what was recorded to policy, and back. Reads the journal's files and bundles;
//! asks no gateway and no database.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use audit::Time;
use journal::reader::{ReadError, Reader};
use serde_json::{Value, json};
use traffic::{Change, Comparison, For, Recording, Suggestion, Unread};

use crate::args::traffic as args;
use crate::commands::audit::{folder, period};
use crate::failure::{Failure, Status};
use crate::output::{Cell, Format, Out, Tone};
use crate::settings;

/// Touches and columns that a table names for one difference.
const SHOWN_MAX: usize = 4;

/// What is to be read.
struct Wanted {
    journal: PathBuf,
    database: String,
    /// Where the configuration is known.
    policy: Option<PathBuf>,
    since: Option<Time>,
    until: Option<Time>,
}

fn wanted(config: Option<&Path>, recorded: args::Recorded) -> Result<Wanted, Failure> {
    let args::Recorded { journal, database, since, until } = recorded;
    let (since, until) = period(since, until)?;
    // A journal and a name are enough: an auditor has no configuration.
    let (database, policy) = match (&journal.journal, database) {
        (Some(_), Some(name)) => {
            let known = settings::load(config).ok();
            let policy = known.and_then(|config| config.database(&name).map(|it| it.policy.clone()));
            (name, policy)
        }
        (_, name) => {
            let config = settings::load(config)?;
            let database = settings::database(&config, name.as_deref())?;
            (database.name.clone(), Some(database.policy.clone()))
        }
    };
    Ok(Wanted { journal: folder(config, journal)?, database, policy, since, until })
}

/// Gives every statement of the database in the period, in order.
fn each(wanted: &Wanted, mut take: impl FnMut(Result<traffic::Recorded, Unread>)) -> Result<(), ReadError> {
    let mut reader = Reader::open_from(&wanted.journal, audit::Seq(0))?;
    let mut recording = Recording::default();
    while let Some(record) = reader.read()? {
        let Ok(value) = serde_json::from_slice::<Value>(record.payload) else { continue };
        // Sessions that began before the period say who is in it.
        let Some(statement) = recording.take(record.seq.0, record.time.to_system(), &value) else { continue };
        let early = wanted.since.is_some_and(|since| record.time < since);
        let late = wanted.until.is_some_and(|until| record.time >= until);
        let here = value.get("database").and_then(Value::as_str) == Some(&wanted.database);
        if here && !early && !late {
            take(statement);
        }
    }
    Ok(())
}

fn whom(identity: Option<String>, group: Option<String>) -> Option<For> {
    identity.map(For::Identity).or_else(|| group.map(For::Group))
}

/// Prints or writes the least bundle that would have allowed what was done.
pub(crate) fn suggest(config: Option<&Path>, arguments: args::Suggest) -> Result<Status, Failure> {
    let args::Suggest { recorded, identity, group, like, out } = arguments;
    let whom = whom(identity, group).ok_or_else(|| Failure::usage("give --identity or --group"))?;
    let wanted = wanted(config, recorded)?;
    let like = like.or_else(|| wanted.policy.clone()).map(|folder| folder.join("bundle.toml"));
    let manifest = like
        .map(|path| {
            fs::read_to_string(&path)
                .map_err(|error| Failure::caused(&format!("can't read \"{}\"", path.display()), error))
        })
        .transpose()?;
    let mut statements = Vec::new();
    each(&wanted, |statement| {
        if statement.as_ref().map_or(true, |it| whom.is(it)) {
            statements.push(statement);
        }
    })
    .map_err(|error| Failure::of(&error))?;
    let suggestion = traffic::suggest(statements, &whom, &wanted.database, manifest.as_deref())
        .map_err(|error| Failure::of(&error))?;
    if suggestion.statements == 0 {
        return Err(Failure::new(format!(
            "nothing that {whom} did on \"{}\" is in the journal for that time, so there is nothing to permit",
            wanted.database
        )));
    }
    match out {
        Some(dir) => write(&dir, &suggestion)?,
        None => print(&suggestion)?,
    }
    notes(&whom, &suggestion);
    Ok(if suggestion.uncovered.is_empty() { Status::Success } else { Status::CheckFailed })
}

fn print(suggestion: &Suggestion) -> Result<(), Failure> {
    let mut out = Out::new();
    for (path, text) in suggestion.files.iter().filter(|(path, _)| path.ends_with(".cedar")) {
        let _ = path;
        out.text(text)?;
    }
    out.flush()
}

fn write(dir: &Path, suggestion: &Suggestion) -> Result<(), Failure> {
    let failed = |path: &Path, error: io::Error| {
        Failure::caused(&format!("can't write \"{}\"", path.display()), error)
    };
    fs::create_dir_all(dir.join("tests")).map_err(|error| failed(dir, error))?;
    let there = fs::read_dir(dir).map_err(|error| failed(dir, error))?.flatten();
    if there.filter(|entry| entry.file_name() != "tests").count() > 0 {
        return Err(Failure::new(format!(
            "\"{}\" is not empty; name a new folder, so that nothing of yours is overwritten",
            dir.display()
        )));
    }
    for (name, text) in &suggestion.files {
        let path = dir.join(name);
        let new = fs::OpenOptions::new().write(true).create_new(true).open(&path);
        new.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// What the rules don't say, on standard error, so that they can be sent to a file.
#[expect(
    clippy::print_stderr,
    reason = "the rules go to standard output, and what is to be known of them does not"
)]
fn notes(whom: &For, suggestion: &Suggestion) {
    let Suggestion { statements, refused, unread, inexact, uncovered, .. } = suggestion;
    eprintln!("gatepost: {statements} statements of {whom} are covered");
    if *refused > 0 {
        eprintln!("gatepost: {refused} more did not run, and nothing is permitted for them");
    }
    if *unread > 0 {
        eprintln!("gatepost: of {unread} statements the journal doesn't say what they touch");
    }
    if *inexact > 0 {
        eprintln!(
            "gatepost: {inexact} records lack facts that rules can ask for; what they touch was taken as what can do most"
        );
    }
    if !uncovered.is_empty() {
        let records: Vec<String> = uncovered.iter().take(10).map(u64::to_string).collect();
        eprintln!(
            "gatepost: {} kinds of statements would still be refused, such as those of records {}: read them with policy replay",
            uncovered.len(),
            records.join(", ")
        );
    }
}

/// Prints what the recorded traffic would meet under another bundle.
pub(crate) fn replay(config: Option<&Path>, arguments: args::Replay) -> Result<Status, Failure> {
    let args::Replay { recorded, bundle, identity, group, fail_on, format } = arguments;
    let wanted = wanted(config, recorded)?;
    let whom = whom(identity, group);
    let bundle = policy::load(&bundle, &wanted.database).map_err(|error| Failure::of(&error))?;
    let mut comparison = Comparison::new(&bundle);
    each(&wanted, |statement| {
        let theirs = statement.as_ref().map_or(true, |it| whom.as_ref().is_none_or(|whom| whom.is(it)));
        if theirs {
            comparison.take(statement);
        }
    })
    .map_err(|error| Failure::of(&error))?;
    match format {
        Format::Table => table(&comparison)?,
        Format::Json => Out::new().line(&as_json(&bundle, &comparison).to_string())?,
    }
    let fails = fail_on.iter().filter_map(|word| Change::from_word(word)).any(|it| comparison.count(it) > 0);
    Ok(if fails { Status::CheckFailed } else { Status::Success })
}

fn table(comparison: &Comparison<'_>) -> Result<(), Failure> {
    let headings = ["difference", "statements", "identity", "last_record", "statement", "what"];
    let rows: Vec<Vec<Cell>> = comparison
        .differences
        .iter()
        .map(|(changed, found)| {
            let mut what: Vec<String> = changed.what.iter().take(SHOWN_MAX).cloned().collect();
            if let Some(more) = changed.what.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
                what.push(format!("and {more} more"));
            }
            vec![
                Cell::toned(tone(changed.change), changed.change.as_str()),
                Cell::new(found.statements),
                Cell::new(changed.identity.as_str()),
                Cell::new(found.last),
                Cell::new(changed.text.as_str()),
                Cell::new(what),
            ]
        })
        .collect();
    let mut out = Out::new();
    out.table(Format::Table, &headings, &rows)?;
    out.line(&summary(comparison))?;
    out.flush()
}

const fn tone(change: Change) -> Tone {
    match change {
        Change::NewlyRefused | Change::NewlyAllowed | Change::NewlyClear => Tone::Bad,
        Change::NewlyHeld | Change::NewlyMasked | Change::NoLongerHeld => Tone::Warning,
    }
}

fn summary(comparison: &Comparison<'_>) -> String {
    let Comparison { decided, unchanged, uncertain, inexact, unread, .. } = comparison;
    let mut text = format!("{decided} statements decided again: {unchanged} unchanged");
    for change in Change::all() {
        let count = comparison.count(change);
        if count > 0 {
            text.push_str(&format!(", {count} {}", change.as_str()));
        }
    }
    if *uncertain > 0 {
        text.push_str(&format!(", {uncertain} not known (refused for computing with a masked column)"));
    }
    let not_understood: u64 = unread.values().sum();
    if not_understood > 0 {
        text.push_str(&format!("; {not_understood} more were not understood, which no bundle changes"));
    }
    if *inexact > 0 {
        text.push_str(&format!(
            "; {inexact} records lack facts that rules can ask for, and were taken as what can do most"
        ));
    }
    text
}

fn as_json(bundle: &policy::Bundle, comparison: &Comparison<'_>) -> Value {
    let Comparison { decided, unchanged, uncertain, inexact, unread, .. } = comparison;
    let differences = comparison.differences.iter().map(|(changed, found)| {
        json!({
            "difference": changed.change.as_str(),
            "identity": changed.identity,
            "statement": changed.text,
            "what": changed.what,
            "statements": found.statements,
            "first_record": found.first,
            "last_record": found.last,
            "last_time": Time::from(found.last_time).to_string(),
        })
    });
    let counts: serde_json::Map<String, Value> =
        Change::all().into_iter().map(|it| (it.as_str().to_owned(), comparison.count(it).into())).collect();
    json!({
        "bundle": { "name": bundle.name(), "version": bundle.version() },
        "decided": decided,
        "unchanged": unchanged,
        "uncertain": uncertain,
        "inexact": inexact,
        "not_understood": unread.values().sum::<u64>(),
        "counts": counts,
        "differences": differences.collect::<Vec<_>>(),
    })
}

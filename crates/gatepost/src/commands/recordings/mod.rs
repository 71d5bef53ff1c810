//! `gatepost sessions show`, `replay`, `export`: recordings from their files. Needs no gateway. What they are shown as is `replay`'s.

mod against;
mod export;
mod player;
mod tape;
mod terminal;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use recording::Opening;
use replay::{Printer, Style, Timeline, clock};
use wire::backend::TransactionStatus;

use self::against::Ending;
use self::tape::Tape;
use crate::args::{Recording, Replay, Show};
use crate::failure::{Failure, Status};
use crate::output::{Cell, Format, Out, Tone};
use crate::settings;

pub(crate) use self::export::run as export;

const IDENTITY: &str = "GATEPOST_IDENTITY";

/// Opens a recording.
fn open(config: Option<&Path>, recording: &Recording) -> Result<Tape, Failure> {
    let from_variable = || std::env::var_os(IDENTITY).filter(|it| !it.is_empty()).map(PathBuf::from);
    let identities = match recording.identity.clone().or_else(from_variable) {
        Some(path) => {
            let read = std::fs::read_to_string(&path);
            Some(read.map_err(|error| Failure::caused(&format!("can't read {}", path.display()), error))?)
        }
        None => None,
    };
    Tape::open(&find(config, &recording.which)?, identities)
}

/// Returns the file of a session's recording; what is no session's id is a file.
fn find(config: Option<&Path>, which: &Path) -> Result<PathBuf, Failure> {
    let id = which.to_str().filter(|it| it.len() == 32 && it.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let Some(id) = id.map(str::to_ascii_lowercase).filter(|_| !which.exists()) else {
        return Ok(which.to_owned());
    };
    let Some(recording) = settings::load(config)?.recording else {
        return Err(Failure::new("the configuration has no [recording]; name the recording's file"));
    };
    let file = recording.path.join(format!("{id}.gpr"));
    if file.exists() {
        return Ok(file);
    }
    let moved = recording.archive.map(|store| {
        format!(
            "; if it is closed, it is in the object store \"{store}\": copy it from there, and name the file"
        )
    });
    Err(Failure::new(format!("there is no {}{}", file.display(), moved.unwrap_or_default())))
}

pub(crate) fn show(config: Option<&Path>, show: &Show) -> Result<Status, Failure> {
    let mut tape = open(config, &show.recording)?;
    let mut timeline = Timeline::default();
    while let Some(entry) = tape.next_entry()? {
        timeline.add(&entry);
    }
    let count = |mark| timeline.moments().iter().filter(|moment| moment.mark == mark).count() as u64;
    let opening = tape.opening();
    let state = match (tape.damage().is_empty(), tape.is_closed()) {
        (true, true) => (Tone::Good, "whole"),
        (true, false) => (Tone::Warning, "not closed: its session still runs, or it was cut off"),
        (false, _) => (Tone::Bad, "damaged"),
    };
    let Opening {
        session,
        journal,
        gateway,
        began,
        kept,
        identity,
        on_behalf_of,
        groups,
        database,
        application_name,
        server_version,
        rows_max,
        bytes_max,
    } = opening;
    let values = vec![
        ("session", Cell::new(session.to_string())),
        ("identity", Cell::new(identity.as_str())),
        ("on_behalf_of", Cell::new(on_behalf_of.clone())),
        ("groups", Cell::new(groups.clone())),
        ("database", Cell::new(database.as_str())),
        ("application_name", Cell::new(application_name.as_str())),
        ("server_version", Cell::new(server_version.as_str())),
        ("gateway", Cell::new(gateway.as_str())),
        ("journal", Cell::new(journal.as_str())),
        ("began", Cell::new(audit::Time(began.saturating_mul(1000)).to_string())),
        ("lasted", Cell::new(clock(timeline.end()))),
        ("kept", Cell::new(kept.as_str())),
        ("rows_max", Cell::new(*rows_max)),
        ("bytes_max", Cell::new(*bytes_max)),
        ("entries", Cell::new(timeline.entries())),
        ("statements", Cell::new(count(recording::Mark::Statement))),
        ("holds", Cell::new(count(recording::Mark::Hold))),
        ("refusals", Cell::new(count(recording::Mark::Refusal))),
        ("errors", Cell::new(count(recording::Mark::Error))),
        ("state", Cell::toned(state.0, state.1)),
        ("damage", Cell::new(tape.damage().to_vec())),
    ];
    let mut out = Out::new();
    match show.format {
        Format::Json => {
            let (names, row): (Vec<&str>, Vec<Cell>) = values.into_iter().unzip();
            out.table(Format::Json, &names, &[row])?;
        }
        Format::Table => {
            let rows: Vec<Vec<Cell>> =
                values.into_iter().map(|(name, value)| vec![Cell::new(name), value]).collect();
            out.table(Format::Table, &["what", "value"], &rows)?;
        }
    }
    out.flush()?;
    Ok(if tape.damage().is_empty() { Status::Success } else { Status::CheckFailed })
}

pub(crate) async fn replay(config: Option<&Path>, replay: Replay) -> Result<Status, Failure> {
    let tape = open(config, &replay.recording)?;
    if let Some(reference) = &replay.against {
        let ending = if replay.commit { Ending::Commit } else { Ending::Rollback };
        return against::run(tape, reference, ending, replay.all, replay.format).await;
    }
    let interactive = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if replay.print || !interactive {
        let style = if replay.plain { Style::Psql } else { Style::Annotated };
        return print(tape, style, replay.statement);
    }
    let idle = Some(replay.idle).filter(|idle| *idle > Duration::ZERO);
    player::run(tape, idle, replay.statement)
}

/// Prints all of it.
fn print(mut tape: Tape, style: Style, from: Option<u64>) -> Result<Status, Failure> {
    let mut out = Out::new();
    let mut printer = Printer::new(style, tape.opening(), TransactionStatus::Idle);
    let mut told = 0;
    while let Some(entry) = tape.next_entry()? {
        if out.closed() {
            break;
        }
        for damage in tape.damage().iter().skip(told) {
            out.line(&note(damage))?;
        }
        told = tape.damage().len();
        for piece in printer.print(&entry) {
            if from.is_none_or(|from| piece.statement >= from) {
                out.piece(&piece)?;
            }
        }
    }
    for damage in tape.damage().iter().skip(told) {
        out.line(&note(damage))?;
    }
    if !tape.is_closed() && style == Style::Annotated {
        out.line(&note("the recording ends here: its session still runs, or it was cut off"))?;
    }
    out.flush()?;
    Ok(if tape.damage().is_empty() { Status::Success } else { Status::CheckFailed })
}

/// Words of the recording's own.
fn note(text: &str) -> String {
    format!("⟦{}⟧", audit::render::cell(text))
}

//! `gatepost sessions show|replay|export`: what may be written.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::output::Format;

/// Which recording, and how it is read.
#[derive(Debug, Args)]
pub(crate) struct Recording {
    /// A recording's file; or the session, 32 hexadecimal digits, whose recording is in the folder that the configuration names
    #[arg(value_name = "ID|FILE")]
    pub(crate) which: PathBuf,
    /// File of age identities that recordings are encrypted for, as age-keygen writes it [default: $GATEPOST_IDENTITY]
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) recording: Recording,
    /// How it is printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) recording: Recording,
    /// Print everything at once, as it would be shown at the end
    #[arg(long, conflicts_with = "against")]
    pub(crate) print: bool,
    /// Print only what `psql -e` would have shown: no times, decisions or cuts
    #[arg(long, requires = "print")]
    pub(crate) plain: bool,
    /// Times in which nothing happens last no longer (2s, 500ms); 0s: as long as they did
    #[arg(long, value_name = "TIME", value_parser = idle, default_value = "2s")]
    pub(crate) idle: Duration,
    /// Begin with this statement
    #[arg(long, value_name = "NUMBER")]
    pub(crate) statement: Option<u64>,
    /// Run the statements at another database, and print what differs: where its login is, as postgres://USER:PASSWORD@HOST:PORT/DBNAME: env:NAME, file:PATH or exec:COMMAND
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) against: Option<String>,
    /// Commit as the session did; without it all is one transaction that is rolled back
    #[arg(long, requires = "against")]
    pub(crate) commit: bool,
    /// Print statements that came to the same, too
    #[arg(long, requires = "against")]
    pub(crate) all: bool,
    /// How the comparison is printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT", requires = "against")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) recording: Recording,
    /// As what
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: ExportFormat,
    /// The file to write; one that is there is not overwritten [default: standard output, if that is no terminal]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What a recording is exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// JSON lines: everything that is in it.
    Jsonl,
    /// asciicast v3, for asciinema.
    Asciicast,
    /// A script for psql.
    Sql,
    /// One page that plays by itself, offline.
    Html,
}

fn idle(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time like 2s or 500ms");
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, 1000),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    Ok(Duration::from_millis(count.saturating_mul(unit)))
}

//! Data on standard output: tables, JSON, colour. Knows no command.
//!
//! A reader that goes away (`| head`) ends the output, not the command: its exit status still says what it found.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};

use clap::ValueEnum;
use serde_json::{Map, Value};
use unicode_width::UnicodeWidthStr as _;

use crate::failure::Failure;

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// An array of objects.
    Json,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordFormat {
    /// Columns for people.
    Table,
    /// An array of objects.
    Json,
    /// An object on each line.
    Jsonl,
}

/// What a cell is about, for those who see colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Heading,
    Good,
    Warning,
    Bad,
}

impl Tone {
    /// Returns the codes around the text (ECMA-48, SGR).
    const fn codes(self) -> (&'static str, &'static str) {
        match self {
            Self::Plain => ("", ""),
            Self::Heading => ("\u{1b}[1m", "\u{1b}[0m"),
            Self::Good => ("\u{1b}[32m", "\u{1b}[0m"),
            Self::Warning => ("\u{1b}[33m", "\u{1b}[0m"),
            Self::Bad => ("\u{1b}[31m", "\u{1b}[0m"),
        }
    }
}

/// Standard output.
pub(crate) struct Out {
    writer: BufWriter<Stdout>,
    closed: bool,
    colour: bool,
}

impl Out {
    pub(crate) fn new() -> Self {
        let stdout = io::stdout();
        let colour =
            stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { writer: BufWriter::new(stdout), closed: false, colour }
    }

    /// Returns whether nobody reads any more.
    pub(crate) const fn closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let written = self.writer.write_all(text.as_bytes());
        self.judge(written)
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.text(text)?;
        self.text("\n")
    }

    /// Writes a piece of a recording.
    pub(crate) fn piece(&mut self, piece: &replay::Piece) -> Result<(), Failure> {
        if self.colour { self.text(&replay::coloured(piece)) } else { self.text(&piece.text) }
    }

    /// Hands everything to the reader.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.writer.flush();
        self.judge(flushed)
    }

    fn judge(&mut self, result: io::Result<()>) -> Result<(), Failure> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result.map_err(|error| Failure::caused("can't write to standard output", error)),
        }
    }

    /// Writes one row; a cell wider than its column pushes the rest of its row, the last one is as long as it is.
    pub(crate) fn row(&mut self, widths: &[usize], cells: &[(Tone, String)]) -> Result<(), Failure> {
        let mut line = String::new();
        for (index, (tone, text)) in cells.iter().enumerate() {
            let text = audit::render::cell(text);
            let (on, off) = if self.colour { tone.codes() } else { ("", "") };
            line.push_str(on);
            line.push_str(&text);
            line.push_str(off);
            if index + 1 < cells.len() {
                let width = widths.get(index).copied().unwrap_or_default();
                line.push_str(&" ".repeat(width.saturating_sub(text.width()) + 2));
            }
        }
        self.line(line.trim_end())
    }

    /// Writes rows under headings, or the same as an array of objects with the headings as keys.
    pub(crate) fn table(
        &mut self,
        format: Format,
        headings: &[&str],
        rows: &[Vec<Cell>],
    ) -> Result<(), Failure> {
        match format {
            Format::Table => {
                let shown: Vec<Vec<(Tone, String)>> = rows
                    .iter()
                    .map(|row| row.iter().map(|cell| (cell.tone, cell.shown())).collect())
                    .collect();
                let width = |column: usize, heading: &str| {
                    let cells = shown.iter().filter_map(|row| row.get(column));
                    let widest = cells.map(|(_, text)| audit::render::cell(text).width()).max();
                    widest.unwrap_or_default().max(heading.width())
                };
                let widths: Vec<_> =
                    headings.iter().enumerate().map(|(i, heading)| width(i, heading)).collect();
                let head: Vec<_> =
                    headings.iter().map(|heading| (Tone::Heading, (*heading).to_owned())).collect();
                self.row(&widths, &head)?;
                shown.iter().try_for_each(|row| self.row(&widths, row))?;
            }
            Format::Json => {
                let objects: Vec<_> = rows
                    .iter()
                    .map(|row| {
                        let pairs = headings
                            .iter()
                            .zip(row)
                            .map(|(key, cell)| ((*key).to_owned(), cell.value.clone()));
                        Value::Object(pairs.collect::<Map<_, _>>())
                    })
                    .collect();
                self.line(&format!("{:#}", Value::Array(objects)))?;
            }
        }
        self.flush()
    }
}

/// A cell of a table.
pub(crate) struct Cell {
    tone: Tone,
    value: Value,
}

impl Cell {
    pub(crate) fn new(value: impl Into<Value>) -> Self {
        Self { tone: Tone::Plain, value: value.into() }
    }

    pub(crate) fn toned(tone: Tone, value: impl Into<Value>) -> Self {
        Self { tone, value: value.into() }
    }

    /// Returns what it holds.
    pub(crate) const fn value(&self) -> &Value {
        &self.value
    }

    fn shown(&self) -> String {
        match &self.value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let words: Vec<_> = items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                    .collect();
                if words.is_empty() { "-".to_owned() } else { words.join(", ") }
            }
            other => other.to_string(),
        }
    }
}

//! `gatepost sessions export`: a recording for another program, entry by entry, into a file or a pipe.

use std::fs::OpenOptions;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use recording::Entry;
use replay::export::{Asciicast, Html, Jsonl, SqlScript};

use super::open;
use super::tape::Tape;
use crate::args::{Export, ExportFormat};
use crate::failure::{Failure, Status};

/// Any of them.
enum Writer {
    Jsonl(Jsonl),
    Asciicast(Asciicast),
    Sql(SqlScript),
    Html(Html),
}

impl Writer {
    fn begin(format: ExportFormat, tape: &Tape) -> (Self, String) {
        let opening = tape.opening();
        match format {
            ExportFormat::Jsonl => with(Jsonl::begin(opening), Self::Jsonl),
            ExportFormat::Asciicast => with(Asciicast::begin(opening), Self::Asciicast),
            ExportFormat::Sql => with(SqlScript::begin(opening), Self::Sql),
            ExportFormat::Html => with(Html::begin(opening), Self::Html),
        }
    }

    fn entry(&mut self, entry: &Entry) -> String {
        match self {
            Self::Jsonl(it) => it.entry(entry),
            Self::Asciicast(it) => it.entry(entry),
            Self::Sql(it) => it.entry(entry),
            Self::Html(it) => it.entry(entry),
        }
    }

    fn end(self) -> String {
        match self {
            Self::Jsonl(_) | Self::Asciicast(_) => String::new(),
            Self::Sql(it) => it.end(),
            Self::Html(it) => it.end(),
        }
    }
}

fn with<W>((writer, head): (W, String), of: impl FnOnce(W) -> Writer) -> (Writer, String) {
    (of(writer), head)
}

pub(crate) fn run(config: Option<&Path>, export: &Export) -> Result<Status, Failure> {
    let mut tape = open(config, &export.recording)?;
    let mut out: Box<dyn Write> = match &export.output {
        Some(path) => {
            // What sessions saw is nobody else's to read.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let doing = format!("can't write {}", path.display());
            Box::new(BufWriter::new(file.map_err(|error| Failure::caused(&doing, error))?))
        }
        None if std::io::stdout().is_terminal() => {
            return Err(Failure::usage("name the file to write with --output, or send it on to a program"));
        }
        None => Box::new(BufWriter::new(std::io::stdout())),
    };
    let written = copy(&mut tape, export.format, &mut out)?;
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Failure::caused("can't write the export", error));
        }
        _ => {}
    }
    if tape.damage().is_empty() {
        return Ok(Status::Success);
    }
    let all = tape.damage().join("; ");
    Err(Failure::new(format!("it is written, but not all of the recording could be read: {all}")))
}

/// Writes all of it; the inner error is that of writing.
fn copy(tape: &mut Tape, format: ExportFormat, out: &mut dyn Write) -> Result<std::io::Result<()>, Failure> {
    let (mut writer, head) = Writer::begin(format, tape);
    let mut written = out.write_all(head.as_bytes());
    while written.is_ok() {
        let Some(entry) = tape.next_entry()? else { break };
        written = out.write_all(writer.entry(&entry).as_bytes());
    }
    Ok(written.and_then(|()| out.write_all(writer.end().as_bytes())))
}

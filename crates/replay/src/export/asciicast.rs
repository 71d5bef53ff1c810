//! asciicast v3, the format of asciinema's recordings: a header, then an event on each line. Knows that format and pieces.
//!
//! <https://docs.asciinema.org/manual/asciicast/v3/>: an event is `[interval, code, data]`, the interval in seconds since the event before.

use std::time::Duration;

use recording::{Entry, Opening, What};
use serde_json::json;

use crate::ansi::coloured;
use crate::piece::Kind;
use crate::printer::{Printer, Style};
use crate::safe;
use wire::backend::TransactionStatus;

/// Columns and rows of the terminal that the recording says it was made on.
const TERMINAL: (u16, u16) = (120, 36);
/// Seconds that a player makes of a time in which nothing happens, at the most.
const IDLE_SECONDS_MAX: f64 = 2.0;
/// Characters of a marker's label.
const LABEL_MAX: usize = 80;

/// Writes a recording as an asciicast.
#[derive(Debug)]
pub struct Asciicast {
    printer: Printer,
    last: Duration,
}

impl Asciicast {
    /// Begins; returns the header.
    pub fn begin(opening: &Opening) -> (Self, String) {
        let header = json!({
            "version": 3,
            "term": { "cols": TERMINAL.0, "rows": TERMINAL.1 },
            "timestamp": opening.began.div_euclid(1_000_000),
            "idle_time_limit": IDLE_SECONDS_MAX,
            "title": format!("{} at {}, session {}", opening.identity, opening.database, opening.session),
        });
        let printer = Printer::new(Style::Annotated, opening, TransactionStatus::Idle);
        (Self { printer, last: Duration::ZERO }, safe::json(&header.to_string()) + "\n")
    }

    /// Returns the events of an entry.
    pub fn entry(&mut self, entry: &Entry) -> String {
        let mut lines = String::new();
        for piece in self.printer.print(entry) {
            let label = match piece.kind {
                Kind::Statement => {
                    let line = piece.text.lines().next().unwrap_or_default();
                    let text = line.split_once("> ").map_or(line, |(_, text)| text);
                    Some(format!("{} {}", piece.statement, text.chars().take(LABEL_MAX).collect::<String>()))
                }
                Kind::Error | Kind::Refusal | Kind::Hold => {
                    Some(format!("{} {}", piece.statement, piece.kind.as_str()))
                }
                Kind::Input | Kind::Rows | Kind::Tag | Kind::Notice | Kind::Note => None,
            };
            if let Some(label) = label {
                lines.push_str(&self.event(piece.at, "m", &label));
            }
            lines.push_str(&self.event(piece.at, "o", &coloured(&piece).replace('\n', "\r\n")));
        }
        if matches!(entry.what, What::Ended { .. }) {
            // An exit status is asked for, and a session has none.
            lines.push_str(&self.event(entry.at, "x", "0"));
        }
        lines
    }

    fn event(&mut self, at: Duration, code: &str, data: &str) -> String {
        let at = at.max(self.last);
        let interval = at - self.last;
        self.last = at;
        let data = safe::json(&json!(data).to_string());
        format!("[{}.{:06}, \"{code}\", {data}]\n", interval.as_secs(), interval.subsec_micros())
    }
}

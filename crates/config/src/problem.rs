//! What is wrong with a configuration, where, and how it is shown. Knows words, not the meaning of any key.
//!
//! SECURITY: a line of the file may hold a secret that should not be in it, so a snippet shows no string but the
//! one that the problem is about, and not even that one where it might be a secret.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::keys;

/// Whether the configuration can be used in spite of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is used; an operator should look at this.
    Warning,
}

impl Severity {
    /// Returns the word that is printed before a message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Where in the file a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line, with what might be a secret blanked.
    snippet: Snippet,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Snippet {
    text: String,
    /// In characters of `text`.
    caret: Range<usize>,
}

/// One thing that is wrong, or that deserves a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the gateway.
    pub severity: Severity,
    /// A lower-case fragment that says what is wrong and how to mend it; holds no secret.
    pub message: String,
    /// Where it is; `None` if it is about the file as a whole.
    pub place: Option<Place>,
}

/// What of a line may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reveal {
    /// The string that the problem is about.
    Value,
    /// No string at all.
    NoValue,
    /// The text did not parse: what looks like a bare word may be a secret that lacks its quotes.
    Unparsed,
}

impl Problem {
    pub(crate) fn new(severity: Severity, message: String) -> Self {
        Self { severity, message, place: None }
    }

    pub(crate) fn at(
        severity: Severity,
        message: String,
        text: &str,
        span: Range<usize>,
        reveal: Reveal,
    ) -> Self {
        Self { severity, message, place: Some(place(text, span, reveal)) }
    }

    /// Returns what problems are sorted by: their order in the file.
    pub(crate) fn position(&self) -> (usize, usize) {
        self.place.as_ref().map_or((0, 0), |place| (place.line, place.column))
    }

    /// Writes `file:line:column: severity: message` and the line with a caret under the spot.
    fn write(&self, file: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", file.display())?;
        if let Some(place) = &self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}: {}", self.severity.as_str(), self.message)?;
        let Some(place) = &self.place else {
            return Ok(());
        };
        let Snippet { text, caret } = &place.snippet;
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(caret.start);
        let carets = "^".repeat(caret.len().max(1));
        write!(f, "\n {margin} |\n {number} | {text}\n {margin} | {indent}{carets}")
    }
}

impl fmt::Display for Problem {
    /// Writes the message and the line number, on one line: the form for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "line {}: {}", place.line, self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Why a configuration was refused. Displays all of it, over several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(crate) fn new(file: &Path, problems: Vec<Problem>) -> Self {
        Self { file: file.to_owned(), problems }
    }

    /// Returns the file that was read.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns all that is wrong, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            problem.write(&self.file, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

fn place(text: &str, span: Range<usize>, reveal: Reveal) -> Place {
    let start = floor(text, span.start);
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(line_start..).unwrap_or_default();
    let line = line.split('\n').next().unwrap_or_default().trim_end_matches('\r');
    let column = text.get(line_start..start).unwrap_or_default().chars().count();
    let end = floor(text, span.end.max(start)) - line_start;
    let within = start - line_start..end.min(line.len()).max(start - line_start);
    let snippet = match reveal {
        Reveal::Value | Reveal::NoValue => blanked(line, within, reveal),
        Reveal::Unparsed => structure(line, within),
    };
    Place { line: before.matches('\n').count() + 1, column: column + 1, snippet }
}

/// Returns the nearest character boundary at or before `index`.
fn floor(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// Copies of a line only known words and the signs that TOML is made of: where the text does not parse, any other word may
/// be part of a secret.
fn structure(line: &str, about: Range<usize>) -> Snippet {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let mut text = String::new();
    let mut caret = None;
    let mut rest = line.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        let mut end = at + character.len_utf8();
        while let Some((next, c)) = rest.next_if(|(_, next)| is_word(character) && is_word(*next)) {
            end = next + c.len_utf8();
        }
        if end > about.start && caret.is_none() {
            caret = Some(text.chars().count());
        }
        match line.get(at..end).unwrap_or_default() {
            word if is_word(character) && keys::is_known(word) => text.push_str(word),
            "=" | "[" | "]" | "{" | "}" | "," | "." | "\"" | "'" | " " => text.push(character),
            "\t" => text.push(' '),
            _ if text.ends_with('…') => {}
            _ => text.push('…'),
        }
    }
    let text = text.trim_end().to_owned();
    let start = caret.unwrap_or_else(|| text.chars().count());
    Snippet { caret: start..start + 1, text }
}

/// Copies a line without its comment, and with every string blanked that `reveal` does not show.
fn blanked(line: &str, about: Range<usize>, reveal: Reveal) -> Snippet {
    let mut text = String::new();
    let (mut from, mut to) = (None, None);
    let mut rest = line.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        let so_far = text.chars().count();
        if at >= about.start {
            from.get_or_insert(so_far);
        }
        if at >= about.end {
            to.get_or_insert(so_far);
        }
        match character {
            '#' => break,
            '"' | '\'' => {
                let end = string_end(line, at, character);
                while rest.next_if(|(next, _)| *next < end).is_some() {}
                if reveal == Reveal::Value && at < about.end && end > about.start {
                    text.push_str(line.get(at..end).unwrap_or_default());
                } else {
                    text.extend([character, '…', character]);
                }
            }
            '\t' => text.push(' '),
            _ => text.push(character),
        }
    }
    let all = text.trim_end().chars().count();
    text.truncate(text.trim_end().len());
    let from = from.unwrap_or(all);
    let to = to.unwrap_or(all).min(all).max(from + 1);
    Snippet { caret: from..to, text }
}

/// Returns the byte after the closing quote of the string that opens at `at`, or the end of the line.
fn string_end(line: &str, at: usize, quote: char) -> usize {
    let after = line.get(at..).unwrap_or_default();
    // Of a string over several lines, no part is shown as anything but a string.
    if after.starts_with("\"\"\"") || after.starts_with("'''") {
        return line.len();
    }
    let mut escaped = false;
    for (index, character) in after.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' && quote == '"' {
            escaped = true;
        } else if character == quote {
            return at + index + character.len_utf8();
        }
    }
    line.len()
}

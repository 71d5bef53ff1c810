//! A text as an approver must see it: whole, with everything marked that would not be seen, or be taken for something else.
//!
//! Console, terminal, Slack and mail all show what is here, so that there is one notion of *shown*. Nothing is left out or
//! shortened: the runs' texts, put together, are the text. Knows Unicode and where SQL has comments; decides nothing.

mod lex;
mod marks;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::ask::{Parameter, Value};
use lex::Part;
use marks::{Around, Likes, Said, Word};

/// Blanks next to each other that are told by number: more of them push what follows out of sight.
const BLANKS_MAX: usize = 64;
/// Line ends likewise.
const LINE_ENDS_MAX: usize = 4;

/// A stretch of a text. All of it is one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The text itself. Of a marked run, the same character once or several times, or blanks.
    pub text: String,
    /// What it is, or why it is marked.
    pub kind: Mark,
    /// Of a marked character, `U+202E`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What it is, in words: `right-to-left override`, `Cyrillic`, `300 blanks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it looks like, in ASCII.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// How often the marked character stands there, if more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<usize>,
    /// Of a marked run in a comment or string, which of them.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub inside: Option<Mark>,
}

/// What a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As it looks.
    Plain,
    /// A comment, which the server ignores.
    Comment,
    /// A string.
    String,
    /// Marked: it changes the direction of what follows.
    Bidi,
    /// Marked: it shows nothing.
    Invisible,
    /// Marked: a control character.
    Control,
    /// Marked: white space that is none to PostgreSQL, or so much of it that what follows is out of sight.
    Space,
    /// Marked: it looks like something in ASCII.
    LookAlike,
    /// Marked: it changes how the character before it looks.
    Combining,
    /// Marked: letters that run from right to left, and would reorder what stands around them. To be shown isolated.
    RightToLeft,
    /// Marked: nobody knows how it looks.
    Unassigned,
}

impl Mark {
    /// Returns the word that reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Comment => "comment",
            Self::String => "string",
            Self::Bidi => "bidi",
            Self::Invisible => "invisible",
            Self::Control => "control",
            Self::Space => "space",
            Self::LookAlike => "look_alike",
            Self::Combining => "combining",
            Self::RightToLeft => "right_to_left",
            Self::Unassigned => "unassigned",
        }
    }

    /// Returns whether a run of this kind must not be shown as it is.
    pub const fn is_marked(self) -> bool {
        !matches!(self, Self::Plain | Self::Comment | Self::String)
    }
}

/// Shows a statement.
pub fn statement(text: &str) -> Vec<Run> {
    let mut shower = Shower::default();
    for (range, part) in lex::parts(text) {
        shower.part(text.get(range).unwrap_or_default(), part);
    }
    shower.runs
}

/// Shows a text that is no SQL: a parameter's value, a name, somebody's reason.
pub fn plain(text: &str) -> Vec<Run> {
    let mut shower = Shower { plain: true, ..Shower::default() };
    shower.part(text, Part::String);
    shower.runs
}

/// Shows a parameter; `None` is NULL. Bytes are shown as the hexadecimal digits that they are kept as.
pub fn parameter(parameter: &Parameter) -> Option<Vec<Run>> {
    match &parameter.value {
        Value::Null => None,
        Value::Text(text) | Value::Binary(text) => Some(plain(text)),
    }
}

/// Returns whether anything is marked.
pub fn is_marked(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.kind.is_marked())
}

/// Writes runs as text for a terminal or a message: what is marked stands in brackets `⟦U+202E⟧`, which a text can't forge, and
/// nothing in it steers a terminal.
pub fn escaped(runs: &[Run]) -> String {
    let mut text = String::new();
    for run in runs {
        if !run.kind.is_marked() {
            // Line ends as terminals want them; a lone carriage return is marked.
            text.push_str(&run.text.replace("\r\n", "\n"));
            continue;
        }
        // writing to a String can't fail
        let _ = write!(text, "{}", Bracketed(run));
        if run.text.contains('\n') {
            text.push('\n');
        }
    }
    text
}

/// Returns one line for each kind of marked character, for a legend below a text: what it is, and how often.
pub fn legend(runs: &[Run]) -> Vec<String> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for run in runs.iter().filter(|run| run.kind.is_marked()) {
        let mut line = run.code.clone().unwrap_or_default();
        if run.kind == Mark::RightToLeft {
            line = "letters from right to left".to_owned();
        } else if let Some(name) = run.name.as_deref().filter(|_| run.kind != Mark::RightToLeft) {
            line = if line.is_empty() { name.to_owned() } else { format!("{line} {name}") };
        }
        if let Some(like) = &run.like {
            line = format!("{line}, looks like {like}");
        }
        let times = run.times.unwrap_or(1);
        match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, count)) => *count += times,
            None => lines.push((line, times)),
        }
    }
    lines
        .into_iter()
        .map(|(line, count)| if count == 1 { line } else { format!("{line} ({count} times)") })
        .collect()
}

struct Bracketed<'a>(&'a Run);

impl std::fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [open, close] = marks::BRACKETS;
        let run = self.0;
        match (&run.code, &run.name, &run.like) {
            (Some(code), _, Some(like)) => write!(f, "{open}{code} like {like}")?,
            (Some(code), _, None) => write!(f, "{open}{code}")?,
            (None, _, _) if run.kind == Mark::RightToLeft => {
                f.write_char(open)?;
                for (index, c) in run.text.chars().enumerate() {
                    let space = if index == 0 { "" } else { " " };
                    write!(f, "{space}U+{:04X}", c as u32)?;
                }
            }
            (None, Some(name), _) => write!(f, "{open}{name}")?,
            (None, None, _) => write!(f, "{open}?")?,
        }
        if let Some(times) = run.times {
            write!(f, " x{times}")?;
        }
        f.write_char(close)
    }
}

#[derive(Default)]
struct Shower {
    runs: Vec<Run>,
    likes: Likes,
    /// There is no SQL around: a part is a text, and not a string.
    plain: bool,
}

impl Shower {
    fn part(&mut self, text: &str, part: Part) {
        let kind = match part {
            Part::String if self.plain => Mark::Plain,
            Part::String => Mark::String,
            Part::Comment => Mark::Comment,
            Part::Code => Mark::Plain,
        };
        let (mut before, mut base, mut marks) = (None, None, 0);
        let (mut word, mut word_until) = (Word::OfAScript, 0);
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let rest = text.get(at..).unwrap_or_default();
            if matches!(c, ' ' | '\t' | '\r' | '\n')
                && let Some(blanks) = blanks(rest, before)
            {
                self.push(blanks.text, kind, Some(blanks.said), true);
                before = blanks.text.chars().next_back();
                (base, marks) = (before, 0);
                while chars.next_if(|(next, _)| *next < at + blanks.text.len()).is_some() {}
                continue;
            }
            if !c.is_ascii() && at >= word_until {
                // The word began before this character, perhaps.
                let begin = text.get(..at).unwrap_or_default();
                let begin = begin.char_indices().rev().take_while(|(_, c)| marks::in_word(*c)).last();
                let begin = begin.map_or(at, |(begin, _)| begin);
                let end = rest.char_indices().find(|(_, c)| !marks::in_word(*c));
                word_until = end.map_or(text.len(), |(end, _)| at + end);
                word = marks::word(text.get(begin..word_until).unwrap_or_default(), part);
            }
            let after = chars.peek().map(|(_, c)| *c);
            let said = marks::said(c, Around { before, base, marks, after, word, part }, &mut self.likes);
            let own = text.get(at..at + c.len_utf8()).unwrap_or_default();
            self.push(own, kind, said, false);
            before = Some(c);
            if marks::is_mark(c) {
                marks += 1;
            } else {
                (base, marks) = (Some(c), 0);
            }
        }
    }

    /// Adds a character, or blanks, to the last run where it is more of the same.
    fn push(&mut self, text: &str, kind: Mark, said: Option<Said>, blanks: bool) {
        let inside = (kind != Mark::Plain).then_some(kind);
        let Some(Said { mark, name, like }) = said else {
            match self.runs.last_mut() {
                Some(run) if run.kind == kind && run.inside.is_none() => run.text.push_str(text),
                _ => self.runs.push(Run::plain(text, kind)),
            }
            return;
        };
        let code = (!blanks && mark != Mark::RightToLeft)
            .then(|| text.chars().next().map(|c| format!("U+{:04X}", c as u32)))
            .flatten();
        if let Some(last) = self.runs.last_mut()
            && last.kind == mark
            && last.inside == inside
            && !blanks
            && (mark == Mark::RightToLeft || last.code.is_some() && last.code == code)
        {
            last.text.push_str(text);
            if mark != Mark::RightToLeft {
                last.times = Some(last.times.unwrap_or(1) + 1);
            }
            return;
        }
        self.runs.push(Run { text: text.to_owned(), kind: mark, code, name, like, times: None, inside });
    }
}

impl Run {
    fn plain(text: &str, kind: Mark) -> Self {
        Self { text: text.to_owned(), kind, code: None, name: None, like: None, times: None, inside: None }
    }
}

struct Blanks<'a> {
    text: &'a str,
    said: Said,
}

/// Finds white space that hides what comes after it.
fn blanks(rest: &str, before: Option<char>) -> Option<Blanks<'_>> {
    // In the middle of them it was found already that they are few.
    if before.is_some_and(|c| matches!(c, ' ' | '\t' | '\n')) {
        return None;
    }
    let mut chars = rest.char_indices().peekable();
    let mut end = 0;
    while let Some((at, c)) = chars.next() {
        // A carriage return alone is told by itself.
        let blank = matches!(c, ' ' | '\t' | '\n')
            || c == '\r' && chars.peek().is_some_and(|(_, next)| *next == '\n');
        if !blank {
            break;
        }
        end = at + c.len_utf8();
    }
    let text = rest.get(..end)?;
    let line_ends = text.matches('\n').count();
    let widest = text.split('\n').map(str::len).max().unwrap_or(0);
    let name = if line_ends > LINE_ENDS_MAX {
        format!("{} empty lines", line_ends - 1)
    } else if widest > BLANKS_MAX {
        format!("{widest} blanks")
    } else {
        return None;
    };
    Some(Blanks { text, said: Said { mark: Mark::Space, name: Some(name), like: None } })
}

#[cfg(test)]
mod tests;

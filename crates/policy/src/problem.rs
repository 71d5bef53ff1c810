//! What is wrong with a bundle, told so that it can be mended: file, line, column, the text with a caret, and a way out.
//!
//! Knows texts and positions; nothing of TOML, Cedar or files.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of a bundle, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The path within the bundle, with `/`.
    pub(crate) path: Arc<str>,
    pub(crate) text: Arc<str>,
}

/// One thing that is wrong with a bundle, or odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    message: String,
    place: Option<Place>,
    help: Option<String>,
}

/// Where in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    path: Arc<str>,
    line: usize,
    column: usize,
    excerpt: String,
    caret: String,
}

impl Problem {
    /// A problem at a range of bytes of a file; one outside the text, or within a character, points at the nearest place before.
    pub(crate) fn at(source: &Source, range: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: clean(&message.into()), place: Some(Place::new(source, range)), help: None }
    }

    /// A problem of a whole file or folder.
    pub(crate) fn of(path: &str, message: impl Into<String>) -> Self {
        Self { message: format!("{}: {}", clean(path), clean(&message.into())), place: None, help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(clean(&help.into()));
        self
    }

    /// Adds the nearest of the words allowed, or all of them if none is near.
    pub(crate) fn help_nearest(self, word: &str, allowed: &[&str]) -> Self {
        match nearest(word, allowed) {
            Some(near) => self.help(format!("did you mean {near:?}?")),
            None if allowed.is_empty() => self,
            None => self.help(format!("one of: {}", allowed.join(", "))),
        }
    }

    /// Returns what is wrong: a fragment without full stop.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns how to mend it, where that is known.
    pub fn how_to_mend(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Returns the file within the bundle, the line and the column, both from 1 and the column in characters.
    pub fn position(&self) -> Option<(&str, usize, usize)> {
        self.place.as_ref().map(|place| (&*place.path, place.line, place.column))
    }

    fn order(&self) -> (Option<&str>, usize, usize) {
        self.place.as_ref().map_or((None, 0, 0), |place| (Some(&*place.path), place.line, place.column))
    }

    fn render(&self, kind: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{kind}: {}", self.message)?;
        let mut margin = String::from(" ");
        if let Some(place) = &self.place {
            let line = place.line.to_string();
            margin = " ".repeat(line.len());
            writeln!(f, "{margin}--> {}:{}:{}", place.path, place.line, place.column)?;
            writeln!(f, "{margin} |")?;
            writeln!(f, "{line} | {}", place.excerpt)?;
            writeln!(f, "{margin} | {}", place.caret)?;
        }
        if let Some(help) = &self.help {
            let mut lines = help.lines();
            writeln!(f, "{margin} = help: {}", lines.next().unwrap_or_default())?;
            for line in lines {
                writeln!(f, "{margin}         {line}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render("warning", f)
    }
}

impl Place {
    fn new(source: &Source, range: Range<usize>) -> Self {
        let text = &*source.text;
        let mut start = range.start.min(text.len());
        while !text.is_char_boundary(start) {
            start = start.saturating_sub(1);
        }
        let (before, after) = text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let lead = before.get(line_start..).unwrap_or_default();
        let rest = after.lines().next().unwrap_or_default();
        let marked = rest.char_indices().take_while(|(at, _)| start + at < range.end).count();
        // a tab stays a tab, so that the caret stands under its text whatever the tab width
        let mut caret: String = lead.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        caret.push_str(&"^".repeat(marked.max(1)));
        Self {
            path: Arc::clone(&source.path),
            line,
            column: lead.chars().count() + 1,
            excerpt: clean(&format!("{lead}{rest}")),
            caret,
        }
    }
}

/// Replaces what could steer a terminal; tabs and line ends stay.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Why a bundle was not loaded: every problem found, not just the first.
#[derive(Clone, Debug)]
pub struct LoadError {
    dir: PathBuf,
    problems: Vec<Problem>,
}

impl LoadError {
    pub(crate) fn new(dir: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.order().cmp(&b.order()));
        problems.dedup();
        Self { dir: dir.to_owned(), problems }
    }

    /// Returns the problems in the order of files and lines.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for LoadError {
    /// Writes each problem as a paragraph, and a last line that sums up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            problem.render("error", f)?;
            writeln!(f)?;
        }
        let count = self.problems.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "policy bundle {:?} was not loaded: {count} problem{plural}", self.dir)
    }
}

impl std::error::Error for LoadError {}

/// Returns the allowed word that a mistyped one most likely stands for.
pub(crate) fn nearest<'a>(word: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    allowed
        .iter()
        .map(|candidate| (distance(&word.to_lowercase(), &candidate.to_lowercase()), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, replacements, and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut two_back: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (i, x) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best = (get(&previous, j) + usize::from(x != *y))
                .min(get(&previous, j + 1) + 1)
                .min(get(&row, j) + 1);
            let swapped = last == Some(*y) && j > 0 && b.get(j - 1) == Some(&x);
            if swapped {
                best = best.min(get(&two_back, j - 1) + 1);
            }
            row.push(best);
        }
        last = Some(x);
        two_back = std::mem::replace(&mut previous, row);
    }
    previous.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let allowed = ["tags", "masks", "approvers", "name"];
        assert_eq!(nearest("tag", &allowed), Some("tags"));
        assert_eq!(nearest("aprovers", &allowed), Some("approvers"));
        assert_eq!(nearest("anme", &allowed), Some("name"));
        assert_eq!(nearest("Tags", &allowed), Some("tags"));
        assert_eq!(nearest("limits", &allowed), None);
    }

    #[test]
    fn a_caret_stands_under_its_text() {
        let source = Source { path: "a.toml".into(), text: "x\n\tfoo = \u{1b}é bar\n".into() };
        let at = source.text.find("bar").unwrap();
        let problem = Problem::at(&source, at..at + 3, "no \u{1b}[31m bar").help("one\ntwo");
        assert_eq!(problem.position(), Some(("a.toml", 2, 11)));
        assert_eq!(
            problem.to_string(),
            "warning: no \u{fffd}[31m bar\n --> a.toml:2:11\n  |\n2 | \tfoo = \u{fffd}é bar\n  | \t         ^^^\n  = help: one\n          two\n"
        );
    }

    #[test]
    fn a_range_outside_the_text_does_no_harm() {
        let source = Source { path: "a".into(), text: "é".into() };
        for range in [0..0, 1..9, 7..9, 2..2] {
            assert!(Problem::at(&source, range, "m").position().is_some());
        }
    }
}

//! Errors and notices as libpq words them for psql: severity, message, the line with a caret, DETAIL, HINT. Knows nothing of
//! tables.
//!
//! The rules are those of `pqBuildErrorMessage3` and `reportErrorPosition` (interfaces/libpq/fe-protocol3.c), with verbosity
//! and context at their defaults.

use unicode_width::UnicodeWidthChar as _;
use wire::error::{ErrorFields, field};

use crate::safe::{self, Brackets};

/// Columns of a statement's line that are shown (`DISPLAY_SIZE`).
const DISPLAY_SIZE: usize = 60;
/// Columns that stay to the right of the place (`MIN_RIGHT_CUT`).
const MIN_RIGHT_CUT: usize = 10;

/// Whether it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Error,
    Notice,
}

/// Writes an error or a notice. `statement` is a text, and how many characters of the message stood before it: its position counts from
/// the message's first.
pub(crate) fn text(
    form: Form,
    fields: &ErrorFields,
    statement: Option<(&str, usize)>,
    brackets: Brackets,
) -> String {
    let mut out = String::new();
    let get = |code| fields.get(code).map(|text| safe::text(text, brackets));
    if let Some(severity) = get(field::SEVERITY) {
        out.push_str(&severity);
        out.push_str(":  ");
    }
    out.push_str(&get(field::MESSAGE).unwrap_or_default());
    let internal = fields.get(field::INTERNAL_QUERY).map(String::from_utf8_lossy);
    let (position, within) = match fields.get(field::POSITION) {
        Some(position) => (Some(position), statement),
        None => (fields.get(field::INTERNAL_POSITION), internal.as_deref().map(|text| (text, 0))),
    };
    let number = position.and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
    let place = number.zip(within);
    if let (Some(number), None) = (number, within) {
        out.push_str(&format!(" at character {number}"));
    }
    out.push('\n');
    if let Some((position, (within, before))) = place
        && let Some(at) = position.checked_sub(1).and_then(|at| at.checked_sub(before))
        && let Some(lines) = place_in(within, at, brackets)
    {
        out.push_str(&lines);
    }
    let mut line = |label: &str, code: u8| {
        if let Some(text) = get(code) {
            out.push_str(label);
            out.push_str(":  ");
            out.push_str(&text);
            out.push('\n');
        }
    };
    line("DETAIL", field::DETAIL);
    line("HINT", field::HINT);
    line("QUERY", field::INTERNAL_QUERY);
    if form == Form::Error {
        line("CONTEXT", field::WHERE);
    }
    out
}

/// The line of `statement` that character `at`, from 0, is in, cut to what fits, and a caret below it; `None` if it has no such
/// character.
fn place_in(statement: &str, at: usize, brackets: Brackets) -> Option<String> {
    // What is written for each character, and where it begins: what is escaped is as wide as what is written for it.
    let chars: Vec<char> = statement.chars().collect();
    if at > chars.len() {
        return None;
    }
    let (mut number, mut begin, mut end) = (1_usize, 0, chars.len());
    let mut before = None;
    for (index, c) in chars.iter().enumerate() {
        if matches!(c, '\r' | '\n') {
            if index >= at {
                end = index;
                break;
            }
            if *c == '\r' || before != Some('\r') {
                number += 1;
            }
            begin = index + 1;
        }
        before = Some(*c);
    }
    let shown: Vec<(String, usize)> =
        chars.get(begin..end).unwrap_or_default().iter().map(|c| written(*c, brackets)).collect();
    let mut columns = vec![0];
    for (_, width) in &shown {
        columns.push(columns.last().copied().unwrap_or_default() + width);
    }
    let column = |index: usize| columns.get(index).copied().unwrap_or_default();
    let place = at.saturating_sub(begin);
    let (mut first, mut last) = (0, shown.len());
    let (mut cut_before, mut cut_after) = (false, false);
    if column(last) > DISPLAY_SIZE {
        if DISPLAY_SIZE >= column(place) + MIN_RIGHT_CUT {
            while column(last) > DISPLAY_SIZE {
                last -= 1;
            }
            cut_after = true;
        } else {
            while column(place) + MIN_RIGHT_CUT < column(last) {
                last -= 1;
                cut_after = true;
            }
            while column(last) - column(first) > DISPLAY_SIZE {
                first += 1;
                cut_before = true;
            }
        }
    }
    let label = format!("LINE {number}: {}", if cut_before { "..." } else { "" });
    let line: String =
        shown.get(first..last).unwrap_or_default().iter().map(|(text, _)| text.as_str()).collect();
    let caret = label.len() + column(place).saturating_sub(column(first));
    let dots = if cut_after { "..." } else { "" };
    Some(format!("{label}{line}{dots}\n{}^\n", " ".repeat(caret)))
}

/// A character as it is written, and its columns. Tabs are blanks, and what has no width counts as one, as for libpq.
fn written(c: char, brackets: Brackets) -> (String, usize) {
    if c == '\t' {
        return (" ".to_owned(), 1);
    }
    let mut buffer = [0; 4];
    let text = safe::text(c.encode_utf8(&mut buffer).as_bytes(), brackets);
    let width = if text.chars().eq([c]) { c.width().unwrap_or_default().max(1) } else { text.len() };
    (text, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::error::Severity;

    fn check(statement: &str, position: usize, expected: &str) {
        let fields = ErrorFields::new(Severity::Error, wire::sqlstate::SYNTAX_ERROR, "m").position(position);
        assert_eq!(text(Form::Error, &fields, Some((statement, 0)), Brackets::Ours), expected);
    }

    #[test]
    fn the_place_is_where_psql_shows_it() {
        check("SELECT x", 8, "ERROR:  m\nLINE 1: SELECT x\n               ^\n");
        check("SELECT\n\tx,\r\n y", 9, "ERROR:  m\nLINE 2:  x,\n         ^\n");
        check("SELECT\n x,\r\n y", 14, "ERROR:  m\nLINE 3:  y\n         ^\n");
        check("SELECT 漢, x", 11, "ERROR:  m\nLINE 1: SELECT 漢, x\n                   ^\n");
        check("SELECT", 7, "ERROR:  m\nLINE 1: SELECT\n              ^\n");
        check("SELECT", 8, "ERROR:  m\n");
        check("SELECT", 0, "ERROR:  m\n");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let long = format!("SELECT {}x", "1 + ".repeat(30));
        let end = format!(
            "ERROR:  m\nLINE 1: ...{}x\n{}^\n",
            "1 + ".repeat(15).split_at(1).1,
            " ".repeat(8 + 3 + 59)
        );
        check(&long, 128, &end);
        let begin = format!("ERROR:  m\nLINE 1: SELECT {}1...\n        ^\n", "1 + ".repeat(13));
        check(&long, 1, &begin);
    }

    #[test]
    fn nothing_in_it_steers() {
        let fields = ErrorFields::new(Severity::Error, wire::sqlstate::SYNTAX_ERROR, "a\x1b[2J\nb⟦")
            .detail("d\r")
            .hint("h\u{202e}")
            .position(2);
        let expected =
            "ERROR:  a\\x1B[2J\nb\\u27E6\nLINE 1: \\x1B;\n            ^\nDETAIL:  d\\r\nHINT:  h\\u202E\n";
        assert_eq!(text(Form::Error, &fields, Some(("\u{1b};", 0)), Brackets::Ours), expected);
    }
}

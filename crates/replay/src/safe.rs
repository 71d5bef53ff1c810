//! Text of strangers for a terminal: what would steer it, hide, or turn the reading direction is written out. Knows Unicode; no
//! protocol, no table.
//!
//! A control character is written as psql writes it in a table: `\x1B`, `\u009B` (`pg_wcsformat`, fe_utils/mbprint.c). psql
//! does so for control characters in tables only; here also for those that show nothing or reorder what stands beside
//! them, and everywhere.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

/// What stands around the words of ours in what is printed; written out where strangers use it, so that nothing of theirs looks
/// like ours.
pub(crate) const BRACKETS: [char; 2] = ['⟦', '⟧'];

/// Whose brackets are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brackets {
    /// Ours only: others are written out.
    Ours,
    /// There are none of ours.
    Theirs,
}

/// Columns between tab stops (`pg_wcsformat`).
const TAB: usize = 8;

/// A line of a value, and how wide it is on a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) width: usize,
}

impl Line {
    fn push(&mut self, c: char, brackets: Brackets) {
        if audit::is_deceptive(c) || brackets == Brackets::Ours && BRACKETS.contains(&c) {
            self.escape(u32::from(c));
        } else {
            self.text.push(c);
            self.width += c.width().unwrap_or_default();
        }
    }

    fn escape(&mut self, code: u32) {
        let before = self.text.len();
        // writing to a String can't fail
        let _ =
            if code < 0x80 { write!(self.text, "\\x{code:02X}") } else { write!(self.text, "\\u{code:04X}") };
        self.width += self.text.len() - before;
    }

    fn byte(&mut self, byte: u8) {
        let _ = write!(self.text, "\\x{byte:02X}");
        self.width += 4;
    }
}

/// Returns a value's lines as psql puts them into a cell: tabs are spaces, a carriage return is `\r`.
pub(crate) fn cell(value: &[u8], brackets: Brackets) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = Line::default();
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => lines.push(std::mem::take(&mut line)),
                '\r' => {
                    line.text.push_str("\\r");
                    line.width += 2;
                }
                '\t' => {
                    let blanks = TAB - line.width % TAB;
                    line.text.extend(std::iter::repeat_n(' ', blanks));
                    line.width += blanks;
                }
                c => line.push(c, brackets),
            }
        }
        chunk.invalid().iter().for_each(|byte| line.byte(*byte));
    }
    lines.push(line);
    lines
}

/// Returns a text with its lines and tabs; a carriage return is left out where a line ends and `\r` elsewhere.
pub(crate) fn text(value: &[u8], brackets: Brackets) -> String {
    let mut line = Line::default();
    for chunk in value.utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\n' | '\t' => line.text.push(c),
                '\r' if chars.peek() == Some(&'\n') => {}
                '\r' => line.text.push_str("\\r"),
                c => line.push(c, brackets),
            }
        }
        chunk.invalid().iter().for_each(|byte| line.byte(*byte));
    }
    line.text
}

/// Returns a text as a part of one line.
pub(crate) fn word(value: &str, brackets: Brackets) -> String {
    let mut line = Line::default();
    for c in value.chars() {
        match c {
            '\n' => line.text.push_str("\\n"),
            '\t' => line.text.push_str("\\t"),
            '\r' => line.text.push_str("\\r"),
            c => line.push(c, brackets),
        }
    }
    line.text
}

/// Escapes in JSON what would do something to a terminal, or hide: outside of strings JSON has none of it.
pub(crate) fn json(written: &str) -> String {
    let mut out = String::with_capacity(written.len());
    for c in written.chars() {
        if audit::is_deceptive(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(value: &[u8]) -> Vec<(String, usize)> {
        cell(value, Brackets::Ours).into_iter().map(|line| (line.text, line.width)).collect()
    }

    #[test]
    fn a_cell_is_as_psql_writes_it() {
        assert_eq!(shown(b""), [(String::new(), 0)]);
        assert_eq!(shown(b"a\nb"), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
        assert_eq!(shown(b"a\tb\r"), [("a       b\\r".to_owned(), 11)]);
        assert_eq!(shown(b"\x1b[2J"), [(r"\x1B[2J".to_owned(), 7)]);
        assert_eq!(shown("漢é\u{9b}".as_bytes()), [("漢é\\u009B".to_owned(), 9)]);
        assert_eq!(shown(b"\xff\xfe"), [(r"\xFF\xFE".to_owned(), 8)]);
        assert_eq!(shown("\u{202e}⟦".as_bytes()), [(r"\u202E\u27E6".to_owned(), 12)]);
    }

    #[test]
    fn a_text_keeps_its_lines_and_nothing_else_that_steers() {
        assert_eq!(text(b"a\r\n\tb\rc\x07", Brackets::Theirs), "a\n\tb\\rc\\x07");
        assert_eq!(word("a\nb\u{1b}", Brackets::Theirs), "a\\nb\\x1B");
    }

    #[test]
    fn json_hides_nothing() {
        let written = serde_json::to_string("a\u{202e}\u{e0041}\u{9b}").unwrap();
        let escaped = json(&written);
        assert_eq!(escaped, r#""a\u202e\udb40\udc41\u009b""#);
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), "a\u{202e}\u{e0041}\u{9b}");
    }

    proptest! {
        #[test]
        fn nothing_that_steers_a_terminal_gets_through(bytes in proptest::collection::vec(any::<u8>(), 0..200), text_in in any::<String>()) {
            for value in [bytes.as_slice(), text_in.as_bytes()] {
                for line in cell(value, Brackets::Ours) {
                    prop_assert!(!line.text.chars().any(audit::is_deceptive));
                    prop_assert!(!line.text.contains(BRACKETS));
                }
                prop_assert!(!text(value, Brackets::Ours).chars().any(|c| audit::is_deceptive(c) && c != '\n' && c != '\t'));
            }
            prop_assert!(!word(&text_in, Brackets::Theirs).chars().any(audit::is_deceptive));
        }
    }
}

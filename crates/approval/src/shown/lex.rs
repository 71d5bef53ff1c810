//! Where a statement's comments and strings are, as PostgreSQL's scanner has it (`src/backend/parser/scan.l`, versions 14 to 18,
//! with `standard_conforming_strings` on, which the gateway pins).
//!
//! Only to show: nothing is decided by it. Where versions disagree about what follows, or a text ends in the middle, the rest is
//! called code, so that nothing is taken for a comment that may run.

use std::ops::Range;

/// What a stretch of a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything else, names in double quotes included.
    Code,
    /// `-- ...` or `/* ... */`: the server doesn't look at it.
    Comment,
    /// A string, its quotes included.
    String,
}

/// Splits a text; the ranges follow each other and cover it.
pub(super) fn parts(text: &str) -> Vec<(Range<usize>, Part)> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, parts: Vec::new(), code_from: 0 };
    scanner.run();
    scanner.parts
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    parts: Vec<(Range<usize>, Part)>,
    /// Where the code begins that isn't in `parts` yet.
    code_from: usize,
}

/// How a string escapes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// Not at all: `b'...'`, `x'...'`.
    None,
    /// `''` only.
    Doubled,
    /// Backslashes too: `E'...'`.
    Backslash,
}

/// `ident_start`: every byte of a character that is not ASCII is one.
const fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// `ident_cont`.
const fn continues_name(byte: u8) -> bool {
    starts_name(byte) || byte.is_ascii_digit() || byte == b'$'
}

const fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// `space`, all but line ends: `\v` is one since version 16.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0c' | b'\x0b')
}

impl Scanner<'_> {
    fn run(&mut self) {
        while let Some(byte) = self.peek(0) {
            let start = self.at;
            let ended = match byte {
                b'-' if self.peek(1) == Some(b'-') => {
                    self.line_comment();
                    self.push(start, Part::Comment)
                }
                b'/' if self.peek(1) == Some(b'*') => {
                    self.block_comment().and_then(|()| self.push(start, Part::Comment))
                }
                b'\'' => self.string(start, Escapes::Doubled),
                b'"' => self.quoted_name(),
                b'$' => self.dollar(start),
                _ if starts_name(byte) => self.name(start),
                _ if byte.is_ascii_digit()
                    || byte == b'.' && self.peek(1).is_some_and(|b| b.is_ascii_digit()) =>
                {
                    self.number()
                }
                _ => {
                    self.at += 1;
                    Some(())
                }
            };
            if ended.is_none() {
                break;
            }
        }
        self.at = self.bytes.len();
        self.flush(self.at);
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    /// Adds the code before `until`.
    fn flush(&mut self, until: usize) {
        if self.code_from < until {
            self.parts.push((self.code_from..until, Part::Code));
        }
        self.code_from = until;
    }

    #[expect(clippy::unnecessary_wraps, reason = "ends every arm of the scanner's match")]
    fn push(&mut self, start: usize, part: Part) -> Option<()> {
        self.flush(start);
        self.parts.push((start..self.at, part));
        self.code_from = self.at;
        Some(())
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|byte| !is_newline(byte)) {
            self.at += 1;
        }
    }

    /// Comments nest.
    fn block_comment(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0)?, self.peek(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Some(());
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// From the opening quote; a string that begins again after a line end is the same one (`quotecontinue`).
    fn string(&mut self, start: usize, escapes: Escapes) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek(0)? {
                b'\'' if self.peek(1) == Some(b'\'') && escapes != Escapes::None => self.at += 2,
                b'\'' => {
                    self.at += 1;
                    match self.continued()? {
                        Some(quote) => self.at = quote + 1,
                        None => return self.push(start, Part::String),
                    }
                }
                b'\\' if escapes == Escapes::Backslash => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// Where the quote is that goes on with the string that has just ended: behind white space with a line end in it, and comments.
    /// `None` outside: versions disagree (a comment that begins where the older ones want a line end).
    fn continued(&self) -> Option<Option<usize>> {
        let mut at = self.at;
        let (mut lines, mut comments) = (0_usize, 0_usize);
        loop {
            match (self.bytes.get(at).copied(), self.bytes.get(at + 1).copied()) {
                (Some(byte), _) if is_blank(byte) => at += 1,
                (Some(byte), _) if is_newline(byte) => {
                    lines += 1;
                    at += 1;
                }
                (Some(b'-'), Some(b'-')) => {
                    comments += 1;
                    while self.bytes.get(at).is_some_and(|byte| !is_newline(*byte)) {
                        at += 1;
                    }
                }
                (Some(b'\''), _) if lines > 0 && comments == 0 => return Some(Some(at)),
                // A comment in between: rare enough not to find out which version reads it how.
                (Some(b'\''), _) if lines > 0 => return None,
                _ => return Some(None),
            }
        }
    }

    fn quoted_name(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match (self.peek(0)?, self.peek(1)) {
                (b'"', Some(b'"')) => self.at += 2,
                (b'"', _) => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.at += 1,
            }
        }
    }

    /// `$tag$ ... $tag$`, `$1`, or a dollar that is an error anyway.
    fn dollar(&mut self, start: usize) -> Option<()> {
        let mut end = self.at + 1;
        let digit = |at: usize| self.bytes.get(at).is_some_and(u8::is_ascii_digit);
        if digit(end) {
            while digit(end) {
                end += 1;
            }
            self.at = end;
            return self.not_run_together();
        }
        while self.bytes.get(end).is_some_and(|byte| continues_name(*byte) && *byte != b'$') {
            end += 1;
        }
        if self.bytes.get(end) != Some(&b'$') {
            self.at += 1;
            return Some(());
        }
        let tag = self.bytes.get(start..=end)?;
        let rest = self.bytes.get(end + 1..)?;
        let close = rest.windows(tag.len()).position(|window| window == tag)?;
        self.at = end + 1 + close + tag.len();
        self.push(start, Part::String)
    }

    /// A name, or the letter before a string.
    fn name(&mut self, start: usize) -> Option<()> {
        let next = self.peek(1);
        match (self.peek(0)?, next) {
            (b'e' | b'E', Some(b'\'')) => {
                self.at += 1;
                return self.string(start, Escapes::Backslash);
            }
            (b'b' | b'B' | b'x' | b'X', Some(b'\'')) => {
                self.at += 1;
                return self.string(start, Escapes::None);
            }
            // The server reads the keyword NCHAR, and a string after it.
            (b'n' | b'N', Some(b'\'')) => {
                self.at += 1;
                return self.string(self.at, Escapes::Doubled);
            }
            (b'u' | b'U', Some(b'&')) => match self.peek(2) {
                Some(b'\'') => {
                    self.at += 2;
                    return self.string(start, Escapes::Doubled);
                }
                Some(b'"') => {
                    self.at += 2;
                    return self.quoted_name();
                }
                _ => {}
            },
            _ => {}
        }
        while self.peek(0).is_some_and(continues_name) {
            self.at += 1;
        }
        Some(())
    }

    /// Digits in any form. What versions read differently (`1a`, `0x1F`, `1_000`: one token or two) ends the scan only where
    /// something follows which the one takes for a string's beginning and the other for a part of a name.
    fn number(&mut self) -> Option<()> {
        while self.peek(0).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')) {
            self.at += 1;
        }
        // `1e5.U&'x'`: the server sees a dot and a string there.
        let last = self.at.checked_sub(1).and_then(|at| self.bytes.get(at));
        if last.is_some_and(|byte| matches!(byte, b'u' | b'U')) && self.peek(0) == Some(b'&') {
            return None;
        }
        self.not_run_together()
    }

    fn not_run_together(&self) -> Option<()> {
        let unclear = self.peek(0).is_some_and(|byte| byte == b'$' || byte >= 0x80 || byte == b'\'');
        (!unclear).then_some(())
    }
}

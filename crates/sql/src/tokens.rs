//! PostgreSQL's lexical rules (src/backend/parser/scan.l), byte by byte, over UTF-8. Knows no grammar.
//!
//! Where this reader and the server's could disagree, it says [`Odd`]: the caller then treats the text as opaque.

use std::ops::Range;

use crate::Strings;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare identifier or keyword.
    Word,
    /// `"..."`
    Quoted,
    /// `'...'`, `E'...'` or `$$...$$`, continuations included.
    Text,
    /// `N'...'`
    National,
    /// `U&'...'` or `U&"..."`
    Unicode,
    /// `B'...'`
    Bits,
    /// `X'...'`
    Hex,
    /// Decimal digits only.
    Digits,
    /// Any other number.
    Number,
    /// `$1`
    Param,
    /// A run of operator characters.
    Operator,
    /// Punctuation: one of `,()[].;:` or `::`, `:=`.
    Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    pub(crate) fn text<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.range()).unwrap_or_default()
    }

    /// Whether it is this keyword, given in lower case.
    pub(crate) fn is_word(&self, text: &[u8], word: &[u8]) -> bool {
        self.kind == Kind::Word && self.text(text).eq_ignore_ascii_case(word)
    }

    pub(crate) fn is_mark(&self, text: &[u8], mark: &[u8]) -> bool {
        self.kind == Kind::Mark && self.text(text) == mark
    }
}

/// The text isn't one that this reader is sure of: unterminated, invalid, or read differently between versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Odd;

/// Most bytes that PostgreSQL's scanner may look at again and again for operators and comments.
///
/// It takes the whole run of operator characters that a comment's start or an operator stands in, and gives back what it
/// doesn't need (scan.l `xcstart`, `operator`): the time for `/**//**/...` grows with the square of its length, to
/// minutes for a megabyte.
const RESCANNED_BYTES_MAX: usize = 4 << 20;

/// Reads tokens one after another.
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    strings: Strings,
    /// Where the run of operator characters at hand ends.
    run_end: usize,
    rescanned_bytes: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a [u8], strings: Strings) -> Self {
        Self { text, at: 0, strings, run_end: 0, rescanned_bytes: 0 }
    }

    fn peek(&self, ahead: usize) -> u8 {
        // 0 stands for the end: a real NUL is odd wherever it stands outside quotes.
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn skip_while(&mut self, class: impl Fn(u8) -> bool) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|b| !class(*b)).unwrap_or(rest.len());
    }

    /// Whether PostgreSQL's scanner would take unreasonably long for what was read so far.
    pub(crate) fn is_too_dear(&self) -> bool {
        self.rescanned_bytes > RESCANNED_BYTES_MAX
    }

    /// Counts the run of operator characters from here on.
    fn count_run(&mut self) -> Result<(), Odd> {
        if self.at >= self.run_end {
            let rest = self.text.get(self.at..).unwrap_or_default();
            self.run_end = self.at + rest.iter().position(|b| !operator(*b)).unwrap_or(rest.len());
        }
        self.rescanned_bytes += self.run_end - self.at;
        if self.is_too_dear() { Err(Odd) } else { Ok(()) }
    }

    /// The next token, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Token>, Odd> {
        self.skip_blanks()?;
        let start = self.at;
        let Some(first) = self.text.get(start).copied() else { return Ok(None) };
        let kind = match first {
            b'\'' => self.quoted(start, self.strings == Strings::Escaping, Kind::Text)?,
            b'"' => self.identifier(start)?,
            b'e' | b'E' if self.peek(1) == b'\'' => self.quoted(start + 1, true, Kind::Text)?,
            b'n' | b'N' if self.peek(1) == b'\'' => {
                self.quoted(start + 1, self.strings == Strings::Escaping, Kind::National)?
            }
            b'b' | b'B' if self.peek(1) == b'\'' => self.quoted(start + 1, false, Kind::Bits)?,
            b'x' | b'X' if self.peek(1) == b'\'' => self.quoted(start + 1, false, Kind::Hex)?,
            b'u' | b'U' if self.peek(1) == b'&' && self.peek(2) == b'\'' => {
                // The server refuses these when backslashes escape.
                if self.strings == Strings::Escaping {
                    return Err(Odd);
                }
                self.quoted(start + 2, false, Kind::Unicode)?
            }
            b'u' | b'U' if self.peek(1) == b'&' && self.peek(2) == b'"' => {
                self.at = start + 2;
                self.identifier(start + 2)?;
                Kind::Unicode
            }
            b if word_start(b) => {
                self.skip_while(word_part);
                Kind::Word
            }
            b'0'..=b'9' => self.number()?,
            b'.' if self.peek(1).is_ascii_digit() => self.number()?,
            b'$' => self.dollar()?,
            b':' => {
                self.at += if matches!(self.peek(1), b':' | b'=') { 2 } else { 1 };
                Kind::Mark
            }
            b'.' if self.peek(1) == b'.' => return Err(Odd),
            b',' | b'(' | b')' | b'[' | b']' | b';' | b'.' => {
                self.at += 1;
                Kind::Mark
            }
            b if operator(b) => {
                self.count_run()?;
                self.operator();
                Kind::Operator
            }
            _ => return Err(Odd),
        };
        Ok(Some(Token { kind, start, end: self.at }))
    }

    /// Passes white space and comments.
    fn skip_blanks(&mut self) -> Result<(), Odd> {
        loop {
            self.skip_while(blank);
            match (self.peek(0), self.peek(1)) {
                (b'-', b'-') => self.skip_while(|b| b != b'\n' && b != b'\r'),
                (b'/', b'*') => self.comment()?,
                _ => return Ok(()),
            }
        }
    }

    /// Passes a comment in C's style; they nest.
    fn comment(&mut self) -> Result<(), Odd> {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    self.count_run()?;
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                // A NUL ends the server's text: it can't be inside one.
                (0, _) => return Err(Odd),
                _ => self.at += 1,
            }
        }
    }

    /// Reads quotes that open at `open`, and what continues them: a quote after white space that has a line break.
    fn quoted(&mut self, open: usize, escapes: bool, kind: Kind) -> Result<Kind, Odd> {
        self.at = open + 1;
        loop {
            self.skip_while(|b| b != b'\'' && b != b'\\' && b != 0);
            match self.peek(0) {
                b'\\' if escapes => {
                    self.at += 1;
                    if self.peek(0) == 0 {
                        return Err(Odd);
                    }
                    self.at += 1;
                }
                b'\\' => self.at += 1,
                b'\'' if self.peek(1) == b'\'' => self.at += 2,
                b'\'' => {
                    self.at += 1;
                    match self.continuation() {
                        Some(next) => self.at = next,
                        None => return Ok(kind),
                    }
                }
                _ => return Err(Odd),
            }
        }
    }

    /// Where the literal goes on if a continuation follows (scan.l `quotecontinue`): after the next quote.
    fn continuation(&self) -> Option<usize> {
        let mut look = Tokens { at: self.at, ..Tokens::new(self.text, self.strings) };
        let mut newline = false;
        loop {
            match look.peek(0) {
                b'\n' | b'\r' => {
                    newline = true;
                    look.at += 1;
                }
                b if blank(b) => look.at += 1,
                b'-' if look.peek(1) == b'-' => look.skip_while(|b| b != b'\n' && b != b'\r'),
                b'\'' if newline => return Some(look.at + 1),
                _ => return None,
            }
        }
    }

    fn identifier(&mut self, open: usize) -> Result<Kind, Odd> {
        self.at = open + 1;
        loop {
            self.skip_while(|b| b != b'"' && b != 0);
            match (self.peek(0), self.peek(1)) {
                (b'"', b'"') => self.at += 2,
                (b'"', _) => {
                    self.at += 1;
                    return Ok(Kind::Quoted);
                }
                _ => return Err(Odd),
            }
        }
    }

    fn number(&mut self) -> Result<Kind, Odd> {
        let mut kind = Kind::Digits;
        if self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'X' | b'o' | b'O' | b'b' | b'B') {
            // 0x1F and its kin are numbers from PostgreSQL 16 on, and errors before; so are underscores.
            kind = Kind::Number;
            self.at += 2;
            self.skip_while(|b| b.is_ascii_hexdigit() || b == b'_');
        } else {
            self.skip_while(|b| b.is_ascii_digit() || b == b'_');
            if self.peek(0) == b'.' {
                kind = Kind::Number;
                self.at += 1;
                if self.peek(0) == b'.' {
                    return Err(Odd);
                }
                self.skip_while(|b| b.is_ascii_digit() || b == b'_');
            }
            if matches!(self.peek(0), b'e' | b'E') {
                kind = Kind::Number;
                self.at += if matches!(self.peek(1), b'+' | b'-') { 2 } else { 1 };
                if !self.peek(0).is_ascii_digit() {
                    return Err(Odd);
                }
                self.skip_while(|b| b.is_ascii_digit() || b == b'_');
            }
        }
        // Trailing junk is an error from PostgreSQL 15 on, and another token before.
        if word_part(self.peek(0)) { Err(Odd) } else { Ok(kind) }
    }

    /// `$1` or `$tag$...$tag$`.
    fn dollar(&mut self) -> Result<Kind, Odd> {
        let start = self.at;
        self.at += 1;
        if self.peek(0).is_ascii_digit() {
            self.skip_while(|b| b.is_ascii_digit());
            return if word_start(self.peek(0)) { Err(Odd) } else { Ok(Kind::Param) };
        }
        if word_start(self.peek(0)) {
            self.skip_while(|b| word_start(b) || b.is_ascii_digit());
        }
        if self.peek(0) != b'$' {
            return Err(Odd);
        }
        self.at += 1;
        let tag = self.text.get(start..self.at).unwrap_or_default();
        loop {
            self.skip_while(|b| b != b'$' && b != 0);
            let rest = self.text.get(self.at..).unwrap_or_default();
            if rest.starts_with(tag) {
                self.at += tag.len();
                return Ok(Kind::Text);
            }
            if rest.first() != Some(&b'$') {
                return Err(Odd);
            }
            self.at += 1;
        }
    }

    /// A run of operator characters, which a comment's start ends.
    fn operator(&mut self) {
        while operator(self.peek(0)) && !matches!((self.peek(0), self.peek(1)), (b'-', b'-') | (b'/', b'*')) {
            self.at += 1;
        }
    }
}

/// All tokens of a text.
pub(crate) fn tokens(text: &[u8], strings: Strings) -> Result<Vec<Token>, Odd> {
    let mut reader = Tokens::new(text, strings);
    let mut all = Vec::new();
    while let Some(token) = reader.next()? {
        all.push(token);
    }
    Ok(all)
}

/// Whether PostgreSQL's scanner would take unreasonably long for a text. It stops where this reader does, or before.
pub(crate) fn too_dear(text: &[u8], strings: Strings) -> bool {
    let mut reader = Tokens::new(text, strings);
    while let Ok(Some(_)) = reader.next() {}
    reader.is_too_dear()
}

/// What a byte can be part of, outside quotes.
static CLASSES: [u8; 256] = classes();

const BLANK: u8 = 1;
const WORD_START: u8 = 1 << 1;
const WORD_PART: u8 = 1 << 2;
const OPERATOR: u8 = 1 << 3;

#[expect(clippy::indexing_slicing, reason = "done while compiling")]
const fn classes() -> [u8; 256] {
    let mut all = [0; 256];
    let mut at = 0;
    while at < all.len() {
        let b = at as u8;
        all[at] = match b {
            // \v from PostgreSQL 16 on; an error before.
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => BLANK,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => WORD_START | WORD_PART,
            b'0'..=b'9' | b'$' => WORD_PART,
            b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*' | b'/'
            | b'%' | b'<' | b'>' | b'=' => OPERATOR,
            _ => 0,
        };
        at += 1;
    }
    all
}

fn is(b: u8, class: u8) -> bool {
    CLASSES.get(usize::from(b)).is_some_and(|classes| classes & class != 0)
}

fn blank(b: u8) -> bool {
    is(b, BLANK)
}

fn word_start(b: u8) -> bool {
    is(b, WORD_START)
}

fn word_part(b: u8) -> bool {
    is(b, WORD_PART)
}

fn operator(b: u8) -> bool {
    is(b, OPERATOR)
}

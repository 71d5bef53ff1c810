//! Splits a tree's text into tokens as PostgreSQL's own reader does (`pg_strtok`, nodes/read.c). Knows no nodes.

use crate::Unknown;

/// A piece of a tree's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// `{`
    OpenNode,
    /// `}`
    CloseNode,
    /// `(`
    OpenList,
    /// `)`
    CloseList,
    /// Anything else up to white space or a bracket; its escapes are still in it.
    Atom(&'a str),
}

/// The tokens of one text, with where they begin.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Where the next token is looked for.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// Returns the next token and where it begins, or `None` at the end of the text.
    ///
    /// # Errors
    /// [`Unknown`]: the text ends inside an escape.
    pub(crate) fn next(&mut self) -> Result<Option<(Token<'a>, usize)>, Unknown> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|byte| is_blank(*byte)) {
            self.at += 1;
        }
        let start = self.at;
        let Some(first) = bytes.get(start) else { return Ok(None) };
        let bracket = match first {
            b'{' => Some(Token::OpenNode),
            b'}' => Some(Token::CloseNode),
            b'(' => Some(Token::OpenList),
            b')' => Some(Token::CloseList),
            _ => None,
        };
        if let Some(token) = bracket {
            self.at += 1;
            return Ok(Some((token, start)));
        }
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'{' | b'}' | b'(' | b')' => break,
                blank if is_blank(*blank) => break,
                _ => self.at += 1,
            }
        }
        match self.text.get(start..self.at) {
            Some(atom) => Ok(Some((Token::Atom(atom), start))),
            None => Err(Unknown { what: "an escape without its character".to_owned(), at: start }),
        }
    }
}

/// White space as `pg_strtok` knows it.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t')
}

/// Takes the escapes out of an atom (`debackslash`, nodes/read.c).
pub(crate) fn unescape(atom: &str) -> String {
    let mut plain = String::with_capacity(atom.len());
    let mut characters = atom.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[Token<'_>]) {
        let mut tokens = Tokens::new(text);
        let mut found = Vec::new();
        while let Some((token, _)) = tokens.next().unwrap() {
            found.push(token);
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn brackets_and_blanks_part_tokens() {
        use Token::{Atom, CloseList, CloseNode, OpenList, OpenNode};
        check(
            "({A :b 1}\n\t<>)",
            &[OpenList, OpenNode, Atom("A"), Atom(":b"), Atom("1"), CloseNode, Atom("<>"), CloseList],
        );
        check("", &[]);
    }

    #[test]
    fn an_escaped_bracket_parts_nothing() {
        check(r"a\ b\{c\}\(\)\\ d", &[Token::Atom(r"a\ b\{c\}\(\)\\"), Token::Atom("d")]);
        assert_eq!(unescape(r"a\ b\{c\}\(\)\\"), r"a b{c}()\");
        check("\\ï", &[Token::Atom("\\ï")]);
    }

    #[test]
    fn an_escape_at_the_end_is_refused() {
        assert!(Tokens::new("abc\\").next().is_err());
    }
}

//! Where an SQL text has strings, quoted names, comments, parameters, and what psql would take for its own: as much of
//! PostgreSQL's scanner (parser/scan.l) as an export needs. `standard_conforming_strings` is on, as in every session of the gateway.

use std::ops::Range;

/// A stretch of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A string, a quoted name: as it is.
    Quoted,
    /// A comment.
    Comment,
    /// An unquoted name or key word, or a number.
    Word,
    /// `$1`: the number.
    Parameter(usize),
    /// A single colon: psql would look for a variable.
    Colon,
    /// A backslash outside of quotes: no SQL, and a command to psql.
    Backslash,
    /// White space.
    Blank,
    /// Anything else.
    Sign,
    /// A quote or comment without its end: the rest of the text.
    Unterminated,
}

/// Splits a text; the ranges, put together, are the text.
pub(crate) fn tokens(text: &str) -> Vec<(Range<usize>, Token)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let (length, token) = one(
            rest,
            found.last().map(|(range, token): &(Range<usize>, Token)| {
                (*token, bytes.get(range.clone()).unwrap_or_default())
            }),
        );
        // INVARIANT: every arm of `one` takes at least a byte, and ends before an ASCII byte or at the end of a character.
        let end = at + length.max(1);
        found.push((at..end, token));
        at = end;
    }
    found
}

/// Reads the token that `rest` begins with; its bytes.
fn one(rest: &[u8], before: Option<(Token, &[u8])>) -> (usize, Token) {
    let quoted = |end: Option<usize>| match end {
        Some(end) => (end, Token::Quoted),
        None => (rest.len(), Token::Unterminated),
    };
    match rest {
        [b'\'', ..] => {
            let escapes = matches!(before, Some((Token::Word, b"e" | b"E")));
            quoted(string(rest, escapes))
        }
        [b'"', ..] => quoted(doubled(rest, b'"')),
        [b'-', b'-', ..] => {
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
            (end, Token::Comment)
        }
        [b'/', b'*', ..] => match nested(rest) {
            Some(end) => (end, Token::Comment),
            None => (rest.len(), Token::Unterminated),
        },
        [b'$', digit, ..] if digit.is_ascii_digit() => {
            let end = 1 + rest.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
            let digits = rest.get(1..end).and_then(|digits| std::str::from_utf8(digits).ok());
            match digits.and_then(|digits| digits.parse().ok()) {
                Some(number) => (end, Token::Parameter(number)),
                None => (end, Token::Sign),
            }
        }
        [b'$', ..] => match dollar_tag(rest) {
            Some(tag) => {
                quoted(find(rest.get(tag.len()..).unwrap_or_default(), tag).map(|at| at + 2 * tag.len()))
            }
            None => (1, Token::Sign),
        },
        [b':', b':' | b'=', ..] => (2, Token::Sign),
        [b':', ..] => (1, Token::Colon),
        [b'\\', ..] => (1, Token::Backslash),
        [first, ..] if first.is_ascii_whitespace() || *first == 0x0b => {
            let end = rest.iter().take_while(|it| it.is_ascii_whitespace() || **it == 0x0b).count();
            (end, Token::Blank)
        }
        [first, ..] if in_word(*first) => {
            (rest.iter().take_while(|byte| in_word(**byte) || **byte == b'$').count(), Token::Word)
        }
        _ => (1, Token::Sign),
    }
}

const fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn string(rest: &[u8], escapes: bool) -> Option<usize> {
    if !escapes {
        return doubled(rest, b'\'');
    }
    let mut at = 1;
    loop {
        match (rest.get(at)?, rest.get(at + 1)) {
            (b'\\', _) | (b'\'', Some(b'\'')) => at += 2,
            (b'\'', _) => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// The end of a quote in which the quoting character is written twice.
fn doubled(rest: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        at += rest.get(at..)?.iter().position(|byte| *byte == quote)?;
        if rest.get(at + 1) != Some(&quote) {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn nested(rest: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match (rest.get(at)?, rest.get(at + 1)?) {
            (b'/', b'*') => (depth, at) = (depth + 1, at + 2),
            (b'*', b'/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// `$tag$` at the beginning, dollars included.
fn dollar_tag(rest: &[u8]) -> Option<&[u8]> {
    let end = 1 + rest.iter().skip(1).position(|byte| *byte == b'$')?;
    let tag = rest.get(1..end)?;
    let fits = tag.iter().all(|byte| in_word(*byte)) && !tag.first().is_some_and(u8::is_ascii_digit);
    fits.then(|| rest.get(..=end)).flatten()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Returns the first key words of a text, in upper case, up to the first thing that is none. What stands before a statement without being
/// a part of it, as a semicolon, is passed over.
pub(crate) fn first_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (range, token) in tokens(text) {
        let own = text.get(range).unwrap_or_default();
        match token {
            Token::Blank | Token::Comment => {}
            Token::Sign if words.is_empty() && matches!(own, "(" | ";") => {}
            Token::Word => words.push(own.to_ascii_uppercase()),
            _ => break,
        }
        if words.len() == 4 {
            break;
        }
    }
    words
}

/// Returns the first key word of a text, in upper case; empty if it has none.
pub(crate) fn first_word(text: &str) -> String {
    first_words(text).into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &[(&str, Token)]) {
        let found: Vec<_> =
            tokens(text).into_iter().map(|(range, token)| (text.get(range).unwrap(), token)).collect();
        let found: Vec<_> = found.into_iter().filter(|(_, token)| *token != Token::Blank).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn quotes_hide_what_is_in_them() {
        use Token::{Backslash, Colon, Comment, Parameter, Quoted, Sign, Unterminated, Word};
        check(r"'a\' \!", &[(r"'a\'", Quoted), (r"\", Backslash), ("!", Sign)]);
        check(r"E'a\' \!'", &[("E", Word), (r"'a\' \!'", Quoted)]);
        check("'a''b' \"c\"\"d\"", &[("'a''b'", Quoted), ("\"c\"\"d\"", Quoted)]);
        check("$$ \\! $$ $a$ $$ $a$", &[("$$ \\! $$", Quoted), ("$a$ $$ $a$", Quoted)]);
        check("a$1 $1 $é$x$é$", &[("a$1", Word), ("$1", Parameter(1)), ("$é$x$é$", Quoted)]);
        check(
            "/* /* */ \\ */ -- \\\n:a",
            &[("/* /* */ \\ */", Comment), ("-- \\", Comment), (":", Colon), ("a", Word)],
        );
        check("a::b :=c", &[("a", Word), ("::", Sign), ("b", Word), (":=", Sign), ("c", Word)]);
        check("'a", &[("'a", Unterminated)]);
        check("$a$ $b$", &[("$a$ $b$", Unterminated)]);
        check("/* /* */", &[("/* /* */", Unterminated)]);
    }

    #[test]
    fn a_statement_s_first_word_is_behind_blanks_and_comments() {
        assert_eq!(first_word(" /* x */ -- y\n commit"), "COMMIT");
        assert_eq!(first_word("((select 1))"), "SELECT");
        assert_eq!(first_words(";;\n commit and -- x\n chain;"), ["COMMIT", "AND", "CHAIN"]);
        assert_eq!(first_word("; 1"), "1");
        assert_eq!(first_word(""), "");
    }

    proptest! {
        #[test]
        fn tokens_are_the_text(text in r#"[a'"$\\:/*\-\n é1eE;]{0,40}|.*"#) {
            let mut at = 0;
            for (range, _) in tokens(&text) {
                prop_assert_eq!(range.start, at);
                prop_assert!(text.get(range.clone()).is_some());
                at = range.end;
            }
            prop_assert_eq!(at, text.len());
        }
    }
}

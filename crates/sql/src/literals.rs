//! The values that a text holds: what its string and number literals say. Knows no grammar, so not what they are for.

use crate::Strings;
use crate::tokens::{Kind, tokens};

/// Returns the literals' values in the order of the text, of numbers as they are written. `None`: the text can't be read with certainty.
pub fn literals(text: &str) -> Option<Vec<String>> {
    let bytes = text.as_bytes();
    let found = tokens(bytes, Strings::Standard).ok()?;
    let mut values = Vec::new();
    for token in found {
        let written = std::str::from_utf8(token.text(bytes)).ok()?;
        match token.kind {
            Kind::Text | Kind::National => values.push(string(written)),
            Kind::Unicode if !written.contains('"') => values.push(unicode(&string(written))),
            Kind::Digits | Kind::Number => values.push(written.to_owned()),
            _ => {}
        }
    }
    Some(values)
}

/// Returns the text with a `?` for each literal, without comments, on one line. `None`: the text can't be read with certainty.
pub fn without_literals(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut end = 0;
    for token in tokens(bytes, Strings::Standard).ok()? {
        if end > 0 && token.start > end {
            out.push(' ');
        }
        end = token.end;
        let written = std::str::from_utf8(token.text(bytes)).ok()?;
        let is_literal = match token.kind {
            Kind::Text | Kind::National | Kind::Bits | Kind::Hex | Kind::Digits | Kind::Number => true,
            Kind::Unicode => !written.contains('"'),
            Kind::Word | Kind::Quoted | Kind::Param | Kind::Operator | Kind::Mark => false,
        };
        if is_literal {
            out.push('?');
        } else {
            // A quoted identifier may hold anything.
            out.extend(written.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
    }
    Some(out)
}

/// What stands in quotes, continuations joined.
fn string(written: &str) -> String {
    if written.starts_with('$') {
        let tag = written.get(1..).and_then(|rest| rest.find('$')).map_or(0, |at| at + 2);
        return written.get(tag..written.len().saturating_sub(tag)).unwrap_or_default().to_owned();
    }
    let escapes = written.starts_with(['E', 'e']);
    let mut value = String::new();
    let mut chars = written.chars().skip_while(|c| *c != '\'').skip(1).peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.next_if_eq(&'\'').is_some() => value.push('\''),
            // A continuation: on to its opening quote, past a comment between.
            '\'' => while chars.next().is_some_and(|c| c != '\'') {},
            '\\' if escapes => value.extend(escaped(&mut chars)),
            c => value.push(c),
        }
    }
    value
}

/// What stands after a backslash in `E'...'` (scan.l `xe`).
fn escaped(chars: &mut std::iter::Peekable<impl Iterator<Item = char>>) -> Option<char> {
    let mut number = |radix: u32, most: usize, mut value: u32| {
        for _ in 0..most {
            let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else { break };
            value = value * radix + digit;
            chars.next();
        }
        char::from_u32(value)
    };
    match number(8, 3, 0) {
        Some('\0') | None => {}
        octal => return octal,
    }
    match chars.next()? {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        sign @ ('x' | 'u' | 'U') => {
            let most = match sign {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            let mut value = 0;
            for _ in 0..most {
                let Some(digit) = chars.peek().and_then(|c| c.to_digit(16)) else { break };
                value = value * 16 + digit;
                chars.next();
            }
            char::from_u32(value)
        }
        other => Some(other),
    }
}

/// Undoes `\0041` and `\+000041`, the escapes of `U&'...'` with its usual escape character.
fn unicode(text: &str) -> String {
    let mut value = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        value += before;
        let (digits, skip) = if after.starts_with('+') { (1..7, 7) } else { (0..4, 4) };
        let decoded =
            after.get(digits).and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        match decoded {
            Some(c) => {
                value.push(c);
                rest = after.get(skip..).unwrap_or_default();
            }
            None => {
                value.push('\\');
                rest = after.strip_prefix('\\').unwrap_or(after);
            }
        }
    }
    value + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_literal_is_read_as_the_server_reads_it() {
        let text = "UPDATE t SET a = 'it''s', b = E'\\x5bre\\144\\'acted]\\n', c = $x$'$x$, d = U&'\\005bx\\+00005d',
            e = 'one'
            'two', f = 12.5, g = $1, h = N'n' WHERE \"not\" = 'E\\'";
        let expected = ["it's", "[red'acted]\n", "'", "[x]", "onetwo", "12.5", "n", "E\\"];
        assert_eq!(literals(text).unwrap(), expected);
        assert_eq!(literals("SELECT 'open"), None);
    }

    #[test]
    fn no_literal_and_no_comment_is_left_of_a_text() {
        let text = "SELECT /* secret 1 */ \"a b\".c, $1, -2.5, B'101', X'ff', U&'\\0041' -- secret\n  FROM t1 WHERE x='it''s' AND y = $q$z$q$";
        let shown = "SELECT \"a b\".c, $1, -?, ?, ?, ? FROM t1 WHERE x=? AND y = ?";
        assert_eq!(without_literals(text).as_deref(), Some(shown));
        assert_eq!(without_literals("SELECT 'open"), None);
    }
}

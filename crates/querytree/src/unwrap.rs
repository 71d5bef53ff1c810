//! Undoes the line breaks that PostgreSQL puts into a printed tree. Knows bytes and backslashes, not nodes.
//!
//! `format_node_dump` (nodes/print.c) cuts the text into lines of at most 78 bytes. It ends a line at the last space,
//! and drops that space. Where a line has no space after its first byte, it cuts in the middle of a token, and drops
//! nothing. The text as printed doesn't say which it was for a full line without a space, so such a line is refused.

use std::borrow::Cow;

use crate::Unknown;

/// LINELEN of `format_node_dump` (nodes/print.c).
const LINE_BYTES_MAX: usize = 78;

/// Returns the tree on one line.
///
/// # Errors
/// [`Unknown`]: a line break could mean two things.
pub(crate) fn unwrap(printed: &str) -> Result<Cow<'_, str>, Unknown> {
    let printed = printed.strip_suffix('\n').unwrap_or(printed);
    if !printed.contains('\n') {
        return Ok(Cow::Borrowed(printed));
    }
    let bytes = printed.as_bytes();
    let mut whole = String::with_capacity(printed.len());
    let mut line_start = 0;
    // Where the text since the last break begins that is not copied yet.
    let mut copied = 0;
    for (at, _) in printed.match_indices('\n') {
        let line = bytes.get(line_start..at).unwrap_or_default();
        match meaning(line, bytes.get(at + 1..).unwrap_or_default()) {
            Break::Literal => continue,
            Break::Space => {}
            Break::Unclear => {
                return Err(Unknown { what: "a line break that could mean two things".to_owned(), at });
            }
        }
        whole.push_str(printed.get(copied..at).unwrap_or_default());
        whole.push(' ');
        copied = at + 1;
        line_start = at + 1;
    }
    whole.push_str(printed.get(copied..).unwrap_or_default());
    Ok(Cow::Owned(whole))
}

enum Break {
    /// The newline stands for a space.
    Space,
    /// The newline is itself a character of a name, escaped.
    Literal,
    Unclear,
}

/// Says what the newline between `line` and `rest` stands for.
fn meaning(line: &[u8], rest: &[u8]) -> Break {
    let roomy = line.get(1..).unwrap_or_default().contains(&b' ');
    if !is_escaped(line) {
        // A newline that is no escape was put there. It dropped nothing only if the line was full and had no space.
        // SECURITY: length is counted in the server's encoding; where that is not ours, only ASCII counts the same.
        let full = line.len() >= LINE_BYTES_MAX || !line.is_ascii();
        return if roomy || !full { Break::Space } else { Break::Unclear };
    }
    // Either an escaped space that a break fell on, or an escaped newline in a name.
    let may_break = may_end(line.len(), rest) && (line.len() < LINE_BYTES_MAX || roomy);
    match (may_break, may_go_on(line, rest)) {
        (true, false) => Break::Space,
        (false, true) => Break::Literal,
        _ => Break::Unclear,
    }
}

/// Says whether a line of this length may have ended at a space, given what comes after.
fn may_end(length: usize, rest: &[u8]) -> bool {
    match LINE_BYTES_MAX.checked_sub(length) {
        None => false,
        Some(0) => true,
        // The break was drawn back to this space: up to where the line would have been full there is no later one.
        Some(left) => length > 0 && rest.get(..left).is_some_and(|next| !next.contains(&b' ')),
    }
}

/// Says whether `line` and the newline after it may be part of a longer line.
fn may_go_on(line: &[u8], rest: &[u8]) -> bool {
    let length = line.len() + 1;
    if length + rest.len() <= LINE_BYTES_MAX {
        return true;
    }
    for (at, byte) in rest.iter().enumerate().take((LINE_BYTES_MAX + 1).saturating_sub(length)) {
        if *byte == b'\n' {
            let after = rest.get(at + 1..).unwrap_or_default();
            if is_escaped(rest.get(..at).unwrap_or_default()) {
                return true;
            }
            return may_end(length + at, after) || length + at == LINE_BYTES_MAX;
        }
    }
    false
}

/// Says whether what follows is escaped: an odd number of backslashes stands before it.
fn is_escaped(line: &[u8]) -> bool {
    line.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `format_node_dump`, from its description.
    fn wrap(dump: &[u8]) -> Vec<u8> {
        let mut printed = Vec::new();
        let mut rest = dump;
        while rest.len() >= LINE_BYTES_MAX {
            if rest.len() == LINE_BYTES_MAX {
                break;
            }
            let (line, next) = if rest[LINE_BYTES_MAX] == b' ' {
                (&rest[..LINE_BYTES_MAX], &rest[LINE_BYTES_MAX + 1..])
            } else if let Some(space) = rest[1..LINE_BYTES_MAX].iter().rposition(|byte| *byte == b' ') {
                (&rest[..space + 1], &rest[space + 2..])
            } else {
                (&rest[..LINE_BYTES_MAX], &rest[LINE_BYTES_MAX..])
            };
            printed.extend_from_slice(line);
            printed.push(b'\n');
            rest = next;
        }
        printed.extend_from_slice(rest);
        printed.push(b'\n');
        printed
    }

    fn check(dump: &str) {
        let printed = String::from_utf8(wrap(dump.as_bytes())).unwrap();
        assert_eq!(unwrap(&printed).as_deref(), Ok(dump), "{printed}");
    }

    #[test]
    fn a_break_is_a_space() {
        check("({QUERY :a 1})");
        check(&"{X :field 1} ".repeat(40));
        check(&format!("x {} {}", "a".repeat(76), "b c"));
    }

    #[test]
    fn an_escaped_space_may_be_broken_at() {
        for left in 40..78 {
            check(&format!(
                "{}{} a\\ b\\ c\\ d\\ e\\ f\\ g\\ h {}",
                "x ".repeat(left / 2),
                "y".repeat(left % 2),
                "z ".repeat(100)
            ));
        }
    }

    #[test]
    fn an_escaped_newline_is_kept() {
        check(&format!("{{X :name aaaa\\\nbbbb :other {}", "y ".repeat(60)));
        check("{X :name aaaa\\\nbbbb}");
    }

    #[test]
    fn a_full_line_without_a_space_is_refused() {
        for dump in [
            "a".repeat(79),
            "a".repeat(200),
            format!(" {} b", "a".repeat(77)),
            format!("{} b", "a".repeat(78)),
        ] {
            let printed = String::from_utf8(wrap(dump.as_bytes())).unwrap();
            match unwrap(&printed) {
                Err(_) => {}
                Ok(whole) => assert_eq!(whole, dump),
            }
        }
        assert!(unwrap(&format!("{}\n{}\n", "a".repeat(78), "b")).is_err());
    }

    proptest::proptest! {
        /// Whatever the text, what comes out is what went in, or nothing.
        #[test]
        fn never_another_text(dump in "([a-c]{1,40}| |\\\\ |\\\\\n|:name |\\{X |\\} |\\\\\\\\){1,60}") {
            let printed = String::from_utf8(wrap(dump.as_bytes())).unwrap();
            if let Ok(whole) = unwrap(&printed) {
                proptest::prop_assert_eq!(whole.trim_end(), dump.trim_end());
            }
        }
    }
}

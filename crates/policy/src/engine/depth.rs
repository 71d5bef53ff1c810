//! How deep a rule may go: Cedar recurses once for each bracket and each operator of a chain, in places without a check.

/// The deepest that brackets may be nested.
const BRACKETS_MAX: usize = 32;
/// The most operators between two semicolons: each may be a level of its own, as in `a || b || c`. Unoptimised, evaluation takes
/// 70 kB a level; it gives up, which refuses, 100 kB before the end of its thread's stack.
const OPERATORS_MAX: usize = 64;
/// The most dots between two semicolons; a chain that long is only ever a mistake, but the parser must live through it.
const DOTS_MAX: usize = 1000;
/// The stack on which rules are read: room for every level at over 100 kB each. Only what is used becomes real memory.
pub(super) const LOAD_STACK_BYTES: usize = 256 << 20;

/// Finds the first place where a text goes too deep, and says in what.
pub(super) fn check(text: &str) -> Result<(), (usize, String)> {
    let (mut brackets, mut operators, mut dots) = (0_usize, 0_usize, 0_usize);
    let mut last = b' ';
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                while let Some((_, byte)) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'/' if bytes.peek().is_some_and(|(_, next)| *next == b'/') => {
                // a comment ends with its line
                while bytes.next_if(|(_, byte)| *byte != b'\n').is_some() {}
            }
            b'(' | b'[' | b'{' => brackets += 1,
            b')' | b']' | b'}' => brackets = brackets.saturating_sub(1),
            b';' => (operators, dots) = (0, 0),
            b'.' => dots += 1,
            b'&' | b'|' if last == byte => operators += 1,
            b'+' | b'-' | b'*' => operators += 1,
            b'f' if last == b'i' => operators += 1,
            _ => {}
        }
        last = byte;
        for (count, most, what) in [
            (brackets, BRACKETS_MAX, "brackets are nested more than"),
            (operators, OPERATORS_MAX, "the operators of a rule are more than"),
            (dots, DOTS_MAX, "the dots of a rule are more than"),
        ] {
            if count > most {
                return Err((at, format!("{what} {most}")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_not_counted() {
        let text = format!("\"{}\\\"{}\" // {}\n(", "(".repeat(60), "(".repeat(60), "(\"".repeat(60));
        assert_eq!(check(&text), Ok(()));
        assert_eq!(check(&format!("{text}{}", "(".repeat(BRACKETS_MAX - 1))), Ok(()));
        assert!(check(&format!("{text}{}", "(".repeat(BRACKETS_MAX))).is_err());
    }

    #[test]
    fn each_rule_is_counted_by_itself() {
        let rule = |count: usize| format!("permit (a, b, c) when {{ {}x }};", "x || ".repeat(count));
        assert_eq!(check(&rule(OPERATORS_MAX).repeat(3)), Ok(()));
        assert!(check(&rule(OPERATORS_MAX + 1)).is_err());
        assert!(check(&"if x then y else ".repeat(OPERATORS_MAX + 1)).is_err());
        assert!(check(&".a".repeat(DOTS_MAX + 1)).is_err());
    }
}

//! Names by glob. Knows nothing of what is named.

use std::fmt;

/// A name in which `*` stands for any run of characters, the empty one included. Case matters, as in PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// Takes a pattern as it is written.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns whether a name is matched as a whole.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        // The leftmost place for each middle part leaves the most for the others.
        for part in parts {
            let Some((_, after)) = rest.split_once(part) else {
                return false;
            };
            rest = after;
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[track_caller]
    fn check(pattern: &str, name: &str, matched: bool) {
        assert_eq!(Pattern::new(pattern).matches(name), matched, "{pattern} on {name}");
    }

    #[test]
    fn a_star_is_any_run_of_characters() {
        check("*", "", true);
        check("*", "anything", true);
        check("agent-*", "agent-7", true);
        check("agent-*", "agent", false);
        check("*-ro", "app-ro", true);
        check("*-ro", "app-rot", false);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-c", false);
        check("a*b", "ab", true);
        check("ab*ba", "aba", false);
        check("**", "x", true);
        check("a**c", "abc", true);
        check("*x*", "no", false);
        check("App", "app", false);
        check("", "", true);
        check("", "x", false);
        check("é*é", "été", true);
        check("é*é", "é", false);
    }
}

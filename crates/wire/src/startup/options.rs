//! The `options` start-up parameter: command-line switches for a backend, read as PostgreSQL reads them.
//!
//! Splits as `pg_split_opts` (utils/init/postinit.c) and takes `-c` and `--` as `process_postgres_switches`
//! (tcop/postgres.c) does. Every other switch is refused: what it would set is not ours to guess.

use thiserror::Error;

/// Why an `options` parameter is refused; the client's fault. Each names the argument at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OptionsError {
    /// Something else than `-c name=value`, `-cname=value` and `--name=value`.
    #[error("invalid command-line argument for server process: \"{}\"; use -c name=value", .0.escape_debug())]
    Argument(String),
    /// A setting without `=` and a value, or without a name.
    #[error("\"{}\" in options requires a value; use -c name=value", .0.escape_debug())]
    Value(String),
}

/// Returns the settings in the order given, names with `-` turned into `_` as PostgreSQL does (`ParseLongOption`).
///
/// A name may come twice; PostgreSQL applies both, so the last wins. Names keep their case, which PostgreSQL ignores.
///
/// # Errors
/// - [`OptionsError::Argument`]: the client; a switch that is not a setting.
/// - [`OptionsError::Value`]: the client; a setting without name or value.
pub fn options(text: &str) -> Result<Vec<(String, String)>, OptionsError> {
    let mut settings = Vec::new();
    let mut arguments = split(text).into_iter();
    while let Some(argument) = arguments.next() {
        let setting = if argument == "-c" {
            // as getopt: whatever comes next is the value, even if it looks like a switch
            arguments.next().ok_or(OptionsError::Value(argument))?
        } else if let Some(rest) = argument.strip_prefix("-c").or_else(|| argument.strip_prefix("--")) {
            if rest.is_empty() {
                return Err(OptionsError::Argument(argument));
            }
            rest.to_owned()
        } else {
            return Err(OptionsError::Argument(argument));
        };
        match setting.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                settings.push((name.replace('-', "_"), value.to_owned()))
            }
            _ => return Err(OptionsError::Value(setting)),
        }
    }
    Ok(settings)
}

/// Splits at white space; a backslash keeps the character after it, white space and backslash included, and is dropped
/// at the end (`pg_split_opts`, utils/init/postinit.c).
fn split(text: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut current: Option<String> = None;
    let mut escaped = false;
    for c in text.chars() {
        if escaped {
            current.get_or_insert_default().push(c);
            escaped = false;
        } else if is_space(c) {
            arguments.extend(current.take());
        } else if c == '\\' {
            current.get_or_insert_default();
            escaped = true;
        } else {
            current.get_or_insert_default().push(c);
        }
    }
    arguments.extend(current);
    arguments
}

/// `isspace` in the C locale, which has the vertical tab that `char::is_ascii_whitespace` lacks.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(options(text), Ok(expected), "{text:?}");
    }

    #[test]
    fn three_spellings_of_a_setting() {
        check("", &[]);
        check(" \t\n\x0b\x0c\r ", &[]);
        check("-c a=1 -cb=2 --c=3", &[("a", "1"), ("b", "2"), ("c", "3")]);
        check("-c\ta=1\n--search-path=x", &[("a", "1"), ("search_path", "x")]);
        check("-c a=b=c", &[("a", "b=c")]);
        check("-c a=", &[("a", "")]);
        check("-c a=1 -c a=2", &[("a", "1"), ("a", "2")]);
        check("-c a-b=-c", &[("a_b", "-c")]);
    }

    #[test]
    fn backslash_keeps_the_next_character() {
        check(r"-c search_path=a,\ b", &[("search_path", "a, b")]);
        check(r"-c a=\\", &[("a", r"\")]);
        check(r"-c a=\x\é", &[("a", "xé")]);
        check(r"-c a=1\", &[("a", "1")]);
        check(r"\-c a=1", &[("a", "1")]);
        check("-c a=\\\n", &[("a", "\n")]);
    }

    #[test]
    fn option_takes_what_follows_as_getopt_does() {
        check("-c --b=1", &[("__b", "1")]);
        assert_eq!(options("-c -c a=1"), Err(OptionsError::Value("-c".into())));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for argument in ["-", "--", "-e", "-fs", "-D", "x", "a=1", "-C", "-bc", "—c"] {
            assert_eq!(
                options(&format!("-c x=1 {argument} -c y=2")),
                Err(OptionsError::Argument(argument.into()))
            );
        }
        for (text, named) in
            [("-c", "-c"), ("-c a", "a"), ("--a", "a"), ("-ca", "a"), ("-c =", "="), ("-c =v", "=v")]
        {
            assert_eq!(options(text), Err(OptionsError::Value(named.into())), "{text:?}");
        }
    }

    #[test]
    fn lone_backslash_is_an_empty_argument() {
        assert_eq!(options("\\"), Err(OptionsError::Argument(String::new())));
    }
}

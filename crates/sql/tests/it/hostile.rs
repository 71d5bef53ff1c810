//! Texts made to exhaust or confuse: an answer or an error, never an abort.

use proptest::prelude::*;
use sql::shape::Shaper;
use sql::{Limits, Strings};

/// What a text gives, on a stack of the documented size, dropped there too.
fn outcome(text: String, limits: Limits) -> Result<usize, String> {
    crate::on_large_stack(move || {
        Shaper::default().shape(text.as_bytes(), Strings::Standard);
        sql::parse(&text, limits).map(|statements| statements.len()).map_err(|error| error.message)
    })
}

fn nested(open: &str, middle: &str, close: &str, depth: usize) -> String {
    format!("{}{middle}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn nesting_of_any_depth_is_answered() {
    for depth in [20, 300, 1000, 20_000] {
        let shapes = [
            format!("SELECT {}", nested("(", "1", ")", depth)),
            format!("SELECT {}", nested("(SELECT ", "1", ")", depth)),
            format!("SELECT * FROM {}", nested("(SELECT * FROM ", "t", ") x", depth)),
            format!("SELECT 1{}", "+1".repeat(depth)),
            format!("SELECT 1 {}", "AND true ".repeat(depth)),
            format!("SELECT 1 {}", "UNION SELECT 1 ".repeat(depth)),
            format!("SELECT {}", nested("f(", "1", ")", depth)),
            format!("SELECT a{}", "::int".repeat(depth)),
            format!("SELECT * FROM t {}", "JOIN u ON true ".repeat(depth)),
            format!("SELECT {}", nested("CASE WHEN true THEN ", "1", " END", depth)),
            format!("EXPLAIN SELECT {}", nested("(SELECT ", "1", ")", depth)),
            format!("COPY (SELECT {}) TO STDOUT", nested("(", "1", ")", depth)),
            format!("SELECT 1 INTO t {}", "UNION SELECT 1 ".repeat(depth)),
            format!("CREATE TABLE t (a int CHECK ({}))", nested("(", "a > 1", ")", depth)),
            format!("EXECUTE p({})", nested("ARRAY[", "1", "]", depth)),
            format!("SELECT {} 1", nested("/*", "", "*/", depth)),
        ];
        for text in shapes {
            let head: String = text.chars().take(40).collect();
            let answer = outcome(text, Limits { bytes_max: 1 << 20, statements_max: 10 });
            // Ordinary depths must be read, not merely survived.
            assert!(depth > 20 || answer == Ok(1), "{head} {depth}: {answer:?}");
            assert!(answer.as_ref().map_or(true, |count| *count == 1), "{head} {depth}: {answer:?}");
        }
    }
}

#[test]
fn a_text_over_a_limit_is_refused_by_name() {
    let limits = Limits { bytes_max: 1 << 22, statements_max: 1000 };
    assert_eq!(outcome("SELECT 1;".repeat(1000), limits), Ok(1000));
    let many = outcome("SELECT 1;".repeat(100_000), limits);
    assert_eq!(many, Err("100000 statements in one message, the limit is 1000".to_owned()));
    let long = outcome(format!("SELECT '{}'", "x".repeat(1 << 22)), limits);
    assert_eq!(long, Err("statement of 4194313 bytes is longer than the limit of 4194304".to_owned()));
    assert_eq!(outcome(format!("SELECT '{}'", "x".repeat(1 << 20)), limits), Ok(1));
}

/// PostgreSQL's scanner would take time that grows with the square of their number.
#[test]
fn comments_and_operators_run_together_are_refused() {
    let refused = Err("too many comments and operators without a space between them".to_owned());
    for piece in ["/**/", "+/**/", "/*"] {
        assert_eq!(
            outcome(format!("SELECT {} 1", piece.repeat(100_000)), Limits::default()),
            refused,
            "{piece}"
        );
    }
    for fine in ["/**/ ", "/***********************************/\n"] {
        assert_eq!(outcome(format!("SELECT {} 1", fine.repeat(1000)), Limits::default()), Ok(1), "{fine}");
    }
    assert_eq!(outcome(format!("SELECT '{}'", "/**/".repeat(100_000)), Limits::default()), Ok(1));
}

#[test]
fn a_nul_is_refused() {
    assert_eq!(outcome("SELECT 1\0; DROP TABLE t".to_owned(), Limits::default()), {
        Err("invalid byte 0x00 in statement".to_owned())
    });
}

/// Pieces that tokens are made of, and that they break in.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("'".to_owned()),
        Just("\"".to_owned()),
        Just("$a$".to_owned()),
        Just("$$".to_owned()),
        Just("/*".to_owned()),
        Just("*/".to_owned()),
        Just("--".to_owned()),
        Just("\n".to_owned()),
        Just("\\".to_owned()),
        Just("U&'".to_owned()),
        Just("e'".to_owned()),
        Just(";".to_owned()),
        Just("0x".to_owned()),
        Just("é".to_owned()),
        "[ a-z0-9_.,()+:=<-]{1,6}",
        prop::sample::select(vec![
            "SELECT ",
            "INTO ",
            "ORDER BY ",
            "COPY ",
            "EXPLAIN ",
            "CREATE ",
            "TABLE ",
            "FROM "
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_have_a_key(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for strings in [Strings::Standard, Strings::Escaping] {
            // Memory used before leaves nothing behind.
            let (mut fresh, mut used) = (Shaper::default(), Shaper::default());
            used.shape(b"SELECT ((((1 IN (1, 2, 'x", strings);
            prop_assert_eq!(fresh.shape(&bytes, strings), used.shape(&bytes, strings));
        }
    }

    #[test]
    fn any_text_is_answered(pieces in prop::collection::vec(piece(), 0..20)) {
        let text: String = pieces.concat();
        for strings in [Strings::Standard, Strings::Escaping] {
            Shaper::default().shape(text.as_bytes(), strings);
        }
        // Shallow: the test's own stack will do.
        if let Ok(statements) = crate::parse(&text) {
            let mut end = 0;
            for statement in statements {
                prop_assert!(statement.range.start >= end && statement.range.end <= text.len());
                prop_assert!(text.get(statement.range.clone()).is_some());
                end = statement.range.end;
            }
        }
    }
}

/// A statement with one of its tokens dropped, doubled or swapped is another one, or none; it is never misread as
/// having nothing to ask.
#[test]
fn mangled_statements_are_answered() {
    crate::on_large_stack(|| {
        for text in crate::statements::texts() {
            let words: Vec<&str> = text.split_inclusive(' ').collect();
            for at in 0..words.len() {
                let mut dropped = words.clone();
                dropped.remove(at);
                let mut doubled = words.clone();
                doubled.insert(at, words[at]);
                for mangled in [dropped.concat(), doubled.concat()] {
                    Shaper::default().shape(mangled.as_bytes(), Strings::Standard);
                    let _ = crate::parse(&mangled);
                }
            }
        }
    });
}

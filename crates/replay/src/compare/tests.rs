//! Outcomes that differ, and those that only can't be told apart.

use wire::backend::{Field, encode};
use wire::error::Severity;
use wire::frame;

use super::*;

fn outcome(columns: &[&str], rows: &[&[Option<&str>]], end: &str) -> Outcome {
    let mut bytes = Vec::new();
    let fields = columns.iter().map(|name| Field {
        name: name.as_bytes(),
        table_oid: model::Oid(0),
        attnum: 0,
        type_oid: model::Oid(25),
        typlen: -1,
        typmod: -1,
        format: 0,
    });
    if !columns.is_empty() {
        encode::row_description(&mut bytes, fields).unwrap();
    }
    for row in rows {
        encode::data_row(&mut bytes, row.iter().map(|value| value.map(str::as_bytes))).unwrap();
    }
    if end.is_empty() {
        let fields = ErrorFields::new(Severity::Error, wire::sqlstate::SYNTAX_ERROR, "m");
        encode::error_response(&mut bytes, &fields);
    } else {
        encode::command_complete(&mut bytes, end.as_bytes()).unwrap();
    }
    let mut tally = Tally::default();
    let mut rest = bytes.as_slice();
    while let Some(message) = frame::next(rest, usize::MAX).unwrap() {
        assert!(!tally.is_done());
        tally.take(message);
        rest = &rest[message.raw.len()..];
    }
    assert!(tally.is_done());
    tally.finish()
}

fn check(then: &Outcome, now: &Outcome, differences: &[Difference], unknown: &[&str]) {
    let found = compare(then, now);
    assert_eq!(found.differences, differences);
    assert_eq!(found.unknown, unknown);
}

#[test]
fn what_is_the_same_is_the_same() {
    let one = outcome(&["a", "b"], &[&[Some("1"), None], &[Some("2"), Some("")]], "SELECT 2");
    check(&one, &one.clone(), &[], &[]);
    let failed = outcome(&[], &[], "");
    check(&failed, &failed.clone(), &[], &[]);
}

#[test]
fn each_kind_of_difference_is_told() {
    let one = outcome(&["a", "b"], &[&[Some("1"), None], &[Some("2"), Some("")]], "SELECT 2");
    let value = outcome(&["a", "b"], &[&[Some("1"), Some("")], &[Some("2"), Some("")]], "SELECT 2");
    check(&one, &value, &[Difference::Values(vec!["b".to_owned()])], &[]);
    let order = outcome(&["a", "b"], &[&[Some("2"), Some("")], &[Some("1"), None]], "SELECT 2");
    check(&one, &order, &[Difference::Order], &[]);
    let names = outcome(&["a", "c"], &[&[Some("1"), None], &[Some("2"), Some("")]], "SELECT 2");
    let columns = |last: &str| vec!["a".to_owned(), last.to_owned()];
    check(&one, &names, &[Difference::Columns(columns("b"), columns("c"))], &[]);
    let fewer = outcome(&["a", "b"], &[&[Some("1"), None]], "SELECT 1");
    check(&one, &fewer, &[Difference::Tag(Some("SELECT 2".to_owned()), Some("SELECT 1".to_owned()))], &[]);
    let failed = outcome(&[], &[], "");
    check(&one, &failed, &[Difference::Sqlstate(None, Some("42601".to_owned()))], &[]);
    check(&failed, &one, &[Difference::Sqlstate(Some("42601".to_owned()), None)], &[]);
}

#[test]
fn what_was_masked_or_cut_is_not_compared() {
    let mut then = outcome(&["a", "b"], &[&[Some("1"), Some("***")]], "SELECT 1");
    let now = outcome(&["a", "b"], &[&[Some("1"), Some("secret")]], "SELECT 1");
    then.masked = vec![1];
    check(&then, &now, &[], &["\"b\", which was masked"]);
    then.masked = Vec::new();
    then.masked_somewhere = true;
    check(&then, &now, &[], &["\"b\", which may have been masked"]);
    let mut cut = outcome(&["a"], &[&[Some("1")]], "SELECT 3");
    cut.cut = 2;
    let all = outcome(&["a"], &[&[Some("x")], &[Some("y")], &[Some("z")]], "SELECT 3");
    check(&cut, &all, &[], &["2 rows that are not in the recording"]);
    check(&Outcome::default(), &all, &[Difference::Rows(0, 3)][..0], &["how it ended"]);
}

#[test]
fn values_are_not_one_text() {
    let one = outcome(&["a"], &[&[Some("ab")], &[Some("c")]], "SELECT 2");
    let two = outcome(&["a"], &[&[Some("a")], &[Some("bc")]], "SELECT 2");
    check(&one, &two, &[Difference::Values(vec!["a".to_owned()])], &[]);
}

#[test]
fn control_of_transactions_is_seen_whatever_stands_before_it() {
    for (text, expected) in [
        ("BEGIN", Control::Begin),
        ("start transaction read only", Control::Begin),
        (";; /* /* x */ */ -- y\n COMMIT", Control::Commit { chain: Chain::No }),
        ("END TRANSACTION AND CHAIN", Control::Commit { chain: Chain::Yes }),
        ("COMMIT WORK AND NO CHAIN", Control::Commit { chain: Chain::No }),
        ("\u{b}\u{c}abort", Control::Rollback { chain: Chain::No }),
        ("ROLLBACK TO SAVEPOINT a", Control::None),
        ("ROLLBACK WORK TO a", Control::None),
        ("ROLLBACK PREPARED 'x'", Control::TwoPhase),
        ("PREPARE TRANSACTION 'x'", Control::TwoPhase),
        ("PREPARE x AS SELECT 1", Control::None),
        ("SAVEPOINT a", Control::None),
        ("SELECT 1; COMMIT", Control::None),
    ] {
        assert_eq!(control(text), expected, "{text}");
    }
}

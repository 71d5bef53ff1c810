//! What becomes of statements in a script.

use recording::Decision;
use wire::backend::encode;
use wire::error::Severity;

use super::*;
use crate::printer::tests::opening;

fn sent(text: &str, parameters: &[Option<&str>], sqlstate: Option<&str>) -> What {
    let decision = Decision {
        verdict: if sqlstate.is_some() { "deny" } else { "allow" }.to_owned(),
        rules: Vec::new(),
        sqlstate: sqlstate.map(str::to_owned),
        approval: None,
        ..Decision::default()
    };
    let parameters = parameters.iter().map(|value| value.map(str::to_owned)).collect();
    What::Sent(Box::new(Sent {
        text: text.to_owned(),
        parameters,
        extended: false,
        decision,
        ..Sent::default()
    }))
}

fn done(status: TransactionStatus) -> What {
    let mut bytes = Vec::new();
    encode::command_complete(&mut bytes, b"DONE").unwrap();
    encode::ready_for_query(&mut bytes, status);
    What::Received(bytes)
}

fn failed(status: TransactionStatus) -> What {
    failed_with(wire::sqlstate::INTERNAL_ERROR, status)
}

fn failed_with(sqlstate: wire::sqlstate::SqlState, status: TransactionStatus) -> What {
    let mut bytes = Vec::new();
    let fields = ErrorFields::new(Severity::Error, sqlstate, "m");
    encode::error_response(&mut bytes, &fields);
    encode::ready_for_query(&mut bytes, status);
    What::Received(bytes)
}

/// Returns the script without its head.
fn script(whats: Vec<(u64, What)>) -> String {
    let (mut script, _) = SqlScript::begin(&opening());
    let mut out = String::new();
    for (statement, what) in whats {
        out += &script.entry(&Entry { at: Duration::ZERO, statement, what });
    }
    out + &script.end()
}

fn check(text: &str, parameters: &[Option<&str>], expected: &str) {
    let written = script(vec![(1, sent(text, parameters, None)), (1, done(TransactionStatus::Idle))]);
    let (_, body) = written.trim_start().split_once('\n').unwrap();
    assert_eq!(body, expected, "{text}");
}

#[test]
fn statements_are_written_so_that_psql_sends_them() {
    check("SELECT 1", &[], "SELECT 1\n;\n");
    check("SELECT 1; ", &[], "SELECT 1; \n");
    check("SELECT 1; -- x", &[], "SELECT 1; -- x\n");
    check("SELECT 1 -- x", &[], "SELECT 1 -- x\n;\n");
    check("SELECT a[1:n], b::int, ':x', :'y'", &[], "SELECT a[1\\:n], b::int, ':x', \\:'y'\n;\n");
    check(
        "SELECT $1, $2 || 'a$1', a$1",
        &[Some("it's\\"), None],
        "SELECT  E'it''s\\\\', NULL || 'a$1', a$1\n;\n",
    );
}

#[test]
fn what_psql_would_obey_is_a_comment() {
    check(
        "SELECT 1 \\! touch /tmp/x\nSELECT 2",
        &[],
        "-- not run: there is a backslash outside of quotes\n-- SELECT 1 \\! touch /tmp/x\n-- SELECT 2\n",
    );
    check("SELECT 'x\n\\! id", &[], "-- not run: a quote or comment has no end\n-- SELECT 'x\n-- \\! id\n");
    check("SELECT /* \r\\! id", &[], "-- not run: a quote or comment has no end\n-- SELECT /* \\r\\! id\n");
    check("SELECT $2", &[Some("x")], "-- not run: a parameter is missing\n-- SELECT $2\n");
}

#[test]
fn what_is_no_sql_or_was_not_answered_is_a_comment() {
    let idle = TransactionStatus::Idle;
    let written = script(vec![
        (1, sent("SELECT (1", &[], None)),
        (1, failed_with(wire::sqlstate::SYNTAX_ERROR, idle)),
        (2, sent("SELECT 1/0", &[], None)),
        (2, failed(idle)),
        (3, sent("SELECT 3", &[], None)),
    ]);
    let runs: Vec<_> = written.lines().filter(|line| !line.starts_with("--") && !line.is_empty()).collect();
    assert_eq!(runs, ["SELECT 1/0", ";"]);
    assert!(written.ends_with("-- not run: whether it ran is not recorded\n-- SELECT 3\n"), "{written}");
}

#[test]
fn a_refusal_fails_a_transaction_as_it_did() {
    let written = script(vec![
        (1, sent("BEGIN", &[], None)),
        (1, done(TransactionStatus::InTransaction)),
        (2, sent("DROP TABLE t\n; SELECT 1", &[], Some("42501"))),
        (2, failed(TransactionStatus::Failed)),
        (3, sent("COMMIT", &[], None)),
        (3, done(TransactionStatus::Idle)),
    ]);
    let runs: Vec<_> = written.lines().filter(|line| !line.starts_with("--") && !line.is_empty()).collect();
    let raise =
        "DO $gatepost$ BEGIN RAISE EXCEPTION 'it failed here' USING ERRCODE = '42501'; END $gatepost$;";
    assert_eq!(runs, ["BEGIN", ";", raise, "COMMIT", ";"]);
    assert!(written.contains("-- DROP TABLE t\n-- ; SELECT 1\n"), "{written}");
}

#[test]
fn rows_of_copy_stand_below_it_unless_they_could_be_taken_for_something_else() {
    let copy = |data: &str| {
        let mut bytes = Vec::new();
        encode::copy_in_response(&mut bytes, 0, [0]).unwrap();
        script(vec![
            (1, sent("COPY t FROM STDIN", &[], None)),
            (1, What::Received(bytes)),
            (1, What::CopyData(data.as_bytes().to_vec())),
            (1, done(TransactionStatus::Idle)),
        ])
    };
    assert!(copy("1\ta\n2\tb\n").ends_with("COPY t FROM STDIN\n;\n1\ta\n2\tb\n\\.\n"));
    assert!(copy("1").ends_with("COPY t FROM STDIN\n;\n1\n\\.\n"));
    for hostile in ["1\n\\.\n\\! id\n", "1\n\\.\r\n\\! id\n", "\\."] {
        let written = copy(hostile);
        assert!(
            written.ends_with("-- not run: its rows have a line that would end them\n-- COPY t FROM STDIN\n"),
            "{written}"
        );
    }
    let written =
        script(vec![(1, sent("copy t from stdin", &[], None)), (1, failed(TransactionStatus::Idle))]);
    assert!(written.contains("-- not run: a COPY that failed"), "{written}");
}

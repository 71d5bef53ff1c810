//! What is printed, of entries made by hand.

use model::{Oid, SessionId};
use recording::{Decision, Kept};
use wire::backend::{Field, encode};
use wire::error::Severity;

use super::*;

pub(crate) fn opening() -> Opening {
    Opening {
        session: SessionId(7),
        journal: "00".repeat(16),
        gateway: "gate".to_owned(),
        began: 1_790_000_000_000_000,
        kept: Kept::Results,
        identity: "corp:ada".to_owned(),
        on_behalf_of: None,
        groups: vec!["analysts".to_owned()],
        database: "shop".to_owned(),
        application_name: "psql".to_owned(),
        server_version: "15.18".to_owned(),
        rows_max: 1000,
        bytes_max: 1 << 20,
    }
}

fn sent(text: &str) -> What {
    let decision = Decision {
        verdict: "allow".to_owned(),
        rules: Vec::new(),
        sqlstate: None,
        approval: None,
        ..Decision::default()
    };
    What::Sent(Box::new(Sent {
        text: text.to_owned(),
        parameters: Vec::new(),
        extended: false,
        decision,
        ..Sent::default()
    }))
}

fn columns(names: &[(&str, u32)], out: &mut Vec<u8>) {
    let fields = names.iter().map(|(name, oid)| Field {
        name: name.as_bytes(),
        table_oid: Oid(0),
        attnum: 0,
        type_oid: Oid(*oid),
        typlen: -1,
        typmod: -1,
        format: 0,
    });
    encode::row_description(out, fields).unwrap();
}

fn row(values: &[Option<&[u8]>], out: &mut Vec<u8>) {
    encode::data_row(out, values.iter().copied()).unwrap();
}

fn done(tag: &str, out: &mut Vec<u8>) {
    encode::command_complete(out, tag.as_bytes()).unwrap();
    encode::ready_for_query(out, TransactionStatus::Idle);
}

fn print(style: Style, whats: Vec<(u64, What)>) -> String {
    let mut printer = Printer::new(style, &opening(), TransactionStatus::Idle);
    let mut text = String::new();
    for (statement, what) in whats {
        let entry = Entry { at: Duration::from_millis(1500), statement, what };
        for piece in printer.print(&entry) {
            assert!(piece.text.ends_with('\n'), "{piece:?}");
            text += &piece.text;
        }
    }
    assert!(printer.is_at_rest());
    text
}

#[test]
fn a_result_stands_below_its_statement() {
    let mut answer = Vec::new();
    columns(&[("id", 23), ("name", 25)], &mut answer);
    row(&[Some(b"1"), Some(b"a\nb")], &mut answer);
    row(&[Some(b"22"), None], &mut answer);
    done("SELECT 2", &mut answer);
    let whats = || vec![(1, sent("SELECT id,\nname FROM t")), (1, What::Received(answer.clone()))];
    let table = " id | name \n----+------\n  1 | a   +\n    | b\n 22 | \n(2 rows)\n\n";
    assert_eq!(print(Style::Psql, whats()), format!("SELECT id,\nname FROM t\n{table}"));
    let prompted = "⟦1 0:01.500⟧ shop=> SELECT id,\nshop-> name FROM t\n";
    assert_eq!(print(Style::Annotated, whats()), format!("{prompted}{table}"));
}

#[test]
fn what_was_recorded_can_not_write_as_the_recording_does() {
    let text = "SELECT 1 -- \n⟦2 0:02.000⟧ shop=> DROP TABLE t\n⟦approved⟧\x1b[2K";
    let mut answer = Vec::new();
    let fields = ErrorFields::new(Severity::Error, wire::sqlstate::SYNTAX_ERROR, "x\n⟦3 0:03⟧ shop=> y");
    encode::error_response(&mut answer, &fields);
    encode::ready_for_query(&mut answer, TransactionStatus::Idle);
    let hold = Hold { request: 4, state: "denied".to_owned(), message: Some("no⟧\n⟦x\x1b".to_owned()) };
    let printed =
        print(Style::Annotated, vec![(1, sent(text)), (1, What::Hold(hold)), (1, What::Received(answer))]);
    let expected = "⟦1 0:01.500⟧ shop=> SELECT 1 -- \nshop-> \\u27E62 0:02.000\\u27E7 shop=> DROP TABLE t\n\
        shop-> \\u27E6approved\\u27E7\\x1B[2K\n⟦request 4 denied: no\\u27E7\\n\\u27E6x\\x1B⟧\n\
        ERROR:  x\n\\u27E63 0:03\\u27E7 shop=> y\n";
    assert_eq!(printed, expected);
}

#[test]
fn what_is_not_kept_is_said_and_counted() {
    let mut answer = Vec::new();
    columns(&[("id", 23)], &mut answer);
    row(&[Some(b"1")], &mut answer);
    let mut end = Vec::new();
    done("SELECT 11", &mut end);
    let whats = || {
        vec![
            (1, sent("TABLE t")),
            (1, What::Received(answer.clone())),
            (1, What::Cut { rows: 10, bytes: 110 }),
            (1, What::Received(end.clone())),
        ]
    };
    let annotated =
        "⟦1 0:01.500⟧ shop=> TABLE t\n⟦10 rows, 110 bytes: not kept⟧\n id \n----\n  1\n(11 rows)\n\n";
    assert_eq!(print(Style::Annotated, whats()), annotated);
    assert_eq!(print(Style::Psql, whats()), "TABLE t\n id \n----\n  1\n(11 rows)\n\n");
}

#[test]
fn a_pipeline_s_answers_say_whose_they_are() {
    let mut first = Vec::new();
    encode::command_complete(&mut first, b"INSERT 0 1").unwrap();
    let mut second = Vec::new();
    row(&[Some(b"x")], &mut second);
    done("SELECT 1", &mut second);
    let printed = print(
        Style::Annotated,
        vec![(1, sent("a")), (2, sent("b")), (1, What::Received(first)), (2, What::Received(second))],
    );
    let expected = "⟦1 0:01.500⟧ shop=> a\n⟦2 0:01.500⟧ shop=> b\n⟦answer to 1⟧\nINSERT 0 1\n⟦answer to 2⟧\n \
        column1 \n---------\n x\n(1 row)\n\n";
    assert_eq!(printed, expected);
}

#[test]
fn what_can_not_be_read_is_said() {
    let whats = vec![
        (1, sent("a")),
        (1, What::Received(b"T\0\0\0\x06\0\x01".to_vec())),
        (1, What::Received(b"D\0\0\xff\xff\0".to_vec())),
        (1, What::Received(b"Z\0\0\0\x05I".to_vec())),
    ];
    let printed = print(Style::Annotated, whats);
    assert!(
        printed.ends_with("⟦a RowDescription that can't be read⟧\n⟦a message that is not whole⟧\n"),
        "{printed}"
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_printed_safely(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), tag in "[TDCENAHdsZ]", text in ".*") {
        let mut message = vec![tag.as_bytes()[0]];
        message.extend(u32::try_from(bytes.len() + 4).unwrap().to_be_bytes());
        message.extend(&bytes);
        let mut printer = Printer::new(Style::Annotated, &opening(), TransactionStatus::Idle);
        for what in [sent(&text), What::Received(message.clone()), What::Received(bytes), What::CopyData(message)] {
            for piece in printer.print(&Entry { at: Duration::ZERO, statement: 1, what }) {
                proptest::prop_assert!(!piece.text.chars().any(|c| audit::is_deceptive(c) && c != '\n' && c != '\t'));
            }
        }
    }
}

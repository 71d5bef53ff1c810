//! A session in which everything that strangers write is hostile, made by hand; browser tests use it, too.

use std::time::Duration;

use model::SessionId;
use recording::{Decision, Entry, Hold, Kept, Opening, Sent, What};
use wire::backend::{TransactionStatus, encode};
use wire::error::{ErrorFields, Severity};

/// Markup, script, the ends of elements, and what steers a terminal.
pub(crate) const HOSTILE: &str =
    "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>]]>\u{2028}\u{202e}\u{1b}[2J&lt;\"'";

pub(crate) fn opening() -> Opening {
    Opening {
        session: SessionId(0xabc),
        journal: "00".repeat(16),
        gateway: "gate".to_owned(),
        began: 1_790_000_000_000_000,
        kept: Kept::Results,
        identity: format!("corp:{HOSTILE}"),
        on_behalf_of: Some("corp:ada".to_owned()),
        groups: vec![HOSTILE.to_owned()],
        database: HOSTILE.to_owned(),
        application_name: HOSTILE.to_owned(),
        server_version: "15.18".to_owned(),
        rows_max: 1000,
        bytes_max: 1 << 20,
    }
}

/// A session of three statements: one that answers, one that waits and is refused, one that fails.
pub(crate) fn entries() -> Vec<Entry> {
    let decision = |sqlstate: Option<&str>| Decision {
        verdict: if sqlstate.is_some() { "deny" } else { "allow" }.to_owned(),
        rules: vec![HOSTILE.to_owned()],
        sqlstate: sqlstate.map(str::to_owned),
        approval: None,
        ..Decision::default()
    };
    let sent = |text: String, sqlstate: Option<&str>| {
        let parameters = vec![Some(HOSTILE.to_owned()), None];
        What::Sent(Box::new(Sent {
            text,
            parameters,
            extended: true,
            decision: decision(sqlstate),
            ..Sent::default()
        }))
    };
    let mut rows = Vec::new();
    encode::row_description(
        &mut rows,
        [wire::backend::Field {
            name: HOSTILE.as_bytes(),
            table_oid: model::Oid(0),
            attnum: 0,
            type_oid: model::Oid(25),
            typlen: -1,
            typmod: -1,
            format: 0,
        }],
    )
    .unwrap();
    encode::data_row(&mut rows, [Some(HOSTILE.as_bytes())]).unwrap();
    encode::data_row(&mut rows, [Some(b"\xff\xfe".as_slice())]).unwrap();
    encode::command_complete(&mut rows, b"SELECT 2").unwrap();
    encode::ready_for_query(&mut rows, TransactionStatus::Idle);
    let failed = || {
        let mut bytes = Vec::new();
        let fields = ErrorFields::new(Severity::Error, wire::sqlstate::INTERNAL_ERROR, HOSTILE)
            .hint(HOSTILE)
            .position(3);
        encode::error_response(&mut bytes, &fields);
        encode::ready_for_query(&mut bytes, TransactionStatus::Idle);
        What::Received(bytes)
    };
    let hold = |state: &str| {
        What::Hold(Hold { request: 7, state: state.to_owned(), message: Some(HOSTILE.to_owned()) })
    };
    let at = |millis, statement, what| Entry { at: Duration::from_millis(millis), statement, what };
    vec![
        at(500, 1, sent(format!("SELECT '{HOSTILE}'"), None)),
        at(700, 1, What::Received(rows)),
        at(1200, 2, sent(format!("DELETE {HOSTILE}"), Some("42501"))),
        at(1300, 2, hold("waiting")),
        at(61_300, 2, hold("denied")),
        at(61_400, 2, failed()),
        at(62_000, 3, sent("SELECT\n 1/0".to_owned(), None)),
        at(62_001, 3, failed()),
        at(62_002, 3, What::CopyData(HOSTILE.as_bytes().to_vec())),
        at(62_003, 0, What::Received(b"T\0\0\0\x06\0\x01rest".to_vec())),
        at(63_000, 0, What::Ended { why: HOSTILE.to_owned() }),
    ]
}

//! Statements that are held in front of a real PostgreSQL: what the client is told, what the server has of them (nothing), and how it ends
//! when nobody agrees.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use testkit::client::Raw;
use testkit::postgres::Version;
use testkit::process::poll;
use wire::backend::tag;
use wire::frontend::encode;

use crate::flight::{Flight, sqlstate};
use crate::stage::{Gate, LOGIN, SOON};

const DELETE: &str = "DELETE FROM tickets WHERE id = 1";

/// Asks for the cancellation of what a session is at, as libpq does.
fn cancel(gate: &Gate, session: &Raw) {
    let mut bytes = Vec::new();
    encode::cancel_request(&mut bytes, session.process_id, &session.key).unwrap();
    let mut raw = gate.connect("support-agent").stream().unwrap();
    raw.send(&bytes);
    assert!(raw.receive().is_none(), "a CancelRequest has no answer");
}

/// Reads the notice that a statement is held.
fn held(raw: &mut Raw) {
    let messages = raw.until(tag::NOTICE_RESPONSE);
    let notice = messages.last().unwrap();
    assert_eq!(notice.field(b'C'), "01X01", "{messages:?}");
    assert!(notice.field(b'M').contains("support-leads"), "{notice:?}");
    assert!(notice.field(b'H').contains("approvals"), "{notice:?}");
}

/// How many locks the session's own server process holds, but those of looking.
fn locks(gate: &Gate, raw: &Raw) -> String {
    gate.shop.sql(&format!("SELECT count(*) FROM pg_locks WHERE pid = {}", raw.process_id))
}

#[test]
fn a_held_statement_is_told_keeps_no_lock_and_can_be_cancelled() {
    for version in [Version::V15, Version::V18] {
        let gate = Gate::new(version);
        let mut raw = gate.open("support-agent");
        let ways: [&dyn Fn() -> Vec<u8>; 4] = [
            &|| Flight::default().query(DELETE).bytes(),
            &|| Flight::default().query(&format!("{DELETE}; SELECT 1")).bytes(),
            &|| Flight::default().run("", DELETE).sync().bytes(),
            // Known by its shape now: Parse is passed on, and its lock let go.
            &|| {
                let text = "DELETE FROM tickets WHERE id = $1";
                Flight::default().parse("", text).bind("", &["1"], 0).execute().sync().bytes()
            },
        ];
        for way in ways {
            for _ in 0..2 {
                raw.send(&way());
                held(&mut raw);
                assert_eq!(locks(&gate, &raw), "0");
                cancel(&gate, &raw);
                let messages = raw.until(tag::READY_FOR_QUERY);
                assert_eq!(
                    (sqlstate(&messages), messages.last().unwrap().body[0]),
                    ("57014".to_owned(), b'I')
                );
            }
        }
        assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "120");
        let record = gate.statements(DELETE, 6).pop().unwrap();
        assert_eq!((&record["verdict"], &record["sqlstate"]), (&"hold".into(), &"57014".into()));
        assert!(record["approval"].as_u64().is_some(), "{record}");
    }
}

#[test]
fn inside_a_transaction_it_is_refused_with_what_would_help() {
    let gate = Gate::new(Version::V15);
    let mut raw = gate.open("support-agent");
    raw.query("BEGIN");
    let messages = raw.query(DELETE);
    assert_eq!(sqlstate(&messages), "42501");
    assert!(messages[0].field(b'H').contains("outside of a transaction"), "{messages:?}");
    assert_eq!(messages.last().unwrap().body[0], b'E');
    raw.query("ROLLBACK");
}

#[test]
fn a_client_that_does_not_wait_learns_the_number_and_goes_on() {
    let gate = Gate::new(Version::V15);
    let connect = gate.connect("support-agent").parameter("options", "-c gatepost.approval=async");
    let mut raw = connect.open();
    let first = raw.query(DELETE);
    assert_eq!(sqlstate(&first), "57X01");
    let again = raw.query(DELETE);
    assert_eq!(first[0].field(b'M'), again[0].field(b'M'), "the same request");
    assert_eq!(raw.rows("SHOW gatepost.approval"), "async");
    // It can be set, is undone with its transaction, and nothing else can be.
    let mut raw = gate.open("support-agent");
    assert_eq!(raw.rows("SHOW gatepost.approval"), "wait");
    raw.query("BEGIN");
    raw.query("SET gatepost.approval = async");
    raw.query("ROLLBACK");
    raw.send(&Flight::default().query(DELETE).bytes());
    held(&mut raw);
    cancel(&gate, &raw);
    raw.until(tag::READY_FOR_QUERY);
    assert_eq!(sqlstate(&raw.query("SET gatepost.approval = never")), "0A000");
    raw.query("SET gatepost.approval = async");
    assert_eq!(sqlstate(&raw.query(DELETE)), "57X01");
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "120");
}

#[test]
fn psql_shows_the_notice_while_it_waits_and_its_end_ends_the_hold() {
    let gate = Gate::new(Version::V15);
    let mut psql = Command::new(Version::V15.bin().join("psql"))
        .args(["-X", "-c", DELETE])
        .envs(gate.libpq("support-agent"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It hangs, and has said why: a line is there before it ends.
    let mut told = String::new();
    BufReader::new(psql.stderr.as_mut().unwrap()).read_line(&mut told).unwrap();
    assert!(told.starts_with("NOTICE:  statement held: approval"), "{told}");
    let backends = || {
        let database = &gate.shop.database;
        gate.shop.sql(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND usename = '{LOGIN}' AND state = 'idle'"
        ))
    };
    assert_ne!(backends(), "0", "the session is there, and idle");
    psql.kill().unwrap();
    psql.wait().unwrap();
    let ended = poll(SOON, || gate.audit(&["--event", "disconnected"]).pop());
    assert_eq!(ended.unwrap()["reason"], "the client has gone");
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "120");
}

//! Statements that are held in front of a real PostgreSQL: what the client is told, what the server has of them (nothing), and how it ends
//! when nobody agrees.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::client::{Message, Raw};
use testkit::postgres::Version;
use testkit::process::{poll, tools};
use testkit::scratch::Scratch;
use wire::backend::tag;
use wire::frontend::encode;

use crate::clients;
use crate::flight::{Flight, sqlstate};
use crate::http::request;
use crate::stage::{Gate, LOGIN, SOON, Setup, Shop, repository, token};

const DELETE: &str = "DELETE FROM tickets WHERE id = 1";

/// Asks for the cancellation of what a session is at, as libpq does.
pub(crate) fn cancel(gate: &Gate, session: &Raw) {
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
pub(crate) fn locks(gate: &Gate, raw: &Raw) -> String {
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

/// A gateway whose approvers are clerks, who decide over HTTP.
pub(crate) fn with_approvers(version: Version) -> Gate {
    let policy = Scratch::new("approvers");
    for file in ["analysts.cedar", "dba.cedar", "support.cedar", "bundle.toml"] {
        let from = repository("examples/shop/policy/shop").join(file);
        let text = fs::read_to_string(&from).unwrap_or_else(|error| panic!("{from:?}: {error}"));
        policy.write(
            file,
            text.replace("group = \"support-leads\"", "group = \"clerks\", in_transaction = \"hold\""),
        );
    }
    // Without TLS, so that HTTP can be spoken by hand.
    Setup {
        tls: false,
        listen_keys: "http = \"127.0.0.1:0\"".into(),
        sections: "[operators]\noperator = \"corp:dba\"\napprover = [\"corp:clerks\"]\n".into(),
        policy: policy.path().to_owned(),
        ..Setup::default()
    }
    .start(Shop::new(version))
}

pub(crate) fn api(gate: &Gate, line: &str, body: &Value) -> Value {
    let bearer = format!("Bearer {}", token("clerk"));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = request(gate.gateway.address("http").unwrap(), line, &headers, &body);
    assert_eq!(answer.status, 200, "{line}: {} {}", answer.head, answer.body);
    answer.json()
}

/// Waits for the request with that number, and does that.
pub(crate) fn decide(gate: &Gate, number: u64, act: &str) {
    api(gate, &format!("POST /api/v1/approvals/{number}/{act}"), &json!({ "reason": "said so" }));
}

fn number(notice: &Message) -> u64 {
    let text = notice.field(b'M');
    let digits = text.split("approval ").nth(1).unwrap().split(' ').next().unwrap();
    digits.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(crate) fn held_as(raw: &mut Raw) -> u64 {
    let messages = raw.until(tag::NOTICE_RESPONSE);
    assert_eq!(messages.last().unwrap().field(b'C'), "01X01", "{messages:?}");
    number(messages.last().unwrap())
}

#[test]
fn what_is_approved_runs_on_either_protocol_and_once() {
    for version in [Version::V15, Version::V18] {
        let gate = with_approvers(version);
        let mut raw = gate.open("support-agent");
        raw.send(&Flight::default().query(DELETE).bytes());
        let number = held_as(&mut raw);
        decide(&gate, number, "approve");
        assert_eq!(sqlstate(&raw.until(tag::READY_FOR_QUERY)), "");
        assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "119");
        let record = gate.statements(DELETE, 1).pop().unwrap();
        assert_eq!((&record["verdict"], &record["approval"]), (&"allow".into(), &number.into()));
        // In a pipeline with parameters, and what follows in it.
        let text = "DELETE FROM tickets WHERE id = $1";
        let flight = Flight::default().parse("", text).bind("", &["2"], 0).execute();
        raw.send(&flight.run("", "SELECT count(*) FROM tickets").sync().bytes());
        let number = held_as(&mut raw);
        let shown = api(&gate, &format!("GET /api/v1/approvals/{number}"), &Value::Null);
        let parameter = &shown.pointer("/request/statement/parameters/0").unwrap();
        let integer = json!({ "type_oid": 23, "type_name": "integer", "value": { "text": "2" } });
        assert_eq!(**parameter, integer, "what Parse left open");
        decide(&gate, number, "approve");
        assert_eq!(sqlstate(&raw.until(tag::READY_FOR_QUERY)), "");
        assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "118");
        // Inside a transaction, where this group says so; a denial fails it.
        raw.query("BEGIN");
        raw.send(&Flight::default().query("DELETE FROM tickets WHERE id = 3").bytes());
        let number = held_as(&mut raw);
        decide(&gate, number, "approve");
        raw.until(tag::READY_FOR_QUERY);
        raw.send(&Flight::default().query("DELETE FROM tickets WHERE id = 4").bytes());
        let number = held_as(&mut raw);
        decide(&gate, number, "deny");
        let messages = raw.until(tag::READY_FOR_QUERY);
        assert_eq!((sqlstate(&messages), messages.last().unwrap().body[0]), ("42501".to_owned(), b'E'));
        assert!(messages[0].field(b'M').contains("said so"), "{messages:?}");
        raw.query("ROLLBACK");
        assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "118");
        // PREPARE passes, EXECUTE is held.
        assert_eq!(sqlstate(&raw.query("PREPARE d AS DELETE FROM tickets WHERE id = $1")), "");
        raw.send(&Flight::default().query("EXECUTE d(5)").bytes());
        let number = held_as(&mut raw);
        let shown = api(&gate, &format!("GET /api/v1/approvals/{number}"), &Value::Null);
        assert!(shown.to_string().contains("PREPARE d AS DELETE"), "{shown}");
        decide(&gate, number, "approve");
        assert_eq!(sqlstate(&raw.until(tag::READY_FOR_QUERY)), "");
        assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "117");
    }
}

#[test]
fn a_statement_that_came_without_waiting_runs_when_it_comes_again() {
    let gate = with_approvers(Version::V15);
    let open = || gate.connect("support-agent").parameter("options", "-c gatepost.approval=async").open();
    let pending = open().query(DELETE);
    assert_eq!(sqlstate(&pending), "57X01");
    decide(&gate, number(&pending[0]), "approve");
    // In another session, and in a transaction.
    let mut raw = open();
    raw.query("BEGIN");
    assert_eq!(sqlstate(&raw.query("DELETE FROM tickets WHERE id = 2")), "57X01", "another statement");
    raw.query("ROLLBACK; BEGIN");
    assert_eq!(sqlstate(&raw.query(DELETE)), "");
    raw.query("COMMIT");
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "119");
    assert_eq!(sqlstate(&raw.query(DELETE)), "57X01", "once");
}

#[test]
fn stock_drivers_wait_and_go_on() {
    const PSYCOPG: &str = "
import psycopg
c = psycopg.connect('', autocommit=True)
c.add_notice_handler(lambda notice: print(notice.sqlstate, notice.message_primary, flush=True))
print(c.execute('DELETE FROM tickets WHERE id = %s', (1,)).rowcount, flush=True)
print(c.cursor(binary=True).execute('DELETE FROM tickets WHERE id = %b', (2,)).rowcount, flush=True)
";
    const ASYNCPG: &str = "
import asyncio, asyncpg
async def main():
    c = await asyncpg.connect(host='localhost', ssl=False)
    c.add_log_listener(lambda c, message: print(message.sqlstate, message.message, flush=True))
    print(await c.execute('DELETE FROM tickets WHERE id = $1', 3), flush=True)
asyncio.run(main())
";
    let gate = with_approvers(Version::V15);
    for (program, results) in [(PSYCOPG, vec!["1", "1"]), (ASYNCPG, vec!["DELETE 1"])] {
        let mut environment = gate.libpq("support-agent");
        environment.retain(|(name, _)| !name.starts_with("PGSSL"));
        environment.push(("PGSSLMODE", "disable".to_owned()));
        let mut python = clients::command(&tools().join("venv/bin/python"), &environment);
        let mut child = python.args(["-c", program]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for result in results {
            let notice = lines.next().expect("a line").unwrap();
            assert!(notice.starts_with("01X01 statement held: approval "), "{notice}");
            let number = notice.split(' ').nth(4).unwrap().parse().unwrap();
            decide(&gate, number, "approve");
            assert_eq!(lines.next().expect("a line").unwrap(), result);
        }
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "117");
}

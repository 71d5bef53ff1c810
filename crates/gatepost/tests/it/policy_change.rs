//! What was prepared, bound, declared or begun under a policy that has changed since.

use std::fs;

use testkit::client::{Message, Raw};
use testkit::postgres::Version;
use testkit::process::poll;
use wire::backend::tag;
use wire::frontend::encode;

use crate::flight::{Flight, sqlstate};
use crate::stage::{Gate, SOON};

const CATEGORY: &str = "SELECT category FROM products ORDER BY id";
const FORBID: &str = "forbid (principal in Group::\"support-agents\", action == Action::\"select\", \
                      resource == Column::\"shop.public.products.category\");\n";

/// What reading the column must come to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Now {
    Refused,
    /// As that; `None` is NULL.
    Shown(Option<&'static str>),
}

const REDACTED: Now = Now::Shown(Some("[redacted]"));

/// Puts a file of the bundle in place at once.
fn change(gate: &Gate, name: &str, text: &str) {
    let beside = gate.gateway.home().join("beside");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, gate.policy().join(name)).unwrap();
}

/// Likewise, and waits until new statements are decided by it.
fn put(gate: &Gate, name: &str, text: &str, now: Now) {
    change(gate, name, text);
    // A session that asks in the very moment of the change is ended.
    let holds = || {
        let answer = gate.open("support-agent").query(CATEGORY);
        (sqlstate(&answer) != "57P01" && seen(&answer) == now).then_some(())
    };
    poll(SOON, holds).unwrap_or_else(|| panic!("never {now:?}"));
}

/// What the last row shows, of a column that comes the same in all of them.
fn seen(messages: &[Message]) -> Now {
    match messages.iter().rfind(|message| message.tag == tag::DATA_ROW) {
        _ if sqlstate(messages) == "42501" => Now::Refused,
        Some(row) => match row.values().remove(0).as_deref() {
            None => Now::Shown(None),
            Some("[redacted]") => REDACTED,
            Some(_) => Now::Shown(Some("clear")),
        },
        None => panic!("neither a row nor a refusal: {:?}", sqlstate(messages)),
    }
}

fn execute(raw: &mut Raw, portal: &str, rows_max: i32) -> Vec<Message> {
    let mut bytes = Vec::new();
    encode::execute(&mut bytes, portal.as_bytes(), rows_max).unwrap();
    encode::sync(&mut bytes);
    raw.send(&bytes);
    raw.until(tag::READY_FOR_QUERY)
}

/// Opens and prepares by every way there is, in a transaction that stays open, and reads one row of what is open.
fn open(gate: &Gate, before: Now) -> Raw {
    let mut raw = gate.open("support-agent");
    let parsed = Flight::default()
        .parse("named", CATEGORY)
        .parse("fetch", "FETCH 1 FROM c")
        .parse("run", "EXECUTE p(1)")
        .sync();
    assert_eq!(sqlstate(&parsed.answered(&mut raw)), "34000", "no cursor of that name is open");
    for sql in [
        "PREPARE p AS SELECT category FROM products WHERE id >= $1 ORDER BY id",
        &format!("BEGIN; DECLARE h CURSOR WITH HOLD FOR {CATEGORY}; COMMIT"),
        &format!("BEGIN; DECLARE c CURSOR FOR {CATEGORY}; DECLARE b BINARY CURSOR FOR {CATEGORY}"),
    ] {
        assert_eq!(sqlstate(&raw.query(sql)), "", "{sql}");
    }
    let prepared = Flight::default()
        .parse("fetch", "FETCH 1 FROM c")
        .parse("run", "EXECUTE p(1)")
        .bind_portal("fetching", "fetch");
    let bound = prepared
        .bind_portal("running", "run")
        .bind_portal("bound", "named")
        .bind_portal("open", "named")
        .sync();
    assert_eq!(sqlstate(&bound.answered(&mut raw)), "");
    assert_eq!(seen(&execute(&mut raw, "open", 1)), before);
    assert_eq!(seen(&raw.query("FETCH 1 FROM c")), before);
    assert_eq!(seen(&raw.query("FETCH 1 FROM h")), before);
    raw.rows("SAVEPOINT s");
    raw
}

/// Goes on with each of them, and takes back what a refusal breaks.
fn expect_each(raw: &mut Raw, now: Now) {
    type Way = (&'static str, fn(&mut Raw) -> Vec<Message>);
    let ways: [Way; 12] = [
        ("bind what was parsed", |raw| {
            Flight::default().bind("named", &[], 0).execute().sync().answered(raw)
        }),
        ("the same in binary", |raw| Flight::default().bind("named", &[], 1).execute().sync().answered(raw)),
        ("EXECUTE", |raw| raw.query("EXECUTE p(1)")),
        ("EXECUTE in a script", |raw| raw.query("SELECT 1; EXECUTE p(1)")),
        ("execute what was bound", |raw| execute(raw, "bound", 0)),
        ("go on with what was suspended", |raw| execute(raw, "open", 1)),
        ("a bound EXECUTE", |raw| execute(raw, "running", 0)),
        ("a bound FETCH", |raw| execute(raw, "fetching", 0)),
        ("FETCH", |raw| raw.query("FETCH 1 FROM c")),
        ("FETCH of a cursor that is held", |raw| raw.query("FETCH 1 FROM h")),
        ("FETCH in a script", |raw| raw.query("SELECT 1; FETCH 1 FROM c")),
        ("execute a cursor", |raw| execute(raw, "c", 1)),
    ];
    for (what, way) in ways {
        assert_eq!(seen(&way(raw)), now, "{what}");
        raw.rows("ROLLBACK TO s");
    }
    let parsed = Flight::default().bind("fetch", &[], 0).execute().sync().answered(raw);
    assert_eq!(seen(&parsed), now, "bind a FETCH that was parsed");
    raw.rows("ROLLBACK TO s");
    assert_eq!(sqlstate(&execute(raw, "b", 1)), "42501", "the server gives it in binary, whatever is said");
    raw.rows("ROLLBACK TO s");
    assert_eq!(raw.rows("SELECT name FROM customers WHERE id = 1"), "Bo Dahl", "the rest goes on");
}

fn decided_again(version: Version) {
    let gate = Gate::new(version);
    let clear = Now::Shown(Some("clear"));
    let manifest = fs::read_to_string(gate.policy().join("bundle.toml")).unwrap();
    let masked =
        manifest.replace("[masks]", "\"public.products.category\" = [\"pii\", \"free-text\"]\n[masks]");
    let nothing = masked.replace("free-text  = \"redact\"", "free-text  = \"null\"");
    assert_ne!(masked, nothing);

    let mut raw = open(&gate, clear);
    put(&gate, "categories.cedar", FORBID, Now::Refused);
    expect_each(&mut raw, Now::Refused);
    put(&gate, "categories.cedar", "", clear);

    let mut raw = open(&gate, clear);
    put(&gate, "bundle.toml", &masked, REDACTED);
    expect_each(&mut raw, REDACTED);

    let mut raw = open(&gate, REDACTED);
    put(&gate, "bundle.toml", &nothing, Now::Shown(None));
    expect_each(&mut raw, Now::Shown(None));
}

#[test]
fn what_is_open_or_prepared_is_decided_again_when_the_policy_changes_on_postgresql_15() {
    decided_again(Version::V15);
}

#[test]
fn what_is_open_or_prepared_is_decided_again_when_the_policy_changes_on_postgresql_18() {
    decided_again(Version::V18);
}

/// The last error, if the connection ends with one.
fn end(raw: &mut Raw) -> Option<Message> {
    let mut last = None;
    while let Ok(Some(message)) = raw.try_receive() {
        last = Some(message);
    }
    last.filter(|message| message.tag == tag::ERROR_RESPONSE)
}

#[test]
fn what_runs_is_ended_when_the_policy_that_allowed_it_changes() {
    let gate = Gate::new(Version::V15);
    let mut waits = gate.open("support-agent");
    waits.rows(CATEGORY);
    let mut allowed = gate.open("support-agent");
    let names = "SELECT name FROM products ORDER BY id";
    let all = allowed.rows(names);
    let mut lock = gate.shop.bare().open();
    lock.rows("BEGIN; LOCK TABLE products IN ACCESS EXCLUSIVE MODE");
    Flight::default().query(CATEGORY).to(&mut waits);
    Flight::default().query(names).to(&mut allowed);
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    poll(SOON, || (gate.shop.sql(blocked) == "2").then_some(())).expect("both of them wait");

    change(&gate, "categories.cedar", FORBID);
    // No byte of the client's or of the server's is needed for it.
    let told = end(&mut waits).expect("the client is told");
    assert_eq!(told.field(b'C'), "57P01");
    assert!(
        told.field(b'M').contains("the policy has changed while a statement ran: permission denied"),
        "{told:?}"
    );
    assert!(told.field(b'M').contains("public.products.category"), "{told:?}");
    lock.rows("ROLLBACK");
    let rows = allowed.until(tag::READY_FOR_QUERY);
    let rows = rows.iter().filter(|message| message.tag == tag::DATA_ROW).count();
    assert_eq!(rows, all.lines().count(), "what is allowed as before goes on");

    put(&gate, "categories.cedar", "", Now::Shown(Some("clear")));
    let copy = "COPY (SELECT category FROM products, generate_series(1, 100000000)) TO STDOUT";
    // Nobody reads its rows: all buffers on the way fill up.
    let mut deaf = gate.open("support-agent");
    Flight::default().query(copy).to(&mut deaf);
    assert_eq!(deaf.receive().unwrap().tag, tag::COPY_OUT_RESPONSE);
    put(&gate, "categories.cedar", FORBID, Now::Refused);
    let copying =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY (%'";
    poll(SOON, || (gate.shop.sql(copying) == "0").then_some(())).expect("the server stops");
    assert!(end(&mut deaf).is_none_or(|told| told.field(b'C') == "57P01"), "and its connection ends");
}

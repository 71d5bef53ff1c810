//! Holds of what is no plain query: a statement that costs too much, EXPLAIN ANALYZE, DO, CALL and calls of functions; by either protocol,
//! approved, denied and cancelled.

use serde_json::Value;
use testkit::client::{Message, Raw};
use testkit::postgres::Version;
use testkit::scratch::Scratch;
use wire::backend::tag;

use crate::flight::{Flight, sqlstate};
use crate::holds::{api, cancel, decide, held_as, locks};
use crate::stage::{Gate, Setup, Shop};

const BUNDLE: &str = r#"
name = "shop"
version = "1"

[approvers]
lead  = { group = "clerks", hold = "60s", in_transaction = "hold" }
clerk = { group = "clerks", hold = "60s", in_transaction = "hold" }

[limits.support-agents]
cost = { max = 1000, then = "approval:clerk" }
"#;
const RULES: &str = r#"
permit (principal in Group::"support-agents", action in [Action::"Session", Action::"Read", Action::"insert"], resource);
permit (principal in Group::"support-agents", action in [Action::"delete", Action::"do", Action::"execute"], resource)
when { context.approved_by.contains("lead") };
permit (principal in Group::"dba", action, resource);
"#;
const TABLES: &str = "
CREATE TABLE ledger (id int PRIMARY KEY);
INSERT INTO ledger SELECT generate_series(1, 100);
CREATE FUNCTION put(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO ledger VALUES ($1); RETURN $1; END $$;
CREATE PROCEDURE enter(int) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO ledger VALUES ($1); COMMIT; END $$;
GRANT ALL ON ledger TO PUBLIC;
";

fn gate(version: Version) -> Gate {
    let policy = Scratch::new("kinds");
    policy.write("bundle.toml", BUNDLE);
    policy.write("rules.cedar", RULES);
    let shop = Shop::new(version);
    shop.sql(TABLES);
    Setup {
        tls: false,
        listen_keys: "http = \"127.0.0.1:0\"".into(),
        sections: "[operators]\noperator = \"corp:dba\"\napprover = [\"corp:clerks\"]\n".into(),
        policy: policy.path().to_owned(),
        ..Setup::default()
    }
    .start(shop)
}

/// A statement with at most one parameter, as one message or as a pipeline.
struct Said<'a> {
    simple: &'a str,
    extended: (&'a str, &'a [&'a str]),
}

impl Said<'_> {
    fn flight(&self, simple: bool) -> Flight {
        let (text, values) = self.extended;
        match simple {
            true => Flight::default().query(self.simple),
            false => Flight::default().parse("", text).bind("", values, 0).execute().sync(),
        }
    }
}

fn ready(raw: &mut Raw) -> Vec<Message> {
    raw.until(tag::READY_FOR_QUERY)
}

fn ledger(gate: &Gate) -> String {
    gate.shop.sql("SELECT count(*), sum(id) FROM ledger")
}

/// Denied, cancelled, and approved: nothing of it is there before, and it runs once.
fn is_held(gate: &Gate, raw: &mut Raw, said: &Said<'_>, simple: bool) {
    let before = ledger(gate);
    said.flight(simple).to(raw);
    let number = held_as(raw);
    assert_eq!((locks(gate, raw), ledger(gate)), ("0".to_owned(), before.clone()), "{}", said.simple);
    decide(gate, number, "deny");
    let messages = ready(raw);
    assert_eq!((&*sqlstate(&messages), messages.last().unwrap().body[0]), ("42501", b'I'), "{messages:?}");
    said.flight(simple).to(raw);
    held_as(raw);
    cancel(gate, raw);
    assert_eq!(sqlstate(&ready(raw)), "57014");
    assert_eq!(ledger(gate), before);
    said.flight(simple).to(raw);
    let number = held_as(raw);
    let shown = api(gate, &format!("GET /api/v1/approvals/{number}"), &Value::Null);
    let text = if simple { said.simple } else { said.extended.0 };
    assert_eq!(shown.pointer("/request/statement/text").unwrap(), text);
    decide(gate, number, "approve");
    let messages = ready(raw);
    assert_eq!(sqlstate(&messages), "", "{text}: {messages:?}");
    // Once.
    let after = ledger(gate);
    said.flight(simple).to(raw);
    held_as(raw);
    cancel(gate, raw);
    ready(raw);
    assert_eq!(ledger(gate), after);
}

fn kinds(version: Version) {
    let gate = gate(version);
    let mut raw = gate.open("support-agent");
    let is = |expected: &str| assert_eq!(ledger(&gate), expected);
    is("100|5050");
    let delete = Said {
        simple: "EXPLAIN (ANALYZE, COSTS off) DELETE FROM ledger WHERE id = 1",
        extended: ("EXPLAIN ANALYZE DELETE FROM ledger WHERE id = $1", &["2"]),
    };
    is_held(&gate, &mut raw, &delete, true);
    is("99|5049");
    is_held(&gate, &mut raw, &delete, false);
    is("98|5047");
    let block = "DO $$ BEGIN DELETE FROM ledger WHERE id = (SELECT max(id) FROM ledger); END $$";
    let block = Said { simple: block, extended: (block, &[]) };
    is_held(&gate, &mut raw, &block, true);
    is("97|4947");
    is_held(&gate, &mut raw, &block, false);
    is("96|4848");
    // One that commits, which it may only at the top.
    let call = Said { simple: "CALL enter(1)", extended: ("CALL enter($1)", &["2"]) };
    is_held(&gate, &mut raw, &call, true);
    is("97|4849");
    is_held(&gate, &mut raw, &call, false);
    is("98|4851");
    let function = Said { simple: "SELECT put(99)", extended: ("SELECT put($1)", &["100"]) };
    is_held(&gate, &mut raw, &function, true);
    is_held(&gate, &mut raw, &function, false);
    is("100|5050");
    // What it does is in its definition: of another, it is asked again.
    Flight::default().query("CALL enter(0)").to(&mut raw);
    let number = held_as(&mut raw);
    let replaced = "CREATE OR REPLACE PROCEDURE enter(int) LANGUAGE sql AS 'DELETE FROM ledger'";
    gate.shop.sql("GRANT CREATE ON SCHEMA public TO PUBLIC; ALTER PROCEDURE enter OWNER TO shop_app");
    assert_eq!(sqlstate(&gate.open("admin").query(replaced)), "");
    decide(&gate, number, "approve");
    let again = held_as(&mut raw);
    assert_ne!(number, again);
    decide(&gate, again, "deny");
    assert_eq!(sqlstate(&ready(&mut raw)), "42501");
    is("100|5050");
}

#[test]
fn what_runs_code_is_held_by_either_protocol_on_postgresql_15() {
    kinds(Version::V15);
}

#[test]
fn what_runs_code_is_held_by_either_protocol_on_postgresql_18() {
    kinds(Version::V18);
}

fn costs(version: Version) {
    let gate = gate(version);
    let mut raw = gate.open("support-agent");
    let count = Said {
        simple: "SELECT count(*) FROM generate_series(1, 900000)",
        extended: ("SELECT count(*) FROM generate_series(1, $1::int)", &["900000"]),
    };
    is_held(&gate, &mut raw, &count, true);
    is_held(&gate, &mut raw, &count, false);
    // Cheaper is not asked, of one shape.
    assert_eq!(raw.rows("SELECT count(*) FROM generate_series(1, 9)"), "9");
    let cheap = Flight::default().parse("", count.extended.0).bind("", &["9"], 0).execute().sync();
    assert_eq!(sqlstate(&cheap.answered(&mut raw)), "");
    // First the policy's approval, then that of the cost, with the first kept.
    let delete = Said {
        simple: "DELETE FROM ledger WHERE id IN (SELECT generate_series(1, 900000))",
        extended: ("DELETE FROM ledger WHERE id IN (SELECT generate_series(1, $1::int))", &["900000"]),
    };
    for simple in [true, false] {
        gate.shop.sql("INSERT INTO ledger VALUES (500) ON CONFLICT DO NOTHING");
        delete.flight(simple).to(&mut raw);
        let first = held_as(&mut raw);
        decide(&gate, first, "approve");
        let second = held_as(&mut raw);
        let shown = api(&gate, &format!("GET /api/v1/approvals/{second}"), &Value::Null);
        assert!(shown.pointer("/request/why").unwrap().as_str().unwrap().contains("cost"), "{shown}");
        assert_eq!(locks(&gate, &raw), "0");
        decide(&gate, second, if simple { "deny" } else { "approve" });
        assert_eq!(sqlstate(&ready(&mut raw)), if simple { "42501" } else { "" });
    }
    assert_eq!(gate.shop.sql("SELECT count(*) FROM ledger"), "0");
    // In a script and in a transaction.
    Flight::default().query(&format!("SELECT 1; {}", count.simple)).to(&mut raw);
    let number = held_as(&mut raw);
    decide(&gate, number, "approve");
    assert_eq!(sqlstate(&ready(&mut raw)), "");
    raw.query("BEGIN");
    for simple in [true, false] {
        count.flight(simple).to(&mut raw);
        let number = held_as(&mut raw);
        decide(&gate, number, "approve");
        let messages = ready(&mut raw);
        assert_eq!((&*sqlstate(&messages), messages.last().unwrap().body[0]), ("", b'T'));
    }
    raw.query("COMMIT");
    // A client that doesn't wait.
    raw.query("SET gatepost.approval = async");
    for simple in [true, false] {
        count.flight(simple).to(&mut raw);
        let refused = ready(&mut raw);
        assert_eq!(sqlstate(&refused), "57X01");
        let error = refused.iter().find(|message| message.tag == tag::ERROR_RESPONSE).unwrap();
        let number = error.field(b'M').split(' ').nth(1).unwrap().parse().unwrap();
        decide(&gate, number, "approve");
        count.flight(simple).to(&mut raw);
        assert_eq!(sqlstate(&ready(&mut raw)), "");
    }
}

#[test]
fn what_costs_too_much_is_held_by_either_protocol_on_postgresql_15() {
    costs(Version::V15);
}

#[test]
fn what_costs_too_much_is_held_by_either_protocol_on_postgresql_18() {
    costs(Version::V18);
}

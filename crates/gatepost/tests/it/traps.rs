//! Attacks that take more than SQL: names that change their meaning between the messages of the protocol, or behind the
//! gateway's back. Each was found to work once.

use std::time::Duration;

use testkit::client::{Message, Raw};
use testkit::postgres::Version;
use testkit::process::poll;
use wire::backend::tag;

use crate::attacks::{leak, prepared};
use crate::flight::{Flight, sqlstate};
use crate::stage::{Gate, SOON, Setup};

const VERSIONS: [Version; 2] = [Version::V15, Version::V18];

/// A gateway before a shop whose personal data are canaries, with a schema `alt` that support agents may read: in it is
/// another table `customers`, without a secret.
fn trapped(version: Version) -> Gate {
    let gate = Setup::default().start(prepared(version));
    let may_read_alt = "permit (principal in Group::\"support-agents\", action in Action::\"Read\", resource in Schema::\"shop.alt\");\n";
    std::fs::write(gate.policy().join("alt.cedar"), may_read_alt).unwrap();
    gate.events("policy_loaded", 2);
    let mut raw = gate.open("support-agent");
    let readable = || sqlstate(&raw.query("SELECT email FROM alt.customers")).is_empty().then_some(());
    poll(SOON, readable).expect("the changed policy");
    gate
}

/// Asserts that a client got no secret.
#[track_caller]
fn safe(messages: Vec<Message>) -> Vec<Message> {
    let leak = leak(&messages);
    assert!(leak.is_none(), "{leak:?} in {messages:?}");
    messages
}

/// Runs a statement that must give a row, so that a trap is really set.
#[track_caller]
fn set(raw: &mut Raw, sql: &str) {
    let messages = safe(raw.query(sql));
    assert_eq!(sqlstate(&messages), "", "{sql}: {messages:?}");
}

#[test]
fn a_portal_that_fetches_gives_what_its_cursor_is_now() {
    for version in VERSIONS {
        let gate = trapped(version);
        let mut raw = gate.open("support-agent");
        set(&mut raw, "BEGIN; DECLARE c CURSOR FOR SELECT city || '' FROM customers WHERE id = 1");
        let bound = Flight::default().parse("s", "FETCH c").bind_portal("p", "s").sync().answered(&mut raw);
        assert_eq!(sqlstate(&bound), "");
        raw.query("CLOSE c");
        safe(raw.query("DECLARE c CURSOR FOR SELECT email || '' FROM customers WHERE id = 1"));
        safe(raw.query("FETCH p"));
        safe(Flight::default().execute_portal("p").sync().answered(&mut raw));
    }
}

#[test]
fn what_reads_its_names_when_it_runs_is_decided_when_it_runs() {
    for version in VERSIONS {
        let gate = trapped(version);
        for text in [
            "COPY (SELECT email || '' FROM customers WHERE id = 1) TO STDOUT",
            "SELECT email || '' FROM customers WHERE id = 1",
            "EXPLAIN ANALYZE SELECT email::int FROM customers WHERE id = 1",
        ] {
            let mut raw = gate.open("support-agent");
            set(&mut raw, "BEGIN");
            set(&mut raw, "SET LOCAL search_path = alt, public");
            Flight::default().parse("s", text).bind_portal("p", "s").sync().answered(&mut raw);
            set(&mut raw, "SET LOCAL search_path = public");
            safe(Flight::default().execute_portal("p").sync().answered(&mut raw));
            raw.query("ROLLBACK");
            safe(Flight::default().bind("s", &[], 0).execute().sync().answered(&mut raw));
        }
        let mut raw = gate.open("support-agent");
        set(&mut raw, "BEGIN");
        set(&mut raw, "SET LOCAL search_path = alt, public");
        let prepare = "PREPARE pq AS SELECT email || '' FROM customers WHERE id = 1";
        Flight::default().parse("s", prepare).bind_portal("p", "s").sync().answered(&mut raw);
        set(&mut raw, "SET LOCAL search_path = public");
        let flight = Flight::default().execute_portal("p").bind_portal("q", "pq").execute_portal("q");
        safe(flight.parse("", "EXECUTE pq").bind("", &[], 0).execute().sync().answered(&mut raw));
    }
}

#[test]
fn a_temporary_table_takes_a_name_and_gives_it_back() {
    for version in VERSIONS {
        let gate = trapped(version);
        // Whoever may make temporary tables can make names mean something else for a while.
        let may_make = "\
            permit (principal in Group::\"support-agents\", action, resource in Schema::\"shop.pg_temp\");\n\
            permit (principal in Group::\"support-agents\", action == Action::\"create\", resource == Database::\"shop\");\n\
            ";
        std::fs::write(gate.policy().join("temporary.cedar"), may_make).unwrap();
        gate.events("policy_loaded", 3);
        let mut raw = gate.open("support-agent");
        let make =
            "CREATE TEMP TABLE customers AS SELECT 1 AS id, 'mine'::text AS email, 'mine'::text AS ssn";
        poll(SOON, || sqlstate(&raw.query(make)).is_empty().then_some(())).expect("the changed policy");
        let read = "SELECT email || ssn FROM customers";
        assert_eq!(raw.rows(read), "minemine", "{version}: the trap is set");
        Flight::default().parse("s", read).sync().answered(&mut raw);
        set(&mut raw, &format!("PREPARE q AS {read}"));
        set(&mut raw, "DROP TABLE pg_temp.customers");
        safe(raw.query(read));
        safe(Flight::default().bind("s", &[], 0).execute().sync().answered(&mut raw));
        safe(raw.query("EXECUTE q"));
    }
}

#[test]
fn a_views_computed_column_shows_nothing_of_what_it_was_computed_from() {
    for version in VERSIONS {
        let gate = trapped(version);
        gate.shop.sql(
            "CREATE VIEW parts AS SELECT id, left(ssn, 8) AS a, substr(ssn, 3, 8) AS b, length(ssn) AS n,
                 CASE WHEN ssn LIKE 'C%' THEN 'yes' ELSE 'no' END AS d FROM customers;
             GRANT SELECT ON parts TO shop_app",
        );
        let mut raw = gate.open("support-agent");
        for sql in [
            "SELECT a, b, d, n FROM parts WHERE id = 1",
            "COPY (SELECT a, b, d, n FROM parts WHERE id = 1) TO STDOUT",
            "SELECT id FROM parts WHERE n = 16",
            "SELECT 1 / (n - 16) FROM parts WHERE id = 1",
        ] {
            let messages = safe(raw.query(sql));
            let shown = format!("{messages:?}");
            for part in ["0001", "RY", "yes", "16\""] {
                assert!(!shown.contains(part), "{part} of a masked value in {shown}");
            }
        }
    }
}

#[test]
fn a_view_that_is_redefined_behind_the_gateway_is_asked_about_again() {
    let gate = trapped(Version::V15);
    gate.shop.sql("CREATE VIEW v AS SELECT id, city AS c FROM customers; GRANT SELECT ON v TO shop_app");
    let mut raw = gate.open("support-agent");
    set(&mut raw, "PREPARE q AS SELECT c FROM v WHERE id = 1");
    set(&mut raw, "EXECUTE q");
    Flight::default().parse("s", "SELECT c FROM v WHERE id = 1").sync().answered(&mut raw);
    gate.shop.sql("CREATE OR REPLACE VIEW v AS SELECT id, email || '' AS c FROM customers");
    // Nobody tells the gateway; what it knows is good for half a minute.
    let noticed = poll(Duration::from_secs(60), || {
        std::thread::sleep(Duration::from_millis(500));
        let by_sql = raw.query("EXECUTE q");
        let by_bind = Flight::default().bind("s", &[], 0).execute().sync().answered(&mut raw);
        let plain = raw.query("SELECT c FROM v WHERE id = 1");
        [by_sql, by_bind, plain].iter().all(|messages| leak(messages).is_none()).then_some(())
    });
    assert!(noticed.is_some(), "it still gives what the view has become in the clear");
}

#[test]
fn a_script_keeps_the_clients_own_transaction() {
    for version in VERSIONS {
        let gate = Gate::new(version);
        let mut raw = gate.open("support-agent");
        let write = "UPDATE tickets SET status = 'closed' WHERE id = 1; SELECT 2";
        Flight::default().query("BEGIN").query(write).query("SELECT 5").to(&mut raw);
        let states: Vec<u8> =
            (0..3).map(|_| raw.until(tag::READY_FOR_QUERY).pop().unwrap().body[0]).collect();
        assert_eq!(states, b"TTT", "{version}");
        raw.query("ROLLBACK");
        assert_eq!(gate.shop.sql("SELECT status FROM tickets WHERE id = 1"), "waiting", "{version}");
        // After an error of the extended protocol a script is skipped to the Sync like everything else.
        let flight = Flight::default().run("", "SELECT 1 / 0").query("SELECT 1; SELECT 2").sync();
        assert_eq!(sqlstate(&flight.answered(&mut raw)), "22012");
        assert_eq!(raw.rows("SELECT 'goes on'"), "goes on");
    }
}

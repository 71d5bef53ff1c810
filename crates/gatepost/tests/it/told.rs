//! What the database is told of who a session is: settings that row-level security can use and no client can change.

use testkit::postgres::Version;

use crate::flight::{Flight, sqlstate};
use crate::stage::{Gate, Shop};

/// The subject of `admin`, whom the shop's policy allows everything.
const ADMIN: &str = "SELECT current_setting('gatepost.subject')";

fn check(version: Version) {
    let shop = Shop::new(version);
    shop.sql(
        "CREATE TABLE notes (owner text, note text); \
              ALTER TABLE notes ENABLE ROW LEVEL SECURITY; \
              CREATE POLICY own ON notes USING (owner = current_setting('gatepost.subject')); \
              GRANT SELECT ON notes TO PUBLIC",
    );
    let gate = Gate::new_in(shop);
    let mut raw = gate.connect("admin").parameter("application_name", "a client").open();
    let subject = raw.rows(ADMIN);
    gate.shop.sql(&format!("INSERT INTO notes VALUES ('{subject}', 'mine'), ('analyst', 'not mine')"));
    let own = "SELECT string_agg(note, ',') FROM notes";
    assert_eq!(raw.rows(own), "mine");
    let told = "SELECT current_setting('gatepost.identity'), current_setting('gatepost.issuer'), \
                current_setting('gatepost.on_behalf_of'), current_setting('gatepost.groups')::json ->> 0";
    let who = raw.rows(told);
    assert!(who == format!("corp:{subject}|corp||dba"), "{who}");
    for text in [
        "SET gatepost.subject = 'analyst'",
        "SET LOCAL \"GatePost.Subject\" TO 'analyst'",
        "RESET gatepost.subject",
        "SELECT set_config('gatepost.subject', 'analyst', false)",
        "SELECT set_config('GATEPOST.' || 'subject', 'analyst', false)",
        "SELECT set_config(name, 'analyst', false) FROM pg_settings WHERE name = 'gatepost.subject'",
        "SELECT set_config(owner, owner, false), note FROM notes",
        "UPDATE pg_settings SET setting = 'analyst' WHERE name = 'gatepost.subject'",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql SET gatepost.subject = 'analyst' AS 'SELECT 1::text'",
        "CREATE VIEW v AS SELECT set_config('gatepost.subject', 'analyst', false)",
        "PREPARE p AS SELECT set_config('gatepost.subject', 'analyst', false)",
        "ALTER ROLE CURRENT_USER SET gatepost.subject = 'analyst'",
    ] {
        let messages = raw.query(text);
        assert!(["42939", "0A000"].contains(&sqlstate(&messages).as_str()), "{text}: {messages:?}");
        assert_eq!(raw.rows(own), "mine", "{text}");
    }
    let call = Flight::default().parse("", "SELECT set_config($1, $2, false)").bind(
        "",
        &["gatepost.subject", "analyst"],
        0,
    );
    assert_eq!(sqlstate(&call.execute().sync().answered(&mut raw)), "0A000");
    for text in ["RESET ALL", "DISCARD ALL", "BEGIN; SET LOCAL work_mem = '1MB'; ROLLBACK"] {
        assert_eq!(sqlstate(&raw.query(text)), "", "{text}");
        assert_eq!(raw.rows(own), "mine", "{text}");
    }
    // Whoever looks from beside sees who it is; the client sees what it called itself.
    let seen =
        gate.shop.sql("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'corp:%'");
    assert_eq!(seen.trim(), format!("corp:{subject} a client"));
    assert_eq!(raw.parameters["application_name"], "a client");
    let started = gate.connect("admin").parameter("options", "-c gatepost.subject=analyst").try_open();
    assert!(started.is_err());
}

#[test]
fn nobody_changes_whom_postgresql_15_is_told_of() {
    check(Version::V15);
}

#[test]
fn nobody_changes_whom_postgresql_18_is_told_of() {
    check(Version::V18);
}

//! What names stand for while definitions change: tags follow columns, and functions are allowed by what they are.

use std::path::PathBuf;

use testkit::client::Raw;
use testkit::postgres::Version;

use crate::stage::{Gate, SOON, Setup, Shop};

/// What clerks may never see.
const SECRET: &str = "canary-4711";

const SCHEMA: &str = "
    CREATE SCHEMA other;
    CREATE TABLE people (id int, ssn text);
    INSERT INTO people VALUES (1, 'canary-4711');
    CREATE TABLE logs (id int, ssn text) PARTITION BY RANGE (id);
    CREATE TABLE loose (id int, ssn text);
    INSERT INTO loose VALUES (200, 'canary-4711');
    ALTER SCHEMA public OWNER TO shop_app;
    ALTER SCHEMA other OWNER TO shop_app;
    ALTER TABLE people OWNER TO shop_app;
    ALTER TABLE logs OWNER TO shop_app;
    ALTER TABLE loose OWNER TO shop_app;";

fn gate(version: Version, more: &str) -> Gate {
    let shop = Shop::new(version);
    shop.sql(SCHEMA);
    // Renaming a schema takes it.
    shop.sql(&format!("GRANT CREATE ON DATABASE \"{}\" TO shop_app", shop.database));
    shop.sql(more);
    let policy = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/names/policy");
    Setup { policy, ..Setup::default() }.start(shop)
}

/// Asserts that a statement has a row and doesn't show the secret.
#[track_caller]
fn hidden(session: &mut Raw, sql: &str) {
    let rows = session.rows(sql);
    assert!(!rows.is_empty() && !rows.to_lowercase().contains(SECRET), "{sql}: {rows}");
}

/// Returns the SQLSTATE that a statement fails with.
#[track_caller]
fn refused(session: &mut Raw, sql: &str) -> String {
    let messages = session.query(sql);
    let error = messages.iter().find(|message| message.tag == b'E');
    error.unwrap_or_else(|| panic!("{sql}: {messages:?}")).field(b'C')
}

#[test]
fn tags_follow_a_renamed_column_table_and_schema() {
    for version in [Version::V15, Version::V18] {
        let mut gate = gate(version, "");
        let (mut admin, mut clerk) = (gate.open("admin"), gate.open("clerk"));
        hidden(&mut clerk, "SELECT ssn FROM people");
        for (change, select) in [
            ("ALTER TABLE people RENAME COLUMN ssn TO harmless", "SELECT harmless FROM people"),
            ("ALTER TABLE people RENAME COLUMN harmless TO again", "SELECT again FROM people"),
            ("ALTER TABLE people RENAME TO folk", "SELECT again FROM folk"),
            ("ALTER TABLE folk SET SCHEMA other", "SELECT again FROM other.folk"),
            ("ALTER SCHEMA other RENAME TO another", "SELECT again FROM another.folk"),
        ] {
            admin.rows(change);
            hidden(&mut clerk, select);
            hidden(&mut clerk, &select.replace("again", "again AS x"));
            // a session that begins now reads the catalog anew, and others use what it has read
            let mut new = gate.open("clerk");
            hidden(&mut new, select);
            hidden(&mut new, &select.replace("SELECT ", "SELECT 1, "));
            hidden(&mut clerk, &select.replace("SELECT ", "SELECT 2, "));
            assert_eq!(refused(&mut new, &format!("{select} WHERE {} = 'x'", column(select))), "42501");
        }
        let incidents = gate.audit(&["--event", "incident"]);
        let renamed = incidents.iter().filter(|event| event["kind"] == "tag_renamed").count();
        assert!(renamed >= 1, "{incidents:#?}");
        drop((admin, clerk));
        gate.gateway.stop(SOON);
        let check = gate.run(&["check", "--connect"]);
        assert!(check.status != Some(0) && check.stdout.contains("public.people.ssn"), "{check:#?}");
    }
}

fn column(select: &str) -> &str {
    select.split(' ').nth(1).unwrap()
}

#[test]
fn an_agent_that_may_rename_does_not_see_more_in_the_same_transaction() {
    let gate = gate(Version::V15, "");
    let mut clerk = gate.open("clerk");
    clerk.rows("BEGIN");
    clerk.rows("ALTER TABLE people RENAME COLUMN ssn TO harmless");
    hidden(&mut clerk, "SELECT harmless FROM people");
    clerk.rows("ALTER TABLE people RENAME COLUMN harmless TO more");
    hidden(&mut clerk, "SELECT more FROM people");
    clerk.rows("COMMIT");
    hidden(&mut clerk, "SELECT more FROM people");
    // another column takes the name: both are tagged
    clerk.rows("ALTER TABLE people RENAME COLUMN id TO ssn");
    assert_ne!(clerk.rows("SELECT ssn FROM people"), "1");
    hidden(&mut clerk, "SELECT more FROM people");
}

#[test]
fn a_tagged_column_that_has_gone_is_an_incident() {
    let gate = gate(Version::V15, "");
    let mut admin = gate.open("admin");
    admin.rows("ALTER TABLE people DROP COLUMN ssn");
    drop(gate.open("clerk"));
    drop(gate.open("clerk"));
    let incidents = gate.events("incident", 1);
    assert_eq!(incidents.len(), 1, "said once: {incidents:#?}");
    assert_eq!(incidents[0]["kind"], "tag_vanished");
    assert!(incidents[0]["detail"].as_str().unwrap().contains("public.people.ssn"));
}

#[test]
fn tags_follow_partitions_and_children_that_are_made_later() {
    for version in [Version::V15, Version::V18] {
        let gate = gate(version, "");
        let (mut admin, mut clerk) = (gate.open("admin"), gate.open("clerk"));
        hidden(&mut clerk, "SELECT ssn, 1 FROM people");
        assert_eq!(clerk.rows("SELECT ssn FROM loose"), SECRET, "tagged by nothing yet");
        admin.rows("CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (1) TO (100)");
        admin.rows("INSERT INTO logs VALUES (1, 'canary-4711')");
        hidden(&mut clerk, "SELECT ssn FROM logs_1");
        hidden(&mut clerk, "SELECT ssn FROM logs");
        admin.rows("ALTER TABLE logs ATTACH PARTITION loose FOR VALUES FROM (100) TO (300)");
        hidden(&mut clerk, "SELECT ssn FROM loose");
        admin.rows("CREATE TABLE kids (age int) INHERITS (people)");
        admin.rows("INSERT INTO kids VALUES (2, 'canary-4711', 3)");
        hidden(&mut clerk, "SELECT ssn FROM kids");
        assert_eq!(clerk.rows("SELECT age FROM kids"), "3");
        // a view over a child, and a child whose parent was renamed
        admin.rows("CREATE VIEW kids_view AS SELECT ssn AS s FROM kids");
        hidden(&mut clerk, "SELECT s FROM kids_view");
        admin.rows("ALTER TABLE people RENAME COLUMN ssn TO harmless");
        hidden(&mut clerk, "SELECT harmless FROM kids");
        hidden(&mut clerk, "SELECT s FROM kids_view");
        let mut new = gate.open("clerk");
        hidden(&mut new, "SELECT harmless, 1 FROM kids");
        hidden(&mut new, "SELECT s, 1 FROM kids_view");
    }
}

#[test]
fn tags_follow_materialized_views_and_generated_columns() {
    for version in [Version::V15, Version::V18] {
        let before = "CREATE VIEW seen AS SELECT id, ssn AS s FROM people;
            CREATE MATERIALIZED VIEW stored AS SELECT id, s, upper(s) AS u, length(s) AS l FROM seen;
            CREATE TABLE made (id int, ssn text, twice text GENERATED ALWAYS AS (ssn || ssn) STORED);
            ALTER TABLE made INHERIT people;
            INSERT INTO made VALUES (3, 'canary-4711');
            ALTER TABLE made OWNER TO shop_app;
            GRANT SELECT ON seen, stored TO shop_app";
        let gate = gate(version, before);
        let (mut admin, mut clerk) = (gate.open("admin"), gate.open("clerk"));
        let check = |clerk: &mut Raw, relation: &str| {
            hidden(clerk, &format!("SELECT s FROM {relation}"));
            hidden(clerk, &format!("SELECT u FROM {relation}"));
            hidden(clerk, &format!("SELECT * FROM {relation}"));
            assert_ne!(
                clerk.rows(&format!("SELECT l FROM {relation}")),
                "11",
                "what is computed is masked whole"
            );
            assert!(!clerk.rows(&format!("SELECT id FROM {relation}")).is_empty());
            assert_eq!(refused(clerk, &format!("SELECT 1 FROM {relation} WHERE u LIKE 'C%'")), "42501");
        };
        check(&mut clerk, "stored");
        assert_eq!(clerk.rows("SELECT id FROM stored"), "1");
        admin.rows("CREATE VIEW over AS SELECT id, s || '!' AS s, u, l FROM stored");
        check(&mut clerk, "over");
        admin.rows("CREATE MATERIALIZED VIEW later AS SELECT * FROM over");
        check(&mut clerk, "later");
        admin.rows("ALTER TABLE people RENAME COLUMN ssn TO harmless");
        check(&mut clerk, "later");
        hidden(&mut clerk, "SELECT twice FROM made");
        let mut new = gate.open("clerk");
        check(&mut new, "later");
        check(&mut new, "stored");
        hidden(&mut new, "SELECT 1, twice FROM made");
    }
}

#[test]
fn a_function_is_allowed_by_what_it_is_not_by_its_name() {
    let before = "CREATE SCHEMA evil;
        CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ssn FROM public.people';
        CREATE FUNCTION evil.upper(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ssn FROM public.people';
        CREATE FUNCTION evil.bigger(int, int) RETURNS bool LANGUAGE sql AS 'SELECT true';
        CREATE OPERATOR evil.@@@ (FUNCTION = evil.bigger, LEFTARG = int, RIGHTARG = int);
        CREATE FUNCTION pg_catalog.later_added(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
        CREATE FUNCTION pg_catalog.lower(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ssn FROM public.people';
        CREATE OR REPLACE FUNCTION pg_catalog.initcap(text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT
            AS 'BEGIN RETURN $1; END';
        CREATE TYPE evil.pair AS (a int, b int);
        CREATE FUNCTION evil.shown(evil.pair) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM public.people';
        CREATE CAST (evil.pair AS text) WITH FUNCTION evil.shown(evil.pair);
        CREATE EXTENSION fuzzystrmatch;
        CREATE FUNCTION evil.checked(int) RETURNS bool LANGUAGE sql AS 'SELECT true';
        CREATE DOMAIN evil.acting AS int CHECK (evil.checked(VALUE));
        CREATE DOMAIN evil.over AS evil.acting CHECK (VALUE > 0);
        CREATE DOMAIN evil.within AS int CHECK (VALUE::evil.acting > 0);
        CREATE DOMAIN evil.plain AS int CHECK (VALUE > 0 AND lower('X') <> 'y');
        GRANT USAGE ON SCHEMA evil TO shop_app";
    let gate = gate(Version::V15, before);
    let mut clerk = gate.open("clerk");
    for harmless in
        ["SELECT lower('A')", "SELECT upper('a')", "SELECT pg_catalog.lower('A'), 1 < 2", "SELECT to_json(1)"]
    {
        assert!(!clerk.rows(harmless).is_empty(), "{harmless}");
    }
    for other in [
        "SELECT evil.lower('A')",
        "SELECT upper(1)",
        "SELECT lower(1)",
        "SELECT pg_catalog.lower(1)",
        "SELECT 1 OPERATOR(evil.@@@) 2",
        "SELECT later_added('x')",
        "SELECT initcap('x')",
        "SELECT ROW(1, 2)::evil.pair::text",
        "SELECT 1::evil.acting",
        "SELECT 1::evil.over",
        "SELECT 1::evil.within",
        "SELECT soundex('x')",
        "SELECT query_to_xml('SELECT 1', false, false, '')",
        "SELECT pg_input_is_valid('1', 'int')",
        "SELECT ts_rewrite('a'::tsquery, 'SELECT 1')",
    ] {
        clerk.rows("SET search_path = evil, pg_catalog, public");
        let state = refused(&mut clerk, other);
        // what this version doesn't have is no function at all
        assert!(state == "42501" || (state == "42883" && other.contains("is_valid")), "{other}: {state}");
        assert_eq!(refused(&mut clerk, "SELECT lower('A')"), "42501", "evil.lower comes first");
        clerk.rows("SET search_path = pg_catalog, evil, public");
        assert_eq!(clerk.rows("SELECT lower('A')"), "a");
    }
    assert!(
        !clerk.rows("SELECT ts_rewrite('a'::tsquery, 'a'::tsquery, 'b'::tsquery)").is_empty(),
        "overloads differ"
    );
    assert_eq!(clerk.rows("SELECT 1::evil.plain"), "1", "its constraint only computes");
    let mut admin = gate.open("admin");
    assert_eq!(admin.rows("SELECT 1::evil.acting"), "1", "by policy");
    assert_eq!(admin.rows("SELECT soundex('x')"), "X000", "by policy");
}

//! Kinds of statements: those that the server can't be asked about part by part are decided by what they name, and
//! those that only some versions know read the same through the gateway.

use std::fmt::Write as _;

use testkit::client::Connect;
use testkit::postgres::Version;
use testkit::pt;
use testkit::scratch::Scratch;
use wire::backend::tag;

use crate::stage::{LOGIN, Setup, Shop, cluster, fresh_name, repository};

/// Everything but one column, and what nobody may.
const POLICY: &str = r#"
permit (principal in Group::"everyone", action, resource) unless { resource has tags && resource.tags.contains("pii") };
permit (principal in Group::"everyone", action == Action::"select", resource) when { context.masked };
forbid (principal, action in [Action::"system", Action::"notify"], resource);
"#;

const BUNDLE: &str = r#"name = "kinds"
version = "1"
[tags]
"public.customers.ssn" = ["pii"]
[masks]
pii = "redact"
"#;

const PREPARE: &str = "
    ALTER TABLE customers OWNER TO shop_app;
    CREATE TABLE told (what text);
    ALTER TABLE told OWNER TO shop_app;
    CREATE VIEW numbers AS SELECT id, ssn AS number FROM customers;
    CREATE VIEW deeper AS SELECT number FROM numbers;
    GRANT SELECT ON numbers, deeper TO shop_app;
    CREATE TABLE loud (id int);
    CREATE RULE loud AS ON DELETE TO loud DO ALSO NOTIFY loud;
    CREATE RULE louder AS ON INSERT TO loud DO INSTEAD NOTIFY loud;
    GRANT ALL ON loud TO shop_app;
    GRANT CREATE ON SCHEMA public TO shop_app";

/// Statements, and the SQLSTATE that they come to; empty if they pass.
const DECIDED: [(&str, &str); 27] = [
    ("CREATE RULE a AS ON UPDATE TO customers DO ALSO INSERT INTO told VALUES (new.ssn)", "42501"),
    ("CREATE RULE a AS ON UPDATE TO customers DO ALSO INSERT INTO told SELECT to_jsonb(old)::text", "42501"),
    ("CREATE RULE a AS ON INSERT TO told DO ALSO UPDATE customers SET name = ssn", "42501"),
    ("CREATE RULE a AS ON INSERT TO told DO ALSO INSERT INTO told SELECT number FROM deeper", "42501"),
    ("CREATE RULE a AS ON UPDATE TO customers WHERE old.ssn < 'm' DO ALSO NOTHING", "42501"),
    ("CREATE RULE a AS ON UPDATE TO customers DO ALSO INSERT INTO told VALUES (new.city)", ""),
    ("CREATE SCHEMA made CREATE VIEW v AS SELECT ssn FROM customers", "42501"),
    ("CREATE SCHEMA made CREATE TABLE t (a int) CREATE VIEW v AS SELECT t.a, c.name FROM t, customers c", ""),
    ("CREATE FUNCTION one() RETURNS text RETURN (SELECT ssn FROM customers LIMIT 1)", "42501"),
    ("CREATE FUNCTION one() RETURNS text RETURN (SELECT max(number) FROM numbers)", "42501"),
    (
        "CREATE FUNCTION one() RETURNS SETOF text LANGUAGE sql BEGIN ATOMIC SELECT 'x'; SELECT c.ssn FROM customers c; END",
        "42501",
    ),
    ("CREATE FUNCTION one(low int) RETURNS text RETURN (SELECT max(name) FROM customers WHERE id > low)", ""),
    ("CREATE TABLE child (ssn text, CHECK (ssn <> 'x')) INHERITS (customers)", "42501"),
    ("CREATE TABLE child (city text, CHECK (city <> 'nowhere')) INHERITS (customers)", ""),
    ("CREATE PUBLICATION p FOR TABLE customers", "42501"),
    ("CREATE PUBLICATION p FOR TABLE customers (id, ssn)", "42501"),
    ("CREATE PUBLICATION p FOR TABLE customers (id, name)", ""),
    ("CREATE PUBLICATION q FOR TABLES IN SCHEMA public", "42501"),
    ("CREATE USER MAPPING FOR CURRENT_USER SERVER nowhere", "42501"),
    ("ALTER USER MAPPING FOR CURRENT_USER SERVER nowhere OPTIONS (SET a 'b')", "42501"),
    ("DROP USER MAPPING IF EXISTS FOR CURRENT_USER SERVER nowhere", "42501"),
    ("DELETE FROM loud", "42501"),
    ("INSERT INTO loud VALUES (1)", "42501"),
    ("EXPLAIN DELETE FROM loud", "42501"),
    // What only the server can say, it says.
    ("DROP FUNCTION nonesuch(int)", "42883"),
    ("CREATE TABLE bad (id int DEFAULT (id))", "0A000"),
    ("CREATE SCHEMA other CREATE VIEW v AS SELECT nothing FROM customers", "42703"),
];

#[test]
fn what_definitions_name_is_decided() {
    let shop = Shop::new(Version::V15);
    shop.sql(PREPARE);
    shop.sql(&format!("GRANT CREATE ON DATABASE \"{}\" TO {LOGIN}", shop.database));
    let policy = Scratch::new("kinds");
    policy.write("bundle.toml", BUNDLE);
    policy.write("kinds.cedar", POLICY);
    let gate = Setup { policy: policy.path().to_owned(), ..Setup::default() }.start(shop);
    let mut client = gate.open("anybody");
    let mut wrong = Vec::new();
    for (sql, expected) in DECIDED {
        let messages = client.query(sql);
        let error = messages.iter().find(|message| message.tag == tag::ERROR_RESPONSE);
        let state = error.map(|message| message.field(b'C')).unwrap_or_default();
        if state != expected {
            let said = error.map(|message| message.field(b'M')).unwrap_or_default();
            wrong.push(format!("{sql}\n  {state:?} in place of {expected:?}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A transcript in which each text is a Query of its own.
fn transcript(texts: &[String]) -> String {
    let mut script = String::new();
    for text in texts {
        let query = serde_json::to_string(text).unwrap();
        write!(script, "send\nQuery {{\"query\": {query}}}\n\nuntil\nReadyForQuery\n----\n\n").unwrap();
    }
    script
}

fn reads_the_same(version: Version, texts: &[String]) {
    let cluster = cluster(version);
    let script = transcript(texts);
    let database = fresh_name();
    pt::prepare(cluster, &database);
    let direct = Connect::tcp(cluster.address()).tls(cluster.authority()).user(pt::ROLE).password(pt::ROLE);
    let expected = pt::run_text(&script, || direct.clone().database(&database).open()).unwrap();
    pt::prepare(cluster, &database);
    let environment = vec![("SHOP_USER".into(), pt::ROLE.into()), ("SHOP_PASSWORD".into(), pt::ROLE.into())];
    let policy = repository("crates/policy/testdata/allow-all");
    let gate = Setup { policy, environment, ..Setup::default() }.start(Shop { cluster, database });
    let connect = gate.connect("anybody");
    let found = pt::run_text(&script, || connect.open()).unwrap();
    let difference = pt::difference(&expected, &found);
    assert!(difference.is_none(), "{version}: {}\n{found}", difference.unwrap_or_default());
}

#[test]
fn what_only_postgresql_18_knows_reads_the_same() {
    let texts = [
        "CREATE TABLE n (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) VIRTUAL)",
        "INSERT INTO n (id, a) VALUES (1, 1), (2, 2) RETURNING id, twice",
        "UPDATE n SET a = a + 10 RETURNING WITH (OLD AS before, NEW AS after) before.a, after.a, after.twice",
        "DELETE FROM n WHERE id = 2 RETURNING old.a, new.a",
        "MERGE INTO n USING (VALUES (1, 5), (3, 6)) v(id, a) ON n.id = v.id WHEN MATCHED THEN UPDATE SET a = v.a \
         WHEN NOT MATCHED THEN INSERT (id, a) VALUES (v.id, v.a) RETURNING merge_action(), old.a, new.a",
        "ALTER TABLE n ADD CONSTRAINT small CHECK (a < 3) NOT ENFORCED",
        "ALTER TABLE n ADD CONSTRAINT given NOT NULL a NOT VALID",
        "ALTER TABLE n ALTER CONSTRAINT small ENFORCED",
        "CREATE TABLE span (id int4range, during daterange, UNIQUE (id, during))",
        "CREATE TABLE stay (room int4range, during daterange, PRIMARY KEY (room, during WITHOUT OVERLAPS))",
        "CREATE TABLE bill (room int4range, during daterange, \
         FOREIGN KEY (room, PERIOD during) REFERENCES stay (room, PERIOD during))",
        "INSERT INTO stay VALUES ('[1,2)', '[2020-01-01,2020-02-01)')",
        "INSERT INTO bill VALUES ('[1,2)', '[2020-01-05,2020-01-07)')",
        "INSERT INTO bill VALUES ('[1,2)', '[2021-01-05,2021-01-07)')",
        "SELECT * FROM JSON_TABLE('[{\"a\": 1}, {\"a\": 2}]', '$[*]' COLUMNS (a int PATH '$.a'))",
        "SELECT JSON_VALUE('{\"a\": 1}', '$.a'), uuid_extract_version(uuidv7()) AS v",
        "COPY n TO STDOUT WITH (FORMAT csv, HEADER)",
        "CREATE INDEX ON n USING btree (a) WITH (deduplicate_items = off)",
        "EXPLAIN (COSTS OFF, MEMORY OFF) SELECT * FROM n WHERE twice = 10",
        "VACUUM (ONLY_DATABASE_STATS)",
        "ANALYZE ONLY n",
        "SELECT casefold('ABC'), array_sort(ARRAY[2, 1])",
    ];
    reads_the_same(Version::V18, &texts.map(str::to_owned));
}

/// Longer than this gateway's grammar goes, and not than the server's.
#[test]
fn a_long_chain_of_operators_is_decided_by_the_servers_tree() {
    let texts = [
        format!("SELECT 1{}", "+1".repeat(1500)),
        format!("SELECT length('a'{})", "||'b'".repeat(1500)),
        "CREATE TABLE chained (id int)".to_owned(),
        format!("INSERT INTO chained SELECT 1{} RETURNING id", "+1".repeat(1500)),
        format!("UPDATE chained SET id = id{}", "-1".repeat(1500)),
        "SELECT id FROM chained".to_owned(),
        format!("SELECT nothing{} FROM chained", "+1".repeat(1500)),
    ];
    reads_the_same(Version::V15, &texts);
}

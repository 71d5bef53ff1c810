//! What approvers see: plans as the database gives them, counts that are what the statement then changes, and nothing that counting changes.
//!
//! The gateway runs in this process, so that its administrators' side can be called without HTTP.

use std::sync::mpsc;
use std::time::Duration;

use approval::{Act, Number, Who};
use model::Identity;
use server::control::Control;
use server::preview::{Before, NotAsked, NotShown, RowCount};
use testkit::client::{Connect, Message, Raw};
use testkit::postgres::Version;
use testkit::scratch::Scratch;
use wire::backend::tag;
use wire::frontend::encode;

use crate::stage::{LOGIN, LOGIN_PASSWORD, SOON, Setup, Shop, authority, token};

const BUNDLE: &str = r#"
name = "preview"
version = "1"
[tags]
"public.people.ssn" = ["pii"]
[masks]
pii = "redact"
[approvers.leads]
group = "dba"
hold = "2m"
in_transaction = "hold"
count_rows = "3s"
[approvers.strict]
group = "dba"
"#;

const RULES: &str = r#"
@id("reads")
permit (principal in Group::"support-agents", action in Action::"Read", resource in Schema::"shop.public")
unless { resource has tags && resource.tags.contains("pii") };
@id("reads-other")
permit (principal in Group::"support-agents", action in Action::"Read", resource in Schema::"shop.other");
@id("masked")
permit (principal in Group::"support-agents", action == Action::"select", resource in Schema::"shop.public")
when { context.masked };
@id("calls")
permit (principal in Group::"support-agents", action in [Action::"execute", Action::"create", Action::"notify"], resource);
@id("writes")
permit (principal in Group::"support-agents", action in Action::"Write", resource)
when { context.approved_by.contains("leads") }
unless { resource in Relation::"shop.public.vault" };
@id("vault")
permit (principal in Group::"support-agents", action in Action::"Write", resource in Relation::"shop.public.vault")
when { context.approved_by.contains("strict") };
"#;

/// Tables that reach on by foreign keys, partitions, and everything that a rollback doesn't undo.
const TABLES: &str = r#"
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, ssn text, born date, age int GENERATED ALWAYS AS (2026 - id) STORED);
CREATE TABLE pets (id int PRIMARY KEY, owner int REFERENCES people ON DELETE CASCADE, name text);
CREATE TABLE visits (pet int REFERENCES pets ON DELETE CASCADE, at timestamptz DEFAULT now());
CREATE TABLE logs (id serial PRIMARY KEY, part int, line text CHECK (length(line) < 100));
CREATE TABLE parts (id int, part int) PARTITION BY LIST (part);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
CREATE TABLE vault (id int);
CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE SEQUENCE numbers;
CREATE VIEW named AS SELECT id, name FROM people;
INSERT INTO people (id, name, ssn, born) SELECT i, 'p' || i, 'secret-' || i, '2000-01-01' FROM generate_series(1, 100) i;
INSERT INTO pets SELECT i, (i + 1) / 2, 'pet' || i FROM generate_series(1, 200) i;
INSERT INTO visits (pet) SELECT i % 200 + 1 FROM generate_series(1, 600) i;
INSERT INTO parts SELECT i, i % 2 + 1 FROM generate_series(1, 50) i;
INSERT INTO late VALUES (1), (2);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('told', 'x'); PERFORM nextval('numbers'); RETURN NEW; END $$;
CREATE FUNCTION mine(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM nextval('numbers'); RETURN $1; END $$;
CREATE TABLE watched (id int, v int);
INSERT INTO watched VALUES (1, 1);
CREATE TRIGGER watch BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TABLE guarded (id int CHECK (mine(id) > 0));
CREATE TABLE indexed (id int);
CREATE INDEX ON indexed (mine(id));
CREATE TABLE far (id int PRIMARY KEY);
CREATE TABLE near (id int REFERENCES far ON DELETE CASCADE);
CREATE TRIGGER watch AFTER DELETE ON near FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TABLE ruled (id int);
CREATE RULE also AS ON INSERT TO ruled DO ALSO NOTIFY told;
CREATE TYPE pair AS (a int, b int);
CREATE FUNCTION leak(pair) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('numbers'); RETURN '1'; END $$;
CREATE CAST (pair AS json) WITH FUNCTION leak(pair);
CREATE TABLE counted (id int GENERATED ALWAYS AS IDENTITY, v int);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO shop_app;
ANALYZE;
"#;

struct Desk {
    control: Control,
    runtime: Option<tokio::runtime::Runtime>,
    address: std::net::SocketAddr,
    shop: Shop,
    _home: Scratch,
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Desk {
    fn new(version: Version) -> Self {
        let shop = Shop::new(version);
        shop.sql(TABLES);
        let home = Scratch::new("preview");
        let policy = Scratch::new("preview-policy");
        policy.write("bundle.toml", BUNDLE);
        policy.write("rules.cedar", RULES);
        for (name, text) in [("user", LOGIN), ("password", LOGIN_PASSWORD)] {
            let path = home.write(name, text);
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let setup = Setup {
            policy: policy.path().to_owned(),
            login: Some("kind = \"static\", user = \"file:user\", password = \"file:password\"".to_owned()),
            sections: "[operators]\napprover = [\"corp:dba\"]\n[state]\npath = \"state\"\n".to_owned(),
            ..Setup::default()
        };
        let text = setup.write(&home, shop.cluster, &shop.database);
        let path = home.write("gatepost.toml", text);
        let config = config::Config::load(&path).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(64 << 20)
            .enable_all()
            .build()
            .unwrap();
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (controls, control) = mpsc::channel();
        let (addresses, address) = mpsc::channel();
        runtime.spawn(async move {
            let console = |control: Control| async move {
                controls.send(control).unwrap();
                Ok(Vec::new())
            };
            let ready = |ready: &server::Ready| addresses.send(ready.postgres[0]).unwrap();
            if let Err(error) = server::serve(config, &path, console, ready).await {
                panic!("{error}");
            }
        });
        let address = address.recv_timeout(SOON).unwrap();
        let control = control.recv_timeout(SOON).unwrap();
        Self { control, runtime: Some(runtime), address, shop, _home: home }
    }

    fn open(&self) -> Raw {
        let connect = Connect::tcp(self.address).tls(authority().certificate()).database("shop");
        connect.user("support-agent").password(&token("support-agent")).open()
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().unwrap().block_on(future)
    }

    fn count(&self, number: Number) -> Result<RowCount, NotShown> {
        self.wait(self.control.count_rows(number, &lead()))
    }

    /// Counts, and says which relations have how many rows changed.
    #[track_caller]
    fn counted(&self, number: Number) -> Vec<(String, u64, u64, u64)> {
        let count = self.count(number).unwrap();
        count.relations.into_iter().map(|it| (it.relation, it.inserted, it.updated, it.deleted)).collect()
    }

    fn approve(&self, number: Number) {
        let who = Who::from(&lead());
        self.wait(self.control.act(number, &who, "test", Act::Approve, None)).unwrap();
    }

    fn deny(&self, number: Number, raw: &mut Raw) {
        let who = Who::from(&lead());
        self.wait(self.control.act(number, &who, "test", Act::Deny, Some("no"))).unwrap();
        raw.until(tag::READY_FOR_QUERY);
    }

    /// What every table holds, and where the sequences stand.
    fn everything(&self) -> String {
        let tables =
            "people pets visits logs parts vault late watched guarded indexed far near ruled counted";
        let mut text = String::new();
        for table in tables.split(' ') {
            text += &self.shop.sql(&format!(
                "SELECT '{table}', md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t"
            ));
        }
        text + &self.shop.sql("SELECT last_value, is_called FROM numbers")
            + &self.shop.sql("SELECT last_value, is_called FROM logs_id_seq")
    }
}

fn lead() -> Identity {
    Identity {
        issuer: "corp".to_owned(),
        subject: "lead".to_owned(),
        name: None,
        groups: ["dba".to_owned()].into(),
        attributes: std::collections::BTreeMap::new(),
        token_id: None,
        on_behalf_of: None,
    }
}

/// Sends a Query that is held, and returns the request's number.
fn hold(raw: &mut Raw, sql: &str) -> Number {
    let mut bytes = Vec::new();
    encode::query(&mut bytes, sql.as_bytes()).unwrap();
    raw.send(&bytes);
    waits(raw, sql)
}

#[track_caller]
fn waits(raw: &mut Raw, sql: &str) -> Number {
    loop {
        let message = raw.receive().unwrap();
        match message.tag {
            tag::NOTICE_RESPONSE => return number(&message),
            tag::ERROR_RESPONSE | tag::READY_FOR_QUERY => panic!("{sql}: {message:?}"),
            _ => {}
        }
    }
}

fn number(notice: &Message) -> Number {
    let text = notice.field(b'M');
    let digits: String =
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    Number(digits.parse().unwrap_or_else(|_| panic!("{text}")))
}

fn tag_of(messages: &[Message]) -> String {
    let done = messages.iter().find(|message| message.tag == tag::COMMAND_COMPLETE);
    done.map_or_else(
        || panic!("{messages:?}"),
        |done| String::from_utf8_lossy(&done.body).trim_end_matches('\0').to_owned(),
    )
}

/// A parameter's type and value.
type Typed<'a> = (u32, &'a str);

/// Binds and runs a statement that is held.
fn hold_bound(raw: &mut Raw, sql: &str, parameters: &[Typed<'_>]) -> Number {
    let mut bytes = Vec::new();
    encode::parse(&mut bytes, b"", sql.as_bytes(), parameters.iter().map(|it| model::Oid(it.0))).unwrap();
    let values = parameters.iter().map(|it| Some(it.1.as_bytes()));
    encode::bind(&mut bytes, b"", b"", [0_i16], values, []).unwrap();
    encode::execute(&mut bytes, b"", 0).unwrap();
    encode::sync(&mut bytes);
    raw.send(&bytes);
    waits(raw, sql)
}

/// A relation, and how many of its rows are inserted, updated, deleted.
type Changed<'a> = (&'a str, u64, u64, u64);

fn counts_are_what_the_statement_then_changes(version: Version) {
    let desk = Desk::new(version);
    let mut raw = desk.open();
    let named = |name: &str| format!("public.{name}");
    let cases: [(&str, &[Changed<'_>]); 7] = [
        ("DELETE FROM people WHERE id <= 3", &[("people", 0, 0, 3), ("pets", 0, 0, 6), ("visits", 0, 0, 18)]),
        ("UPDATE people SET name = upper(name) WHERE id BETWEEN 10 AND 19", &[("people", 0, 10, 0)]),
        ("UPDATE named SET name = 'x' WHERE id = 20", &[("people", 0, 1, 0)]),
        ("DELETE FROM parts WHERE id <= 10", &[("parts_1", 0, 0, 5), ("parts_2", 0, 0, 5)]),
        (
            "INSERT INTO pets SELECT 1000 + id, id, name FROM people WHERE id > 90 RETURNING name",
            &[("pets", 10, 0, 0)],
        ),
        (
            "WITH gone AS (DELETE FROM visits WHERE pet = 50 RETURNING pet) UPDATE pets SET name = 'z' WHERE id IN (SELECT pet FROM gone)",
            &[("pets", 0, 1, 0), ("visits", 0, 0, 3)],
        ),
        ("DELETE FROM visits WHERE pet = -1", &[]),
    ];
    for (sql, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|(name, i, u, d)| (named(name), *i, *u, *d)).collect();
        let before = desk.everything();
        let number = hold(&mut raw, sql);
        assert_eq!(desk.counted(number), expected, "{sql}");
        assert_eq!(desk.everything(), before, "{sql}: counting changed something");
        let counted = desk.count(number).unwrap();
        desk.approve(number);
        let done = tag_of(&raw.until(tag::READY_FOR_QUERY));
        assert_eq!(counted.command, done, "{sql}");
        let changed: u64 = expected.iter().map(|(_, i, u, d)| i + u + d).sum();
        assert_eq!(desk.everything() != before, changed > 0, "{sql}");
    }
    // with parameters, as they were bound
    let sql = "DELETE FROM people WHERE id = ANY($1) AND name <> $2";
    let number = hold_bound(&mut raw, sql, &[(1007, "{30,31,32}"), (25, "p31")]);
    assert_eq!(desk.counted(number)[0], (named("people"), 0, 0, 2));
    desk.approve(number);
    assert_eq!(tag_of(&raw.until(tag::READY_FOR_QUERY)), "DELETE 2");
    // the second connection has gone, and its locks with it
    let left = desk.shop.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%gatepost preview%' AND state <> 'idle'");
    assert_eq!(left.trim(), "0");
}

#[test]
fn counts_are_what_the_statement_then_changes_on_postgresql_15() {
    counts_are_what_the_statement_then_changes(Version::V15);
}

#[test]
fn counts_are_what_the_statement_then_changes_on_postgresql_18() {
    counts_are_what_the_statement_then_changes(Version::V18);
}

fn what_a_rollback_does_not_undo_is_not_run(version: Version) {
    let desk = Desk::new(version);
    desk.shop.sql("INSERT INTO far VALUES (1); INSERT INTO near VALUES (1)");
    let mut raw = desk.open();
    for (sql, why) in [
        ("UPDATE watched SET v = 2", "trigger watch of public.watched"),
        ("DELETE FROM far WHERE id = 1", "trigger watch of public.near"),
        ("INSERT INTO logs (line) VALUES ('x')", "nextval"),
        ("INSERT INTO counted (v) VALUES (1)", "identity column"),
        ("INSERT INTO guarded VALUES (1)", "public.mine"),
        ("INSERT INTO indexed VALUES (1)", "public.mine"),
        ("INSERT INTO ruled VALUES (1)", "NOTIFY"),
        ("UPDATE people SET name = 'x' WHERE id = mine(1)", "public.mine"),
        ("UPDATE people SET name = pg_sleep(0)::text WHERE id = 1", "pg_sleep"),
        ("DELETE FROM people WHERE pg_notify('a', 'b') IS NOT NULL AND id = 1", "pg_notify"),
        ("UPDATE people SET name = lo_creat(-1)::text WHERE id = 1", "lo_creat"),
        ("DELETE FROM people WHERE pg_try_advisory_lock(id)", "pg_try_advisory_lock"),
        ("UPDATE people SET name = to_json(ROW(1, 2)::pair)::text WHERE id = 1", "type public.pair"),
        ("TRUNCATE visits", "only INSERT, UPDATE, DELETE and MERGE"),
    ] {
        let before = desk.everything();
        let number = hold(&mut raw, sql);
        let said = desk.count(number).unwrap_err().to_string();
        assert!(said.contains(why), "{sql}: {said}");
        assert_eq!(desk.everything(), before, "{sql}");
        desk.deny(number, &mut raw);
    }
    // the bundle says of each group whether rows may be counted, and who may ask
    let number = hold(&mut raw, "DELETE FROM vault");
    assert!(matches!(desk.count(number), Err(NotShown::NotAllowed(_))));
    desk.deny(number, &mut raw);
    let number = hold(&mut raw, "DELETE FROM visits WHERE pet = 1");
    let stranger = Identity { groups: ["everyone".to_owned()].into(), ..lead() };
    let agent = Identity { subject: "support-agent".to_owned(), ..lead() };
    for nobody in [stranger, agent] {
        let refused = desk.wait(desk.control.count_rows(number, &nobody));
        assert!(matches!(refused, Err(NotShown::NotAllowed(_))), "{refused:?}");
    }
    for _ in 0..5 {
        desk.count(number).unwrap();
    }
    assert!(matches!(desk.count(number), Err(NotShown::NotAllowed(_))));
    desk.deny(number, &mut raw);
    assert!(matches!(desk.count(number), Err(NotShown::NotAllowed(_))), "it is over");
    assert!(matches!(desk.count(Number(9999)), Err(NotShown::Missing(_))));
}

#[test]
fn what_a_rollback_does_not_undo_is_not_run_on_postgresql_15() {
    what_a_rollback_does_not_undo_is_not_run(Version::V15);
}

#[test]
fn what_a_rollback_does_not_undo_is_not_run_on_postgresql_18() {
    what_a_rollback_does_not_undo_is_not_run(Version::V18);
}

#[test]
fn counting_ends_in_time_and_leaves_no_lock() {
    let desk = Desk::new(Version::V18);
    let mut raw = desk.open();
    // longer than three seconds, whatever the machine
    let slow = "DELETE FROM visits USING generate_series(1, 2000000000) a WHERE visits.pet = -a";
    let number = hold(&mut raw, slow);
    let began = std::time::Instant::now();
    let said = desk.count(number).unwrap_err().to_string();
    assert!(said.contains("longer than 3 s"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(15));
    let locks =
        "SELECT count(*) FROM pg_locks WHERE relation = 'visits'::regclass AND mode = 'RowExclusiveLock'";
    let free = testkit::process::poll(SOON, || (desk.shop.sql(locks).trim() == "0").then_some(()));
    assert!(free.is_some(), "locks are left");
    desk.deny(number, &mut raw);
    // what its own transaction has locked is not waited for
    raw.query("BEGIN");
    let first = hold(&mut raw, "UPDATE people SET name = 'locked' WHERE id = 60");
    desk.approve(first);
    raw.until(tag::READY_FOR_QUERY);
    let number = hold(&mut raw, "DELETE FROM people WHERE id = 60");
    let said = desk.count(number).unwrap_err().to_string();
    assert!(said.contains("locks"), "{said}");
    desk.deny(number, &mut raw);
    raw.query("ROLLBACK");
    // what would fail at COMMIT is said, by its SQLSTATE alone
    let number = hold(&mut raw, "UPDATE late SET id = 1");
    let said = desk.count(number).unwrap_err().to_string();
    assert!(said.contains("when it is committed: SQLSTATE 23505"), "{said}");
    desk.deny(number, &mut raw);
    let number = hold(&mut raw, "UPDATE people SET name = NULL WHERE id = 1");
    let said = desk.count(number).unwrap_err().to_string();
    assert!(said.contains("SQLSTATE 23502") && !said.contains("secret"), "{said}");
    desk.deny(number, &mut raw);
}

fn a_plan_is_what_explain_says(version: Version) {
    let desk = Desk::new(version);
    let mut raw = desk.open();
    let mut bare = desk.shop.bare().open();
    let lines = |number| -> String {
        let plan = desk.wait(desk.control.plan(number)).unwrap();
        let lines =
            plan.lines.iter().map(|line| line.iter().map(|run| run.text.as_str()).collect::<String>());
        lines.collect::<Vec<_>>().join("\n")
    };
    for sql in [
        "DELETE FROM pets WHERE id = 7",
        "UPDATE people SET name = 'x' FROM pets WHERE pets.owner = people.id AND pets.name = 'pet9'",
        "INSERT INTO pets SELECT 5000 + id, id, name FROM people WHERE id > 90",
    ] {
        let number = hold(&mut raw, sql);
        assert_eq!(lines(number), bare.rows(&format!("EXPLAIN {sql}")).trim_end(), "{sql}");
        desk.deny(number, &mut raw);
        // a plan that was asked for in time stays
        assert!(!lines(number).is_empty());
    }
    let number = hold_bound(&mut raw, "DELETE FROM pets WHERE id = $1", &[(23, "42")]);
    assert!(lines(number).contains("(id = 42)"), "{}", lines(number));
    desk.deny(number, &mut raw);
    // what the planner knows of values that are masked isn't told
    let number = hold(
        &mut raw,
        "UPDATE pets SET name = 'x' WHERE id IN (SELECT id FROM people) RETURNING (SELECT ssn FROM people LIMIT 1)",
    );
    let plan = desk.wait(desk.control.plan(number)).unwrap();
    assert!(!plan.estimates && !lines(number).contains("cost="), "{}", lines(number));
    desk.deny(number, &mut raw);
    // planning would already call it: it says that it is immutable
    let before = desk.everything();
    let number = hold(&mut raw, "DELETE FROM pets WHERE id = mine(3)");
    let said = desk.wait(desk.control.plan(number)).unwrap_err().to_string();
    assert!(said.contains("public.mine"), "{said}");
    assert_eq!(desk.everything(), before);
    desk.deny(number, &mut raw);
    // another connection would mean another table
    desk.shop.sql("CREATE SCHEMA other; CREATE TABLE other.pets (id int); GRANT ALL ON SCHEMA other TO shop_app; GRANT ALL ON other.pets TO shop_app");
    raw.query("SET search_path TO other");
    let number = hold(&mut raw, "DELETE FROM pets WHERE id = 1");
    let said = desk.wait(desk.control.plan(number)).unwrap_err().to_string();
    assert!(said.contains("names mean something else"), "{said}");
    assert!(desk.count(number).unwrap_err().to_string().contains("names mean something else"));
    desk.deny(number, &mut raw);
}

#[test]
fn a_plan_is_what_explain_says_on_postgresql_15() {
    a_plan_is_what_explain_says(Version::V15);
}

#[test]
fn a_plan_is_what_explain_says_on_postgresql_18() {
    a_plan_is_what_explain_says(Version::V18);
}

#[test]
fn what_is_asked_before_lets_exactly_that_run() {
    let desk = Desk::new(Version::V18);
    let agent = Identity {
        subject: "support-agent".to_owned(),
        groups: ["support-agents".to_owned()].into(),
        ..lead()
    };
    let before = |sql: &str, pattern: bool| Before {
        database: "shop".to_owned(),
        sql: sql.to_owned(),
        pattern,
        uses: pattern.then_some(2),
        for_seconds: Some(600),
        purpose: Some("tidying up".to_owned()),
        search_path: None,
    };
    let ask = |before: &Before| desk.wait(desk.control.ask_before(&agent, before));
    let sql = "DELETE FROM visits WHERE pet = 7";
    let request = ask(&before(sql, false)).unwrap();
    assert_eq!(desk.counted(request.number), [("public.visits".to_owned(), 0, 0, 3)]);
    desk.approve(request.number);
    let mut raw = desk.open();
    assert_eq!(tag_of(&raw.query(sql)), "DELETE 3");
    // once
    let again = hold(&mut raw, sql);
    let told = desk.wait(async {
        let request = desk.control.approval(again).await.unwrap().unwrap();
        desk.control.approved_before(&request).await.unwrap()
    });
    assert!(told[0].same_statement && told[0].number == request.number.0, "{told:?}");
    desk.deny(again, &mut raw);
    // a pattern, as often as was asked, and nothing else
    let pattern = ask(&before("DELETE FROM visits WHERE pet = 100", true)).unwrap();
    desk.approve(pattern.number);
    for pet in [8, 9] {
        assert_eq!(tag_of(&raw.query(&format!("DELETE FROM visits WHERE pet = {pet}"))), "DELETE 3");
    }
    let third = hold(&mut raw, "DELETE FROM visits WHERE pet = 10");
    let so_far = desk.wait(async {
        let request = desk.control.approval(third).await.unwrap().unwrap();
        desk.control.session_so_far(&request).await.unwrap()
    });
    let texts: Vec<String> =
        so_far.iter().map(|it| it.text.iter().map(|run| run.text.as_str()).collect()).collect();
    assert!(texts.iter().any(|text| text == "DELETE FROM visits WHERE pet = 9"), "{texts:?}");
    desk.deny(third, &mut raw);
    // what needs none, what nobody could approve, what makes no sense
    assert!(matches!(ask(&before("SELECT id FROM pets", false)), Err(NotAsked::Allowed)));
    assert!(matches!(ask(&before("DROP TABLE pets", false)), Err(NotAsked::Refused(_))));
    for (sql, pattern) in
        [("DELETE FROM pets WHERE id = $1", false), ("DELETE FROM", false), ("SELECT 1; SELECT 2", true)]
    {
        assert!(ask(&before(sql, pattern)).is_err(), "{sql}");
    }
    let nobody = Before { database: "nothing".to_owned(), ..before(sql, false) };
    assert!(matches!(ask(&nobody), Err(NotAsked::NotShown(_))));
}

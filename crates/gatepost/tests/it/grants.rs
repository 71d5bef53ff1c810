//! `policy explain --grants` against PostgreSQL: what it prints is enough for all that the policy could allow, and for nothing else.

use serde_json::Value;
use testkit::client::Raw;
use testkit::postgres::{Cluster, Version};

use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, Setup, Shop, cluster, fresh_name, repository};
use crate::support::{Place, Ran};

const BUNDLE: &str = r#"name = "grants"
version = "1"
[approvers]
leads = { group = "leads", quorum = 1, hold = "5m" }
[tags]
'app."people ""x""".ssn' = ["pii"]
"app.parts.secret"       = ["pii"]
"#;

const RULES: &str = r#"
permit (principal in Group::"readers", action in Action::"Read", resource in Schema::"shop.app")
unless { resource has tags && resource.tags.contains("pii") || resource in Relation::"shop.app.counted" || resource in Relation::"shop.app.membership" };
permit (principal in Group::"readers", action == Action::"select", resource == Relation::"shop.app.counted");
permit (principal in Group::"clerks", action in [Action::"insert", Action::"execute"], resource in Schema::"shop.app");
permit (principal in Group::"clerks", action == Action::"update", resource == Column::"shop.app.tickets.note")
when { context.approved_by.contains("leads") && context.session.tls };
permit (principal in Group::"clerks", action == Action::"delete", resource in Relation::"shop.app.tickets");
permit (principal in Group::"makers", action == Action::"create", resource in Schema::"shop.app");
permit (principal in Group::"makers", action == Action::"filter", resource == Column::"shop.app.tickets.id");
permit (principal in Group::"keepers", action == Action::"maintain", resource in Schema::"shop.app");
"#;

/// A database with everything in it, and who looks after it.
struct Desk {
    place: Place,
    cluster: &'static Cluster,
    database: String,
}

impl Desk {
    fn new(version: Version) -> Self {
        let desk = Self { place: Place::new(), cluster: cluster(version), database: fresh_name() };
        let Self { place, cluster, database } = &desk;
        cluster.psql(&format!("CREATE DATABASE \"{database}\""));
        cluster.psql_in(database, include_str!("grants/schema.sql"));
        cluster.psql(&format!(
            "REVOKE ALL ON DATABASE \"{database}\" FROM PUBLIC; GRANT CONNECT ON DATABASE \"{database}\" TO {LOGIN}"
        ));
        place.write("ca.crt", cluster.authority());
        let port = cluster.port();
        place.write(
            "gatepost.toml",
            &format!(
                "[listen]\npostgres = \"127.0.0.1:0\"\n\
                 [[issuer]]\nname = \"corp\"\nurl = \"http://127.0.0.1:9/\"\naudience = \"gatepost\"\n\
                 [[database]]\nname = \"shop\"\npolicy = \"policy\"\n\
                 upstream = \"postgres://127.0.0.1:{port}/{database}?sslmode=verify-full&sslrootcert=ca.crt\"\n\
                 login = {{ kind = \"static\", user = \"env:SHOP_USER\", password = \"env:SHOP_PASSWORD\" }}\n\
                 [journal]\npath = \"journal\"\n"
            ),
        );
        place.write("policy/bundle.toml", BUNDLE);
        place.write("policy/rules.cedar", RULES);
        desk
    }

    fn explain(&self, arguments: &[&str]) -> Ran {
        let mut command = self.place.command(&["policy", "explain", "--grants"]);
        command.args(arguments).env("SHOP_USER", LOGIN).env("SHOP_PASSWORD", LOGIN_PASSWORD);
        command.output().unwrap().into()
    }

    /// Makes a role that has what is printed for a group, and nothing else.
    fn role_of(&self, group: &str) -> (String, String) {
        let role = fresh_name();
        let ran = self.explain(&["--groups", group, "--role", &role]);
        assert_eq!(ran.status, Some(0), "{ran:#?}");
        self.cluster.psql(&format!("CREATE ROLE \"{role}\" LOGIN PASSWORD '{LOGIN_PASSWORD}'"));
        self.cluster.psql_in(&self.database, &ran.stdout);
        (role, ran.stdout)
    }

    fn open(&self, role: &str) -> Raw {
        self.cluster.socket(role, &self.database).open()
    }

    #[track_caller]
    fn check(&self, connection: &mut Raw, allowed: &[&str], refused: &[&str]) {
        for (texts, expected) in [(allowed, ""), (refused, "42501")] {
            for sql in texts {
                let messages = connection.query(&format!("BEGIN; {sql}"));
                connection.query("ROLLBACK");
                let error = messages.iter().find(|message| message.tag == b'E');
                let code = error.map(|error| error.field(b'C')).unwrap_or_default();
                assert_eq!(code, expected, "{}: {sql}: {error:?}", self.cluster.version());
            }
        }
    }
}

fn readers(desk: &Desk) {
    let (role, printed) = desk.role_of("readers");
    let mut connection = desk.open(&role);
    desk.check(
        &mut connection,
        &[
            "SELECT id, \"Name\", ctid, xmin, tableoid FROM app.\"people \"\"x\"\"\"",
            "SELECT count(*) FROM app.\"people \"\"x\"\"\"",
            "SELECT * FROM app.tickets WHERE 'open'::kinds.state = ANY (state)",
            "SELECT id, made FROM app.parts",
            "SELECT id FROM app.parts_old",
            "SELECT id, n FROM app.cards",
            "SELECT n FROM app.nested",
            "SELECT * FROM app.called",
            "SELECT id FROM app.stored",
            "COPY app.tickets (id, note) TO STDOUT",
        ],
        &[
            "SELECT ssn FROM app.\"people \"\"x\"\"\"",
            "SELECT \"people \"\"x\"\"\" FROM app.\"people \"\"x\"\"\"",
            "SELECT id FROM app.\"people \"\"x\"\"\" WHERE ssn LIKE '1%'",
            "SELECT secret FROM app.parts",
            "SELECT secret FROM app.parts_old",
            "SELECT piece FROM app.cards",
            "SELECT p FROM app.nested",
            "SELECT s FROM app.stored",
            "SELECT hidden.code()",
            "SELECT app.total('t')",
            "INSERT INTO app.tickets (note) VALUES ('x')",
            "UPDATE app.tickets SET note = 'x'",
            "DELETE FROM app.tickets",
            "SELECT * FROM app.tickets FOR UPDATE",
            "SELECT nextval('numbers.tickets')",
            "CREATE TABLE app.mine (a int)",
            "CREATE TEMP TABLE mine (a int)",
            "SELECT who FROM app.membership",
            // What policies for rows read, and counting without a column, is told instead.
            "SELECT tenant FROM app.tenants",
            "SELECT count(*) FROM app.counted",
        ],
    );
    assert!(printed.contains("select on app.counted takes a column that may be touched"), "{printed}");
    assert!(printed.contains("takes SELECT ON app.membership.who"), "{printed}");
}

fn clerks(desk: &Desk) {
    let (role, _) = desk.role_of("clerks");
    let mut connection = desk.open(&role);
    desk.check(
        &mut connection,
        &[
            "INSERT INTO app.tickets (note, state) VALUES ('x', ARRAY['closed'::kinds.state])",
            "INSERT INTO app.writable (note) VALUES ('x')",
            "INSERT INTO app.parts VALUES (1, 's', '2010-01-01')",
            "INSERT INTO app.\"people \"\"x\"\"\" (\"Name\") VALUES ('Bob')",
            "UPDATE app.tickets SET note = 'x'",
            "DELETE FROM app.tickets",
            "SELECT app.total(1, 'open'::kinds.state), app.total('t'), app.most(1)",
            "SELECT app.place(0.5) WITHIN GROUP (ORDER BY x) FROM generate_series(1, 3) x",
            "CALL app.close(1)",
        ],
        &[
            "SELECT note FROM app.tickets",
            "UPDATE app.tickets SET code = 'x'",
            "INSERT INTO app.tickets (note) VALUES ('x') RETURNING id",
            "TRUNCATE app.tickets",
            "DELETE FROM app.parts",
            "SELECT nextval('numbers.tickets')",
        ],
    );
}

fn others(desk: &Desk) {
    let (role, _) = desk.role_of("makers");
    let mut connection = desk.open(&role);
    desk.check(
        &mut connection,
        &["CREATE TABLE app.mine (a bigint REFERENCES app.tickets (id))"],
        &["CREATE TABLE kinds.mine (a int)", "CREATE SCHEMA mine", "ALTER TABLE app.tickets ADD x int"],
    );
    let (role, printed) = desk.role_of("keepers");
    let mut connection = desk.open(&role);
    let refused = ["SELECT id FROM app.tickets", "DELETE FROM app.tickets"];
    if desk.cluster.version() >= Version::V17 {
        desk.check(&mut connection, &["REFRESH MATERIALIZED VIEW app.stored"], &refused);
        assert!(printed.contains("GRANT MAINTAIN ON TABLE \"app\".\"tickets\""), "{printed}");
    } else {
        desk.check(&mut connection, &[], &refused);
        assert!(printed.contains("not granted: maintain on"), "{printed}");
    }
    // Whom no rule names gets nothing.
    let nobody = desk.explain(&["--groups", "strangers"]);
    assert!(nobody.stdout.contains("\n-- nothing: no statement could be allowed\n"), "{nobody:#?}");
    assert!(!nobody.stdout.contains("\nGRANT "), "{nobody:#?}");
}

fn all(version: Version) {
    let desk = Desk::new(version);
    readers(&desk);
    clerks(&desk);
    others(&desk);
}

#[test]
fn what_is_granted_is_enough_and_no_more_on_postgresql_15() {
    all(Version::V15);
}

#[test]
fn what_is_granted_is_enough_and_no_more_on_postgresql_18() {
    all(Version::V18);
}

#[test]
fn grants_are_told_as_data_with_what_public_holds_besides() {
    let desk = Desk::new(Version::V15);
    desk.cluster.psql_in(
        &desk.database,
        "GRANT SELECT (ssn) ON app.\"people \"\"x\"\"\" TO PUBLIC; GRANT SELECT ON app.tickets, app.counted TO PUBLIC;\
         CREATE FUNCTION app.\"evil\u{1b}[2K\"() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    );
    let arguments = ["--as", "corp:ann", "--groups", "readers,clerks", "--role", "r"];
    let ran = desk.explain(&[&arguments[..], &["--format", "json"]].concat());
    let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:#?}"));
    assert_eq!((&told["identity"], &told["role"]), (&"corp:ann".into(), &"r".into()));
    assert_eq!(told["scope"].as_str().map(str::len), Some(64));
    let grants = told["grants"].as_array().unwrap();
    assert_eq!(grants.len(), told["statements"].as_array().unwrap().len());
    let of = |on: &str, privilege: &str| {
        let found = grants.iter().find(|grant| grant["on"] == on && grant["privilege"] == privilege);
        found.map(|grant| grant["columns"].clone())
    };
    assert_eq!(of("TABLE \"app\".\"tickets\"", "SELECT"), None, "PUBLIC has it");
    assert_eq!(of("TABLE \"app\".\"tickets\"", "UPDATE"), Some(serde_json::json!(["note"])));
    let public: Vec<String> =
        told["public"].as_array().unwrap().iter().map(|grant| grant.to_string()).collect();
    assert!(public.iter().any(|grant| grant.contains("ssn")), "{public:?}");
    assert!(public.iter().any(|grant| grant.contains("counted")), "{public:?}");
    assert!(!public.iter().any(|grant| grant.contains("EXECUTE")), "clerks may execute it: {public:?}");
    let shown = desk.explain(&["--groups", "readers"]);
    assert!(shown.stdout.contains("-- PUBLIC holds besides: EXECUTE ON ROUTINE"), "{shown:#?}");
    assert!(!shown.stdout.contains('\u{1b}'), "{shown:#?}");
}

/// What an analyst may not see, in as many ways as there are to look: names, which the policy leaves out altogether.
const LEFT_OUT: [&str; 12] = [
    "SELECT name FROM customers",
    "SELECT * FROM customers",
    "SELECT customers FROM customers",
    "SELECT id FROM customers WHERE name LIKE 'A%'",
    "SELECT city, count(*) FROM customers GROUP BY city, name",
    "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id ORDER BY c.name",
    "SELECT name FROM customer_orders",
    "SELECT customer FROM open_tickets",
    "COPY customers (name) TO STDOUT",
    "WITH c AS (SELECT name FROM customers) SELECT upper(name) FROM c",
    "UPDATE customers SET city = 'x' WHERE name = 'x'",
    "INSERT INTO tickets (customer_id, subject, body) SELECT id, name, '' FROM customers",
];

fn shop_role(shop: &Shop, gate: &Gate) -> String {
    let role = fresh_name();
    let ran = gate.run(&["policy", "explain", "--groups", "analysts", "--grants", "--role", &role]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    shop.cluster.psql(&format!("CREATE ROLE \"{role}\" LOGIN PASSWORD '{LOGIN_PASSWORD}'"));
    shop.sql(&ran.stdout);
    role
}

fn login(role: &str) -> Vec<(String, String)> {
    vec![("SHOP_USER".to_owned(), role.to_owned()), ("SHOP_PASSWORD".to_owned(), LOGIN_PASSWORD.to_owned())]
}

fn codes(connection: &mut Raw, texts: &[&str]) -> Vec<(String, String)> {
    let ask = |sql: &&str| {
        let messages = connection.query(sql);
        let error = messages.iter().find(|message| message.tag == b'E');
        error.map(|error| (error.field(b'C'), error.field(b'M'))).unwrap_or_default()
    };
    texts.iter().map(ask).collect()
}

/// The decision is that of a policy which allows everything: nothing in the product has to be switched off for it.
#[test]
fn the_second_lock_alone_refuses_what_the_policy_leaves_out() {
    let shop = Shop::new(Version::V15);
    let role =
        shop_role(&shop, &Gate::new_in(Shop { cluster: shop.cluster, database: shop.database.clone() }));
    let setup = Setup {
        policy: repository("crates/policy/testdata/allow-all"),
        environment: login(&role),
        ..Setup::default()
    };
    let gate = setup.start(shop);
    let mut connection = gate.open("anybody");
    for (sql, (code, message)) in LEFT_OUT.iter().zip(codes(&mut connection, &LEFT_OUT)) {
        assert_eq!(code, "42501", "{sql}: {message}");
        assert!(message.starts_with("permission denied for "), "PostgreSQL's own words: {sql}: {message}");
    }
    // Masked ones it must let through: of them the gateway is the only lock.
    let seen = codes(&mut connection, &["SELECT city FROM customers", "SELECT ssn FROM customers"]);
    assert_eq!(seen, vec![(String::new(), String::new()); 2]);
}

#[test]
fn the_first_lock_alone_refuses_what_the_policy_leaves_out() {
    let shop = Shop::new(Version::V15);
    let role = fresh_name();
    shop.cluster.psql(&format!("CREATE ROLE \"{role}\" SUPERUSER LOGIN PASSWORD '{LOGIN_PASSWORD}'"));
    let gate = Setup { environment: login(&role), ..Setup::default() }.start(shop);
    let mut connection = gate.open("analyst");
    for (sql, (code, message)) in LEFT_OUT.iter().zip(codes(&mut connection, &LEFT_OUT)) {
        assert_eq!(code, "42501", "{sql}: {message}");
        assert!(message.starts_with("permission denied: "), "the gateway's own words: {sql}: {message}");
    }
    let seen = codes(&mut connection, &["SELECT city FROM customers", "SELECT ssn FROM customers"]);
    assert_eq!(seen, vec![(String::new(), String::new()); 2]);
}

//! A role for each session: made by an admin that is no superuser, with the rights of its scope and no others, gone with it
//! however it ends. On every PostgreSQL that is supported.

use std::time::Duration;

use testkit::client::{Connect, Refused};
use testkit::postgres::Version;
use testkit::process::poll;
use testkit::scratch::Scratch;

use crate::stage::{Gate, LOGIN_PASSWORD, SOON, Setup, Shop};

/// A shop that belongs to a role of its own, and an admin that may give away its owner's rights.
pub(crate) struct Estate {
    pub(crate) shop: Shop,
    pub(crate) owner: String,
    pub(crate) admin: String,
}

impl Estate {
    pub(crate) fn new(version: Version) -> Self {
        let shop = Shop::new(version);
        let owner = format!("{}_owner", shop.database);
        let admin = format!("{}_admin", shop.database);
        shop.sql(&format!(
            "CREATE ROLE {owner}; CREATE ROLE {admin} LOGIN CREATEROLE PASSWORD '{LOGIN_PASSWORD}'"
        ));
        shop.sql(&format!("GRANT {owner} TO {admin}"));
        shop.sql(&format!(
            "DO $$ DECLARE r record; BEGIN \
             FOR r IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                 AND relkind IN ('r', 'v', 'm') \
             LOOP EXECUTE format('ALTER TABLE %s OWNER TO {owner}', r.name); END LOOP; END $$"
        ));
        shop.sql(&format!(
            "ALTER SCHEMA public OWNER TO {owner}; ALTER DATABASE {} OWNER TO {owner}",
            shop.database
        ));
        Self { shop, owner, admin }
    }

    /// Returns a gateway's setup whose sessions have roles of their own; `keys` go into the login.
    pub(crate) fn setup(&self, keys: &str) -> Setup {
        let port = self.shop.cluster.port();
        let admin =
            format!("postgres://{}:{LOGIN_PASSWORD}@127.0.0.1:{port}/{}", self.admin, self.shop.database);
        Setup {
            login: Some(format!(
                "kind = \"ephemeral\", admin = \"env:SHOP_ADMIN\", sweep_interval = \"1s\"{keys}"
            )),
            environment: vec![("SHOP_ADMIN".into(), admin)],
            ..Setup::default()
        }
    }

    pub(crate) fn gate(self, keys: &str) -> Gate {
        self.setup(keys).start(self.shop)
    }
}

/// Returns the roles of sessions that there are for a shop, one in a line.
pub(crate) fn session_roles(shop: &Shop) -> String {
    shop.sql(
        "SELECT r.rolname FROM pg_roles r, pg_database d WHERE d.datname = current_database() \
         AND r.rolname ~ ('^gatepost_s' || to_hex(d.oid::int) || '_') ORDER BY 1",
    )
}

#[track_caller]
pub(crate) fn no_role_is_left(shop: &Shop) {
    let gone = poll(SOON, || session_roles(shop).is_empty().then_some(()));
    assert!(gone.is_some(), "left: {}", session_roles(shop));
}

fn refusal(connect: &Connect) -> testkit::client::Message {
    match connect.try_open() {
        Err(Refused::Error(told)) => told,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("a session"),
    }
}

fn each_version(run: impl Fn(Version) + Sync) {
    on(&Version::SUPPORTED, run);
}

fn on(versions: &[Version], run: impl Fn(Version) + Sync) {
    std::thread::scope(|scope| {
        for version in versions {
            let run = &run;
            scope.spawn(move || run(*version));
        }
    });
}

#[test]
fn a_session_logs_in_as_a_role_of_its_own_that_ends_with_it() {
    each_version(|version| {
        let gate = Estate::new(version).gate("");
        let mut one = gate.open("admin");
        let mut two = gate.open("admin");
        let name = one.rows("SELECT session_user");
        assert!(name.starts_with("gatepost_s"), "{version}: {name}");
        assert_eq!(one.rows("SELECT current_user"), name);
        assert_ne!(two.rows("SELECT session_user"), name, "{version}");
        let role = gate.shop.sql(&format!(
            "SELECT rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit, \
             rolvaliduntil BETWEEN now() AND now() + interval '2 hours', \
             (SELECT count(*) FROM pg_auth_members m WHERE m.member = r.oid) \
             FROM pg_roles r WHERE rolname = '{name}'"
        ));
        assert_eq!(role, "f|t|f|f|t|f|f|1|t|1", "{version}");
        if version >= Version::V16 {
            let options = gate.shop.sql(&format!(
                "SELECT m.inherit_option, m.set_option, m.admin_option FROM pg_auth_members m \
                 JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = '{name}'"
            ));
            assert_eq!(options, "t|f|f", "{version}");
        }
        let secret = gate.shop.sql(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{name}'"));
        assert!(secret.starts_with("SCRAM-SHA-256$"), "{version}: {secret}");
        // However a session ends: in order, cut off, or from the server's side.
        drop(one);
        let other = two.rows("SELECT session_user");
        two.hang_up();
        let mut three = gate.open("admin");
        let third = three.rows("SELECT session_user");
        gate.shop.sql(&format!("SELECT pg_terminate_backend({})", three.process_id));
        no_role_is_left(&gate.shop);
        let made = gate.events("role_made", 3);
        let gone = gate.events("role_gone", 3);
        for role in [&name, &other, &third] {
            let made = made.iter().find(|record| record["role"] == **role).expect("a record");
            assert_eq!(made["identity"]["subject"], "admin");
            let gone = gone.iter().find(|record| record["role"] == **role).expect("a record");
            assert_eq!(
                (&gone["session"], gone["reason"].as_str()),
                (&made["session"], Some("session_ended"))
            );
        }
        assert!(
            !gate.gateway.log().contains(LOGIN_PASSWORD) && !gate.gateway.log().contains("SCRAM-SHA-256$")
        );
    });
}

#[test]
fn what_a_crash_leaves_is_swept_and_what_another_gateway_uses_is_not() {
    each_version(|version| {
        let estate = Estate::new(version);
        let shop = |shop: &Shop| Shop { cluster: shop.cluster, database: shop.database.clone() };
        let mut crashed = estate.setup("").start(shop(&estate.shop));
        let other = estate.setup("").start(shop(&estate.shop));
        let mut used = other.open("admin");
        let kept = used.rows("SELECT session_user");
        let mut lost = crashed.open("admin");
        let left = lost.rows("SELECT session_user");
        crashed.gateway.kill();
        let only = || (session_roles(&other.shop) == kept).then_some(());
        poll(SOON, only).unwrap_or_else(|| panic!("{version}: {}", session_roles(&other.shop)));
        assert_eq!(used.rows("SELECT session_user"), kept, "{version}");
        let swept = other.events("role_gone", 1).remove(0);
        assert_eq!((swept["role"].as_str(), swept["reason"].as_str()), (Some(&*left), Some("swept")));
        // At start too.
        let mut alone = other;
        alone.gateway.kill();
        let setup = estate.setup("");
        let again = setup.start_in(Scratch::new("gatepost"), shop(&estate.shop));
        no_role_is_left(&again.shop);
    });
}

#[test]
fn a_drained_gateway_leaves_no_role() {
    let mut gate = Estate::new(Version::V18).gate(", pool = 2");
    let mut raw = gate.open("admin");
    raw.rows("SELECT 1");
    poll(SOON, || (session_roles(&gate.shop).lines().count() == 3).then_some(())).expect("a pool of two");
    assert!(gate.gateway.stop(Duration::from_secs(30)).is_some());
    assert_eq!(session_roles(&gate.shop), "");
}

#[test]
fn a_prepared_role_is_given_once_and_only_in_its_scope() {
    let gate = Estate::new(Version::V18).gate(", pool = 2");
    let mut seen = std::collections::BTreeMap::new();
    for round in 0..6 {
        let agent = if round % 2 == 0 { "admin" } else { "analyst" };
        let mut raw = gate.open(agent);
        let name = raw.rows("SELECT session_user");
        assert!(seen.insert(name.clone(), agent).is_none(), "{name} twice");
    }
    let made = gate.events("role_made", 8);
    let given = gate.events("role_given", 1);
    for (role, agent) in seen {
        let mine = |record: &&serde_json::Value| record["role"] == *role && !record["identity"].is_null();
        let whose: Vec<_> = made
            .iter()
            .chain(&given)
            .filter(mine)
            .map(|record| record["identity"]["subject"].clone())
            .collect();
        assert_eq!(whose, [agent], "{role}");
    }
}

#[test]
fn what_a_session_owned_goes_to_the_owner_or_goes() {
    each_version(|version| {
        for (keys, owned) in [("reassign", "reassigned"), ("drop", "dropped")] {
            let estate = Estate::new(version);
            let (owner, keys) =
                (estate.owner.clone(), format!(", at_end = \"{keys}\", owner = \"{}\"", estate.owner));
            estate.shop.sql("CREATE SCHEMA work; GRANT ALL ON SCHEMA work TO PUBLIC");
            let gate = estate.gate(&keys);
            let mut raw = gate.open("admin");
            raw.rows("CREATE TABLE work.kept (n int)");
            drop(raw);
            no_role_is_left(&gate.shop);
            let left = gate.shop.sql("SELECT tableowner FROM pg_tables WHERE schemaname = 'work'");
            assert_eq!(left, if owned == "reassigned" { owner } else { String::new() }, "{version} {owned}");
            assert_eq!(gate.events("role_gone", 1)[0]["owned"], owned);
        }
    });
}

#[test]
fn an_admin_that_can_not_do_it_is_told_to_the_operator_and_not_to_the_client() {
    let estate = Estate::new(Version::V18);
    let admin = estate.admin.clone();
    let owner = estate.owner.clone();
    let cluster = estate.shop.cluster;
    for (what, spoil, mend, reason) in [
        (
            "no right",
            format!("ALTER ROLE {admin} NOCREATEROLE"),
            format!("ALTER ROLE {admin} CREATEROLE"),
            "gatepost check --connect",
        ),
        (
            "a wrong password",
            format!("ALTER ROLE {admin} PASSWORD 'another'"),
            format!("ALTER ROLE {admin} PASSWORD '{LOGIN_PASSWORD}'"),
            "28P01",
        ),
        (
            "a read-only database",
            format!("ALTER ROLE {admin} SET default_transaction_read_only = on"),
            format!("ALTER ROLE {admin} RESET default_transaction_read_only"),
            "read-only",
        ),
    ] {
        estate.shop.sql(&spoil);
        let shop = Shop { cluster, database: estate.shop.database.clone() };
        let gate = estate.setup(&format!(", owner = \"{owner}\"")).start(shop);
        let told = refusal(&gate.connect("admin"));
        assert_eq!(
            (told.field(b'S'), told.field(b'C')),
            ("FATAL".into(), "57P03".into()),
            "{what}: {told:?}"
        );
        assert!(!String::from_utf8_lossy(&told.body).contains(&admin), "{what}: {told:?}");
        let record = gate.events("upstream_failed", 1).remove(0);
        let said = record["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{what}: {said}");
        assert!(gate.gateway.log().contains(reason), "{what}");
        estate.shop.sql(&mend);
        assert_eq!(gate.open("admin").rows("SELECT 'works'"), "works", "{what}: after it is mended");
        no_role_is_left(&gate.shop);
    }
}

#[test]
fn a_role_has_the_grants_of_its_scope_and_follows_the_policy() {
    on(&[Version::V14, Version::V18], |version| {
        let gate = Estate::new(version).gate("");
        let mut agent = gate.open("support-agent");
        let role = agent.rows("SELECT session_user");
        let may = |what: &str| gate.shop.sql(&format!("SELECT has_{what}"));
        let selects = format!(
            "table_privilege('{role}', 'public.products', 'select'), has_column_privilege('{role}', 'public.products', 'name', 'select')"
        );
        assert_eq!(may(&selects), "f|t", "{version}: columns are granted, not tables");
        assert_eq!(may(&format!("table_privilege('{role}', 'public.products', 'delete')")), "f", "{version}");
        assert_eq!(
            agent.rows("SELECT count(name) FROM products"),
            gate.shop.sql("SELECT count(*) FROM products")
        );
        // The same statement by another session: what was learnt is shared, though the logins differ.
        let asked = || gate.shop.cluster.log().matches("count(p.name)").count();
        let sql = "SELECT count(p.name) FROM products p";
        agent.rows(sql);
        let trees = asked();
        let mut second = gate.open("support-agent");
        assert_ne!(second.rows("SELECT session_user"), role);
        second.rows(sql);
        assert_eq!(asked(), trees, "{version}: the second session asks nothing again");
        // A new table, and a policy that permits less.
        let mut admin = gate.open("admin");
        admin.rows("CREATE SCHEMA fresh");
        let granted = |column: &str| {
            gate.shop.sql(&format!("SELECT has_any_column_privilege('{role}', '{column}', 'select')"))
        };
        gate.shop.sql("CREATE TABLE public.novelties (n int)");
        gate.shop.sql(&format!("ALTER TABLE public.novelties OWNER TO {}_owner", gate.shop.database));
        admin.rows("CREATE TABLE fresh.told (n int)");
        poll(SOON, || (granted("public.novelties") == "t").then_some(()))
            .unwrap_or_else(|| panic!("{version}: new table"));
        let rules = gate.policy().join("support.cedar");
        // What a session has made belongs to its role; others are granted it all the same.
        admin.rows("CREATE TABLE public.made (n int)");
        poll(SOON, || (granted("public.made") == "t").then_some(()))
            .unwrap_or_else(|| panic!("{version}: made by a session"));
        // What the admin can't grant keeps nobody out.
        gate.shop.sql("CREATE TABLE public.foreign_made (n int)");
        admin.rows("CREATE TABLE fresh.again (n int)");
        gate.open("support-agent").rows("SELECT 1");
        let text = std::fs::read_to_string(&rules).unwrap();
        let update = "(principal in Group::\"support-agents\", action == Action::\"update\"";
        assert!(text.contains(update), "{text}");
        let updates = format!("column_privilege('{role}', 'public.tickets', 'status', 'update')");
        assert_eq!(may(&updates), "t", "{version}");
        std::fs::remove_dir_all(gate.policy().join("tests")).unwrap();
        std::fs::write(&rules, text.replace(update, &update.replace("support-agents", "nobody-at-all")))
            .unwrap();
        let less = || (may(&updates) == "f").then_some(());
        poll(SOON, less).unwrap_or_else(|| panic!("{version}: less: {}", gate.gateway.log()));
        let moved = gate.events("role_moved", 1);
        assert!(moved.iter().any(|record| record["role"] == *role), "{version}: {moved:#?}");
        drop((agent, second, admin));
        no_role_is_left(&gate.shop);
        let scopes = || {
            gate.shop.sql(
                "SELECT count(*) FROM pg_roles r, pg_database d WHERE d.datname = current_database() \
                 AND r.rolname ~ ('^gatepost_g' || to_hex(d.oid::int) || '_')",
            )
        };
        poll(SOON, || (scopes() == "0").then_some(()))
            .unwrap_or_else(|| panic!("{version}: {} scopes' roles", scopes()));
    });
}

#[test]
fn who_is_given_something_alone_shares_nothing_that_was_learnt() {
    let gate = Estate::new(Version::V18).gate("");
    let mut admin = gate.open("admin");
    let mut agent = gate.open("support-agent");
    let asked = || gate.shop.cluster.log().matches("count(alone.name)").count();
    let sql = "SELECT count(alone.name) FROM products alone";
    agent.rows(sql);
    let trees = asked();
    agent.rows(sql);
    assert_eq!(asked(), trees, "known");
    let role = agent.rows("SELECT session_user");
    admin.rows(&format!("CREATE SCHEMA {role}; GRANT USAGE ON SCHEMA {role} TO {role}"));
    let path = agent.rows("SHOW search_path");
    assert!(!path.contains("$user"), "no schema of a login's own name is looked in: {path}");
    agent.rows(sql);
    let now = asked();
    assert!(now > trees, "it asks for itself from then on");
    let mut other = gate.open("support-agent");
    other.rows(sql);
    assert!(asked() > now, "and nobody relies on what it was told");
}

#[test]
fn check_prints_what_an_admin_lacks_as_sql_that_mends_it() {
    each_version(|version| {
        let estate = Estate::new(version);
        let (admin, owner) = (estate.admin.clone(), estate.owner.clone());
        estate.shop.sql(&format!("REVOKE {owner} FROM {admin}; ALTER ROLE {admin} NOCREATEROLE"));
        let home = Scratch::new("gatepost");
        let heir = format!("{owner}_heir");
        let setup = estate.setup(&format!(", owner = \"{heir}\""));
        let config = setup.write(&home, estate.shop.cluster, &estate.shop.database);
        home.write("gatepost.toml", &config);
        let check = || {
            let mut command = std::process::Command::new(crate::stage::binary());
            command.args(["check", "--connect", "-c", "gatepost.toml"]).current_dir(home.path());
            command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
            let ran: crate::support::Ran = command.output().unwrap().into();
            (ran.status, format!("{}{}", ran.stdout, ran.stderr))
        };
        let (status, said) = check();
        assert_eq!(status, Some(1), "{version}: {said}");
        // What is printed is run as it is.
        let mut mended = 0;
        for line in said.lines() {
            for statement in line.split("; ").flat_map(|part| part.split(": ")) {
                let statement = statement.trim().trim_end_matches(';');
                if ["ALTER ROLE", "GRANT", "CREATE ROLE"].iter().any(|verb| statement.starts_with(verb))
                    && !statement.contains("log_min_messages")
                {
                    estate.shop.sql(statement);
                    mended += 1;
                }
            }
        }
        assert_eq!(mended, 4, "{version}: {said}");
        let (status, said) = check();
        assert_eq!(status, Some(0), "{version}: {said}");
        assert!(!said.contains(LOGIN_PASSWORD), "{version}: {said}");
        assert_eq!(session_roles(&estate.shop), "", "{version}: the role that was tried is gone");
    });
}

/// As fast as the machine allows; `GATEPOST_STORM` says for how many seconds in place of five.
#[test]
fn a_storm_with_a_crash_in_the_middle_leaves_no_role_and_mixes_nobody_up() {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    let seconds = std::env::var("GATEPOST_STORM").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let estate = Estate::new(Version::V18);
    let shop = || Shop { cluster: estate.shop.cluster, database: estate.shop.database.clone() };
    let mut gate = estate.setup(", pool = 2").start(shop());
    let seen: Mutex<BTreeMap<String, &str>> = Mutex::new(BTreeMap::new());
    let over = AtomicBool::new(false);
    let storm = |connect: &(dyn Fn(&str) -> Connect + Sync), until: Instant| {
        std::thread::scope(|scope| {
            for agent in ["admin", "support-agent", "analyst", "admin"] {
                let (seen, over) = (&seen, &over);
                scope.spawn(move || {
                    let mut after = 0;
                    while Instant::now() < until || after == 0 {
                        let Ok(mut raw) = connect(agent).try_open() else {
                            // It has been killed.
                            if over.load(Ordering::Relaxed) {
                                break;
                            }
                            continue;
                        };
                        let mut said = raw.query("SELECT session_user").into_iter().filter(|m| m.tag == b'D');
                        let Some(row) = said.next() else { continue };
                        let role = row.values().remove(0).expect("a name");
                        let before = seen.lock().unwrap().insert(role.clone(), agent);
                        assert_eq!(before, None, "{role} was given twice");
                        after += 1;
                    }
                });
            }
        });
    };
    let half = Duration::from_secs(seconds) / 2;
    let (first, pid) = (Instant::now(), gate.gateway.pid());
    std::thread::scope(|scope| {
        let (storm, gate, over) = (&storm, &gate, &over);
        scope.spawn(move || storm(&|agent| gate.connect(agent), first + half * 2));
        scope.spawn(move || {
            std::thread::sleep(half);
            over.store(true, Ordering::Relaxed);
            std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        });
    });
    over.store(false, Ordering::Relaxed);
    gate.gateway.restart(crate::stage::binary(), &[("SHOP_ADMIN", &estate.setup("").environment[0].1)]);
    storm(&|agent| gate.connect(agent), Instant::now() + half);
    assert!(gate.gateway.stop(Duration::from_secs(60)).is_some());
    gate.gateway.restart(crate::stage::binary(), &[("SHOP_ADMIN", &estate.setup("").environment[0].1)]);
    no_role_is_left(&gate.shop);
    let seen = seen.into_inner().unwrap();
    let mut whose: BTreeMap<String, String> = BTreeMap::new();
    for record in
        gate.audit(&["--event", "role_made"]).into_iter().chain(gate.audit(&["--event", "role_given"]))
    {
        let Some(subject) = record["identity"]["subject"].as_str() else { continue };
        let before = whose.insert(record["role"].as_str().unwrap().to_owned(), subject.to_owned());
        assert_eq!(before, None, "one role, one session: {record}");
    }
    for (role, agent) in &seen {
        assert_eq!(whose.get(role).map(String::as_str), Some(*agent), "{role}");
    }
    println!("{} sessions in {seconds} s, {} roles on record", seen.len(), whose.len());
}

#[test]
fn whatever_ends_a_busy_session_ends_its_role_and_undoes_what_was_open() {
    let gate = Estate::new(Version::V15).gate("");
    let check = |case: &str, token: &str, end: &dyn Fn()| {
        let mut raw = gate.connect_with(token).user("admin").open();
        raw.rows("BEGIN; CREATE TABLE unfinished (a int); UPDATE tickets SET status = 'waiting'");
        let mut message = Vec::new();
        wire::frontend::encode::query(&mut message, b"SELECT pg_sleep(600)").unwrap();
        raw.send(&message);
        let asleep = || (gate.shop.sql(ASLEEP) == "1").then_some(());
        poll(SOON, asleep).expect("it runs");
        end();
        let told = raw.receive().expect("the reason");
        assert_eq!(told.field(b'C'), "57P01", "{case}: {told:?}");
        no_role_is_left(&gate.shop);
        assert_eq!(gate.shop.sql(ASLEEP), "0", "{case}");
        let left = "SELECT count(*) FROM tickets WHERE status <> 'waiting'";
        assert_ne!(gate.shop.sql(left), "0", "{case}: rolled back");
        assert_eq!(gate.shop.sql("SELECT to_regclass('public.unfinished') IS NULL"), "t", "{case}");
    };
    check("killed", &crate::stage::token("admin"), &|| {
        let ran = gate.run(&["sessions", "kill", "--group", "dba", "--reason", "enough"]);
        assert_eq!(ran.status, Some(0), "{ran:#?}");
    });
    let short = crate::stage::provider().token_for("admin", "https://gatepost.test/es256?ttl=6");
    check("expired", &short, &|| {});
}

const ASLEEP: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                      AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()";

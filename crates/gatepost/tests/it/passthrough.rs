//! Legacy accounts: their own name and password, whatever client they come with; what strangers learn of them, and how they end.

use std::path::Path;

use serde_json::json;
use testkit::client::{Connect, Message, Raw, Refused};
use testkit::postgres::{Cluster, Version};
use testkit::process::tools;
use testkit::scratch::Scratch;
use wire::backend::{Authentication, tag};
use wire::frontend::encode;
use wire::startup::ProtocolVersion;

use crate::clients::{self, Environment, answer, run_psql};
use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, Setup, Shop, authority, cluster};
use crate::support::Ran;

pub(crate) const PASSWORD: &str = "Legacy-0nly-s3cret";

/// Every role of the tests, with what it may read.
fn roles(cluster: &Cluster, database: &str) {
    cluster.psql(&format!(
        "SET password_encryption = 'scram-sha-256'; \
         CREATE ROLE billing LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE \"odd \"\"name\" LOGIN PASSWORD '{PASSWORD}'; \
         CREATE ROLE unset LOGIN; CREATE ROLE closed NOLOGIN PASSWORD '{PASSWORD}'; CREATE ROLE boss SUPERUSER LOGIN; \
         SET password_encryption = md5; CREATE ROLE ancient LOGIN PASSWORD 'x'"
    ));
    cluster.psql_in(
        database,
        "GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO billing, \"odd \"\"name\"",
    );
}

fn import(home: &Scratch, cluster: &Cluster, shop: &Shop, arguments: &[&str]) -> Ran {
    let config = Setup::default().write(home, cluster, &shop.database);
    home.write("import.toml", config);
    let mut command = std::process::Command::new(crate::stage::binary());
    command.args(["-c", "import.toml", "legacy", "import", "--admin", "env:ADMIN_URL"]).args(arguments);
    command.current_dir(home.path()).env("ADMIN_URL", admin_url(cluster));
    command.output().unwrap().into()
}

/// The cluster's superuser, by TCP.
fn admin_url(cluster: &Cluster) -> String {
    cluster.psql(&format!("ALTER ROLE postgres PASSWORD '{LOGIN_PASSWORD}'"));
    format!("postgres://postgres:{LOGIN_PASSWORD}@127.0.0.1:{}/postgres", cluster.port())
}

pub(crate) const SECTIONS: &str = r#"
[[auth]]
match = { user = ["support-agent", "admin", "analyst"] }
method = "token"
[[auth]]
method = "passthrough"
[[legacy]]
name = "billing"
verifier = "file:legacy-verifiers.txt"
groups = ["support-agents"]
owner = "billing team"
attributes = { system = "erp" }
"#;

/// A gateway with the accounts of `roles` imported.
pub(crate) fn gate(version: Version, sections: &str, database_keys: &str) -> Gate {
    let cluster = cluster(version);
    let shop = Shop::new(version);
    roles(cluster, &shop.database);
    let home = Scratch::new("gatepost");
    let ran = import(&home, cluster, &shop, &["--user", "billing"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    let setup = Setup {
        sections: sections.to_owned(),
        database_keys: database_keys.to_owned(),
        environment: vec![("ADMIN_URL".to_owned(), admin_url(cluster))],
        ..Setup::default()
    };
    setup.start_in(home, shop)
}

pub(crate) fn connect(gate: &Gate, user: &str, password: &str) -> Connect {
    Connect::tcp(gate.gateway.postgres())
        .tls(authority().certificate())
        .user(user)
        .password(password)
        .database("shop")
}

fn environment(gate: &Gate, user: &str, password: &str) -> Environment {
    let mut environment = gate.libpq("support-agent");
    environment.retain(|(name, _)| !matches!(*name, "PGUSER" | "PGPASSWORD"));
    environment.extend([("PGUSER", user.to_owned()), ("PGPASSWORD", password.to_owned())]);
    environment
}

fn refused(connect: &Connect) -> Message {
    match connect.try_open() {
        Err(Refused::Error(message)) => message,
        Err(Refused::Io(error)) => panic!("no answer: {error}"),
        Ok(_) => panic!("the client got in"),
    }
}

fn check_version(version: Version) {
    let gate = gate(version, SECTIONS, "");
    let mut session = connect(&gate, "billing", PASSWORD).open();
    assert_eq!(session.rows("SELECT current_user, session_user"), "billing|billing");
    // Policy and masks are those of its groups.
    let masked = session.rows("SELECT ssn FROM customers WHERE id = 1");
    assert!(masked.starts_with('*'), "{masked}");
    assert_eq!(
        session.query("SELECT id FROM customers WHERE ssn = '1'").last().unwrap().tag,
        tag::READY_FOR_QUERY
    );
    let told = session.rows("SELECT current_setting('gatepost.identity')");
    assert_eq!(told, "legacy:billing");
    // Beside it, on the same database, somebody with a token, by the login that is for tokens.
    let mut agent = gate.connect("support-agent").open();
    assert_eq!(agent.rows("SELECT current_user"), LOGIN);
    let started = gate.events("session_started", 2);
    let of_account = started.iter().find(|started| started["method"] == "passthrough").unwrap();
    assert_eq!(of_account["identity"]["issuer"], "legacy");
    assert_eq!(of_account["identity"]["attributes"], json!({ "owner": "billing team", "system": "erp" }));
    assert!(!gate.gateway.log().contains(PASSWORD));
}

#[test]
fn a_legacy_account_is_itself_upstream_and_decided_by_policy_on_postgresql_14() {
    check_version(Version::V14);
}

#[test]
fn a_legacy_account_is_itself_upstream_and_decided_by_policy_on_postgresql_16() {
    check_version(Version::V16);
}

#[test]
fn a_legacy_account_is_itself_upstream_and_decided_by_policy_on_postgresql_17() {
    check_version(Version::V17);
}

#[test]
fn a_legacy_account_is_itself_upstream_and_decided_by_policy_on_postgresql_18() {
    check_version(Version::V18);
}

#[test]
fn stock_clients_log_in_with_name_and_password() {
    let gate = gate(Version::V15, SECTIONS, "");
    let good = environment(&gate, "billing", PASSWORD);
    assert_eq!(run_psql(&good, "SELECT current_user").stdout, "billing\n");
    let mut python = clients::command(&tools().join("venv/bin/python"), &good);
    python.arg(clients::client("legacy_client.py")).arg("SELECT current_user::text");
    let found = answer(python);
    for way in ["bound", "unbound", "scram", "asyncpg"] {
        assert_eq!(found[way], "billing", "{way}: {found}");
    }
    // The gateway never asks for the password itself.
    assert!(found["clear"]["message"].as_str().unwrap().contains("SASL"), "{found}");
    let mut java = clients::command(Path::new("/usr/bin/env"), &good);
    java.args(["java", "-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/postgresql.jar"]);
    java.arg(clients::client("LegacyLogin.java")).arg("SELECT current_user");
    let ran: Ran = java.output().unwrap().into();
    assert_eq!(ran.stdout, "billing\n", "{ran:#?}");
    let bad = environment(&gate, "billing", "wrong");
    let ran = run_psql(&bad, "SELECT 1");
    assert!(ran.stderr.contains("password authentication failed for user \"billing\""), "{ran:#?}");
}

/// What a gateway says to a client that begins SCRAM as `user` and answers the challenge with a proof of its own making: the types and
/// texts of its messages, salts and nonces taken out, and the salt.
fn conversation(gate: &Gate, user: &str, database: &str) -> (Vec<String>, String) {
    let connect = Connect::tcp(gate.gateway.postgres()).tls(authority().certificate());
    let mut raw = connect.stream().unwrap();
    let mut bytes = Vec::new();
    encode::startup(&mut bytes, ProtocolVersion::V3_0, [("user", user), ("database", database)]).unwrap();
    raw.send(&bytes);
    let (mut told, mut salt) = (Vec::new(), String::new());
    while let Some(message) = raw.receive() {
        let mut out = Vec::new();
        match (message.tag, Authentication::parse(&message.body)) {
            (tag::AUTHENTICATION, Ok(Authentication::Sasl { mechanisms })) => {
                let names: Vec<_> =
                    mechanisms.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
                told.push(names.join(" "));
                encode::sasl_initial_response(&mut out, b"SCRAM-SHA-256", Some(b"n,,n=,r=abcdef")).unwrap();
            }
            (tag::AUTHENTICATION, Ok(Authentication::SaslContinue(data))) => {
                let text = String::from_utf8(data.to_vec()).unwrap();
                let mut parts = text.split(',');
                let nonce = parts.next().unwrap().to_owned();
                salt = parts.next().unwrap().to_owned();
                told.push(format!("{} {} {:?}", nonce.len(), salt.len(), parts.collect::<Vec<_>>()));
                let last = format!("c=biws,{nonce},p={}=", "A".repeat(43));
                encode::sasl_response(&mut out, last.as_bytes()).unwrap();
            }
            _ => told.push(format!("{message:?}").replace(user, "USER")),
        }
        if !out.is_empty() {
            raw.send(&out);
        }
    }
    (told, salt)
}

#[test]
fn a_stranger_is_told_what_an_account_with_a_wrong_password_is_told() {
    let sections = format!(
        "{SECTIONS}\n[[legacy]]\nname = \"over\"\nverifier = \"file:legacy-verifiers.txt\"\nuntil = 2020-01-31\n\
         [[legacy]]\nname = \"elsewhere\"\ndatabases = \"other\"\nverifier = \"env:NOT_SET\""
    );
    let gate = gate(Version::V15, &sections, "");
    let (expected, salt) = conversation(&gate, "billing", "shop");
    assert_eq!(expected.len(), 3, "{expected:?}");
    assert!(expected[0].starts_with("SCRAM-SHA-256-PLUS SCRAM-SHA-256"), "{expected:?}");
    let mut salts = vec![salt];
    // No account, one whose verifier can't be had, one whose time is over, one for another database, no such database.
    for (user, database) in [
        ("nobody", "shop"),
        ("postgres", "shop"),
        ("over", "shop"),
        ("elsewhere", "shop"),
        ("billing", "nowhere"),
        ("elsewhere", "other"),
    ] {
        let (told, salt) = conversation(&gate, user, database);
        assert_eq!(told, expected, "{user} {database}");
        assert_eq!(salt, conversation(&gate, user, database).1, "a salt is the same each time");
        salts.push(salt);
    }
    let count = salts.len();
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len(), count, "each name has a salt of its own");
    // The operator learns what it was.
    let reasons: Vec<_> = gate
        .audit(&["--event", "authentication_failed"])
        .iter()
        .map(|e| e["reason"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(reasons[0], "the password is wrong");
    assert!(reasons[1].contains("no such legacy account"), "{reasons:?}");
}

#[test]
fn whoever_breaks_the_exchange_is_shut_out() {
    let gate = gate(Version::V15, SECTIONS, "");
    let begin = || -> Raw {
        let connect = Connect::tcp(gate.gateway.postgres()).tls(authority().certificate());
        let mut raw = connect.stream().unwrap();
        let mut bytes = Vec::new();
        encode::startup(&mut bytes, ProtocolVersion::V3_0, [("user", "billing"), ("database", "shop")])
            .unwrap();
        raw.send(&bytes);
        assert_eq!(raw.receive().unwrap().tag, tag::AUTHENTICATION);
        raw
    };
    let initial = |mechanism: &str, first: &[u8]| {
        let mut out = Vec::new();
        encode::sasl_initial_response(&mut out, mechanism.as_bytes(), Some(first)).unwrap();
        out
    };
    let long = format!("n,,n=,r={}", "x".repeat(2000));
    for (message, state, told) in [
        (initial("SCRAM-SHA-256", b"y,,n=,r=abc"), "28000", "channel binding negotiation"),
        (initial("SCRAM-SHA-256", long.as_bytes()), "08P01", "too long"),
        (initial("SCRAM-SHA-1", b"n,,n=,r=abc"), "08P01", "not offered"),
        (initial("OAUTHBEARER", b"n,,\x01auth=Bearer x\x01\x01"), "08P01", "not offered"),
        (initial("SCRAM-SHA-256-PLUS", b"p=tls-unique,,n=,r=abc"), "08P01", "binding type"),
        (initial("SCRAM-SHA-256", b"n,a=postgres,n=,r=abc"), "08P01", "authorization identity"),
        (
            [initial("SCRAM-SHA-256", b"n,,n=,r=abc"), initial("SCRAM-SHA-256", b"n,,n=,r=abc")].concat(),
            "08P01",
            "before authentication was complete",
        ),
    ] {
        let mut raw = begin();
        raw.send(&message);
        let error = raw.receive().unwrap();
        assert_eq!(error.field(b'C'), state, "{error:?}");
        assert!(error.field(b'M').contains(told), "{error:?}");
        assert!(raw.receive().is_none(), "one attempt for each connection");
    }
}

#[test]
fn a_deadline_warns_and_then_refuses_whoever_has_proved_who_it_is() {
    let sections = "[[auth]]\nmethod = \"passthrough\"\n[[legacy]]\nname = \"billing\"\nowner = \"erp team\"\n\
                    verifier = \"file:legacy-verifiers.txt\"\ngroups = \"support-agents\"\nuntil = 2099-12-31";
    let mut gate = gate(Version::V15, sections, "");
    assert_eq!(run_psql(&environment(&gate, "billing", PASSWORD), "SELECT 1").stderr, "");
    let config = gate.gateway.home().join("gatepost.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let soon = tomorrow();
    std::fs::write(&config, text.replace("2099-12-31", &soon)).unwrap();
    gate.gateway.stop(crate::stage::SOON).unwrap();
    gate.restart();
    let ran = run_psql(&environment(&gate, "billing", PASSWORD), "SELECT 1");
    assert_eq!(ran.stdout, "1\n");
    let warning = format!("WARNING:  legacy account \"billing\" can be used until {soon}\nHINT:  ");
    assert!(ran.stderr.starts_with(&warning), "{ran:#?}");
    let record = gate.events("legacy_account_ends", 1).remove(0);
    assert_eq!((&record["until"], &record["owner"]), (&json!(soon), &json!("erp team")));
    assert!(gate.gateway.log().contains("a legacy account is in use, and its deadline is near"));
    std::fs::write(&config, text.replace("2099-12-31", "2020-02-29")).unwrap();
    gate.gateway.stop(crate::stage::SOON).unwrap();
    gate.restart();
    let error = refused(&connect(&gate, "billing", PASSWORD));
    assert_eq!(error.field(b'C'), "28000");
    assert_eq!(error.field(b'M'), "legacy account \"billing\" could be used until 2020-02-29");
    assert!(error.field(b'H').contains("token"), "{error:?}");
    assert_eq!(refused(&connect(&gate, "billing", "wrong")).field(b'C'), "28P01");
    let failed = gate.audit(&["--event", "authentication_failed"]);
    assert_eq!((&failed[0]["issuer"], &failed[0]["subject"]), (&json!("legacy"), &json!("billing")));
    assert!(failed[1]["subject"].is_null(), "{failed:?}");
}

/// The day after today, in UTC.
fn tomorrow() -> String {
    let ran = std::process::Command::new("date").args(["-u", "-d", "tomorrow", "+%F"]).output().unwrap();
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_password_that_was_changed_works_at_once_where_the_database_is_asked() {
    let sections = "[[auth]]\nmethod = \"passthrough\"\n[[legacy]]\nname = \"billing\"\ngroups = \"support-agents\"\n\
                    [[legacy]]\nname = \"odd \\\"name\"\n[[legacy]]\nname = \"closed\"\n[[legacy]]\nname = \"ancient\"\n\
                    [passthrough]\nverifier_age_max = \"0s\"";
    let gate = gate(Version::V15, sections, "verifiers = \"env:ADMIN_URL\"");
    connect(&gate, "billing", PASSWORD).open();
    // Known to policy by nothing, but somebody: told so, after the proof.
    assert_eq!(refused(&connect(&gate, "odd \"name", PASSWORD)).field(b'C'), "42501");
    for user in ["closed", "ancient"] {
        assert_eq!(refused(&connect(&gate, user, PASSWORD)).field(b'C'), "28P01", "{user}");
    }
    // Of a name that is no account, somebody's verifier is asked for all the same, and again after each failure.
    let asked = || -> usize {
        let log = gate.shop.cluster.log();
        log.lines()
            .filter(|line| {
                line.contains("connection authorized: user=postgres")
                    && line.contains("application_name=gatepost")
            })
            .count()
    };
    gate.shop.cluster.psql("ALTER SYSTEM SET log_connections = on");
    gate.shop.cluster.psql("SELECT pg_reload_conf()");
    let logged = || {
        assert_eq!(refused(&connect(&gate, "billing", "wrong")).field(b'C'), "28P01");
        (asked() > 0).then_some(())
    };
    assert!(testkit::process::poll(crate::stage::SOON, logged).is_some());
    let before = asked();
    assert_eq!(refused(&connect(&gate, "nobody", "wrong")).field(b'C'), "28P01");
    assert_eq!(asked(), before + 1);
    gate.shop.cluster.psql("ALTER ROLE billing PASSWORD 'another'");
    connect(&gate, "billing", "another").open();
    assert_eq!(refused(&connect(&gate, "billing", PASSWORD)).field(b'C'), "28P01");
}

#[test]
fn a_verifier_out_of_date_is_the_operators_to_mend() {
    let gate = gate(Version::V15, SECTIONS, "verifiers = \"env:ADMIN_URL\"");
    gate.shop.cluster.psql("ALTER ROLE billing PASSWORD 'another'");
    let error = refused(&connect(&gate, "billing", PASSWORD));
    assert_eq!(error.field(b'C'), "57P03");
    let reason = gate.audit(&["--event", "upstream_failed"])[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("the verifier is out of date: run \"gatepost legacy import\" again"), "{reason}");
    let home = gate.gateway.home();
    let mut command = std::process::Command::new(crate::stage::binary());
    command.args(["legacy", "import", "--user", "b*", "--format", "json"]).current_dir(home);
    command.env("ADMIN_URL", admin_url(gate.shop.cluster));
    let ran: Ran = command.output().unwrap().into();
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let told = |name: &str| {
        let row = found.as_array().unwrap().iter().find(|row| row["account"] == name).unwrap();
        row["result"].as_str().unwrap().to_owned()
    };
    assert_eq!((told("billing").as_str(), told("boss").as_str()), ("replaced", "no password"), "{ran:#?}");
    assert_eq!(ran.status, Some(1), "not all that were asked for can be used");
    // What is kept is looked at again after a second at the latest, since the last login failed.
    let opened =
        testkit::process::poll(crate::stage::SOON, || connect(&gate, "billing", "another").try_open().ok());
    assert!(opened.is_some());
}

#[test]
fn an_import_says_what_can_t_be_had_and_keeps_what_is_there_to_itself() {
    use std::os::unix::fs::PermissionsExt as _;
    let cluster = cluster(Version::V15);
    let shop = Shop::new(Version::V15);
    roles(cluster, &shop.database);
    let home = Scratch::new("gatepost");
    let ran = import(&home, cluster, &shop, &[]);
    assert_eq!(ran.status, Some(1), "{ran:#?}");
    for (account, result) in
        [("ancient", "unfit"), ("billing", "imported"), ("odd \"name", "imported"), ("unset", "no password")]
    {
        let line = ran
            .stdout
            .lines()
            .find(|line| line.starts_with(account))
            .unwrap_or_else(|| panic!("{account}: {ran:#?}"));
        assert!(line.contains(result), "{line}");
    }
    assert!(!ran.stdout.contains("boss") && !ran.stdout.contains("closed"), "{ran:#?}");
    assert!(ran.stdout.contains("[[legacy]]\nname = \"odd \\\"name\"\nverifier = \"file:/"), "{ran:#?}");
    assert!(!ran.stdout.contains("SCRAM-SHA-256$"), "{ran:#?}");
    let file = home.path().join("legacy-verifiers.txt");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read_to_string(&file).unwrap();
    assert_eq!(before.lines().count(), 3, "the gateway's own login too");
    let again = import(&home, cluster, &shop, &["--user", "billing"]);
    assert!(again.stdout.contains("unchanged"), "{again:#?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    home.write("other.txt", "do not touch");
    let other = import(&home, cluster, &shop, &["--file", "other.txt"]);
    assert!(other.stderr.contains("no list of verifiers"), "{other:#?}");
    assert_eq!(std::fs::read_to_string(home.path().join("other.txt")).unwrap(), "do not touch");
    let nobody = import(&home, cluster, &shop, &["--user", "x*"]);
    assert!(nobody.stderr.contains("no role of the server is wanted"), "{nobody:#?}");
}

#[test]
fn a_database_may_be_for_legacy_accounts_alone_and_its_policy_is_reloaded() {
    let cluster = cluster(Version::V15);
    let shop = Shop::new(Version::V15);
    roles(cluster, &shop.database);
    let home = Scratch::new("gatepost");
    import(&home, cluster, &shop, &["--user", "billing"]);
    let setup = Setup { sections: SECTIONS.to_owned(), ..Setup::default() };
    let config = setup.write(&home, cluster, &shop.database);
    let static_login = "{ kind = \"static\", user = \"env:SHOP_USER\", password = \"env:SHOP_PASSWORD\" }";
    let config = config.replace(static_login, "{ kind = \"passthrough\" }");
    let gateway = testkit::gatepost::Gateway::start_in(home, crate::stage::binary(), &config, &[]);
    let mut gate = Gate::of(gateway, shop);
    let mut session = connect(&gate, "billing", PASSWORD).open();
    assert_eq!(session.rows("SELECT current_user"), "billing");
    let token_user = refused(&gate.connect("support-agent"));
    assert_eq!(token_user.field(b'C'), "57P03");
    // A bundle without SQL tests is put in force, though the gateway can't ask the database anything.
    std::fs::remove_dir_all(gate.policy().join("tests")).unwrap();
    let rule = "permit (principal, action, resource) when { context.session.method == \"passthrough\" };";
    std::fs::write(gate.policy().join("all.cedar"), rule).unwrap();
    gate.gateway.signal("HUP");
    gate.events("policy_loaded", 2);
    let seen = testkit::process::poll(crate::stage::SOON, || {
        let ssn = connect(&gate, "billing", PASSWORD).open().rows("SELECT ssn FROM customers WHERE id = 1");
        Some(ssn).filter(|ssn| !ssn.starts_with('*'))
    });
    assert!(seen.is_some());
    // Whoever has the key cancels, and a session goes on afterwards.
    let session_statements = gate.audit(&["--event", "statement"]).len();
    let mut cancel = Vec::new();
    encode::cancel_request(&mut cancel, session.process_id, &session.key).unwrap();
    let mut sleeping = Vec::new();
    encode::query(&mut sleeping, b"SELECT pg_sleep(60)").unwrap();
    session.send(&sleeping);
    let mut other = Connect::tcp(gate.gateway.postgres()).tls(authority().certificate()).stream().unwrap();
    gate.events("statement", session_statements + 1);
    other.send(&cancel);
    let answered = session.until(tag::READY_FOR_QUERY);
    assert!(
        answered.iter().any(|m| m.tag == tag::ERROR_RESPONSE && m.field(b'C') == "57014"),
        "{answered:?}"
    );
}

#[test]
fn the_migration_report_says_who_still_comes_and_what_tokens_would_be_refused() {
    let gate = gate(Version::V15, SECTIONS, "");
    let mut session = connect(&gate, "billing", PASSWORD).parameter("application_name", "erp nightly").open();
    for sql in [
        "SELECT name FROM customers",
        "SELECT id FROM tickets",
        "UPDATE tickets SET status = 'open' WHERE id = 1",
    ] {
        session.query(sql);
    }
    gate.events("outcome", 3);
    let report = |arguments: &[&str]| {
        let mut all = vec!["audit", "report", "--migration", "--journal", "journal", "--format", "json"];
        all.extend(arguments);
        let ran = gate.run(&all);
        assert_eq!(ran.status, Some(0), "{ran:#?}");
        let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(found.as_array().unwrap().len(), 1, "{found:#}");
        found[0].clone()
    };
    let plain = report(&[]);
    assert_eq!((&plain["account"], &plain["owner"]), (&json!("billing"), &json!("billing team")));
    assert_eq!(
        (&plain["sessions"], &plain["statements"], &plain["refused"]),
        (&json!(1), &json!(3), &json!(0))
    );
    assert_eq!(plain["addresses"][0]["name"], "127.0.0.1");
    assert_eq!(plain["applications"], json!([{ "name": "erp nightly", "count": 1 }]));
    assert!(plain["would_refuse"].is_null());
    // As it is now, in its own groups, nothing would be refused; as analysts, who write nothing and see no names, two of three.
    assert_eq!(report(&["--bundle", "policy"])["would_refuse"], 0);
    let analysts = report(&["--bundle", "policy", "--as-groups", "analysts"]);
    assert_eq!(analysts["would_refuse"], 2, "{analysts:#}");
    let what: Vec<_> =
        analysts["what"].as_array().unwrap().iter().map(|what| what["name"].as_str().unwrap()).collect();
    assert!(
        what.contains(&"select public.customers.name") && what.contains(&"update public.tickets.status"),
        "{what:?}"
    );
    let own = report(&["--bundle", "policy", "--as-groups", "analysts", "--account-groups", "billing=dba"]);
    assert_eq!(own["would_refuse"], 0, "{own:#}");
    let table =
        gate.run(&["audit", "report", "--migration", "--bundle", "policy", "--as-groups", "analysts"]);
    assert!(table.stdout.contains("erp nightly"), "{table:#?}");
    assert_eq!(gate.run(&["audit", "report"]).status, Some(2));
}

//! Who gets in, by which token, for how long; and what those learn who don't.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::client::{Connect, Message, Refused};
use testkit::oidc::Provider;
use testkit::postgres::Version;
use testkit::process::{Process, guarded, poll};
use testkit::scratch::Scratch;
use wire::backend::tag;
use wire::frontend::encode;
use wire::startup::ProtocolVersion;

use crate::clients::{answer, psycopg};
use crate::flight::{Flight, sqlstate};
use crate::stage::{CLIENTS, Gate, SOON, Setup, Shop, authority, provider, token};

/// An issuer that signs whatever it is asked to.
struct Rogue {
    _process: Process,
    issuer: String,
    tokens: BTreeMap<String, String>,
}

impl Rogue {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients/rogue_issuer.mjs");
        let mut command = guarded("node", "KILL", None);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(command).unwrap();
        let mut line = String::new();
        BufReader::new(process.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let tokens = serde_json::from_value(said["tokens"].clone()).unwrap();
        Self { _process: process, issuer: said["issuer"].as_str().unwrap().into(), tokens }
    }
}

fn refused(connect: &Connect) -> Message {
    match connect.try_open() {
        Err(Refused::Error(message)) => message,
        Err(Refused::Io(error)) => panic!("no answer: {error}"),
        Ok(_) => panic!("the client got in"),
    }
}

#[test]
fn every_wrong_token_is_told_the_same_and_the_reason_is_on_record() {
    let rogue = Rogue::start();
    let issuers = vec![("corp".into(), provider().issuer()), ("rogue".into(), rogue.issuer.clone())];
    let gate = Setup { issuers, ..Setup::default() }.start(Shop::new(Version::V15));
    let mut good = gate.connect_with(&rogue.tokens["good"]).user("someone").open();
    assert_eq!(
        good.rows("SELECT name FROM customers WHERE id = 1"),
        "Bo Dahl",
        "the rogue's keys are believed"
    );

    let reasons = [
        ("not a token", "malformed"),
        ("two parts", "malformed"),
        ("five parts", "encrypted"),
        ("a changed claim", "signature does not match"),
        ("no signature", "unsigned"),
        ("a shared secret", "shared secret"),
        ("a key of its own", "signature does not match"),
        ("a key from elsewhere", "no key with id"),
        ("a path for a key", "no key with id"),
        ("critical extensions", "critical extensions"),
        ("another issuer", "is not configured"),
        ("another audience", "audience is"),
        ("no audience", "\"aud\" is missing"),
        ("expired", "expired"),
        ("no end", "\"exp\" is missing"),
        ("not yet valid", "not valid for another"),
        ("from the future", "issued"),
        ("no subject", "\"sub\" is missing"),
        ("a forged log line", "control or invisible"),
        ("bound to a key", "bound to a key"),
        ("too long", "bytes long"),
    ];
    assert_eq!(reasons.len() + 1, rogue.tokens.len(), "every token of the rogue's is tried");
    let mut told = Vec::new();
    for (kind, _) in reasons {
        told.push(refused(&gate.connect_with(&rogue.tokens[kind]).user(&format!("with {kind}"))));
    }
    told.push(refused(&gate.connect_with("").user("with nothing")));
    told.push(refused(
        &gate.connect_with(&provider().token_for("support-agent", "https://other.example")).user("x"),
    ));
    for message in &told {
        assert_eq!(message, &told[0]);
    }
    let fields = [b'S', b'C', b'M'].map(|code| told[0].field(code));
    assert_eq!(fields, ["FATAL", "28000", "authentication failed"]);

    let records = gate.events("authentication_failed", told.len());
    assert_eq!(records.len(), told.len(), "one for each");
    for (kind, reason) in reasons {
        let user = format!("with {kind}");
        let record = records.iter().find(|record| record["user"] == user.as_str()).unwrap();
        let said = record["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{kind}: {said:?} doesn't say {reason:?}");
    }
    let kept = format!("{records:?}{}", gate.gateway.log());
    for kind in ["expired", "a changed claim", "another audience", "no signature"] {
        let body = rogue.tokens[kind].split('.').nth(1).unwrap();
        assert!(!kept.contains(body), "the token that is {kind} is kept");
    }
    assert_eq!(good.rows("SELECT 1"), "1", "and nobody else notices");
}

#[test]
fn a_database_that_is_not_served_is_named_only_to_somebody() {
    let gate = Gate::new(Version::V15);
    let elsewhere = |connect: Connect| connect.database("payroll");
    let stranger = Connect::tcp(gate.gateway.postgres()).tls(authority().certificate()).user("x");
    assert_eq!(refused(&elsewhere(stranger.password("guess"))).field(b'C'), "28000");
    let known = Connect::tcp(gate.gateway.postgres()).tls(authority().certificate()).user("x");
    let told = refused(&elsewhere(known.password(&token("support-agent"))));
    assert_eq!(
        (told.field(b'C'), told.field(b'M')),
        ("3D000".into(), "database \"payroll\" does not exist".into())
    );
}

#[test]
fn who_is_known_but_in_no_group_of_the_policy_can_do_nothing() {
    let gate = Gate::new(Version::V15);
    let state = match gate.connect("nobody").try_open() {
        Ok(mut raw) => sqlstate(&raw.query("SELECT 1")),
        Err(refused) => refused.sqlstate(),
    };
    assert_eq!(state, "42501");
}

#[test]
fn auth_rules_are_taken_in_order_and_the_first_that_matches_decides() {
    let rogue = Rogue::start();
    let issuers = vec![("corp".into(), provider().issuer()), ("rogue".into(), rogue.issuer.clone())];
    let sections = "\
        [[auth]]\nmatch = { user = \"root\" }\nmethod = \"reject\"\n\
        [[auth]]\nmatch = { user = \"bearer*\" }\nmethod = \"oauthbearer\"\n\
        [[auth]]\nmatch = { address = \"127.0.0.0/8\", database = \"shop\" }\nmethod = \"token\"\nissuer = \"corp\"\n"
        .to_owned();
    let gate = Setup { issuers, sections, ..Setup::default() }.start(Shop::new(Version::V15));
    let corp = token("support-agent");
    assert_eq!(gate.connect_with(&corp).user("anybody").open().rows("SELECT 1"), "1");
    assert_eq!(gate.connect_with(&corp).user("bearer of it").open().rows("SELECT 1"), "1");
    assert_eq!(refused(&gate.connect_with(&corp).user("root")).field(b'C'), "28000");
    assert_eq!(refused(&gate.connect_with(&rogue.tokens["good"]).user("anybody")).field(b'C'), "28000");
    let methods: Vec<_> = gate.events("session_started", 2).iter().map(|e| e["method"].clone()).collect();
    assert_eq!(methods, ["token", "oauthbearer"]);
    let reasons = gate.events("authentication_failed", 2);
    assert!(reasons[0]["reason"].as_str().unwrap().contains("no [[auth]] rule"));
    assert!(reasons[1]["reason"].as_str().unwrap().contains("issuer \"rogue\" is not accepted"));
}

/// Returns an address of this machine that isn't loopback, if it has one; nothing is sent to learn it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // A datagram socket's connect only chooses the address; this one is for documentation (RFC 5737).
    socket.connect("198.51.100.1:9").ok()?;
    socket
        .local_addr()
        .ok()
        .map(|address| address.ip())
        .filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[test]
fn off_loopback_no_token_is_taken_without_tls() {
    let shop = Shop::new(Version::V15);
    let plain = Setup { listen: "0.0.0.0:0".into(), tls: false, ..Setup::default() };
    let home = Scratch::new("config");
    home.write("gatepost.toml", plain.write(&home, shop.cluster, &shop.database));
    let checked = std::process::Command::new(crate::stage::binary())
        .args(["check", "-c", "gatepost.toml"])
        .current_dir(home.path())
        .output()
        .unwrap();
    assert_eq!(checked.status.code(), Some(1), "the configuration alone is refused");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(said.contains("tls"), "{said}");

    // A machine without any other address has nothing more to show.
    let Some(address) = own_address() else { return };
    let gate = Setup { listen: format!("{address}:0"), ..Setup::default() }.start(shop);
    let connect = Connect::tcp(gate.gateway.postgres()).user("support-agent").database("shop");
    let told = refused(&connect.clone().password(&token("support-agent")));
    assert_eq!(
        (told.field(b'C'), told.field(b'M')),
        ("28000".into(), "connections from other hosts must use TLS".into())
    );
    let encrypted = connect.password(&token("support-agent")).tls(authority().certificate());
    assert_eq!(encrypted.open().rows("SELECT 1"), "1");
}

#[test]
fn oauthbearer_works_with_a_stock_libpq_that_learns_where_to_get_a_token() {
    let sections = "[[auth]]\nmethod = \"oauthbearer\"\n".to_owned();
    for version in [Version::V15, Version::V18] {
        let setup = Setup {
            sections: sections.clone(),
            issuer_keys: "scope = \"openid query\"".into(),
            ..Setup::default()
        };
        let gate = setup.start(Shop::new(version));
        let mut environment = gate.libpq("support-agent");
        environment.retain(|(name, _)| *name != "PGPASSWORD");
        // libpq takes issuers without TLS only so.
        environment.push(("PGOAUTHDEBUG", "UNSAFE".into()));
        let issuer = provider().issuer();
        let good = token("support-agent");
        let sql = "SELECT name, email FROM customers WHERE id = 1";
        let found = answer(psycopg(&environment, &["oauthbearer", &issuer, &good, sql]));
        let discovery = format!("{issuer}/.well-known/openid-configuration");
        assert_eq!(found["asked"], json!([[discovery, "openid query"]]), "{version}: {found:#}");
        assert_eq!(found["rows"], json!([[["Bo Dahl", "b***@e***.com"]]]), "{version}");
        assert_eq!(gate.events("session_started", 1)[0]["method"], "oauthbearer");

        let (unsigned, _) = good.rsplit_once('.').unwrap();
        let broken = format!("{unsigned}.{}", "A".repeat(86));
        let found = answer(psycopg(&environment, &["oauthbearer", &issuer, &broken, sql]));
        assert!(
            found["error"].as_str().is_some_and(|error| error.contains("authentication failed")),
            "{found:#}"
        );
        let reasons = gate.events("authentication_failed", 1);
        assert_eq!(reasons.len(), 1, "asking where to get a token is no failure: {reasons:#?}");
        assert!(reasons[0]["reason"].as_str().unwrap().contains("signature"), "{reasons:#?}");
        // Who has only a password for this rule is told by libpq.
        let by_password = refused_by_psql(&gate);
        assert!(by_password.contains("OAUTH") || by_password.contains("SASL"), "{by_password}");
    }
}

/// What psql 15, which knows no OAUTHBEARER, says.
fn refused_by_psql(gate: &Gate) -> String {
    let ran = crate::clients::run_psql(&gate.libpq("support-agent"), "SELECT 1");
    assert_eq!(ran.status, Some(2), "{ran:#?}");
    ran.stderr
}

#[test]
fn a_refused_bearer_token_is_answered_with_the_error_document_and_then_the_neutral_error() {
    let sections = "[[auth]]\nmethod = \"oauthbearer\"\n".to_owned();
    let gate = Setup { sections, ..Setup::default() }.start(Shop::new(Version::V15));
    let connect = gate.connect_with("").user("x");
    for (initial, recorded) in
        [("n,,\u{1}auth=\u{1}\u{1}", false), ("n,,\u{1}auth=Bearer a.b.c\u{1}\u{1}", true)]
    {
        let mut raw = connect.stream().unwrap();
        let mut bytes = Vec::new();
        encode::startup(&mut bytes, ProtocolVersion::V3_0, [("user", "x"), ("database", "shop")]).unwrap();
        raw.send(&bytes);
        let asked = raw.receive().unwrap();
        assert!(asked.tag == tag::AUTHENTICATION && asked.body.ends_with(b"OAUTHBEARER\0\0"), "{asked:?}");
        bytes.clear();
        encode::sasl_initial_response(&mut bytes, b"OAUTHBEARER", Some(initial.as_bytes())).unwrap();
        raw.send(&bytes);
        let document = raw.receive().unwrap();
        // AuthenticationSASLContinue (11), then RFC 7628 3.2.2.
        assert_eq!((document.tag, &document.body[..4]), (tag::AUTHENTICATION, &[0, 0, 0, 11][..]));
        let document: Value = serde_json::from_slice(&document.body[4..]).unwrap();
        assert_eq!(
            document,
            json!({
                "status": "invalid_token", "scope": "openid",
                "openid-configuration": format!("{}/.well-known/openid-configuration", provider().issuer()),
            })
        );
        bytes.clear();
        encode::sasl_response(&mut bytes, b"\x01").unwrap();
        raw.send(&bytes);
        let error = raw.receive().unwrap();
        assert_eq!((error.field(b'C'), error.field(b'M')), ("28000".into(), "authentication failed".into()));
        assert!(raw.receive().is_none());
        assert_eq!(gate.audit(&["--event", "authentication_failed"]).len(), usize::from(recorded));
    }
}

#[test]
fn new_keys_are_fetched_when_they_are_met_and_made_up_ones_make_no_storm() {
    let own = Provider::with_clients(&CLIENTS);
    let setup = Setup { issuers: vec![("corp".into(), own.issuer())], ..Setup::default() };
    let gate = setup.start(Shop::new(Version::V15));
    let old = own.token("support-agent");
    gate.connect_with(&old).user("x").open();
    own.rotate();
    let new = own.token("support-agent");
    // Not at once: the gateway asks no more often than every so many seconds, whatever comes.
    let rotated = poll(Duration::from_secs(60), || {
        std::thread::sleep(Duration::from_millis(100));
        gate.connect_with(&new).user("x").try_open().ok()
    });
    assert_eq!(rotated.expect("the new key is believed").rows("SELECT 1"), "1");
    assert_eq!(refused(&gate.connect_with(&old).user("x")).field(b'C'), "28000", "its key is withdrawn");
    let (discoveries, fetches) = own.fetches();
    assert!(discoveries <= 4 && fetches <= 4, "{discoveries} discoveries, {fetches} fetches of keys");
}

/// Returns a gateway that gives its issuer no leeway, and a token that has a few seconds left, with the moment of its end.
fn short_lived(version: Version, agent: &str, seconds: u64) -> (Gate, String, Instant) {
    let gate = Setup { issuer_keys: "leeway = \"0s\"".into(), ..Setup::default() }.start(Shop::new(version));
    // The keys are cached before the token's time runs.
    gate.open(agent);
    let before = Instant::now();
    let token = provider().token_for(agent, &format!("https://gatepost.test/es256?ttl={seconds}"));
    // `exp` is in whole seconds, so the end is up to one second earlier than this.
    (gate, token, before + Duration::from_secs(seconds) + before.elapsed())
}

/// What a session that has ended by its token's expiry is told, in time.
#[track_caller]
fn expect_expiry(message: &Message, ends: Instant) {
    assert_eq!(message.field(b'S'), "FATAL");
    assert_eq!(message.field(b'C'), "57P01");
    assert_eq!(message.field(b'M'), "terminating connection: the token has expired");
    let late = Instant::now().saturating_duration_since(ends);
    // One second is promised; the rest is for a machine with better things to do.
    assert!(late < Duration::from_millis(2500), "{late:?} late");
    let early = ends.saturating_duration_since(Instant::now());
    assert!(early < Duration::from_millis(1500), "{early:?} early");
}

#[test]
fn a_tokens_end_ends_an_idle_session() {
    let (gate, token, ends) = short_lived(Version::V15, "support-agent", 3);
    let mut raw = gate.connect_with(&token).user("x").open();
    assert_eq!(raw.rows("SELECT 1"), "1");
    expect_expiry(&raw.receive().expect("the reason"), ends);
    assert!(raw.receive().is_none(), "and the connection ends");
    assert_eq!(gate.events("disconnected", 2)[1]["reason"], "the token has expired");
    let told = refused(&gate.connect_with(&token).user("x"));
    assert_eq!(told.field(b'C'), "28000", "it lets nobody in again");
}

#[test]
fn a_tokens_end_ends_a_busy_session_and_what_it_runs() {
    let (gate, token, ends) = short_lived(Version::V18, "admin", 4);
    let mut raw = gate.connect_with(&token).user("x").open();
    raw.rows("BEGIN; UPDATE tickets SET status = 'waiting'");
    Flight::default().query("SELECT pg_sleep(600)").to(&mut raw);
    expect_expiry(&raw.receive().expect("the reason"), ends);
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(600)%' \
                  AND pid <> pg_backend_pid()";
    let gone = || (gate.shop.sql(asleep) == "0").then_some(());
    poll(SOON, gone).expect("the server process ends too");
    assert_ne!(gate.shop.sql("SELECT count(*) FROM tickets WHERE status <> 'waiting'"), "0", "rolled back");
    let record = gate.statement("pg_sleep(600)");
    assert!(!record["outcome"]["lost"].is_null() || !record["outcome"]["sqlstate"].is_null(), "{record:#}");
}

#[test]
fn a_tokens_end_ends_a_copy_in_the_middle() {
    let (gate, token, ends) = short_lived(Version::V15, "admin", 4);
    let mut raw = gate.connect_with(&token).user("x").open();
    Flight::default().query("COPY products (name, category, price) FROM STDIN").to(&mut raw);
    assert_eq!(raw.receive().unwrap().tag, tag::COPY_IN_RESPONSE);
    let mut bytes = Vec::new();
    encode::copy_data(&mut bytes, b"half\thome\t1\n").unwrap();
    raw.send(&bytes);
    expect_expiry(&raw.receive().expect("the reason"), ends);
    let none = || {
        (gate.shop.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY products%'") == "0")
            .then_some(())
    };
    poll(SOON, none).expect("the server process ends too");
    assert_eq!(gate.shop.sql("SELECT count(*) FROM products WHERE name = 'half'"), "0");
}

#[test]
fn cached_keys_serve_while_the_provider_is_down_and_nobody_gets_in_without_any() {
    let own = Provider::with_clients(&CLIENTS);
    let (first, second) = (own.token("support-agent"), own.token_for("admin", "https://gatepost.test/rs256"));
    let setup = || Setup { issuers: vec![("corp".into(), own.issuer())], ..Setup::default() };
    let gate = setup().start(Shop::new(Version::V15));
    gate.connect_with(&first).user("x").open();
    let down = setup();
    own.stop();
    assert_eq!(gate.connect_with(&first).user("x").open().rows("SELECT 1"), "1");
    assert_eq!(gate.connect_with(&second).user("x").open().rows("SELECT 1"), "1", "the other key as well");

    let cold = down.start(Shop::new(Version::V15));
    let told = refused(&cold.connect_with(&first).user("x"));
    assert_eq!((told.field(b'S'), told.field(b'C')), ("FATAL".into(), "28000".into()));
    let reason = cold.events("authentication_failed", 1)[0]["reason"].clone();
    assert!(reason.as_str().unwrap().contains("corp"), "{reason}");
}

//! The end of trust: sessions that are ended, and those who are kept out.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use testkit::client::{Connect, Message, Raw, Refused};
use testkit::postgres::Version;
use testkit::process::poll;
use wire::backend::tag;
use wire::frontend::encode;
use wire::startup::ProtocolVersion;

use crate::flight::Flight;
use crate::http::{Answer, request};
use crate::signer::Signer;
use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, SOON, Setup, Shop, binary, provider, token};
use crate::support::Ran;

/// A gateway without TLS, so that a test can speak HTTP by hand, with everybody in their role.
fn setup() -> Setup {
    Setup {
        tls: false,
        listen_keys: "http = \"127.0.0.1:0\"".into(),
        sections: "[operators]\noperator = \"corp:dba\"\nviewer = \"corp:analysts\"\n".into(),
        ..Setup::default()
    }
}

fn http(gate: &Gate) -> SocketAddr {
    gate.gateway.address("http").expect("an HTTP address")
}

fn api(gate: &Gate, line: &str, token: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    request(http(gate), line, &headers, &if body.is_null() { String::new() } else { body.to_string() })
}

fn refused(connect: &Connect) -> Message {
    match connect.try_open() {
        Err(Refused::Error(message)) => message,
        Err(Refused::Io(error)) => panic!("no answer: {error}"),
        Ok(_) => panic!("the client got in"),
    }
}

/// Reads to the end of a connection, and returns the last error on it.
fn last_error(raw: &mut Raw) -> Option<Message> {
    let mut last = None;
    while let Ok(Some(message)) = raw.try_receive() {
        if message.tag == tag::ERROR_RESPONSE {
            last = Some(message);
        }
    }
    last
}

fn expect_end(raw: &mut Raw, reason: &str) {
    let told = last_error(raw).expect("the client is told");
    let fields = [b'S', b'C', b'M'].map(|code| told.field(code));
    assert_eq!([&*fields[0], &*fields[1]], ["FATAL", "57P01"], "{fields:?}");
    assert!(fields[2].contains(reason), "{fields:?}");
}

/// Waits until no server process of the gateway's login is left.
fn all_gone(gate: &Gate) {
    let left =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'shop_app'";
    poll(SOON, || (gate.shop.sql(left) == "0").then_some(())).expect("the server processes end");
}

fn kill(gate: &Gate, arguments: &[&str]) -> Ran {
    let mut all = vec!["sessions", "kill"];
    all.extend(arguments);
    gate.run(&all)
}

fn sessions(gate: &Gate) -> Vec<Value> {
    let ran = gate.run(&["sessions", "list", "--format", "json"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn a_kill_ends_whatever_a_session_does_and_undoes_what_is_open() {
    let gate = setup().start(Shop::new(Version::V15));
    let before = gate.shop.sql("SELECT count(*) FROM tickets WHERE status = 'waiting'");
    let mut idle = gate.open("support-agent");
    let mut open = gate.open("admin");
    open.rows("BEGIN; UPDATE tickets SET status = 'waiting'");
    let mut asleep = gate.open("admin");
    asleep.rows("BEGIN");
    asleep.rows("INSERT INTO products (name, category, price) VALUES ('asleep', 'x', 1)");
    Flight::default().query("SELECT pg_sleep(600)").to(&mut asleep);
    let mut pipelined = gate.open("admin");
    let insert = "INSERT INTO products (name, category, price) VALUES ('pipelined', 'x', 1)";
    Flight::default().run("", "SELECT pg_sleep(601)").run("", insert).sync().to(&mut pipelined);
    let mut copying = gate.open("admin");
    Flight::default().query("COPY products (name, category, price) FROM STDIN").to(&mut copying);
    assert_eq!(copying.receive().unwrap().tag, tag::COPY_IN_RESPONSE);
    let mut bytes = Vec::new();
    encode::copy_data(&mut bytes, b"half\thome\t1\n").unwrap();
    copying.send(&bytes);
    // Nobody reads this one's rows: all buffers on the way fill up.
    let mut deaf = gate.open("admin");
    Flight::default().query("SELECT repeat('x', 10000) FROM generate_series(1, 100000)").to(&mut deaf);
    assert_eq!(deaf.receive().unwrap().tag, tag::ROW_DESCRIPTION);
    let busy = || {
        let running = sessions(&gate).iter().filter(|it| it["state"] == "running").count();
        (running == 4).then_some(())
    };
    poll(SOON, busy).expect("four of them run something");

    let ran = kill(&gate, &["--database", "shop", "--reason", "an incident"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    assert!(ran.stdout.contains("6 ended"), "{}", ran.stdout);
    for raw in [&mut idle, &mut open, &mut asleep, &mut pipelined, &mut copying] {
        expect_end(raw, "ended by an operator: an incident");
    }
    all_gone(&gate);
    assert!(last_error(&mut deaf).is_none_or(|told| told.field(b'C') == "57P01"), "and its connection ends");
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets WHERE status = 'waiting'"), before);
    let left = "SELECT count(*) FROM products WHERE name IN ('half', 'asleep', 'pipelined')";
    assert_eq!(gate.shop.sql(left), "0", "all is rolled back");
    assert!(sessions(&gate).is_empty());

    let record = &gate.events("sessions_ended", 1)[0];
    assert_eq!(record["selector"], "database shop");
    assert_eq!(record["reason"], "an incident");
    assert!(record["by"].as_str().unwrap().starts_with("local:uid="), "{record}");
    assert_eq!(record["sessions"].as_array().unwrap().len(), 6);
    assert_eq!(gate.open("support-agent").rows("SELECT 1"), "1", "nobody is kept out");
}

#[test]
fn sessions_are_found_by_whatever_is_known_of_them_and_others_live_on() {
    let signer = Signer::start();
    let issuers = vec![("corp".into(), provider().issuer()), ("partner".into(), signer.issuer.clone())];
    let gate = Setup { issuers, ..setup() }.start(Shop::new(Version::V15));
    let mut other = gate.open("analyst");
    let groups = ["support-agents"];
    let acting = json!({ "sub": "alice", "act": { "sub": "bot-7" } });
    let ways: [(&[&str], String); 6] = [
        (&["--identity", "partner:carol"], signer.access("carol", &groups, json!({}))),
        (&["--identity", "partner:alice"], signer.access("alice", &groups, acting.clone())),
        (&["--identity", "partner:bot-7"], signer.access("alice", &groups, acting)),
        (&["--group", "support-agents"], signer.access("dave", &groups, json!({}))),
        (&["--issuer", "partner"], signer.access("erin", &groups, json!({}))),
        (&["--token-id", "token-9"], signer.access("frank", &groups, json!({ "jti": "token-9" }))),
    ];
    for (which, token) in ways {
        let mut raw = gate.connect_with(&token).user("x").open();
        let ran = kill(&gate, which);
        assert!(ran.stdout.contains("1 ended"), "{which:?}: {ran:#?}");
        expect_end(&mut raw, "ended by an operator");
    }
    let mut one = gate.open("support-agent");
    let found = sessions(&gate);
    let it = found.iter().find(|it| it["identity"] == "corp:support-agent").unwrap();
    assert_eq!([&it["state"], &it["database"], &it["user"]], ["idle", "shop", "support-agent"]);
    assert_eq!(it["groups"], json!(["support-agents"]));
    assert_eq!(kill(&gate, &[it["id"].as_str().unwrap()]).status, Some(0));
    expect_end(&mut one, "ended by an operator");
    assert_eq!(other.rows("SELECT 1"), "1", "nobody else was meant");
    assert_eq!(kill(&gate, &[]).status, Some(2), "all of them are never meant by saying nothing");
}

#[test]
fn a_session_that_is_not_yet_anybody_is_ended_too() {
    let gate = setup().start(Shop::new(Version::V15));
    let mut silent = gate.connect("support-agent").stream().unwrap();
    let mut bytes = Vec::new();
    encode::startup(&mut bytes, ProtocolVersion::V3_0, [("user", "x"), ("database", "shop")]).unwrap();
    silent.send(&bytes);
    assert_eq!(silent.receive().unwrap().tag, tag::AUTHENTICATION);
    let found = sessions(&gate);
    assert_eq!(found[0]["state"], "authenticating");
    assert_eq!(kill(&gate, &["--database", "shop"]).status, Some(0));
    expect_end(&mut silent, "ended by an operator");
}

#[test]
fn who_is_blocked_stays_out_until_that_is_lifted_whatever_becomes_of_the_gateway() {
    let mut gate = setup().start(Shop::new(Version::V15));
    let mut raw = gate.open("support-agent");
    let ran =
        kill(&gate, &["--identity", "corp:support-agent", "--block-for", "1h", "--reason", "leaked token"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    expect_end(&mut raw, "leaked token");
    let expect_refusal = |gate: &Gate| {
        let told = refused(&gate.connect("support-agent"));
        let fields = [b'S', b'C', b'M'].map(|code| told.field(code));
        assert_eq!(fields, ["FATAL", "28000", "access is withdrawn: leaked token"]);
    };
    expect_refusal(&gate);
    let record = gate.events("authentication_failed", 1).remove(0);
    assert_eq!([&record["issuer"], &record["subject"]], ["corp", "support-agent"]);
    assert_eq!(gate.open("analyst").rows("SELECT 1"), "1", "nobody else is kept out");

    gate.gateway.kill();
    gate.restart();
    expect_refusal(&gate);
    let listed = gate.run(&["sessions", "blocks", "list", "--format", "json"]);
    let blocks: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!([&blocks[0]["kind"], &blocks[0]["value"]], ["identity", "corp:support-agent"]);
    let id = blocks[0]["id"].as_str().unwrap();
    assert_eq!(gate.run(&["sessions", "blocks", "remove", id]).status, Some(0));
    assert_eq!(gate.open("support-agent").rows("SELECT 1"), "1");
    assert_eq!(gate.run(&["sessions", "blocks", "remove", id]).status, Some(1), "there is none any more");
    gate.gateway.kill();
    gate.restart();
    assert_eq!(gate.open("support-agent").rows("SELECT 1"), "1", "and it does not come back");
    assert_eq!(gate.events("block_added", 1)[0]["block"], id);
    assert_eq!(gate.events("block_removed", 1)[0]["block"], id);
}

#[test]
fn over_http_everybody_has_their_role_and_strangers_learn_nothing() {
    let gate = setup().start(Shop::new(Version::V15));
    let mut raw = gate.open("support-agent");
    let body = json!({ "kind": "identity", "value": "corp:support-agent", "how": { "reason": "drill" } });
    let kill = "POST /api/v1/sessions/kill";
    let none = Value::Null;

    let nobody = request(http(&gate), kill, &[], "{}");
    let wrong = api(&gate, kill, "not.a.token", &body);
    assert_eq!((nobody.status, wrong.status), (401, 401));
    assert_eq!(nobody.body, wrong.body, "whatever is wrong with it");
    assert_eq!(api(&gate, kill, &token("support-agent"), &body).status, 403);
    assert_eq!(api(&gate, kill, &token("analyst"), &body).status, 403, "a viewer looks on");
    assert_eq!(api(&gate, "GET /api/v1/sessions", &token("support-agent"), &none).status, 403);
    let seen = api(&gate, "GET /api/v1/sessions", &token("analyst"), &none).json();
    assert_eq!(seen[0]["identity"], "corp:support-agent");
    assert_eq!(raw.rows("SELECT 1"), "1", "none of them ended it");
    let refusals = gate.events("control_refused", 4);
    assert_eq!(refusals[1]["by"], "corp:support-agent");
    assert!(refusals[2]["reason"].as_str().unwrap().contains("needs operator, has viewer"), "{refusals:?}");

    let done = api(&gate, kill, &token("admin"), &body);
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(done.json()["sessions"].as_array().unwrap().len(), 1);
    expect_end(&mut raw, "drill");
    assert_eq!(gate.events("sessions_ended", 1)[0]["by"], "corp:admin");

    for header in [
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "content-security-policy: default-src 'none'",
    ] {
        assert!(done.head.contains(header), "{header}: {}", done.head);
    }
    assert!(!done.head.contains("access-control-"), "no page of another origin reads it");
    assert_eq!(request(http(&gate), "GET /healthz", &[], "").status, 200);
    assert_eq!(request(http(&gate), "GET /readyz", &[], "").status, 200);
    assert_eq!(request(http(&gate), "GET /nothing", &[], "").status, 404);
    let long = "x".repeat(300_000);
    assert_eq!(request(http(&gate), "POST /backchannel-logout", &[], &long).status, 413);
    let bad = json!({ "kind": "identity", "value": "x", "how": { "reason": "a\nb" } });
    assert_eq!(api(&gate, kill, &token("admin"), &bad).status, 400);
    let bad = json!({ "kind": "subject", "value": "x" });
    assert_eq!(api(&gate, kill, &token("admin"), &bad).status, 400);

    // The command line, as somebody with a token.
    let as_somebody = |agent: &str, arguments: &[&str]| -> Ran {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(gate.gateway.home());
        command.env("GATEPOST_TOKEN", token(agent)).env("GATEPOST_URL", format!("http://{}", http(&gate)));
        command.env("SHOP_USER", LOGIN).env("SHOP_PASSWORD", LOGIN_PASSWORD).output().unwrap().into()
    };
    assert_eq!(as_somebody("admin", &["sessions", "list"]).status, Some(0));
    let refused = as_somebody("support-agent", &["sessions", "list"]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("needs the role viewer"), "{}", refused.stderr);

    // Too many wrong tokens from one place.
    let tries: Vec<u16> = (0..40).map(|_| api(&gate, "GET /api/v1/blocks", "wrong", &none).status).collect();
    assert!(tries.contains(&429), "{tries:?}");
}

#[test]
fn who_is_blocked_can_not_lift_it_over_http() {
    let gate = setup().start(Shop::new(Version::V15));
    let ran = kill(&gate, &["--identity", "corp:admin", "--block-for", "1h"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    assert_eq!(api(&gate, "GET /api/v1/blocks", &token("admin"), &Value::Null).status, 401);
}

/// By hand: `TRUST_MEASURE=150 cargo nextest run -p gatepost many_sessions --no-capture` prints how long it takes; the cluster takes 200 clients.
#[test]
fn many_sessions_end_at_once() {
    let count: usize = std::env::var("TRUST_MEASURE").map_or(40, |count| count.parse().unwrap());
    let gate = setup().start(Shop::new(Version::V15));
    let mut raws: Vec<_> = (0..count).map(|_| gate.open("admin")).collect();
    for raw in raws.iter_mut().take(5) {
        Flight::default().query("SELECT pg_sleep(600)").to(raw);
    }
    let running = || sessions(&gate).iter().filter(|it| it["state"] == "running").count() == 5;
    poll(SOON, || running().then_some(())).expect("five run");
    let began = Instant::now();
    assert_eq!(kill(&gate, &["--group", "dba"]).status, Some(0));
    let answered = began.elapsed();
    all_gone(&gate);
    let gone = began.elapsed();
    println!("{count} sessions: answered in {answered:?}, all server processes gone after {gone:?}");
    for raw in &mut raws {
        assert_eq!(last_error(raw).map(|told| told.field(b'C')).as_deref(), Some("57P01"));
    }
}

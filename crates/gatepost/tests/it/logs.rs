//! The log: every line of it can be read by a machine, and none tells what was said or what is secret, however much is asked for.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::collector::Collector;
use testkit::gatepost::LOG_FORMAT;
use testkit::postgres::Version;
use testkit::process::poll;
use testkit::scratch::Scratch;

use crate::flight::{Flight, sqlstate};
use crate::http::request;
use crate::signer::Signer;
use crate::stage::{Gate, LOGIN_PASSWORD, SOON, Setup, Shop};

const RULES: &str = r#"
@id("agents-read")
permit (principal in Group::"agents", action in [Action::"select", Action::"filter"], resource);
@id("agents-delete")
permit (principal in Group::"agents", action == Action::"delete", resource in Relation::"shop.public.tickets")
when { context.approved_by.contains("lead") };
"#;
const BUNDLE: &str =
    "name = \"shop\"\nversion = \"1\"\n[approvers]\nlead = { group = \"leads\", hold = \"60s\" }\n";
const LITERAL: &str = "l1teral-canary";
const PARAMETER: &str = "par4meter-canary";
const HEADER: &str = "Bearer h3ader-canary";
const NOT_A_TOKEN: &str = "n0-token-canary";
/// Who breaks quotes; line ends are in no subject that is believed.
const SUBJECT: &str = "ada\"} red";
/// What would like to be a line of the log.
const FORGED: &str = "x\n{\"level\":\"ERROR\",\"message\":\"forged\"}\n\u{1b}[31mred";

fn start(signer: &Signer, collector: &Collector, format: &str) -> Gate {
    let policy = Scratch::new("policy");
    policy.write("bundle.toml", BUNDLE);
    policy.write("rules.cedar", RULES);
    let sections = format!(
        "[operators]\noperator = \"corp:ops\"\napprover = \"corp:leads\"\n\
         [telemetry.otlp]\nendpoint = \"{}\"\nheaders = {{ authorization = \"env:OTLP_HEADER\" }}\n",
        collector.url()
    );
    let setup = Setup {
        tls: false,
        listen_keys: "http = \"127.0.0.1:0\"\n".to_owned(),
        issuers: vec![("corp".to_owned(), signer.issuer.clone())],
        sections,
        policy: policy.path().to_owned(),
        environment: [("OTLP_HEADER", HEADER), ("RUST_LOG", "trace"), (LOG_FORMAT, format)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..Setup::default()
    };
    setup.start(Shop::new(Version::V15))
}

/// Has a gateway do what it does, and returns its log and what must not be in it.
fn work(format: &str) -> (String, Vec<String>) {
    let signer = Signer::start();
    let collector = Collector::start();
    let mut gate = start(&signer, &collector, format);
    let agent = signer.access(SUBJECT, &["agents"], json!({}));
    let operator = signer.access("olga", &["ops", "leads"], json!({}));
    let http = |line: &str, token: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        request(gate.gateway.address("http").unwrap(), line, &headers, body)
    };
    let connect = || gate.connect_with(&agent).user("agent");
    let mut client = connect().open();
    client.rows(&format!("SELECT id FROM tickets WHERE subject = '{LITERAL}'"));
    let text = "SELECT subject FROM tickets WHERE subject = $1";
    client.send(&Flight::default().parse("", text).bind("", &[PARAMETER], 0).execute().sync().bytes());
    client.until(b'Z');
    assert_eq!(sqlstate(&client.query(&format!("SELECT '{LITERAL}'::int FROM orders"))), "22P02");
    assert_eq!(sqlstate(&client.query(&format!("SELECT '{LITERAL}' FROM nowhere"))), "42P01");
    assert_eq!(sqlstate(&client.query(&format!("DELETE FROM orders WHERE status = '{LITERAL}'"))), "42501");
    let delete = format!("DELETE FROM tickets WHERE subject = '{LITERAL}'");
    let held = std::thread::spawn(move || sqlstate(&client.query(&delete)));
    gate.events("approval_requested", 1);
    let answer =
        http("POST /api/v1/approvals/1/deny", &operator, &json!({ "reason": "a drill" }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(held.join().unwrap(), "42501");
    assert!(gate.connect_with(NOT_A_TOKEN).user("agent").try_open().is_err());
    assert_eq!(http("GET /api/v1/overview", NOT_A_TOKEN, "").status, 401);
    for value in [format!("corp:{SUBJECT}"), format!("corp:{FORGED}")] {
        let how = json!({ "reason": "a drill", "block_for_seconds": 3600 });
        let kill = json!({ "kind": "identity", "value": value, "how": how }).to_string();
        assert!([200, 400].contains(&http("POST /api/v1/sessions/kill", &operator, &kill).status));
    }
    assert!(connect().try_open().is_err(), "whoever is kept out is told to the log by name");
    for (user, database) in [(FORGED, "shop"), ("agent", FORGED)] {
        assert!(gate.connect_with(&agent).user(user).database(database).try_open().is_err());
    }
    poll(SOON, || (!collector.posted().is_empty()).then_some(())).expect("spans, with their header");
    gate.gateway.stop(SOON);
    let secrets = [LITERAL, PARAMETER, HEADER, NOT_A_TOKEN, LOGIN_PASSWORD, &agent, &operator];
    (gate.gateway.log(), secrets.map(str::to_owned).to_vec())
}

#[test]
fn every_line_is_an_object_and_nothing_secret_is_in_any() {
    let (log, secrets) = work("json");
    let mut targets = BTreeSet::new();
    let mut of_sessions = 0;
    for line in log.lines() {
        let read: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        // A member that is there twice would be lost by reading.
        assert_eq!(read.to_string().len(), line.len(), "{line}");
        for member in ["timestamp", "level", "target", "message"] {
            assert!(read[member].is_string(), "{member}: {line}");
        }
        assert_ne!(read["message"], "forged");
        if let Some(session) = read["session"].as_str() {
            assert!(session.len() == 32 && session.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
            of_sessions += 1;
        }
        targets.insert(read["target"].as_str().unwrap().split("::").next().unwrap().to_owned());
    }
    assert!(of_sessions >= 3, "{log}");
    assert!(targets.contains("server") && targets.contains("gatepost"), "{targets:?}");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret}: {log}");
    }
}

#[test]
fn nothing_secret_is_in_the_text_either_and_nobody_writes_lines_of_it() {
    let (log, secrets) = work("text");
    for line in log.lines() {
        let began = line.split(' ').next().unwrap_or_default();
        assert!(began.ends_with('Z') && began.starts_with("20"), "{line:?} begins like no line of the log");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret}: {log}");
    }
}

#[test]
fn why_a_gateway_does_not_start_is_an_object_too() {
    let home = Scratch::new("gatepost");
    home.write("gatepost.toml", "[listen]\npostgres = \"nowhere\"\n");
    let mut command = std::process::Command::new(crate::stage::binary());
    command.args(["serve", "--log-format", "json"]).current_dir(home.path()).env_remove("RUST_LOG");
    let ran = command.output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    let said = String::from_utf8(ran.stderr).unwrap();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["level"], &last["message"]),
        (&"ERROR".into(), &"gatepost can't go on".into()),
        "{said}"
    );
    assert!(last["reason"].as_str().unwrap().contains("gatepost.toml:2:"), "{said}");
}

//! What the gateway shows of itself over HTTP: what clients did is found by whatever is known of it, counts live and again after a
//! restart, and nothing is shown to whom it isn't for.

use std::net::SocketAddr;

use serde_json::{Value, json};
use testkit::postgres::Version;
use testkit::process::poll;

use crate::flight::{Flight, sqlstate};
use crate::http::{Answer, request};
use crate::stage::{Gate, LOGIN_PASSWORD, SOON, Setup, Shop, token};

/// A gateway without TLS, so that a test can speak HTTP by hand: the DBA is operator, analysts are auditors, clerks viewers.
fn gate() -> Gate {
    let operators =
        "[operators]\noperator = \"corp:dba\"\nauditor = \"corp:analysts\"\nviewer = \"corp:clerks\"\n";
    Setup {
        tls: false,
        listen_keys: "http = \"127.0.0.1:0\"".into(),
        sections: operators.into(),
        ..Setup::default()
    }
    .start(Shop::new(Version::V15))
}

fn ask(gate: &Gate, line: &str, agent: &str, body: &Value) -> Answer {
    let http: SocketAddr = gate.gateway.address("http").expect("an HTTP address");
    let bearer = format!("Bearer {}", token(agent));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    request(http, line, &headers, &if body.is_null() { String::new() } else { body.to_string() })
}

#[track_caller]
fn get(gate: &Gate, path: &str, agent: &str) -> Value {
    let answer = ask(gate, &format!("GET /api/v1{path}"), agent, &Value::Null);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

#[track_caller]
fn post(gate: &Gate, path: &str, agent: &str, body: &Value) -> Value {
    let answer = ask(gate, &format!("POST /api/v1{path}"), agent, body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

/// Waits until what is shown at a path is so.
#[track_caller]
fn until(gate: &Gate, path: &str, agent: &str, so: impl Fn(&Value) -> bool) -> Value {
    let shown = poll(SOON, || Some(get(gate, path, agent)).filter(&so));
    shown.unwrap_or_else(|| panic!("{path}: {:#}", get(gate, path, agent)))
}

/// The texts of the statements that a search finds, newest first, from as many pages as it takes.
#[track_caller]
fn texts(gate: &Gate, query: &str) -> Vec<String> {
    let (mut found, mut before) = (Vec::new(), String::new());
    loop {
        let page = get(gate, &format!("/audit?event=statement&limit=2&{query}{before}"), "analyst");
        let items = page["items"].as_array().unwrap();
        found.extend(items.iter().map(|it| it["text"].as_str().unwrap().to_owned()));
        match page["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => return found,
        }
    }
}

const READ: &str = "SELECT id, email FROM customers WHERE id = 1";
const UPDATE: &str = "UPDATE tickets SET status = 'open' WHERE id = 1";
const REFUSED: &str = "SELECT id FROM customers WHERE ssn = '219-09-9999'";
const FAILS: &str = "SELECT 1/(id - id) FROM orders WHERE id = 1";

/// Does something as two agents, and returns the session of the first.
fn act(gate: &Gate) -> String {
    let mut support = gate.open("support-agent");
    support.rows(READ);
    support.query(UPDATE);
    assert_eq!(sqlstate(&support.query(REFUSED)), "42501");
    assert_eq!(sqlstate(&support.query(FAILS)), "22012");
    let mut admin = gate.open("admin");
    admin.rows("SELECT count(*) FROM orders");
    let of_support = gate.audit(&["--event", "session_started", "--identity", "corp:support-agent"]);
    of_support[0]["session"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_done_is_found_by_whatever_is_known_of_it() {
    let gate = gate();
    let session = act(&gate);
    gate.statements("1/(id - id)", 1);
    let by_support = [FAILS, REFUSED, UPDATE, READ];
    assert_eq!(texts(&gate, "identity=corp:support-agent"), by_support);
    assert_eq!(texts(&gate, &format!("session={session}")), by_support);
    assert_eq!(texts(&gate, "database=shop&identity=admin"), ["SELECT count(*) FROM orders"]);
    assert_eq!(texts(&gate, "database=other"), [""; 0]);
    assert_eq!(texts(&gate, "verdict=deny"), [REFUSED]);
    assert_eq!(texts(&gate, "verdict=mask"), [READ]);
    assert_eq!(texts(&gate, "sqlstate=42501"), [REFUSED]);
    assert_eq!(texts(&gate, "sqlstate=22012"), [FAILS], "what the server said finds its statement");
    assert_eq!(texts(&gate, "relation=public.tickets"), [UPDATE]);
    assert_eq!(texts(&gate, "column=customers.email"), [READ]);
    assert_eq!(texts(&gate, "rule=support-reads-masked"), [READ]);
    assert_eq!(texts(&gate, "text=set%20STATUS"), [UPDATE]);
    assert_eq!(texts(&gate, "since=2020-01-01T00:00:00Z&until=2021-01-01T00:00:00Z"), [""; 0]);
    assert_eq!(texts(&gate, "since=2020-01-01T00:00:00Z&verdict=deny"), [REFUSED]);
    for bad in ["session=x", "since=yesterday", "colour=red", "limit=many"] {
        assert_eq!(
            ask(&gate, &format!("GET /api/v1/audit?{bad}"), "analyst", &Value::Null).status,
            400,
            "{bad}"
        );
    }

    let found = get(&gate, "/audit?verdict=mask", "analyst");
    let row = &found["items"][0];
    assert_eq!((row["result"].as_str(), row["ended"].as_bool()), (Some("SELECT 1"), Some(true)));
    let detail = get(&gate, &format!("/audit/{}", row["seq"]), "analyst");
    let rule =
        &detail["rules"].as_array().unwrap().iter().find(|it| it["id"] == "support-reads-masked").unwrap();
    assert!(rule["text"].as_str().unwrap().contains("context.masked"), "{rule}");
    assert_eq!(
        (rule["file"].as_str(), detail["policy_is_current"].as_bool()),
        (Some("support.cedar"), Some(true))
    );
    assert_eq!(detail["masks"], json!([{ "column": "public.customers.email", "mask": "email" }]));
    assert_eq!(detail["record"]["text"], READ);
    let after: Vec<_> = detail["after"].as_array().unwrap().iter().map(|it| &it["text"]).collect();
    assert_eq!(after, [UPDATE, REFUSED, FAILS]);
    assert_eq!(ask(&gate, "GET /api/v1/audit/999999", "analyst", &Value::Null).status, 404);
}

#[test]
fn counts_are_live_and_a_restart_finds_them_again() {
    let mut gate = gate();
    act(&gate);
    let complete = |it: &Value| it["complete"] == true;
    let seen = |it: &Value| {
        let hour = &it["statements"]["last_hour"];
        hour["deny"] == 1 && hour["mask"] == 1 && hour["allow"] == 3 && hour["failed"] == 1 && complete(it)
    };
    let overview = until(&gate, "/overview", "clerk", seen);
    assert_eq!(overview["refused"][0]["identity"], "corp:support-agent");
    assert_eq!(overview["statements"]["minutes"].as_array().unwrap().len(), 60);
    let identity = get(&gate, "/identities/corp/support-agent", "analyst");
    assert_eq!(identity["identity"]["counts"]["deny"], 1);
    assert!(
        identity["may"][0]["grants"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| { it["on"].as_str().unwrap().contains("tickets") && it["privilege"] == "UPDATE" })
    );
    let tagged = get(&gate, "/data/shop?tag=email", "analyst");
    let customers = &tagged["items"][0];
    assert_eq!(
        (customers["name"].as_str(), tagged["items"].as_array().unwrap().len()),
        (Some("customers"), 1)
    );
    let email = customers["columns"].as_array().unwrap().iter().find(|it| it["name"] == "email").unwrap();
    assert_eq!(
        (email["mask"].as_str(), &email["readers"][0]["identity"]),
        (Some("email"), &json!("corp:support-agent"))
    );
    assert_eq!(email["readers"][0]["masked"], 1);
    let ssn = customers["columns"].as_array().unwrap().iter().find(|it| it["name"] == "ssn").unwrap();
    assert_eq!(ssn["readers"][0]["refused"], 1);

    gate.gateway.stop(SOON);
    gate.restart();
    let again = until(&gate, "/overview", "clerk", seen);
    assert_eq!(again["refused"][0]["seq"], overview["refused"][0]["seq"]);
    let people = get(&gate, "/identities?refused=true", "analyst");
    assert_eq!(people["items"][0]["identity"], "corp:support-agent");
    let mut support = gate.open("support-agent");
    assert_eq!(sqlstate(&support.query(REFUSED)), "42501");
    until(&gate, "/overview", "clerk", |it| it["statements"]["last_hour"]["deny"] == 2);
}

#[test]
fn what_a_session_runs_is_shown_to_auditors_only() {
    const LONG: &str = "SELECT pg_sleep(600)";
    let gate = gate();
    let mut dba = gate.open("admin");
    Flight::default().query(LONG).to(&mut dba);
    let runs = |it: &Value| it[0]["state"] == "running" && it[0]["text"] == LONG;
    until(&gate, "/sessions", "analyst", runs);
    let counted = get(&gate, "/sessions", "clerk");
    assert!(counted[0]["state"] == "running" && counted[0].get("text").is_none(), "{counted:#}");
}

#[test]
fn nobody_sees_texts_who_is_no_auditor_and_nobody_sees_secrets_or_values_that_were_masked() {
    let gate = gate();
    let session = act(&gate);
    gate.statements("1/(id - id)", 1);
    let value = gate.shop.sql("SELECT email FROM customers WHERE id = 1").trim().to_owned();
    assert!(value.contains('@'), "{value}");
    let seq = get(&gate, "/audit?verdict=deny", "analyst")["items"][0]["seq"].as_u64().unwrap();
    let paths = [
        "/overview".to_owned(),
        "/identities".to_owned(),
        "/identities/corp/support-agent".to_owned(),
        "/data/shop".to_owned(),
        "/policy".to_owned(),
        "/policy/shop".to_owned(),
        "/health".to_owned(),
        format!("/audit?session={session}"),
        format!("/audit/{seq}"),
    ];
    for path in &paths {
        let seen = |agent: &str| ask(&gate, &format!("GET /api/v1{path}"), agent, &Value::Null);
        let auditor = seen("analyst");
        assert_eq!(auditor.status, 200, "{path}: {}", auditor.body);
        for secret in [value.as_str(), LOGIN_PASSWORD, &token("support-agent"), &token("analyst")] {
            assert!(!auditor.body.contains(secret), "{path} shows {secret}");
        }
        let viewer = seen("clerk");
        assert!(matches!(viewer.status, 200 | 403), "{path}: {}", viewer.body);
        assert!(!viewer.body.contains("219-09-9999"), "{path} shows a text: {}", viewer.body);
        assert_eq!(seen("support-agent").status, 403, "{path}");
    }
    let overview = get(&gate, "/overview", "analyst");
    // Those who were refused here are among them.
    let refused = overview["refused"].as_array().unwrap();
    let statement = refused.iter().find(|it| it["event"] == "statement").expect("the refused statement");
    assert_eq!(statement["text"], REFUSED);
    assert!(refused.iter().any(|it| it["event"] == "control_refused"), "{overview:#}");
}

#[test]
fn a_policy_is_read_and_tried_and_nothing_is_executed() {
    let gate = gate();
    let policy = get(&gate, "/policy/shop", "clerk");
    assert_eq!(policy["policy"]["hash"], gate.events("policy_loaded", 1)[0]["hash"]);
    let files: Vec<_> =
        policy["files"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert!(files.contains(&"bundle.toml") && files.contains(&"support.cedar"), "{files:?}");
    let asked = json!({ "sql": "DELETE FROM orders WHERE id = 1", "identity": "corp:x", "groups": ["support-agents"] });
    let told = post(&gate, "/policy/shop/explain", "analyst", &asked);
    assert_eq!(
        (told["status"].as_str(), told["decision"]["verdict"].as_str()),
        (Some("understood"), Some("deny")),
        "{told:#}"
    );
    let mut as_dba = asked.clone();
    as_dba["groups"] = json!(["dba"]);
    assert_eq!(post(&gate, "/policy/shop/explain", "admin", &as_dba)["decision"]["verdict"], "allow");
    assert_eq!(gate.shop.sql("SELECT count(*) FROM orders WHERE id = 1").trim(), "1", "nothing was executed");
    assert_eq!(ask(&gate, "POST /api/v1/policy/shop/explain", "clerk", &asked).status, 403);
    assert_eq!(ask(&gate, "POST /api/v1/policy/none/explain", "analyst", &asked).status, 404);
    let tests = post(&gate, "/policy/shop/test", "analyst", &json!({}));
    assert_eq!(
        (tests["passed"].as_bool(), tests["failures"].as_array().map(Vec::len)),
        (Some(true), Some(0)),
        "{tests}"
    );
    let health = get(&gate, "/health", "clerk");
    assert_eq!(
        (health["ready"].as_bool(), health["journal"]["fault"].is_null()),
        (Some(true), true),
        "{health:#}"
    );
    assert!(health["issuers"][0]["keys"].as_u64().unwrap() > 0, "{health:#}");
    assert!(health["store"]["fault"].is_null() && health["journal"]["disk_free"].as_u64().unwrap() > 0);
}

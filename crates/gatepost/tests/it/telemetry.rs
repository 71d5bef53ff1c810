//! `/metrics`: what monitoring reads is well-formed, is what happened, is documented, and is for whom it is meant.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::json;
use testkit::client::Raw;
use testkit::postgres::Version;
use testkit::process::poll;
use testkit::scratch::Scratch;

use crate::flight::sqlstate;
use crate::http::{Answer, request};
use crate::signer::Signer;
use crate::stage::{Gate, SOON, Setup, Shop, repository};

const BUNDLE: &str = r#"
name = "shop"
version = "1"

[approvers]
lead = { group = "leads", hold = "60s", break_glass = "oncall" }

[limits.default]
sessions = 2
"#;
const RULES: &str = r#"
@id("agents-read")
permit (principal in Group::"agents", action in [Action::"select", Action::"filter"], resource);
@id("agents-delete")
permit (principal in Group::"agents", action == Action::"delete", resource in Relation::"shop.public.tickets")
when { context.approved_by.contains("lead") };
"#;
const DELETE: &str = "DELETE FROM tickets WHERE id = 1";

fn start(signer: &Signer, sections: &str) -> Gate {
    let policy = Scratch::new("policy");
    policy.write("bundle.toml", BUNDLE);
    policy.write("rules.cedar", RULES);
    let operators = "[operators]\nviewer = \"corp:lookers\"\napprover = [\"corp:leads\", \"corp:oncall\"]\n";
    let setup = Setup {
        tls: false,
        listen_keys: "http = \"127.0.0.1:0\"\n".to_owned(),
        issuers: vec![("corp".to_owned(), signer.issuer.clone())],
        sections: format!(
            "{operators}{sections}[[stream]]\nname = \"here\"\nkind = \"file\"\npath = \"stream.jsonl\"\n"
        ),
        policy: policy.path().to_owned(),
        ..Setup::default()
    };
    setup.start(Shop::new(Version::V15))
}

fn http(gate: &Gate, line: &str, token: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    request(gate.gateway.address("http").unwrap(), line, &headers, body)
}

/// Reads `/metrics` over the local socket.
fn local(gate: &Gate) -> Answer {
    let path = gate.gateway.home().join("data/state/operator.sock");
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), said: head.to_owned(), body: body.to_owned() }
}

/// Reads a number over the local socket.
#[track_caller]
pub(crate) fn number(gate: &Gate, sample: &str) -> f64 {
    read(&local(gate).body).get(sample)
}

/// Labels in the order of their names.
type Labels = BTreeMap<String, String>;

#[derive(Debug)]
struct Family {
    kind: String,
    /// By the sample's own name and its labels.
    samples: BTreeMap<(String, Labels), f64>,
}

/// What a scrape says, by the family's name.
#[derive(Debug)]
struct Scrape(BTreeMap<String, Family>);

fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(word)
}

/// Reads `a="b",c="d"}` and returns what follows.
fn labels(mut rest: &str) -> (Labels, &str) {
    let mut found = Labels::new();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("a label: {rest}"));
        assert!(is_name(name), "a label's name: {name:?}");
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("no end: {after}")) {
                (at, '"') => break at + 1,
                (_, '\\') => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('\\' | '"'))) => value.push(c),
                    other => panic!("{other:?} is no escape"),
                },
                (_, c) => value.push(c),
            }
        };
        assert_eq!(found.insert(name.to_owned(), value), None, "{name} twice");
        let after = after.get(end..).unwrap();
        match after.split_at(1) {
            (",", next) => rest = next,
            ("}", next) => return (found, next),
            _ => panic!("after a label: {after}"),
        }
    }
}

/// Reads the exposition format, version 0.0.4, and takes nothing that a strict reader might not.
fn read(text: &str) -> Scrape {
    assert!(text.ends_with('\n'), "the last line ends");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut open = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a text");
            assert!(is_name(name) && !help.trim().is_empty() && !help.contains('\\'), "{line}");
            let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
            let kind = kind.unwrap_or_else(|| panic!("{name}: TYPE follows HELP"));
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{name}: {kind}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            let family = Family { kind: kind.to_owned(), samples: BTreeMap::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} twice");
            name.clone_into(&mut open);
            continue;
        }
        let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line:?}"));
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest),
            None => (Labels::new(), rest),
        };
        let value: f64 =
            rest.strip_prefix(' ').expect("a space").parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(value.is_finite() && value >= 0.0, "{line}");
        let family = families.get_mut(&open).unwrap_or_else(|| panic!("{name} of no family"));
        let ends: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(ends.iter().any(|end| format!("{open}{end}") == name), "{name} among {open}");
        assert_eq!(labels.contains_key("le"), name.ends_with("_bucket"), "{line}");
        assert!(family.samples.insert((name.to_owned(), labels), value).is_none(), "{line} twice");
    }
    for (name, family) in families.iter().filter(|it| it.1.kind == "histogram") {
        let mut buckets: Vec<(f64, f64)> = family
            .samples
            .iter()
            .filter(|it| it.0.0.ends_with("_bucket"))
            .map(|((_, labels), value)| (labels["le"].replace("+Inf", "inf").parse().unwrap(), *value))
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}: {buckets:?}");
        let (last, all) = buckets.last().expect("buckets");
        assert!(last.is_infinite(), "{name}");
        assert_eq!(Some(all), family.samples.get(&(format!("{name}_count"), Labels::new())), "{name}");
        assert!(family.samples.contains_key(&(format!("{name}_sum"), Labels::new())), "{name}");
    }
    Scrape(families)
}

impl Scrape {
    /// Finds a sample, written as in the text.
    fn find(&self, sample: &str) -> Option<f64> {
        let (name, with) = match sample.split_once('{') {
            Some((name, rest)) => (name, labels(rest).0),
            None => (sample, Labels::new()),
        };
        let key = (name.to_owned(), with);
        self.0.values().find_map(|family| family.samples.get(&key)).copied()
    }

    #[track_caller]
    fn get(&self, sample: &str) -> f64 {
        self.find(sample).unwrap_or_else(|| panic!("no {sample}"))
    }
}

#[track_caller]
fn scrape(gate: &Gate, token: &str) -> Scrape {
    let answer = http(gate, "GET /metrics", token, "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(
        answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{}",
        answer.head
    );
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    read(&answer.body)
}

/// Waits until samples have grown by so much since a scrape before.
#[track_caller]
fn grown(gate: &Gate, token: &str, before: &Scrape, by: &[(&str, f64)]) -> Scrape {
    // A SQLSTATE has a sample once it has been told.
    let old = |sample: &str| before.find(sample).unwrap_or(0.0);
    let is_so = |now: &Scrape| {
        by.iter()
            .all(|(sample, more)| now.find(sample).is_some_and(|now| (now - old(sample) - more).abs() < 1e-9))
    };
    let found = poll(SOON, || Some(scrape(gate, token)).filter(is_so));
    found.unwrap_or_else(|| {
        let now = scrape(gate, token);
        let told: Vec<_> = by.iter().map(|(it, more)| format!("{it}: {} + {more}", old(it))).collect();
        panic!("{told:#?}\n{now:#?}")
    })
}

/// A thread that waits for a held statement's answer.
fn held(mut client: Raw) -> std::thread::JoinHandle<(Raw, String)> {
    std::thread::spawn(move || {
        let answer = client.query(DELETE);
        let state = if answer.iter().any(|it| it.tag == b'E') { sqlstate(&answer) } else { String::new() };
        (client, state)
    })
}

#[test]
fn numbers_move_as_things_happen() {
    let signer = Signer::start();
    let gate = start(&signer, "");
    let token = |subject: &str, group: &str| signer.access(subject, &[group], json!({}));
    let looker = token("vera", "lookers");
    let before = scrape(&gate, &looker);
    for verdict in ["allow", "mask", "hold", "deny", "invalid", "observed-deny"] {
        let sample = format!("gatepost_statements_total{{database=\"shop\",verdict=\"{verdict}\"}}");
        assert_eq!(before.get(&sample), 0.0, "{verdict} is there from the start");
    }
    let connect = |subject: &str| gate.connect_with(&token(subject, "agents")).user("agent");

    let mut agent = connect("ada").open();
    agent.rows("SELECT id FROM orders");
    agent.rows("SELECT id FROM tickets");
    assert_eq!(sqlstate(&agent.query("DELETE FROM orders")), "42501");
    assert_eq!(sqlstate(&agent.query("SELECT 1/(id - id) FROM orders")), "22012");
    assert_eq!(sqlstate(&agent.query("SELECT * FROM nowhere")), "42P01");
    let now = grown(
        &gate,
        &looker,
        &before,
        &[
            ("gatepost_statements_total{database=\"shop\",verdict=\"allow\"}", 3.0),
            ("gatepost_statements_total{database=\"shop\",verdict=\"deny\"}", 1.0),
            ("gatepost_statements_total{database=\"shop\",verdict=\"invalid\"}", 1.0),
            ("gatepost_statements_refused_total{sqlstate=\"42501\"}", 1.0),
            ("gatepost_errors_total{fault=\"client\"}", 2.0),
            ("gatepost_errors_total{fault=\"policy\"}", 1.0),
            ("gatepost_errors_total{fault=\"upstream\"}", 0.0),
            ("gatepost_errors_total{fault=\"gateway\"}", 0.0),
            ("gatepost_logins_total{outcome=\"accepted\"}", 1.0),
            ("gatepost_sessions{database=\"shop\",state=\"idle\"}", 1.0),
            ("gatepost_connections", 1.0),
            ("gatepost_journal_uncounted_records", 0.0),
        ],
    );
    assert!(now.get("gatepost_latency_added_seconds_count") >= 5.0, "each statement came with bytes");
    let seconds = now.get("gatepost_latency_added_seconds_sum");
    assert!(seconds > 0.0 && seconds < 30.0, "{seconds}");
    let stage = |it: &str| now.get(&format!("gatepost_journal_sequence{{stage=\"{it}\"}}"));
    assert!(stage("durable") <= stage("written") && stage("written") <= stage("appended"), "{now:#?}");
    assert!(stage("appended") > before.get("gatepost_journal_sequence{stage=\"appended\"}"));
    assert!(now.get("process_resident_memory_bytes") > 1e6);
    assert!(now.get("gatepost_journal_disk_free_bytes") > 0.0);
    for (sample, is) in
        [("gatepost_ready", 1.0), ("gatepost_store_up", 1.0), ("gatepost_store_gateways", 1.0)]
    {
        assert_eq!(now.get(sample), is, "{sample}");
    }

    // A stranger, one session too many, and one who has gone.
    assert!(gate.connect_with("no token").user("agent").try_open().is_err());
    let second = connect("ada").open();
    assert!(connect("ada").try_open().is_err());
    drop(second);
    let before = grown(
        &gate,
        &looker,
        &now,
        &[
            ("gatepost_logins_total{outcome=\"accepted\"}", 1.0),
            ("gatepost_logins_total{outcome=\"refused\"}", 1.0),
            ("gatepost_logins_total{outcome=\"limited\"}", 1.0),
            ("gatepost_errors_total{fault=\"client\"}", 1.0),
            ("gatepost_errors_total{fault=\"policy\"}", 1.0),
            ("gatepost_connections", 0.0),
        ],
    );

    // One that is approved, one that is denied, and one for which the glass is broken.
    let act = |number: u64, act: &str, who: &str, group: &str| {
        let body = json!({ "reason": "a drill" }).to_string();
        let line = format!("POST /api/v1/approvals/{number}/{act}");
        let answer = http(&gate, &line, &token(who, group), &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    let waits = held(agent);
    let waiting = [
        ("gatepost_approvals_open", 1.0),
        ("gatepost_approvals_requested_total", 1.0),
        ("gatepost_sessions{database=\"shop\",state=\"held\"}", 1.0),
        ("gatepost_hold_seconds_count", 0.0),
    ];
    grown(&gate, &looker, &before, &waiting);
    act(1, "approve", "lea", "leads");
    let (agent, told) = waits.join().unwrap();
    assert_eq!(told, "");
    let waits = held(agent);
    gate.events("approval_requested", 2);
    act(2, "deny", "lea", "leads");
    let (agent, told) = waits.join().unwrap();
    assert_eq!(told, "42501");
    let waits = held(agent);
    gate.events("approval_requested", 3);
    act(3, "break-glass", "otto", "oncall");
    let (_agent, told) = waits.join().unwrap();
    assert_eq!(told, "");
    let now = grown(
        &gate,
        &looker,
        &before,
        &[
            ("gatepost_approvals_open", 0.0),
            ("gatepost_approvals_review_due", 1.0),
            ("gatepost_approvals_requested_total", 3.0),
            ("gatepost_approvals_total{outcome=\"approved\"}", 1.0),
            ("gatepost_approvals_total{outcome=\"denied\"}", 1.0),
            ("gatepost_approvals_total{outcome=\"break_glass\"}", 1.0),
            ("gatepost_approvals_total{outcome=\"expired\"}", 0.0),
            ("gatepost_hold_seconds_count", 3.0),
            ("gatepost_statements_total{database=\"shop\",verdict=\"hold\"}", 1.0),
            ("gatepost_statements_total{database=\"shop\",verdict=\"allow\"}", 2.0),
            ("gatepost_errors_total{fault=\"policy\"}", 1.0),
            ("gatepost_sessions{database=\"shop\",state=\"held\"}", 0.0),
        ],
    );
    is_documented(&now);
}

/// The guide names what there is, and nothing else.
fn is_documented(scrape: &Scrape) {
    let page = std::fs::read_to_string(repository("docs/guide/monitoring.md")).unwrap();
    let mut documented = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if let ["", name, kind @ ("counter" | "gauge" | "histogram"), labels, ..] = cells.as_slice() {
            let labels: BTreeSet<_> = labels.split(", ").map(|it| it.trim_matches('`')).collect();
            let labels: BTreeSet<_> =
                labels.into_iter().filter(|it| !it.is_empty()).map(str::to_owned).collect();
            let known = documented.insert(name.trim_matches('`').to_owned(), ((*kind).to_owned(), labels));
            assert_eq!(known, None, "{name} stands in the guide twice");
        }
    }
    let mut found = BTreeMap::new();
    for (name, family) in &scrape.0 {
        let mut labels: BTreeSet<_> = family.samples.keys().flat_map(|it| it.1.keys().cloned()).collect();
        labels.remove("le");
        assert!(!family.samples.is_empty(), "{name} has samples here");
        found.insert(name.clone(), (family.kind.clone(), labels));
    }
    assert_eq!(found, documented, "what is there, and docs/guide/monitoring.md");
    // What alerts ask for is there too.
    for (at, _) in page.match_indices("gatepost_") {
        let word = |c: char| c.is_ascii_lowercase() || c == '_';
        let rest = page.get(at..).unwrap();
        let name = rest.split(|c| !word(c)).next().unwrap();
        let name = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(found.contains_key(name), "{name} is in the guide, and nowhere else");
    }
}

#[test]
fn who_looks_on_and_a_database_that_is_away_are_counted() {
    let signer = Signer::start();
    let gate = start(&signer, "");
    let looker = signer.access("vera", &["lookers"], json!({}));
    let agent = signer.access("ada", &["agents"], json!({}));
    let before = scrape(&gate, &looker);
    assert_eq!(before.get("gatepost_event_streams"), 0.0);
    let to = gate.gateway.address("http").unwrap();
    let mut streams: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(to).unwrap();
            let asked = format!(
                "GET /api/v1/events HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {looker}\r\n\r\n"
            );
            stream.write_all(asked.as_bytes()).unwrap();
            let mut began = [0; 12];
            stream.read_exact(&mut began).unwrap();
            assert_eq!(&began, b"HTTP/1.1 200");
            stream
        })
        .collect();
    grown(&gate, &looker, &before, &[("gatepost_event_streams", 2.0)]);
    streams.pop();
    grown(&gate, &looker, &before, &[("gatepost_event_streams", 1.0)]);
    drop(streams);
    let before = grown(&gate, &looker, &before, &[("gatepost_event_streams", 0.0)]);

    let allow = |word: &str| {
        gate.shop
            .cluster
            .psql(&format!("ALTER DATABASE \"{}\" ALLOW_CONNECTIONS {word}", gate.shop.database));
    };
    let failing = "gatepost_upstream_failing{database=\"shop\"}";
    allow("false");
    assert!(gate.connect_with(&agent).user("agent").try_open().is_err());
    let failed = [
        ("gatepost_logins_total{outcome=\"upstream_failed\"}", 1.0),
        ("gatepost_errors_total{fault=\"upstream\"}", 1.0),
        ("gatepost_logins_total{outcome=\"accepted\"}", 0.0),
        (failing, 1.0),
    ];
    let away = grown(&gate, &looker, &before, &failed);
    allow("true");
    gate.connect_with(&agent).user("agent").open().rows("SELECT id FROM orders WHERE id = 1");
    let back = [("gatepost_logins_total{outcome=\"accepted\"}", 1.0), (failing, -1.0)];
    grown(&gate, &looker, &away, &back);
}

#[test]
fn numbers_are_for_viewers_and_name_nobody() {
    let signer = Signer::start();
    let gate = start(&signer, "");
    let token = |group: &str| signer.access("vera-the-viewer", &[group], json!({}));
    let to = gate.gateway.address("http").unwrap();
    let stranger = request(to, "GET /metrics", &[], "");
    assert_eq!((stranger.status, stranger.body.contains("gatepost_")), (401, false));
    assert_eq!(http(&gate, "GET /metrics", "no token", "").status, 401);
    assert_eq!(http(&gate, "GET /metrics", &token("agents"), "").status, 403);
    assert_eq!(http(&gate, "POST /metrics", &token("lookers"), "").status, 405);
    // What strangers and agents write is in no label.
    let odd = "x\"} 1\ngatepost_made_up 1";
    assert!(gate.connect_to("support-agent", odd).try_open().is_err());
    let mut agent = gate.connect_with(&token("agents")).user("h4rmless").open();
    agent.rows("SELECT id AS c4n4ry FROM orders WHERE id = 1");
    gate.statements("c4n4ry", 1);
    for answer in [http(&gate, "GET /metrics", &token("lookers"), ""), local(&gate)] {
        assert_eq!(answer.status, 200);
        for word in ["c4n4ry", "vera", "h4rmless", "made_up", "agents", "corp"] {
            assert!(!answer.body.contains(word), "{word}: {}", answer.body);
        }
    }
    read(&local(&gate).body);
}

#[test]
fn numbers_stay_on_the_host_if_that_is_wanted() {
    let signer = Signer::start();
    let gate = start(&signer, "[telemetry]\nmetrics = \"local\"\n");
    let looker = signer.access("vera", &["lookers"], json!({}));
    let answer = http(&gate, "GET /metrics", &looker, "");
    assert_eq!((answer.status, answer.body.contains("gatepost_")), (404, false));
    assert_eq!(request(gate.gateway.address("http").unwrap(), "GET /metrics", &[], "").status, 401);
    assert_eq!(http(&gate, "GET /api/v1/overview", &looker, "").status, 200);
    assert_eq!(local(&gate).status, 200);
    read(&local(&gate).body);
}

#[test]
fn a_restart_counts_from_nothing() {
    let signer = Signer::start();
    let mut gate = start(&signer, "");
    let looker = signer.access("vera", &["lookers"], json!({}));
    let agent = signer.access("ada", &["agents"], json!({}));
    let before = scrape(&gate, &looker);
    let allowed = "gatepost_statements_total{database=\"shop\",verdict=\"allow\"}";
    gate.connect_with(&agent).user("agent").open().rows("SELECT id FROM orders");
    grown(&gate, &looker, &before, &[(allowed, 1.0)]);
    gate.gateway.stop(SOON);
    gate.restart();
    let read = poll(SOON, || {
        let now = scrape(&gate, &looker);
        (now.get("gatepost_journal_uncounted_records") == 0.0).then_some(now)
    });
    assert_eq!(read.expect("all is read").get(allowed), 0.0, "what an earlier run did is not counted again");
}

//! Streams of audit events through the whole gateway: what is required is waited for, and nothing acknowledged is lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use testkit::http::{Answer, Server};
use testkit::postgres::Version;
use testkit::process::poll;
use wire::backend::tag;

use crate::flight::sqlstate;
use crate::stage::{SOON, Setup, Shop};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Whoever receives events: their JSON by number, with how often each came.
struct Receiver {
    server: Server,
    up: Arc<AtomicBool>,
    heard: Arc<Mutex<BTreeMap<u64, (Value, usize)>>>,
}

impl Receiver {
    fn start() -> Self {
        let (up, heard) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(BTreeMap::new())));
        let (works, kept) = (up.clone(), heard.clone());
        let server = Server::start(move |request| {
            if !works.load(Ordering::Acquire) {
                return Answer::status(503);
            }
            let mut kept = kept.lock().unwrap();
            for line in request.body.lines() {
                let event: Value = serde_json::from_str(line).unwrap();
                let seq = event["seq"].as_u64().unwrap();
                let (known, count) = kept.entry(seq).or_insert((event.clone(), 0));
                assert_eq!(*known, event, "another event of the same number");
                *count += 1;
            }
            Answer::status(204)
        });
        Self { server, up, heard }
    }

    fn stream(&self, keys: &str) -> Setup {
        let url = self.server.url();
        let sections = format!(
            "[state]\npath = \"state\"\n[[stream]]\nname = \"siem\"\nkind = \"http\"\nurl = \"{url}/in\"\nsecret = \"env:STREAM_SECRET\"\n{keys}\n"
        );
        let environment = vec![("STREAM_SECRET".to_owned(), SECRET.to_owned())];
        Setup { sections, environment, ..Setup::default() }
    }

    /// Whether a statement with that text has arrived.
    fn has(&self, text: &str) -> bool {
        self.heard.lock().unwrap().values().any(|(event, _)| event["text"] == text)
    }
}

#[test]
fn a_required_stream_has_each_statement_before_it_is_answered_and_refuses_while_it_is_down() {
    let receiver = Receiver::start();
    let gate = receiver.stream("required = true\ntimeout = \"1s\"").start(Shop::new(Version::V15));
    let mut agent = gate.open("support-agent");
    for number in 1..=5 {
        let text = format!("SELECT 'read {number}'");
        assert_eq!(agent.rows(&text), format!("read {number}"));
        assert!(receiver.has(&text), "{text} was answered before it had arrived");
    }
    let close = "UPDATE tickets SET status = 'closed' WHERE id = 1";
    let status = "SELECT status FROM tickets WHERE id = 1";
    let before = gate.shop.sql(status);

    receiver.up.store(false, Ordering::Release);
    for text in ["SELECT 'down'", close] {
        let told = agent.query(text);
        assert_eq!(sqlstate(&told), "58030", "{told:?}");
        let error = told.iter().find(|message| message.tag == tag::ERROR_RESPONSE).unwrap();
        assert_eq!(error.field(b'D'), "an audit stream that is required does not take it");
    }
    assert_eq!(gate.shop.sql(status), before, "not forwarded");
    assert_eq!(gate.events("stream_failed", 1)[0]["stream"], "siem");

    receiver.up.store(true, Ordering::Release);
    gate.events("stream_recovered", 1);
    assert_eq!(agent.rows("SELECT 'up again'"), "up again");
    agent.query(close);
    assert_eq!(gate.shop.sql(status), "closed");
    assert!(receiver.has("SELECT 'up again'") && receiver.has(close) && receiver.has("SELECT 'down'"));
    let ran = gate.run(&["audit", "streams"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    assert!(ran.stdout.contains("siem") && ran.stdout.contains("required"), "{ran:#?}");
}

#[test]
fn a_stream_that_is_down_holds_nobody_up_unless_it_is_required() {
    let receiver = Receiver::start();
    receiver.up.store(false, Ordering::Release);
    let gate = receiver.stream("events = [\"statement\", \"outcome\"]").start(Shop::new(Version::V15));
    assert_eq!(gate.open("support-agent").rows("SELECT 'meanwhile'"), "meanwhile");
    gate.events("stream_failed", 1);
    let failing = || {
        let ran = gate.run(&["audit", "streams", "--format", "json"]);
        let streams: Value = serde_json::from_str(&ran.stdout).unwrap();
        (streams[0]["state"] == "failing").then(|| streams[0].clone())
    };
    let stream = poll(SOON, failing).unwrap();
    assert!(stream["error"].as_str().unwrap().contains("status 503"), "{stream}");
    receiver.up.store(true, Ordering::Release);
    poll(SOON, || receiver.has("SELECT 'meanwhile'").then_some(())).unwrap();
    let heard = receiver.heard.lock().unwrap();
    assert!(
        heard.values().all(|(event, _)| ["statement", "outcome"].contains(&event["event"].as_str().unwrap()))
    );
}

#[test]
fn kill_9_at_any_moment_loses_no_acknowledged_statement_on_its_way() {
    let receiver = Receiver::start();
    let mut gate = receiver.stream("").start(Shop::new(Version::V15));
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let mut agent = gate.open("support-agent");
        for number in 0..40 {
            let text = format!("SELECT '{round} {number}'");
            agent.rows(&text);
            acknowledged.push(text);
        }
        gate.gateway.kill();
        let environment = [
            ("SHOP_USER", crate::stage::LOGIN),
            ("SHOP_PASSWORD", crate::stage::LOGIN_PASSWORD),
            ("STREAM_SECRET", SECRET),
        ];
        gate.gateway.restart(crate::stage::binary(), &environment);
    }
    assert_eq!(gate.open("support-agent").rows("SELECT 'last'"), "last");
    let all = poll(SOON, || acknowledged.iter().all(|text| receiver.has(text)).then_some(()));
    assert!(all.is_some(), "{} of {}", receiver.heard.lock().unwrap().len(), acknowledged.len());
    poll(SOON, || receiver.has("SELECT 'last'").then_some(())).unwrap();
    // No number between is missing, and each is what the journal has.
    let heard = receiver.heard.lock().unwrap();
    let numbers: Vec<u64> = heard.keys().copied().collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    let texts = |records: Vec<Value>| {
        records.into_iter().map(|it| (it["seq"].as_u64().unwrap(), it["text"].clone())).collect::<Vec<_>>()
    };
    let kept = texts(gate.audit(&["--event", "statement"]));
    assert!(kept.iter().all(|(seq, text)| heard.get(seq).is_some_and(|(event, _)| event["text"] == *text)));
}

//! What approvers are told when a gateway dies before it could tell them, and when there is much to tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use testkit::http::Answer;
use testkit::process::poll;

use crate::flight::sqlstate;
use crate::notifications::{Outside, environment, gate, works};
use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, SOON, binary};

/// Asks for approval of so many statements, and waits for none.
fn ask(gate: &Gate, ids: std::ops::RangeInclusive<u32>) {
    let mut raw = gate.connect("support-agent").parameter("options", "-c gatepost.approval=async").open();
    for id in ids {
        assert_eq!(sqlstate(&raw.query(&format!("DELETE FROM tickets WHERE id = {id}"))), "57X01");
    }
}

#[test]
fn what_could_not_be_told_before_a_crash_is_told_after_it_with_the_same_id() {
    let up = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&up);
    let outside = Outside::start(move |request, before| match seen.load(Ordering::SeqCst) {
        true => works(request, before),
        false => Answer::status(503),
    });
    let mut gate = gate(&outside, "");
    ask(&gate, 1..=1);
    let first = outside.wait("/hook", 1);
    assert!(gate.audit(&["--event", "notified"]).is_empty());
    gate.gateway.kill();
    up.store(true, Ordering::SeqCst);
    let before = outside.count("/hook");
    let secrets = environment(&outside);
    let mut variables = vec![("SHOP_USER", LOGIN), ("SHOP_PASSWORD", LOGIN_PASSWORD)];
    variables.extend(secrets.iter().map(|(name, value)| (*name, value.as_str())));
    gate.gateway.restart(binary(), &variables);
    let again = outside.wait("/hook", before + 1);
    assert_eq!(again.header("webhook-id"), first.header("webhook-id"), "so that whoever got both sees one");
    assert_eq!(again.body, first.body);
    // By each channel once, and that it was is in the journal.
    let told = gate.events("notified", 2);
    let by = |channel: &str| told.iter().filter(|it| it["channel"] == channel && it["approval"] == 1).count();
    assert_eq!((by("hook"), by("oncall")), (1, 1), "{told:#?}");
}

#[test]
fn of_many_requests_people_are_told_in_few_messages_and_machines_of_each() {
    let outside = Outside::start(works);
    let gate = gate(&outside, "");
    ask(&gate, 1..=40);
    let digest = poll(SOON, || {
        let told = gate.audit(&["--event", "notified"]);
        told.into_iter().find(|it| it["channel"] == "oncall" && it["as"] == "digest")
    });
    assert!(digest.is_some(), "{:#?}", gate.audit(&["--event", "notified"]));
    outside.wait("/hook", 40);
    let messages = outside.count("/api/chat.postMessage");
    // Ten, one in six seconds, and one for the rest.
    assert!((2..=15).contains(&messages), "{messages}");
    let bodies: Vec<Value> = (1..=messages)
        .map(|nth| serde_json::from_str(&outside.wait("/api/chat.postMessage", nth).body).unwrap())
        .collect();
    let many = bodies.iter().find(|body| body.to_string().contains("requests wait for approval"));
    let many = many.expect("one that tells of many").to_string();
    assert!(!many.contains("gatepost.approve"), "nothing is decided by it: {many}");
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "120");
}

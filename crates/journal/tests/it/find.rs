//! Queries find what happened, and readers follow a journal that is being written.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use audit::{
    Completion, Decision, Durability, Event, Fragment, IdentityForm, Outcome, Protocol, Refusal, Seq,
    Statement, Time, Touch, Verdict,
};
use journal::query::{self, Filter, Limit, Row};
use journal::reader::Reader;
use journal::{Journal, Options};
use model::{ClientAddr, Identity, SessionId};
use serde_json::Value;

use crate::bench::{at, open, options};

pub(crate) struct Who(pub(crate) SessionId, Fragment);

pub(crate) fn who(session: u128, subject: &str) -> Who {
    let identity = Identity {
        issuer: "corp".into(),
        subject: subject.into(),
        name: None,
        groups: ["support".to_owned()].into(),
        attributes: [].into(),
        token_id: None,
        on_behalf_of: None,
    };
    Who(SessionId(session), IdentityForm(&identity).render())
}

fn client() -> ClientAddr {
    ClientAddr("127.0.0.1:1".parse().unwrap())
}

pub(crate) fn statement(journal: &Journal, who: &Who, n: u64, relation: &str, verdict: Verdict, text: &str) {
    let touch = Touch {
        action: "select",
        kind: "relation",
        name: relation,
        columns: vec!["id"],
        facts: audit::TouchFacts::default(),
    };
    let decision = Decision { kind: "select", touches: vec![touch], ..Decision::default() }.render();
    let refused = matches!(verdict, Verdict::Deny);
    let event = Event::Statement(Statement {
        session: who.0,
        statement: n,
        identity: &who.1,
        client: client(),
        application_name: "psql",
        database: "app",
        protocol: Protocol::Simple,
        text,
        parameters: &[],
        decision: &decision,
        verdict,
        refusal: refused.then_some(Refusal { sqlstate: "42501", message: "no" }),
        durability: Durability::Written,
        approval: None,
    });
    journal.append(&event, at(100 + n)).unwrap();
}

pub(crate) fn outcome(journal: &Journal, who: &Who, n: u64, second: u64, tag: &str) {
    let event = Event::Outcome(Outcome {
        session: who.0,
        statement: n,
        completion: Completion::Completed(tag),
        rows: 1,
        bytes: 2,
        duration: Duration::from_micros(3),
    });
    journal.append(&event, at(second)).unwrap();
}

pub(crate) fn gone(journal: &Journal, who: &Who) {
    let event = Event::Disconnected {
        session: who.0,
        client: client(),
        identity: Some(&who.1),
        database: Some("app"),
        reason: "terminated",
        statements: 1,
        bytes: 1,
    };
    journal.append(&event, at(300)).unwrap();
}

/// Two sessions whose statements overlap: 1 and 2 are alice's, 3 is bob's and refused, 4 is bob's and never ends.
fn journal(dir: &Path) {
    let (journal, _) = open(dir);
    journal.append(&Event::GatewayStarted { version: "1", config_hash: "" }, at(90)).unwrap();
    let (alice, bob) = (who(0xa, "alice"), who(0xb, "bob"));
    statement(&journal, &alice, 1, "public.customers", Verdict::Mask, "SELECT email\nFROM customers");
    statement(&journal, &alice, 2, "public.orders", Verdict::Allow, "select 2");
    statement(&journal, &bob, 3, "public.customers", Verdict::Deny, "select ssn from customers");
    statement(&journal, &bob, 4, "sales.orders", Verdict::Allow, "select pg_sleep(1)");
    outcome(&journal, &alice, 2, 200, "SELECT 2");
    outcome(&journal, &alice, 1, 201, "SELECT 1");
    gone(&journal, &bob);
    gone(&journal, &alice);
    journal.close().unwrap();
}

fn find(dir: &Path, filter: &Filter) -> Vec<Row> {
    let mut rows = Vec::new();
    query::run(dir, filter, |row| {
        rows.push(row);
        ControlFlow::Continue(())
    })
    .unwrap();
    rows
}

fn check(filter: Filter, expected: &[u64]) {
    let dir = tempfile::tempdir().unwrap();
    journal(dir.path());
    let found: Vec<_> = find(dir.path(), &filter).iter().map(|row| row.record().seq.0).collect();
    assert_eq!(found, expected, "{filter:?}");
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn each_filter_finds_its_records() {
    check(Filter::default(), &[1, 2, 3, 4, 5, 8, 9]);
    check(Filter { identity: some("corp:alice"), ..Filter::default() }, &[2, 3, 9]);
    check(Filter { identity: some("bob"), ..Filter::default() }, &[4, 5, 8]);
    check(Filter { identity: some("b"), ..Filter::default() }, &[]);
    check(Filter { database: some("app"), ..Filter::default() }, &[2, 3, 4, 5, 8, 9]);
    check(Filter { relation: some("public.customers"), ..Filter::default() }, &[2, 4]);
    check(Filter { relation: some("orders"), ..Filter::default() }, &[3, 5]);
    check(Filter { relation: some("rders"), ..Filter::default() }, &[]);
    check(Filter { verdict: some("deny"), ..Filter::default() }, &[4]);
    check(Filter { session: Some(SessionId(0xb)), ..Filter::default() }, &[4, 5, 8]);
    check(Filter { event: some("outcome"), ..Filter::default() }, &[6, 7]);
    check(Filter { text: some("from CUSTOMERS"), ..Filter::default() }, &[2, 4]);
    let (since, until) = (Some(Time(102_000_000_000)), Some(Time(104_000_000_000)));
    check(Filter { since, until, ..Filter::default() }, &[3, 4]);
    check(Filter { limit: Some(Limit::First(2)), ..Filter::default() }, &[1, 2]);
    check(Filter { limit: Some(Limit::Last(2)), ..Filter::default() }, &[8, 9]);
    check(Filter { limit: Some(Limit::Last(0)), ..Filter::default() }, &[]);
    let both = Filter { identity: some("bob"), relation: some("customers"), ..Filter::default() };
    check(both, &[4]);
}

#[test]
fn statements_come_with_their_outcomes() {
    let dir = tempfile::tempdir().unwrap();
    journal(dir.path());
    let rows = find(dir.path(), &Filter { event: some("statement"), ..Filter::default() });
    let json: Vec<Value> = rows.iter().map(|row| serde_json::from_str(&row.to_json()).unwrap()).collect();
    assert_eq!(json[0]["outcome"]["tag"], "SELECT 1");
    assert_eq!(json[1]["outcome"]["tag"], "SELECT 2");
    assert_eq!(json[2]["outcome"], Value::Null);
    assert_eq!(json[2]["sqlstate"], "42501");
    assert_eq!(json[3]["outcome"], Value::Null);
    let summary = rows[0].summary();
    assert_eq!(summary.text, r"SELECT email\nFROM customers");
    assert_eq!((summary.identity.as_str(), summary.verdict.as_str()), ("corp:alice", "mask"));
    assert_eq!((summary.touches.as_str(), summary.result.as_str()), ("select public.customers", "SELECT 1"));
    assert_eq!(rows[2].summary().result, "42501");
}

#[test]
fn a_statement_that_outlasts_ten_thousand_others_still_gets_its_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let (slow, fast) = (who(1, "slow"), who(2, "fast"));
    const MANY: u64 = 9000;
    statement(&journal, &slow, 1, "public.t", Verdict::Allow, "slow");
    for n in 1..=MANY {
        statement(&journal, &fast, n, "public.t", Verdict::Allow, "fast");
        outcome(&journal, &fast, n, 100 + n, "SELECT 1");
    }
    outcome(&journal, &slow, 1, 100 + MANY, "SELECT 77");
    journal.close().unwrap();
    let rows = find(dir.path(), &Filter::default());
    assert_eq!(rows.len() as u64, MANY + 1);
    assert_eq!(rows[0].summary().result, "SELECT 77");
    assert!(rows.iter().all(|row| row.outcome().is_some()));
}

#[test]
fn a_reader_follows_a_writer_over_segments() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 2000, ..options(dir.path()) };
    let (journal, _) = Journal::open(options, Box::new(|_| {})).unwrap();
    let alice = who(0xa, "alice");
    statement(&journal, &alice, 1, "public.t", Verdict::Allow, "before");
    journal.write().unwrap();
    let reader = Reader::open_at_end(dir.path()).unwrap();
    assert_eq!(reader.position(), Seq(2));
    const MANY: u64 = 200;
    let done = AtomicBool::new(false);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 2..=MANY {
                statement(&journal, &alice, n, "public.t", Verdict::Allow, "x");
                outcome(&journal, &alice, n, 100 + n, "SELECT 1");
                journal.write().unwrap();
            }
        });
        let filter = Filter { identity: some("alice"), ..Filter::default() };
        query::follow(
            reader,
            &filter,
            || done.load(Ordering::Relaxed),
            |row| {
                seen.push((row.record().seq.0, row.summary().event));
                if row.record().seq.0 == 2 * MANY - 1 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        )
        .unwrap();
    });
    assert_eq!(seen.len() as u64, 2 * (MANY - 1));
    assert!(seen.iter().zip(2..).all(|((seq, _), expected)| *seq == expected));
    assert_eq!((seen[0].1.as_str(), seen[1].1.as_str()), ("statement", "outcome"));
    let mut late = Reader::open_from(dir.path(), Seq(150)).unwrap();
    assert_eq!(late.read().unwrap().unwrap().seq, Seq(150));
}

#[test]
fn what_was_taken_since_a_time_is_added_up_by_identity() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let (alice, bob) = (who(1, "alice"), who(2, "bob"));
    let outcome = |who: &Who, n: u64, rows: u64, bytes: u64, time| {
        let event = Event::Outcome(Outcome {
            session: who.0,
            statement: n,
            completion: Completion::Completed("SELECT"),
            rows,
            bytes,
            duration: Duration::from_millis(1),
        });
        journal.append(&event, at(time)).unwrap();
    };
    statement(&journal, &alice, 1, "a", Verdict::Allow, "SELECT 1");
    outcome(&alice, 1, 100, 1000, 150);
    statement(&journal, &bob, 60, "a", Verdict::Allow, "SELECT 1");
    // What runs when the time comes counts when it ends; what only changed rows has no bytes.
    outcome(&alice, 2, 7, 70, 200);
    outcome(&bob, 60, 1, 10, 201);
    outcome(&bob, 61, 5_000, 0, 202);
    outcome(&who(3, "nobody"), 1, 9, 90, 203);
    outcome(&alice, 3, 3, 30, 204);
    journal.write().unwrap();
    let mut taken = query::taken(dir.path(), Time::from(at(200))).unwrap();
    taken.sort_by(|a, b| a.subject.cmp(&b.subject));
    let taken: Vec<_> = taken.iter().map(|t| (&*t.database, &*t.subject, t.rows, t.bytes)).collect();
    assert_eq!(taken, [("app", "alice", 10, 100), ("app", "bob", 1, 10)]);
}

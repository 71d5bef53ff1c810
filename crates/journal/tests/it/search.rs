//! Pages from the journal's end hold what reading all of it would find, however little each call may do, and while it grows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::{Completion, Event, Outcome, Seq, Time, Verdict};
use journal::query::{self, Filter};
use journal::search::{Budget, Follower, From, Index, Search};
use journal::{Journal, Options};
use model::SessionId;
use proptest::prelude::*;

use crate::bench::{at, options};
use crate::find::{Who, gone, outcome, statement, who};

const RELATIONS: [&str; 3] = ["public.customers", "public.orders", "sales.orders"];
const VERDICTS: [Verdict; 3] = [Verdict::Allow, Verdict::Mask, Verdict::Deny];

/// Sessions of four, whose statements overlap and mostly end.
fn fill(journal: &Journal, statements: u64) {
    let people: Vec<Who> = (0..4).map(|n| who(0xa0 + n, &format!("agent-{n}"))).collect();
    journal.append(&Event::GatewayStarted { version: "1", config_hash: "" }, at(90)).unwrap();
    for n in 1..=statements {
        let pick = usize::try_from(n * 7 % 11).unwrap();
        let by = &people[pick % 4];
        let text = format!("SELECT {} FROM t", if n % 50 == 0 { "needle" } else { "hay" });
        statement(journal, by, n, RELATIONS[pick % 3], VERDICTS[pick % 3], &text);
        if n % 6 == 0 {
            // A segment ends only between writes.
            journal.write().unwrap();
        }
        if n > 3 && n % 5 != 0 {
            // The one before it ends after this one began.
            let before = n - 1;
            let ended = &people[usize::try_from(before * 7 % 11).unwrap() % 4];
            let refused = usize::try_from(before * 7 % 11).unwrap() % 3 == 2;
            if refused {
                continue;
            }
            if before % 9 == 0 {
                failed(journal, ended, before);
            } else {
                outcome(journal, ended, before, 100 + n, "SELECT 1");
            }
        }
    }
    gone(journal, &people[0]);
    journal.write().unwrap();
}

fn failed(journal: &Journal, who: &Who, n: u64) {
    let event = Event::Outcome(Outcome {
        session: who.0,
        statement: n,
        completion: Completion::Failed("42P01"),
        rows: 0,
        bytes: 0,
        duration: Duration::from_micros(3),
    });
    journal.append(&event, at(100 + n)).unwrap();
}

fn small(dir: &std::path::Path, segment_bytes_max: u64) -> Journal {
    Journal::open(Options { segment_bytes_max, ..options(dir) }, Box::new(|_| {})).unwrap().0
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn budget(bytes: u64) -> Budget {
    Budget { until: Instant::now() + Duration::from_secs(60), bytes }
}

/// Everything that pages find, in their order: the record's number, and how its statement ended.
fn all(index: &Index, search: &Search, from: From, limit: usize, bytes: u64) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut at = from;
    for _ in 0..100_000 {
        let page = index.search(search, at, limit, budget(bytes)).unwrap();
        assert!(page.rows.len() <= limit && page.unjoined.is_empty());
        found.extend(page.rows.iter().map(|row| (row.record().seq.0, row.summary().result)));
        match (page.next, from) {
            (None, _) => return found,
            (Some(next), From::After(_)) => at = From::After(next),
            (Some(next), _) => at = From::Before(next),
        }
    }
    panic!("pages that never end");
}

/// The same by reading all of it.
fn read(dir: &std::path::Path, filter: &Filter) -> Vec<(u64, String)> {
    let mut rows = Vec::new();
    query::run(dir, filter, |row| {
        rows.push((row.record().seq.0, row.summary().result));
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    rows
}

fn filters() -> Vec<Filter> {
    let one = |change: &dyn Fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    vec![
        Filter::default(),
        one(&|it| it.identity = some("corp:agent-1")),
        one(&|it| it.identity = some("agent-2")),
        one(&|it| it.identity = some("nobody")),
        one(&|it| it.database = some("app")),
        one(&|it| it.relation = some("orders")),
        one(&|it| it.relation = some("sales.orders")),
        one(&|it| it.verdict = some("deny")),
        one(&|it| it.session = Some(SessionId(0xa3))),
        one(&|it| it.event = some("outcome")),
        one(&|it| it.event = some("gateway_started")),
        one(&|it| it.text = some("NEEDLE")),
        one(&|it| (it.since, it.until) = (Some(Time::from(at(150))), Some(Time::from(at(160))))),
        one(&|it| (it.identity, it.verdict) = (some("agent-0"), some("mask"))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn pages_hold_what_reading_everything_finds(
        statements in 0_u64..400, segment in 2_000_u64..200_000, limit in 1_usize..60, bytes in 5_000_u64..200_000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let journal = small(dir.path(), segment);
        fill(&journal, statements);
        let index = Index::new(dir.path());
        for filter in filters() {
            let mut expected = read(dir.path(), &filter);
            let search = Search { filter, ..Search::default() };
            let on = all(&index, &search, From::After(Seq(0)), limit, bytes);
            prop_assert_eq!(&on, &expected, "on: {:?}", &search);
            expected.reverse();
            let back = all(&index, &search, From::End, limit, bytes);
            prop_assert_eq!(&back, &expected, "back: {:?}", &search);
        }
    }
}

#[test]
fn what_the_server_said_finds_its_statement() {
    let dir = tempfile::tempdir().unwrap();
    let journal = small(dir.path(), 20_000);
    fill(&journal, 400);
    let index = Index::new(dir.path());
    let mut expected = read(dir.path(), &Filter::default());
    expected.retain(|(_, result)| result == "42P01");
    assert!(expected.len() > 10);
    let search = Search { sqlstate: some("42P01"), ..Search::default() };
    let mut found = all(&index, &search, From::End, 7, 5_000);
    found.reverse();
    assert_eq!(found, expected);
    let refused = Search { sqlstate: some("42501"), ..Search::default() };
    let denied = read(dir.path(), &Filter { verdict: some("deny"), ..Filter::default() });
    assert_eq!(all(&index, &refused, From::After(Seq(0)), 1000, u64::MAX), denied);
    let filter = Filter { identity: some("agent-1"), event: some("statement"), ..Filter::default() };
    let both = Search { filter: filter.clone(), sqlstate: some("42P01"), ..Search::default() };
    let mut expected = read(dir.path(), &filter);
    expected.retain(|(_, result)| result == "42P01");
    assert_eq!(all(&index, &both, From::After(Seq(0)), 1000, u64::MAX), expected);
}

#[test]
fn a_journal_that_grows_is_searched_to_its_end_of_that_moment() {
    let dir = tempfile::tempdir().unwrap();
    let journal = small(dir.path(), 30_000);
    let index = Arc::new(Index::new(dir.path()));
    let mut follower = Follower::new(index.clone(), Time(0), u64::MAX).unwrap();
    let alice = who(1, "alice");
    let mut n = 0;
    for round in 0..40_u64 {
        for _ in 0..=round {
            n += 1;
            statement(&journal, &alice, n, "public.t", Verdict::Allow, "x");
        }
        journal.write().unwrap();
        if round % 3 == 0 {
            while follower.read(|_, _| {}).unwrap() {}
        }
        let found = all(&index, &Search::default(), From::End, 100, u64::MAX);
        assert!(found.iter().map(|(seq, _)| *seq).eq((1..=n).rev()), "after {n}");
    }
    let one = index.record(Seq(17), budget(u64::MAX)).unwrap().unwrap();
    assert_eq!(one.0.record().seq, Seq(17));
    assert!(index.record(Seq(n + 1), budget(u64::MAX)).unwrap().is_none());
}

#[test]
fn a_changed_record_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let journal = small(dir.path(), 64 << 20);
    fill(&journal, 600);
    let index = Index::new(dir.path());
    let search = Search { filter: Filter { text: some("needle"), ..Filter::default() }, ..Search::default() };
    assert_eq!(all(&index, &search, From::End, 100, u64::MAX).len(), 12);
    // Of the same length, with the right CRC: the chain tells.
    let segment = crate::bench::segments(dir.path()).pop().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|window| window == b"needle").unwrap();
    bytes[at..at + 6].copy_from_slice(b"noodle");
    std::fs::write(&segment, bytes).unwrap();
    let error = index.search(&search, From::End, 100, budget(u64::MAX)).unwrap_err();
    assert!(matches!(error, journal::reader::ReadError::Damaged(_)), "{error}");
}

#[test]
fn a_follower_begins_where_it_is_told_and_reads_on() {
    let dir = tempfile::tempdir().unwrap();
    let journal = small(dir.path(), 10_000);
    fill(&journal, 300);
    let index = Arc::new(Index::new(dir.path()));
    let count = |follower: &mut Follower| {
        let mut seen = Vec::new();
        while follower
            .read(|record, view| seen.push((record.seq.0, record.time, view.event.clone())))
            .unwrap()
        {}
        seen
    };
    let mut whole = Follower::new(index.clone(), Time(0), u64::MAX).unwrap();
    assert_eq!(count(&mut whole).first().map(|it| it.0), Some(1));
    let since = Time::from(at(350));
    let seen = count(&mut Follower::new(index.clone(), since, u64::MAX).unwrap());
    assert!(seen[0].0 > 1 && seen[0].1 < since);
    let little = count(&mut Follower::new(index, Time(0), 15_000).unwrap());
    assert!(!little.is_empty() && little.len() < 60);
    statement(&journal, &who(1, "late"), 1, "public.t", Verdict::Allow, "x");
    journal.write().unwrap();
    assert_eq!(count(&mut whole).pop().unwrap().2.as_deref(), Some("statement"));
}

//! The proof that masks hold: every case of `proof/proof.txt` runs on PostgreSQL alone, where it succeeds, and through the gateway, where
//! it does not. Both times on two databases that differ in nothing but personal data, so that what tells them apart is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use testkit::client::{Message, Raw};
use testkit::postgres::Version;
use wire::backend::tag;

use crate::attacks::{leak, run};
use crate::flight::{Flight, sqlstate};
use crate::twins::{Twins, answer};

/// What must be tried, in the words of `proof.txt`: for each at least one case.
const TOPICS: [&str; 66] = [
    "writes: a data-modifying WITH",
    "writes: EXPLAIN ANALYZE",
    "writes: EXPLAIN ANALYZE EXECUTE",
    "writes: COPY of a writing query",
    "writes: SELECT INTO",
    "writes: CREATE TABLE AS",
    "writes: volatile functions",
    "writes: FOR UPDATE",
    "writes: functions that run SQL given as text",
    "writes: leaving a read-only transaction",
    "writes: effects inside a read-only transaction",
    "writes: rules, MERGE, ON CONFLICT and several statements",
    "reading: by expressions of every kind",
    "reading: by aggregates and windows",
    "reading: by set operations, sub-selects, VALUES",
    "reading: by arrays, rows and whole rows",
    "reading: by joins that merge columns",
    "reading: by views",
    "reading: by COPY",
    "reading: by CREATE TABLE AS",
    "reading: by cursors and prepared statements",
    "reading: inheritance children and partitions",
    "oracles: WHERE and JOIN",
    "oracles: ORDER, GROUP, DISTINCT, HAVING, windows",
    "oracles: set operations, count and EXISTS",
    "oracles: asked for one by one",
    "oracles: 1/(CASE ...)",
    "oracles: error texts that quote the value",
    "oracles: constraints, their DETAIL and rows that fail",
    "oracles: EXPLAIN",
    "oracles: advisory locks",
    "oracles: set_config, SHOW and parameter status",
    "oracles: RAISE",
    "oracles: NOTIFY's payload",
    "oracles: statistics",
    "oracles: what others' statements say",
    "laundering: UPDATE and RETURNING",
    "laundering: INSERT ... SELECT",
    "laundering: MERGE",
    "laundering: temporary tables",
    "laundering: views of one's own",
    "laundering: generated columns and defaults",
    "laundering: renames",
    "laundering: large objects",
    "text as SQL: query_to_xml and its family",
    "text as SQL: cursor_to_xml",
    "text as SQL: ts_stat and ts_rewrite",
    "text as SQL: dblink, crosstab, xpath_table",
    "text as SQL: DO and EXECUTE",
    "names: temporary tables shadow real ones",
    "names: a search path that takes functions and operators over",
    "names: one's own operators, casts and domain checks",
    "others' rights: views and SECURITY DEFINER",
    "others' rights: triggers and rules",
    "forms of a column",
    "lexing: standard_conforming_strings",
    "lexing: E'' strings",
    "lexing: U&'' strings and UESCAPE",
    "lexing: dollar quotes",
    "lexing: nested comments",
    "lexing: case folding",
    "lexing: names longer than 63 bytes",
    "lexing: client encodings",
    "lexing: a parser newer or older than the server",
    "lexing: deep nesting",
    "leaving the session's role",
];

/// What PostgreSQL alone lets a case do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wants {
    /// A canary comes back, in whatever disguise.
    Canary,
    /// Something is changed that stays.
    Changes,
    /// The answer depends on personal data.
    Oracle,
    /// It just runs: an effect on the session or the server.
    Runs,
    /// It can't succeed here; the line says why.
    Never,
}

#[derive(Clone)]
pub(crate) struct Case {
    line: usize,
    topic: String,
    wants: Wants,
    pub(crate) agent: &'static str,
    only: Option<Version>,
    pub(crate) statements: Vec<String>,
}

/// Splits `WANTS WHO [VERSION][: WHY]`.
fn read_heading(heading: &str, at: usize) -> (Wants, &'static str, Option<Version>) {
    let words = heading.split(':').next().unwrap();
    let why = heading.contains(": ");
    let mut words = words.split_whitespace();
    let wants = match words.next() {
        Some("canary") => Wants::Canary,
        Some("changes") => Wants::Changes,
        Some("oracle") => Wants::Oracle,
        Some("runs") => Wants::Runs,
        Some("never") => Wants::Never,
        other => panic!("line {at}: {other:?}"),
    };
    assert!(wants != Wants::Never || why || heading.starts_with("never reader"), "line {at}: why not?");
    let agent = match words.next() {
        Some("reader") => "support-agent",
        Some("writer") => "analyst",
        other => panic!("line {at}: {other:?}"),
    };
    let only = match words.next() {
        None => None,
        Some("15") => Some(Version::V15),
        Some("18") => Some(Version::V18),
        other => panic!("line {at}: {other:?}"),
    };
    (wants, agent, only)
}

/// Writes out what stands for long repetitions: `{(*500}`.
fn expand(text: &str) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        whole += before;
        let repeated = after
            .split_once('}')
            .and_then(|(inner, after)| inner.split_once('*').map(|(what, times)| (what, times, after)))
            .and_then(|(what, times, after)| Some((what.repeat(times.parse().ok()?), after)));
        match repeated {
            Some((repeated, after)) => {
                whole += &repeated;
                rest = after;
            }
            None => {
                whole.push('{');
                rest = after;
            }
        }
    }
    whole + rest
}

pub(crate) fn cases() -> Vec<Case> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/proof/proof.txt");
    let text = fs::read_to_string(path).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    let (mut topic, mut usual) = (String::new(), None);
    let mut open: Option<Case> = None;
    let mut whole = true;
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with("## ") {
            continue;
        }
        if line.is_empty() {
            cases.extend(open.take().filter(|case| !case.statements.is_empty()));
            whole = true;
            continue;
        }
        if let Some(heading) = line.strip_prefix("== ") {
            let (name, defaults) = heading.split_once(" | ").unwrap_or_else(|| panic!("line {number}"));
            topic = name.to_owned();
            usual = Some(read_heading(defaults, number));
            continue;
        }
        let new = |(wants, agent, only)| {
            let topic = topic.clone();
            Case { line: number, topic, wants, agent, only, statements: Vec::new() }
        };
        if let Some(heading) = line.strip_prefix("# ") {
            open = Some(new(read_heading(heading, number)));
            continue;
        }
        let case = open.get_or_insert_with(|| new(usual.unwrap_or_else(|| panic!("line {number}"))));
        match case.statements.last_mut() {
            Some(last) if !whole => *last += &format!("\n{line}"),
            _ => case.statements.push(expand(line)),
        }
        whole = line.ends_with(';');
    }
    cases.extend(open);
    cases
}

/// Runs a case's statements one after another.
pub(crate) fn attack(raw: &mut Raw, case: &Case, extended: bool) -> Vec<Message> {
    let mut all = Vec::new();
    for statement in &case.statements {
        let flight = if extended {
            let format = i16::from(case.line % 2 == 1);
            Flight::default().parse("", statement).bind("", &[], format).describe_portal().execute().sync()
        } else {
            Flight::default().query(statement)
        };
        all.extend(run(raw, flight));
        if has_ended(&all) {
            break;
        }
    }
    all
}

/// Says whether the connection was closed.
pub(crate) fn has_ended(messages: &[Message]) -> bool {
    messages.last().is_none_or(|last| last.tag != tag::READY_FOR_QUERY)
}

fn is_refusal(messages: &[Message]) -> bool {
    matches!(sqlstate(messages).as_str(), "42501" | "0A000" | "42939" | "54000" | "54001")
}

/// Runs a case on PostgreSQL alone and says if it is not what it pretends to be.
fn pointless(twins: &mut Twins, case: &Case) -> Option<String> {
    let mut answers = Vec::new();
    for side in 0..if case.wants == Wants::Oracle { 2 } else { 1 } {
        let before = twins.bare_state(side);
        let mut raw = twins.bare(side);
        let messages = attack(&mut raw, case, false);
        drop(raw);
        let after = twins.bare_state(side);
        answers.push((messages, before != after));
    }
    let (messages, changed) = &answers[0];
    let changed = *changed;
    let failed = sqlstate(messages);
    let fine = match case.wants {
        Wants::Canary => leak(messages).is_some(),
        Wants::Changes => changed,
        Wants::Oracle => answer(messages) != answer(&answers[1].0),
        Wants::Runs => failed.is_empty(),
        Wants::Never => !failed.is_empty() || leak(messages).is_none(),
    };
    let problem = (!fine).then(|| format!("alone: not {:?}; SQLSTATE {failed:?}", case.wants));
    if changed {
        twins.renew_bare();
    }
    problem
}

/// Runs a case through the gateway, in both protocols, and says what is wrong with what comes of it.
fn wrong(twins: &mut Twins, case: &Case) -> Option<String> {
    for extended in [false, true] {
        let way = if extended { "extended" } else { "simple" };
        let before = twins.state(0);
        let answers = [0, 1].map(|side| {
            let mut raw = twins.open(side, case.agent);
            let messages = attack(&mut raw, case, extended);
            if !has_ended(&messages) {
                twins.keep(side, case.agent, raw, &case.statements);
            }
            messages
        });
        let changed = twins.state(0) != before;
        if changed {
            twins.renew();
        }
        if let Some(found) = answers.iter().find_map(|messages| leak(messages)) {
            return Some(format!("{way}: LEAK of {found}: {:?}", answers[0]));
        }
        if answer(&answers[0]) != answer(&answers[1]) {
            return Some(format!("{way}: TELLS: {:?}\n    and {:?}", answers[0], answers[1]));
        }
        if has_ended(&answers[0]) {
            return Some(format!("{way}: the session has ended: {:?}", answers[0]));
        }
        match case.wants {
            Wants::Changes if changed => return Some(format!("{way}: something has changed")),
            Wants::Runs if !is_refusal(&answers[0]) => {
                return Some(format!("{way}: not refused: {:?}", answers[0]));
            }
            _ => {}
        }
    }
    None
}

/// Tries the cases of some topics, those that begin with one of these words.
fn check(version: Version, topics: &[&str]) {
    let mut twins = Twins::new(version);
    let wanted = |case: &Case| {
        case.only.is_none_or(|only| only == version)
            && topics.iter().any(|topic| case.topic.starts_with(topic))
    };
    let cases: Vec<Case> = cases().into_iter().filter(wanted).collect();
    let mut problems = Vec::new();
    for case in &cases {
        let found = [wrong(&mut twins, case), pointless(&mut twins, case)];
        let text: String = case.statements.join(" ").chars().take(200).collect();
        problems.extend(found.into_iter().flatten().map(|what| {
            let what: String = what.chars().take(1500).collect();
            format!("proof.txt:{} {} ({text}): {what}", case.line, case.topic)
        }));
    }
    assert!(
        problems.is_empty(),
        "{version}: {} of {}:\n{}",
        problems.len(),
        cases.len(),
        problems.join("\n")
    );
}

/// The topics, in portions of about the same work.
const WRITES: [&str; 4] = ["writes", "leaving", "the server", "lexing"];
const READING: [&str; 2] = ["reading", "forms"];
const ORACLES: [&str; 1] = ["oracles"];
const LAUNDERING: [&str; 4] = ["laundering", "text", "names", "others"];

#[test]
fn writes_that_look_like_reads_work_on_postgresql_15_alone_and_not_through_the_gateway() {
    check(Version::V15, &WRITES);
}

#[test]
fn masked_columns_in_any_expression_work_on_postgresql_15_alone_and_not_through_the_gateway() {
    check(Version::V15, &READING);
}

#[test]
fn oracles_work_on_postgresql_15_alone_and_not_through_the_gateway() {
    check(Version::V15, &ORACLES);
}

#[test]
fn laundering_works_on_postgresql_15_alone_and_not_through_the_gateway() {
    check(Version::V15, &LAUNDERING);
}

#[test]
fn writes_that_look_like_reads_work_on_postgresql_18_alone_and_not_through_the_gateway() {
    check(Version::V18, &WRITES);
}

#[test]
fn masked_columns_in_any_expression_work_on_postgresql_18_alone_and_not_through_the_gateway() {
    check(Version::V18, &READING);
}

#[test]
fn oracles_work_on_postgresql_18_alone_and_not_through_the_gateway() {
    check(Version::V18, &ORACLES);
}

#[test]
fn laundering_works_on_postgresql_18_alone_and_not_through_the_gateway() {
    check(Version::V18, &LAUNDERING);
}

#[test]
fn every_way_to_beat_a_gateway_is_tried() {
    let cases = cases();
    assert!(cases.len() > 400, "{}", cases.len());
    let mut tried: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &cases {
        *tried.entry(&case.topic).or_default() += 1;
    }
    let untried: Vec<_> = TOPICS.iter().filter(|topic| !tried.contains_key(**topic)).collect();
    assert!(untried.is_empty(), "{untried:?}");
    let portions = [&WRITES[..], &READING, &ORACLES, &LAUNDERING].concat();
    for topic in tried.keys() {
        assert_eq!(portions.iter().filter(|start| topic.starts_with(**start)).count(), 1, "{topic}");
    }
    let listed: BTreeSet<&str> = TOPICS.into_iter().collect();
    let unlisted: Vec<_> = tried
        .keys()
        .filter(|topic| !listed.contains(*topic) && **topic != "the server's files and network")
        .collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
}

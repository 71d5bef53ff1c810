//! Records of every kind through to tables, page and CSV.

use audit::Time;
use serde_json::{Value, json};

use crate::{Figures, Framework, Page, Part, Scope, Table, csv, page};

const HOSTILE: &str = "</td><script>alert(1)</script>\u{202e}\u{1b}[2J\n=cmd|' /C calc'!A0";

fn agent() -> Value {
    json!({ "issuer": "corp", "subject": "agent", "groups": ["a", "b"], "token_id": null })
}

fn statement(verdict: &str, sqlstate: Option<&str>, text: &str) -> Value {
    json!({
        "event": "statement", "session": "s", "statement": 1, "identity": agent(), "database": "shop", "text": text,
        "verdict": verdict, "sqlstate": sqlstate, "reason": sqlstate.map(|_| "no rule permits it"),
        "decision": {
            "kind": "select",
            "touches": [{ "action": "select", "kind": "relation", "name": "public.c", "columns": ["email", "name", "ssn"] },
                        { "action": "filter", "kind": "relation", "name": "public.c", "columns": ["ssn"] }],
            "masks": [{ "column": "public.c.email", "mask": "hash" }],
        },
    })
}

fn tags(_: &str, _: &str, column: &str) -> Vec<String> {
    if column == "name" { Vec::new() } else { vec!["pii".to_owned()] }
}

fn vote(verdict: &str, approval: u64) -> Value {
    let event = if verdict == "break_glass" { "break_glass" } else { "approval_voted" };
    json!({ "event": event, "approval": approval, "by": { "issuer": "corp", "subject": "lead", "groups": [] }, "verdict": verdict,
            "reason": HOSTILE, "via": "cli", "requester": "corp:agent", "database": "shop" })
}

fn made(scope: Scope, records: &[Value]) -> Vec<Table> {
    let mut figures = Figures::new(scope, &tags);
    for (at, record) in records.iter().enumerate() {
        figures.take(at as u64 + 1, Time(at as i64 * 1_000_000_000), record);
    }
    figures.finish().into_iter().flat_map(|(_, tables)| tables).collect()
}

fn rows<'t>(tables: &'t [Table], id: &str) -> Vec<Vec<&'t str>> {
    let table = tables.iter().find(|it| it.id == id).unwrap_or_else(|| panic!("no {id}"));
    table.rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect()
}

#[test]
fn what_was_read_masked_clear_or_in_conditions_is_told_apart() {
    let records = [
        statement("mask", None, "1"),
        statement("mask", None, "2"),
        statement("observed-mask", None, "3"),
        statement("deny", Some("42501"), "4"),
    ];
    let tables = made(Scope::default(), &records);
    let found: Vec<_> =
        rows(&tables, "sensitive").iter().map(|row| format!("{} {} {}", row[1], row[4], row[5])).collect();
    assert_eq!(
        found,
        [
            "public.c.email clear (policy observed only) 1",
            "public.c.email masked: hash 2",
            "public.c.ssn clear 3",
            "public.c.ssn filter 3"
        ]
    );
    let objects = rows(&tables, "objects");
    assert_eq!(objects[1][3..9], ["select", "relation", "public.c", "email, name, ssn", "3", "1"]);
    assert_eq!(rows(&tables, "refusals")[0][3..7], ["deny", "42501", "no rule permits it", "1"]);
    assert_eq!(rows(&tables, "kinds")[0][2..5], ["select", "3", "1"]);
}

#[test]
fn a_period_ends_before_its_end_and_a_database_leaves_out_others() {
    let records: Vec<Value> = (0..5).map(|_| statement("allow", None, "x")).collect();
    let scope = |since: i64, until: i64, database: &str| Scope {
        since: Some(Time(since * 1_000_000_000)),
        until: Some(Time(until * 1_000_000_000)),
        database: Some(database.to_owned()),
        identity: None,
    };
    assert_eq!(rows(&made(scope(1, 4, "shop"), &records), "kinds")[0][3], "3");
    assert!(rows(&made(scope(1, 4, "other"), &records), "kinds").is_empty());
    let tables = made(scope(1, 4, "it's"), &[]);
    let kinds = tables.iter().find(|it| it.id == "kinds").unwrap();
    assert_eq!(
        kinds.queries,
        [
            "gatepost audit query --event statement --database 'it'\\''s' --since 1970-01-01T00:00:01.000000Z --until \
          1970-01-01T00:00:04.000000Z"
        ]
    );
}

#[test]
fn a_broken_glass_is_open_until_it_is_reviewed() {
    let tables = made(Scope::default(), &[vote("break_glass", 7), vote("break_glass", 8), vote("review", 7)]);
    let glass = tables.iter().find(|it| it.id == "break-glass").unwrap();
    assert_eq!(glass.rows.len(), 3);
    assert!(
        glass.note.starts_with("2 requests were broken through; not reviewed in the period: 8."),
        "{}",
        glass.note
    );
}

#[test]
fn a_story_has_all_that_concerns_one_identity_and_nothing_of_others() {
    let mut other = statement("deny", Some("42501"), "not mine");
    other["identity"]["subject"] = json!("other");
    let mut for_me = statement("deny", Some("42501"), "for me");
    for_me["identity"] = json!({ "issuer": "corp", "subject": "bot", "on_behalf_of": { "issuer": "corp", "subject": "agent" } });
    for_me["session"] = json!("t");
    let records = [
        json!({ "event": "session_started", "session": "s", "identity": agent(), "database": "shop" }),
        statement("deny", Some("42501"), "mine"),
        json!({ "event": "role_gone", "session": "s", "database": "shop", "role": "gp_1", "reason": "over" }),
        json!({ "event": "role_gone", "session": "u", "database": "shop", "role": "gp_2", "reason": "over" }),
        json!({ "event": "block_added", "by": "corp:ops", "selector": "identity corp:agent", "reason": "why" }),
        json!({ "event": "block_added", "by": "corp:ops", "selector": "identity corp:agent2", "reason": "why" }),
        for_me,
        vote("approve", 3),
    ];
    let mut theirs = other;
    theirs["session"] = json!("u");
    let all: Vec<Value> = [theirs].into_iter().chain(records).collect();
    let tables = made(Scope { identity: Some("corp:agent".to_owned()), ..Scope::default() }, &all);
    let texts: Vec<_> = rows(&tables, "refused-statements").iter().map(|row| row[8]).collect();
    assert_eq!(texts, ["mine", "for me"]);
    let count = |id: &str| rows(&tables, id).len();
    assert_eq!((count("roles"), count("acts"), count("approval-decisions"), count("sessions")), (1, 1, 1, 1));
    let acts = tables.iter().find(|it| it.id == "acts").unwrap();
    assert!(acts.queries[0].ends_with(" --identity corp:agent"), "{:?}", acts.queries);
}

#[test]
fn strangers_text_stays_text_in_page_and_csv() {
    let mut failed = vote("deny", 1);
    failed["event"] = json!("authentication_failed");
    failed["user"] = json!(HOSTILE);
    let records = [statement("deny", Some("42501"), HOSTILE), vote("approve", 1), failed];
    let scope = Scope { identity: None, database: Some(HOSTILE.to_owned()), ..Scope::default() };
    let tables = made(Scope::default(), &records);
    let mut parts = vec![(Part::Access, tables.clone())];
    parts.push((Part::Policy, made(scope, &records)));
    let html = page(&Page {
        title: HOSTILE.to_owned(),
        facts: vec![("Database", HOSTILE.to_owned())],
        warnings: vec![HOSTILE.to_owned()],
        framework: Some(Framework::Gdpr),
        parts,
    });
    assert!(!html.contains("<script"), "markup of a stranger");
    assert!(!html.chars().any(|c| c != '\n' && audit::is_deceptive(c)), "what steers or hides");
    assert!(html.contains("&lt;script&gt;alert(1)"));
    assert!(html.contains("content=\"default-src 'none'; style-src 'sha256-"));
    for table in &tables {
        let text = csv(table);
        assert_eq!(text.matches("\r\n").count(), table.rows.len() + 1, "{text}");
        assert!(!text.chars().any(|c| !"\r\n".contains(c) && audit::is_deceptive(c)), "{text}");
    }
}

#[test]
fn what_finds_no_room_is_told() {
    let mut figures = Figures::new(Scope::default(), &tags).with_budget(2000);
    for at in 0..100 {
        figures.take(at + 1, Time(0), &vote("approve", at));
    }
    let tables: Vec<Table> = figures.finish().into_iter().flat_map(|(_, tables)| tables).collect();
    let votes = tables.iter().find(|it| it.id == "approval-decisions").unwrap();
    assert!(votes.left_out > 90 && votes.records == 100 && !votes.rows.is_empty(), "{votes:?}");
}

#[test]
fn every_framework_says_which_controls_each_part_is_about() {
    use Framework::{Gdpr, Hipaa, Iso27001, Pci, Soc2};
    let all = |framework: Framework| -> Vec<&str> {
        let mut all: Vec<&str> =
            Part::ALL.iter().flat_map(|part| framework.controls(*part)).copied().collect();
        assert!(Part::ALL.iter().all(|part| !framework.controls(*part).is_empty()));
        all.sort_unstable();
        all.dedup();
        all
    };
    assert_eq!(all(Soc2), ["CC6.1", "CC6.2", "CC6.3", "CC7.2", "CC8.1"]);
    assert_eq!(all(Iso27001), ["A.5.15", "A.5.18", "A.8.15", "A.8.16", "A.8.2", "A.8.3"]);
    assert_eq!(all(Pci).len(), 3);
    assert_eq!(all(Hipaa), ["164.308(a)(1)(ii)(D)", "164.312(a)", "164.312(b)", "164.312(c)", "164.312(d)"]);
    assert_eq!(all(Gdpr), ["Art. 25", "Art. 30", "Art. 32", "Art. 5(1)(f)"]);
}

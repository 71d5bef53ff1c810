//! From what was recorded to policy, and back: `policy suggest` and `policy replay` on the journal of a gateway in front of a real PostgreSQL.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::postgres::Version;

use crate::approvals::Office;
use crate::stage::Gate;

const STATEMENTS: [&str; 9] = [
    "SELECT id, name, email FROM customers WHERE id = 4711",
    "SELECT id, name, email FROM customers WHERE id = 4712",
    "SELECT count(*) FROM orders",
    "SELECT upper(name), total FROM customer_orders WHERE status = 'paid-secret'",
    "UPDATE tickets SET status = 'closed' WHERE id = 3",
    "BEGIN",
    "SELECT nspname FROM pg_namespace",
    "COMMIT",
    "SELECT status, count(*) FROM tickets GROUP BY status",
];
const REFUSED: &str = "SELECT name FROM customers WHERE ssn = '078-05-1120'";

/// A gateway at which support has worked.
fn worked() -> Gate {
    let gate = Gate::new(Version::V15);
    let mut raw = gate.open("support-agent");
    STATEMENTS.iter().chain([&REFUSED]).for_each(|sql| {
        raw.query(sql);
    });
    gate.events("statement", STATEMENTS.len() + 1);
    gate
}

#[track_caller]
fn replay(gate: &Gate, bundle: &str, status: i32) -> Value {
    let ran =
        gate.run(&["policy", "replay", "--bundle", bundle, "--group", "support-agents", "--format", "json"]);
    assert_eq!(ran.status, Some(status), "{ran:#?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The differences: which, of which statement, and what makes them.
fn differences(found: &Value) -> Vec<(String, String)> {
    let of = |it: &Value| {
        (
            it["difference"].as_str().unwrap().to_owned(),
            it["what"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it.as_str().unwrap())
                .collect::<Vec<_>>()
                .join(", "),
        )
    };
    found["differences"].as_array().unwrap().iter().map(of).collect()
}

/// The rules of a text, each with the comments before it.
fn rules(text: &str) -> Vec<String> {
    text.split_inclusive(";\n").map(str::to_owned).filter(|rule| rule.contains("permit")).collect()
}

#[test]
fn the_least_bundle_allows_what_was_done_and_each_of_its_lines_is_needed() {
    let gate = worked();
    let ran = gate.run(&["policy", "suggest", "--group", "support-agents", "--out", "least"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    assert!(
        ran.stderr.contains("9 statements") && ran.stderr.contains("1 more did not run"),
        "{}",
        ran.stderr
    );
    let home = gate.gateway.home().to_owned();
    let text = fs::read_to_string(home.join("least/suggested.cedar")).unwrap();
    for part in [
        "// s1: 2 times, last in record",
        "SELECT id, name, email FROM customers WHERE id = ?",
        "permit (principal in Group::\"support-agents\", action == Action::\"select\", resource is Column in Relation::\"shop.public.customers\")",
        "Column::\"shop.public.customers.name\" // s1",
        "when { context.masked }",
        "when { context.statement.has_where }",
        "resource == Relation::\"shop.public.orders\"",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    for literal in ["4711", "4712", "paid-secret", "078-05-1120", "ssn", "pg_namespace\""] {
        assert!(!text.contains(literal), "{literal:?} in:\n{text}");
    }
    // It loads, its tests pass, and under it everything that was done is done again.
    assert_eq!(gate.run(&["policy", "check", "least", "--database", "shop"]).status, Some(0));
    let same = replay(&gate, "least", 0);
    assert_eq!((&same["decided"], &same["unchanged"]), (&json!(10), &json!(10)), "{same:#}");
    // Without any one rule, something is refused; without any one column of one, too.
    let all = rules(&text);
    assert!(all.len() >= 8, "{text}");
    let with = |text: &str| {
        fs::remove_dir_all(home.join("less")).unwrap_or_default();
        fs::create_dir_all(home.join("less")).unwrap();
        fs::copy(home.join("least/bundle.toml"), home.join("less/bundle.toml")).unwrap();
        fs::write(home.join("less/suggested.cedar"), text).unwrap();
        replay(&gate, "less", 1)["counts"]["newly-refused"].as_u64().unwrap()
    };
    for left_out in 1..all.len() {
        let others: Vec<&str> = all
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != left_out)
            .map(|(_, rule)| rule.as_str())
            .collect();
        assert!(with(&others.concat()) > 0, "not needed: {}", all[left_out]);
    }
    let lines: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("Column::")).collect();
    for line in lines {
        // The last one of a set has no comma, and the one before it would be left with one.
        if line.contains(", //") {
            assert!(with(&text.replace(&format!("{line}\n"), "")) > 0, "not needed: {line}");
        }
    }
    // PostgreSQL's side understands the rules as well: what a made role would be granted is no more than that.
    let grants = gate.run(&["policy", "explain", "--groups", "support-agents", "--grants"]);
    assert_eq!(grants.status, Some(0), "{grants:#?}");
    // Nothing is overwritten, and nobody's traffic suggests nothing.
    assert_eq!(
        gate.run(&["policy", "suggest", "--group", "support-agents", "--out", "least"]).status,
        Some(1)
    );
    assert_eq!(gate.run(&["policy", "suggest", "--identity", "corp:who"]).status, Some(1));
    assert_eq!(gate.run(&["policy", "suggest"]).status, Some(2));
}

fn edit(dir: &Path, file: &str, from: &str, to: &str) {
    let path = dir.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "no {from:?} in {text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn replaying_traffic_tells_what_a_changed_bundle_would_change() {
    let gate = worked();
    let policy = gate.policy();
    let name = policy.file_name().unwrap().to_str().unwrap().to_owned();
    fs::remove_dir_all(policy.join("tests")).unwrap();
    let found = replay(&gate, &name, 0);
    assert_eq!((&found["decided"], &found["unchanged"]), (&json!(10), &json!(10)), "{found:#}");
    assert_eq!(found["inexact"], 0, "{found:#}");
    let rules = "support.cedar";
    let original = fs::read_to_string(policy.join(rules)).unwrap();
    let check = |from: &str, to: &str, expected: &[(&str, &str)]| {
        edit(&policy, rules, from, to);
        let found = replay(&gate, &name, 1);
        let expected: Vec<_> =
            expected.iter().map(|(change, what)| ((*change).to_owned(), (*what).to_owned())).collect();
        assert_eq!(differences(&found), expected, "{found:#}");
        fs::write(policy.join(rules), &original).unwrap();
    };
    check(
        "action == Action::\"update\"",
        "action == Action::\"truncate\"",
        &[("newly-refused", "update shop.public.tickets.status")],
    );
    check("when { context.masked };", ";", &[("newly-clear", "public.customers.email")]);
    check(
        "resource.tags.contains(\"pii\")",
        "resource.tags.containsAny([\"pii\", \"name\"])",
        &[("newly-masked", "public.customers.name"), ("newly-masked", "public.customer_orders.name")],
    );
    check(
        "resource in Relation::\"shop.public.tickets\");",
        "resource in Relation::\"shop.public.tickets\") when { context.approved_by.contains(\"dba\") };",
        &[("newly-held", "update shop.public.tickets.status: dba")],
    );
    check(
        "unless { resource has tags && resource.tags.contains(\"pii\") }",
        "",
        &[("newly-allowed", ""), ("newly-clear", "public.customers.email")],
    );
    // What a pipeline minds is its own choice.
    edit(&policy, rules, "when { context.masked };", ";");
    let ran = gate.run(&["policy", "replay", "--bundle", &name, "--fail-on", "newly-refused,newly-held"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    assert!(ran.stdout.contains("newly-clear") && ran.stdout.contains("decided again"), "{}", ran.stdout);
}

#[test]
fn what_ran_by_approval_is_suggested_with_approval() {
    let office = Office::open();
    let delete = "DELETE FROM tickets WHERE id = 1";
    let number = office.ask(delete, &[]);
    office.approve_by_cli(number);
    assert_eq!(office.send(delete).stdout.trim(), "DELETE 1");
    office.gate.events("approval_used", 1);
    let ran = office.gate.run(&["policy", "suggest", "--identity", "corp:agent", "--out", "least"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    let home = office.gate.gateway.home().to_owned();
    let text = fs::read_to_string(home.join("least/suggested.cedar")).unwrap();
    assert!(text.contains("principal == Agent::\"corp:agent\", action == Action::\"delete\""), "{text}");
    assert!(text.contains("context.approved_by.contains(\"lead\")"), "{text}");
    let replay = |status: i32| {
        let ran = office.gate.run(&["policy", "replay", "--bundle", "least", "--format", "json"]);
        assert_eq!(ran.status, Some(status), "{ran:#?}");
        serde_json::from_str::<Value>(&ran.stdout).unwrap()
    };
    assert_eq!(replay(0)["decided"], 1);
    // Approval by others is another approval; none at all is none.
    edit(&home.join("least"), "suggested.cedar", "contains(\"lead\")", "contains(\"pair\")");
    fs::remove_dir_all(home.join("least/tests")).unwrap();
    assert_eq!(replay(1)["counts"]["newly-held"], 1);
    // Reading the column that chooses the rows was only ever done with approval as well.
    let path = home.join("least/suggested.cedar");
    let without = text.replace("context.approved_by.contains(\"lead\")", "true");
    fs::write(path, without).unwrap();
    assert_eq!(replay(1)["counts"]["no-longer-held"], 1);
}

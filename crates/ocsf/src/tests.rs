//! The mapping: what a class needs is there, what no attribute is for is not lost.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};

use crate::{Class, TABLE, event, reference};

fn mapped(fields: Value) -> Value {
    event(&fields, 1_700_000_000_123, "0.1.0")
}

/// An event with whatever any class could use.
fn sample(name: &str) -> Value {
    json!({
        "seq": 7, "time": "2023-11-14T22:13:20.123456Z", "journal": "00ff", "event": name,
        "session": "5e", "statement": 3, "client": "10.0.0.1:5433", "database": "shop",
        "identity": {"issuer": "corp", "subject": "agent", "groups": ["dev"], "token_id": "t1", "on_behalf_of": {"issuer": "corp", "subject": "erin"}},
        "reason": "because", "sqlstate": "42501", "approval": 9, "selector": "group agents", "role": "gp_1", "delegation": "d1",
        "bundle": "shop", "hash": "abc", "kind": "unseen_masked_column", "detail": "what exactly", "config_hash": "def",
        "verdict": "allow", "text": "SELECT 1",
    })
}

#[test]
fn what_each_class_requires_is_there() {
    for name in TABLE.iter().map(|row| row.event).chain(["outcome", "connected", "of_a_later_version"]) {
        for fields in [sample(name), json!({"event": name, "seq": 1, "journal": "00"})] {
            let out = mapped(fields);
            let (class, activity) =
                (out["class_uid"].as_u64().unwrap(), out["activity_id"].as_u64().unwrap());
            assert_eq!(out["type_uid"], class * 100 + activity, "{name}");
            assert_eq!(out["category_uid"], class / 1000, "{name}");
            // As the schema of 1.8.0 says of each class, those of the base event included.
            let needed: &[&str] = match class {
                0 => &[],
                2004 => &["/finding_info/uid", "/finding_info/title"],
                3001 | 3002 => &["/user/name"],
                3004 => &["/entity/name", "/entity/type_id"],
                6002 => &["/app/name"],
                6005 => &["/actor/session", "/src_endpoint", "/database/type_id"],
                other => unreachable!("{other}"),
            };
            for pointer in ["/metadata/version", "/metadata/product/vendor_name", "/time", "/severity_id"]
                .iter()
                .chain(needed)
            {
                assert!(out.pointer(pointer).is_some(), "{name} lacks {pointer}: {out:#}");
            }
        }
    }
}

#[test]
fn nothing_is_lost() {
    for name in TABLE.iter().map(|row| row.event).chain(["outcome"]) {
        let out = mapped(sample(name)).to_string();
        for word in [
            "5e",
            "10.0.0.1",
            "shop",
            "agent",
            "dev",
            "erin",
            "because",
            "42501",
            "group agents",
            "gp_1",
            "what exactly",
            "SELECT 1",
            "t1",
        ] {
            assert!(out.contains(word), "{name} has lost {word}: {out}");
        }
    }
}

#[test]
fn a_statement_is_an_activity_of_a_datastore() {
    let fields = json!({
        "seq": 7, "time": "2023-11-14T22:13:20.123456Z", "event": "statement", "session": "5e", "statement": 3,
        "identity": {"issuer": "corp", "subject": "agent", "groups": [], "token_id": null}, "client": "[::1]:5433", "application_name": "psql",
        "database": "shop", "protocol": "simple", "text": "DELETE FROM t", "parameters": [],
        "decision": {"kind": "write", "touches": [{"action": "filter", "kind": "relation", "name": "app.t", "columns": ["a"]}, {"action": "delete", "kind": "relation", "name": "app.t", "columns": []}], "rules": [], "masks": [], "approvers": []},
        "verdict": "deny", "sqlstate": "42501", "reason": "no rule allows it", "durability": "durable", "journal": "00ff", "hash": "ab",
    });
    assert_eq!(
        mapped(fields.clone()),
        json!({
            "metadata": {
                "version": "1.8.0", "product": {"name": "Gatepost", "vendor_name": "Gatepost", "version": "0.1.0"}, "log_name": "audit",
                "event_code": "statement", "uid": "00ff-7", "sequence": 7, "original_time": "2023-11-14T22:13:20.123456Z",
                "correlation_uid": "5e-3", "profiles": ["security_control"],
            },
            "time": 1_700_000_000_123_i64,
            "class_uid": 6005, "class_name": "Datastore Activity", "category_uid": 6, "activity_id": 7, "activity_name": "Delete", "type_uid": 600_507,
            "severity_id": 3, "status_id": 2, "status_code": "42501", "status_detail": "no rule allows it",
            "actor": {"user": {"uid": "corp:agent", "name": "agent", "domain": "corp"}, "session": {"uid": "5e"}, "app_name": "psql"},
            "src_endpoint": {"ip": "::1", "port": 5433},
            "database": {"name": "shop", "type": "Relational", "type_id": 1},
            "table": {"name": "app.t"}, "type_id": 3, "action_id": 2, "disposition_id": 2,
            "query_info": {"query_string": "DELETE FROM t"},
            "unmapped": {
                "statement": 3, "protocol": "simple", "parameters": [], "decision": fields["decision"], "verdict": "deny", "durability": "durable", "hash": "ab",
            },
        })
    );
    for (actions, activity) in [
        (["select", "filter"], 4),
        (["insert", "select"], 6),
        (["update", "insert"], 2),
        (["create", "drop"], 99),
    ] {
        let mut fields = fields.clone();
        fields["verdict"] = json!("mask");
        fields["decision"]["touches"] =
            actions.iter().map(|it| json!({"action": it, "kind": "function", "name": "f"})).collect();
        let out = mapped(fields);
        assert_eq!(
            (out["activity_id"].as_u64(), &out["action_id"], &out["type_id"]),
            (Some(activity), &json!(1), &json!(1))
        );
    }
}

#[test]
fn who_was_never_anybody_has_not_logged_off() {
    let out = mapped(
        json!({"event": "disconnected", "seq": 1, "journal": "0", "identity": null, "session": "5e", "client": "10.0.0.1:1"}),
    );
    assert_eq!((&out["class_uid"], &out["unmapped"]["client"]), (&json!(0), &json!("10.0.0.1:1")));
}

#[test]
fn the_page_has_every_row() {
    let page = reference();
    for row in TABLE {
        assert!(page.contains(&format!("| `{}` | {} ", row.event, row.class.numbers().0)), "{}", row.event);
    }
    assert!(TABLE.iter().any(|row| row.class == Class::DetectionFinding));
}

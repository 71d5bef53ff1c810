//! Requests for tests.

use approval::{Request, Value};
use serde_json::json;

/// An open request for that statement, as a store has it.
pub(crate) fn request(text: &str) -> Request {
    let duration = |seconds: u64| json!({"secs": seconds, "nanos": 0});
    let ask = json!({
        "requester": {"issuer": "corp", "subject": "agent-7", "name": "Agent Seven", "owner": "corp:olga"},
        "database": "shop",
        "session": null,
        "client": "127.0.0.1:5",
        "application_name": "psql",
        "statement": {
            "text": text,
            "command": "DELETE",
            "parameters": [{"type_oid": 20, "type_name": "int8", "value": {"text": "42"}}],
        },
        "touches": [{"action": "delete", "resource": "table public.tickets", "verdict": "hold", "rules": ["rule-1"]}],
        "rules": [{"id": "rule-1", "file": "rules.cedar", "line": 3, "forbid": false}],
        "why": "delete needs approval",
        "bundle": {"name": "shop", "version": "1", "hash": "00"},
        "binding": "ab".repeat(32),
        "needs": [{"name": "dba", "members": {"any": ["dba"]}, "quorum": 2}],
        "wait": {"held": {"in_transaction": false}},
        "hold": duration(900),
        "uses": 1,
        "use_within": duration(60),
    });
    let request = json!({
        "number": 7, "ask": ask, "opened": 1_800_000_000_000_u64, "until": 1_800_000_900_000_u64, "gateway": "gw",
        "state": "open", "votes": [], "used": 0,
    });
    serde_json::from_value(request).unwrap()
}

/// A request in which everything that a stranger can choose is that text.
pub(crate) fn hostile(text: &str) -> Request {
    let mut request = request(text);
    let ask = &mut request.ask;
    for field in [&mut ask.requester.subject, &mut ask.database, &mut ask.why, &mut ask.statement.command] {
        text.clone_into(field);
    }
    for field in [&mut ask.requester.name, &mut ask.requester.owner, &mut ask.requester.on_behalf_of] {
        *field = Some(text.to_owned());
    }
    ask.application_name = Some(text.to_owned());
    ask.purpose = Some(text.to_owned());
    for touch in &mut ask.touches {
        text.clone_into(&mut touch.resource);
    }
    for rule in &mut ask.rules {
        text.clone_into(&mut rule.id);
    }
    for parameter in &mut ask.statement.parameters {
        parameter.value = Value::Text(text.to_owned());
    }
    request
}

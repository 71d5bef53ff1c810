//! Requests for approval as a terminal shows them. Asks nobody.

use std::fmt::Write as _;

use approval::shown::{self, Run};
use audit::render::cell;
use serde_json::{Value, json};

/// A member that is text, made fit for one line.
fn word(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        Some(Value::String(text)) => cell(text),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn words(value: &Value, path: &str) -> String {
    let items = value.pointer(path).and_then(Value::as_array);
    let words: Vec<_> = items.into_iter().flatten().filter_map(Value::as_str).map(cell).collect();
    words.join(", ")
}

fn items<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn person(value: &Value) -> String {
    format!("{}:{}", word(value, "/issuer"), word(value, "/subject"))
}

/// How far each group has come: `support-leads 0/1`.
fn needs(request: &Value) -> String {
    let need =
        |need: &Value| format!("{} {}/{}", word(need, "/name"), word(need, "/have"), word(need, "/wanted"));
    items(request, "/needs").iter().map(need).collect::<Vec<_>>().join(", ")
}

/// One row of a list.
pub(super) fn row(request: &Value) -> Value {
    let requester = request.get("requester").map(person);
    json!({
        "number": request.get("number"),
        "state": request.get("state"),
        "requester": requester,
        "database": request.get("database"),
        "needs": needs(request),
        "until": request.get("until"),
        "why": request.get("why"),
    })
}

/// One row of the delegations.
pub(super) fn delegation(delegation: &Value) -> Value {
    json!({
        "id": delegation.get("id"),
        "from": delegation.get("from").map(person),
        "to": delegation.get("to"),
        "groups": words(delegation, "/groups"),
        "until": delegation.get("until"),
        "reason": delegation.get("reason"),
    })
}

/// Where a request stands, in a line.
pub(super) fn state(answer: &Value) -> String {
    let request = answer.get("request").unwrap_or(answer);
    let mut line = format!("request {} is {}", word(request, "/number"), word(request, "/state"));
    if let Some(vote) = items(request, "/votes").last() {
        let _ = write!(line, "; last said: {}", said(vote));
    }
    if word(request, "/state") == "open" {
        let _ = write!(line, "; needs {}", needs(request));
    }
    line
}

fn said(vote: &Value) -> String {
    let mut text =
        format!("{} by {}", word(vote, "/verdict"), vote.get("by").map(person).unwrap_or_default());
    if let Some(from) = vote.get("delegated_by").filter(|it| !it.is_null()) {
        let _ = write!(text, " in place of {}", person(from));
    }
    let reason = word(vote, "/reason");
    if !reason.is_empty() {
        let _ = write!(text, ": {reason}");
    }
    text
}

/// A request as whoever decides must see it: whole.
pub(super) fn request(answer: &Value) -> String {
    let request = answer.get("request").unwrap_or(answer);
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(out, "{name:<13}{value}");
        }
    };
    line("request", &format!("{} ({})", word(request, "/number"), word(request, "/state")));
    let who = request.get("requester").cloned().unwrap_or_default();
    line("asked by", &person(&who));
    line("in groups", &words(&who, "/groups"));
    line("owner", &word(&who, "/owner"));
    line("on behalf of", &word(&who, "/on_behalf_of"));
    line("database", &word(request, "/database"));
    line("application", &word(request, "/application_name"));
    line("client", &word(request, "/client"));
    line("why", &word(request, "/why"));
    for rule in items(request, "/rules") {
        let place = format!("{} ({}, line {})", word(rule, "/id"), word(rule, "/file"), word(rule, "/line"));
        line("rule", &place);
    }
    line("needs", &needs(request));
    line("until", &word(request, "/until"));
    line("purpose", &word(request, "/purpose"));
    line("link", &word(request, "/link"));
    for touch in items(request, "/touches") {
        let mask = word(touch, "/mask");
        let masked = if mask.is_empty() { String::new() } else { format!(" ({mask})") };
        let (action, resource) = (word(touch, "/action"), word(touch, "/resource"));
        line("touches", &format!("{action} on {resource}: {}{masked}", word(touch, "/verdict")));
    }
    for vote in items(request, "/votes") {
        line("said", &format!("{} ({})", said(vote), word(vote, "/at")));
    }
    out.push('\n');
    let runs = runs(answer.get("text_shown"), || shown::statement(&raw(request, "/statement/text")));
    for text in shown::escaped(&runs).lines() {
        let _ = writeln!(out, "    {text}");
    }
    for (number, parameter) in items(request, "/statement/parameters").iter().enumerate() {
        let _ = writeln!(out, "    ${} = {}", number + 1, value(parameter));
    }
    for note in shown::legend(&runs) {
        let _ = writeln!(out, "  ! {}", cell(&note));
    }
    out.push('\n');
    out
}

fn raw(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Reads marked text of the gateway's; where there is none, marks it here.
fn runs(marked: Option<&Value>, otherwise: impl Fn() -> Vec<Run>) -> Vec<Run> {
    marked.and_then(|runs| serde_json::from_value(runs.clone()).ok()).unwrap_or_else(otherwise)
}

fn value(parameter: &Value) -> String {
    let kind = word(parameter, "/type_name");
    let kind = match (kind.as_str(), parameter.get("type_oid").and_then(Value::as_u64)) {
        ("", Some(0)) => " (type unknown: decided by the server)".to_owned(),
        ("", Some(oid)) => format!(" (type {oid})"),
        ("", None) => String::new(),
        (kind, _) => format!("::{kind}"),
    };
    let value = match parameter.get("value") {
        Some(Value::Object(value)) => match (value.get("text"), value.get("binary")) {
            (Some(Value::String(text)), _) => {
                format!("'{}'", cell(&shown::escaped(&shown::plain(text)).replace('\'', "''")))
            }
            (_, Some(Value::String(hex))) => format!("'\\x{}'", cell(hex)),
            _ => "?".to_owned(),
        },
        _ => "NULL".to_owned(),
    };
    format!("{value}{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_strangers_wrote_steers_a_terminal_or_hides() {
        let hostile = "\u{1b}]0;x\u{7}\u{202e}\r\n\u{9b}2J";
        let who = json!({ "issuer": "corp", "subject": hostile, "groups": [hostile], "owner": hostile, "on_behalf_of": hostile });
        let request = json!({
            "number": 7, "state": "open", "requester": who, "database": hostile, "application_name": hostile,
            "client": hostile, "why": hostile, "until": "2026-01-01T00:00:00Z", "purpose": hostile, "link": hostile,
            "rules": [{ "id": hostile, "file": hostile, "line": 1 }],
            "needs": [{ "name": hostile, "have": 0, "wanted": 1 }],
            "touches": [{ "action": "delete", "resource": hostile, "verdict": "hold", "mask": hostile }],
            "votes": [{ "by": who, "verdict": "approve", "reason": hostile, "at": hostile }],
            "statement": {
                "text": format!("DELETE FROM t -- {hostile}\nWHERE id = 1"),
                "parameters": [{ "type_name": hostile, "value": { "text": hostile } }, { "value": { "binary": "00" } }, { "value": "null" }],
            },
        });
        let lines = super::request(&json!({ "request": request }));
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!lines.contains(bad), "{lines:?}");
        assert!(
            lines.contains("DELETE FROM t") && lines.contains("WHERE id = 1") && lines.contains("U+202E"),
            "{lines}"
        );
        assert!(lines.contains("$2 = '\\x00'") && lines.contains("$3 = NULL"), "{lines}");
        assert!(!state(&json!({ "request": request })).contains(bad));
    }
}

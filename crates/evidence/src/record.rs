//! Reading members of a record's JSON. Knows the shapes that several events share; no event.

use serde_json::Value;

/// A text member; empty where there is none.
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// `issuer:subject` of an object that has both.
pub(crate) fn who(value: &Value) -> Option<String> {
    let member = |name: &str| value.get(name).and_then(Value::as_str);
    Some(format!("{}:{}", member("issuer")?, member("subject")?))
}

/// For whom an identity acts; empty where for nobody.
pub(crate) fn behalf(identity: &Value) -> String {
    identity.get("on_behalf_of").and_then(who).unwrap_or_default()
}

/// A member as people read it; the first that is there of `a|b`.
pub(crate) fn shown(record: &Value, path: &str) -> String {
    let found = path.split('|').filter_map(|name| record.get(name)).find(|value| !value.is_null());
    found.map(plain).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(_) => who(value).unwrap_or_else(|| value.to_string()),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The members of a list.
pub(crate) fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The texts of a list, with commas between.
pub(crate) fn joined(value: &Value, name: &str) -> String {
    list(value, name).filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// Whether a statement's record says that it went to the database.
pub(crate) fn ran(record: &Value) -> bool {
    record.get("sqlstate").is_none_or(Value::is_null) && !matches!(text(record, "verdict"), "deny" | "hold")
}

/// Everybody whom a record names, as `issuer:subject`.
pub(crate) fn names(record: &Value) -> Vec<String> {
    let mut names: Vec<String> = who(record).into_iter().collect();
    for member in ["identity", "by", "requester", "delegated_by", "from", "to"] {
        let Some(value) = record.get(member) else { continue };
        names.extend(value.as_str().map(str::to_owned));
        names.extend(who(value));
        names.push(behalf(value));
    }
    // `identity corp:agent`, of blocks and ended sessions.
    names.extend(text(record, "selector").split_once(' ').map(|(_, value)| value.to_owned()));
    names
}

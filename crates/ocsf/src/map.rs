//! One event's JSON into another's. Knows the table, and the attributes of its classes.

use serde_json::{Map, Value, json};

use crate::{Class, Row, TABLE, UNKNOWN, VERSION};

/// The fields of an event that have not been used yet.
struct Rest(Map<String, Value>);

impl Rest {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    fn peek(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Writes an event of the journal as one of OCSF. `fields`: the event's JSON, with `seq`, `journal`, `event`; `at_ms`: when it was, in
/// milliseconds since 1970; `version`: the gateway's.
pub fn event(fields: &Value, at_ms: i64, version: &str) -> Value {
    let mut rest = Rest(fields.as_object().cloned().unwrap_or_default());
    let name = rest.text("event").unwrap_or_else(|| "checkpoint".to_owned());
    let mut row = TABLE.iter().find(|row| row.event == name).copied().unwrap_or(UNKNOWN);
    if row.class == Class::Authentication
        && name == "disconnected"
        && rest.0.get("identity").is_none_or(Value::is_null)
    {
        row = UNKNOWN;
    }
    if name == "configuration_reloaded" && rest.0.get("config_hash").is_none_or(Value::is_null) {
        (row.status, row.severity) = (2, 3);
    }
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.to_owned(), value);
    };
    put("metadata", metadata(&name, &mut rest, version));
    put("time", json!(at_ms));
    let status_code = rest.text("sqlstate");
    let detail = rest.text("reason");
    let own = match row.class {
        Class::DatastoreActivity => statement(&mut row, &mut rest),
        Class::Authentication => authentication(&name, &mut rest),
        Class::AccountChange => account(&mut rest),
        Class::EntityManagement => entity(&name, &mut rest),
        Class::ApplicationLifecycle => json!({"app": product(version)}),
        Class::DetectionFinding => finding(fields, &mut rest),
        Class::Base => json!({}),
    };
    let (class, category, class_name) = row.class.numbers();
    put("class_uid", json!(class));
    put("class_name", json!(class_name));
    put("category_uid", json!(category));
    put("activity_id", json!(row.activity.0));
    put("activity_name", json!(row.activity.1));
    put("type_uid", json!(class * 100 + row.activity.0));
    put("severity_id", json!(row.severity));
    put("status_id", json!(row.status));
    if let Some(code) = status_code {
        put("status_code", json!(code));
    }
    if let Some(detail) = detail {
        put("status_detail", json!(detail));
    }
    if let Value::Object(own) = own {
        out.extend(own);
    }
    rest.0.retain(|_, value| !value.is_null());
    if !rest.0.is_empty() {
        out.insert("unmapped".to_owned(), Value::Object(rest.0));
    }
    Value::Object(out)
}

fn product(version: &str) -> Value {
    json!({"name": "Gatepost", "vendor_name": "Gatepost", "version": version})
}

fn metadata(name: &str, rest: &mut Rest, version: &str) -> Value {
    let journal = rest.text("journal").unwrap_or_default();
    let seq = rest.take("seq").unwrap_or_default();
    let mut metadata = json!({
        "version": VERSION,
        "product": product(version),
        "log_name": "audit",
        "event_code": name,
        "uid": format!("{journal}-{seq}"),
        "sequence": seq,
    });
    let session = rest.peek("session").to_owned();
    let statement = rest.0.get("statement").and_then(Value::as_u64);
    let mut add =
        |key: &str, value: Value| metadata.as_object_mut().map(|it| it.insert(key.to_owned(), value));
    if let Some(time) = rest.text("time") {
        add("original_time", json!(time));
    }
    if let (false, Some(statement)) = (session.is_empty(), statement) {
        add("correlation_uid", json!(format!("{session}-{statement}")));
    }
    if name == "statement" {
        add("profiles", json!(["security_control"]));
    }
    metadata
}

/// A user of OCSF: `uid` is `issuer:subject`, by which people and policies name them.
fn user(identity: &Value) -> Value {
    let text = |name: &str| identity.get(name).and_then(Value::as_str).unwrap_or_default();
    let groups = identity.get("groups").and_then(Value::as_array).cloned().unwrap_or_default();
    let groups: Vec<_> = groups.iter().map(|name| json!({"name": name})).collect();
    let mut user = json!({"uid": format!("{}:{}", text("issuer"), text("subject")), "name": text("subject"), "domain": text("issuer")});
    if let Some(user) = user.as_object_mut() {
        if !groups.is_empty() {
            user.insert("groups".to_owned(), json!(groups));
        }
        if !text("name").is_empty() {
            user.insert("full_name".to_owned(), json!(text("name")));
        }
    }
    user
}

/// Takes the identity out; for whom it acts stays in `unmapped`.
fn take_user(rest: &mut Rest) -> Option<Value> {
    let identity = rest.take("identity")?;
    if let Some(party) = identity.get("on_behalf_of") {
        rest.0.insert("on_behalf_of".to_owned(), party.clone());
    }
    for kept in ["token_id", "attributes"] {
        if let Some(value) = identity.get(kept).filter(|value| !value.is_null()) {
            rest.0.insert(kept.to_owned(), value.clone());
        }
    }
    Some(user(&identity))
}

/// `ADDRESS:PORT`, as the journal writes it.
fn endpoint(client: &str) -> Value {
    let (ip, port) = client.rsplit_once(':').unwrap_or((client, ""));
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    match port.parse::<u16>() {
        Ok(port) => json!({"ip": ip, "port": port}),
        Err(_) => json!({"name": if client.is_empty() { "unknown" } else { client }}),
    }
}

/// `issuer:subject`, or who it is on the machine itself.
fn named(by: &str) -> Value {
    let (domain, name) = by.split_once(':').unwrap_or(("", by));
    json!({"uid": by, "name": name, "domain": domain})
}

fn statement(row: &mut Row, rest: &mut Rest) -> Value {
    let verdict = rest.peek("verdict").to_owned();
    let refused = matches!(&*verdict, "deny" | "hold") || rest.0.get("refusal").is_some();
    let touches = rest
        .0
        .get("decision")
        .and_then(|it| it.get("touches"))
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let does = |wanted: &str| {
        touches.iter().any(|touch| touch.get("action").and_then(Value::as_str) == Some(wanted))
    };
    row.activity = if does("delete") || does("truncate") {
        (7, "Delete")
    } else if does("update") {
        (2, "Update")
    } else if does("insert") {
        (6, "Create")
    } else if does("select") || does("filter") {
        (4, "Query")
    } else {
        row.activity
    };
    if refused {
        (row.status, row.severity) = (2, 3);
    }
    let relation = touches.iter().find(|touch| touch.get("kind").and_then(Value::as_str) == Some("relation"));
    let relation = relation.and_then(|touch| touch.get("name")).cloned();
    let session = rest.text("session").unwrap_or_default();
    let database = rest.text("database").unwrap_or_default();
    let mut own = json!({
        "actor": {"session": {"uid": session}, "app_name": rest.text("application_name").unwrap_or_default()},
        "src_endpoint": endpoint(&rest.text("client").unwrap_or_default()),
        "database": {"name": database, "type": "Relational", "type_id": 1},
        "type_id": if relation.is_some() { 3 } else { 1 },
        "action_id": if refused { 2 } else { 1 },
        "disposition_id": if refused { 2 } else { 1 },
    });
    let user = take_user(rest);
    let Some(object) = own.as_object_mut() else { return own };
    if let (Some(user), Some(actor)) = (user, object.get_mut("actor").and_then(Value::as_object_mut)) {
        actor.insert("user".to_owned(), user);
    }
    if let Some(name) = relation {
        object.insert("table".to_owned(), json!({"name": name}));
    }
    if let Some(text) = rest.text("text") {
        object.insert("query_info".to_owned(), json!({"query_string": text}));
    }
    own
}

fn authentication(event: &str, rest: &mut Rest) -> Value {
    let mut own = Map::new();
    let user = match (take_user(rest), rest.text("by")) {
        (Some(user), _) => user,
        (None, Some(by)) => named(&by),
        // What was claimed, and not proven.
        (None, None) => {
            let claimed =
                rest.text("subject").or_else(|| rest.text("user")).unwrap_or_else(|| "unknown".to_owned());
            let domain = rest.text("issuer").unwrap_or_default();
            json!({"name": claimed, "domain": domain})
        }
    };
    own.insert("user".to_owned(), user);
    own.insert("src_endpoint".to_owned(), endpoint(&rest.text("client").unwrap_or_default()));
    let database = rest.text("database");
    let service =
        if event.starts_with("logged_") { "Gatepost".to_owned() } else { database.unwrap_or_default() };
    own.insert("service".to_owned(), json!({"name": service}));
    if let Some(session) = rest.text("session") {
        own.insert("session".to_owned(), json!({"uid": session}));
    }
    if let Some(method) = rest.text("method") {
        own.insert("auth_protocol_id".to_owned(), json!(if method == "token" { 4 } else { 99 }));
        own.insert("auth_protocol".to_owned(), json!(method));
    }
    own.insert("is_remote".to_owned(), json!(true));
    Value::Object(own)
}

fn account(rest: &mut Rest) -> Value {
    let role = rest.text("role").unwrap_or_default();
    let database = rest.text("database").unwrap_or_default();
    let mut own = json!({"user": {"name": role, "domain": database, "type_id": 4}});
    if let (Some(user), Some(object)) = (take_user(rest), own.as_object_mut()) {
        object.insert("actor".to_owned(), json!({"user": user}));
    }
    own
}

fn entity(event: &str, rest: &mut Rest) -> Value {
    let (kind, name, uid) = match event {
        "policy_loaded" | "policy_refused" => (
            json!({"type_id": 5, "type": "Policy"}),
            rest.text("bundle").or_else(|| rest.text("database")),
            rest.text("hash"),
        ),
        "configuration_reloaded" => (
            json!({"type_id": 99, "type": "configuration"}),
            Some("gatepost".to_owned()),
            rest.text("config_hash"),
        ),
        "block_added" | "block_removed" | "sessions_ended" => {
            (json!({"type_id": 99, "type": "selector"}), rest.text("selector"), rest.text("block"))
        }
        "trust_ended" => (
            json!({"type_id": 2, "type": "User"}),
            rest.text("subject").or_else(|| rest.text("issuer_session")),
            rest.text("token_id"),
        ),
        "delegation" => (json!({"type_id": 99, "type": "delegation"}), rest.text("delegation"), None),
        _ => (json!({"type_id": 99, "type": "approval request"}), rest.text("approval"), None),
    };
    let mut kind = kind;
    if let Some(object) = kind.as_object_mut() {
        object.insert("name".to_owned(), json!(name.unwrap_or_else(|| "unknown".to_owned())));
        if let Some(uid) = uid {
            object.insert("uid".to_owned(), json!(uid));
        }
    }
    let mut own = json!({"entity": kind});
    let by = match rest.take("by") {
        Some(Value::String(by)) => Some(named(&by)),
        Some(identity) => Some(user(&identity)),
        None => take_user(rest).or_else(|| rest.text("requester").map(|by| named(&by))),
    };
    if let (Some(by), Some(object)) = (by, own.as_object_mut()) {
        object.insert("actor".to_owned(), json!({"user": by}));
    }
    own
}

fn finding(fields: &Value, rest: &mut Rest) -> Value {
    let uid = format!(
        "{}-{}",
        fields.get("journal").and_then(Value::as_str).unwrap_or_default(),
        fields.get("seq").cloned().unwrap_or_default()
    );
    let kind = rest.text("kind").unwrap_or_default();
    let title = format!("something that must not happen was stopped: {kind}");
    let mut info = json!({"uid": uid, "title": title, "types": [kind]});
    if let (Some(detail), Some(info)) = (rest.text("detail"), info.as_object_mut()) {
        info.insert("desc".to_owned(), json!(detail));
    }
    json!({"finding_info": info, "is_alert": true})
}

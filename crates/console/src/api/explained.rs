//! The form of an explanation, for the API's description: made from the table of its members, which the reference page shows too.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use server::probe::MEMBERS;

/// What `POST /policy/{database}/explain` answers with.
pub(crate) struct Explained;

/// One of several statements of a text.
struct ExplainedStatement;

/// Of the whole text, and not of one of its statements.
const OF_THE_WHOLE: [&str; 4] = ["schema", "line", "id", "statements"];
/// Of a line that asks nothing, which only a batch has.
const OF_NOTHING: &str = "reason";
/// Members that may be absent.
const OPTIONAL: [&str; 2] = ["statements", "decision.parts[].rules[].terms"];

impl JsonSchema for Explained {
    fn schema_name() -> Cow<'static, str> {
        "Explained".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema_of("See docs/reference/explain.md.", object("", &|_| true, generator))
    }
}

impl JsonSchema for ExplainedStatement {
    fn schema_name() -> Cow<'static, str> {
        "ExplainedStatement".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let whole = |path: &str| !OF_THE_WHOLE.contains(&path);
        schema_of("Of a text of several statements: one of them.", object("", &whole, generator))
    }
}

fn schema_of(about: &str, mut members: Map<String, Value>) -> Schema {
    members.insert("description".to_owned(), about.into());
    members.into()
}

/// Describes the object whose members' paths begin so.
fn object(prefix: &str, has: &dyn Fn(&str) -> bool, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (path, kind, about) in MEMBERS {
        let Some(name) = path.strip_prefix(prefix).filter(|name| !name.contains('.')) else { continue };
        if *path == OF_NOTHING || !has(path) {
            continue;
        }
        let mut schema = member(path, kind, generator);
        if !about.is_empty() {
            schema.insert("description".to_owned(), Value::from(*about));
        }
        properties.insert(name.to_owned(), schema.into());
        if !OPTIONAL.contains(path) {
            required.push(name);
        }
    }
    let Value::Object(object) = json!({ "type": "object", "properties": properties, "required": required })
    else {
        return Map::new();
    };
    object
}

fn member(path: &str, kind: &str, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let (kind, null) = match kind.strip_suffix(" or null") {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    let all = |_: &str| true;
    let mut schema = match kind {
        "array of object" if path == "statements" => {
            array(generator.subschema_for::<ExplainedStatement>().into())
        }
        "array of object" => array(object(&format!("{path}[]."), &all, generator).into()),
        "object" => object(&format!("{path}."), &all, generator),
        _ => match kind.strip_prefix("array of ") {
            Some(kind) => array(json!({ "type": kind })),
            // In the catalog's own types, whatever the bundle has.
            None if kind == "any" => Map::new(),
            None => Map::from_iter([("type".to_owned(), kind.split(", ").collect::<Value>())]),
        },
    };
    if let Some(kind) = schema.get_mut("type") {
        let mut kinds = match kind.take() {
            Value::Array(kinds) => kinds,
            kind => vec![kind],
        };
        kinds.extend(null.then(|| Value::from("null")));
        *kind = match kinds.len() {
            1 => kinds.remove(0),
            _ => kinds.into(),
        };
    }
    schema
}

fn array(of: Value) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), "array".into()), ("items".to_owned(), of)])
}

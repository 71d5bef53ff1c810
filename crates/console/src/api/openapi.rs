//! The OpenAPI document, made from the table of routes and the types of what they take and give.

use axum::Json;
use axum::response::{IntoResponse, Response};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::ErrorBody;
use super::routes::{self, Answer, Route, SchemaOf};

/// `GET /api/v1/openapi.json`.
pub(crate) async fn document() -> Response {
    Json(describe()).into_response()
}

/// Returns the OpenAPI 3.1 document of the API.
pub fn describe() -> Value {
    let mut schemas = Schemas::new();
    let error = schemas.answers.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for route in routes::all() {
        let operation = operation(&route, &error.clone().into(), &mut schemas);
        if let Value::Object(path) = paths.entry(route.path).or_insert_with(|| json!({})) {
            path.insert(route.verb.as_str().to_owned(), operation);
        }
    }
    let Schemas { mut answers, mut questions } = schemas;
    let mut schemas = questions.take_definitions(true);
    schemas.append(&mut answers.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gatepost",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the console and `gatepost` ask of a running gateway. Times are RFC 3339, in UTC. Errors have the form `Error`. Members may be added to answers within a version; none goes away.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "A token of one of the gateway's issuers." },
                "login": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-gatepost",
                    "description": "A browser's login, from `/login`. On loopback without TLS the cookie is called `gatepost`. What changes something needs the header `x-csrf-token` as well, with `csrf` of `/api/v1/me`.",
                },
            },
        },
        "security": [{ "token": [] }, { "login": [] }],
    })
}

/// What answers have is not what may be left out of questions.
struct Schemas {
    answers: SchemaGenerator,
    questions: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        Self {
            answers: settings.clone().for_serialize().into_generator(),
            questions: settings.into_generator(),
        }
    }
}

fn operation(route: &Route, error: &Value, schemas: &mut Schemas) -> Value {
    let json_of = |schema: Value| json!({ "application/json": { "schema": schema } });
    let mut parameters = path_parameters(route.path);
    if let Some(query) = route.query {
        parameters.extend(query_parameters(query, &mut schemas.questions));
    }
    let content = match route.answer {
        Answer::Json(of) => json_of(of(&mut schemas.answers).into()),
        // OpenAPI 3.1 has no words for what a stream is made of.
        Answer::Events(of) => {
            let event: Value = of(&mut schemas.answers).into();
            json!({ "text/event-stream": { "schema": { "type": "string" }, "x-gatepost-data": event } })
        }
    };
    let mut operation = json!({
        "summary": route.about,
        "operationId": operation_id(route),
        "description": format!("Needs: {}.", route.needs.as_str()),
        "x-gatepost-needs": route.needs.as_str(),
        "parameters": parameters,
        "responses": {
            "200": { "description": "It is so.", "content": content },
            "default": { "description": "It is not.", "content": json_of(error.clone()) },
        },
    });
    if let (Some(body), Value::Object(operation)) = (route.body, &mut operation) {
        let body = json!({ "required": true, "content": json_of(body(&mut schemas.questions).into()) });
        operation.insert("requestBody".to_owned(), body);
    }
    operation
}

/// `get_sessions`, `post_sessions_id_kill`.
fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v1/");
    let words = path.split(['/', '-', '.']).map(|word| word.trim_matches(['{', '}']));
    std::iter::once(route.verb.as_str()).chain(words).collect::<Vec<_>>().join("_")
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter =
        |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    names.map(parameter).collect()
}

/// Each member of the query's type is a parameter.
fn query_parameters(query: SchemaOf, generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema: Value = query(generator).into();
    // A type of its own is referred to.
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let whole = match name {
        Some(name) => generator.definitions_mut().remove(name).unwrap_or_default(),
        None => schema,
    };
    let required = whole.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let properties = whole.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let required = required.iter().any(|it| *it == name);
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({ "name": name, "in": "query", "required": required, "description": about, "schema": schema })
    };
    properties.into_iter().map(parameter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_for_two_forms() {
        let mut schemas = Schemas::new();
        for route in routes::all() {
            operation(&route, &Value::Null, &mut schemas);
        }
        let (answers, questions) =
            (schemas.answers.take_definitions(true), schemas.questions.take_definitions(true));
        assert!(answers.len() > 50 && questions.len() > 5);
        for (name, schema) in &questions {
            assert!(answers.get(name).is_none_or(|other| other == schema), "{name}");
        }
        let numbered = |name: &&String| name.ends_with(|last: char| last.is_ascii_digit());
        assert_eq!(
            answers.keys().chain(questions.keys()).find(numbered),
            None,
            "a second type of the same name"
        );
    }
}

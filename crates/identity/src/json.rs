//! JSON in which an object names each member once. Knows nothing of tokens.
//!
//! SECURITY: RFC 7515 5.2 and RFC 7519 4 let a reader either refuse repeated members or take the last; readers that
//! disagree can be played against each other, so we refuse.

use std::fmt;

use serde::Deserializer;
use serde::de::{Deserialize, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Text that is not JSON, or repeats a member, or is nested deeper than 128 levels (`serde_json`'s limit).
#[derive(Debug, thiserror::Error)]
#[error("not valid JSON: {0}")]
pub struct JsonError(String);

/// Parses UTF-8 JSON text, refusing an object that has the same member twice, at any depth.
///
/// # Errors
/// [`JsonError`]: whoever sent the text. Its message holds a position and, of a repeated member, nothing else.
pub fn parse_json(text: &[u8]) -> Result<Value, JsonError> {
    let Once(value) = serde_json::from_slice(text).map_err(|error| {
        // serde_json's own message may quote values; keep only what kind of failure it was and where.
        let kind = match error.classify() {
            serde_json::error::Category::Data => "a member appears twice",
            serde_json::error::Category::Eof => "it ends early",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => "syntax error",
        };
        JsonError(format!("{kind} at line {} column {}", error.line(), error.column()))
    })?;
    Ok(value)
}

struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Self)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Once(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom("repeated member"));
            }
            let Once(value) = map.next_value()?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_member_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"a":2}]}"#, r#"{"a":1,"\u0061":2}"#] {
            let error = parse_json(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("twice"), "{error}");
        }
    }

    #[test]
    fn other_json_reads_as_serde_json_does() {
        for text in
            [r#"{"a":{"b":[1,-2,1.5,true,null,"x\n"]},"c":{}}"#, "[]", "\"é\"", "18446744073709551615"]
        {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse_json(text.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn deep_nesting_trailing_text_and_bad_utf8_are_errors() {
        let deep = "[".repeat(100_000);
        for text in [deep.as_bytes(), b"{} {}", b"\"\xff\"", b"", b"{\"a\":1e999}"] {
            assert!(parse_json(text).is_err());
        }
    }

    #[test]
    fn an_error_does_not_quote_the_text() {
        let error = parse_json(br#"{"secret":"hunter2",}"#).unwrap_err().to_string();
        assert!(!error.contains("hunter2") && !error.contains("secret"), "{error}");
    }
}

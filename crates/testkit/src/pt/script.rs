//! Reads `.pt` files and turns the messages in them into bytes. Knows no connection.

use model::Oid;
use serde_json::Value;
use wire::EncodeError;
use wire::frontend::{Target, encode};

/// A transcript: what to do, in order. Each block carries the text it was read from, to be written again.
pub(super) struct Script {
    pub(super) blocks: Vec<Block>,
}

pub(super) enum Block {
    /// A comment or an empty line.
    Comment(String),
    Send {
        connection: String,
        text: String,
        bytes: Vec<u8>,
    },
    Until {
        connection: String,
        text: String,
        awaited: Vec<String>,
    },
}

impl Script {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut blocks = Vec::new();
        let mut lines = text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            if line.is_empty() || line.starts_with('#') {
                blocks.push(Block::Comment(line.into()));
                continue;
            }
            let (verb, connection) =
                head(line).map_err(|problem| format!("line {}: {problem}", number + 1))?;
            let mut text = format!("{line}\n");
            let mut body = Vec::new();
            while let Some((number, line)) = lines.next_if(|(_, line)| !line.is_empty() && *line != "----") {
                text.push_str(line);
                text.push('\n');
                body.push((number + 1, line));
            }
            if verb == "send" {
                let mut bytes = Vec::new();
                for (number, line) in body {
                    message(&mut bytes, line).map_err(|problem| format!("line {number}: {problem}"))?;
                }
                blocks.push(Block::Send { connection, text, bytes });
            } else {
                while lines.next_if(|(_, line)| !line.is_empty()).is_some() {}
                let awaited = body.into_iter().map(|(_, line)| line.to_owned()).collect();
                blocks.push(Block::Until { connection, text, awaited });
            }
        }
        Ok(Self { blocks })
    }
}

fn head(line: &str) -> Result<(&str, String), String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let connection = rest.strip_prefix("conn=").unwrap_or_default();
    if !matches!(verb, "send" | "until") || (!rest.is_empty() && connection.is_empty()) {
        return Err(format!("expected \"send\" or \"until\", perhaps with conn=NAME, found {line:?}"));
    }
    Ok((verb, connection.into()))
}

/// Appends the message that a line such as `Execute {"max_rows": 2}` stands for.
fn message(out: &mut Vec<u8>, line: &str) -> Result<(), String> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, "null"));
    let arguments = Arguments(serde_json::from_str(rest).map_err(|error| format!("{error} in {rest:?}"))?);
    let written = match name {
        "Query" => encode::query(out, &arguments.bytes("query")?),
        "Parse" => parse(out, &arguments)?,
        "Bind" => bind(out, &arguments)?,
        "Describe" => encode::describe(out, arguments.target()?, &arguments.bytes("name")?),
        "Close" => encode::close(out, arguments.target()?, &arguments.bytes("name")?),
        "Execute" => encode::execute(out, &arguments.bytes("portal")?, arguments.int("max_rows")?),
        "CopyData" => encode::copy_data(out, &bytes(&arguments.0)?.unwrap_or_default()),
        "CopyFail" => encode::copy_fail(out, &bytes(&arguments.0)?.unwrap_or_default()),
        "CopyDone" => plain(out, encode::copy_done),
        "Flush" => plain(out, encode::flush),
        "Sync" => plain(out, encode::sync),
        "Terminate" => plain(out, encode::terminate),
        _ => return Err(format!("unknown message {name:?}")),
    };
    written.map_err(|error| format!("{name}: {error}"))
}

fn plain(out: &mut Vec<u8>, write: fn(&mut Vec<u8>)) -> Result<(), EncodeError> {
    write(out);
    Ok(())
}

fn parse(out: &mut Vec<u8>, arguments: &Arguments) -> Result<Result<(), EncodeError>, String> {
    let types = arguments.list("types")?.iter().map(|value| int(value).map(|oid: u32| Oid(oid)));
    let types = types.collect::<Result<Vec<_>, _>>()?;
    Ok(encode::parse(out, &arguments.bytes("name")?, &arguments.bytes("query")?, types))
}

fn bind(out: &mut Vec<u8>, arguments: &Arguments) -> Result<Result<(), EncodeError>, String> {
    let formats = |key| arguments.list(key)?.iter().map(int).collect::<Result<Vec<i16>, String>>();
    let values = arguments.list("values")?.iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
    let (portal, statement) = (arguments.bytes("portal")?, arguments.bytes("statement")?);
    let values = values.iter().map(|value| value.as_deref());
    Ok(encode::bind(out, &portal, &statement, formats("formats")?, values, formats("result_formats")?))
}

/// A message's arguments; those that are missing are empty.
struct Arguments(Value);

impl Arguments {
    fn bytes(&self, key: &str) -> Result<Vec<u8>, String> {
        self.0.get(key).map_or(Ok(Vec::new()), |value| Ok(bytes(value)?.unwrap_or_default()))
    }

    fn int<T: TryFrom<i64> + Default>(&self, key: &str) -> Result<T, String> {
        self.0.get(key).map_or(Ok(T::default()), int)
    }

    fn list(&self, key: &str) -> Result<&[Value], String> {
        match self.0.get(key) {
            None => Ok(&[]),
            Some(Value::Array(values)) => Ok(values),
            Some(other) => Err(format!("{key} is {other}, not a list")),
        }
    }

    fn target(&self) -> Result<Target, String> {
        match self.0.get("variant").and_then(Value::as_str) {
            Some("S") => Ok(Target::Statement),
            Some("P") => Ok(Target::Portal),
            other => Err(format!("variant is {other:?}, not \"S\" or \"P\"")),
        }
    }
}

fn int<T: TryFrom<i64>>(value: &Value) -> Result<T, String> {
    value
        .as_i64()
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("{value} is out of range"))
}

/// Reads a value: a text, `{"hex": "00ff"}`, `{"repeat": "text", "times": 1000}` or null.
fn bytes(value: &Value) -> Result<Option<Vec<u8>>, String> {
    if let Some(text) = value.as_str() {
        return Ok(Some(text.as_bytes().to_vec()));
    }
    if value.is_null() {
        return Ok(None);
    }
    if let Some(text) = value.get("repeat").and_then(Value::as_str) {
        let times: usize = int(value.get("times").unwrap_or(&Value::Null))?;
        return Ok(Some(text.repeat(times).into_bytes()));
    }
    let digits = value.get("hex").and_then(Value::as_str).ok_or_else(|| format!("{value} is no value"))?;
    let digits: Vec<char> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16));
    pairs.collect::<Result<_, _>>().map(Some).map_err(|error| format!("{error} in {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_arguments_are_empty() {
        let mut out = Vec::new();
        message(&mut out, r#"Execute {"max_rows": 2}"#).unwrap();
        assert_eq!(out, b"E\0\0\0\x09\0\0\0\0\x02");
    }

    #[test]
    fn values_are_text_hexadecimal_or_null() {
        let mut out = Vec::new();
        message(&mut out, r#"Bind {"values": ["a", null, {"hex": "00 ff"}]}"#).unwrap();
        assert!(out.windows(15).any(|w| w == b"\0\0\0\x01a\xff\xff\xff\xff\0\0\0\x02\0\xff"), "{out:?}");
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, problem) in [
            ("# fine\nsand\n", "line 2: expected"),
            ("send\nQuery {\"query\": 1}\n", "line 2: 1 is no value"),
            ("send\nSync\nShout\n", "line 3: unknown message \"Shout\""),
        ] {
            let found = Script::parse(text).err().unwrap();
            assert!(found.starts_with(problem), "{found}");
        }
    }
}

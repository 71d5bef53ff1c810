//! Prints a server's message on one line. Knows what differs from run to run, and leaves it out.

use std::fmt::Write;

use model::Oid;
use serde_json::Value;
use wire::backend::{
    CommandComplete, CopyResponse, DataRow, Field, NotificationResponse, ParameterDescription,
    ParameterStatus, ReadyForQuery, RowDescription, tag,
};
use wire::error::{ErrorFields, field};
use wire::{Formats, MessageError};

use crate::client::Message;

/// Texts longer than this are printed as their beginning, length and checksum.
const TEXT_BYTES_MAX: usize = 120;

/// OIDs from here on are given out by initdb in an order of its own (`FirstUnpinnedObjectId`, access/transam.h).
const FIRST_UNPINNED: u32 = 12_000;

pub(super) fn message(message: &Message) -> Result<String, String> {
    let name = message.name();
    match arguments(message).map_err(|error| format!("{name}: {error}"))? {
        None => Ok(name.into()),
        Some(arguments) => Ok(format!("{name} {arguments}")),
    }
}

fn arguments(message: &Message) -> Result<Option<String>, MessageError> {
    let body = message.body.as_slice();
    Ok(Some(match message.tag {
        tag::COMMAND_COMPLETE => text(CommandComplete::parse(body)?.tag),
        tag::COPY_DATA => text(body),
        tag::COPY_IN_RESPONSE | tag::COPY_OUT_RESPONSE => copy(CopyResponse::parse(body)?),
        tag::DATA_ROW => {
            list(DataRow::parse(body)?.iter().map(|value| value.map_or_else(|| "null".into(), text)))
        }
        tag::ERROR_RESPONSE | tag::NOTICE_RESPONSE => fields(&ErrorFields::parse(body)?),
        tag::NOTIFICATION_RESPONSE => {
            let NotificationResponse { process_id: _, channel, payload } = NotificationResponse::parse(body)?;
            list([text(channel), text(payload)])
        }
        tag::PARAMETER_DESCRIPTION => {
            list(ParameterDescription::parse(body)?.param_types.iter().map(|oid| oid.to_string()))
        }
        tag::PARAMETER_STATUS => {
            let ParameterStatus { name, value } = ParameterStatus::parse(body)?;
            list([text(name), text(value)])
        }
        tag::READY_FOR_QUERY => text(&[ReadyForQuery::parse(body)?.status.as_byte()]),
        tag::ROW_DESCRIPTION => list(RowDescription::parse(body)?.iter().map(column)),
        other => {
            wire::backend::parse_empty(other, body)?;
            return Ok(None);
        }
    }))
}

fn column(field: Field<'_>) -> String {
    let Field { name, table_oid, attnum, type_oid, typlen, typmod, format } = field;
    let mut out = format!("{{\"name\":{}", text(name));
    if table_oid != Oid(0) || attnum != 0 {
        let table = if table_oid.0 < FIRST_UNPINNED { table_oid.to_string() } else { "\"*\"".into() };
        let _ = write!(out, ",\"table\":{table},\"column\":{attnum}");
    }
    let r#type = if type_oid.0 < FIRST_UNPINNED { type_oid.to_string() } else { "\"*\"".into() };
    let _ = write!(out, ",\"type\":{},\"size\":{typlen}", r#type);
    if typmod != -1 {
        let _ = write!(out, ",\"modifier\":{typmod}");
    }
    if format != 0 {
        let _ = write!(out, ",\"format\":{format}");
    }
    out + "}"
}

fn copy(response: CopyResponse<'_>) -> String {
    let CopyResponse { format, columns } = response;
    format!(
        "{{\"format\":{format},\"columns\":{}}}",
        list(Formats::iter(columns).map(|code| code.to_string()))
    )
}

fn fields(fields: &ErrorFields) -> String {
    let printed =
        fields.iter().filter(|(code, _)| !matches!(*code, field::FILE | field::LINE | field::ROUTINE));
    let members = printed.map(|(code, value)| format!("\"{}\":{}", char::from(code), text(value)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn list(members: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", members.into_iter().collect::<Vec<_>>().join(","))
}

/// Prints bytes as a JSON text if they are printable, else as `{"hex":...}`.
fn text(bytes: &[u8]) -> String {
    if bytes.len() > TEXT_BYTES_MAX {
        let start = text(&bytes[..TEXT_BYTES_MAX / 4]);
        return format!(
            "{{\"starts\":{start},\"bytes\":{},\"fnv1a\":\"{:016x}\"}}",
            bytes.len(),
            fnv1a(bytes)
        );
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')) => {
            Value::from(text).to_string()
        }
        _ => {
            let digits = bytes.iter().fold(String::new(), |mut digits, byte| {
                let _ = write!(digits, "{byte:02x}");
                digits
            });
            format!("{{\"hex\":\"{digits}\"}}")
        }
    }
}

/// The 64-bit FNV-1a hash: the same on every machine and in every version.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

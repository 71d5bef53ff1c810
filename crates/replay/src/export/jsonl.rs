//! JSON lines: an object for each thing that was sent, received or decided, values whole. Knows the protocol's messages; no layout.

use std::time::Duration;

use recording::{Decision, Entry, Hold, Opening, Sent, What};
use serde_json::{Map, Value, json};
use wire::backend::{
    CommandComplete, DataRow, NotificationResponse, ParameterStatus, ReadyForQuery, RowDescription,
    TransactionStatus, tag,
};
use wire::error::{ErrorFields, field};
use wire::frame::{self, Frame};

use super::moment;
use crate::safe;
use crate::table::Column;
use crate::values;

/// Writes a recording as JSON lines.
#[derive(Debug)]
pub struct Jsonl {
    opening: Opening,
    columns: Vec<Column>,
}

impl Jsonl {
    /// Begins; returns the first line, which says whose session it is.
    pub fn begin(opening: &Opening) -> (Self, String) {
        let Opening {
            session,
            journal,
            gateway,
            began: _,
            kept,
            identity,
            on_behalf_of,
            groups,
            database,
            application_name,
            server_version,
            rows_max,
            bytes_max,
        } = opening;
        let line = json!({
            "kind": "opening", "session": session.to_string(), "journal": journal, "gateway": gateway,
            "began": moment(opening, Duration::ZERO), "kept": kept.as_str(), "identity": identity,
            "on_behalf_of": on_behalf_of, "groups": groups, "database": database,
            "application_name": application_name, "server_version": server_version,
            "rows_max": rows_max, "bytes_max": bytes_max,
        });
        (Self { opening: opening.clone(), columns: Vec::new() }, written(&line))
    }

    /// Returns the lines of an entry.
    pub fn entry(&mut self, entry: &Entry) -> String {
        let Entry { at, statement, what } = entry;
        let line = |kind: &str, value: Value| {
            let mut object = Map::new();
            object.insert("at".to_owned(), json!(at.as_secs_f64()));
            object.insert("time".to_owned(), json!(moment(&self.opening, *at)));
            object.insert("statement".to_owned(), json!(statement));
            object.insert("kind".to_owned(), json!(kind));
            if let Value::Object(fields) = value {
                object.extend(fields);
            }
            written(&Value::Object(object))
        };
        match what {
            What::Sent(sent) => {
                self.columns = Column::known(sent);
                line("sent", sent_value(sent))
            }
            What::Received(bytes) => {
                let mut lines = String::new();
                let mut rest = bytes.as_slice();
                let mut columns = std::mem::take(&mut self.columns);
                while !rest.is_empty() {
                    let (kind, value) = match frame::next(rest, usize::MAX) {
                        Ok(Some(message)) => {
                            rest = rest.get(message.raw.len()..).unwrap_or_default();
                            received(message, &mut columns)
                        }
                        Ok(None) | Err(_) => {
                            let bytes = hex::encode(std::mem::take(&mut rest));
                            ("unreadable", json!({ "hex": bytes }))
                        }
                    };
                    lines.push_str(&line(kind, value));
                }
                self.columns = columns;
                lines
            }
            What::Cut { rows, bytes } => line("cut", json!({ "rows": rows, "bytes": bytes })),
            What::CopyData(data) => line("copy_in", json!({ "data": bytes(data) })),
            What::Hold(Hold { request, state, message }) => {
                line("hold", json!({ "request": request, "state": state, "message": message }))
            }
            What::CopyCut(bytes) => line("copy_in_cut", json!({ "bytes": bytes })),
            What::Kept(kept) => line("kept", json!({ "kept": kept.as_str() })),
            What::CancelRequested => line("cancel_requested", json!({})),
            What::Gap { why } => line("gap", json!({ "why": why })),
            What::Ended { why } => line("ended", json!({ "why": why })),
        }
    }
}

fn written(value: &Value) -> String {
    safe::json(&value.to_string()) + "\n"
}

/// Text, or `{"hex": ..}` where it is none.
fn bytes(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| json!({ "hex": hex::encode(bytes) }), |text| json!(text))
}

fn sent_value(sent: &Sent) -> Value {
    let Sent {
        text,
        parameters,
        parameters_cut,
        parameter_types,
        parameters_binary,
        extended,
        offset,
        columns,
        decision,
    } = sent;
    let columns: Vec<_> = columns
        .iter()
        .map(|it| json!({ "name": it.name, "type_oid": it.type_oid, "binary": it.format == 1 }))
        .collect();
    let Decision { verdict, rules, sqlstate, approval, masked } = decision;
    json!({
        "text": text, "parameters": parameters, "parameters_cut": parameters_cut,
        "parameter_types": parameter_types, "parameters_binary": parameters_binary, "offset": offset, "extended": extended, "columns": columns,
        "verdict": verdict, "rules": rules,
        "sqlstate": sqlstate, "approval": approval, "masked": masked,
    })
}

fn received(message: Frame<'_>, columns: &mut Vec<Column>) -> (&'static str, Value) {
    let body = message.body;
    let read = match message.tag {
        tag::ROW_DESCRIPTION => RowDescription::parse(body).map(|description| {
            *columns = Column::of(description);
            let all: Vec<_> = columns
                .iter()
                .map(|it| json!({ "name": bytes(&it.name), "type_oid": it.type_oid, "binary": it.binary }))
                .collect();
            ("columns", json!({ "columns": all }))
        }),
        tag::DATA_ROW => {
            DataRow::parse(body).map(|row| ("row", json!({ "values": row_values(row, columns) })))
        }
        tag::COMMAND_COMPLETE => CommandComplete::parse(body)
            .map(|it| ("complete", json!({ "tag": bytes(it.tag), "rows": it.rows() }))),
        tag::ERROR_RESPONSE => ErrorFields::parse(body).map(|fields| ("error", fault(&fields))),
        tag::NOTICE_RESPONSE => ErrorFields::parse(body).map(|fields| ("notice", fault(&fields))),
        tag::COPY_DATA => Ok(("copy_out", json!({ "data": bytes(body) }))),
        tag::NOTIFICATION_RESPONSE => NotificationResponse::parse(body).map(|it| {
            let value = json!({
                "process_id": it.process_id, "channel": bytes(it.channel), "payload": bytes(it.payload),
            });
            ("notification", value)
        }),
        tag::PARAMETER_STATUS => ParameterStatus::parse(body)
            .map(|it| ("parameter_status", json!({ "name": bytes(it.name), "value": bytes(it.value) }))),
        tag::READY_FOR_QUERY => {
            ReadyForQuery::parse(body).map(|it| ("ready", json!({ "transaction": transaction(it.status) })))
        }
        other => Ok(("message", json!({ "message": wire::backend::name(other), "hex": hex::encode(body) }))),
    };
    read.unwrap_or_else(|_| {
        let name = wire::backend::name(message.tag);
        ("unreadable", json!({ "message": name, "hex": hex::encode(message.raw) }))
    })
}

const fn transaction(status: TransactionStatus) -> &'static str {
    match status {
        TransactionStatus::Idle => "idle",
        TransactionStatus::InTransaction => "in_transaction",
        TransactionStatus::Failed => "failed",
    }
}

fn row_values(row: DataRow<'_>, columns: &[Column]) -> Vec<Value> {
    let value = |(at, value): (usize, Option<&[u8]>)| match (value, columns.get(at)) {
        (None, _) => Value::Null,
        (Some(value), Some(column)) => bytes(&values::text(column, value)),
        (Some(value), None) => bytes(value),
    };
    row.iter().enumerate().map(value).collect()
}

fn fault(fields: &ErrorFields) -> Value {
    let names = [
        ("severity", field::SEVERITY),
        ("sqlstate", field::SQLSTATE),
        ("message", field::MESSAGE),
        ("detail", field::DETAIL),
        ("hint", field::HINT),
        ("position", field::POSITION),
        ("internal_query", field::INTERNAL_QUERY),
        ("where", field::WHERE),
        ("schema", field::SCHEMA),
        ("table", field::TABLE),
        ("column", field::COLUMN),
        ("data_type", field::DATA_TYPE),
        ("constraint", field::CONSTRAINT),
    ];
    let all = names.into_iter().filter_map(|(name, code)| Some((name.to_owned(), bytes(fields.get(code)?))));
    Value::Object(all.collect())
}

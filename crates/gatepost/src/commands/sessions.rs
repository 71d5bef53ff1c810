//! `gatepost sessions`: asks a running gateway, and prints its answers. What is done is done by the gateway.

use std::path::Path;

use serde_json::{Value, json};

use super::gateway::{client, failed, print};
use crate::args::{BlockFor, Blocks, Kill, Sessions};
use crate::failure::{Failure, Status};
use crate::output::{Format, Out, Tone};

pub(crate) async fn run(config: Option<&Path>, command: Sessions) -> Result<Status, Failure> {
    match command {
        Sessions::List { gateway, format } => {
            let answer = client(config, &gateway)?.get(&["sessions"]).await.map_err(failed)?;
            list(&answer, format)
        }
        Sessions::Search(search) => super::search::sessions(config, *search),
        Sessions::Show(show) => super::recordings::show(config, &show),
        Sessions::Replay(replay) => super::recordings::replay(config, replay).await,
        Sessions::Export(export) => super::recordings::export(config, &export),
        Sessions::Kill(kill) => ended(config, kill).await,
        Sessions::Blocks(Blocks::List { gateway, format }) => {
            let answer = client(config, &gateway)?.get(&["blocks"]).await.map_err(failed)?;
            let headings = ["id", "kind", "value", "until", "issued_until", "reason", "by", "at"];
            print(&answer, &headings, format)?;
            Ok(Status::Success)
        }
        Sessions::Blocks(Blocks::Remove { gateway, id }) => {
            client(config, &gateway)?.delete(&["blocks", &id]).await.map_err(failed)?;
            Ok(Status::Success)
        }
    }
}

fn list(answer: &Value, format: Format) -> Result<Status, Failure> {
    let headings: &[&str] = match format {
        Format::Table => &[
            "id",
            "identity",
            "on_behalf_of",
            "database",
            "client",
            "application_name",
            "since",
            "state",
            "statements",
        ],
        Format::Json => &[
            "id",
            "identity",
            "on_behalf_of",
            "groups",
            "token_id",
            "method",
            "user",
            "database",
            "client",
            "application_name",
            "backend_pid",
            "since",
            "expires_at",
            "state",
            "statement",
            "statement_since",
            "statements",
        ],
    };
    print(answer, headings, format)?;
    Ok(Status::Success)
}

async fn ended(config: Option<&Path>, kill: Kill) -> Result<Status, Failure> {
    let Kill { gateway, id, identity, group, issuer, token_id, database, reason, block_for, format } = kill;
    let which = [
        ("session", id.map(|id| id.to_string())),
        ("identity", identity),
        ("group", group),
        ("issuer", issuer),
        ("token-id", token_id),
        ("database", database),
    ];
    let Some((kind, value)) = which.into_iter().find_map(|(kind, value)| Some((kind, value?))) else {
        return Err(Failure::usage("say which sessions"));
    };
    let seconds = match block_for {
        Some(BlockFor::Time(time)) => Some(time.as_secs()),
        Some(BlockFor::UntilRemoved) | None => None,
    };
    let how = json!({
        "reason": reason,
        "block_for_seconds": seconds,
        "block_until_removed": block_for == Some(BlockFor::UntilRemoved),
    });
    let body = json!({ "kind": kind, "value": value, "how": how });
    let answer = client(config, &gateway)?.post(&["sessions", "kill"], &body).await.map_err(failed)?;
    let none = Vec::new();
    let list = |name: &str| answer.get(name).and_then(Value::as_array).unwrap_or(&none);
    let (sessions, failures) = (list("sessions"), list("failures"));
    let block = answer.get("block").and_then(|block| block.get("id"));
    let mut out = Out::new();
    match format {
        Format::Json => out.line(&format!("{:#}", Value::Array(vec![answer.clone()])))?,
        Format::Table => {
            out.row(&[], &[(Tone::Plain, format!("{} ended", sessions.len()))])?;
            for session in sessions.iter().filter_map(Value::as_str) {
                out.row(&[], &[(Tone::Plain, session.to_owned())])?;
            }
            if let Some(id) = block.and_then(Value::as_str) {
                out.row(&[], &[(Tone::Good, format!("block {id} is in force"))])?;
            }
            for failure in failures.iter().filter_map(Value::as_str) {
                out.row(&[], &[(Tone::Bad, failure.to_owned())])?;
            }
        }
    }
    out.flush()?;
    Ok(if failures.is_empty() { Status::Success } else { Status::CheckFailed })
}

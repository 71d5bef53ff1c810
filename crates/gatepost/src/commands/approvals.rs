//! `gatepost approvals`: asks a running gateway, and prints its answers. Whoever may do what, the gateway says.
//!
//! SECURITY: what strangers wrote is printed so that it can't steer a terminal, and so that everything in a statement is seen that would
//! not be, or would be taken for something else.

mod shown;

use std::path::Path;
use std::time::{Duration, SystemTime};

use console::client::{Client, ClientError, Happening};
use serde_json::{Value, json};

use super::gateway::{client, failed, print};
use crate::args::{Approvals, Before, Decide, Delegations, ListRequests, OneRequest};
use crate::failure::{Failure, Status};
use crate::output::{Format, Out};

/// How long `watch` waits before it asks again where it was cut off.
const AGAIN: Duration = Duration::from_secs(3);

pub(crate) async fn run(config: Option<&Path>, command: Approvals) -> Result<Status, Failure> {
    match command {
        Approvals::List(list) => requests(config, list).await,
        Approvals::Show(OneRequest { gateway, number, format }) => {
            let answer = one(&client(config, &gateway)?, number).await.map_err(failed)?;
            tell(&answer, format)
        }
        Approvals::Approve(decide) => act(config, "approve", decide).await,
        Approvals::Deny(decide) => act(config, "deny", decide).await,
        Approvals::BreakGlass(decide) => act(config, "break-glass", decide).await,
        Approvals::Review(decide) => act(config, "review", decide).await,
        Approvals::Withdraw(decide) => act(config, "withdraw", decide).await,
        Approvals::Watch { gateway } => watch(&client(config, &gateway)?).await,
        Approvals::Request(before) => ask(config, before).await,
        Approvals::Delegations(command) => delegations(config, command).await,
    }
}

async fn one(client: &Client, number: u64) -> Result<Value, ClientError> {
    client.get(&["approvals", &number.to_string()]).await
}

async fn requests(config: Option<&Path>, list: ListRequests) -> Result<Status, Failure> {
    let ListRequests { gateway, state, database, requester, review_due, before, limit, format } = list;
    let asked = [
        ("state", state),
        ("database", database),
        ("requester", requester),
        ("review_due", review_due.then(|| "true".to_owned())),
        ("before", before.map(|number| number.to_string())),
        ("limit", Some(limit.to_string())),
    ];
    let query: Vec<_> = asked.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    let answer = client(config, &gateway)?.get_with(&["approvals"], &query).await.map_err(failed)?;
    let items = answer.get("items").cloned().unwrap_or_default();
    match format {
        Format::Json => Out::new().line(&format!("{items:#}"))?,
        Format::Table => {
            let rows = items.as_array().map(Vec::as_slice).unwrap_or_default();
            let rows = rows.iter().map(shown::row).collect();
            let headings = ["number", "state", "requester", "database", "needs", "until", "why"];
            print(&Value::Array(rows), &headings, format)?;
        }
    }
    Ok(Status::Success)
}

fn tell(answer: &Value, format: Format) -> Result<Status, Failure> {
    let mut out = Out::new();
    match format {
        Format::Json => out.line(&format!("{:#}", json!([answer])))?,
        Format::Table => out.text(&shown::request(answer))?,
    }
    out.flush()?;
    Ok(Status::Success)
}

async fn act(config: Option<&Path>, act: &str, decide: Decide) -> Result<Status, Failure> {
    let Decide { gateway, number, reason, format } = decide;
    let body = json!({ "reason": reason });
    let path = ["approvals", &number.to_string(), act];
    let answer = client(config, &gateway)?.post(&path, &body).await.map_err(failed)?;
    match format {
        Format::Json => tell(&answer, format),
        Format::Table => {
            let mut out = Out::new();
            out.line(&shown::state(&answer))?;
            out.flush()?;
            Ok(Status::Success)
        }
    }
}

async fn ask(config: Option<&Path>, before: Before) -> Result<Status, Failure> {
    let Before { gateway, database, sql, pattern, uses, within, purpose, format } = before;
    let mut body = json!({ "database": database, "sql": sql, "pattern": pattern });
    let further = [
        ("uses", uses.map(Value::from)),
        ("for_seconds", within.map(|time| Value::from(time.as_secs()))),
        ("purpose", purpose.map(Value::from)),
    ];
    if let Value::Object(members) = &mut body {
        members.extend(further.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    let answer = client(config, &gateway)?.post(&["approvals"], &body).await.map_err(failed)?;
    tell(&answer, format)
}

/// Prints what waits, and then what happens.
async fn watch(client: &Client) -> Result<Status, Failure> {
    let mut out = Out::new();
    let mut seen = Vec::new();
    let mut first = true;
    loop {
        let mut events = match client.events().await {
            Ok(events) => events,
            Err(error @ ClientError::Refused { .. }) => return Err(failed(error)),
            Err(error) if first => return Err(failed(error)),
            Err(error) => {
                eprintln_once(&error);
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        first = false;
        // What happened before the first event, and while nobody listened.
        catch_up(client, &mut seen, &mut out).await?;
        loop {
            if out.closed() {
                return Ok(Status::Success);
            }
            match events.next().await {
                Ok(Some(Happening { kind, data })) => match kind.as_str() {
                    "approval" => {
                        if let Some(number) = data.get("number").and_then(Value::as_u64) {
                            news(client, number, &mut seen, &mut out).await?;
                        }
                    }
                    "resync" => catch_up(client, &mut seen, &mut out).await?,
                    "bye" => break,
                    _ => {}
                },
                Ok(None) | Err(_) => break,
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// To people: data goes to standard output only.
#[expect(clippy::print_stderr, reason = "a command's own words about what it is waiting for")]
fn eprintln_once(error: &ClientError) {
    eprintln!("gatepost: {error}; trying again");
}

/// Requests that were told of, oldest first, with the state that was told.
type Seen = Vec<(u64, String)>;

/// As many as are remembered: more can't be open at once for one who reads.
const SEEN_MAX: usize = 10_000;

async fn catch_up(client: &Client, seen: &mut Seen, out: &mut Out) -> Result<(), Failure> {
    let mut open = Vec::new();
    let mut before: Option<String> = None;
    loop {
        let mut query = vec![("state", "open"), ("limit", "100")];
        query.extend(before.as_deref().map(|before| ("before", before)));
        let answer = client.get_with(&["approvals"], &query).await.map_err(failed)?;
        let items = answer.get("items").and_then(Value::as_array);
        open.extend(items.into_iter().flatten().filter_map(|item| item.get("number")?.as_u64()));
        match answer.get("next").and_then(Value::as_u64) {
            Some(next) => before = Some(next.to_string()),
            None => break,
        }
    }
    let told: Vec<u64> =
        seen.iter().filter(|(_, now)| now.starts_with("open/")).map(|(number, _)| *number).collect();
    for number in told.into_iter().chain(open.into_iter().rev()) {
        news(client, number, seen, out).await?;
    }
    Ok(())
}

/// Prints a request that is new, or what has become of one that was printed.
async fn news(client: &Client, number: u64, seen: &mut Seen, out: &mut Out) -> Result<(), Failure> {
    let answer = match one(client, number).await {
        Ok(answer) => answer,
        // It is of somebody else's, or forgotten.
        Err(ClientError::Refused { .. }) => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let state = answer.pointer("/request/state").and_then(Value::as_str).unwrap_or_default().to_owned();
    let votes = answer.pointer("/request/votes").and_then(Value::as_array).map_or(0, Vec::len);
    let now = format!("{state}/{votes}");
    let known = seen.iter_mut().find(|(known, _)| *known == number);
    match known {
        Some((_, told)) if *told == now => return Ok(()),
        Some((_, told)) => {
            *told = now;
            out.line(&shown::state(&answer))?;
        }
        None => {
            if seen.len() >= SEEN_MAX {
                seen.remove(0);
            }
            seen.push((number, now));
            if state == "open" {
                out.text(&shown::request(&answer))?;
                out.line("")?;
            } else {
                out.line(&shown::state(&answer))?;
            }
        }
    }
    out.flush()
}

async fn delegations(config: Option<&Path>, command: Delegations) -> Result<Status, Failure> {
    match command {
        Delegations::List { gateway, format } => {
            let answer = client(config, &gateway)?.get(&["delegations"]).await.map_err(failed)?;
            let items = answer.get("items").cloned().unwrap_or_default();
            match format {
                Format::Json => Out::new().line(&format!("{items:#}"))?,
                Format::Table => {
                    let rows = items.as_array().map(Vec::as_slice).unwrap_or_default();
                    let rows = rows.iter().map(shown::delegation).collect();
                    let headings = ["id", "from", "to", "groups", "until", "reason"];
                    print(&Value::Array(rows), &headings, format)?;
                }
            }
        }
        Delegations::Add { gateway, to, groups, within, reason } => {
            let until = SystemTime::now().checked_add(within);
            let until = until.ok_or_else(|| Failure::usage("--for is too long"))?;
            let until = audit::Time::from(until).to_string();
            let body = json!({ "to": to, "groups": groups, "until": until, "reason": reason });
            let answer = client(config, &gateway)?.post(&["delegations"], &body).await.map_err(failed)?;
            let id = answer.get("id").and_then(Value::as_str).unwrap_or_default();
            Out::new().line(&format!("delegation {} is in force", audit::render::cell(id)))?;
        }
        Delegations::End { gateway, id } => {
            client(config, &gateway)?.delete(&["delegations", &id]).await.map_err(failed)?;
        }
    }
    Ok(Status::Success)
}

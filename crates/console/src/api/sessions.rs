//! Sessions, kills and blocks. Knows how they are asked for and shown, not how they are done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::Time;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use server::control::{self, Block, ControlError, Kill, Kind, Selector, Term};

use super::REASON_BYTES_MAX;
use super::views::sight;
use crate::caller::Caller;
use crate::guard::{App, answer, chain};

/// A live session.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Session {
    /// As in the journal.
    id: String,
    /// `issuer:subject`, once that is proven.
    identity: Option<String>,
    /// `issuer:subject` of whom it acts for.
    on_behalf_of: Option<String>,
    groups: Option<BTreeSet<String>>,
    /// `jti`.
    token_id: Option<String>,
    /// How it was proven whose it is.
    method: Option<&'static str>,
    /// What the client asked for.
    user: String,
    database: String,
    /// Its address.
    client: String,
    application_name: Option<String>,
    /// The server process.
    backend_pid: Option<i32>,
    since: String,
    /// When the credential ends.
    expires_at: Option<String>,
    /// `idle`, `running`, ...; null where it did not say in time.
    state: Option<&'static str>,
    /// The statement's number within the session.
    statement: Option<u64>,
    statement_since: Option<String>,
    /// Of the statement that runs, 400 characters at most; only for who may see texts, and where it is found at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The request that it waits for, if it waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<u64>,
    /// How many there were.
    statements: Option<u64>,
}

/// `GET /sessions`.
pub(crate) async fn list(State(app): State<App>, Extension(caller): Extension<Arc<Caller>>) -> Response {
    let now = (Instant::now(), SystemTime::now());
    let sessions = app.control.sessions().await;
    let mut texts = app.control.texts_of(sight(&caller), &sessions).await;
    let shown =
        sessions.iter().map(|it| Session { text: texts.remove(&it.id.to_string()), ..session(it, now) });
    Json(shown.collect::<Vec<_>>()).into_response()
}

/// What is asked for with a kill.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// What sessions are found by: `session`, `identity`, `group`, `issuer`, `token-id`, `database`.
    #[schemars(with = "String")]
    kind: Kind,
    /// Which: of an identity `issuer:subject`.
    value: String,
    #[serde(default)]
    how: How,
}

/// How a kill is to be done.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct How {
    /// Those who are ended are told.
    reason: Option<String>,
    /// For how long whoever it is may not come back.
    block_for_seconds: Option<u64>,
    /// Likewise without an end.
    #[serde(default)]
    block_until_removed: bool,
}

/// `POST /sessions/kill`.
pub(crate) async fn kill(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    body: Result<Json<Asked>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(Asked { kind, value, how })) => {
            kill_all(&app, &caller.by, Selector::new(kind, value), how).await
        }
        Err(rejection) => answer(rejection.status(), &rejection.body_text()),
    }
}

/// `POST /sessions/{id}/kill`.
pub(crate) async fn kill_one(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Path(id): Path<String>,
    body: Result<Json<How>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(how)) => kill_all(&app, &caller.by, Selector::new(Kind::Session, id), how).await,
        Err(rejection) => answer(rejection.status(), &rejection.body_text()),
    }
}

/// What came of a kill.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Killed {
    /// Ids of those that were told to end.
    sessions: Vec<String>,
    /// The block that is in force now.
    block: Option<BlockShown>,
    /// What did not work beside it.
    failures: Vec<String>,
}

async fn kill_all(app: &App, by: &str, selector: Selector, how: How) -> Response {
    let How { reason, block_for_seconds, block_until_removed } = how;
    let reason = reason.unwrap_or_else(|| "no reason was given".to_owned());
    if reason.trim().is_empty()
        || reason.len() > REASON_BYTES_MAX
        || reason.chars().any(char::is_control)
        || selector.value.is_empty()
    {
        let text =
            format!("a reason is one line of at most {REASON_BYTES_MAX} bytes, and a value is not empty");
        return answer(StatusCode::BAD_REQUEST, &text);
    }
    if !Kind::FOR_OPERATORS.contains(&selector.kind) {
        return answer(StatusCode::BAD_REQUEST, "sessions are not found by that");
    }
    let block = match (block_for_seconds, block_until_removed) {
        (None, false) => None,
        (None, true) => Some(Term::UntilRemoved),
        (Some(seconds), false) if seconds > 0 => Some(Term::For(Duration::from_secs(seconds))),
        (Some(_), _) => {
            return answer(StatusCode::BAD_REQUEST, "a block holds for some time, or until it is removed");
        }
    };
    match app.control.kill(by, Kill { selector, reason, block }).await {
        Ok(killed) => {
            let sessions: Vec<_> = killed.sessions.iter().map(ToString::to_string).collect();
            let block = killed.block.as_ref().map(shown);
            Json(Killed { sessions, block, failures: killed.failures }).into_response()
        }
        Err(error) => failed(&error),
    }
}

/// `GET /blocks`.
pub(crate) async fn blocks(State(app): State<App>) -> Response {
    Json(app.control.blocks().iter().map(shown).collect::<Vec<_>>()).into_response()
}

/// A block that was lifted.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Removed {
    /// Its id.
    removed: String,
}

/// `DELETE /blocks/{id}`.
pub(crate) async fn unblock(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Path(id): Path<String>,
) -> Response {
    match app.control.unblock(&caller.by, &id).await {
        Ok(()) => Json(Removed { removed: id }).into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &ControlError) -> Response {
    let status = match error {
        ControlError::Invalid(_) => StatusCode::BAD_REQUEST,
        ControlError::Missing(_) => StatusCode::NOT_FOUND,
        ControlError::Unrecorded(_) | ControlError::Unkept(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(status, &chain(error))
}

fn session(session: &control::Session, (now, wall): (Instant, SystemTime)) -> Session {
    let identity = session.identity.as_ref();
    let activity = session.activity.as_ref();
    let (statement, approval, since) = match activity.map(|it| it.state) {
        Some(control::State::Running { statement, since }) => (Some(statement), None, Some(since)),
        Some(control::State::Held { approval, since }) => (None, approval, Some(since)),
        _ => (None, None, None),
    };
    let since = since.and_then(|it| wall.checked_sub(now.saturating_duration_since(it)));
    Session {
        id: session.id.to_string(),
        identity: identity.map(ToString::to_string),
        on_behalf_of: identity.and_then(|it| it.on_behalf_of.as_ref()).map(ToString::to_string),
        groups: identity.map(|it| it.groups.clone()),
        token_id: identity.and_then(|it| it.token_id.clone()),
        method: session.method,
        user: session.user.clone(),
        database: session.database.clone(),
        client: session.client.to_string(),
        application_name: activity.and_then(|it| it.application_name.clone()),
        backend_pid: session.backend_pid,
        since: time(session.since),
        expires_at: session.expires_at.map(time),
        state: activity.map(|it| it.state.as_str()),
        statement,
        statement_since: since.map(time),
        text: None,
        approval,
        statements: activity.map(|it| it.statements),
    }
}

/// Who is kept out.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Block")]
pub(crate) struct BlockShown {
    id: String,
    /// What they are found by.
    kind: &'static str,
    /// Which.
    value: String,
    /// Null: until somebody removes it.
    until: Option<String>,
    /// Only with credentials that were issued by then.
    issued_until: Option<String>,
    /// Those who are refused are told.
    reason: String,
    by: String,
    at: String,
}

fn shown(block: &Block) -> BlockShown {
    BlockShown {
        id: block.id.clone(),
        kind: block.selector.kind.as_str(),
        value: block.selector.value.clone(),
        until: block.until.map(time),
        issued_until: block.issued_until.map(time),
        reason: block.reason.clone(),
        by: block.by.clone(),
        at: time(block.at),
    }
}

/// Writes a time as RFC 3339 does.
pub(crate) fn time(time: SystemTime) -> String {
    Time::from(time).to_string()
}

//! `/api/v1`: sessions, kills, blocks; and health. Knows how they are asked for and shown, not how they are done.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::Time;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router, middleware};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use server::control::{Block, Control, ControlError, Kill, Kind, Selector, Session, Term};

use crate::events;
use crate::guard::{self, App, Role, Shared, Transport, answer, chain};
use crate::listen::Peer;
use crate::{notify, pages};

/// A token is some kB; nothing that is sent here is longer.
const BODY_BYTES_MAX: usize = 128 << 10;
/// Of a reason, which clients are shown.
const REASON_BYTES_MAX: usize = 500;

pub(crate) fn router(control: Control, transport: Transport) -> Router {
    let app = Arc::new(Shared::new(control));
    Router::new()
        .merge(pages::router())
        .merge(notify::router())
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/api/v1/sessions", get(sessions))
        .route("/api/v1/sessions/kill", post(kill))
        .route("/api/v1/sessions/{id}/kill", post(kill_one))
        .route("/api/v1/blocks", get(blocks))
        .route("/api/v1/blocks/{id}", delete(unblock))
        .route("/backchannel-logout", post(events::logout))
        .route("/security-events", post(events::security_event))
        .fallback(|| async { answer(StatusCode::NOT_FOUND, "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            answer(StatusCode::METHOD_NOT_ALLOWED, "this is asked for in another way")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(transport, guard::surround))
        .with_state(app)
}

async fn ready(State(app): State<App>) -> Response {
    match app.control.not_ready() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn sessions(State(app): State<App>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    if let Err(refused) = app.admit(peer, &headers, "list sessions", Role::Viewer).await {
        return refused;
    }
    let now = (Instant::now(), SystemTime::now());
    let sessions = app.control.sessions().await;
    Json(sessions.iter().map(|it| session(it, now)).collect::<Vec<_>>()).into_response()
}

/// What is asked for with a kill.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    kind: Kind,
    value: String,
    #[serde(default)]
    how: How,
}

/// How a kill is to be done.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct How {
    reason: Option<String>,
    /// For how long whoever it is may not come back.
    block_for_seconds: Option<u64>,
    /// Likewise without an end.
    #[serde(default)]
    block_until_removed: bool,
}

async fn kill(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Result<Json<Asked>, JsonRejection>,
) -> Response {
    let by = match app.admit(peer, &headers, "kill", Role::Operator).await {
        Ok(by) => by,
        Err(refused) => return refused,
    };
    match body {
        Ok(Json(Asked { kind, value, how })) => kill_all(&app, &by, Selector::new(kind, value), how).await,
        Err(rejection) => answer(rejection.status(), &rejection.body_text()),
    }
}

async fn kill_one(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Json<How>, JsonRejection>,
) -> Response {
    let by = match app.admit(peer, &headers, "kill", Role::Operator).await {
        Ok(by) => by,
        Err(refused) => return refused,
    };
    match body {
        Ok(Json(how)) => kill_all(&app, &by, Selector::new(Kind::Session, id), how).await,
        Err(rejection) => answer(rejection.status(), &rejection.body_text()),
    }
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
            Json(json!({ "sessions": sessions, "block": block, "failures": killed.failures })).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn blocks(State(app): State<App>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    if let Err(refused) = app.admit(peer, &headers, "list blocks", Role::Viewer).await {
        return refused;
    }
    Json(app.control.blocks().iter().map(shown).collect::<Vec<_>>()).into_response()
}

async fn unblock(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let by = match app.admit(peer, &headers, "remove block", Role::Operator).await {
        Ok(by) => by,
        Err(refused) => return refused,
    };
    match app.control.unblock(&by, &id).await {
        Ok(()) => Json(json!({ "removed": id })).into_response(),
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

fn session(session: &Session, (now, wall): (Instant, SystemTime)) -> Value {
    let identity = session.identity.as_ref();
    let activity = session.activity.as_ref();
    let (statement, since) = match activity.map(|it| it.state) {
        Some(server::control::State::Running { statement, since }) => (Some(statement), Some(since)),
        _ => (None, None),
    };
    let since = since.and_then(|it| wall.checked_sub(now.saturating_duration_since(it)));
    json!({
        "id": session.id.to_string(),
        "identity": identity.map(ToString::to_string),
        "on_behalf_of": identity.and_then(|it| it.on_behalf_of.as_ref()).map(ToString::to_string),
        "groups": identity.map(|it| &it.groups),
        "token_id": identity.and_then(|it| it.token_id.as_ref()),
        "method": session.method,
        "user": session.user,
        "database": session.database,
        "client": session.client.to_string(),
        "application_name": activity.and_then(|it| it.application_name.as_ref()),
        "backend_pid": session.backend_pid,
        "since": time(session.since),
        "expires_at": session.expires_at.map(time),
        "state": activity.map(|it| it.state.as_str()),
        "statement": statement,
        "statement_since": since.map(time),
        "statements": activity.map(|it| it.statements),
    })
}

fn shown(block: &Block) -> Value {
    json!({
        "id": block.id,
        "kind": block.selector.kind.as_str(),
        "value": block.selector.value,
        "until": block.until.map(time),
        "issued_until": block.issued_until.map(time),
        "reason": block.reason,
        "by": block.by,
        "at": time(block.at),
    })
}

fn time(time: SystemTime) -> String {
    Time::from(time).to_string()
}

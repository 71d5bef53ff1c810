//! `/notify`: what channels send back. Their signatures are what lets them in, so no token and no cookie is asked for. Judges nothing.

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use server::notices::{Call, Called};

use crate::guard::{App, answer};
use crate::listen::Peer;

/// Slack repeats the whole message, with what it shows of a statement.
const BODY_BYTES_MAX: usize = 256 << 10;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/notify/slack/{channel}", post(slack))
        .route("/notify/webhook/{channel}", post(webhook))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Which kind of channel is called.
#[derive(Clone, Copy)]
enum Kind {
    Slack,
    Webhook,
}

async fn slack(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    called(&app, Kind::Slack, (peer, &channel), &headers, body).await
}

async fn webhook(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    called(&app, Kind::Webhook, (peer, &channel), &headers, body).await
}

async fn called(
    app: &App,
    kind: Kind,
    (peer, channel): (Peer, &str),
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    // What comes over the local socket is an operator, and nobody's channel.
    let Peer::Network(client) = peer else { return answer(StatusCode::NOT_FOUND, "there is nothing here") };
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return answer(rejection.status(), &rejection.body_text()),
    };
    let header = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        value.to_str().ok().map(str::to_owned)
    };
    let call = Call { channel, client, header: &header, body: &body };
    let Called { status, text } = match kind {
        Kind::Slack => app.control.slack_call(call).await,
        Kind::Webhook => app.control.webhook_call(call).await,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match status {
        // Slack shows a text that is answered to whoever pressed the button; there is none.
        StatusCode::OK if text.is_empty() => StatusCode::OK.into_response(),
        StatusCode::OK => Json(json!({ "result": text })).into_response(),
        status => answer(status, &text),
    }
}

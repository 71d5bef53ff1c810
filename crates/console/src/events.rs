//! What issuers tell: OpenID Connect Back-Channel Logout 1.0, and the push delivery of security events (RFC 8935). Judges no token.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode, header};
use model::Secret;
use serde_json::json;
use server::control::{Fault, Heard, NotHeard};
use url::form_urlencoded;

use crate::guard::{App, chain};
use crate::listen::Peer;

/// `POST` of a form with `logout_token` (Back-Channel Logout 1.0, 2.5).
pub(crate) async fn logout(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return refused(rejection.status(), "invalid_request"),
    };
    let token = is_of(&headers, "application/x-www-form-urlencoded").then(|| only(&body)).flatten();
    let Some(token) = token else { return refused(StatusCode::BAD_REQUEST, "invalid_request") };
    let why = match app.control.logout(&Secret::new(token)).await {
        Ok(Heard::Ended(_) | Heard::Ignored) => return StatusCode::OK.into_response(),
        Ok(Heard::Repeated) => "the logout token was used before".to_owned(),
        Err(NotHeard::Unkept(why)) => {
            tracing::error!(reason = why, "a logout can't be kept");
            return refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable");
        }
        Err(NotHeard::Token(failure)) => {
            let unavailable = failure.fault() == Fault::Unavailable;
            let why = chain(&failure);
            if unavailable {
                app.note("logout", peer, None, &why);
                return refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable");
            }
            why
        }
    };
    app.note("logout", peer, None, &why);
    // Whatever is wrong with it, the answer is one.
    refused(StatusCode::BAD_REQUEST, "invalid_request")
}

/// `POST` of a security event token (RFC 8935, section 2).
pub(crate) async fn security_event(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return told(rejection.status(), "invalid_request"),
    };
    let token =
        is_of(&headers, "application/secevent+jwt").then(|| std::str::from_utf8(&body).ok()).flatten();
    let Some(token) = token else { return told(StatusCode::BAD_REQUEST, "invalid_request") };
    match app.control.security_event(&Secret::new(token.trim().to_owned())).await {
        // RFC 8935 2.2: one that was received before is acknowledged again.
        Ok(Heard::Ended(_) | Heard::Ignored | Heard::Repeated) => StatusCode::ACCEPTED.into_response(),
        Err(NotHeard::Unkept(why)) => {
            tracing::error!(reason = why, "a security event can't be kept");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Err(NotHeard::Token(failure)) => {
            app.note("security event", peer, None, &chain(&failure));
            if failure.fault() == Fault::Unavailable {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            told(StatusCode::BAD_REQUEST, code(failure.fault()))
        }
    }
}

/// The error codes of RFC 8935, section 2.4.
const fn code(fault: Fault) -> &'static str {
    match fault {
        Fault::Issuer => "invalid_issuer",
        Fault::Audience => "invalid_audience",
        Fault::Key => "invalid_key",
        Fault::Unavailable | Fault::Other => "invalid_request",
    }
}

fn told(status: StatusCode, error: &'static str) -> Response {
    // Its `description` is for debugging, and what is wrong is in the gateway's journal.
    (status, Json(json!({ "err": error, "description": "the gateway's log says why" }))).into_response()
}

fn refused(status: StatusCode, error: &'static str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

fn is_of(headers: &HeaderMap, media: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media)
}

/// Returns the form's one `logout_token`; other members are ignored (Back-Channel Logout 1.0, 2.5).
fn only(body: &[u8]) -> Option<String> {
    let mut tokens = form_urlencoded::parse(body).filter(|(name, _)| name == "logout_token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) => Some(token.into_owned()),
        _ => None,
    }
}

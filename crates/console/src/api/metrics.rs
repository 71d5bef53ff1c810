//! `GET /metrics`: the gateway's numbers, for monitoring. Knows none of them.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::guard::{App, answer};
use crate::listen::Peer;

/// The text format of Prometheus.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<App>, Extension(peer): Extension<Peer>) -> Response {
    if app.control.metrics_are_local() && matches!(peer, Peer::Network(_)) {
        return answer(StatusCode::NOT_FOUND, "metrics are for the local socket only");
    }
    let text = app.control.metrics(app.streams.open()).await;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

//! `GET /metrics`: the gateway's numbers, for monitoring. Knows none of them.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use crate::guard::App;

/// The text format of Prometheus.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let text = app.control.metrics(app.streams.open()).await;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

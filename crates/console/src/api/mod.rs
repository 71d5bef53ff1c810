//! `/api/v1` and what is beside it: one table of routes, from which the router, the OpenAPI document and the tests all follow.

mod approvals;
mod explained;
mod forms;
mod me;
mod metrics;
pub(crate) mod openapi;
mod preview;
pub(crate) mod routes;
mod sessions;
mod views;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use server::control::Control;

use crate::caller::{self, Gate, Needs};
use crate::guard::{self, App, Shared, Transport, answer};
use crate::{events, login, notify, pages};

/// A token is some kB; nothing that is sent here is longer, but for statements.
const BODY_BYTES_MAX: usize = 128 << 10;
/// A statement may have a MiB, and JSON escapes some of it.
pub(crate) const STATEMENT_BYTES_MAX: usize = 2 << 20;
/// Of a reason, which clients are shown.
pub(crate) const REASON_BYTES_MAX: usize = 500;

pub(crate) fn router(control: Control, transport: Transport) -> Router {
    let app = Arc::new(Shared::new(control, transport));
    let mut router: Router<App> = Router::new()
        .merge(pages::router())
        .merge(notify::router())
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/backchannel-logout", post(events::logout))
        .route("/security-events", post(events::security_event))
        .route("/login", get(login::begin))
        .route("/login/callback", get(login::callback))
        .route("/logout", post(login::end));
    let gate = Gate { path: "/metrics", act: "read metrics", needs: Needs::Viewer };
    let guarded = middleware::from_fn_with_state((app.clone(), gate), caller::admit);
    router = router.route("/metrics", get(metrics::metrics).route_layer(guarded));
    for route in routes::all() {
        // SECURITY: no handler is reached but through the gate.
        let gate = Gate { path: route.path, act: route.act, needs: route.needs };
        let guarded = middleware::from_fn_with_state((app.clone(), gate), caller::admit);
        let limit = DefaultBodyLimit::max(if route.takes_statements() {
            STATEMENT_BYTES_MAX
        } else {
            BODY_BYTES_MAX
        });
        router = router.route(route.path, route.handler.route_layer(guarded).layer(limit));
    }
    router
        .fallback(|| async { answer(StatusCode::NOT_FOUND, "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            answer(StatusCode::METHOD_NOT_ALLOWED, "this is asked for in another way")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), guard::surround))
        .with_state(app)
}

async fn ready(State(app): State<App>) -> Response {
    match app.control.not_ready() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// What is wrong with a request, or why nothing was done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(crate) struct ErrorBody {
    /// For people.
    error: String,
}

//! What the gateway shows of itself: overview, audit, identities, data, policy, health. Knows no view from inside.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use server::views::{
    AuditQuery, DataQuery, DatabaseView, ExplainAs, IdentityQuery, PolicyInForce, Sight, ViewError,
};

use crate::caller::Caller;
use crate::guard::{App, answer, chain};

/// Returns what somebody may see.
pub(super) fn sight(caller: &Caller) -> Sight {
    if caller.roles.auditor { Sight::Texts } else { Sight::Counts }
}

/// Shows what there is, or says why there is nothing.
pub(super) fn shown<T: Serialize>(found: Result<T, ViewError>) -> Response {
    match found {
        Ok(found) => Json(found).into_response(),
        Err(error) => {
            let status = match &error {
                ViewError::Invalid(_) => StatusCode::BAD_REQUEST,
                ViewError::Missing(_) => StatusCode::NOT_FOUND,
                ViewError::NotForThem => StatusCode::FORBIDDEN,
                ViewError::Busy | ViewError::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
                ViewError::Database(_) => StatusCode::BAD_GATEWAY,
            };
            answer(status, &chain(&error))
        }
    }
}

/// Says what is wrong with the query of a request.
pub(super) fn wrong(rejection: &QueryRejection) -> Response {
    answer(StatusCode::BAD_REQUEST, &rejection.body_text())
}

/// `GET /overview`.
pub(crate) async fn overview(State(app): State<App>, Extension(caller): Extension<Arc<Caller>>) -> Response {
    Json(app.control.overview(sight(&caller)).await).into_response()
}

/// `GET /audit`.
pub(crate) async fn audit(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(query)) => shown(app.control.audit_search(sight(&caller), query).await),
        Err(rejection) => wrong(&rejection),
    }
}

/// `GET /audit/{seq}`.
pub(crate) async fn record(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Path(seq): Path<String>,
) -> Response {
    match seq.parse() {
        Ok(seq) => shown(app.control.audit_record(sight(&caller), seq).await),
        Err(_) => answer(StatusCode::NOT_FOUND, "records have numbers"),
    }
}

/// `GET /identities`.
pub(crate) async fn identities(
    State(app): State<App>,
    query: Result<Query<IdentityQuery>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(query)) => shown(app.control.identities(&query)),
        Err(rejection) => wrong(&rejection),
    }
}

/// `GET /identities/{issuer}/{subject}`.
pub(crate) async fn identity(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Path((issuer, subject)): Path<(String, String)>,
) -> Response {
    shown(app.control.identity(sight(&caller), &issuer, &subject).await)
}

/// All of something that there are few of.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub(crate) struct All<T> {
    items: Vec<T>,
}

impl<T> All<T> {
    pub(crate) fn new(items: Vec<T>) -> Self {
        Self { items }
    }
}

/// `GET /data`.
pub(crate) async fn databases(State(app): State<App>) -> Response {
    Json(All::<DatabaseView> { items: app.control.databases() }).into_response()
}

/// `GET /data/{database}`.
pub(crate) async fn data(
    State(app): State<App>,
    Path(database): Path<String>,
    query: Result<Query<DataQuery>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(query)) => shown(app.control.data(&database, query).await),
        Err(rejection) => wrong(&rejection),
    }
}

/// `GET /policy`.
pub(crate) async fn policies(State(app): State<App>) -> Response {
    Json(All::<PolicyInForce> { items: app.control.policies() }).into_response()
}

/// `GET /policy/{database}`.
pub(crate) async fn policy(State(app): State<App>, Path(database): Path<String>) -> Response {
    shown(app.control.policy(&database))
}

/// `POST /policy/{database}/explain`.
pub(crate) async fn explain(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Path(database): Path<String>,
    body: Result<Json<ExplainAs>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(asked)) => shown(app.control.policy_explain(sight(&caller), &database, asked).await),
        Err(rejection) => answer(rejection.status(), &rejection.body_text()),
    }
}

/// Nothing is to be said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// `POST /policy/{database}/test`.
pub(crate) async fn test(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Path(database): Path<String>,
    body: Result<Json<Nothing>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(Nothing {})) => shown(app.control.policy_test(sight(&caller), &database).await),
        Err(rejection) => answer(rejection.status(), &rejection.body_text()),
    }
}

/// `GET /health`.
pub(crate) async fn health(State(app): State<App>) -> Response {
    Json(app.control.health().await).into_response()
}

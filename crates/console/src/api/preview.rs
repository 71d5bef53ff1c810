//! What approvers are shown beside a request, and asking before something is run. Knows no preview from inside.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::StatusCode;
use server::preview::{Before, NotAsked, NotShown};

use super::approvals::{show, visible};
use crate::caller::Caller;
use crate::guard::{App, answer, chain};

/// `GET /approvals/{number}/plan`.
pub(crate) async fn plan(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Path(number): Path<String>,
) -> Response {
    let request = match visible(&app, &caller, &number).await {
        Ok(request) => request,
        Err(response) => return *response,
    };
    match app.control.plan(request.number).await {
        Ok(plan) => Json(plan.as_ref()).into_response(),
        Err(why) => not_shown(&why),
    }
}

/// `POST /approvals/{number}/count-rows`.
pub(crate) async fn count_rows(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Path(number): Path<String>,
) -> Response {
    let request = match visible(&app, &caller, &number).await {
        Ok(request) => request,
        Err(response) => return *response,
    };
    let Some(who) = &caller.who else { return answer(StatusCode::FORBIDDEN, "an approval is a person's") };
    match app.control.count_rows(request.number, who).await {
        Ok(counted) => Json(counted).into_response(),
        Err(why) => not_shown(&why),
    }
}

/// `POST /approvals`.
pub(crate) async fn ask(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    body: Result<Json<Before>, JsonRejection>,
) -> Response {
    let before = match body {
        Ok(Json(before)) => before,
        Err(rejection) => return answer(rejection.status(), &rejection.body_text()),
    };
    let Some(who) = &caller.who else { return answer(StatusCode::FORBIDDEN, "somebody by name must ask") };
    let refused = match app.control.ask_before(who, &before).await {
        Ok(request) => return show(&app, &caller, &request).await,
        Err(refused) => refused,
    };
    let status = match &refused {
        NotAsked::Allowed | NotAsked::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        NotAsked::Invalid(_) => StatusCode::BAD_REQUEST,
        NotAsked::NotShown(why) => return not_shown(why),
        NotAsked::Desk(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(status, &chain(&refused))
}

fn not_shown(why: &NotShown) -> Response {
    let status = match why {
        NotShown::Missing(_) => StatusCode::NOT_FOUND,
        NotShown::NotAllowed(_) => StatusCode::FORBIDDEN,
        NotShown::Impossible(_) => StatusCode::CONFLICT,
        NotShown::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
        NotShown::Database(_) => StatusCode::BAD_GATEWAY,
        NotShown::Gateway(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(status, &chain(why))
}

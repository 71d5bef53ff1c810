//! Requests for approval: seen, decided, asked for, lent. Whoever may do what, `server`'s desk says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use approval::{Act, Number, Stamp, Who, shown};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use server::{ActRefused, DelegationRefused, Lend, RequestFilter, Standing};

use super::forms::{Delegation, Item, Request, when};
use super::views::wrong;
use crate::caller::{Caller, Via};
use crate::guard::{App, answer, chain};

/// How many requests a page has, unless told.
const PAGE: u32 = 50;

/// Which requests are shown.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// `open`, `approved`, `denied`, `used`, `ended`; several with commas between.
    state: Option<String>,
    /// The database as clients name it.
    database: Option<String>,
    /// Who asks: `issuer:subject`.
    requester: Option<String>,
    /// Only break-glasses that nobody has reviewed.
    #[serde(default)]
    review_due: bool,
    /// Those with a lower number: the `next` of the page before.
    before: Option<u64>,
    /// At most so many: 50 unless told, 100 at most.
    limit: Option<u32>,
}

/// Some requests, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Requests {
    items: Vec<Item>,
    /// What to ask with for those after them, as `before`; null where that is all.
    next: Option<u64>,
    /// How many wait for approvers, of those that whoever asks may see.
    open: u64,
}

/// `GET /approvals`.
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    query: Result<Query<Which>, QueryRejection>,
) -> Response {
    let which = match query {
        Ok(Query(which)) => which,
        Err(rejection) => return wrong(&rejection),
    };
    let mut states = BTreeSet::new();
    for word in which.state.iter().flat_map(|words| words.split(',')) {
        let known = [Standing::Open, Standing::Approved, Standing::Denied, Standing::Used, Standing::Ended];
        match known.into_iter().find(|it| it.as_str() == word) {
            Some(state) => states.insert(state),
            None => {
                let text = "a state is one of open, approved, denied, used, ended";
                return answer(StatusCode::BAD_REQUEST, text);
            }
        };
    }
    // SECURITY: who has no role that sees requests sees their own.
    let requester = if caller.roles.sees_texts() { which.requester } else { Some(caller.by.clone()) };
    let limit = which.limit.unwrap_or(PAGE).clamp(1, 100);
    let filter = RequestFilter {
        states,
        requester: requester.clone(),
        database: which.database,
        before: which.before.map(Number),
        review_due: which.review_due,
        limit: Some(limit),
        ..RequestFilter::default()
    };
    let open =
        RequestFilter { states: BTreeSet::from([Standing::Open]), requester, ..RequestFilter::default() };
    match (app.control.approvals(&filter).await, app.control.count_approvals(&open).await) {
        (Ok(found), Ok(open)) => {
            let full = found.len() >= limit as usize;
            let next = found.last().filter(|_| full).map(|it| it.number.0);
            Json(Requests { items: found.iter().map(Item::of).collect(), next, open }).into_response()
        }
        (Err(error), _) | (_, Err(error)) => trouble(&error),
    }
}

/// Whether somebody may do something.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct May {
    ok: bool,
    /// Why not.
    why: Option<String>,
    /// The same as a word that stays the same.
    code: Option<&'static str>,
}

/// A request as an approver must see it: whole.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Shown {
    request: Request,
    /// The statement's text in runs; what is invisible, steers the direction or looks like something else is marked.
    #[schemars(with = "Vec<server::preview::Run>")]
    text_shown: Vec<shown::Run>,
    /// Likewise the text that it runs by name, as EXECUTE does; empty where it doesn't.
    #[schemars(with = "Vec<server::preview::Run>")]
    runs_shown: Vec<shown::Run>,
    /// Likewise each parameter; null is NULL.
    #[schemars(with = "Vec<Option<Vec<server::preview::Run>>>")]
    parameters_shown: Vec<Option<Vec<shown::Run>>>,
    /// Likewise why it is wanted.
    #[schemars(with = "Vec<server::preview::Run>")]
    purpose_shown: Vec<shown::Run>,
    /// Whether the text can't be told from another at a glance.
    marked: bool,
    /// What whoever asks may do: `approve`, `deny`, `break-glass`, `review`, `withdraw`.
    may: BTreeMap<&'static str, May>,
    /// What became of telling approvers, for each channel.
    notifications: Vec<server::notices::Notification>,
    /// What the session that waits has done, the last first; null where the journal can't be asked.
    session_so_far: Option<Vec<server::preview::SoFar>>,
    /// What the same identity had approved before, what is most alike first; null where the store can't be asked.
    approved_before: Option<Vec<server::preview::ApprovedBefore>>,
}

/// `GET /approvals/{number}`.
pub(crate) async fn one(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Path(number): Path<String>,
) -> Response {
    match visible(&app, &caller, &number).await {
        Ok(request) => show(&app, &caller, &request).await,
        Err(response) => *response,
    }
}

/// Returns a request that somebody may see: with a role, or as whose it is.
pub(super) async fn visible(
    app: &App,
    caller: &Caller,
    number: &str,
) -> Result<approval::Request, Box<Response>> {
    let missing = || Box::new(answer(StatusCode::NOT_FOUND, &format!("there is no request {number}")));
    let number = number.parse().map(Number).map_err(|_| missing())?;
    let found = app.control.approval(number).await.map_err(|error| Box::new(trouble(&error)))?;
    // SECURITY: whether there is one is not told either to whom it doesn't concern.
    found.filter(|it| caller.roles.sees_texts() || concerns(it, &caller.by)).ok_or_else(missing)
}

/// Whether somebody asks for it themselves, or it is asked in their name.
fn concerns(request: &approval::Request, by: &str) -> bool {
    let requester = &request.ask.requester;
    requester.to_string() == by || requester.on_behalf_of.as_deref() == Some(by)
}

pub(super) async fn show(app: &App, caller: &Caller, request: &approval::Request) -> Response {
    let may = match &caller.who {
        Some(who) => match app.control.approval_may(request, &Who::from(who)).await {
            Ok(may) => may.into_iter().map(|(act, refused)| (act.as_str(), may_of(refused))).collect(),
            Err(error) => return trouble(&error),
        },
        // A decision is somebody's, and over the local socket there is nobody by name.
        None => Act::ALL.into_iter().map(|act| (act.as_str(), nobody())).collect(),
    };
    let statement = &request.ask.statement;
    let text_shown = shown::statement(&statement.text);
    let runs_shown = statement.runs.as_deref().map(shown::statement).unwrap_or_default();
    let parameters_shown: Vec<_> = statement.parameters.iter().map(shown::parameter).collect();
    let marked = shown::is_marked(&text_shown)
        || shown::is_marked(&runs_shown)
        || parameters_shown.iter().flatten().any(|it| shown::is_marked(it));
    let purpose_shown = request.ask.purpose.as_deref().map(shown::plain).unwrap_or_default();
    let link = app.control.public_url().map(|url| url.join(&format!("/approvals/{}", request.number)));
    // That it can't be told doesn't keep anybody from deciding.
    let notifications = app.control.notifications(request.number).await.unwrap_or_default();
    let session_so_far = app.control.session_so_far(request).await.ok();
    let approved_before = app.control.approved_before(request).await.ok();
    let request = Request::of(request, link);
    Json(Shown {
        request,
        text_shown,
        runs_shown,
        parameters_shown,
        purpose_shown,
        marked,
        may,
        notifications,
        session_so_far,
        approved_before,
    })
    .into_response()
}

fn may_of(refused: Option<ActRefused>) -> May {
    match refused {
        None => May { ok: true, why: None, code: None },
        Some(why) => May { ok: false, why: Some(why.to_string()), code: Some(why.as_str()) },
    }
}

fn nobody() -> May {
    let why = "an approval is a person's: show a token, with GATEPOST_TOKEN";
    May { ok: false, why: Some(why.to_owned()), code: Some("nobody") }
}

/// What is said with an act.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    /// Why. Of a denial, what the requester is told.
    reason: Option<String>,
}

/// `POST /approvals/{number}/{act}`.
pub(crate) async fn act(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Path((number, act)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Json<Said>, JsonRejection>,
) -> Response {
    let said = match body {
        Ok(Json(said)) => said,
        Err(rejection) => return answer(rejection.status(), &rejection.body_text()),
    };
    let Some(act) = Act::ALL.into_iter().find(|it| it.as_str() == act) else {
        let text = "an act is one of approve, deny, break-glass, review, withdraw";
        return answer(StatusCode::NOT_FOUND, text);
    };
    let request = match visible(&app, &caller, &number).await {
        Ok(request) => request,
        Err(response) => return *response,
    };
    let Some(who) = &caller.who else { return answer(StatusCode::FORBIDDEN, "an approval is a person's") };
    let via = via(&caller, &headers);
    let reason = said.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    match app.control.act(request.number, &Who::from(who), via, act, reason).await {
        Ok(request) => show(&app, &caller, &request).await,
        Err(refused) => not_done(&refused),
    }
}

/// What the journal says a vote came by. A browser's login is known; that a bearer of a token is the command line is what it says itself, a
/// label that nothing is decided by.
fn via(caller: &Caller, headers: &HeaderMap) -> &'static str {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    match &caller.via {
        Via::Browser(_) => "console",
        Via::Token | Via::Local if agent.starts_with("gatepost-cli/") => "cli",
        Via::Token | Via::Local => "api",
    }
}

fn not_done(refused: &ActRefused) -> Response {
    use approval::Refused;
    let status = match refused {
        ActRefused::Unknown(_) => StatusCode::NOT_FOUND,
        ActRefused::Refused(Refused::ReasonRequired | Refused::ReasonTooLong) => StatusCode::BAD_REQUEST,
        ActRefused::Overtaken
        | ActRefused::Refused(
            Refused::Over(_) | Refused::Late | Refused::Counted | Refused::Surplus | Refused::NothingToReview,
        ) => StatusCode::CONFLICT,
        ActRefused::NotApprover | ActRefused::Blocked(_) | ActRefused::Refused(_) => StatusCode::FORBIDDEN,
        ActRefused::Store(_) | ActRefused::Unrecorded(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(status, &chain(refused))
}

fn trouble(error: &dyn std::error::Error) -> Response {
    tracing::error!(error = chain(error), "requests can't be looked up");
    answer(StatusCode::SERVICE_UNAVAILABLE, "the store can't be asked just now")
}

/// `GET /delegations`.
pub(crate) async fn delegations(State(app): State<App>) -> Response {
    match app.control.delegations().await {
        Ok(found) => Json(super::views::All::<Delegation>::new(found.iter().map(Delegation::of).collect()))
            .into_response(),
        Err(error) => trouble(&error),
    }
}

/// A vote to lend.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lending {
    /// To whom: `issuer:subject`.
    to: String,
    /// With which of one's own groups; none: all of them.
    #[serde(default)]
    groups: BTreeSet<String>,
    /// Until when, RFC 3339.
    until: String,
    /// Why.
    reason: Option<String>,
}

/// `POST /delegations`.
pub(crate) async fn delegate(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    body: Result<Json<Lending>, JsonRejection>,
) -> Response {
    let Lending { to, groups, until, reason } = match body {
        Ok(Json(lending)) => lending,
        Err(rejection) => return answer(rejection.status(), &rejection.body_text()),
    };
    let Some(until) = when(&until) else {
        return answer(StatusCode::BAD_REQUEST, "a time is written as 2027-01-31T18:00:00Z");
    };
    let Some(who) = &caller.who else { return answer(StatusCode::FORBIDDEN, "a vote is a person's") };
    let groups = Some(groups).filter(|groups| !groups.is_empty());
    let lend = Lend { to, groups, until: Stamp::from(until), reason: reason.unwrap_or_default() };
    lent(app.control.delegate(&Who::from(who), lend).await)
}

/// `DELETE /delegations/{id}`.
pub(crate) async fn end_delegation(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Path(id): Path<String>,
) -> Response {
    let Some(who) = &caller.who else { return answer(StatusCode::FORBIDDEN, "a vote is a person's") };
    lent(app.control.end_delegation(&Who::from(who), &id).await)
}

fn lent(done: Result<approval::Delegation, DelegationRefused>) -> Response {
    let refused = match done {
        Ok(delegation) => return Json(Delegation::of(&delegation)).into_response(),
        Err(refused) => refused,
    };
    let status = match &refused {
        DelegationRefused::Bad(_) => StatusCode::BAD_REQUEST,
        DelegationRefused::Refused(_) | DelegationRefused::NotTheirs => StatusCode::FORBIDDEN,
        DelegationRefused::Unknown(_) => StatusCode::NOT_FOUND,
        DelegationRefused::NoRandomness | DelegationRefused::Store(_) | DelegationRefused::Unrecorded(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    answer(status, &chain(&refused))
}

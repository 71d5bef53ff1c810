//! The table of routes: path, method, what it needs, what it takes and gives. Knows no handler from inside.

use axum::routing::{MethodRouter, delete, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{approvals, explained, forms, me, openapi, preview, sessions, views};
use crate::caller::Needs;
use crate::guard::App;
use crate::stream;

/// How a route is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Delete,
}

impl Verb {
    /// Returns the word of OpenAPI.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }
}

/// What a route answers with.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// JSON of this form.
    Json(SchemaOf),
    /// Server-sent events, whose data are of this form.
    Events(SchemaOf),
}

/// Writes a type's schema.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A route of the API.
pub(crate) struct Route {
    pub(crate) verb: Verb,
    /// As axum and OpenAPI both write it.
    pub(crate) path: &'static str,
    /// What the journal calls it.
    pub(crate) act: &'static str,
    pub(crate) needs: Needs,
    /// In a sentence.
    pub(crate) about: &'static str,
    pub(crate) query: Option<SchemaOf>,
    pub(crate) body: Option<SchemaOf>,
    pub(crate) answer: Answer,
    pub(crate) handler: MethodRouter<App>,
}

impl Route {
    fn get<A: JsonSchema>(
        path: &'static str,
        (act, needs, about): (&'static str, Needs, &'static str),
        handler: MethodRouter<App>,
    ) -> Self {
        let answer = Answer::Json(SchemaGenerator::subschema_for::<A>);
        Self { verb: Verb::Get, path, act, needs, about, query: None, body: None, answer, handler }
    }

    /// Whether its body holds a statement.
    pub(crate) fn takes_statements(&self) -> bool {
        self.verb == Verb::Post && (self.path.ends_with("/explain") || self.path == "/api/v1/approvals")
    }

    /// With these parameters in its query.
    fn asked<Q: JsonSchema>(self) -> Self {
        Self { query: Some(SchemaGenerator::subschema_for::<Q>), ..self }
    }

    fn events<E: JsonSchema>(
        path: &'static str,
        what: (&'static str, Needs, &'static str),
        handler: MethodRouter<App>,
    ) -> Self {
        let answer = Answer::Events(SchemaGenerator::subschema_for::<E>);
        Self { answer, ..Self::get::<()>(path, what, handler) }
    }

    fn post<B: JsonSchema, A: JsonSchema>(
        path: &'static str,
        what: (&'static str, Needs, &'static str),
        handler: MethodRouter<App>,
    ) -> Self {
        let body = Some(SchemaGenerator::subschema_for::<B> as SchemaOf);
        Self { verb: Verb::Post, body, ..Self::get::<A>(path, what, handler) }
    }

    fn delete<A: JsonSchema>(
        path: &'static str,
        what: (&'static str, Needs, &'static str),
        handler: MethodRouter<App>,
    ) -> Self {
        Self { verb: Verb::Delete, ..Self::get::<A>(path, what, handler) }
    }
}

/// Returns all of them.
pub(crate) fn all() -> Vec<Route> {
    vec![
        Route::get::<me::Me>(
            "/api/v1/me",
            ("see oneself", Needs::Somebody, "Who asks, and what they may do."),
            get(me::me),
        ),
        Route::get::<Vec<sessions::Session>>(
            "/api/v1/sessions",
            ("list sessions", Needs::Viewer, "The live sessions, oldest first, with what each does now."),
            get(sessions::list),
        ),
        Route::post::<sessions::Asked, sessions::Killed>(
            "/api/v1/sessions/kill",
            (
                "kill",
                Needs::Operator,
                "Ends sessions, and keeps out whoever they belong to if that is asked for.",
            ),
            post(sessions::kill),
        ),
        Route::post::<sessions::How, sessions::Killed>(
            "/api/v1/sessions/{id}/kill",
            ("kill", Needs::Operator, "Ends one session."),
            post(sessions::kill_one),
        ),
        Route::get::<Vec<sessions::BlockShown>>(
            "/api/v1/blocks",
            ("list blocks", Needs::Viewer, "Who is kept out, oldest first."),
            get(sessions::blocks),
        ),
        Route::delete::<sessions::Removed>(
            "/api/v1/blocks/{id}",
            ("remove block", Needs::Operator, "Lifts a block."),
            delete(sessions::unblock),
        ),
        Route::get::<server::views::Overview>(
            "/api/v1/overview",
            (
                "see the overview",
                Needs::Viewer,
                "What runs, what waits, what was refused lately, and how many.",
            ),
            get(views::overview),
        ),
        Route::get::<server::views::AuditPage>(
            "/api/v1/audit",
            ("search the audit trail", Needs::Auditor, "Records of the audit trail, newest first."),
            get(views::audit),
        )
        .asked::<server::views::AuditQuery>(),
        Route::get::<server::views::AuditDetail>(
            "/api/v1/audit/{seq}",
            ("read a record", Needs::Auditor, "One record, with the rules that decided it."),
            get(views::record),
        ),
        Route::get::<server::views::IdentityPage>(
            "/api/v1/identities",
            ("list identities", Needs::Auditor, "Who was seen, who was seen last first."),
            get(views::identities),
        )
        .asked::<server::views::IdentityQuery>(),
        Route::get::<server::views::IdentityDetail>(
            "/api/v1/identities/{issuer}/{subject}",
            ("see an identity", Needs::Auditor, "What somebody may do, did, and was refused."),
            get(views::identity),
        ),
        Route::get::<views::All<server::views::DatabaseView>>(
            "/api/v1/data",
            ("list databases", Needs::Viewer, "The databases that are served."),
            get(views::databases),
        ),
        Route::get::<server::views::DataPage>(
            "/api/v1/data/{database}",
            ("see a database", Needs::Viewer, "Relations and columns, their tags, and who used them."),
            get(views::data),
        )
        .asked::<server::views::DataQuery>(),
        Route::get::<views::All<server::views::PolicyInForce>>(
            "/api/v1/policy",
            ("list policies", Needs::Viewer, "The bundle in force for each database."),
            get(views::policies),
        ),
        Route::get::<server::views::PolicyDetail>(
            "/api/v1/policy/{database}",
            ("read a policy", Needs::Viewer, "A bundle, file by file."),
            get(views::policy),
        ),
        Route::post::<server::views::ExplainAs, explained::Explained>(
            "/api/v1/policy/{database}/explain",
            (
                "explain a statement",
                Needs::Auditor,
                "What the policy in force would say to a statement of somebody's; see docs/reference/explain.md. Nothing of it is run.",
            ),
            post(views::explain),
        ),
        Route::post::<views::Nothing, server::views::PolicyTests>(
            "/api/v1/policy/{database}/test",
            ("test a policy", Needs::Auditor, "Runs the bundle's own tests."),
            post(views::test),
        ),
        Route::get::<server::views::Health>(
            "/api/v1/health",
            ("see health", Needs::Viewer, "How the gateway and what it needs are."),
            get(views::health),
        ),
        Route::get::<approvals::Requests>(
            "/api/v1/approvals",
            (
                "list requests",
                Needs::Somebody,
                "Requests for approval, newest first. Who is neither approver nor auditor sees their own.",
            ),
            get(approvals::list),
        )
        .asked::<approvals::Which>(),
        Route::get::<approvals::Shown>(
            "/api/v1/approvals/{number}",
            ("see a request", Needs::Somebody, "A request, whole, and what whoever asks may do with it."),
            get(approvals::one),
        ),
        Route::post::<server::preview::Before, approvals::Shown>(
            "/api/v1/approvals",
            (
                "ask for approval",
                Needs::Person,
                "Asks for a statement, or a pattern, before it is run. 422: it needs no approval, or the policy refuses it whoever approves.",
            ),
            post(preview::ask),
        ),
        Route::get::<server::preview::Plan>(
            "/api/v1/approvals/{number}/plan",
            ("see a plan", Needs::Somebody, "What the planner would do. 409: such a statement has no plan."),
            get(preview::plan),
        ),
        Route::post::<views::Nothing, server::preview::RowCount>(
            "/api/v1/approvals/{number}/count-rows",
            (
                "count rows",
                Needs::Person,
                "Runs the statement and rolls it back, to say how many rows it would change: for who may approve it, where the bundle allows it. 409: it has effects that can't be undone.",
            ),
            post(preview::count_rows),
        ),
        Route::post::<approvals::Said, approvals::Shown>(
            "/api/v1/approvals/{number}/{act}",
            (
                "decide a request",
                Needs::Person,
                "Decides, or takes back: `act` is `approve`, `deny`, `break-glass`, `review` or `withdraw`. 409: somebody was faster, or its time is over.",
            ),
            post(approvals::act),
        ),
        Route::get::<views::All<forms::Delegation>>(
            "/api/v1/delegations",
            ("list delegations", Needs::Approver, "Votes that are lent."),
            get(approvals::delegations),
        ),
        Route::post::<approvals::Lending, forms::Delegation>(
            "/api/v1/delegations",
            ("delegate", Needs::Person, "Lends one's own vote until a time."),
            post(approvals::delegate),
        ),
        Route::delete::<forms::Delegation>(
            "/api/v1/delegations/{id}",
            ("end a delegation", Needs::Person, "Ends a delegation: one's own, or as an operator anybody's."),
            delete(approvals::end_delegation),
        ),
        Route::events::<server::views::LiveEvent>(
            "/api/v1/events",
            (
                "listen to events",
                Needs::Viewer,
                "What happens, as server-sent events: `hello`, `beat`, `session`, `activity`, `refused`, `approval`, `delegations`, `policy`, `health`; `resync` where some were missed, and `bye` before the end.",
            ),
            get(stream::events),
        ),
        Route::get::<serde_json::Map<String, serde_json::Value>>(
            "/api/v1/openapi.json",
            ("read the API's description", Needs::Somebody, "This document."),
            get(openapi::document),
        ),
    ]
}

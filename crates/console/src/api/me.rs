//! Who asks. Knows what a caller is, and no more.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Extension;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::sessions::time;
use crate::caller::{Caller, Via};

/// Who asks, and what they may do.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Me {
    /// `issuer:subject`; over the local socket `local:uid=N`.
    identity: String,
    /// The issuer's name in the configuration; null over the local socket.
    issuer: Option<String>,
    /// Unique within the issuer.
    subject: Option<String>,
    /// A display name.
    name: Option<String>,
    /// Where the issuer says that they can be written to; of logins only.
    email: Option<String>,
    /// As the token or login says.
    groups: BTreeSet<String>,
    /// Of `viewer`, `approver`, `auditor`, `operator`.
    roles: Vec<&'static str>,
    /// `local`, `token` or `browser`.
    via: &'static str,
    /// Of a login: what the header `x-csrf-token` must have in requests that change something.
    csrf: Option<String>,
    /// Of a login: when it ends at the latest.
    expires_at: Option<String>,
    /// Of a login: when it ends if nothing is done with it.
    idle_expires_at: Option<String>,
    /// The gateway.
    gateway: About,
}

/// The gateway.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct About {
    /// Of the program.
    version: &'static str,
}

/// `GET /me`.
pub(crate) async fn me(Extension(caller): Extension<Arc<Caller>>) -> Response {
    let browser = match &caller.via {
        Via::Browser(browser) => Some(browser),
        Via::Local | Via::Token => None,
    };
    let who = caller.who.as_ref();
    let me = Me {
        identity: caller.by.clone(),
        issuer: who.map(|who| who.issuer.clone()),
        subject: who.map(|who| who.subject.clone()),
        name: who.and_then(|who| who.name.clone()),
        email: browser.and_then(|browser| browser.email.clone()),
        groups: who.map(|who| who.groups.clone()).unwrap_or_default(),
        roles: caller.roles.names(),
        via: caller.via.as_str(),
        csrf: browser.map(|browser| browser.csrf.expose().clone()),
        expires_at: browser.map(|browser| time(browser.until)),
        idle_expires_at: browser.map(|browser| time(browser.idle_until)),
        gateway: About { version: env!("CARGO_PKG_VERSION") },
    };
    axum::Json(me).into_response()
}

//! Who asks, how often, and what they may do; and what every answer carries. Knows no handler.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use model::{Identity, Secret};
use parking_lot::Mutex;
use serde_json::json;
use server::control::Control;

use crate::listen::Peer;

/// For one request, its body included.
const REQUEST: Duration = Duration::from_secs(20);

/// How many wrong tokens an address may show at once, and how soon it may show another.
const WRONG_MAX: f64 = 20.0;
const WRONG_PER_SECOND: f64 = 0.5;
/// Addresses remembered.
const ADDRESSES_MAX: usize = 10_000;
/// Refusals written to the journal, in a minute: whoever sends nonsense must not fill the disk.
const RECORDED_MAX: u32 = 120;

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
}

/// What somebody may do. Each may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// See sessions and blocks.
    Viewer,
    /// See everything.
    Auditor,
    /// End sessions, make and remove blocks.
    Operator,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
        }
    }
}

/// What handlers share.
pub(crate) struct Shared {
    pub(crate) control: Control,
    wrong: Mutex<HashMap<IpAddr, (f64, Instant)>>,
    recorded: Mutex<(Instant, u32)>,
}

pub(crate) type App = Arc<Shared>;

impl Shared {
    pub(crate) fn new(control: Control) -> Self {
        Self { control, wrong: Mutex::default(), recorded: Mutex::new((Instant::now(), 0)) }
    }

    /// Returns by what name the journal knows whoever asks, if they may do that.
    pub(crate) async fn admit(
        &self,
        peer: Peer,
        headers: &HeaderMap,
        act: &'static str,
        needed: Role,
    ) -> Result<String, Response> {
        let address = match peer {
            Peer::Local { uid } => return Ok(format!("local:uid={uid}")),
            Peer::Network(address) => address,
        };
        if !self.may_try(address.ip()) {
            return Err(answer(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens; try again later"));
        }
        let Some(token) = bearer(headers) else { return Err(unauthorized()) };
        let identity = match self.control.admit(&token).await {
            Ok(identity) => identity,
            Err(refusal) => {
                self.tried_wrong(address.ip());
                self.note(act, peer, None, &chain(&refusal));
                return Err(unauthorized());
            }
        };
        match self.role(&identity) {
            Some(role) if role >= needed => Ok(identity.to_string()),
            role => {
                let by = identity.to_string();
                let has = role.map_or("none", Role::as_str);
                self.note(act, peer, Some(&by), &format!("needs {}, has {has}", needed.as_str()));
                Err(answer(StatusCode::FORBIDDEN, &format!("this needs the role {}", needed.as_str())))
            }
        }
    }

    fn role(&self, identity: &Identity) -> Option<Role> {
        let operators = self.control.operators();
        let by_role = [
            (Role::Operator, &operators.operator),
            (Role::Auditor, &operators.auditor),
            (Role::Viewer, &operators.viewer),
        ];
        let is_in =
            |it: &config::IssuerGroup| it.issuer == identity.issuer && identity.groups.contains(&it.group);
        by_role.into_iter().find(|(_, groups)| groups.iter().any(is_in)).map(|(role, _)| role)
    }

    /// Records a refusal, as long as there are not too many of them.
    pub(crate) fn note(&self, act: &'static str, peer: Peer, by: Option<&str>, reason: &str) {
        let client = match peer {
            Peer::Network(address) => Some(address),
            Peer::Local { .. } => None,
        };
        let mut recorded = self.recorded.lock();
        if recorded.0.elapsed() >= Duration::from_secs(60) {
            *recorded = (Instant::now(), 0);
        }
        recorded.1 = recorded.1.saturating_add(1);
        if recorded.1 <= RECORDED_MAX {
            self.control.note_refused(act, client, by, reason);
        } else if recorded.1 == RECORDED_MAX + 1 {
            self.control.note_refused(
                act,
                client,
                None,
                "and more within this minute, which are not recorded",
            );
        }
    }

    fn may_try(&self, address: IpAddr) -> bool {
        let wrong = self.wrong.lock();
        wrong.get(&network(address)).is_none_or(|(count, at)| left(*count, *at) < WRONG_MAX)
    }

    fn tried_wrong(&self, address: IpAddr) {
        let mut wrong = self.wrong.lock();
        if wrong.len() >= ADDRESSES_MAX {
            wrong.retain(|_, (count, at)| left(*count, *at) > 0.0);
        }
        if wrong.len() >= ADDRESSES_MAX {
            // So many at once come from somebody who has addresses to spare: counting them stops nobody.
            wrong.clear();
        }
        let now = Instant::now();
        let (count, at) = wrong.entry(network(address)).or_insert((0.0, now));
        *count = left(*count, *at) + 1.0;
        *at = now;
    }
}

/// What is left of a count after the time since.
fn left(count: f64, at: Instant) -> f64 {
    (count - at.elapsed().as_secs_f64() * WRONG_PER_SECOND).max(0.0)
}

/// One host usually has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

fn bearer(headers: &HeaderMap) -> Option<Secret<String>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    // RFC 7235 2.1: in whatever case.
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim().to_owned()))
}

/// The same for every token that is not believed.
fn unauthorized() -> Response {
    let mut response =
        answer(StatusCode::UNAUTHORIZED, "a bearer token of one of the gateway's issuers is needed");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Makes an answer that says what is wrong.
pub(crate) fn answer(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

/// Writes an error and its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What every answer carries: nothing here is for a browser's eyes, cache or frames.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// Gives a request its time, and its answer what every answer carries.
pub(crate) async fn surround(
    State(transport): State<Transport>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = match tokio::time::timeout(REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => answer(StatusCode::REQUEST_TIMEOUT, "that took too long"),
    };
    tracing::debug!(?peer, path, status = response.status().as_u16(), "HTTP request");
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        // The console's pages say for themselves what a browser may do with them.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if transport == Transport::Tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

//! Who asks: by the local socket, a bearer token, or a browser's login; and what that one may do. Knows no handler.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use model::{Identity, Secret};
use server::control::{Browser, Refusal, Roles};

use crate::cookie;
use crate::guard::{App, Shared, answer, chain};
use crate::listen::Peer;

/// What a route needs of whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// That it is somebody, whose own it shows; a token for a database will do.
    Somebody,
    /// The same, but nobody without a name: what is done is done by a person or an agent.
    Person,
    /// A role.
    Viewer,
    /// A role: requests whole.
    Approver,
    /// A role.
    Auditor,
    /// A role.
    Operator,
}

impl Needs {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Somebody => "somebody",
            Self::Person => "person",
            Self::Viewer => "viewer",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
        }
    }

    /// Returns whether a caller has it. Of approvers: whoever may see requests whole.
    fn are_met(self, caller: &Caller) -> bool {
        match self {
            Self::Somebody => true,
            Self::Person => caller.who.is_some(),
            Self::Viewer => caller.roles.viewer,
            Self::Approver => caller.roles.sees_texts(),
            Self::Auditor => caller.roles.auditor,
            Self::Operator => caller.roles.operator,
        }
    }
}

/// How somebody shows who they are.
#[derive(Clone)]
pub(crate) enum Via {
    /// The local socket.
    Local,
    /// A bearer token.
    Token,
    /// A login.
    Browser(Arc<Browser>),
}

impl Via {
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Token => "token",
            Self::Browser(_) => "browser",
        }
    }
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Caller {
    /// Nobody by name over the local socket.
    pub(crate) who: Option<Identity>,
    /// By what name the journal knows them.
    pub(crate) by: String,
    pub(crate) roles: Roles,
    pub(crate) via: Via,
}

impl Caller {
    fn new(who: Identity, roles: Roles, via: Via) -> Self {
        Self { by: who.to_string(), who: Some(who), roles, via }
    }
}

/// What a route needs, and what it is called in the journal.
#[derive(Clone, Copy)]
pub(crate) struct Gate {
    /// With its variables unfilled.
    pub(crate) path: &'static str,
    pub(crate) act: &'static str,
    pub(crate) needs: Needs,
}

/// Lets through whom a route is for. Every route of the API is behind it.
pub(crate) async fn admit(
    State((app, gate)): State<(App, Gate)>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        // SECURITY: without knowing where it comes from, it might be anybody's.
        return answer(StatusCode::INTERNAL_SERVER_ERROR, "where this comes from can't be told");
    };
    let (began, method) = (Instant::now(), word(request.method()));
    let (answer, roles, parent) = match app.admit(peer, request.method(), request.headers(), gate).await {
        Ok(caller) => {
            // What a stranger says of its trace is not looked at.
            let parent = parent(request.headers());
            let roles = caller.roles.names();
            request.extensions_mut().insert(Arc::new(caller));
            (next.run(request).await, roles, parent)
        }
        Err(refused) => (refused, Vec::new(), None),
    };
    let what = (method, gate.path, answer.status().as_u16());
    app.control.trace_request(what, roles, began.elapsed(), parent.as_deref());
    answer
}

/// Returns a request's method, as OpenTelemetry's conventions have it.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "_OTHER",
    }
}

/// Returns what whoever calls says of its own span.
fn parent(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all("traceparent").iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok().map(str::to_owned)
}

impl Shared {
    async fn admit(
        &self,
        peer: Peer,
        method: &Method,
        headers: &HeaderMap,
        gate: Gate,
    ) -> Result<Caller, Response> {
        let caller = match peer {
            Peer::Local { uid } => {
                Caller { who: None, by: format!("local:uid={uid}"), roles: Roles::LOCAL, via: Via::Local }
            }
            Peer::Network(address) => self.recognise(address, method, headers, gate).await?,
        };
        if !gate.needs.are_met(&caller) {
            let (needs, has) = (gate.needs.as_str(), caller.roles.names().join(", "));
            let has = if has.is_empty() { "none" } else { &has };
            self.note(gate.act, peer, Some(&caller.by), &format!("needs {needs}, has {has}"));
            let why = match gate.needs {
                Needs::Person => {
                    "this is done by somebody with a name: show a token, with GATEPOST_TOKEN".into()
                }
                Needs::Approver => "this needs the role approver or auditor".into(),
                other => format!("this needs the role {}", other.as_str()),
            };
            return Err(answer(StatusCode::FORBIDDEN, &why));
        }
        let acts = !matches!(*method, Method::GET | Method::HEAD);
        let bucket = if acts { &self.acts } else { &self.reads };
        if matches!(peer, Peer::Network(_)) && !bucket.take(caller.by.clone(), Instant::now()) {
            return Err(answer(StatusCode::TOO_MANY_REQUESTS, "that is too much at once; try again later"));
        }
        Ok(caller)
    }

    async fn recognise(
        &self,
        address: SocketAddr,
        method: &Method,
        headers: &HeaderMap,
        gate: Gate,
    ) -> Result<Caller, Response> {
        if self.is_guessing(address.ip()) {
            return Err(answer(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens; try again later"));
        }
        // SECURITY: whoever shows a token is nobody else, whatever cookie a browser adds.
        if headers.contains_key(header::AUTHORIZATION) {
            return self.by_token(address, headers, gate).await;
        }
        let Some(id) = cookie::session(headers, self.cookies()) else { return Err(unauthorized()) };
        let found = self.control.browser(&id).await;
        match found {
            Ok(Some(browser)) => {
                if let Some(why) = self.is_not_ours(method, headers, &browser) {
                    let by = browser.identity.to_string();
                    self.note(gate.act, Peer::Network(address), Some(&by), why);
                    return Err(answer(StatusCode::FORBIDDEN, why));
                }
                let roles = self.control.roles(&browser.identity);
                Ok(Caller::new(browser.identity.clone(), roles, Via::Browser(Arc::new(browser))))
            }
            Ok(None) => {
                self.guessed(address.ip());
                Err(unauthorized())
            }
            Err(error) => {
                tracing::error!(error, "logins can't be looked up");
                Err(answer(StatusCode::SERVICE_UNAVAILABLE, "logins can't be looked up just now"))
            }
        }
    }

    async fn by_token(
        &self,
        address: SocketAddr,
        headers: &HeaderMap,
        gate: Gate,
    ) -> Result<Caller, Response> {
        let Some(token) = bearer(headers) else { return Err(unauthorized()) };
        let refusal = match self.control.admit(&token).await {
            Ok(identity) => {
                let roles = self.control.roles(&identity);
                return Ok(Caller::new(identity, roles, Via::Token));
            }
            Err(refusal @ Refusal::Blocked(_)) => refusal,
            // SECURITY: one that is only for a database gives no role here.
            Err(refusal) if matches!(gate.needs, Needs::Somebody) => {
                match self.control.admit_agent(&token).await {
                    Ok(identity) => return Ok(Caller::new(identity, Roles::default(), Via::Token)),
                    Err(_) => refusal,
                }
            }
            Err(refusal) => refusal,
        };
        self.guessed(address.ip());
        self.note(gate.act, Peer::Network(address), None, &chain(&refusal));
        Err(unauthorized())
    }

    /// SECURITY: a browser adds the cookie to requests that other sites make. What changes something must come from a page of this
    /// gateway: the browser says so, and the page knows the login's token. Says why it doesn't, if so.
    fn is_not_ours(&self, method: &Method, headers: &HeaderMap, browser: &Browser) -> Option<&'static str> {
        if matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        if !cookie::is_same_origin(headers, &self.origins()) {
            return Some("the request is not from a page of this gateway");
        }
        let known = cookie::has_csrf_token(headers, &browser.csrf);
        (!known).then_some("the request has not the login's x-csrf-token")
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
    let mut response = answer(
        StatusCode::UNAUTHORIZED,
        "a login, or a bearer token of one of the gateway's issuers, is needed",
    );
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

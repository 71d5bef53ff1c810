//! The development issuer's HTTP side: discovery, keys, and tokens for whoever asks. Loopback only.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::form_urlencoded;

use super::browser::{self, Codes};
use super::{DevKey, Grant, mint};
use crate::config::is_localhost;
use crate::fetch::chain;

/// The grant type of RFC 8628.
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The longest lifetime that a client may ask for.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What tokens have when the request does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevSettings {
    /// `aud`.
    pub audience: String,
    /// From `iat` to `exp`.
    pub lifetime: Duration,
    /// Groups by subject.
    pub groups: BTreeMap<String, Vec<String>>,
}

/// A development issuer that can't start: the operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum DevIssuerError {
    /// The address is not loopback.
    #[error("development issuer refuses to listen on {0}: it gives anyone any token; use a loopback address")]
    NotLoopback(SocketAddr),
    /// The address is taken, or may not be used.
    #[error("development issuer can't listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A development issuer, listening but not yet answering.
pub struct DevIssuer {
    listener: TcpListener,
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) key: DevKey,
    pub(super) settings: DevSettings,
    pub(super) url: String,
    pub(super) codes: Codes,
}

impl DevIssuer {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`DevIssuerError`]: see there.
    pub async fn bind(
        address: SocketAddr,
        key: DevKey,
        settings: DevSettings,
    ) -> Result<Self, DevIssuerError> {
        if !address.ip().to_canonical().is_loopback() {
            return Err(DevIssuerError::NotLoopback(address));
        }
        let listen = |source| DevIssuerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let url = Self::url_at(listener.local_addr().map_err(listen)?);
        Ok(Self { listener, shared: Arc::new(Shared { key, settings, url, codes: Codes::default() }) })
    }

    /// Returns the issuer URL of a development issuer at an address, which `dev-token` needs without one running.
    pub fn url_at(address: SocketAddr) -> String {
        format!("http://{address}/dev")
    }

    /// Returns the issuer URL, as tokens carry it.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Returns what must be shown before the first token is given.
    pub fn banner(&self) -> String {
        let url = &self.shared.url;
        format!(
            "*** DEVELOPMENT ISSUER: gives anyone on this host a token for any subject and group.\n\
             *** Never trust it in production. Issuer: {url}\n\
             *** Token: curl -d grant_type=client_credentials -d sub=alice -d groups=admins {url}/token\n"
        )
    }

    /// Answers until `shutdown` is ready.
    ///
    /// # Errors
    /// The listener's.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        tracing::warn!(issuer = self.shared.url, "development issuer running; never trust it in production");
        let router = Router::new()
            .route("/dev/.well-known/openid-configuration", get(discovery))
            .route("/dev/jwks", get(jwks))
            .route("/dev/token", post(token))
            .route("/dev/device", post(device).get(device_page))
            .layer(middleware::from_fn(refuse_browsers))
            .route("/dev/authorize", get(browser::page).post(browser::authorize))
            .with_state(self.shared);
        axum::serve(self.listener, router).with_graceful_shutdown(shutdown).await
    }
}

impl fmt::Debug for DevIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevIssuer").field("url", &self.shared.url).finish_non_exhaustive()
    }
}

/// SECURITY: a page in a browser on this host can reach loopback too, directly or by DNS rebinding. The first sends
/// `Origin` or `Sec-Fetch-Site`, the second another `Host`.
async fn refuse_browsers(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let foreign = headers.contains_key(header::ORIGIN)
        || headers.get("sec-fetch-site").is_some_and(|site| site != "none")
        || !is_loopback_authority(host);
    if foreign {
        return (StatusCode::FORBIDDEN, "the development issuer serves local programs only\n")
            .into_response();
    }
    next.run(request).await
}

pub(super) fn is_loopback_authority(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => is_localhost(host),
    }
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let url = &shared.url;
    Json(json!({
        "issuer": url,
        "jwks_uri": format!("{url}/jwks"),
        "token_endpoint": format!("{url}/token"),
        "authorization_endpoint": format!("{url}/authorize"),
        "authorization_response_iss_parameter_supported": true,
        "code_challenge_methods_supported": ["S256"],
        "device_authorization_endpoint": format!("{url}/device"),
        "grant_types_supported": ["authorization_code", "client_credentials", DEVICE_GRANT],
        "scopes_supported": ["openid", "profile"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}

async fn jwks(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(shared.key.key_set())
}

/// RFC 8628 3.2, approved as soon as it is asked for; libpq's own OAuth flow needs it.
async fn device(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let form = Form::read(&body);
    match form.client(&headers) {
        Some(client) => Json(json!({
            // Nothing is kept: the code is the client's name, which is all that a client has here.
            "device_code": client,
            "user_code": "DEV-ONLY",
            "verification_uri": format!("{}/device", shared.url),
            "expires_in": 300,
            "interval": 1,
        }))
        .into_response(),
        None => refusal("invalid_client", "name a client_id"),
    }
}

async fn device_page() -> &'static str {
    "development issuer: every device is approved already; nothing to do here\n"
}

async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let form = Form::read(&body);
    let subject = match form.one("grant_type") {
        Some("client_credentials") => form.one("sub").map(str::to_owned).or_else(|| form.client(&headers)),
        Some(DEVICE_GRANT) => form.one("device_code").map(str::to_owned),
        Some("authorization_code") => return browser::exchange(&shared, &headers, &form),
        _ => return refusal("unsupported_grant_type", "use client_credentials"),
    };
    let Some(subject) = subject.filter(|it| !it.is_empty()) else {
        return refusal("invalid_request", "name a sub or a client_id");
    };
    let lifetime =
        match form.one("lifetime").map(str::parse).unwrap_or(Ok(shared.settings.lifetime.as_secs())) {
            Ok(seconds) if (1..=LIFETIME_MAX.as_secs()).contains(&seconds) => Duration::from_secs(seconds),
            _ => return refusal("invalid_request", "lifetime must be from 1 to 86400 seconds"),
        };
    let mut groups = form.words("groups");
    if groups.is_empty() {
        groups = shared.settings.groups.get(&subject).cloned().unwrap_or_default();
    }
    let mut audiences = form.all("audience");
    audiences.extend(form.all("resource"));
    if audiences.is_empty() {
        audiences.push(shared.settings.audience.clone());
    }
    let name = form.one("name").map(str::to_owned);
    let grant = Grant { subject, audiences, groups, name, lifetime, further: serde_json::Map::new() };
    match mint(&shared.key, &shared.url, &grant, SystemTime::now()) {
        Ok(token) => {
            let body = json!({
                "access_token": token.expose(), "token_type": "Bearer", "expires_in": lifetime.as_secs(),
            });
            ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
        Err(error) => {
            tracing::error!(error = %chain(&error), "development token not signed");
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "server_error" }))).into_response()
        }
    }
}

/// RFC 6749 5.2.
pub(super) fn refusal(error: &str, description: &str) -> Response {
    let body = json!({ "error": error, "error_description": description });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// The fields of a form, in order.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn read(body: &str) -> Self {
        Self(form_urlencoded::parse(body.as_bytes()).into_owned().collect())
    }

    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(it, _)| it == name).map(|(_, value)| value.clone()).collect()
    }

    /// Returns a field that may be repeated, or hold several values separated by commas.
    pub(super) fn words(&self, name: &str) -> Vec<String> {
        let all = self.all(name);
        let words = all.iter().flat_map(|value| value.split(',')).map(str::trim).filter(|it| !it.is_empty());
        words.map(str::to_owned).collect()
    }

    /// Returns who asks: `client_id`, or the user of HTTP basic authentication (RFC 6749 2.3.1). Its secret is ignored.
    pub(super) fn client(&self, headers: &HeaderMap) -> Option<String> {
        if let Some(client) = self.one("client_id") {
            return Some(client.to_owned());
        }
        let basic = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
        let decoded = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
        let (client, _secret) = decoded.split_once(':')?;
        form_urlencoded::parse(client.as_bytes()).next().map(|(name, _)| name.into_owned())
    }
}

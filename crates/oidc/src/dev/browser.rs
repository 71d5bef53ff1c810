//! The development issuer's login page: authorization code with PKCE (RFC 6749 4.1, RFC 7636), for trying the console.
//!
//! Whoever opens the page types who they want to be. SECURITY: what a page elsewhere may do is to send the browser here, where a person
//! sees a form; only the form itself can send it off, and a code goes to loopback alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::serve::{Form, Shared, is_loopback_authority, refusal};
use super::{Grant, mint, mint_id_token, token_id};
use crate::fetch::chain;

/// For the way from the page to the token endpoint.
const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// Codes that nobody has fetched a token for.
const CODES_MAX: usize = 1000;

/// What codes stand for, each until it is used.
#[derive(Default)]
pub(super) struct Codes(Mutex<HashMap<String, (Login, Instant)>>);

/// What somebody typed, and for whom.
struct Login {
    client: String,
    redirect: String,
    challenge: String,
    nonce: Option<String>,
    subject: String,
    name: Option<String>,
    groups: Vec<String>,
}

/// What a client asks for: the query of an authorization request, also carried by the form.
struct Request {
    client: String,
    redirect: Url,
    challenge: String,
    state: Option<String>,
    nonce: Option<String>,
}

impl Request {
    fn read(form: &Form) -> Result<Self, &'static str> {
        let redirect = form.one("redirect_uri").ok_or("name a redirect_uri")?;
        let redirect = Url::parse(redirect).map_err(|_| "redirect_uri is no URL")?;
        if redirect.scheme() != "http" && redirect.scheme() != "https"
            || !is_loopback_authority(redirect.authority())
            || redirect.fragment().is_some()
        {
            return Err("redirect_uri must lead to a loopback address");
        }
        if form.one("response_type") != Some("code") {
            return Err("response_type must be code");
        }
        let challenge = form.one("code_challenge").filter(|it| !it.is_empty());
        let (Some(challenge), Some("S256")) = (challenge, form.one("code_challenge_method")) else {
            return Err("a code_challenge with code_challenge_method=S256 is needed (PKCE)");
        };
        let client = form.one("client_id").filter(|it| !it.is_empty()).ok_or("name a client_id")?;
        let own = |name: &str| form.one(name).map(str::to_owned);
        Ok(Self {
            client: client.to_owned(),
            redirect,
            challenge: challenge.to_owned(),
            state: own("state"),
            nonce: own("nonce"),
        })
    }
}

/// Shows the form.
pub(super) async fn page(RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let form = Form::read(query.as_deref().unwrap_or_default());
    let request = match Request::read(&form) {
        _ if !asked_by_its_own_name(&headers) => return foreign(),
        Ok(request) => request,
        Err(why) => return (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
    };
    let hidden = |name: &str, value: &str| {
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value))
    };
    let mut fields = hidden("client_id", &request.client);
    fields.push_str(&hidden("redirect_uri", request.redirect.as_str()));
    fields.push_str(&hidden("response_type", "code"));
    fields.push_str(&hidden("code_challenge", &request.challenge));
    fields.push_str(&hidden("code_challenge_method", "S256"));
    for (name, value) in [("state", &request.state), ("nonce", &request.nonce)] {
        fields.push_str(&value.as_ref().map(|value| hidden(name, value)).unwrap_or_default());
    }
    let page = PAGE.replace("{client}", &escaped(&request.client)).replace("{fields}", &fields);
    let mut response = Html(page).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // No form-action: browsers apply it to where the answer leads as well.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// Takes the form, and sends the browser back with a code.
pub(super) async fn authorize(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let own = Url::parse(&shared.url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let origin = headers.get(header::ORIGIN).and_then(|it| it.to_str().ok());
    if !asked_by_its_own_name(&headers) || origin.is_some_and(|origin| origin != own) {
        return foreign();
    }
    let form = Form::read(&body);
    let request = match Request::read(&form) {
        Ok(request) => request,
        Err(why) => return refusal("invalid_request", why),
    };
    let subject = form.one("sub").map(str::trim).filter(|it| !it.is_empty());
    let Some(subject) = subject else { return refusal("invalid_request", "name a sub") };
    let mut groups = form.words("groups");
    if groups.is_empty() {
        groups = shared.settings.groups.get(subject).cloned().unwrap_or_default();
    }
    let name = form.one("name").map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned);
    let login = Login {
        client: request.client,
        redirect: request.redirect.as_str().to_owned(),
        challenge: request.challenge,
        nonce: request.nonce,
        subject: subject.to_owned(),
        name,
        groups,
    };
    let code = format!("{}{}", token_id(), token_id());
    let now = Instant::now();
    {
        let mut codes = shared.codes.0.lock();
        codes.retain(|_, (_, until)| *until > now);
        if codes.len() >= CODES_MAX {
            return refusal("temporarily_unavailable", "too many logins at once");
        }
        codes.insert(code.clone(), (login, now + CODE_LIFETIME));
    }
    let mut back = request.redirect;
    back.query_pairs_mut().append_pair("code", &code).append_pair("iss", &shared.url);
    if let Some(state) = &request.state {
        back.query_pairs_mut().append_pair("state", state);
    }
    let Ok(back) = HeaderValue::from_str(back.as_str()) else {
        return refusal("invalid_request", "redirect_uri can't be followed");
    };
    (StatusCode::SEE_OTHER, [(header::LOCATION, back)]).into_response()
}

/// Gives tokens for a code (RFC 6749 4.1.3), once.
pub(super) fn exchange(shared: &Shared, headers: &HeaderMap, form: &Form) -> Response {
    let wrong = |why| refusal("invalid_grant", why);
    let Some(code) = form.one("code") else { return refusal("invalid_request", "name a code") };
    let Some((login, until)) = shared.codes.0.lock().remove(code) else { return wrong("no such code") };
    if until <= Instant::now() {
        return wrong("the code has expired");
    }
    if form.client(headers).as_deref() != Some(&login.client) {
        return wrong("the code was given to another client");
    }
    if form.one("redirect_uri") != Some(&login.redirect) {
        return wrong("redirect_uri is another than it was");
    }
    let verifier = form.one("code_verifier").unwrap_or_default();
    if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != login.challenge {
        return wrong("code_verifier does not fit the code_challenge");
    }
    let lifetime = shared.settings.lifetime;
    let mut further = Map::new();
    if let Some(nonce) = login.nonce {
        further.insert("nonce".to_owned(), Value::from(nonce));
    }
    let id = Grant {
        subject: login.subject,
        audiences: vec![login.client],
        groups: login.groups,
        name: login.name,
        lifetime,
        further,
    };
    let access =
        Grant { audiences: vec![shared.settings.audience.clone()], further: Map::new(), ..id.clone() };
    let now = SystemTime::now();
    let tokens = mint_id_token(&shared.key, &shared.url, &id, now)
        .and_then(|id| Ok((id, mint(&shared.key, &shared.url, &access, now)?)));
    match tokens {
        Ok((id, access)) => {
            let body = json!({
                "access_token": access.expose(), "id_token": id.expose(), "token_type": "Bearer",
                "expires_in": lifetime.as_secs(), "scope": "openid profile",
            });
            ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
        Err(error) => {
            tracing::error!(error = %chain(&error), "development tokens not signed");
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "server_error" }))).into_response()
        }
    }
}

/// SECURITY: by DNS rebinding a page elsewhere could read this one under its own name.
fn asked_by_its_own_name(headers: &HeaderMap) -> bool {
    headers.get(header::HOST).and_then(|it| it.to_str().ok()).is_some_and(is_loopback_authority)
}

fn foreign() -> Response {
    (StatusCode::FORBIDDEN, "the development issuer serves this host only\n").into_response()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Development issuer</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
main { max-width: 24rem; margin: 12vh auto; padding: 0 1rem }
h1 { font-size: 1.25rem }
label { display: block; margin: 1rem 0 .25rem }
input, button { font: inherit; width: 100%; box-sizing: border-box; padding: .6rem .7rem; border-radius: .4rem; border: 1px solid #8888 }
button { margin-top: 1.5rem; background: #1a4b8c; color: #fff; border: 0; cursor: pointer }
p { color: light-dark(#555, #aaa) }
</style>
<main>
<h1>Development issuer</h1>
<p>Whoever you say you are is who {client} will think you are. For trying out, never for production.</p>
<form method="post" action="/dev/authorize">
{fields}
<label for="sub">Name</label>
<input id="sub" name="sub" required autofocus autocomplete="off" placeholder="grace">
<label for="groups">Groups, with commas between</label>
<input id="groups" name="groups" autocomplete="off" placeholder="support-leads">
<button>Log in</button>
</form>
</main>
"#;

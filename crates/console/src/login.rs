//! `/login`, `/login/callback` and `/logout`: a browser's way to the issuer and back. Knows redirects and cookies, not what makes
//! somebody believable.

use std::time::Instant;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use server::control::{LoginRefused, Returned};

use crate::cookie;
use crate::guard::{App, answer, chain};
use crate::listen::Peer;

/// The longest path that a browser wants to come back to.
const TO_BYTES_MAX: usize = 1024;

/// What `/login` is asked with.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Begin {
    /// A path of the console, to come back to.
    to: Option<String>,
}

/// What the issuer sends a browser back with.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Back {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// `GET /login`: sends the browser to the issuer.
pub(crate) async fn begin(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Query(asked): Query<Begin>,
) -> Response {
    let Peer::Network(address) = peer else {
        return answer(StatusCode::FORBIDDEN, "nobody logs in over the local socket");
    };
    // Each costs a place in the store.
    if app.is_guessing(address.ip()) || !app.logins.take(crate::guard::network(address.ip()), Instant::now())
    {
        return answer(StatusCode::TOO_MANY_REQUESTS, "too many logins; try again later");
    }
    match app.control.begin_login(asked.to.as_deref().map_or("/", local)).await {
        Ok(begun) => {
            let cookie = app.cookies().set_login(&begun.secret, begun.seconds);
            redirect(&begun.url, [cookie])
        }
        Err(refused) => failed(&app, peer, &refused),
    }
}

/// `GET /login/callback`: the browser comes back from the issuer.
pub(crate) async fn callback(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Query(back): Query<Back>,
    headers: HeaderMap,
) -> Response {
    let Peer::Network(address) = peer else {
        return answer(StatusCode::FORBIDDEN, "nobody logs in over the local socket");
    };
    if app.is_guessing(address.ip()) {
        return answer(StatusCode::TOO_MANY_REQUESTS, "too many wrong logins; try again later");
    }
    let cookies = app.cookies();
    let (secret, earlier) = (cookie::login(&headers, cookies), cookie::session(&headers, cookies));
    let returned = Returned {
        state: back.state.as_deref().unwrap_or_default(),
        code: back.code.as_deref(),
        error: back.error.as_deref(),
        iss: back.iss.as_deref(),
        secret: secret.as_ref(),
        earlier: earlier.as_ref(),
    };
    match app.control.finish_login(returned, Some(address)).await {
        Ok(login) => {
            let session = cookies.set_session(&login.id, login.seconds);
            if session.is_none() {
                return answer(StatusCode::INTERNAL_SERVER_ERROR, "the login can't be told to the browser");
            }
            // Again, since it was kept in between.
            redirect(local(&login.to), [session, cookies.clear_login()])
        }
        Err(refused) => {
            if !matches!(refused, LoginRefused::Denied(_)) {
                app.guessed(address.ip());
            }
            let mut response = failed(&app, peer, &refused);
            if let Some(cookie) = cookies.clear_login() {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
    }
}

/// What `/logout` answers with.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LoggedOut {
    logged_out: bool,
}

/// `POST /logout`: ends the login that the browser shows.
pub(crate) async fn end(State(app): State<App>, headers: HeaderMap) -> Response {
    let cookies = app.cookies();
    let Some(id) = cookie::session(&headers, cookies) else {
        return with_cookie(Json(LoggedOut { logged_out: false }).into_response(), cookies.clear_session());
    };
    let browser = match app.control.browser(&id).await {
        Ok(Some(browser)) => browser,
        Ok(None) => {
            let response = Json(LoggedOut { logged_out: false }).into_response();
            return with_cookie(response, cookies.clear_session());
        }
        Err(error) => {
            tracing::error!(error, "logins can't be looked up");
            return answer(StatusCode::SERVICE_UNAVAILABLE, "logins can't be looked up just now");
        }
    };
    // SECURITY: else any site could log people out.
    if !cookie::is_same_origin(&headers, &app.origins()) || !cookie::has_csrf_token(&headers, &browser.csrf) {
        return answer(StatusCode::FORBIDDEN, "the request is not from a page of this gateway");
    }
    match app.control.log_out(&browser).await {
        Ok(()) => with_cookie(Json(LoggedOut { logged_out: true }).into_response(), cookies.clear_session()),
        Err(error) => {
            tracing::error!(error, "a login can't be ended");
            answer(StatusCode::SERVICE_UNAVAILABLE, "the login can't be ended just now")
        }
    }
}

/// Sends the browser to a page that says in words what became of it. Why is for operators.
fn failed(app: &App, peer: Peer, refused: &LoginRefused) -> Response {
    let why = chain(refused);
    let by = match refused {
        LoginRefused::Blocked { by, .. } | LoginRefused::NoRole(by) => Some(by.as_str()),
        _ => None,
    };
    app.note("log in", peer, by, &why);
    let word = match refused {
        LoginRefused::NotOffered => {
            return answer(StatusCode::NOT_FOUND, "nobody logs in here with a browser");
        }
        LoginRefused::Unknown(_) => "expired",
        LoginRefused::Blocked { .. } | LoginRefused::NoRole(_) => "forbidden",
        LoginRefused::Unkept(_) | LoginRefused::Unrecorded(_) => "unavailable",
        LoginRefused::Code(error) if error.is_unavailable() => "unavailable",
        LoginRefused::Denied(_) | LoginRefused::Code(_) => "failed",
    };
    redirect(&format!("/?login={word}"), [])
}

/// Returns the path if it is one of this gateway's, else the start page.
///
/// SECURITY: `//host`, `/\host`, and either with tabs or line ends within it, are other sites to a browser (WHATWG URL, 4.4).
fn local(to: &str) -> &str {
    let good = to.len() <= TO_BYTES_MAX
        && to.starts_with('/')
        && !to.starts_with("//")
        && to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if good { to } else { "/" }
}

fn redirect<const N: usize>(to: &str, cookies: [Option<HeaderValue>; N]) -> Response {
    let Ok(location) = HeaderValue::try_from(to) else {
        return answer(StatusCode::INTERNAL_SERVER_ERROR, "the browser can't be sent on");
    };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn a_login_leads_back_to_this_gateway_only() {
        for good in ["/", "/approvals/17", "/audit?since=1h&q=a%20b#top", "/a//b", "/@evil.example"] {
            assert_eq!(local(good), good);
        }
        let long = format!("/{}", "a".repeat(2000));
        for bad in [
            "",
            "approvals",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/a\r\nSet-Cookie: x=y",
            "https://evil.example",
            "javascript:alert(1)",
            "/a b",
            "/é",
            " //evil.example",
            &long,
        ] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
    }
}

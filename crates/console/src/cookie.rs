//! Cookies, and whether a request comes from a page of this gateway. Knows no login.

use http::{HeaderMap, HeaderValue, header};
use model::Secret;
use subtle::ConstantTimeEq as _;

/// Which names and attributes cookies have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookies {
    /// Over TLS: names that a browser takes from this host alone, and only with `Secure` (RFC 6265bis, `__Host-`).
    Secure,
    /// On loopback without TLS, where browsers take neither.
    Plain,
}

impl Cookies {
    const fn session(self) -> &'static str {
        match self {
            Self::Secure => "__Host-gatepost",
            Self::Plain => "gatepost",
        }
    }

    const fn login(self) -> &'static str {
        match self {
            Self::Secure => "__Host-gatepost-login",
            Self::Plain => "gatepost-login",
        }
    }

    /// A cookie's value is ours: letters, digits, `-` and `_`.
    fn set(self, name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
        let secure = match self {
            Self::Secure => "; Secure",
            Self::Plain => "",
        };
        let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(text).ok()
    }

    /// For a login.
    pub(crate) fn set_session(self, id: &Secret<String>, seconds: u64) -> Option<HeaderValue> {
        self.set(self.session(), id.expose(), seconds)
    }

    /// For the time until the browser comes back from the issuer.
    pub(crate) fn set_login(self, secret: &Secret<String>, seconds: u64) -> Option<HeaderValue> {
        self.set(self.login(), secret.expose(), seconds)
    }

    pub(crate) fn clear_session(self) -> Option<HeaderValue> {
        self.set(self.session(), "", 0)
    }

    pub(crate) fn clear_login(self) -> Option<HeaderValue> {
        self.set(self.login(), "", 0)
    }
}

/// Returns the id of the browser's login, if it sends one.
pub(crate) fn session(headers: &HeaderMap, cookies: Cookies) -> Option<Secret<String>> {
    only(headers, cookies.session())
}

/// Returns what the browser was given when its login began.
pub(crate) fn login(headers: &HeaderMap, cookies: Cookies) -> Option<Secret<String>> {
    only(headers, cookies.login())
}

/// SECURITY: two of one name may be one of ours and one that somebody slipped in.
fn only(headers: &HeaderMap, name: &str) -> Option<Secret<String>> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => Some(Secret::new(value.to_owned())),
        _ => None,
    }
}

/// Returns whether the browser says that the request comes from a page of one of these origins. One that says nothing is none of
/// today's, or no browser.
pub(crate) fn is_same_origin(headers: &HeaderMap, origins: &[String]) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    match text("origin") {
        Some(origin) => site && origins.iter().any(|own| own == origin),
        None => site && text("sec-fetch-site").is_some(),
    }
}

/// Returns whether the request has the login's token, which other sites can't read.
pub(crate) fn has_csrf_token(headers: &HeaderMap, token: &Secret<String>) -> bool {
    let found = headers.get("x-csrf-token").map(HeaderValue::as_bytes).unwrap_or_default();
    !found.is_empty() && bool::from(found.ct_eq(token.expose().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_cookie_is_taken_if_there_is_one_of_its_name() {
        let found = |pairs: &[(&'static str, &str)]| {
            session(&headers(pairs), Cookies::Secure).map(|id| id.expose().clone())
        };
        assert_eq!(found(&[("cookie", "a=b; __Host-gatepost=x-1; c=d")]).as_deref(), Some("x-1"));
        assert_eq!(found(&[("cookie", "gatepost=x")]), None, "the name that TLS does without");
        assert_eq!(found(&[("cookie", "__Host-gatepost=")]), None);
        assert_eq!(found(&[("cookie", "__Host-gatepost=x; __Host-gatepost=y")]), None);
        assert_eq!(found(&[("cookie", "__Host-gatepost=x"), ("cookie", "__Host-gatepost=x")]), None);
        assert_eq!(found(&[("cookie", "__host-gatepost=x")]), None, "names are compared by their case");
        assert_eq!(found(&[("cookie", "x__Host-gatepost=x")]), None);
    }

    #[test]
    fn a_secure_cookie_has_all_that_its_name_promises() {
        let cookie = Cookies::Secure.set_session(&Secret::new("id".to_owned()), 60).unwrap();
        assert_eq!(
            cookie.to_str().unwrap(),
            "__Host-gatepost=id; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
        );
    }

    #[test]
    fn only_what_a_browser_says_to_be_of_this_origin_is() {
        let own = ["https://gate.example".to_owned()];
        for (pairs, expected) in [
            (&[("origin", "https://gate.example"), ("sec-fetch-site", "same-origin")][..], true),
            (&[("origin", "https://gate.example")], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[], false),
            (&[("origin", "null")], false),
            (&[("origin", "http://gate.example")], false),
            (&[("origin", "https://gate.example.evil.example")], false),
            (&[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")], false),
            (&[("origin", "https://gate.example"), ("sec-fetch-site", "cross-site")], false),
            (&[("origin", "https://gate.example"), ("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], false),
        ] {
            assert_eq!(is_same_origin(&headers(pairs), &own), expected, "{pairs:?}");
        }
    }
}

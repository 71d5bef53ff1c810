//! SASL OAUTHBEARER, the server's side (RFC 7628), as PostgreSQL 18 speaks it (libpq/auth-oauth.c).
//!
//! Reads the client's message and writes the failure challenge. Knows nothing of what is in a token: that is `identity`'s.

use model::Secret;
use thiserror::Error;

use crate::frontend::AUTHENTICATION_BYTES_MAX;
use crate::sqlstate::{self, SqlState};

/// The mechanism's name (`OAUTHBEARER_NAME`, common/oauth-common.h).
pub const OAUTHBEARER: &str = "OAUTHBEARER";

/// The separator of key/value pairs, `kvsep` (RFC 7628, section 3.1).
const KVSEP: u8 = 0x01;

/// The scheme of the `auth` value; case is ignored (RFC 7628, section 3.1; RFC 6750, section 2.1).
const BEARER: &str = "Bearer ";

/// The client's initial response.
pub struct Initial {
    /// Whom the client wants to act as. PostgreSQL refuses any (`oauth_exchange`, auth-oauth.c), so should we.
    pub authzid: Option<String>,
    /// The token; empty if the client only asks where to get one.
    pub token: Secret<String>,
}

impl Initial {
    /// Returns whether the client sent no token and expects [`failure`], to learn the issuer from it.
    pub fn is_discovery(&self) -> bool {
        self.token.expose().is_empty()
    }
}

/// Why an initial response is refused; the client's fault. None repeats what was sent: it may hold a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OAuthBearerError {
    /// Nothing was sent.
    #[error("malformed OAUTHBEARER message: it is empty")]
    Empty,
    /// More was sent than a token has any reason to be.
    #[error("malformed OAUTHBEARER message: {0} bytes, more than the {AUTHENTICATION_BYTES_MAX} allowed")]
    TooLong(usize),
    /// The client wants channel binding, which OAUTHBEARER hasn't.
    #[error("malformed OAUTHBEARER message: channel binding is not supported with it")]
    ChannelBinding,
    /// The GS2 header is not `n,,` or `y,,` with an optional authorization identity.
    #[error("malformed OAUTHBEARER message: invalid GS2 header")]
    Gs2Header,
    /// A pair has no end, no `=`, or bytes that keys and values may not have.
    #[error("malformed OAUTHBEARER message: invalid key/value pair")]
    KeyValue,
    /// The list of pairs has no end, or something follows it.
    #[error("malformed OAUTHBEARER message: no final terminator, or data after it")]
    Terminator,
    /// There is no `auth`, or more than one.
    #[error("malformed OAUTHBEARER message: it must contain one auth value")]
    Auth,
    /// The `auth` value is not a bearer token. Answered with [`failure`], not as a broken protocol.
    #[error("OAUTHBEARER authentication failed: the auth value is not a well-formed bearer token")]
    Token,
}

impl OAuthBearerError {
    /// Returns the SQLSTATE with which PostgreSQL ends such an authentication.
    pub const fn sqlstate(self) -> SqlState {
        match self {
            Self::Token => sqlstate::INVALID_AUTHORIZATION_SPECIFICATION,
            Self::Empty
            | Self::TooLong(_)
            | Self::ChannelBinding
            | Self::Gs2Header
            | Self::KeyValue
            | Self::Terminator
            | Self::Auth => sqlstate::PROTOCOL_VIOLATION,
        }
    }
}

/// Reads the client's initial response: `gs2-header kvsep *(key "=" value kvsep) kvsep` (RFC 7628, section 3.1).
///
/// Keys other than `auth` are checked and ignored, as the RFC says.
///
/// # Errors
/// See [`OAuthBearerError`]; after [`OAuthBearerError::Token`] send [`failure`], after any other end the session.
pub fn parse_initial(response: &[u8]) -> Result<Initial, OAuthBearerError> {
    if response.is_empty() {
        return Err(OAuthBearerError::Empty);
    }
    if response.len() > AUTHENTICATION_BYTES_MAX {
        return Err(OAuthBearerError::TooLong(response.len()));
    }
    let (authzid, mut rest) = gs2_header(response)?;
    let mut auth = None;
    loop {
        let end = rest.iter().position(|byte| *byte == KVSEP).ok_or(OAuthBearerError::Terminator)?;
        let (pair, after) = rest.split_at_checked(end).ok_or(OAuthBearerError::Terminator)?;
        rest = after.get(1..).unwrap_or_default();
        if pair.is_empty() {
            break;
        }
        let (key, value) = key_value(pair)?;
        if key == "auth" && auth.replace(value).is_some() {
            return Err(OAuthBearerError::Auth);
        }
    }
    if !rest.is_empty() {
        return Err(OAuthBearerError::Terminator);
    }
    let token = bearer(auth.ok_or(OAuthBearerError::Auth)?)?;
    Ok(Initial { authzid, token: Secret::new(token.to_owned()) })
}

/// Takes `n,[a=authzid],kvsep` or the same with `y`, and returns what follows.
fn gs2_header(response: &[u8]) -> Result<(Option<String>, &[u8]), OAuthBearerError> {
    let rest = match response {
        [b'p', ..] => return Err(OAuthBearerError::ChannelBinding),
        [b'n' | b'y', b',', rest @ ..] => rest,
        _ => return Err(OAuthBearerError::Gs2Header),
    };
    let comma = rest.iter().position(|byte| *byte == b',').ok_or(OAuthBearerError::Gs2Header)?;
    let (authzid, rest) = rest.split_at_checked(comma).ok_or(OAuthBearerError::Gs2Header)?;
    let [b',', KVSEP, pairs @ ..] = rest else { return Err(OAuthBearerError::Gs2Header) };
    if authzid.is_empty() {
        return Ok((None, pairs));
    }
    let name = authzid.strip_prefix(b"a=").and_then(sasl_name).ok_or(OAuthBearerError::Gs2Header)?;
    Ok((Some(name), pairs))
}

/// Reads a `saslname`: UTF-8 without NUL and controls, `,` and `=` written as `=2C` and `=3D` (RFC 5801, section 4).
fn sasl_name(name: &[u8]) -> Option<String> {
    let name =
        std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.contains(char::is_control))?;
    let mut parts = name.split('=');
    let mut decoded = parts.next()?.to_owned();
    for part in parts {
        if let Some(rest) = part.strip_prefix("2C") {
            decoded.push(',');
            decoded.push_str(rest);
        } else {
            decoded.push('=');
            decoded.push_str(part.strip_prefix("3D")?);
        }
    }
    Some(decoded)
}

/// Splits `key=value`; keys are letters, values are printable ASCII, spaces, tabs and line ends (RFC 7628, section 3.1).
fn key_value(pair: &[u8]) -> Result<(&str, &str), OAuthBearerError> {
    let text = std::str::from_utf8(pair).map_err(|_| OAuthBearerError::KeyValue)?;
    let (key, value) = text.split_once('=').ok_or(OAuthBearerError::KeyValue)?;
    let key_is_good = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic());
    let value_is_good = value.bytes().all(|byte| matches!(byte, 0x21..=0x7e | b' ' | b'\t' | b'\r' | b'\n'));
    if key_is_good && value_is_good { Ok((key, value)) } else { Err(OAuthBearerError::KeyValue) }
}

/// Takes the token out of `Bearer token`, which is `b64token` of RFC 6750, section 2.1; nothing out of nothing.
fn bearer(auth: &str) -> Result<&str, OAuthBearerError> {
    if auth.is_empty() {
        return Ok(auth);
    }
    let (scheme, token) = auth.split_at_checked(BEARER.len()).ok_or(OAuthBearerError::Token)?;
    let token = token.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let body_is_good = !body.is_empty()
        && body.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        });
    if scheme.eq_ignore_ascii_case(BEARER) && body_is_good { Ok(token) } else { Err(OAuthBearerError::Token) }
}

/// Returns whether this is the one answer that a client may give to [`failure`] (RFC 7628, section 3.2.3).
pub fn is_dummy_response(response: &[u8]) -> bool {
    response == [KVSEP]
}

/// The `status` of [`failure`] that PostgreSQL sends for every refused token and for discovery.
pub const INVALID_TOKEN: &str = "invalid_token";

/// Builds the challenge that refuses a token or answers a discovery, as JSON (RFC 7628, section 3.2.2).
///
/// libpq needs `openid_configuration` and, unless its user gave one, takes `scope` from here.
pub fn failure(status: &str, scope: Option<&str>, openid_configuration: Option<&str>) -> Vec<u8> {
    let mut json = String::from("{ ");
    let members = [
        Some(("status", status)),
        openid_configuration.map(|url| ("openid-configuration", url)),
        scope.map(|scope| ("scope", scope)),
    ];
    for (i, (name, value)) in members.into_iter().flatten().enumerate() {
        if i > 0 {
            json.push_str(", ");
        }
        json.push_str(&format!("\"{name}\": "));
        json_string(&mut json, value);
    }
    json.push_str(" }");
    json.into_bytes()
}

/// Returns where an issuer's OpenID configuration is: its URL as it is if it already says so (`generate_error_response`,
/// auth-oauth.c), else with the path of OpenID Connect Discovery, section 4.
pub fn openid_configuration(issuer: &str) -> String {
    const PATH: &str = "/.well-known/";
    if issuer.contains(PATH) {
        issuer.to_owned()
    } else {
        format!("{}{PATH}openid-configuration", issuer.trim_end_matches('/'))
    }
}

/// Appends a JSON string (RFC 8259, section 7).
fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..='\x1f' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(response: &[u8], expected: Result<(Option<&str>, &str), OAuthBearerError>) {
        let parsed = parse_initial(response);
        let parsed = parsed.as_ref().map(|i| (i.authzid.as_deref(), i.token.expose().as_str()));
        assert_eq!(parsed.map_err(|e| *e), expected, "{}", response.escape_ascii());
    }

    #[test]
    fn rfc_7628_example() {
        check(
            b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
              auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
            Ok((Some("user@example.com"), "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")),
        );
    }

    #[test]
    fn libpq_sends_no_authzid() {
        check(b"n,,\x01auth=Bearer a.b-c_d\x01\x01", Ok((None, "a.b-c_d")));
        check(b"y,,\x01auth=bEARER   t\x01\x01", Ok((None, "t")));
        check(b"n,,\x01x=\x01auth=Bearer t\x01y= \t\r\n~\x01\x01", Ok((None, "t")));
    }

    #[test]
    fn empty_auth_is_discovery() {
        let initial = parse_initial(b"n,,\x01auth=\x01\x01").unwrap();
        assert!(initial.is_discovery());
        assert!(!parse_initial(b"n,,\x01auth=Bearer t\x01\x01").unwrap().is_discovery());
    }

    #[test]
    fn authzid_is_unescaped() {
        check(b"n,a=a=2Cb=3Dc,\x01auth=\x01\x01", Ok((Some("a,b=c"), "")));
        for bad in ["a=", "a", "b=x", "a=x=", "a=x=2c", "a=x=4", "a=\u{7f}", "a=\n"] {
            check(format!("n,{bad},\x01auth=\x01\x01").as_bytes(), Err(OAuthBearerError::Gs2Header));
        }
        check(b"n,a=\xff,\x01auth=\x01\x01", Err(OAuthBearerError::Gs2Header));
    }

    #[test]
    fn malformed_messages_are_refused() {
        use OAuthBearerError::*;
        check(b"", Err(Empty));
        check(b"p=tls-exporter,,\x01auth=\x01\x01", Err(ChannelBinding));
        for bad in
            [&b"n"[..], b"n,", b"n,,", b"n,,auth=\x01\x01", b"N,,\x01auth=\x01\x01", b"\x01", b"n\x01,,"]
        {
            check(bad, Err(Gs2Header));
        }
        for bad in [
            &b"n,,\x01auth\x01\x01"[..],
            b"n,,\x01=x\x01auth=\x01\x01",
            b"n,,\x01a b=x\x01auth=\x01\x01",
            b"n,,\x01k=\0\x01auth=\x01\x01",
            b"n,,\x01k=\x7f\x01auth=\x01\x01",
            b"n,,\x01k=\xc3\xa9\x01auth=\x01\x01",
            b"n,,\x01auth=Bearer a\0b\x01\x01",
        ] {
            check(bad, Err(KeyValue));
        }
        for bad in
            [&b"n,,\x01auth="[..], b"n,,\x01auth=\x01", b"n,,\x01auth=\x01\x01x", b"n,,\x01auth=\x01\x01\x01"]
        {
            check(bad, Err(Terminator));
        }
        for bad in [&b"n,,\x01\x01"[..], b"n,,\x01auth=\x01auth=\x01\x01", b"n,,\x01AUTH=\x01\x01"] {
            check(bad, Err(Auth));
        }
        check(&[b'n'; 65_537], Err(TooLong(65_537)));
    }

    #[test]
    fn only_bearer_tokens_are_tokens() {
        for bad in [
            "Basic x",
            "Bearer",
            "Bearer ",
            "Bearer =",
            "Bearerx",
            "Bearer a b",
            "Bearer a=b",
            "Bearer a,",
            "x",
        ] {
            check(format!("n,,\x01auth={bad}\x01\x01").as_bytes(), Err(OAuthBearerError::Token));
        }
    }

    #[test]
    fn failure_is_json() {
        assert_eq!(
            failure(INVALID_TOKEN, Some("openid \"x\"\\\n"), Some("https://issuer/.well-known/openid-configuration")),
            br#"{ "status": "invalid_token", "openid-configuration": "https://issuer/.well-known/openid-configuration", "scope": "openid \"x\"\\\u000a" }"#
        );
        assert_eq!(failure("invalid_token", None, None), br#"{ "status": "invalid_token" }"#);
    }

    #[test]
    fn configuration_is_under_the_issuer() {
        assert_eq!(openid_configuration("https://a/b"), "https://a/b/.well-known/openid-configuration");
        assert_eq!(openid_configuration("https://a/"), "https://a/.well-known/openid-configuration");
        let named = "https://a/.well-known/oauth-authorization-server/b";
        assert_eq!(openid_configuration(named), named);
    }

    #[test]
    fn dummy_response_is_one_separator() {
        assert!(is_dummy_response(b"\x01"));
        for other in [&b""[..], b"\x01\x01", b"\0", b"n,,\x01auth=\x01\x01"] {
            assert!(!is_dummy_response(other));
        }
    }
}

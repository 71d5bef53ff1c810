//! The compact serialisation of a signed token (RFC 7515 7.1), and its header. Believes nothing that it reads.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::rejection::Excerpt;
use crate::{Algorithm, Rejection, SpiffeId, TrustDomain, parse_json};

/// The longest token looked at under any rules, in bytes: what PostgreSQL itself takes in one authentication message
/// (`PG_MAX_AUTH_TOKEN_LENGTH`, libpq/auth.h).
pub const TOKEN_BYTES_MAX: usize = 65_535;

/// What kind of token is expected, by the `typ` values that it may have, in lower case; empty is for a header without `typ`.
///
/// SECURITY: a logout token never passes for an access token, nor the reverse (RFC 8725 3.11).
pub(crate) struct Types(&'static [&'static str]);

impl Types {
    /// Tokens that say who someone is: plain JWTs, RFC 9068 access tokens, and what a JWT-SVID may say as well (JWT-SVID 2.3).
    pub(crate) const IDENTITY: Self =
        Self(&["", "jwt", "at+jwt", "application/jwt", "application/at+jwt", "jose"]);
    /// ID tokens: never an access token (RFC 9068 2.1).
    pub(crate) const ID_TOKEN: Self = Self(&["", "jwt", "application/jwt", "jose"]);
    /// Logout tokens (OpenID Connect Back-Channel Logout 1.0, 2.4); many providers still write `JWT`, or nothing. What else makes
    /// them logout tokens is in their claims.
    pub(crate) const LOGOUT: Self =
        Self(&["", "jwt", "application/jwt", "logout+jwt", "application/logout+jwt"]);
    /// Security event tokens (RFC 8417 2.3); the Shared Signals Framework 1.0 (4.1.1) makes the type required.
    pub(crate) const EVENT: Self = Self(&["secevent+jwt", "application/secevent+jwt"]);

    fn admits(&self, typ: &str) -> bool {
        self.0.contains(&typ.to_ascii_lowercase().as_str())
    }
}

/// What a token claims about who made it, before anything has been checked: fit only for choosing issuer and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// `iss`; a JWT-SVID need not have one.
    pub issuer: Option<String>,
    /// The trust domain of `sub`, where that is a SPIFFE ID.
    pub trust_domain: Option<TrustDomain>,
    /// `kid`. A name to look up in the issuer's own set; never a path or an address.
    pub key_id: Option<String>,
    /// `alg`.
    pub algorithm: Algorithm,
}

/// Returns whether a text has the form of a token that says something by itself, three or five parts; any other is opaque.
pub fn is_self_contained(token: &str) -> bool {
    matches!(token.splitn(6, '.').count(), 3 | 5)
}

/// Reads what is needed to choose an issuer and a key.
///
/// # Errors
/// A [`Rejection`] that any [`verify`](crate::verify) of this token would give too: the client's fault.
pub fn peek(token: &str) -> Result<Unverified, Rejection> {
    peek_as(token, &Types::IDENTITY)
}

pub(crate) fn peek_as(token: &str, types: &Types) -> Result<Unverified, Rejection> {
    let token = Compact::parse_as(token, TOKEN_BYTES_MAX, types)?;
    let issuer = token.issuer()?.map(str::to_owned);
    let trust_domain = token.trust_domain();
    if issuer.is_none() && trust_domain.is_none() {
        return Err(Rejection::MissingClaim("iss".to_owned()));
    }
    Ok(Unverified { issuer, trust_domain, key_id: token.key_id, algorithm: token.algorithm })
}

/// A token taken apart; nothing about it is verified.
pub(crate) struct Compact<'a> {
    /// What the signature is over: header and payload as they were sent.
    pub(crate) signed: &'a str,
    /// Strict base64url, still encoded.
    pub(crate) signature: &'a str,
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    /// A JSON object.
    pub(crate) claims: Value,
}

impl<'a> Compact<'a> {
    pub(crate) fn parse(token: &'a str, bytes_max: usize) -> Result<Self, Rejection> {
        Self::parse_as(token, bytes_max, &Types::IDENTITY)
    }

    pub(crate) fn parse_as(token: &'a str, bytes_max: usize, types: &Types) -> Result<Self, Rejection> {
        // First, so that nothing below works on more than this.
        if token.len() > bytes_max {
            return Err(Rejection::TooLong { bytes: token.len(), bytes_max });
        }
        let parts: Vec<&str> = token.splitn(6, '.').collect();
        let (header, payload, signature) = match *parts.as_slice() {
            [header, payload, signature] => (header, payload, signature),
            [_, _, _, _, _] => return Err(Rejection::Encrypted),
            _ => return Err(Rejection::Malformed("it does not have three parts")),
        };
        let header = object(header, "header")?;
        let (algorithm, key_id) = read_header(&header, types)?;
        if decode(signature)?.is_empty() {
            return Err(Rejection::Malformed("its signature is empty"));
        }
        let claims = Value::Object(object(payload, "payload")?);
        let (signed, _) =
            token.rsplit_once('.').ok_or(Rejection::Malformed("it does not have three parts"))?;
        Ok(Self { signed, signature, algorithm, key_id, claims })
    }

    /// Returns `iss`.
    pub(crate) fn issuer(&self) -> Result<Option<&str>, Rejection> {
        match self.claims.get("iss") {
            Some(Value::String(issuer)) => Ok(Some(issuer)),
            Some(_) => Err(Rejection::BadClaim { claim: "iss".to_owned(), expected: "a string" }),
            None => Ok(None),
        }
    }

    /// Returns the trust domain of `sub`, if it is a SPIFFE ID.
    pub(crate) fn trust_domain(&self) -> Option<TrustDomain> {
        let id: SpiffeId = self.claims.get("sub")?.as_str()?.parse().ok()?;
        Some(id.trust_domain().clone())
    }
}

/// Decodes base64url without padding; anything else, and non-zero trailing bits, is refused, so that a token has one
/// spelling only.
fn decode(part: &str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejection::Malformed("a part is not base64url without padding"))
}

fn object(encoded: &str, part: &'static str) -> Result<Map<String, Value>, Rejection> {
    let bytes = decode(encoded)?;
    match parse_json(&bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Rejection::Malformed("header and payload must be JSON objects")),
        Err(error) => Err(Rejection::BadJson { part, error: error.to_string() }),
    }
}

/// Reads the members that matter. SECURITY: `jku`, `jwk`, `x5u`, `x5c` and `x5t` would let the token bring its own key:
/// they are never looked at.
fn read_header(header: &Map<String, Value>, types: &Types) -> Result<(Algorithm, Option<String>), Rejection> {
    if header.contains_key("enc") {
        return Err(Rejection::Encrypted);
    }
    let algorithm = read_algorithm(header)?;
    if header.contains_key("crit") {
        return Err(Rejection::CriticalExtension);
    }
    match header.get("typ") {
        None if types.admits("") => {}
        None => return Err(Rejection::Malformed("its header has no typ")),
        Some(Value::String(typ)) if !typ.is_empty() && types.admits(typ) => {}
        Some(Value::String(typ)) => return Err(Rejection::WrongType(Excerpt::of(typ))),
        Some(_) => return Err(Rejection::Malformed("typ is not a string")),
    }
    match header.get("cty") {
        None => {}
        Some(Value::String(cty)) if cty.to_ascii_lowercase().ends_with("jwt") => {
            return Err(Rejection::Nested);
        }
        Some(Value::String(_)) => {}
        Some(_) => return Err(Rejection::Malformed("cty is not a string")),
    }
    match header.get("kid") {
        None => Ok((algorithm, None)),
        Some(Value::String(kid)) => Ok((algorithm, Some(kid.clone()))),
        Some(_) => Err(Rejection::Malformed("kid is not a string")),
    }
}

fn read_algorithm(header: &Map<String, Value>) -> Result<Algorithm, Rejection> {
    let Some(Value::String(name)) = header.get("alg") else {
        return Err(Rejection::Malformed("its header has no alg"));
    };
    name.parse().map_err(|_| {
        let excerpt = Excerpt::of(name);
        if name.eq_ignore_ascii_case("none") {
            Rejection::AlgorithmNone(excerpt)
        } else if name.get(..2).is_some_and(|it| it.eq_ignore_ascii_case("hs")) {
            Rejection::AlgorithmSymmetric(excerpt)
        } else {
            Rejection::AlgorithmUnknown(excerpt)
        }
    })
}

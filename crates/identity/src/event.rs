//! What an issuer tells of its own accord: logout tokens (OpenID Connect Back-Channel Logout 1.0) and security event tokens (RFC 8417)
//! of the Shared Signals Framework. Judges them; ends nothing, and remembers none.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::claims::{self, Rounding};
use crate::compact::{Compact, Types, Unverified, peek_as};
use crate::rejection::Excerpt;
use crate::verified::{check_issuer, check_signature};
use crate::{ClaimPath, IssuerRules, KeySet, Rejection};

/// The member of `events` of a logout token (Back-Channel Logout 1.0, 2.4).
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The CAEP event (OpenID Continuous Access Evaluation Profile 1.0, 3.1).
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// A logout token that is older was not sent just now. Its own `exp` is usually two minutes.
const LOGOUT_AGE_MAX: Duration = Duration::from_secs(600);
/// A transmitter may try for long to deliver an event (RFC 8935, section 4): they are not for the moment only.
const EVENT_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// An issuer's word that a subject, or one session of it, is no longer to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// Its `sub`.
    pub subject: Option<String>,
    /// Its `sid`. One of the two is there.
    pub session: Option<String>,
    /// What was issued after this moment is not meant.
    pub at: SystemTime,
    /// `jti`: unique within the issuer.
    pub token_id: String,
    /// From then on the token is too old to be accepted again.
    pub forgettable: SystemTime,
}

/// What a security event token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Somebody's trust has ended.
    Withdrawn(Withdrawal),
    /// Events that nothing follows from here, by their URIs: `verification` of the stream, and all that isn't known.
    Other {
        /// The issuer's name in the configuration.
        issuer: String,
        /// `jti`.
        token_id: String,
        /// The members of `events`.
        events: Vec<String>,
    },
}

/// Reads from a logout token what is needed to choose an issuer and a key.
///
/// # Errors
/// A [`Rejection`]: the sender's fault.
pub fn peek_logout(token: &str) -> Result<Unverified, Rejection> {
    peek_as(token, &Types::LOGOUT)
}

/// Likewise from a security event token.
///
/// # Errors
/// A [`Rejection`]: the sender's fault.
pub fn peek_event(token: &str) -> Result<Unverified, Rejection> {
    peek_as(token, &Types::EVENT)
}

/// Checks a logout token (Back-Channel Logout 1.0, 2.6), all but that it was not seen before.
///
/// # Errors
/// A [`Rejection`]: the sender's fault, or, of [`UnknownKey`](Rejection::UnknownKey), perhaps a key set gone stale.
pub fn verify_logout(
    token: &str,
    rules: &IssuerRules,
    keys: &KeySet,
    now: SystemTime,
) -> Result<Withdrawal, Rejection> {
    let claims = signed(token, rules, keys, &Types::LOGOUT)?;
    let (issued, forgettable) = check_times(&claims, rules, now, LOGOUT_AGE_MAX)?;
    if claims.get("exp").is_none() {
        return Err(Rejection::MissingClaim("exp".to_owned()));
    }
    check_audience(&claims, rules)?;
    match claims.get("events").and_then(|events| events.get(LOGOUT)) {
        Some(Value::Object(_)) => {}
        _ => return Err(Rejection::MissingEvent(LOGOUT)),
    }
    if claims.get("nonce").is_some() {
        return Err(Rejection::Nonce);
    }
    let subject = text(claims.get("sub"), "sub")?;
    let session = text(claims.get("sid"), "sid")?;
    if subject.is_none() && session.is_none() {
        return Err(Rejection::NoSubject);
    }
    let token_id = token_id(&claims)?;
    Ok(Withdrawal { issuer: rules.name.clone(), subject, session, at: issued, token_id, forgettable })
}

/// Checks a security event token, all but that it was not seen before.
///
/// Understood is CAEP's `session-revoked`, about a subject that is named as `iss_sub`, `opaque`, as `email` where the issuer's subject
/// claim is `email`, or as `complex` with these as `user`, and an `opaque` one as `session`.
///
/// # Errors
/// A [`Rejection`]: as of [`verify_logout`].
pub fn verify_event(
    token: &str,
    rules: &IssuerRules,
    keys: &KeySet,
    now: SystemTime,
) -> Result<Told, Rejection> {
    let claims = signed(token, rules, keys, &Types::EVENT)?;
    let (issued, forgettable) = check_times(&claims, rules, now, EVENT_AGE_MAX)?;
    check_audience(&claims, rules)?;
    let token_id = token_id(&claims)?;
    let issuer = rules.name.clone();
    let Some(Value::Object(events)) = claims.get("events") else {
        return Err(Rejection::MissingClaim("events".to_owned()));
    };
    let Some(event) = events.get(SESSION_REVOKED) else {
        let events = events.keys().take(8).map(|uri| Excerpt::of(uri).to_string()).collect();
        return Ok(Told::Other { issuer, token_id, events });
    };
    // Before SSF 1.0 the subject was in the event.
    let named = claims.get("sub_id").or_else(|| event.get("subject")).ok_or(Rejection::NoSubject)?;
    let (subject, session) = subject(named, rules)?;
    let happened = match claims::date(event, "event_timestamp", Rounding::Up)? {
        Some(at) => Some(at),
        None => claims::date(&claims, "toe", Rounding::Up)?,
    };
    // Nothing is withdrawn that will be issued after the issuer has spoken.
    let at = happened.map_or(issued, |at| at.min(issued));
    Ok(Told::Withdrawn(Withdrawal { issuer, subject, session, at, token_id, forgettable }))
}

/// Checks all that makes the claims worth reading.
fn signed(token: &str, rules: &IssuerRules, keys: &KeySet, types: &Types) -> Result<Value, Rejection> {
    crate::init();
    let token = Compact::parse_as(token, rules.token_bytes_max.min(crate::TOKEN_BYTES_MAX), types)?;
    if !rules.algorithms.contains(&token.algorithm) {
        return Err(Rejection::AlgorithmNotAllowed(token.algorithm));
    }
    check_issuer(&token, rules)?;
    check_signature(&token, keys)?;
    Ok(token.claims)
}

/// Returns when it was issued, and when it will be too old.
fn check_times(
    claims: &Value,
    rules: &IssuerRules,
    now: SystemTime,
    age_max: Duration,
) -> Result<(SystemTime, SystemTime), Rejection> {
    let issued = claims::date(claims, "iat", Rounding::Up)?
        .ok_or_else(|| Rejection::MissingClaim("iat".to_owned()))?;
    let ahead = claims::past(issued, now);
    if ahead > rules.leeway {
        return Err(Rejection::IssuedInFuture { seconds_ahead: ahead.as_secs() });
    }
    let age = claims::past(now, issued);
    let age_max = age_max.saturating_add(rules.leeway);
    if age >= age_max {
        return Err(Rejection::TooOld { seconds_ago: age.as_secs(), seconds_max: age_max.as_secs() });
    }
    let too_old = issued.checked_add(age_max).unwrap_or(issued);
    let Some(expires) = claims::date(claims, "exp", Rounding::Down)? else { return Ok((issued, too_old)) };
    let late = claims::past(now, expires);
    if now >= expires && late >= rules.leeway {
        return Err(Rejection::Expired { seconds_ago: late.as_secs() });
    }
    Ok((issued, too_old.min(expires.checked_add(rules.leeway).unwrap_or(expires))))
}

fn check_audience(claims: &Value, rules: &IssuerRules) -> Result<(), Rejection> {
    let found = claims::audience(claims)?;
    let expected = if rules.events_audiences.is_empty() { &rules.audiences } else { &rules.events_audiences };
    if found.iter().any(|found| expected.iter().any(|expected| expected == found)) {
        return Ok(());
    }
    Err(Rejection::WrongAudience { found: Excerpt::of(&found.join(", ")), expected: expected.clone() })
}

fn token_id(claims: &Value) -> Result<String, Rejection> {
    text(claims.get("jti"), "jti")?.ok_or_else(|| Rejection::MissingClaim("jti".to_owned()))
}

fn text(value: Option<&Value>, claim: &'static str) -> Result<Option<String>, Rejection> {
    let Some(text) = claims::string(value, claim)? else { return Ok(None) };
    if text.is_empty() {
        return Err(Rejection::BadClaim { claim: claim.to_owned(), expected: "a non-empty string" });
    }
    claims::printable(text, &ClaimPath::top(claim)).map(Some)
}

/// Reads a subject identifier (RFC 9493, section 3): `sub`, and `sid`.
fn subject(named: &Value, rules: &IssuerRules) -> Result<(Option<String>, Option<String>), Rejection> {
    let member = |claim: &'static str| text(named.get(claim), claim);
    let some = |found: Option<String>| found.map(|it| (Some(it), None)).ok_or(Rejection::NoSubject);
    match named.get("format").and_then(Value::as_str) {
        Some("iss_sub") => {
            let issuer = member("iss")?.ok_or(Rejection::NoSubject)?;
            // SECURITY: an issuer speaks of its own subjects only.
            if issuer != rules.issuer_url {
                let (found, expected) = (Excerpt::of(&issuer), rules.issuer_url.clone());
                return Err(Rejection::WrongIssuer { found, expected });
            }
            some(member("sub")?)
        }
        Some("opaque") => some(member("id")?),
        Some("email") if rules.subject_claim == ClaimPath::top("email") => some(member("email")?),
        Some("complex") => {
            let user = match named.get("user") {
                // One level, as the framework has it.
                Some(user) if user.get("format").and_then(Value::as_str) != Some("complex") => {
                    subject(user, rules)?.0
                }
                _ => None,
            };
            let session = match named.get("session") {
                Some(session) if session.get("format").and_then(Value::as_str) == Some("opaque") => {
                    text(session.get("id"), "id")?
                }
                Some(_) => return Err(Rejection::NoSubject),
                None => None,
            };
            if user.is_none() && session.is_none() {
                return Err(Rejection::NoSubject);
            }
            Ok((user, session))
        }
        _ => Err(Rejection::NoSubject),
    }
}

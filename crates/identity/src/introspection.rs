//! What an authorization server answers when it is asked about a token (RFC 7662, section 2.2). Asks nobody.

use std::time::SystemTime;

use serde_json::Value;

use crate::origin::Origin;
use crate::rejection::Excerpt;
use crate::{IssuerRules, Presented, Rejection, Verified, claims, parse_json};

/// Judges a token by the answer alone: of tokens that only their issuer can read. The answer's members are checked as claims are.
///
/// # Errors
/// A [`Rejection`]: the client's fault, or the issuer's, whose answer can't be read.
pub fn verify_introspection(
    answer: &[u8],
    rules: &IssuerRules,
    presented: Presented,
    now: SystemTime,
) -> Result<Verified, Rejection> {
    let claims = active(answer, rules)?;
    let expires_at = claims::check_times(&claims, rules, now)?;
    claims::check_addressees(&claims, rules)?;
    claims::check_binding(&claims, presented)?;
    let (identity, prior_actors) = claims::identity(&claims, rules)?;
    let origin = Origin::of(&claims)?;
    Ok(Verified::new(identity, presented.method, expires_at, prior_actors).with_origin(origin))
}

/// Judges by the answer whether a token that was verified by itself is still good. What the answer says of it must be the same.
///
/// # Errors
/// A [`Rejection`]: the token was revoked, or the answer is about another one.
pub fn check_introspection(
    answer: &[u8],
    rules: &IssuerRules,
    verified: &Verified,
    now: SystemTime,
) -> Result<(), Rejection> {
    let claims = active(answer, rules)?;
    if claims.get("exp").is_some() {
        claims::check_times(&claims, rules, now)?;
    }
    let identity = verified.identity();
    let subject = identity.on_behalf_of.as_ref().map_or(&identity.subject, |party| &party.subject);
    match rules.subject_claim.find(&claims) {
        None => Ok(()),
        Some(Value::String(found)) if found == subject => Ok(()),
        Some(_) => Err(Rejection::AnotherToken),
    }
}

/// Reads an answer that says that the token is active, and is this issuer's.
fn active(answer: &[u8], rules: &IssuerRules) -> Result<Value, Rejection> {
    let claims = parse_json(answer)
        .map_err(|error| Rejection::BadJson { part: "introspection answer", error: error.to_string() })?;
    match claims.get("active") {
        // SECURITY: nothing but true itself; "true" and 1 are an answer that can't be read.
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(Rejection::Inactive),
        _ => return Err(Rejection::BadClaim { claim: "active".to_owned(), expected: "true or false" }),
    }
    match claims.get("iss") {
        // It is optional (RFC 7662 2.2): whoever answered is this issuer.
        None | Some(Value::Null) => Ok(claims),
        Some(Value::String(iss)) if *iss == rules.issuer_url => Ok(claims),
        Some(iss) => Err(Rejection::WrongIssuer {
            found: Excerpt::of(iss.as_str().unwrap_or("no string")),
            expected: rules.issuer_url.clone(),
        }),
    }
}

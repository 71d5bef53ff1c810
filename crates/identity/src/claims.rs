//! Claims of a token whose signature has been checked: times, audience, and the mapping to an identity.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Identity, Party};
use serde_json::Value;

use crate::actor::{Acting, acting};
use crate::rejection::Excerpt;
use crate::verified::Presented;
use crate::{CertificateRules, ClaimPath, IssuerRules, Rejection, SpiffeId};

/// The longest mapped text, in bytes. (OpenID Connect Core 2 limits `sub` to 255 characters of ASCII.)
const TEXT_BYTES_MAX: usize = 512;

/// 9999-12-31T23:59:59Z, in seconds since 1970; no honest token outlives it, and `SystemTime` holds it.
const SECONDS_MAX: u64 = 253_402_300_799;

/// Returns until when the claims hold.
pub(crate) fn check_times(
    claims: &Value,
    rules: &IssuerRules,
    now: SystemTime,
) -> Result<SystemTime, Rejection> {
    let expires =
        date(claims, "exp", Rounding::Down)?.ok_or_else(|| Rejection::MissingClaim("exp".to_owned()))?;
    let not_before = date(claims, "nbf", Rounding::Up)?;
    let issued = date(claims, "iat", Rounding::Up)?;

    // RFC 7519 4.1.4: not accepted "on or after" the expiry.
    let late = past(now, expires);
    if now >= expires && late >= rules.leeway {
        return Err(Rejection::Expired { seconds_ago: late.as_secs() });
    }
    if let Some(not_before) = not_before
        && past(not_before, now) > rules.leeway
    {
        return Err(Rejection::NotYetValid { seconds_left: past(not_before, now).as_secs() });
    }
    if let Some(issued) = issued
        && past(issued, now) > rules.leeway
    {
        return Err(Rejection::IssuedInFuture { seconds_ahead: past(issued, now).as_secs() });
    }

    // Within the leeway after `exp` the clocks are taken to differ: such a session lives as long as its token is
    // accepted. Otherwise it ends at `exp` itself.
    let mut until =
        if now < expires { expires } else { expires.checked_add(rules.leeway).unwrap_or(expires) };
    if let Some(lifetime_max) = rules.lifetime_max {
        let lifetime = past(expires, required(issued)?);
        if lifetime > lifetime_max {
            return Err(Rejection::LivesTooLong {
                seconds: lifetime.as_secs(),
                seconds_max: lifetime_max.as_secs(),
            });
        }
    }
    if let Some(age_max) = rules.age_max {
        let issued = required(issued)?;
        let age = past(now, issued);
        if age >= age_max.saturating_add(rules.leeway) {
            return Err(Rejection::TooOld { seconds_ago: age.as_secs(), seconds_max: age_max.as_secs() });
        }
        if let Some(end) = issued.checked_add(age_max.saturating_add(rules.leeway)) {
            until = until.min(end);
        }
    }
    Ok(until)
}

fn required(issued: Option<SystemTime>) -> Result<SystemTime, Rejection> {
    issued.ok_or_else(|| Rejection::MissingClaim("iat".to_owned()))
}

/// By how much `later` is after `earlier`; nothing if it isn't.
pub(crate) fn past(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

/// Which way a fraction of a second goes: always the stricter one.
#[derive(Clone, Copy)]
pub(crate) enum Rounding {
    Down,
    Up,
}

/// Reads a NumericDate (RFC 7519 2).
pub(crate) fn date(claims: &Value, claim: &str, rounding: Rounding) -> Result<Option<SystemTime>, Rejection> {
    let bad = || Rejection::BadClaim { claim: claim.to_owned(), expected: "a time in seconds since 1970" };
    let seconds = match claims.get(claim) {
        None => return Ok(None),
        Some(Value::Number(number)) => match (number.as_u64(), number.as_f64()) {
            (Some(seconds), _) => seconds,
            (None, Some(seconds)) if (0.0..=SECONDS_MAX as f64).contains(&seconds) => match rounding {
                Rounding::Down => seconds.floor() as u64,
                Rounding::Up => seconds.ceil() as u64,
            },
            (None, _) => return Err(bad()),
        },
        Some(_) => return Err(bad()),
    };
    if seconds > SECONDS_MAX {
        return Err(bad());
    }
    Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
}

/// Checks for whom the token was made, and that it is a bearer token at all.
pub(crate) fn check_addressees(claims: &Value, rules: &IssuerRules) -> Result<(), Rejection> {
    let audience = audience(claims)?;
    if !audience.iter().any(|found| rules.audiences.iter().any(|expected| expected == found)) {
        return Err(Rejection::WrongAudience {
            found: Excerpt::of(&audience.join(", ")),
            expected: rules.audiences.clone(),
        });
    }
    let party = match claims.get("azp") {
        None => string(claims.get("client_id"), "client_id")?,
        azp => string(azp, "azp")?,
    };
    if !rules.authorized_parties.is_empty()
        && !party.is_some_and(|it| rules.authorized_parties.iter().any(|expected| expected == it))
    {
        return Err(Rejection::WrongAuthorizedParty {
            found: party.map(Excerpt::of),
            expected: rules.authorized_parties.clone(),
        });
    }
    Ok(())
}

/// Checks that a token which is bound to a key of its holder's came from there. The one binding that can be checked here is that to the
/// certificate of the TLS connection (RFC 8705, section 3.1).
///
/// SECURITY: whoever stole a bound token could use it as a bearer token; the binding is there to prevent that. So a binding of any
/// other kind, or of two kinds, is refused.
pub(crate) fn check_binding(claims: &Value, presented: Presented) -> Result<(), Rejection> {
    let cnf = match claims.get("cnf") {
        None | Some(Value::Null) => return Ok(()),
        Some(cnf) => cnf,
    };
    let members = cnf.as_object().filter(|members| members.len() == 1);
    let wanted = members.and_then(|members| members.get("x5t#S256")).and_then(Value::as_str);
    match (wanted, presented.certificate) {
        (None, _) => Err(Rejection::BoundToKey),
        (Some(_), None) => Err(Rejection::BoundToCertificate),
        (Some(wanted), Some(shown)) if wanted == URL_SAFE_NO_PAD.encode(shown) => Ok(()),
        (Some(_), Some(_)) => Err(Rejection::BoundToAnotherCertificate),
    }
}

pub(crate) fn audience(claims: &Value) -> Result<Vec<&str>, Rejection> {
    let bad = || Rejection::BadClaim { claim: "aud".to_owned(), expected: "a string or an array of strings" };
    match claims.get("aud") {
        None => Err(Rejection::MissingClaim("aud".to_owned())),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(many)) => many.iter().map(|it| it.as_str().ok_or_else(bad)).collect(),
        Some(_) => Err(bad()),
    }
}

pub(crate) fn string<'a>(value: Option<&'a Value>, claim: &str) -> Result<Option<&'a str>, Rejection> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Rejection::BadClaim { claim: claim.to_owned(), expected: "a string" }),
    }
}

/// Maps the claims to who acts, and to those who acted before.
///
/// Subject and name are those of the one who acts; groups and attributes the token's, which its issuer made for this one acting for
/// that one.
pub(crate) fn identity(claims: &Value, rules: &IssuerRules) -> Result<(Identity, Vec<Party>), Rejection> {
    let Acting { subject, claims: of_actor, on_behalf_of, prior } = acting(claims, rules)?;
    let name = match rules.name_claim.find(of_actor) {
        None => None,
        Some(Value::String(name)) => Some(printable(name, &rules.name_claim)?),
        Some(_) => return Err(bad(&rules.name_claim, "a string")),
    };
    let mut attributes = BTreeMap::new();
    for (attribute, path) in &rules.attributes {
        let value = match path.find(claims) {
            None => continue,
            Some(Value::String(text)) => printable(text, path)?,
            Some(Value::Bool(value)) => value.to_string(),
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string(),
            Some(_) => return Err(bad(path, "a string, a boolean or an integer")),
        };
        attributes.insert(attribute.clone(), value);
    }
    let token_id = ClaimPath::top("jti");
    let token_id = string(token_id.find(claims), "jti")?.map(|id| printable(id, &token_id)).transpose()?;
    let mut groups = groups(claims, rules)?;
    groups.extend(CertificateRules::groups_of(&rules.members, &subject));
    let identity =
        Identity { issuer: rules.name.clone(), subject, name, groups, attributes, token_id, on_behalf_of };
    Ok((identity, prior))
}

/// Reads the subject; `prefix` is where these claims are.
pub(crate) fn subject(claims: &Value, rules: &IssuerRules, prefix: &str) -> Result<String, Rejection> {
    let path = &rules.subject_claim;
    match path.find(claims) {
        None => Err(Rejection::MissingClaim(format!("{prefix}{path}"))),
        // It has no character that could deceive, and may be longer than others.
        Some(Value::String(subject)) if rules.trust_domain.is_some() => {
            let id: SpiffeId = subject.parse().map_err(|_| bad(path, "a SPIFFE ID"))?;
            Ok(id.as_str().to_owned())
        }
        Some(Value::String(subject)) => named(subject, path),
        Some(_) => Err(bad(path, "a string")),
    }
}

fn groups(claims: &Value, rules: &IssuerRules) -> Result<BTreeSet<String>, Rejection> {
    let path = &rules.groups_claim;
    let names: Vec<&str> = match path.find(claims) {
        None => Vec::new(),
        // SECURITY: a group's name may contain spaces; split anywhere but in `scope`, "not admins" would be "admins".
        Some(Value::String(list)) if path.is_scope() => list.split(' ').filter(|it| !it.is_empty()).collect(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many
            .iter()
            .map(|it| it.as_str().ok_or_else(|| bad(path, "an array of strings")))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(bad(path, "a string or an array of strings")),
    };
    if names.len() > rules.groups_max {
        return Err(Rejection::TooManyGroups { groups: names.len(), groups_max: rules.groups_max });
    }
    names.into_iter().map(|name| named(name, path)).collect()
}

pub(crate) fn bad(path: &ClaimPath, expected: &'static str) -> Rejection {
    Rejection::BadClaim { claim: path.to_string(), expected }
}

/// Takes a text that names something: printable, and not blank.
pub(crate) fn named(text: &str, path: &ClaimPath) -> Result<String, Rejection> {
    if text.trim().is_empty() {
        return Err(bad(path, "a non-empty string"));
    }
    printable(text, path)
}

pub(crate) fn printable(text: &str, path: &ClaimPath) -> Result<String, Rejection> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Rejection::ClaimTooLong {
            claim: path.to_string(),
            bytes: text.len(),
            bytes_max: TEXT_BYTES_MAX,
        });
    }
    if text.chars().any(is_deceptive) {
        return Err(Rejection::UnprintableClaim(path.to_string()));
    }
    Ok(text.to_owned())
}

/// Returns whether a character could break a line, reorder it, or hide in it (Unicode: Cc, Zl, Zp, the bidirectional
/// controls of UAX #9, zero-width and tag characters). The joiners U+200C and U+200D are needed to write some
/// languages, and stay.
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}' | '\u{2029}'
            | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}'
        )
}

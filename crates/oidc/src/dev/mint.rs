//! Makes development tokens. Knows the key and the claims; serves nothing.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, Header};
use model::Secret;
use serde_json::{Map, Value, json};

use super::DevKey;

/// What a development token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// `sub`.
    pub subject: String,
    /// `aud`.
    pub audiences: Vec<String>,
    /// `groups`.
    pub groups: Vec<String>,
    /// `name`, if any.
    pub name: Option<String>,
    /// From `iat` to `exp`.
    pub lifetime: Duration,
    /// Further claims; those named above, and `iss`, `iat`, `nbf`, `exp`, `jti`, can't be replaced.
    pub further: Map<String, Value>,
}

impl Grant {
    /// Returns a grant of fifteen minutes, without groups.
    pub fn new(subject: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            audiences: vec![audience.into()],
            groups: Vec::new(),
            name: None,
            lifetime: Duration::from_secs(15 * 60),
            further: Map::new(),
        }
    }
}

/// A token that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The time is before 1970 or the lifetime is too long.
    #[error("the token's times are out of range; check the clock and the lifetime")]
    Times,
    /// The library failed.
    #[error("the token can't be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

/// Signs a token (ES256, RFC 9068's `at+jwt`).
///
/// # Errors
/// [`MintError`]: see there.
pub fn mint(
    key: &DevKey,
    issuer_url: &str,
    grant: &Grant,
    now: SystemTime,
) -> Result<Secret<String>, MintError> {
    sign(key, "at+jwt", issuer_url, grant, now)
}

/// Signs an ID token (OpenID Connect Core 1.0, section 2).
///
/// # Errors
/// [`MintError`]: see there.
pub(super) fn mint_id_token(
    key: &DevKey,
    issuer_url: &str,
    grant: &Grant,
    now: SystemTime,
) -> Result<Secret<String>, MintError> {
    sign(key, "JWT", issuer_url, grant, now)
}

fn sign(
    key: &DevKey,
    kind: &str,
    issuer_url: &str,
    grant: &Grant,
    now: SystemTime,
) -> Result<Secret<String>, MintError> {
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).map(|it| it.as_secs()).map_err(|_| MintError::Times)
    };
    let issued = seconds(now)?;
    let expires = seconds(now.checked_add(grant.lifetime).ok_or(MintError::Times)?)?;
    let mut claims = grant.further.clone();
    let named = [
        ("iss", json!(issuer_url)),
        ("sub", json!(grant.subject)),
        ("aud", json!(grant.audiences)),
        ("groups", json!(grant.groups)),
        ("iat", json!(issued)),
        ("nbf", json!(issued)),
        ("exp", json!(expires)),
        ("jti", json!(token_id())),
    ];
    claims.extend(named.into_iter().map(|(name, value)| (name.to_owned(), value)));
    if let Some(name) = &grant.name {
        claims.insert("name".to_owned(), json!(name));
    }
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some(kind.to_owned());
    header.kid = Some(key.id().to_owned());
    jsonwebtoken::encode(&header, &claims, key.encoding()).map(Secret::new).map_err(MintError::Sign)
}

/// Returns an id that no other token has; it need not be secret. (`RandomState` is seeded by the system, and differs
/// for every instance.)
pub(super) fn token_id() -> String {
    let part = || RandomState::new().build_hasher().finish();
    format!("dev-{:016x}{:016x}", part(), part())
}

//! The proof that a credential was checked. Tokens are checked here, SCRAM proofs in `scram`; nothing else makes one.

use std::time::SystemTime;

use model::{Identity, Method, Party};

use crate::compact::Compact;
use crate::origin::Origin;
use crate::rejection::Excerpt;
use crate::{IssuerRules, KeySet, Rejection, claims};

/// Proof that a credential was checked: whose it is, how it came, and until when it counts.
///
/// INVARIANT: made by [`verify`], [`verify_id_token`](crate::verify_id_token), [`verify_introspection`](crate::verify_introspection), [`verify_certificate`](crate::verify_certificate)
/// and [`verify_scram`](crate::verify_scram) alone. It can't be made by hand, and is not `Clone`:
///
/// ```compile_fail,E0451
/// fn forge(identity: model::Identity) -> identity::Verified {
///     identity::Verified {
///         identity,
///         method: model::Method::Token,
///         expires_at: std::time::SystemTime::UNIX_EPOCH,
///         prior_actors: Vec::new(),
///         origin: identity::Origin::default(),
///     }
/// }
/// ```
///
/// ```compile_fail,E0277
/// fn copies<T: Clone>() {}
/// copies::<identity::Verified>();
/// ```
#[derive(Debug)]
pub struct Verified {
    identity: Identity,
    method: Method,
    expires_at: SystemTime,
    prior_actors: Vec<Party>,
    origin: Origin,
}

impl Verified {
    // INVARIANT: called at the end of a check that a credential passed, and from nowhere else in this crate.
    pub(crate) fn new(
        identity: Identity,
        method: Method,
        expires_at: SystemTime,
        prior_actors: Vec<Party>,
    ) -> Self {
        Self { identity, method, expires_at, prior_actors, origin: Origin::default() }
    }

    /// The same, with what it says of where and when it came to be.
    pub(crate) fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// Returns whose credential it was.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns how it reached the gateway.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Returns who acted before, where a token tells of a chain of delegations, latest first. For the record: nothing is granted by
    /// it (RFC 8693 4.1). One of another issuer has its `iss` for issuer.
    pub fn prior_actors(&self) -> &[Party] {
        &self.prior_actors
    }

    /// Returns when the session that it opened must end.
    ///
    /// That is the token's `exp`; for a token that was accepted after it, within the leeway, `exp` plus the leeway;
    /// and never later than the rules' `age_max` allows.
    pub const fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Returns what the issuer would call this credential by, should it ever withdraw it.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// How a token came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// By which exchange.
    pub method: Method,
    /// The [`thumbprint`](crate::thumbprint) of the certificate that the client showed in its TLS handshake, whoever issued it: tokens may be
    /// bound to it (RFC 8705, section 3).
    pub certificate: Option<[u8; 32]>,
}

impl From<Method> for Presented {
    /// Without a certificate.
    fn from(method: Method) -> Self {
        Self { method, certificate: None }
    }
}

/// Checks a token by an issuer's rules and keys.
///
/// In this order: size and form, header, algorithm, key, signature; and only then claims: issuer, times, addressees,
/// and what is mapped.
///
/// # Errors
/// A [`Rejection`]: the client's fault, or, of [`UnknownKey`](Rejection::UnknownKey), perhaps a key set gone stale.
pub fn verify(
    token: &str,
    rules: &IssuerRules,
    keys: &KeySet,
    presented: impl Into<Presented>,
    now: SystemTime,
) -> Result<Verified, Rejection> {
    crate::init();
    let presented = presented.into();
    let token = Compact::parse(token, rules.token_bytes_max.min(crate::TOKEN_BYTES_MAX))?;
    if !rules.algorithms.contains(&token.algorithm) {
        return Err(Rejection::AlgorithmNotAllowed(token.algorithm));
    }
    // Before the key: another issuer's token must not make the caller ask this issuer for new keys.
    check_issuer(&token, rules)?;
    check_signature(&token, keys)?;
    let expires_at = claims::check_times(&token.claims, rules, now)?;
    claims::check_addressees(&token.claims, rules)?;
    claims::check_binding(&token.claims, presented)?;
    // SECURITY: a logout token may be for the same audience, and names the same subject.
    if token.claims.get("events").is_some() {
        return Err(Rejection::SecurityEvent);
    }
    let (identity, prior_actors) = claims::identity(&token.claims, rules)?;
    let origin = Origin::of(&token.claims)?;
    Ok(Verified::new(identity, presented.method, expires_at, prior_actors).with_origin(origin))
}

pub(crate) fn check_issuer(token: &Compact<'_>, rules: &IssuerRules) -> Result<(), Rejection> {
    if let Some(trust_domain) = &rules.trust_domain {
        // JWT-SVID 3: `iss` is optional and says nothing; whose it is, its subject says.
        return match token.trust_domain() {
            Some(found) if found == *trust_domain => Ok(()),
            _ => Err(Rejection::WrongTrustDomain(trust_domain.clone())),
        };
    }
    let found = token.issuer()?.ok_or_else(|| Rejection::MissingClaim("iss".to_owned()))?;
    if found == rules.issuer_url {
        return Ok(());
    }
    Err(Rejection::WrongIssuer { found: Excerpt::of(found), expected: rules.issuer_url.clone() })
}

pub(crate) fn check_signature(token: &Compact<'_>, keys: &KeySet) -> Result<(), Rejection> {
    let key = keys.find(token.key_id.as_deref(), token.algorithm)?;
    let algorithm = token.algorithm.in_library();
    match jsonwebtoken::crypto::verify(token.signature, token.signed.as_bytes(), key, algorithm) {
        Ok(true) => Ok(()),
        // SECURITY: an error of the library (a key that it can't use) is no better than a wrong signature.
        Ok(false) | Err(_) => Err(Rejection::BadSignature),
    }
}

//! Why a token is not believed. Knows reasons, not tokens: no variant can hold one.

use std::fmt;

use crate::{Algorithm, TrustDomain};

/// One reason for not believing a token; its text is for the log and the audit, never for the client.
///
/// Texts quote at most a short, escaped excerpt of a claim, and never the token, its signature or its payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Longer than the issuer's `token_bytes_max`, or than [`TOKEN_BYTES_MAX`](crate::TOKEN_BYTES_MAX).
    #[error("token is {bytes} bytes long; at most {bytes_max} are accepted")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Five parts: a JWE (RFC 7516); or a header with `enc`.
    #[error("token is encrypted (JWE); only signed tokens are accepted")]
    Encrypted,
    /// The payload is another token (`cty: JWT`).
    #[error("token is nested (cty \"JWT\"); only plain signed tokens are accepted")]
    Nested,
    /// Not three parts of strict base64url holding a JSON header and JSON claims.
    #[error("token is malformed: {0}")]
    Malformed(&'static str),
    /// A part repeats a JSON member, so readers could disagree on it.
    #[error("token is malformed: {part} is {error}")]
    BadJson {
        /// `header` or `payload`.
        part: &'static str,
        /// What is wrong with it, without quoting it.
        error: String,
    },
    /// The header's `alg` is `none`, in any letter case.
    #[error("token is unsigned (alg {0})")]
    AlgorithmNone(Excerpt),
    /// The header's `alg` is an HMAC: a shared secret, which no issuer here has.
    #[error("token is signed with a shared secret (alg {0}); only public-key signatures are accepted")]
    AlgorithmSymmetric(Excerpt),
    /// The header's `alg` is something else that is not known.
    #[error("token's algorithm {0} is not known")]
    AlgorithmUnknown(Excerpt),
    /// A known algorithm that the issuer's rules don't list.
    #[error("algorithm {0} is not allowed for this issuer")]
    AlgorithmNotAllowed(Algorithm),
    /// The header has `crit`: extensions that must be understood, and none is.
    #[error("token has critical extensions (crit), none of which is understood")]
    CriticalExtension,
    /// The header's `typ` says that this is another kind of token (RFC 8725 3.11).
    #[error("token is of type {0}, which is not what belongs here")]
    WrongType(Excerpt),
    /// `iss` names no configured issuer.
    #[error("issuer {0} is not configured")]
    UnknownIssuer(Excerpt),
    /// `iss` is not the issuer that these rules are for.
    #[error("issuer is {found}, expected {expected:?}")]
    WrongIssuer {
        /// What the token says.
        found: Excerpt,
        /// What the rules say.
        expected: String,
    },
    /// No key of the set has the token's `kid`; without a `kid`, none suits the algorithm.
    #[error("the issuer has no key {}", .0.as_ref().map_or("for this algorithm, and the token names none".to_owned(), |kid| format!("with id {kid}")))]
    UnknownKey(Option<Excerpt>),
    /// The key with the token's `kid` is of another type, curve, use or algorithm (RS/HS confusion ends here too).
    #[error("key {key} can't be used with algorithm {algorithm}")]
    UnsuitableKey {
        /// The token's `kid`.
        key: Excerpt,
        /// The token's `alg`.
        algorithm: Algorithm,
    },
    /// More than one key suits, and the token doesn't say which.
    #[error("more than one of the issuer's keys could have signed this token; it needs a distinct kid")]
    AmbiguousKey,
    /// The signature is not that key's.
    #[error("signature does not match")]
    BadSignature,
    /// A claim that must be there is not.
    #[error("claim {0:?} is missing")]
    MissingClaim(String),
    /// A claim has another JSON type, or a value that can't be.
    #[error("claim {claim:?} is not {expected}")]
    BadClaim {
        /// Its name or path.
        claim: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// A mapped text has control, bidirectional or invisible characters, which could forge a line of a log.
    #[error("claim {0:?} contains control or invisible characters")]
    UnprintableClaim(String),
    /// A mapped text is longer than is accepted.
    #[error("claim {claim:?} is {bytes} bytes long; at most {bytes_max} are accepted")]
    ClaimTooLong {
        /// Its name or path.
        claim: String,
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// More groups than the rules accept.
    #[error("token names {groups} groups; at most {groups_max} are accepted")]
    TooManyGroups {
        /// How many.
        groups: usize,
        /// The limit.
        groups_max: usize,
    },
    /// `aud` has none of the audiences of the rules.
    #[error("audience is {found}, expected one of {expected:?}")]
    WrongAudience {
        /// What the token says.
        found: Excerpt,
        /// What the rules say.
        expected: Vec<String>,
    },
    /// `azp` (or RFC 9068's `client_id`) is missing or not in the rules' list.
    #[error("authorized party is {}, expected one of {expected:?}", .found.as_ref().map_or("missing".to_owned(), ToString::to_string))]
    WrongAuthorizedParty {
        /// What the token says.
        found: Option<Excerpt>,
        /// What the rules say.
        expected: Vec<String>,
    },
    /// `exp` has passed, by more than the leeway.
    #[error("token expired {seconds_ago} s ago")]
    Expired {
        /// How long ago, without the leeway.
        seconds_ago: u64,
    },
    /// `nbf` is still to come, by more than the leeway.
    #[error("token is not valid for another {seconds_left} s (nbf)")]
    NotYetValid {
        /// How far ahead, without the leeway.
        seconds_left: u64,
    },
    /// `iat` is in the future, by more than the leeway.
    #[error("token says that it was issued {seconds_ahead} s from now (iat); check the clocks")]
    IssuedInFuture {
        /// How far ahead, without the leeway.
        seconds_ahead: u64,
    },
    /// `iat` is longer ago than the rules' `age_max`.
    #[error("token was issued {seconds_ago} s ago; at most {seconds_max} s are accepted")]
    TooOld {
        /// How long ago.
        seconds_ago: u64,
        /// The limit.
        seconds_max: u64,
    },
    /// `exp - iat` is more than the rules' `lifetime_max`.
    #[error("token lives for {seconds} s; at most {seconds_max} s are accepted")]
    LivesTooLong {
        /// How long.
        seconds: u64,
        /// The limit.
        seconds_max: u64,
    },
    /// `cnf`: the token is bound to a key whose possession was not proved (RFC 7800, RFC 9449, RFC 8705).
    #[error("token is bound to a key (cnf) and can't be used as a bearer token")]
    BoundToKey,
    /// `cnf` with `x5t#S256` only, and the client showed no certificate.
    #[error("token is bound to a certificate (cnf), and the client showed none")]
    BoundToCertificate,
    /// `cnf` with `x5t#S256` only, and the client showed another certificate.
    #[error("token is bound to another certificate (cnf) than the client showed")]
    BoundToAnotherCertificate,
    /// A JWT-SVID whose subject is not in the trust domain of the rules, or no SPIFFE ID.
    #[error("subject is no SPIFFE ID of a workload in trust domain {0}")]
    WrongTrustDomain(TrustDomain),
    /// The issuer says that the token is not active: revoked, expired, or not its own.
    #[error("the issuer says that the token is not active")]
    Inactive,
    /// The issuer's answer about the token names another subject than the token.
    #[error("the issuer's answer about the token is about another subject")]
    AnotherToken,
    /// `act`, from an issuer whose rules refuse it.
    #[error("token has an actor (act), which is refused for this issuer")]
    HasActor,
    /// `act.iss` is not the token's own issuer.
    #[error(
        "actor is of issuer {0}, not of the token's own; no issuer is believed about another's identities"
    )]
    ForeignActor(Excerpt),
    /// `act` is nested too deeply.
    #[error("token names more than {actors_max} actors, one inside another")]
    TooManyActors {
        /// The limit.
        actors_max: usize,
    },
    /// It has `events`: it tells of something (RFC 8417), and says of nobody that they are there.
    #[error("token is a security event (claim \"events\"), not an access or identity token")]
    SecurityEvent,
    /// A logout token or security event without the event that is expected.
    #[error("token has no event {0:?}")]
    MissingEvent(&'static str),
    /// A logout token with a `nonce`, as an identity token has it (Back-Channel Logout 1.0, 2.4).
    #[error("logout token has a nonce")]
    Nonce,
    /// An ID token whose `nonce` is not that of this login.
    #[error("ID token is for another login (claim \"nonce\")")]
    AnotherLogin,
    /// An ID token that came with another access token than it says (OpenID Connect Core 1.0, 3.1.3.6).
    #[error("ID token came with another access token (claim \"at_hash\")")]
    AnotherAccessToken,
    /// Nobody is named in a form that is understood.
    #[error("token names no subject and no session in a form that is understood")]
    NoSubject,
}

impl Rejection {
    /// Returns whether a newer key set could change the answer.
    pub const fn is_unknown_key(&self) -> bool {
        matches!(self, Self::UnknownKey(_))
    }
}

/// A short, escaped piece of what a token says, fit for one line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    /// At most this many characters are kept.
    const CHARS_MAX: usize = 80;

    /// Takes the beginning of `text`.
    pub fn of(text: &str) -> Self {
        let mut kept: String = text.chars().take(Self::CHARS_MAX).collect();
        if kept.len() < text.len() {
            kept.push('…');
        }
        Self(kept)
    }
}

impl fmt::Display for Excerpt {
    /// Writes it quoted, with everything unprintable escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

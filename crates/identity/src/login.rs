//! ID tokens (OpenID Connect Core 1.0, 2 and 3.1.3.7): who has just logged in with a browser. Knows no browser, and no code flow.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Method;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use crate::claims;
use crate::compact::{Compact, Types, Unverified, peek_as};
use crate::origin::Origin;
use crate::rejection::Excerpt;
use crate::verified::{check_issuer, check_signature};
use crate::{Algorithm, ClaimPath, IssuerRules, KeySet, Rejection, Verified};

/// An ID token comes straight from the token endpoint; an older one was kept somewhere.
const AGE_MAX: Duration = Duration::from_secs(600);

/// What an ID token must answer to.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// By what name the issuer knows whoever logs people in.
    pub client_id: &'a str,
    /// What was sent with the authorization request.
    pub nonce: &'a str,
    /// The access token that came beside it, if one did.
    pub access_token: Option<&'a str>,
}

/// Reads from an ID token what is needed to choose an issuer and a key.
///
/// # Errors
/// A [`Rejection`]: the issuer's fault, or of whoever sent it.
pub fn peek_id_token(token: &str) -> Result<Unverified, Rejection> {
    peek_as(token, &Types::ID_TOKEN)
}

/// Checks an ID token (OpenID Connect Core 1.0, 3.1.3.7), and maps its claims as an access token's. Returns also its `email`, if the
/// issuer doesn't say that it is unverified.
///
/// SECURITY: its audience is the client alone. What agents show the gateway has another, so neither is taken for the other; nor is a
/// token without the nonce of this login.
///
/// # Errors
/// A [`Rejection`]: the issuer's fault, or, of [`UnknownKey`](Rejection::UnknownKey), perhaps a key set gone stale.
pub fn verify_id_token(
    token: &str,
    rules: &IssuerRules,
    keys: &KeySet,
    expected: Expected<'_>,
    now: SystemTime,
) -> Result<(Verified, Option<String>), Rejection> {
    crate::init();
    let token =
        Compact::parse_as(token, rules.token_bytes_max.min(crate::TOKEN_BYTES_MAX), &Types::ID_TOKEN)?;
    if !rules.algorithms.contains(&token.algorithm) {
        return Err(Rejection::AlgorithmNotAllowed(token.algorithm));
    }
    check_issuer(&token, rules)?;
    check_signature(&token, keys)?;
    let rules = IssuerRules {
        audiences: vec![expected.client_id.to_owned()],
        // These two are about the tokens of agents.
        authorized_parties: Vec::new(),
        lifetime_max: None,
        age_max: Some(AGE_MAX),
        ..rules.clone()
    };
    let expires_at = claims::check_times(&token.claims, &rules, now)?;
    claims::check_addressees(&token.claims, &rules)?;
    check_party(&token, expected.client_id)?;
    let nonce = claims::string(token.claims.get("nonce"), "nonce")?;
    let nonce = nonce.ok_or_else(|| Rejection::MissingClaim("nonce".to_owned()))?;
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(Rejection::AnotherLogin);
    }
    check_access_token(&token, expected.access_token)?;
    if token.claims.get("events").is_some() {
        return Err(Rejection::SecurityEvent);
    }
    let (identity, prior_actors) = claims::identity(&token.claims, &rules)?;
    let origin = Origin::of(&token.claims)?;
    let verified = Verified::new(identity, Method::Token, expires_at, prior_actors).with_origin(origin);
    Ok((verified, email(&token)?))
}

/// Core 3.1.3.7: with several audiences there must be an `azp`, and if there is one it must be the client.
fn check_party(token: &Compact<'_>, client_id: &str) -> Result<(), Rejection> {
    let party = claims::string(token.claims.get("azp"), "azp")?;
    let alone = claims::audience(&token.claims)?.len() == 1;
    if party == Some(client_id) || (party.is_none() && alone) {
        return Ok(());
    }
    let (found, expected) = (party.map(Excerpt::of), vec![client_id.to_owned()]);
    Err(Rejection::WrongAuthorizedParty { found, expected })
}

/// Core 3.1.3.6: the left half of the hash that goes with the signature's algorithm.
fn check_access_token(token: &Compact<'_>, access_token: Option<&str>) -> Result<(), Rejection> {
    let (Some(found), Some(access_token)) =
        (claims::string(token.claims.get("at_hash"), "at_hash")?, access_token)
    else {
        return Ok(());
    };
    let bytes = access_token.as_bytes();
    let digest = match token.algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => Sha256::digest(bytes).to_vec(),
        Algorithm::Rs384 | Algorithm::Ps384 | Algorithm::Es384 => Sha384::digest(bytes).to_vec(),
        // RFC 8032 5.1: Ed25519 is made with SHA-512.
        Algorithm::Rs512 | Algorithm::Ps512 | Algorithm::EdDsa => Sha512::digest(bytes).to_vec(),
    };
    let half = digest.get(..digest.len() / 2).unwrap_or_default();
    if URL_SAFE_NO_PAD.encode(half) == found { Ok(()) } else { Err(Rejection::AnotherAccessToken) }
}

fn email(token: &Compact<'_>) -> Result<Option<String>, Rejection> {
    let path = ClaimPath::top("email");
    if token.claims.get("email_verified").is_some_and(|verified| verified == false || verified == "false") {
        return Ok(None);
    }
    match claims::string(token.claims.get("email"), "email")? {
        Some(email) => claims::named(email, &path).map(Some),
        None => Ok(None),
    }
}

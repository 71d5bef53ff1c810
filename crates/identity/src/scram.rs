//! SCRAM-SHA-256 proofs of legacy accounts (RFC 5802, section 3): is this the account's password, and which keys follow from it.
//!
//! Knows verifiers and proofs as bytes; not the messages that carry them (`wire`), nor where verifiers come from.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use model::{Identity, Method, ScramKeys, ScramVerifier, Secret};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::Verified;

/// How PostgreSQL's verifiers begin (`scram_build_secret`, common/scram-common.c).
const PREFIX: &str = "SCRAM-SHA-256$";

/// The rounds of PostgreSQL's verifiers, unless `scram_iterations` says otherwise (`SCRAM_SHA_256_DEFAULT_ITERATIONS`).
const ITERATIONS_DEFAULT: u32 = 4096;

/// The bytes of their salt (`SCRAM_DEFAULT_SALT_LEN`).
const SALT_BYTES: usize = 16;

/// Of longer salts and more rounds there is no verifier of PostgreSQL's that a client would take.
const SALT_BYTES_MAX: usize = 64;
const ITERATIONS_MAX: u32 = 100_000;

/// Why a text is no verifier that a proof can be checked by. Holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// An md5 hash: a client's proof can't be checked by it.
    #[error("is an md5 hash; set password_encryption = 'scram-sha-256' and set the same password again")]
    Md5,
    /// Something else.
    #[error("is no SCRAM-SHA-256 verifier as PostgreSQL keeps them in pg_authid.rolpassword")]
    Form,
    /// A salt or number of rounds that no client takes.
    #[error("has more than {ITERATIONS_MAX} iterations or a salt over {SALT_BYTES_MAX} bytes")]
    Costly,
}

/// Reads `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` (`parse_scram_secret`, libpq/auth-scram.c).
///
/// # Errors
/// [`VerifierError`]: whoever keeps it.
pub fn parse_verifier(text: &str) -> Result<ScramVerifier, VerifierError> {
    // As `get_password_type` has it (libpq/crypt.c).
    if text.len() == 35
        && text.strip_prefix("md5").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Err(VerifierError::Md5);
    }
    let parts = || {
        let (cost, keys) = text.strip_prefix(PREFIX)?.split_once('$')?;
        let (iterations, salt) = cost.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let digits = iterations.bytes().all(|byte| byte.is_ascii_digit());
        let iterations: u32 = iterations.parse().ok().filter(|count| digits && *count > 0)?;
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
        let key = |text: &str| Some(Secret::new(<[u8; 32]>::try_from(STANDARD.decode(text).ok()?).ok()?));
        Some(ScramVerifier { iterations, salt, stored_key: key(stored_key)?, server_key: key(server_key)? })
    };
    let verifier = parts().ok_or(VerifierError::Form)?;
    if verifier.iterations > ITERATIONS_MAX || verifier.salt.len() > SALT_BYTES_MAX {
        return Err(VerifierError::Costly);
    }
    Ok(verifier)
}

/// Writes what [`parse_verifier`] reads.
pub fn render_verifier(verifier: &ScramVerifier) -> Secret<String> {
    let ScramVerifier { iterations, salt, stored_key, server_key } = verifier;
    let [salt, stored, server] =
        [salt.as_slice(), stored_key.expose(), server_key.expose()].map(|bytes| STANDARD.encode(bytes));
    Secret::new(format!("{PREFIX}{iterations}:{salt}${stored}:{server}"))
}

/// Makes what a name without an account is asked with, so that the exchange looks like that of an account and always fails: the
/// same for the same name, as deep as `like`, and random to whoever doesn't know `secret`
/// (`mock_scram_secret`, libpq/auth-scram.c).
pub fn mock_verifier(
    secret: &[u8; 32],
    name: &str,
    database: &str,
    like: Option<&ScramVerifier>,
) -> ScramVerifier {
    let derived = |what: &str| {
        let lengths = [name.len().to_be_bytes(), database.len().to_be_bytes()].concat();
        hmac(secret, &[what.as_bytes(), &lengths, name.as_bytes(), database.as_bytes()].concat())
    };
    let bytes = like.map_or(SALT_BYTES, |like| like.salt.len());
    let salt = derived("salt").into_iter().chain(derived("more salt")).take(bytes).collect();
    ScramVerifier {
        iterations: like.map_or(ITERATIONS_DEFAULT, |like| like.iterations),
        salt,
        stored_key: Secret::new(derived("stored key")),
        server_key: Secret::new(derived("server key")),
    }
}

/// A legacy account as it is configured.
#[derive(Clone, Debug)]
pub struct Account {
    /// Who its sessions are.
    pub identity: Identity,
    /// When it is no longer let in, and its sessions end.
    pub until: Option<SystemTime>,
    /// The longest that one of its sessions may last.
    pub session_max: Duration,
}

/// What a right proof yields.
pub struct Proven {
    /// Who the client is.
    pub verified: Verified,
    /// What to log in with upstream, as that account.
    pub keys: ScramKeys,
    /// ServerSignature, with which we prove to the client that we know its password too.
    pub server_signature: [u8; 32],
}

/// Why a proof is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramRejection {
    /// The password is wrong, or there is no such account: the client must not learn which.
    #[error("the proof is wrong")]
    Proof,
    /// The password is right, and the account's time is over: the client may learn that.
    #[error("legacy account \"{}\" is closed since its deadline", .0.subject)]
    Over(Box<Identity>),
}

/// Checks a client's proof by the account's verifier; `account` is `None` where the verifier is a mock.
///
/// Takes the same time whether there is an account or not, and whatever is wrong with the proof.
///
/// # Errors
/// [`ScramRejection`]: client.
pub fn verify_scram(
    auth_message: &[u8],
    proof: &Secret<[u8; 32]>,
    verifier: &ScramVerifier,
    account: Option<Account>,
    now: SystemTime,
) -> Result<Proven, ScramRejection> {
    let ScramVerifier { iterations, salt, stored_key, server_key } = verifier;
    let signature = Secret::new(hmac(stored_key.expose(), auth_message));
    let mut client_key = Zeroizing::new([0; 32]);
    for ((key, proof), signature) in client_key.iter_mut().zip(proof.expose()).zip(signature.expose()) {
        *key = proof ^ signature;
    }
    let client_key = Secret::new(*client_key);
    let shown: [u8; 32] = Sha256::digest(client_key.expose()).into();
    let right = bool::from(shown.ct_eq(stored_key.expose()));
    let server_signature = hmac(server_key.expose(), auth_message);
    // SECURITY: a mock's StoredKey is the hash of nothing known; should a proof fit all the same, there is still no account.
    let (true, Some(Account { identity, until, session_max })) = (right, account) else {
        return Err(ScramRejection::Proof);
    };
    if until.is_some_and(|until| until <= now) {
        return Err(ScramRejection::Over(Box::new(identity)));
    }
    let longest = now.checked_add(session_max).unwrap_or(now);
    let expires_at = until.map_or(longest, |until| until.min(longest));
    let keys =
        ScramKeys { iterations: *iterations, salt: salt.clone(), client_key, server_key: server_key.clone() };
    let verified = Verified::new(identity, Method::Passthrough, expires_at, Vec::new());
    Ok(Proven { verified, keys, server_signature })
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac.chain_update(message).finalize().into_bytes().into(),
        // HMAC takes keys of any length: never.
        Err(_) => [0; 32],
    }
}

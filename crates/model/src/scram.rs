//! What SCRAM-SHA-256 keeps of a password, and what an exchange yields (RFC 5802, section 3). Computes nothing.

use crate::Secret;

/// What a server keeps of a password: enough to check a proof and to prove itself, not enough to make a client's proof.
#[derive(Clone)]
pub struct ScramVerifier {
    /// Rounds of PBKDF2 that the client does; the server does none.
    pub iterations: u32,
    /// Of the password; no secret.
    pub salt: Vec<u8>,
    /// SHA-256 of the ClientKey.
    pub stored_key: Secret<[u8; 32]>,
    /// What the server proves itself with.
    pub server_key: Secret<[u8; 32]>,
}

/// What a successful exchange yields: enough to log in as its user wherever the same verifier is kept.
#[derive(Clone)]
pub struct ScramKeys {
    /// Of the verifier; another salt or count means that these keys are of another password.
    pub iterations: u32,
    /// Of the verifier.
    pub salt: Vec<u8>,
    /// What the client proves itself with: as good as the password, for this verifier.
    pub client_key: Secret<[u8; 32]>,
    /// What the server proves itself with.
    pub server_key: Secret<[u8; 32]>,
}

//! The client's side of an exchange by ClientKey and ServerKey instead of a password (RFC 5802, section 3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use model::ScramKeys;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Gs2, ScramError};

/// See the module. What a server may say has been checked for form before it comes here.
pub(super) struct Keyed {
    keys: ScramKeys,
    gs2: Vec<u8>,
    bound: Vec<u8>,
    first_bare: String,
    auth_message: Vec<u8>,
}

impl Keyed {
    pub(super) fn new(keys: ScramKeys, binding: &Gs2, nonce: &str) -> Self {
        let (gs2, bound) = match binding {
            Gs2::Bound(hash) => (&b"p=tls-server-end-point,,"[..], hash.clone()),
            Gs2::NotOffered => (&b"y,,"[..], Vec::new()),
            Gs2::Unsupported => (&b"n,,"[..], Vec::new()),
        };
        // The server takes the user's name from the StartupMessage, and libpq too leaves it out here.
        let first_bare = format!("n=,r={nonce}");
        Self { keys, gs2: gs2.to_vec(), bound, first_bare, auth_message: Vec::new() }
    }

    pub(super) fn initial(&self) -> Vec<u8> {
        [&self.gs2, self.first_bare.as_bytes()].concat()
    }

    /// Answers `r=nonce,s=salt,i=count`, the form of which has been checked.
    pub(super) fn respond(&mut self, server_first: &[u8]) -> Result<Vec<u8>, ScramError> {
        let text = std::str::from_utf8(server_first).map_err(|_| ScramError::Malformed("not UTF-8"))?;
        let mut attributes = text.split(',').map(|attribute| attribute.get(2..).unwrap_or_default());
        let (nonce, salt, count) = (attributes.next(), attributes.next(), attributes.next());
        let salt = STANDARD
            .decode(salt.unwrap_or_default())
            .map_err(|_| ScramError::Malformed("salt is not base64"))?;
        // SECURITY: a proof for another salt would be of no use to the server, and the operator is to hear why.
        if salt != self.keys.salt || count.and_then(|count| count.parse().ok()) != Some(self.keys.iterations)
        {
            return Err(ScramError::OtherVerifier);
        }
        let channel = STANDARD.encode([self.gs2.as_slice(), &self.bound].concat());
        let without_proof = format!("c={channel},r={}", nonce.unwrap_or_default());
        self.auth_message =
            [self.first_bare.as_bytes(), b",", server_first, b",", without_proof.as_bytes()].concat();
        let client_key = self.keys.client_key.expose();
        let stored_key = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(client_key)));
        let signature = Zeroizing::new(signature(&stored_key, &self.auth_message)?);
        let proof: Vec<u8> = client_key.iter().zip(signature.iter()).map(|(key, sign)| key ^ sign).collect();
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes())
    }

    /// Checks `v=signature`.
    pub(super) fn check(&mut self, server_final: &[u8]) -> Result<(), ScramError> {
        let value = server_final.strip_prefix(b"v=").unwrap_or_default();
        let given = STANDARD.decode(value).map_err(|_| ScramError::Signature)?;
        let expected = signature(self.keys.server_key.expose(), &self.auth_message)?;
        if bool::from(given.ct_eq(&expected)) { Ok(()) } else { Err(ScramError::Signature) }
    }
}

fn signature(key: &[u8; 32], message: &[u8]) -> Result<[u8; 32], ScramError> {
    // HMAC takes keys of any length.
    let mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| ScramError::Unexpected)?;
    Ok(mac.chain_update(message).finalize().into_bytes().into())
}

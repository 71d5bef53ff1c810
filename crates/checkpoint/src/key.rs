//! Ed25519 keys: PKCS #8 in PEM for whoever signs (as `openssl genpkey -algorithm ed25519` writes it), a line for whoever verifies.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Secret;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::note::{Note, Signature, is_key_name};

/// The signature type of Ed25519 in notes.
const TYPE_ED25519: u8 = 1;

/// The length of a signature (RFC 8032).
pub const SIGNATURE_BYTES: usize = 64;

/// What stands before the 32 bytes of an Ed25519 public key in DER (RFC 8410, section 4).
const SPKI_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// Why something is no key. Never holds any part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name.
    #[error("a key's name must not be empty and has neither spaces nor \"+\"")]
    Name,
    /// The private key.
    #[error("not an Ed25519 private key in PEM (PKCS #8); `gatepost audit keygen` makes one")]
    Private,
    /// The public key.
    #[error("not a public key; it is one line, NAME+ID+KEY, as `gatepost audit keygen` prints it")]
    Public,
    /// The PEM of a public key.
    #[error("not an Ed25519 public key in PEM, which begins with \"-----BEGIN PUBLIC KEY-----\"")]
    NotPublic,
    /// No key could be made.
    #[error("no key could be made: no randomness")]
    NoRandomness,
}

/// What checks signatures. Written `NAME+ID+KEY`, as Go's `golang.org/x/mod/sumdb/note` and witnesses have it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    id: u32,
    key: [u8; 32],
}

impl VerifierKey {
    /// Names a public key.
    ///
    /// # Errors
    /// [`KeyError::Name`]: caller.
    pub fn new(name: &str, key: [u8; 32]) -> Result<Self, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name);
        }
        let hash: [u8; 32] = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', TYPE_ED25519])
            .chain_update(key)
            .finalize()
            .into();
        let id = hash.first_chunk().map_or(0, |id| u32::from_be_bytes(*id));
        Ok(Self { name: name.to_owned(), id, key })
    }

    /// Reads a public key from PEM (SubjectPublicKeyInfo, RFC 8410), as OpenSSL and key services give it.
    ///
    /// # Errors
    /// - [`KeyError::Name`][]: caller.
    /// - [`KeyError::NotPublic`]: whoever made it.
    pub fn from_pem(name: &str, pem: &str) -> Result<Self, KeyError> {
        let read = || {
            let (_, after) = pem.split_once("-----BEGIN PUBLIC KEY-----")?;
            let (body, _) = after.split_once("-----END PUBLIC KEY-----")?;
            let bytes = STANDARD.decode(body.split_whitespace().collect::<String>()).ok()?;
            bytes.strip_prefix(&SPKI_ED25519)?.try_into().ok()
        };
        Self::new(name, read().ok_or(KeyError::NotPublic)?)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether a signature says that it is of this key. Whether it is, is for [`Self::verifies`].
    pub fn is_of(&self, signature: &Signature) -> bool {
        self.id == signature.id && self.name == signature.name
    }

    /// Returns whether this key has signed a text so.
    pub fn verifies(&self, text: &str, signature: &Signature) -> bool {
        self.is_of(signature)
            && UnparsedPublicKey::new(&ED25519, self.key).verify(text.as_bytes(), &signature.bytes).is_ok()
    }

    /// Returns whether this key has signed the note: `None` if it does not say so.
    pub fn signed(&self, note: &Note) -> Option<bool> {
        // The first line of a key decides, as in Go's implementation: a second one can't make a forged note good.
        let line = note.signatures().iter().find(|line| self.is_of(line))?;
        Some(self.verifies(note.text(), line))
    }

    /// Makes the line of a signature that was made elsewhere.
    ///
    /// # Errors
    /// [`KeyError::Public`]: it isn't this key's signature of the text.
    pub fn line(&self, text: &str, signature: &[u8]) -> Result<Signature, KeyError> {
        let line = Signature { name: self.name.clone(), id: self.id, bytes: signature.to_vec() };
        if self.verifies(text, &line) { Ok(line) } else { Err(KeyError::Public) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, id, key } = self;
        write!(f, "{name}+{id:08x}+{}", STANDARD.encode([&[TYPE_ED25519][..], key].concat()))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Public);
        };
        let bytes = STANDARD.decode(key).map_err(|_| KeyError::Public)?;
        let key = match bytes.split_first() {
            Some((&TYPE_ED25519, key)) => key.try_into().map_err(|_| KeyError::Public)?,
            _ => return Err(KeyError::Public),
        };
        let read = Self::new(name, key)?;
        if id.len() == 8 && u32::from_str_radix(id, 16) == Ok(read.id) {
            Ok(read)
        } else {
            Err(KeyError::Public)
        }
    }
}

/// What signs.
pub struct SigningKey {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// Makes a key, and returns it as PEM.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`]: the system.
    pub fn generate() -> Result<Secret<String>, KeyError> {
        let made = || {
            let pair = Ed25519KeyPair::generate().ok()?;
            // Version 1 of PKCS #8, which every OpenSSL reads.
            let bytes = pair.to_pkcs8v1().ok()?;
            let body = Zeroizing::new(STANDARD.encode(bytes.as_ref()));
            Some(Secret::new(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", *body)))
        };
        made().ok_or(KeyError::NoRandomness)
    }

    /// Reads a key.
    ///
    /// # Errors
    /// - [`KeyError::Name`][]: caller.
    /// - [`KeyError::Private`]: whoever made it.
    pub fn from_pem(name: &str, pem: &Secret<String>) -> Result<Self, KeyError> {
        let read = || {
            let (_, after) = pem.expose().split_once(PEM_BEGIN)?;
            let (body, _) = after.split_once(PEM_END)?;
            let body = Zeroizing::new(body.split_whitespace().collect::<String>());
            let bytes = Zeroizing::new(STANDARD.decode(&*body).ok()?);
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes).ok()
        };
        let pair = read().ok_or(KeyError::Private)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Private)?;
        Ok(Self { verifier: VerifierKey::new(name, key)?, pair })
    }

    /// Returns what checks its signatures.
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text.
    pub fn sign(&self, text: &str) -> Signature {
        let VerifierKey { name, id, key: _ } = &self.verifier;
        Signature { name: name.clone(), id: *id, bytes: self.pair.sign(text.as_bytes()).as_ref().to_vec() }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier)
    }
}

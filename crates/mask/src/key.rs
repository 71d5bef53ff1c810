//! Keyed pseudonyms: HMAC-SHA-256. Knows no formats.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The key of all pseudonyms of a database. Whoever has it can find a value by trying: no `Debug`, and never in a log.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

/// A key that can be guessed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("mask key has {0} bytes; at least {min} are needed", min = Key::BYTES_MIN)]
pub struct KeyTooShort(usize);

/// What a pseudonym stands for: pseudonyms of different things never meet.
#[derive(Clone, Copy)]
pub(crate) enum Domain {
    Text,
    Number,
    Uuid,
    Bytes,
}

impl Key {
    /// The shortest key.
    pub const BYTES_MIN: usize = 16;

    /// Takes a secret.
    ///
    /// # Errors
    /// [`KeyTooShort`]: operator.
    pub fn new(secret: &[u8]) -> Result<Self, KeyTooShort> {
        if secret.len() < Self::BYTES_MIN {
            return Err(KeyTooShort(secret.len()));
        }
        // HMAC takes keys of any length (RFC 2104); the error is never made.
        Hmac::new_from_slice(secret).map(Self).map_err(|_| KeyTooShort(secret.len()))
    }

    pub(crate) fn pseudonym(&self, domain: Domain, value: &[u8]) -> [u8; 32] {
        let label: &[u8] = match domain {
            Domain::Text => b"text\0",
            Domain::Number => b"number\0",
            Domain::Uuid => b"uuid\0",
            Domain::Bytes => b"bytes\0",
        };
        self.0.clone().chain_update(label).chain_update(value).finalize().into_bytes().into()
    }

    /// A UUID of version 8, "custom" (RFC 9562).
    pub(crate) fn uuid(&self, value: [u8; 16]) -> [u8; 16] {
        let mut uuid = u128::from_be_bytes(first(self.pseudonym(Domain::Uuid, &value)));
        uuid &= !((0xf << 76) | (0b11 << 62));
        uuid |= (8 << 76) | (0b10 << 62);
        uuid.to_be_bytes()
    }

    /// A number from 1 to 2^63 - 1.
    pub(crate) fn number(&self, value: i64) -> i64 {
        let bytes: [u8; 8] = first(self.pseudonym(Domain::Number, value.to_string().as_bytes()));
        (i64::from_be_bytes(bytes) & i64::MAX).max(1)
    }
}

fn first<const N: usize>(digest: [u8; 32]) -> [u8; N] {
    digest.first_chunk().copied().unwrap_or([0; N])
}

//! Encryption of chunks for recipients, and reading them again: each chunk is an age message (age-encryption.org/v1) of its own.
//! Knows nothing of what is in it.
//!
//! The only place where randomness comes from outside: age takes it from the system for each message's key.

use std::io::{Read, Write};
use std::str::FromStr;

use age::{Decryptor, Encryptor, Identity, Recipient};

/// For whom chunks are encrypted: `age1...`, as `age-keygen` prints them.
#[derive(Clone)]
pub struct Recipients {
    keys: Vec<age::x25519::Recipient>,
    names: Vec<String>,
}

/// What is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not `age1...`.
    #[error("{0:?} is no age recipient; it must be of the form age1..., as age-keygen prints it")]
    Recipient(String),
    /// Nobody is named.
    #[error("there is no recipient")]
    NoRecipient,
    /// A line of a file of identities.
    #[error("line {0} is no age identity; it must be of the form AGE-SECRET-KEY-1..., or begin with #")]
    Identity(usize),
    /// A file of identities without one.
    #[error("there is no identity")]
    NoIdentity,
}

/// Why a chunk can't be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// age, writing.
    #[error("a chunk can't be encrypted")]
    Encrypt(#[source] age::EncryptError),
    /// Writing to memory, which age reports as it does of files.
    #[error("a chunk can't be encrypted")]
    Write(#[source] std::io::Error),
    /// None of the identities is a recipient.
    #[error("none of the identities given is a recipient")]
    Stranger,
    /// The chunk isn't what its recipients got.
    #[error("a chunk can't be decrypted")]
    Decrypt(#[source] age::DecryptError),
    /// Its end, or something in it, isn't what was encrypted.
    #[error("a chunk can't be decrypted")]
    Read(#[source] std::io::Error),
    /// More than a chunk can be.
    #[error("a chunk is larger than the format allows")]
    TooLarge,
}

impl Recipients {
    /// Reads them.
    ///
    /// # Errors
    /// [`KeyError::Recipient`] and [`KeyError::NoRecipient`]: whoever wrote the configuration.
    pub fn parse(names: &[String]) -> Result<Self, KeyError> {
        let read = |name: &String| {
            age::x25519::Recipient::from_str(name).map_err(|_| KeyError::Recipient(name.clone()))
        };
        let keys: Vec<_> = names.iter().map(read).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::NoRecipient);
        }
        Ok(Self { keys, names: names.to_vec() })
    }

    /// Returns them as they were written.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Encrypts.
    pub(crate) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let keys = self.keys.iter().map(|key| -> &dyn Recipient { key });
        let encryptor = Encryptor::with_recipients(keys).map_err(SealError::Encrypt)?;
        let mut sealed = Vec::with_capacity(plain.len() + 512);
        let mut writer = encryptor.wrap_output(&mut sealed).map_err(SealError::Write)?;
        writer.write_all(plain).map_err(SealError::Write)?;
        writer.finish().map_err(SealError::Write)?;
        Ok(sealed)
    }
}

/// Who reads: the other halves of recipients.
pub struct Identities(Vec<age::x25519::Identity>);

impl Identities {
    /// Reads a file of identities, as `age-keygen -o` writes it.
    ///
    /// # Errors
    /// [`KeyError::Identity`] and [`KeyError::NoIdentity`]: whoever gives the file.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            keys.push(age::x25519::Identity::from_str(line).map_err(|_| KeyError::Identity(number + 1))?);
        }
        if keys.is_empty() { Err(KeyError::NoIdentity) } else { Ok(Self(keys)) }
    }

    /// Decrypts, up to `bytes_max`.
    pub(crate) fn open(&self, sealed: &[u8], bytes_max: usize) -> Result<Vec<u8>, SealError> {
        let decryptor = Decryptor::new(sealed).map_err(SealError::Decrypt)?;
        let keys = self.0.iter().map(|key| -> &dyn Identity { key });
        let reader = decryptor.decrypt(keys).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => SealError::Stranger,
            error => SealError::Decrypt(error),
        })?;
        let mut plain = Vec::new();
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        reader.take(limit.saturating_add(1)).read_to_end(&mut plain).map_err(SealError::Read)?;
        if plain.len() > bytes_max { Err(SealError::TooLarge) } else { Ok(plain) }
    }
}

//! The development issuer's signing key, in a file that `dev-issuer` and `dev-token` share. Signs nothing itself.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use model::Secret;

/// The name of the file within its directory.
const FILE_NAME: &str = "dev-issuer-key.pem";

/// A PEM key of P-256 is about 240 bytes.
const FILE_BYTES_MAX: u64 = 4096;

/// An ES256 key for development.
pub struct DevKey {
    encoding: EncodingKey,
    public: Jwk,
    id: String,
}

/// A key that can't be made, read or trusted.
#[derive(Debug, thiserror::Error)]
pub enum DevKeyError {
    /// The key can't be generated.
    #[error("development key can't be generated")]
    Generate(#[source] rcgen::Error),
    /// The file or its directory can't be made, read or written.
    #[error("development key {path:?} can't be read or made")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read the file.
    #[error(
        "development key {path:?} has mode {mode:03o}, so that others can use it; chmod it to 600 or delete it"
    )]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is a link, a directory, ...
    #[error("development key {path:?} is not a regular file")]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// It is no P-256 key in PEM.
    #[error("{place} is not a P-256 private key in PEM; delete it to have a new one made")]
    Pem {
        /// Where it came from.
        place: String,
        /// Why.
        source: jsonwebtoken::errors::Error,
    },
}

impl DevKey {
    /// Makes a key that lives in memory only.
    ///
    /// # Errors
    /// [`DevKeyError::Generate`], [`DevKeyError::Pem`]: the cryptography library's fault.
    pub fn generate() -> Result<Self, DevKeyError> {
        Self::from_pem(generate_pem()?.expose(), "the generated key")
    }

    /// Opens the key kept in a directory, making both (modes 0600 and 0700) if they aren't there.
    ///
    /// Two processes that do so at once get the same key.
    ///
    /// # Errors
    /// [`DevKeyError`]: the operator's fault, for the most part.
    pub fn open_or_create(directory: &Path) -> Result<Self, DevKeyError> {
        let path = directory.join(FILE_NAME);
        match Self::open(directory) {
            Err(DevKeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let file = |source| DevKeyError::File { path: path.clone(), source };
                DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(file)?;
                create(directory, &path, generate_pem()?.expose()).map_err(file)?;
                Self::open(directory)
            }
            result => result,
        }
    }

    /// Opens the key kept in a directory.
    ///
    /// # Errors
    /// [`DevKeyError`]: the operator's fault.
    pub fn open(directory: &Path) -> Result<Self, DevKeyError> {
        let path = directory.join(FILE_NAME);
        let io = |source| DevKeyError::File { path: path.clone(), source };
        if !path.symlink_metadata().map_err(io)?.is_file() {
            return Err(DevKeyError::NotAFile { path });
        }
        let file = File::open(&path).map_err(io)?;
        // Of the open file, so that it can't be exchanged in between.
        let metadata = file.metadata().map_err(io)?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(DevKeyError::Mode { path, mode });
        }
        let mut pem = String::with_capacity(FILE_BYTES_MAX as usize);
        let read = file.take(FILE_BYTES_MAX).read_to_string(&mut pem);
        let pem = Secret::new(pem);
        read.map_err(io)?;
        Self::from_pem(pem.expose(), &format!("{path:?}"))
    }

    fn from_pem(pem: &str, place: &str) -> Result<Self, DevKeyError> {
        identity::init();
        let bad = |source| DevKeyError::Pem { place: place.to_owned(), source };
        let encoding = EncodingKey::from_ec_pem(pem.as_bytes()).map_err(bad)?;
        let mut public = Jwk::from_encoding_key(&encoding, Algorithm::ES256).map_err(bad)?;
        // RFC 7638: another key never has the same id.
        let id = format!("dev-{}", public.thumbprint(ThumbprintHash::SHA256).map_err(bad)?);
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        public.common.key_algorithm = Some(KeyAlgorithm::ES256);
        Ok(Self { encoding, public, id })
    }

    /// Returns the key's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the public key set, as it is served.
    pub fn key_set(&self) -> serde_json::Value {
        serde_json::json!({ "keys": [self.public] })
    }

    pub(super) const fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }
}

impl fmt::Debug for DevKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn generate_pem() -> Result<Secret<String>, DevKeyError> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(DevKeyError::Generate)?;
    Ok(Secret::new(pair.serialize_pem()))
}

/// Writes the whole file under another name, then links it into place: the first of two wins, and neither is seen
/// half written.
fn create(directory: &Path, path: &Path, pem: &str) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let unique = NEXT.fetch_add(1, Ordering::Relaxed);
    let scratch = directory.join(format!(".{FILE_NAME}.{}.{unique}", std::process::id()));
    let result = write_new(&scratch, pem).and_then(|()| match std::fs::hard_link(&scratch, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    });
    // Best effort: a scratch file that stays is as private as the key.
    let _removed = std::fs::remove_file(&scratch);
    result
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

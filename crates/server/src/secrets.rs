//! Fetches secrets from where the configuration says they are, when a session needs them. Knows no use of a secret,
//! keeps none, and says none in an error. A file for each source.

mod aws;
mod http;
mod lease;
mod local;
mod sigv4;
mod vault;

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use config::{SecretRef, Upstream};
use model::Secret;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub use lease::Lease;
use local::Mode;

/// A secret is no longer than this, in bytes: room for a PEM key, or a long token.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// A session waits no longer for a secret than this.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a secret could not be fetched. Holds where it should be, never any part of it.
#[derive(Debug)]
pub struct SecretError {
    reference: String,
    fault: SecretFault,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret \"{}\" {}", self.reference, self.fault)
    }
}

impl Error for SecretError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

/// What went wrong; the operator's to mend.
#[derive(Debug, thiserror::Error)]
enum SecretFault {
    #[error("is not set in the environment of the gateway")]
    NotSet,
    #[error("cannot be read")]
    Read(#[source] io::Error),
    #[error("is not a plain file")]
    NotAFile,
    #[error("can be read or written by everybody (mode {mode:04o}); run chmod o-rw {path:?}")]
    OpenToOthers { mode: u32, path: PathBuf },
    #[error("is empty")]
    Empty,
    #[error("is longer than {SECRET_BYTES_MAX} bytes")]
    TooLong,
    #[error("is not UTF-8 text without zero bytes")]
    NotText,
    #[error("cannot be run")]
    NotRun(#[source] io::Error),
    #[error("failed with {0}; run it by hand to see why")]
    Failed(std::process::ExitStatus),
    #[error("took longer than {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error(
        "is a dynamic credential, whose user and password belong together and end with their lease: it can only be the user and the password of a database's login, both from the same path"
    )]
    Leased,
    #[error("can only be the password of a database's login: it is signed for that database and its user")]
    NotALogin,
    #[error("can't be fetched")]
    Vault(#[source] Box<vault::VaultFault>),
    #[error("can't be signed")]
    Aws(#[source] Box<aws::AwsFault>),
}

/// What a login upstream needs. To be held as long as the connection that it was used for lives.
pub struct Credentials {
    /// The role.
    pub user: Secret<String>,
    /// Its password, if there is one.
    pub password: Option<Secret<String>>,
    /// Of a dynamic credential: renewed while this is held, revoked when it is dropped.
    pub lease: Option<Lease>,
}

impl Credentials {
    /// Returns whether these are the same role and password.
    pub(crate) fn is_same(&self, user: &Secret<String>, password: Option<&Secret<String>>) -> bool {
        let bytes = |secret: Option<&Secret<String>>| secret.map(|secret| Sha256::digest(secret.expose()));
        self.user.expose() == user.expose() && bytes(self.password.as_ref()) == bytes(password)
    }
}

/// Fetches a secret. One newline at the end of a file or of a command's output is left out.
///
/// Dropping the future ends a command that it runs.
///
/// # Errors
/// [`SecretError`]: operator; it is not where it should be, is open to others, took over 10 s, or is one that only a login can use.
pub async fn resolve(reference: &SecretRef) -> Result<Secret<String>, SecretError> {
    resolve_within(reference, FETCH_TIMEOUT).await
}

async fn resolve_within(reference: &SecretRef, limit: Duration) -> Result<Secret<String>, SecretError> {
    let told = |fault| SecretError { reference: reference.to_string(), fault };
    match tokio::time::timeout(limit, fetch(reference)).await {
        Ok(fetched) => fetched.map_err(told),
        Err(_) => Err(told(SecretFault::TimedOut(limit))),
    }
}

/// Fetches user and password of a login to an upstream. Where both are at one path of Vault's they come from one answer, and
/// so from one lease or one version.
///
/// # Errors
/// [`SecretError`]: as [`resolve`].
pub async fn credentials(
    user: &SecretRef,
    password: Option<&SecretRef>,
    upstream: &Upstream,
) -> Result<Credentials, SecretError> {
    if let (SecretRef::Vault(name), Some(SecretRef::Vault(word))) = (user, password)
        && name.is_beside(word)
    {
        let told = |fault| SecretError { reference: user.to_string(), fault };
        let read = tokio::time::timeout(FETCH_TIMEOUT, vault::read(name)).await;
        let answer = read.unwrap_or(Err(SecretFault::TimedOut(FETCH_TIMEOUT))).map_err(told)?;
        let name = answer.field(name.field()).map_err(told)?;
        let word = answer.field(word.field());
        let word = word.map_err(|fault| SecretError {
            fault,
            reference: password.map(ToString::to_string).unwrap_or_default(),
        })?;
        return Ok(Credentials { user: name, password: Some(word), lease: answer.into_lease() });
    }
    let user = resolve(user).await?;
    let password = match password {
        Some(reference @ SecretRef::AwsRdsIam(aws)) => {
            let told = |fault| SecretError { reference: reference.to_string(), fault };
            let signed =
                tokio::time::timeout(FETCH_TIMEOUT, aws::rds_token(aws, upstream, user.expose())).await;
            let signed = signed.unwrap_or(Err(SecretFault::TimedOut(FETCH_TIMEOUT)));
            Some(signed.map_err(told)?)
        }
        Some(reference) => Some(resolve(reference).await?),
        None => None,
    };
    Ok(Credentials { user, password, lease: None })
}

/// Gives back what was borrowed: waits until leases that ended are revoked, and revokes tokens that the gateway got by logging in.
/// To be called when no session is left, before the process ends; takes a few seconds at most.
pub async fn close() {
    vault::close().await;
}

async fn fetch(reference: &SecretRef) -> Result<Secret<String>, SecretFault> {
    let SecretRef::Vault(reference) = reference else { return fetch_here(reference, Mode::Private).await };
    let answer = vault::read(reference).await?;
    let found = answer.field(reference.field());
    // SECURITY: half of a pair would be used after its lease has ended. Dropping the lease revokes it.
    match answer.into_lease() {
        Some(_lease) => Err(SecretFault::Leased),
        None => found,
    }
}

/// Fetches what needs no server: all that a server's own section can refer to.
async fn fetch_here(reference: &SecretRef, mode: Mode) -> Result<Secret<String>, SecretFault> {
    match reference {
        SecretRef::Env(name) => secret(&local::variable(name)?),
        SecretRef::File(path) => secret(&local::file(path, mode).await?),
        SecretRef::Exec(command) => secret(&local::run(command).await?),
        SecretRef::Vault(_) => Err(SecretFault::Leased),
        SecretRef::AwsRdsIam(_) => Err(SecretFault::NotALogin),
    }
}

fn secret(bytes: &Zeroizing<Vec<u8>>) -> Result<Secret<String>, SecretFault> {
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(SecretFault::TooLong);
    }
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    let text = text.ok_or(SecretFault::NotText)?;
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() {
        return Err(SecretFault::Empty);
    }
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests;

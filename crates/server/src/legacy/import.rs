//! `gatepost legacy import`: which roles of a server have a verifier, and the file that they are kept in.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use identity::{Userlist, VerifierError, parse_verifier, render_verifier};
use model::Secret;
use zeroize::Zeroizing;

use super::open;
use crate::upstream::Target;

/// To connect and log in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Of the file: what `secrets` takes at most.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Roles that log in, without PostgreSQL's own.
const QUERY: &str = "SELECT rolname, rolpassword, rolsuper FROM pg_catalog.pg_authid \
                     WHERE rolcanlogin AND rolname NOT LIKE 'pg\\_%' ORDER BY rolname COLLATE \"C\"";

/// A role and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it is a superuser, which no session should be.
    pub superuser: bool,
}

/// A role that could be imported.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it is a superuser.
    pub superuser: bool,
}

/// What became of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its verifier is in the file; it was not before.
    Imported,
    /// Its verifier is in the file in the place of another.
    Replaced,
    /// The file had it already.
    Unchanged,
    /// It has no password.
    NoPassword,
    /// Its password can't be checked without being known.
    Unfit(VerifierError),
}

impl Outcome {
    /// Returns whether the account can be used by passthrough.
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Imported | Self::Replaced | Self::Unchanged)
    }
}

/// Why nothing was imported: the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The server, or the login there.
    #[error("database \"{0}\": {1}")]
    Server(String, String),
    /// The file that is there.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// The file that is there is another.
    #[error("{0} is there and is no list of verifiers: {1}; name another file")]
    NotAList(PathBuf, String),
    /// More than fits.
    #[error("more than {FILE_BYTES_MAX} bytes of verifiers; import fewer into each file, with --user")]
    TooMuch,
}

/// Reads the verifiers of the roles that `wanted` says into a file, which only its owner can read; others that are in it stay.
///
/// # Errors
/// [`ImportError`]: operator. The file is as it was.
pub async fn import(
    database: &config::Database,
    from: &config::SecretRef,
    file: &Path,
    wanted: impl Fn(&Role<'_>) -> bool,
) -> Result<Vec<Found>, ImportError> {
    let failed = |why: String| ImportError::Server(database.name.clone(), why);
    let target = Target::new(&database.upstream).map_err(|error| failed(oidc::chain(&error)))?;
    let mut list = read(file)?;
    let mut reader = open(&database.upstream, &target, from, CONNECT_TIMEOUT).await.map_err(failed)?;
    let rows = reader.query(QUERY).await.map_err(|error| {
        failed(format!(
            "{}; reading pg_authid needs a superuser, or: GRANT SELECT ON pg_catalog.pg_authid TO the_reader",
            oidc::chain(&error)
        ))
    })?;
    reader.terminate().await;
    let mut found = Vec::new();
    for row in rows {
        let [Some(name), password, superuser] = row.as_slice() else { continue };
        let name = String::from_utf8_lossy(name).into_owned();
        let superuser = superuser.as_deref() == Some(b"t".as_slice());
        if !wanted(&Role { name: &name, superuser }) {
            continue;
        }
        let outcome = match password {
            Some(password) => take(&mut list, &name, &String::from_utf8_lossy(password)),
            None => Outcome::NoPassword,
        };
        found.push(Found { name, outcome, superuser });
    }
    if found.iter().any(|found| matches!(found.outcome, Outcome::Imported | Outcome::Replaced)) {
        let text = list.render();
        if text.expose().len() > FILE_BYTES_MAX {
            return Err(ImportError::TooMuch);
        }
        write(file, &text).map_err(|error| ImportError::File(file.to_owned(), error))?;
    }
    Ok(found)
}

fn take(list: &mut Userlist, name: &str, password: &str) -> Outcome {
    let verifier = match parse_verifier(password) {
        Ok(verifier) => render_verifier(&verifier),
        Err(why) => return Outcome::Unfit(why),
    };
    let outcome = match list.get(name) {
        Some(kept) if kept.expose() == verifier.expose() => return Outcome::Unchanged,
        Some(_) => Outcome::Replaced,
        None => Outcome::Imported,
    };
    list.set(name, verifier);
    outcome
}

fn read(file: &Path) -> Result<Userlist, ImportError> {
    let wrong = |error| ImportError::File(file.to_owned(), error);
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
    match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Userlist::default()),
        Err(error) => return Err(wrong(error)),
        Ok(open) => {
            let limit = FILE_BYTES_MAX as u64 + 1;
            open.take(limit).read_to_string(&mut text).map_err(wrong)?;
        }
    }
    Userlist::parse(&text).map_err(|why| ImportError::NotAList(file.to_owned(), why.to_string()))
}

/// Writes a file beside and renames it, so that a gateway that reads meanwhile has the one or the other whole.
fn write(file: &Path, text: &Secret<String>) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let _ = std::fs::remove_file(&beside);
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    // Whatever the umask: a mode that is narrower would leave the gateway out.
    open.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    let written = open.write_all(text.expose().as_bytes()).and_then(|()| open.sync_all());
    let renamed = written.and_then(|()| std::fs::rename(&beside, file));
    if renamed.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    renamed
}

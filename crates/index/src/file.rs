//! The file: making it for nobody else, opening it, knowing it for ours, and removing it. Knows its tables, not what is in them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::IndexError;

/// `PRAGMA application_id` of our files: "GpIx".
const APPLICATION_ID: i64 = 0x4770_4978;
/// Another number, another schema: a file of any other is made anew.
const VERSION: i64 = 1;
/// How long one waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE state (name TEXT PRIMARY KEY, value ANY) WITHOUT ROWID, STRICT;
CREATE TABLE blocks (
    block INTEGER PRIMARY KEY, docs INTEGER NOT NULL, earliest INTEGER NOT NULL, latest INTEGER NOT NULL,
    rows_max INTEGER NOT NULL, duration_max INTEGER NOT NULL
) STRICT;
CREATE TABLE buckets (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE columns (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE running (session BLOB, statement INTEGER, seq INTEGER NOT NULL, PRIMARY KEY (session, statement)) WITHOUT ROWID, STRICT;
CREATE TABLE holes (first INTEGER PRIMARY KEY, next INTEGER NOT NULL, why TEXT NOT NULL) STRICT;
CREATE TABLE sessions (
    id BLOB PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, identity TEXT, subject TEXT, behalf TEXT,
    behalf_subject TEXT, groups TEXT NOT NULL, database TEXT, client TEXT, application TEXT, method TEXT,
    began INTEGER NOT NULL, latest INTEGER NOT NULL, ended INTEGER, reason TEXT,
    statements INTEGER NOT NULL, refusals INTEGER NOT NULL, holds INTEGER NOT NULL, errors INTEGER NOT NULL,
    rows INTEGER NOT NULL, bytes INTEGER NOT NULL, recorded TEXT, recording INTEGER, crc INTEGER
) WITHOUT ROWID, STRICT;
CREATE INDEX sessions_first ON sessions (first);
CREATE INDEX sessions_identity ON sessions (identity, first);
CREATE INDEX sessions_subject ON sessions (subject, first);
CREATE INDEX sessions_last ON sessions (last);
CREATE INDEX sessions_open ON sessions (id) WHERE ended IS NULL;
";

/// Who writes the file holds this one locked.
pub(crate) fn lock(path: &Path) -> Result<File, IndexError> {
    let failed = |error| IndexError::Io { path: path.to_owned(), error };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(beside(path, ".lock"));
    let file = open.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(IndexError::Busy(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What a file is to us.
enum Standing {
    Empty,
    Ours,
    /// Of ours, but of another version.
    Other,
}

/// Opens the file for its writer, whole and of this version or else made anew; says why, if so.
///
/// # Errors
/// - [`IndexError::NotOurs`]: operator; it is a database of another program, or no database at all.
/// - [`IndexError::Io`], [`IndexError::Sqlite`]: operator; disk or permissions.
pub(crate) fn open_to_write(path: &Path) -> Result<(Connection, Option<String>), IndexError> {
    let failed = |error| IndexError::Io { path: path.to_owned(), error };
    let is_new = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(failed(error)),
    };
    let why = match connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|it| Ok((standing(path, &it)?, it)))
    {
        Ok((Standing::Ours, connection)) => return ready(connection).map(|it| (it, None)),
        Ok((Standing::Empty, _)) if is_new => None,
        Ok((Standing::Empty, _)) => Some("it was empty".to_owned()),
        Ok((Standing::Other, _)) => Some("it is of another version of Gatepost".to_owned()),
        Err(error) if error.is_damage() => {
            // SECURITY: nothing is removed that may be somebody else's.
            if !begins_as_ours(path).map_err(failed)? {
                return Err(IndexError::NotOurs { path: path.to_owned(), why: "no database".to_owned() });
            }
            Some(error.to_string())
        }
        Err(error) => return Err(error),
    };
    remove(path)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "page_size", 8192)?;
    let connection = ready(connection)?;
    let made = format!(
        "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT"
    );
    connection.execute_batch(&made)?;
    Ok((connection, why))
}

/// Opens the file for somebody who reads it.
///
/// # Errors
/// [`IndexError::Missing`]: there is none, or none of this version.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, IndexError> {
    match path.metadata() {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(IndexError::Missing(path.to_owned()));
        }
        Err(error) => return Err(IndexError::Io { path: path.to_owned(), error }),
    }
    // Its log can only be read by who may write beside it.
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .or_else(|_| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    match standing(path, &connection)? {
        Standing::Ours => {}
        Standing::Empty | Standing::Other => return Err(IndexError::Missing(path.to_owned())),
    }
    connection.pragma_update(None, "query_only", "on")?;
    connection.pragma_update(None, "cache_size", -32_768)?;
    Ok(connection)
}

/// Removes the file, with what SQLite keeps beside it. The lock stays.
///
/// # Errors
/// [`IndexError::Io`]: operator.
pub(crate) fn remove(path: &Path) -> Result<(), IndexError> {
    for name in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(IndexError::Io { path: name, error });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The file's bytes, with its log.
pub(crate) fn bytes(path: &Path) -> u64 {
    [path.to_owned(), beside(path, "-wal")].iter().filter_map(|name| Some(name.metadata().ok()?.len())).sum()
}

fn connect(path: &Path, how: OpenFlags) -> Result<Connection, IndexError> {
    let connection = Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // SECURITY: a file may not bring functions or views that do more than data.
    connection.pragma_update(None, "trusted_schema", "off")?;
    connection.pragma_update(None, "cell_size_check", "on")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn ready(connection: Connection) -> Result<Connection, IndexError> {
    // Whole after any crash; what of it may be lost then is read from the journal again.
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 8000, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    Ok(connection)
}

fn standing(path: &Path, connection: &Connection) -> Result<Standing, IndexError> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match (application, version, tables) {
        (0, 0, 0) => Ok(Standing::Empty),
        (APPLICATION_ID, VERSION, _) => Ok(Standing::Ours),
        (APPLICATION_ID, _, _) => Ok(Standing::Other),
        _ => {
            let why = "it is a database of another program".to_owned();
            Err(IndexError::NotOurs { path: path.to_owned(), why })
        }
    }
}

/// Whether a damaged file is one of ours still to be known by: SQLite's file format has the application's number at byte 68
/// (<https://www.sqlite.org/fileformat2.html>). One that has lost its beginning, but has our lock beside it, was ours too.
fn begins_as_ours(path: &Path) -> std::io::Result<bool> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    File::open(path)?.take(72).read_to_end(&mut bytes)?;
    let number = bytes.get(68..72).and_then(|it| it.first_chunk()).map(|it| u32::from_be_bytes(*it));
    Ok(number.map(i64::from) == Some(APPLICATION_ID))
}

//! How far a stream has come, in a file of its own: `state.path`/streams/NAME.json. Knows no journal.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The version of the file.
const VERSION: u32 = 1;

/// How far a stream has come, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub(crate) version: u32,
    /// The last record that has arrived, or that does not go by this stream; 0: none.
    pub position: u64,
    /// Its hash, hex; empty where there is none.
    pub hash: String,
    /// Events that have arrived, again and again counted each time.
    pub delivered: u64,
    /// When this was written: RFC 3339.
    pub at: String,
    /// Why nothing arrives at present.
    pub error: Option<String>,
    /// Since when: RFC 3339.
    pub error_since: Option<String>,
}

impl Default for Standing {
    fn default() -> Self {
        let (hash, at) = (String::new(), String::new());
        Self { version: VERSION, position: 0, hash, delivered: 0, at, error: None, error_since: None }
    }
}

/// Why a position can't be read.
#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    /// The disk.
    #[error("\"{}\" can't be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// Somebody changed it, or a newer version wrote it.
    #[error("\"{}\" is no position of a stream: remove it, and the stream begins again", .0.display())]
    Senseless(PathBuf),
}

/// Reads the positions of streams, each with its name: `None` where one has never run.
///
/// # Errors
/// [`StandingError`]: the disk, or whoever changed a file.
pub fn standings<'a>(
    state: &Path,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<(&'a str, Option<Standing>)>, StandingError> {
    names.map(|name| Ok((name, read(&path(state, name))?))).collect()
}

/// Returns the file of a stream.
pub(crate) fn path(state: &Path, stream: &str) -> PathBuf {
    state.join("streams").join(format!("{stream}.json"))
}

pub(crate) fn read(path: &Path) -> Result<Option<Standing>, StandingError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StandingError::Read(path.to_owned(), error)),
    };
    let standing: Option<Standing> = serde_json::from_slice(&bytes).ok();
    let standing = standing.filter(|it| it.version == VERSION);
    standing.map(Some).ok_or_else(|| StandingError::Senseless(path.to_owned()))
}

/// Writes it so that after a crash the one before or this one is there.
pub(crate) fn write(path: &Path, standing: &Standing) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let unfinished = path.with_extension("json.new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let mut bytes = serde_json::to_vec(standing)?;
    bytes.push(b'\n');
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}

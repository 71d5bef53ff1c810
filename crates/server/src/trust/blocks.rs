//! Who is kept out, in memory and in a file that outlives the gateway. Knows no session.
//!
//! The file, `blocks.jsonl`, has a line for each block made or lifted, and is written anew when the gateway starts.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::Selector;
use super::registry::issued_by;

const NAME: &str = "blocks.jsonl";

/// Some are refused when they connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// 16 hexadecimal digits.
    pub id: String,
    /// Who.
    pub selector: Selector,
    /// Until when; `None`: until it is removed.
    #[serde(with = "seconds")]
    pub until: Option<SystemTime>,
    /// Only with credentials that were issued by then.
    #[serde(with = "seconds")]
    pub issued_until: Option<SystemTime>,
    /// Why, as who made it said. Those who are refused are told.
    pub reason: String,
    /// Who made it.
    pub by: String,
    /// When.
    #[serde(with = "second")]
    pub at: SystemTime,
}

impl Block {
    pub(super) fn holds(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    pub(super) fn told(&self) -> String {
        format!("access is withdrawn: {}", self.reason)
    }
}

/// Why blocks can't be kept. Always the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder or a file in it.
    #[error("can't {doing} {path:?}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another gateway has it.
    #[error("{0:?} is used by another gateway; give each its own [state] path")]
    InUse(PathBuf),
    /// It is not what a gateway wrote.
    #[error(
        "line {line} of {path:?} can't be read; mend it, or move the file away to start without any block"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    move |source| StateError::Io { doing, path: path.to_owned(), source }
}

/// Blocks in force, by whom they are about.
#[derive(Default)]
pub(super) struct Kept {
    by_selector: HashMap<Selector, Vec<Block>>,
}

impl Kept {
    pub(super) fn add(&mut self, block: Block, now: SystemTime) {
        let same = self.by_selector.entry(block.selector.clone()).or_default();
        // One that says no more than the new one would only pile up.
        same.retain(|old| {
            old.holds(now)
                && !(covers(block.until, old.until) && covers(block.issued_until, old.issued_until))
        });
        same.push(block);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.by_selector.retain(|_, blocks| {
            blocks.retain(|block| block.id != id);
            !blocks.is_empty()
        });
    }

    /// Returns the block that keeps out somebody with these selectors, if any does.
    pub(super) fn find(
        &self,
        selectors: &[Selector],
        issued_at: Option<SystemTime>,
        now: SystemTime,
    ) -> Option<&Block> {
        let blocks = selectors.iter().filter_map(|selector| self.by_selector.get(selector)).flatten();
        blocks.into_iter().find(|block| block.holds(now) && issued_by(issued_at, block.issued_until))
    }

    pub(super) fn all(&self) -> Vec<Block> {
        self.by_selector.values().flatten().cloned().collect()
    }
}

/// Whether a limit is at least as far as another; none is the farthest.
fn covers(new: Option<SystemTime>, old: Option<SystemTime>) -> bool {
    match (new, old) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(new), Some(old)) => new >= old,
    }
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Add(Block),
    Remove(String),
}

/// The file, held by this gateway alone.
pub(super) struct File {
    folder: PathBuf,
    open: fs::File,
    /// The last line may be half written: the next change writes the file anew.
    doubtful: bool,
    /// Lines since it was written anew.
    lines: usize,
    /// Held as long as the gateway lives.
    _lock: fs::File,
}

impl File {
    /// Opens it, made where it is missing; returns what is in force.
    pub(super) fn open(folder: &Path, now: SystemTime) -> Result<(Self, Kept), StateError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(failed("make", folder))?;
        let path = folder.join("lock");
        let lock = options().write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        let kept = read(&folder.join(NAME), now)?;
        let open = write(folder, &kept.all())?;
        Ok((Self { folder: folder.to_owned(), open, doubtful: false, lines: 0, _lock: lock }, kept))
    }

    /// Adds a block; `all` tells what is in force, that block included.
    pub(super) fn add(&mut self, block: &Block, all: impl FnOnce() -> Vec<Block>) -> Result<(), StateError> {
        self.append(&Line::Add(block.clone()), all)
    }

    /// Lifts a block; `all` tells what is in force, without it.
    pub(super) fn remove(&mut self, id: &str, all: impl FnOnce() -> Vec<Block>) -> Result<(), StateError> {
        self.append(&Line::Remove(id.to_owned()), all)
    }

    fn append(&mut self, line: &Line, all: impl FnOnce() -> Vec<Block>) -> Result<(), StateError> {
        /// Then most of the lines are of no use any more, or there are very many.
        const LINES_MAX: usize = 10_000;
        if self.doubtful || self.lines >= LINES_MAX {
            self.open = write(&self.folder, &all())?;
            (self.doubtful, self.lines) = (false, 0);
            return Ok(());
        }
        let written =
            text(line).and_then(|line| self.open.write_all(&line)).and_then(|()| self.open.sync_data());
        self.doubtful = written.is_err();
        self.lines += 1;
        written.map_err(failed("write", &self.folder.join(NAME)))
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn text(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
    text.push(b'\n');
    Ok(text)
}

fn read(path: &Path, now: SystemTime) -> Result<Kept, StateError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let mut kept = Kept::default();
    // What a crash cut off was never said to be kept.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for (index, line) in whole.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(Line::Add(block)) => kept.add(block, now),
            Ok(Line::Remove(id)) => kept.remove(&id),
            Err(source) => {
                return Err(StateError::Malformed { path: path.to_owned(), line: index + 1, source });
            }
        }
    }
    kept.by_selector.retain(|_, blocks| {
        blocks.retain(|block| block.holds(now));
        !blocks.is_empty()
    });
    Ok(kept)
}

/// Replaces the file, whole or not at all, and returns it open at its end.
fn write(folder: &Path, blocks: &[Block]) -> Result<fs::File, StateError> {
    let (path, new) = (folder.join(NAME), folder.join("blocks.jsonl.new"));
    let mut bytes = Vec::new();
    for block in blocks {
        bytes.extend(text(&Line::Add(block.clone())).map_err(failed("write", &new))?);
    }
    let mut file =
        options().write(true).create(true).truncate(true).open(&new).map_err(failed("make", &new))?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed("write", &new))?;
    fs::rename(&new, &path).map_err(failed("replace", &path))?;
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(failed("sync", folder))?;
    Ok(file)
}

/// Times as whole seconds since 1970.
mod second {
    use super::{Duration, SystemTime};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let seconds = u64::deserialize(from)?;
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(seconds))
            .ok_or_else(|| serde::de::Error::custom("a time out of range"))
    }
}

mod seconds {
    use super::SystemTime;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Second(#[serde(with = "super::second")] SystemTime);

    pub(super) fn serialize<S: Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
        time.map(Second).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SystemTime>, D::Error> {
        Ok(Option::<Second>::deserialize(from)?.map(|Second(time)| time))
    }
}

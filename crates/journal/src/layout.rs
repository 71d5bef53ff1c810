//! What files a journal's directory holds, by name. Knows nothing of their content.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use audit::{HEADER_BYTES, JournalId, SegmentHeader, Seq};

/// The file that a writer holds locked.
pub(crate) const LOCK: &str = "lock";
const SUFFIX: &str = ".gpj";
const UNFINISHED: &str = ".gpj.new";

/// A segment by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    /// Its first record, even before that is there.
    pub(crate) first: Seq,
}

impl SegmentName {
    pub(crate) fn file(&self) -> String {
        format!("{:020}{SUFFIX}", self.first.0)
    }

    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.file())
    }

    /// The name under which the segment is written before it replaces another.
    pub(crate) fn unfinished(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:020}{UNFINISHED}", self.first.0))
    }

    fn parse(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(SUFFIX).filter(|d| d.len() == 20)?;
        let first = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
        Some(Self { first: Seq(first) })
    }
}

/// Lists a journal's segments in order.
pub(crate) fn segments(dir: &Path) -> io::Result<Vec<SegmentName>> {
    let mut found: Vec<_> = names(dir)?.iter().filter_map(|name| SegmentName::parse(name)).collect();
    found.sort_unstable();
    Ok(found)
}

/// Lists segments whose writing was not finished.
pub(crate) fn unfinished(dir: &Path) -> io::Result<Vec<String>> {
    Ok(names(dir)?.into_iter().filter(|name| name.ends_with(UNFINISHED)).collect())
}

/// Returns a name for what is cut off a file: one that is free.
pub(crate) fn kept_aside(dir: &Path, file: &str) -> io::Result<String> {
    let taken = names(dir)?;
    let mut free = (1u64..).map(|n| format!("{file}.torn-{n}")).filter(|name| !taken.contains(name));
    free.next().ok_or_else(|| io::ErrorKind::StorageFull.into())
}

/// Returns the random name of the journal in a folder, as its oldest segment says it.
///
/// # Errors
/// The disk; there is no journal yet; or what is there is none.
pub fn id(dir: &Path) -> io::Result<JournalId> {
    let first = segments(dir)?.into_iter().next().ok_or(io::ErrorKind::NotFound)?;
    let mut header = [0; HEADER_BYTES];
    File::open(first.path(dir))?.read_exact(&mut header)?;
    let header = SegmentHeader::parse(&header).map_err(io::Error::other)?;
    Ok(header.journal)
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    std::fs::read_dir(dir)?
        .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
        .collect()
}

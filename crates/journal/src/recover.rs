//! Opening: what a crash left is mended, anything else is refused. Nothing is deleted: what is cut off is kept beside.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::{
    Anchor, Chain, Event, Finding, JournalId, Problem, Report, SegmentHeader, Seq, Start, Time, Verifier,
};
use sha2::{Digest, Sha256};

use crate::disk::Disk;
use crate::head::Head;
use crate::journal::Options;
use crate::layout::{self, SegmentName};
use crate::tail::{Point, RECORDS_START, Tail, length, new_segment};

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The journal.
    pub journal: JournalId,
    /// The last record kept; 0 in a new journal.
    pub last: Seq,
    /// What a crash left at the end, which is cut off.
    pub cut: Vec<Cut>,
}

/// Bytes that were not a whole record and are kept in a file of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment that they were in.
    pub segment: String,
    /// Where in it.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
    /// Their SHA-256, hex.
    pub sha256: String,
    /// The file that keeps them.
    pub kept_as: String,
}

/// Why a journal can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("audit journal \"{}\" is being written by another process", .0.display())]
    Locked(PathBuf),
    /// Records were changed, removed or inserted.
    #[error(
        "audit journal is damaged, not by a crash: run `gatepost audit verify`, keep the directory as evidence, and start with another one"
    )]
    Damaged(#[source] Finding),
    /// The disk.
    #[error("can't {operation} \"{}\"", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io { operation: "start a thread for", path: PathBuf::from("journal"), error }
    }
}

pub(crate) struct Opened {
    pub(crate) tail: Tail,
    pub(crate) head: Head,
    pub(crate) lock: File,
    pub(crate) recovery: Recovery,
}

pub(crate) fn recover(disk: Arc<dyn Disk>, options: Options) -> Result<Opened, OpenError> {
    let Options { dir, segment_bytes_max, sync_interval: _ } = options;
    let lock = lock(&dir)?;
    let room = Room { disk: &*disk, dir: &dir };
    let mut cut = room.set_unfinished_aside()?;
    let End { name, report } = match room.find_end(&mut cut)? {
        Some(end) => end,
        None => room.start()?,
    };
    let path = name.path(&dir);
    let file = disk.open(&path).map_err(during("open", &path))?;
    // What an earlier process had only written is made durable before anybody is told that it is kept.
    file.sync().map_err(during("sync", &path))?;
    disk.sync_dir(&dir).map_err(during("sync", &dir))?;
    let offset = std::fs::metadata(&path).map_err(during("look at", &path))?.len();
    let end = Point { offset, last: report.head };
    let chain = Chain::resume(report.journal, report.head.seq.next(), report.head.hash);
    let mut head = Head::new(chain, report.times.map_or(Time(0), |(_, last)| last));
    for Cut { segment, offset, bytes, sha256, kept_as } in &cut {
        let event = Event::JournalRecovered { segment, offset: *offset, bytes: *bytes, sha256, kept_as };
        // These events are a few hundred bytes.
        let _ = head.append_own(&event);
    }
    let tail = Tail {
        disk,
        dir,
        journal: report.journal,
        name,
        file,
        written: end,
        durable: end,
        unsynced: Vec::new(),
        backlog: Vec::new(),
        backlog_last: end.last,
        fault: None,
        sync_failed: false,
        segment_bytes_max,
    };
    let recovery = Recovery { journal: report.journal, last: report.head.seq, cut };
    Ok(Opened { tail, head, lock, recovery })
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(during("make", dir))?;
    let path = dir.join(layout::LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(during("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(during("lock", &path)(error)),
    }
}

/// The last segment, whole.
struct End {
    name: SegmentName,
    report: Report,
}

/// The directory, while it is being put in order.
struct Room<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
}

impl Room<'_> {
    /// Segments that were to replace one, and did not come to it: the one they were to replace is still there.
    fn set_unfinished_aside(&self) -> Result<Vec<Cut>, OpenError> {
        let names = layout::unfinished(self.dir).map_err(during("list", self.dir))?;
        names.into_iter().map(|name| self.set_aside(&name)).collect()
    }

    fn set_aside(&self, file: &str) -> Result<Cut, OpenError> {
        let path = self.dir.join(file);
        let bytes = std::fs::read(&path).map_err(during("read", &path))?;
        let kept_as = layout::kept_aside(self.dir, file).map_err(during("list", self.dir))?;
        self.disk.rename(&path, &self.dir.join(&kept_as)).map_err(during("rename", &path))?;
        self.disk.sync_dir(self.dir).map_err(during("sync", self.dir))?;
        Ok(Cut {
            segment: file.to_owned(),
            offset: 0,
            bytes: length(&bytes),
            sha256: sha256(&bytes),
            kept_as,
        })
    }

    /// Keeps a segment's bytes from `offset` beside it, on disk, and then cuts them off it.
    fn cut(&self, name: &SegmentName, bytes: &[u8], offset: u64) -> Result<Cut, OpenError> {
        let (file, path) = (name.file(), name.path(self.dir));
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let torn = bytes.get(start..).unwrap_or_default();
        let kept_as = layout::kept_aside(self.dir, &file).map_err(during("list", self.dir))?;
        let kept = self.dir.join(&kept_as);
        let write = || {
            let beside = self.disk.create(&kept)?;
            crate::disk::write_all_at(&*beside, torn, 0)?;
            beside.sync()?;
            self.disk.sync_dir(self.dir)
        };
        write().map_err(during("write", &kept))?;
        let shorten = || {
            let segment = self.disk.open(&path)?;
            segment.set_len(offset)?;
            segment.sync()
        };
        shorten().map_err(during("cut", &path))?;
        Ok(Cut { segment: file, offset, bytes: length(torn), sha256: sha256(torn), kept_as })
    }

    /// Verifies the last segment and the one before it, and mends what a crash can have left.
    fn find_end(&self, cut: &mut Vec<Cut>) -> Result<Option<End>, OpenError> {
        let mut segments = layout::segments(self.dir).map_err(during("list", self.dir))?;
        let Some(mut name) = segments.pop() else { return Ok(None) };
        let mut bytes = self.read(&name)?;
        if is_unborn(&bytes) {
            cut.push(self.set_aside(&name.file())?);
            match segments.pop() {
                Some(before) => name = before,
                None => return Ok(None),
            }
            bytes = self.read(&name)?;
        }
        let mut verifier = Verifier::new(Start::Retained, &[]);
        if let Some(before) = segments.pop() {
            self.verify_before(&before, &bytes, &mut verifier, cut)?;
        }
        named_right(&name, &bytes)?;
        verifier.segment(name.file(), &bytes).map_err(OpenError::Damaged)?;
        if let Some(torn) = verifier.torn() {
            cut.push(self.cut(&name, &bytes, torn.offset)?);
        }
        match verifier.report() {
            Some(report) => Ok(Some(End { name, report: report.clone() })),
            None => Err(OpenError::Damaged(finding(&name, Problem::Empty))),
        }
    }

    /// Verifies the segment before the last. Records that both hold are a crash's, in the moment when one replaced the end of
    /// the other; they are the same records, and are kept once.
    fn verify_before(
        &self,
        before: &SegmentName,
        last: &[u8],
        verifier: &mut Verifier,
        cut: &mut Vec<Cut>,
    ) -> Result<(), OpenError> {
        let mut bytes = self.read(before)?;
        named_right(before, &bytes)?;
        let link = SegmentHeader::parse(last).ok();
        let link =
            link.map(|header| Anchor { seq: Seq(header.first.0.saturating_sub(1)), hash: header.previous });
        let mut end = None;
        // A finding after the linked record does not matter here, and one before it leaves `end` empty.
        let _ = Verifier::new(Start::Retained, &[]).segment_with(before.file(), &bytes, |offset, record| {
            let this = Anchor { seq: record.seq, hash: record.hash };
            if Some(this) == link {
                end = Some(offset + audit::PREFIX_BYTES as u64 + length(record.payload));
            }
        });
        // What comes after the linked record is repeated in the last segment, or was lost by the disk whose sync failed.
        if let Some(end) = end.filter(|&end| end < length(&bytes)) {
            cut.push(self.cut(before, &bytes, end)?);
            bytes.truncate(usize::try_from(end).unwrap_or(usize::MAX));
        }
        verifier.segment(before.file(), &bytes).map_err(OpenError::Damaged)
    }

    fn read(&self, name: &SegmentName) -> Result<Vec<u8>, OpenError> {
        let path = name.path(self.dir);
        std::fs::read(&path).map_err(during("read", &path))
    }

    /// Starts a journal.
    fn start(&self) -> Result<End, OpenError> {
        let journal = random_id()?;
        let header = Chain::new(journal).header();
        let name = SegmentName { first: header.first };
        let path = name.path(self.dir);
        new_segment(self.disk, &path, &header, &[]).map_err(during("make", &path))?;
        self.disk.sync_dir(self.dir).map_err(during("sync", self.dir))?;
        let report = Report {
            journal,
            first: header.first,
            head: Anchor { seq: Seq(0), hash: header.previous },
            records: 0,
            segments: 1,
            bytes: RECORDS_START,
            times: None,
        };
        Ok(End { name, report })
    }
}

/// Whether a segment was being made and never held a record: its header is synced before one follows.
fn is_unborn(bytes: &[u8]) -> bool {
    length(bytes) < RECORDS_START || bytes.iter().all(|&byte| byte == 0)
}

fn named_right(name: &SegmentName, bytes: &[u8]) -> Result<(), OpenError> {
    match SegmentHeader::parse(bytes) {
        Ok(header) if header.first == name.first => Ok(()),
        Ok(header) => Err(OpenError::Damaged(finding(name, Problem::Misplaced { found: header.first }))),
        Err(error) => Err(OpenError::Damaged(finding(name, Problem::Header(error)))),
    }
}

fn finding(name: &SegmentName, problem: Problem) -> Finding {
    Finding { segment: name.file(), offset: 0, seq: name.first, problem }
}

fn random_id() -> Result<JournalId, OpenError> {
    let path = Path::new("/dev/urandom");
    let mut id = [0; 16];
    let read = File::open(path).and_then(|mut source| source.read_exact(&mut id));
    read.map_err(during("read", path))?;
    Ok(JournalId(id))
}

fn sha256(bytes: &[u8]) -> String {
    audit::Hash(Sha256::digest(bytes).into()).to_string()
}

pub(crate) fn during(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |error| OpenError::Io { operation, path, error }
}

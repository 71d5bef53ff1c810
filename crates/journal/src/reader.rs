//! Reading records in order, also while a gateway writes them. Checks each link: what was tampered with is not shown.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use audit::{
    Code, Finding, Frame, FrameError, HEADER_BYTES, Hash, JournalId, Kind, Problem, Record, SegmentHeader,
    Seq, Time,
};

use crate::layout::{self, SegmentName};

/// How much is read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Why reading stops before the end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Records were changed; those before are good.
    #[error("audit journal is damaged")]
    Damaged(#[from] Finding),
    /// The disk.
    #[error("can't read \"{}\"", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

/// A record with bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    seq: Seq,
    time: Time,
    kind: Kind,
    code: Code,
    hash: Hash,
    payload: Vec<u8>,
}

impl OwnedRecord {
    /// Lends the record.
    pub fn as_record(&self) -> Record<'_> {
        let Self { seq, time, kind, code, hash, payload } = self;
        Record { seq: *seq, time: *time, kind: *kind, code: *code, hash: *hash, payload }
    }
}

impl From<&Record<'_>> for OwnedRecord {
    fn from(record: &Record<'_>) -> Self {
        let Record { seq, time, kind, code, hash, payload } = *record;
        Self { seq, time, kind, code, hash, payload: payload.to_vec() }
    }
}

/// Reads a journal from one record on. An incomplete record at the very end is not there yet.
pub struct Reader {
    dir: PathBuf,
    /// Records before this are passed over.
    from: Seq,
    /// The record that comes next, and what it is linked to.
    expected: Seq,
    head: Hash,
    segment: Option<Segment>,
    buffer: Vec<u8>,
    /// Where in the buffer the next record starts.
    start: usize,
}

/// Where a record begins, and what it is linked to: a reader can go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first record of its segment.
    pub segment: Seq,
    /// In the segment's file, in bytes.
    pub offset: u64,
    /// The record's number.
    pub seq: Seq,
    /// The hash of the record before it.
    pub previous: Hash,
}

struct Segment {
    name: SegmentName,
    path: PathBuf,
    file: File,
    /// The offset in the file of the buffer's end.
    read_to: u64,
}

/// Opens a journal at its first record.
///
/// # Errors
/// [`ReadError::Io`]: there is no such directory.
pub fn open(dir: &Path) -> Result<Reader, ReadError> {
    Reader::open_from(dir, Seq(0))
}

/// Lists the first records of a journal's segments, in order. A segment may have none yet.
///
/// # Errors
/// [`ReadError::Io`]: there is no such directory.
pub fn segments(dir: &Path) -> Result<Vec<Seq>, ReadError> {
    Ok(layout::segments(dir).map_err(during(dir))?.into_iter().map(|name| name.first).collect())
}

/// Returns which journal a directory holds; `None`: none yet.
///
/// # Errors
/// As [`Reader::read`].
pub fn journal_id(dir: &Path) -> Result<Option<JournalId>, ReadError> {
    let Some(name) = layout::segments(dir).map_err(during(dir))?.into_iter().next() else { return Ok(None) };
    let path = name.path(dir);
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    let wanted = u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX);
    let file = File::open(&path).map_err(during(&path))?;
    file.take(wanted).read_to_end(&mut bytes).map_err(during(&path))?;
    if bytes.len() < HEADER_BYTES {
        return Ok(None);
    }
    let found =
        |error| Finding { segment: name.file(), offset: 0, seq: name.first, problem: Problem::Header(error) };
    Ok(Some(SegmentHeader::parse(&bytes).map_err(found)?.journal))
}

impl Reader {
    /// Opens a journal at record `from`, or the first after it that there is or will be.
    ///
    /// # Errors
    /// [`ReadError::Io`]: there is no such directory.
    pub fn open_from(dir: &Path, from: Seq) -> Result<Self, ReadError> {
        layout::segments(dir).map_err(during(dir))?;
        let (expected, head) = (Seq(0), Hash([0; 32]));
        let dir = dir.to_owned();
        Ok(Self { dir, from, expected, head, segment: None, buffer: Vec::new(), start: 0 })
    }

    /// Opens a journal after the last record that it holds now.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn open_at_end(dir: &Path) -> Result<Self, ReadError> {
        let last = layout::segments(dir).map_err(during(dir))?.pop();
        let mut reader = Self::open_from(dir, last.map_or(Seq(0), |name| name.first))?;
        while reader.read()?.is_some() {}
        Ok(reader)
    }

    /// Opens a journal at a place where a record begins, or will.
    ///
    /// # Errors
    /// [`ReadError::Io`]: there is no such segment, or no longer.
    pub fn resume(dir: &Path, place: Place) -> Result<Self, ReadError> {
        let name = SegmentName { first: place.segment };
        let path = name.path(dir);
        let file = File::open(&path).map_err(during(&path))?;
        let segment = Some(Segment { name, path, file, read_to: place.offset });
        let (dir, from, expected, head) = (dir.to_owned(), place.seq, place.seq, place.previous);
        Ok(Self { dir, from, expected, head, segment, buffer: Vec::new(), start: 0 })
    }

    /// Returns where the record that comes next begins, in the segment that is being read; `offset` 0: none is yet.
    pub fn place(&self) -> Place {
        let unread = self.buffer.len().saturating_sub(self.start);
        let (segment, read_to) = self.segment.as_ref().map_or((Seq(0), 0), |it| (it.name.first, it.read_to));
        let offset = read_to.saturating_sub(u64::try_from(unread).unwrap_or(u64::MAX));
        Place { segment, offset, seq: self.expected, previous: self.head }
    }

    /// Returns the number of the record that comes next.
    pub fn position(&self) -> Seq {
        self.expected.max(self.from)
    }

    /// Returns the next record, or `None` where there is none yet: another call may find one.
    ///
    /// # Errors
    /// - [`ReadError::Damaged`]: somebody changed, removed or inserted records.
    /// - [`ReadError::Io`]: the disk.
    pub fn read(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        Ok(self.read_placed()?.map(|(_, record)| record))
    }

    /// As [`Self::read`], with the hash of the record before.
    pub(crate) fn read_linked(&mut self) -> Result<Option<(Hash, Record<'_>)>, ReadError> {
        Ok(self.read_placed()?.map(|(place, record)| (place.previous, record)))
    }

    /// As [`Self::read`], with where the record begins.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_placed(&mut self) -> Result<Option<(Place, Record<'_>)>, ReadError> {
        loop {
            if self.segment.is_none() && !self.enter_first()? {
                return Ok(None);
            }
            let Some((place, found, payload)) = self.advance()? else { return Ok(None) };
            if found.seq >= self.from {
                let Meta { seq, time, kind, code, hash } = found;
                let payload = self.buffer.get(payload).unwrap_or_default();
                return Ok(Some((place, Record { seq, time, kind, code, hash, payload })));
            }
        }
    }

    fn advance(&mut self) -> Result<Option<(Place, Meta, Range<usize>)>, ReadError> {
        let mut reread = false;
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            match Frame::parse(rest) {
                Ok(Frame { record, bytes }) => {
                    let problem = self.check(&record);
                    let Record { seq, time, kind, code, hash, payload } = record;
                    let payload_bytes = payload.len();
                    if let Some(problem) = problem {
                        return Err(self.finding(problem).into());
                    }
                    let place = self.place();
                    self.start += bytes;
                    self.expected = seq.next();
                    self.head = hash;
                    let payload = self.start - payload_bytes..self.start;
                    return Ok(Some((place, Meta { seq, time, kind, code, hash }, payload)));
                }
                Err(FrameError::Incomplete { needed }) => {
                    if !self.fill(needed)? && !self.enter_next()? {
                        return Ok(None);
                    }
                }
                // A writer whose disk was full may have written over what is in the buffer.
                Err(FrameError::Damaged) if !reread => {
                    reread = true;
                    self.forget_buffer();
                }
                Err(FrameError::Damaged) => return Err(self.finding(Problem::Changed).into()),
            }
        }
    }

    fn check(&self, record: &Record<'_>) -> Option<Problem> {
        match record.seq.cmp(&self.expected) {
            std::cmp::Ordering::Greater => Some(Problem::Missing { found: record.seq }),
            std::cmp::Ordering::Less => Some(Problem::Misplaced { found: record.seq }),
            std::cmp::Ordering::Equal => (record.link(self.head) != record.hash).then_some(Problem::Unlinked),
        }
    }

    fn finding(&self, problem: Problem) -> Finding {
        let unread = self.buffer.len().saturating_sub(self.start);
        let segment = self.segment.as_ref();
        let offset =
            segment.map_or(0, |s| s.read_to).saturating_sub(u64::try_from(unread).unwrap_or(u64::MAX));
        let segment = segment.map_or_else(String::new, |s| s.name.file());
        Finding { segment, offset, seq: self.expected, problem }
    }

    /// Reads on until `needed` bytes of the next record are there; false at the end of the file.
    fn fill(&mut self, needed: usize) -> Result<bool, ReadError> {
        let Some(segment) = &mut self.segment else { return Ok(false) };
        self.buffer.drain(..self.start);
        self.start = 0;
        let want = needed.max(CHUNK_BYTES).saturating_sub(self.buffer.len()).max(1);
        let want = u64::try_from(want).unwrap_or(u64::MAX);
        let error = during(&segment.path);
        segment.file.seek(SeekFrom::Start(segment.read_to)).map_err(&error)?;
        let got = (&segment.file).take(want).read_to_end(&mut self.buffer).map_err(&error)?;
        segment.read_to += u64::try_from(got).unwrap_or(u64::MAX);
        Ok(got > 0)
    }

    fn forget_buffer(&mut self) {
        let unread = self.buffer.len().saturating_sub(self.start);
        if let Some(segment) = &mut self.segment {
            segment.read_to = segment.read_to.saturating_sub(u64::try_from(unread).unwrap_or(u64::MAX));
        }
        self.buffer.clear();
        self.start = 0;
    }

    /// Goes to the segment that holds the first record wanted.
    fn enter_first(&mut self) -> Result<bool, ReadError> {
        let segments = layout::segments(&self.dir).map_err(during(&self.dir))?;
        let at = segments.iter().rposition(|name| name.first <= self.from).unwrap_or(0);
        match segments.into_iter().nth(at) {
            Some(name) => self.enter(name),
            None => Ok(false),
        }
    }

    /// Goes on where the segment has ended, if it has.
    fn enter_next(&mut self) -> Result<bool, ReadError> {
        let Some(segment) = &self.segment else { return Ok(false) };
        let segments = layout::segments(&self.dir).map_err(during(&self.dir))?;
        let Some(next) = segments.into_iter().find(|name| name.first > segment.name.first) else {
            return self.reopen_if_replaced();
        };
        // What was written between the last read and the end of the segment.
        let unread = self.buffer.len().saturating_sub(self.start);
        self.forget_buffer();
        if self.fill(unread.saturating_add(1))? && self.buffer.len() > unread {
            return Ok(true);
        }
        if !self.buffer.is_empty() && next.first > self.expected {
            return Err(self.finding(Problem::CutShort).into());
        }
        self.enter(next)
    }

    /// A segment of which nothing was on disk when its sync failed is replaced by one of the same name and bytes.
    fn reopen_if_replaced(&mut self) -> Result<bool, ReadError> {
        let Some(segment) = &self.segment else { return Ok(false) };
        let error = during(&segment.path);
        let ours = segment.file.metadata().map_err(&error)?;
        let named = std::fs::metadata(&segment.path).map_err(&error)?;
        if ours.ino() == named.ino() && ours.dev() == named.dev() {
            return Ok(false);
        }
        let file = File::open(&segment.path).map_err(&error)?;
        self.forget_buffer();
        if let Some(segment) = &mut self.segment {
            segment.file = file;
        }
        Ok(true)
    }

    /// Goes to the start of a segment; false while it has no header yet.
    fn enter(&mut self, name: SegmentName) -> Result<bool, ReadError> {
        let path = name.path(&self.dir);
        let error = during(&path);
        let mut file = File::open(&path).map_err(&error)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        let wanted = u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX);
        (&mut file).take(wanted).read_to_end(&mut bytes).map_err(&error)?;
        if bytes.len() < HEADER_BYTES {
            return Ok(false);
        }
        let found = |problem| Finding { segment: name.file(), offset: 0, seq: name.first, problem };
        let header = SegmentHeader::parse(&bytes).map_err(|error| found(Problem::Header(error)))?;
        if header.first != name.first {
            return Err(found(Problem::Misplaced { found: header.first }).into());
        }
        if self.segment.is_some() {
            if header.first > self.expected {
                let problem = Problem::Missing { found: header.first };
                return Err(Finding { seq: self.expected, ..found(problem) }.into());
            }
            if header.first == self.expected && header.previous != self.head {
                return Err(found(Problem::Unlinked).into());
            }
            // A segment that replaced the end of this one repeats records; they are shown once.
            self.from = self.from.max(self.expected);
        }
        (self.expected, self.head) = (header.first, header.previous);
        self.buffer.clear();
        self.start = 0;
        self.segment = Some(Segment { name, path, file, read_to: wanted });
        Ok(true)
    }
}

/// A record without its payload.
struct Meta {
    seq: Seq,
    time: Time,
    kind: Kind,
    code: Code,
    hash: Hash,
}

fn during(path: &Path) -> impl Fn(io::Error) -> ReadError + use<> {
    let path = path.to_owned();
    move |error| ReadError::Io { path: path.clone(), error }
}

//! The end of the chain in the file system: the segment being written, what of it is on disk, and what could not be written.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use audit::{Anchor, HEADER_BYTES, JournalId, SegmentHeader, Seq};

use crate::Fault;
use crate::disk::{Disk, SegmentFile, write_all_at};
use crate::layout::SegmentName;

/// A header's length, as an offset.
pub(crate) const RECORDS_START: u64 = HEADER_BYTES as u64;

/// A place up to which the segment is whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) offset: u64,
    pub(crate) last: Anchor,
}

pub(crate) struct Tail {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) journal: JournalId,
    pub(crate) name: SegmentName,
    pub(crate) file: Arc<dyn SegmentFile>,
    /// INVARIANT: everything before is in the file, as `write(2)` said.
    pub(crate) written: Point,
    /// INVARIANT: everything before is on disk, as `fdatasync` of this very file said; never before the segment's start.
    pub(crate) durable: Point,
    /// INVARIANT: the bytes of the file from `durable` to `written`. Kept because after a failed `fdatasync` nobody knows which
    /// of them the disk has, and the kernel may forget them (<https://wiki.postgresql.org/wiki/Fsync_Errors>).
    pub(crate) unsynced: Vec<u8>,
    /// Records taken from the head that are not written, and the last of them.
    pub(crate) backlog: Vec<u8>,
    pub(crate) backlog_last: Anchor,
    /// Why the last write or sync did not succeed, and the first record that it concerned.
    pub(crate) fault: Option<(Fault, Seq)>,
    /// Whether the file is one that an `fdatasync` has failed on, so that it must be left.
    pub(crate) sync_failed: bool,
    pub(crate) segment_bytes_max: u64,
}

impl Tail {
    /// Whether the backlog belongs into a new segment.
    pub(crate) fn wants_rotation(&self) -> bool {
        let after = self.written.offset.saturating_add(length(&self.backlog));
        !self.backlog.is_empty() && self.written.offset > RECORDS_START && after > self.segment_bytes_max
    }

    /// Writes the backlog. On failure the file ends where it did, the backlog stays, and the fault is remembered.
    pub(crate) fn write_backlog(&mut self) -> Result<(), Fault> {
        if self.backlog.is_empty() {
            return Ok(());
        }
        if let Err(error) = write_all_at(&*self.file, &self.backlog, self.written.offset) {
            // Best effort: the next try writes the same bytes at the same place, and opening cuts a torn end.
            let _ = self.file.set_len(self.written.offset);
            return Err(self.failed("write", &error));
        }
        self.written = Point { offset: self.written.offset + length(&self.backlog), last: self.backlog_last };
        if self.unsynced.is_empty() {
            std::mem::swap(&mut self.unsynced, &mut self.backlog);
        } else {
            self.unsynced.append(&mut self.backlog);
        }
        Ok(())
    }

    /// Notes that a sync which began at `point` has succeeded.
    pub(crate) fn synced(&mut self, point: Point) {
        let bytes = point.offset.saturating_sub(self.durable.offset);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.unsynced.len());
        self.unsynced.drain(..bytes);
        self.durable = point;
    }

    /// Starts a new segment after what is written, all of which must be on disk.
    pub(crate) fn rotate(&mut self) -> Result<(), Fault> {
        let last = self.written.last;
        let name = SegmentName { first: last.seq.next() };
        let header = SegmentHeader { first: name.first, journal: self.journal, previous: last.hash };
        let path = name.path(&self.dir);
        match new_segment(&*self.disk, &path, &header, &[]).and_then(|file| {
            self.disk.sync_dir(&self.dir)?;
            Ok(file)
        }) {
            Ok(file) => {
                let start = Point { offset: RECORDS_START, last };
                self.enter(name, file, start);
                Ok(())
            }
            Err(error) => {
                // It holds no record yet; left behind, it would be found in the way.
                let _ = self.disk.remove(&path);
                Err(self.failed("new segment", &error))
            }
        }
    }

    /// Leaves a file whose sync failed: writes what it may have lost into a new segment, syncs that, and cuts the old one
    /// where the disk had it for certain.
    pub(crate) fn replace(&mut self) -> Result<(), Fault> {
        let name = SegmentName { first: self.durable.last.seq.next() };
        let header =
            SegmentHeader { first: name.first, journal: self.journal, previous: self.durable.last.hash };
        let (unfinished, path) = (name.unfinished(&self.dir), name.path(&self.dir));
        let _ = self.disk.remove(&unfinished);
        match self.replace_files(&unfinished, &path, &header) {
            Ok(file) => {
                let offset = RECORDS_START + length(&self.unsynced);
                self.enter(name, file, Point { offset, last: self.written.last });
                Ok(())
            }
            Err(error) => {
                // Only copies of what the old file and memory have.
                let _ = self.disk.remove(&unfinished);
                Err(self.failed("sync", &error))
            }
        }
    }

    fn replace_files(
        &self,
        unfinished: &std::path::Path,
        path: &std::path::Path,
        header: &SegmentHeader,
    ) -> io::Result<Arc<dyn SegmentFile>> {
        let file = new_segment(&*self.disk, unfinished, header, &self.unsynced)?;
        self.disk.rename(unfinished, path)?;
        // A segment without a durable record has the name that the new one takes, and is gone with it. Of any other, a crash
        // here leaves records in both files: recovery cuts the older.
        if self.durable.offset > RECORDS_START
            && let Err(error) = self.file.set_len(self.durable.offset)
        {
            let _ = self.disk.remove(path);
            return Err(error);
        }
        self.disk.sync_dir(&self.dir)?;
        Ok(file)
    }

    fn enter(&mut self, name: SegmentName, file: Arc<dyn SegmentFile>, at: Point) {
        self.name = name;
        self.file = file;
        self.written = at;
        self.durable = at;
        self.unsynced.clear();
        self.sync_failed = false;
    }

    /// Remembers a fault, with the first record that it concerns.
    pub(crate) fn failed(&mut self, operation: &'static str, error: &io::Error) -> Fault {
        let fault = Fault { operation, detail: error.to_string() };
        let first =
            if self.sync_failed { self.durable.last.seq.next() } else { self.written.last.seq.next() };
        let first = self.fault.take().map_or(first, |(_, earlier)| earlier.min(first));
        self.fault = Some((fault.clone(), first));
        fault
    }
}

/// Makes a segment of a header and records, and returns when it is on disk; its name need not be.
pub(crate) fn new_segment(
    disk: &dyn Disk,
    path: &std::path::Path,
    header: &SegmentHeader,
    records: &[u8],
) -> io::Result<Arc<dyn SegmentFile>> {
    let file = disk.create(path)?;
    write_all_at(&*file, &header.to_bytes(), 0)?;
    write_all_at(&*file, records, RECORDS_START)?;
    file.sync()?;
    Ok(file)
}

pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

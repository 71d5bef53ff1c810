//! Entries in, bytes out. Knows nothing of where the bytes go; whoever has it appends them to a file, in order.

use std::time::Duration;

use crate::code::encode_entry;
use crate::entry::{Entry, Mark, Marked, Opening, What};
use crate::frame::{
    BODY_BYTES_MAX, ChainHash, ChunkHead, ChunkInfo, FrameKind, IndexHead, OpeningHead, write_frame,
    write_trailer,
};
use crate::messages::messages;
use crate::seal::{Recipients, SealError};

/// A chunk is written when its entries have come to this many bytes.
pub const CHUNK_BYTES: usize = 256 << 10;

/// The most that a single entry can be: what is longer isn't kept.
pub const ENTRY_BYTES_MAX: usize = 256 << 20;

/// zstd's own default; what sessions receive halves again at levels that take ten times as long.
const LEVEL: i32 = 3;

/// Why a chunk can't be written. What was pushed before it is lost, and the writer is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// zstd.
    #[error("a chunk can't be compressed")]
    Compress(#[source] std::io::Error),
    /// age.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Longer than a frame can be.
    #[error("a chunk is larger than the format allows")]
    TooLarge,
}

/// What a recording came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// The link of its last frame, and so of all of it.
    pub hash: ChainHash,
    /// Its bytes in all.
    pub bytes: u64,
    /// Chunks in it.
    pub chunks: u64,
    /// Entries in them.
    pub entries: u64,
    /// Rows that were left out.
    pub rows_cut: u64,
    /// Bytes that were left out.
    pub bytes_cut: u64,
}

/// A recording that is being written.
pub struct Writer {
    recipients: Option<Recipients>,
    head: ChunkHead,
    /// Entries of the chunk that isn't written yet.
    raw: Vec<u8>,
    /// The index so far, as it will be written.
    index: Vec<u8>,
    totals: Totals,
    /// The last statement that was refused: the error about it is no error of the server's.
    refused: u64,
}

impl Writer {
    /// Begins a recording: appends its first frame.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`]: an opening of more than 64 MiB.
    pub fn begin(
        opening: &Opening,
        recipients: Option<Recipients>,
        out: &mut Vec<u8>,
    ) -> Result<Self, WriteError> {
        let names = recipients.as_ref().map(Recipients::names).unwrap_or_default();
        let head = OpeningHead::encode(opening, names);
        let start = out.len();
        let hash = write_frame(FrameKind::Opening, &head, &[], out).ok_or(WriteError::TooLarge)?;
        let bytes = (out.len() - start) as u64;
        Ok(Self::continued(
            recipients,
            Totals { hash, bytes, chunks: 0, entries: 0, rows_cut: 0, bytes_cut: 0 },
        ))
    }

    /// Goes on after frames that are there already.
    pub(crate) fn continued(recipients: Option<Recipients>, totals: Totals) -> Self {
        Self { recipients, head: empty_head(), raw: Vec::new(), index: Vec::new(), totals, refused: 0 }
    }

    /// Notes a chunk that is there already.
    pub(crate) fn note(&mut self, info: &ChunkInfo) {
        info.encode(&mut self.index);
    }

    /// Takes an entry. It is in no chunk before [`Writer::flush`].
    pub fn push(&mut self, entry: &Entry) {
        let before = self.raw.len();
        encode_entry(entry, &mut self.raw);
        if self.raw.len() - before > ENTRY_BYTES_MAX {
            self.raw.truncate(before);
            let why = "an entry is larger than the format allows".to_owned();
            return self.push(&Entry { at: entry.at, statement: entry.statement, what: What::Gap { why } });
        }
        let head = &mut self.head;
        if head.entries == 0 {
            head.first_at = entry.at;
        }
        head.last_at = head.last_at.max(entry.at);
        head.entries += 1;
        if entry.statement > 0 {
            let lowest = if head.first_statement == 0 { entry.statement } else { head.first_statement };
            head.first_statement = lowest.min(entry.statement);
            head.last_statement = head.last_statement.max(entry.statement);
        }
        self.mark(entry);
    }

    fn mark(&mut self, entry: &Entry) {
        let mut mark = |mark| {
            self.head.marks.push(Marked { at: entry.at, statement: entry.statement, mark });
        };
        match &entry.what {
            What::Sent(sent) => {
                mark(Mark::Statement);
                if sent.decision.sqlstate.is_some() {
                    mark(Mark::Refusal);
                    self.refused = entry.statement;
                }
            }
            What::Received(bytes) => {
                let errors = messages(bytes).filter(|message| message.tag == b'E').count();
                if errors > 0 && (entry.statement == 0 || entry.statement != self.refused) {
                    mark(Mark::Error);
                }
            }
            What::Hold(hold) if hold.state == "waiting" => mark(Mark::Hold),
            What::Cut { rows, bytes } => {
                self.totals.rows_cut += rows;
                self.totals.bytes_cut += bytes;
            }
            What::CopyCut(bytes) => self.totals.bytes_cut += bytes,
            What::CopyData(_)
            | What::Hold(_)
            | What::CancelRequested
            | What::Gap { .. }
            | What::Kept(_)
            | What::Ended { .. } => {}
        }
    }

    /// Whether it is time to [`Writer::flush`], however recent the last was.
    pub fn is_full(&self) -> bool {
        self.raw.len() >= CHUNK_BYTES
    }

    /// Whether there is something to flush.
    pub fn has_entries(&self) -> bool {
        self.head.entries > 0
    }

    /// What the recording has come to, without what isn't flushed.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Appends a chunk of what has been pushed, if something has.
    ///
    /// # Errors
    /// [`WriteError`]: the system, which has no memory or no random bytes.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        if !self.has_entries() {
            return Ok(());
        }
        let mut head = std::mem::replace(&mut self.head, empty_head());
        let raw = std::mem::take(&mut self.raw);
        if raw.len() > BODY_BYTES_MAX {
            return Err(WriteError::TooLarge);
        }
        head.number = self.totals.chunks + 1;
        head.previous = self.totals.hash;
        head.raw_bytes = raw.len() as u64;
        let packed = zstd::bulk::compress(&raw, LEVEL).map_err(WriteError::Compress)?;
        let body = match &self.recipients {
            Some(recipients) => recipients.seal(&packed)?,
            None => packed,
        };
        let start = out.len();
        let frame = write_frame(FrameKind::Chunk, &head.encode(), &body, out);
        self.totals.hash = frame.ok_or(WriteError::TooLarge)?;
        let bytes = (out.len() - start) as u64;
        ChunkInfo::of(&head, self.totals.bytes, bytes).encode(&mut self.index);
        self.totals.bytes += bytes;
        self.totals.chunks += 1;
        self.totals.entries += head.entries;
        Ok(())
    }

    /// Flushes, and appends the index: the recording is closed.
    ///
    /// # Errors
    /// As [`Writer::flush`].
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Totals, WriteError> {
        self.flush(out)?;
        let head = IndexHead {
            previous: self.totals.hash,
            chunks: self.totals.chunks,
            raw_bytes: self.index.len() as u64,
        };
        let body = zstd::bulk::compress(&self.index, LEVEL).map_err(WriteError::Compress)?;
        let start = out.len();
        let frame = write_frame(FrameKind::Index, &head.encode(), &body, out);
        self.totals.hash = frame.ok_or(WriteError::TooLarge)?;
        write_trailer(self.totals.bytes, out);
        self.totals.bytes += (out.len() - start) as u64;
        Ok(self.totals)
    }
}

fn empty_head() -> ChunkHead {
    ChunkHead {
        number: 0,
        first_at: Duration::ZERO,
        last_at: Duration::ZERO,
        first_statement: 0,
        last_statement: 0,
        entries: 0,
        raw_bytes: 0,
        marks: Vec::new(),
        previous: ChainHash([0; 32]),
    }
}

//! The end of a chain, to which records are appended. Knows no files: bytes go to the caller's buffer.

use sha2::{Digest as _, Sha256};

use crate::encode::Encoded;
use crate::frame::{
    Hash, JournalId, KIND_CHECKPOINT, KIND_EVENT, PAYLOAD_BYTES_MAX, Prefix, SegmentHeader, Seq,
};
use crate::time::Time;

/// Where a journal ends: what the next record is numbered and linked to.
#[derive(Clone, Debug)]
pub struct Chain {
    journal: JournalId,
    next: Seq,
    head: Hash,
}

/// An event whose record would be longer than a reader accepts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("audit record of {bytes} bytes is over the limit of {PAYLOAD_BYTES_MAX}")]
pub struct TooLong {
    /// The payload's length.
    pub bytes: usize,
}

impl Chain {
    /// Starts a new journal.
    pub fn new(journal: JournalId) -> Self {
        Self { journal, next: Seq(1), head: journal.genesis() }
    }

    /// Goes on after the record that has the hash `head` and stands before `next`.
    pub const fn resume(journal: JournalId, next: Seq, head: Hash) -> Self {
        Self { journal, next, head }
    }

    /// Returns the number that the next record gets.
    pub const fn next(&self) -> Seq {
        self.next
    }

    /// Returns the hash that the next record is linked to.
    pub const fn head(&self) -> Hash {
        self.head
    }

    /// Returns the header of a segment that starts with the next record.
    pub const fn header(&self) -> SegmentHeader {
        SegmentHeader { first: self.next, journal: self.journal, previous: self.head }
    }

    /// Appends the event's record to `out` and returns its number.
    ///
    /// # Errors
    /// [`TooLong`]: caller; nothing is appended.
    pub fn append(&mut self, time: Time, event: &Encoded, out: &mut Vec<u8>) -> Result<Seq, TooLong> {
        let Encoded { code, payload, digest } = event;
        self.link((KIND_EVENT, *code), time, payload, *digest, out)
    }

    /// Appends the record of a checkpoint, which is a signed note, to `out` and returns its number.
    ///
    /// # Errors
    /// [`TooLong`]: caller; nothing is appended.
    pub fn append_checkpoint(&mut self, time: Time, note: &str, out: &mut Vec<u8>) -> Result<Seq, TooLong> {
        let digest = Sha256::digest(note.as_bytes()).into();
        self.link((KIND_CHECKPOINT, 0), time, note.as_bytes(), digest, out)
    }

    fn link(
        &mut self,
        (kind, code): (u8, u16),
        time: Time,
        payload: &[u8],
        digest: [u8; 32],
        out: &mut Vec<u8>,
    ) -> Result<Seq, TooLong> {
        let bytes = payload.len();
        let length = u32::try_from(bytes).ok().filter(|_| bytes <= PAYLOAD_BYTES_MAX);
        let length = length.ok_or(TooLong { bytes })?;
        let seq = self.next;
        let mut prefix = Prefix { crc: 0, length, seq, time, kind, zero: 0, code, hash: self.head };
        prefix.hash = prefix.link(self.head, digest);
        prefix.write(payload, out);
        self.head = prefix.hash;
        self.next = seq.next();
        Ok(seq)
    }
}

//! Segment headers and record frames as bytes. Knows what a single one is, not what must come after which.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::event::Code;
use crate::time::Time;

/// The version that a segment header states.
pub const FORMAT_VERSION: u16 = 1;

/// The bytes of a segment's header.
pub const HEADER_BYTES: usize = 72;

/// The bytes of a record before its payload.
pub const PREFIX_BYTES: usize = 60;

/// The longest payload, 512 MiB: a gateway's longest statement with every byte escaped.
pub const PAYLOAD_BYTES_MAX: usize = 512 << 20;

/// No ASCII transfer, no C string function and no text editor leaves it as it is.
const MAGIC: [u8; 8] = *b"\x89GPJ\r\n\x1a\n";

/// A record's number in its journal; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// Returns the number after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A link of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    /// Writes 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Hash {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// A journal's random name, in each of its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JournalId(pub [u8; 16]);

impl JournalId {
    /// Returns what stands before record 1.
    pub fn genesis(self) -> Hash {
        Hash(Sha256::new().chain_update(b"gatepost journal 1").chain_update(self.0).finalize().into())
    }
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The number of its first record, even before that is there.
    pub first: Seq,
    /// The journal that it belongs to.
    pub journal: JournalId,
    /// The hash of the record before its first.
    pub previous: Hash,
}

/// Why bytes are not a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Shorter than a header.
    #[error("header is cut short")]
    Short,
    /// Not a journal segment at all.
    #[error("not a journal segment")]
    Magic,
    /// Written by a newer gateway.
    #[error("format version {0} is newer than this program's {FORMAT_VERSION}")]
    Version(u16),
    /// The CRC says that bytes were changed.
    #[error("header is damaged")]
    Damaged,
}

impl SegmentHeader {
    /// Returns the header as bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let Self { first, journal, previous } = self;
        let mut body = Vec::with_capacity(HEADER_BYTES);
        body.extend_from_slice(&MAGIC);
        body.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        body.extend_from_slice(&[0; 2]);
        body.extend_from_slice(&first.0.to_le_bytes());
        body.extend_from_slice(&journal.0);
        body.extend_from_slice(&previous.0);
        body.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        let mut bytes = [0; HEADER_BYTES];
        for (to, from) in bytes.iter_mut().zip(body) {
            *to = from;
        }
        bytes
    }

    /// Reads the header at the start of a segment.
    ///
    /// # Errors
    /// [`HeaderError`]: whoever wrote or changed the file.
    pub fn parse(segment: &[u8]) -> Result<Self, HeaderError> {
        let bytes = segment.first_chunk::<HEADER_BYTES>().ok_or(HeaderError::Short)?;
        let mut rest = &bytes[..];
        let magic: [u8; 8] = take(&mut rest).ok_or(HeaderError::Short)?;
        let version = u16::from_le_bytes(take(&mut rest).ok_or(HeaderError::Short)?);
        let zero: [u8; 2] = take(&mut rest).ok_or(HeaderError::Short)?;
        let first = Seq(u64::from_le_bytes(take(&mut rest).ok_or(HeaderError::Short)?));
        let journal = JournalId(take(&mut rest).ok_or(HeaderError::Short)?);
        let previous = Hash(take(&mut rest).ok_or(HeaderError::Short)?);
        let crc = u32::from_le_bytes(take(&mut rest).ok_or(HeaderError::Short)?);
        if magic != MAGIC {
            return Err(HeaderError::Magic);
        }
        let body = bytes.split_last_chunk::<4>().map_or(&[][..], |(body, _)| body);
        if crc32fast::hash(body) != crc {
            return Err(HeaderError::Damaged);
        }
        if version != FORMAT_VERSION {
            return Err(HeaderError::Version(version));
        }
        if zero != [0; 2] {
            return Err(HeaderError::Damaged);
        }
        Ok(Self { first, journal, previous })
    }
}

/// `Kind::Event` and `Kind::Checkpoint` as bytes.
pub(crate) const KIND_EVENT: u8 = 1;
pub(crate) const KIND_CHECKPOINT: u8 = 2;

/// What a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event, as JSON.
    Event,
    /// A signed statement about the chain so far, as a note of C2SP.
    Checkpoint,
    /// Something that a newer gateway wrote.
    Other(u8),
}

impl Kind {
    pub(crate) const fn from_byte(byte: u8) -> Self {
        match byte {
            KIND_EVENT => Self::Event,
            KIND_CHECKPOINT => Self::Checkpoint,
            other => Self::Other(other),
        }
    }
}

/// One record whose CRC is right. Whether it is in its place is for [`crate::Verifier`] to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number.
    pub seq: Seq,
    /// When it was appended.
    pub time: Time,
    /// What it carries.
    pub kind: Kind,
    /// Which event.
    pub code: Code,
    /// Its link of the chain.
    pub hash: Hash,
    /// One JSON object, for an event; a signed note, for a checkpoint.
    pub payload: &'a [u8],
}

/// The result of looking for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The record.
    pub record: Record<'a>,
    /// Its length, prefix included.
    pub bytes: usize,
}

/// Why there is no record at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The bytes end before the record does, if what they say of its length is true. `needed` bytes make it whole.
    Incomplete {
        /// The least length that is worth another look.
        needed: usize,
    },
    /// The bytes are there and are not a record.
    Damaged,
}

/// A record's prefix as numbers.
pub(crate) struct Prefix {
    pub(crate) crc: u32,
    pub(crate) length: u32,
    pub(crate) seq: Seq,
    pub(crate) time: Time,
    pub(crate) kind: u8,
    pub(crate) zero: u8,
    pub(crate) code: u16,
    pub(crate) hash: Hash,
}

impl Prefix {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        Some(Self {
            crc: u32::from_le_bytes(take(&mut rest)?),
            length: u32::from_le_bytes(take(&mut rest)?),
            seq: Seq(u64::from_le_bytes(take(&mut rest)?)),
            time: Time(i64::from_le_bytes(take(&mut rest)?)),
            kind: u8::from_le_bytes(take(&mut rest)?),
            zero: u8::from_le_bytes(take(&mut rest)?),
            code: u16::from_le_bytes(take(&mut rest)?),
            hash: Hash(take(&mut rest)?),
        })
    }

    /// Appends the prefix and the payload, with the CRC of both.
    pub(crate) fn write(&self, payload: &[u8], out: &mut Vec<u8>) {
        let Self { crc: _, length, seq, time, kind, zero, code, hash } = self;
        let start = out.len();
        out.reserve(PREFIX_BYTES + payload.len());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&seq.0.to_le_bytes());
        out.extend_from_slice(&time.0.to_le_bytes());
        out.extend_from_slice(&[*kind, *zero]);
        out.extend_from_slice(&code.to_le_bytes());
        out.extend_from_slice(&hash.0);
        out.extend_from_slice(payload);
        let written = out.get_mut(start..).unwrap_or_default();
        if let Some((crc, covered)) = written.split_first_chunk_mut::<4>() {
            *crc = crc32fast::hash(covered).to_le_bytes();
        }
    }

    /// Computes the link that this record must carry after `previous`.
    pub(crate) fn link(&self, previous: Hash, payload_digest: [u8; 32]) -> Hash {
        let Self { crc: _, length, seq, time, kind, zero, code, hash: _ } = self;
        let hash = Sha256::new()
            .chain_update(b"gatepost record 1")
            .chain_update(previous.0)
            .chain_update(seq.0.to_le_bytes())
            .chain_update(time.0.to_le_bytes())
            .chain_update([*kind, *zero])
            .chain_update(code.to_le_bytes())
            .chain_update(length.to_le_bytes())
            .chain_update(payload_digest);
        Hash(hash.finalize().into())
    }
}

impl<'a> Frame<'a> {
    /// Reads the record at the start of `bytes`.
    ///
    /// # Errors
    /// [`FrameError`]: a record still being written, or cut, or changed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let short = FrameError::Incomplete { needed: PREFIX_BYTES };
        let prefix = Prefix::parse(bytes).ok_or(short)?;
        let length = usize::try_from(prefix.length).map_err(|_| FrameError::Damaged)?;
        if length > PAYLOAD_BYTES_MAX {
            return Err(FrameError::Damaged);
        }
        let total = PREFIX_BYTES + length;
        let whole = bytes.get(..total).ok_or(FrameError::Incomplete { needed: total })?;
        let covered = whole.get(4..).unwrap_or_default();
        if crc32fast::hash(covered) != prefix.crc || prefix.zero != 0 {
            return Err(FrameError::Damaged);
        }
        let payload = whole.get(PREFIX_BYTES..).unwrap_or_default();
        let Prefix { crc: _, length: _, seq, time, kind, zero: _, code, hash } = prefix;
        let record = Record { seq, time, kind: Kind::from_byte(kind), code: Code(code), hash, payload };
        Ok(Self { record, bytes: total })
    }
}

impl Record<'_> {
    /// Computes the link that this record must carry after `previous`.
    pub fn link(&self, previous: Hash) -> Hash {
        let Self { seq, time, kind, code, hash, payload } = *self;
        let kind = match kind {
            Kind::Event => 1,
            Kind::Checkpoint => 2,
            Kind::Other(byte) => byte,
        };
        // A parsed payload is at most `PAYLOAD_BYTES_MAX` long; a longer one gets a link that fits no record.
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let prefix = Prefix { crc: 0, length, seq, time, kind, zero: 0, code: code.0, hash };
        prefix.link(previous, Sha256::digest(payload).into())
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

//! A recording's frames as bytes: prefix, head, body, CRC, and the hash that links each to the one before. Knows what a single one
//! is, not what must come after which.

use std::fmt;
use std::time::Duration;

use minicbor::{Decoder, Encoder};
use sha2::{Digest, Sha256};

use crate::code::{each, encode_opening, items, micros, read_opening};
use crate::entry::{Mark, Marked, Opening};

/// The version that each frame states.
pub const FORMAT_VERSION: u8 = 1;

/// The bytes before a frame's head.
pub(crate) const PREFIX_BYTES: usize = 24;

/// The bytes after its body: a CRC.
pub(crate) const SUFFIX_BYTES: usize = 4;

/// The bytes after the last frame of a recording that was closed.
pub(crate) const TRAILER_BYTES: usize = 20;

/// The longest head.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 20;

/// The longest body, and what becomes of it when it is decompressed.
pub const BODY_BYTES_MAX: usize = 1 << 30;

/// No ASCII transfer, no C string function and no text editor leaves it as it is.
pub(crate) const MAGIC: [u8; 8] = *b"\x89GPR\r\n\x1a\n";
const END: [u8; 8] = *b"\x89GPREND\n";

/// What the chain begins with.
const LINK: &[u8] = b"gatepost recording 1";

/// A link of a recording's chain: of a frame and, since each holds the one before it, of everything up to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash(pub [u8; 32]);

impl fmt::Display for ChainHash {
    /// Writes 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// The first: whose session it is.
    Opening,
    /// Entries.
    Chunk,
    /// The last: where the chunks are.
    Index,
    /// Something that a newer gateway wrote.
    Other(u8),
}

impl FrameKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Opening => 1,
            Self::Chunk => 2,
            Self::Index => 3,
            Self::Other(byte) => byte,
        }
    }

    const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Opening,
            2 => Self::Chunk,
            3 => Self::Index,
            other => Self::Other(other),
        }
    }
}

/// A frame's prefix, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) version: u8,
    pub(crate) kind: FrameKind,
    pub(crate) head: usize,
    pub(crate) body: usize,
}

impl Prefix {
    /// Reads one; `None` if the bytes are none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (covered, crc) = bytes.get(..PREFIX_BYTES)?.split_last_chunk::<4>()?;
        if crc32fast::hash(covered) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (magic, rest) = covered.split_first_chunk::<8>()?;
        let [version, kind, 0, 0, a, b, c, d, e, f, g, h] = *rest.first_chunk::<12>()? else { return None };
        let head = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        let body = usize::try_from(u32::from_le_bytes([e, f, g, h])).ok()?;
        let possible = *magic == MAGIC && head <= HEAD_BYTES_MAX && body <= BODY_BYTES_MAX;
        possible.then_some(Self { version, kind: FrameKind::from_byte(kind), head, body })
    }

    /// The whole frame's length.
    pub(crate) const fn bytes(self) -> usize {
        PREFIX_BYTES + self.head + self.body + SUFFIX_BYTES
    }
}

/// Appends a frame and returns its link. `None` if it would be longer than a frame can be.
pub(crate) fn write_frame(kind: FrameKind, head: &[u8], body: &[u8], out: &mut Vec<u8>) -> Option<ChainHash> {
    if head.len() > HEAD_BYTES_MAX || body.len() > BODY_BYTES_MAX {
        return None;
    }
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[FORMAT_VERSION, kind.byte(), 0, 0]);
    out.extend_from_slice(&u32::try_from(head.len()).ok()?.to_le_bytes());
    out.extend_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
    let crc = crc32fast::hash(out.get(start..)?);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(head);
    out.extend_from_slice(body);
    let crc = crc32fast::hash(out.get(start..)?);
    out.extend_from_slice(&crc.to_le_bytes());
    Some(link(out.get(start..)?))
}

/// A whole frame's link.
pub(crate) fn link(frame: &[u8]) -> ChainHash {
    ChainHash(Sha256::new().chain_update(LINK).chain_update(frame).finalize().into())
}

/// Whether a whole frame's CRC is right.
pub(crate) fn is_undamaged(frame: &[u8]) -> bool {
    frame
        .split_last_chunk::<SUFFIX_BYTES>()
        .is_some_and(|(covered, crc)| crc32fast::hash(covered) == u32::from_le_bytes(*crc))
}

/// Appends what follows the last frame.
pub(crate) fn write_trailer(index_at: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&END);
    out.extend_from_slice(&index_at.to_le_bytes());
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Where the index begins, if these are the last bytes of a recording that was closed.
pub(crate) fn parse_trailer(bytes: &[u8]) -> Option<u64> {
    let (covered, crc) = bytes.split_last_chunk::<4>()?;
    let (end, at) = covered.split_first_chunk::<8>()?;
    let right = *end == END && crc32fast::hash(covered) == u32::from_le_bytes(*crc);
    right.then_some(u64::from_le_bytes(at.try_into().ok()?))
}

/// The head of the first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpeningHead {
    pub(crate) opening: Opening,
    /// For whom chunks are encrypted; nobody: they aren't.
    pub(crate) recipients: Vec<String>,
}

impl OpeningHead {
    pub(crate) fn encode(opening: &Opening, recipients: &[String]) -> Vec<u8> {
        // Into a vector, nothing fails.
        let mut out = Vec::new();
        let mut e = Encoder::new(&mut out);
        let _ = e.map(2).and_then(|e| e.u8(0));
        encode_opening(opening, &mut out);
        let mut e = Encoder::new(&mut out);
        let _ = e.u8(1).and_then(|e| e.array(recipients.len() as u64));
        for recipient in recipients {
            let _ = e.str(recipient);
        }
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut opening, mut recipients) = (None, Vec::new());
        let read = each(&mut Decoder::new(bytes), |key, d| {
            match key {
                0 => opening = Some(read_opening(d)?),
                1 => items(d, |d| {
                    recipients.push(d.str()?.to_owned());
                    Ok(())
                })?,
                _ => d.skip()?,
            }
            Ok(())
        });
        read.ok()?;
        Some(Self { opening: opening?, recipients })
    }
}

/// What the head of a chunk says; never encrypted, so that a player can seek before it decrypts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    /// Its number; the first is 1.
    pub number: u64,
    /// When its first entry was.
    pub first_at: Duration,
    /// When its last entry was.
    pub last_at: Duration,
    /// The lowest number of a statement in it; 0 if it is about none.
    pub first_statement: u64,
    /// The highest.
    pub last_statement: u64,
    /// How many entries it has.
    pub entries: u64,
    /// The bytes of its entries before they were compressed.
    pub raw_bytes: u64,
    /// Its marks, in order.
    pub marks: Vec<Marked>,
    /// The link of the frame before.
    pub previous: ChainHash,
}

impl ChunkHead {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.marks.len() * 12);
        let mut e = Encoder::new(&mut out);
        // Into a vector, nothing fails.
        let _ = self.write(&mut e);
        out
    }

    fn write(
        &self,
        e: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        let Self {
            number,
            first_at,
            last_at,
            first_statement,
            last_statement,
            entries,
            raw_bytes,
            marks,
            previous,
        } = self;
        e.map(9)?.u8(0)?.u64(*number)?.u8(1)?.u64(micros(*first_at))?.u8(2)?.u64(micros(*last_at))?;
        e.u8(3)?.u64(*first_statement)?.u8(4)?.u64(*last_statement)?.u8(5)?.u64(*entries)?;
        e.u8(6)?.u64(*raw_bytes)?.u8(7)?.bytes(&previous.0)?.u8(8)?.array(marks.len() as u64)?;
        for Marked { at, statement, mark } in marks {
            e.array(3)?.u64(micros(*at))?.u64(*statement)?.u8(mark_byte(*mark))?;
        }
        Ok(())
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut head = Self {
            number: 0,
            first_at: Duration::ZERO,
            last_at: Duration::ZERO,
            first_statement: 0,
            last_statement: 0,
            entries: 0,
            raw_bytes: 0,
            marks: Vec::new(),
            previous: ChainHash([0; 32]),
        };
        let read = each(&mut Decoder::new(bytes), |key, d| {
            match key {
                0 => head.number = d.u64()?,
                1 => head.first_at = Duration::from_micros(d.u64()?),
                2 => head.last_at = Duration::from_micros(d.u64()?),
                3 => head.first_statement = d.u64()?,
                4 => head.last_statement = d.u64()?,
                5 => head.entries = d.u64()?,
                6 => head.raw_bytes = d.u64()?,
                7 => head.previous = hash(d)?,
                8 => items(d, |d| {
                    head.marks.extend(read_mark(d)?);
                    Ok(())
                })?,
                _ => d.skip()?,
            }
            Ok(())
        });
        read.ok()?;
        (head.number > 0).then_some(head)
    }

    /// How many marks of each kind, in the order of [`Mark::ALL`].
    pub fn counts(&self) -> [u64; 4] {
        Mark::ALL.map(|kind| self.marks.iter().filter(|marked| marked.mark == kind).count() as u64)
    }
}

fn read_mark(d: &mut Decoder<'_>) -> Result<Option<Marked>, minicbor::decode::Error> {
    let (mut place, mut at, mut statement, mut mark) = (0, Duration::ZERO, 0, None);
    items(d, |d| {
        match place {
            0 => at = Duration::from_micros(d.u64()?),
            1 => statement = d.u64()?,
            2 => mark = mark_of(d.u8()?),
            _ => d.skip()?,
        }
        place += 1;
        Ok(())
    })?;
    // A kind that only a newer gateway knows is no mark here.
    Ok(mark.map(|mark| Marked { at, statement, mark }))
}

/// The head of the last frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexHead {
    pub(crate) previous: ChainHash,
    pub(crate) chunks: u64,
    /// The bytes of its list of chunks before they were compressed.
    pub(crate) raw_bytes: u64,
}

impl IndexHead {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let mut e = Encoder::new(&mut out);
        // Into a vector, nothing fails.
        let _ = e.map(3).and_then(|e| e.u8(0)?.u64(self.chunks)?.u8(1)?.u64(self.raw_bytes));
        let _ = e.u8(2).and_then(|e| e.bytes(&self.previous.0));
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut head = Self { previous: ChainHash([0; 32]), chunks: 0, raw_bytes: 0 };
        let read = each(&mut Decoder::new(bytes), |key, d| {
            match key {
                0 => head.chunks = d.u64()?,
                1 => head.raw_bytes = d.u64()?,
                2 => head.previous = hash(d)?,
                _ => d.skip()?,
            }
            Ok(())
        });
        read.ok().map(|()| head)
    }
}

/// Where a chunk is and what it holds, as the index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkInfo {
    /// Where its frame begins in the file.
    pub offset: u64,
    /// How long the frame is.
    pub bytes: u64,
    /// See [`ChunkHead::number`].
    pub number: u64,
    /// See [`ChunkHead::first_at`].
    pub first_at: Duration,
    /// See [`ChunkHead::last_at`].
    pub last_at: Duration,
    /// See [`ChunkHead::first_statement`].
    pub first_statement: u64,
    /// See [`ChunkHead::last_statement`].
    pub last_statement: u64,
    /// How many marks of each kind, in the order of [`Mark::ALL`].
    pub marks: [u64; 4],
}

impl ChunkInfo {
    pub(crate) fn of(head: &ChunkHead, offset: u64, bytes: u64) -> Self {
        Self {
            offset,
            bytes,
            number: head.number,
            first_at: head.first_at,
            last_at: head.last_at,
            first_statement: head.first_statement,
            last_statement: head.last_statement,
            marks: head.counts(),
        }
    }

    fn members(&self) -> [u64; 11] {
        let [statements, holds, refusals, errors] = self.marks;
        [
            self.offset,
            self.bytes,
            self.number,
            micros(self.first_at),
            micros(self.last_at),
            self.first_statement,
            self.last_statement,
            statements,
            holds,
            refusals,
            errors,
        ]
    }

    /// Appends it to an index.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let members = self.members();
        let mut e = Encoder::new(out);
        // Into a vector, nothing fails.
        let _ = e.array(members.len() as u64);
        for member in members {
            let _ = e.u64(member);
        }
    }

    pub(crate) fn read(d: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        let mut members = [0; 11];
        let mut slots = members.iter_mut();
        items(d, |d| {
            match slots.next() {
                Some(slot) => *slot = d.u64()?,
                None => d.skip()?,
            }
            Ok(())
        })?;
        let [offset, bytes, number, first_at, last_at, first_statement, last_statement, marks @ ..] = members;
        Ok(Self {
            offset,
            bytes,
            number,
            first_at: Duration::from_micros(first_at),
            last_at: Duration::from_micros(last_at),
            first_statement,
            last_statement,
            marks,
        })
    }
}

fn hash(d: &mut Decoder<'_>) -> Result<ChainHash, minicbor::decode::Error> {
    let bytes = d.bytes()?.try_into();
    bytes.map(ChainHash).map_err(|_| minicbor::decode::Error::message("a hash has 32 bytes"))
}

const fn mark_byte(mark: Mark) -> u8 {
    match mark {
        Mark::Statement => 1,
        Mark::Hold => 2,
        Mark::Refusal => 3,
        Mark::Error => 4,
    }
}

const fn mark_of(byte: u8) -> Option<Mark> {
    Some(match byte {
        1 => Mark::Statement,
        2 => Mark::Hold,
        3 => Mark::Refusal,
        4 => Mark::Error,
        _ => return None,
    })
}

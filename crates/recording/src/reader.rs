//! Bytes in, entries out: whole recordings, torn ones, and such as have a hole. Knows no files; holds one chunk at a time in memory.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use minicbor::Decoder;

use crate::code::decode_entry;
use crate::entry::{Entry, Opening};
use crate::frame::{
    BODY_BYTES_MAX, ChainHash, ChunkHead, ChunkInfo, FORMAT_VERSION, FrameKind, IndexHead, MAGIC,
    OpeningHead, PREFIX_BYTES, Prefix, TRAILER_BYTES, is_undamaged, link, parse_trailer,
};
use crate::seal::{Identities, SealError};
use crate::writer::{Totals, Writer};

/// How much is looked through at once for the next frame after a hole.
const SEARCH_BYTES: usize = 64 << 10;

/// Why a recording can't be read at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk, or whatever the bytes come from.
    #[error("the recording can't be read")]
    Io(#[from] io::Error),
    /// Not a recording, or its first frame is damaged.
    #[error("this is no recording, or its beginning is damaged")]
    NoRecording,
    /// Written by a newer gateway.
    #[error("the recording has format version {0}, which is newer than this program's {FORMAT_VERSION}")]
    Version(u8),
}

/// Why entries can't be read at a place.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The recording ends in the middle of a frame, as after a crash or while one is being written.
    #[error("the recording ends in the middle of a chunk")]
    Torn,
    /// Bytes were changed or are missing.
    #[error("bytes were changed or are missing")]
    Changed,
    /// The chunk is whole and doesn't follow the one before it: something was removed, inserted or reordered.
    #[error("the chunk doesn't follow the one before it")]
    Unlinked,
    /// It is encrypted, and no identity was given.
    #[error("it is encrypted: an age identity of one of its recipients is needed")]
    NeedsIdentity,
    /// It is encrypted for others, or its contents aren't what was encrypted.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// What is in it is no entry.
    #[error("what is in the chunk is not understood")]
    Content,
}

/// A place of which nothing can be read.
#[derive(Debug, thiserror::Error)]
#[error("from byte {from} to {to}: {why}")]
pub struct Hole {
    /// Where it begins.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// Why.
    #[source]
    pub why: Damage,
}

/// What is read next.
#[derive(Debug)]
pub enum Item {
    /// Something that happened.
    Entry(Entry),
    /// Nothing can be read here; what comes after can.
    Hole(Hole),
}

/// A frame of which all bytes are there.
struct Whole {
    kind: FrameKind,
    bytes: Vec<u8>,
    head: usize,
}

impl Whole {
    fn head(&self) -> &[u8] {
        self.bytes.get(PREFIX_BYTES..PREFIX_BYTES + self.head).unwrap_or_default()
    }

    fn body(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(crate::frame::SUFFIX_BYTES);
        self.bytes.get(PREFIX_BYTES + self.head..end).unwrap_or_default()
    }
}

/// What stands at a place.
enum Found {
    Frame(Whole),
    /// The bytes end before the frame does, or there are none.
    End {
        /// How many there are.
        left: u64,
    },
    Damaged,
}

/// Reads a recording.
pub struct Reader<R> {
    input: R,
    opening: OpeningHead,
    identities: Option<Identities>,
    /// Where chunks begin.
    start: u64,
    index: Vec<ChunkInfo>,
    closed: bool,
    /// Where the next frame is read.
    at: u64,
    /// The link of the frame before, where that was read.
    previous: Option<ChainHash>,
    /// What was read and not given.
    ready: std::vec::IntoIter<Entry>,
    torn: bool,
}

impl<R: Read + Seek> Reader<R> {
    /// Reads what a recording is of, and where its chunks are: from its index, or by looking at each.
    ///
    /// # Errors
    /// [`OpenError`]: the disk, or whoever wrote the file.
    pub fn open(mut input: R, identities: Option<Identities>) -> Result<Self, OpenError> {
        let Found::Frame(frame) = frame_at(&mut input, 0)? else { return Err(OpenError::NoRecording) };
        if frame.kind != FrameKind::Opening {
            return Err(OpenError::NoRecording);
        }
        let version = Prefix::parse(&frame.bytes).map_or(0, |prefix| prefix.version);
        if version > FORMAT_VERSION {
            return Err(OpenError::Version(version));
        }
        let opening = OpeningHead::parse(frame.head()).ok_or(OpenError::NoRecording)?;
        let start = frame.bytes.len() as u64;
        let previous = Some(link(&frame.bytes));
        let mut reader = Self {
            input,
            opening,
            identities,
            start,
            index: Vec::new(),
            closed: false,
            at: start,
            previous,
            ready: Vec::new().into_iter(),
            torn: false,
        };
        match reader.read_index()? {
            Some(index) => (reader.index, reader.closed) = (index, true),
            None => reader.look_on()?,
        }
        Ok(reader)
    }

    /// Whose session it is, from what.
    pub const fn opening(&self) -> &Opening {
        &self.opening.opening
    }

    /// For whom it is encrypted: nobody if it isn't.
    pub fn recipients(&self) -> &[String] {
        &self.opening.recipients
    }

    /// Where its chunks are.
    pub fn index(&self) -> &[ChunkInfo] {
        &self.index
    }

    /// Whether it was closed in order; else the session goes on, or the gateway crashed.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Looks for chunks that were written since: for a session that goes on.
    ///
    /// # Errors
    /// The disk.
    pub fn refresh(&mut self) -> io::Result<()> {
        if !self.closed {
            if let Some(index) = self.read_index()? {
                (self.index, self.closed) = (index, true);
            } else {
                self.look_on()?;
            }
        }
        Ok(())
    }

    /// The head of a chunk: when it was, its marks. `None` if it can't be read.
    ///
    /// # Errors
    /// The disk.
    pub fn head(&mut self, chunk: &ChunkInfo) -> io::Result<Option<ChunkHead>> {
        Ok(match frame_at(&mut self.input, chunk.offset)? {
            Found::Frame(frame) => ChunkHead::parse(frame.head()),
            Found::End { .. } | Found::Damaged => None,
        })
    }

    /// Goes on from the first entry at or after this time.
    ///
    /// # Errors
    /// The disk.
    pub fn seek_time(&mut self, at: Duration) -> io::Result<()> {
        self.seek(|chunk| chunk.last_at >= at, |entry| entry.at >= at)
    }

    /// Goes on from the first entry about this statement or a later one.
    ///
    /// # Errors
    /// The disk.
    pub fn seek_statement(&mut self, statement: u64) -> io::Result<()> {
        self.seek(|chunk| chunk.last_statement >= statement, |entry| entry.statement >= statement)
    }

    /// Goes on from the beginning.
    pub fn rewind(&mut self) {
        (self.at, self.previous, self.torn) = (self.start, None, false);
        self.ready = Vec::new().into_iter();
    }

    fn seek(&mut self, of: impl Fn(&ChunkInfo) -> bool, from: impl Fn(&Entry) -> bool) -> io::Result<()> {
        let end = self.index.last().map_or(self.start, |last| last.offset + last.bytes);
        self.rewind();
        self.at = self.index.iter().find(|chunk| of(chunk)).map_or(end, |chunk| chunk.offset);
        if let Some(Ok(entries)) = self.chunk()? {
            let rest: Vec<Entry> = entries.into_iter().skip_while(|entry| !from(entry)).collect();
            self.ready = rest.into_iter();
        }
        Ok(())
    }

    /// Reads on; `None` at the end of what there is, where a session that goes on may have more later.
    ///
    /// # Errors
    /// The disk.
    pub fn read(&mut self) -> io::Result<Option<Item>> {
        loop {
            if let Some(entry) = self.ready.next() {
                return Ok(Some(Item::Entry(entry)));
            }
            match self.chunk()? {
                Some(Ok(entries)) => self.ready = entries.into_iter(),
                Some(Err(hole)) => return Ok(Some(Item::Hole(hole))),
                None => return Ok(None),
            }
        }
    }

    /// Reads the chunk that comes next.
    fn chunk(&mut self) -> io::Result<Option<Result<Vec<Entry>, Hole>>> {
        loop {
            let from = self.at;
            let hole = |to, why| Some(Err(Hole { from, to, why }));
            match frame_at(&mut self.input, from)? {
                Found::Frame(frame) => {
                    let to = from + frame.bytes.len() as u64;
                    self.at = to;
                    let before = self.previous.replace(link(&frame.bytes));
                    match frame.kind {
                        FrameKind::Chunk => {}
                        FrameKind::Index => return Ok(None),
                        FrameKind::Opening | FrameKind::Other(_) => continue,
                    }
                    let Some(head) = ChunkHead::parse(frame.head()) else {
                        return Ok(hole(to, Damage::Content));
                    };
                    if before.is_some_and(|before| before != head.previous) {
                        // What is in it may be read all the same, after it was said.
                        (self.at, self.previous) = (from, None);
                        return Ok(hole(from, Damage::Unlinked));
                    }
                    return Ok(Some(self.entries(&head, frame.body()).map_err(|why| Hole { from, to, why })));
                }
                Found::End { left: 0 } => return Ok(None),
                Found::End { left } => {
                    // Of a session that goes on it will be whole later.
                    if std::mem::replace(&mut self.torn, true) {
                        return Ok(None);
                    }
                    return Ok(hole(from + left, Damage::Torn));
                }
                Found::Damaged => {
                    let next = next_frame(&mut self.input, from + 1)?;
                    (self.at, self.previous) = (next, None);
                    return Ok(hole(next, Damage::Changed));
                }
            }
        }
    }

    fn entries(&self, head: &ChunkHead, body: &[u8]) -> Result<Vec<Entry>, Damage> {
        let raw_bytes = usize::try_from(head.raw_bytes).ok().filter(|bytes| *bytes <= BODY_BYTES_MAX);
        let raw_bytes = raw_bytes.ok_or(Damage::Content)?;
        let raw = if self.opening.recipients.is_empty() {
            zstd::bulk::decompress(body, raw_bytes)
        } else {
            let identities = self.identities.as_ref().ok_or(Damage::NeedsIdentity)?;
            zstd::bulk::decompress(&identities.open(body, BODY_BYTES_MAX)?, raw_bytes)
        };
        let raw = raw.map_err(|_| Damage::Content)?;
        let mut entries = Vec::new();
        let mut rest = raw.as_slice();
        while !rest.is_empty() {
            let (entry, bytes) = decode_entry(rest).map_err(|_| Damage::Content)?;
            // What only a newer gateway knows is passed over.
            entries.extend(entry);
            rest = rest.get(bytes.max(1)..).unwrap_or_default();
        }
        Ok(entries)
    }

    /// The index, where the recording was closed and it is whole.
    fn read_index(&mut self) -> io::Result<Option<Vec<ChunkInfo>>> {
        let end = self.input.seek(SeekFrom::End(0))?;
        let Some(trailer_at) = end.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
        let mut trailer = [0; TRAILER_BYTES];
        self.input.seek(SeekFrom::Start(trailer_at))?;
        self.input.read_exact(&mut trailer)?;
        let Some(at) = parse_trailer(&trailer) else { return Ok(None) };
        let Found::Frame(frame) = frame_at(&mut self.input, at)? else { return Ok(None) };
        let head = match frame.kind {
            FrameKind::Index => IndexHead::parse(frame.head()),
            _ => None,
        };
        Ok(head.and_then(|head| {
            let bytes = usize::try_from(head.raw_bytes).ok().filter(|bytes| *bytes <= BODY_BYTES_MAX)?;
            let raw = zstd::bulk::decompress(frame.body(), bytes).ok()?;
            let mut d = Decoder::new(&raw);
            let mut index = Vec::new();
            while d.position() < raw.len() {
                index.push(ChunkInfo::read(&mut d).ok()?);
            }
            (index.len() as u64 == head.chunks).then_some(index)
        }))
    }

    /// Looks at each frame after those that are known.
    fn look_on(&mut self) -> io::Result<()> {
        let mut at = self.index.last().map_or(self.start, |last| last.offset + last.bytes);
        loop {
            match frame_at(&mut self.input, at)? {
                Found::Frame(frame) => {
                    let bytes = frame.bytes.len() as u64;
                    if frame.kind == FrameKind::Chunk
                        && let Some(head) = ChunkHead::parse(frame.head())
                    {
                        self.index.push(ChunkInfo::of(&head, at, bytes));
                    }
                    at += bytes;
                }
                Found::Damaged => at = next_frame(&mut self.input, at + 1)?,
                Found::End { .. } => return Ok(()),
            }
        }
    }
}

/// What is whole of a recording that was never closed, and a writer that goes on after it.
pub struct Recovered {
    /// Goes on after the last whole chunk.
    pub writer: Writer,
    /// How many bytes are whole: what comes after them in the file is to be cut off.
    pub bytes: u64,
    /// Of what.
    pub opening: Opening,
    /// When the last entry was that is there.
    pub last_at: Duration,
}

/// Finds what is whole of a recording that the gateway could not close. `None`: it was closed.
///
/// # Errors
/// As [`Reader::open`]; a file without a whole first frame holds nothing.
pub fn recover<R: Read + Seek>(
    input: R,
    recipients: Option<crate::seal::Recipients>,
) -> Result<Option<Recovered>, OpenError> {
    let mut reader = Reader::open(input, None)?;
    if reader.closed {
        return Ok(None);
    }
    let Found::Frame(first) = frame_at(&mut reader.input, 0)? else { return Err(OpenError::NoRecording) };
    let mut totals = Totals {
        hash: link(&first.bytes),
        bytes: reader.start,
        chunks: 0,
        entries: 0,
        rows_cut: 0,
        bytes_cut: 0,
    };
    let mut last_at = Duration::ZERO;
    let mut known = Vec::new();
    // Up to the first place that isn't whole and in its order: what comes after it has no link to what is before.
    while let Found::Frame(frame) = frame_at(&mut reader.input, totals.bytes)? {
        let Some(head) = ChunkHead::parse(frame.head()).filter(|_| frame.kind == FrameKind::Chunk) else {
            break;
        };
        if head.previous != totals.hash {
            break;
        }
        let bytes = frame.bytes.len() as u64;
        known.push(ChunkInfo::of(&head, totals.bytes, bytes));
        last_at = last_at.max(head.last_at);
        totals.hash = link(&frame.bytes);
        totals.bytes += bytes;
        totals.chunks += 1;
        totals.entries += head.entries;
    }
    let (bytes, opening) = (totals.bytes, reader.opening.opening);
    // For whom it was encrypted, it goes on being.
    let recipients = if reader.opening.recipients.is_empty() { None } else { recipients };
    let mut writer = Writer::continued(recipients, totals);
    known.iter().for_each(|chunk| writer.note(chunk));
    Ok(Some(Recovered { writer, bytes, opening, last_at }))
}

/// What a whole recording comes to: every frame is whole and follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The link of its last frame.
    pub hash: ChainHash,
    /// Its chunks.
    pub chunks: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it was closed in order.
    pub closed: bool,
}

/// Checks every frame, without decrypting: whether each is whole and follows the one before. `links` is told of the link of the opening,
/// and of each chunk, by how many chunks there are up to it, to be compared with what the journal says.
///
/// # Errors
/// [`OpenError`], or the first [`Hole`].
pub fn verify<R: Read + Seek>(
    mut input: R,
    mut links: impl FnMut(u64, ChainHash),
) -> Result<Result<Verified, Hole>, OpenError> {
    let Found::Frame(first) = frame_at(&mut input, 0)? else { return Err(OpenError::NoRecording) };
    if first.kind != FrameKind::Opening {
        return Err(OpenError::NoRecording);
    }
    let mut verified =
        Verified { hash: link(&first.bytes), chunks: 0, bytes: first.bytes.len() as u64, closed: false };
    links(0, verified.hash);
    loop {
        let from = verified.bytes;
        let frame = match frame_at(&mut input, from)? {
            Found::Frame(frame) => frame,
            Found::End { left: 0 } => return Ok(Ok(verified)),
            Found::End { left } => return Ok(Err(Hole { from, to: from + left, why: Damage::Torn })),
            Found::Damaged => {
                let to = next_frame(&mut input, from + 1)?;
                return Ok(Err(Hole { from, to, why: Damage::Changed }));
            }
        };
        let to = from + frame.bytes.len() as u64;
        let previous = match frame.kind {
            FrameKind::Chunk => ChunkHead::parse(frame.head()).map(|head| head.previous),
            FrameKind::Index => IndexHead::parse(frame.head()).map(|head| head.previous),
            FrameKind::Opening => None,
            // Its link can't be read: it is covered by the next one's.
            FrameKind::Other(_) => Some(verified.hash),
        };
        if previous != Some(verified.hash) {
            return Ok(Err(Hole { from, to, why: Damage::Unlinked }));
        }
        (verified.hash, verified.bytes) = (link(&frame.bytes), to);
        match frame.kind {
            FrameKind::Chunk => {
                verified.chunks += 1;
                links(verified.chunks, verified.hash);
            }
            FrameKind::Index => {
                let end = input.seek(SeekFrom::End(0))?;
                verified.closed = true;
                verified.bytes = end;
                let trailer = end == to + TRAILER_BYTES as u64;
                let hole = Hole { from: to, to: end, why: Damage::Changed };
                return Ok(if trailer { Ok(verified) } else { Err(hole) });
            }
            FrameKind::Opening | FrameKind::Other(_) => {}
        }
    }
}

/// Reads the frame at a place.
fn frame_at(input: &mut (impl Read + Seek), at: u64) -> io::Result<Found> {
    let end = input.seek(SeekFrom::End(0))?;
    let left = end.saturating_sub(at);
    let mut prefix = [0; PREFIX_BYTES];
    if left < PREFIX_BYTES as u64 {
        return Ok(Found::End { left });
    }
    input.seek(SeekFrom::Start(at))?;
    input.read_exact(&mut prefix)?;
    let Some(Prefix { kind, head, body, version: _ }) = Prefix::parse(&prefix) else {
        // The trailer is no frame, and nothing comes after it.
        let is_trailer = left == TRAILER_BYTES as u64;
        return Ok(if is_trailer { Found::End { left: 0 } } else { Found::Damaged });
    };
    let length = Prefix { version: 0, kind, head, body }.bytes();
    if left < length as u64 {
        return Ok(Found::End { left });
    }
    let mut bytes = prefix.to_vec();
    // What a damaged prefix says of its length is not believed before that much has been read.
    input.take((length - PREFIX_BYTES) as u64).read_to_end(&mut bytes)?;
    Ok(if bytes.len() == length && is_undamaged(&bytes) {
        Found::Frame(Whole { kind, bytes, head })
    } else {
        Found::Damaged
    })
}

/// Finds where the next whole prefix begins, or the end.
fn next_frame(input: &mut (impl Read + Seek), from: u64) -> io::Result<u64> {
    let end = input.seek(SeekFrom::End(0))?;
    let mut at = from;
    let mut window = Vec::new();
    while at < end {
        window.clear();
        input.seek(SeekFrom::Start(at))?;
        input.take((SEARCH_BYTES + PREFIX_BYTES) as u64).read_to_end(&mut window)?;
        let found = window
            .windows(PREFIX_BYTES)
            .position(|bytes| bytes.starts_with(&MAGIC) && Prefix::parse(bytes).is_some());
        match found {
            Some(offset) => return Ok(at + offset as u64),
            None if window.len() < SEARCH_BYTES + PREFIX_BYTES => return Ok(end),
            None => at += SEARCH_BYTES as u64,
        }
    }
    Ok(end)
}

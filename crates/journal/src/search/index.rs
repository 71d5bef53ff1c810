//! Where in the journal what may be found: for each few hundred records, where they begin, when they were, and a digest of what they
//! name.
//!
//! The journal is the truth. The index is in memory alone, is made by reading segments, and says only where nothing can be
//! found: what it lets through is read and checked again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::{Record, Seq, Time};
use parking_lot::Mutex;

use crate::layout;
use crate::query::{Touched, View};
use crate::reader::{Place, ReadError, Reader};

/// Records of one block, at most.
const BLOCK_RECORDS: u32 = 256;
/// Their bytes: more are in a block only where it has a single record.
const BLOCK_BYTES: u64 = 1 << 20;
/// Words of a block's digest. A block has some hundreds of keys; of 8192 bits, three for each, one in a hundred lets through what isn't there.
const DIGEST_WORDS: usize = 128;
/// Blocks that are kept in memory, some 70 MB: 15 million records. Beyond that, segments that were not asked about for longest are forgotten.
const BLOCKS_MAX: usize = 60_000;

/// How much one call may do.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// It ends soon after this.
    pub until: Instant,
    /// It reads about so many bytes at most.
    pub bytes: u64,
}

impl Budget {
    /// For the outcomes of one page, which mostly stand close by.
    pub(super) fn for_outcomes() -> Self {
        Self { until: Instant::now() + Duration::from_millis(500), bytes: 64 << 20 }
    }

    /// So much was read.
    pub fn spend(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether it is time to end.
    pub fn is_spent(&self) -> bool {
        self.bytes == 0 || Instant::now() >= self.until
    }
}

/// Consecutive records of a segment.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Where the first begins.
    pub(super) place: Place,
    /// After the last.
    pub(super) until: Seq,
    pub(super) bytes: u64,
    records: u32,
    pub(super) earliest: Time,
    pub(super) latest: Time,
    digest: [u64; DIGEST_WORDS],
}

impl Block {
    fn new(place: Place, time: Time) -> Self {
        let digest = [0; DIGEST_WORDS];
        Self { place, until: place.seq, bytes: 0, records: 0, earliest: time, latest: time, digest }
    }

    fn add(&mut self, record: &Record<'_>, view: &View) {
        self.until = record.seq.next();
        self.records += 1;
        self.bytes += bytes_of(record);
        self.earliest = self.earliest.min(record.time);
        self.latest = self.latest.max(record.time);
        each_key(view, &mut |key| {
            for (word, bit) in places(key) {
                if let Some(word) = self.digest.get_mut(word) {
                    *word |= bit;
                }
            }
        });
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.records < BLOCK_RECORDS && self.bytes + bytes <= BLOCK_BYTES
    }

    /// Whether a record with all these keys may be in it.
    pub(super) fn may_hold(&self, keys: &[Key]) -> bool {
        let has = |(word, bit): (usize, u64)| self.digest.get(word).is_some_and(|word| word & bit != 0);
        keys.iter().all(|key| places(*key).into_iter().all(has))
    }
}

fn bytes_of(record: &Record<'_>) -> u64 {
    u64::try_from(record.payload.len() + audit::PREFIX_BYTES).unwrap_or(u64::MAX)
}

/// One thing that a record says, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u64);

/// What a [`Key`] is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    Session(&'a str),
    Identity(&'a str),
    Behalf(&'a str),
    Database(&'a str),
    Verdict(&'a str),
    Event(&'a str),
    Sqlstate(&'a str),
    Relation(&'a str),
    Rule(&'a str),
    Approval(u64),
    Statement(&'a str, u64),
    Outcome(&'a str, u64),
}

impl Key {
    pub(super) fn of(about: About<'_>) -> Self {
        let mut hasher = DefaultHasher::new();
        std::mem::discriminant(&about).hash(&mut hasher);
        match about {
            About::Session(text)
            | About::Identity(text)
            | About::Behalf(text)
            | About::Database(text)
            | About::Verdict(text)
            | About::Event(text)
            | About::Sqlstate(text)
            | About::Relation(text)
            | About::Rule(text) => text.hash(&mut hasher),
            About::Approval(number) => number.hash(&mut hasher),
            About::Statement(session, number) | About::Outcome(session, number) => {
                (session, number).hash(&mut hasher);
            }
        }
        Self(hasher.finish())
    }
}

/// The words and bits of a digest that stand for a key.
fn places(Key(hash): Key) -> [(usize, u64); 3] {
    [0, 20, 40].map(|shift| {
        let at = hash >> shift;
        let word = usize::try_from((at >> 6) & 127).unwrap_or_default();
        (word, 1 << (at & 63))
    })
}

/// Lists what can be looked for of a record.
fn each_key(view: &View, each: &mut impl FnMut(Key)) {
    let mut key = |about: About<'_>| each(Key::of(about));
    if let Some(event) = &view.event {
        key(About::Event(event));
    }
    if let Some(session) = &view.session {
        key(About::Session(session));
        if let Some(number) = view.statement {
            if view.is_outcome() {
                key(About::Outcome(session, number));
            } else if view.is("statement") {
                key(About::Statement(session, number));
            }
        }
    }
    for name in view.names() {
        key(About::Identity(&name));
    }
    if let Some(party) = view.behalf() {
        key(About::Behalf(&party.subject));
        key(About::Behalf(&party.to_string()));
    }
    if let Some(database) = &view.database {
        key(About::Database(database));
    }
    if let Some(verdict) = &view.verdict {
        key(About::Verdict(verdict));
    }
    if let Some(sqlstate) = &view.sqlstate {
        key(About::Sqlstate(sqlstate));
    }
    for Touched { name, .. } in view.touched() {
        key(About::Relation(name));
        for (dot, _) in name.match_indices('.') {
            key(About::Relation(name.get(dot + 1..).unwrap_or_default()));
        }
    }
    for rule in view.rules() {
        key(About::Rule(rule));
    }
    if let Some(number) = view.approval() {
        key(About::Approval(number));
    }
}

/// What is known of one segment.
#[derive(Default)]
pub(super) struct SegmentIndex {
    blocks: Vec<Arc<Block>>,
    /// Where the first record begins that is not in `blocks`; `None`: nothing was read yet.
    next: Option<Place>,
}

impl SegmentIndex {
    fn note(&mut self, place: Place, after: Option<Place>, record: &Record<'_>, view: &View) {
        let room = self.blocks.last().is_some_and(|block| block.has_room(bytes_of(record)));
        if !room {
            self.blocks.push(Arc::new(Block::new(place, record.time)));
        }
        if let Some(block) = self.blocks.last_mut() {
            Arc::make_mut(block).add(record, view);
        }
        self.next = after;
    }

    /// Reads on in the segment that begins with `first`; false if there is more than the budget lets it read.
    fn extend(&mut self, dir: &Path, first: Seq, budget: &mut Budget) -> Result<bool, ReadError> {
        let mut reader = match self.next {
            Some(place) => Reader::resume(dir, place)?,
            None => Reader::open_from(dir, first)?,
        };
        loop {
            if budget.is_spent() {
                return Ok(false);
            }
            let Some((place, record)) = reader.read_placed()? else { return Ok(true) };
            if place.segment != first {
                return Ok(true);
            }
            budget.spend(bytes_of(&record));
            let view = View::of(&record);
            let after = Place {
                segment: first,
                offset: place.offset + bytes_of(&record),
                seq: record.seq.next(),
                previous: record.hash,
            };
            self.note(place, Some(after), &record, &view);
        }
    }
}

/// See the module.
pub struct Index {
    pub(super) dir: PathBuf,
    segments: Mutex<Segments>,
}

#[derive(Default)]
struct Segments {
    known: HashMap<Seq, Known>,
    uses: u64,
    /// When the first record of a segment was.
    begins: HashMap<Seq, Time>,
}

struct Known {
    index: Arc<Mutex<SegmentIndex>>,
    used: u64,
}

impl Index {
    /// Makes an index of the journal in a folder; nothing is read yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), segments: Mutex::default() }
    }

    /// Returns the first records of all segments, in order.
    pub(super) fn names(&self) -> Result<Vec<Seq>, ReadError> {
        let error = |error| ReadError::Io { path: self.dir.clone(), error };
        Ok(layout::segments(&self.dir).map_err(error)?.into_iter().map(|name| name.first).collect())
    }

    fn segment(&self, first: Seq) -> Arc<Mutex<SegmentIndex>> {
        let mut segments = self.segments.lock();
        segments.uses += 1;
        let uses = segments.uses;
        let fresh = || Known { index: Arc::default(), used: uses };
        let known = segments.known.entry(first).or_insert_with(fresh);
        known.used = uses;
        known.index.clone()
    }

    /// Returns a segment's blocks in order, as far as the budget lets it be read; and whether that is all of it.
    pub(super) fn blocks(
        &self,
        first: Seq,
        budget: &mut Budget,
    ) -> Result<(Vec<Arc<Block>>, bool), ReadError> {
        let segment = self.segment(first);
        let found = {
            let mut segment = segment.lock();
            let whole = segment.extend(&self.dir, first, budget)?;
            (segment.blocks.clone(), whole)
        };
        self.make_room(first);
        Ok(found)
    }

    /// Forgets segments that nobody asked about for longest.
    fn make_room(&self, but: Seq) {
        let mut segments = self.segments.lock();
        // One that somebody is reading counts another time.
        let size = |known: &Known| known.index.try_lock().map_or(0, |index| index.blocks.len());
        let mut sizes: Vec<_> =
            segments.known.iter().map(|(it, known)| (known.used, *it, size(known))).collect();
        let mut total: usize = sizes.iter().map(|(_, _, size)| size).sum();
        sizes.sort_unstable();
        for (_, first, size) in sizes {
            if total <= BLOCKS_MAX {
                return;
            }
            if first != but {
                segments.known.remove(&first);
                total -= size;
            }
        }
    }

    /// Returns when the first record of a segment was; `None`: it has none yet.
    pub(super) fn begins(&self, first: Seq) -> Result<Option<Time>, ReadError> {
        if let Some(time) = self.segments.lock().begins.get(&first) {
            return Ok(Some(*time));
        }
        let time = Reader::open_from(&self.dir, first)?.read()?.map(|record| record.time);
        if let Some(time) = time {
            self.segments.lock().begins.insert(first, time);
        }
        Ok(time)
    }

    /// Returns how long a segment's file is.
    pub(super) fn bytes(&self, first: Seq) -> Result<u64, ReadError> {
        let path = layout::SegmentName { first }.path(&self.dir);
        let metadata = std::fs::metadata(&path).map_err(|error| ReadError::Io { path, error })?;
        Ok(metadata.len())
    }

    /// Takes in a record that was read for another purpose.
    pub(super) fn note(&self, place: Place, record: &Record<'_>, view: &View) {
        let segment = self.segment(place.segment);
        // Somebody who reads on takes it in too.
        let Some(mut segment) = segment.try_lock() else { return };
        let is_next = match segment.next {
            Some(next) => next == place,
            None => place.seq == place.segment,
        };
        if is_next {
            let after = Place {
                segment: place.segment,
                offset: place.offset + bytes_of(record),
                seq: record.seq.next(),
                previous: record.hash,
            };
            segment.note(place, Some(after), record, view);
        }
    }
}

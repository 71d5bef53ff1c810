//! What records say, collected until it is written: terms, columns, places, sessions. Knows no SQL.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use audit::{Record, Seq};
use journal::query::View;
use journal::reader::Place;
use sql::shape::Shaper;

use crate::Fingerprint;
use crate::columns::Doc;
use crate::posting::BLOCK_RECORDS;
use crate::sessions::{self, Delta};
use crate::terms;

/// A place is kept of each record whose number this divides.
const PLACE_EVERY: u64 = 64;

/// A record's block, and its position within.
pub(crate) const fn split(seq: Seq) -> (u64, u16) {
    // Below 32,768.
    (seq.0 / BLOCK_RECORDS, (seq.0 % BLOCK_RECORDS) as u16)
}

/// The record at a position of a block.
pub(crate) fn join(block: u64, at: u16) -> Seq {
    Seq(block.saturating_mul(BLOCK_RECORDS).saturating_add(u64::from(at)))
}

/// How a statement ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) at: u16,
    pub(crate) outcome: u64,
    pub(crate) rows: u64,
    pub(crate) duration: u64,
}

pub(crate) type Postings = HashMap<(u64, u64), Vec<u16>, foldhash::fast::RandomState>;

/// A text of the block that is being filled.
#[derive(Clone, Copy)]
struct Text {
    at: u16,
    fingerprint: Fingerprint,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) postings: Postings,
    /// Positions in `postings`.
    pub(crate) entries: usize,
    pub(crate) docs: BTreeMap<u64, Vec<Doc>>,
    pub(crate) ended: BTreeMap<u64, Vec<Ended>>,
    pub(crate) places: BTreeMap<u64, Vec<Place>>,
    pub(crate) sessions: HashMap<u128, Delta>,
    /// Statements that have not ended, those of before included.
    pub(crate) running: BTreeMap<(u128, u64), Seq>,
    /// A gateway began, so that nothing of before runs any more.
    pub(crate) restarted: bool,
    /// Records that were taken.
    pub(crate) records: u64,
    /// Where the record begins that comes next.
    pub(crate) next: Option<Place>,
    last_place: Option<Place>,
    texts: HashMap<u128, Text>,
    texts_block: u64,
    keys: [RandomState; 2],
    shaper: Shaper,
}

impl Batch {
    /// Begins another, after this one has been written.
    pub(crate) fn clear(&mut self) {
        self.postings.clear();
        self.docs.clear();
        self.ended.clear();
        self.places.clear();
        self.sessions.clear();
        (self.entries, self.records, self.restarted) = (0, 0, false);
    }

    /// Takes the next record, which begins at `place`.
    pub(crate) fn take(&mut self, place: Place, record: &Record<'_>) {
        let view = View::of(record);
        let (block, at) = split(record.seq);
        let is_first = self.last_place.is_none_or(|last| {
            last.segment != place.segment || split(last.seq).0 != block || last.seq.next() != place.seq
        });
        if is_first || place.seq.0.is_multiple_of(PLACE_EVERY) || self.records == 0 {
            self.places.entry(block).or_default().push(place);
        }
        self.last_place = Some(place);
        self.records += 1;
        let bytes = u64::try_from(record.payload.len() + audit::PREFIX_BYTES).unwrap_or(u64::MAX);
        let (segment, offset) = (place.segment, place.offset.saturating_add(bytes));
        self.next = Some(Place { segment, offset, seq: record.seq.next(), previous: record.hash });
        sessions::note(&mut self.sessions, record, &view);
        if view.is_outcome() {
            self.outcome(record, &view);
            return;
        }
        match view.event.as_deref() {
            Some("gateway_started") => {
                // Nothing survives its gateway.
                self.running.clear();
                self.restarted = true;
                self.sessions.values_mut().for_each(Delta::lose);
            }
            Some("disconnected") => {
                if let Some(session) = view.session() {
                    let of_session: Vec<_> =
                        self.running.range((session.0, 0)..=(session.0, u64::MAX)).map(|it| *it.0).collect();
                    for key in of_session {
                        self.running.remove(&key);
                    }
                }
            }
            _ => {}
        }
        let mut doc = Doc { at, time: record.time.0, ..Doc::default() };
        terms::each(&view, &mut |term| self.post(block, term, at));
        if let Some(text) = &view.text {
            doc.text = u64::from(self.text(block, at, text)) + 1;
        }
        self.docs.entry(block).or_default().push(doc);
        if view.awaits_outcome()
            && let (Some(session), Some(number)) = (view.session(), view.statement)
        {
            self.running.insert((session.0, number), record.seq);
        }
    }

    fn post(&mut self, block: u64, term: u64, at: u16) {
        let positions = self.postings.entry((block, term)).or_default();
        if positions.last() != Some(&at) {
            positions.push(at);
            self.entries += 1;
        }
    }

    /// Notes a text, its letters only where it is new to the block. Returns the position of the first record that has it.
    fn text(&mut self, block: u64, at: u16, text: &str) -> u16 {
        if self.texts_block != block {
            self.texts.clear();
            self.texts_block = block;
        }
        // SECURITY: keyed by secrets of this process, so that nobody finds two texts of which the second would not be looked for.
        let [high, low] = &self.keys;
        let key = u128::from(high.hash_one(text)) << 64 | u128::from(low.hash_one(text));
        if let Some(known) = self.texts.get(&key).copied() {
            self.post(block, terms::of_fingerprint(known.fingerprint), at);
            return known.at;
        }
        let fingerprint = Fingerprint::with(&mut self.shaper, text);
        self.texts.insert(key, Text { at, fingerprint });
        self.post(block, terms::of_fingerprint(fingerprint), at);
        match terms::letters(text) {
            Some(runs) => runs.into_iter().for_each(|run| self.post(block, run, at)),
            None => self.post(block, terms::ANY_TEXT, at),
        }
        at
    }

    fn outcome(&mut self, record: &Record<'_>, view: &View) {
        let (Some(session), Some(number)) = (view.session(), view.statement) else { return };
        let Some(statement) = self.running.remove(&(session.0, number)) else { return };
        let (block, at) = split(statement);
        if let Some(sqlstate) = &view.sqlstate {
            self.post(block, terms::of(terms::Kind::Sqlstate, sqlstate), at);
        }
        let known = |number: Option<u64>| number.map_or(0, |number| number.saturating_add(1));
        let outcome = record.seq.0.saturating_sub(statement.0);
        let ended = Ended { at, outcome, rows: known(view.rows), duration: known(view.duration_us) };
        self.ended.entry(block).or_default().push(ended);
    }
}

impl Ended {
    /// Notes it at its statement.
    pub(crate) fn apply(&self, doc: &mut Doc) {
        (doc.outcome, doc.rows, doc.duration) = (self.outcome, self.rows, self.duration);
    }
}

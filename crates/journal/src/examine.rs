//! Examines a whole journal offline: every record against the chain, every checkpoint against the records and against public keys. Goes
//! on after what is wrong, and says what the rest is worth. Changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use audit::{
    Anchor, Code, Finding, Frame, FrameError, HEADER_BYTES, Hash, JournalId, Kind, PREFIX_BYTES, Problem,
    Record, SegmentHeader, Seq, Start, Time,
};
use checkpoint::{Checkpoint, Distrust, Note, Trust};

use crate::layout::{self, SegmentName};
use crate::signing::origin;
use crate::tail::length;
use crate::tree::leaf;
use crate::verify::VerifyError;
use crate::walk::Walk;

/// `audit::Event::ClockStepped`.
const CLOCK_STEPPED: Code = Code(40);

/// More findings than these are counted, not kept.
const FINDINGS_MAX: usize = 1000;

/// What a journal must fit.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Where it may begin.
    pub start: Start,
    /// Records that are known from elsewhere.
    pub anchors: Vec<Anchor>,
    /// Checkpoints that are known from elsewhere, with whatever signatures.
    pub checkpoints: Vec<Note>,
    /// The keys that count. Without any, checkpoints are compared with the records, and nobody's signature is believed.
    pub trust: Trust,
}

/// What an examination found.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The journal; `None` where no segment says.
    pub journal: Option<JournalId>,
    /// The first record's number.
    pub first: Seq,
    /// The last record.
    pub head: Anchor,
    /// How many records are good.
    pub records: u64,
    /// How many segments there are.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The time of the first and the last good record.
    pub times: Option<(Time, Time)>,
    /// How often the clock went back, as the journal has marked.
    pub clock_steps: u64,
    /// Everything that is wrong, in order.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more_findings: u64,
    /// A record at the end that was never completed, or is being written.
    pub torn: Option<Finding>,
    /// Records that can't be told: from, to.
    pub holes: Vec<(Seq, Seq)>,
    /// How many checkpoints were found.
    pub checkpoints: u64,
    /// Of these, how many are of a key that counts, and are of exactly these records.
    pub believed: u64,
    /// Of these, how many are of keys that were not given.
    pub strange: u64,
    /// Who signed the last of those.
    pub stranger: Option<String>,
    /// Checkpoints that could not be compared: records before them are missing, and the tree's files too.
    pub unchecked: u64,
    /// The last checkpoint that counts: its record, and how many records it covers.
    pub signed: Option<(Seq, u64)>,
    /// The keys that may sign now, by what was given and who handed over.
    pub keys: Vec<String>,
}

impl Examination {
    /// Whether nothing is wrong and nothing missing.
    pub const fn is_whole(&self) -> bool {
        self.findings.is_empty() && self.holes.is_empty()
    }
}

/// Examines the journal in a folder, also while a gateway writes it.
///
/// # Errors
/// [`VerifyError::Io`]: the disk. What is wrong with the journal is in the [`Examination`].
pub fn examine(dir: &Path, expected: Expected) -> Result<Examination, VerifyError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| VerifyError::Io { path, error }
    };
    let mut examiner = Examiner::new(dir, expected);
    let names = layout::segments(dir).map_err(io(dir))?;
    let last = names.len().saturating_sub(1);
    for (at, name) in names.iter().enumerate() {
        let path = name.path(dir);
        let bytes = std::fs::read(&path).map_err(io(&path))?;
        examiner.segment(name, &bytes, at == last);
    }
    Ok(examiner.finish())
}

struct Examiner {
    expected: Expected,
    /// Checkpoints from elsewhere, by size.
    outside: BTreeMap<u64, Vec<Checkpoint>>,
    walk: Walk,
    found: Examination,
    /// What the next record is linked to; `None` where that can't be told.
    previous: Option<Hash>,
    next: Seq,
    /// Whether the records before the next segment are known to be damaged, so that a gap is no news.
    broken: bool,
    /// Where findings are.
    file: String,
    offset: u64,
    /// How many records the last good checkpoint covers, and the last checkpoint of whichever standing.
    covered: u64,
    last_size: u64,
}

impl Examiner {
    fn new(dir: &Path, expected: Expected) -> Self {
        let found = Examination {
            journal: None,
            first: Seq(1),
            head: Anchor { seq: Seq(0), hash: Hash([0; 32]) },
            records: 0,
            segments: 0,
            bytes: 0,
            times: None,
            clock_steps: 0,
            findings: Vec::new(),
            more_findings: 0,
            torn: None,
            holes: Vec::new(),
            checkpoints: 0,
            believed: 0,
            strange: 0,
            stranger: None,
            unchecked: 0,
            signed: None,
            keys: Vec::new(),
        };
        Self {
            expected,
            outside: BTreeMap::new(),
            walk: Walk::new(dir),
            found,
            previous: None,
            next: Seq(1),
            broken: false,
            file: String::new(),
            offset: 0,
            covered: 0,
            last_size: 0,
        }
    }

    fn wrong(&mut self, seq: Seq, problem: Problem) {
        if self.found.findings.len() >= FINDINGS_MAX {
            self.found.more_findings += 1;
            return;
        }
        let (segment, offset) = (self.file.clone(), self.offset);
        self.found.findings.push(Finding { segment, offset, seq, problem });
    }

    fn segment(&mut self, name: &SegmentName, bytes: &[u8], is_last: bool) {
        (self.file, self.offset) = (name.file(), 0);
        self.found.segments += 1;
        self.found.bytes += length(bytes);
        let is_unborn = length(bytes) < HEADER_BYTES as u64 || bytes.iter().all(|&byte| byte == 0);
        if is_unborn && is_last {
            let problem = Problem::TornTail { bytes: length(bytes) };
            self.found.torn = Some(Finding { segment: name.file(), offset: 0, seq: self.next, problem });
            return;
        }
        match SegmentHeader::parse(bytes) {
            Ok(header) if header.first != name.first => {
                return self.wrong(name.first, Problem::Misplaced { found: header.first });
            }
            Ok(header) => {
                if !self.enter(&header) {
                    return;
                }
            }
            // The records behind it may be good all the same; the name says where they begin.
            Err(error) => {
                self.wrong(name.first, Problem::Header(error));
                if name.first < self.next {
                    return;
                }
                self.gap(name.first);
            }
        }
        self.broken = false;
        self.records(bytes, is_last);
    }

    /// Goes on with a segment; false where it has no place here.
    fn enter(&mut self, header: &SegmentHeader) -> bool {
        let SegmentHeader { first, journal, previous } = *header;
        match self.found.journal {
            Some(ours) if ours != journal => {
                self.wrong(first, Problem::OtherJournal(journal));
                return false;
            }
            Some(_) => {}
            None => self.begin(header),
        }
        if first < self.next {
            self.wrong(self.next, Problem::Misplaced { found: first });
            return false;
        }
        if first > self.next {
            if !self.broken {
                self.wrong(self.next, Problem::Missing { found: first });
            }
            self.gap(first);
        }
        if self.previous.is_some_and(|hash| hash != previous) {
            self.wrong(first, Problem::Unlinked);
        }
        self.previous = Some(previous);
        true
    }

    fn begin(&mut self, header: &SegmentHeader) {
        let journal = header.journal;
        self.found.journal = Some(journal);
        let name = origin(journal);
        for note in std::mem::take(&mut self.expected.checkpoints) {
            match Checkpoint::parse(note.text()) {
                Ok(it) if it.origin == name => self.outside.entry(it.size).or_default().push(it),
                // Of another journal: several may be examined with the checkpoints of all.
                Ok(_) => {}
                Err(error) => self.wrong(Seq(0), Problem::NotACheckpoint(error.to_string())),
            }
        }
        self.found.head = Anchor { seq: Seq(0), hash: journal.genesis() };
        if self.expected.start == Start::Retained && header.first > self.next {
            self.found.first = header.first;
            self.found.head = Anchor { seq: Seq(header.first.0.saturating_sub(1)), hash: header.previous };
            self.walk.skip(header.first.0.saturating_sub(1));
            self.next = header.first;
        } else if self.next == Seq(1) {
            self.previous = Some(journal.genesis());
        }
    }

    /// Records up to before `to` can't be told.
    fn gap(&mut self, to: Seq) {
        if to > self.next {
            self.found.holes.push((self.next, Seq(to.0.saturating_sub(1))));
            while self.next < to {
                self.walk.push(None);
                self.next = self.next.next();
            }
            self.previous = None;
        }
    }

    fn records(&mut self, bytes: &[u8], is_last: bool) {
        let mut offset = HEADER_BYTES;
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            self.offset = length(bytes) - length(rest);
            match Frame::parse(rest) {
                Ok(Frame { record, bytes: taken }) => {
                    self.record(&record);
                    offset += taken;
                }
                Err(error) => match self.damaged(rest, error, is_last) {
                    Some(skipped) => offset += skipped,
                    None => return,
                },
            }
        }
    }

    /// Says what is damaged, and returns how far the next good record is.
    fn damaged(&mut self, rest: &[u8], error: FrameError, is_last: bool) -> Option<usize> {
        let problem = audit::classify(rest, error, self.next);
        if is_last && matches!(problem, Problem::TornTail { .. }) {
            let (segment, offset) = (self.file.clone(), self.offset);
            self.found.torn = Some(Finding { segment, offset, seq: self.next, problem });
            return None;
        }
        let Some((skipped, good)) = audit::next_record(rest, self.next) else {
            let cut = matches!(problem, Problem::TornTail { .. });
            self.wrong(self.next, if cut { Problem::CutShort } else { problem });
            self.broken = true;
            self.previous = None;
            return None;
        };
        self.wrong(self.next, Problem::Changed);
        if good.seq == self.next.next() {
            // Its hash may be good though the rest isn't: the next record is linked to it.
            let stored = rest.get(PREFIX_BYTES - 32..).and_then(|bytes| bytes.first_chunk());
            let stored = stored.map(|hash| Hash(*hash)).filter(|hash| good.link(*hash) == good.hash);
            self.found.holes.push((self.next, self.next));
            self.walk.push(stored.map(leaf));
            self.previous = stored;
            self.next = self.next.next();
        }
        self.gap(good.seq);
        Some(skipped)
    }

    fn record(&mut self, record: &Record<'_>) {
        if record.seq < self.next {
            return self.wrong(self.next, Problem::Misplaced { found: record.seq });
        }
        if record.seq > self.next {
            self.wrong(self.next, Problem::Missing { found: record.seq });
            self.gap(record.seq);
        }
        if self.previous.is_some_and(|previous| record.link(previous) != record.hash) {
            self.wrong(record.seq, Problem::Unlinked);
        }
        let rewritten =
            self.expected.anchors.iter().find(|it| it.seq == record.seq && it.hash != record.hash).copied();
        if let Some(anchor) = rewritten {
            self.wrong(record.seq, Problem::Rewritten(anchor));
        }
        self.previous = Some(record.hash);
        self.walk.push(Some(leaf(record.hash)));
        self.next = record.seq.next();
        let found = &mut self.found;
        found.records += 1;
        found.head = Anchor { seq: record.seq, hash: record.hash };
        found.times = Some((found.times.map_or(record.time, |(first, _)| first), record.time));
        match record.kind {
            Kind::Event if record.code == CLOCK_STEPPED => found.clock_steps += 1,
            Kind::Checkpoint => self.checkpoint(record),
            Kind::Event | Kind::Other(_) => {}
        }
        if let Some(known) = self.outside.remove(&record.seq.0) {
            for checkpoint in known {
                self.compare(record.seq, &checkpoint);
            }
        }
    }

    /// Compares a checkpoint with the records; `None` where that can't be done.
    fn compare(&mut self, seq: Seq, checkpoint: &Checkpoint) -> Option<bool> {
        let Some(root) = self.walk.root_at(checkpoint.size) else {
            self.found.unchecked += 1;
            return None;
        };
        if root == checkpoint.root {
            return Some(true);
        }
        let (from, to) = self.walk.differing(self.covered.saturating_add(1), checkpoint.size);
        self.wrong(seq, Problem::NotAsSigned { from: Seq(from), to: Seq(to) });
        Some(false)
    }

    fn checkpoint(&mut self, record: &Record<'_>) {
        self.found.checkpoints += 1;
        let strange = |problem: String| Problem::NotACheckpoint(problem);
        let read = std::str::from_utf8(record.payload).ok().and_then(|text| Note::parse(text).ok());
        let Some(note) = read else {
            return self.wrong(record.seq, strange("it is no signed note".to_owned()));
        };
        let checkpoint = match Checkpoint::parse(note.text()) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return self.wrong(record.seq, strange(error.to_string())),
        };
        if self.found.journal.is_some_and(|journal| origin(journal) != checkpoint.origin) {
            return self
                .wrong(record.seq, strange(format!("it is of another journal, {}", checkpoint.origin)));
        }
        let trusted = match self.expected.trust.accept(&note) {
            Ok(_) => true,
            Err(Distrust::Unknown(names)) => {
                self.found.strange += 1;
                self.found.stranger = Some(names);
                false
            }
            Err(error) => return self.wrong(record.seq, strange(error.to_string())),
        };
        if checkpoint.size >= record.seq.0 {
            // There were more records before this one.
            let (from, to) =
                self.walk.differing(self.covered.saturating_add(1), record.seq.0.saturating_sub(1));
            return self.wrong(record.seq, Problem::NotAsSigned { from: Seq(from), to: Seq(to) });
        }
        if checkpoint.size < self.last_size {
            return self.wrong(
                record.seq,
                strange(format!("a checkpoint of {} records came before it", self.last_size)),
            );
        }
        self.last_size = checkpoint.size;
        if self.compare(record.seq, &checkpoint) == Some(true) {
            self.covered = checkpoint.size;
            if trusted {
                self.found.believed += 1;
                self.found.signed = Some((record.seq, checkpoint.size));
            }
        }
    }

    fn finish(mut self) -> Examination {
        let end = self.next;
        self.offset = self.found.torn.as_ref().map_or(self.offset, |torn| torn.offset);
        if self.found.journal.is_none() && self.found.torn.is_none() {
            self.wrong(end, Problem::Empty);
        }
        let beyond =
            self.expected.anchors.iter().filter(|anchor| anchor.seq >= end).copied().collect::<Vec<_>>();
        for anchor in beyond {
            self.wrong(end, Problem::EndsEarly(anchor));
        }
        for size in self.outside.keys().copied().collect::<Vec<_>>() {
            // Those in a hole can't be compared; those beyond the end prove that it was cut off.
            if size >= end.0 {
                self.wrong(end, Problem::EndsBefore { size });
            } else {
                self.found.unchecked += 1;
            }
        }
        // The tree holds only what was on disk: a crash cuts nothing of it.
        let size = self.walk.stored_size();
        if size >= end.0 && self.found.journal.is_some() {
            self.wrong(end, Problem::EndsBefore { size });
        }
        self.found.keys = self.expected.trust.in_force().map(ToString::to_string).collect();
        self.found
    }
}

//! Whether a chain is whole: what an auditor runs, and what a gateway runs on its own tail. Knows bytes, not files.

use std::fmt;

use crate::frame::{
    Frame, FrameError, HEADER_BYTES, Hash, HeaderError, JournalId, PREFIX_BYTES, Record, SegmentHeader, Seq,
};
use crate::time::Time;

/// A place in the chain known from elsewhere, such as an earlier report kept where the journal's writer can't reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// A record's number.
    pub seq: Seq,
    /// Its hash.
    pub hash: Hash,
}

/// Where the first segment may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At record 1: a whole journal.
    Genesis,
    /// Anywhere: older segments were moved away. Nothing is known of what came before.
    Retained,
}

/// What was found in a whole chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The journal.
    pub journal: JournalId,
    /// The first record's number.
    pub first: Seq,
    /// The last record, or what stands before the first where there is none.
    pub head: Anchor,
    /// How many records.
    pub records: u64,
    /// How many segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The time of the first and the last record.
    pub times: Option<(Time, Time)>,
}

/// Where a chain is not whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment \"{segment}\", offset {offset}, at record {seq}: {problem}")]
pub struct Finding {
    /// The segment's name.
    pub segment: String,
    /// The offset in it, in bytes.
    pub offset: u64,
    /// The record that was expected there.
    pub seq: Seq,
    /// What is wrong.
    pub problem: Problem,
}

impl Finding {
    /// Returns whether this is what a crash leaves behind, which opening the journal mends.
    pub const fn is_recoverable(&self) -> bool {
        matches!(self.problem, Problem::TornTail { .. })
    }
}

/// What is wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The last segment ends in a record that was never completed, as after a crash or while one is being written.
    TornTail {
        /// How many bytes from here to the end.
        bytes: u64,
    },
    /// The segment's header can't be read.
    Header(HeaderError),
    /// The segment belongs to another journal.
    OtherJournal(JournalId),
    /// The record's bytes were changed: its CRC is wrong.
    Changed,
    /// The record is well-formed but not what was linked: it, or the one before it, was changed or inserted.
    Unlinked,
    /// Records are missing before the one found.
    Missing {
        /// The record that stands here.
        found: Seq,
    },
    /// A record that was already there, or is not its turn: reordered, repeated or inserted.
    Misplaced {
        /// The record that stands here.
        found: Seq,
    },
    /// A segment that is not the last one ends in the middle of a record.
    CutShort,
    /// There is no segment at all.
    Empty,
    /// The chain ends before a record that is known to have been there.
    EndsEarly(Anchor),
    /// The record has another hash than it is known to have had: the chain was rewritten.
    Rewritten(Anchor),
    /// One of these records, the chain and all, is not what the checkpoint in this record, or one known from elsewhere, has signed.
    NotAsSigned {
        /// The first that it can be.
        from: Seq,
        /// The last.
        to: Seq,
    },
    /// The record says that it is a checkpoint, and it isn't one that counts.
    NotACheckpoint(String),
    /// The chain ends before the last record of a checkpoint that is known from elsewhere.
    EndsBefore {
        /// How many records there were.
        size: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail { bytes } => {
                write!(
                    f,
                    "{bytes} bytes of a record that was not completed; the gateway cuts them off when it starts"
                )
            }
            Self::Header(error) => error.fmt(f),
            Self::OtherJournal(id) => write!(f, "the segment belongs to journal {id}"),
            Self::Changed => f.write_str("the record was changed"),
            Self::Unlinked => {
                f.write_str("the record is not linked to the one before it: changed or inserted")
            }
            Self::Missing { found } => write!(f, "records are missing: the next one is {found}"),
            Self::Misplaced { found } => {
                write!(f, "record {found} is out of its place: reordered or inserted")
            }
            Self::CutShort => f.write_str("the segment was cut short"),
            Self::Empty => f.write_str("there are no segments"),
            Self::EndsEarly(anchor) => write!(f, "the journal ends here, but had a record {}", anchor.seq),
            Self::Rewritten(anchor) => {
                write!(f, "record {} is not the one with hash {}", anchor.seq, anchor.hash)
            }
            Self::NotAsSigned { from, to } if from == to => {
                write!(
                    f,
                    "record {from} is not the one that was signed: changed, and the chain after it rewritten"
                )
            }
            Self::NotAsSigned { from, to } => write!(
                f,
                "one of records {from} to {to} is not the one that was signed: changed, removed or inserted, and the chain after it rewritten"
            ),
            Self::NotACheckpoint(why) => write!(f, "the checkpoint does not count: {why}"),
            Self::EndsBefore { size } => {
                write!(f, "the journal ends here, but a checkpoint covers {size} records")
            }
        }
    }
}

/// Verifies whole segments in order, the last of which may be torn.
///
/// # Errors
/// [`Finding`]: the first place where the chain is not whole.
pub fn verify<N: Into<String>, B: AsRef<[u8]>>(
    segments: impl IntoIterator<Item = (N, B)>,
    start: Start,
    anchors: &[Anchor],
) -> Result<Report, Finding> {
    let mut verifier = Verifier::new(start, anchors);
    for (name, bytes) in segments {
        verifier.segment(name, bytes.as_ref())?;
    }
    verifier.finish()
}

/// Verification a segment at a time, so that only one must be in memory.
#[derive(Debug)]
pub struct Verifier {
    start: Start,
    anchors: Vec<Anchor>,
    report: Option<Report>,
    last_segment: String,
    last_bytes: u64,
    torn: Option<Finding>,
}

impl Verifier {
    /// Begins before the first segment. The chain must contain each of `anchors` that lies in it, and reach the last.
    pub fn new(start: Start, anchors: &[Anchor]) -> Self {
        Self {
            start,
            anchors: anchors.to_vec(),
            report: None,
            last_segment: String::new(),
            last_bytes: 0,
            torn: None,
        }
    }

    /// Verifies the next segment. A torn end is only a finding in [`Self::finish`] or when another segment follows.
    ///
    /// # Errors
    /// [`Finding`]: the first place where the chain is not whole.
    pub fn segment(&mut self, name: impl Into<String>, bytes: &[u8]) -> Result<(), Finding> {
        self.segment_with(name, bytes, |_, _| {})
    }

    /// As [`Self::segment`], and shows each verified record with its offset.
    ///
    /// # Errors
    /// [`Finding`]: the first place where the chain is not whole.
    pub fn segment_with(
        &mut self,
        name: impl Into<String>,
        bytes: &[u8],
        mut each: impl FnMut(u64, &Record<'_>),
    ) -> Result<(), Finding> {
        if let Some(torn) = self.torn.take() {
            return Err(Finding { problem: Problem::CutShort, ..torn });
        }
        self.last_segment = name.into();
        self.last_bytes = length(bytes);
        let Some(mut report) = self.header(bytes)? else { return Ok(()) };
        let mut offset = HEADER_BYTES;
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            let expected = report.head.seq.next();
            let Frame { record, bytes: taken } = match Frame::parse(rest) {
                Ok(frame) => frame,
                Err(error) => {
                    let finding = self.finding(offset, expected, classify(rest, error, expected));
                    report.bytes += length(bytes);
                    self.report = Some(report);
                    if finding.is_recoverable() {
                        self.torn = Some(finding);
                        return Ok(());
                    }
                    return Err(finding);
                }
            };
            self.check(&record, &report).map_err(|problem| self.finding(offset, expected, problem))?;
            each(u64::try_from(offset).unwrap_or(u64::MAX), &record);
            report.head = Anchor { seq: record.seq, hash: record.hash };
            report.records += 1;
            report.times = Some((report.times.map_or(record.time, |(first, _)| first), record.time));
            offset += taken;
        }
        report.bytes += length(bytes);
        self.report = Some(report);
        Ok(())
    }

    /// Ends after the last segment.
    ///
    /// # Errors
    /// [`Finding`]: a torn tail, no segment at all, or an end before an anchor.
    pub fn finish(mut self) -> Result<Report, Finding> {
        if let Some(torn) = self.torn.take() {
            return Err(torn);
        }
        let end = usize::try_from(self.last_bytes).unwrap_or(usize::MAX);
        let Some(report) = &self.report else { return Err(self.finding(end, Seq(1), Problem::Empty)) };
        let beyond = self.anchors.iter().find(|anchor| anchor.seq > report.head.seq);
        match beyond {
            Some(&anchor) => Err(self.finding(end, report.head.seq.next(), Problem::EndsEarly(anchor))),
            None => Ok(report.clone()),
        }
    }

    /// Returns what is verified so far, a torn end left out.
    pub const fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// Returns the torn end of the last segment, if it has one.
    pub const fn torn(&self) -> Option<&Finding> {
        self.torn.as_ref()
    }

    /// Checks that the header continues the chain. `None` is a header that was not completed.
    fn header(&mut self, bytes: &[u8]) -> Result<Option<Report>, Finding> {
        let expected = self.report.as_ref().map_or(Seq(1), |report| report.head.seq.next());
        let header = match SegmentHeader::parse(bytes) {
            Ok(header) => header,
            // A header is synced before a record follows it; a crash before that leaves nothing, a part, or zeros.
            Err(error) if error == HeaderError::Short || bytes.iter().all(|&byte| byte == 0) => {
                self.torn = Some(self.finding(0, expected, Problem::TornTail { bytes: length(bytes) }));
                return Ok(None);
            }
            Err(error) => return Err(self.finding(0, expected, Problem::Header(error))),
        };
        let SegmentHeader { first, journal, previous } = header;
        let problem =
            match &self.report {
                Some(report) if report.journal != journal => Some(Problem::OtherJournal(journal)),
                Some(report) => out_of_place(expected, first)
                    .or((report.head.hash != previous).then_some(Problem::Unlinked)),
                None if self.start == Start::Retained && first > Seq(1) => None,
                None => out_of_place(Seq(1), first)
                    .or((journal.genesis() != previous).then_some(Problem::Unlinked)),
            };
        if let Some(problem) = problem {
            return Err(self.finding(0, expected, problem));
        }
        let mut report = self.report.clone().unwrap_or_else(|| Report {
            journal,
            first,
            head: Anchor { seq: Seq(first.0.saturating_sub(1)), hash: previous },
            records: 0,
            segments: 0,
            bytes: 0,
            times: None,
        });
        report.segments += 1;
        Ok(Some(report))
    }

    fn check(&self, record: &Record<'_>, report: &Report) -> Result<(), Problem> {
        let expected = report.head.seq.next();
        if let Some(problem) = out_of_place(expected, record.seq) {
            return Err(problem);
        }
        if record.link(report.head.hash) != record.hash {
            return Err(Problem::Unlinked);
        }
        match self.anchors.iter().find(|anchor| anchor.seq == record.seq && anchor.hash != record.hash) {
            Some(&anchor) => Err(Problem::Rewritten(anchor)),
            None => Ok(()),
        }
    }

    fn finding(&self, offset: usize, seq: Seq, problem: Problem) -> Finding {
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        Finding { segment: self.last_segment.clone(), offset, seq, problem }
    }
}

fn out_of_place(expected: Seq, found: Seq) -> Option<Problem> {
    match found.cmp(&expected) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(Problem::Missing { found }),
        std::cmp::Ordering::Less => Some(Problem::Misplaced { found }),
    }
}

/// Tells the end that a crash leaves from damage. A crash cuts a record; it does not change one and leave others after
/// it, nor change one that is all there.
pub fn classify(rest: &[u8], error: FrameError, expected: Seq) -> Problem {
    let whole = match error {
        FrameError::Damaged => is_whole_but_changed(rest),
        FrameError::Incomplete { .. } => has_changed_length(rest),
    };
    if whole || holds_later_record(rest, expected) {
        return Problem::Changed;
    }
    Problem::TornTail { bytes: length(rest) }
}

/// Whether the damaged record ends exactly where the bytes do: it was completed, and changed afterwards. (Unless the disk
/// never got a page of it, which then reads as zeros.)
fn is_whole_but_changed(rest: &[u8]) -> bool {
    let says = rest.get(4..8).and_then(|l| l.first_chunk()).map(|l| u32::from_le_bytes(*l));
    let exact = says.is_some_and(|l| length(rest) == u64::from(l) + PREFIX_BYTES as u64);
    (exact && !has_hole(rest)) || has_changed_length(rest)
}

/// Whether the bytes are one whole record but for the length that it states.
fn has_changed_length(rest: &[u8]) -> bool {
    let Some(payload) = rest.len().checked_sub(PREFIX_BYTES).and_then(|l| u32::try_from(l).ok()) else {
        return false;
    };
    let (Some(stated), Some(after)) = (rest.first_chunk::<4>(), rest.get(8..)) else { return false };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&payload.to_le_bytes());
    crc.update(after);
    crc.finalize() == u32::from_le_bytes(*stated)
}

/// The least run of zeros that passes for a page which was never written; no record holds as many, JSON none at all.
const HOLE_BYTES: usize = 32;

fn has_hole(rest: &[u8]) -> bool {
    rest.chunk_by(|a, b| a == b).any(|run| run.len() >= HOLE_BYTES && run.first() == Some(&0))
}

/// Whether a record that belongs after `expected` stands anywhere in the bytes.
fn holds_later_record(rest: &[u8], expected: Seq) -> bool {
    next_record(rest, expected).is_some()
}

/// Finds the first whole record with number `expected` or a later one behind the start of the bytes, and where it is.
pub fn next_record(rest: &[u8], expected: Seq) -> Option<(usize, Record<'_>)> {
    let most = expected.0.saturating_add(length(rest) / PREFIX_BYTES as u64);
    (1..rest.len().saturating_sub(PREFIX_BYTES - 1)).find_map(|at| {
        let seq = rest.get(at + 8..).and_then(|s| s.first_chunk()).map(|s| u64::from_le_bytes(*s))?;
        let from = rest.get(at..).filter(|_| (expected.0..=most).contains(&seq))?;
        Frame::parse(from).ok().map(|frame| (at, frame.record))
    })
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

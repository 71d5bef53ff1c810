//! Where a recording's marks are: statements, holds, refusals, errors. Knows entries; nothing of how they are shown.

use std::collections::VecDeque;
use std::time::Duration;

use recording::{Entry, Mark, What};
use wire::backend::tag;
use wire::frame;

/// A mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Which entry it is, from 0.
    pub entry: u64,
    /// Since the session began.
    pub at: Duration,
    /// The statement's number; 0 for none.
    pub statement: u64,
    /// What is there.
    pub mark: Mark,
}

/// Refused statements that are remembered until their error comes: a pipeline.
const REFUSED_MAX: usize = 4096;

/// All marks of a recording, in the order of its entries.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    moments: Vec<Moment>,
    entries: u64,
    end: Duration,
    refused: VecDeque<u64>,
}

impl Timeline {
    /// Takes the next entry.
    pub fn add(&mut self, entry: &Entry) {
        let Entry { at, statement, what } = entry;
        let number = self.entries;
        self.entries += 1;
        self.end = self.end.max(*at);
        let mut mark =
            |mark| self.moments.push(Moment { entry: number, at: *at, statement: *statement, mark });
        match what {
            What::Sent(sent) => {
                mark(Mark::Statement);
                if sent.decision.sqlstate.is_some() {
                    mark(Mark::Refusal);
                    if self.refused.len() == REFUSED_MAX {
                        self.refused.pop_front();
                    }
                    self.refused.push_back(*statement);
                }
            }
            What::Received(bytes) if has_error(bytes) => {
                // A refusal is told by an error, too, which has its mark already.
                match self.refused.iter().position(|refused| refused == statement) {
                    Some(at) => drop(self.refused.remove(at)),
                    None => mark(Mark::Error),
                }
            }
            What::Hold(hold) if hold.state == WAITING => mark(Mark::Hold),
            What::Received(_)
            | What::Cut { .. }
            | What::CopyData(_)
            | What::CopyCut(_)
            | What::Kept(_)
            | What::Hold(_)
            | What::CancelRequested
            | What::Gap { .. }
            | What::Ended { .. } => {}
        }
    }

    /// Returns the marks, in order.
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// Returns how many entries there are.
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// Returns when the last one is.
    pub const fn end(&self) -> Duration {
        self.end
    }

    /// Returns the marks of entries from `entry` on.
    pub(crate) fn from(&self, entry: u64) -> impl Iterator<Item = &Moment> {
        let at = self.moments.partition_point(|moment| moment.entry < entry);
        self.moments.get(at..).unwrap_or_default().iter()
    }

    /// Returns the marks of entries before `entry`, the last first.
    pub(crate) fn before(&self, entry: u64) -> impl Iterator<Item = &Moment> {
        let at = self.moments.partition_point(|moment| moment.entry < entry);
        self.moments.get(..at).unwrap_or_default().iter().rev()
    }
}

/// What a hold's state is when it begins.
const WAITING: &str = "waiting";

fn has_error(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Ok(Some(message)) = frame::next(rest, usize::MAX) {
        if message.tag == tag::ERROR_RESPONSE {
            return true;
        }
        rest = rest.get(message.raw.len()..).unwrap_or_default();
    }
    false
}

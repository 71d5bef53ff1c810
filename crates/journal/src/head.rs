//! The end of the chain in memory: records that are numbered and linked, and not yet written. Knows no files.

use std::time::Duration;

use audit::{Anchor, Chain, Encoded, Event, Seq, Time, TooLong};

use crate::signing::Leaves;

/// A backward step of the clock that is marked. Smaller ones are what threads make that took the time and then waited for the
/// lock, and what a disciplined clock may be slewed by.
pub(crate) const CLOCK_STEP: Duration = Duration::from_secs(1);

pub(crate) struct Head {
    chain: Chain,
    pending: Vec<u8>,
    last_time: Time,
    /// For whoever signs.
    pub(crate) leaves: Leaves,
}

impl Head {
    pub(crate) const fn new(chain: Chain, last_time: Time) -> Self {
        Self { chain, pending: Vec::new(), last_time, leaves: Leaves::Off }
    }

    /// Numbers, links and keeps a record; marks a clock that went backwards with a record before it.
    pub(crate) fn append(&mut self, time: Time, event: &Encoded) -> Result<Seq, TooLong> {
        self.mark_step(time)?;
        let seq = self.chain.append(time, event, &mut self.pending)?;
        self.leaves.push(seq, self.chain.head());
        self.last_time = self.last_time.max(time);
        Ok(seq)
    }

    /// As [`Self::append`], for a checkpoint.
    pub(crate) fn append_checkpoint(&mut self, time: Time, note: &str) -> Result<Seq, TooLong> {
        self.mark_step(time)?;
        let seq = self.chain.append_checkpoint(time, note, &mut self.pending)?;
        self.leaves.push(seq, self.chain.head());
        self.last_time = self.last_time.max(time);
        Ok(seq)
    }

    fn mark_step(&mut self, time: Time) -> Result<(), TooLong> {
        if time.before(self.last_time).is_some_and(|step| step >= CLOCK_STEP) {
            let stepped = Event::ClockStepped { from: self.last_time, to: time };
            let seq = self.chain.append(time, &stepped.encode(), &mut self.pending)?;
            self.leaves.push(seq, self.chain.head());
            self.last_time = time;
        }
        Ok(())
    }

    /// As [`Self::append`], for the journal's own events: at the time of the record before.
    pub(crate) fn append_own(&mut self, event: &Event<'_>) -> Result<Seq, TooLong> {
        self.append(self.last_time, &event.encode())
    }

    pub(crate) const fn last(&self) -> Anchor {
        Anchor { seq: Seq(self.chain.next().0.saturating_sub(1)), hash: self.chain.head() }
    }

    pub(crate) const fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Moves the records that wait to the end of `backlog`.
    pub(crate) fn take_pending(&mut self, backlog: &mut Vec<u8>) {
        if backlog.is_empty() {
            std::mem::swap(&mut self.pending, backlog);
        } else {
            backlog.append(&mut self.pending);
        }
    }
}

//! Spans that wait to be sent: so many and no more, and a count of what became of all of them. Knows no connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::span::Span;

/// What became of spans since the start.
#[derive(Debug, Default)]
pub struct Counts {
    queued: AtomicUsize,
    sent: AtomicU64,
    queue_full: AtomicU64,
    undelivered: AtomicU64,
    rejected: AtomicU64,
}

impl Counts {
    /// Returns how many wait to be sent, or are being sent.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Returns how many the collector has taken and keeps.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Returns how many were dropped because too many waited.
    pub fn queue_full(&self) -> u64 {
        self.queue_full.load(Ordering::Relaxed)
    }

    /// Returns how many were dropped because the collector could not be reached or would not take them.
    pub fn undelivered(&self) -> u64 {
        self.undelivered.load(Ordering::Relaxed)
    }

    /// Returns how many the collector took and said that it does not keep.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    pub(crate) fn delivered(&self, spans: usize, rejected: u64) {
        let rejected = rejected.min(spans as u64);
        self.sent.fetch_add(spans as u64 - rejected, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
        self.queued.fetch_sub(spans, Ordering::Relaxed);
    }

    pub(crate) fn gave_up(&self, spans: usize) {
        self.undelivered.fetch_add(spans as u64, Ordering::Relaxed);
        self.queued.fetch_sub(spans, Ordering::Relaxed);
    }
}

/// The side that spans come in at.
#[derive(Debug)]
pub(crate) struct Entry {
    most: usize,
    counts: Arc<Counts>,
    groups: UnboundedSender<Vec<Span>>,
}

/// Makes a queue of at most so many spans.
pub(crate) fn queue(most: usize) -> (Entry, UnboundedReceiver<Vec<Span>>) {
    let (groups, receiver) = unbounded_channel();
    (Entry { most, counts: Arc::default(), groups }, receiver)
}

impl Entry {
    /// Takes spans that belong together, all or none of them, and never waits.
    pub(crate) fn put(&self, spans: Vec<Span>) {
        let many = spans.len();
        // INVARIANT: what is counted as queued is in the channel or with its reader, so that the channel is as bounded as the count.
        let before = self.counts.queued.fetch_add(many, Ordering::Relaxed);
        if before.saturating_add(many) > self.most {
            self.counts.queued.fetch_sub(many, Ordering::Relaxed);
            self.counts.queue_full.fetch_add(many as u64, Ordering::Relaxed);
        } else if self.groups.send(spans).is_err() {
            // Nobody sends any more.
            self.counts.gave_up(many);
        }
    }

    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }
}

//! Counts the bytes that a session's prepared statements and portals hold, however they come to an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Texts and parameters that one session may hold, and one message more.
pub(crate) const HELD_BYTES_MAX: usize = 64 << 20;

/// Of one session.
#[derive(Default)]
pub(crate) struct Holdings(Arc<AtomicUsize>);

/// Counts until it is dropped.
pub(crate) struct Held {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Holdings {
    /// Counts so many bytes more.
    pub(crate) fn hold(&self, bytes: usize) -> Held {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Held { all: self.0.clone(), bytes }
    }

    /// Returns how many bytes are held.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Returns what it counts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_held_no_more() {
        let holdings = Holdings::default();
        let first = holdings.hold(5);
        let second = holdings.hold(7);
        assert_eq!(holdings.bytes(), 12);
        drop(first);
        assert_eq!(holdings.bytes(), 7);
        drop(second);
        assert_eq!(holdings.bytes(), 0);
    }
}

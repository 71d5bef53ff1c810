//! How often somebody may do something: a bucket for each, bounded in all. Knows nobody.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use parking_lot::Mutex;

/// Whoever is remembered at one time.
const ENTRIES_MAX: usize = 10_000;

/// A bucket for each of many: it takes so many at once, and so many in a second.
pub(crate) struct Buckets<K> {
    most: f64,
    per_second: f64,
    filled: Mutex<HashMap<K, (f64, Instant)>>,
}

impl<K: Hash + Eq> Buckets<K> {
    pub(crate) fn new(most: f64, per_second: f64) -> Self {
        Self { most, per_second, filled: Mutex::default() }
    }

    /// Whether another one would be too many.
    pub(crate) fn is_full(&self, key: &K, now: Instant) -> bool {
        let filled = self.filled.lock();
        filled.get(key).is_some_and(|(count, at)| self.left(*count, *at, now) + 1.0 > self.most)
    }

    /// Counts one.
    pub(crate) fn count(&self, key: K, now: Instant) {
        let mut filled = self.filled.lock();
        if filled.len() >= ENTRIES_MAX {
            filled.retain(|_, (count, at)| self.left(*count, *at, now) > 0.0);
        }
        if filled.len() >= ENTRIES_MAX {
            // So many at once come from somebody who has names to spare: counting them stops nobody.
            filled.clear();
        }
        let (count, at) = filled.entry(key).or_insert((0.0, now));
        *count = self.left(*count, *at, now) + 1.0;
        *at = now;
    }

    /// Counts one if that isn't too many.
    #[must_use]
    pub(crate) fn take(&self, key: K, now: Instant) -> bool {
        let free = !self.is_full(&key, now);
        if free {
            self.count(key, now);
        }
        free
    }

    /// What is left of a count after the time since.
    fn left(&self, count: f64, at: Instant, now: Instant) -> f64 {
        (count - now.saturating_duration_since(at).as_secs_f64() * self.per_second).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn so_many_at_once_and_then_as_many_as_time_has_passed_for_each_by_itself() {
        let buckets = Buckets::new(3.0, 0.5);
        let now = Instant::now();
        let take = |key: &'static str, seconds: u64| buckets.take(key, now + Duration::from_secs(seconds));
        assert!(take("a", 0) && take("a", 0) && take("a", 0) && !take("a", 0));
        assert!(take("b", 0));
        assert!(!take("a", 1) && take("a", 2) && !take("a", 2));
    }

    #[test]
    fn those_who_are_remembered_are_bounded() {
        let buckets = Buckets::new(1.0, 0.001);
        let now = Instant::now();
        for key in 0..3 * ENTRIES_MAX {
            buckets.count(key, now);
        }
        assert!(buckets.filled.lock().len() <= ENTRIES_MAX);
    }
}

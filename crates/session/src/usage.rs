//! What identities have taken of their limits: counters that the sessions of a database share. Knows no limit's name, no clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::input::Now;
use crate::scope;

/// How many identities are known before those are looked for that can be forgotten.
const SWEEP_AT: usize = 1024;

/// The counters of everybody who has used a database today.
#[derive(Default)]
pub struct Usages {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_holder: HashMap<u128, Arc<Usage>>,
    sweep_at: usize,
}

/// Numbers the days of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub u64);

impl Day {
    /// Returns the day of a time.
    pub fn of(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400)
    }

    /// Returns the moment at which it begins.
    pub fn begin(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0 * 86_400)
    }

    /// Returns the day after.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Usages {
    /// Adds what the journal says that an identity took on a day.
    pub fn restore(&self, issuer: &str, subject: &str, day: Day, rows: u64, bytes: u64) {
        let mut known = self.known.lock();
        known.by_holder.entry(scope::holder(issuer, subject)).or_default().add(day, rows, bytes);
    }

    pub(crate) fn of(&self, holder: u128, now: Now) -> Arc<Usage> {
        let mut known = self.known.lock();
        if known.by_holder.len() >= known.sweep_at.max(SWEEP_AT) {
            known.by_holder.retain(|_, usage| Arc::strong_count(usage) > 1 || usage.matters(now));
            // Whoever stays is looked at again only when there are twice as many.
            known.sweep_at = known.by_holder.len() * 2;
        }
        known.by_holder.entry(holder).or_default().clone()
    }
}

/// What one identity has taken.
#[derive(Default)]
pub(crate) struct Usage {
    sessions: AtomicU32,
    minute: Mutex<Minute>,
    // INVARIANT: only grows; what a clock that was set back calls an earlier day counts for this one.
    day: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    turning: Mutex<()>,
}

/// A session that counts until it is dropped.
pub(crate) struct Place(Arc<Usage>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Which of a day's two limits is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daily {
    Rows,
    Bytes,
}

impl Usage {
    /// Takes a place for a session, if one is left.
    pub(crate) fn enter(self: &Arc<Self>, max: u64) -> Option<Place> {
        let one_more = |open: u32| (u64::from(open) < max).then_some(open + 1);
        self.sessions.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Place(self.clone()))
    }

    /// Counts a statement if fewer than `max` were begun within the last minute; else says in how many seconds one may be.
    pub(crate) fn begin_statement(&self, max: u64, now: Instant) -> Result<(), u64> {
        self.minute.lock().take(max, now)
    }

    /// As [`Self::begin_statement`], but counts nothing.
    pub(crate) fn may_begin_statement(&self, max: u64, now: Instant) -> Result<(), u64> {
        self.minute.lock().has_room(max, now)
    }

    /// Counts a row if that leaves both sums within their limits.
    pub(crate) fn take(&self, day: Day, rows: u64, bytes: u64, max: (u64, u64)) -> Result<(), Daily> {
        self.turn_to(day);
        // Added before it is compared: of sessions that race, none sees a sum that another's row isn't in.
        let over = |sum: &AtomicU64, n: u64, max: u64| {
            let over = sum.fetch_add(n, Ordering::AcqRel).saturating_add(n) > max;
            if over {
                sum.fetch_sub(n, Ordering::AcqRel);
            }
            over
        };
        if over(&self.rows, rows, max.0) {
            return Err(Daily::Rows);
        }
        if over(&self.bytes, bytes, max.1) {
            self.rows.fetch_sub(rows, Ordering::AcqRel);
            return Err(Daily::Bytes);
        }
        Ok(())
    }

    /// Counts what is not limited, or was not while it was taken.
    pub(crate) fn add(&self, day: Day, rows: u64, bytes: u64) {
        self.turn_to(day);
        self.rows.fetch_add(rows, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Returns the rows and bytes of a day.
    pub(crate) fn taken_on(&self, day: Day) -> (u64, u64) {
        if self.day.load(Ordering::Acquire) < day.0 {
            return (0, 0);
        }
        (self.rows.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire))
    }

    /// Whether it would make a difference to forget it.
    fn matters(&self, now: Now) -> bool {
        self.taken_on(Day::of(now.wall)) != (0, 0) || self.minute.lock().has_room(1, now.monotonic).is_err()
    }

    fn turn_to(&self, day: Day) {
        if self.day.load(Ordering::Acquire) >= day.0 {
            return;
        }
        let _one = self.turning.lock();
        if self.day.load(Ordering::Acquire) < day.0 {
            self.rows.store(0, Ordering::Release);
            self.bytes.store(0, Ordering::Release);
            self.day.store(day.0, Ordering::Release);
        }
    }
}

/// A minute, and the second that has begun: whatever minute one looks at lies within.
const SECONDS: u64 = 61;

/// Statements of the last minute by the second in which they began: never more than the limit within any minute, in as much
/// memory as that takes.
#[derive(Default)]
struct Minute {
    began: Option<Instant>,
    last: u64,
    counts: Vec<u32>,
}

impl Minute {
    fn has_room(&mut self, max: u64, now: Instant) -> Result<(), u64> {
        self.turn_to(now);
        let sum: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        if sum < max {
            return Ok(());
        }
        // The oldest second that is counted has to pass, and so many after it that one is free.
        let mut left = sum;
        for ago in (0..SECONDS).rev() {
            left -= self.last.checked_sub(ago).map_or(0, |second| u64::from(self.count(second)));
            if left < max {
                return Err(SECONDS - ago);
            }
        }
        Err(SECONDS)
    }

    fn take(&mut self, max: u64, now: Instant) -> Result<(), u64> {
        self.has_room(max, now)?;
        let index = usize::try_from(self.last % SECONDS).unwrap_or_default();
        if let Some(count) = self.counts.get_mut(index) {
            *count = count.saturating_add(1);
        }
        Ok(())
    }

    fn count(&self, second: u64) -> u32 {
        let index = usize::try_from(second % SECONDS).unwrap_or_default();
        self.counts.get(index).copied().unwrap_or_default()
    }

    fn turn_to(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        self.counts.resize(usize::try_from(SECONDS).unwrap_or_default(), 0);
        // Sessions' clocks may differ by the length of a turn: none turns back what another has seen.
        let second = now.saturating_duration_since(began).as_secs();
        let passed = second.saturating_sub(self.last).min(SECONDS);
        for n in 1..=passed {
            let index = usize::try_from((second - passed + n) % SECONDS).unwrap_or_default();
            if let Some(count) = self.counts.get_mut(index) {
                *count = 0;
            }
        }
        self.last = self.last.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_statements_than_the_limit() {
        let begin = Instant::now();
        let usage = Usage::default();
        let mut taken: Vec<u64> = Vec::new();
        // A statement is tried every 130 ms for five minutes.
        for step in 0..2_300 {
            let at = step * 130;
            let now = begin + Duration::from_millis(at);
            match usage.begin_statement(100, now) {
                Ok(()) => taken.push(at),
                Err(seconds) => {
                    assert!((1..=SECONDS).contains(&seconds));
                    let later = now + Duration::from_secs(seconds);
                    assert_eq!(
                        usage.minute.lock().has_room_then(100, later),
                        Ok(()),
                        "at {at}, after {seconds}"
                    );
                }
            }
        }
        for at in &taken {
            let within = taken.iter().filter(|other| (*at..at + 60_000).contains(other)).count();
            assert!(within <= 100, "{within} in the minute from {at}");
        }
        assert!(taken.len() > 450, "{}", taken.len());
    }

    impl Minute {
        /// What will be answered then, without going there.
        fn has_room_then(&self, max: u64, now: Instant) -> Result<(), u64> {
            let mut then = Self { began: self.began, last: self.last, counts: self.counts.clone() };
            then.has_room(max, now)
        }
    }

    #[test]
    fn sessions_that_race_never_take_more_than_a_day_has() {
        let usage = Arc::new(Usage::default());
        let day = Day(20_000);
        let taken: u64 = std::thread::scope(|scope| {
            let take = |_| {
                let usage = usage.clone();
                scope.spawn(move || {
                    (0..5_000).filter(|_| usage.take(day, 1, 10, (12_345, 200_000)).is_ok()).count()
                })
            };
            let threads: Vec<_> = (0..8).map(take).collect();
            threads.into_iter().map(|thread| thread.join().unwrap() as u64).sum()
        });
        assert!(taken <= 12_345, "{taken}");
        assert_eq!(usage.taken_on(day), (taken, taken * 10));
        // Nothing is left of those that were refused.
        assert_eq!(usage.take(day, 12_345 - taken, 0, (12_345, 200_000)), Ok(()));
        assert_eq!(usage.take(day, 1, 1, (12_345, 200_000)), Err(Daily::Rows));
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing_back() {
        let usage = Usage::default();
        usage.add(Day(10), 7, 70);
        assert_eq!(usage.take(Day(9), 1, 1, (7, 100)), Err(Daily::Rows));
        assert_eq!(usage.take(Day(11), 1, 1, (7, 100)), Ok(()));
        assert_eq!((usage.taken_on(Day(11)), usage.taken_on(Day(12))), ((1, 1), (0, 0)));
    }

    #[test]
    fn places_come_back_and_who_took_something_today_is_remembered() {
        let usages = Usages::default();
        let now = Now { monotonic: Instant::now(), wall: Day(5).begin() };
        let today = Day(5);
        let usage = usages.of(1, now);
        let first = usage.enter(2).unwrap();
        let _second = usage.enter(2).unwrap();
        assert!(usage.enter(2).is_none());
        drop(first);
        assert!(usages.of(1, now).enter(2).is_some());
        for holder in 2..5_000 {
            drop(usages.of(holder, now));
        }
        assert!(usages.known.lock().by_holder.len() < 4 * SWEEP_AT);
        usages.of(7, now).add(today, 1, 1);
        for holder in 10_000..20_000 {
            drop(usages.of(holder, now));
        }
        assert_eq!(usages.of(7, now).taken_on(today), (1, 1));
        assert!(usages.of(1, now).enter(1).is_none(), "a session that is open is counted still");
    }
}

//! Counts by the minute and by the hour, of the last hour and the last day. Bounded; knows no clock.

use std::collections::VecDeque;

use audit::Time;
use schemars::JsonSchema;
use serde::Serialize;

use super::shown;

const MINUTE_NS: i64 = 60 * 1_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const MINUTES: usize = 60;
const HOURS: usize = 24;

/// What happened in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// Statements that were forwarded, results untouched.
    pub allow: u64,
    /// Statements that were forwarded, results masked.
    pub mask: u64,
    /// Statements that waited for approval, or were refused for want of it.
    pub hold: u64,
    /// Statements that were refused.
    pub deny: u64,
    /// Statements that were forwarded because the policy is not enforced, and would not have been.
    pub observed: u64,
    /// Statements that ended with an error of the server's.
    pub failed: u64,
    /// Rows returned or copied.
    pub rows: u64,
    /// Bytes of those rows.
    pub bytes: u64,
    /// Sessions that began.
    pub sessions: u64,
    /// Clients that did not prove who they are.
    pub strangers: u64,
    /// Incidents.
    pub incidents: u64,
}

impl Counts {
    /// Counts a statement's verdict, by its word.
    pub(super) fn verdict(&mut self, word: &str) {
        let count = match word {
            "allow" => &mut self.allow,
            "mask" => &mut self.mask,
            "hold" => &mut self.hold,
            "deny" => &mut self.deny,
            _ => &mut self.observed,
        };
        *count += 1;
    }

    fn add(&mut self, other: &Self) {
        let Self { allow, mask, hold, deny, observed, failed, rows, bytes, sessions, strangers, incidents } =
            other;
        for (sum, more) in [
            (&mut self.allow, allow),
            (&mut self.mask, mask),
            (&mut self.hold, hold),
            (&mut self.deny, deny),
            (&mut self.observed, observed),
            (&mut self.failed, failed),
            (&mut self.rows, rows),
            (&mut self.bytes, bytes),
            (&mut self.sessions, sessions),
            (&mut self.strangers, strangers),
            (&mut self.incidents, incidents),
        ] {
            *sum = sum.saturating_add(*more);
        }
    }
}

/// One column of a plot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Point {
    /// When it begins, RFC 3339.
    pub at: String,
    /// What happened until the next one begins.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Counts of consecutive steps of time.
#[derive(Debug)]
struct Ring {
    step: i64,
    size: usize,
    /// Step numbers since 1970, in order, and their counts; steps without any are left out.
    steps: VecDeque<(i64, Counts)>,
}

impl Ring {
    const fn new(step: i64, size: usize) -> Self {
        Self { step, size, steps: VecDeque::new() }
    }

    fn at(&mut self, time: Time) -> Option<&mut Counts> {
        let number = time.0.div_euclid(self.step);
        let size = i64::try_from(self.size).unwrap_or(i64::MAX);
        let newest = self.steps.back().map_or(i64::MIN, |it| it.0);
        if number > newest {
            self.steps.push_back((number, Counts::default()));
            while self.steps.front().is_some_and(|it| it.0 <= number.saturating_sub(size)) {
                self.steps.pop_front();
            }
        }
        // A clock that was set back counts where it says; what is too old isn't counted.
        match self.steps.binary_search_by_key(&number, |it| it.0) {
            Ok(found) => self.steps.get_mut(found).map(|it| &mut it.1),
            Err(place) if number > newest.saturating_sub(size) => {
                self.steps.insert(place, (number, Counts::default()));
                self.steps.get_mut(place).map(|it| &mut it.1)
            }
            Err(_) => None,
        }
    }

    /// Every step up to now, those without anything too.
    fn points(&self, now: Time) -> Vec<Point> {
        let last = now.0.div_euclid(self.step);
        let first = last.saturating_sub(i64::try_from(self.size).unwrap_or_default()) + 1;
        let counts = |number: i64| {
            let found = self.steps.binary_search_by_key(&number, |it| it.0).ok();
            found.and_then(|found| self.steps.get(found)).map(|it| it.1).unwrap_or_default()
        };
        (first..=last)
            .map(|number| Point { at: shown(Time(number.saturating_mul(self.step))), counts: counts(number) })
            .collect()
    }

    fn sum(&self, now: Time) -> Counts {
        let mut sum = Counts::default();
        self.points(now).iter().for_each(|point| sum.add(&point.counts));
        sum
    }
}

/// The last hour and the last day.
#[derive(Debug)]
pub(crate) struct Series {
    minutes: Ring,
    hours: Ring,
}

impl Default for Series {
    fn default() -> Self {
        Self { minutes: Ring::new(MINUTE_NS, MINUTES), hours: Ring::new(HOUR_NS, HOURS) }
    }
}

impl Series {
    /// Counts something in both.
    pub(super) fn count(&mut self, time: Time, mut count: impl FnMut(&mut Counts)) {
        [&mut self.minutes, &mut self.hours]
            .into_iter()
            .filter_map(|ring| ring.at(time))
            .for_each(&mut count);
    }

    pub(super) fn minutes(&self, now: Time) -> Vec<Point> {
        self.minutes.points(now)
    }

    pub(super) fn hours(&self, now: Time) -> Vec<Point> {
        self.hours.points(now)
    }

    /// Of the last sixty minutes.
    pub(super) fn hour(&self, now: Time) -> Counts {
        self.minutes.sum(now)
    }

    /// Of the last 24 hours.
    pub(super) fn day(&self, now: Time) -> Counts {
        self.hours.sum(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(n: i64) -> Time {
        Time(n * MINUTE_NS + 5)
    }

    #[test]
    fn an_hour_has_sixty_minutes_and_forgets_what_is_older() {
        let mut series = Series::default();
        for n in 0..500 {
            series.count(minute(n), |counts| counts.verdict("allow"));
        }
        assert_eq!(series.minutes.steps.len(), MINUTES);
        let points = series.minutes(minute(499));
        assert_eq!((points.len(), points[0].at.as_str()), (60, "1970-01-01T07:20:00.000000Z"));
        assert!(points.iter().all(|point| point.counts.allow == 1));
        assert_eq!(series.hour(minute(529)).allow, 30);
        assert_eq!(series.hour(minute(9999)).allow, 0);
        assert_eq!(series.day(minute(499)).allow, 500);
        assert_eq!(series.hours(minute(499)).len(), 24);
    }

    #[test]
    fn a_clock_that_is_set_back_neither_grows_nor_loses_anything() {
        let mut series = Series::default();
        for n in [100, 90, 95, 100, 100 - 60, 2] {
            series.count(minute(n), |counts| counts.verdict("deny"));
        }
        assert_eq!(series.hour(minute(100)).deny, 4);
        series.count(minute(101), |counts| counts.verdict("deny"));
        series.count(minute(99), |counts| counts.verdict("deny"));
        assert_eq!(series.hour(minute(101)).deny, 6);
        assert!(series.minutes.steps.len() <= MINUTES);
    }
}

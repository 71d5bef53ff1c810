//! Instants as the audit writes them. Knows no clock: a `SystemTime` is given.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970-01-01 00:00:00 UTC, leap seconds not counted; good from 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// Returns how far `self` lies before `other`, or `None` if it does not.
    pub fn before(self, other: Self) -> Option<Duration> {
        let gap = i128::from(other.0) - i128::from(self.0);
        u64::try_from(gap).ok().filter(|&ns| ns > 0).map(Duration::from_nanos)
    }

    /// Returns the same instant for the standard library.
    pub fn to_system(self) -> SystemTime {
        let gap = Duration::from_nanos(self.0.unsigned_abs());
        let moved = if self.0 >= 0 { UNIX_EPOCH.checked_add(gap) } else { UNIX_EPOCH.checked_sub(gap) };
        moved.unwrap_or(UNIX_EPOCH)
    }
}

impl From<SystemTime> for Time {
    /// Clamps instants outside the range to its ends.
    fn from(at: SystemTime) -> Self {
        match at.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => Self(i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns)),
        }
    }
}

impl fmt::Display for Time {
    /// Writes RFC 3339 in UTC with microseconds: `2026-11-23T11:55:13.000001Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY_SECONDS: i64 = 86_400;
        let seconds = self.0.div_euclid(1_000_000_000);
        let micros = self.0.rem_euclid(1_000_000_000) / 1000;
        let (year, month, day) = civil(seconds.div_euclid(DAY_SECONDS));
        let of_day = seconds.rem_euclid(DAY_SECONDS);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

/// Turns days since 1970-01-01 into a proleptic Gregorian (year, month, day), counting in eras of 400 years from 1 March.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let shifted = days + 719_468;
    let era = shifted.div_euclid(ERA_DAYS);
    let of_era = shifted.rem_euclid(ERA_DAYS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ns: i64, expected: &str) {
        assert_eq!(Time(ns).to_string(), expected);
        assert_eq!(Time::from(Time(ns).to_system()), Time(ns));
    }

    #[test]
    fn times_are_written_in_utc() {
        check(0, "1970-01-01T00:00:00.000000Z");
        check(-1, "1969-12-31T23:59:59.999999Z");
        check(951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z");
        check(1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456Z");
        check(4_107_542_399_000_000_000, "2100-02-28T23:59:59.000000Z");
        check(4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn before_measures_only_backward_gaps() {
        assert_eq!(Time(5).before(Time(7)), Some(Duration::from_nanos(2)));
        assert_eq!(Time(7).before(Time(7)), None);
        assert_eq!(Time(9).before(Time(7)), None);
        assert!(Time(i64::MIN).before(Time(i64::MAX)).is_some());
    }
}

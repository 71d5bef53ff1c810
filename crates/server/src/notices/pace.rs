//! How soon and how often a channel is written to. Has no clock and no randomness: both are given.

use std::time::Duration;

use approval::Stamp;

/// The first wait after a failure; each is twice the one before.
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(300);

/// Messages that people get at once, and how often another: more of them are one message.
const BURST: f64 = 10.0;
const EVERY: Duration = Duration::from_secs(6);
/// Between such messages for many.
const DIGESTS: Duration = Duration::from_secs(30);

/// Returns how long to wait after so many attempts: half to one and a half of what doubling gives, so that gateways and messages that failed
/// together don't come back together. `random` is any number.
pub(super) fn backoff(attempts: u64, random: u32) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let base = FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST);
    base.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX))
}

/// What one channel has had lately.
#[derive(Debug)]
pub(super) struct Pace {
    left: f64,
    at: Stamp,
    digest: Option<Stamp>,
}

/// What is to become of messages about requests that wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Each by itself.
    Each,
    /// All in one message.
    Together,
    /// Not before this.
    Later(Stamp),
}

impl Pace {
    pub(super) const fn new(now: Stamp) -> Self {
        Self { left: BURST, at: now, digest: None }
    }

    /// Says how so many are to be told.
    pub(super) fn turn(&mut self, many: usize, now: Stamp) -> Turn {
        self.refill(now);
        if many as f64 <= self.left {
            return Turn::Each;
        }
        match self.digest {
            Some(last) if now < last.after(DIGESTS) => Turn::Later(last.after(DIGESTS)),
            _ => Turn::Together,
        }
    }

    /// Notes that a message was sent.
    pub(super) fn sent(&mut self, now: Stamp) {
        self.refill(now);
        self.left = (self.left - 1.0).max(-BURST);
    }

    /// Notes that one for many was.
    pub(super) fn sent_digest(&mut self, now: Stamp) {
        self.digest = Some(now);
    }

    fn refill(&mut self, now: Stamp) {
        let passed = Duration::from_millis(now.0.saturating_sub(self.at.0));
        self.left = (self.left + passed.as_secs_f64() / EVERY.as_secs_f64()).min(BURST);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Pace, Turn, backoff};
    use approval::Stamp;
    use std::time::Duration;

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        assert_eq!(backoff(1, 0), Duration::from_secs(1));
        assert_eq!(backoff(1, u32::MAX), Duration::from_secs(3));
        assert_eq!(backoff(2, 0), Duration::from_secs(2));
        assert_eq!(backoff(2, u32::MAX), Duration::from_secs(6));
        assert!(backoff(u64::MAX, u32::MAX) <= LONGEST.mul_f64(1.5));
    }

    #[test]
    fn a_thousand_requests_are_few_messages() {
        let mut pace = Pace::new(Stamp(0));
        let (mut each, mut together, mut waiting) = (0, 0, 0);
        // Ten a second for a hundred seconds, looked at each second.
        for second in 0..200_u64 {
            waiting += if second < 100 { 10 } else { 0 };
            let now = Stamp(second * 1000);
            match pace.turn(waiting, now) {
                _ if waiting == 0 => {}
                Turn::Each => {
                    each += waiting;
                    (0..waiting).for_each(|_| pace.sent(now));
                    waiting = 0;
                }
                Turn::Together => {
                    together += 1;
                    pace.sent_digest(now);
                    waiting = 0;
                }
                Turn::Later(when) => assert!(when > now),
            }
        }
        assert_eq!(waiting, 0, "all are told");
        assert!(each <= 60 && together <= 6, "{each} {together}");
    }
}

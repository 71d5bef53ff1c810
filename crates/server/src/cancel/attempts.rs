//! Who tried wrong cancel keys lately: makes guessing one of four bytes hopeless. Bounded, whoever tries.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Wrong keys from one address in a [`WINDOW`].
pub(super) const WRONG_MAX: u32 = 10;

/// From the first wrong key until it is forgotten.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are told apart; further ones count as one.
pub(super) const ADDRESSES_MAX: usize = 10_000;

/// Wrong keys, by address.
#[derive(Default)]
pub(super) struct Attempts {
    by_address: HashMap<IpAddr, Count>,
    others: Option<Count>,
}

#[derive(Clone, Copy)]
struct Count {
    since: Instant,
    wrong: u32,
}

impl Count {
    fn current(self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < WINDOW
    }
}

impl Attempts {
    /// Returns whether a key from there may be looked at.
    pub(super) fn allowed(&self, now: Instant, client: IpAddr) -> bool {
        let client = network(client);
        let count = match self.by_address.get(&client) {
            Some(count) => Some(count),
            None if self.by_address.len() >= ADDRESSES_MAX => self.others.as_ref(),
            None => None,
        };
        count.is_none_or(|count| !count.current(now) || count.wrong < WRONG_MAX)
    }

    /// Counts a wrong key from there.
    pub(super) fn failed(&mut self, now: Instant, client: IpAddr) {
        let client = network(client);
        if self.by_address.len() >= ADDRESSES_MAX && !self.by_address.contains_key(&client) {
            self.by_address.retain(|_, count| count.current(now));
        }
        let fresh = Count { since: now, wrong: 0 };
        let count = if self.by_address.len() < ADDRESSES_MAX || self.by_address.contains_key(&client) {
            self.by_address.entry(client).or_insert(fresh)
        } else {
            self.others.get_or_insert(fresh)
        };
        if !count.current(now) {
            *count = fresh;
        }
        count.wrong = count.wrong.saturating_add(1);
    }
}

/// Returns what one client can't easily change: an IPv4 address, or the first half of an IPv6 one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ten_wrong_keys_block_an_address_for_the_rest_of_its_minute_and_no_other() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        for _ in 0..WRONG_MAX {
            assert!(attempts.allowed(start, ip("192.0.2.1")));
            attempts.failed(start, ip("192.0.2.1"));
        }
        let last = start + WINDOW - Duration::from_millis(1);
        assert!(!attempts.allowed(last, ip("192.0.2.1")));
        assert!(!attempts.allowed(last, ip("::ffff:192.0.2.1")), "the same address in another coat");
        assert!(attempts.allowed(last, ip("192.0.2.2")));
        assert!(attempts.allowed(start + WINDOW, ip("192.0.2.1")));
        attempts.failed(start + WINDOW, ip("192.0.2.1"));
        assert!(attempts.allowed(start + WINDOW, ip("192.0.2.1")), "counting starts again");
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for host in 0..WRONG_MAX {
            attempts.failed(now, ip(&format!("2001:db8::{host:x}")));
        }
        assert!(!attempts.allowed(now, ip("2001:db8::ffff:1:2:3")));
        assert!(attempts.allowed(now, ip("2001:db8:0:1::1")));
    }

    #[test]
    fn memory_is_bounded_and_a_full_table_fails_closed() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        for n in 0..ADDRESSES_MAX as u32 {
            attempts.failed(start, IpAddr::V4((0x0a00_0000 + n).into()));
        }
        for n in 0..WRONG_MAX {
            assert!(attempts.allowed(start, ip("192.0.2.200")));
            attempts.failed(start, IpAddr::V4((0xc000_0200 + n).into()));
        }
        assert_eq!(attempts.by_address.len(), ADDRESSES_MAX);
        assert!(!attempts.allowed(start, ip("192.0.2.200")));
        attempts.failed(start + WINDOW, ip("192.0.2.200"));
        assert_eq!(attempts.by_address.len(), 1, "what is old makes room");
        assert!(attempts.allowed(start + WINDOW, ip("192.0.2.200")));
    }
}

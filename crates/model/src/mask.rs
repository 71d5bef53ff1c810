//! The masks that a policy may name, as data: their words, their parameters and which reveals less.
//!
//! Knows nothing of values. Crate `policy` reads masks from bundles, crate `mask` applies them.

use std::cmp::Ordering;
use std::num::NonZeroU32;

use serde::Serialize;

/// How a value is shown that may not be seen. NULL stays NULL; where a mask does not fit the column's type, or the value is not what
/// it expects, the value becomes NULL.
///
/// The order is that of revealing, the least first; where tags disagree the least revealing wins. It is total: first by kind in the
/// order of the variants, then by how much is kept, then by the rest, so that only equal masks are equal. Kinds keep different things, so
/// between them it is a convention; those that keep nothing come first, then pseudonyms, then parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Mask {
    /// NULL.
    Null,
    /// A fixed value that says that something is hidden.
    Redact,
    /// A value of the bundle's choice.
    Constant {
        /// The value, as text that the column's type reads.
        value: String,
    },
    /// A keyed pseudonym that is a UUID, for `uuid` and text that holds one. Equal values stay equal.
    Uuid {
        /// The name of the key, not the key; without it, the bundle's own.
        key: Option<String>,
    },
    /// A keyed pseudonym: hexadecimal digits of HMAC-SHA-256 in text, JSON and XML; a positive number in `integer` and `bigint`; a
    /// UUID in `uuid`; bytes in `bytea`. Equal values stay equal, in all columns of the same type under the same key.
    Hash {
        /// The name of the key, not the key; without it, the bundle's own.
        key: Option<String>,
        /// How many digits, 4 to 64. Less is sooner equal by chance: 16 digits are good for millions of values.
        digits: u8,
    },
    /// `************1234`: the last four digits, for text with 12 to 19 digits and nothing but blanks and hyphens between.
    Card,
    /// `+** *** ****34`: all digits but the last ones are hidden and the form stays, for text with 7 to 15 digits and no letters.
    Phone {
        /// How many digits stay.
        keep_last: u8,
    },
    /// The network, for `inet`, `cidr` and text that holds an address.
    Ip {
        /// How many leading bits of an IPv4 address stay.
        v4: u8,
        /// How many leading bits of an IPv6 address stay.
        v6: u8,
    },
    /// The first of January of the year, at midnight UTC, for `date`, `timestamp`, `timestamptz`.
    Year,
    /// The first of the month, likewise.
    Month,
    /// The nearest multiple, halves away from zero, for all numbers. (Nearer to zero where the type ends.)
    Round {
        /// Of what.
        to: NonZeroU32,
    },
    /// The first and the last characters, for text; a value with no more than these is hidden whole.
    Partial {
        /// How many characters stay at the beginning.
        keep_first: u16,
        /// How many characters stay at the end.
        keep_last: u16,
        /// What stands for the others, however many they are.
        fill: String,
    },
    /// `j***@e***.com`: the first characters of longer names and a short top-level domain, for text that is one address.
    Email,
}

impl Mask {
    /// The words for [`Self::kind`], in the order of what they reveal.
    pub const KINDS: [&str; 13] = [
        "null", "redact", "constant", "uuid", "hash", "card", "phone", "ip", "year", "month", "round",
        "partial", "email",
    ];

    /// Returns the word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Redact => "redact",
            Self::Constant { .. } => "constant",
            Self::Uuid { .. } => "uuid",
            Self::Hash { .. } => "hash",
            Self::Card => "card",
            Self::Phone { .. } => "phone",
            Self::Ip { .. } => "ip",
            Self::Year => "year",
            Self::Month => "month",
            Self::Round { .. } => "round",
            Self::Partial { .. } => "partial",
            Self::Email => "email",
        }
    }

    /// Returns whether the mask needs a key.
    pub const fn is_keyed(&self) -> bool {
        matches!(self, Self::Hash { .. } | Self::Uuid { .. })
    }

    /// The kind's rank, how much of a value is shown, and the rest.
    fn revealed(&self) -> (u8, u32, u32, &str) {
        match self {
            Self::Null => (0, 0, 0, ""),
            Self::Redact => (1, 0, 0, ""),
            Self::Constant { value } => (2, 0, 0, value),
            Self::Uuid { key } => (3, 0, u32::from(key.is_some()), key.as_deref().unwrap_or_default()),
            Self::Hash { key, digits } => {
                let named = u32::from(key.is_some());
                (4, u32::from(*digits), named, key.as_deref().unwrap_or_default())
            }
            Self::Card => (5, 0, 0, ""),
            Self::Phone { keep_last } => (6, u32::from(*keep_last), 0, ""),
            Self::Ip { v4, v6 } => (7, u32::from(*v4), u32::from(*v6), ""),
            Self::Year => (8, 0, 0, ""),
            Self::Month => (9, 0, 0, ""),
            Self::Round { to } => (10, u32::MAX - to.get(), 0, ""),
            Self::Partial { keep_first, keep_last, fill } => {
                (11, u32::from(*keep_first) + u32::from(*keep_last), u32::from(*keep_first), fill)
            }
            Self::Email => (12, 0, 0, ""),
        }
    }
}

impl Ord for Mask {
    fn cmp(&self, other: &Self) -> Ordering {
        self.revealed().cmp(&other.revealed())
    }
}

impl PartialOrd for Mask {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multiple(of: u32) -> Mask {
        Mask::Round { to: NonZeroU32::new(of).unwrap() }
    }

    #[test]
    fn what_keeps_nothing_reveals_least_and_the_order_is_total() {
        let order = [
            Mask::Null,
            Mask::Redact,
            Mask::Constant { value: String::new() },
            Mask::Constant { value: "7".to_owned() },
            Mask::Uuid { key: None },
            Mask::Uuid { key: Some("k".to_owned()) },
            Mask::Hash { key: None, digits: 8 },
            Mask::Hash { key: None, digits: 64 },
            Mask::Card,
            Mask::Phone { keep_last: 2 },
            Mask::Phone { keep_last: 4 },
            Mask::Ip { v4: 16, v6: 48 },
            Mask::Ip { v4: 24, v6: 48 },
            Mask::Year,
            Mask::Month,
            multiple(1000),
            multiple(10),
            Mask::Partial { keep_first: 0, keep_last: 4, fill: "*".to_owned() },
            Mask::Partial { keep_first: 0, keep_last: 4, fill: "-".to_owned() },
            Mask::Partial { keep_first: 2, keep_last: 4, fill: "*".to_owned() },
            Mask::Email,
        ];
        for (a, x) in order.iter().enumerate() {
            for (b, y) in order.iter().enumerate() {
                assert_eq!(x.cmp(y), a.cmp(&b), "{x:?} {y:?}");
                assert_eq!(x == y, a == b);
            }
        }
        let mut kinds: Vec<_> = order.iter().map(Mask::kind).collect();
        kinds.dedup();
        assert_eq!(kinds, Mask::KINDS);
    }
}

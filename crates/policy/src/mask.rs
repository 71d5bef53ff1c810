//! The masks that a bundle may name, as data.
//!
//! Knows their words, their parameters and which reveals less; nothing of values. Crate `mask` applies them.

use serde::Serialize;

/// How a value is shown that may not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MaskSpec {
    /// NULL.
    Null,
    /// A fixed value that says that something is hidden.
    Redact,
    /// A value of the bundle's choice.
    Constant {
        /// The value, as text that the column's type reads.
        value: String,
    },
    /// A UUID made from the value with a key: equal values stay equal.
    Uuid {
        /// The name of the key, not the key; without it, the bundle's own.
        key: Option<String>,
    },
    /// A keyed digest (HMAC) of the value: equal values stay equal.
    Hash {
        /// The name of the key, not the key; without it, the bundle's own.
        key: Option<String>,
    },
    /// A payment card number of which the last four digits are kept.
    Card,
    /// A phone number of which some digits at the end are kept.
    Phone {
        /// How many digits stay.
        keep_last: u8,
    },
    /// An address of which the network is kept.
    Ip {
        /// How many leading bits of an IPv4 address stay.
        v4: u8,
        /// How many leading bits of an IPv6 address stay.
        v6: u8,
    },
    /// A date or time of which the year is kept.
    Year,
    /// A number rounded down to a multiple.
    Round {
        /// The multiple; at least 2.
        to: u64,
    },
    /// A text of which some characters at the ends are kept.
    Partial {
        /// How many characters stay at the beginning.
        keep_first: u16,
        /// How many characters stay at the end.
        keep_last: u16,
        /// What stands for each of the others.
        fill: char,
    },
    /// An e-mail address of which the first letter and the shape are kept.
    Email,
}

impl MaskSpec {
    /// The words for [`Self::kind`], in the order of what they reveal.
    pub const KINDS: [&str; 12] = [
        "null", "redact", "constant", "uuid", "hash", "card", "phone", "ip", "year", "round", "partial",
        "email",
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
            Self::Round { .. } => "round",
            Self::Partial { .. } => "partial",
            Self::Email => "email",
        }
    }

    /// Orders masks by what they reveal, least first: by kind in the order of the variants, then by how much is kept.
    ///
    /// Kinds keep different things, so between them the order is a convention; what matters is that it is total and that
    /// masks which keep nothing come first, then pseudonyms, then parts.
    pub(crate) fn reveals(&self) -> (u8, u64, u64) {
        match self {
            Self::Null => (0, 0, 0),
            Self::Redact => (1, 0, 0),
            Self::Constant { .. } => (2, 0, 0),
            Self::Uuid { .. } => (3, 0, 0),
            Self::Hash { .. } => (4, 0, 0),
            Self::Card => (5, 0, 0),
            Self::Phone { keep_last } => (6, u64::from(*keep_last), 0),
            Self::Ip { v4, v6 } => (7, u64::from(*v4), u64::from(*v6)),
            Self::Year => (8, 0, 0),
            Self::Round { to } => (9, u64::MAX - to, 0),
            Self::Partial { keep_first, keep_last, .. } => {
                (10, u64::from(*keep_first) + u64::from(*keep_last), u64::from(*keep_first))
            }
            Self::Email => (11, 0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_nothing_reveals_least() {
        let order = [
            MaskSpec::Null,
            MaskSpec::Redact,
            MaskSpec::Constant { value: String::new() },
            MaskSpec::Uuid { key: None },
            MaskSpec::Hash { key: None },
            MaskSpec::Card,
            MaskSpec::Phone { keep_last: 2 },
            MaskSpec::Phone { keep_last: 4 },
            MaskSpec::Ip { v4: 16, v6: 48 },
            MaskSpec::Ip { v4: 24, v6: 48 },
            MaskSpec::Year,
            MaskSpec::Round { to: 1000 },
            MaskSpec::Round { to: 10 },
            MaskSpec::Partial { keep_first: 0, keep_last: 4, fill: '*' },
            MaskSpec::Partial { keep_first: 2, keep_last: 4, fill: '*' },
            MaskSpec::Email,
        ];
        assert!(order.windows(2).all(|pair| pair[0].reveals() < pair[1].reveals()));
        let mut kinds: Vec<_> = order.iter().map(MaskSpec::kind).collect();
        kinds.dedup();
        assert_eq!(kinds, MaskSpec::KINDS);
    }
}

//! The masks that a policy can name, and which of two shows less. Knows no values.

use serde::Deserialize;

/// What becomes of a value. In a policy a word, `"redact"`, or a table, `{ mask = "partial", keep_last = 4 }`.
///
/// NULL stays NULL. Where a mask does not fit the column's type, or the value is not what the mask expects, the value becomes NULL.
///
/// The order is that of revealing, the least first: it is total, so that where tags disagree the least revealing wins.
/// `null < redact < constant < uuid < hash < year < month < round < ip < card < phone < email < partial`; of the same kind,
/// the one that keeps less.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Spec")]
pub enum Mask {
    /// NULL, whatever the type.
    Null,
    /// `[redacted]` in text, JSON and XML; NULL in other types.
    Redact,
    /// The same value for all.
    Constant {
        /// As the type writes it; for JSON, the content of a string.
        value: String,
    },
    /// A keyed pseudonym that is a UUID, for `uuid` and text that holds one. Equal values stay equal.
    Uuid,
    /// A keyed pseudonym: hexadecimal digits of HMAC-SHA-256 in text, JSON and XML; a positive number in `integer` and `bigint`; a UUID
    /// in `uuid`; bytes in `bytea`. Equal values stay equal, in all columns of the same type and masked under the same key.
    Hash {
        /// How many digits, at most 64. Less is sooner equal by chance: 16 digits are good for millions of values.
        digits: u8,
    },
    /// The first of January of the year, at midnight UTC, for `date`, `timestamp`, `timestamptz`.
    Year,
    /// The first of the month, likewise.
    Month,
    /// The nearest multiple, halves away from zero, for all numbers. (Nearer to zero where the type ends.)
    Round {
        /// Of what.
        to: Step,
    },
    /// The network, for `inet`, `cidr` and text that holds an address: 24 bits of IPv4, 48 of IPv6.
    Ip,
    /// `************1234`: the last four digits, for text with 12 to 19 digits and nothing but blanks and hyphens between.
    Card,
    /// `+** *** ****34`: all digits but the last two are hidden and the form stays, for text with 7 to 15 digits and no letters.
    Phone,
    /// `j***@e***.com`: the first characters of longer names and a short top-level domain, for text that is one address.
    Email,
    /// The first and the last characters, for text; a value with no more than these is hidden whole.
    Partial {
        /// How many characters at the start.
        keep_first: u16,
        /// How many at the end.
        keep_last: u16,
        /// What stands for the rest, whatever its length.
        fill: String,
    },
}

/// The step of [`Mask::Round`], at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(pub std::num::NonZeroU32);

impl Ord for Mask {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.revealed().cmp(&other.revealed())
    }
}

impl PartialOrd for Mask {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Why a policy's words are not a mask.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMask {
    /// No mask of this name.
    #[error("unknown mask \"{0}\"; known are {known}", known = Mask::NAMES.join(", "))]
    Unknown(String),
    /// The mask needs parameters.
    #[error("mask \"{mask}\" needs parameters: {{ mask = \"{mask}\", {example} }}")]
    NeedsParameters {
        /// Which.
        mask: &'static str,
        /// How they look.
        example: &'static str,
    },
    /// A parameter can't be.
    #[error("mask \"{mask}\": {problem}")]
    Parameter {
        /// Which.
        mask: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Mask {
    /// The names, as a policy writes them.
    pub const NAMES: [&'static str; 13] = [
        "null", "redact", "constant", "uuid", "hash", "year", "month", "round", "ip", "card", "phone",
        "email", "partial",
    ];

    const HASH_DIGITS: u8 = 16;

    /// Returns the mask that a policy names by a single word.
    ///
    /// # Errors
    /// [`BadMask`]: the policy's author; no such mask, or it needs parameters.
    pub fn from_name(name: &str) -> Result<Self, BadMask> {
        Ok(match name {
            "null" => Self::Null,
            "redact" => Self::Redact,
            "uuid" => Self::Uuid,
            "hash" => Self::Hash { digits: Self::HASH_DIGITS },
            "year" => Self::Year,
            "month" => Self::Month,
            "ip" => Self::Ip,
            "card" => Self::Card,
            "phone" => Self::Phone,
            "email" => Self::Email,
            "constant" => {
                return Err(BadMask::NeedsParameters { mask: "constant", example: "value = \"unknown\"" });
            }
            "round" => return Err(BadMask::NeedsParameters { mask: "round", example: "to = 1000" }),
            "partial" => {
                let example = "keep_first = 1, keep_last = 2, fill = \"***\"";
                return Err(BadMask::NeedsParameters { mask: "partial", example });
            }
            other => return Err(BadMask::Unknown(other.to_owned())),
        })
    }

    /// Returns the name, as a policy writes it and the audit records it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Redact => "redact",
            Self::Constant { .. } => "constant",
            Self::Uuid => "uuid",
            Self::Hash { .. } => "hash",
            Self::Year => "year",
            Self::Month => "month",
            Self::Round { .. } => "round",
            Self::Ip => "ip",
            Self::Card => "card",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Partial { .. } => "partial",
        }
    }

    /// Returns whether this mask wins over another: the order of [`Mask`].
    pub fn reveals_less_than(&self, other: &Self) -> bool {
        self < other
    }

    /// The kind's rank, how much of a value it shows, and the rest, so that only equal masks are equal.
    fn revealed(&self) -> (u8, u32, u16, &str) {
        match self {
            Self::Null => (0, 0, 0, ""),
            Self::Redact => (1, 0, 0, ""),
            Self::Constant { value } => (2, 0, 0, value),
            Self::Uuid => (3, 0, 0, ""),
            Self::Hash { digits } => (4, u32::from(*digits), 0, ""),
            Self::Year => (5, 0, 0, ""),
            Self::Month => (6, 0, 0, ""),
            Self::Round { to: Step(to) } => (7, u32::MAX - to.get(), 0, ""),
            Self::Ip => (8, 0, 0, ""),
            Self::Card => (9, 0, 0, ""),
            Self::Phone => (10, 0, 0, ""),
            Self::Email => (11, 0, 0, ""),
            Self::Partial { keep_first, keep_last, fill } => {
                (12, u32::from(*keep_first) + u32::from(*keep_last), *keep_first, fill)
            }
        }
    }

    /// Returns whether the mask needs a [`Key`](crate::Key).
    pub const fn is_keyed(&self) -> bool {
        matches!(self, Self::Hash { .. } | Self::Uuid)
    }
}

/// A mask as a policy writes it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a mask's name, or a table with `mask` and its parameters")]
enum Spec {
    Name(String),
    Table(Table),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    mask: String,
    value: Option<String>,
    digits: Option<u8>,
    to: Option<std::num::NonZeroU32>,
    keep_first: Option<u16>,
    keep_last: Option<u16>,
    fill: Option<String>,
}

impl TryFrom<Spec> for Mask {
    type Error = BadMask;

    fn try_from(spec: Spec) -> Result<Self, BadMask> {
        let Table { mask, value, digits, to, keep_first, keep_last, fill } = match spec {
            Spec::Name(name) => return Self::from_name(&name),
            Spec::Table(table) => table,
        };
        let bad = |mask, problem| Err(BadMask::Parameter { mask, problem });
        let has_nul = |text: &str| text.contains('\0');
        let partial = (keep_first, keep_last, fill);
        match (mask.as_str(), value, digits, to, partial) {
            ("constant", Some(value), None, None, (None, None, None)) => match has_nul(&value) {
                true => bad("constant", "a value can't contain a NUL character"),
                false => Ok(Self::Constant { value }),
            },
            ("hash", None, digits, None, (None, None, None)) => match digits.unwrap_or(Self::HASH_DIGITS) {
                digits @ 4..=64 => Ok(Self::Hash { digits }),
                _ => bad("hash", "`digits` must be 4 to 64"),
            },
            ("round", None, None, Some(to), (None, None, None)) => Ok(Self::Round { to: Step(to) }),
            ("partial", None, None, None, (first, last, fill)) if first.is_some() || last.is_some() => {
                let fill = fill.unwrap_or_else(|| "***".to_owned());
                if has_nul(&fill) || fill.is_empty() {
                    return bad("partial", "`fill` must be text without NUL characters");
                }
                Ok(Self::Partial { keep_first: first.unwrap_or(0), keep_last: last.unwrap_or(0), fill })
            }
            (name, None, None, None, (None, None, None)) => Self::from_name(name),
            (name, ..) => match Self::NAMES.iter().find(|known| **known == name) {
                Some(&mask) => bad(mask, "these parameters are not its own"),
                None => Err(BadMask::Unknown(name.to_owned())),
            },
        }
    }
}

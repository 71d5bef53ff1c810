//! What a trace and its spans are called, which traces are kept, and what a caller says of its own trace. Knows no span.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// A trace: 16 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

impl TraceId {
    /// Returns the trace of this number; `None` for 0, which names nothing.
    pub const fn new(number: u128) -> Option<Self> {
        match NonZeroU128::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Returns its bytes, as OTLP has them.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }

    /// Returns what [`Ratio::takes`] looks at: the half that W3C Trace Context wants to be random.
    pub const fn lot(self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.to_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for TraceId {
    /// Writes 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A span of a trace: 8 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

impl SpanId {
    /// Returns the span of this number; `None` for 0, which names nothing.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Returns its bytes, as OTLP has them.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl fmt::Display for SpanId {
    /// Writes 16 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Mixes a number (the finaliser of SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Names for spans, one after another, from something random. They need to be different, not secret.
#[derive(Clone, Debug)]
pub struct SpanIds(u64);

impl SpanIds {
    /// Begins with something random.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number that has not been given before.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Returns a name that has not been given before.
    pub fn next_id(&mut self) -> SpanId {
        loop {
            if let Some(id) = SpanId::new(self.number()) {
                return id;
            }
        }
    }
}

/// How many of all are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u64);

/// Of a lot, what counts: as many bits as W3C Trace Context (level 2) promises to be random.
const LOT_BITS: u32 = 56;

impl Ratio {
    /// Returns a share of all: 0.0 none, 1.0 all; what is beyond is taken as the nearer of them.
    pub fn new(share: f64) -> Self {
        let all = (1_u64 << LOT_BITS) as f64;
        // A float that is too large or no number becomes the nearest integer, or 0.
        Self((share.clamp(0.0, 1.0) * all) as u64)
    }

    /// Whether something is kept, by a number that is random or belongs to it. The same number is always answered in the same way, and a
    /// larger share keeps what a smaller one does.
    pub const fn takes(self, lot: u64) -> bool {
        lot & ((1 << LOT_BITS) - 1) < self.0
    }

    /// Whether nothing is kept.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// What whoever calls says of its own span: `traceparent` of [W3C Trace Context](https://www.w3.org/TR/trace-context/).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its trace.
    pub trace: TraceId,
    /// Its span.
    pub span: SpanId,
    sampled: bool,
}

impl Parent {
    /// Reads a header. `None`: it is none that one may go on with, and is ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, rest) = field(text, 2)?;
        let (trace, rest) = field(rest.strip_prefix('-')?, 32)?;
        let (span, rest) = field(rest.strip_prefix('-')?, 16)?;
        let (flags, rest) = field(rest.strip_prefix('-')?, 2)?;
        match version {
            0xff => return None,
            0 if !rest.is_empty() => return None,
            // Of later versions only what is known: more may follow a dash.
            _ if !rest.is_empty() && !rest.starts_with('-') => return None,
            _ => {}
        }
        let span = SpanId::new(u64::try_from(span).ok()?)?;
        Some(Self { trace: TraceId::new(trace)?, span, sampled: flags & 1 == 1 })
    }

    /// Whether the caller keeps its trace.
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }
}

/// Takes so many lower-case hexadecimal digits.
fn field(text: &str, digits: usize) -> Option<(u128, &str)> {
    let (field, rest) = text.split_at_checked(digits)?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !field.bytes().all(is_digit) {
        return None;
    }
    Some((u128::from_str_radix(field, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::{Parent, Ratio, SpanIds};
    use std::collections::HashSet;

    /// The header's own example in the specification.
    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_the_specification_says_or_not_at_all() {
        let parent = Parent::parse(GOOD).unwrap();
        assert_eq!(parent.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span.to_string(), "00f067aa0ba902b7");
        assert!(parent.is_sampled());
        assert!(!Parent::parse(&GOOD.replace("-01", "-00")).unwrap().is_sampled());
        assert!(Parent::parse(&GOOD.replace("-01", "-03")).unwrap().is_sampled());
        // A later version may say more.
        let later = GOOD.replacen("00", "cc", 1);
        assert_eq!(Parent::parse(&later), Some(parent));
        assert_eq!(Parent::parse(&format!("{later}-what-the-future-brings")), Some(parent));
        for bad in [
            "",
            "00",
            &GOOD.replacen("00", "ff", 1),
            &GOOD.to_uppercase(),
            &GOOD.replace("-01", "-1"),
            &GOOD.replace("-01", "-0x"),
            &GOOD.replace("-01", ""),
            &format!("{GOOD}-more"),
            &format!("{GOOD} "),
            &format!(" {GOOD}"),
            &format!("{later}more"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace('-', "_"),
            &GOOD.replace("4bf9", "+bf9"),
            "00-äääääääääääääääää-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Parent::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_share_is_kept_and_a_larger_one_keeps_it_too() {
        let mut numbers = SpanIds::new(7);
        let lots: Vec<u64> = (0..10_000).map(|_| numbers.number()).collect();
        let kept = |share: f64| lots.iter().filter(|lot| Ratio::new(share).takes(**lot)).count();
        assert_eq!(kept(0.0), 0);
        assert_eq!(kept(1.0), lots.len());
        assert_eq!(kept(f64::NAN), 0);
        assert!((2_300..2_700).contains(&kept(0.25)), "{}", kept(0.25));
        let (few, many) = (Ratio::new(0.1), Ratio::new(0.2));
        assert!(lots.iter().all(|lot| many.takes(*lot) || !few.takes(*lot)));
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut ids = SpanIds::new(0);
        let given: HashSet<_> = (0..10_000).map(|_| ids.next_id()).collect();
        assert_eq!(given.len(), 10_000);
    }
}

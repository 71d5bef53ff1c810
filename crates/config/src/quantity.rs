//! Sizes and times as people write them: `"16 MiB"`, `"10s"`. Knows no key.

use std::time::Duration;

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

const TIMES_MS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Returns a number of bytes, or `None` if the text is none.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    scaled(text, SIZES)
}

/// Returns a time, or `None` if the text is none; a unit is needed.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    scaled(text, TIMES_MS).map(Duration::from_millis)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim_start();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes a number of bytes with the largest binary unit that divides it.
pub(crate) fn show_bytes(bytes: u64) -> String {
    let units = SIZES.iter().filter(|(name, _)| name.ends_with("iB")).rev();
    for (name, factor) in units {
        if bytes != 0 && bytes.is_multiple_of(*factor) {
            return format!("{} {name}", bytes / factor);
        }
    }
    format!("{bytes} B")
}

/// Writes a time with the largest unit that divides it.
pub(crate) fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    for (name, factor) in TIMES_MS.iter().rev().filter(|(name, _)| *name != "min") {
        if ms != 0 && ms.is_multiple_of(*factor) {
            return format!("{}{name}", ms / factor);
        }
    }
    format!("{ms}ms")
}

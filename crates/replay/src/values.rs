//! Values as text, as PostgreSQL would write them: drivers ask for many in binary. Knows PostgreSQL's formats of types (`*send`
//! functions, utils/adt), no table.
//!
//! What isn't known is written as its bytes in hex, `\x...`: never guessed.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::table::Column;

/// `pg_type.oid` (catalog/pg_type.dat).
mod oid {
    pub(super) const BOOL: u32 = 16;
    pub(super) const BYTEA: u32 = 17;
    pub(super) const CHAR: u32 = 18;
    pub(super) const NAME: u32 = 19;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const OID: u32 = 26;
    pub(super) const JSON: u32 = 114;
    pub(super) const XML: u32 = 142;
    pub(super) const FLOAT4: u32 = 700;
    pub(super) const FLOAT8: u32 = 701;
    pub(super) const UNKNOWN: u32 = 705;
    pub(super) const BPCHAR: u32 = 1042;
    pub(super) const VARCHAR: u32 = 1043;
    pub(super) const DATE: u32 = 1082;
    pub(super) const TIME: u32 = 1083;
    pub(super) const TIMESTAMP: u32 = 1114;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const NUMERIC: u32 = 1700;
    pub(super) const UUID: u32 = 2950;
    pub(super) const JSONB: u32 = 3802;
}

/// Returns a column's value as text.
pub(crate) fn text<'a>(column: &Column, value: &'a [u8]) -> Cow<'a, [u8]> {
    if !column.binary {
        // Without a description nobody knows whether it is text; what isn't UTF-8 is none.
        return Cow::Borrowed(value);
    }
    match of_binary(column.type_oid, value) {
        Some(text) => text,
        None => Cow::Owned(hex(value).into_bytes()),
    }
}

/// Returns a value that is binary as text; `None` if its type isn't known, or it isn't one of it.
pub(crate) fn of_binary(type_oid: u32, value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let number = |text: String| Some(Cow::Owned(text.into_bytes()));
    match type_oid {
        oid::TEXT
        | oid::VARCHAR
        | oid::BPCHAR
        | oid::NAME
        | oid::JSON
        | oid::XML
        | oid::UNKNOWN
        | oid::CHAR => Some(Cow::Borrowed(value)),
        oid::JSONB => value.strip_prefix(&[1]).map(Cow::Borrowed),
        oid::BOOL => match value {
            [0] => Some(Cow::Borrowed(b"f")),
            [1] => Some(Cow::Borrowed(b"t")),
            _ => None,
        },
        oid::BYTEA => number(hex(value)),
        oid::INT2 => number(i16::from_be_bytes(value.try_into().ok()?).to_string()),
        oid::INT4 => number(i32::from_be_bytes(value.try_into().ok()?).to_string()),
        oid::INT8 => number(i64::from_be_bytes(value.try_into().ok()?).to_string()),
        oid::OID => number(u32::from_be_bytes(value.try_into().ok()?).to_string()),
        oid::FLOAT4 => {
            let value = f32::from_be_bytes(value.try_into().ok()?);
            number(float(f64::from(value), &format!("{value:e}"), 6))
        }
        oid::FLOAT8 => {
            let value = f64::from_be_bytes(value.try_into().ok()?);
            number(float(value, &format!("{value:e}"), 15))
        }
        oid::UUID => {
            let digits = hex::encode(<[u8; 16]>::try_from(value).ok()?);
            let mut text = String::with_capacity(36);
            for (at, digit) in digits.chars().enumerate() {
                if matches!(at, 8 | 12 | 16 | 20) {
                    text.push('-');
                }
                text.push(digit);
            }
            number(text)
        }
        oid::DATE => number(date(i64::from(i32::from_be_bytes(value.try_into().ok()?)))?),
        oid::TIME => number(time(i64::from_be_bytes(value.try_into().ok()?))?),
        oid::TIMESTAMP => number(timestamp(value, "")?),
        oid::TIMESTAMPTZ => number(timestamp(value, "+00")?),
        oid::NUMERIC => number(numeric(value)?),
        _ => None,
    }
}

/// Returns what a type is called in SQL, where that is known here.
pub(crate) const fn type_name(type_oid: u32) -> Option<&'static str> {
    Some(match type_oid {
        oid::BOOL => "boolean",
        oid::BYTEA => "bytea",
        oid::NAME => "name",
        oid::INT8 => "bigint",
        oid::INT2 => "smallint",
        oid::INT4 => "integer",
        oid::TEXT => "text",
        oid::OID => "oid",
        oid::JSON => "json",
        oid::XML => "xml",
        oid::FLOAT4 => "real",
        oid::FLOAT8 => "double precision",
        oid::VARCHAR => "character varying",
        oid::DATE => "date",
        oid::TIME => "time without time zone",
        oid::TIMESTAMP => "timestamp without time zone",
        oid::TIMESTAMPTZ => "timestamp with time zone",
        oid::NUMERIC => "numeric",
        oid::UUID => "uuid",
        oid::JSONB => "jsonb",
        _ => return None,
    })
}

/// Returns bytes as PostgreSQL writes a `bytea`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    format!("\\x{}", hex::encode(bytes))
}

/// Writes the shortest digits that read back as the number, as `float8out` does (`double_to_shortest_decimal_buf`, common/d2s.c):
/// with an exponent below -4 and from `digits_max` on.
fn float(value: f64, shortest: &str, digits_max: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if exponent < -4 || exponent >= digits_max {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest.replace('.', "")),
        None => ("", mantissa.replace('.', "")),
    };
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or_default());
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = usize::try_from(exponent).unwrap_or_default() + 1;
    match digits.split_at_checked(whole) {
        Some((whole, "")) => format!("{sign}{whole}"),
        Some((whole, rest)) => format!("{sign}{whole}.{rest}"),
        None => format!("{sign}{digits}{}", "0".repeat(whole - digits.len())),
    }
}

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// Days from 2000-01-01 (`date_out`, `DateStyle` ISO).
fn date(days: i64) -> Option<String> {
    if days == i64::from(i32::MAX) {
        return Some("infinity".to_owned());
    }
    if days == i64::from(i32::MIN) {
        return Some("-infinity".to_owned());
    }
    let (year, month, day) = civil(days.checked_add(10_957)?);
    Some(if year > 0 {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{:04}-{month:02}-{day:02} BC", 1 - year)
    })
}

/// The Gregorian calendar, days from 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn time(micros: i64) -> Option<String> {
    if !(0..=DAY_US).contains(&micros) {
        return None;
    }
    let seconds = micros / SECOND_US;
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let rest = micros % SECOND_US;
    if rest != 0 {
        let _ = write!(text, ".{rest:06}");
        text.truncate(text.trim_end_matches('0').len());
    }
    Some(text)
}

fn timestamp(value: &[u8], zone: &str) -> Option<String> {
    let micros = i64::from_be_bytes(value.try_into().ok()?);
    match micros {
        i64::MAX => return Some("infinity".to_owned()),
        i64::MIN => return Some("-infinity".to_owned()),
        _ => {}
    }
    let day = date(micros.div_euclid(DAY_US))?;
    let time = time(micros.rem_euclid(DAY_US))?;
    Some(match day.strip_suffix(" BC") {
        Some(day) => format!("{day} {time}{zone} BC"),
        None => format!("{day} {time}{zone}"),
    })
}

/// `numeric_send`: number of digits, weight of the first, sign, digits after the point; then digits of base 10,000.
fn numeric(value: &[u8]) -> Option<String> {
    let mut words = value.chunks_exact(2).map(|pair| match pair {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    });
    let (count, weight, sign, scale) = (words.next()?, words.next()?, words.next()?, words.next()?);
    match sign {
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        0 | 0x4000 => {}
        _ => return None,
    }
    let digits: Vec<u16> = words.collect();
    if digits.len() != usize::from(count) || digits.iter().any(|digit| *digit > 9999) || scale > 0x3FFF {
        return None;
    }
    let weight = i32::from(i16::from_be_bytes(weight.to_be_bytes()));
    let at = |place: i32| {
        usize::try_from(weight - place).ok().and_then(|at| digits.get(at)).copied().unwrap_or_default()
    };
    let mut text = if sign == 0x4000 { "-".to_owned() } else { String::new() };
    let _ = write!(text, "{}", if weight >= 0 { at(weight) } else { 0 });
    for place in (0..weight).rev() {
        let _ = write!(text, "{:04}", at(place));
    }
    if scale > 0 {
        let mut after = String::new();
        let mut place = -1;
        while after.len() < usize::from(scale) {
            let _ = write!(after, "{:04}", at(place));
            place -= 1;
        }
        after.truncate(usize::from(scale));
        text.push('.');
        text.push_str(&after);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(type_oid: u32, value: &[u8], expected: &str) {
        let column = Column { name: Vec::new(), type_oid, binary: true };
        assert_eq!(String::from_utf8_lossy(&text(&column, value)), expected);
    }

    #[test]
    fn numbers_are_as_postgresql_writes_them() {
        check(oid::INT4, &(-7_i32).to_be_bytes(), "-7");
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (1e14, "100000000000000"),
            (1.5e300, "1.5e+300"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            check(oid::FLOAT8, &f64::to_be_bytes(value), expected);
        }
        check(oid::FLOAT4, &0.1_f32.to_be_bytes(), "0.1");
        check(oid::FLOAT4, &1e6_f32.to_be_bytes(), "1e+06");
        let numeric = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
        check(oid::NUMERIC, &numeric(&[2, 0, 0, 2, 12, 3400]), "12.34");
        check(oid::NUMERIC, &numeric(&[1, 1, 0x4000, 0, 5]), "-50000");
        check(oid::NUMERIC, &numeric(&[1, 0xFFFF, 0, 4, 5]), "0.0005");
        check(oid::NUMERIC, &numeric(&[0, 0, 0, 3]), "0.000");
        check(oid::NUMERIC, &numeric(&[0, 0, 0xC000, 0]), "NaN");
        check(oid::NUMERIC, &numeric(&[9, 0, 0, 0]), "\\x0009000000000000");
    }

    #[test]
    fn times_are_as_postgresql_writes_them() {
        check(oid::DATE, &0_i32.to_be_bytes(), "2000-01-01");
        check(oid::DATE, &(-1_i32).to_be_bytes(), "1999-12-31");
        check(oid::DATE, &59_i32.to_be_bytes(), "2000-02-29");
        check(oid::DATE, &(-730_119_i32).to_be_bytes(), "0001-01-01");
        check(oid::DATE, &(-730_120_i32).to_be_bytes(), "0001-12-31 BC");
        check(oid::TIMESTAMP, &(-1_i64).to_be_bytes(), "1999-12-31 23:59:59.999999");
        check(oid::TIMESTAMPTZ, &1_500_000_i64.to_be_bytes(), "2000-01-01 00:00:01.5+00");
        check(oid::TIMESTAMP, &i64::MAX.to_be_bytes(), "infinity");
    }

    #[test]
    fn what_is_not_known_is_bytes() {
        check(600, b"\0\x01", "\\x0001");
        check(oid::INT4, b"\0\x01", "\\x0001");
        check(oid::JSONB, b"\x01{}", "{}");
        check(oid::JSONB, b"\x02{}", "\\x027b7d");
        check(oid::UUID, &[0x11; 16], "11111111-1111-1111-1111-111111111111");
        check(oid::BYTEA, b"\xff", "\\xff");
    }
}

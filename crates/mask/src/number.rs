//! Numbers, in text and binary, rounded. Knows no masks but the one.

use crate::types::{Format, IntWidth};

/// Reads an integer of the width, in either format.
pub(crate) fn read_int(value: &[u8], width: IntWidth, format: Format) -> Option<i64> {
    match (format, width) {
        (Format::Text, _) => {
            let number = std::str::from_utf8(value).ok()?.parse().ok()?;
            in_range(number, width).then_some(number)
        }
        (Format::Binary, IntWidth::Two) => Some(i16::from_be_bytes(value.try_into().ok()?).into()),
        (Format::Binary, IntWidth::Four) => Some(i32::from_be_bytes(value.try_into().ok()?).into()),
        (Format::Binary, IntWidth::Eight) => Some(i64::from_be_bytes(value.try_into().ok()?)),
    }
}

pub(crate) fn write_int(number: i64, width: IntWidth, format: Format, out: &mut Vec<u8>) -> Option<()> {
    match (format, width) {
        (Format::Text, _) if in_range(number, width) => out.extend_from_slice(number.to_string().as_bytes()),
        (Format::Text, _) => return None,
        (Format::Binary, IntWidth::Two) => out.extend_from_slice(&i16::try_from(number).ok()?.to_be_bytes()),
        (Format::Binary, IntWidth::Four) => out.extend_from_slice(&i32::try_from(number).ok()?.to_be_bytes()),
        (Format::Binary, IntWidth::Eight) => out.extend_from_slice(&number.to_be_bytes()),
    }
    Some(())
}

fn in_range(number: i64, width: IntWidth) -> bool {
    match width {
        IntWidth::Two => i16::try_from(number).is_ok(),
        IntWidth::Four => i32::try_from(number).is_ok(),
        IntWidth::Eight => true,
    }
}

pub(crate) fn round_int(
    value: &[u8],
    to: u32,
    width: IntWidth,
    format: Format,
    out: &mut Vec<u8>,
) -> Option<()> {
    let number = read_int(value, width, format)?;
    let magnitude = u128::from(number.unsigned_abs());
    let fits = |magnitude: u128| {
        let signed = i128::try_from(magnitude).ok()? * i128::from(number.signum());
        i64::try_from(signed).ok().filter(|&n| in_range(n, width))
    };
    let [nearest, lower] = multiples(magnitude, false, to)?;
    write_int(fits(nearest).or_else(|| fits(lower))?, width, format, out)
}

/// Returns the nearest multiple of `to`, halves up, and the one that is not greater. `half`: what follows the point is at least .5.
fn multiples(whole: u128, half: bool, to: u32) -> Option<[u128; 2]> {
    let to = u128::from(to);
    let over = whole.checked_rem(to)?;
    let lower = whole - over;
    let up = over * 2 + u128::from(half) >= to;
    Some([if up { lower.checked_add(to)? } else { lower }, lower])
}

pub(crate) fn read_float8(value: &[u8], format: Format) -> Option<f64> {
    match format {
        Format::Text => finite_text(value)?.parse().ok(),
        Format::Binary => Some(f64::from_be_bytes(value.try_into().ok()?)),
    }
    .filter(|number: &f64| number.is_finite())
}

pub(crate) fn read_float4(value: &[u8], format: Format) -> Option<f32> {
    match format {
        Format::Text => finite_text(value)?.parse().ok(),
        Format::Binary => Some(f32::from_be_bytes(value.try_into().ok()?)),
    }
    .filter(|number: &f32| number.is_finite())
}

/// Keeps `nan`, `inf` and their spellings from Rust's parser.
fn finite_text(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)).then_some(text)
}

pub(crate) fn write_float8(number: f64, format: Format, out: &mut Vec<u8>) -> Option<()> {
    match format {
        _ if !number.is_finite() => return None,
        Format::Text => out.extend_from_slice(number.to_string().as_bytes()),
        Format::Binary => out.extend_from_slice(&number.to_be_bytes()),
    }
    Some(())
}

pub(crate) fn write_float4(number: f32, format: Format, out: &mut Vec<u8>) -> Option<()> {
    match format {
        _ if !number.is_finite() => return None,
        Format::Text => out.extend_from_slice(number.to_string().as_bytes()),
        Format::Binary => out.extend_from_slice(&number.to_be_bytes()),
    }
    Some(())
}

pub(crate) fn round_float8(value: &[u8], to: u32, format: Format, out: &mut Vec<u8>) -> Option<()> {
    write_float8(nearest_float(read_float8(value, format)?, to), format, out)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to float4 is what is meant; too large becomes infinite: NULL"
)]
pub(crate) fn round_float4(value: &[u8], to: u32, format: Format, out: &mut Vec<u8>) -> Option<()> {
    write_float4(nearest_float(f64::from(read_float4(value, format)?), to) as f32, format, out)
}

/// `-0` would tell the sign of what was rounded away.
fn nearest_float(number: f64, to: u32) -> f64 {
    let rounded = (number / f64::from(to)).round() * f64::from(to);
    if rounded == 0.0 { 0.0 } else { rounded }
}

/// A decimal as far as rounding to whole numbers needs it.
struct Decimal {
    negative: bool,
    whole: u128,
    half: bool,
}

pub(crate) fn round_numeric(
    value: &[u8],
    to: u32,
    scale: u16,
    format: Format,
    out: &mut Vec<u8>,
) -> Option<()> {
    let Decimal { negative, whole, half } = match format {
        Format::Text => read_numeric_text(std::str::from_utf8(value).ok()?)?,
        Format::Binary => read_numeric_binary(value)?,
    };
    let [nearest, _] = multiples(whole, half, to)?;
    write_numeric(negative && nearest > 0, &nearest.to_string(), "", scale, format, out)
}

/// Writes a decimal that is given in plain text, `-12.50`, with the digits after the point that it has.
pub(crate) fn constant_numeric(text: &str, format: Format, out: &mut Vec<u8>) -> Option<()> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && part.len() <= 100;
    if whole.is_empty() || !plain(whole) || !plain(fraction) || digits.ends_with('.') {
        return None;
    }
    write_numeric(negative, whole, fraction, u16::try_from(fraction.len()).ok()?, format, out)
}

/// `numeric` is printed without exponent; NaN and Infinity are not read.
fn read_numeric_text(text: &str) -> Option<Decimal> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return None;
    }
    Some(Decimal { negative, whole: whole.parse().ok()?, half: fraction.bytes().next()? >= b'5' })
}

/// `numeric_send` (utils/adt/numeric.c): ndigits, weight, sign, dscale, then digits to the base of 10000.
fn read_numeric_binary(value: &[u8]) -> Option<Decimal> {
    let mut words = value.as_chunks::<2>().0.iter().map(|word| u16::from_be_bytes(*word));
    let (count, weight, sign) = (words.next()?, words.next()?, words.next()?);
    let _scale = words.next()?;
    if value.len() != 8 + usize::from(count) * 2 || !(sign == 0 || sign == 0x4000) {
        return None;
    }
    let weight = i16::from_be_bytes(weight.to_be_bytes());
    let digits: Vec<u16> = words.collect();
    if digits.iter().any(|&digit| digit > 9999) {
        return None;
    }
    let digit = |place: i16| {
        usize::try_from(i32::from(weight) - i32::from(place))
            .ok()
            .and_then(|index| digits.get(index).copied())
            .unwrap_or(0)
    };
    let mut whole: u128 = 0;
    for place in (0..=weight.max(0)).rev() {
        whole = whole.checked_mul(10_000)?.checked_add(digit(place).into())?;
    }
    Some(Decimal { negative: sign != 0, whole, half: digit(-1) >= 5000 })
}

fn write_numeric(
    negative: bool,
    whole: &str,
    fraction: &str,
    scale: u16,
    format: Format,
    out: &mut Vec<u8>,
) -> Option<()> {
    if format == Format::Text {
        let point = if scale > 0 { "." } else { "" };
        let sign = if negative { "-" } else { "" };
        let fraction = format!("{fraction:0<width$}", width = usize::from(scale));
        out.extend_from_slice(format!("{sign}{whole}{point}{fraction}").as_bytes());
        return Some(());
    }
    // Both parts in groups of four, from the point outwards.
    let whole = format!("{whole:0>width$}", width = whole.len().next_multiple_of(4));
    let fraction = format!("{fraction:0<width$}", width = fraction.len().next_multiple_of(4));
    let group = |group: &[u8; 4]| group.iter().fold(0u16, |n, digit| n * 10 + u16::from(digit - b'0'));
    let all = [whole.as_bytes(), fraction.as_bytes()].concat();
    let mut digits: Vec<u16> = all.as_chunks::<4>().0.iter().map(group).collect();
    let leading = digits.iter().take_while(|&&digit| digit == 0).count();
    digits.drain(..leading);
    while digits.last() == Some(&0) {
        digits.pop();
    }
    let weight =
        i16::try_from(whole.len() / 4).ok()?.checked_sub(1)?.checked_sub(i16::try_from(leading).ok()?)?;
    let (weight, sign) = if digits.is_empty() { (0, 0) } else { (weight, if negative { 0x4000 } else { 0 }) };
    out.extend_from_slice(&u16::try_from(digits.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&u16::to_be_bytes(sign));
    out.extend_from_slice(&scale.to_be_bytes());
    digits.iter().for_each(|digit| out.extend_from_slice(&digit.to_be_bytes()));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        constant_numeric(text, Format::Binary, &mut out).unwrap();
        out
    }

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numeric_has_the_bytes_that_postgresql_sends() {
        // select encode(numeric_send(n), 'hex') from (values (0), (12345.678), (-0.0001), (100000000), (0.5), (-7.10)) v(n)
        assert_eq!(numeric("0"), words(&[0, 0, 0, 0]));
        assert_eq!(numeric("12345.678"), words(&[3, 1, 0, 3, 1, 2345, 6780]));
        assert_eq!(numeric("-0.0001"), words(&[1, 0xffff, 0x4000, 4, 1]));
        assert_eq!(numeric("100000000"), words(&[1, 2, 0, 0, 1]));
        assert_eq!(numeric("0.5"), words(&[1, 0xffff, 0, 1, 5000]));
        assert_eq!(numeric("-7.10"), words(&[2, 0, 0x4000, 2, 7, 1000]));
    }

    fn check(text: &str, to: u32, expected: Option<&str>) {
        let mut out = Vec::new();
        let done = round_numeric(text.as_bytes(), to, 2, Format::Text, &mut out);
        assert_eq!(done.map(|()| String::from_utf8(out).unwrap()).as_deref(), expected, "{text} to {to}");
        if let Some(expected) = expected {
            let mut out = Vec::new();
            round_numeric(&numeric(text), to, 2, Format::Binary, &mut out).unwrap();
            assert_eq!(out, numeric(expected), "{text} to {to}");
        }
    }

    #[test]
    fn numeric_is_rounded_to_the_nearest_multiple() {
        check("1499.99", 1000, Some("1000.00"));
        check("1500", 1000, Some("2000.00"));
        check("-1500.00", 1000, Some("-2000.00"));
        check("-0.4", 1, Some("0.00"));
        check("0.5", 1, Some("1.00"));
        check("1.4999", 3, Some("0.00"));
        check("1.5", 3, Some("3.00"));
        check("123456789012345678901234567890.12", 10000, Some("123456789012345678901234570000.00"));
        for bad in ["", "-", ".", "NaN", "Infinity", "1e5", "1.", ".5", "1_000", "１", " 1"] {
            check(bad, 10, None);
        }
        check(&"9".repeat(60), 10, None);
    }

    #[test]
    fn integers_stay_in_their_type() {
        let round = |number: &str, width| {
            let mut out = Vec::new();
            round_int(number.as_bytes(), 1000, width, Format::Text, &mut out)
                .map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(round("32767", IntWidth::Two).as_deref(), Some("32000"));
        assert_eq!(round("-32768", IntWidth::Two).as_deref(), Some("-32000"));
        assert_eq!(round("32767", IntWidth::Four).as_deref(), Some("33000"));
        assert_eq!(round("-9223372036854775808", IntWidth::Eight).as_deref(), Some("-9223372036854775000"));
        assert_eq!(round("40000", IntWidth::Two), None);
        assert_eq!(round("1.5", IntWidth::Four), None);
    }
}

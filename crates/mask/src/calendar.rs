//! Dates and timestamps, in ISO text and in binary. Knows the Gregorian calendar, not time zones by name.

use crate::types::Format;

/// What is kept of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Year,
    Month,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Date,
    Timestamp,
    TimestampTz,
}

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch (POSTGRES_EPOCH_JDATE, datatype/timestamp.h).
const EPOCH_DAYS: i64 = 10_957;
const DAY_SECONDS: i64 = 86_400;
const DAY_MICROS: i64 = DAY_SECONDS * 1_000_000;
/// PostgreSQL's timestamps end here (END_TIMESTAMP, datatype/timestamp.h).
const YEAR_MAX: i64 = 294_276;

/// Writes the first moment of the year or month that the value lies in. `None`: not a date after Christ in ISO form.
pub(crate) fn truncate(
    value: &[u8],
    unit: Unit,
    moment: Moment,
    format: Format,
    out: &mut Vec<u8>,
) -> Option<()> {
    let day = match format {
        Format::Text => read_text(std::str::from_utf8(value).ok()?, moment)?,
        Format::Binary => read_binary(value, moment)?,
    };
    let (year, month, _) = civil(day);
    if !(1..=YEAR_MAX).contains(&year) {
        return None;
    }
    let month = match unit {
        Unit::Year => 1,
        Unit::Month => month,
    };
    write(days(year, month, 1), moment, format, out)
}

/// Writes a date or timestamp that is given in ISO text.
pub(crate) fn constant(text: &str, moment: Moment, format: Format, out: &mut Vec<u8>) -> Option<()> {
    let day = read_text(text, moment)?;
    match format {
        Format::Text => out.extend_from_slice(text.as_bytes()),
        Format::Binary if moment == Moment::Date => write(day, moment, format, out)?,
        Format::Binary => {
            let micros = read_micros(text, moment)?.checked_sub(EPOCH_DAYS.checked_mul(DAY_MICROS)?)?;
            out.extend_from_slice(&micros.to_be_bytes());
        }
    }
    Some(())
}

fn read_binary(value: &[u8], moment: Moment) -> Option<i64> {
    match moment {
        Moment::Date => {
            let days = i32::from_be_bytes(value.try_into().ok()?);
            // Infinity, both ways.
            (days != i32::MAX && days != i32::MIN).then(|| i64::from(days) + EPOCH_DAYS)
        }
        Moment::Timestamp | Moment::TimestampTz => {
            let micros = i64::from_be_bytes(value.try_into().ok()?);
            (micros != i64::MAX && micros != i64::MIN)
                .then(|| micros.div_euclid(DAY_MICROS).checked_add(EPOCH_DAYS))?
        }
    }
}

/// Returns the day since 1970-01-01, in UTC where the text has an offset.
fn read_text(text: &str, moment: Moment) -> Option<i64> {
    match moment {
        Moment::Date => {
            let (day, rest) = date(text)?;
            rest.is_empty().then_some(day)
        }
        Moment::Timestamp | Moment::TimestampTz => Some(read_micros(text, moment)?.div_euclid(DAY_MICROS)),
    }
}

/// Reads `2024-05-01 12:34:56[.789][+05[:30[:15]]]`, microseconds since 1970.
fn read_micros(text: &str, moment: Moment) -> Option<i64> {
    let (day, rest) = date(text)?;
    let rest = rest.strip_prefix([' ', 'T'])?;
    let (hour, rest) = digits(rest, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (micros, rest) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (fraction, rest) = rest.split_at_checked(end)?;
            let micros =
                if (1..=6).contains(&end) { format!("{fraction:0<6}").parse().ok()? } else { return None };
            (micros, rest)
        }
        None => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let east = match moment {
        Moment::TimestampTz => offset(rest)?,
        Moment::Date | Moment::Timestamp => rest.is_empty().then_some(0)?,
    };
    let seconds = day.checked_mul(DAY_SECONDS)?.checked_add(hour * 3600 + minute * 60 + second - east)?;
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

/// Reads `+05`, `-03:30`, `+00:19:32`: seconds east of Greenwich.
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (None, Some(rest)) => (-1, rest),
        (None, None) => return (text == "Z").then_some(0),
    };
    let mut parts = rest.split(':').map(|part| digits(part, 2).filter(|(_, rest)| rest.is_empty()));
    let hours = parts.next()??.0;
    let minutes = parts.next().map_or(Some(0), |part| part.map(|(n, _)| n))?;
    let seconds = parts.next().map_or(Some(0), |part| part.map(|(n, _)| n))?;
    (parts.next().is_none() && hours < 24 && minutes < 60 && seconds < 60)
        .then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

/// Reads `2024-05-01`, years of four digits and more.
fn date(text: &str) -> Option<(i64, &str)> {
    let length = text.find('-').filter(|length| (4..=6).contains(length))?;
    let (year, rest) = digits(text, length)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let counted = days(year, month, day);
    // A day that the month hasn't comes back as another.
    ((1..=YEAR_MAX).contains(&year) && civil(counted) == (year, month, day)).then_some((counted, rest))
}

fn digits(text: &str, count: usize) -> Option<(i64, &str)> {
    let (digits, rest) = text.split_at_checked(count)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?.map(|n| (n, rest))
}

fn write(day: i64, moment: Moment, format: Format, out: &mut Vec<u8>) -> Option<()> {
    let since_epoch = day.checked_sub(EPOCH_DAYS)?;
    match (format, moment) {
        (Format::Text, _) => {
            let (year, month, day) = civil(day);
            let time = match moment {
                Moment::Date => "",
                Moment::Timestamp => " 00:00:00",
                Moment::TimestampTz => " 00:00:00+00",
            };
            out.extend_from_slice(format!("{year:04}-{month:02}-{day:02}{time}").as_bytes());
        }
        (Format::Binary, Moment::Date) => {
            out.extend_from_slice(&i32::try_from(since_epoch).ok()?.to_be_bytes());
        }
        (Format::Binary, Moment::Timestamp | Moment::TimestampTz) => {
            out.extend_from_slice(&since_epoch.checked_mul(DAY_MICROS)?.to_be_bytes());
        }
    }
    Some(())
}

/// Counts days since 1970-01-01, in eras of 400 years that begin on 1 March.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Turns days since 1970-01-01 into year, month and day.
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    if month < 10 { (year + era * 400, month + 3, day) } else { (year + era * 400 + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, moment: Moment, year: Option<&str>, month: Option<&str>) {
        for (unit, expected) in [(Unit::Year, year), (Unit::Month, month)] {
            let mut out = Vec::new();
            let done = truncate(text.as_bytes(), unit, moment, Format::Text, &mut out);
            assert_eq!(done.map(|()| String::from_utf8(out).unwrap()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn iso_text_is_cut_and_anything_else_is_not_read() {
        use Moment::{Date, Timestamp, TimestampTz};
        check("2024-02-29", Date, Some("2024-01-01"), Some("2024-02-01"));
        check("12024-12-31", Date, Some("12024-01-01"), Some("12024-12-01"));
        check(
            "2024-05-17 23:59:59.123456",
            Timestamp,
            Some("2024-01-01 00:00:00"),
            Some("2024-05-01 00:00:00"),
        );
        check(
            "2024-05-01 01:30:00+02",
            TimestampTz,
            Some("2024-01-01 00:00:00+00"),
            Some("2024-04-01 00:00:00+00"),
        );
        check(
            "2023-12-31 23:30:00-03:30",
            TimestampTz,
            Some("2024-01-01 00:00:00+00"),
            Some("2024-01-01 00:00:00+00"),
        );
        check(
            "1800-01-01 00:00:00+00:19:32",
            TimestampTz,
            Some("1799-01-01 00:00:00+00"),
            Some("1799-12-01 00:00:00+00"),
        );
        for bad in [
            "",
            "infinity",
            "-infinity",
            "0044-03-15 BC",
            "05/17/2024",
            "17.05.2024",
            "2023-02-29",
            "2024-13-01",
            "0000-01-01",
            "2024-05-17 ",
            "2024-05-17x",
            "24-05-17",
            "é024-05-17",
            "2024-05-1é",
        ] {
            check(bad, Date, None, None);
        }
        for bad in [
            "2024-05-17",
            "2024-05-17 12:00",
            "Fri May 17 12:00:00 2024",
            "2024-05-17 12:00:00 BC",
            "2024-05-17 12:00:00.+1",
        ] {
            check(bad, Timestamp, None, None);
            check(bad, TimestampTz, None, None);
        }
        check("2024-05-17 12:00:00+1", TimestampTz, None, None);
        check("2024-05-17 12:00:00+01:00:00:00", TimestampTz, None, None);
    }

    #[test]
    fn each_day_counts_one() {
        let mut expected = days(1, 1, 1);
        for year in 1..=2400 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if civil(expected) != (year, month, day) {
                        continue;
                    }
                    assert_eq!(days(year, month, day), expected);
                    expected += 1;
                }
            }
        }
        assert_eq!(civil(expected), (2401, 1, 1));
        assert_eq!(days(2000, 1, 1), EPOCH_DAYS);
    }
}

//! Each mask on each type in both formats: the output is a value of the type, both formats say the same, and nothing of
//! the hidden value is in it but what the mask keeps by design.

use mask::{CannotMask, ColumnType, Format, Key, Masker, Outcome, fits};
use model::{Mask, Oid};
use postgres_protocol::types as binary;
use proptest::prelude::*;

pub(crate) fn key() -> Key {
    Key::new(b"0123456789abcdef").unwrap()
}

pub(crate) fn column(oid: u32) -> ColumnType {
    ColumnType { oid: Oid(oid), typmod: -1 }
}

pub(crate) fn masker(mask: &Mask, ty: ColumnType, format: Format) -> Masker {
    Masker::for_column(mask, ty, format, Some(&key())).unwrap()
}

fn apply(mask: &Mask, ty: ColumnType, format: Format, value: &[u8]) -> Option<Vec<u8>> {
    let mut out = b"before".to_vec();
    match masker(mask, ty, format).apply(Some(value), &mut out) {
        Outcome::Value => Some(out.split_off(6)),
        Outcome::Null => {
            assert_eq!(out, b"before", "NULL leaves nothing in the buffer");
            None
        }
    }
}

fn text(mask: &Mask, oid: u32, value: &str) -> Option<String> {
    apply(mask, column(oid), Format::Text, value.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
}

pub(crate) fn hash(digits: u8) -> Mask {
    Mask::Hash { key: None, digits }
}

/// One of each kind and a few strengths.
fn masks() -> Vec<Mask> {
    let round = |to: u32| Mask::Round { to: to.try_into().unwrap() };
    let partial =
        |keep_first, keep_last, fill: &str| Mask::Partial { keep_first, keep_last, fill: fill.into() };
    let all = vec![
        Mask::Null,
        Mask::Redact,
        Mask::Constant { value: "2020-01-01".into() },
        Mask::Constant { value: "7".into() },
        Mask::Uuid { key: None },
        hash(8),
        hash(64),
        Mask::Card,
        Mask::Phone { keep_last: 0 },
        Mask::Phone { keep_last: 4 },
        Mask::Ip { v4: 24, v6: 48 },
        Mask::Ip { v4: 0, v6: 127 },
        Mask::Year,
        Mask::Month,
        round(1000),
        round(7),
        partial(0, 1, "***"),
        partial(1, 0, "***"),
        partial(0, 4, "'\",\t\\"),
        Mask::Email,
    ];
    assert!(Mask::KINDS.iter().all(|kind| all.iter().any(|mask| mask.kind() == *kind)));
    all
}

/// A value of a type in both formats, made without the crate's help.
#[derive(Clone, Debug)]
struct Sample {
    oid: u32,
    text: Vec<u8>,
    binary: Vec<u8>,
}

fn sample(oid: u32, text: impl Into<Vec<u8>>, binary: impl Into<Vec<u8>>) -> Sample {
    Sample { oid, text: text.into(), binary: binary.into() }
}

fn samples() -> impl Strategy<Value = Sample> {
    let strings =
        prop_oneof!["\\PC{0,40}", "[a-z]{1,9}@[a-z]{1,9}\\.[a-z]{2,9}", "[0-9 -]{10,22}", "[0-9.]{7,15}"];
    let strings = (strings, prop::sample::select(vec![25, 1043, 1042, 19]))
        .prop_map(|(s, oid)| sample(oid, s.clone(), s));
    let json = any::<u32>().prop_map(|n| {
        let text = format!("{{\"canary\": {n}}}");
        [
            sample(114, text.clone(), text.clone()),
            sample(3802, text.clone(), [b"\x01", text.as_bytes()].concat()),
        ]
    });
    let json = (json, any::<bool>()).prop_map(|([a, b], first)| if first { a } else { b });
    let ints = prop_oneof![
        any::<i16>().prop_map(|n| sample(21, n.to_string(), n.to_be_bytes())),
        any::<i32>().prop_map(|n| sample(23, n.to_string(), n.to_be_bytes())),
        any::<i64>().prop_map(|n| sample(20, n.to_string(), n.to_be_bytes())),
        any::<bool>().prop_map(|b| sample(16, if b { "t" } else { "f" }, [u8::from(b)])),
    ];
    let floats = prop_oneof![
        any::<f32>().prop_map(|n| sample(700, n.to_string(), n.to_be_bytes())),
        any::<f64>().prop_map(|n| sample(701, format!("{n:e}"), n.to_be_bytes())),
    ];
    // Days since 2000-01-01 within the years 1 to 9999.
    let dates = (-730_119i32..2_921_939).prop_map(|day| {
        let jiff = civil(day);
        sample(1082, jiff, day.to_be_bytes())
    });
    let stamps = (-730_119i64..2_921_939, 0i64..86_400_000_000, prop::sample::select(vec![1114u32, 1184]))
        .prop_map(|(day, micros, oid)| {
            let seconds = micros / 1_000_000;
            let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let zone = if oid == 1184 { "+00" } else { "" };
            let date = civil(day as i32);
            let text = format!("{date} {hour:02}:{minute:02}:{second:02}.{:06}{zone}", micros % 1_000_000);
            sample(oid, text, (day * 86_400_000_000 + micros).to_be_bytes())
        });
    let bytes = prop_oneof![
        any::<[u8; 16]>().prop_map(|b| { sample(2950, uuid(&b), b) }),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|b| {
            let h: String = b.iter().map(|b| format!("{b:02x}")).collect();
            sample(17, format!("\\x{h}"), b)
        }),
    ];
    let nets = (any::<[u8; 4]>(), 0u8..=32).prop_map(|(a, bits)| {
        let slash = if bits == 32 { String::new() } else { format!("/{bits}") };
        let text = format!("{}.{}.{}.{}{slash}", a[0], a[1], a[2], a[3]);
        sample(869, text, [&[2, bits, 0, 4], &a[..]].concat())
    });
    prop_oneof![3 => strings, 1 => json, 2 => ints, 2 => floats, 1 => dates, 2 => stamps, 1 => bytes, 1 => nets]
}

fn uuid(bytes: &[u8; 16]) -> String {
    let dash = |at: usize| if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
    bytes.iter().enumerate().map(|(at, byte)| format!("{}{byte:02x}", dash(at))).collect()
}

/// Days since 2000-01-01 as ISO, counted a year at a time.
fn civil(day: i32) -> String {
    let (mut year, mut left) = (2000i32, day);
    let leap = |y: i32| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    let length = |y| if leap(y) { 366 } else { 365 };
    while left < 0 {
        year -= 1;
        left += length(year);
    }
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", left + 1)
}

/// Reads a binary value by another's decoder, and writes it as the text that says the same.
fn as_text(oid: u32, raw: &[u8]) -> String {
    let days = |micros: i64| {
        assert_eq!(micros % 86_400_000_000, 0);
        civil((micros / 86_400_000_000) as i32)
    };
    match oid {
        16 => if binary::bool_from_sql(raw).unwrap() { "t" } else { "f" }.to_owned(),
        21 => binary::int2_from_sql(raw).unwrap().to_string(),
        23 => binary::int4_from_sql(raw).unwrap().to_string(),
        20 => binary::int8_from_sql(raw).unwrap().to_string(),
        700 => binary::float4_from_sql(raw).unwrap().to_string(),
        701 => binary::float8_from_sql(raw).unwrap().to_string(),
        1082 => civil(binary::date_from_sql(raw).unwrap()),
        1114 => format!("{} 00:00:00", days(binary::timestamp_from_sql(raw).unwrap())),
        1184 => format!("{} 00:00:00+00", days(binary::timestamp_from_sql(raw).unwrap())),
        2950 => uuid(&binary::uuid_from_sql(raw).unwrap()),
        17 => raw.iter().fold("\\x".to_owned(), |text, b| format!("{text}{b:02x}")),
        869 => {
            let inet = binary::inet_from_sql(raw).unwrap();
            format!("{}/{}", inet.addr(), inet.netmask())
        }
        3802 => String::from_utf8(raw.strip_prefix(b"\x01").unwrap().to_vec()).unwrap(),
        _ => binary::text_from_sql(raw).unwrap().to_owned(),
    }
}

fn fits_constant(mask: &Mask, oid: u32) -> bool {
    Masker::for_column(mask, column(oid), Format::Text, Some(&key())).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn text_and_binary_say_the_same_and_are_of_the_type(sample in samples()) {
        for mask in masks() {
            if !fits_constant(&mask, sample.oid) {
                continue;
            }
            let ty = column(sample.oid);
            let text = apply(&mask, ty, Format::Text, &sample.text).map(|t| String::from_utf8(t).unwrap());
            let binary = apply(&mask, ty, Format::Binary, &sample.binary).map(|raw| as_text(sample.oid, &raw));
            // A constant may be written in text as the policy writes it.
            if let (Mask::Constant { .. }, Some(_), Some(_)) = (&mask, &text, &binary) {
                continue;
            }
            prop_assert_eq!(&text, &binary, "{:?} of {:?}", mask, sample);
            if matches!(sample.oid, 114 | 3802) && let Some(text) = text {
                prop_assert!(text.starts_with('"') && text.ends_with('"') && !text.contains("canary"));
            }
        }
    }

    #[test]
    fn any_bytes_are_masked_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..40), oid in prop::sample::select(vec![
        16u32, 17, 18, 19, 20, 21, 23, 25, 114, 142, 650, 700, 701, 869, 1007, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 1560, 1700, 2950, 3802, 70000,
    ])) {
        for mask in masks() {
            for format in [Format::Text, Format::Binary] {
                if fits_constant(&mask, oid) && let Some(out) = apply(&mask, column(oid), format, &bytes)
                    && format == Format::Binary && !matches!(oid, 142 | 650 | 1700) && !matches!(mask, Mask::Constant { .. }) {
                    as_text(oid, &out);
                }
            }
        }
    }

    #[test]
    fn a_canary_is_never_in_the_output(prefix in "[a-z0-9@. -]{0,12}", suffix in "[a-z0-9@. -]{0,12}") {
        let value = format!("{prefix}CANARY{suffix}");
        for mask in masks() {
            for oid in [25, 1043, 1042, 19, 114, 3802, 142] {
                if !fits_constant(&mask, oid) {
                    continue;
                }
                for format in [Format::Text, Format::Binary] {
                    let raw = if oid == 3802 && format == Format::Binary { format!("\x01{value}") } else { value.clone() };
                    let out = apply(&mask, column(oid), format, raw.as_bytes()).unwrap_or_default();
                    let out = String::from_utf8(out).unwrap();
                    let kept = ["CAN", "ANA", "NAR", "ARY"].iter().any(|part| out.contains(part));
                    let by_design = matches!(mask, Mask::Partial { keep_last: 4, .. })
                        // "CANARY" is as short as a top-level domain may be.
                        || matches!(mask, Mask::Email) && out.ends_with(".CANARY");
                    prop_assert!(!kept || by_design, "{:?} of {:?}: {:?}", mask, value, out);
                }
            }
        }
    }

    #[test]
    fn pseudonyms_are_equal_exactly_where_values_are(a in "[ab]{0,3}", b in "[ab]{0,3}") {
        let pseudonym = |text_: &str| text(&hash(64), 25, text_).unwrap();
        prop_assert_eq!(pseudonym(&a) == pseudonym(&b), a == b);
    }
}

#[test]
fn null_stays_null_in_columns() {
    for mask in masks() {
        let mut out = Vec::new();
        assert_eq!(masker(&mask, column(25), Format::Text).apply(None, &mut out), Outcome::Null);
        assert!(out.is_empty());
    }
}

#[test]
fn an_expression_becomes_the_same_for_every_row() {
    for mask in masks() {
        for oid in [16, 17, 20, 23, 25, 114, 701, 1082, 1114, 1700, 2950, 3802, 1007] {
            for format in [Format::Text, Format::Binary] {
                let masker = Masker::for_expression(&mask, column(oid), format);
                let give = |value: Option<&[u8]>| {
                    let mut out = Vec::new();
                    let outcome = masker.apply(value, &mut out);
                    (outcome, out)
                };
                let null = give(None);
                for value in [&b"1"[..], b"2024-01-01", b"secret", b"t", &[0, 0, 0, 7]] {
                    assert_eq!(give(Some(value)), null, "{mask:?} {oid}");
                }
            }
        }
    }
    let mut out = Vec::new();
    let redacted = Masker::for_expression(&Mask::Email, column(25), Format::Text);
    assert_eq!(redacted.apply(None, &mut out), Outcome::Value);
    assert_eq!(out, b"[redacted]");
}

#[test]
fn types_without_a_mask_become_null() {
    // "char", time, timetz, interval, bit, money, macaddr, int4[], text[], int4range, record, an enum or citext.
    for oid in [18, 1083, 1266, 1186, 1560, 790, 829, 1007, 1009, 3904, 2249, 16400] {
        for mask in masks() {
            for format in [Format::Text, Format::Binary] {
                assert_eq!(apply(&mask, column(oid), format, b"2024-01-01"), None, "{mask:?} {oid}");
            }
        }
    }
}

#[test]
fn strings_keep_their_column_s_length() {
    let redact = |oid, typmod| {
        let ty = ColumnType { oid: Oid(oid), typmod };
        String::from_utf8(apply(&Mask::Redact, ty, Format::Text, b"x").unwrap()).unwrap()
    };
    assert_eq!(redact(25, -1), "[redacted]");
    assert_eq!(redact(1043, 4 + 5), "[reda");
    assert_eq!(redact(1042, 4 + 12), "[redacted]  ");
    assert_eq!(redact(1042, 4 + 2), "[r");
    assert_eq!(redact(1042, -1), "[redacted]");
    let long = Mask::Partial { keep_first: 40, keep_last: 40, fill: "é".into() };
    let name = text(&long, 19, &"ab".repeat(50)).unwrap();
    assert_eq!(name.len(), 63);
    let padded = ColumnType { oid: Oid(1042), typmod: 4 + 8 };
    let last = Mask::Partial { keep_first: 0, keep_last: 2, fill: "**".into() };
    assert_eq!(apply(&last, padded, Format::Text, b"abcd    ").unwrap(), b"**cd    ");
    let pseudonym = |value: &[u8]| apply(&hash(8), padded, Format::Text, value);
    assert_eq!(pseudonym(b"abcd    "), pseudonym(b"abcd"), "blanks do not belong to the value");
}

#[test]
fn numbers_and_dates_are_made_coarse() {
    let round = Mask::Round { to: 1000.try_into().unwrap() };
    assert_eq!(text(&round, 23, "51499").as_deref(), Some("51000"));
    assert_eq!(text(&round, 23, "-51500").as_deref(), Some("-52000"));
    assert_eq!(text(&round, 701, "51499.9").as_deref(), Some("51000"));
    assert_eq!(text(&round, 701, "-3.5").as_deref(), Some("0"));
    assert_eq!(text(&round, 701, "NaN"), None);
    assert_eq!(text(&round, 701, "Infinity"), None);
    let money = ColumnType { oid: Oid(1700), typmod: 4 + ((10 << 16) | 2) };
    assert_eq!(apply(&round, money, Format::Text, b"51499.99").unwrap(), b"51000.00");
    assert_eq!(text(&Mask::Year, 1082, "1987-06-05").as_deref(), Some("1987-01-01"));
    assert_eq!(text(&Mask::Month, 1184, "1987-06-05 01:02:03+02").as_deref(), Some("1987-06-01 00:00:00+00"));
    assert_eq!(text(&Mask::Year, 25, "1987-06-05"), None);
    assert_eq!(text(&Mask::Year, 1082, "05/06/1987"), None);
    assert_eq!(text(&Mask::Email, 23, "5"), None);
}

#[test]
fn pseudonyms_need_a_key_and_change_with_it() {
    for mask in [hash(16), Mask::Uuid { key: None }] {
        let refused = Masker::for_column(&mask, column(2950), Format::Text, None).err();
        assert_eq!(refused, Some(CannotMask::NoKey(mask.kind())));
    }
    assert!(Key::new(b"short").is_err());
    let other = Key::new(b"another key, too").unwrap();
    let with = |key: &Key, oid, value: &str| {
        let mut out = Vec::new();
        let masker = Masker::for_column(&hash(16), column(oid), Format::Text, Some(key)).unwrap();
        assert_eq!(masker.apply(Some(value.as_bytes()), &mut out), Outcome::Value);
        String::from_utf8(out).unwrap()
    };
    assert_ne!(with(&key(), 25, "a"), with(&other, 25, "a"));
    assert_eq!(with(&key(), 25, "a").len(), 16);
    assert!(with(&key(), 23, "-7").parse::<i32>().unwrap() > 0);
    assert!(with(&key(), 20, "-7").parse::<i64>().unwrap() > 0);
    let uuid = with(&key(), 2950, "f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
    assert_eq!((uuid.as_bytes()[14], uuid.len()), (b'8', 36));
    assert_eq!(uuid, with(&key(), 2950, "F81D4FAE-7dec-11d0-a765-00a0c91e6bf6"));
}

#[test]
fn a_constant_must_be_a_value_of_the_type() {
    let constant = |value: &str, oid, format| {
        let mask = Mask::Constant { value: value.into() };
        Masker::for_column(&mask, column(oid), format, None).map(|masker| {
            let mut out = Vec::new();
            assert_eq!(masker.apply(Some(b"x"), &mut out), Outcome::Value);
            out
        })
    };
    let good = [
        (16, "true", "t"),
        (23, "-5", "-5"),
        (701, "1.5", "1.5"),
        (1082, "2024-02-29", "2024-02-29"),
        (2950, "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
        (17, "\\xbeef", "\\xbeef"),
        (869, "10.0.0.1", "10.0.0.1/32"),
        (25, "-", "-"),
        (114, "a\"\n", "\"a\\\"\\u000a\""),
    ];
    for (oid, value, expected) in good {
        assert_eq!(constant(value, oid, Format::Text).unwrap(), expected.as_bytes(), "{value}");
        assert_eq!(as_text(oid, &constant(value, oid, Format::Binary).unwrap()), expected, "{value}");
    }
    for (oid, value) in [
        (16, "yes"),
        (21, "40000"),
        (23, "x"),
        (1082, "2024-02-30"),
        (2950, "1"),
        (17, "beef"),
        (650, "10.0.0.1/8"),
        (1700, "1e5"),
    ] {
        assert!(
            matches!(constant(value, oid, Format::Text), Err(CannotMask::BadConstant { .. })),
            "{oid} {value}"
        );
    }
    let short = ColumnType { oid: Oid(1043), typmod: 4 + 3 };
    assert!(Masker::for_column(&Mask::Constant { value: "long".into() }, short, Format::Text, None).is_err());
}

#[test]
fn fits_tells_what_would_be_null() {
    assert!(
        fits(&Mask::Email, column(25))
            && !fits(&Mask::Email, column(23))
            && !fits(&Mask::Redact, column(1082))
    );
    assert!(fits(&Mask::Null, column(1007)) && fits(&hash(16), column(20)));
}

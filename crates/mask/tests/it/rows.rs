//! COPY rows: what is not masked passes byte for byte, what is masked reads back, and what is not understood is an error.

use mask::Format;
use mask::copy::{CopyCsv, CopyError, CopyFormat, CopyMasker, CopyText};
use model::Mask;
use proptest::prelude::*;

use crate::columns::{column, masker};

type Row = Vec<Option<String>>;

fn last_two() -> Mask {
    Mask::Partial { keep_first: 0, keep_last: 2, fill: "\t,\"\\|".into() }
}

/// Three columns, the middle one masked.
fn copy(mask: &Mask, format: CopyFormat) -> CopyMasker {
    let wanted = if format == CopyFormat::Binary { Format::Binary } else { Format::Text };
    CopyMasker::new(vec![None, Some(masker(mask, column(25), wanted)), None], format).unwrap()
}

fn push(copy: &mut CopyMasker, row: &[u8]) -> Result<Vec<u8>, CopyError> {
    let mut out = b"before".to_vec();
    let result = copy.push(row, &mut out);
    let written = out.split_off(6);
    assert!(result.is_ok() || written.is_empty(), "an error leaves nothing in the buffer");
    result.map(|()| written)
}

fn expected(row: &Row, mask: &Mask) -> Row {
    let masker = masker(mask, column(25), Format::Text);
    let middle = row[1].as_ref().and_then(|value| {
        let mut out = Vec::new();
        match masker.apply(Some(value.as_bytes()), &mut out) {
            mask::Outcome::Null => None,
            mask::Outcome::Value => Some(String::from_utf8(out).unwrap()),
        }
    });
    vec![row[0].clone(), middle, row[2].clone()]
}

/// As CopyAttributeOutText writes.
fn write_text(row: &Row, options: &CopyText) -> Vec<u8> {
    let fields: Vec<Vec<u8>> = row
        .iter()
        .map(|value| {
            let Some(value) = value else { return options.null.clone() };
            let mut out = Vec::new();
            for byte in value.bytes() {
                match (byte, b"\x08\x0c\n\r\t\x0b\\".iter().position(|&c| c == byte)) {
                    (byte, _) if byte == options.delimiter => out.extend([b'\\', byte]),
                    (_, Some(at)) => out.extend([b'\\', b"bfnrtv\\"[at]]),
                    (byte, None) => out.push(byte),
                }
            }
            out
        })
        .collect();
    [fields.join(&options.delimiter), b"\n".to_vec()].concat()
}

/// As COPY FROM reads.
fn read_text(row: &[u8], options: &CopyText) -> Row {
    let row = row.strip_suffix(b"\n").unwrap();
    let (mut fields, mut raw, mut value) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = row.iter().copied();
    loop {
        let byte = bytes.next();
        if byte.is_none() || byte == Some(options.delimiter) {
            let value = std::mem::take(&mut value);
            let is_null = std::mem::take(&mut raw) == options.null;
            fields.push((!is_null).then(|| String::from_utf8(value).unwrap()));
            if byte.is_none() {
                return fields;
            }
            continue;
        }
        raw.extend(byte);
        if byte == Some(b'\\') {
            let letter = bytes.next().unwrap();
            raw.push(letter);
            let at = b"bfnrtv".iter().position(|&c| c == letter && letter != options.delimiter);
            value.push(at.map_or(letter, |at| b"\x08\x0c\n\r\t\x0b"[at]));
        } else {
            value.extend(byte);
        }
    }
}

/// As CopyAttributeOutCSV writes.
fn write_csv(row: &Row, options: &CopyCsv) -> Vec<u8> {
    let CopyCsv { delimiter, quote, escape, null, .. } = options;
    let fields: Vec<Vec<u8>> = row
        .iter()
        .map(|value| {
            let Some(value) = value else { return null.clone() };
            let special = |b: u8| b == *delimiter || b == *quote || b == b'\n' || b == b'\r';
            if value.as_bytes() != *null && !value.bytes().any(special) {
                return value.clone().into_bytes();
            }
            let mut out = vec![*quote];
            for byte in value.bytes() {
                if byte == *quote || byte == *escape {
                    out.push(*escape);
                }
                out.push(byte);
            }
            out.push(*quote);
            out
        })
        .collect();
    [fields.join(delimiter), b"\n".to_vec()].concat()
}

/// As COPY FROM reads.
fn read_csv(row: &[u8], options: &CopyCsv) -> Row {
    let CopyCsv { delimiter, quote, escape, null, .. } = options;
    let row = row.strip_suffix(b"\n").unwrap();
    let (mut fields, mut value) = (Vec::new(), Vec::new());
    let (mut inside, mut quoted, mut at) = (false, false, 0);
    loop {
        let (byte, next) = (row.get(at), row.get(at + 1));
        at += 1;
        match byte {
            Some(b) if inside && b == escape && next.is_some_and(|n| n == quote || n == escape) => {
                value.push(row[at]);
                at += 1;
            }
            Some(b) if b == quote => {
                inside = !inside;
                quoted = true;
            }
            Some(b) if inside || b != delimiter => value.push(*b),
            _ => {
                let value = std::mem::take(&mut value);
                let is_null = !std::mem::take(&mut quoted) && value == *null;
                fields.push((!is_null).then(|| String::from_utf8(value).unwrap()));
                if byte.is_none() {
                    return fields;
                }
            }
        }
    }
}

fn write_binary(row: &Row) -> Vec<u8> {
    let mut out = 3i16.to_be_bytes().to_vec();
    for value in row {
        out.extend(value.as_ref().map_or(-1, |value| value.len() as i32).to_be_bytes());
        out.extend(value.as_deref().unwrap_or_default().bytes());
    }
    out
}

fn rows() -> impl Strategy<Value = Row> {
    let value = prop_oneof!["[a-z\t\n\r\\\\,;|\"'N.\x08\x0b\x0c~é]{0,8}", "\\PC{0,8}"];
    prop::collection::vec(prop::option::weighted(0.8, value), 3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn text_rows_read_back(row in rows(), delimiter in prop::sample::select(b"\t|,\x08~".to_vec())) {
        let options = CopyText { delimiter, ..CopyText::default() };
        for mask in [last_two(), Mask::Null, Mask::Redact] {
            let out = push(&mut copy(&mask, CopyFormat::Text(options.clone())), &write_text(&row, &options)).unwrap();
            prop_assert_eq!(read_text(&out, &options), expected(&row, &mask));
        }
    }

    #[test]
    fn csv_rows_read_back(
        row in rows(),
        (delimiter, quote, escape) in prop::sample::select(vec![(b',', b'"', b'"'), (b';', b'\'', b'\\'), (b'\t', b'"', b'~'), (b'|', b'\\', b'\\')]),
        null in prop::sample::select(vec!["", "NULL", "\\N", "ab"]),
    ) {
        prop_assume!(!null.as_bytes().contains(&quote));
        let options = CopyCsv { delimiter, quote, escape, null: null.into(), header: false };
        for mask in [last_two(), Mask::Null, Mask::Redact] {
            let out = push(&mut copy(&mask, CopyFormat::Csv(options.clone())), &write_csv(&row, &options)).unwrap();
            prop_assert_eq!(read_csv(&out, &options), expected(&row, &mask));
        }
    }

    #[test]
    fn binary_rows_are_rebuilt(rows in prop::collection::vec(rows(), 0..4), joined in any::<bool>()) {
        const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
        let mask = last_two();
        let mut copy = copy(&mask, CopyFormat::Binary);
        let mut messages: Vec<Vec<u8>> = rows.iter().map(write_binary).collect();
        messages.push((-1i16).to_be_bytes().to_vec());
        messages[0].splice(0..0, HEADER.iter().copied());
        if joined {
            messages = vec![messages.concat()];
        }
        let out: Vec<u8> = messages.iter().flat_map(|message| push(&mut copy, message).unwrap()).collect();
        let masked = rows.iter().map(|row| write_binary(&expected(row, &mask)));
        let all: Vec<u8> = HEADER.iter().copied().chain(masked.flatten()).chain((-1i16).to_be_bytes()).collect();
        prop_assert_eq!(out, all);
        prop_assert!(push(&mut copy, b"\0").is_err(), "nothing follows the trailer");
    }

    #[test]
    fn any_bytes_give_a_row_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for format in [CopyFormat::Text(CopyText::default()), CopyFormat::Csv(CopyCsv::default()), CopyFormat::Binary] {
            let _ = push(&mut copy(&Mask::Redact, format), &bytes);
        }
    }
}

#[test]
fn the_row_of_names_passes() {
    let mut text = copy(&Mask::Redact, CopyFormat::Text(CopyText { header: true, ..CopyText::default() }));
    assert_eq!(push(&mut text, b"a\tb\tc\n").unwrap(), b"a\tb\tc\n");
    assert_eq!(push(&mut text, b"1\t2\t3\n").unwrap(), b"1\t[redacted]\t3\n");
    let mut csv = copy(&Mask::Redact, CopyFormat::Csv(CopyCsv { header: true, ..CopyCsv::default() }));
    assert_eq!(push(&mut csv, b"a,b,c\n").unwrap(), b"a,b,c\n");
    assert_eq!(push(&mut csv, b"1,2,3\n").unwrap(), b"1,\"[redacted]\",3\n");
    assert_eq!(push(&mut csv, b"1,,\"\"\n").unwrap(), b"1,,\"\"\n", "NULL stays NULL");
}

#[test]
fn what_postgresql_does_not_write_is_refused() {
    let text = || copy(&Mask::Redact, CopyFormat::Text(CopyText::default()));
    for bad in [
        &b""[..],
        b"1\t2\t3",
        b"1\t2\n",
        b"1\t2\t3\t4\n",
        b"1\t\\q\t3\n",
        b"1\t2\t3\\\n",
        b"1\t2\t3\n1\t2\t3\n",
        b"\n",
    ] {
        assert!(push(&mut text(), bad).is_err(), "{bad:?}");
    }
    let csv = || copy(&Mask::Redact, CopyFormat::Csv(CopyCsv::default()));
    for bad in [
        &b""[..],
        b"1,2,3",
        b"1,2\n",
        b"1,\"2,3\n",
        b"1,\"2\"x,3\n",
        b"1,2\"2,3\n",
        b"1,2,3\n4,5,6\n",
        b"1,2,3\r\n",
    ] {
        assert!(push(&mut csv(), bad).is_err(), "{bad:?}");
    }
    let binary = |data: &[u8]| {
        let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
        push(&mut copy(&Mask::Redact, CopyFormat::Binary), &[header, data].concat())
    };
    for bad in [
        &b"\0"[..],
        b"\0\x02\0\0\0\0\0\0\0\0",
        b"\xff\xfe",
        b"\0\x03\0\0\0\x09x",
        b"\0\x03\xff\xff\xff\xfe",
        b"\xff\xff\0",
    ] {
        assert!(binary(bad).is_err(), "{bad:?}");
    }
    assert!(
        push(&mut copy(&Mask::Redact, CopyFormat::Binary), b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0").is_err()
    );
}

#[test]
fn options_that_could_show_a_value_are_refused() {
    let new =
        |format| CopyMasker::new(vec![Some(masker(&Mask::Redact, column(25), Format::Text))], format).err();
    let text = |null: &str| CopyFormat::Text(CopyText { null: null.into(), ..CopyText::default() });
    assert_eq!(new(text("123-45-6789")), Some(CopyError::NullMarker));
    assert_eq!(new(text("")), Some(CopyError::NullMarker));
    assert_eq!(new(text("\\N")), None);
    let csv = CopyCsv { null: b"123-45-6789".to_vec(), ..CopyCsv::default() };
    assert_eq!(new(CopyFormat::Csv(csv.clone())), None);
    // In CSV a value that equals the marker is quoted, and so is not NULL.
    let mut copy = copy(&Mask::Redact, CopyFormat::Csv(csv));
    assert_eq!(push(&mut copy, b"1,\"123-45-6789\",3\n").unwrap(), b"1,\"[redacted]\",3\n");
    assert_eq!(push(&mut copy, b"1,123-45-6789,3\n").unwrap(), b"1,123-45-6789,3\n", "that is NULL");
    assert_eq!(new(CopyFormat::Binary), Some(CopyError::MaskerFormat(0)));
    let odd = CopyCsv { delimiter: b'"', ..CopyCsv::default() };
    assert!(matches!(new(CopyFormat::Csv(odd)), Some(CopyError::Option(_))));
}

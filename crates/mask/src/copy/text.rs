//! `FORMAT text`: CopyAttributeOutText (commands/copyto.c) and its inverse.

use super::{CopyError, CopyText, Scratch, check_columns};
use crate::masker::{Masker, Outcome};

impl CopyText {
    pub(super) fn check(&self) -> Result<(), CopyError> {
        // SECURITY: with any other marker, `NULL '123-45-6789'` would tell the rows that hold this very value.
        if self.null != b"\\N" {
            return Err(CopyError::NullMarker);
        }
        // ProcessCopyOptions (commands/copy.c) forbids these.
        if b"\\.abcdefghijklmnopqrstuvwxyz0123456789\r\n".contains(&self.delimiter)
            || !self.delimiter.is_ascii()
        {
            return Err(CopyError::Option("DELIMITER"));
        }
        Ok(())
    }
}

pub(super) fn row(
    options: &CopyText,
    columns: &[Option<Masker>],
    header: &mut bool,
    row: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CopyError> {
    let row = row.strip_suffix(b"\n").ok_or(CopyError::Malformed("a row without its end"))?;
    let is_header = std::mem::take(header);
    if columns.is_empty() && row.is_empty() {
        out.push(b'\n');
        return Ok(());
    }
    let mut count = 0;
    let mut rest = Some(row);
    while let Some(from) = rest {
        let end = field_end(from, options.delimiter)?;
        let (field, after) = from.split_at_checked(end).unwrap_or((from, &[]));
        rest = after.split_first().map(|(_, after)| after);
        if count > 0 {
            out.push(options.delimiter);
        }
        match columns.get(count) {
            Some(Some(masker)) if !is_header => mask_field(options, masker, field, scratch, out)?,
            _ => out.extend_from_slice(field),
        }
        count += 1;
    }
    check_columns(count, columns)?;
    out.push(b'\n');
    Ok(())
}

/// Finds the next delimiter that no backslash stands before.
fn field_end(row: &[u8], delimiter: u8) -> Result<usize, CopyError> {
    let mut escaped = false;
    for (at, &byte) in row.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'\n' | b'\r' => return Err(CopyError::Malformed("a line break in a row")),
            _ if byte == delimiter => return Ok(at),
            _ => {}
        }
    }
    if escaped { Err(CopyError::Malformed("a backslash at the end of a row")) } else { Ok(row.len()) }
}

fn mask_field(
    options: &CopyText,
    masker: &Masker,
    field: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CopyError> {
    let Scratch { value, masked } = scratch;
    masked.clear();
    let value = if field == options.null {
        None
    } else {
        unescape(field, options.delimiter, value)?;
        Some(&value[..])
    };
    match masker.apply(value, masked) {
        Outcome::Null => out.extend_from_slice(&options.null),
        Outcome::Value => escape(masked, options.delimiter, out),
    }
    Ok(())
}

const ESCAPES: [(u8, u8); 7] =
    [(8, b'b'), (12, b'f'), (b'\n', b'n'), (b'\r', b'r'), (b'\t', b't'), (11, b'v'), (b'\\', b'\\')];

fn unescape(field: &[u8], delimiter: u8, value: &mut Vec<u8>) -> Result<(), CopyError> {
    value.clear();
    let mut bytes = field.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        let letter = bytes.next().copied();
        let known = ESCAPES.iter().find(|(_, known)| Some(*known) == letter).map(|(plain, _)| *plain);
        let plain = known.or(letter.filter(|&letter| letter == delimiter));
        value.push(plain.ok_or(CopyError::Malformed("an unknown backslash sequence"))?);
    }
    Ok(())
}

fn escape(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for &byte in value {
        match ESCAPES.iter().find(|(plain, _)| *plain == byte) {
            Some((_, letter)) => out.extend([b'\\', *letter]),
            None if byte == delimiter => out.extend([b'\\', byte]),
            None => out.push(byte),
        }
    }
}

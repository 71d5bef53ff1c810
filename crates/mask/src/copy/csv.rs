//! `FORMAT csv`: CopyAttributeOutCSV (commands/copyto.c) and its inverse.

use super::{CopyCsv, CopyError, Scratch, check_columns};
use crate::masker::{Masker, Outcome};

impl CopyCsv {
    pub(super) fn check(&self) -> Result<(), CopyError> {
        let Self { delimiter, quote, escape, null, header: _ } = self;
        let breaks = |byte: &u8| matches!(byte, b'\r' | b'\n') || !byte.is_ascii();
        // ProcessCopyOptions (commands/copy.c) forbids these.
        if breaks(delimiter) || breaks(quote) || breaks(escape) || delimiter == quote || delimiter == escape {
            return Err(CopyError::Option("DELIMITER, QUOTE or ESCAPE"));
        }
        if null.iter().any(|byte| byte == delimiter || byte == quote || matches!(byte, b'\r' | b'\n')) {
            return Err(CopyError::Option("NULL"));
        }
        Ok(())
    }
}

pub(super) fn row(
    options: &CopyCsv,
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
        let (is_quoted, end) = read_field(options, from, &mut scratch.value)?;
        let (field, after) = from.split_at_checked(end).unwrap_or((from, &[]));
        rest = after.split_first().map(|(_, after)| after);
        if count > 0 {
            out.push(options.delimiter);
        }
        match columns.get(count) {
            Some(Some(masker)) if !is_header => {
                // PostgreSQL quotes a value that equals the marker: unquoted, it is NULL.
                let is_null = !is_quoted && field == options.null;
                write_masked(options, masker, is_null, scratch, out);
            }
            _ => out.extend_from_slice(field),
        }
        count += 1;
    }
    check_columns(count, columns)?;
    out.push(b'\n');
    Ok(())
}

/// Reads a field's value; returns whether it is quoted, and where its delimiter or the row's end is.
fn read_field(options: &CopyCsv, from: &[u8], value: &mut Vec<u8>) -> Result<(bool, usize), CopyError> {
    let CopyCsv { delimiter, quote, escape, .. } = *options;
    value.clear();
    if from.first() != Some(&quote) {
        let end = from.iter().position(|&byte| byte == delimiter).unwrap_or(from.len());
        let field = from.get(..end).unwrap_or_default();
        if field.iter().any(|&byte| byte == quote || byte == b'\n' || byte == b'\r') {
            return Err(CopyError::Malformed("a value that should be quoted"));
        }
        value.extend_from_slice(field);
        return Ok((false, end));
    }
    let mut at = 1;
    loop {
        let byte = *from.get(at).ok_or(CopyError::Malformed("a quote without its end"))?;
        let next = from.get(at + 1).copied();
        match next {
            Some(next) if byte == escape && (next == quote || next == escape) => {
                value.push(next);
                at += 2;
            }
            None if byte == quote => return Ok((true, at + 1)),
            Some(next) if byte == quote && next == delimiter => return Ok((true, at + 1)),
            _ if byte == quote => return Err(CopyError::Malformed("text after a quoted value")),
            _ if byte == escape => return Err(CopyError::Malformed("an escape before a plain character")),
            _ => {
                value.push(byte);
                at += 1;
            }
        }
    }
}

/// Writes a masked value. Always quoted: whether it would have to be must not depend on the hidden one.
fn write_masked(options: &CopyCsv, masker: &Masker, is_null: bool, scratch: &mut Scratch, out: &mut Vec<u8>) {
    let Scratch { value, masked } = scratch;
    masked.clear();
    match masker.apply((!is_null).then_some(&value[..]), masked) {
        Outcome::Null => out.extend_from_slice(&options.null),
        Outcome::Value => {
            out.push(options.quote);
            for &byte in &*masked {
                if byte == options.quote || byte == options.escape {
                    out.push(options.escape);
                }
                out.push(byte);
            }
            out.push(options.quote);
        }
    }
}

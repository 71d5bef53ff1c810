//! `FORMAT binary`: a header, tuples of counted fields, a trailer (the manual, COPY, "Binary Format").

use super::{CopyError, Scratch, check_columns};
use crate::masker::{Masker, Outcome};

/// Signature, flags and the length of the header's extension. No flag is known, and no extension.
const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

pub(super) fn rows(
    columns: &[Option<Masker>],
    header: &mut bool,
    ended: &mut bool,
    data: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CopyError> {
    let mut rest = data;
    if *header {
        rest = rest.strip_prefix(&HEADER).ok_or(CopyError::Malformed("another binary header"))?;
        out.extend_from_slice(&HEADER);
        *header = false;
    }
    while !rest.is_empty() {
        if *ended {
            return Err(CopyError::Malformed("data after the trailer"));
        }
        let count = i16::from_be_bytes(take(&mut rest)?);
        out.extend_from_slice(&count.to_be_bytes());
        if count == -1 {
            *ended = true;
            continue;
        }
        check_columns(
            usize::try_from(count).map_err(|_| CopyError::Malformed("a negative count"))?,
            columns,
        )?;
        for masker in columns {
            field(masker.as_ref(), &mut rest, scratch, out)?;
        }
    }
    Ok(())
}

fn field(
    masker: Option<&Masker>,
    rest: &mut &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CopyError> {
    let length = i32::from_be_bytes(take(rest)?);
    let value = match usize::try_from(length) {
        Ok(length) => {
            let cut = rest.split_at_checked(length);
            let (value, after) = cut.ok_or(CopyError::Malformed("a field longer than its message"))?;
            *rest = after;
            Some(value)
        }
        Err(_) if length == -1 => None,
        Err(_) => return Err(CopyError::Malformed("a negative length")),
    };
    let masked = &mut scratch.masked;
    masked.clear();
    let value = match masker {
        None => value,
        Some(masker) => match masker.apply(value, masked) {
            Outcome::Null => None,
            Outcome::Value => Some(&masked[..]),
        },
    };
    let length = value.map_or(Ok(-1), |value| i32::try_from(value.len()));
    let length = length.map_err(|_| CopyError::Malformed("a masked value over 2 GiB"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value.unwrap_or_default());
    Ok(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], CopyError> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(CopyError::Malformed("a row cut short"))?;
    *rest = after;
    Ok(*taken)
}

//! The inside of one message: a cursor that reads a body, and a writer that frames one.
//!
//! Knows integers, C strings and counts; not which message has which fields.

use std::ffi::CStr;

use thiserror::Error;

use crate::sqlstate::{self, SqlState};

/// Why the body of a message is not what its tag promises; the fault of whoever sent it.
///
/// PostgreSQL's own wording where it has one (pqformat.c, tcop/postgres.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// The body ends inside a field.
    #[error("insufficient data left in {message} message")]
    Truncated {
        /// The message's name in PostgreSQL's manual.
        message: &'static str,
    },
    /// Bytes are left after the last field; also what an embedded NUL comes to.
    #[error("invalid {message} message: {bytes} bytes after its last field")]
    Trailing {
        /// The message's name in PostgreSQL's manual.
        message: &'static str,
        /// How many bytes are left.
        bytes: usize,
    },
    /// A string has no terminating NUL.
    #[error("invalid string in {message} message: no terminator")]
    Unterminated {
        /// The message's name in PostgreSQL's manual.
        message: &'static str,
    },
    /// A length or count is negative (and not the -1 that means NULL) or beyond what the protocol allows.
    #[error("invalid {field} {value} in {message} message")]
    Length {
        /// The message's name in PostgreSQL's manual.
        message: &'static str,
        /// Which field.
        field: &'static str,
        /// Its value as sent.
        value: i64,
    },
    /// Bind has neither no, one, nor as many parameter formats as parameters.
    #[error("bind message has {formats} parameter formats but {params} parameters")]
    FormatCount {
        /// How many formats were sent.
        formats: usize,
        /// How many parameters were sent.
        params: usize,
    },
    /// A format code other than 0 (text) and 1 (binary).
    #[error("unsupported format code: {0}")]
    Format(i32),
    /// A byte that selects among alternatives selects none, as in `invalid DESCRIBE message subtype`.
    #[error("invalid {message} message subtype {value}")]
    Subtype {
        /// The message's name in PostgreSQL's manual.
        message: &'static str,
        /// The byte as sent.
        value: u8,
    },
}

impl MessageError {
    /// Returns the SQLSTATE with which PostgreSQL refuses such a message.
    pub const fn sqlstate(self) -> SqlState {
        match self {
            Self::Format(_) => sqlstate::INVALID_PARAMETER_VALUE,
            Self::Truncated { .. }
            | Self::Trailing { .. }
            | Self::Unterminated { .. }
            | Self::Length { .. }
            | Self::FormatCount { .. }
            | Self::Subtype { .. } => sqlstate::PROTOCOL_VIOLATION,
        }
    }
}

/// Why a message can't be written; the fault of our own caller. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A string holds a NUL byte, which would end it early and turn its rest into other fields.
    #[error("{field} contains a NUL byte")]
    Nul {
        /// Which field.
        field: &'static str,
    },
    /// A count or length doesn't fit its field.
    #[error("{count} is too many for {field}: at most {max}")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// How many were asked for.
        count: usize,
        /// How many the protocol allows.
        max: usize,
    },
    /// A string that must not be empty is, or a key too short to be one.
    #[error("{field} is empty or too short")]
    Empty {
        /// Which field.
        field: &'static str,
    },
}

/// A cursor over a message's body.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    message: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(body: &'a [u8], message: &'static str) -> Self {
        Self { rest: body, message }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (head, rest) =
            self.rest.split_first_chunk::<N>().ok_or(MessageError::Truncated { message: self.message })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, MessageError> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, MessageError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, MessageError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, MessageError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, MessageError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], MessageError> {
        let (head, rest) =
            self.rest.split_at_checked(count).ok_or(MessageError::Truncated { message: self.message })?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes the bytes up to the next NUL, and the NUL.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], MessageError> {
        let text = CStr::from_bytes_until_nul(self.rest)
            .map_err(|_| MessageError::Unterminated { message: self.message })?;
        self.bytes(text.count_bytes() + 1)?;
        Ok(text.to_bytes())
    }

    /// Takes a four-byte length and that many bytes; -1 is NULL, any other negative length an error.
    pub(crate) fn value(&mut self) -> Result<Option<&'a [u8]>, MessageError> {
        let len = self.i32()?;
        if len == -1 {
            return Ok(None);
        }
        let count = usize::try_from(len).map_err(|_| self.length("value length", i64::from(len)))?;
        self.bytes(count).map(Some)
    }

    pub(crate) const fn length(&self, field: &'static str, value: i64) -> MessageError {
        MessageError::Length { message: self.message, field, value }
    }

    /// Takes everything that is left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Refuses bytes after the last field.
    pub(crate) const fn end(self) -> Result<(), MessageError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(MessageError::Trailing { message: self.message, bytes: self.rest.len() })
        }
    }
}

/// Writes the fields of one message; made by [`message`] and [`untagged`] only, which frame it.
pub(crate) struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl Writer<'_> {
    pub(crate) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.out.extend_from_slice(value);
    }

    /// SECURITY: a NUL inside would smuggle what follows it into the next field, so it is refused.
    pub(crate) fn string(&mut self, field: &'static str, value: &[u8]) -> Result<(), EncodeError> {
        if value.contains(&0) {
            return Err(EncodeError::Nul { field });
        }
        self.bytes(value);
        self.u8(0);
        Ok(())
    }

    pub(crate) fn long_count(&mut self, field: &'static str, count: usize) -> Result<(), EncodeError> {
        self.i32(narrow(field, count)?);
        Ok(())
    }

    pub(crate) fn value(&mut self, field: &'static str, value: Option<&[u8]>) -> Result<(), EncodeError> {
        match value {
            None => self.i32(-1),
            Some(bytes) => {
                self.i32(narrow(field, bytes.len())?);
                self.bytes(bytes);
            }
        }
        Ok(())
    }

    /// Writes a two-byte count of `items` before them, unsigned as PostgreSQL reads it (`pq_getmsgint`, pqformat.c),
    /// without asking their number first.
    pub(crate) fn counted<T>(
        &mut self,
        field: &'static str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let at = self.out.len();
        self.i16(0);
        let mut count: usize = 0;
        for item in items {
            count += 1;
            if count > usize::from(u16::MAX) {
                return Err(EncodeError::TooMany { field, count, max: usize::from(u16::MAX) });
            }
            write(self, item)?;
        }
        let narrow = u16::try_from(count).map_err(|_| EncodeError::TooMany {
            field,
            count,
            max: usize::from(u16::MAX),
        })?;
        patch(self.out, at, narrow.to_be_bytes());
        Ok(())
    }
}

fn narrow(field: &'static str, count: usize) -> Result<i32, EncodeError> {
    i32::try_from(count).map_err(|_| EncodeError::TooMany { field, count, max: i32::MAX as usize })
}

/// Overwrites bytes that were appended before as a placeholder.
fn patch<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(place) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<N>) {
        *place = bytes;
    }
}

/// Appends one message with its tag and length, or nothing if `body` fails or the length doesn't fit.
pub(crate) fn message(
    out: &mut Vec<u8>,
    tag: u8,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.push(tag);
    untagged(out, body).inspect_err(|_| out.truncate(start))
}

/// As [`message`], for the packets of the start-up phase, which have no tag.
pub(crate) fn untagged(
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let length = body(&mut Writer { out }).and_then(|()| narrow("message length", out.len() - start));
    match length {
        Ok(length) => {
            patch(out, start, length.to_be_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// Appends a message that has no fields.
pub(crate) fn empty(out: &mut Vec<u8>, tag: u8) {
    out.push(tag);
    out.extend_from_slice(&4_i32.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_message_appends_nothing() {
        let mut out = vec![1, 2, 3];
        let failed = message(&mut out, b'Q', |w| {
            w.bytes(b"half");
            w.string("query", b"a\0b")
        });
        assert_eq!(failed, Err(EncodeError::Nul { field: "query" }));
        assert_eq!(out, [1, 2, 3]);
    }

    #[test]
    fn count_over_sixteen_bits_is_refused_not_wrapped() {
        let mut out = Vec::new();
        let failed = message(&mut out, b'D', |w| {
            w.counted("columns", std::iter::repeat_n((), 65_536), |w, ()| {
                w.u8(0);
                Ok(())
            })
        });
        assert_eq!(failed, Err(EncodeError::TooMany { field: "columns", count: 65_536, max: 65_535 }));
        assert!(out.is_empty());
    }

    #[test]
    fn value_length_below_minus_one_is_refused() {
        for len in [-2_i32, i32::MIN] {
            let bytes = len.to_be_bytes();
            assert_eq!(
                Reader::new(&bytes, "Bind").value(),
                Err(MessageError::Length { message: "Bind", field: "value length", value: i64::from(len) })
            );
        }
    }
}

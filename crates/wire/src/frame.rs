//! Walks a byte stream message by message, by the five-byte headers alone; knows no message's fields.
//!
//! For everything after the start-up phase, in both directions. See [`crate::startup`] for what comes before.

use std::fmt;

use thiserror::Error;

/// Bytes before a message's body: one of tag, four of length.
pub const HEADER_BYTES: usize = 5;

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message type; see [`crate::frontend::tag`] and [`crate::backend::tag`].
    pub tag: u8,
    /// Bytes of the whole message, tag and length field included: at least 5, at most 2^31.
    pub len: usize,
}

/// One whole message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message type.
    pub tag: u8,
    /// What follows the header.
    pub body: &'a [u8],
    /// The whole message, header included: what is forwarded.
    pub raw: &'a [u8],
}

impl fmt::Debug for Frame<'_> {
    /// Writes tag and length, never the body: it may be anybody's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?}, {} bytes)", char::from(self.tag), self.raw.len())
    }
}

/// Why a stream can't be walked any further; the fault of whoever sends it. There is no way to go on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length field is below 4, the size of itself, or negative.
    #[error("invalid message length {length} in message of type {tag:?}", tag = char::from(*tag))]
    Length {
        /// The message type as sent.
        tag: u8,
        /// The length field as sent.
        length: i32,
    },
    /// The message is longer than we are willing to look at.
    #[error("message of type {tag:?} has {len} bytes, more than the {max} allowed", tag = char::from(*tag))]
    TooLong {
        /// The message type as sent.
        tag: u8,
        /// Bytes of the whole message, tag included.
        len: usize,
        /// The limit it passed.
        max: usize,
    },
}

/// Reads the header at the start of `buf`, or returns `None` if fewer than five bytes are there.
///
/// # Errors
/// - [`FrameError::Length`]: the sender; the length field is below 4.
pub fn header(buf: &[u8]) -> Result<Option<Header>, FrameError> {
    let Some((&[tag, a, b, c, d], _)) = buf.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = i32::from_be_bytes([a, b, c, d]);
    match usize::try_from(length) {
        Ok(len) if len >= 4 => Ok(Some(Header { tag, len: len + 1 })),
        _ => Err(FrameError::Length { tag, length }),
    }
}

/// Returns the message at the start of `buf`, or `None` if it is not yet whole.
///
/// The length is checked as soon as the header is there, before its body has to be.
///
/// # Errors
/// - [`FrameError::Length`]: the sender; the length field is below 4.
/// - [`FrameError::TooLong`]: the sender; the whole message has more than `bytes_max` bytes.
pub fn next(buf: &[u8], bytes_max: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some(Header { tag, len }) = header(buf)? else { return Ok(None) };
    if len > bytes_max {
        return Err(FrameError::TooLong { tag, len, max: bytes_max });
    }
    let Some(raw) = buf.get(..len) else { return Ok(None) };
    Ok(raw.split_first_chunk::<HEADER_BYTES>().map(|(_, body)| Frame { tag, body, raw }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_field_counts_itself_but_not_the_tag() {
        assert_eq!(header(b"S\0\0\0\x04"), Ok(Some(Header { tag: b'S', len: 5 })));
        let frame = next(b"Q\0\0\0\x06a\0rest", 100).unwrap().unwrap();
        assert_eq!((frame.tag, frame.body, frame.raw), (b'Q', &b"a\0"[..], &b"Q\0\0\0\x06a\0"[..]));
    }

    #[test]
    fn length_below_four_or_negative_is_refused() {
        for length in [0_i32, 3, -1, i32::MIN] {
            let mut buf = vec![b'Q'];
            buf.extend(length.to_be_bytes());
            assert_eq!(next(&buf, usize::MAX), Err(FrameError::Length { tag: b'Q', length }));
        }
    }

    #[test]
    fn too_long_is_refused_before_its_body_arrives() {
        let mut buf = vec![b'd'];
        buf.extend(i32::MAX.to_be_bytes());
        let len = i32::MAX as usize + 1;
        assert_eq!(header(&buf), Ok(Some(Header { tag: b'd', len })));
        assert_eq!(next(&buf, len - 1), Err(FrameError::TooLong { tag: b'd', len, max: len - 1 }));
        assert_eq!(next(&buf, len), Ok(None));
    }

    #[test]
    fn limit_is_inclusive() {
        assert!(next(b"S\0\0\0\x04", 5).unwrap().is_some());
        assert!(next(b"S\0\0\0\x04", 4).is_err());
    }

    #[test]
    fn debug_shows_no_body() {
        let frame = next(b"p\0\0\0\x0bsecret\0", 100).unwrap().unwrap();
        assert_eq!(format!("{frame:?}"), "Frame('p', 12 bytes)");
    }
}

//! Counted lists inside messages: format codes, and values of which each may be NULL. Borrowed, checked once when parsed.

use std::fmt;
use std::ops::Range;

use crate::message::{MessageError, Reader};

/// A list of format codes: 0 is text, 1 is binary (manual, "Formats and Format Codes").
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Formats<'a> {
    // INVARIANT: a whole number of two-byte codes, each 0 or 1.
    codes: &'a [u8],
}

impl<'a> Formats<'a> {
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, MessageError> {
        let count = usize::from(reader.u16()?);
        let codes = reader.bytes(count * 2)?;
        let formats = Self { codes };
        match formats.iter().find(|code| !matches!(code, 0 | 1)) {
            Some(code) => Err(MessageError::Format(i32::from(code))),
            None => Ok(formats),
        }
    }

    /// Returns how many codes were sent, which need not be the number of values.
    pub const fn len(self) -> usize {
        self.codes.len() / 2
    }

    /// Returns whether none was sent, which means text for all.
    pub const fn is_empty(self) -> bool {
        self.codes.is_empty()
    }

    /// Iterates over the codes as sent.
    pub fn iter(self) -> FormatsIter<'a> {
        FormatsIter { rest: self.codes }
    }

    /// Returns the format of the value at `index`: text if no code was sent, the one code if one was, else its own.
    /// `None` if there are several codes but not for this value.
    pub fn of(self, index: usize) -> Option<i16> {
        match self.len() {
            0 => Some(0),
            1 => self.iter().next(),
            _ => self.iter().nth(index),
        }
    }
}

impl<'a> IntoIterator for Formats<'a> {
    type Item = i16;
    type IntoIter = FormatsIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Formats<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterates over [`Formats`].
#[derive(Clone, Debug)]
pub struct FormatsIter<'a> {
    rest: &'a [u8],
}

impl Iterator for FormatsIter<'_> {
    type Item = i16;

    fn next(&mut self) -> Option<i16> {
        let (code, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(i16::from_be_bytes(*code))
    }

    fn nth(&mut self, n: usize) -> Option<i16> {
        self.rest = self.rest.get(n.checked_mul(2)?..).unwrap_or_default();
        self.next()
    }
}

/// A list of values, each bytes or NULL: the parameters of Bind, the columns of DataRow.
///
/// `Debug` prints the number only: values are the client's data.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Values<'a> {
    count: usize,
    // INVARIANT: exactly `count` times a length of -1, or a length and that many bytes.
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, MessageError> {
        let count = usize::from(reader.u16()?);
        let before = reader.rest();
        for _ in 0..count {
            reader.value()?;
        }
        let used = before.len() - reader.rest().len();
        Ok(Self { count, bytes: before.get(..used).unwrap_or_default() })
    }

    /// Returns how many values there are.
    pub const fn len(self) -> usize {
        self.count
    }

    /// Returns whether there is none.
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Iterates over the values in order.
    pub fn iter(self) -> ValuesIter<'a> {
        ValuesIter { bytes: self.bytes, ranges: self.ranges() }
    }

    pub(crate) const fn ranges(self) -> Ranges<'a> {
        Ranges { bytes: self.bytes, at: 0, base: 0 }
    }

    pub(crate) const fn ranges_from(self, base: usize) -> Ranges<'a> {
        Ranges { bytes: self.bytes, at: 0, base }
    }
}

impl<'a> IntoIterator for Values<'a> {
    type Item = Option<&'a [u8]>;
    type IntoIter = ValuesIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.count)
    }
}

/// Iterates over [`Values`].
#[derive(Clone)]
pub struct ValuesIter<'a> {
    bytes: &'a [u8],
    ranges: Ranges<'a>,
}

impl<'a> Iterator for ValuesIter<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.ranges.next()? {
            None => Some(None),
            Some(range) => self.bytes.get(range).map(Some),
        }
    }
}

/// Iterates over where each value lies, NULL being `None`; for rewriting a message in place.
#[derive(Clone)]
pub struct Ranges<'a> {
    bytes: &'a [u8],
    at: usize,
    base: usize,
}

impl Iterator for Ranges<'_> {
    type Item = Option<Range<usize>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, _) = self.bytes.get(self.at..)?.split_first_chunk()?;
        let start = self.at + 4;
        match usize::try_from(i32::from_be_bytes(*length)) {
            // only -1 is negative here, by the invariant of `Values`
            Err(_) => {
                self.at = start;
                Some(None)
            }
            Ok(len) => {
                self.at = start.checked_add(len)?;
                Some(Some(self.base + start..self.base + self.at))
            }
        }
    }
}

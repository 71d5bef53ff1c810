//! One number for each record of a block, as bytes; and where in the journal its records begin. Knows no SQL.

use audit::{Hash, Seq};
use journal::reader::Place;

use crate::posting::{opened, push_varint, seal, take_varint};

/// A column of a block. The numbers are part of the file's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Column {
    /// Positions of the records that can be found, in order; all other columns go along with it.
    At = 0,
    /// When, in nanoseconds, as zigzag differences from the one before.
    Time = 1,
    /// How far behind it its outcome stands; 0: there is none.
    Outcome = 2,
    /// Rows, and one; 0: not known.
    Rows = 3,
    /// Microseconds, and one; 0: not known.
    Duration = 4,
    /// Position of the first record of the block with this text, and one; 0: it has no text.
    Text = 5,
    /// Where each 64th record begins.
    Places = 6,
}

impl Column {
    /// The row that holds it.
    pub(crate) const fn id(self, block: u64) -> u64 {
        block << 3 | self as u64
    }

    /// What its CRC is made with; no term is as small.
    pub(crate) const fn key(self, block: u64) -> (u64, u64) {
        (block, self as u64 | 1 << 63)
    }
}

/// A record that can be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doc {
    pub(crate) at: u16,
    pub(crate) time: i64,
    pub(crate) outcome: u64,
    pub(crate) rows: u64,
    pub(crate) duration: u64,
    pub(crate) text: u64,
}

const DOC_COLUMNS: [Column; 6] =
    [Column::At, Column::Time, Column::Outcome, Column::Rows, Column::Duration, Column::Text];

/// Writes a block's records, which are in order, column by column.
pub(crate) fn encode(block: u64, docs: &[Doc]) -> Vec<(Column, Vec<u8>)> {
    let (mut expected, mut before) = (0_u64, 0_i64);
    let mut out = DOC_COLUMNS.map(|column| (column, Vec::with_capacity(docs.len() * 2)));
    for doc in docs {
        let Doc { at, time, outcome, rows, duration, text } = *doc;
        let moved = zigzag(time.wrapping_sub(before));
        let values = [u64::from(at).saturating_sub(expected), moved, outcome, rows, duration, text];
        (expected, before) = (u64::from(at) + 1, time);
        out.iter_mut().zip(values).for_each(|((_, bytes), value)| push_varint(bytes, value));
    }
    for (column, bytes) in &mut out {
        seal(bytes, column.key(block));
    }
    out.into()
}

/// Reads a column's numbers as they were; `None`: these bytes are not that, or were changed.
pub(crate) fn decode(block: u64, column: Column, bytes: &[u8]) -> Option<Vec<u64>> {
    let mut body = opened(column.key(block), bytes)?;
    let mut values = Vec::with_capacity(body.len() / 2);
    let mut before = 0_u64;
    while !body.is_empty() {
        let value = take_varint(&mut body)?;
        let value = match column {
            Column::At => before.checked_add(value)?,
            // As bits.
            Column::Time => before.wrapping_add(unzigzag(value)),
            _ => value,
        };
        before = if column == Column::At { value + 1 } else { value };
        values.push(value);
    }
    Some(values)
}

/// Reads a block's records of all its columns, in the order of [`encode`].
pub(crate) fn docs(block: u64, columns: &[Vec<u8>]) -> Option<Vec<Doc>> {
    let read: Vec<Vec<u64>> = DOC_COLUMNS
        .iter()
        .zip(columns)
        .map(|(column, bytes)| decode(block, *column, bytes))
        .collect::<Option<_>>()?;
    let [at, time, outcome, rows, duration, text] = read.as_slice() else { return None };
    let len = at.len();
    if [time, outcome, rows, duration, text].iter().any(|column| column.len() != len) {
        return None;
    }
    let mut found = Vec::with_capacity(len);
    for (index, at) in at.iter().enumerate() {
        found.push(Doc {
            at: u16::try_from(*at).ok()?,
            time: (*time.get(index)?).cast_signed(),
            outcome: *outcome.get(index)?,
            rows: *rows.get(index)?,
            duration: *duration.get(index)?,
            text: *text.get(index)?,
        });
    }
    Some(found)
}

/// The columns that [`docs`] takes, in its order.
pub(crate) const fn doc_columns() -> [Column; 6] {
    DOC_COLUMNS
}

pub(crate) fn encode_places(block: u64, places: &[Place]) -> Vec<u8> {
    let mut out = Vec::with_capacity(places.len() * 56 + 4);
    for Place { segment, offset, seq, previous } in places {
        for number in [segment.0, *offset, seq.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&previous.0);
    }
    seal(&mut out, Column::Places.key(block));
    out
}

pub(crate) fn decode_places(block: u64, bytes: &[u8]) -> Option<Vec<Place>> {
    let body = opened(Column::Places.key(block), bytes)?;
    let (places, rest) = body.as_chunks::<56>();
    if !rest.is_empty() {
        return None;
    }
    let place = |bytes: &[u8; 56]| {
        let (numbers, hash) = bytes.split_first_chunk::<24>()?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let [segment, offset, seq] = numbers else { return None };
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        Some(Place {
            segment: Seq(number(segment)),
            offset: number(offset),
            seq: Seq(number(seq)),
            previous: Hash(*hash.first_chunk::<32>()?),
        })
    };
    places.iter().map(place).collect()
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use audit::{Hash, Seq};
    use journal::reader::Place;
    use proptest::prelude::*;

    use super::{Column, Doc, decode, decode_places, docs, encode, encode_places};

    fn doc(at: u16) -> impl Strategy<Value = Doc> {
        (any::<i64>(), any::<u64>(), any::<u64>(), any::<u64>(), 0_u64..32_768).prop_map(
            move |(time, outcome, rows, duration, text)| Doc { at, time, outcome, rows, duration, text },
        )
    }

    proptest! {
        #[test]
        fn records_read_back(set in proptest::collection::btree_set(0_u16..32_768, 0..60), one in doc(0)) {
            let all: Vec<Doc> = set.iter().map(|at| Doc { at: *at, time: one.time.wrapping_add(i64::from(*at)), ..one }).collect();
            let written = encode(3, &all);
            let bytes: Vec<Vec<u8>> = written.iter().map(|it| it.1.clone()).collect();
            prop_assert_eq!(docs(3, &bytes), Some(all));
            prop_assert_eq!(decode(4, Column::At, &bytes[0]), None);
            prop_assert_eq!(decode(3, Column::Rows, &bytes[2]), None);
        }
    }

    #[test]
    fn places_read_back() {
        let place = Place { segment: Seq(1), offset: 72, seq: Seq(9), previous: Hash([7; 32]) };
        let bytes = encode_places(5, &[place, place]);
        assert_eq!(decode_places(5, &bytes), Some(vec![place, place]));
        assert_eq!(decode_places(6, &bytes), None);
    }
}

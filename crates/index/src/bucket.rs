//! A block's postings as the file has them: in buckets, each with a CRC, so that a posting that isn't there is known not to be.
//!
//! ```text
//! bucket  = entry* crc:u32           entries in the order of their terms
//! entry   = term:u64 length:LEB128 posting
//! ```
//!
//! All integers are little-endian. Knows no SQL.

use std::collections::BTreeMap;

use crate::posting::{decode, encode, opened, push_varint, seal, take_varint};

/// Buckets of a block. Each is there, if only with nothing in it.
pub(crate) const BUCKETS: u64 = 256;
/// What CRCs of buckets are made with; columns have others.
const KEY: u64 = 1 << 62;

/// The bucket of a term.
pub(crate) const fn of(term: u64) -> u64 {
    term.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56
}

/// The row that holds a bucket.
pub(crate) const fn id(block: u64, bucket: u64) -> u64 {
    block << 8 | bucket
}

/// Terms, each with the positions of the records that have it.
pub(crate) type Bucket = BTreeMap<u64, Vec<u16>>;

pub(crate) fn write(block: u64, bucket: u64, postings: &Bucket) -> Vec<u8> {
    let mut out = Vec::new();
    for (term, positions) in postings {
        let posting = encode(positions);
        out.extend_from_slice(&term.to_le_bytes());
        push_varint(&mut out, u64::try_from(posting.len()).unwrap_or(u64::MAX));
        out.extend_from_slice(&posting);
    }
    seal(&mut out, (block, KEY | bucket));
    out
}

/// Reads all of a bucket; `None`: these bytes are not that bucket, or were changed.
pub(crate) fn read(block: u64, bucket: u64, bytes: &[u8]) -> Option<Bucket> {
    let mut found = Bucket::new();
    each(block, bucket, bytes, |term, posting| {
        found.insert(term, decode(posting)?);
        Some(())
    })?;
    Some(found)
}

/// Reads one posting, empty where there is none; `None`: as [`read`].
pub(crate) fn find(block: u64, term: u64, bytes: &[u8]) -> Option<Vec<u16>> {
    let mut found = Vec::new();
    each(block, of(term), bytes, |it, posting| {
        if it == term {
            found = decode(posting)?;
        }
        Some(())
    })?;
    Some(found)
}

fn each(block: u64, bucket: u64, bytes: &[u8], mut each: impl FnMut(u64, &[u8]) -> Option<()>) -> Option<()> {
    let mut rest = opened((block, KEY | bucket), bytes)?;
    while !rest.is_empty() {
        let (term, after) = rest.split_first_chunk::<8>()?;
        rest = after;
        let length = usize::try_from(take_varint(&mut rest)?).ok()?;
        let (posting, after) = rest.split_at_checked(length)?;
        rest = after;
        each(u64::from_le_bytes(*term), posting)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{Bucket, find, of, read, write};

    #[test]
    fn what_was_written_is_found_and_what_was_not_is_known_not_to_be() {
        let terms: Vec<u64> = (0..100_000).filter(|term| of(*term) == 7).take(20).collect();
        let postings: Bucket = terms.iter().map(|term| (*term, vec![1, 5, 9000])).collect();
        let bytes = write(3, 7, &postings);
        assert_eq!(read(3, 7, &bytes), Some(postings));
        assert_eq!(find(3, terms[4], &bytes), Some(vec![1, 5, 9000]));
        let other = (100_000..).find(|term| of(*term) == 7).unwrap();
        assert_eq!(find(3, other, &bytes), Some(Vec::new()));
        assert_eq!(find(4, terms[4], &bytes), None);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert_eq!(find(3, terms[4], &changed), None, "{at}");
            assert_eq!(find(3, terms[4], &bytes[..at]), None, "{at}");
        }
    }
}

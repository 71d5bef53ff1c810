//! Sets of positions within a block, as bits and as bytes. Knows no record.
//!
//! ```text
//! posting = form:u8 body
//! form 0  = differences between one position and the next, less one, as LEB128; the first as it is
//! form 1  = bits, the lowest first, to the last byte that isn't zero
//! ```
//!
//! Also what else is written as bytes: numbers as LEB128, and CRCs that cover what the bytes are of, so that none passes for another.

/// Numbers of records of one block.
pub(crate) const BLOCK_RECORDS: u64 = 32_768;
const WORDS: usize = 512;

/// Some of a block's positions.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bits(Box<[u64; WORDS]>);

impl Bits {
    pub(crate) fn empty() -> Self {
        Self(Box::new([0; WORDS]))
    }

    pub(crate) fn insert(&mut self, at: u16) {
        if let Some(word) = self.0.get_mut(usize::from(at >> 6)) {
            *word |= 1 << (at & 63);
        }
    }

    pub(crate) fn remove(&mut self, at: u16) {
        if let Some(word) = self.0.get_mut(usize::from(at >> 6)) {
            *word &= !(1 << (at & 63));
        }
    }

    pub(crate) fn has(&self, at: u16) -> bool {
        self.0.get(usize::from(at >> 6)).is_some_and(|word| word & (1 << (at & 63)) != 0)
    }

    pub(crate) fn and(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(word, other)| *word &= other);
    }

    pub(crate) fn or(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(word, other)| *word |= other);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn and_not(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(word, other)| *word &= !other);
    }

    /// Lists the positions in order.
    pub(crate) fn positions(&self) -> Vec<u16> {
        let mut found = Vec::new();
        for (at, word) in (0_u16..).zip(self.0.iter()) {
            let mut rest = *word;
            while rest != 0 {
                // A word's bits are fewer than 64.
                found.push(at << 6 | (rest.trailing_zeros() as u16));
                rest &= rest - 1;
            }
        }
        found
    }
}

/// Writes positions, which are in order and each there once.
pub(crate) fn encode(positions: &[u16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(positions.len() + 5);
    out.push(0);
    let mut expected = 0_u64;
    for at in positions {
        push_varint(&mut out, u64::from(*at).saturating_sub(expected));
        expected = u64::from(*at) + 1;
    }
    let bytes = positions.last().map_or(0, |last| usize::from(last >> 3) + 1);
    if out.len() > bytes + 1 {
        out.clear();
        out.resize(bytes + 1, 0);
        for at in positions {
            if let Some(byte) = out.get_mut(1 + usize::from(at >> 3)) {
                *byte |= 1 << (at & 7);
            }
        }
        if let Some(form) = out.first_mut() {
            *form = 1;
        }
    }
    out
}

/// Reads positions; `None`: these bytes are none.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<u16>> {
    let (form, mut body) = bytes.split_first()?;
    let mut found = Vec::new();
    match form {
        0 => {
            let mut next = 0_u64;
            while !body.is_empty() {
                let at = next.checked_add(take_varint(&mut body)?)?;
                found.push(u16::try_from(at).ok().filter(|at| u64::from(*at) < BLOCK_RECORDS)?);
                next = at + 1;
            }
        }
        1 => {
            for (at, byte) in (0_u16..).zip(body) {
                if at >= 4096 {
                    return None;
                }
                found.extend((0..8).filter(|bit| byte & (1 << bit) != 0).map(|bit| at << 3 | bit));
            }
        }
        _ => return None,
    }
    Some(found)
}

/// Adds the CRC of what the bytes are of, and of themselves.
pub(crate) fn seal(out: &mut Vec<u8>, key: (u64, u64)) {
    let crc = crc(key, out);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Returns the bytes without their CRC, if it is right.
pub(crate) fn opened(key: (u64, u64), bytes: &[u8]) -> Option<&[u8]> {
    let (body, sum) = bytes.split_last_chunk::<4>()?;
    (crc(key, body) == u32::from_le_bytes(*sum)).then_some(body)
}

fn crc((block, part): (u64, u64), body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block.to_le_bytes());
    hasher.update(&part.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The low seven bits, and that more follow.
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        if shift == 63 && low > 1 {
            return None;
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Bits, decode, encode, opened, push_varint, seal, take_varint};

    proptest! {
        #[test]
        fn positions_read_back(
            set in proptest::collection::btree_set(0_u16..32_768, 0..900),
            dense in any::<bool>(),
            hit in any::<(usize, u8)>(),
        ) {
            let set: BTreeSet<u16> = if dense { set.iter().map(|at| at % 1500).collect() } else { set };
            let positions: Vec<u16> = set.iter().copied().collect();
            let bytes = encode(&positions);
            prop_assert_eq!(decode(&bytes), Some(positions.clone()));
            let mut bits = Bits::empty();
            positions.iter().for_each(|at| bits.insert(*at));
            prop_assert_eq!(bits.positions(), positions);
            let mut sealed = bytes.clone();
            seal(&mut sealed, (7, 9));
            prop_assert_eq!(opened((7, 9), &sealed), Some(bytes.as_slice()));
            prop_assert_eq!(opened((7, 8), &sealed), None);
            let at = hit.0 % sealed.len();
            sealed[at] ^= hit.1.max(1);
            prop_assert_eq!(opened((7, 9), &sealed), None);
        }

        #[test]
        fn numbers_read_back(value in any::<u64>()) {
            let mut out = Vec::new();
            push_varint(&mut out, value);
            prop_assert_eq!(take_varint(&mut out.as_slice()), Some(value));
        }
    }
}

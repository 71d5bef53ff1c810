//! Reads along with a journal that is being written, from some time ago on, and has the index learn of it.

use std::sync::Arc;

use audit::{Record, Seq, Time};

use super::index::Index;
use crate::query::View;
use crate::reader::{ReadError, Reader};

/// See the module.
pub struct Follower {
    index: Arc<Index>,
    reader: Reader,
}

impl Follower {
    /// Begins with the segment in which `since` lies, but reads no more than about `bytes_max` of what there is now. What is read may be older
    /// than `since`.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn new(index: Arc<Index>, since: Time, bytes_max: u64) -> Result<Self, ReadError> {
        let names = index.names()?;
        let mut bytes = 0_u64;
        let mut from = None;
        for first in names.iter().rev() {
            bytes = bytes.saturating_add(index.bytes(*first)?);
            if bytes > bytes_max && from.is_some() {
                break;
            }
            from = Some(*first);
            if index.begins(*first)?.is_some_and(|begins| begins < since) {
                break;
            }
        }
        let reader = Reader::open_from(&index.dir, from.unwrap_or(Seq(0)))?;
        Ok(Self { index, reader })
    }

    /// Returns the number of the record that comes next.
    pub fn position(&self) -> Seq {
        self.reader.position()
    }

    /// Gives the next record; false: there is none yet.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read(&mut self, each: impl FnOnce(&Record<'_>, &View)) -> Result<bool, ReadError> {
        let Some((place, record)) = self.reader.read_placed()? else { return Ok(false) };
        let view = View::of(&record);
        self.index.note(place, &record, &view);
        each(&record, &view);
        Ok(true)
    }
}

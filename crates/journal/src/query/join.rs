//! Statements and their outcomes are records apart; here they come together. Bounded in number and bytes.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;

use audit::{Record, Seq};

use super::filter::{Filter, StatementKey, View};
use super::row::Row;
use crate::reader::{OwnedRecord, ReadError, Reader};

/// Rows that may wait behind a statement that has not ended.
pub(crate) const OPEN_MAX: usize = 8192;

/// Their bytes.
const OPEN_BYTES_MAX: usize = 32 << 20;

/// Rows in the order of the journal, each of which may wait for an outcome.
#[derive(Default)]
pub(crate) struct Join {
    waiting: VecDeque<Waiting>,
    /// The number of the first in `waiting`, counted from the beginning.
    first: usize,
    by_key: HashMap<StatementKey, usize>,
    bytes: usize,
}

struct Waiting {
    key: Option<StatementKey>,
    row: Row,
    bytes: usize,
    done: bool,
}

impl Join {
    /// Takes the journal's next record and gives the rows that are complete.
    pub(crate) fn take(
        &mut self,
        filter: &Filter,
        record: &Record<'_>,
        each: &mut dyn FnMut(Row) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let view = View::of(record);
        let key = view.key();
        if view.is_outcome()
            && let Some(at) = key.and_then(|key| self.by_key.remove(&key))
        {
            self.complete(at, Some(record));
        }
        if view.is("disconnected") {
            let session = view.session();
            self.complete_all(|key| Some(key.session) == session);
        } else if view.is("gateway_started") {
            // Nothing survives its gateway.
            self.complete_all(|_| true);
        }
        if filter.admits(record.time, &view) {
            self.push(record, key.filter(|_| view.awaits_outcome()));
        }
        self.give(each)
    }

    /// Gives what is left: nothing more comes.
    pub(crate) fn finish(&mut self, each: &mut dyn FnMut(Row) -> ControlFlow<()>) -> ControlFlow<()> {
        self.complete_all(|_| true);
        self.give(each)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() > OPEN_MAX || (self.bytes > OPEN_BYTES_MAX && !self.waiting.is_empty())
    }

    /// Looks for the first row's outcome further on in the journal, and gives the row.
    pub(crate) fn resolve_first(
        &mut self,
        dir: &Path,
        from: Seq,
        each: &mut dyn FnMut(Row) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        if let Some(key) = self.waiting.front().and_then(|first| first.key) {
            let outcome = find_outcome(Reader::open_from(dir, from)?, key)?;
            self.by_key.remove(&key);
            self.complete(self.first, outcome.as_ref().map(OwnedRecord::as_record).as_ref());
        }
        Ok(self.give(each))
    }

    fn push(&mut self, record: &Record<'_>, key: Option<StatementKey>) {
        if let Some(key) = key {
            self.by_key.insert(key, self.first + self.waiting.len());
        }
        let bytes = record.payload.len();
        self.bytes += bytes;
        let row = if View::of(record).is("statement") { Row::statement(record) } else { Row::alone(record) };
        self.waiting.push_back(Waiting { key, row, bytes, done: key.is_none() });
    }

    fn complete(&mut self, at: usize, outcome: Option<&Record<'_>>) {
        let waiting = at.checked_sub(self.first).and_then(|index| self.waiting.get_mut(index));
        if let Some(waiting) = waiting {
            waiting.done = true;
            if let Some(outcome) = outcome {
                waiting.row.join(outcome);
                waiting.bytes += outcome.payload.len();
                self.bytes += outcome.payload.len();
            }
        }
    }

    fn complete_all(&mut self, which: impl Fn(&StatementKey) -> bool) {
        let waiting = &mut self.waiting;
        let first = self.first;
        self.by_key.retain(|key, at| {
            let ends = which(key);
            if ends && let Some(waiting) = at.checked_sub(first).and_then(|index| waiting.get_mut(index)) {
                waiting.done = true;
            }
            !ends
        });
    }

    fn give(&mut self, each: &mut dyn FnMut(Row) -> ControlFlow<()>) -> ControlFlow<()> {
        while let Some(first) = self.waiting.pop_front_if(|first| first.done) {
            self.first += 1;
            self.bytes -= first.bytes;
            each(first.row)?;
        }
        ControlFlow::Continue(())
    }
}

fn find_outcome(mut reader: Reader, key: StatementKey) -> Result<Option<OwnedRecord>, ReadError> {
    while let Some(record) = reader.read()? {
        let view = View::of(&record);
        if view.is_outcome() && view.key() == Some(key) {
            return Ok(Some(OwnedRecord::from(&record)));
        }
        let ended = view.is("disconnected") && view.session() == Some(key.session);
        if ended || view.is("gateway_started") {
            return Ok(None);
        }
    }
    Ok(None)
}

//! One namespace of prepared statements, one of portals, as the server keeps them.
//!
//! SQL and protocol share them: PREPARE makes what Bind uses, DECLARE what Execute uses. An entry counts as made when the
//! server says so. Until then it is proposed: messages that follow in the same pipeline see it, and if the server
//! skips the message that makes it, the former entry stands, as it does on the server.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

/// Numbers the messages that the upstream will answer, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpNumber(pub(crate) u64);

enum Change<T> {
    Put(Vec<u8>, Arc<T>),
    Remove(Vec<u8>),
    Clear,
}

/// Names and what they stand for.
pub(crate) struct Namespace<T> {
    confirmed: HashMap<Vec<u8>, Arc<T>, RandomState>,
    proposed: VecDeque<(OpNumber, Change<T>)>,
}

impl<T> Default for Namespace<T> {
    fn default() -> Self {
        Self { confirmed: HashMap::default(), proposed: VecDeque::new() }
    }
}

impl<T> Namespace<T> {
    /// Returns what the name will stand for when the messages sent so far have been carried out.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<T>> {
        for (_, change) in self.proposed.iter().rev() {
            match change {
                Change::Put(known, value) if known == name => return Some(value),
                Change::Remove(known) if known == name => return None,
                Change::Clear => return None,
                Change::Put(..) | Change::Remove(_) => {}
            }
        }
        self.confirmed.get(name)
    }

    /// Counts the entries, proposed ones included.
    pub(crate) fn len(&self) -> usize {
        self.confirmed.len() + self.proposed.len()
    }

    pub(crate) fn put(&mut self, op: OpNumber, name: &[u8], value: Arc<T>) {
        self.proposed.push_back((op, Change::Put(name.to_vec(), value)));
    }

    pub(crate) fn remove(&mut self, op: OpNumber, name: &[u8]) {
        if !self.proposed.is_empty() || self.confirmed.contains_key(name) {
            self.proposed.push_back((op, Change::Remove(name.to_vec())));
        }
    }

    pub(crate) fn clear(&mut self, op: OpNumber) {
        self.proposed.push_back((op, Change::Clear));
    }

    /// The server has carried out everything up to this message.
    pub(crate) fn confirm(&mut self, through: OpNumber) {
        while self.proposed.front().is_some_and(|(op, _)| *op <= through) {
            match self.proposed.pop_front() {
                Some((_, Change::Put(name, value))) => {
                    self.confirmed.insert(name, value);
                }
                Some((_, Change::Remove(name))) => {
                    self.confirmed.remove(&name);
                }
                Some((_, Change::Clear)) => self.confirmed.clear(),
                None => {}
            }
        }
    }

    /// The server has failed or skipped this message.
    pub(crate) fn abandon(&mut self, op: OpNumber) {
        self.proposed.retain(|(proposed, _)| *proposed != op);
    }

    /// Makes an entry that the server has made already; nothing is on its way.
    pub(crate) fn put_now(&mut self, name: &[u8], value: Arc<T>) {
        self.confirmed.insert(name.to_vec(), value);
    }

    /// Drops an entry that the server has dropped already; nothing is on its way.
    pub(crate) fn forget(&mut self, name: &[u8]) {
        self.confirmed.remove(name);
    }

    /// The server has failed or skipped these messages and all between them.
    pub(crate) fn abandon_all(&mut self, first: OpNumber, last: OpNumber) {
        self.proposed.retain(|(op, _)| !(first..=last).contains(op));
    }

    /// Replaces an entry that stands, in place; does nothing if it is gone.
    pub(crate) fn update(&mut self, name: &[u8], value: Arc<T>) {
        for (_, change) in self.proposed.iter_mut().rev() {
            if let Change::Put(known, slot) = change
                && known == name
            {
                *slot = value;
                return;
            }
        }
        if let Some(slot) = self.confirmed.get_mut(name) {
            *slot = value;
        }
    }

    /// Forgets confirmed entries that don't pass.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        if !self.confirmed.is_empty() {
            self.confirmed.retain(|_, value| keep(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_parse_leaves_the_former_statement() {
        let mut names = Namespace::default();
        names.put(OpNumber(1), b"", Arc::new("old"));
        names.confirm(OpNumber(1));
        names.put(OpNumber(3), b"", Arc::new("new"));
        assert_eq!(names.get(b"").map(|v| **v), Some("new"));
        names.abandon(OpNumber(3));
        assert_eq!(names.get(b"").map(|v| **v), Some("old"));
    }

    #[test]
    fn messages_of_one_pipeline_see_each_other() {
        let mut names = Namespace::default();
        names.put(OpNumber(1), b"a", Arc::new(1));
        names.remove(OpNumber(2), b"a");
        assert!(names.get(b"a").is_none());
        names.confirm(OpNumber(1));
        assert!(names.get(b"a").is_none());
        names.put(OpNumber(3), b"b", Arc::new(2));
        names.clear(OpNumber(4));
        assert!(names.get(b"b").is_none());
        names.abandon(OpNumber(4));
        names.confirm(OpNumber(3));
        assert_eq!(names.get(b"b").map(|v| **v), Some(2));
    }
}

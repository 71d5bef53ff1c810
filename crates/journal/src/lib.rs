//! Append-only segments of audit records on disk: group commit, recovery, reading, queries.
//!
//! Knows files and one thread; no async, no sockets, no policy. Times are given, except how often to sync.
//!
//! A directory holds `lock`, segments named by their first record (`00000000000000000001.gpj`), and what recovery cut off
//! (`….gpj.torn-N`), and `tree-08` to `tree-32` where checkpoints are signed. Promise 2 rests on three facts: a record's number is never used again, even where its write failed;
//! [`Journal::write`] answers only for what `write(2)` took; and a failed `fdatasync` is never asked again about the same file.

mod disk;
pub mod examine;
mod head;
mod journal;
mod layout;
pub mod proof;
pub mod query;
pub mod reader;
mod recover;
pub mod search;
pub mod signing;
mod sync;
mod tail;
mod tree;
mod verify;
mod walk;

pub use journal::{Journal, JournalError, Options, Progress};
pub use layout::id;
pub use recover::{Cut, OpenError, Recovery};
pub use tree::{Recorded, TreeError};
pub use verify::{VerifyError, verify_dir};

/// Why the journal could not keep a record, in the operating system's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What failed: `write`, `sync`, `new segment`.
    pub operation: &'static str,
    /// The operating system's words.
    pub detail: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} failed: {}", self.operation, self.detail)
    }
}

#[cfg(test)]
mod journal_tests;

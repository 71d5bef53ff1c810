//! Finds records among months of them: a file that says which records of the journal have what.
//!
//! The journal is the truth. The file is made of it, can be lost, and is made again; it only says where to look. What is found is read from
//! the journal, its link of the chain checked, and compared with what was asked. Knows files; no async, no sockets, no clock but to keep
//! to a budget.
//!
//! ```text
//! block    = 32,768 consecutive numbers of records
//! posting  = of a block and a term: the records that have it, as a set of 15-bit positions; a block has them in 256 buckets
//! term     = what can be asked for (identity, relation, SQLSTATE, three letters of a text, ...), as 64 bits
//! column   = of a block: one number for each record (time, rows, duration, number of its outcome, ...)
//! place    = of each 64th record: where in which segment it begins, and the link before it
//! ```
//!
//! An outcome is noted at its statement. Everything of one step is in one transaction, with how far the journal was read.

mod batch;
mod block;
mod bucket;
mod build;
mod columns;
mod error;
mod fetch;
mod file;
mod fingerprint;
mod look;
mod posting;
mod search;
mod sessions;
mod status;
mod terms;

pub use build::{Step, Writer};
pub use error::IndexError;
pub use fingerprint::Fingerprint;
pub use search::{Asked, Found, Index};
pub use sessions::{Recorded, SessionRow, SessionSearch};
pub use status::Status;

//! Looking for records from the journal's end, a page at a time, while it is being written; and reading along.
//!
//! Each call does a bounded amount of work, and says how far it came. [`Index`] spares it what can't be there.

mod follower;
mod index;
mod walk;

pub use follower::Follower;
pub use index::{Budget, Index};
pub use walk::{From, Measure, Page, Search};

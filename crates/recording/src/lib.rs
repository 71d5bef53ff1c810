//! Recordings: what a session's client sent and received, as it was, in time.
//!
//! Pure: values and bytes in, values and bytes out. Knows no policy, no journal, no files and no clock.

mod entry;

pub use entry::{Decision, Entry, Hold, Kept, Mark, Opening, Sent, What};

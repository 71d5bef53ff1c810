//! Recordings: what a session's client sent and received, as it was, in time; and the files that keep it.
//!
//! Values and bytes in, values and bytes out. Knows no policy, no journal, no files and no clock. docs/reference/recording-format.md says
//! what the bytes are; what is written here is read by auditors years later, so a released format's bytes never change.

mod code;
mod entry;
mod frame;
mod messages;
mod reader;
mod seal;
mod writer;

pub use entry::{Column, Decision, Entry, Hold, Kept, Mark, Marked, Opening, Sent, What};
pub use frame::{BODY_BYTES_MAX, ChainHash, ChunkHead, ChunkInfo, FORMAT_VERSION};
pub use messages::{Message, messages};
pub use reader::{Damage, Hole, Item, OpenError, Reader, Recovered, Verified, recover, verify};
pub use seal::{Identities, KeyError, Recipients, SealError};
pub use writer::{CHUNK_BYTES, ENTRY_BYTES_MAX, Totals, WriteError, Writer};

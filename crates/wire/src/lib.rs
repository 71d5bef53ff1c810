//! PostgreSQL protocol 3.0 and 3.2: bytes to messages and back; no I/O, no policy.
//!
//! Knows nothing of sockets, SQL, identities or which message may come when: that is `session`'s. Views borrow from the
//! bytes they were parsed from, and nothing is allocated for a length that was not checked against bytes already there.
//!
//! *frontend* and *backend* name a message's direction only, as in PostgreSQL's manual ("Message Formats").

pub mod backend;
pub mod error;
pub mod frame;
pub mod frontend;
pub mod md5;
mod message;
pub mod oauthbearer;
pub mod scram;
pub mod sqlstate;
pub mod startup;
mod values;

pub use message::{EncodeError, MessageError};
pub use values::{Formats, FormatsIter, Ranges, Values, ValuesIter};

//! Merkle trees, signed notes and checkpoints: who has signed which state of a log, and what follows from it.
//!
//! Knows no files, no clock and no journal: a log is numbered leaves of bytes. Formats are others', so that others' tools read them:
//! trees of RFC 6962, [signed notes](https://c2sp.org/signed-note) and
//! [checkpoints](https://c2sp.org/tlog-checkpoint) of C2SP, keys of RFC 8032 in PKCS #8 (RFC 8410).

mod body;
mod key;
mod note;
mod tree;
mod trust;

pub use body::{Checkpoint, NotACheckpoint};
pub use key::{KeyError, SIGNATURE_BYTES, SigningKey, VerifierKey};
pub use note::{NotANote, Note, Signature};
pub use tree::{Consistency, Find, Frontier, Inclusion, Span, TreeHash, consistency, cover, inclusion, root};
pub use trust::{Distrust, Trust};

//! The nouns that every other crate shares; no behaviour beyond construction and display.
//!
//! Knows nothing of bytes, policy, sockets or time.

mod identity;
mod ids;
mod mask;
mod name;
mod pattern;
mod scram;
mod secret;

pub use identity::{Identity, Method, Party};
pub use ids::{ClientAddr, Oid, SessionId};
pub use mask::Mask;
pub use name::{QualifiedName, quote_identifier, quote_literal};
pub use pattern::Pattern;
pub use scram::{ScramKeys, ScramVerifier};
pub use secret::Secret;

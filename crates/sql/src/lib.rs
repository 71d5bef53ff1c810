//! SQL text without names: splits, classifies and takes apart utility statements; computes memo keys.
//!
//! PostgreSQL's grammar (libpg_query, PostgreSQL 18) does the reading. Knows nothing of catalogs, OIDs, policy or
//! sockets: what a name means is for the server to say, so a [`Statement`] carries the [`Ask`]s whose answers
//! the caller needs before it can decide. No I/O.
//!
//! [`parse`] recurses as deeply as the text nests. Call it on a thread with a stack of
//! [`STACK_BYTES`]: libpg_query then answers hostile nesting with an error of its own, and never aborts.

mod ask;
mod command;
mod copy;
mod effect;
mod grammar;
mod literals;
mod named;
pub mod names;
mod parse;
mod read;
mod secrets;
pub mod shape;
mod statement;
mod tokens;
mod tree;

pub use ask::{
    Ask, Columns, ExpressionRole, LockMode, Name, ObjectKind, QueryRole, RoleName, RoutineKind, Touch,
};
pub use command::{Class, Command};
pub use copy::{CopyFormat, CopySource, CopyText, CopyWhich, ForceQuote};
pub use effect::{Effect, Inside, SetTo};
pub use literals::{literals, without_literals};
pub use parse::{parse, parse_by_names};
pub use statement::{Limits, Sql, Statement, Strings, SyntaxError};

// For its feature `no-recursion-limit`: with prost's own limit ordinary statements of some 20 nested sub-selects
// are refused.
use prost as _;

/// Stack that [`parse`] needs: libpg_query's own depth limit is derived from the thread's stack size, and the
/// decoding of its tree takes several times what the C parser took.
pub const STACK_BYTES: usize = 64 << 20;

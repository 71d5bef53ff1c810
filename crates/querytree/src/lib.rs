//! Reads PostgreSQL's own rewritten query tree into what a statement touches; no names, no I/O.
//!
//! The tree is the DETAIL of the LOG notice "rewritten parse tree:", which a Parse message brings where
//! `debug_print_rewritten` is on and `client_min_messages` is `log`. Identifiers in it are whatever a client likes, so
//! it is hostile input: what does not fit exactly is [`Unknown`], and the statement is to be refused.
//!
//! What no tree says, and whoever asks must know of: what functions do (SQL functions are inlined later), triggers,
//! check constraints, what generated columns are generated from, columns and rows of children and partitions, and that a
//! Parse message, though it executes nothing, runs the input functions of the types of its literals, domain checks
//! inside arrays and composites included.
//!
//! In the order a tree meets them: `unwrap` undoes line breaks, `token` finds tokens, `tree` reads nodes as `nodes` lists
//! them, `analysis` with `scope` and `flow` finds out what flows where, `access` is what comes out.

mod access;
mod analysis;
mod flow;
mod nodes;
mod scope;
mod token;
mod tree;
mod unwrap;

pub use access::{
    Access, Command, Origin, Output, Relation, Rights, ServerVersion, Source, Unknown, Unnamed, Ways,
};

/// Reads the DETAIL of PostgreSQL's LOG notice "rewritten parse tree:" (`debug_print_rewritten = on`,
/// `debug_pretty_print = off`), in UTF-8.
///
/// # Errors
/// [`Unknown`]: the text has a node, field, value or shape that is not known of that version; refuse the statement.
pub fn read(tree: &str, version: ServerVersion) -> Result<Access, Unknown> {
    let text = unwrap::unwrap(tree)?;
    let tree = tree::parse(&text, version)?;
    analysis::analyse(&tree)
}

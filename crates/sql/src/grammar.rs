//! Calls libpg_query. The only file that does; knows no statement.

use std::panic::{self, AssertUnwindSafe};

use pg_query::protobuf::{Node, ParseResult, RawStmt};
use pg_query::{NodeEnum, ParserOptions};

/// The raw trees of a text, `standard_conforming_strings` being on; or PostgreSQL's message.
pub(crate) fn raw(text: &str) -> Result<Vec<RawStmt>, String> {
    let parsed = guarded(|| {
        pg_query::parse(text, ParserOptions::DISABLE_ESCAPE_STRING_WARNING)
            .map(|parsed| parsed.protobuf.stmts)
    });
    parsed.map_err(|error| match error {
        pg_query::Error::Parse(message) => message,
        other => format!("the statement can't be read: {other}"),
    })
}

/// The tree of a text that is exactly one statement.
pub(crate) fn one(text: &str) -> Option<NodeEnum> {
    let mut all = raw(text).ok()?;
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => only.stmt?.node,
        _ => None,
    }
}

/// A statement's tree as text.
pub(crate) fn deparse(statement: NodeEnum) -> Option<String> {
    let stmt = Some(Box::new(Node { node: Some(statement) }));
    // `version` isn't read by the deparser.
    let tree = ParseResult { version: 0, stmts: vec![RawStmt { stmt, stmt_location: 0, stmt_len: 0 }] };
    guarded(|| pg_query::deparse(&tree, pg_query::DeparseOptions::default())).ok()
}

/// SECURITY: pg_query's Rust side has assertions of its own about trees; a panic there must be a refusal here.
fn guarded<T>(call: impl FnOnce() -> pg_query::Result<T>) -> pg_query::Result<T> {
    panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(pg_query::Error::InvalidPointer))
}

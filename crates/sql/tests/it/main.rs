//! The crate seen from outside: statements as data, hostile texts, and the soundness of keys.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod commands;
mod hostile;
mod positions;
mod shapes;
mod statements;

use sql::{Limits, Statement, SyntaxError};

/// Runs on a stack as large as the crate asks for, as every caller must.
fn on_large_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(sql::STACK_BYTES).spawn(run).unwrap().join().unwrap()
}

fn parse(text: &str) -> Result<Vec<Statement>, SyntaxError> {
    sql::parse(text, Limits::default())
}

//! A session against a model of PostgreSQL: seeded conversations, and the scenarios of each kind of mistake.
//!
//! `server` is the model, `client` says what a client may be told, `harness` runs one conversation and asserts the
//! promises after each step, `random` and `scenarios` are the tests. Nothing here does I/O or reads a clock but for an
//! arbitrary beginning of time.

#![cfg(test)]

mod approvals;
mod client;
mod harness;
mod holds;
mod random;
mod rng;
mod scenarios;
mod server;
mod statements;

/// Runs `check` with the stack that the gateway gives its threads; PostgreSQL's grammar is recursive.
fn on_large_stack(check: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(sql::STACK_BYTES).spawn(check).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

//! The server against real PostgreSQL servers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod functions;
mod upstream;

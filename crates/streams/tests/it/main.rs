//! Streams against what they are for: files, a TLS server, HTTP, NATS, an object store read by DuckDB.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that can't go on has nothing better to do than panic"
)]

mod bench;
mod files;
mod outside;
mod parquet;
mod servers;

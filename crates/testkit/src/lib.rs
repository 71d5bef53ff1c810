//! Throwaway PostgreSQL clusters, OpenID providers, gateways and wire transcripts for tests and benchmarks.
//!
//! Never part of the product. Synchronous; everything listens on loopback or on a socket file, and ends with its owner
//! or, at the latest, with the process. Whatever can't be set up panics and says what to do.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test whose surroundings can't be set up has nothing better to do than panic"
)]

pub mod client;
pub mod collector;
pub mod gatepost;
pub mod http;
pub mod nats;
pub mod oidc;
pub mod postgres;
pub mod process;
pub mod pt;
pub mod s3;
pub mod scratch;
pub mod tls;
pub mod vault;

//! Sockets, TLS, timers, secrets and upstream logins around a session.
//!
//! `serve` starts and stops; `accept` and `connection` take a client as far as a session, `shell` runs it; `upstream`
//! and `login` log in, `catalog` reads names, `grants` what can be granted, `memory` keeps secrets in, `cancel` passes on CancelRequests, `reload` puts changed policies in force, `probe` answers
//! the command line.

pub mod accept;
pub mod cancel;
pub mod catalog;
mod connection;
pub mod control;
mod gateway;
pub mod grants;
mod issuers;
pub mod legacy;
mod login;
pub mod memory;
pub mod probe;
mod recheck;
mod reload;
mod roles;
mod rotation;
pub mod secrets;
mod serve;
mod shell;
pub mod stream;
mod tags;
pub mod tls;
mod trust;
pub mod upstream;
mod usage;

pub use issuers::issuers;
pub use serve::{Ready, ServeError, serve};

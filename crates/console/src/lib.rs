//! HTTP for those who administer the gateway, and for issuers that withdraw trust; and the client of it.
//!
//! Knows requests and answers. Must not know PostgreSQL's protocol, nor how anything is done: that is behind `server::control::Control`.
//!
//! A connection comes through `listen`, a request through `guard` (who asks, how often, and what they may do) to its handler in `api` or
//! `events`. The files of the console, in `web/`, are served by `pages`.

mod api;
pub mod client;
mod events;
mod guard;
mod listen;
mod pages;

pub use listen::start;

/// The name of the local operator's socket in the folder of `[state]`.
pub const SOCKET: &str = "operator.sock";

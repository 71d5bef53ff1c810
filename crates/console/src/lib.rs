//! HTTP for people who approve, look on and administer, with the pages of the console; for issuers that withdraw trust and channels that call back; and the client of it.
//!
//! Knows requests and answers. Must not know PostgreSQL's protocol, nor how anything is done: that is behind `server::control::Control`.
//!
//! A connection comes through `listen`, a request through `guard` (where it comes from, how long it may take) and, to the API, through
//! `caller` (who asks, how often, and what they may do) to its handler in `api`. `login` leads browsers to the issuer and back, `stream`
//! tells them what happens, and `events` is what issuers tell. The files of the console, in `web/`, are served by `pages`.

mod api;
mod buckets;
mod caller;
pub mod client;
mod cookie;
mod events;
mod guard;
mod listen;
mod login;
mod notify;
mod pages;
mod stream;

pub use api::openapi::describe;
pub use listen::start;

/// The name of the local operator's socket in the folder of `[state]`.
pub const SOCKET: &str = "operator.sock";

//! Sockets, TLS, timers, secrets and upstream logins around a session.
//!
//! `serve` starts and stops; `accept` and `connection` take a client as far as a session, `shell` runs it; `login` says who we are upstream,
//! by `roles` or `legacy`, and `upstream` logs in; `catalog` and `grants` read the database; `secrets` fetches, `memory` keeps them in; `archives` opens object stores; `outgoing` runs streams of audit events, `kept` says how far records have come; `trust` knows
//! who is there and who is kept out, `control` is that for operators; `signing` says who signs the audit trail; `reload` puts changes in force; `probe` answers the command line; `metrics` counts; `traces` tells a collector;
//! `views` shows what was done.

pub mod accept;
mod approval;
pub mod archives;
pub mod cancel;
pub mod catalog;
mod connection;
pub mod control;
mod desk;
mod gateway;
pub mod grants;
mod issuers;
mod kept;
pub mod legacy;
mod login;
pub mod memory;
mod metrics;
pub mod notices;
pub mod outgoing;
pub mod preview;
pub mod probe;
mod recheck;
mod recorder;
mod reload;
mod roles;
mod rotation;
pub mod secrets;
mod serve;
mod shell;
pub mod signing;
mod storage;
pub mod stream;
mod tags;
pub mod tls;
mod traces;
mod trust;
pub mod upstream;
mod usage;
pub mod views;

pub use desk::{ActRefused, AskRefused, DelegationRefused, Happened, Lend};
pub use issuers::issuers;
pub use serve::{Ready, ServeError, serve};
pub use storage::PlaceError;
pub use store::{RequestFilter, Standing};

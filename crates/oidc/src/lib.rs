//! OpenID Connect over the network: discovery, key sets, and a development issuer.
//!
//! Knows HTTP, caches and the clock. Must not know what makes a token believable (`identity` does), nor policy,
//! PostgreSQL or the configuration file.

mod code;
mod config;
mod credential;
pub mod dev;
mod fetch;
mod files;
mod introspect;
mod issuer;
mod issuers;
mod reach;

pub use code::{Asked, CodeError, CodeFlow, Returned};
pub use config::{BadIssuer, IssuerConfig, KeysFrom};
pub use credential::Credential;
pub use fetch::{FetchError, chain};
pub use files::FileError;
pub use introspect::{Asker, Freshness, Introspection};
pub use issuer::{Checkup, Clock, Issuer};
pub use issuers::{Failure, Issuers};
pub use reach::resolver;

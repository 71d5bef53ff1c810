//! A development issuer: real tokens for trying Gatepost out. Never for production.
//!
//! SECURITY: it gives anyone on this host a token for any subject and group, so it serves loopback only, says `/dev`
//! in its issuer URL, and is loud. It must not know the rest of the gateway, which treats it as any other issuer.

mod browser;
mod key;
mod mint;
mod serve;

pub use key::{DevKey, DevKeyError};
pub use mint::{Grant, MintError, mint};
use mint::{mint_id_token, token_id};
pub use serve::{DevIssuer, DevIssuerError, DevSettings};

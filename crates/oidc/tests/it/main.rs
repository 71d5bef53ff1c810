//! Issuers over real sockets: a certified provider, a misbehaving server, TLS, and the development issuer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod clock;
mod dev;
mod real;
mod rogue;
mod tls;

use std::time::SystemTime;

use identity::{IssuerRules, Rejection, Verified};
use model::{Method, Secret};
use oidc::{Failure, IssuerConfig, Issuers};

const AUDIENCE: &str = "gatepost";

fn config(name: &str, url: &str) -> IssuerConfig {
    IssuerConfig::new(IssuerRules::new(name, url, vec![AUDIENCE.to_owned()]))
}

async fn verify(issuers: &Issuers, token: &str) -> Result<Verified, Failure> {
    issuers.verify(&Secret::new(token.to_owned()), Method::Token, SystemTime::now()).await
}

/// The rejection's variant, where the token was rejected; panics with what happened otherwise.
fn rejection(result: Result<Verified, Failure>) -> String {
    match result {
        Err(Failure::Rejected(rejection)) => variant(&rejection),
        other => panic!("not rejected: {other:?}"),
    }
}

/// The fetch error's variant, where the issuer was unavailable; panics with what happened otherwise.
fn unavailable(result: Result<Verified, Failure>) -> String {
    match result {
        Err(Failure::Unavailable { reason, .. }) => variant(&reason),
        other => panic!("not unavailable: {other:?}"),
    }
}

fn variant(error: &impl std::fmt::Debug) -> String {
    format!("{error:?}").split(['(', ' ', '{']).next().unwrap().to_owned()
}

fn assert_unknown_key(result: Result<Verified, Failure>) {
    assert!(matches!(result, Err(Failure::Rejected(Rejection::UnknownKey(_)))), "{result:?}");
}

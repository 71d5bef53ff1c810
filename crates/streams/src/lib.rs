//! Audit events on their way out: to files, syslog, HTTP, OpenTelemetry, NATS, Parquet.
//!
//! A thread for each stream reads the journal by position, and never the way of a statement; what it has delivered it writes down, and begins
//! there again: each event arrives at least once, in order. `item` says how a record is written, `position` how far a stream has come,
//! `worker` runs it, `sink` has a file for each kind of destination. Knows no session and no policy; secrets are fetched for it.

mod item;
mod position;
mod sink;
mod tls;
mod worker;

use std::future::Future;
use std::pin::Pin;

use archive::Archive;
use audit::Seq;
use config::SecretRef;
use model::Secret;

pub use item::Item;
pub use position::{Standing, StandingError, standings};
pub use worker::{Feed, Stop, Worker};

/// A future of somebody else's.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a stream needs from outside, and whom it tells.
pub trait Outside: Send + Sync {
    /// Fetches a secret; the error says what is wrong, and nothing of the secret.
    fn secret<'a>(&'a self, reference: &'a SecretRef) -> Later<'a, Result<Secret<String>, String>>;

    /// Opens an object store by name.
    fn archive<'a>(&'a self, name: &'a str) -> Later<'a, Result<Archive, String>>;

    /// Hears what happens to a stream.
    fn told(&self, stream: &str, news: News<'_>);
}

/// What happens to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// Everything up to this record has arrived, as far as it goes by this stream.
    Delivered(Seq),
    /// A delivery failed; it is tried again.
    Failed {
        /// Why.
        reason: &'a str,
        /// The record that waits.
        waiting: Seq,
        /// Whether the one before succeeded.
        first: bool,
    },
    /// The first delivery after failures.
    Recovered(Seq),
    /// Records are gone from the journal that had not gone by this stream.
    Gap {
        /// The first that is gone.
        from: Seq,
        /// The last.
        to: Seq,
    },
}

/// Why events could not be delivered. Safe to show: no secret and nothing of a statement is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// An error and its causes, in one line.
    pub(crate) fn of(what: &str, error: &dyn std::error::Error) -> Self {
        const LONGEST: usize = 400;
        let mut text = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text = format!("{text}: {inner_text}");
            }
            cause = inner.source();
        }
        Self(text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

//! What is forgotten, and when. Whoever has a clock says so now and then.

use std::time::Duration;

use approval::Stamp;

use crate::error::StoreError;
use crate::store::{Store, signed};

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Requests that are over, with their messages; and delegations. Never a break-glass that nobody has reviewed.
    pub requests: Duration,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Requests.
    pub requests: u64,
    /// All else.
    pub others: u64,
}

impl Store {
    /// Forgets what is old.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn sweep(&self, keep: Keep, now: Stamp) -> Result<Swept, StoreError> {
        let age = u64::try_from(keep.requests.as_millis()).unwrap_or(u64::MAX);
        let old = signed(now.0.saturating_sub(age));
        let now = signed(now.0);
        // Messages first: none is left without its request.
        let of_requests =
            "DELETE FROM outbox WHERE state <> 'waiting' AND number IN (SELECT number FROM requests
             WHERE state IN ('denied', 'used', 'ended') AND changed < $1 AND review_due = 0)";
        let requests = "DELETE FROM requests WHERE state IN ('denied', 'used', 'ended') AND changed < $1 AND review_due = 0";
        let mut swept = Swept { others: self.delete(of_requests, old).await?, ..Swept::default() };
        swept.requests = self.delete(requests, old).await?;
        for (text, before) in [
            // Those that still wait are of a channel that is no more.
            ("DELETE FROM outbox WHERE made < $1", old),
            ("DELETE FROM delegations WHERE until < $1 OR ended < $1", old),
            ("DELETE FROM browser_sessions WHERE expires <= $1", now),
            ("DELETE FROM login_attempts WHERE expires <= $1", now),
            ("DELETE FROM replays WHERE until <= $1", now),
        ] {
            swept.others += self.delete(text, before).await?;
        }
        Ok(swept)
    }

    async fn delete(&self, text: &'static str, before: i64) -> Result<u64, StoreError> {
        run!(self, sqlx::query(text).bind(before))
    }
}

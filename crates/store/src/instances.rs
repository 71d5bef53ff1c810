//! Which gateways live, and what has been seen before.

use approval::Stamp;

use crate::error::StoreError;
use crate::store::{Store, first, signed, unsigned};

/// A gateway's last sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The instance, new at each start.
    pub instance: String,
    /// When.
    pub seen: Stamp,
}

impl Store {
    /// Notes that a gateway lives.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn beat(&self, instance: &str, now: Stamp) -> Result<(), StoreError> {
        run!(
            self,
            sqlx::query(
                "INSERT INTO instances (instance, seen) VALUES ($1, $2)
             ON CONFLICT (instance) DO UPDATE SET seen = excluded.seen",
            )
            .bind(instance)
            .bind(signed(now.0))
        )
        .map(drop)
    }

    /// Returns the gateways that have not been heard of since.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn silent_since(&self, since: Stamp) -> Result<Vec<String>, StoreError> {
        ask!(
            self,
            sqlx::query_scalar("SELECT instance FROM instances WHERE seen < $1 ORDER BY instance")
                .bind(signed(since.0))
        )
    }

    /// Returns all gateways that are known.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn instances(&self) -> Result<Vec<Beat>, StoreError> {
        let rows: Vec<(String, i64)> =
            ask!(self, sqlx::query_as("SELECT instance, seen FROM instances ORDER BY instance"))?;
        Ok(rows.into_iter().map(|(instance, seen)| Beat { instance, seen: Stamp(unsigned(seen)) }).collect())
    }

    /// Forgets a gateway that has gone.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn forget_instance(&self, instance: &str) -> Result<(), StoreError> {
        run!(self, sqlx::query("DELETE FROM instances WHERE instance = $1").bind(instance)).map(drop)
    }

    /// Returns whether `id` comes for the first time; what is seen is remembered until `until`, after which whoever asks must
    /// refuse it for its age.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn first_time(&self, scope: &str, id: &str, until: Stamp) -> Result<bool, StoreError> {
        let made: Option<String> = put!(self, sqlx::query_scalar(
            "INSERT INTO replays (scope, id, until) VALUES ($1, $2, $3) ON CONFLICT (scope, id) DO NOTHING RETURNING id"
        )
        .bind(scope)
        .bind(id)
        .bind(signed(until.0))).map(first)?;
        Ok(made.is_some())
    }
}

//! Who votes for whom while they are away. Whether one counts is `approval`'s to say.

use approval::{Delegation, Stamp};

use crate::error::StoreError;
use crate::store::{Store, first, signed, unsigned};

/// Delegations that may be in force at one time.
const DELEGATIONS_MAX: i64 = 10_000;

type Row = (Option<i64>, String);

impl Store {
    /// Keeps a delegation, whose id must be new.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn add_delegation(&self, delegation: &Delegation) -> Result<(), StoreError> {
        let body = serde_json::to_string(delegation).map_err(|error| self.damaged("a delegation", &error))?;
        let id: Option<String> = put!(
            self,
            sqlx::query_scalar(
                "INSERT INTO delegations (id, made, until, body) SELECT $1, $2, $3, $4
                 WHERE (SELECT count(*) FROM delegations WHERE until > $2 AND ended IS NULL) < $5 RETURNING id",
            )
            .bind(&delegation.id)
            .bind(signed(delegation.made.0))
            .bind(signed(delegation.until.0))
            .bind(&body)
            .bind(DELEGATIONS_MAX)
        )
        .map(first)?;
        id.map(drop).ok_or(StoreError::Full { what: "delegations", most: unsigned(DELEGATIONS_MAX) })
    }

    /// Returns the delegations that are in force at `now`, oldest first.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn delegations(&self, now: Stamp) -> Result<Vec<Delegation>, StoreError> {
        let rows: Vec<Row> = ask!(
            self,
            sqlx::query_as(
                "SELECT ended, body FROM delegations WHERE until > $1 AND ended IS NULL ORDER BY made, id"
            )
            .bind(signed(now.0))
        )?;
        rows.into_iter().map(|row| self.read_delegation(row)).collect()
    }

    /// Returns a delegation, in force or not.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn delegation(&self, id: &str) -> Result<Option<Delegation>, StoreError> {
        let row: Option<Row> =
            ask!(self, sqlx::query_as("SELECT ended, body FROM delegations WHERE id = $1").bind(id))
                .map(first)?;
        row.map(|row| self.read_delegation(row)).transpose()
    }

    /// Ends a delegation, and returns it as it is then. `None`: none of that id is in force.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn end_delegation(&self, id: &str, now: Stamp) -> Result<Option<Delegation>, StoreError> {
        let row: Option<Row> = put!(
            self,
            sqlx::query_as(
                "UPDATE delegations SET ended = $1 WHERE id = $2 AND until > $1 AND ended IS NULL RETURNING ended, body"
            )
            .bind(signed(now.0))
            .bind(id)
        )
        .map(first)?;
        row.map(|row| self.read_delegation(row)).transpose()
    }

    fn read_delegation(&self, (ended, body): Row) -> Result<Delegation, StoreError> {
        let mut delegation: Delegation =
            serde_json::from_str(&body).map_err(|error| self.damaged("a delegation", &error))?;
        delegation.ended = ended.map(|ended| Stamp(unsigned(ended)));
        Ok(delegation)
    }
}

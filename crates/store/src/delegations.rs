//! Who votes for whom while they are away. Whether one counts is `approval`'s to say.

use std::collections::BTreeSet;

use approval::{Stamp, Who};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::store::{Store, first, signed, unsigned};

/// A delegation to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDelegation {
    /// Who is away.
    pub from: Who,
    /// `issuer:subject` of who may vote instead.
    pub to: String,
    /// The approver groups that it is for; empty: all of theirs.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// Until when.
    pub until: Stamp,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was made.
    pub made: Stamp,
}

/// A delegation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delegation {
    /// Its id, unique in a store.
    pub id: u64,
    /// What it says. `until` is when it was ended, if it was.
    #[serde(flatten)]
    pub what: NewDelegation,
}

/// Delegations that may be in force at one time.
const DELEGATIONS_MAX: i64 = 10_000;

impl Store {
    /// Keeps a delegation.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn add_delegation(&self, what: &NewDelegation) -> Result<Delegation, StoreError> {
        let body = serde_json::to_string(what).map_err(|error| self.damaged("a delegation", &error))?;
        let id: Option<i64> = put!(
            self,
            sqlx::query_scalar(
                "INSERT INTO delegations (until, body) SELECT $1, $2
             WHERE (SELECT count(*) FROM delegations WHERE until > $3) < $4 RETURNING id",
            )
            .bind(signed(what.until.0))
            .bind(&body)
            .bind(signed(what.made.0))
            .bind(DELEGATIONS_MAX)
        )
        .map(first)?;
        match id {
            Some(id) => Ok(Delegation { id: unsigned(id), what: what.clone() }),
            None => Err(StoreError::Full { what: "delegations", most: unsigned(DELEGATIONS_MAX) }),
        }
    }

    /// Returns the delegations that are in force at `now`, oldest first.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn delegations(&self, now: Stamp) -> Result<Vec<Delegation>, StoreError> {
        let rows: Vec<(i64, i64, String)> = ask!(
            self,
            sqlx::query_as("SELECT id, until, body FROM delegations WHERE until > $1 ORDER BY id")
                .bind(signed(now.0))
        )?;
        rows.into_iter().map(|row| self.delegation(row)).collect()
    }

    /// Ends a delegation, and returns it as it was. `None`: there is none of that id that is in force.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn end_delegation(&self, id: u64, now: Stamp) -> Result<Option<Delegation>, StoreError> {
        let row: Option<(i64, i64, String)> = put!(
            self,
            sqlx::query_as(
                "UPDATE delegations SET until = $1 WHERE id = $2 AND until > $1 RETURNING id, until, body"
            )
            .bind(signed(now.0))
            .bind(signed(id))
        )
        .map(first)?;
        row.map(|row| self.delegation(row)).transpose()
    }

    fn delegation(&self, (id, until, body): (i64, i64, String)) -> Result<Delegation, StoreError> {
        let mut what: NewDelegation =
            serde_json::from_str(&body).map_err(|error| self.damaged("a delegation", &error))?;
        what.until = Stamp(unsigned(until));
        Ok(Delegation { id: unsigned(id), what })
    }
}

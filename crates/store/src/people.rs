//! Who has been seen, as they were last: for lists of people and for their addresses. Proves nothing of anybody.

use approval::{Stamp, Who};
use serde::Serialize;

use crate::error::StoreError;
use crate::store::{Store, first, signed, unsigned};

/// Somebody who has been seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Person {
    /// As they were last.
    pub who: Who,
    /// Where they get mail, as their issuer says.
    pub email: Option<String>,
    /// When they were seen first.
    pub first_seen: Stamp,
    /// And last.
    pub last_seen: Stamp,
}

/// The most people that are listed at once.
const PEOPLE_MAX: i64 = 10_000;

type Row = (Option<String>, i64, i64, String);

impl Store {
    /// Notes that somebody was there. An address that was known before stays where `email` is `None`.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn seen(&self, who: &Who, email: Option<&str>, now: Stamp) -> Result<(), StoreError> {
        let body = serde_json::to_string(who).map_err(|error| self.damaged("a person", &error))?;
        run!(self, sqlx::query(
            "INSERT INTO people (issuer, subject, email, first_seen, last_seen, body) VALUES ($1, $2, $3, $4, $4, $5)
             ON CONFLICT (issuer, subject) DO UPDATE
             SET email = coalesce(excluded.email, people.email), last_seen = excluded.last_seen, body = excluded.body
             WHERE excluded.last_seen >= people.last_seen",
        )
        .bind(&who.issuer)
        .bind(&who.subject)
        .bind(email)
        .bind(signed(now.0))
        .bind(&body))
        .map(drop)
    }

    /// Returns somebody, if they were ever seen.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn person(&self, issuer: &str, subject: &str) -> Result<Option<Person>, StoreError> {
        let row: Option<Row> = ask!(
            self,
            sqlx::query_as(
                "SELECT email, first_seen, last_seen, body FROM people WHERE issuer = $1 AND subject = $2"
            )
            .bind(issuer)
            .bind(subject)
        )
        .map(first)?;
        row.map(|row| self.read_person(row)).transpose()
    }

    /// Returns who was seen, the last first: 10,000 at most.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn people(&self) -> Result<Vec<Person>, StoreError> {
        let rows: Vec<Row> = ask!(
            self,
            sqlx::query_as(
                "SELECT email, first_seen, last_seen, body FROM people ORDER BY last_seen DESC LIMIT $1"
            )
            .bind(PEOPLE_MAX)
        )?;
        rows.into_iter().map(|row| self.read_person(row)).collect()
    }

    fn read_person(&self, (email, first, last, body): Row) -> Result<Person, StoreError> {
        let who = serde_json::from_str(&body).map_err(|error| self.damaged("a person", &error))?;
        let (first_seen, last_seen) = (Stamp(unsigned(first)), Stamp(unsigned(last)));
        Ok(Person { who, email, first_seen, last_seen })
    }
}

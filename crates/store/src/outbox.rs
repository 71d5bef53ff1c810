//! Messages that are to leave: kept until they are delivered or given up, and lent to one sender at a time.

use std::time::Duration;

use approval::{Number, Stamp};
use serde::Serialize;

use crate::error::StoreError;
use crate::store::{Store, first, signed, unsigned};

/// A message's id, unique in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct MessageId(pub u64);

/// A message that is to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Which way it leaves: the name of a `[[notify]]`.
    pub channel: String,
    /// What it is about.
    pub kind: String,
    /// The request it is about.
    pub number: Number,
    /// When it was enqueued.
    pub made: Stamp,
    /// What became of it.
    pub delivery: Delivery,
    /// How often it was lent to a sender.
    pub attempts: u64,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// What the channel calls it, by which it can be changed later.
    pub receipt: Option<String>,
    /// Whatever is to be sent.
    pub body: String,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is to be tried, not before this.
    Waiting(Stamp),
    /// It has arrived.
    Delivered,
    /// It was given up.
    GivenUp,
}

/// Messages that may wait at one time.
const WAITING_MAX: i64 = 10_000;

type Row = (i64, String, String, i64, i64, String, i64, i64, Option<String>, Option<String>, String);

impl Store {
    /// Keeps a message to be sent from `now` on; of one kind about one request, a channel gets one. `None`: it is there already.
    ///
    /// # Errors
    /// What [`StoreError`] says; [`StoreError::Full`] where too many wait.
    pub async fn enqueue(
        &self,
        channel: &str,
        kind: &str,
        number: Number,
        body: &str,
        now: Stamp,
    ) -> Result<Option<MessageId>, StoreError> {
        let id: Option<i64> = put!(
            self,
            sqlx::query_scalar(
                "INSERT INTO outbox (channel, kind, number, made, state, next, attempts, body)
             SELECT $1, $2, $3, $4, 'waiting', $4, 0, $5
             WHERE (SELECT count(*) FROM outbox WHERE state = 'waiting') < $6
             ON CONFLICT (channel, kind, number) DO NOTHING RETURNING id",
            )
            .bind(channel)
            .bind(kind)
            .bind(signed(number.0))
            .bind(signed(now.0))
            .bind(body)
            .bind(WAITING_MAX)
        )
        .map(first)?;
        if let Some(id) = id {
            return Ok(Some(MessageId(unsigned(id))));
        }
        let there: Vec<i64> = ask!(
            self,
            sqlx::query_scalar("SELECT id FROM outbox WHERE channel = $1 AND kind = $2 AND number = $3")
                .bind(channel)
                .bind(kind)
                .bind(signed(number.0))
        )?;
        match there.is_empty() {
            false => Ok(None),
            true => {
                Err(StoreError::Full { what: "messages that wait to be sent", most: unsigned(WAITING_MAX) })
            }
        }
    }

    /// Lends messages of a channel that are due to the caller for `lease`; nobody else gets them until then.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn due(
        &self,
        channel: &str,
        now: Stamp,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        // The outer condition is what makes two senders at once get different ones: the second sees what the first has written.
        let rows: Vec<Row> = put!(self, sqlx::query_as(
            "UPDATE outbox SET next = $1, attempts = attempts + 1 WHERE state = 'waiting' AND next <= $2 AND id IN
             (SELECT id FROM outbox WHERE state = 'waiting' AND next <= $2 AND channel = $4 ORDER BY next, id LIMIT $3)
             RETURNING id, channel, kind, number, made, state, next, attempts, error, receipt, body",
        )
        .bind(signed(now.after(lease).0))
        .bind(signed(now.0))
        .bind(i64::from(limit))
        .bind(channel))?;
        let mut messages: Vec<_> = rows.into_iter().map(read).collect();
        messages.sort_by_key(|message| message.id);
        Ok(messages)
    }

    /// Notes that a message has arrived. `false`: the lease had run out, and somebody else has it.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn delivered(&self, message: &Message, receipt: Option<&str>) -> Result<bool, StoreError> {
        self.settle_message(message, "delivered", Stamp(0), (None, receipt)).await
    }

    /// Notes that a message did not arrive, to be tried again at `next`, or to be given up. `false`: the lease had run out, and
    /// somebody else has it.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn failed(
        &self,
        message: &Message,
        next: Option<Stamp>,
        error: &str,
    ) -> Result<bool, StoreError> {
        let state = if next.is_some() { "waiting" } else { "given_up" };
        self.settle_message(message, state, next.unwrap_or_default(), (Some(error), None)).await
    }

    async fn settle_message(
        &self,
        message: &Message,
        state: &'static str,
        next: Stamp,
        (error, receipt): (Option<&str>, Option<&str>),
    ) -> Result<bool, StoreError> {
        let written: Option<i64> = put!(
            self,
            sqlx::query_scalar(
                "UPDATE outbox SET state = $1, next = $2, error = $3, receipt = $4
             WHERE id = $5 AND attempts = $6 AND state = 'waiting' RETURNING id",
            )
            .bind(state)
            .bind(signed(next.0))
            .bind(error)
            .bind(receipt)
            .bind(signed(message.id.0))
            .bind(signed(message.attempts))
        )
        .map(first)?;
        Ok(written.is_some())
    }

    /// Returns the messages about a request, oldest first.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn messages_of(&self, number: Number) -> Result<Vec<Message>, StoreError> {
        let rows: Vec<Row> = ask!(
            self,
            sqlx::query_as(
                "SELECT id, channel, kind, number, made, state, next, attempts, error, receipt, body FROM outbox
             WHERE number = $1 ORDER BY id LIMIT 1000",
            )
            .bind(signed(number.0))
        )?;
        Ok(rows.into_iter().map(read).collect())
    }

    /// Returns how many messages wait to be sent.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn count_waiting(&self) -> Result<u64, StoreError> {
        let counts: Vec<i64> =
            ask!(self, sqlx::query_scalar("SELECT count(*) FROM outbox WHERE state = 'waiting'"))?;
        Ok(unsigned(counts.iter().sum()))
    }
}

fn read(row: Row) -> Message {
    let (id, channel, kind, number, made, state, next, attempts, error, receipt, body) = row;
    let delivery = match state.as_str() {
        "waiting" => Delivery::Waiting(Stamp(unsigned(next))),
        "delivered" => Delivery::Delivered,
        _ => Delivery::GivenUp,
    };
    Message {
        id: MessageId(unsigned(id)),
        channel,
        kind,
        number: Number(unsigned(number)),
        made: Stamp(unsigned(made)),
        delivery,
        attempts: unsigned(attempts),
        error,
        receipt,
        body,
    }
}

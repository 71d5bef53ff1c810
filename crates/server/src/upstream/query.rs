//! A few queries of the gateway's own, before the session begins or for a check: simple protocol, text, bounded.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use wire::backend::{DataRow, ReadyForQuery, tag};
use wire::error::ErrorFields;
use wire::frame::FrameError;
use wire::frontend::encode;
use wire::sqlstate::SqlState;
use wire::{EncodeError, MessageError};

use super::fault::{LoginFault, ReadFault, printable, text_of};
use super::inbox::Inbox;
use super::{Upstream, set_parameter};

/// One row: text values, `None` for NULL.
pub type Row = Vec<Option<Vec<u8>>>;

/// How much a query may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Of all results together.
    pub rows_max: usize,
    /// Of everything the server sends.
    pub bytes_max: usize,
    /// From sending the query to the end of its last result.
    pub timeout: Duration,
}

impl QueryLimits {
    /// For queries that ask for a few values.
    pub const SMALL: Self = Self { rows_max: 10_000, bytes_max: 4 << 20, timeout: Duration::from_secs(15) };
}

/// Why a query has no answer. After anything but [`Refused`](Self::Refused) the connection can't be used any more.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The server refused the query; the transaction is as PostgreSQL leaves it.
    #[error("the server refused: {} {message}", .sqlstate.map_or("(no SQLSTATE)".to_owned(), |state| state.to_string()))]
    Refused {
        /// As sent; `None` if it is missing or none.
        sqlstate: Option<SqlState>,
        /// The server's text, shortened and without control characters.
        message: String,
    },
    /// The result is over the limits.
    #[error("the server's answer is over {rows_max} rows or {bytes_max} bytes", rows_max = .0.rows_max, bytes_max = .0.bytes_max)]
    TooMuch(QueryLimits),
    /// Server or network: no answer in time.
    #[error("the server's answer took longer than {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// Network, or the server ended.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The server ended the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server.
    #[error("protocol violation")]
    Frame(#[source] FrameError),
    /// The server.
    #[error("protocol violation")]
    Message(#[from] MessageError),
    /// The server: a message that a query like ours can't have for an answer.
    #[error("the server answered with a message of type {:?}", char::from(*.0))]
    Unexpected(u8),
    /// Our caller: a text that can't be sent.
    #[error("the query can't be sent")]
    Encode(#[from] EncodeError),
    /// Our caller: an earlier query left the connection in an unknown state.
    #[error("the connection was given up after an earlier failure")]
    GivenUp,
}

impl QueryError {
    pub(super) fn read(fault: ReadFault, limits: QueryLimits) -> Self {
        match fault {
            ReadFault::TooMuch | ReadFault::Frame(FrameError::TooLong { .. }) => Self::TooMuch(limits),
            ReadFault::Io(error) => Self::Io(error),
            ReadFault::Closed => Self::Closed,
            ReadFault::Frame(error @ FrameError::Length { .. }) => Self::Frame(error),
        }
    }
}

impl Upstream {
    /// Runs one or more statements and returns the rows of all their results, within [`QueryLimits::SMALL`].
    ///
    /// Notices and notifications are dropped. `sql` must be the gateway's own: nothing is decided about it here.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Row>, QueryError> {
        let mut rows = Vec::new();
        self.query_each(sql, QueryLimits::SMALL, |row| {
            rows.push(row);
            Ok::<(), QueryError>(())
        })
        .await?;
        Ok(rows)
    }

    /// The same, handing over row by row: what is not kept takes no memory. An error of `each` ends the query and the
    /// use of the connection.
    ///
    /// # Errors
    /// See [`QueryError`], and what `each` returns.
    pub async fn query_each<E: From<QueryError>>(
        &mut self,
        sql: &str,
        limits: QueryLimits,
        each: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<(), E> {
        if !std::mem::replace(&mut self.usable, false) {
            return Err(QueryError::GivenUp.into());
        }
        // Also when this future is dropped half-way, `usable` stays false.
        match tokio::time::timeout(limits.timeout, self.run(sql, limits, each)).await {
            Ok(Ok(refused)) => {
                self.usable = true;
                refused.map_or(Ok(()), |error| Err(error.into()))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(QueryError::TimedOut(limits.timeout).into()),
        }
    }

    /// Reads up to ReadyForQuery, and returns the server's refusal if there was one.
    async fn run<E: From<QueryError>>(
        &mut self,
        sql: &str,
        limits: QueryLimits,
        mut each: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<Option<QueryError>, E> {
        let mut message = Vec::new();
        encode::query(&mut message, sql.as_bytes()).map_err(QueryError::from)?;
        self.stream.write_all(&message).await.map_err(QueryError::Io)?;
        self.stream.flush().await.map_err(QueryError::Io)?;
        let mut inbox = Inbox::after(std::mem::take(&mut self.leftover), limits.bytes_max, limits.bytes_max);
        let (mut refused, mut rows) = (None, 0);
        loop {
            let message = inbox.next(&mut self.stream).await;
            let message = message.map_err(|fault| QueryError::read(fault, limits))?;
            match message.tag {
                tag::DATA_ROW => {
                    rows += 1;
                    if rows > limits.rows_max {
                        return Err(QueryError::TooMuch(limits).into());
                    }
                    let row = DataRow::parse(message.body).map_err(QueryError::from)?;
                    each(row.iter().map(|value| value.map(<[u8]>::to_vec)).collect())?;
                }
                tag::ERROR_RESPONSE => {
                    let error = ErrorFields::parse(message.body).map_err(QueryError::from)?;
                    let (sqlstate, message) = (error.sqlstate(), printable(&text_of(&error)));
                    refused.get_or_insert(QueryError::Refused { sqlstate, message });
                }
                tag::PARAMETER_STATUS => self.note_parameter(message.body)?,
                tag::READY_FOR_QUERY => {
                    ReadyForQuery::parse(message.body).map_err(QueryError::from)?;
                    break;
                }
                tag::ROW_DESCRIPTION
                | tag::COMMAND_COMPLETE
                | tag::EMPTY_QUERY_RESPONSE
                | tag::NOTICE_RESPONSE
                | tag::NOTIFICATION_RESPONSE => {}
                // COPY among them: it would wait for us.
                tag => return Err(QueryError::Unexpected(tag).into()),
            }
        }
        self.leftover = inbox.into_rest();
        Ok(refused)
    }

    pub(super) fn note_parameter(&mut self, body: &[u8]) -> Result<(), QueryError> {
        set_parameter(&mut self.parameters, body).map_err(|fault| match fault {
            LoginFault::Message(error) => QueryError::Message(error),
            _ => QueryError::Unexpected(tag::PARAMETER_STATUS),
        })
    }
}

//! One statement with its parameters over the extended protocol, for the gateway's own purposes: text results, bounded.

use tokio::io::AsyncWriteExt as _;
use wire::backend::{DataRow, ReadyForQuery, tag};
use wire::error::ErrorFields;
use wire::frontend::encode;

use super::fault::{printable, text_of};
use super::inbox::Inbox;
use super::{QueryError, QueryLimits, Row, Upstream};

/// A statement to be run.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    /// One statement; a text of several is refused by the server.
    pub(crate) sql: &'a str,
    /// 0: left to the server.
    pub(crate) types: &'a [model::Oid],
    /// Format and value of each parameter.
    pub(crate) values: &'a [(i16, Option<Vec<u8>>)],
}

impl Upstream {
    /// Runs a statement, hands over its rows, and returns its command tag, if it has one. A Sync follows: outside of a transaction
    /// block the statement is committed by it.
    ///
    /// # Errors
    /// As for [`Upstream::query`].
    pub(crate) async fn run_bound(
        &mut self,
        bound: Bound<'_>,
        limits: QueryLimits,
        each: impl FnMut(Row),
    ) -> Result<Option<String>, QueryError> {
        if !std::mem::replace(&mut self.usable, false) {
            return Err(QueryError::GivenUp);
        }
        // Also when this future is dropped half-way, `usable` stays false.
        match tokio::time::timeout(limits.timeout, self.exchange(bound, limits, each)).await {
            Ok(Ok(done)) => {
                self.usable = true;
                done
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(QueryError::TimedOut(limits.timeout)),
        }
    }

    /// Outer error: the connection can't be used any more.
    async fn exchange(
        &mut self,
        bound: Bound<'_>,
        limits: QueryLimits,
        mut each: impl FnMut(Row),
    ) -> Result<Result<Option<String>, QueryError>, QueryError> {
        let mut flight = Vec::new();
        encode::parse(&mut flight, b"", bound.sql.as_bytes(), bound.types.iter().copied())?;
        let formats = bound.values.iter().map(|(format, _)| *format);
        let values = bound.values.iter().map(|(_, value)| value.as_deref());
        encode::bind(&mut flight, b"", b"", formats, values, [])?;
        encode::execute(&mut flight, b"", 0)?;
        encode::sync(&mut flight);
        self.stream.write_all(&flight).await.map_err(QueryError::Io)?;
        self.stream.flush().await.map_err(QueryError::Io)?;
        let mut inbox = Inbox::after(std::mem::take(&mut self.leftover), limits.bytes_max, limits.bytes_max);
        let (mut refused, mut rows, mut done) = (None, 0, None);
        loop {
            let message = inbox.next(&mut self.stream).await;
            let message = message.map_err(|fault| QueryError::read(fault, limits))?;
            match message.tag {
                tag::DATA_ROW => {
                    rows += 1;
                    if rows > limits.rows_max {
                        return Err(QueryError::TooMuch(limits));
                    }
                    let row = DataRow::parse(message.body)?;
                    each(row.iter().map(|value| value.map(<[u8]>::to_vec)).collect());
                }
                tag::COMMAND_COMPLETE => {
                    let text = message.body.strip_suffix(b"\0").unwrap_or(message.body);
                    done = Some(String::from_utf8_lossy(text).into_owned());
                }
                tag::ERROR_RESPONSE => {
                    let error = ErrorFields::parse(message.body)?;
                    let (sqlstate, message) = (error.sqlstate(), printable(&text_of(&error)));
                    refused.get_or_insert(QueryError::Refused { sqlstate, message });
                }
                tag::PARAMETER_STATUS => self.note_parameter(message.body)?,
                tag::READY_FOR_QUERY => {
                    ReadyForQuery::parse(message.body)?;
                    break;
                }
                tag::PARSE_COMPLETE
                | tag::BIND_COMPLETE
                | tag::NO_DATA
                | tag::ROW_DESCRIPTION
                | tag::EMPTY_QUERY_RESPONSE
                | tag::NOTICE_RESPONSE
                | tag::NOTIFICATION_RESPONSE => {}
                // COPY among them: it would wait for us.
                tag => return Err(QueryError::Unexpected(tag)),
            }
        }
        self.leftover = inbox.into_rest();
        Ok(refused.map_or(Ok(done), Err))
    }
}

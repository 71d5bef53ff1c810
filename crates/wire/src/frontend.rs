//! Messages that a client sends, after the start-up packet: the gateway reads them from clients and writes them upstream.
//!
//! Views borrow from the message's body. Knows their layout, not what they mean or when they may come.

mod authentication;
mod copy;
pub mod encode;
mod extended_query;
mod simple_query;

pub use authentication::{PasswordMessage, SaslInitialResponse, SaslResponse};
pub use copy::{CopyData, CopyFail};
pub use extended_query::{Bind, Close, Describe, Execute, ParamTypes, Parse, Target};
pub use simple_query::Query;

use crate::message::{MessageError, Reader};

/// Message types (`PqMsg_*`, libpq/protocol.h).
pub mod tag {
    /// Bind.
    pub const BIND: u8 = b'B';
    /// Close.
    pub const CLOSE: u8 = b'C';
    /// Describe.
    pub const DESCRIBE: u8 = b'D';
    /// Execute.
    pub const EXECUTE: u8 = b'E';
    /// FunctionCall; has no view here, since the gateway refuses it.
    pub const FUNCTION_CALL: u8 = b'F';
    /// Flush; no fields.
    pub const FLUSH: u8 = b'H';
    /// Parse.
    pub const PARSE: u8 = b'P';
    /// Query.
    pub const QUERY: u8 = b'Q';
    /// Sync; no fields.
    pub const SYNC: u8 = b'S';
    /// Terminate; no fields.
    pub const TERMINATE: u8 = b'X';
    /// CopyData.
    pub const COPY_DATA: u8 = b'd';
    /// CopyDone; no fields.
    pub const COPY_DONE: u8 = b'c';
    /// CopyFail.
    pub const COPY_FAIL: u8 = b'f';
    /// PasswordMessage, SASLInitialResponse, SASLResponse or GSSResponse: what was asked for tells which.
    pub const PASSWORD: u8 = b'p';
}

/// Bytes of the longest message of the small types: `PQ_SMALL_MESSAGE_LIMIT` (libpq/libpq.h), which counts the length
/// field and not the tag, and the tag.
pub const SMALL_MESSAGE_BYTES_MAX: usize = 10_000 + 1;

/// Bytes of the longest message of the other types: `PQ_LARGE_MESSAGE_LIMIT` (libpq/libpq.h), `MaxAllocSize - 1`, and
/// the tag.
pub const LARGE_MESSAGE_BYTES_MAX: usize = 0x3fff_fffe + 1;

/// Bytes of the longest password packet or OAUTHBEARER message, header included: `PG_MAX_AUTH_TOKEN_LENGTH`
/// (libpq/auth.h), which counts the length field and not the tag, and the tag.
pub const AUTHENTICATION_BYTES_MAX: usize = 65_535 + 1;

/// Returns the name of a message type in PostgreSQL's manual; `None` if a client may not send it.
pub const fn name(tag: u8) -> Option<&'static str> {
    Some(match tag {
        tag::BIND => "Bind",
        tag::CLOSE => "Close",
        tag::DESCRIBE => "Describe",
        tag::EXECUTE => "Execute",
        tag::FUNCTION_CALL => "FunctionCall",
        tag::FLUSH => "Flush",
        tag::PARSE => "Parse",
        tag::QUERY => "Query",
        tag::SYNC => "Sync",
        tag::TERMINATE => "Terminate",
        tag::COPY_DATA => "CopyData",
        tag::COPY_DONE => "CopyDone",
        tag::COPY_FAIL => "CopyFail",
        tag::PASSWORD => "PasswordMessage",
        _ => return None,
    })
}

/// Returns how many bytes, header included, PostgreSQL takes of a message of this type (`SocketBackend`,
/// tcop/postgres.c); `None` if a client may not send it. A gateway's own limit may be lower.
pub const fn bytes_max(tag: u8) -> Option<usize> {
    match tag {
        tag::BIND | tag::FUNCTION_CALL | tag::PARSE | tag::QUERY | tag::COPY_DATA => {
            Some(LARGE_MESSAGE_BYTES_MAX)
        }
        tag::CLOSE
        | tag::DESCRIBE
        | tag::EXECUTE
        | tag::FLUSH
        | tag::SYNC
        | tag::TERMINATE
        | tag::COPY_DONE
        | tag::COPY_FAIL => Some(SMALL_MESSAGE_BYTES_MAX),
        tag::PASSWORD => Some(AUTHENTICATION_BYTES_MAX),
        _ => None,
    }
}

/// Checks the body of a message that has no fields: Flush, Sync, Terminate and CopyDone.
///
/// # Errors
/// The client's fault: the body is not empty.
pub fn parse_empty(tag: u8, body: &[u8]) -> Result<(), MessageError> {
    Reader::new(body, name(tag).unwrap_or("empty")).end()
}

//! Messages that a server sends: the gateway reads them from the upstream and writes them to clients.
//!
//! Views borrow from the message's body. Knows their layout, not what they mean or when they may come. An upstream may be
//! hostile: everything is checked as for a client. ErrorResponse and NoticeResponse are [`crate::error::ErrorFields`].

mod asynchronous;
mod authentication;
mod copy;
pub mod encode;
mod query;
mod session;

pub use asynchronous::{NotificationResponse, ParameterStatus};
pub use authentication::{Authentication, Mechanisms};
pub use copy::CopyResponse;
pub use query::{
    CommandComplete, DataRow, Field, Fields, ParameterDescription, ReadyForQuery, RowDescription,
    TransactionStatus,
};
pub use session::{BackendKeyData, NegotiateProtocolVersion};

use crate::message::{MessageError, Reader};

/// Message types (`PqMsg_*`, libpq/protocol.h).
pub mod tag {
    /// Authentication, of any kind.
    pub const AUTHENTICATION: u8 = b'R';
    /// BackendKeyData.
    pub const BACKEND_KEY_DATA: u8 = b'K';
    /// BindComplete; no fields.
    pub const BIND_COMPLETE: u8 = b'2';
    /// CloseComplete; no fields.
    pub const CLOSE_COMPLETE: u8 = b'3';
    /// CommandComplete.
    pub const COMMAND_COMPLETE: u8 = b'C';
    /// CopyData; its view is [`crate::frontend::CopyData`].
    pub const COPY_DATA: u8 = b'd';
    /// CopyDone; no fields.
    pub const COPY_DONE: u8 = b'c';
    /// CopyInResponse.
    pub const COPY_IN_RESPONSE: u8 = b'G';
    /// CopyOutResponse.
    pub const COPY_OUT_RESPONSE: u8 = b'H';
    /// CopyBothResponse; replication only.
    pub const COPY_BOTH_RESPONSE: u8 = b'W';
    /// DataRow.
    pub const DATA_ROW: u8 = b'D';
    /// EmptyQueryResponse; no fields.
    pub const EMPTY_QUERY_RESPONSE: u8 = b'I';
    /// ErrorResponse.
    pub const ERROR_RESPONSE: u8 = b'E';
    /// FunctionCallResponse; has no view here, since the gateway refuses FunctionCall.
    pub const FUNCTION_CALL_RESPONSE: u8 = b'V';
    /// NegotiateProtocolVersion.
    pub const NEGOTIATE_PROTOCOL_VERSION: u8 = b'v';
    /// NoData; no fields.
    pub const NO_DATA: u8 = b'n';
    /// NoticeResponse.
    pub const NOTICE_RESPONSE: u8 = b'N';
    /// NotificationResponse.
    pub const NOTIFICATION_RESPONSE: u8 = b'A';
    /// ParameterDescription.
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    /// ParameterStatus.
    pub const PARAMETER_STATUS: u8 = b'S';
    /// ParseComplete; no fields.
    pub const PARSE_COMPLETE: u8 = b'1';
    /// PortalSuspended; no fields.
    pub const PORTAL_SUSPENDED: u8 = b's';
    /// ReadyForQuery.
    pub const READY_FOR_QUERY: u8 = b'Z';
    /// RowDescription.
    pub const ROW_DESCRIPTION: u8 = b'T';
}

/// Returns the name of a message type in PostgreSQL's manual; `None` if no server that we know sends it.
pub const fn name(tag: u8) -> Option<&'static str> {
    Some(match tag {
        tag::AUTHENTICATION => "Authentication",
        tag::BACKEND_KEY_DATA => "BackendKeyData",
        tag::BIND_COMPLETE => "BindComplete",
        tag::CLOSE_COMPLETE => "CloseComplete",
        tag::COMMAND_COMPLETE => "CommandComplete",
        tag::COPY_DATA => "CopyData",
        tag::COPY_DONE => "CopyDone",
        tag::COPY_IN_RESPONSE => "CopyInResponse",
        tag::COPY_OUT_RESPONSE => "CopyOutResponse",
        tag::COPY_BOTH_RESPONSE => "CopyBothResponse",
        tag::DATA_ROW => "DataRow",
        tag::EMPTY_QUERY_RESPONSE => "EmptyQueryResponse",
        tag::ERROR_RESPONSE => "ErrorResponse",
        tag::FUNCTION_CALL_RESPONSE => "FunctionCallResponse",
        tag::NEGOTIATE_PROTOCOL_VERSION => "NegotiateProtocolVersion",
        tag::NO_DATA => "NoData",
        tag::NOTICE_RESPONSE => "NoticeResponse",
        tag::NOTIFICATION_RESPONSE => "NotificationResponse",
        tag::PARAMETER_DESCRIPTION => "ParameterDescription",
        tag::PARAMETER_STATUS => "ParameterStatus",
        tag::PARSE_COMPLETE => "ParseComplete",
        tag::PORTAL_SUSPENDED => "PortalSuspended",
        tag::READY_FOR_QUERY => "ReadyForQuery",
        tag::ROW_DESCRIPTION => "RowDescription",
        _ => return None,
    })
}

/// Checks the body of a message that has no fields, such as ParseComplete.
///
/// # Errors
/// The upstream's fault: the body is not empty.
pub fn parse_empty(tag: u8, body: &[u8]) -> Result<(), MessageError> {
    Reader::new(body, name(tag).unwrap_or("empty")).end()
}

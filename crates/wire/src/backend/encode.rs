//! Writes the messages of a server, for clients. Each function appends one whole message, or nothing if it fails.

use model::Oid;

use super::authentication::code;
use super::{Field, TransactionStatus, tag};
use crate::error::ErrorFields;
use crate::frontend::encode::cancel_key;
use crate::message::{self, EncodeError, Writer};
use crate::startup::ProtocolVersion;

/// The one-byte answer to SSLRequest and GSSENCRequest that refuses.
pub const ENCRYPTION_REFUSED: u8 = b'N';
/// The one-byte answer to SSLRequest that agrees; TLS follows.
pub const SSL_ACCEPTED: u8 = b'S';

/// Appends an AuthenticationOk.
pub fn authentication_ok(out: &mut Vec<u8>) {
    bare_authentication(out, code::OK);
}

/// Appends an AuthenticationCleartextPassword.
pub fn authentication_cleartext_password(out: &mut Vec<u8>) {
    bare_authentication(out, code::PASSWORD);
}

fn bare_authentication(out: &mut Vec<u8>, code: i32) {
    out.push(tag::AUTHENTICATION);
    out.extend_from_slice(&8_i32.to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
}

/// Appends an AuthenticationMD5Password.
pub fn authentication_md5_password(out: &mut Vec<u8>, salt: [u8; 4]) {
    out.push(tag::AUTHENTICATION);
    out.extend_from_slice(&12_i32.to_be_bytes());
    out.extend_from_slice(&code::MD5.to_be_bytes());
    out.extend_from_slice(&salt);
}

/// Appends an AuthenticationSASL.
///
/// # Errors
/// No mechanism is given, or a name is empty or holds a NUL.
pub fn authentication_sasl<'a>(
    out: &mut Vec<u8>,
    mechanisms: impl IntoIterator<Item = &'a str>,
) -> Result<(), EncodeError> {
    const FIELD: &str = "mechanism";
    message::message(out, tag::AUTHENTICATION, |w| {
        w.i32(code::SASL);
        let mut given = false;
        for name in mechanisms {
            if name.is_empty() {
                return Err(EncodeError::Empty { field: FIELD });
            }
            given = true;
            w.string(FIELD, name.as_bytes())?;
        }
        w.u8(0);
        if given { Ok(()) } else { Err(EncodeError::Empty { field: FIELD }) }
    })
}

/// Appends an AuthenticationSASLContinue.
///
/// # Errors
/// `data` is too long for one message.
pub fn authentication_sasl_continue(out: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    sasl(out, code::SASL_CONTINUE, data)
}

/// Appends an AuthenticationSASLFinal.
///
/// # Errors
/// `data` is too long for one message.
pub fn authentication_sasl_final(out: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    sasl(out, code::SASL_FINAL, data)
}

fn sasl(out: &mut Vec<u8>, code: i32, data: &[u8]) -> Result<(), EncodeError> {
    message::message(out, tag::AUTHENTICATION, |w| {
        w.i32(code);
        w.bytes(data);
        Ok(())
    })
}

/// Appends a ParameterStatus.
///
/// # Errors
/// A text holds a NUL or is too long.
pub fn parameter_status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
    message::message(out, tag::PARAMETER_STATUS, |w| {
        w.string("parameter name", name)?;
        w.string("parameter value", value)
    })
}

/// Appends a BackendKeyData. A client of protocol 3.0 takes keys of 4 bytes only.
///
/// # Errors
/// `key` has fewer than 4 or more than 256 bytes.
pub fn backend_key_data(out: &mut Vec<u8>, process_id: i32, key: &[u8]) -> Result<(), EncodeError> {
    cancel_key(key)?;
    message::message(out, tag::BACKEND_KEY_DATA, |w| {
        w.i32(process_id);
        w.bytes(key);
        Ok(())
    })
}

/// Appends a NegotiateProtocolVersion: what will be spoken, and the `_pq_.` parameters that are not known.
///
/// # Errors
/// A name holds a NUL.
pub fn negotiate_protocol_version<'a>(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    unrecognized: impl IntoIterator<Item = &'a str, IntoIter: ExactSizeIterator>,
) -> Result<(), EncodeError> {
    let unrecognized = unrecognized.into_iter();
    message::message(out, tag::NEGOTIATE_PROTOCOL_VERSION, |w| {
        w.bytes(&version.to_bytes());
        w.long_count("unrecognized parameters", unrecognized.len())?;
        for name in unrecognized {
            w.string("parameter name", name.as_bytes())?;
        }
        Ok(())
    })
}

/// Appends a ReadyForQuery.
pub fn ready_for_query(out: &mut Vec<u8>, status: TransactionStatus) {
    out.extend_from_slice(&[tag::READY_FOR_QUERY, 0, 0, 0, 5, status.as_byte()]);
}

/// Appends an ErrorResponse; never fails.
pub fn error_response(out: &mut Vec<u8>, fields: &ErrorFields) {
    fields.encode(tag::ERROR_RESPONSE, out);
}

/// Appends a NoticeResponse; never fails.
pub fn notice_response(out: &mut Vec<u8>, fields: &ErrorFields) {
    fields.encode(tag::NOTICE_RESPONSE, out);
}

/// Appends a NotificationResponse.
///
/// # Errors
/// A text holds a NUL or is too long.
pub fn notification_response(
    out: &mut Vec<u8>,
    process_id: i32,
    channel: &[u8],
    payload: &[u8],
) -> Result<(), EncodeError> {
    message::message(out, tag::NOTIFICATION_RESPONSE, |w| {
        w.i32(process_id);
        w.string("channel", channel)?;
        w.string("payload", payload)
    })
}

/// Appends a CommandComplete.
///
/// # Errors
/// `command_tag` holds a NUL or is too long.
pub fn command_complete(out: &mut Vec<u8>, command_tag: &[u8]) -> Result<(), EncodeError> {
    message::message(out, tag::COMMAND_COMPLETE, |w| w.string("command tag", command_tag))
}

/// Appends a ParseComplete.
pub fn parse_complete(out: &mut Vec<u8>) {
    message::empty(out, tag::PARSE_COMPLETE);
}

/// Appends a BindComplete.
pub fn bind_complete(out: &mut Vec<u8>) {
    message::empty(out, tag::BIND_COMPLETE);
}

/// Appends a CloseComplete.
pub fn close_complete(out: &mut Vec<u8>) {
    message::empty(out, tag::CLOSE_COMPLETE);
}

/// Appends a NoData.
pub fn no_data(out: &mut Vec<u8>) {
    message::empty(out, tag::NO_DATA);
}

/// Appends a PortalSuspended.
pub fn portal_suspended(out: &mut Vec<u8>) {
    message::empty(out, tag::PORTAL_SUSPENDED);
}

/// Appends an EmptyQueryResponse.
pub fn empty_query_response(out: &mut Vec<u8>) {
    message::empty(out, tag::EMPTY_QUERY_RESPONSE);
}

/// Appends a RowDescription.
///
/// # Errors
/// There are more than 65,535 columns, or a name holds a NUL.
pub fn row_description<'a>(
    out: &mut Vec<u8>,
    fields: impl IntoIterator<Item = Field<'a>>,
) -> Result<(), EncodeError> {
    message::message(out, tag::ROW_DESCRIPTION, |w| {
        w.counted("columns", fields, |w, field| {
            let Field { name, table_oid, attnum, type_oid, typlen, typmod, format } = field;
            w.string("column name", name)?;
            w.u32(table_oid.0);
            w.i16(attnum);
            w.u32(type_oid.0);
            w.i16(typlen);
            w.i32(typmod);
            w.i16(format);
            Ok(())
        })
    })
}

/// Appends a ParameterDescription.
///
/// # Errors
/// There are more than 65,535 types.
pub fn parameter_description(
    out: &mut Vec<u8>,
    param_types: impl IntoIterator<Item = Oid>,
) -> Result<(), EncodeError> {
    message::message(out, tag::PARAMETER_DESCRIPTION, |w| {
        w.counted("parameter types", param_types, |w, oid| {
            w.u32(oid.0);
            Ok(())
        })
    })
}

/// Appends a DataRow; NULL is `None`.
///
/// # Errors
/// There are more than 65,535 columns, or the message would be too long.
pub fn data_row<'a>(
    out: &mut Vec<u8>,
    columns: impl IntoIterator<Item = Option<&'a [u8]>>,
) -> Result<(), EncodeError> {
    message::message(out, tag::DATA_ROW, |w| {
        w.counted("columns", columns, |w, value| w.value("column", value))
    })
}

/// Appends a CopyInResponse: the format of the stream, and of each column.
///
/// # Errors
/// There are more than 65,535 columns.
pub fn copy_in_response(
    out: &mut Vec<u8>,
    format: i8,
    columns: impl IntoIterator<Item = i16>,
) -> Result<(), EncodeError> {
    message::message(out, tag::COPY_IN_RESPONSE, |w| copy_response(w, format, columns))
}

/// Appends a CopyOutResponse: the format of the stream, and of each column.
///
/// # Errors
/// There are more than 65,535 columns.
pub fn copy_out_response(
    out: &mut Vec<u8>,
    format: i8,
    columns: impl IntoIterator<Item = i16>,
) -> Result<(), EncodeError> {
    message::message(out, tag::COPY_OUT_RESPONSE, |w| copy_response(w, format, columns))
}

fn copy_response(
    w: &mut Writer<'_>,
    format: i8,
    columns: impl IntoIterator<Item = i16>,
) -> Result<(), EncodeError> {
    let [format] = format.to_be_bytes();
    w.u8(format);
    w.counted("columns", columns, |w, code| {
        w.i16(code);
        Ok(())
    })
}

/// Appends a CopyData.
///
/// # Errors
/// `data` is too long for one message.
pub fn copy_data(out: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    message::message(out, tag::COPY_DATA, |w| {
        w.bytes(data);
        Ok(())
    })
}

/// Appends a CopyDone.
pub fn copy_done(out: &mut Vec<u8>) {
    message::empty(out, tag::COPY_DONE);
}

//! Writes the messages of a client, for the upstream. Each function appends one whole message, or nothing if it fails.
//!
//! What holds a credential is written as it is: the buffer's owner wipes it.

use model::Oid;

use super::{Target, tag};
use crate::message::{self, EncodeError};
use crate::startup::{
    self, CANCEL_KEY_BYTES_MAX, CANCEL_KEY_BYTES_MIN, MAX_STARTUP_PACKET_LENGTH, ProtocolVersion,
};

/// Appends a Query.
///
/// # Errors
/// `text` holds a NUL or is too long.
pub fn query(out: &mut Vec<u8>, text: &[u8]) -> Result<(), EncodeError> {
    message::message(out, tag::QUERY, |w| w.string("query", text))
}

/// Appends a Parse.
///
/// # Errors
/// A text holds a NUL or is too long, or there are more than 65,535 types.
pub fn parse(
    out: &mut Vec<u8>,
    statement: &[u8],
    query: &[u8],
    param_types: impl IntoIterator<Item = Oid>,
) -> Result<(), EncodeError> {
    message::message(out, tag::PARSE, |w| {
        w.string("statement name", statement)?;
        w.string("query", query)?;
        w.counted("parameter types", param_types, |w, oid| {
            w.u32(oid.0);
            Ok(())
        })
    })
}

/// Appends a Bind.
///
/// # Errors
/// A name holds a NUL, or a list has more than 65,535 members, or the message would be too long.
pub fn bind<'a>(
    out: &mut Vec<u8>,
    portal: &[u8],
    statement: &[u8],
    param_formats: impl IntoIterator<Item = i16>,
    params: impl IntoIterator<Item = Option<&'a [u8]>>,
    result_formats: impl IntoIterator<Item = i16>,
) -> Result<(), EncodeError> {
    message::message(out, tag::BIND, |w| {
        w.string("portal name", portal)?;
        w.string("statement name", statement)?;
        w.counted("parameter formats", param_formats, |w, code| {
            w.i16(code);
            Ok(())
        })?;
        w.counted("parameters", params, |w, param| w.value("parameter", param))?;
        w.counted("result formats", result_formats, |w, code| {
            w.i16(code);
            Ok(())
        })
    })
}

/// Appends a Describe.
///
/// # Errors
/// `name` holds a NUL or is too long.
pub fn describe(out: &mut Vec<u8>, target: Target, name: &[u8]) -> Result<(), EncodeError> {
    targeted(out, tag::DESCRIBE, target, name)
}

/// Appends a Close.
///
/// # Errors
/// `name` holds a NUL or is too long.
pub fn close(out: &mut Vec<u8>, target: Target, name: &[u8]) -> Result<(), EncodeError> {
    targeted(out, tag::CLOSE, target, name)
}

fn targeted(out: &mut Vec<u8>, tag: u8, target: Target, name: &[u8]) -> Result<(), EncodeError> {
    message::message(out, tag, |w| {
        w.u8(target.as_byte());
        w.string("name", name)
    })
}

/// Appends an Execute; `max_rows` of 0 means all.
///
/// # Errors
/// `portal` holds a NUL or is too long.
pub fn execute(out: &mut Vec<u8>, portal: &[u8], max_rows: i32) -> Result<(), EncodeError> {
    message::message(out, tag::EXECUTE, |w| {
        w.string("portal name", portal)?;
        w.i32(max_rows);
        Ok(())
    })
}

/// Appends a Flush.
pub fn flush(out: &mut Vec<u8>) {
    message::empty(out, tag::FLUSH);
}

/// Appends a Sync.
pub fn sync(out: &mut Vec<u8>) {
    message::empty(out, tag::SYNC);
}

/// Appends a Terminate.
pub fn terminate(out: &mut Vec<u8>) {
    message::empty(out, tag::TERMINATE);
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

/// Appends a CopyFail.
///
/// # Errors
/// `reason` holds a NUL or is too long.
pub fn copy_fail(out: &mut Vec<u8>, reason: &[u8]) -> Result<(), EncodeError> {
    message::message(out, tag::COPY_FAIL, |w| w.string("reason", reason))
}

/// Appends a PasswordMessage.
///
/// # Errors
/// `password` holds a NUL or is too long.
pub fn password(out: &mut Vec<u8>, password: &[u8]) -> Result<(), EncodeError> {
    message::message(out, tag::PASSWORD, |w| w.string("password", password))
}

/// Appends a SASLInitialResponse.
///
/// # Errors
/// `mechanism` holds a NUL, or the message would be too long.
pub fn sasl_initial_response(
    out: &mut Vec<u8>,
    mechanism: &[u8],
    response: Option<&[u8]>,
) -> Result<(), EncodeError> {
    message::message(out, tag::PASSWORD, |w| {
        w.string("mechanism", mechanism)?;
        w.value("initial response", response)
    })
}

/// Appends a SASLResponse.
///
/// # Errors
/// `data` is too long for one message.
pub fn sasl_response(out: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    message::message(out, tag::PASSWORD, |w| {
        w.bytes(data);
        Ok(())
    })
}

/// Appends a StartupMessage with names and values in the order given.
///
/// # Errors
/// A name is empty, a name or value holds a NUL, or all together are over [`MAX_STARTUP_PACKET_LENGTH`].
pub fn startup<'a>(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), EncodeError> {
    let start = out.len();
    message::untagged(out, |w| {
        w.bytes(&version.to_bytes());
        for (name, value) in parameters {
            if name.is_empty() {
                return Err(EncodeError::Empty { field: "parameter name" });
            }
            w.string("parameter name", name.as_bytes())?;
            w.string("parameter value", value.as_bytes())?;
        }
        w.u8(0);
        Ok(())
    })?;
    let count = out.len() - start - 4;
    if count > MAX_STARTUP_PACKET_LENGTH {
        out.truncate(start);
        return Err(EncodeError::TooMany {
            field: "startup packet bytes",
            count,
            max: MAX_STARTUP_PACKET_LENGTH,
        });
    }
    Ok(())
}

/// Appends a CancelRequest.
///
/// # Errors
/// `key` has fewer than 4 or more than 256 bytes.
pub fn cancel_request(out: &mut Vec<u8>, process_id: i32, key: &[u8]) -> Result<(), EncodeError> {
    cancel_key(key)?;
    message::untagged(out, |w| {
        w.bytes(&startup::CANCEL_REQUEST_CODE.to_bytes());
        w.i32(process_id);
        w.bytes(key);
        Ok(())
    })
}

pub(crate) const fn cancel_key(key: &[u8]) -> Result<(), EncodeError> {
    if key.len() < CANCEL_KEY_BYTES_MIN {
        Err(EncodeError::Empty { field: "cancel key" })
    } else if key.len() > CANCEL_KEY_BYTES_MAX {
        Err(EncodeError::TooMany { field: "cancel key bytes", count: key.len(), max: CANCEL_KEY_BYTES_MAX })
    } else {
        Ok(())
    }
}

/// Appends an SSLRequest.
pub fn ssl_request(out: &mut Vec<u8>) {
    request(out, startup::SSL_REQUEST_CODE);
}

/// Appends a GSSENCRequest.
pub fn gssenc_request(out: &mut Vec<u8>) {
    request(out, startup::GSSENC_REQUEST_CODE);
}

fn request(out: &mut Vec<u8>, code: ProtocolVersion) {
    out.extend_from_slice(&8_i32.to_be_bytes());
    out.extend_from_slice(&code.to_bytes());
}

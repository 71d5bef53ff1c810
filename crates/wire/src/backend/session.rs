//! What a server says of the session once, as it begins.

use crate::message::{MessageError, Reader};
use crate::startup::{
    CANCEL_KEY_BYTES_MAX, CANCEL_KEY_BYTES_MIN, PROTOCOL_PARAMETER_PREFIX, ProtocolVersion,
};

/// BackendKeyData: what a CancelRequest must name. No `Debug`: the key is a secret.
#[derive(Clone, Copy)]
pub struct BackendKeyData<'a> {
    /// The backend's process ID.
    pub process_id: i32,
    /// 4 bytes in protocol 3.0, 4 to 256 in 3.2.
    pub key: &'a [u8],
}

impl<'a> BackendKeyData<'a> {
    /// Reads the body of a BackendKeyData.
    ///
    /// # Errors
    /// The upstream's fault: a key shorter than 4 or longer than 256 bytes. Whether the session's protocol version allows
    /// its length is the caller's to check.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "BackendKeyData");
        let process_id = reader.i32()?;
        let key = reader.take_rest();
        if !(CANCEL_KEY_BYTES_MIN..=CANCEL_KEY_BYTES_MAX).contains(&key.len()) {
            return Err(reader.length("cancel key length", i64::try_from(key.len()).unwrap_or(i64::MAX)));
        }
        Ok(Self { process_id, key })
    }
}

/// NegotiateProtocolVersion: the server speaks an older protocol, or doesn't know some of its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiateProtocolVersion<'a> {
    /// What is spoken from here on. The manual says minor version, the code has always sent both
    /// (`SendNegotiateProtocolVersion`, tcop/backend_startup.c).
    pub version: ProtocolVersion,
    /// The `_pq_.` parameters that the server doesn't know.
    pub unrecognized: Vec<&'a [u8]>,
}

impl<'a> NegotiateProtocolVersion<'a> {
    /// Reads the body of a NegotiateProtocolVersion.
    ///
    /// # Errors
    /// The upstream's fault: a version that isn't 3.x, a parameter that isn't one of the protocol's, a count that is
    /// negative or more than there are. Whether the version is one that was asked for is the caller's to check.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "NegotiateProtocolVersion");
        let version = ProtocolVersion::from_bytes(reader.array()?);
        if version.major != ProtocolVersion::V3_0.major {
            return Err(reader.length("major version", i64::from(version.major)));
        }
        let count = reader.i32()?;
        if count < 0 {
            return Err(reader.length("number of parameters", i64::from(count)));
        }
        let mut unrecognized = Vec::new();
        for _ in 0..count {
            // fails at the end of the body, so a count that is a lie allocates nothing
            let name = reader.string()?;
            if !name.starts_with(PROTOCOL_PARAMETER_PREFIX.as_bytes()) {
                return Err(
                    reader.length("parameter name of length", i64::try_from(name.len()).unwrap_or(i64::MAX))
                );
            }
            unrecognized.push(name);
        }
        reader.end()?;
        Ok(Self { version, unrecognized })
    }
}

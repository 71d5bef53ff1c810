//! What a server may send at any time: ParameterStatus and NotificationResponse. Notices are [`crate::error`]'s.

use crate::message::{MessageError, Reader};

/// ParameterStatus: the value of a setting that clients must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterStatus<'a> {
    /// The setting.
    pub name: &'a [u8],
    /// Its value from now on.
    pub value: &'a [u8],
}

impl<'a> ParameterStatus<'a> {
    /// Reads the body of a ParameterStatus.
    ///
    /// # Errors
    /// The upstream's fault: a string without NUL, or bytes after the second.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "ParameterStatus");
        let name = reader.string()?;
        let value = reader.string()?;
        reader.end()?;
        Ok(Self { name, value })
    }
}

/// NotificationResponse: someone's NOTIFY on a channel that the session listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationResponse<'a> {
    /// The notifying backend's process ID.
    pub process_id: i32,
    /// The channel.
    pub channel: &'a [u8],
    /// The payload; may be empty.
    pub payload: &'a [u8],
}

impl<'a> NotificationResponse<'a> {
    /// Reads the body of a NotificationResponse.
    ///
    /// # Errors
    /// The upstream's fault: a field is missing, or bytes are left.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "NotificationResponse");
        let process_id = reader.i32()?;
        let channel = reader.string()?;
        let payload = reader.string()?;
        reader.end()?;
        Ok(Self { process_id, channel, payload })
    }
}

//! COPY in: CopyData and CopyFail. CopyDone has no fields.

use std::fmt;

use crate::message::{MessageError, Reader};

/// CopyData, of either direction: a piece of the stream, cut anywhere when it comes from a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CopyData<'a> {
    /// The bytes.
    pub data: &'a [u8],
}

impl<'a> CopyData<'a> {
    /// Takes the body of a CopyData, which can't be wrong.
    pub const fn parse(body: &'a [u8]) -> Self {
        Self { data: body }
    }
}

impl fmt::Debug for CopyData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopyData({} bytes)", self.data.len())
    }
}

/// CopyFail: the client gives up, and the COPY is to fail with its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFail<'a> {
    /// The client's reason.
    pub reason: &'a [u8],
}

impl<'a> CopyFail<'a> {
    /// Reads the body of a CopyFail.
    ///
    /// # Errors
    /// The client's fault: no NUL at the end, or one before it.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "CopyFail");
        let reason = reader.string()?;
        reader.end()?;
        Ok(Self { reason })
    }
}

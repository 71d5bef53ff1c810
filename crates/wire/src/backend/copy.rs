//! The beginning of COPY: CopyInResponse, CopyOutResponse and CopyBothResponse, which are laid out alike.

use crate::message::{MessageError, Reader};
use crate::values::Formats;

/// How COPY data will be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyResponse<'a> {
    /// Of the stream as a whole: 0 is text (which CSV is too), 1 is binary.
    pub format: i8,
    /// Of each column: all 0 if `format` is.
    pub columns: Formats<'a>,
}

impl<'a> CopyResponse<'a> {
    /// Reads the body of a CopyInResponse, CopyOutResponse or CopyBothResponse.
    ///
    /// # Errors
    /// The upstream's fault: an unknown format, a binary column in a text stream, fewer columns than announced, or bytes
    /// left.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "CopyResponse");
        let format = match reader.u8()? {
            0 => 0,
            1 => 1,
            other => return Err(MessageError::Format(i32::from(other))),
        };
        let columns = Formats::parse(&mut reader)?;
        reader.end()?;
        if format == 0 && columns.iter().any(|column| column != 0) {
            return Err(MessageError::Format(1));
        }
        Ok(Self { format, columns })
    }
}

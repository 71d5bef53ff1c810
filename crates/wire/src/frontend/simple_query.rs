//! The simple query protocol's one message.

use crate::message::{MessageError, Reader};

/// Query: one text, any number of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The SQL text, without its NUL; in the session's client encoding.
    pub text: &'a [u8],
}

impl<'a> Query<'a> {
    /// Reads the body of a Query.
    ///
    /// # Errors
    /// The client's fault: no NUL at the end, or one before it.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "Query");
        let text = reader.string()?;
        reader.end()?;
        Ok(Self { text })
    }
}

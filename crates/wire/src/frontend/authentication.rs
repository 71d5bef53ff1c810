//! The answers to an authentication request, all of type `p`: only who asked knows which of them a message is.
//!
//! They hold credentials, so none has `Debug`.

use crate::message::{MessageError, Reader};

/// PasswordMessage: the answer to AuthenticationCleartextPassword and AuthenticationMD5Password.
#[derive(Clone, Copy)]
pub struct PasswordMessage<'a> {
    /// The password, or `md5` and a hash; may be empty, which PostgreSQL refuses (`recv_password_packet`, libpq/auth.c).
    pub password: &'a [u8],
}

impl<'a> PasswordMessage<'a> {
    /// Reads the body of a PasswordMessage.
    ///
    /// # Errors
    /// The client's fault: no NUL at the end, or one before it.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "PasswordMessage");
        let password = reader.string()?;
        reader.end()?;
        Ok(Self { password })
    }
}

/// SASLInitialResponse: the first answer to AuthenticationSASL.
#[derive(Clone, Copy)]
pub struct SaslInitialResponse<'a> {
    /// The mechanism that the client chose.
    pub mechanism: &'a [u8],
    /// The mechanism's first message; `None` if the client waits for a challenge first.
    pub response: Option<&'a [u8]>,
}

impl<'a> SaslInitialResponse<'a> {
    /// Reads the body of a SASLInitialResponse.
    ///
    /// # Errors
    /// The client's fault: no mechanism, a length below -1 or beyond the message, or bytes left.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "SASLInitialResponse");
        let mechanism = reader.string()?;
        let response = reader.value()?;
        reader.end()?;
        Ok(Self { mechanism, response })
    }
}

/// SASLResponse: a later message of the mechanism.
#[derive(Clone, Copy)]
pub struct SaslResponse<'a> {
    /// The mechanism's message.
    pub data: &'a [u8],
}

impl<'a> SaslResponse<'a> {
    /// Takes the body of a SASLResponse, which can't be wrong.
    pub const fn parse(body: &'a [u8]) -> Self {
        Self { data: body }
    }
}

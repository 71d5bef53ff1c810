//! What a server asks for before it believes a client.

use crate::message::{MessageError, Reader};

/// `AUTH_REQ_*` (libpq/protocol.h).
pub(super) mod code {
    pub(in crate::backend) const OK: i32 = 0;
    pub(in crate::backend) const PASSWORD: i32 = 3;
    pub(in crate::backend) const MD5: i32 = 5;
    pub(in crate::backend) const SASL: i32 = 10;
    pub(in crate::backend) const SASL_CONTINUE: i32 = 11;
    pub(in crate::backend) const SASL_FINAL: i32 = 12;
}

/// An authentication message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// AuthenticationOk. Says nothing of who the server is: see [`crate::scram::Client`] for that.
    Ok,
    /// AuthenticationCleartextPassword.
    CleartextPassword,
    /// AuthenticationMD5Password.
    Md5 {
        /// For [`crate::md5::password`].
        salt: [u8; 4],
    },
    /// AuthenticationSASL; at least one mechanism.
    Sasl {
        /// In the server's order of preference.
        mechanisms: Mechanisms<'a>,
    },
    /// AuthenticationSASLContinue: a challenge.
    SaslContinue(&'a [u8]),
    /// AuthenticationSASLFinal: the mechanism's outcome.
    SaslFinal(&'a [u8]),
    /// A request that we have no answer to: Kerberos, GSSAPI, SSPI, or one to come.
    Other(i32),
}

impl<'a> Authentication<'a> {
    /// Reads the body of an authentication message.
    ///
    /// # Errors
    /// The upstream's fault: a field is missing, or bytes are left; a SASL request without a mechanism.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "Authentication");
        let request = match reader.i32()? {
            code::OK => Self::Ok,
            code::PASSWORD => Self::CleartextPassword,
            code::MD5 => Self::Md5 { salt: reader.array()? },
            code::SASL => Self::Sasl { mechanisms: Mechanisms::parse(&mut reader)? },
            code::SASL_CONTINUE => Self::SaslContinue(reader.take_rest()),
            code::SASL_FINAL => Self::SaslFinal(reader.take_rest()),
            other => return Ok(Self::Other(other)),
        };
        reader.end()?;
        Ok(request)
    }
}

/// The SASL mechanisms that a server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mechanisms<'a> {
    // INVARIANT: NUL-terminated names, none empty, without the empty one that ends the list.
    names: &'a [u8],
}

impl<'a> Mechanisms<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, MessageError> {
        let before = reader.rest();
        let mut used = 0;
        loop {
            let name = reader.string()?;
            if name.is_empty() {
                break;
            }
            used += name.len() + 1;
        }
        if used == 0 {
            return Err(reader.length("number of SASL mechanisms", 0));
        }
        Ok(Self { names: before.get(..used).unwrap_or_default() })
    }

    /// Iterates over the names in the server's order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.names.split_inclusive(|byte| *byte == 0).filter_map(|name| name.strip_suffix(&[0]))
    }
}

//! The extended query protocol's messages: Parse, Bind, Describe, Execute, Close.

use std::fmt;

use model::Oid;

use crate::message::{MessageError, Reader};
use crate::values::{Formats, Values};

/// Parse: prepares one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The statement's name; empty for the unnamed one.
    pub statement: &'a [u8],
    /// The SQL text, without its NUL.
    pub query: &'a [u8],
    /// Types of the first parameters, 0 where the client leaves it open.
    pub param_types: ParamTypes<'a>,
}

impl<'a> Parse<'a> {
    /// Reads the body of a Parse.
    ///
    /// # Errors
    /// The client's fault: strings without NUL, fewer types than announced, or bytes after them.
    #[expect(
        clippy::self_named_constructors,
        reason = "every message has parse, and this one is PostgreSQL's Parse"
    )]
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "Parse");
        let statement = reader.string()?;
        let query = reader.string()?;
        let param_types = ParamTypes::parse(&mut reader)?;
        reader.end()?;
        Ok(Self { statement, query, param_types })
    }
}

/// A counted list of type OIDs: in Parse, and in ParameterDescription.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ParamTypes<'a> {
    // INVARIANT: a whole number of four-byte OIDs.
    oids: &'a [u8],
}

impl<'a> ParamTypes<'a> {
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, MessageError> {
        let count = usize::from(reader.u16()?);
        Ok(Self { oids: reader.bytes(count * 4)? })
    }

    /// Returns how many types there are.
    pub const fn len(self) -> usize {
        self.oids.len() / 4
    }

    /// Returns whether there is none.
    pub const fn is_empty(self) -> bool {
        self.oids.is_empty()
    }

    /// Iterates over the types in order.
    pub fn iter(self) -> impl Iterator<Item = Oid> + use<'a> {
        self.oids.as_chunks::<4>().0.iter().map(|bytes| Oid(u32::from_be_bytes(*bytes)))
    }
}

impl fmt::Debug for ParamTypes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Bind: makes a portal of a statement and parameters.
///
/// `Debug` shows no parameter values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal's name; empty for the unnamed one.
    pub portal: &'a [u8],
    /// The statement's name; empty for the unnamed one.
    pub statement: &'a [u8],
    /// None, one for all, or one for each parameter.
    pub param_formats: Formats<'a>,
    /// The parameters.
    pub params: Values<'a>,
    /// None, one for all, or one for each column: that last is the server's to check, it knows the columns.
    pub result_formats: Formats<'a>,
}

impl<'a> Bind<'a> {
    /// Reads the body of a Bind.
    ///
    /// # Errors
    /// The client's fault: [`MessageError::FormatCount`], a format code or a length that can't be, strings without NUL,
    /// fewer parameters than announced, or bytes after the last field.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "Bind");
        let portal = reader.string()?;
        let statement = reader.string()?;
        let param_formats = Formats::parse(&mut reader)?;
        let params = Values::parse(&mut reader)?;
        if param_formats.len() > 1 && param_formats.len() != params.len() {
            return Err(MessageError::FormatCount { formats: param_formats.len(), params: params.len() });
        }
        let result_formats = Formats::parse(&mut reader)?;
        reader.end()?;
        Ok(Self { portal, statement, param_formats, params, result_formats })
    }
}

/// What Describe and Close are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `S`: a prepared statement.
    Statement,
    /// `P`: a portal.
    Portal,
}

impl Target {
    /// Returns the byte that stands for it.
    pub const fn as_byte(self) -> u8 {
        match self {
            Self::Statement => b'S',
            Self::Portal => b'P',
        }
    }

    fn parse<'a>(body: &'a [u8], message: &'static str) -> Result<(Self, &'a [u8]), MessageError> {
        let mut reader = Reader::new(body, message);
        let target = match reader.u8()? {
            b'S' => Self::Statement,
            b'P' => Self::Portal,
            value => return Err(MessageError::Subtype { message, value }),
        };
        let name = reader.string()?;
        reader.end()?;
        Ok((target, name))
    }
}

/// Describe: asks what a statement takes and a statement or portal returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Describe<'a> {
    /// A statement or a portal.
    pub target: Target,
    /// Its name; empty for the unnamed one.
    pub name: &'a [u8],
}

impl<'a> Describe<'a> {
    /// Reads the body of a Describe.
    ///
    /// # Errors
    /// The client's fault: neither `S` nor `P`, no NUL at the end, or one before it.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        Target::parse(body, "Describe").map(|(target, name)| Self { target, name })
    }
}

/// Close: forgets a statement or portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// A statement or a portal.
    pub target: Target,
    /// Its name; empty for the unnamed one.
    pub name: &'a [u8],
}

impl<'a> Close<'a> {
    /// Reads the body of a Close.
    ///
    /// # Errors
    /// The client's fault: neither `S` nor `P`, no NUL at the end, or one before it.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        Target::parse(body, "Close").map(|(target, name)| Self { target, name })
    }
}

/// Execute: runs a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The portal's name; empty for the unnamed one.
    pub portal: &'a [u8],
    /// How many rows at most; 0 and less mean all (`exec_execute_message`, tcop/postgres.c).
    pub max_rows: i32,
}

impl<'a> Execute<'a> {
    /// Reads the body of an Execute.
    ///
    /// # Errors
    /// The client's fault: a field is missing, or bytes are left.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "Execute");
        let portal = reader.string()?;
        let max_rows = reader.i32()?;
        reader.end()?;
        Ok(Self { portal, max_rows })
    }
}

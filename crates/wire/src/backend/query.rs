//! The answers to queries: RowDescription, DataRow, ParameterDescription, CommandComplete, ReadyForQuery.

use std::fmt;

use model::Oid;

use crate::frontend::ParamTypes;
use crate::message::{MessageError, Reader};
use crate::values::{Ranges, Values, ValuesIter};

/// One column of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The column's name in the result.
    pub name: &'a [u8],
    /// The table that it is a plain column of, else 0. A view's columns have the view's.
    pub table_oid: Oid,
    /// Its `pg_attribute.attnum` there, else 0.
    pub attnum: i16,
    /// Its type.
    pub type_oid: Oid,
    /// `pg_type.typlen`; negative for variable width.
    pub typlen: i16,
    /// `pg_attribute.atttypmod`; -1 for none.
    pub typmod: i32,
    /// 0 is text, 1 is binary. When a statement is described it is 0 and says nothing.
    pub format: i16,
}

impl<'a> Field<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, MessageError> {
        let field = Self {
            name: reader.string()?,
            table_oid: Oid(reader.u32()?),
            attnum: reader.i16()?,
            type_oid: Oid(reader.u32()?),
            typlen: reader.i16()?,
            typmod: reader.i32()?,
            format: reader.i16()?,
        };
        if matches!(field.format, 0 | 1) {
            Ok(field)
        } else {
            Err(MessageError::Format(i32::from(field.format)))
        }
    }
}

/// RowDescription: the columns of the DataRows to come.
#[derive(Clone, Copy)]
pub struct RowDescription<'a> {
    count: usize,
    // INVARIANT: exactly `count` fields.
    fields: &'a [u8],
}

impl<'a> RowDescription<'a> {
    /// Reads the body of a RowDescription.
    ///
    /// # Errors
    /// The upstream's fault: fewer fields than announced, bytes after them, or a format that doesn't exist.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "RowDescription");
        let count = usize::from(reader.u16()?);
        let fields = reader.rest();
        for _ in 0..count {
            Field::parse(&mut reader)?;
        }
        reader.end()?;
        Ok(Self { count, fields })
    }

    /// Returns how many columns there are.
    pub const fn len(self) -> usize {
        self.count
    }

    /// Returns whether there is none, as for `SELECT FROM t`.
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Iterates over the columns in order.
    pub const fn iter(self) -> Fields<'a> {
        Fields { reader: Reader::new(self.fields, "RowDescription") }
    }
}

impl<'a> IntoIterator for RowDescription<'a> {
    type Item = Field<'a>;
    type IntoIter = Fields<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for RowDescription<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterates over the columns of a [`RowDescription`].
#[derive(Clone)]
pub struct Fields<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        // the whole list was read once, so this fails at its end only
        Field::parse(&mut self.reader).ok()
    }
}

/// ParameterDescription: the types of a statement's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterDescription<'a> {
    /// One for each parameter.
    pub param_types: ParamTypes<'a>,
}

impl<'a> ParameterDescription<'a> {
    /// Reads the body of a ParameterDescription.
    ///
    /// # Errors
    /// The upstream's fault: fewer types than announced, or bytes after them.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "ParameterDescription");
        let param_types = ParamTypes::parse(&mut reader)?;
        reader.end()?;
        Ok(Self { param_types })
    }
}

/// DataRow: one row. `Debug` prints the number of columns only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRow<'a> {
    values: Values<'a>,
}

/// Bytes of the count before a DataRow's first column.
const COUNT_BYTES: usize = 2;

impl<'a> DataRow<'a> {
    /// Reads the body of a DataRow.
    ///
    /// # Errors
    /// The upstream's fault: a length that is negative and not -1, fewer columns than announced, or bytes after them.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "DataRow");
        let values = Values::parse(&mut reader)?;
        reader.end()?;
        Ok(Self { values })
    }

    /// Returns how many columns there are.
    pub const fn len(self) -> usize {
        self.values.len()
    }

    /// Returns whether there is none.
    pub const fn is_empty(self) -> bool {
        self.values.is_empty()
    }

    /// Iterates over the columns in order; NULL is `None`.
    pub fn iter(self) -> ValuesIter<'a> {
        self.values.iter()
    }

    /// Iterates over where each column's bytes lie in the message's body; NULL is `None`. The four bytes before a range
    /// are its length.
    pub const fn ranges(self) -> Ranges<'a> {
        self.values.ranges_from(COUNT_BYTES)
    }
}

impl<'a> IntoIterator for DataRow<'a> {
    type Item = Option<&'a [u8]>;
    type IntoIter = ValuesIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// CommandComplete: one statement ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandComplete<'a> {
    /// Such as `SELECT 5`, `INSERT 0 1`, `CREATE TABLE`; ASCII from every known server.
    pub tag: &'a [u8],
}

impl<'a> CommandComplete<'a> {
    /// Reads the body of a CommandComplete.
    ///
    /// # Errors
    /// The upstream's fault: no NUL at the end, or one before it.
    pub fn parse(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "CommandComplete");
        let tag = reader.string()?;
        reader.end()?;
        Ok(Self { tag })
    }

    /// Returns the tag as text; `None` if it is not UTF-8.
    pub fn tag_str(self) -> Option<&'a str> {
        std::str::from_utf8(self.tag).ok()
    }

    /// Returns how many rows were returned or written; `None` if the command doesn't count rows.
    ///
    /// The count is the last word (`BuildQueryCompletionString`, tcop/cmdtag.c; INSERT has an OID of 0 before it).
    pub fn rows(self) -> Option<u64> {
        let (_, last) = self.tag_str()?.rsplit_once(' ')?;
        last.bytes().all(|byte| byte.is_ascii_digit()).then(|| last.parse().ok())?
    }
}

/// Where a session stands with transactions, as ReadyForQuery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// `I`: not in a transaction block.
    Idle,
    /// `T`: in one.
    InTransaction,
    /// `E`: in one that failed; only its end is taken.
    Failed,
}

impl TransactionStatus {
    /// Returns the byte that stands for it.
    pub const fn as_byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InTransaction => b'T',
            Self::Failed => b'E',
        }
    }
}

/// ReadyForQuery: the server waits for the next command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyForQuery {
    /// Where the session stands.
    pub status: TransactionStatus,
}

impl ReadyForQuery {
    /// Reads the body of a ReadyForQuery.
    ///
    /// # Errors
    /// The upstream's fault: not one byte, or none of `I`, `T`, `E`.
    pub fn parse(body: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body, "ReadyForQuery");
        let status = match reader.u8()? {
            b'I' => TransactionStatus::Idle,
            b'T' => TransactionStatus::InTransaction,
            b'E' => TransactionStatus::Failed,
            value => return Err(MessageError::Subtype { message: "ReadyForQuery", value }),
        };
        reader.end()?;
        Ok(Self { status })
    }
}

//! Rows of COPY TO STDOUT, masked. Knows the three formats; each refuses what PostgreSQL would not have written.

mod binary;
mod csv;
mod text;

use crate::masker::Masker;
use crate::types::Format;

/// The format of COPY, as the statement's options say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// `FORMAT text`, the default.
    Text(CopyText),
    /// `FORMAT csv`.
    Csv(CopyCsv),
    /// `FORMAT binary`.
    Binary,
}

/// Options of `FORMAT text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyText {
    /// `DELIMITER`, one byte.
    pub delimiter: u8,
    /// `NULL`.
    pub null: Vec<u8>,
    /// Whether `HEADER` is on: the first row has names.
    pub header: bool,
}

impl Default for CopyText {
    fn default() -> Self {
        Self { delimiter: b'\t', null: b"\\N".to_vec(), header: false }
    }
}

/// Options of `FORMAT csv`. `FORCE_QUOTE` need not be known: masked values are always quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyCsv {
    /// `DELIMITER`, one byte.
    pub delimiter: u8,
    /// `QUOTE`, one byte.
    pub quote: u8,
    /// `ESCAPE`, one byte; `QUOTE` where it is not given.
    pub escape: u8,
    /// `NULL`.
    pub null: Vec<u8>,
    /// Whether `HEADER` is on: the first row has names.
    pub header: bool,
}

impl Default for CopyCsv {
    fn default() -> Self {
        Self { delimiter: b',', quote: b'"', escape: b'"', null: Vec::new(), header: false }
    }
}

/// Why a COPY can't be masked. The statement must be refused, or the stream ended.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// In text format a value that equals the `NULL` option can't be told from NULL, and would be shown.
    #[error("COPY with masked columns in text format needs the default NULL marker \\N")]
    NullMarker,
    /// The delimiter, quote or escape is one that PostgreSQL does not take.
    #[error("COPY option {0} is not one that masking understands")]
    Option(&'static str),
    /// A column's masker was made for another format.
    #[error("masker of COPY column {0} was made for another format")]
    MaskerFormat(usize),
    /// A row has another number of columns than expected.
    #[error("COPY row has {found} columns, expected {expected}")]
    Columns {
        /// In the row.
        found: usize,
        /// From CopyOutResponse.
        expected: usize,
    },
    /// The row is not as PostgreSQL writes one.
    #[error("COPY data is not as expected: {0}")]
    Malformed(&'static str),
}

/// Masks a stream of CopyData messages.
pub struct CopyMasker {
    columns: Vec<Option<Masker>>,
    format: CopyFormat,
    /// Text and CSV: whether the row of names comes next. Binary: whether the file header does.
    header: bool,
    /// Binary: whether the trailer has been seen.
    ended: bool,
    scratch: Scratch,
}

/// Buffers that are kept from field to field.
#[derive(Default)]
struct Scratch {
    value: Vec<u8>,
    masked: Vec<u8>,
}

impl CopyMasker {
    /// Begins a stream. `columns` has one entry for each column of the COPY, `None` where it passes unmasked.
    ///
    /// # Errors
    /// [`CopyError::NullMarker`], [`CopyError::Option`]: client; the statement must be refused.
    /// [`CopyError::MaskerFormat`]: caller.
    pub fn new(columns: Vec<Option<Masker>>, format: CopyFormat) -> Result<Self, CopyError> {
        let (wanted, header) = match &format {
            CopyFormat::Text(options) => (Format::Text, options.check().map(|()| options.header)?),
            CopyFormat::Csv(options) => (Format::Text, options.check().map(|()| options.header)?),
            CopyFormat::Binary => (Format::Binary, true),
        };
        let other = |masker: &Option<Masker>| masker.as_ref().is_some_and(|masker| masker.format() != wanted);
        if let Some(at) = columns.iter().position(other) {
            return Err(CopyError::MaskerFormat(at));
        }
        Ok(Self { columns, format, header, ended: false, scratch: Scratch::default() })
    }

    /// Masks the content of one CopyData message and appends the content of the one to send. PostgreSQL sends whole rows: one in
    /// each message in text and CSV; in binary also the header before the first and the trailer after the last (copyto.c).
    ///
    /// # Errors
    /// [`CopyError`]: upstream; nothing is appended, and the stream must be ended: what follows can't be understood either.
    pub fn push(&mut self, copy_data: &[u8], out: &mut Vec<u8>) -> Result<(), CopyError> {
        let start = out.len();
        let Self { columns, format, header, ended, scratch } = self;
        let result = match format {
            CopyFormat::Text(options) => text::row(options, columns, header, copy_data, scratch, out),
            CopyFormat::Csv(options) => csv::row(options, columns, header, copy_data, scratch, out),
            CopyFormat::Binary => binary::rows(columns, header, ended, copy_data, scratch, out),
        };
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

/// Checks that a row had as many columns as there are maskers.
fn check_columns(found: usize, columns: &[Option<Masker>]) -> Result<(), CopyError> {
    let expected = columns.len();
    if found == expected { Ok(()) } else { Err(CopyError::Columns { found, expected }) }
}

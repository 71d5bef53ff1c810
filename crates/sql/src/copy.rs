//! COPY's options as the rows on the wire follow them. Knows no statement nodes.

/// Where the rows come from or go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopySource {
    /// STDIN or STDOUT: the rows are on the wire.
    Client,
    /// A file of the server.
    File(String),
    /// A program that the server runs.
    Program(String),
}

/// How COPY writes or reads rows (src/backend/commands/copy.c, `ProcessCopyOptions`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    /// Text, CSV or binary.
    pub format: CopyText,
    /// Between columns; not in binary.
    pub delimiter: u8,
    /// How NULL is written; not in binary.
    pub null: String,
    /// CSV only.
    pub quote: u8,
    /// CSV only.
    pub escape: u8,
    /// A header line comes first (out), or is read first (in).
    pub header: bool,
    /// CSV out only: columns that are always quoted.
    pub force_quote: ForceQuote,
    /// ENCODING, if given: otherwise the client's.
    pub encoding: Option<String>,
    /// The other end.
    pub source: CopySource,
}

/// COPY's FORMAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyText {
    /// `text`
    Text,
    /// `csv`
    Csv,
    /// `binary`
    Binary,
}

/// COPY's FORCE_QUOTE.
pub type ForceQuote = CopyWhich;

/// Columns that an option of COPY names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyWhich {
    /// None of them.
    None,
    /// `*`
    All,
    /// These.
    Columns(Vec<String>),
}

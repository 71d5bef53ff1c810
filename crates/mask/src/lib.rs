//! Values in, values out: mask functions for text and binary formats, and for rows of COPY.
//!
//! Knows types and formats; no messages, no identities, no policy. Nothing here fails open: a value that can't be read as its
//! column's type becomes NULL, a type without a mask becomes NULL, a COPY row that isn't understood is an error.
//!
//! Text is UTF-8 (`client_encoding`), and dates in text are ISO (`DateStyle`); under any other setting values become NULL.

mod calendar;
mod constant;
pub mod copy;
mod key;
mod masker;
mod network;
mod number;
mod outputs;
mod text;
mod types;

pub use key::{Key, KeyTooShort};
pub use masker::{CannotMask, Masker, Outcome, fits};
pub use outputs::is_output;
pub use types::{ColumnType, Format};

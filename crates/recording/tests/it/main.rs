//! The format from outside.

mod format;

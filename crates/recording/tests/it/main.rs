//! The format from outside.

#![cfg(test)]

mod format;

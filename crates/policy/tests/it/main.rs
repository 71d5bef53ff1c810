//! The crate from outside: bundles from folders, decisions as tables, mistakes as texts.

mod decisions;
mod mistakes;
mod support;

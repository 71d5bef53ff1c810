//! Cedar, and nothing else in this crate names it: rules in, answers out.
//!
//! `rules` reads and checks rules once, `inquiry` puts questions to them. Knows no TOML, no files and no obligations.

mod depth;
mod entities;
mod inquiry;
mod rules;

pub(crate) use inquiry::{Answer, Inquiry, Promise};
pub(crate) use rules::{Engine, build};

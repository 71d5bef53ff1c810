//! Cedar, and nothing else in this crate names it: rules in, answers out.
//!
//! `rules` reads and checks rules once, `inquiry` puts questions to them, `suppose` asks what they could
//! allow, `looks` what they see of an identity. Knows no TOML, no files and no obligations.

mod depth;
mod entities;
mod inquiry;
mod looks;
mod rules;
mod suppose;
mod value;

pub(crate) use inquiry::{Answer, Inquiry, Promise};
pub(crate) use rules::{Engine, build};
pub use suppose::Tagging;
pub(crate) use suppose::{Known, Supposition};

//! Approvals: what is asked, of whom, and what becomes of it.
//!
//! Pure: values in, values out. Knows identities by name; no policy engine, no protocol, no store, no clock.

mod ask;
mod outcome;
mod request;
mod who;

pub use ask::{Ask, Binding, BundleRef, Group, Members, Parameter, RuleRef, Statement, Touched, Value, Wait};
pub use outcome::{Answer, Ended, Grant, Waiting};
pub use request::{Number, Request, State, Verdict, Vote};
pub use who::{Stamp, Who};

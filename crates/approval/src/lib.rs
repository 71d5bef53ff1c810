//! Approvals: what is asked, of whom, and what becomes of it.
//!
//! Pure: values in, values out. Knows identities by name; no policy engine, no protocol, no store, no clock.
//!
//! [`Request::act`] is what people do to a request, [`Request::end`] and [`Request::expire`] what happens to it, and [`Request::claim`] the only
//! way to a [`Grant`].

mod act;
mod ask;
mod claim;
mod delegation;
mod outcome;
mod quorum;
mod request;
pub mod shown;
mod who;

pub use act::{Act, Refused, Said};
pub use ask::{Ask, Binding, BundleRef, Group, Members, Parameter, RuleRef, Statement, Touched, Value, Wait};
pub use claim::{Claim, Claimer, Grant, NotClaimable};
pub use delegation::{BadDelegation, DELEGATION_MAX, Delegation};
pub use outcome::{Answer, Ended, Waiting};
pub use quorum::Progress;
pub use request::{Number, Request, Review, State, Verdict, Vote};
pub use who::{Relation, Stamp, Who};

//! Decides what an identity may do; Cedar inside, no I/O but reading a bundle's files.
//!
//! A bundle is a folder: `bundle.toml`, `*.cedar`, `tests/*.toml`. [`load`] reads and checks it whole; [`decide`] asks it about
//! a statement's touches, and is pure and total: what can't be decided is refused.
//!
//! Knows names, tags, rules and approver groups. Must not know SQL, OIDs' meaning, protocol, values, or the clock.

mod action;
mod approvers;
mod bundle;
mod cases;
pub mod catalog;
mod decide;
mod decision;
mod engine;
pub mod explain;
pub mod functions;
pub mod grants;
mod limits;
mod lint;
mod load;
mod manifest;
pub mod path;
mod problem;
mod reader;
mod request;
mod resource;
mod schema;
mod tags;

pub use action::{Action, ActionGroup};
pub use approvers::{ApproverGroup, InTransaction, Members, Terms};
pub use bundle::Bundle;
pub use cases::{Analysis, Failure, SqlTest, run_sql_tests};
pub use decide::decide;
pub use decision::{Decision, Help, Part, PartVerdict, RuleRef, Verdict};
pub use functions::{Declared, FunctionClass, Language};
pub use limits::{CostLimit, Limit, LimitKind, Limits};
pub use load::{load, parse};
pub use manifest::{Recording, RecordingTerms};
pub use problem::{LoadError, Problem};
pub use request::{Context, Request, SessionFacts, StatementFacts, Touch};
pub use resource::{
    FunctionFacts, FunctionSecurity, Noted, Persistence, RelationFacts, RelationKind, Resource, ResourceType,
    Volatility,
};
pub use tags::{Tag, TagPattern};

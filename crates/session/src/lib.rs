//! One connection as a state machine: no I/O, no clock, no async.
//!
//! A [`Session`] takes [`Input`]s and appends to an [`Outbox`] what its shell must do: bytes for either side, and
//! [`Effect`]s. Bytes of a statement reach the upstream only through `forward`, which wants a [`Permit`] that
//! `authorize` has made and, for a write, a durable [`Receipt`].
//!
//! The modules in the order in which a statement meets them: `startup`, `authenticate`, then `client` (framing),
//! `simple` or `extended`, `memo` (was it decided before?), `inquiry` (asking the server), `analysis` (what it touches),
//! `authorize`, `evidence` and `record`, `forward`; and back: `upstream`, `results`.

mod activity;
mod analysis;
mod approved;
pub mod approvers;
mod asking;
mod authenticate;
mod authorize;
mod catalog;
mod client;
mod cost;
mod effect;
mod effects;
mod evidence;
mod examine;
mod extended;
mod forward;
mod grantable;
mod held;
mod hold;
mod input;
mod inquiry;
mod limits;
mod memo;
mod mode;
mod names;
mod namespace;
mod ops;
mod plan;
mod quota;
mod record;
mod refuse;
mod results;
mod running;
mod scope;
mod script;
mod session;
mod shared;
mod shown;
mod simple;
mod startup;
mod stop;
mod tape;
mod trace;
mod unapproved;
mod upstream;
mod usage;

pub use activity::{Activity, State};
pub use authenticate::Discovery;
pub use authorize::{Executes, Judged, Parse, Permit, Prepare, Read, Write};
pub use catalog::{Catalog, CatalogError, Column, ColumnName, Function, Relation, Row, Since};
pub use effect::{Effect, Keep, Outbox};
pub use examine::{
    About, Asked, Examined, Examiner, Line, Lore, Progress, Remains, Status, Step, Text, Told, UnknownCode,
    search_path, told,
};
pub use forward::{
    InProgress, ParseMessage, UpstreamBytes, forward_binding, forward_copy_data, forward_parse,
    forward_prepare, forward_read, forward_write,
};
pub use grantable::{Grantable, Privileged};
pub use input::{
    Blocked, Candidate, Credential, CredentialFailure, Input, Now, UpstreamFailure, UpstreamReady,
};
pub use limits::Limits;
pub use memo::{Holder, Memo, Probe, with_shape};
pub use record::{Durable, Receipt, Ticket, Written};
pub use refuse::Refusal;
pub use scope::Asker;
pub use session::{Opening, Session};
pub use shared::{Database, Durability, MaskKeys, Settings};
pub use startup::{ParameterError, Parameters, parameters};
pub use tape::{Recorder, Taken};
pub use trace::{Fault, Hold, Sample, Trace, Traced};
pub use unapproved::{Unapproved, Why};
pub use usage::{Day, Usages};

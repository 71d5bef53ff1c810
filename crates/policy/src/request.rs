//! The question put to policy: who, in what session, by what statement, touches what.
//!
//! Knows facts as values; asks nobody for them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::SystemTime;

use model::{Identity, Method};

use crate::action::Action;
use crate::resource::Resource;

/// One action on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Touch {
    /// What is done.
    pub action: Action,
    /// To what.
    pub resource: Resource,
}

/// A statement to be decided.
///
/// SECURITY: `touches` must hold everything that the statement touches, and is never empty: each statement touches at least the
/// database, by [`Action::Connect`] or by the action of its command. A request without touches is refused.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// The configured name of the database; it must be the one that the bundle was loaded for.
    pub database: &'a str,
    /// Everything that rules see in `context`.
    pub context: Context<'a>,
    /// What is touched; the decision has one part for each, in this order.
    pub touches: &'a [Touch],
}

/// What rules see in `context`, but for `masked`, which the gateway itself promises.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The statement as a whole.
    pub statement: StatementFacts<'a>,
    /// The session.
    pub session: SessionFacts<'a>,
    /// The time of the decision. Rules see it in milliseconds.
    pub now: SystemTime,
    /// Names of the bundle's approver groups that have approved exactly this statement.
    pub approved_by: &'a BTreeSet<String>,
}

/// Facts about the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementFacts<'a> {
    /// PostgreSQL's command tag without counts: `SELECT`, `CREATE TABLE` (tcop/cmdtaglist.h).
    pub command: &'a str,
    /// Whether it chooses the rows it changes: false if an UPDATE or DELETE anywhere in it has no WHERE clause, or if it is a
    /// TRUNCATE; true otherwise, so also for an INSERT or a SELECT.
    pub has_where: bool,
    /// Whether it locks the rows it reads (FOR UPDATE and its kin).
    pub row_locks: bool,
}

/// Facts about the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFacts<'a> {
    /// `application_name`, which the client chooses: good for sorting, not for trust.
    pub application_name: &'a str,
    /// Where the client connects from.
    pub client_address: IpAddr,
    /// Whether the client's connection is encrypted.
    pub tls: bool,
    /// How the credential reached the gateway.
    pub method: Method,
}

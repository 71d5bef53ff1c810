//! `[journal]`, `[limits]` and `[mask]`: plain settings. Knows nothing of what they steer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::context::Context;
use crate::read::Table;
use crate::secret_ref::SecretRef;
use crate::signing::Signing;

/// Where the audit trail is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// A folder, which may not exist yet.
    pub path: PathBuf,
    /// When the result of a read may leave.
    pub durability: Durability,
    /// The size at which a new segment is begun.
    pub segment_bytes_max: u64,
    /// Who signs it, and when.
    pub signing: Signing,
}

/// What the first result byte of a read waits for. A write always waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Its record has left the process.
    Written,
    /// Its record is on disk.
    Sync,
}

impl Durability {
    /// Returns the word that the file uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Sync => "sync",
        }
    }
}

/// What one client may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The text of a statement.
    pub statement_bytes_max: u32,
    /// One message from a client other than CopyData; no smaller than `statement_bytes_max`.
    pub message_bytes_max: u32,
    /// Of a statement's text, and of each parameter, what the audit keeps.
    pub recorded_bytes_max: u32,
    /// Statements in one simple Query.
    pub statements_max: u32,
    /// Prepared statements, and likewise portals, of one session.
    pub prepared_statements_max: u32,
    /// Clients at one time.
    pub connections_max: u32,
    /// From accept to the end of authentication.
    pub authentication_timeout: Duration,
    /// To connect and log in to an upstream.
    pub connect_timeout: Duration,
    /// How long sessions may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// Requests for approval that may be open at one time, of all gateways that share a store.
    pub approvals_max: u32,
    /// Likewise those of one identity.
    pub approvals_per_identity_max: u32,
}

/// What mask functions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// The key of masks that name none; `None`: a policy that has such a mask is refused.
    pub hash_key: Option<SecretRef>,
    /// Keys by the name that masks give; one that is not here: likewise.
    pub keys: BTreeMap<String, SecretRef>,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(crate) fn journal(table: &Table<'_>, context: &mut Context<'_>) -> Option<Journal> {
    let path = table.value("path", context).and_then(|value| value.string(context));
    let durability = table.value("durability", context).and_then(|value| {
        let word = value.string(context)?;
        match word.as_str() {
            "written" => Some(Durability::Written),
            "sync" => Some(Durability::Sync),
            _ => {
                context.error(
                    value.span(),
                    format!("durability \"{word}\" is unknown; write \"written\" or \"sync\""),
                );
                None
            }
        }
    });
    let segment =
        table.value("segment_bytes_max", context).and_then(|value| value.bytes(MIB..=4 * GIB, context));
    let signing = table.table("signing", context).and_then(|table| crate::signing::read(&table, context));
    let path = context.resolve(&path?);
    Some(Journal { path, durability: durability?, segment_bytes_max: segment?, signing: signing? })
}

pub(crate) fn limits(table: &Table<'_>, context: &mut Context<'_>) -> Option<Limits> {
    let narrow = |number: u64| u32::try_from(number).ok();
    let mut bytes = |key: &str, least: u64, most: u64| {
        table.value(key, context).and_then(|value| value.bytes(least..=most, context)).and_then(narrow)
    };
    let statement = bytes("statement_bytes_max", KIB, 64 * MIB);
    let message = bytes("message_bytes_max", KIB, GIB);
    let recorded = bytes("recorded_bytes_max", KIB, 16 * MIB);
    let mut number = |key: &str, most: u64| {
        table.value(key, context).and_then(|value| value.number(1..=most, context)).and_then(narrow)
    };
    let statements = number("statements_max", 1_000_000);
    let prepared = number("prepared_statements_max", 100_000);
    let connections = number("connections_max", 1_000_000);
    let approvals = number("approvals_max", 100_000);
    let approvals_each = number("approvals_per_identity_max", 100_000);
    let mut time = |key: &str, most: u64| {
        let allowed = Duration::from_secs(1)..=Duration::from_secs(most);
        table.value(key, context).and_then(|value| value.duration(allowed, context))
    };
    let authentication = time("authentication_timeout", 600);
    let connect = time("connect_timeout", 600);
    let drain = time("drain_timeout", 3600);
    if let (Some(statement), Some(message)) = (statement, message)
        && statement > message
        && let Some(value) = table.value("statement_bytes_max", context)
    {
        let message = "\"statement_bytes_max\" must not be more than \"message_bytes_max\": a statement comes in one message";
        context.error(value.span(), message.to_owned());
    }
    Some(Limits {
        statement_bytes_max: statement?,
        message_bytes_max: message?,
        recorded_bytes_max: recorded?,
        statements_max: statements?,
        prepared_statements_max: prepared?,
        connections_max: connections?,
        authentication_timeout: authentication?,
        connect_timeout: connect?,
        drain_timeout: drain?,
        approvals_max: approvals?,
        approvals_per_identity_max: approvals_each?,
    })
}

pub(crate) fn mask(table: &Table<'_>, context: &mut Context<'_>) -> Option<Mask> {
    let hash_key = match table.value("hash_key", context) {
        Some(value) => value.secret(context).map(Some),
        None => Some(None),
    };
    let keys = table.value("keys", context).and_then(|value| value.secret_map(context));
    Some(Mask { hash_key: hash_key?, keys: keys? })
}

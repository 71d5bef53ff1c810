//! What is asked: one statement of one identity, with everything that the answer is bound to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::who::Who;

/// What is put before approvers. Made by whoever has analysed the statement; kept as it is for as long as the request is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Who wants it.
    pub requester: Who,
    /// The database as clients name it.
    pub database: String,
    /// The session, 32 hexadecimal digits; `None` where it is asked before there is one.
    pub session: Option<String>,
    /// The client's address.
    pub client: Option<String>,
    /// Its `application_name`.
    pub application_name: Option<String>,
    /// What is to run.
    pub statement: Statement,
    /// What it touches, and what the policy says to each.
    pub touches: Vec<Touched>,
    /// The rules that ask for approval.
    pub rules: Vec<RuleRef>,
    /// Why it is asked, in a line: what needs approval, or which limit.
    pub why: String,
    /// The policy that asks.
    pub bundle: BundleRef,
    /// Everything that an approval is bound to. Of a request for a pattern: what all statements of that pattern have in common.
    pub binding: Binding,
    /// The binding of the pattern that the statement is of: what was approved for that will do, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Binding>,
    /// All of these must approve.
    pub needs: Vec<Group>,
    /// How the requester waits.
    pub wait: Wait,
    /// How long approvers have.
    pub hold: Duration,
    /// How often it may be used, within [`Ask::use_within`]: 1 but for a pattern.
    pub uses: u32,
    /// How long after the approval it may be used, where nobody waits for it.
    pub use_within: Duration,
    /// Why it is wanted, in the requester's words; of nobody's concern but the approvers'.
    #[serde(default)]
    pub purpose: Option<String>,
}

/// A statement as approvers must see it: whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The text as the client sent it.
    pub text: String,
    /// What that runs which was prepared or declared before: of EXECUTE or FETCH, that text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
    /// The command's tag: `DELETE`.
    pub command: String,
    /// The values bound to `$1`, `$2`, ...
    pub parameters: Vec<Parameter>,
    /// Whether any literals and parameters may stand where these do: it is asked for a pattern.
    #[serde(default)]
    pub pattern: bool,
}

/// A value bound to a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// `pg_type.oid`; 0 where the client left it open and the server has not said it before the statement is bound.
    pub type_oid: u32,
    /// The type's name, if it is known.
    pub type_name: Option<String>,
    /// The value.
    pub value: Value,
}

impl Parameter {
    /// Returns its type as people read it.
    pub fn type_shown(&self) -> String {
        match (&self.type_name, self.type_oid) {
            (Some(name), _) => name.clone(),
            (None, 0) => "unknown (decided by the server)".to_owned(),
            (None, oid) => format!("type {oid}"),
        }
    }
}

/// A value as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// NULL.
    Null,
    /// Text format.
    Text(String),
    /// Binary format, or bytes that are no UTF-8: hexadecimal.
    Binary(String),
}

/// One thing that the statement touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Cedar's action: `delete`.
    pub action: String,
    /// As people read it: `table public.tickets`, `column public.customers.ssn`.
    pub resource: String,
    /// `allow`, `mask`, `hold`.
    pub verdict: String,
    /// The mask's kind, where one applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// Ids of the rules that decided.
    pub rules: Vec<String>,
}

/// A rule of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRef {
    /// Its `@id`.
    pub id: String,
    /// The file within the bundle.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// Whether it forbids.
    pub forbid: bool,
}

/// The bundle that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleRef {
    /// Its name.
    pub name: String,
    /// The version that it gives itself.
    pub version: String,
    /// SHA-256, hexadecimal.
    pub hash: String,
}

/// How the requester waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Its connection is held.
    Held {
        /// Within a transaction, whose locks are held with it.
        in_transaction: bool,
    },
    /// It was refused, and will send the statement again.
    Async,
    /// It has not sent the statement yet.
    Before,
}

/// An entry of a bundle's `[approvers]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The name that rules put into `context.approved_by`.
    pub name: String,
    /// Whose members approve.
    pub members: Members,
    /// How many persons must; of [`Members::All`], of each group.
    pub quorum: u32,
    /// An approval must say why.
    #[serde(default)]
    pub reason_required: bool,
    /// How long the number of rows may be counted by running the statement and rolling it back; `None`: it may not.
    #[serde(default)]
    pub count_rows: Option<Duration>,
    /// Whose members may have it run at once, to be reviewed afterwards.
    #[serde(default)]
    pub break_glass: Option<String>,
}

/// Groups of identities, as tokens name them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Members {
    /// Members of any of them count.
    Any(Vec<String>),
    /// Each of them must approve by itself.
    All(Vec<String>),
}

/// Names everything that an approval is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Binding([u8; 32]);

impl Binding {
    /// Digests parts so that no two lists of parts have the same digest.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Binding {
    /// Writes 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Binding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Binding {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

//! Which sessions are meant: one property and its value. Knows no session.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a session can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The session's id.
    Session,
    /// `issuer:subject`, of whoever acts or is acted for.
    Identity,
    /// A group, of whatever issuer.
    Group,
    /// The issuer's name in the configuration.
    Issuer,
    /// `jti`.
    TokenId,
    /// The database as clients name it.
    Database,
    /// `issuer:sub`, as the issuer itself calls a subject.
    Subject,
    /// The same, where the token names no session at the issuer.
    SubjectWithoutSession,
    /// `issuer:sid`: a session at the issuer.
    IssuerSession,
}

impl Kind {
    /// All that an operator may use.
    pub const FOR_OPERATORS: [Self; 6] =
        [Self::Session, Self::Identity, Self::Group, Self::Issuer, Self::TokenId, Self::Database];

    /// Returns its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Identity => "identity",
            Self::Group => "group",
            Self::Issuer => "issuer",
            Self::TokenId => "token-id",
            Self::Database => "database",
            Self::Subject => "subject",
            Self::SubjectWithoutSession => "subject-without-session",
            Self::IssuerSession => "issuer-session",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Selector {
    /// Which property.
    pub kind: Kind,
    /// Its value.
    pub value: String,
}

impl Selector {
    /// Makes one.
    pub fn new(kind: Kind, value: impl Into<String>) -> Self {
        Self { kind, value: value.into() }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.value)
    }
}

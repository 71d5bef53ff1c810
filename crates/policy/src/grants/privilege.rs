//! PostgreSQL's privileges (manual, 5.8 "Privileges").

use std::fmt;

use serde::{Serialize, Serializer};

/// A privilege on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Privilege {
    /// `c`
    Connect,
    /// `C`
    Create,
    /// `T`
    Temporary,
    /// `U`
    Usage,
    /// `X`
    Execute,
    /// `r`
    Select,
    /// `a`
    Insert,
    /// `w`
    Update,
    /// `d`
    Delete,
    /// `D`
    Truncate,
    /// `x`
    References,
    /// `t`
    Trigger,
    /// `m`, from PostgreSQL 17 on
    Maintain,
}

impl Privilege {
    /// Returns every privilege.
    pub const fn all() -> [Self; 13] {
        [
            Self::Connect,
            Self::Create,
            Self::Temporary,
            Self::Usage,
            Self::Execute,
            Self::Select,
            Self::Insert,
            Self::Update,
            Self::Delete,
            Self::Truncate,
            Self::References,
            Self::Trigger,
            Self::Maintain,
        ]
    }

    /// Returns the word of GRANT.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Create => "CREATE",
            Self::Temporary => "TEMPORARY",
            Self::Usage => "USAGE",
            Self::Execute => "EXECUTE",
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Truncate => "TRUNCATE",
            Self::References => "REFERENCES",
            Self::Trigger => "TRIGGER",
            Self::Maintain => "MAINTAIN",
        }
    }

    /// Reads `aclexplode(..).privilege_type`.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::all().into_iter().find(|privilege| privilege.as_str() == word)
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Privilege {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A set of privileges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privileges(u16);

impl Privileges {
    /// Returns whether a privilege is among them.
    pub const fn has(self, privilege: Privilege) -> bool {
        self.0 & (1 << privilege as u8) != 0
    }

    /// Returns whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Iterates over them.
    pub fn iter(self) -> impl Iterator<Item = Privilege> {
        Privilege::all().into_iter().filter(move |privilege| self.has(*privilege))
    }
}

impl FromIterator<Privilege> for Privileges {
    fn from_iter<I: IntoIterator<Item = Privilege>>(privileges: I) -> Self {
        Self(privileges.into_iter().fold(0, |bits, privilege| bits | (1 << privilege as u8)))
    }
}

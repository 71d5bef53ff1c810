//! Identifiers as newtypes, so that one can't be passed for another.

use std::fmt;
use std::net::SocketAddr;

/// A PostgreSQL object identifier. Zero is `InvalidOid` (postgres_ext.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid(pub u32);

impl Oid {
    /// The lowest OID of objects made after initdb (`FirstNormalObjectId`, access/transam.h).
    pub const FIRST_NORMAL: Self = Self(16384);

    /// Returns whether the object came with the server itself.
    pub const fn is_builtin(self) -> bool {
        self.0 != 0 && self.0 < Self::FIRST_NORMAL.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One client connection, from accept to close; unique across restarts and gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u128);

impl fmt::Display for SessionId {
    /// Writes 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The client's end of its connection, as the gateway saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub SocketAddr);

impl ClientAddr {
    /// Returns whether the client is on this very host.
    pub fn is_loopback(self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

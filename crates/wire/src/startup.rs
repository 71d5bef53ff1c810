//! The start-up phase: the packets that have no tag, before authentication.
//!
//! Knows their layout (manual, "Message Formats"; `ProcessStartupPacket`, tcop/backend_startup.c), not which of them may
//! come when, nor which parameters are allowed. Stricter than PostgreSQL where it is lax: names may not repeat.

mod options;

use std::fmt;

use thiserror::Error;

pub use self::options::{OptionsError, options};
use crate::message::Reader;
use crate::sqlstate::{self, SqlState};

/// Bytes of the longest start-up packet, its length field not counted: `MAX_STARTUP_PACKET_LENGTH` (libpq/pqcomm.h).
pub const MAX_STARTUP_PACKET_LENGTH: usize = 10_000;

/// Bytes of the shortest cancel key: the only length that protocol 3.0 has (libpq/pqcomm.h, `CancelRequestPacket`).
pub const CANCEL_KEY_BYTES_MIN: usize = 4;

/// Bytes of the longest cancel key: "can be at most 256 bytes" (manual, BackendKeyData).
pub const CANCEL_KEY_BYTES_MAX: usize = 256;

/// The ALPN protocol that a direct TLS connection must name: `PG_ALPN_PROTOCOL` (libpq/pqcomm.h).
pub const ALPN_PROTOCOL: &[u8] = b"postgresql";

/// Prefix of the parameters that are about the protocol (`ProcessStartupPacket`, tcop/backend_startup.c).
pub const PROTOCOL_PARAMETER_PREFIX: &str = "_pq_.";

/// `PG_PROTOCOL(1234, n)` (libpq/pqcomm.h).
const REQUEST_MAJOR: u16 = 1234;
const CANCEL_REQUEST_MINOR: u16 = 5678;
const SSL_REQUEST_MINOR: u16 = 5679;
const GSSENC_REQUEST_MINOR: u16 = 5680;

/// `CANCEL_REQUEST_CODE` (libpq/pqcomm.h).
pub(crate) const CANCEL_REQUEST_CODE: ProtocolVersion =
    ProtocolVersion { major: REQUEST_MAJOR, minor: CANCEL_REQUEST_MINOR };
/// `NEGOTIATE_SSL_CODE` (libpq/pqcomm.h).
pub(crate) const SSL_REQUEST_CODE: ProtocolVersion =
    ProtocolVersion { major: REQUEST_MAJOR, minor: SSL_REQUEST_MINOR };
/// `NEGOTIATE_GSS_CODE` (libpq/pqcomm.h).
pub(crate) const GSSENC_REQUEST_CODE: ProtocolVersion =
    ProtocolVersion { major: REQUEST_MAJOR, minor: GSSENC_REQUEST_MINOR };

/// A version of the protocol; ordered as versions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// 3 for every version in use.
    pub major: u16,
    /// The minor version.
    pub minor: u16,
}

impl ProtocolVersion {
    /// Every server and client since PostgreSQL 7.4.
    pub const V3_0: Self = Self { major: 3, minor: 0 };
    /// PostgreSQL 18: cancel keys of variable length.
    pub const V3_2: Self = Self { major: 3, minor: 2 };

    pub(crate) const fn from_bytes([a, b, c, d]: [u8; 4]) -> Self {
        Self { major: u16::from_be_bytes([a, b]), minor: u16::from_be_bytes([c, d]) }
    }

    pub(crate) const fn to_bytes(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.major.to_be_bytes(), self.minor.to_be_bytes());
        [a, b, c, d]
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a connection, or what follows an answered encryption request, can begin with.
#[derive(Clone, PartialEq, Eq)]
pub enum Packet {
    /// Asks for TLS; answered with one byte, `S` or `N`.
    SslRequest,
    /// Asks for GSSAPI encryption; answered with one byte, `G` or `N`.
    GssEncRequest,
    /// Asks to cancel another session's statement; never answered.
    CancelRequest {
        /// As in that session's BackendKeyData.
        process_id: i32,
        /// As in that session's BackendKeyData; 4 to 256 bytes. A secret.
        key: Vec<u8>,
    },
    /// Asks for a session.
    Startup(Startup),
}

impl fmt::Debug for Packet {
    /// Writes everything but a cancel key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SslRequest => f.write_str("SslRequest"),
            Self::GssEncRequest => f.write_str("GssEncRequest"),
            Self::CancelRequest { process_id, key: _ } => {
                f.debug_struct("CancelRequest").field("process_id", process_id).finish_non_exhaustive()
            }
            Self::Startup(startup) => startup.fmt(f),
        }
    }
}

/// A StartupMessage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// What the client asks for. The major version is 3; the minor may be one that doesn't exist yet.
    pub version: ProtocolVersion,
    /// Names and values as sent, in order; `user` is among them and not empty. No two names are equal, case ignored.
    pub parameters: Vec<(String, String)>,
    /// The same for those that begin with `_pq_.`: names with the prefix.
    pub protocol_parameters: Vec<(String, String)>,
}

impl Startup {
    /// Returns the value of a parameter, its name exactly as given.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns the user that the client names; not empty. PostgreSQL cuts it and the database to 63 bytes, this doesn't.
    pub fn user(&self) -> &str {
        self.parameter("user").unwrap_or_default()
    }

    /// Returns the database that the client names, which is the user's name where none is given
    /// (`ProcessStartupPacket`, tcop/backend_startup.c).
    pub fn database(&self) -> &str {
        self.parameter("database").filter(|name| !name.is_empty()).unwrap_or_else(|| self.user())
    }

    /// Returns the version to speak: the client's, or 3.2 if it asks for a later one.
    pub fn negotiated_version(&self) -> ProtocolVersion {
        self.version.min(ProtocolVersion::V3_2)
    }

    /// Returns the NegotiateProtocolVersion that the client must get before authentication, as version and unknown
    /// parameters: all of them, since none is defined. `None` if it gets all that it asks for.
    pub fn negotiation(&self) -> Option<(ProtocolVersion, impl ExactSizeIterator<Item = &str>)> {
        let (version, parameters) = (self.negotiated_version(), &self.protocol_parameters);
        (version != self.version || !parameters.is_empty())
            .then(|| (version, parameters.iter().map(|(name, _)| name.as_str())))
    }
}

/// Why a start-up packet is refused; always the fault of whoever connects.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartupError {
    /// Negative, shorter than the shortest packet or longer than [`MAX_STARTUP_PACKET_LENGTH`].
    #[error("invalid length of startup packet: {0}")]
    Length(i32),
    /// Neither protocol 3 nor a request known here.
    #[error("unsupported frontend protocol {0}: server supports 3.0 to 3.2")]
    Version(ProtocolVersion),
    /// A cancel key shorter than 4 or longer than 256 bytes.
    #[error("invalid length of query cancel key: {0}")]
    CancelKey(usize),
    /// A request that has no fields has bytes after its code.
    #[error("invalid startup packet layout: {0} bytes after the request code")]
    Trailing(usize),
    /// No terminator, or not as the last byte.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    /// A name or value is not UTF-8.
    #[error("invalid startup packet: parameter {number} is not valid UTF-8")]
    Encoding {
        /// Counted from 1.
        number: usize,
    },
    /// A name is given twice, case ignored.
    #[error("invalid startup packet: parameter \"{}\" is given more than once", .0.escape_debug())]
    Duplicate(String),
    /// No user, or an empty one.
    #[error("no PostgreSQL user name specified in startup packet")]
    User,
}

impl StartupError {
    /// Returns the SQLSTATE with which PostgreSQL refuses such a packet.
    pub const fn sqlstate(&self) -> SqlState {
        match self {
            Self::User => sqlstate::INVALID_AUTHORIZATION_SPECIFICATION,
            Self::Version(_) => sqlstate::FEATURE_NOT_SUPPORTED,
            Self::Length(_)
            | Self::CancelKey(_)
            | Self::Trailing(_)
            | Self::Layout
            | Self::Encoding { .. }
            | Self::Duplicate(_) => sqlstate::PROTOCOL_VIOLATION,
        }
    }
}

/// Returns whether a connection begins with TLS rather than with a packet of ours.
///
/// 0x16 is a TLS handshake record, and would be the first byte of a length of hundreds of megabytes
/// (`ProcessSSLStartup`, tcop/backend_startup.c). False while `buf` is empty.
pub fn is_tls_client_hello(buf: &[u8]) -> bool {
    buf.first() == Some(&0x16)
}

/// Reads the packet at the start of `buf` and returns it with the bytes it takes, or `None` if it is not yet whole.
///
/// # Errors
/// Each variant of [`StartupError`] is the client's fault. A wrong length is told by the first four bytes.
pub fn packet(buf: &[u8]) -> Result<Option<(Packet, usize)>, StartupError> {
    let Some((length, _)) = buf.split_first_chunk() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    let bytes = usize::try_from(length)
        .ok()
        .filter(|bytes| (8..=MAX_STARTUP_PACKET_LENGTH + 4).contains(bytes))
        .ok_or(StartupError::Length(length))?;
    let Some(whole) = buf.get(..bytes) else { return Ok(None) };
    let Some((&[_, _, _, _, a, b, c, d], body)) = whole.split_first_chunk::<8>() else { return Ok(None) };
    let packet = match ProtocolVersion::from_bytes([a, b, c, d]) {
        CANCEL_REQUEST_CODE => cancel_request(body)?,
        SSL_REQUEST_CODE => no_body(body, Packet::SslRequest)?,
        GSSENC_REQUEST_CODE => no_body(body, Packet::GssEncRequest)?,
        version @ ProtocolVersion { major: 3, .. } => Packet::Startup(startup(version, body)?),
        version => return Err(StartupError::Version(version)),
    };
    Ok(Some((packet, bytes)))
}

fn no_body(body: &[u8], packet: Packet) -> Result<Packet, StartupError> {
    if body.is_empty() { Ok(packet) } else { Err(StartupError::Trailing(body.len())) }
}

fn cancel_request(body: &[u8]) -> Result<Packet, StartupError> {
    let (process_id, key) = body.split_first_chunk().ok_or(StartupError::CancelKey(0))?;
    if !(CANCEL_KEY_BYTES_MIN..=CANCEL_KEY_BYTES_MAX).contains(&key.len()) {
        return Err(StartupError::CancelKey(key.len()));
    }
    Ok(Packet::CancelRequest { process_id: i32::from_be_bytes(*process_id), key: key.to_vec() })
}

fn startup(version: ProtocolVersion, body: &[u8]) -> Result<Startup, StartupError> {
    let mut startup = Startup { version, parameters: Vec::new(), protocol_parameters: Vec::new() };
    let mut reader = Reader::new(body, "StartupMessage");
    let mut number = 0;
    loop {
        let name = reader.string().map_err(|_| StartupError::Layout)?;
        if name.is_empty() {
            break;
        }
        number += 1;
        let value = reader.string().map_err(|_| StartupError::Layout)?;
        let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| StartupError::Encoding { number });
        let (name, value) = (utf8(name)?, utf8(value)?);
        let list = if name.starts_with(PROTOCOL_PARAMETER_PREFIX) {
            &mut startup.protocol_parameters
        } else {
            &mut startup.parameters
        };
        // SECURITY: PostgreSQL takes the last of equal names and folds the case of settings' names; who checks one and
        // forwards the other is beaten, so there may be one only.
        if list.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(StartupError::Duplicate(name.to_owned()));
        }
        list.push((name.to_owned(), value.to_owned()));
    }
    reader.end().map_err(|_| StartupError::Layout)?;
    if startup.user().is_empty() { Err(StartupError::User) } else { Ok(startup) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut buf = (body.len() as i32 + 4).to_be_bytes().to_vec();
        buf.extend(body);
        buf
    }

    fn check(body: &[u8], expected: Result<Packet, StartupError>) {
        let buf = frame(body);
        let whole = buf.len();
        assert_eq!(packet(&buf), expected.map(|packet| Some((packet, whole))));
    }

    fn startup_of(parameters: &[(&str, &str)]) -> Startup {
        let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        let (protocol, plain): (Vec<_>, Vec<_>) =
            parameters.iter().partition(|(n, _)| n.starts_with("_pq_."));
        Startup {
            version: ProtocolVersion::V3_0,
            parameters: plain.iter().map(owned).collect(),
            protocol_parameters: protocol.iter().map(owned).collect(),
        }
    }

    #[test]
    fn requests_without_fields_have_none() {
        check(&[4, 0xd2, 0x16, 0x2f], Ok(Packet::SslRequest));
        check(&[4, 0xd2, 0x16, 0x30], Ok(Packet::GssEncRequest));
        check(&[4, 0xd2, 0x16, 0x2f, 0], Err(StartupError::Trailing(1)));
        check(&[4, 0xd2, 0x16, 0x30, 0, 0], Err(StartupError::Trailing(2)));
    }

    #[test]
    fn cancel_keys_have_4_to_256_bytes() {
        for (len, good) in [(0, false), (3, false), (4, true), (32, true), (256, true), (257, false)] {
            let mut body = vec![4, 0xd2, 0x16, 0x2e, 0xff, 0xff, 0xff, 0xfe];
            body.extend(std::iter::repeat_n(7, len));
            let expected = if good {
                Ok(Packet::CancelRequest { process_id: -2, key: vec![7; len] })
            } else {
                Err(StartupError::CancelKey(len))
            };
            check(&body, expected);
        }
        check(&[4, 0xd2, 0x16, 0x2e, 0, 0, 0], Err(StartupError::CancelKey(0)));
    }

    #[test]
    fn cancel_key_is_not_printed() {
        let packet = Packet::CancelRequest { process_id: 7, key: vec![201, 202, 203, 204] };
        assert_eq!(format!("{packet:?}"), "CancelRequest { process_id: 7, .. }");
    }

    #[test]
    fn length_is_refused_from_its_four_bytes() {
        for length in [i32::MIN, -1, 0, 4, 7, 10_005, i32::MAX] {
            assert_eq!(packet(&length.to_be_bytes()), Err(StartupError::Length(length)));
        }
        for length in [8_i32, 10_004] {
            assert_eq!(packet(&length.to_be_bytes()), Ok(None));
        }
    }

    #[test]
    fn protocol_parameters_are_kept_apart() {
        check(
            b"\0\x03\0\0user\0u\0_pq_.x\0yes\0database\0d\0\0",
            Ok(Packet::Startup(startup_of(&[("user", "u"), ("_pq_.x", "yes"), ("database", "d")]))),
        );
    }

    #[test]
    fn minor_versions_to_come_are_let_through_and_other_majors_not() {
        let buf = frame(b"\0\x03\x27\x0fuser\0u\0\0");
        let Some((Packet::Startup(startup), _)) = packet(&buf).unwrap() else { panic!("no startup") };
        assert_eq!(startup.version, ProtocolVersion { major: 3, minor: 9999 });
        for (major, minor) in [(2, 0), (4, 0), (1234, 5681), (0, 0)] {
            let version = ProtocolVersion { major, minor };
            let mut body = version.to_bytes().to_vec();
            body.extend(b"user\0u\0\0");
            check(&body, Err(StartupError::Version(version)));
        }
    }

    #[test]
    fn terminator_is_the_last_byte() {
        for body in [
            &b"\0\x03\0\0user\0u\0"[..],
            b"\0\x03\0\0user\0u",
            b"\0\x03\0\0user\0",
            b"\0\x03\0\0user",
            b"\0\x03\0\0user\0u\0\0\0",
            b"\0\x03\0\0user\0u\0\0x",
            b"\0\x03\0\0",
        ] {
            check(body, Err(StartupError::Layout));
        }
    }

    #[test]
    fn names_are_unique_whatever_their_case() {
        check(b"\0\x03\0\0user\0a\0user\0b\0\0", Err(StartupError::Duplicate("user".into())));
        check(
            b"\0\x03\0\0user\0a\0TimeZone\0b\0timezone\0c\0\0",
            Err(StartupError::Duplicate("timezone".into())),
        );
        check(b"\0\x03\0\0user\0a\0_pq_.x\0b\0_pq_.x\0c\0\0", Err(StartupError::Duplicate("_pq_.x".into())));
    }

    #[test]
    fn user_must_be_named() {
        check(b"\0\x03\0\0\0", Err(StartupError::User));
        check(b"\0\x03\0\0database\0d\0\0", Err(StartupError::User));
        check(b"\0\x03\0\0user\0\0\0", Err(StartupError::User));
    }

    #[test]
    fn database_defaults_to_user() {
        assert_eq!(startup_of(&[("user", "u")]).database(), "u");
        assert_eq!(startup_of(&[("user", "u"), ("database", "")]).database(), "u");
        assert_eq!(startup_of(&[("user", "u"), ("database", "d")]).database(), "d");
    }

    #[test]
    fn negotiation_is_for_what_is_not_known() {
        let check = |minor, parameters: &[(&str, &str)], expected: Option<(ProtocolVersion, Vec<&str>)>| {
            let startup = Startup { version: ProtocolVersion { major: 3, minor }, ..startup_of(parameters) };
            let negotiation =
                startup.negotiation().map(|(version, names)| (version, names.collect::<Vec<_>>()));
            assert_eq!(negotiation, expected);
        };
        check(0, &[("user", "u")], None);
        check(2, &[("user", "u")], None);
        check(3, &[("user", "u")], Some((ProtocolVersion::V3_2, vec![])));
        check(
            9999,
            &[("_pq_.a", ""), ("_pq_.b", "")],
            Some((ProtocolVersion::V3_2, vec!["_pq_.a", "_pq_.b"])),
        );
        check(0, &[("_pq_.a", "")], Some((ProtocolVersion::V3_0, vec!["_pq_.a"])));
    }

    #[test]
    fn other_encodings_are_refused() {
        check(b"\0\x03\0\0user\0\xff\0\0", Err(StartupError::Encoding { number: 1 }));
        check(b"\0\x03\0\0user\0u\0\xc3\0x\0\0", Err(StartupError::Encoding { number: 2 }));
    }

    #[test]
    fn direct_tls_is_told_by_its_first_byte() {
        assert!(is_tls_client_hello(&[0x16, 3, 1]));
        assert!(!is_tls_client_hello(&[0, 0, 0, 8]));
        assert!(!is_tls_client_hello(&[]));
    }
}

//! A login upstream: connect, encrypt, authenticate, read what the server says of itself; then a few queries of our own.
//!
//! The server may be hostile: every message has a size limit, every wait a time limit, and what it says is text for
//! operators only. Knows no client and no policy.

mod authenticate;
mod bound;
mod connect;
mod fault;
mod inbox;
mod query;

use std::fmt;
use std::time::Duration;

use arc_swap::ArcSwap;
use model::{ScramKeys, Secret};
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use wire::backend::{
    BackendKeyData, NegotiateProtocolVersion, ParameterStatus, ReadyForQuery, TransactionStatus, tag,
};
use wire::error::ErrorFields;
use wire::frontend::encode;
use wire::scram::Requirement;
use wire::startup::{CANCEL_KEY_BYTES_MIN, PROTOCOL_PARAMETER_PREFIX, ProtocolVersion};
use zeroize::Zeroizing;

pub(crate) use self::bound::Bound;
pub use self::connect::PeerAddr;
pub(crate) use self::connect::connect;
pub use self::fault::{LoginError, LoginFault};
pub use self::query::{QueryError, QueryLimits, Row};
use crate::secrets::Lease;
pub use crate::stream::UpstreamStream;
use crate::tls::{self, TlsError};
use inbox::Inbox;

/// Bytes of the longest message before ReadyForQuery, as libpq's for errors (`MAX_ERRLEN`, fe-protocol3.c) with room.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of all messages before ReadyForQuery; PostgreSQL sends about 500.
const LOGIN_BYTES_MAX: usize = 1024 * 1024;

/// How long a Terminate may take to leave.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the gateway itself decides about a session: no one else may.
const OWN_PARAMETERS: [&str; 4] = ["user", "database", "client_encoding", "replication"];

/// A database server and how to reach it.
pub struct Target {
    upstream: config::Upstream,
    // INVARIANT: `None` if and only if `upstream.tls` is `Disable`.
    tls: Option<(ArcSwap<ClientConfig>, ServerName<'static>)>,
    /// The root certificates that were read last.
    roots: Mutex<Option<Vec<u8>>>,
    channel_binding: Requirement,
}

impl Target {
    /// Reads what the configuration names: root certificates. Looks up nothing and connects to nothing.
    ///
    /// # Errors
    /// [`TlsError`]: operator.
    pub fn new(upstream: &config::Upstream) -> Result<Self, TlsError> {
        let tls = match tls::client_config(&upstream.tls)? {
            Some(config) => Some((ArcSwap::new(config), tls::server_name(&upstream.host)?)),
            None => None,
        };
        let roots = Mutex::new(root_file(upstream));
        Ok(Self { upstream: upstream.clone(), tls, roots, channel_binding: Requirement::Prefer })
    }

    /// Returns where it is.
    pub(crate) const fn upstream(&self) -> &config::Upstream {
        &self.upstream
    }

    /// Reads the file of root certificates again, if there is one, and says whether others are in force now.
    ///
    /// # Errors
    /// [`TlsError`]: operator; those before stay in force.
    pub(crate) fn reload(&self) -> Result<bool, TlsError> {
        let Some((config, _)) = &self.tls else { return Ok(false) };
        let found = root_file(&self.upstream);
        if found == std::mem::replace(&mut *self.roots.lock(), found.clone()) {
            return Ok(false);
        }
        if let Some(changed) = tls::client_config(&self.upstream.tls)? {
            config.store(changed);
        }
        Ok(true)
    }

    /// Sets libpq's `channel_binding`, which is `Prefer` otherwise.
    #[must_use]
    pub fn with_channel_binding(self, requirement: Requirement) -> Self {
        Self { channel_binding: requirement, ..self }
    }
}

fn root_file(upstream: &config::Upstream) -> Option<Vec<u8>> {
    match upstream.tls.roots() {
        Some(config::Roots::File(path)) => std::fs::read(path).ok(),
        _ => None,
    }
}

impl fmt::Display for Target {
    /// Writes host and port, or the path of the Unix socket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.upstream.port;
        match (&self.upstream.host, self.upstream.socket_path()) {
            (_, Some(path)) => write!(f, "{}", path.display()),
            (config::Host::Address(std::net::IpAddr::V6(address)), None) => write!(f, "[{address}]:{port}"),
            (config::Host::Address(address), None) => write!(f, "{address}:{port}"),
            (config::Host::Name(name), None) => write!(f, "{name}:{port}"),
            (config::Host::Socket(folder), None) => write!(f, "{}", folder.display()),
        }
    }
}

/// A connection upstream that is logged in and idle. Dropping it closes the connection without a Terminate.
pub struct Upstream {
    /// The connection.
    pub stream: UpstreamStream,
    /// Which of the server's addresses it goes to: where a CancelRequest must go.
    pub peer: PeerAddr,
    /// What the server reported, in its order.
    pub parameters: Vec<(String, String)>,
    /// The server process's ID.
    pub process_id: i32,
    /// The server's own cancel key; no client ever sees it.
    pub cancel_key: Secret<Vec<u8>>,
    /// 3.0 or 3.2.
    pub version: ProtocolVersion,
    /// PostgreSQL's major version.
    pub version_major: u32,
    /// What the server has sent that was not read yet: asynchronous messages, whole or begun.
    pub leftover: Vec<u8>,
    /// Of the credential that it was logged in with, if that has one: held as long as the connection lives.
    pub lease: Option<Lease>,
    /// Whether the server waits for a query, as far as is known.
    usable: bool,
}

/// Logs in.
///
/// The client's `parameters` go into the StartupMessage after `user`, `database` and `client_encoding=UTF8`, which they
/// can't replace. Protocol 3.2 is asked for and 3.0 accepted. A password is sent in clear text only over TLS, to this
/// host, or over a Unix socket; once SCRAM has begun, the server must prove that it knows the password too.
///
/// Takes no longer than `timeout`, name look-up included.
///
/// # Errors
/// See [`LoginFault`] for what went wrong and whose fault it is.
pub async fn login(
    target: &Target,
    user: &Secret<String>,
    password: Option<&Secret<String>>,
    parameters: &[(String, String)],
    timeout: Duration,
) -> Result<Upstream, LoginError> {
    let proof = password.map_or(Proof::Nothing, Proof::Password);
    let result = tokio::time::timeout(timeout, log_in(target, user, proof, parameters, timeout)).await;
    result.unwrap_or(Err(LoginFault::TimedOut(timeout))).map_err(|fault| {
        let secrets = [Some(user), password].map(|secret| secret.map_or("", |secret| secret.expose()));
        LoginError::new(target, fault, secrets)
    })
}

/// Logs in by the keys that an exchange with the same user yielded: by SCRAM-SHA-256 or -PLUS and in no other way.
///
/// # Errors
/// As [`login`]; [`ScramError::OtherVerifier`](wire::scram::ScramError) where the server keeps another verifier by now.
pub async fn login_with_keys(
    target: &Target,
    user: &Secret<String>,
    keys: &ScramKeys,
    parameters: &[(String, String)],
    timeout: Duration,
) -> Result<Upstream, LoginError> {
    let proof = Proof::Keys(keys);
    let result = tokio::time::timeout(timeout, log_in(target, user, proof, parameters, timeout)).await;
    // The user's name is no secret: it is the account's.
    result
        .unwrap_or(Err(LoginFault::TimedOut(timeout)))
        .map_err(|fault| LoginError::new(target, fault, ["", ""]))
}

/// What a login proves itself with.
#[derive(Clone, Copy)]
enum Proof<'a> {
    /// Nothing: the server must not ask.
    Nothing,
    Password(&'a Secret<String>),
    Keys(&'a ScramKeys),
}

async fn log_in(
    target: &Target,
    user: &Secret<String>,
    proof: Proof<'_>,
    parameters: &[(String, String)],
    timeout: Duration,
) -> Result<Upstream, LoginFault> {
    let packet = startup_packet(target, user.expose(), parameters)?;
    let connected = connect(target, None, timeout).await?;
    let mut channel =
        Channel { stream: connected.stream, inbox: Inbox::new(MESSAGE_BYTES_MAX, LOGIN_BYTES_MAX) };
    channel.send(&packet).await?;
    let version = authenticate::Exchange {
        user: user.expose(),
        proof,
        binding: connected.binding,
        requirement: target.channel_binding,
        private: connected.peer.is_local() || connected.encrypted,
    }
    .run(&mut channel)
    .await?;
    let about = read_session(&mut channel, version).await?;
    let version_major = about.version_major()?;
    let Session { parameters, key } = about;
    let (process_id, cancel_key) = key.ok_or(LoginFault::Missing("BackendKeyData"))?;
    Ok(Upstream {
        stream: channel.stream,
        peer: connected.peer,
        parameters,
        process_id,
        cancel_key,
        version,
        version_major,
        leftover: channel.inbox.into_rest(),
        lease: None,
        usable: true,
    })
}

fn startup_packet(
    target: &Target,
    user: &str,
    parameters: &[(String, String)],
) -> Result<Zeroizing<Vec<u8>>, LoginFault> {
    for (index, (name, _)) in parameters.iter().enumerate() {
        let own = OWN_PARAMETERS.iter().any(|own| own.eq_ignore_ascii_case(name));
        let twice = parameters.iter().skip(index + 1).any(|(other, _)| other.eq_ignore_ascii_case(name));
        // SECURITY: the server would take the last of several, and `user` and `database` are not the client's to choose.
        if own || twice || name.starts_with(PROTOCOL_PARAMETER_PREFIX) {
            return Err(LoginFault::Parameter(name.clone()));
        }
    }
    let own = [("user", user), ("database", &target.upstream.database), ("client_encoding", "UTF8")];
    let given = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    // of full size from the start: growing would leave an unwiped copy of the user's name
    let mut packet = Zeroizing::new(Vec::with_capacity(wire::startup::MAX_STARTUP_PACKET_LENGTH + 4));
    encode::startup(&mut packet, ProtocolVersion::V3_2, own.into_iter().chain(given))?;
    Ok(packet)
}

/// The connection while the login goes on.
struct Channel {
    stream: UpstreamStream,
    inbox: Inbox,
}

impl Channel {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), LoginFault> {
        self.stream.write_all(bytes).await.map_err(LoginFault::Io)?;
        self.stream.flush().await.map_err(LoginFault::Io)
    }
}

/// What the server says of the session between AuthenticationOk and ReadyForQuery.
#[derive(Default)]
struct Session {
    parameters: Vec<(String, String)>,
    key: Option<(i32, Secret<Vec<u8>>)>,
}

async fn read_session(channel: &mut Channel, version: ProtocolVersion) -> Result<Session, LoginFault> {
    let mut about = Session::default();
    loop {
        let message = channel.inbox.next(&mut channel.stream).await?;
        match message.tag {
            tag::PARAMETER_STATUS => set_parameter(&mut about.parameters, message.body)?,
            tag::BACKEND_KEY_DATA if about.key.is_none() => {
                let BackendKeyData { process_id, key } = BackendKeyData::parse(message.body)?;
                if version < ProtocolVersion::V3_2 && key.len() != CANCEL_KEY_BYTES_MIN {
                    return Err(LoginFault::CancelKey(key.len(), version));
                }
                about.key = Some((process_id, Secret::new(key.to_vec())));
            }
            tag::NOTICE_RESPONSE => drop(ErrorFields::parse(message.body)?),
            tag::ERROR_RESPONSE => return Err(LoginFault::refused(ErrorFields::parse(message.body)?)),
            tag::READY_FOR_QUERY => {
                let ReadyForQuery { status } = ReadyForQuery::parse(message.body)?;
                if status != TransactionStatus::Idle {
                    return Err(LoginFault::NotIdle);
                }
                // SECURITY: everything the gateway reads and writes is read as UTF-8.
                let encoding = about.parameter("client_encoding").unwrap_or_default();
                if encoding != "UTF8" {
                    return Err(LoginFault::Encoding(encoding.to_owned()));
                }
                return Ok(about);
            }
            tag => return Err(LoginFault::Unexpected { tag, when: "before ReadyForQuery" }),
        }
    }
}

impl Session {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads `15.4 (Debian 15.4-1)`, `18beta1`, `19devel`.
    fn version_major(&self) -> Result<u32, LoginFault> {
        let version = self.parameter("server_version").ok_or(LoginFault::Missing("server_version"))?;
        let digits = version.bytes().take_while(u8::is_ascii_digit).count();
        let major = version.get(..digits).and_then(|digits| digits.parse().ok());
        major.ok_or_else(|| LoginFault::Version(version.to_owned()))
    }
}

/// Keeps a parameter's latest value, in its first place.
fn set_parameter(parameters: &mut Vec<(String, String)>, body: &[u8]) -> Result<(), LoginFault> {
    let ParameterStatus { name, value } = ParameterStatus::parse(body)?;
    let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| LoginFault::NotUtf8("ParameterStatus"));
    let (name, value) = (utf8(name)?, utf8(value)?);
    match parameters.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => parameters.push((name.to_owned(), value.to_owned())),
    }
    Ok(())
}

/// Checks that a server steps down to a version that exists and that it names nothing we did not ask for
/// (`pqGetNegotiateProtocolVersion3`, fe-protocol3.c).
fn negotiated(body: &[u8]) -> Result<ProtocolVersion, LoginFault> {
    let NegotiateProtocolVersion { version, unrecognized } = NegotiateProtocolVersion::parse(body)?;
    if version == ProtocolVersion::V3_0 && unrecognized.is_empty() {
        Ok(version)
    } else {
        Err(LoginFault::Negotiation(version))
    }
}

impl Upstream {
    /// Sends a Terminate and closes the connection; gives up after a second.
    pub async fn terminate(mut self) {
        let mut message = Vec::new();
        encode::terminate(&mut message);
        let _ = tokio::time::timeout(TERMINATE_TIMEOUT, async {
            self.stream.write_all(&message).await?;
            self.stream.shutdown().await
        })
        .await;
    }
}

#[cfg(test)]
mod tests;

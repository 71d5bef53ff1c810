//! The beginning of a client's connection, up to its StartupMessage: encryption, and what the client wants.
//!
//! Knows no identity, no database and no deadline: the caller gives the whole of it a time limit.

use std::io;

use model::{ClientAddr, Secret};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use wire::backend::encode;
use wire::error::{ErrorFields, Severity};
use wire::sqlstate;
use wire::startup::{self, ALPN_PROTOCOL, Packet, ProtocolVersion, Startup, StartupError};
use zeroize::Zeroizing;

pub use crate::stream::ClientStream;
use crate::{stream, tls};

/// `NEGOTIATE_SSL_CODE` and `NEGOTIATE_GSS_CODE` (libpq/pqcomm.h), as the versions that they look like where they may
/// not come.
const SSL_REQUEST: ProtocolVersion = ProtocolVersion { major: 1234, minor: 5679 };
const GSSENC_REQUEST: ProtocolVersion = ProtocolVersion { major: 1234, minor: 5680 };

/// From whom a session without TLS is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainText {
    /// Only from this host; others are told to use TLS.
    OnLoopback,
    /// From anybody.
    FromAnywhere,
}

/// What a client wants.
pub enum Negotiated {
    /// A session. Its NegotiateProtocolVersion, if it needed one, is already sent.
    Session(Box<Opened>),
    /// To cancel what another session runs. Nothing may be answered, whatever comes of it.
    Cancel {
        /// To be closed once the cancel has reached the upstream or was ignored: clients wait for that
        /// (`PQcancelBlocking`, fe-cancel.c).
        stream: ClientStream,
        /// As the client has it from its BackendKeyData.
        process_id: i32,
        /// Likewise; 4 to 256 bytes.
        key: Secret<Vec<u8>>,
    },
}

/// A client that wants a session and is not yet authenticated.
pub struct Opened {
    /// The connection; what follows the StartupMessage is unread.
    pub stream: ClientStream,
    /// The client's end of it.
    pub client: ClientAddr,
    /// What it asks for.
    pub startup: Startup,
    /// What is spoken from here on: what it asks for, or 3.2 if that is later.
    pub version: ProtocolVersion,
    /// Version and cipher of TLS, such as `TLSv1.3 TLS_AES_256_GCM_SHA384`; `None` without TLS.
    pub tls: Option<String>,
    /// The certificates that it showed, its own first, whose key it has; what they are worth is not yet known.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// Why a connection came to nothing. All is done: the client was told if the protocol allows it, and is gone.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Client, or the network; also what a port probe looks like.
    #[error("the client closed the connection before it asked for anything")]
    Closed,
    /// Client, or the network.
    #[error("the connection broke while it was being opened")]
    Io(#[source] io::Error),
    /// Client.
    #[error("malformed opening")]
    Startup(#[source] StartupError),
    /// Client, or its trust in the gateway's certificate.
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    /// Client; or operator, who could add `[listen] tls`.
    #[error("the client began with TLS, which is not configured here")]
    TlsNotOffered,
    /// Client: only the name of a protocol tells a PostgreSQL client from any other at this port.
    #[error("the client began with TLS but named no protocol (ALPN \"postgresql\")")]
    NoProtocolName,
    /// Client: from another host in plain text.
    #[error("the client comes from another host without TLS")]
    PlainText,
}

impl From<io::Error> for AcceptError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Closed } else { Self::Io(error) }
    }
}

/// Reads the opening of a connection and answers what has to be answered.
///
/// GSSENCRequest is answered `N`. SSLRequest is answered `S` and TLS follows, or `N` where `tls` is `None`. Each may come
/// once, and neither inside TLS. A connection may also begin with TLS itself if it names ALPN `postgresql`
/// (`ProcessSSLStartup` and `ProcessStartupPacket`, tcop/backend_startup.c).
///
/// # Errors
/// See [`AcceptError`]. The stream is closed.
pub async fn negotiate(
    stream: TcpStream,
    tls: Option<&TlsAcceptor>,
    plain: PlainText,
) -> Result<Negotiated, AcceptError> {
    let client = ClientAddr(stream.peer_addr().map_err(AcceptError::Io)?);
    negotiate_with(stream, client, tls, plain).await
}

async fn negotiate_with(
    mut tcp: TcpStream,
    client: ClientAddr,
    tls: Option<&TlsAcceptor>,
    plain: PlainText,
) -> Result<Negotiated, AcceptError> {
    stream::tune(&tcp).map_err(AcceptError::Io)?;
    let direct = begins_with_tls(&tcp).await?;
    let opening = if direct { None } else { plain_opening(&mut tcp, tls.is_some()).await? };
    let (mut stream, packet, tls, certificates) = match (opening, tls) {
        (Some(packet), _) => (ClientStream::Plain(tcp), packet, None, Vec::new()),
        (None, None) => return Err(AcceptError::TlsNotOffered),
        (None, Some(acceptor)) => {
            let mut stream = acceptor.accept(tcp).await.map_err(AcceptError::Tls)?;
            let (_, connection) = stream.get_ref();
            // SECURITY: without this, what a browser is made to send could be taken for a client (ALPACA). Where
            // SSLRequest went before, no other protocol could have.
            if direct && connection.alpn_protocol() != Some(ALPN_PROTOCOL) {
                return Err(AcceptError::NoProtocolName);
            }
            let (described, certificates) = (tls::describe(connection), tls::shown(connection));
            let packet = last_packet(&mut stream).await?;
            (ClientStream::Tls(Box::new(stream)), packet, Some(described), certificates)
        }
    };
    let startup = match packet {
        LastPacket::Cancel { process_id, key } => return Ok(Negotiated::Cancel { stream, process_id, key }),
        LastPacket::Startup(startup) => startup,
    };
    if tls.is_none() && plain == PlainText::OnLoopback && !client.is_loopback() {
        let error = ErrorFields::new(
            Severity::Fatal,
            sqlstate::INVALID_AUTHORIZATION_SPECIFICATION,
            "connections from other hosts must use TLS",
        )
        .hint("Set sslmode to \"verify-full\", or at least to \"require\".");
        refuse(&mut stream, &error).await?;
        return Err(AcceptError::PlainText);
    }
    let version = startup.negotiated_version();
    if let Some((version, unrecognized)) = startup.negotiation() {
        let mut out = Vec::new();
        encode::negotiate_protocol_version(&mut out, version, unrecognized)
            .map_err(|error| AcceptError::Io(io::Error::other(error)))?;
        send(&mut stream, &out).await?;
    }
    Ok(Negotiated::Session(Box::new(Opened { stream, client, startup, version, tls, certificates })))
}

/// What no other packet follows.
enum LastPacket {
    Cancel { process_id: i32, key: Secret<Vec<u8>> },
    Startup(Startup),
}

/// Looks at the first byte and leaves it where it is.
async fn begins_with_tls(tcp: &TcpStream) -> Result<bool, AcceptError> {
    let mut first = [0];
    match tcp.peek(&mut first).await.map_err(AcceptError::Io)? {
        0 => Err(AcceptError::Closed),
        _ => Ok(startup::is_tls_client_hello(&first)),
    }
}

/// Answers requests for encryption. Returns `None` when the client was told to go on with TLS.
async fn plain_opening(tcp: &mut TcpStream, tls_offered: bool) -> Result<Option<LastPacket>, AcceptError> {
    let (mut ssl_asked, mut gss_asked) = (false, false);
    loop {
        match packet(tcp).await? {
            Packet::SslRequest if ssl_asked => return Err(unexpected(tcp, SSL_REQUEST).await),
            Packet::GssEncRequest if gss_asked => return Err(unexpected(tcp, GSSENC_REQUEST).await),
            Packet::SslRequest if tls_offered => {
                // SECURITY: not a byte beyond the request has been read, so what someone slipped in after it in plain
                // text goes to the handshake, and breaks it (CVE-2021-23214).
                send(tcp, &[encode::SSL_ACCEPTED]).await?;
                return Ok(None);
            }
            Packet::SslRequest => ssl_asked = true,
            Packet::GssEncRequest => gss_asked = true,
            Packet::CancelRequest { process_id, key } => {
                return Ok(Some(LastPacket::Cancel { process_id, key: Secret::new(key) }));
            }
            Packet::Startup(startup) => return Ok(Some(LastPacket::Startup(startup))),
        }
        send(tcp, &[encode::ENCRYPTION_REFUSED]).await?;
    }
}

/// Reads the one packet that may come inside TLS.
async fn last_packet<S>(stream: &mut S) -> Result<LastPacket, AcceptError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match packet(stream).await? {
        Packet::SslRequest => Err(unexpected(stream, SSL_REQUEST).await),
        Packet::GssEncRequest => Err(unexpected(stream, GSSENC_REQUEST).await),
        Packet::CancelRequest { process_id, key } => {
            Ok(LastPacket::Cancel { process_id, key: Secret::new(key) })
        }
        Packet::Startup(startup) => Ok(LastPacket::Startup(startup)),
    }
}

/// Reads one packet and nothing after it; refuses a malformed one.
async fn packet<S>(stream: &mut S) -> Result<Packet, AcceptError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let fault = match startup::packet(&head) {
        Err(fault) => fault,
        Ok(_) => {
            let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or_default();
            // It may hold a cancel key.
            let mut whole = Zeroizing::new(vec![0; length]);
            if let Some((start, rest)) = whole.split_first_chunk_mut() {
                *start = head;
                stream.read_exact(rest).await?;
            }
            match startup::packet(&whole) {
                Ok(Some((packet, _))) => return Ok(packet),
                Ok(None) => StartupError::Layout,
                Err(fault) => fault,
            }
        }
    };
    Err(malformed(stream, fault).await)
}

async fn unexpected<S: AsyncWrite + Unpin>(stream: &mut S, request: ProtocolVersion) -> AcceptError {
    malformed(stream, StartupError::Version(request)).await
}

/// Tells the client what is wrong where PostgreSQL would; whether that arrives changes nothing.
async fn malformed<S: AsyncWrite + Unpin>(stream: &mut S, fault: StartupError) -> AcceptError {
    let answered = match fault {
        // Who sends these is no PostgreSQL client, or wants a cancel, which is never answered.
        StartupError::Length(_) | StartupError::CancelKey(_) => false,
        StartupError::Version(_)
        | StartupError::Trailing(_)
        | StartupError::Layout
        | StartupError::Encoding { .. }
        | StartupError::Duplicate(_)
        | StartupError::User => true,
    };
    if answered {
        let error = ErrorFields::new(Severity::Fatal, fault.sqlstate(), fault.to_string());
        let _ = refuse(stream, &error).await;
    }
    AcceptError::Startup(fault)
}

async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, error: &ErrorFields) -> Result<(), AcceptError> {
    let mut out = Vec::new();
    encode::error_response(&mut out, error);
    send(stream, &out).await?;
    stream.shutdown().await.map_err(AcceptError::Io)
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), AcceptError> {
    stream.write_all(bytes).await.map_err(AcceptError::Io)?;
    stream.flush().await.map_err(AcceptError::Io)
}

#[cfg(test)]
mod tests;

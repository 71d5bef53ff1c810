//! The way to a server: name look-up, socket, and TLS if it is wanted. Sends nothing but an SSLRequest.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use config::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use wire::backend::encode::{ENCRYPTION_REFUSED, SSL_ACCEPTED};
use wire::frontend::encode;
use wire::scram::ChannelBinding;

use super::fault::LoginFault;
use super::{Target, UpstreamStream};
use crate::{stream, tls};

/// One of a server's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddr {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl PeerAddr {
    /// Returns whether what is sent there stays on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// A connection on which nothing of PostgreSQL's protocol but SSLRequest was said.
pub(crate) struct Connected {
    pub(crate) stream: UpstreamStream,
    pub(crate) peer: PeerAddr,
    pub(super) binding: ChannelBinding,
    pub(super) encrypted: bool,
}

/// Connects to `to`, or if that is `None` to the first of the target's addresses that takes the connection, and encrypts
/// it if the target says so. An address that doesn't answer gets its share of `timeout` only; the caller gives the whole
/// of it a limit.
pub(crate) async fn connect(
    target: &Target,
    to: Option<&PeerAddr>,
    timeout: Duration,
) -> Result<Connected, LoginFault> {
    let (tcp, peer) = match peers(target, to).await? {
        Peers::Unix(path) => {
            let stream = UnixStream::connect(&path).await.map_err(LoginFault::Connect)?;
            return Ok(Connected {
                stream: UpstreamStream::Unix(stream),
                peer: PeerAddr::Unix(path),
                binding: ChannelBinding::Plaintext,
                encrypted: false,
            });
        }
        Peers::Tcp(addresses) => connect_any(&addresses, timeout).await?,
    };
    stream::tune(&tcp).map_err(LoginFault::Connect)?;
    let peer = PeerAddr::Tcp(peer);
    let Some((config, name)) = &target.tls else {
        let (stream, binding) = (UpstreamStream::Tcp(tcp), ChannelBinding::Plaintext);
        return Ok(Connected { stream, peer, binding, encrypted: false });
    };
    let tcp = ask_for_tls(tcp, target.upstream.tls.as_str()).await?;
    let connector = TlsConnector::from(config.load_full());
    let stream = connector.connect(name.clone(), tcp).await.map_err(LoginFault::Tls)?;
    let binding = tls::channel_binding(stream.get_ref().1);
    Ok(Connected { stream: UpstreamStream::Tls(Box::new(stream)), peer, binding, encrypted: true })
}

enum Peers {
    Unix(PathBuf),
    Tcp(Vec<SocketAddr>),
}

async fn peers(target: &Target, to: Option<&PeerAddr>) -> Result<Peers, LoginFault> {
    let port = target.upstream.port;
    match (to, &target.upstream.host, target.upstream.socket_path()) {
        (Some(PeerAddr::Unix(path)), ..) => Ok(Peers::Unix(path.clone())),
        (Some(PeerAddr::Tcp(address)), ..) => Ok(Peers::Tcp(vec![*address])),
        (None, _, Some(path)) => Ok(Peers::Unix(path)),
        (None, Host::Address(address), None) => Ok(Peers::Tcp(vec![SocketAddr::new(*address, port)])),
        (None, Host::Name(name), None) => {
            let found = tokio::net::lookup_host((name.as_str(), port)).await.map_err(LoginFault::Lookup)?;
            Ok(Peers::Tcp(found.collect()))
        }
        (None, Host::Socket(_), None) => Err(LoginFault::NoAddress),
    }
}

async fn connect_any(
    addresses: &[SocketAddr],
    timeout: Duration,
) -> Result<(TcpStream, SocketAddr), LoginFault> {
    let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = LoginFault::NoAddress;
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
            Ok(Err(error)) => last = LoginFault::Connect(error),
            Err(_) => last = LoginFault::Connect(io::ErrorKind::TimedOut.into()),
        }
    }
    Err(last)
}

async fn ask_for_tls(mut tcp: TcpStream, sslmode: &'static str) -> Result<TcpStream, LoginFault> {
    let mut request = Vec::new();
    encode::ssl_request(&mut request);
    tcp.write_all(&request).await.map_err(LoginFault::Io)?;
    // SECURITY: exactly one byte, so that what follows it in plain text goes to the handshake and breaks it
    // (CVE-2021-23222). Nothing more is read from a server that answers otherwise: its text is not to be trusted
    // (CVE-2024-10977).
    let mut answer = [0];
    tcp.read_exact(&mut answer).await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => LoginFault::Closed,
        _ => LoginFault::Io(error),
    })?;
    let [answer] = answer;
    match answer {
        SSL_ACCEPTED => Ok(tcp),
        ENCRYPTION_REFUSED => Err(LoginFault::TlsRefused(sslmode)),
        other => Err(LoginFault::TlsAnswer(other)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_does_not_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (open, gone) = (listener.local_addr().unwrap(), closed.local_addr().unwrap());
        drop(closed);
        let limit = Duration::from_secs(20);
        assert_eq!(connect_any(&[gone, open], limit).await.unwrap().1, open);
        assert!(matches!(connect_any(&[gone, gone], limit).await, Err(LoginFault::Connect(_))));
        assert!(matches!(connect_any(&[], limit).await, Err(LoginFault::NoAddress)));
    }
}

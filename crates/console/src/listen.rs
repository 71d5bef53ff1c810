//! Sockets: TCP, with TLS where there is a certificate, and the local operator's. Knows no request.

use std::fs::{File, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use server::control::Control;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::stream::Lasts;
use crate::{SOCKET, api, guard};

/// Connections at one time, over TCP; who comes later waits in the system's queue.
const CONNECTIONS_MAX: usize = 256;
/// The same over the local socket, which strangers can't use up.
const LOCAL_MAX: usize = 32;
/// For a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a request's line and headers, and how long a connection may be without any.
const HEADERS: Duration = Duration::from_secs(10);
/// For everything on one connection.
const CONNECTION: Duration = Duration::from_secs(120);
/// Of a request's line and headers, of which as much again may be read at once; a token is some kB.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Somebody, who must say who they are.
    Network(SocketAddr),
    /// The gateway's own user on this host, or root.
    Local {
        /// Which.
        uid: u32,
    },
}

/// What goes on over one connection for long.
#[derive(Clone, Default)]
pub(crate) struct Lasting(Arc<AtomicUsize>);

impl Lasting {
    /// While what is returned lives, the connection isn't closed for its age.
    pub(crate) fn begin(&self) -> Lasts {
        Lasts::new(self.0.clone())
    }

    fn goes_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Begins to serve, and returns where; ends with the process.
///
/// # Errors
/// The operator's: an address or the local socket can't be listened on, or there is no good certificate.
pub async fn start(control: Control) -> Result<Vec<SocketAddr>, String> {
    let tls = control.tls().await?.map(TlsAcceptor::from);
    let transport = if tls.is_some() { guard::Transport::Tls } else { guard::Transport::Plain };
    let router = api::router(control.clone(), transport);
    let (socket, owner) = local(control.state())?;
    tokio::spawn(serve_local(socket, owner, api::router(control.clone(), guard::Transport::Plain)));
    let mut addresses = Vec::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for address in control.http() {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| format!("can't listen on {address} for HTTP: {error}"))?;
        addresses.extend(listener.local_addr());
        tokio::spawn(serve_network(listener, tls.clone(), router.clone(), permits.clone()));
    }
    Ok(addresses)
}

async fn serve_network(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    permits: Arc<Semaphore>,
) {
    loop {
        // Never closed.
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(%error, "an HTTP connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let peer = Peer::Network(peer);
            match tls {
                None => connection(stream, peer, router).await,
                Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection(stream, peer, router).await,
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake of an HTTP client failed"),
                    Err(_) => tracing::debug!("TLS handshake of an HTTP client took too long"),
                },
            }
        });
    }
}

async fn serve_local(listener: UnixListener, owner: u32, router: Router) {
    let permits = Arc::new(Semaphore::new(LOCAL_MAX));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // SECURITY: whoever may open the file is asked for who they are by the kernel as well.
        let uid = match stream.peer_cred() {
            Ok(peer) if peer.uid() == 0 || peer.uid() == owner => peer.uid(),
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), "the local socket is not for this user");
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "who is at the local socket can't be told");
                continue;
            }
        };
        let router = router.clone();
        tokio::spawn(async move {
            let _permit = permit;
            connection(stream, Peer::Local { uid }, router).await;
        });
    }
}

async fn connection<S>(stream: S, peer: Peer, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lasting = Lasting::default();
    let service = TowerToHyperService::new(router.layer(Extension(lasting.clone())).layer(Extension(peer)));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    loop {
        match tokio::time::timeout(CONNECTION, served.as_mut()).await {
            Err(_) if lasting.goes_on() => {}
            Ok(Ok(())) | Err(_) => return,
            Ok(Err(error)) => return tracing::debug!(%error, "HTTP connection ended"),
        }
    }
}

/// Listens on the local operator's socket; returns also whose it is.
fn local(folder: &Path) -> Result<(UnixListener, u32), String> {
    let path = folder.join(SOCKET);
    let failed = |error: io::Error| format!("can't listen on {}: {error}", path.display());
    // The folder is this gateway's alone, so that what is there is what an earlier one left.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let open = File::open(folder).map_err(failed)?;
    let listener = std::os::unix::net::UnixListener::bind(within(&open)).map_err(failed)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
    let owner = std::fs::symlink_metadata(&path).map_err(failed)?.uid();
    listener.set_nonblocking(true).map_err(failed)?;
    Ok((UnixListener::from_std(listener).map_err(failed)?, owner))
}

/// Returns a path of the socket that is short however long the folder's is: `sun_path` takes 107 bytes (unix(7)).
pub(crate) fn within(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}

//! CancelRequests: from the gateway's own keys, which clients hold, to the upstream's, which they never see.
//!
//! Knows neither sessions nor what they run. A client is never told what came of its request: it could guess keys by the
//! answers.

mod attempts;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{Secret, SessionId};
use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use wire::frontend::encode;
use wire::startup::{CANCEL_KEY_BYTES_MIN, ProtocolVersion};
use zeroize::Zeroizing;

use crate::stream::UpstreamStream;
use crate::upstream::{LoginError, LoginFault, PeerAddr, Target, Upstream, connect};
use attempts::Attempts;

/// Bytes of a key in protocol 3.2: what PostgreSQL 18 uses (`MAX_CANCEL_KEY_LENGTH`, storage/procsignal.h).
const LONG_KEY_BYTES: usize = 32;

/// Connections to upstreams for cancelling, at one time.
const IN_FLIGHT_MAX: usize = 64;

/// To connect, encrypt, send a CancelRequest and see the server close the connection.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// The system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// Draws a cancel key for a client: 32 bytes if it speaks 3.2, else 4, which is all that 3.0 has room for.
///
/// # Errors
/// [`NoRandomness`]: the system.
pub fn new_key(version: ProtocolVersion) -> Result<Secret<Vec<u8>>, NoRandomness> {
    let bytes = if version < ProtocolVersion::V3_2 { CANCEL_KEY_BYTES_MIN } else { LONG_KEY_BYTES };
    let mut key = vec![0; bytes];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut key).map_err(|_| NoRandomness)?;
    Ok(Secret::new(key))
}

/// Random bytes of the operating system's.
///
/// # Errors
/// [`NoRandomness`]: the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    let source = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    source.fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// What a CancelRequest needs to reach a session's server process.
pub struct CancelHandle {
    session: SessionId,
    target: Arc<Target>,
    peer: PeerAddr,
    process_id: i32,
    key: Secret<Vec<u8>>,
    /// One at a time.
    turn: Semaphore,
    /// Whether one more waits for its turn; a third would add nothing.
    waiting: AtomicBool,
}

impl CancelHandle {
    /// Takes what is needed from an upstream connection of `session`, logged in to `target`.
    pub fn new(session: SessionId, target: Arc<Target>, upstream: &Upstream) -> Self {
        Self {
            session,
            target,
            peer: upstream.peer.clone(),
            process_id: upstream.process_id,
            key: upstream.cancel_key.clone(),
            turn: Semaphore::new(1),
            waiting: AtomicBool::new(false),
        }
    }

    /// Returns whose it is.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Asks the server to cancel what the session runs. If that is being done already, waits and does it again, since by
    /// then another statement may run; if someone else waits for that, leaves it to them.
    ///
    /// # Errors
    /// See [`cancel_upstream`].
    pub async fn cancel(&self) -> Result<(), LoginError> {
        let _turn = match self.turn.try_acquire() {
            Ok(turn) => Some(turn),
            Err(_) => {
                if self.waiting.swap(true, Ordering::AcqRel) {
                    return Ok(());
                }
                let _waiting = Waiting(&self.waiting);
                // never closed
                self.turn.acquire().await.ok()
            }
        };
        cancel_upstream(&self.target, &self.peer, self.process_id, &self.key, CANCEL_TIMEOUT).await
    }
}

/// Takes the mark back, also when the waiting future is dropped.
struct Waiting<'a>(&'a AtomicBool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What came of a client's CancelRequest; for log and audit, never for the client.
#[derive(Debug)]
pub enum CancelOutcome {
    /// It reached the server. Whether anything was running, nobody is told.
    Sent(SessionId),
    /// The session exists, but its server could not be reached.
    Failed(SessionId, LoginError),
    /// No session has this process ID and key.
    UnknownKey,
    /// Too many wrong keys came from there; this one was not looked at.
    Ignored,
}

/// The sessions that can be cancelled, and who tried wrong keys.
pub struct CancelRegistry {
    // Several servers may give the same process ID.
    sessions: Mutex<HashMap<i32, Vec<Entry>>>,
    attempts: Mutex<Attempts>,
    in_flight: Semaphore,
    next: AtomicU64,
}

struct Entry {
    number: u64,
    key: Secret<Vec<u8>>,
    handle: Arc<CancelHandle>,
}

/// A session's place in the registry; gone when dropped.
pub struct Registration {
    registry: Arc<CancelRegistry>,
    process_id: i32,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut sessions = self.registry.sessions.lock();
        if let Some(entries) = sessions.get_mut(&self.process_id) {
            entries.retain(|entry| entry.number != self.number);
            if entries.is_empty() {
                sessions.remove(&self.process_id);
            }
        }
    }
}

impl Default for CancelRegistry {
    fn default() -> Self {
        Self {
            sessions: Mutex::default(),
            attempts: Mutex::default(),
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            next: AtomicU64::new(0),
        }
    }
}

impl CancelRegistry {
    /// Lets whoever knows `key`, from [`new_key`], and the upstream's process ID cancel what the session runs, until the
    /// registration is dropped.
    #[must_use]
    pub fn register(self: &Arc<Self>, key: Secret<Vec<u8>>, handle: Arc<CancelHandle>) -> Registration {
        let (number, process_id) = (self.next.fetch_add(1, Ordering::Relaxed), handle.process_id);
        let entry = Entry { number, key, handle };
        self.sessions.lock().entry(process_id).or_default().push(entry);
        Registration { registry: self.clone(), process_id, number }
    }

    /// Does what a CancelRequest from `client` asks, if its key is right. The caller closes the client's connection when
    /// this returns, and writes nothing to it.
    ///
    /// After ten wrong keys in a minute from one address (or one /64 of IPv6) keys that could be guessed, those of 4 bytes,
    /// are not looked at for the rest of it.
    ///
    /// `told` hears which session is meant, before its server does: it may wait for something that no server knows of.
    pub async fn cancel(
        &self,
        now: Instant,
        client: IpAddr,
        process_id: i32,
        key: &Secret<Vec<u8>>,
        told: impl FnOnce(SessionId) + Send,
    ) -> CancelOutcome {
        let handle = match self.find(now, client, process_id, key) {
            Ok(handle) => handle,
            Err(outcome) => return outcome,
        };
        told(handle.session);
        // Never closed, so there is a permit in the end.
        let _permit = self.in_flight.acquire().await.ok();
        match handle.cancel().await {
            Ok(()) => CancelOutcome::Sent(handle.session),
            Err(error) => CancelOutcome::Failed(handle.session, error),
        }
    }

    fn find(
        &self,
        now: Instant,
        client: IpAddr,
        process_id: i32,
        key: &Secret<Vec<u8>>,
    ) -> Result<Arc<CancelHandle>, CancelOutcome> {
        // SECURITY: a key of 32 bytes can't be guessed, so guessing at short ones from the same address, which many agents
        // may share, must not take cancelling away from those who have one.
        let guessable = key.expose().len() < LONG_KEY_BYTES;
        if guessable && !self.attempts.lock().allowed(now, client) {
            return Err(CancelOutcome::Ignored);
        }
        let found = self.sessions.lock().get(&process_id).and_then(|entries| {
            // SECURITY: all are compared, each in constant time.
            entries.iter().fold(None, |found, entry| {
                let equal = bool::from(entry.key.expose().ct_eq(key.expose()));
                if equal { Some(entry.handle.clone()) } else { found }
            })
        });
        found.ok_or_else(|| {
            if guessable {
                self.attempts.lock().failed(now, client);
            }
            CancelOutcome::UnknownKey
        })
    }
}

/// How often a server that still runs something is told to stop, and for how long its connection is kept for that.
const PUT_DOWN_EVERY: Duration = Duration::from_millis(100);
const PUT_DOWN_FOR: Duration = Duration::from_secs(3);

/// Ends a server process that is at work for a session that has ended: cancels what runs, and what comes next in its pipeline,
/// until the server closes the connection.
///
/// Nothing more is sent, so that a server that waits for the client finds it gone. What it sends is thrown away: one that waits for its client
/// to read takes no notice of a cancel (`ProcessClientWriteInterrupt`, tcop/postgres.c).
pub(crate) async fn put_down(mut stream: UpstreamStream, handle: Arc<CancelHandle>) {
    let gone = async {
        // A server that takes nothing is not waited for.
        let _ = tokio::time::timeout(PUT_DOWN_EVERY, stream.shutdown()).await;
        let mut scratch = vec![0; 16 << 10];
        while stream.read(&mut scratch).await.is_ok_and(|bytes| bytes > 0) {}
    };
    let stop = async {
        loop {
            if let Err(error) = handle.cancel().await {
                tracing::warn!(reason = error.reason(), "the upstream could not be told to cancel");
            }
            tokio::time::sleep(PUT_DOWN_EVERY).await;
        }
    };
    tokio::select! {
        () = gone => {}
        () = stop => {}
        () = tokio::time::sleep(PUT_DOWN_FOR) => {
            tracing::warn!(session = %handle.session, "the upstream still runs what was cancelled; its connection is closed");
        }
    }
}

/// Sends a CancelRequest to the server at `peer`, encrypted as its sessions are, and waits until the server closes the
/// connection: then the signal is sent.
///
/// # Errors
/// See [`LoginFault`]; the request may have reached the server nevertheless.
pub async fn cancel_upstream(
    target: &Target,
    peer: &PeerAddr,
    process_id: i32,
    key: &Secret<Vec<u8>>,
    timeout: Duration,
) -> Result<(), LoginError> {
    let sent = tokio::time::timeout(timeout, async {
        let mut stream = connect(target, Some(peer), timeout).await?.stream;
        let mut request = Zeroizing::new(Vec::with_capacity(512));
        encode::cancel_request(&mut request, process_id, key.expose())?;
        stream.write_all(&request).await.map_err(LoginFault::Io)?;
        stream.flush().await.map_err(LoginFault::Io)?;
        // There is no answer: an end of any kind, or a byte that should not be there, is the end.
        let _ = stream.read(&mut [0]).await;
        Ok(())
    });
    sent.await
        .unwrap_or(Err(LoginFault::TimedOut(timeout)))
        .map_err(|fault| LoginError::new(target, fault, [""; 2]))
}

#[cfg(test)]
mod tests;

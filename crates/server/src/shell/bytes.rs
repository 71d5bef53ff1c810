//! Moves bytes between both sockets and the session, with a bound for what waits on either side. Knows no effect.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use session::Input;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroize as _;

use super::{Shell, Task};
use crate::memory;

/// Read at once; shared by all sessions of a thread, so that an idle session has no buffer of its own.
const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Bytes that complete something large, which waits for its turn to be read.
pub(super) struct Large {
    bytes: Vec<u8>,
    from: Side,
    turn: Task<Option<OwnedSemaphorePermit>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

impl Shell {
    pub(super) fn poll_write_upstream(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(upstream) = &mut self.upstream else { return false };
        let mut moved = false;
        while !self.out.upstream.is_empty() {
            match Pin::new(&mut *upstream).poll_write(cx, self.out.upstream.as_slice()) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.out.upstream.consume(n);
                    self.upstream_unflushed = true;
                    moved = true;
                }
                Poll::Ready(_) => {
                    self.handle(Input::UpstreamClosed);
                    return true;
                }
                Poll::Pending => return moved,
            }
        }
        // TLS keeps what the socket did not take: it must be pushed until it is gone, with nothing new to write as well.
        if self.upstream_unflushed {
            match Pin::new(upstream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.upstream_unflushed = false,
                Poll::Ready(Err(_)) => {
                    self.upstream_unflushed = false;
                    self.handle(Input::UpstreamClosed);
                    return true;
                }
                Poll::Pending => {}
            }
        }
        moved
    }

    pub(super) fn poll_write_client(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        if !self.client_open {
            // Nobody is there to read it.
            self.out.client = Vec::new();
            self.client_written = 0;
        }
        while let Some(rest) = self.out.client.get(self.client_written..)
            && !rest.is_empty()
        {
            match Pin::new(&mut self.client).poll_write(cx, rest) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.client_written += n;
                    self.client_unflushed = true;
                    moved = true;
                }
                Poll::Ready(_) => {
                    self.client_gone();
                    return true;
                }
                Poll::Pending => {
                    // What is sent is forgotten though more waits: a reader that is always behind costs no more than that.
                    if self.client_written >= SCRATCH_BYTES {
                        self.out.client.drain(..self.client_written);
                        self.client_written = 0;
                    }
                    return moved;
                }
            }
        }
        if moved {
            // An idle session keeps no buffer.
            self.out.client = Vec::new();
            self.client_written = 0;
        }
        if self.client_unflushed && self.client_open {
            match Pin::new(&mut self.client).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.client_unflushed = false,
                Poll::Ready(Err(_)) => {
                    self.client_unflushed = false;
                    self.client_gone();
                    return true;
                }
                Poll::Pending => {}
            }
        }
        moved
    }

    pub(super) fn poll_read_upstream(&mut self, cx: &mut Context<'_>) -> bool {
        let backlog = self.out.client.len() - self.client_written;
        if backlog >= SCRATCH_BYTES || self.large.is_some() || !self.session.wants_upstream() {
            return false;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let Some(upstream) = &mut self.upstream else { return false };
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(upstream).poll_read(cx, &mut buffer) {
                Poll::Pending => false,
                Poll::Ready(Ok(())) if self.session.is_much_from_upstream(buffer.filled()) => {
                    self.read_in_turn(Side::Upstream, buffer.filled())
                }
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.session.handle(Self::now(), Input::UpstreamBytes(buffer.filled()), &mut self.out);
                    self.settle();
                    true
                }
                Poll::Ready(_) => {
                    self.upstream = None;
                    self.handle(Input::UpstreamClosed);
                    true
                }
            }
        })
    }

    pub(super) fn poll_read_client(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.client_open
            || self.large.is_some()
            || self.out.upstream.as_slice().len() >= SCRATCH_BYTES
            || !self.session.wants_client()
        {
            return false;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.client).poll_read(cx, &mut buffer) {
                Poll::Pending => false,
                Poll::Ready(Ok(())) if self.session.is_much_from_client(buffer.filled()) => {
                    let moved = self.read_in_turn(Side::Client, buffer.filled());
                    if !self.session.is_running() {
                        buffer.filled_mut().zeroize();
                    }
                    moved
                }
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let began = Instant::now();
                    let authenticating = !self.session.is_running();
                    self.policy_now();
                    self.session.handle(Self::now(), Input::ClientBytes(buffer.filled()), &mut self.out);
                    if authenticating {
                        // The buffer outlives the session; this was its token.
                        buffer.filled_mut().zeroize();
                        memory::scrub_stack();
                    }
                    self.settle();
                    if !authenticating {
                        self.gateway.metrics.turn(began.elapsed());
                    }
                    true
                }
                Poll::Ready(_) => {
                    self.client_gone();
                    true
                }
            }
        })
    }

    /// Keeps bytes that complete something large until there is a processor for it.
    fn read_in_turn(&mut self, from: Side, bytes: &[u8]) -> bool {
        let permits = self.gateway.large.clone();
        let turn = Box::pin(async move { permits.acquire_owned().await.ok() });
        self.large = Some(Large { bytes: bytes.to_vec(), from, turn });
        true
    }

    /// Reads something large. The thread's other sessions go on elsewhere in the meantime.
    pub(super) fn poll_large(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(large) = &mut self.large else { return false };
        let Poll::Ready(permit) = large.turn.as_mut().poll(cx) else { return false };
        let Some(Large { bytes, from, turn: _ }) = self.large.take() else { return false };
        tokio::task::block_in_place(|| match from {
            Side::Client => {
                let (began, authenticating) = (Instant::now(), !self.session.is_running());
                self.policy_now();
                self.handle(Input::ClientBytes(&bytes));
                if !authenticating {
                    self.gateway.metrics.turn(began.elapsed());
                }
            }
            Side::Upstream => self.handle(Input::UpstreamBytes(&bytes)),
        });
        drop(permit);
        true
    }

    /// A changed policy holds from the next byte on, whether or not its word has come.
    pub(super) fn policy_now(&mut self) {
        let Some(served) = &self.served else { return };
        let current = served.bundle();
        if self.bundle.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &current)) {
            self.bundle = Some(current.clone());
            self.session.handle(Self::now(), Input::PolicyChanged(current), &mut self.out);
            self.settle();
        }
    }

    fn client_gone(&mut self) {
        self.client_open = false;
        self.out.client = Vec::new();
        self.client_written = 0;
        self.handle(Input::ClientClosed);
    }

    pub(super) fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(upstream) = &mut self.upstream {
            while !self.out.upstream.is_empty() {
                match ready!(Pin::new(&mut *upstream).poll_write(cx, self.out.upstream.as_slice())) {
                    Ok(n) if n > 0 => self.out.upstream.consume(n),
                    _ => break,
                }
            }
            let _ = ready!(Pin::new(upstream).poll_flush(cx));
            self.upstream = None;
        }
        while let Some(rest) = self.out.client.get(self.client_written..)
            && !rest.is_empty()
            && self.client_open
        {
            match ready!(Pin::new(&mut self.client).poll_write(cx, rest)) {
                Ok(n) if n > 0 => self.client_written += n,
                _ => break,
            }
        }
        let _ = ready!(Pin::new(&mut self.client).poll_flush(cx));
        let _ = ready!(Pin::new(&mut self.client).poll_shutdown(cx));
        Poll::Ready(())
    }
}

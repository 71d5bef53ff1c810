//! The loop around one session: moves bytes and time in, carries out effects.
//!
//! Knows sockets and the journal; never looks into a message. One task owns both sockets; nothing is sent over a
//! channel per message.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

use audit::Seq;
use journal::JournalError;
use model::Identity;
use session::{Blocked, Effect, Input, Keep, Now, Outbox, Session, Ticket, UpstreamFailure};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep_until};
use zeroize::Zeroize;

use crate::approval::Approval;
use crate::cancel::{self, CancelHandle, Registration};
use crate::connection::{Connected, Facts};
use crate::gateway::{Gateway, Kept, Served};
use crate::login::Login;
use crate::memory;
use crate::recheck::Recheck;
use crate::roles::Lease;
use crate::stream::{ClientStream, UpstreamStream};
use crate::trust::{Enrolled, Refused, Who, Word};

/// Read at once; shared by all sessions of a thread, so that an idle session has no buffer of its own.
const SCRATCH_BYTES: usize = 64 << 10;
/// Rounds before other tasks of the thread get their turn.
const ROUNDS_MAX: usize = 64;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Bytes that complete something large, which waits for its turn to be read.
struct Large {
    bytes: Vec<u8>,
    from: Side,
    turn: Task<Option<OwnedSemaphorePermit>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a background step of a session came to.
pub(crate) enum Step {
    Verified(Result<session::Credential, session::CredentialFailure>, Option<Box<Recheck>>),
    /// `None`: the system gives no random bytes.
    Found(Option<Box<session::Candidate>>),
    Connected(Result<Box<Connected>, UpstreamFailure>),
}

/// See the module.
pub(crate) struct Shell {
    gateway: Arc<Gateway>,
    served: Option<Arc<Served>>,
    session: Session,
    out: Outbox,
    client: ClientStream,
    upstream: Option<UpstreamStream>,
    cancel: Option<(Arc<CancelHandle>, Registration)>,
    /// The role that the upstream connection is logged in as, where it was made for this session: dropped after the connection.
    lease: Option<Lease>,
    step: Option<Task<Step>>,
    recheck: Option<Box<Recheck>>,
    /// What approvers have been asked last.
    approval: Option<Approval>,
    large: Option<Large>,
    /// A cancel request on its way.
    cancelling: Option<Task<()>>,
    /// Records whose way to the disk is awaited, in order.
    durable: VecDeque<(Ticket, Seq)>,
    progress: tokio::sync::watch::Receiver<Kept>,
    /// Failures of the journal before anything of this session waited.
    failures_seen: u64,
    waiting_for_disk: Option<Task<()>>,
    orders: Task<Order>,
    enrolled: Enrolled,
    /// The server was at work when the session ended: it is to stop, and gets nothing more.
    interrupted: bool,
    deadline: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Holds the lease of the login's credential, if it has one; ready when that ends before the session.
    credential_ends: Option<Task<()>>,
    bundle: Option<Arc<policy::Bundle>>,
    /// Ready when another bundle may be in force.
    policy_changes: Task<()>,
    client_open: bool,
    client_written: usize,
    /// Something was written that TLS may still hold.
    client_unflushed: bool,
    upstream_unflushed: bool,
    ending: bool,
    context: Facts,
}

/// What the gateway tells a session.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Drain,
    End(String),
}

/// Ready when another bundle than those so far is in force.
fn policy_changes(served: Option<&Arc<Served>>) -> Task<()> {
    let Some(mut changes) = served.map(|served| served.changes()) else {
        return Box::pin(std::future::pending());
    };
    Box::pin(async move {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

impl Shell {
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        served: Option<Arc<Served>>,
        session: Session,
        out: Outbox,
        client: ClientStream,
        context: Facts,
        enrolled: Enrolled,
    ) -> Self {
        let progress = gateway.kept();
        let orders = gateway.orders();
        // INVARIANT: before the bundle is looked at, so that no change is missed.
        let policy_changes = policy_changes(served.as_ref());
        let bundle = served.as_ref().map(|served| served.bundle());
        Self {
            gateway,
            served,
            session,
            out,
            client,
            upstream: None,
            cancel: None,
            lease: None,
            step: None,
            recheck: None,
            approval: None,
            large: None,
            cancelling: None,
            durable: VecDeque::new(),
            progress,
            failures_seen: 0,
            waiting_for_disk: None,
            orders,
            enrolled,
            interrupted: false,
            deadline: None,
            credential_ends: None,
            bundle,
            policy_changes,
            client_open: true,
            client_written: 0,
            client_unflushed: false,
            upstream_unflushed: false,
            ending: false,
            context,
        }
    }

    /// Runs the session to its end.
    pub(crate) async fn run(mut self) {
        self.settle();
        poll_fn(|cx| self.poll(cx)).await;
        self.finish().await;
    }

    /// Whether the session is logged in, so that the authentication's deadline no longer counts.
    pub(crate) async fn run_until_started(&mut self) -> bool {
        self.settle();
        poll_fn(|cx| {
            let over = self.poll(cx).is_ready();
            if over || self.session.is_running() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.session.is_running()
    }

    /// Ends a session that took too long to begin.
    pub(crate) async fn give_up(mut self, reason: &str) {
        self.handle(Input::Revoked(reason.to_owned()));
        self.finish().await;
    }

    fn now() -> Now {
        Now { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.session.handle(Self::now(), input, &mut self.out);
        self.settle();
    }

    /// Carries out effects until there are none. Records are written before any byte of the same turn is sent.
    fn settle(&mut self) {
        while !self.out.effects.is_empty() {
            let effects = std::mem::take(&mut self.out.effects);
            let mut appended: Option<(Ticket, Keep)> = None;
            let mut failed: Option<JournalError> = None;
            for effect in effects {
                match effect {
                    Effect::AppendAudit { ticket, keep, event } => {
                        match self.gateway.journal().append_encoded(&event, SystemTime::now()) {
                            Ok(seq) => {
                                let strongest = appended.map_or(keep, |(_, known)| known.max(keep));
                                appended = Some((ticket, strongest));
                                if keep == Keep::Durable {
                                    if self.durable.is_empty() {
                                        self.failures_seen = self.progress.borrow().failures;
                                    }
                                    self.durable.push_back((ticket, seq));
                                }
                            }
                            Err(error) => failed = Some(error),
                        }
                    }
                    Effect::VerifyCredential { token, method } => {
                        self.step =
                            Some(Box::pin(self.context.clone().verify(self.gateway.clone(), token, method)));
                    }
                    Effect::VerifyCertificate => {
                        self.step =
                            Some(Box::pin(self.context.clone().verify_certificate(self.gateway.clone())));
                    }
                    Effect::FindVerifier => {
                        self.step = Some(Box::pin(self.context.clone().find_verifier(self.gateway.clone())));
                    }
                    Effect::ForgetVerifier => self.context.forget_verifier(&self.gateway),
                    Effect::AccountEnds { identity } => {
                        let Identity { subject, attributes, .. } = &*identity;
                        let said = |name: &str| attributes.get(name).map_or("-", String::as_str);
                        let (until, owner) = (said("until"), said("owner"));
                        tracing::warn!(
                            account = subject,
                            until,
                            owner,
                            "a legacy account is in use, and its deadline is near"
                        );
                    }
                    Effect::Connect { parameters, identity, expires_at, keys } => {
                        // Whose it is, the session itself may have found out.
                        if let Err(refused) = self.admit_found(&identity, expires_at) {
                            let blocked = Blocked { identity: *identity, reason: refused.reason };
                            self.session.handle(
                                Self::now(),
                                Input::Blocked(Box::new(blocked)),
                                &mut self.out,
                            );
                        } else if let Some(served) = &self.served {
                            self.enrolled.entry.set_startup(&parameters);
                            self.step = Some(Box::pin(self.context.clone().connect(
                                self.gateway.clone(),
                                served.clone(),
                                Login {
                                    parameters,
                                    identity: Some(identity),
                                    expires_at: Some(expires_at),
                                    keys,
                                },
                            )));
                        }
                    }
                    Effect::AskApproval { asked, ask } => {
                        self.approval = Some(Approval::ask(&self.gateway, asked, *ask));
                    }
                    Effect::WithdrawApproval { asked, why } => {
                        if let Some(approval) = self.approval.take_if(|approval| approval.is(asked)) {
                            approval.withdraw(why);
                        }
                    }
                    Effect::CancelUpstream => {
                        let handle = self.cancel.as_ref().map(|(handle, _)| handle.clone());
                        // Goes on when the session ends in the meantime.
                        let sent = tokio::spawn(async move {
                            let Some(handle) = handle else { return };
                            if let Err(error) = handle.cancel().await {
                                tracing::warn!(
                                    reason = error.reason(),
                                    "the upstream could not be told to cancel"
                                );
                            }
                        });
                        self.cancelling = Some(Box::pin(async move { drop(sent.await) }));
                    }
                    Effect::Interrupt => self.interrupted = true,
                    Effect::Close => self.ending = true,
                }
            }
            self.keep(appended, failed);
        }
    }

    fn keep(&mut self, appended: Option<(Ticket, Keep)>, failed: Option<JournalError>) {
        if let Some(error) = failed {
            return self.journal_failed(&error.to_string());
        }
        let Some((ticket, keep)) = appended else { return };
        if keep == Keep::Soon {
            return;
        }
        match self.gateway.journal().write() {
            Ok(_) => self.session.handle(Self::now(), Input::Written(ticket), &mut self.out),
            Err(error) => return self.journal_failed(&error.to_string()),
        }
        if keep == Keep::Durable
            && let Some((_, seq)) = self.durable.back()
        {
            self.gateway.journal().want_durable(*seq);
        }
    }

    fn journal_failed(&mut self, why: &str) {
        tracing::error!(reason = why, "a record can't be kept; its statement is refused");
        self.gateway.metrics.unrecorded();
        self.durable.clear();
        self.session.handle(Self::now(), Input::JournalFailed(why.to_owned()), &mut self.out);
    }

    /// Moves everything that can be moved; ready when the session is over and the client has been told.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            moved |= self.poll_words(cx);
            moved |= self.poll_orders(cx);
            moved |= self.poll_policy(cx);
            moved |= self.poll_step(cx);
            moved |= self.poll_recheck(cx);
            moved |= self.poll_approval(cx);
            moved |= self.poll_disk(cx);
            moved |= self.poll_large(cx);
            moved |= self.poll_cancelling(cx);
            moved |= self.poll_deadline(cx);
            moved |= self.poll_credential(cx);
            moved |= self.poll_write_upstream(cx);
            moved |= self.poll_write_client(cx);
            if self.ending {
                return Poll::Ready(());
            }
            moved |= self.poll_read_upstream(cx);
            moved |= self.poll_read_client(cx);
            if !moved {
                return if self.ending { Poll::Ready(()) } else { Poll::Pending };
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hears what is said to this session alone.
    fn poll_words(&mut self, cx: &mut Context<'_>) -> bool {
        // The sender is in the entry that `enrolled` holds.
        let Poll::Ready(Some(word)) = self.enrolled.words.poll_recv(cx) else { return false };
        match word {
            Word::End(reason) => self.handle(Input::Revoked(reason)),
            Word::Cancel => self.handle(Input::CancelRequested),
            Word::Tell(answer) => {
                // Whoever asked may have given up.
                let _given_up = answer.send(self.session.activity());
            }
        }
        true
    }

    fn poll_orders(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(order) = self.orders.as_mut().poll(cx) else { return false };
        match order {
            Order::Drain => {
                self.orders = self.gateway.orders_after_drain();
                self.handle(Input::Drain);
            }
            Order::End(reason) => {
                self.orders = Box::pin(std::future::pending());
                self.handle(Input::Revoked(reason));
            }
        }
        true
    }

    /// What runs or waits without a byte from the client feels a changed policy too.
    fn poll_policy(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(()) = self.policy_changes.as_mut().poll(cx) else { return false };
        self.policy_changes = policy_changes(self.served.as_ref());
        self.policy_now();
        true
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(step) = &mut self.step else { return false };
        let done = step.as_mut().poll(cx);
        // Tokens and credentials were worked with just now.
        memory::scrub_stack();
        let Poll::Ready(done) = done else { return false };
        self.step = None;
        match done {
            Step::Verified(Ok(credential), recheck) => {
                self.recheck = recheck;
                self.verified(credential);
            }
            Step::Verified(Err(failure), _) => self.handle(Input::CredentialVerified(Err(failure))),
            Step::Found(Some(candidate)) => self.handle(Input::VerifierFound(candidate)),
            Step::Found(None) => self.handle(Input::Revoked("the system gives no random bytes".to_owned())),
            Step::Connected(Ok(connected)) => {
                let Connected { ready, stream, early, handle, registration, lease, credential } = *connected;
                self.lease = lease;
                self.credential_ends =
                    credential.map(|lease| Box::pin(async move { lease.ended().await }) as Task<()>);
                self.upstream = Some(stream);
                self.enrolled.entry.set_backend_pid(ready.process_id);
                self.cancel = Some((handle, registration));
                self.handle(Input::UpstreamReady(Box::new(ready)));
                if !early.is_empty() {
                    self.handle(Input::UpstreamBytes(&early));
                }
            }
            Step::Connected(Err(failure)) => {
                tracing::warn!(reason = failure.reason, "upstream login failed");
                self.handle(Input::UpstreamFailed(failure));
            }
        }
        true
    }

    /// Notes whose a session is where no credential came by here.
    fn admit_found(&self, identity: &Identity, expires_at: SystemTime) -> Result<(), Refused> {
        let entry = &self.enrolled.entry;
        if entry.who().is_some() {
            return Ok(());
        }
        let method = self.context.method();
        let who = Who { identity: identity.clone(), origin: identity::Origin::default(), method, expires_at };
        self.gateway.trust.identify_as(entry, who, SystemTime::now())
    }

    /// The session is somebody, who may come in or not.
    fn verified(&mut self, credential: session::Credential) {
        match self.gateway.identify(&self.enrolled.entry, &credential.verified) {
            Ok(()) => self.handle(Input::CredentialVerified(Ok(credential))),
            Err(refused) => {
                let identity = credential.verified.identity().clone();
                tracing::info!(%identity, reason = refused.reason, "connection refused");
                self.handle(Input::Blocked(Box::new(Blocked { identity, reason: refused.reason })));
            }
        }
    }

    /// Hands over what the disk has taken, and waits for more only while something waits for it.
    fn poll_recheck(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(recheck) = &mut self.recheck else { return false };
        let Poll::Ready(reason) = recheck.poll(cx) else { return false };
        self.recheck = None;
        // The client is not told why: that is what it would try next.
        tracing::info!(reason, "a credential is no longer believed");
        self.handle(Input::Revoked("the credential is no longer valid".to_owned()));
        true
    }

    fn poll_disk(&mut self, cx: &mut Context<'_>) -> bool {
        if self.durable.is_empty() {
            self.waiting_for_disk = None;
            return false;
        }
        loop {
            let kept = self.progress.borrow_and_update().clone();
            let failed = std::mem::replace(&mut self.failures_seen, kept.failures) != kept.failures;
            if failed && self.durable.front().is_some_and(|(_, seq)| *seq > kept.durable) {
                self.journal_failed(&kept.why);
                self.settle();
                return true;
            }
            let mut last = None;
            while let Some((ticket, seq)) = self.durable.front() {
                if *seq > kept.durable {
                    break;
                }
                last = Some(*ticket);
                self.durable.pop_front();
            }
            if let Some(ticket) = last {
                self.handle(Input::Durable(ticket));
                return true;
            }
            let wait = self.waiting_for_disk.get_or_insert_with(|| {
                let mut progress = self.progress.clone();
                Box::pin(async move {
                    let _ = progress.changed().await;
                })
            });
            match wait.as_mut().poll(cx) {
                Poll::Ready(()) => self.waiting_for_disk = None,
                Poll::Pending => return false,
            }
        }
    }

    /// Hears what becomes of what was asked.
    fn poll_approval(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(approval) = &mut self.approval else { return false };
        let Poll::Ready(answer) = approval.poll(cx) else { return false };
        match answer {
            Some((asked, answer)) => self.handle(Input::Approval { asked, answer: Box::new(answer) }),
            None => self.approval = None,
        }
        true
    }

    fn poll_cancelling(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(cancelling) = &mut self.cancelling else { return false };
        if cancelling.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.cancelling = None;
        self.handle(Input::CancelSent);
        true
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> bool {
        let due = self.session.deadline();
        match (&self.deadline, due) {
            (Some((known, _)), Some(due)) if *known == due => {}
            (_, Some(due)) => self.deadline = Some((due, Box::pin(sleep_until(due.into())))),
            (_, None) => self.deadline = None,
        }
        let Some((_, sleep)) = &mut self.deadline else { return false };
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.deadline = None;
        self.handle(Input::Deadline);
        true
    }

    /// SECURITY: a session doesn't outlive the credential that it was logged in with.
    fn poll_credential(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(ends) = &mut self.credential_ends else { return false };
        if ends.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.credential_ends = None;
        self.handle(Input::Revoked("the lease of the database credential has ended".to_owned()));
        true
    }

    fn poll_write_upstream(&mut self, cx: &mut Context<'_>) -> bool {
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

    fn poll_write_client(&mut self, cx: &mut Context<'_>) -> bool {
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

    fn poll_read_upstream(&mut self, cx: &mut Context<'_>) -> bool {
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

    fn poll_read_client(&mut self, cx: &mut Context<'_>) -> bool {
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
    fn poll_large(&mut self, cx: &mut Context<'_>) -> bool {
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
    fn policy_now(&mut self) {
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

    /// Sends what is left to say, within a second, and closes both connections.
    async fn finish(mut self) {
        self.settle();
        if let (true, Some(stream), Some((handle, _))) =
            (self.interrupted, self.upstream.take(), &self.cancel)
        {
            // What was not yet sent never will be; the client need not wait for what becomes of the rest.
            tokio::spawn(cancel::put_down(stream, handle.clone()));
        }
        let farewell = async {
            let client = poll_fn(|cx| self.poll_farewell(cx));
            client.await;
        };
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), farewell).await;
    }

    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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

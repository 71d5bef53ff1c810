//! The loop around one session: moves bytes and time in, carries out effects.
//!
//! Knows sockets and the journal; never looks into a message. One task owns both sockets; nothing is sent over a
//! channel per message. `effects` carries out what the session wants, `heard` is what comes to it beside bytes, `bytes` moves those;
//! `spans` tells when what happened.

mod bytes;
mod effects;
mod heard;
mod spans;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use audit::Seq;
use session::{Input, Now, Outbox, Session, Ticket, UpstreamFailure};
use tokio::time::Sleep;

use self::bytes::Large;
use crate::approval::Approval;
use crate::cancel::{self, CancelHandle, Registration};
use crate::connection::{Connected, Facts};
use crate::gateway::{Gateway, Served};
use crate::kept::Kept;
use crate::recheck::Recheck;
use crate::recorder::Recorded;
use crate::roles::Lease;
use crate::stream::{ClientStream, UpstreamStream};
use crate::traces::SessionTrace;
use crate::trust::Enrolled;

/// Rounds before other tasks of the thread get their turn.
const ROUNDS_MAX: usize = 64;

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
    /// Where it is recorded, if it is.
    recorded: Option<Recorded>,
    /// What is told of it to a collector of spans, if it is.
    trace: Option<Box<SessionTrace>>,
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
        let recorded = gateway.recorder.as_ref().map(|recorder| recorder.recorded(context.session()));
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
            recorded,
            trace: None,
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
        if self.session.is_running() {
            self.spans_of_login();
        }
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

    /// Sends what is left to say, within a second, and closes both connections.
    async fn finish(mut self) {
        self.settle();
        let trace = self.trace.take();
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
        if let Some(trace) = trace {
            trace.over();
        }
    }
}

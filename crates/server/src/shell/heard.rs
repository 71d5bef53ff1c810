//! Hears what happens beside the bytes: orders, steps that have come to an end, the disk, the clock. Moves no byte.

use std::task::{Context, Poll};
use std::time::SystemTime;

use model::Identity;
use session::{Blocked, Input};
use tokio::time::sleep_until;

use super::{Order, Shell, Step, Task, policy_changes};
use crate::connection::Connected;
use crate::memory;
use crate::trust::{Refused, Who, Word};

impl Shell {
    /// Hears what is said to this session alone.
    pub(super) fn poll_words(&mut self, cx: &mut Context<'_>) -> bool {
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

    pub(super) fn poll_orders(&mut self, cx: &mut Context<'_>) -> bool {
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
    pub(super) fn poll_policy(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(()) = self.policy_changes.as_mut().poll(cx) else { return false };
        self.policy_changes = policy_changes(self.served.as_ref());
        self.policy_now();
        true
    }

    pub(super) fn poll_step(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(step) = &mut self.step else { return false };
        let done = step.as_mut().poll(cx);
        // Tokens and credentials were worked with just now.
        memory::scrub_stack();
        let Poll::Ready(done) = done else { return false };
        self.step = None;
        self.span_ends(&done);
        match done {
            Step::Verified(Ok(credential), recheck) => {
                self.recheck = recheck;
                self.verified(credential);
            }
            Step::Verified(Err(failure), _) => self.handle(Input::CredentialVerified(Err(failure))),
            Step::Found(Some(candidate)) => self.handle(Input::VerifierFound(candidate)),
            Step::Found(None) => self.handle(Input::Revoked("the system gives no random bytes".to_owned())),
            Step::Connected(Ok(connected)) => {
                let Connected { ready, stream, early, handle, registration, lease, role: _, credential } =
                    *connected;
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
                let session = self.context.session();
                tracing::warn!(%session, reason = failure.reason, "upstream login failed");
                self.handle(Input::UpstreamFailed(failure));
            }
        }
        true
    }

    /// Notes whose a session is where no credential came by here.
    pub(super) fn admit_found(&self, identity: &Identity, expires_at: SystemTime) -> Result<(), Refused> {
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
                let (session, who) = (self.context.session(), identity.to_string());
                tracing::info!(%session, identity = who, reason = refused.reason, "connection refused");
                self.handle(Input::Blocked(Box::new(Blocked { identity, reason: refused.reason })));
            }
        }
    }

    pub(super) fn poll_recheck(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(recheck) = &mut self.recheck else { return false };
        let Poll::Ready(reason) = recheck.poll(cx) else { return false };
        self.recheck = None;
        // The client is not told why: that is what it would try next.
        let session = self.context.session();
        tracing::info!(%session, reason, "a credential is no longer believed");
        self.handle(Input::Revoked("the credential is no longer valid".to_owned()));
        true
    }

    /// Hands over what the disk has taken, and waits for more only while something waits for it.
    pub(super) fn poll_disk(&mut self, cx: &mut Context<'_>) -> bool {
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
    pub(super) fn poll_approval(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(approval) = &mut self.approval else { return false };
        let Poll::Ready(answer) = approval.poll(cx) else { return false };
        match answer {
            Some((asked, answer)) => self.handle(Input::Approval { asked, answer: Box::new(answer) }),
            None => self.approval = None,
        }
        true
    }

    pub(super) fn poll_cancelling(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(cancelling) = &mut self.cancelling else { return false };
        if cancelling.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.cancelling = None;
        self.handle(Input::CancelSent);
        true
    }

    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> bool {
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
    pub(super) fn poll_credential(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(ends) = &mut self.credential_ends else { return false };
        if ends.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.credential_ends = None;
        self.handle(Input::Revoked("the lease of the database credential has ended".to_owned()));
        true
    }
}

//! Carries out what a session wants done: records, questions, steps in the background. Moves no byte.

use std::time::SystemTime;

use audit::Seq;
use journal::JournalError;
use model::{Identity, SessionId};
use session::{Blocked, Effect, Input, Keep, Ticket, Trace, Traced};

use super::{Shell, Step};
use crate::approval::Approval;
use crate::login::Login;
use crate::{recorder, traces};

/// What became of the records of one turn.
#[derive(Default)]
struct Records {
    /// The last that was appended, and how well the strongest of them must be kept.
    appended: Option<(Ticket, Keep)>,
    failed: Option<JournalError>,
    /// Traced statements that are over with them.
    over: Vec<Traced>,
}

impl Shell {
    /// Carries out effects until there are none. Records are written before any byte of the same turn is sent.
    pub(super) fn settle(&mut self) {
        while !self.out.effects.is_empty() {
            let effects = std::mem::take(&mut self.out.effects);
            let mut records = Records::default();
            for effect in effects {
                self.carry_out(effect, &mut records);
            }
            let over = std::mem::take(&mut records.over);
            self.keep(records);
            self.spans_of_statements(&over);
        }
        // Of every turn, whatever brought it: what is taken down is held by nobody else.
        self.record_tape();
    }

    fn carry_out(&mut self, effect: Effect, records: &mut Records) {
        match effect {
            Effect::Trace(Trace::Decided(number)) => self.span_decided(number),
            Effect::Trace(Trace::Ended(traced)) => records.over.push(*traced),
            Effect::AppendAudit { ticket, keep, event } => {
                match self.gateway.journal().append_encoded(&event, SystemTime::now()) {
                    Ok(seq) => self.appended((ticket, keep), seq, records),
                    Err(error) => records.failed = Some(error),
                }
            }
            Effect::VerifyCredential { token, method } => {
                self.span_begins(traces::Step::Credential);
                self.step(self.context.clone().verify(self.gateway.clone(), token, method));
            }
            Effect::VerifyCertificate => {
                self.span_begins(traces::Step::Credential);
                self.step(self.context.clone().verify_certificate(self.gateway.clone()));
            }
            Effect::FindVerifier => {
                self.span_begins(traces::Step::Verifier);
                self.step(self.context.clone().find_verifier(self.gateway.clone()));
            }
            Effect::ForgetVerifier => self.context.forget_verifier(&self.gateway),
            Effect::AccountEnds { identity } => warn_of_end(self.context.session(), &identity),
            Effect::Connect { parameters, identity, expires_at, keys } => {
                self.connect(identity, expires_at, Login { parameters, keys, ..Login::default() });
            }
            Effect::AskApproval { asked, ask } => {
                self.approval = Some(Approval::ask(&self.gateway, asked, *ask));
            }
            Effect::WithdrawApproval { asked, why } => {
                if let Some(approval) = self.approval.take_if(|approval| approval.is(asked)) {
                    approval.withdraw(why);
                }
            }
            Effect::CancelUpstream => self.cancel_upstream(),
            Effect::Interrupt => self.interrupted = true,
            Effect::Close => self.ending = true,
        }
    }

    /// Has what the session took down recorded.
    fn record_tape(&mut self) {
        while let (Some(recorded), Some(taken)) = (&mut self.recorded, self.session.take_tape()) {
            if recorded.take(taken.opening, taken.entries, taken.must) == recorder::Taken::Stop {
                let reason = "the session can't be recorded, and its policy lets none go on unrecorded";
                self.session.handle(Self::now(), Input::Revoked(reason.to_owned()), &mut self.out);
                self.settle();
            }
        }
    }

    fn step(&mut self, step: impl Future<Output = Step> + Send + 'static) {
        self.step = Some(Box::pin(step));
    }

    fn appended(&mut self, (ticket, keep): (Ticket, Keep), seq: Seq, records: &mut Records) {
        let strongest = records.appended.map_or(keep, |(_, known)| known.max(keep));
        records.appended = Some((ticket, strongest));
        if keep == Keep::Durable {
            if self.durable.is_empty() {
                self.failures_seen = self.progress.borrow().failures;
            }
            self.durable.push_back((ticket, seq));
        }
    }

    fn connect(&mut self, identity: Box<Identity>, expires_at: SystemTime, login: Login) {
        // Whose it is, the session itself may have found out.
        if let Err(refused) = self.admit_found(&identity, expires_at) {
            let blocked = Blocked { identity: *identity, reason: refused.reason };
            self.session.handle(Self::now(), Input::Blocked(Box::new(blocked)), &mut self.out);
        } else if let Some(served) = &self.served {
            self.enrolled.entry.set_startup(&login.parameters);
            let login = Login { identity: Some(identity), expires_at: Some(expires_at), ..login };
            let step = self.context.clone().connect(self.gateway.clone(), served.clone(), login);
            self.span_begins(traces::Step::Connect);
            self.step(step);
        }
    }

    fn cancel_upstream(&mut self) {
        let handle = self.cancel.as_ref().map(|(handle, _)| handle.clone());
        let session = self.context.session();
        // Goes on when the session ends in the meantime.
        let sent = tokio::spawn(async move {
            let Some(handle) = handle else { return };
            if let Err(error) = handle.cancel().await {
                tracing::warn!(%session, reason = error.reason(), "the upstream could not be told to cancel");
            }
        });
        self.cancelling = Some(Box::pin(async move { drop(sent.await) }));
    }

    fn keep(&mut self, Records { appended, failed, over: _ }: Records) {
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

    pub(super) fn journal_failed(&mut self, why: &str) {
        let session = self.context.session();
        tracing::error!(%session, reason = why, "a record can't be kept; its statement is refused");
        self.gateway.metrics.unrecorded();
        self.durable.clear();
        self.session.handle(Self::now(), Input::JournalFailed(why.to_owned()), &mut self.out);
    }
}

fn warn_of_end(session: SessionId, identity: &Identity) {
    let Identity { subject, attributes, .. } = identity;
    let said = |name: &str| attributes.get(name).map_or("-", String::as_str);
    let (until, owner) = (said("until"), said("owner"));
    tracing::warn!(
        %session,
        account = subject,
        until,
        owner,
        "a legacy account is in use, and its deadline is near"
    );
}

//! A session that is logged in on both sides: its books, and the loop that moves it on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use approval::Ended;
use audit::{Completion, Encoded, Event, Fragment};
use model::{ClientAddr, SessionId};
use policy::Bundle;
use querytree::ServerVersion;
use wire::backend::encode;
use wire::error::ErrorFields;

use crate::approved::Approved;
use crate::authorize::{self, Allowed, Judged, Quotes};
use crate::catalog::Catalog;
use crate::cost::Costing;
use crate::effect::{Effect, Keep, Outbox};
use crate::extended::{Portal, Prepared};
use crate::forward::{self, Housekeeping, InProgress, ParseMessage};
use crate::held::Holdings;
use crate::hold::Holding;
use crate::input::Now;
use crate::inquiry::Inquiry;
use crate::mode::Modes;
use crate::names::Names;
use crate::namespace::{Namespace, OpNumber};
use crate::ops::{Bracket, Deferred, HiddenKind, Op, OpKind, Run};
use crate::quota::{Quota, Spent};
use crate::record::{Ledger, Receipt, Ticket, Written};
use crate::refuse::{self, Refusal};
use crate::scope::Scope;
use crate::script::Script;
use crate::shared::Database;
use crate::shown::Shown;
use crate::stop::Stop;
use crate::tape::Tape;
use crate::trace::Tracing;
use crate::unapproved::Unapproved;

/// What one call of `handle` works with.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) out: &'a mut Outbox,
}

/// Why no further client message is looked at.
pub(crate) enum Waiting {
    /// The server has been asked, or will be when what is deferred has been sent.
    Answer(Box<Inquiry>),
    /// The server has been asked, or will be, what a statement would cost.
    Cost(Box<Costing>),
    /// Approvers have been asked, or will be.
    Approval(Box<Holding>),
    /// COPY FROM STDIN has been sent, as this message: what follows depends on whether the server takes it.
    CopyStart(OpNumber),
}

/// COPY FROM STDIN, both sides in copy mode.
pub(crate) struct CopyIn {
    pub(crate) token: InProgress,
}

/// The transaction status of the last ReadyForQuery.
pub(crate) use wire::backend::TransactionStatus as Status;

/// See the module.
pub(crate) struct Running {
    pub(crate) id: SessionId,
    pub(crate) expires: Instant,
    pub(crate) database: Arc<Database>,
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) scope: Scope,
    pub(crate) form: Fragment,
    pub(crate) client: ClientAddr,
    pub(crate) application_name: Option<String>,
    pub(crate) version: ServerVersion,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) overlay: Catalog,
    /// Generation of names and epoch that the overlay belongs to.
    pub(crate) overlay_of: (u64, u64),
    /// When it was begun: what is in it is no older.
    pub(crate) overlay_since: Instant,
    /// Something in it was asked within a transaction, which may see another catalog than other sessions do.
    pub(crate) overlay_private: bool,
    pub(crate) ledger: Ledger,
    pub(crate) names: Names,
    pub(crate) holdings: Holdings,
    pub(crate) statements: Namespace<Prepared>,
    pub(crate) portals: Namespace<Portal>,
    /// What has run in the open transaction that may have opened cursors which no statement shows.
    pub(crate) openers: Vec<policy::Touch>,
    pub(crate) ops: VecDeque<Op>,
    pub(crate) deferred: VecDeque<Deferred>,
    pub(crate) op_last: OpNumber,
    pub(crate) waiting: Option<Waiting>,
    /// Messages are ignored until Sync, as the server does after an error.
    pub(crate) skipping: bool,
    /// Messages of the client's have gone out since the last Sync.
    pub(crate) pipeline_open: bool,
    /// Among them something that was bound.
    pub(crate) pipeline_bound: bool,
    pub(crate) script: Option<Script>,
    /// The COMMIT of a script failed.
    pub(crate) bracket_error: bool,
    pub(crate) copy_in: Option<CopyIn>,
    /// The server gave up a COPY in the middle of a message whose rest must still come.
    pub(crate) copy_broken: Option<InProgress>,
    pub(crate) copy_out: Option<Box<mask::copy::CopyMasker>>,
    pub(crate) status: Status,
    /// Masked values that this session was shown.
    pub(crate) shown: Shown,
    /// What errors and notices of all that has run in the transaction that is open, or that will, may quote: its deferred
    /// work can fail as late as at the commit.
    pub(crate) quotes: Quotes,
    /// Why text can't be relied on to mean what it seems to, if so.
    pub(crate) text_unsafe: Option<String>,
    /// The bundle's limits.
    pub(crate) quota: Quota,
    pub(crate) stop: Stop,
    /// Rows that were fetched from cursors which a function has opened.
    pub(crate) opened_spent: Arc<Spent>,
    pub(crate) client_in: Vec<u8>,
    /// Bytes of a client message that are still to be passed on, or dropped.
    pub(crate) client_passing: usize,
    pub(crate) client_skipping: usize,
    pub(crate) upstream_in: Vec<u8>,
    /// Bytes of an upstream message that are still to be passed on, or dropped.
    pub(crate) upstream_passing: usize,
    pub(crate) upstream_drops: bool,
    pub(crate) statement_last: u64,
    pub(crate) bytes_out: u64,
    /// The open transaction has changed objects that others see.
    pub(crate) defining: bool,
    /// And with it somebody may have been given what others don't have.
    pub(crate) naming_roles: bool,
    /// How often roles had been named when it was seen that this login has the rights of its scope's role and no others. `None`: it is
    /// one login for all, which can't differ from itself, or shares nothing any more.
    pub(crate) alike_since: Option<u64>,
    pub(crate) draining: bool,
    /// How many times approvers were asked.
    pub(crate) asked_last: u64,
    /// Whether the client waits for approvers, or sends its statement again.
    pub(crate) mode: Modes,
    /// What is known of the statement that comes next, where statements are traced.
    pub(crate) tracing: Option<Box<Tracing>>,
    /// What the client sends and receives, where that is recorded.
    pub(crate) tape: Option<Box<Tape>>,
    /// The client has gone or said that it goes: the session ends when what it has sent is done.
    pub(crate) leaving: Option<&'static str>,
    pub(crate) closed: bool,
}

impl Running {
    /// Puts another policy in force, for what waits for its record as well.
    pub(crate) fn scope_changed(&mut self, bundle: Arc<Bundle>, turn: &mut Turn<'_>) {
        self.scope = self.scope.with_bundle(&bundle);
        if let Some(tape) = &mut self.tape {
            tape.look(&turn.out.client, turn.now.monotonic);
            tape.change(&bundle, &self.scope.identity().groups, turn.now.monotonic);
        }
        self.bundle = bundle;
        self.quota.change(&self.scope, &self.bundle, &self.database);
        let now = turn.now;
        self.refuse_deferred(turn, |session, run| {
            let judged = session.judge(&run.judged.analysis, now);
            match judged.refuses() {
                Some(Refusal::ApprovalRequired { .. }) if run.judged.approved.is_some() => {
                    Some(Unapproved::changed(run.judged.approved.as_ref().map(|known| known.number())))
                }
                Some(refusal) => Some(refusal.clone()),
                // Rows are masked as was decided before; another mask needs another execution.
                None if judged.masks != run.judged.masks => {
                    Some(Refusal::Changed("the policy has changed while it waited to be recorded".to_owned()))
                }
                None => None,
            }
        });
        // Deferred work of the transaction may quote by now what was no secret when it was decided.
        let settings = &self.database.settings;
        let masking = (settings.enforce || settings.mask) && !self.bundle.tag_patterns().is_empty();
        if masking && !self.at_rest() {
            self.quotes = Quotes::Values;
        }
        if let Some(reason) = self.withdrawn(now) {
            return self.terminate(&reason, turn);
        }
        self.hold_again(turn);
    }

    /// Why something that the server is at may not go on under the policy that is in force now, if so. What it may have changed, and
    /// what was sent behind it, can't be told from here: only the session's end surely leaves nothing of it.
    fn withdrawn(&self, now: Now) -> Option<String> {
        let running = self.ops.iter().filter_map(|op| op.kind.run()).filter(|run| !run.done && !run.failed);
        running.into_iter().find_map(|run| {
            // What approvers have agreed to, they have agreed to for this execution.
            let judged = self.judge_with(&run.judged.analysis, run.judged.approved.as_ref(), now);
            match judged.refuses() {
                Some(refusal) => Some(format!("the policy has changed while a statement ran: {refusal}")),
                None if judged.masks != run.judged.masks || judged.hides_sizes != run.judged.hides_sizes => {
                    Some(
                        "the policy has changed: what a running statement returns is masked otherwise now"
                            .to_owned(),
                    )
                }
                None => None,
            }
        })
    }

    /// Moves everything on that can be moved on.
    pub(crate) fn pump(&mut self, turn: &mut Turn<'_>) {
        loop {
            let before = self.progress_mark();
            self.release_deferred(turn);
            self.pump_upstream(turn);
            self.pump_client(turn);
            if self.closed || self.progress_mark() == before {
                break;
            }
        }
        if let Some(reason) = self.leaving
            && self.ops.is_empty()
            && self.deferred.is_empty()
            && self.waiting.is_none()
        {
            self.close(reason, turn);
        }
        if self.draining && !self.closed && self.at_rest() {
            self.terminate("the gateway is shutting down", turn);
        }
    }

    /// Changes whenever something was consumed or begun; equal before and after means that nothing moves.
    fn progress_mark(&self) -> (usize, usize, usize, usize, u64, bool) {
        (
            self.client_in.len() + self.client_passing + self.client_skipping,
            self.upstream_in.len() + self.upstream_passing,
            self.deferred.len(),
            self.ops.len(),
            self.op_last.0,
            self.waiting.is_some(),
        )
    }

    fn at_rest(&self) -> bool {
        self.ops.is_empty()
            && self.deferred.is_empty()
            && self.waiting.is_none()
            && self.status == Status::Idle
    }

    /// Returns whether the server is at work for this session.
    pub(crate) fn busy(&self) -> bool {
        !self.ops.is_empty()
    }

    pub(crate) fn next_op(&mut self, kind: OpKind) -> Op {
        self.op_last.0 += 1;
        Op { number: self.op_last, kind }
    }

    /// Sends a message, or queues it behind those that wait for the journal.
    pub(crate) fn dispatch(&mut self, message: Deferred, turn: &mut Turn<'_>) {
        self.deferred.push_back(message);
        self.release_deferred(turn);
    }

    /// Sends what is deferred, as far as records are on disk.
    pub(crate) fn release_deferred(&mut self, turn: &mut Turn<'_>) {
        while let Some(message) = self.deferred.pop_front() {
            if let Some(kept) = self.send(message, turn) {
                self.deferred.push_front(kept);
                return;
            }
        }
        match &self.waiting {
            Some(Waiting::Answer(_)) => self.send_inquiry(turn),
            Some(Waiting::Cost(_)) => self.send_costing(turn),
            Some(Waiting::Approval(_)) => self.drain_for_hold(turn),
            Some(Waiting::CopyStart(_)) | None => {}
        }
    }

    /// The receipt of what changes nothing, once its record is kept as strongly as that was asked for.
    fn receipt(&self, op: &Op, ticket: Ticket) -> Option<Receipt<Written>> {
        let durable =
            op.kind.run().is_none_or(|run| !run.judged.analysis.reads_only || run.judged.sync_reads);
        if durable { self.ledger.durable(ticket).map(Receipt::weaken) } else { self.ledger.written(ticket) }
    }

    fn send(&mut self, message: Deferred, turn: &mut Turn<'_>) -> Option<Deferred> {
        let (now, out) = (turn.now.monotonic, &mut turn.out.upstream);
        self.pipeline_open |= match &message {
            Deferred::Run { op, .. } => matches!(op.kind, OpKind::Execute(_)),
            Deferred::Parse { .. } | Deferred::Bind { .. } | Deferred::Fail { .. } => true,
            Deferred::Client { op, .. } => op.as_ref().is_some_and(|op| !matches!(op.kind, OpKind::Sync)),
            Deferred::Bracket { .. } => false,
        };
        match message {
            Deferred::Run { allowed, ticket, message, op } => match allowed {
                Allowed::Read(permit) => {
                    let Some(receipt) = self.receipt(&op, ticket) else {
                        return Some(Deferred::Run { allowed: Allowed::Read(permit), ticket, message, op });
                    };
                    forward::forward_read(out, permit, receipt, &message);
                    self.under_way(op, now);
                }
                Allowed::Prepare(permit) => {
                    let Some(receipt) = self.receipt(&op, ticket) else {
                        let allowed = Allowed::Prepare(permit);
                        return Some(Deferred::Run { allowed, ticket, message, op });
                    };
                    forward::forward_prepare(out, permit, receipt, &message);
                    self.under_way(op, now);
                }
                Allowed::Write(permit) => {
                    let Some(receipt) = self.ledger.durable(ticket) else {
                        return Some(Deferred::Run { allowed: Allowed::Write(permit), ticket, message, op });
                    };
                    let token = forward::forward_write(out, permit, receipt, &message);
                    let mut op = op;
                    if let Some(run) = op.kind.run_mut() {
                        run.token = Some(token);
                    }
                    self.under_way(op, now);
                }
            },
            Deferred::Parse { permit, message, op } => {
                if let Some(message) = ParseMessage::new(&message) {
                    forward::forward_parse(out, &permit, message);
                    self.ops.push_back(op);
                }
            }
            Deferred::Bind { allowed, message, op } => {
                match &allowed {
                    Allowed::Read(permit) => forward::forward_binding(out, permit, &message),
                    Allowed::Write(permit) => forward::forward_binding(out, permit, &message),
                    Allowed::Prepare(permit) => forward::forward_binding(out, permit, &message),
                }
                self.ops.push_back(op);
            }
            Deferred::Client { message, op } => {
                // What was deferred before it is closed by it.
                self.pipeline_open &= !op.as_ref().is_some_and(|op| matches!(op.kind, OpKind::Sync));
                if let Some(message) = forward::ClientHousekeeping::new(&message) {
                    forward::housekeeping(out, Housekeeping::Client(message));
                    self.ops.extend(op);
                }
            }
            Deferred::Fail { close, op } => {
                if let Some((close, name)) = close {
                    forward::housekeeping(out, Housekeeping::CloseStatement(&name));
                    self.ops.push_back(close);
                }
                let fail = match op.kind {
                    OpKind::Refused { simple: true, .. } => Housekeeping::FailSimple,
                    _ => Housekeeping::FailExtended,
                };
                forward::housekeeping(out, fail);
                self.ops.push_back(op);
            }
            Deferred::Bracket { bracket, op } => {
                let message = match bracket {
                    Bracket::Begin => Housekeeping::Begin,
                    Bracket::Commit => Housekeeping::Commit,
                    Bracket::Rollback | Bracket::Abandon => Housekeeping::Rollback,
                };
                forward::housekeeping(out, message);
                self.ops.push_back(op);
            }
        }
        None
    }

    /// A statement has been sent.
    fn under_way(&mut self, mut op: Op, now: Instant) {
        if let Some(run) = op.kind.run_mut() {
            run.trace_sent(now);
        }
        self.ops.push_back(op);
    }

    /// Appends a record.
    pub(crate) fn append(&mut self, event: Encoded, keep: Keep, turn: &mut Turn<'_>) -> Ticket {
        let ticket = self.ledger.issue();
        turn.out.effects.push(Effect::AppendAudit { ticket, keep, event });
        ticket
    }

    /// Remembers, or works out, what the policy says of an analysed statement.
    pub(crate) fn judge(&self, analysis: &Arc<crate::analysis::Analysis>, now: Now) -> Arc<Judged> {
        self.judge_with(analysis, None, now)
    }

    /// Likewise, with what approvers have agreed to.
    pub(crate) fn judge_with(
        &self,
        analysis: &Arc<crate::analysis::Analysis>,
        approved: Option<&Arc<Approved>>,
        now: Now,
    ) -> Arc<Judged> {
        let settings = &self.database.settings;
        let judged =
            authorize::judge(analysis.clone(), &self.bundle, &self.scope, settings, now.wall, approved);
        Arc::new(judged)
    }

    /// The same judgement if the policy is still the one that it was made under, else a new one. What was approved, was under that.
    pub(crate) fn rejudge(&self, judged: &Arc<Judged>, now: Now) -> Arc<Judged> {
        if judged.scope == self.scope.id() && !self.bundle.depends_on_time() {
            return judged.clone();
        }
        let approved = judged.approved.as_ref().filter(|approved| approved.is_of(&self.bundle));
        self.judge_with(&judged.analysis, approved, now)
    }

    /// The server's answer to an upstream message that breaks the protocol, or to a contradiction: the session ends.
    pub(crate) fn fail(&mut self, error: &ErrorFields, reason: &str, turn: &mut Turn<'_>) {
        if self.closed {
            return;
        }
        // A message that is half passed on can't be followed by an error: the client would read it as data.
        if !self.is_within_message() {
            encode::error_response(&mut turn.out.client, error);
        }
        self.close(reason, turn);
    }

    /// Ends the session for a reason that the client is told with SQLSTATE 57P01.
    pub(crate) fn terminate(&mut self, reason: &str, turn: &mut Turn<'_>) {
        self.fail(&refuse::termination(reason), reason, turn);
    }

    /// Ends the session: what runs is cancelled, both connections are closed, and that is recorded.
    pub(crate) fn close(&mut self, reason: &str, turn: &mut Turn<'_>) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.withdraw_hold(if self.draining { Ended::Lost } else { Ended::SessionEnded }, turn);
        self.trace_abandoned(turn);
        if self.busy() {
            turn.out.effects.push(Effect::Interrupt);
        }
        for op in std::mem::take(&mut self.ops) {
            if let OpKind::Execute(mut run) | OpKind::Query(mut run) = op.kind {
                self.record_outcome(&mut run, Completion::Lost("the session ended"), turn);
            }
        }
        forward::housekeeping(&mut turn.out.upstream, Housekeeping::Terminate);
        let event = Event::Disconnected {
            session: self.id,
            client: self.client,
            identity: Some(&self.form),
            database: Some(&self.database.settings.name),
            reason,
            statements: self.statement_last,
            bytes: self.bytes_out,
        }
        .encode();
        self.append(event, Keep::Soon, turn);
        self.tape_ends(reason, turn);
        turn.out.effects.push(Effect::Close);
    }

    /// Whether bytes from the upstream would only pile up.
    pub(crate) fn held_back(&self) -> bool {
        self.closed
    }

    /// The journal can't keep records: what waits for one is refused in its place, and has not been sent.
    pub(crate) fn journal_lost(&mut self, why: &str, turn: &mut Turn<'_>) {
        self.refuse_deferred(turn, |_, _| Some(Refusal::Unrecorded(why.to_owned())));
    }

    /// Refuses statements that are not yet sent, each in its place in the pipeline.
    fn refuse_deferred(&mut self, turn: &mut Turn<'_>, refuses: impl Fn(&Self, &Run) -> Option<Refusal>) {
        let mut kept = VecDeque::new();
        let mut dropping = false;
        let mut refused = Vec::new();
        for mut message in std::mem::take(&mut self.deferred) {
            if dropping {
                let sync = matches!(&message, Deferred::Client { op: Some(op), .. } if matches!(op.kind, OpKind::Sync));
                if !sync {
                    if let Some(op) = message.op() {
                        refused.push(op.number);
                        self.statements.abandon(op.number);
                        self.portals.abandon(op.number);
                    }
                    continue;
                }
                dropping = false;
            }
            let refusal = match &message {
                Deferred::Run { op, .. } => op.kind.run().and_then(|run| refuses(self, run)),
                _ => None,
            };
            let (Deferred::Run { op, .. }, Some(refusal)) = (&mut message, refusal) else {
                kept.push_back(message);
                continue;
            };
            self.statements.abandon(op.number);
            self.portals.abandon(op.number);
            refused.push(op.number);
            let simple = matches!(op.kind, OpKind::Query(_));
            let error = Box::new(refusal.error());
            if let (Some(run), Some(state)) = (op.kind.run_mut(), error.sqlstate()) {
                run.trace_refused(state.as_str(), turn);
            }
            let statement = op.kind.run().map_or(self.statement_last, |run| run.number);
            let op = Op { number: op.number, kind: OpKind::Refused { error, simple, statement } };
            kept.push_back(Deferred::Fail { close: None, op });
            dropping = !simple;
        }
        self.deferred = kept;
        self.skipping |= dropping;
        for op in refused {
            self.end_copy_wait(op);
        }
        self.release_deferred(turn);
    }

    /// Hidden brackets of a script and the like.
    pub(crate) fn bracket(&mut self, bracket: Bracket, turn: &mut Turn<'_>) {
        let op = self.next_op(OpKind::Hidden(HiddenKind::Bracket(bracket)));
        self.dispatch(Deferred::Bracket { bracket, op }, turn);
    }
}

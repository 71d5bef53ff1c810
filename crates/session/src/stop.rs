//! Stopping a statement that has reached a limit while it runs, so that client and server agree that it failed.
//!
//! The server is asked to cancel, and unless the statement is only late, what it still sends of it goes no further. Its error is replaced. If the
//! statement was done before the server noticed, the server is made to fail there; nothing that could be kept by then may
//! have been sent, so what follows a statement whose rows are limited waits until that is answered.

use std::time::{Duration, Instant};

use audit::{Completion, Event};
use policy::LimitKind;
use wire::backend::encode;
use wire::error::ErrorFields;
use wire::frame::{FrameError, Header};
use wire::frontend::{encode as frontend, tag};
use wire::sqlstate::{self, SqlState};

use crate::authorize::Judged;
use crate::effect::{Effect, Keep};
use crate::forward::{self, Housekeeping};
use crate::namespace::OpNumber;
use crate::ops::{Deferred, Op, OpKind};
use crate::quota::{Quota, Reached};
use crate::running::{Running, Status, Turn};

/// How long the server may take to notice that it should stop. Then the session ends, and with it the server's process.
const STOP_MAX: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Default)]
pub(crate) struct Stop {
    /// What follows this statement waits.
    hold: Option<Hold>,
    stopped: Option<Stopped>,
    /// A cancel request is on its way: what is sent now could be what it cancels.
    cancelling: bool,
    /// What a cancelled statement is told that the request was not meant for.
    cancelled: Option<ErrorFields>,
    failing: Failing,
    /// Statements of the extended protocol have been sent since the last Sync.
    pub(crate) pipeline_ran: bool,
    /// What is being answered, and since when the server is at it or at what prepares it.
    busy: Option<(OpNumber, Instant)>,
    /// It is no statement: the server tells of what it has prepared only when it has run it.
    prepares: bool,
    /// Since when nothing is under way.
    rest: Option<Instant>,
}

struct Hold {
    op: OpNumber,
    /// A Sync that follows at once can only end what has changed nothing.
    sync_passes: bool,
    /// The server must still be told to send what it has.
    wants_flush: bool,
}

struct Stopped {
    op: OpNumber,
    reached: Reached,
    until: Instant,
}

/// Making a transaction fail whose last statement was done before it was stopped.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Failing {
    #[default]
    No,
    /// At the next ReadyForQuery, if a transaction is open.
    AtReady,
    /// The message that fails has been sent.
    Sent,
}

/// Whether the server is at work for it, and not only for what follows.
fn works(kind: &OpKind) -> bool {
    matches!(kind, OpKind::Execute(_) | OpKind::Query(_) | OpKind::Flight)
}

impl Stop {
    /// For a session that begins now, and so is idle.
    pub(crate) fn begun(now: Instant) -> Self {
        Self { rest: Some(now), ..Self::default() }
    }
}

impl Running {
    /// Remembers that what follows a statement must wait, if its rows are limited.
    pub(crate) fn hold_after(&mut self, judged: &Judged, op: OpNumber, extended: bool) {
        if self.quota.limits_rows() && Quota::counts(&judged.analysis) {
            let sync_passes = extended && judged.analysis.reads_only && !self.stop.pipeline_ran;
            self.stop.hold = Some(Hold { op, sync_passes, wants_flush: extended });
        }
        self.stop.pipeline_ran = extended;
    }

    /// Whether the client's next message has to wait.
    pub(crate) fn holds_back(
        &mut self,
        next: &Result<Option<Header>, FrameError>,
        turn: &mut Turn<'_>,
    ) -> bool {
        self.forget_stopped();
        if self.stop.cancelling || self.stop.stopped.is_some() || self.stop.failing != Failing::No {
            return true;
        }
        let Some(hold) = &mut self.stop.hold else { return false };
        let op = hold.op;
        let pending = self.ops.iter().any(|known| known.number == op)
            || self.deferred.iter().any(|known| known.op().is_some_and(|known| known.number == op));
        if !pending {
            self.stop.hold = None;
            return false;
        }
        let Ok(Some(next)) = next else { return false };
        match next.tag {
            tag::SYNC if hold.sync_passes => {
                hold.sync_passes = false;
                hold.wants_flush = false;
                false
            }
            tag::FLUSH | tag::TERMINATE => false,
            _ => {
                if std::mem::take(&mut hold.wants_flush) {
                    let mut message = Vec::new();
                    frontend::flush(&mut message);
                    self.dispatch(Deferred::Client { message, op: None }, turn);
                }
                true
            }
        }
    }

    /// Whether a message is being passed on to the client that isn't whole yet.
    pub(crate) fn is_within_message(&self) -> bool {
        self.upstream_passing > 0 && !self.upstream_drops
    }

    /// Whether the statement that is being answered was stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        let front = self.ops.front().map(|op| op.number);
        self.stop.stopped.as_ref().is_some_and(|stopped| Some(stopped.op) == front)
    }

    /// Whether what still comes of the statement that is being answered goes no further. What is only late may yet be done in
    /// time for the server: then the client must have all of it.
    pub(crate) fn drops_rows(&self) -> bool {
        let may_pass = |stopped: &Stopped| stopped.reached.state() == sqlstate::QUERY_CANCELED;
        self.is_stopped() && !self.stop.stopped.as_ref().is_some_and(may_pass)
    }

    /// Counts rows on their way; `false` if the statement is stopped before them.
    pub(crate) fn take_rows(&mut self, rows: u64, bytes: usize, turn: &mut Turn<'_>) -> bool {
        if self.drops_rows() {
            return false;
        }
        let stopped = self.is_stopped();
        let Some(run) = self.ops.front_mut().and_then(|op| op.kind.run_mut()) else { return true };
        let bytes = bytes as u64;
        if Quota::counts(&run.judged.analysis)
            && let Err(reached) = self.quota.take(&run.spent, rows, bytes, turn.now)
        {
            if stopped {
                // The server has been told already; but now it must fail.
                let number = run.number;
                self.record_limit(Some(number), &reached, turn);
                if let Some(late) = &mut self.stop.stopped {
                    late.reached = reached;
                }
            } else {
                self.stop_front(reached, turn);
            }
            return false;
        }
        run.rows_count += rows;
        run.bytes += bytes;
        true
    }

    /// Counts a message of COPY FROM STDIN; `false` if it may not be sent: the server has been told that the COPY fails.
    pub(crate) fn take_copy_in(&mut self, bytes: usize, turn: &mut Turn<'_>) -> bool {
        // What is late is told to fail where a message ends; until then, nothing that comes is kept anyway.
        let goes_on = !self.is_stopped() && self.take_rows(0, bytes, turn);
        if !goes_on {
            self.fail_copy(turn);
        }
        goes_on
    }

    /// Ends COPY FROM STDIN, where no message of it is half sent. The server reads all that comes as COPY data until then.
    fn fail_copy(&mut self, turn: &mut Turn<'_>) {
        if let Some(copy) = self.copy_in.take_if(|_| self.client_passing == 0) {
            let mut message = Vec::new();
            // A constant.
            let _ = frontend::copy_fail(&mut message, b"stopped by the gateway");
            forward::forward_copy_data(&mut turn.out.upstream, &copy.token, &message);
        }
    }

    /// Stops what the server is at.
    fn stop_front(&mut self, reached: Reached, turn: &mut Turn<'_>) {
        let Some(running) = self.ops.iter().find(|op| works(&op.kind)).or(self.ops.front()) else { return };
        let op = running.number;
        let statement = running.kind.run().map(|run| run.number);
        let copies_in = self.copy_in.is_some();
        self.record_limit(statement, &reached, turn);
        self.fail_copy(turn);
        if !copies_in {
            turn.out.effects.push(Effect::CancelUpstream);
            self.stop.cancelling = true;
            self.stop.cancelled = Some(reached.error());
        }
        let until = turn.now.monotonic + STOP_MAX;
        self.stop.stopped = Some(Stopped { op, reached, until });
    }

    /// The cancel request has reached the server, or never will.
    pub(crate) fn cancel_sent(&mut self) {
        self.stop.cancelling = false;
    }

    /// Returns what the client gets in place of the server's error, if the statement that failed was stopped.
    pub(crate) fn stopped_by(&mut self, state: SqlState) -> Option<(ErrorFields, SqlState)> {
        if self.is_stopped() {
            let stopped = self.stop.stopped.take()?;
            return Some((stopped.reached.error(), stopped.reached.state()));
        }
        let error = self.stop.cancelled.as_ref().filter(|_| state == sqlstate::QUERY_CANCELED)?;
        Some((error.clone(), state))
    }

    /// Whether an error is the one that this session has asked for, which has been told already.
    pub(crate) fn is_failing(&self) -> bool {
        self.stop.failing == Failing::Sent
    }

    /// A statement that was stopped is done all the same: it must fail. `false` if it may pass, being only late.
    pub(crate) fn fail_late(&mut self, turn: &mut Turn<'_>) -> bool {
        if !self.is_stopped() {
            return false;
        }
        let Some(Stopped { reached, .. }) = self.stop.stopped.take() else { return false };
        if reached.state() == sqlstate::QUERY_CANCELED {
            return false;
        }
        self.fail_done(&reached, turn);
        true
    }

    /// Makes the statement that is just done fail.
    pub(crate) fn fail_done(&mut self, reached: &Reached, turn: &mut Turn<'_>) {
        self.finish_run(Completion::Failed(reached.state().as_str()), turn);
        self.copy_out = None;
        self.copy_in = None;
        let Some(mut op) = self.ops.pop_front() else { return };
        self.end_copy_wait(op.number);
        self.statements.abandon(op.number);
        self.portals.abandon(op.number);
        let extended = matches!(op.kind, OpKind::Execute(_));
        let synced = self.ops.iter().any(|op| matches!(op.kind, OpKind::Sync));
        if extended && !synced {
            // As a message that is refused: the server fails here, and skips with the client until Sync.
            let statement = op.kind.run().map_or(self.statement_last, |run| run.number);
            let kind = OpKind::Refused { error: Box::new(reached.error()), simple: false, statement };
            self.ops.push_front(Op { number: op.number, kind });
            forward::housekeeping(&mut turn.out.upstream, Housekeeping::FailExtended);
            self.skipping = true;
            return;
        }
        encode::error_response(&mut turn.out.client, &reached.error());
        self.stop.failing = Failing::AtReady;
        if let Some(run) = op.kind.run_mut() {
            run.failed = true;
        }
        if !extended {
            self.ops.push_front(op);
        }
    }

    /// Whether a transaction that should have failed is being made to: then this ReadyForQuery isn't the client's.
    pub(crate) fn fails_at_ready(&mut self, status: Status, turn: &mut Turn<'_>) -> bool {
        let rolls_back = self.script.as_ref().is_some_and(crate::script::Script::rolls_back);
        if self.stop.failing == Failing::AtReady && status == Status::InTransaction && !rolls_back {
            forward::housekeeping(&mut turn.out.upstream, Housekeeping::FailSimple);
            self.stop.failing = Failing::Sent;
            return true;
        }
        self.stop.failing = Failing::No;
        false
    }

    /// Whether a statement must run in a transaction, so that it can be undone when it has returned too much.
    pub(crate) fn must_be_undoable(&self, judged: &Judged) -> bool {
        // What commits by itself can't run in one.
        let code = judged.analysis.command.is_some_and(|command| command.class() == sql::Class::Code);
        self.quota.limits_rows() && Quota::counts(&judged.analysis) && !judged.analysis.reads_only && !code
    }

    /// Whether nothing may be sent, since a request to cancel could meet it.
    pub(crate) fn is_cancelling(&self) -> bool {
        self.stop.cancelling
    }

    /// Whether the client's next message may have to wait.
    pub(crate) fn may_hold_back(&self) -> bool {
        self.stop.hold.is_some() || self.stop.stopped.is_some() || self.stop.cancelling
    }

    /// Records that a limit was reached.
    pub(crate) fn record_limit(&mut self, statement: Option<u64>, reached: &Reached, turn: &mut Turn<'_>) {
        let event = Event::LimitExceeded {
            session: self.id,
            statement,
            identity: &self.form,
            database: &self.database.settings.name,
            limit: reached.limit,
            group: reached.group.as_deref(),
            sqlstate: reached.state().as_str(),
            reason: reached.message(),
        }
        .encode();
        self.append(event, Keep::Soon, turn);
    }

    /// Returns when the next limit of time is reached, if there is one.
    pub(crate) fn deadline(&self) -> Instant {
        let due = [
            self.stop.stopped.as_ref().map(|stopped| stopped.until),
            self.late_at(),
            self.idle_until().map(|(at, _)| at),
            self.hold_until(),
        ];
        due.into_iter().flatten().fold(self.expires, Instant::min)
    }

    fn late_at(&self) -> Option<Instant> {
        let limit = self.quota.limits().get(LimitKind::StatementTimeout)?;
        if self.stop.stopped.is_some() || self.stop.cancelling {
            return None;
        }
        self.stop.busy.map(|(_, since)| since + limit.duration())
    }

    fn idle_until(&self) -> Option<(Instant, LimitKind)> {
        let since = self.stop.rest?;
        let limits = self.quota.limits();
        let due = |kind| Some((since + limits.get(kind)?.duration(), kind));
        let open = self.status != Status::Idle || self.pipeline_open;
        let in_transaction = open.then(|| due(LimitKind::IdleInTransactionTimeout)).flatten();
        // A session in a transaction is idle as well.
        [in_transaction, due(LimitKind::IdleTimeout)].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What was only late may have been done in time for the server.
    fn forget_stopped(&mut self) {
        let ops = &self.ops;
        self.stop.stopped.take_if(|stopped| !ops.iter().any(|op| op.number == stopped.op));
    }

    /// Notes what is under way now, and stops what has taken too long.
    pub(crate) fn watch_time(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.monotonic;
        self.forget_stopped();
        let front = self.ops.front().map(|op| (op.number, !works(&op.kind)));
        if self.stop.busy.map(|(op, _)| op) != front.map(|(op, _)| op) {
            let since = self.stop.busy.filter(|_| self.stop.prepares).map_or(now, |(_, since)| since);
            self.stop.busy = front.map(|(op, _)| (op, since));
            self.stop.prepares = front.is_some_and(|(_, prepares)| prepares);
        }
        let resting = self.ops.is_empty() && self.deferred.is_empty() && self.waiting.is_none();
        self.stop.rest = (resting && self.script.is_none()).then(|| self.stop.rest.unwrap_or(now));
        if self.ops.is_empty() && !self.stop.cancelling {
            self.stop.cancelled = None;
        }
        if self.stop.stopped.as_ref().is_some_and(|stopped| now >= stopped.until) {
            if let Some(Stopped { reached, .. }) = self.stop.stopped.take() {
                let error = reached.error().with(b'S', "FATAL").with(b'V', "FATAL");
                self.fail(&error, "a statement over a limit could not be stopped", turn);
            }
            return;
        }
        if self.late_at().is_some_and(|at| now >= at) {
            let reached = self.quota.statement_is_late();
            return self.stop_front(reached, turn);
        }
        if let Some((_, kind)) = self.idle_until().filter(|(at, _)| now >= *at) {
            let reached = self.quota.idled(kind);
            self.record_limit(None, &reached, turn);
            self.fail(&reached.error(), kind.as_str(), turn);
        }
    }
}

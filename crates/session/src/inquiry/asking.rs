//! A session's inquiries: when they are sent, and what becomes of the statement once they are answered or have failed.

use std::sync::Arc;

use sql::{Ask, Statement};
use wire::error::ErrorFields;

use super::{Inquiry, Job};
use crate::analysis::{self, Analysis, Built};
use crate::catalog::Catalog;
use crate::forward::{self, Guard, Housekeeping};
use crate::names::fresh;
use crate::ops::{Bracket, HiddenKind, Op, OpKind};
use crate::refuse::Refusal;
use crate::running::{Running, Status, Turn, Waiting};

impl Running {
    pub(crate) fn begin_inquiry(&mut self, inquiry: Inquiry, turn: &mut Turn<'_>) {
        self.waiting = Some(Waiting::Answer(Box::new(inquiry)));
        if self.deferred.is_empty() {
            self.send_inquiry(turn);
        }
    }

    /// Sends the next flight of the inquiry that waits, or concludes it if nothing is left to ask.
    pub(crate) fn send_inquiry(&mut self, turn: &mut Turn<'_>) {
        let private = !self.settled();
        let Some(Waiting::Answer(inquiry)) = &mut self.waiting else { return };
        if inquiry.sent {
            return;
        }
        if inquiry.rounds == 0 {
            inquiry.generation = self.names.generation();
            inquiry.epoch = self.database.epoch();
            let of = (inquiry.generation, inquiry.epoch);
            if self.overlay_of != of || !fresh(self.overlay_since, turn.now.monotonic) {
                self.overlay_of = of;
                self.overlay_since = turn.now.monotonic;
                self.overlay = Catalog::default();
                self.overlay_private = private;
            }
        }
        let retries = !inquiry.by_names
            && inquiry.rounds == 0
            && inquiry.statement.as_ref().is_some_and(may_be_misunderstood);
        let begins = |op: &Op| matches!(op.kind, OpKind::Hidden(HiddenKind::Bracket(Bracket::Begin)));
        let opening = !self.ops.is_empty() && self.ops.iter().all(begins);
        inquiry.guard = None;
        inquiry.retries = retries
            && !self.pipeline_open
            && match self.status {
                Status::InTransaction if self.ops.is_empty() => true,
                Status::Idle => self.ops.is_empty() || opening,
                _ => false,
            };
        if inquiry.retries && (opening || self.status == Status::InTransaction) {
            inquiry.guard = Some(Guard);
        }
        match inquiry.ask(&mut turn.out.upstream) {
            Ok(false) => self.conclude_inquiry(turn),
            Ok(true) => {
                let op = self.next_op(OpKind::Flight);
                self.ops.push_back(op);
                self.trace_asks(turn);
            }
            Err(error) => self
                .refuse_inquiry(Refusal::TooLarge(format!("statement can't be asked about: {error}")), turn),
        }
    }

    /// One message of the server's that answers a flight.
    pub(crate) fn flight_message(&mut self, tag: u8, body: &[u8], turn: &mut Turn<'_>) -> Result<(), String> {
        if matches!(self.waiting, Some(Waiting::Cost(_))) {
            return self.costing_message(tag, body, turn);
        }
        let tree_bytes_max = self.database.settings.limits.tree_bytes_max;
        let Some(Waiting::Answer(inquiry)) = &mut self.waiting else {
            return Err("an answer to no question".to_owned());
        };
        if inquiry.message(tag, body, tree_bytes_max, &mut self.overlay)? {
            self.ops.pop_front();
            self.trace_told(turn);
            self.conclude_inquiry(turn);
        }
        Ok(())
    }

    /// The server answered a flight with an error: it is what the client's own message would have got.
    pub(crate) fn flight_failed(&mut self, mut error: ErrorFields, turn: &mut Turn<'_>) {
        self.trace_told(turn);
        if matches!(self.waiting, Some(Waiting::Cost(_))) {
            return self.costing_failed(error, turn);
        }
        let Some(Waiting::Answer(inquiry)) = self.waiting.take() else { return };
        self.ops.pop_front();
        if self.leaving.is_some() {
            return;
        }
        if inquiry.retries && is_about_the_question(&error) {
            return self.ask_by_names(*inquiry, turn);
        }
        self.record_unparsed(inquiry.job.text(), !inquiry.job.is_simple(), &error, turn);
        crate::upstream::shift_position(&mut error, inquiry.job.offset_chars());
        wire::backend::encode::error_response(&mut turn.out.client, &error);
        match inquiry.job {
            Job::Simple(_) | Job::Refresh { .. } => {
                forward::housekeeping(&mut turn.out.upstream, Housekeeping::Sync);
                let op = self.next_op(OpKind::Hidden(HiddenKind::QuestionFailed));
                self.ops.push_back(op);
                // Until its ReadyForQuery nothing else may be sent that would be skipped unnoticed: the queue is in
                // order, so what follows is answered after it.
            }
            Job::Parse { .. } | Job::Bind(_) => self.drop_skipped(None, turn),
        }
    }

    /// The server didn't take a part of a definition by itself, which doesn't say that it won't take the definition. So what
    /// the statement names is asked about instead, and the server's own words about it are left to the server.
    fn ask_by_names(&mut self, inquiry: Inquiry, turn: &mut Turn<'_>) {
        let Inquiry { job, guard, param_types, .. } = inquiry;
        forward::housekeeping(&mut turn.out.upstream, Housekeeping::Sync);
        let op = self.next_op(OpKind::Hidden(HiddenKind::QuestionOver));
        self.ops.push_back(op);
        if guard.is_some() {
            forward::housekeeping(&mut turn.out.upstream, Housekeeping::Unguard);
            let op = self.next_op(OpKind::Hidden(HiddenKind::QuestionOver));
            self.ops.push_back(op);
        }
        let limits = self.sql_limits();
        let named = sql::parse_by_names(job.text(), limits).ok().and_then(|mut list| list.pop());
        let Some(statement) = named else {
            let why = "a definition that was read once can't be read again".to_owned();
            self.waiting = Some(Waiting::Answer(Box::new(Inquiry { sent: true, ..Inquiry::bare(job) })));
            return self.refuse_inquiry(Refusal::NotUnderstood(why), turn);
        };
        let inquiry = Inquiry { by_names: true, ..Inquiry::new(job, statement, &param_types) };
        self.begin_inquiry(inquiry, turn);
    }

    fn conclude_inquiry(&mut self, turn: &mut Turn<'_>) {
        let Some(Waiting::Answer(mut inquiry)) = self.waiting.take() else { return };
        if self.leaving.is_some() {
            return;
        }
        if inquiry.syntax.is_some() {
            // The server accepts what our grammar doesn't: if it is a query, its tree says all that must be known.
            return self.begin_inquiry(inquiry.unread(), turn);
        }
        if !inquiry.sent {
            self.waiting = Some(Waiting::Answer(inquiry));
            return self.send_inquiry(turn);
        }
        let bound = match inquiry.statement.as_ref().and_then(|statement| self.bound(statement, turn.now)) {
            Some(Ok(base)) => Some(base),
            Some(Err(refusal)) => {
                self.waiting = Some(Waiting::Answer(inquiry));
                return self.refuse_inquiry(refusal, turn);
            }
            None => None,
        };
        let shared = self.names.shared().then(|| self.database.catalog(turn.now.monotonic)).flatten();
        let past = self.database.past();
        let lookup =
            analysis::Lookup { shared: shared.as_deref(), overlay: &self.overlay, past: past.as_deref() };
        let Some(built) = inquiry.build(&lookup, self.version, bound.as_deref(), turn.now.monotonic) else {
            return;
        };
        match built {
            Built::Done(mut built) => {
                built.learnt(turn.now.monotonic, inquiry.epoch);
                let current =
                    inquiry.generation == self.names.generation() && inquiry.epoch == self.database.epoch();
                self.overlay_private |= !self.settled();
                if current && !self.overlay_private {
                    self.database.promote(&self.overlay, inquiry.epoch, self.overlay_since);
                }
                let analysis = Arc::new(*built);
                if !inquiry.replanned && inquiry.job.means_something_else(&analysis) {
                    inquiry.replan = true;
                    inquiry.replanned = true;
                    inquiry.sent = false;
                    self.waiting = Some(Waiting::Answer(inquiry));
                    return self.send_inquiry(turn);
                }
                if let (Some(param_types), true) = (&inquiry.remember_as, current) {
                    self.learn(inquiry.job.text(), param_types, &analysis);
                }
                self.finish_job(*inquiry, &analysis, turn);
            }
            Built::Missing(missing) => {
                let why = format!("the server names objects that its catalog doesn't have: {missing}");
                let more = inquiry.ask_more(missing);
                self.waiting = Some(Waiting::Answer(inquiry));
                if more {
                    self.send_inquiry(turn);
                } else {
                    self.refuse_inquiry(Refusal::NotUnderstood(why), turn);
                }
            }
            Built::Refused(refusal) => {
                let refusal = match (&inquiry.unread, refusal) {
                    (Some(unread), Refusal::NotUnderstood(_)) => unread.clone(),
                    (_, refusal) => refusal,
                };
                self.waiting = Some(Waiting::Answer(inquiry));
                self.refuse_inquiry(refusal, turn);
            }
        }
    }

    /// Whether what was asked is what every session would be answered: no transaction is open but the questions' own.
    fn settled(&self) -> bool {
        self.names.shared() && self.status == Status::Idle && !self.pipeline_open && self.ops.is_empty()
    }

    /// Ends the transaction that the questions have begun, where the client has none open: from PostgreSQL 18 on an Execute
    /// without Sync opens a block that a Query doesn't close, and some statements must be alone in their transaction.
    fn end_question(&mut self, inquiry: &Inquiry, turn: &mut Turn<'_>) {
        if inquiry.asked && self.status == Status::Idle && !self.pipeline_open && self.ops.is_empty() {
            forward::housekeeping(&mut turn.out.upstream, Housekeeping::Sync);
            let op = self.next_op(OpKind::Hidden(HiddenKind::QuestionOver));
            self.ops.push_back(op);
        }
    }

    fn finish_job(&mut self, inquiry: Inquiry, analysis: &Arc<Analysis>, turn: &mut Turn<'_>) {
        self.end_question(&inquiry, turn);
        match inquiry.job {
            Job::Simple(origin) => {
                let judged = self.judge(analysis, turn.now);
                self.run_origin(&judged, &origin, turn);
            }
            Job::Parse { message, name, text, param_types } => {
                let parsed = inquiry.parsed;
                let judged = self.judge(analysis, turn.now);
                self.parsed(
                    crate::extended::Parsed { message, name, text, param_types, parsed },
                    judged,
                    turn,
                );
            }
            Job::Refresh { name, prepared, origin } => {
                self.refreshed(&name, &prepared, origin, analysis, turn)
            }
            Job::Bind(binding) => self.rebound(binding, analysis, turn),
        }
    }

    /// The answers don't suffice, or say no: the message is refused where it stands.
    fn refuse_inquiry(&mut self, refusal: Refusal, turn: &mut Turn<'_>) {
        let Some(Waiting::Answer(inquiry)) = self.waiting.take() else { return };
        let analysis = Arc::new(Analysis::unknown(
            inquiry.statement.as_ref().map(|s| s.command),
            &refusal,
            turn.now.monotonic,
        ));
        // With `enforce = false` what can't be known may still pass; whether it does is for `authorize` to say.
        let inquiry = *inquiry;
        self.end_question(&inquiry, turn);
        let inquiry = Inquiry { asked: false, ..inquiry };
        if inquiry.syntax.is_none() && matches!(refusal, Refusal::NotUnderstood(_) | Refusal::Unsupported(_))
        {
            return self.finish_job(inquiry, &analysis, turn);
        }
        let parsed = inquiry.parsed;
        let extended = !inquiry.job.is_simple();
        self.record_refusal(&analysis, inquiry.job.text(), extended, &refusal, turn);
        match inquiry.job {
            Job::Simple(_) | Job::Refresh { .. } => self.refuse_simple(refusal, turn),
            Job::Parse { name, .. } => self.refuse_extended(refusal, parsed.then_some(name.as_slice()), turn),
            Job::Bind(_) => self.refuse_extended(refusal, None, turn),
        }
    }
}

/// Whether the server may refuse what is asked about a statement without refusing the statement: it doesn't take every part of
/// a definition by itself as it takes it there.
fn may_be_misunderstood(statement: &Statement) -> bool {
    use sql::QueryRole as R;
    let kept = |role: &R| matches!(role, R::CreateTableAs | R::View | R::MaterializedView);
    statement.asks.iter().any(|ask| match ask {
        Ask::Expression { .. } => true,
        Ask::Query { role, .. } => kept(role),
        _ => false,
    })
}

/// Whether an error is about what was asked, not about the server or a limit of time.
fn is_about_the_question(error: &ErrorFields) -> bool {
    let class = error.sqlstate().map(|state| state.as_str().get(..2).unwrap_or_default().to_owned());
    class.is_some_and(|class| matches!(class.as_str(), "0A" | "21" | "22" | "26" | "3F" | "42" | "54"))
}

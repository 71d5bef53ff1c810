//! Errors of the server's: what of them the client gets, and what they mean for all that was sent after.

use approval::Ended;
use audit::Completion;
use wire::backend::encode;
use wire::error::{ErrorFields, field};

use super::Pass;
use crate::authorize::Quotes;
use crate::namespace::OpNumber;
use crate::ops::{Deferred, HiddenKind, OpKind};
use crate::refuse;
use crate::running::{Running, Turn};

impl Running {
    pub(super) fn error_response(
        &mut self,
        fields: ErrorFields,
        turn: &mut Turn<'_>,
    ) -> Result<Pass, String> {
        let mut state = fields.sqlstate().unwrap_or(wire::sqlstate::INTERNAL_ERROR);
        let fatal = fields.is_fatal();
        self.mode.failed();
        if !fatal && self.is_failing() {
            return Ok(Pass::Done);
        }
        let stopped = if fatal { None } else { self.stopped_by(state) };
        let mut shown = fields;
        if let Some((error, limit)) = &stopped {
            state = *limit;
            shown = error.clone();
        }
        match self.ops.front().map(|op| &op.kind) {
            Some(OpKind::Flight) if !fatal => {
                self.flight_failed(shown, turn);
                return Ok(Pass::Done);
            }
            Some(OpKind::Refused { error, .. }) if !fatal => shown = (**error).clone(),
            _ if stopped.is_some() => {}
            Some(OpKind::Query(run) | OpKind::Execute(run)) => {
                if self.must_redact(&shown) {
                    shown = refuse::redact(&shown);
                }
                shift_position(&mut shown, run.offset_chars);
            }
            _ if !fatal && self.must_redact(&shown) => shown = refuse::redact(&shown),
            _ => {}
        }
        self.finish_run(Completion::Failed(state.as_str()), turn);
        if self.ops.front().and_then(|op| op.kind.run()).is_some_and(|run| run.judged.analysis.copies()) {
            self.copy_failed();
        }
        if let Some(op) = self.ops.front() {
            let number = op.number;
            self.end_copy_wait(number);
        }
        encode::error_response(&mut turn.out.client, &shown);
        if fatal {
            self.close("the server ended the connection", turn);
            return Ok(Pass::Done);
        }
        if let Some(op) = self.ops.front() {
            self.statements.abandon(op.number);
            self.portals.abandon(op.number);
        }
        match self.ops.front_mut().map(|op| &mut op.kind) {
            // ReadyForQuery follows.
            Some(OpKind::Query(run)) => run.failed = true,
            Some(OpKind::Hidden(HiddenKind::Bracket(_))) => self.bracket_error = true,
            Some(OpKind::Refused { simple: true, .. } | OpKind::Sync | OpKind::Hidden(_)) => {}
            Some(front) => {
                let at_bind = matches!(front, OpKind::Bind);
                self.drop_skipped(at_bind.then_some(state), turn);
            }
            None => {}
        }
        Ok(Pass::Done)
    }

    /// Says whether an error or notice may quote what the identity may not see.
    pub(super) fn must_redact(&self, fields: &ErrorFields) -> bool {
        match self.quotes {
            Quotes::Nothing => false,
            // Where a row is quoted, its relation is named (errtable, utils/error/elog.c and executor/execMain.c).
            Quotes::Strangers => {
                let Some(table) = fields.get(field::TABLE) else { return false };
                let schema = fields.get(field::SCHEMA).unwrap_or_default();
                let run = self.ops.front().and_then(|op| op.kind.run());
                !run.is_some_and(|run| run.judged.analysis.writes(schema, table))
            }
            Quotes::Values => true,
        }
    }

    pub(super) fn copy_failed(&mut self) {
        if let Some(copy) = self.copy_in.take()
            && self.client_passing > 0
        {
            self.copy_broken = Some(copy.token);
        }
        self.copy_out = None;
    }

    /// After an error in the extended protocol the server skips everything until Sync; so do our books.
    ///
    /// `failed` is the error of a Bind: the Execute that follows is of the statement that failed there.
    pub(crate) fn drop_skipped(&mut self, mut failed: Option<wire::sqlstate::SqlState>, turn: &mut Turn<'_>) {
        let mut dropped: Option<(OpNumber, OpNumber)> = None;
        let mut synced = false;
        while let Some(op) = self.ops.front() {
            if matches!(op.kind, OpKind::Sync | OpKind::Hidden(HiddenKind::QuestionFailed)) {
                synced = true;
                break;
            }
            if matches!(op.kind, OpKind::Hidden(HiddenKind::Unlocked)) {
                // Ours: it ends the skipping for the server, not for the client.
                break;
            }
            // A Query or the like ends the skipping as little as anything but Sync does.
            let Some(mut op) = self.ops.pop_front() else { break };
            self.end_copy_wait(op.number);
            dropped = Some((dropped.map_or(op.number, |(first, _)| first), op.number));
            if op.kind.run().is_some_and(|run| run.judged.analysis.copies()) {
                self.copy_failed();
            }
            if let OpKind::Execute(run) | OpKind::Query(run) = &mut op.kind
                && !run.done
            {
                let failed = failed.take();
                let completion = match &failed {
                    Some(state) => Completion::Failed(state.as_str()),
                    None => Completion::Lost("skipped after an error"),
                };
                self.record_outcome(run, completion, turn);
            }
        }
        if let Some((first, last)) = dropped {
            self.statements.abandon_all(first, last);
            self.portals.abandon_all(first, last);
        }
        if synced {
            return;
        }
        // No Sync has been sent since: what is deferred, or asked, or comes next, is skipped as well.
        while let Some(mut message) = self.deferred.pop_front() {
            if matches!(&message, Deferred::Client { op: Some(op), .. } if matches!(op.kind, OpKind::Sync)) {
                self.deferred.push_front(message);
                return;
            }
            if let Deferred::Run { op, .. } | Deferred::Parse { op, .. } | Deferred::Bind { op, .. } =
                &mut message
            {
                self.statements.abandon(op.number);
                self.portals.abandon(op.number);
                if let Some(run) = op.kind.run_mut() {
                    self.record_outcome(run, Completion::Lost("skipped after an error"), turn);
                }
            }
        }
        self.withdraw_hold(Ended::Withdrawn, turn);
        self.waiting = None;
        self.script = None;
        self.skipping = true;
    }
}

/// Adds characters to an error's position, where it speaks of a text that was sent without what was before it.
pub(crate) fn shift_position(fields: &mut ErrorFields, offset_chars: usize) {
    if offset_chars == 0 {
        return;
    }
    let position =
        fields.get(field::POSITION).and_then(|p| std::str::from_utf8(p).ok()?.parse::<usize>().ok());
    if let Some(position) = position {
        *fields = fields.clone().position(position + offset_chars);
    }
}

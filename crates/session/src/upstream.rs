//! What the upstream sends, message by message, once it is logged in.
//!
//! Result rows that nothing is to be done about are passed on as bytes. Everything is answered in the order in which it
//! was asked; a message that nothing was asked for ends the session.

mod errors;
mod rows;

pub(crate) use errors::shift_position;

use std::mem;

use audit::Completion;
use wire::backend::{self, CommandComplete, ParameterStatus, ReadyForQuery, encode, tag};
use wire::error::ErrorFields;
use wire::frame::{self, Header};

use crate::authorize::Quotes;
use crate::namespace::OpNumber;
use crate::ops::{Bracket, HiddenKind, OpKind};
use crate::plan;
use crate::refuse;
use crate::results::{self, Contradiction, Rows};
use crate::running::{CopyIn, Running, Status, Turn, Waiting};

/// What is to be done with a message.
enum Pass {
    /// It goes on to the client as it came.
    On,
    /// It is dealt with.
    Done,
}

impl Running {
    /// Takes bytes from the upstream, of any length.
    pub(crate) fn feed_upstream(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        if !self.upstream_in.is_empty() {
            self.upstream_in.extend_from_slice(bytes);
            return;
        }
        let used = self.upstream_bytes(bytes, turn);
        if let Some(rest) = bytes.get(used..)
            && !rest.is_empty()
            && !self.closed
        {
            self.upstream_in = rest.to_vec();
        }
    }

    /// Looks again at bytes that had to wait.
    pub(crate) fn pump_upstream(&mut self, turn: &mut Turn<'_>) {
        if self.upstream_in.is_empty() {
            return;
        }
        let mut buffer = mem::take(&mut self.upstream_in);
        let used = self.upstream_bytes(&buffer, turn);
        if used < buffer.len() && !self.closed {
            buffer.drain(..used);
            self.upstream_in = buffer;
        }
    }

    /// Handles messages until one is incomplete or has to wait; returns how many bytes are done with.
    fn upstream_bytes(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> usize {
        let mut at = 0;
        loop {
            if self.closed {
                return at;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return at;
            }
            if self.upstream_passing > 0 {
                let n = rest.len().min(self.upstream_passing);
                if !self.upstream_drops {
                    self.pass_on(rest.get(..n).unwrap_or_default(), turn);
                }
                self.upstream_passing -= n;
                at += n;
                continue;
            }
            let header = match frame::header(rest) {
                Ok(Some(header)) => header,
                Ok(None) => return at,
                Err(error) => {
                    self.upstream_broken(&error.to_string(), turn);
                    return at;
                }
            };
            self.trace_answered(turn);
            self.tape_about(turn);
            if matches!(header.tag, tag::DATA_ROW | tag::COPY_DATA) && self.rows_pass(header.tag) {
                let rows = self.rows_in(header);
                self.upstream_drops = !self.take_rows(rows, header.len, turn);
                self.upstream_passing = header.len;
                continue;
            }
            if header.len > self.database.settings.limits.upstream_message_bytes_max {
                self.upstream_broken("a message is over this gateway's limit", turn);
                return at;
            }
            let Some(raw) = rest.get(..header.len) else { return at };
            match self.upstream_message(header.tag, raw, turn) {
                Ok(Pass::On) => self.pass_on(raw, turn),
                Ok(Pass::Done) => {}
                Err(what) => {
                    self.upstream_broken(&what, turn);
                    return at;
                }
            }
            at += header.len;
        }
    }

    fn pass_on(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        self.bytes_out += bytes.len() as u64;
        turn.out.client.extend_from_slice(bytes);
    }

    fn upstream_broken(&mut self, what: &str, turn: &mut Turn<'_>) {
        self.record_incident(None, "upstream_protocol", what, turn);
        let error = ErrorFields::new(
            wire::error::Severity::Fatal,
            wire::sqlstate::PROTOCOL_VIOLATION,
            format!("the database server broke the protocol: {what}"),
        );
        self.fail(&error, "protocol violation by the upstream", turn);
    }

    fn upstream_message(&mut self, tag: u8, raw: &[u8], turn: &mut Turn<'_>) -> Result<Pass, String> {
        let body = raw.get(frame::HEADER_BYTES..).unwrap_or_default();
        match tag {
            tag::PARAMETER_STATUS => return self.parameter_status(raw, body),
            tag::NOTIFICATION_RESPONSE => {
                return Ok(match self.script.as_mut().filter(|script| script.running) {
                    Some(script) => {
                        script.held_notifications.extend_from_slice(raw);
                        Pass::Done
                    }
                    None => Pass::On,
                });
            }
            tag::NOTICE_RESPONSE => return self.notice_response(body, turn),
            _ => {}
        }
        if tag == tag::ERROR_RESPONSE {
            let fields = ErrorFields::parse(body).map_err(|error| error.to_string())?;
            return self.error_response(fields, turn);
        }
        match self.ops.front().map(|op| &op.kind) {
            Some(OpKind::Flight) => self.flight_message(tag, body, turn).map(|()| Pass::Done),
            Some(OpKind::Query(_) | OpKind::Execute(_)) => self.run_message(tag, raw, body, turn),
            Some(OpKind::Parse) if tag == tag::PARSE_COMPLETE => self.complete(),
            Some(OpKind::Bind) if tag == tag::BIND_COMPLETE => self.complete(),
            Some(OpKind::Close { hidden }) if tag == tag::CLOSE_COMPLETE => {
                let hidden = *hidden;
                self.complete().map(|pass| if hidden { Pass::Done } else { pass })
            }
            Some(OpKind::Describe { judged }) => {
                let judged = judged.clone();
                self.describe_message(tag, body, &judged, turn)
            }
            Some(OpKind::Sync | OpKind::Refused { simple: true, .. } | OpKind::Hidden(_))
                if tag == tag::READY_FOR_QUERY =>
            {
                self.ready_for_query(body, turn)
            }
            // What BEGIN, COMMIT and ROLLBACK of the gateway's own bring besides.
            Some(OpKind::Hidden(_)) if tag == tag::COMMAND_COMPLETE => self.own_complete(body),
            _ => Err(format!("unexpected {} message", backend::name(tag).unwrap_or("unknown"))),
        }
    }

    fn own_complete(&mut self, body: &[u8]) -> Result<Pass, String> {
        let complete = CommandComplete::parse(body).map_err(|error| error.to_string())?;
        if let Some(op) = self.ops.front() {
            self.mode.completed(op.number, complete.tag_str().unwrap_or_default());
        }
        Ok(Pass::Done)
    }

    fn complete(&mut self) -> Result<Pass, String> {
        if let Some(op) = self.ops.pop_front() {
            self.statements.confirm(op.number);
            self.portals.confirm(op.number);
        }
        Ok(Pass::On)
    }

    fn parameter_status(&mut self, raw: &[u8], body: &[u8]) -> Result<Pass, String> {
        let status = ParameterStatus::parse(body).map_err(|error| error.to_string())?;
        let is = |name: &str| status.name.eq_ignore_ascii_case(name.as_bytes());
        let value = String::from_utf8_lossy(status.value);
        let broken = (is("client_encoding") && value != "UTF8")
            || (is("standard_conforming_strings") && value != "on");
        if broken {
            let name = String::from_utf8_lossy(status.name);
            self.text_unsafe =
                Some(format!("{name} has become {value}, so that the text could mean something else"));
        } else if is("client_encoding") || is("standard_conforming_strings") {
            self.text_unsafe = None;
        } else if is("application_name") {
            self.application_name = Some(value.into_owned());
        } else if is("search_path") && !self.ops.is_empty() {
            // PostgreSQL 18 tells: something that was not seen to do so has set it.
            self.names.unsettle();
        }
        // Questions set nothing that the server reports. Of a script's statements it would report at the end.
        if let Some(script) = self.script.as_mut().filter(|script| script.running) {
            script.held_statuses.insert(status.name.to_vec(), raw.to_vec());
            return Ok(Pass::Done);
        }
        Ok(Pass::On)
    }

    fn notice_response(&mut self, body: &[u8], turn: &mut Turn<'_>) -> Result<Pass, String> {
        match self.ops.front().map(|op| &op.kind) {
            Some(OpKind::Flight) => {
                self.flight_message(tag::NOTICE_RESPONSE, body, turn).map(|()| Pass::Done)
            }
            Some(OpKind::Hidden(HiddenKind::Bracket(Bracket::Begin))) => Ok(Pass::Done),
            front => {
                let in_script = front.and_then(OpKind::run).is_some_and(|run| run.in_script);
                let hush = in_script && self.script.as_ref().is_some_and(|s| s.hush_active_transaction);
                if !hush && self.quotes == Quotes::Nothing {
                    return Ok(Pass::On);
                }
                let fields = ErrorFields::parse(body).map_err(|error| error.to_string())?;
                if hush && fields.sqlstate() == Some(wire::sqlstate::ACTIVE_SQL_TRANSACTION) {
                    return Ok(Pass::Done);
                }
                if self.must_redact(&fields) {
                    encode::notice_response(&mut turn.out.client, &refuse::redact(&fields));
                    return Ok(Pass::Done);
                }
                Ok(Pass::On)
            }
        }
    }

    fn run_message(&mut self, tag: u8, raw: &[u8], body: &[u8], turn: &mut Turn<'_>) -> Result<Pass, String> {
        match tag {
            tag::ROW_DESCRIPTION => self.row_description(body, turn),
            tag::DATA_ROW => {
                let Some(run) = self.ops.front_mut().and_then(|op| op.kind.run_mut()) else {
                    return Err("a row of nothing".to_owned());
                };
                let before = turn.out.client.len();
                match &run.rows {
                    // Passed on where it was counted.
                    Rows::Plain => return Err("a row of nothing".to_owned()),
                    Rows::Masked(maskers) => {
                        if let Err(what) =
                            results::mask_row(body, maskers, &mut self.shown, &mut turn.out.client)
                        {
                            turn.out.client.truncate(before);
                            return self.contradicted(&Contradiction(what), turn);
                        }
                    }
                    Rows::Plan => {
                        if let Err(what) = plan::blank_row(body, &mut turn.out.client) {
                            turn.out.client.truncate(before);
                            return self.contradicted(&Contradiction(what), turn);
                        }
                    }
                    Rows::Undescribed => {
                        return self.contradicted(&Contradiction("rows came undescribed".to_owned()), turn);
                    }
                }
                let bytes = turn.out.client.len() - before;
                if self.take_rows(1, bytes, turn) {
                    self.bytes_out += bytes as u64;
                } else {
                    turn.out.client.truncate(before);
                }
                Ok(Pass::Done)
            }
            tag::COPY_OUT_RESPONSE => self.copy_out_response(body, turn),
            tag::COPY_IN_RESPONSE => {
                let front = self.ops.front_mut().and_then(|op| Some((op.number, op.kind.run_mut()?)));
                let copying = front.filter(|(_, run)| run.judged.analysis.copies_in());
                let Some((number, token)) =
                    copying.and_then(|(number, run)| Some((number, run.token.take()?)))
                else {
                    return Err("the server takes COPY data that no statement offered".to_owned());
                };
                self.copy_in = Some(CopyIn { token });
                self.end_copy_wait(number);
                Ok(Pass::On)
            }
            tag::COPY_DATA => {
                let rows = self.rows_in(Header { tag, len: raw.len() });
                let Some(masker) = &mut self.copy_out else { return Err("a row of nothing".to_owned()) };
                let mut rewritten = Vec::with_capacity(body.len());
                if let Err(error) = masker.push(body, &mut rewritten) {
                    return self.contradicted(&Contradiction(error.to_string()), turn);
                }
                if self.take_rows(rows, rewritten.len() + frame::HEADER_BYTES, turn) {
                    encode::copy_data(&mut turn.out.client, &rewritten).map_err(|error| error.to_string())?;
                }
                Ok(Pass::Done)
            }
            tag::COPY_DONE => {
                self.copy_out = None;
                if self.drops_rows() {
                    return Ok(Pass::Done);
                }
                Ok(Pass::On)
            }
            tag::COMMAND_COMPLETE => self.command_complete(raw, body, turn),
            tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED => {
                if self.fail_late(turn) {
                    return Ok(Pass::Done);
                }
                self.finish_run(
                    Completion::Completed(if tag == tag::PORTAL_SUSPENDED { "suspended" } else { "" }),
                    turn,
                );
                self.pop_execute();
                Ok(Pass::On)
            }
            tag::NO_DATA => Ok(Pass::On),
            tag::READY_FOR_QUERY => self.ready_for_query(body, turn),
            tag::COPY_BOTH_RESPONSE => Err("the server began replication".to_owned()),
            other => Err(format!("unexpected {} message", backend::name(other).unwrap_or("unknown"))),
        }
    }

    fn command_complete(&mut self, raw: &[u8], body: &[u8], turn: &mut Turn<'_>) -> Result<Pass, String> {
        let complete = CommandComplete::parse(body).map_err(|error| error.to_string())?;
        let command = complete.tag_str().unwrap_or_default().to_owned();
        if self.fail_late(turn) {
            return Ok(Pass::Done);
        }
        let rows = complete.rows().unwrap_or(0);
        if self.front_copies_in() && self.is_over_with(rows, turn) {
            return Ok(Pass::Done);
        }
        if let Some(run) = self.ops.front_mut().and_then(|op| op.kind.run_mut())
            && (run.rows_count == 0 || run.judged.analysis.copies())
        {
            run.rows_count = rows;
        }
        if self.ops.front().and_then(|op| op.kind.run()).is_some_and(|run| run.judged.analysis.copies()) {
            self.copy_out = None;
            self.copy_in = None;
        }
        if let Some(op) = self.ops.front() {
            let number = op.number;
            self.end_copy_wait(number);
        }
        if let Some(op) = self.ops.front() {
            self.statements.confirm(op.number);
            self.portals.confirm(op.number);
            self.mode.completed(op.number, &command);
        }
        self.finish_run(Completion::Completed(&command), turn);
        if self.defining {
            self.defined();
        }
        if let Some(script) = &mut self.script
            && script.holds_complete()
        {
            script.held_complete = Some(raw.to_vec());
            return Ok(Pass::Done);
        }
        self.pop_execute();
        Ok(Pass::On)
    }

    fn pop_execute(&mut self) {
        if matches!(self.ops.front().map(|op| &op.kind), Some(OpKind::Execute(_))) {
            self.ops.pop_front();
        }
    }

    pub(crate) fn end_copy_wait(&mut self, op: OpNumber) {
        if matches!(self.waiting, Some(Waiting::CopyStart(number)) if number == op) {
            self.waiting = None;
        }
    }

    /// Records the end of the statement being answered, once.
    pub(crate) fn finish_run(&mut self, completion: Completion<'_>, turn: &mut Turn<'_>) {
        let Some(op) = self.ops.pop_front() else { return };
        let mut op = op;
        if let Some(run) = op.kind.run_mut()
            && !run.done
        {
            run.done = true;
            self.record_outcome(run, completion, turn);
        }
        self.ops.push_front(op);
    }

    fn ready_for_query(&mut self, body: &[u8], turn: &mut Turn<'_>) -> Result<Pass, String> {
        let ready = ReadyForQuery::parse(body).map_err(|error| error.to_string())?;
        if self.fails_at_ready(ready.status, turn) {
            return Ok(Pass::Done);
        }
        let Some(op) = self.ops.pop_front() else { return Err("ReadyForQuery unasked".to_owned()) };
        self.status = ready.status;
        self.pipeline_open &= !self.ops.is_empty() || !self.deferred.is_empty();
        if self.status != Status::InTransaction {
            self.names.boundary();
        }
        if self.status == Status::Idle {
            self.mode.idle();
        }
        if self.status == Status::Idle && self.ops.is_empty() && self.deferred.is_empty() {
            self.transaction_over();
        }
        let failed = match &op.kind {
            OpKind::Query(run) => run.failed,
            OpKind::Refused { .. } | OpKind::Hidden(HiddenKind::QuestionFailed) => true,
            OpKind::Hidden(HiddenKind::Bracket(_)) => self.bracket_failed(),
            _ => false,
        };
        let bracket: Option<Bracket> = match op.kind {
            OpKind::Hidden(HiddenKind::Bracket(bracket)) => Some(bracket),
            _ => None,
        };
        if matches!(op.kind, OpKind::Hidden(HiddenKind::QuestionOver | HiddenKind::Unlocked)) {
            return Ok(Pass::Done);
        }
        if self.script.as_ref().is_some_and(|script| script.running) {
            self.script_ready(bracket, failed, turn);
            return Ok(Pass::Done);
        }
        Ok(Pass::On)
    }

    /// A COMMIT that fails leaves no transaction; the error has been passed on.
    fn bracket_failed(&mut self) -> bool {
        mem::take(&mut self.bracket_error)
    }
}

//! What the client sends, message by message, once it is logged in.
//!
//! Knows when a message may come and how large it may be; what it asks for is for `simple` and `extended`.

use std::mem;
use std::sync::Arc;

use wire::backend::encode;
use wire::error::ErrorFields;
use wire::frame::{self, Header};
use wire::frontend::{self, tag};

use crate::analysis::Analysis;
use crate::forward;
use crate::namespace::OpNumber;
use crate::ops::{Deferred, Op, OpKind};
use crate::refuse::{Refusal, protocol_violation};
use crate::running::{Running, Turn, Waiting};

impl Running {
    /// Takes bytes from the client, of any length.
    pub(crate) fn feed_client(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        if !self.client_in.is_empty() {
            self.client_in.extend_from_slice(bytes);
            return;
        }
        let used = self.client_bytes(bytes, turn);
        if let Some(rest) = bytes.get(used..)
            && !rest.is_empty()
            && !self.closed
        {
            self.client_in = rest.to_vec();
        }
    }

    /// Looks again at bytes that had to wait.
    pub(crate) fn pump_client(&mut self, turn: &mut Turn<'_>) {
        if self.client_in.is_empty() && self.script.is_none() {
            return;
        }
        let mut buffer = mem::take(&mut self.client_in);
        let used = self.client_bytes(&buffer, turn);
        if used < buffer.len() && !self.closed {
            buffer.drain(..used);
            self.client_in = buffer;
        }
    }

    /// Handles messages until one is incomplete or has to wait; returns how many bytes are done with.
    fn client_bytes(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> usize {
        let mut at = 0;
        loop {
            if self.closed || self.waiting.is_some() || self.leaving.is_some() {
                return at;
            }
            match self.script.as_ref().map(|script| script.running) {
                // What it does depends on the transaction that everything before it leaves.
                Some(false) if !self.ops.is_empty() || !self.deferred.is_empty() || self.is_cancelling() => {
                    return at;
                }
                Some(false) => {
                    self.script_step(turn);
                    continue;
                }
                Some(true) if self.copy_in.is_none() && self.client_passing == 0 => return at,
                Some(true) | None => {}
            }
            let rest = bytes.get(at..).unwrap_or_default();
            if self.client_passing > 0 || self.client_skipping > 0 {
                let n = self.client_remainder(rest, turn);
                if n == 0 {
                    return at;
                }
                at += n;
                continue;
            }
            let next = frame::header(rest);
            let copies = next.as_ref().is_ok_and(|next| next.is_some_and(|next| next.tag == tag::COPY_DATA));
            if self.copy_in.is_none() && !copies && self.holds_back(&next, turn) {
                return at;
            }
            let header = match next {
                Ok(Some(header)) => header,
                Ok(None) => return at,
                Err(error) => {
                    self.fail(
                        &protocol_violation(&error.to_string()),
                        "protocol violation by the client",
                        turn,
                    );
                    return at;
                }
            };
            if frontend::bytes_max(header.tag).is_none() {
                let text = format!("invalid frontend message type {}", header.tag);
                self.fail(&protocol_violation(&text), "protocol violation by the client", turn);
                return at;
            }
            if header.tag == tag::COPY_DATA {
                if self.copy_in.is_some() && self.take_copy_in(header.len, turn) {
                    self.client_passing = header.len;
                    if let Some(tape) = &mut self.tape {
                        tape.copy_begins();
                    }
                } else {
                    // After a failed COPY the client may still be sending (postgres.c ignores it likewise).
                    self.client_skipping = header.len;
                }
                continue;
            }
            if header.len > self.bytes_max(header.tag) {
                self.client_skipping = header.len;
                self.too_large(header, turn);
                continue;
            }
            let Some(raw) = rest.get(..header.len) else { return at };
            at += header.len;
            self.client_message(header.tag, raw, turn);
        }
    }

    /// Passes on or drops what is left of a message that isn't buffered whole.
    fn client_remainder(&mut self, rest: &[u8], turn: &mut Turn<'_>) -> usize {
        if self.client_skipping > 0 {
            let n = rest.len().min(self.client_skipping);
            self.client_skipping -= n;
            return n;
        }
        let n = rest.len().min(self.client_passing);
        self.client_passing -= n;
        self.tape_copy_in(rest.get(..n).unwrap_or_default(), turn);
        match &self.copy_in {
            Some(copy) => forward::forward_copy_data(
                &mut turn.out.upstream,
                &copy.token,
                rest.get(..n).unwrap_or_default(),
            ),
            // The server gave up in the middle of a message: to keep its framing, the rest must still come.
            None if n > 0 => {
                if let Some(token) = &self.copy_broken {
                    forward::forward_copy_data(
                        &mut turn.out.upstream,
                        token,
                        rest.get(..n).unwrap_or_default(),
                    );
                }
            }
            None => {}
        }
        if self.client_passing == 0 {
            self.copy_broken = None;
        }
        n
    }

    fn bytes_max(&self, tag: u8) -> usize {
        let limits = &self.database.settings.limits;
        match tag {
            tag::QUERY | tag::PARSE => limits.statement_bytes_max,
            tag::BIND | tag::FUNCTION_CALL => limits.message_bytes_max,
            _ => limits.message_bytes_max.min(frontend::bytes_max(tag).unwrap_or(usize::MAX)),
        }
    }

    fn too_large(&mut self, header: Header, turn: &mut Turn<'_>) {
        let what = frontend::name(header.tag).unwrap_or("unknown");
        let max = self.bytes_max(header.tag);
        let refusal = Refusal::TooLarge(format!(
            "{what} message of {} bytes is over the limit of {max} bytes that this gateway sets",
            header.len
        ));
        match header.tag {
            tag::QUERY | tag::FUNCTION_CALL => self.refuse_query("", refusal, turn),
            tag::PARSE | tag::BIND | tag::EXECUTE | tag::DESCRIBE | tag::CLOSE => {
                if !self.skipping {
                    self.refuse_message("", refusal, turn);
                }
            }
            _ => self.fail(
                &protocol_violation(&format!("{what} message is too long")),
                "protocol violation by the client",
                turn,
            ),
        }
    }

    fn client_message(&mut self, tag: u8, raw: &[u8], turn: &mut Turn<'_>) {
        let body = raw.get(frame::HEADER_BYTES..).unwrap_or_default();
        if self.copy_in.is_some() {
            return self.copy_message(tag, raw, turn);
        }
        if self.skipping && !matches!(tag, tag::SYNC | tag::TERMINATE) {
            // As postgres.c: everything until Sync is dropped after an error.
            return;
        }
        if tag == tag::QUERY {
            // Whatever came before it, it is none of it.
            self.trace_forgets();
        }
        if matches!(tag, tag::QUERY | tag::PARSE | tag::BIND | tag::EXECUTE) {
            self.trace_begins(turn);
        }
        let result = match tag {
            tag::QUERY => frontend::Query::parse(body).map(|query| self.query(query.text, raw, turn)),
            tag::PARSE => frontend::Parse::parse(body).map(|parse| self.parse(parse, raw, turn)),
            tag::BIND => frontend::Bind::parse(body).map(|bind| self.bind(bind, raw, turn)),
            tag::DESCRIBE => {
                frontend::Describe::parse(body).map(|describe| self.describe(describe, raw, turn))
            }
            tag::EXECUTE => frontend::Execute::parse(body).map(|execute| self.execute(&execute, raw, turn)),
            tag::CLOSE => frontend::Close::parse(body).map(|close| self.close_named(close, raw, turn)),
            tag::FLUSH => frontend::parse_empty(tag, body).map(|()| {
                self.dispatch(Deferred::Client { message: raw.to_vec(), op: None }, turn);
            }),
            tag::SYNC => frontend::parse_empty(tag, body).map(|()| self.sync(raw, turn)),
            tag::TERMINATE => {
                // As the server does: what was sent before it is carried out.
                self.leaving = Some("the client has left");
                Ok(())
            }
            tag::FUNCTION_CALL => {
                let refusal =
                    Refusal::Unsupported("a FunctionCall message (fast-path function call)".to_owned());
                self.refuse_query("", refusal, turn);
                Ok(())
            }
            // After a failed COPY the client may still be sending.
            tag::COPY_DONE | tag::COPY_FAIL => Ok(()),
            _ => {
                let text = format!("invalid frontend message type {tag}");
                self.fail(&protocol_violation(&text), "protocol violation by the client", turn);
                Ok(())
            }
        };
        if let Err(error) = result {
            let what = frontend::name(tag).unwrap_or("unknown");
            let text = format!("invalid {what} message: {error}");
            self.fail(&protocol_violation(&text), "protocol violation by the client", turn);
        }
    }

    /// A message while the server takes COPY data (`CopyGetData`, copyfromparse.c).
    fn copy_message(&mut self, tag: u8, raw: &[u8], turn: &mut Turn<'_>) {
        match tag {
            tag::COPY_DONE | tag::COPY_FAIL => {
                if let Some(copy) = self.copy_in.take() {
                    forward::forward_copy_data(&mut turn.out.upstream, &copy.token, raw);
                }
            }
            // Ignored by the server, for clients that send them before they know that a COPY has begun.
            tag::FLUSH | tag::SYNC => {}
            tag::TERMINATE => self.close("the client has left in the middle of a COPY", turn),
            _ => {
                let text = format!("unexpected message type 0x{tag:02X} during COPY from stdin");
                self.fail(&protocol_violation(&text), "protocol violation by the client", turn);
            }
        }
    }

    fn sync(&mut self, raw: &[u8], turn: &mut Turn<'_>) {
        self.skipping = false;
        self.pipeline_open = false;
        self.pipeline_bound = false;
        self.stop.pipeline_ran = false;
        self.implicit_end();
        self.trace_forgets();
        let op = self.next_op(OpKind::Sync);
        self.dispatch(Deferred::Client { message: raw.to_vec(), op: Some(op) }, turn);
    }

    /// The client's connection is closed or broken. A write that is under way is carried out, as by a server that would notice
    /// only later; a read is cancelled.
    pub(crate) fn client_gone(&mut self, turn: &mut Turn<'_>) {
        let writes =
            self.ops.iter().filter_map(|op| op.kind.run()).any(|run| !run.judged.analysis.reads_only);
        let copies =
            self.ops.iter().filter_map(|op| op.kind.run()).any(|run| run.judged.analysis.copies_in());
        if writes && !copies {
            self.deferred.clear();
            // What was asked will be answered, to nobody.
            if !self.ops.iter().any(|op| matches!(op.kind, OpKind::Flight)) {
                self.waiting = None;
            }
            self.script = None;
            self.leaving = Some("the client has gone");
        } else {
            self.close("the client has gone", turn);
        }
    }

    /// Records and refuses a Query that is refused for what it is, not for what it touches.
    pub(crate) fn refuse_query(&mut self, text: &str, refusal: Refusal, turn: &mut Turn<'_>) {
        let analysis = Arc::new(Analysis::unknown(None, &refusal, turn.now.monotonic));
        self.record_refusal(&analysis, text, false, &refusal, turn);
        self.refuse_simple(refusal, turn);
    }

    /// Likewise for a message of the extended protocol.
    pub(crate) fn refuse_message(&mut self, text: &str, refusal: Refusal, turn: &mut Turn<'_>) {
        let analysis = Arc::new(Analysis::unknown(None, &refusal, turn.now.monotonic));
        self.record_refusal(&analysis, text, true, &refusal, turn);
        self.refuse_extended(refusal, None, turn);
    }

    /// Refuses a Query: the client gets this error where the server's own would have come, then ReadyForQuery.
    pub(crate) fn refuse_simple(&mut self, refusal: Refusal, turn: &mut Turn<'_>) {
        let (error, statement) = (Box::new(refusal.error()), self.statement_last);
        let op = self.next_op(OpKind::Refused { error, simple: true, statement });
        self.dispatch(Deferred::Fail { close: None, op }, turn);
    }

    /// Refuses a message of the extended protocol: the server is made to fail there too, and everything until Sync is
    /// skipped on both sides.
    pub(crate) fn refuse_extended(&mut self, refusal: Refusal, parsed: Option<&[u8]>, turn: &mut Turn<'_>) {
        let close: Option<(Op, Vec<u8>)> =
            parsed.map(|name| (self.next_op(OpKind::Close { hidden: true }), name.to_vec()));
        let (error, statement) = (Box::new(refusal.error()), self.statement_last);
        let op = self.next_op(OpKind::Refused { error, simple: false, statement });
        self.skipping = true;
        self.dispatch(Deferred::Fail { close, op }, turn);
    }

    /// Tells the client of something that is not an error.
    pub(crate) fn notice(&mut self, fields: &ErrorFields, turn: &mut Turn<'_>) {
        if !self.is_within_message() {
            encode::notice_response(&mut turn.out.client, fields);
        }
    }

    pub(crate) fn wait_for_copy(&mut self, op: OpNumber) {
        self.waiting = Some(Waiting::CopyStart(op));
    }
}

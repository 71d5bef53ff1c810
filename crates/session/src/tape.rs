//! What a session's client sent and received, taken down as it happens, for whoever records it. Knows no file and no format.
//!
//! What was received is read off the bytes that leave for the client, so that nothing can be recorded that it did not get, and nothing
//! unmasked. SECURITY: texts and parameters are those of the audit's record, secrets taken out.

use std::mem;
use std::time::{Duration, Instant};

use approval::Number;
use audit::Parameter;
use policy::{Bundle, RecordingTerms};
use recording::{Entry, Hold, Kept, Opening, Sent, What};
use wire::backend::tag;
use wire::frame;

use crate::authorize::Judged;
use crate::input::Now;
use crate::ops::OpKind;
use crate::running::{Running, Turn};

/// Messages other than rows that are kept whole are no longer than this.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// What the shell is given to record.
pub struct Taken {
    /// Comes once, with what is taken first.
    pub opening: Option<Box<Opening>>,
    /// In order.
    pub entries: Vec<Entry>,
    /// Whether the session must end where these can't be recorded.
    pub must: bool,
}

/// The journal and the gateway, for a recording's opening. A session without is not recorded.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// The journal's id: 32 hexadecimal digits.
    pub journal: String,
    /// The gateway's name.
    pub gateway: String,
}

/// See the module.
pub(crate) struct Tape {
    began: Instant,
    opening: Option<Box<Opening>>,
    terms: RecordingTerms,
    entries: Vec<Entry>,
    /// Bytes for the client up to here have been looked at.
    from: usize,
    /// Which statement what follows is about.
    statement: u64,
    /// Where in the bytes another statement's begin.
    turns: Vec<(usize, u64)>,
    message: Message,
    /// Of the statement's result.
    taken: Amount,
    /// Of it, what was not taken and has not been said yet.
    cut: Amount,
    /// COPY data from the client.
    copied: u64,
    copy_cut: u64,
    /// Bytes of a CopyData message's header that are still to come.
    copy_header: usize,
}

#[derive(Clone, Copy, Default)]
struct Amount {
    of: u64,
    rows: u64,
    bytes: u64,
}

/// The message that is being looked at.
#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
    /// Bytes that are still to come, once its header is whole.
    left: usize,
    /// Whether its header is whole and it is kept.
    kept: bool,
}

const fn kept(terms: &RecordingTerms) -> Option<Kept> {
    match terms.kept {
        policy::Recording::Off => None,
        policy::Recording::Statements => Some(Kept::Statements),
        policy::Recording::Results => Some(Kept::Results),
    }
}

impl Tape {
    /// Begins with what the bundle says of these groups. `from` is where what the client gets from now on begins.
    pub(crate) fn begin(terms: RecordingTerms, opening: Opening, now: Now, from: usize) -> Self {
        Self {
            began: now.monotonic,
            opening: Some(Box::new(opening)),
            terms,
            entries: Vec::new(),
            from,
            statement: 0,
            turns: Vec::new(),
            message: Message::default(),
            taken: Amount::default(),
            cut: Amount::default(),
            copied: 0,
            copy_cut: 0,
            copy_header: 0,
        }
    }

    /// The bytes for the client begin here at this turn: the shell has taken what was before.
    pub(crate) fn turn(&mut self, from: usize) {
        self.from = from;
        self.turns.clear();
    }

    /// What the client gets from here on is about this statement.
    pub(crate) fn about(&mut self, statement: u64, at: usize) {
        let last = self.turns.last().map_or(self.statement, |(_, statement)| *statement);
        if statement != last {
            self.turns.push((at, statement));
        }
    }

    /// Looks at what was put before the client since.
    pub(crate) fn look(&mut self, client: &[u8], now: Instant) {
        let turns = mem::take(&mut self.turns);
        for (at, statement) in turns {
            self.received(client.get(self.from..at).unwrap_or_default(), now);
            self.from = at.max(self.from);
            self.say_cut(now);
            self.statement = statement;
        }
        self.received(client.get(self.from..).unwrap_or_default(), now);
        self.from = client.len();
    }

    /// Another policy is in force.
    pub(crate) fn change(
        &mut self,
        bundle: &Bundle,
        groups: &std::collections::BTreeSet<String>,
        now: Instant,
    ) {
        let before = kept(&self.terms);
        self.terms = bundle.recording(groups);
        match (before, kept(&self.terms)) {
            (Some(_), None) => self.note(0, What::Gap { why: "policy".to_owned() }, now),
            (before, Some(after)) if before != Some(after) => self.note(0, What::Kept(after), now),
            _ => {}
        }
    }

    /// Takes down a statement that was decided.
    pub(crate) fn sent(&mut self, statement: u64, mut sent: Sent, now: Instant) {
        if kept(&self.terms).is_none() {
            return;
        }
        let mut room = self.terms.bytes;
        for value in sent.parameters.iter_mut().flatten() {
            let fits = usize::try_from(room).unwrap_or(usize::MAX).min(value.len());
            let fits = value.floor_char_boundary(fits);
            sent.parameters_cut += (value.len() - fits) as u64;
            value.truncate(fits);
            room -= fits as u64;
        }
        (self.copied, self.copy_cut) = (0, 0);
        self.note(statement, What::Sent(Box::new(sent)), now);
    }

    /// Takes down that a statement waits for approval, or no longer.
    pub(crate) fn hold(&mut self, statement: u64, hold: Hold, now: Instant) {
        if kept(&self.terms).is_some() {
            self.note(statement, What::Hold(hold), now);
        }
    }

    /// Takes down something that is about no statement.
    pub(crate) fn happened(&mut self, what: What, now: Instant) {
        if kept(&self.terms).is_some() {
            self.say_cut(now);
            self.say_copy_cut(now);
            self.note(0, what, now);
        }
    }

    /// A CopyData message of the client's begins.
    pub(crate) fn copy_begins(&mut self) {
        self.copy_header = frame::HEADER_BYTES;
    }

    /// Some of its bytes are passed on.
    pub(crate) fn copy_data(&mut self, statement: u64, bytes: &[u8], now: Instant) {
        let header = self.copy_header.min(bytes.len());
        self.copy_header -= header;
        let data = bytes.get(header..).unwrap_or_default();
        if data.is_empty() {
            return;
        }
        match kept(&self.terms) {
            None => {}
            Some(Kept::Results) if self.copied + data.len() as u64 <= self.terms.bytes => {
                self.copied += data.len() as u64;
                match self.entries.last_mut() {
                    Some(Entry { statement: of, what: What::CopyData(before), .. }) if *of == statement => {
                        before.extend_from_slice(data);
                    }
                    _ => self.note(statement, What::CopyData(data.to_vec()), now),
                }
            }
            Some(_) => self.copy_cut += data.len() as u64,
        }
    }

    /// Gives what was taken down since, if anything.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        if self.entries.is_empty() {
            return None;
        }
        let must = self.terms.must;
        Some(Taken { opening: self.opening.take(), entries: mem::take(&mut self.entries), must })
    }

    fn note(&mut self, statement: u64, what: What, now: Instant) {
        let at = now.saturating_duration_since(self.began).max(self.last_at());
        self.entries.push(Entry { at, statement, what });
    }

    fn last_at(&self) -> Duration {
        self.entries.last().map_or(Duration::ZERO, |entry| entry.at)
    }

    /// Walks the messages in bytes for the client, which may begin and end within one.
    fn received(&mut self, bytes: &[u8], now: Instant) {
        let Some(kept) = kept(&self.terms) else {
            return self.pass_over(bytes);
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.message.left > 0 {
                let (here, after) = rest.split_at(self.message.left.min(rest.len()));
                rest = after;
                self.message.left -= here.len();
                if self.message.kept {
                    self.message.bytes.extend_from_slice(here);
                }
                if self.message.left == 0 {
                    self.message_ends(now);
                }
                continue;
            }
            let missing = frame::HEADER_BYTES.saturating_sub(self.message.bytes.len());
            let (here, after) = rest.split_at(missing.min(rest.len()));
            self.message.bytes.extend_from_slice(here);
            rest = after;
            if let Ok(Some(header)) = frame::header(&self.message.bytes) {
                self.message_begins(header, kept, now);
            }
        }
    }

    fn message_begins(&mut self, header: frame::Header, kept: Kept, now: Instant) {
        let (length, is_row) = (header.len, matches!(header.tag, tag::DATA_ROW | tag::COPY_DATA));
        self.message.left = length.saturating_sub(frame::HEADER_BYTES);
        if self.taken.of != self.statement {
            self.taken = Amount { of: self.statement, ..Amount::default() };
        }
        self.message.kept = if is_row {
            let room =
                self.taken.rows < self.terms.rows && self.taken.bytes + length as u64 <= self.terms.bytes;
            // What is cut stays cut: of a result there is a beginning, not a sieve.
            kept == Kept::Results && room && self.cut.bytes == 0
        } else if kept == Kept::Results {
            length <= MESSAGE_BYTES_MAX
        } else {
            let tells = matches!(
                header.tag,
                tag::COMMAND_COMPLETE
                    | tag::EMPTY_QUERY_RESPONSE
                    | tag::ERROR_RESPONSE
                    | tag::NOTICE_RESPONSE
                    | tag::NOTIFICATION_RESPONSE
                    | tag::PARAMETER_STATUS
                    | tag::PORTAL_SUSPENDED
                    | tag::READY_FOR_QUERY
            );
            tells && length <= MESSAGE_BYTES_MAX
        };
        if is_row {
            let amount = if self.message.kept { &mut self.taken } else { &mut self.cut };
            amount.rows += 1;
            amount.bytes += length as u64;
        } else if self.message.kept {
            // What a statement came to is told after what of it isn't there.
            self.say_cut(now);
        }
        if !self.message.kept {
            self.message.bytes.clear();
        }
        if self.message.left == 0 {
            self.message_ends(now);
        }
    }

    fn message_ends(&mut self, now: Instant) {
        let bytes = mem::take(&mut self.message.bytes);
        if !mem::take(&mut self.message.kept) {
            return;
        }
        let statement = self.statement;
        match self.entries.last_mut() {
            Some(Entry { statement: of, what: What::Received(before), .. }) if *of == statement => {
                before.extend_from_slice(&bytes);
            }
            _ => self.note(statement, What::Received(bytes), now),
        }
    }

    fn say_cut(&mut self, now: Instant) {
        let Amount { rows, bytes, .. } = mem::take(&mut self.cut);
        if bytes > 0 {
            self.note(self.statement, What::Cut { rows, bytes }, now);
            // A further result of the same statement isn't kept either.
            self.taken.rows = u64::MAX;
        }
        self.say_copy_cut(now);
    }

    fn say_copy_cut(&mut self, now: Instant) {
        let bytes = mem::take(&mut self.copy_cut);
        if bytes > 0 {
            self.note(self.statement, What::CopyCut(bytes), now);
        }
    }

    /// Keeps only track of where messages begin.
    fn pass_over(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        self.message.kept = false;
        while !rest.is_empty() {
            if self.message.left > 0 {
                let here = self.message.left.min(rest.len());
                self.message.left -= here;
                rest = rest.get(here..).unwrap_or_default();
                continue;
            }
            let missing = frame::HEADER_BYTES.saturating_sub(self.message.bytes.len());
            let (here, after) = rest.split_at(missing.min(rest.len()));
            self.message.bytes.extend_from_slice(here);
            rest = after;
            if let Ok(Some(header)) = frame::header(&self.message.bytes) {
                self.message.left = header.len.saturating_sub(frame::HEADER_BYTES);
                self.message.bytes.clear();
            }
        }
    }
}

impl Running {
    /// What comes from the server now is about what it is at.
    pub(crate) fn tape_about(&mut self, turn: &Turn<'_>) {
        let Some(tape) = &mut self.tape else { return };
        let number = match self.ops.front().map(|op| &op.kind) {
            Some(OpKind::Query(run) | OpKind::Execute(run)) => run.number,
            Some(OpKind::Refused { statement, .. }) => *statement,
            _ => return,
        };
        tape.about(number, turn.out.client.len());
    }

    /// Takes down a statement whose record is about to be appended.
    pub(crate) fn tape_sent(
        &mut self,
        judged: &Judged,
        (text, parameters): (&str, &[Parameter<'_>]),
        (extended, verdict, sqlstate, approval): (bool, audit::Verdict, Option<String>, Option<u64>),
        turn: &Turn<'_>,
    ) {
        let Some(tape) = &mut self.tape else { return };
        let masked = judged.masks.iter().enumerate().filter(|(_, mask)| mask.is_some());
        let binary = parameters.iter().enumerate().filter(|(_, value)| matches!(value, Parameter::Binary(_)));
        let index = |at: usize| u16::try_from(at).ok();
        let sent = Sent {
            text: text.to_owned(),
            parameters: parameters.iter().map(value).collect(),
            parameters_binary: binary.filter_map(|(at, _)| index(at)).collect(),
            extended,
            decision: recording::Decision {
                verdict: verdict.as_str().to_owned(),
                rules: judged.rules.clone(),
                sqlstate,
                approval,
                masked: masked.filter_map(|(at, _)| index(at)).collect(),
            },
            ..Sent::default()
        };
        tape.look(&turn.out.client, turn.now.monotonic);
        tape.sent(self.statement_last, sent, turn.now.monotonic);
    }

    /// Takes down that the statement which comes next waits for approval, or no longer.
    pub(crate) fn tape_hold(&mut self, number: Option<Number>, state: &str, turn: &Turn<'_>) {
        let (Some(tape), Some(number)) = (&mut self.tape, number) else { return };
        tape.look(&turn.out.client, turn.now.monotonic);
        let hold = Hold { request: number.0, state: state.to_owned(), message: None };
        tape.hold(self.statement_last + 1, hold, turn.now.monotonic);
    }

    /// Takes down something that is about no statement.
    pub(crate) fn tape_happened(&mut self, what: What, turn: &Turn<'_>) {
        let Some(tape) = &mut self.tape else { return };
        tape.look(&turn.out.client, turn.now.monotonic);
        tape.happened(what, turn.now.monotonic);
    }

    /// Takes down data of a COPY that the client sends.
    pub(crate) fn tape_copy_in(&mut self, bytes: &[u8], turn: &Turn<'_>) {
        let Some(tape) = &mut self.tape else { return };
        let number =
            self.ops.iter().filter_map(|op| op.kind.run()).find(|run| run.judged.analysis.copies_in());
        tape.look(&turn.out.client, turn.now.monotonic);
        tape.copy_data(number.map_or(self.statement_last, |run| run.number), bytes, turn.now.monotonic);
    }

    /// The session ends.
    pub(crate) fn tape_ends(&mut self, reason: &str, turn: &Turn<'_>) {
        self.tape_happened(What::Ended { why: reason.to_owned() }, turn);
    }
}

/// A parameter as a recording has it.
fn value(parameter: &Parameter<'_>) -> Option<String> {
    match parameter {
        Parameter::Null => None,
        Parameter::Text(text) => Some(match std::str::from_utf8(text) {
            Ok(text) => text.to_owned(),
            Err(_) => format!("\\x{}", hex::encode(text)),
        }),
        Parameter::Binary(bytes) => Some(format!("\\x{}", hex::encode(bytes))),
        Parameter::Withheld(_) => Some("***".to_owned()),
    }
}

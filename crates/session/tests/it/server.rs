//! A model of one PostgreSQL backend: reads what the session writes upstream and answers as the server would.
//!
//! Knows prepared statements, portals, transaction status, skipping until Sync, COPY, and the gateway's questions, whose
//! trees and catalog rows were recorded. Knows nothing of policy or audit: it tells what it was made to run.

use std::collections::{HashMap, VecDeque};

use model::Oid;
use wire::backend::{Field, TransactionStatus as Status, encode};
use wire::error::{ErrorFields, Severity};
use wire::frame;
use wire::frontend::{self, Target, tag};
use wire::sqlstate::SqlState;

use crate::rng::Rng;
use crate::statements::{self, CANARY, Column, Does, Spec, spec};

/// What held when bytes were handed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// 0: bundle a, 1: bundle b.
    pub(crate) bundle: usize,
    /// How many records had left the process, and were on disk.
    pub(crate) written: usize,
    pub(crate) durable: usize,
    /// How many bytes of the server's had reached the session.
    pub(crate) delivered: u64,
}

/// The server ran a statement of the client's.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stamp: Stamp,
    /// As the client sent it.
    pub(crate) text: String,
    /// The values bound to it.
    pub(crate) params: Vec<Option<Vec<u8>>>,
    /// What it comes to: itself, then what EXECUTE or FETCH found.
    pub(crate) effective: Vec<&'static Spec>,
}

/// How often things go wrong, of a thousand.
#[derive(Clone, Copy, Default)]
pub(crate) struct Troubles {
    pub(crate) run_errors: usize,
    pub(crate) other_errors: usize,
    pub(crate) notices: usize,
}

#[derive(Clone)]
struct Portal {
    text: String,
    params: Vec<Option<Vec<u8>>>,
    rows_sent: usize,
    /// It has run to its end.
    done: bool,
}

struct Copying {
    simple: bool,
}

/// A result that is being sent, message by message.
struct Sending {
    messages: VecDeque<Vec<u8>>,
    simple: bool,
    /// Counts the results from 1.
    number: u64,
}

/// See the module.
pub(crate) struct Server {
    input: Vec<u8>,
    taken: u64,
    stamps: VecDeque<(u64, Stamp)>,
    /// Bytes for the session.
    pub(crate) output: Vec<u8>,
    written: u64,
    statements: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, Portal>,
    pub(crate) status: Status,
    skipping: bool,
    printing: bool,
    copying: Option<Copying>,
    /// Results take their time, so that they can be cancelled.
    pub(crate) slow: bool,
    sending: Option<Sending>,
    /// Results begun.
    pub(crate) results: u64,
    terminated: bool,
    in_flight: bool,
    /// Where in the output the answers to the last flight of questions end.
    flight_end: Option<u64>,
    flight_failed: bool,
    pub(crate) ran: Vec<Ran>,
    pub(crate) troubles: Troubles,
    rng: Rng,
}

struct Failed(&'static str, String);

fn failed<T>(code: &'static str, text: impl Into<String>) -> Result<T, Failed> {
    Err(Failed(code, text.into()))
}

fn is_own(name: &[u8]) -> bool {
    name.starts_with(b"gatepost.")
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl Server {
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            input: Vec::new(),
            taken: 0,
            stamps: VecDeque::new(),
            output: Vec::new(),
            written: 0,
            statements: HashMap::new(),
            portals: HashMap::new(),
            status: Status::Idle,
            skipping: false,
            printing: false,
            copying: None,
            slow: false,
            sending: None,
            results: 0,
            terminated: false,
            in_flight: false,
            flight_end: None,
            flight_failed: false,
            ran: Vec::new(),
            troubles: Troubles::default(),
            rng,
        }
    }

    /// Takes bytes that the session has written.
    pub(crate) fn receive(&mut self, bytes: &[u8], stamp: Stamp) {
        assert!(!self.terminated, "bytes after Terminate");
        self.input.extend_from_slice(bytes);
        self.stamps.push_back((self.taken + self.input.len() as u64, stamp));
    }

    /// Whether nothing is left to be done.
    pub(crate) fn at_rest(&self) -> bool {
        frame::next(&self.input, usize::MAX).unwrap().is_none() && self.sending.is_none()
    }

    /// A CancelRequest that was made when so many results had been begun; what comes when nothing runs does nothing.
    pub(crate) fn cancel(&mut self, results: u64) {
        let Some(sending) = self.sending.take() else { return };
        assert!(sending.number <= results, "another statement was cancelled than was meant");
        let before = self.output.len();
        self.error(&Failed("57014", "canceling statement due to user request".to_owned()));
        self.skipping |= !sending.simple;
        self.end_simple(sending.simple);
        self.written += (self.output.len() - before) as u64;
    }

    fn send_on(&mut self, mut sending: Sending) {
        let before = self.output.len();
        if let Some(message) = sending.messages.pop_front() {
            self.output.extend_from_slice(&message);
        }
        if sending.messages.is_empty() {
            self.end_simple(sending.simple);
        } else {
            self.sending = Some(sending);
        }
        self.written += (self.output.len() - before) as u64;
    }

    fn end_simple(&mut self, simple: bool) {
        if simple {
            if self.status == Status::Idle {
                self.portals.clear();
            }
            encode::ready_for_query(&mut self.output, self.status);
        }
    }

    /// Makes what was put out since `from` come one by one, if results take their time.
    fn slow_down(&mut self, from: usize, simple: bool) {
        if !self.slow {
            return;
        }
        let bytes = self.output.split_off(from);
        let mut messages = VecDeque::new();
        let mut rest = &bytes[..];
        while let Some(frame) = frame::next(rest, usize::MAX).unwrap() {
            messages.push_back(frame.raw.to_vec());
            rest = &rest[frame.raw.len()..];
        }
        self.results += 1;
        self.sending = Some(Sending { messages, simple, number: self.results });
    }

    /// Handles one message, if a whole one is there.
    pub(crate) fn step(&mut self) -> bool {
        if let Some(sending) = self.sending.take() {
            self.send_on(sending);
            return true;
        }
        let (tag, body, len) = match frame::next(&self.input, usize::MAX).expect("framing") {
            Some(frame) => (frame.tag, frame.body.to_vec(), frame.raw.len()),
            None => return false,
        };
        self.input.drain(..len);
        self.taken += len as u64;
        while self.stamps.front().is_some_and(|(end, _)| *end < self.taken) {
            self.stamps.pop_front();
        }
        let stamp = self.stamps.front().expect("a stamp").1;
        let before = self.output.len();
        self.message(tag, &body, stamp);
        self.written += (self.output.len() - before) as u64;
        if self.in_flight && (tag == tag::FLUSH || self.flight_failed) {
            self.flight_end.get_or_insert(self.written);
        }
        if tag == tag::FLUSH {
            self.in_flight = false;
        }
        true
    }

    /// The gateway may ask only when its last question has been answered.
    fn begin_flight(&mut self, stamp: Stamp) {
        assert!(
            self.flight_end.is_none_or(|end| end <= stamp.delivered),
            "a second question before the answer to the first"
        );
        self.in_flight = true;
        self.flight_failed = self.skipping;
        self.flight_end = self.skipping.then_some(self.written);
    }

    fn message(&mut self, tag: u8, body: &[u8], stamp: Stamp) {
        if let Some(copying) = &self.copying {
            let simple = copying.simple;
            return self.copy_message(tag, body, simple);
        }
        // CopyData and its kin after a COPY that failed are ignored (PostgresMain, postgres.c).
        if matches!(tag, tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL) {
            return;
        }
        if tag == tag::CLOSE {
            let close = frontend::Close::parse(body).unwrap();
            if close.name == b"gatepost.on" && close.target == Target::Portal && !self.in_flight {
                self.begin_flight(stamp);
            }
        }
        match tag {
            tag::SYNC => return self.sync(),
            tag::TERMINATE => {
                self.terminated = true;
                return;
            }
            tag::FLUSH => return,
            _ if self.skipping => return,
            _ => {}
        }
        let result = match tag {
            tag::QUERY => {
                let text = text_of(frontend::Query::parse(body).unwrap().text);
                return self.query(&text, stamp);
            }
            tag::PARSE => self.parse(&frontend::Parse::parse(body).unwrap()),
            tag::BIND => self.bind(&frontend::Bind::parse(body).unwrap()),
            tag::DESCRIBE => self.describe(&frontend::Describe::parse(body).unwrap()),
            tag::EXECUTE => self.execute(&frontend::Execute::parse(body).unwrap(), stamp),
            tag::CLOSE => {
                let close = frontend::Close::parse(body).unwrap();
                match close.target {
                    Target::Statement => drop(self.statements.remove(close.name)),
                    Target::Portal => drop(self.portals.remove(close.name)),
                }
                encode::close_complete(&mut self.output);
                Ok(())
            }
            other => panic!("the session sent a message of type {:?}", char::from(other)),
        };
        if let Err(error) = result {
            self.error(&error);
            self.skipping = true;
            self.flight_failed = true;
        }
    }

    fn sync(&mut self) {
        self.skipping = false;
        if self.status == Status::Idle {
            self.portals.clear();
        }
        encode::ready_for_query(&mut self.output, self.status);
    }

    fn error(&mut self, Failed(code, text): &Failed) {
        let code = SqlState::from_bytes(code.as_bytes()).unwrap();
        encode::error_response(&mut self.output, &ErrorFields::new(Severity::Error, code, text));
        // What was set locally goes with the transaction.
        self.printing = false;
        if self.status == Status::InTransaction {
            self.status = Status::Failed;
        } else if self.status == Status::Idle {
            self.portals.clear();
        }
    }

    fn aborted(&self) -> Result<(), Failed> {
        if self.status == Status::Failed {
            return failed("25P02", "current transaction is aborted, commands ignored until end of block");
        }
        Ok(())
    }

    fn trouble(&mut self) -> Result<(), Failed> {
        if self.rng.chance(self.troubles.other_errors) {
            return failed("57014", "canceling statement due to statement timeout");
        }
        Ok(())
    }

    fn parse(&mut self, parse: &frontend::Parse<'_>) -> Result<(), Failed> {
        if parse.statement.is_empty() {
            // exec_parse_message drops it first, whatever comes of the new one.
            self.statements.remove(&b""[..]);
        }
        let text = text_of(parse.query);
        let (own_question, ends) = match spec(&text) {
            _ if is_own(parse.statement) && text.contains("pg_catalog.") => (true, false),
            Some(spec) => (false, matches!(spec.does, Does::Commit | Does::Rollback)),
            None => (false, false),
        };
        match (own_question, spec(&text).map(|spec| spec.does)) {
            (false, Some(Does::SyntaxError)) => return failed("42601", "syntax error at or near \"SELEC\""),
            (false, None) => panic!("unknown text {text:?}"),
            _ => {}
        }
        if !ends {
            self.aborted()?;
        }
        self.trouble()?;
        if self.printing
            && !own_question
            && let Some(tree) = statements::tree(&text)
        {
            let log = ErrorFields::new(Severity::Notice, code("00000"), "rewritten parse tree:")
                .with(b'S', "LOG")
                .with(b'V', "LOG")
                .detail(tree);
            encode::notice_response(&mut self.output, &log);
        }
        if !parse.statement.is_empty() && self.statements.contains_key(parse.statement) {
            let name = text_of(parse.statement);
            return failed("42P05", format!("prepared statement \"{name}\" already exists"));
        }
        self.statements.insert(parse.statement.to_vec(), text);
        encode::parse_complete(&mut self.output);
        Ok(())
    }

    fn bind(&mut self, bind: &frontend::Bind<'_>) -> Result<(), Failed> {
        let Some(text) = self.statements.get(bind.statement).cloned() else {
            return failed("26000", "prepared statement does not exist");
        };
        let spec = spec(&text);
        if !spec.is_some_and(|spec| matches!(spec.does, Does::Commit | Does::Rollback)) {
            self.aborted()?;
        }
        self.trouble()?;
        let params = spec.map_or(0, |spec| spec.params);
        if bind.params.len() != params {
            return failed("08P01", format!("bind message supplies {} parameters", bind.params.len()));
        }
        if !bind.portal.is_empty() && self.portals.contains_key(bind.portal) {
            return failed("42P03", "portal already exists");
        }
        self.portals.insert(
            bind.portal.to_vec(),
            Portal {
                text,
                params: bind.params.iter().map(|value| value.map(<[u8]>::to_vec)).collect(),
                rows_sent: 0,
                done: false,
            },
        );
        encode::bind_complete(&mut self.output);
        Ok(())
    }

    fn describe(&mut self, describe: &frontend::Describe<'_>) -> Result<(), Failed> {
        let text = match describe.target {
            Target::Statement => self.statements.get(describe.name).cloned(),
            Target::Portal => self.portals.get(describe.name).map(|portal| portal.text.clone()),
        };
        let Some(text) = text else {
            let code = if describe.target == Target::Statement { "26000" } else { "34000" };
            return failed(code, "it does not exist");
        };
        self.aborted()?;
        let known = spec(&text).expect("described by the client");
        if describe.target == Target::Statement {
            let types = vec![Oid(23); known.params];
            encode::parameter_description(&mut self.output, types).unwrap();
        }
        match self.columns_of(known) {
            Some(columns) => row_description(&mut self.output, columns),
            None => encode::no_data(&mut self.output),
        }
        Ok(())
    }

    /// What it would return, if it returns rows.
    fn columns_of(&self, known: &Spec) -> Option<&'static [Column]> {
        match known.does {
            Does::Rows => Some(known.columns),
            Does::Execute { name } => {
                self.columns_of(spec(self.statements.get(name.as_bytes())?).expect("prepared"))
            }
            Does::Fetch { name } => {
                self.columns_of(spec(&self.portals.get(name.as_bytes())?.text).expect("declared"))
            }
            _ => None,
        }
    }

    fn query(&mut self, text: &str, stamp: Stamp) {
        // exec_simple_query drops the unnamed statement; its portal is the unnamed one.
        self.statements.remove(&b""[..]);
        self.portals.remove(&b""[..]);
        let result = match text {
            "BEGIN" => self.own_begin(),
            "COMMIT" => self.trouble().map(|()| self.end(true)),
            "ROLLBACK" => {
                self.end(false);
                Ok(())
            }
            "\"gatepost.refused" => failed("42601", "unterminated quoted identifier"),
            text => self.run(text, true, stamp, &[]),
        };
        if let Err(error) = result {
            self.error(&error);
        }
        self.end_simple(self.copying.is_none() && self.sending.is_none());
    }

    fn own_begin(&mut self) -> Result<(), Failed> {
        self.aborted()?;
        assert_eq!(self.status, Status::Idle, "the gateway begins a transaction inside one");
        self.status = Status::InTransaction;
        self.complete("BEGIN");
        Ok(())
    }

    fn end(&mut self, commit: bool) {
        let failed = self.status == Status::Failed;
        self.status = Status::Idle;
        self.printing = false;
        self.portals.clear();
        self.complete(if commit && !failed { "COMMIT" } else { "ROLLBACK" });
    }

    fn complete(&mut self, tag: &str) {
        encode::command_complete(&mut self.output, tag.as_bytes()).unwrap();
    }

    fn execute(&mut self, execute: &frontend::Execute<'_>, stamp: Stamp) -> Result<(), Failed> {
        let Some(portal) = self.portals.get(execute.portal).cloned() else {
            return failed("34000", "portal does not exist");
        };
        if is_own(execute.portal) {
            return self.execute_own(execute.portal, &portal.text);
        }
        let max = usize::try_from(execute.max_rows).unwrap_or(0);
        let known = spec(&portal.text).expect("bound");
        if portal.done {
            // As PortalRun, pquery.c: what returns rows has none left, all else runs once.
            self.aborted()?;
            let selects = matches!(known.does, Does::Rows | Does::Execute { .. } | Does::Fetch { .. });
            if !selects {
                return failed("55000", "portal cannot be run");
            }
            self.complete("SELECT 0");
            return Ok(());
        }
        if known.does != Does::Rows || max == 0 && portal.rows_sent == 0 {
            if let Some(portal) = self.portals.get_mut(execute.portal) {
                portal.done = true;
            }
            return self.run(&portal.text, false, stamp, &portal.params);
        }
        self.aborted()?;
        if portal.rows_sent == 0 {
            self.check(known, stamp, &portal.params)?;
        }
        let rows = statements::rows(known.columns);
        let left = rows.len() - portal.rows_sent;
        let now = if max == 0 { left } else { left.min(max) };
        let from = self.output.len();
        for row in rows.iter().skip(portal.rows_sent).take(now) {
            encode::data_row(&mut self.output, row.iter().map(Option::as_deref)).unwrap();
        }
        if let Some(portal) = self.portals.get_mut(execute.portal) {
            portal.rows_sent += now;
            portal.done = portal.rows_sent == rows.len();
        }
        if max > 0 && now == max {
            encode::portal_suspended(&mut self.output);
        } else {
            self.complete(&format!("SELECT {now}"));
        }
        self.slow_down(from, false);
        Ok(())
    }

    /// A question of the gateway's.
    fn execute_own(&mut self, name: &[u8], text: &str) -> Result<(), Failed> {
        self.aborted()?;
        self.trouble()?;
        let rows = match name {
            b"gatepost.on" => {
                self.printing = true;
                vec![vec![Some(b"x".to_vec()); 4]]
            }
            b"gatepost.off" => {
                assert!(self.printing, "OFF without ON");
                self.printing = false;
                vec![vec![Some(b"x".to_vec()); 2]]
            }
            _ => answer(text),
        };
        for row in &rows {
            encode::data_row(&mut self.output, row.iter().map(Option::as_deref)).unwrap();
        }
        self.complete(&format!("SELECT {}", rows.len()));
        Ok(())
    }

    /// Notes what is run, and lets it fail at times.
    fn check(
        &mut self,
        known: &'static Spec,
        stamp: Stamp,
        params: &[Option<Vec<u8>>],
    ) -> Result<(), Failed> {
        assert!(!self.printing, "{:?} is run while trees are printed", known.text);
        let mut effective = vec![known];
        let found = match known.does {
            Does::Execute { name } => self.statements.get(name.as_bytes()).cloned(),
            Does::Fetch { name } => self.portals.get(name.as_bytes()).map(|portal| portal.text.clone()),
            _ => None,
        };
        effective.extend(found.and_then(|text| spec(&text)));
        let secret = effective.iter().any(|spec| spec.touches_masked());
        self.ran.push(Ran { stamp, text: known.text.to_owned(), params: params.to_vec(), effective });
        let said = if secret { CANARY } else { "nothing secret" };
        if self.rng.chance(self.troubles.notices) {
            let notice =
                ErrorFields::new(Severity::Notice, code("00000"), format!("saw {said}")).detail(said);
            encode::notice_response(&mut self.output, &notice);
        }
        if self.rng.chance(self.troubles.run_errors) {
            return failed("22012", format!("division by zero at {said}"));
        }
        Ok(())
    }

    fn run(
        &mut self,
        text: &str,
        simple: bool,
        stamp: Stamp,
        params: &[Option<Vec<u8>>],
    ) -> Result<(), Failed> {
        let known = spec(text).unwrap_or_else(|| panic!("unknown text {text:?} is run"));
        if !matches!(known.does, Does::Commit | Does::Rollback | Does::Empty) {
            self.aborted()?;
        }
        self.check(known, stamp, params)?;
        match known.does {
            Does::Rows => self.send_rows(known, simple, "SELECT"),
            Does::Changes(tag) | Does::Nothing(tag) => self.complete(tag),
            Does::Begin => {
                self.status = Status::InTransaction;
                self.complete("BEGIN");
            }
            Does::Commit => self.end(true),
            Does::Rollback => self.end(false),
            Does::CopyIn => {
                encode::copy_in_response(&mut self.output, 0, [0; 3]).unwrap();
                self.copying = Some(Copying { simple });
            }
            Does::CopyOut => {
                let columns = known.columns;
                let from = self.output.len();
                encode::copy_out_response(&mut self.output, 0, columns.iter().map(|_| 0)).unwrap();
                let rows = statements::rows(columns);
                for row in &rows {
                    let values: Vec<&[u8]> = row.iter().map(|v| v.as_deref().unwrap()).collect();
                    let line = [values.join(&b'\t'), b"\n".to_vec()].concat();
                    encode::copy_data(&mut self.output, &line).unwrap();
                }
                encode::copy_done(&mut self.output);
                self.complete(&format!("COPY {}", rows.len()));
                self.slow_down(from, simple);
            }
            Does::Prepare { name, inner } => {
                if self.statements.contains_key(name.as_bytes()) {
                    return failed("42P05", "prepared statement already exists");
                }
                self.statements.insert(name.as_bytes().to_vec(), inner.to_owned());
                self.complete("PREPARE");
            }
            Does::Execute { name } => {
                let Some(text) = self.statements.get(name.as_bytes()).cloned() else {
                    return failed("26000", "prepared statement does not exist");
                };
                let inner = spec(&text).expect("prepared");
                match inner.does {
                    Does::Changes(tag) => self.complete(tag),
                    _ => self.send_rows(inner, simple, "SELECT"),
                }
            }
            Does::Deallocate { name } => {
                if self.statements.remove(name.as_bytes()).is_none() {
                    return failed("26000", "prepared statement does not exist");
                }
                self.complete("DEALLOCATE");
            }
            Does::Declare { name, inner } => {
                if self.status == Status::Idle {
                    return failed("25P01", "DECLARE CURSOR can only be used in transaction blocks");
                }
                if self.portals.contains_key(name.as_bytes()) {
                    return failed("42P03", "cursor already exists");
                }
                self.portals.insert(
                    name.as_bytes().to_vec(),
                    Portal { text: inner.to_owned(), params: Vec::new(), rows_sent: 0, done: false },
                );
                self.complete("DECLARE CURSOR");
            }
            Does::Fetch { name } => {
                let Some(portal) = self.portals.get(name.as_bytes()) else {
                    return failed("34000", "cursor does not exist");
                };
                let inner = spec(&portal.text).expect("declared");
                self.send_rows(inner, simple, "FETCH");
            }
            Does::CloseCursor { name } => {
                if self.portals.remove(name.as_bytes()).is_none() {
                    return failed("34000", "cursor does not exist");
                }
                self.complete("CLOSE CURSOR");
            }
            Does::DiscardAll => {
                if self.status != Status::Idle {
                    return failed("25001", "DISCARD ALL cannot run inside a transaction block");
                }
                self.statements.clear();
                self.portals.clear();
                self.complete("DISCARD ALL");
            }
            Does::Empty => encode::empty_query_response(&mut self.output),
            Does::SyntaxError => panic!("{text:?} is run"),
        }
        Ok(())
    }

    fn send_rows(&mut self, known: &Spec, simple: bool, tag: &str) {
        let from = self.output.len();
        if simple {
            row_description(&mut self.output, known.columns);
        }
        let rows = statements::rows(known.columns);
        for row in &rows {
            encode::data_row(&mut self.output, row.iter().map(Option::as_deref)).unwrap();
        }
        self.complete(&format!("{tag} {}", rows.len()));
        self.slow_down(from, simple);
    }

    fn copy_message(&mut self, tag: u8, body: &[u8], simple: bool) {
        let result = match tag {
            tag::COPY_DATA if self.rng.chance(self.troubles.run_errors) => failed("22P04", "bad copy data"),
            tag::COPY_DATA | tag::SYNC | tag::FLUSH => return,
            tag::COPY_DONE => {
                self.complete("COPY 1");
                Ok(())
            }
            tag::COPY_FAIL => {
                let reason = frontend::CopyFail::parse(body).unwrap();
                failed("57014", format!("COPY from stdin failed: {}", text_of(reason.reason)))
            }
            tag::TERMINATE => {
                self.terminated = true;
                return;
            }
            other => panic!("message {:?} in the middle of a COPY", char::from(other)),
        };
        self.copying = None;
        let broken = result.is_err();
        if let Err(error) = result {
            self.error(&error);
        }
        if simple {
            encode::ready_for_query(&mut self.output, self.status);
        } else {
            self.skipping |= broken;
        }
    }
}

fn code(code: &str) -> SqlState {
    SqlState::from_bytes(code.as_bytes()).unwrap()
}

fn row_description(out: &mut Vec<u8>, columns: &[Column]) {
    let fields = columns.iter().map(|(name, relation, attnum, ty)| Field {
        name: name.as_bytes(),
        table_oid: Oid(*relation),
        attnum: *attnum,
        type_oid: Oid(*ty),
        typlen: -1,
        typmod: -1,
        format: 0,
    });
    encode::row_description(out, fields).unwrap();
}

/// Rows of a catalog query.
fn answer(text: &str) -> Vec<session::Row> {
    let list = text.split_once("'{").and_then(|(_, rest)| rest.split_once("}'")).map(|(list, _)| list);
    let wanted: Vec<u32> =
        list.into_iter().flat_map(|l| l.split(',')).map(|oid| oid.parse().unwrap()).collect();
    let is_wanted = |oid: u32| wanted.contains(&oid);
    if text.contains("to_regclass") {
        let mut rows = Vec::new();
        for (name, oid) in [("customers", statements::CUSTOMERS), ("orders", statements::ORDERS)] {
            if text.contains(&format!("'\"{name}\"'")) || text.contains(&format!("'{name}'")) {
                let value = |v: &str| Some(v.as_bytes().to_vec());
                rows.push(vec![value("0"), value(&oid.to_string()), value("public")]);
            }
        }
        assert!(!rows.is_empty(), "no names in {text:?}");
        rows
    } else if text.contains("FROM pg_catalog.pg_class") {
        statements::catalog_rows("relations", is_wanted)
    } else if text.contains("FROM pg_catalog.pg_proc") {
        statements::catalog_rows("functions", is_wanted)
    } else {
        panic!("the model can't answer {text:?}")
    }
}

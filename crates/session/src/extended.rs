//! The extended protocol: Parse, Bind, Describe, Execute, Close.
//!
//! A statement is decided when it is parsed, again when it is bound, and again each time it is executed, with the
//! policy of that moment.

use std::sync::Arc;

use model::Oid;
use sql::names::truncate_key;
use sql::{Class, Effect, Limits, Statement};
use wire::frontend::{Bind, Close, Describe, Execute, Parse, Target};

use crate::analysis::Analysis;
use crate::approved::Approved;
use crate::authorize::{self, Judged};
use crate::evidence::{Executed, Parameters};
use crate::forward::RESERVED_PREFIX;
use crate::held::{HELD_BYTES_MAX, Held};
use crate::hold;
use crate::input::Now;
use crate::inquiry::{Inquiry, Job};
use crate::names;
use crate::ops::{Deferred, OpKind};
use crate::quota::Spent;
use crate::refuse::Refusal;
use crate::results::Rows;
use crate::running::{Running, Turn};
use crate::simple::Origin;

/// A prepared statement, whether made by Parse or by PREPARE.
pub(crate) struct Prepared {
    pub(crate) text: Arc<str>,
    pub(crate) param_types: Vec<Oid>,
    /// As of its last use; asked again when the policy changes.
    pub(crate) judged: Arc<Judged>,
    /// Of names, when it was analysed.
    pub(crate) generation: u64,
    /// Made by PREPARE: the text is the whole PREPARE, so it can't be asked about again by itself.
    pub(crate) by_sql: bool,
    held: Held,
}

impl Prepared {
    /// What PREPARE makes.
    pub(crate) fn declared(session: &Running, text: &str, judged: Arc<Judged>) -> Self {
        Self {
            text: text.into(),
            param_types: Vec::new(),
            judged,
            generation: session.names.generation(),
            by_sql: true,
            held: session.holdings.hold(text.len()),
        }
    }

    /// What a newer answer of the server's says about it; `None` if it returns other columns, so that it must be prepared again.
    pub(crate) fn judged_as<'a>(&self, analysis: &'a Analysis) -> Option<&'a Analysis> {
        let new = if self.by_sql { analysis.inner.as_deref()? } else { analysis };
        (!new.returns_other_columns_than(&self.judged.analysis)).then_some(new)
    }

    /// Returns whether nothing is known to have changed since it was analysed, not long ago.
    pub(crate) fn holds(&self, session: &Running, now: Now) -> bool {
        names::fresh(self.judged.analysis.asked, now.monotonic)
            && self.generation == session.names.generation()
            && self.judged.analysis.epoch == session.database.epoch()
    }
}

/// A portal, whether made by Bind or by DECLARE.
pub(crate) struct Portal {
    pub(crate) text: Arc<str>,
    pub(crate) judged: Arc<Judged>,
    /// Of names, when it was bound.
    pub(crate) generation: u64,
    /// What it runs is looked up anew when it is executed: EXECUTE, FETCH.
    pub(crate) bound: Option<Statement>,
    pub(crate) parameters: Parameters,
    /// Their types, as far as the client said.
    pub(crate) param_types: Vec<Oid>,
    /// Result formats as Bind gave them: none (all text), one for all, or one for each column.
    pub(crate) formats: Vec<i16>,
    /// Made by DECLARE BINARY: what format Execute would give is the server's business.
    pub(crate) binary_cursor: bool,
    /// Outlives its transaction.
    pub(crate) hold: bool,
    pub(crate) spent: Arc<Spent>,
    _held: Held,
}

impl Portal {
    /// What DECLARE makes.
    pub(crate) fn declared(
        session: &Running,
        text: &str,
        judged: Arc<Judged>,
        hold: bool,
        binary: bool,
    ) -> Self {
        Self {
            text: text.into(),
            judged,
            generation: 0,
            bound: None,
            parameters: Parameters::default(),
            param_types: Vec::new(),
            formats: Vec::new(),
            binary_cursor: binary,
            hold,
            spent: Arc::default(),
            _held: session.holdings.hold(text.len()),
        }
    }
}

impl Portal {
    /// Returns whether it would be analysed by the server only now, under other names than it was decided under: a plan is
    /// fixed when it is bound, but a utility statement (COPY, PREPARE, CREATE VIEW, ...) reads its names when it runs.
    fn stale(&self, session: &Running) -> bool {
        let analysis = &self.judged.analysis;
        let planned = analysis.command.is_none_or(|command| command.class() == Class::Query);
        !planned
            && self.bound.is_none()
            && (self.generation != session.names.generation() || analysis.epoch != session.database.epoch())
            && !analysis.touches_nothing()
    }
}

/// A Parse message whose statement has been analysed.
pub(crate) struct Parsed {
    pub(crate) message: Vec<u8>,
    pub(crate) name: Vec<u8>,
    pub(crate) text: String,
    pub(crate) param_types: Vec<Oid>,
    /// The server has carried it out already, as a question.
    pub(crate) parsed: bool,
}

/// A Bind message, taken apart and kept whole.
pub(crate) struct Binding {
    pub(crate) message: Vec<u8>,
    pub(crate) portal: Vec<u8>,
    pub(crate) statement: Vec<u8>,
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) parameters: Parameters,
    pub(crate) formats: Vec<i16>,
    /// What it costs is known and within the limit.
    pub(crate) costed: bool,
    /// What approvers have agreed to; whether it is this statement, with these parameters, is asked before it is used.
    pub(crate) approved: Option<Arc<Approved>>,
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

impl Running {
    pub(crate) fn parse(&mut self, parse: Parse<'_>, raw: &[u8], turn: &mut Turn<'_>) {
        if let Err(refusal) = self.may_name(parse.statement, self.statements.len()) {
            return self.refuse_message(&String::from_utf8_lossy(parse.query), refusal, turn);
        }
        let text = match self.readable(parse.query) {
            Ok(text) => text,
            Err(refusal) => return self.refuse_message(&String::from_utf8_lossy(parse.query), refusal, turn),
        };
        let param_types: Vec<Oid> = parse.param_types.iter().collect();
        let parsed = |parsed| Parsed {
            message: raw.to_vec(),
            name: truncate_key(parse.statement).to_vec(),
            text: text.to_owned(),
            param_types: param_types.clone(),
            parsed,
        };
        if let Some(judged) = self.known(text, &param_types, turn.now) {
            return self.parsed(parsed(false), judged, turn);
        }
        self.learn_parse(parsed(false), turn);
    }

    fn learn_parse(&mut self, parsed: Parsed, turn: &mut Turn<'_>) {
        let limits = Limits { statements_max: 2, ..self.sql_limits() };
        let statements = sql::parse(&parsed.text, limits);
        let param_types = parsed.param_types.clone();
        let several = "cannot insert multiple commands into a prepared statement";
        let first = statements.as_ref().ok().and_then(|list| list.first());
        if let Err(refusal) = self.may_ask(first.map_or(&Effect::None, |first| &first.effect), turn) {
            match first {
                Some(first) => self.record_unasked(first, &parsed.text, true, &refusal, turn),
                None => return self.refuse_message(&parsed.text, refusal, turn),
            }
            return self.refuse_extended(refusal, None, turn);
        }
        match statements {
            Ok(mut statements) if statements.len() < 2 => match statements.pop() {
                Some(statement) => match self.bound(&statement, turn.now) {
                    Some(Err(refusal)) => self.refuse_message(&parsed.text, refusal, turn),
                    _ => {
                        let job = job(parsed);
                        self.begin_inquiry(Inquiry::new(job, statement, &param_types), turn);
                    }
                },
                None => {
                    let analysis = Arc::new(Analysis::empty(turn.now.monotonic));
                    let judged = self.judge(&analysis, turn.now);
                    self.parsed(parsed, judged, turn);
                }
            },
            // The text of PostgreSQL itself (exec_parse_message, postgres.c).
            Ok(_) => self.refuse_message(&parsed.text, Refusal::Syntax(several.to_owned()), turn),
            Err(error)
                if error.sqlstate == "54000"
                    && error.position.is_none()
                    && error.message.contains("statements") =>
            {
                self.refuse_message(&parsed.text, Refusal::Syntax(several.to_owned()), turn);
            }
            Err(error) => {
                if let Some(refusal) = Refusal::of_limit(&error) {
                    return self.refuse_message(&parsed.text, refusal, turn);
                }
                let job = job(parsed);
                self.begin_inquiry(Inquiry::syntax(job, error), turn);
            }
        }
    }

    /// Checks a name that a client gives to something, and that there is room for it.
    fn may_name(&self, name: &[u8], count: usize) -> Result<(), Refusal> {
        if name.starts_with(RESERVED_PREFIX.as_bytes()) {
            return Err(Refusal::Reserved(shown(name)));
        }
        self.has_room(count)
    }

    /// Checks that one more prepared statement or portal may be made where there are so many.
    fn has_room(&self, count: usize) -> Result<(), Refusal> {
        let max = self.database.settings.limits.prepared_max;
        if count >= max {
            return Err(Refusal::TooLarge(format!(
                "session has {max} prepared statements or portals already"
            )));
        }
        if self.holdings.bytes() >= HELD_BYTES_MAX {
            let max = HELD_BYTES_MAX >> 20;
            return Err(Refusal::TooLarge(format!(
                "session's prepared statements and portals have {max} MiB of texts and parameters already"
            )));
        }
        Ok(())
    }

    /// Checks that there is room for what the statement makes by SQL: PREPARE, DECLARE.
    pub(crate) fn has_room_for(&self, effect: &Effect) -> Result<(), Refusal> {
        match effect {
            Effect::Prepare { .. } => self.has_room(self.statements.len()),
            Effect::Declare { .. } => self.has_room(self.portals.len()),
            _ => Ok(()),
        }
    }

    /// Takes or refuses a Parse message whose statement has been decided.
    pub(crate) fn parsed(&mut self, parsed: Parsed, judged: Arc<Judged>, turn: &mut Turn<'_>) {
        let Parsed { message, name, text, param_types, parsed } = parsed;
        let permit = match authorize::permit_parse(&judged) {
            Ok(permit) => permit,
            Err(refusal) => {
                let executed = Executed { judged: &judged, text: &text, parameters: None, extended: true };
                self.record_statement(&executed, Some(&refusal), turn);
                if parsed {
                    // It replaced what the name stood for before.
                    self.statements.forget(&name);
                }
                return self.refuse_extended(refusal, parsed.then_some(name.as_slice()), turn);
            }
        };
        let generation = self.names.generation();
        let held = self.holdings.hold(text.len() + size_of_val(param_types.as_slice()));
        let text = text.into();
        let prepared = Arc::new(Prepared { text, param_types, judged, generation, by_sql: false, held });
        if parsed {
            self.statements.put_now(&name, prepared);
            wire::backend::encode::parse_complete(&mut turn.out.client);
            return;
        }
        let op = self.next_op(OpKind::Parse);
        self.statements.put(op.number, &name, prepared);
        self.dispatch(Deferred::Parse { permit, message, op }, turn);
    }

    pub(crate) fn bind(&mut self, bind: Bind<'_>, raw: &[u8], turn: &mut Turn<'_>) {
        if let Err(refusal) = self.may_name(bind.portal, self.portals.len()) {
            return self.refuse_message("", refusal, turn);
        }
        let Some(prepared) = self.statements.get(truncate_key(bind.statement)).cloned() else {
            return self.refuse_message("", Refusal::NoStatement(shown(bind.statement)), turn);
        };
        let binding = Binding {
            message: raw.to_vec(),
            portal: truncate_key(bind.portal).to_vec(),
            statement: truncate_key(bind.statement).to_vec(),
            parameters: Parameters::of(&bind),
            formats: bind.result_formats.iter().collect(),
            prepared,
            costed: false,
            approved: None,
        };
        self.bind_again(binding, turn);
    }

    pub(crate) fn bind_again(&mut self, binding: Binding, turn: &mut Turn<'_>) {
        if binding.prepared.holds(self, turn.now) {
            return self.bound_to(binding, turn);
        }
        self.ask_again(binding, turn);
    }

    /// What the statement means may have changed since it was prepared: the server is asked again, and unless the
    /// answer is the same the client must prepare it again.
    fn ask_again(&mut self, binding: Binding, turn: &mut Turn<'_>) {
        let text = binding.prepared.text.clone();
        let param_types = binding.prepared.param_types.clone();
        let statement = self.read_sql(&text).ok().and_then(|mut list| list.pop());
        match statement {
            Some(statement) => {
                self.begin_inquiry(Inquiry::new(Job::Bind(binding), statement, &param_types), turn);
            }
            // An empty statement means the same for ever.
            None => self.bound_to(binding, turn),
        }
    }

    /// SQL EXECUTE of a statement whose analysis may be out of date: the server is asked again first.
    pub(crate) fn refresh(
        &mut self,
        name: &[u8],
        prepared: Arc<Prepared>,
        origin: Origin,
        turn: &mut Turn<'_>,
    ) {
        let text = prepared.text.clone();
        let Some(statement) = self.read_sql(&text).ok().and_then(|mut list| list.pop()) else {
            let refusal = Refusal::Changed(format!("\"{}\" must be decided anew", shown(name)));
            return self.refuse_query(&origin.text, refusal, turn);
        };
        let param_types = prepared.param_types.clone();
        let job = Job::Refresh { name: name.to_vec(), prepared, origin };
        self.begin_inquiry(Inquiry::new(job, statement, &param_types), turn);
    }

    /// The server has answered again about a statement that EXECUTE is to run.
    pub(crate) fn refreshed(
        &mut self,
        name: &[u8],
        old: &Prepared,
        origin: Origin,
        analysis: &Arc<Analysis>,
        turn: &mut Turn<'_>,
    ) {
        let Some(prepared) = self.renewed(old, analysis, turn) else {
            let refusal = changed(old, analysis, name);
            return self.refuse_query(&origin.text, refusal, turn);
        };
        self.statements.update(name, Arc::new(prepared));
        self.simple_text(origin, turn);
    }

    /// The same statement by a newer answer of the server's, which has forgotten its plans if the answer is another; `None`
    /// if it returns other columns now.
    fn renewed(&self, old: &Prepared, analysis: &Arc<Analysis>, turn: &Turn<'_>) -> Option<Prepared> {
        let _ = old.judged_as(analysis)?;
        let new = if old.by_sql { analysis.inner.as_ref() } else { Some(analysis) }?;
        Some(Prepared {
            text: old.text.clone(),
            param_types: old.param_types.clone(),
            judged: self.judge(new, turn.now),
            generation: self.names.generation(),
            by_sql: old.by_sql,
            held: self.holdings.hold(old.held.bytes()),
        })
    }

    /// The server has answered again about a statement that is being bound.
    pub(crate) fn rebound(&mut self, mut binding: Binding, analysis: &Arc<Analysis>, turn: &mut Turn<'_>) {
        let Some(prepared) = self.renewed(&binding.prepared, analysis, turn) else {
            let refusal = changed(&binding.prepared, analysis, &binding.statement);
            self.record_refusal(analysis, &binding.prepared.text, true, &refusal, turn);
            return self.refuse_extended(refusal, None, turn);
        };
        let prepared = Arc::new(prepared);
        self.statements.update(&binding.statement, prepared.clone());
        binding.prepared = prepared;
        self.bound_to(binding, turn);
    }

    pub(crate) fn bound_to(&mut self, binding: Binding, turn: &mut Turn<'_>) {
        let statement = if crate::effects::is_session_bound(&binding.prepared.judged.analysis.effect) {
            self.read_sql(&binding.prepared.text).ok().and_then(|mut list| list.pop())
        } else {
            None
        };
        let mut judged = self.rejudge(&binding.prepared.judged, turn.now);
        if let Some(cursor) = statement.as_ref().and_then(|fetch| self.approved_cursor(&fetch.effect)) {
            judged = self.judge_with(&judged.analysis, Some(&cursor), turn.now);
        }
        let Binding { prepared, parameters, approved, .. } = &binding;
        let bound = Some((prepared.param_types.as_slice(), parameters));
        let judged = self.with_approval(&judged, approved.as_ref(), &prepared.text, bound, turn);
        if judged.holds() {
            return self.hold(hold::Job::Bind(binding), &judged, None, turn);
        }
        let binding = match self.ask_cost_of_binding(binding, &judged, turn) {
            Ok(Some(binding)) => binding,
            Ok(None) => return,
            Err(refused) => {
                let (Binding { prepared, parameters, .. }, refusal) = *refused;
                let executed = Executed {
                    judged: &judged,
                    text: &prepared.text,
                    parameters: Some(&parameters),
                    extended: true,
                };
                self.record_statement(&executed, Some(&refusal), turn);
                return self.refuse_extended(refusal, None, turn);
            }
        };
        let Binding { message, portal, prepared, parameters, formats, .. } = binding;
        let allowed = match authorize::permit(&judged) {
            Ok(allowed) => allowed,
            Err(refusal) => {
                let executed = Executed {
                    judged: &judged,
                    text: &prepared.text,
                    parameters: Some(&parameters),
                    extended: true,
                };
                self.record_statement(&executed, Some(&refusal), turn);
                return self.refuse_extended(refusal, None, turn);
            }
        };
        let held = self.holdings.hold(prepared.text.len() + parameters.bytes());
        let made = Portal {
            text: prepared.text.clone(),
            judged,
            generation: self.names.generation(),
            bound: statement,
            parameters,
            param_types: prepared.param_types.clone(),
            formats,
            binary_cursor: false,
            hold: false,
            spent: Arc::default(),
            _held: held,
        };
        let op = self.next_op(OpKind::Bind);
        self.portals.put(op.number, &portal, Arc::new(made));
        self.pipeline_bound = true;
        self.dispatch(Deferred::Bind { allowed, message, op }, turn);
    }

    pub(crate) fn describe(&mut self, describe: Describe<'_>, raw: &[u8], turn: &mut Turn<'_>) {
        let judged = match describe.target {
            Target::Statement => self.statements.get(truncate_key(describe.name)).map(|s| s.judged.clone()),
            Target::Portal => self.portals.get(truncate_key(describe.name)).map(|p| p.judged.clone()),
        };
        let Some(judged) = judged else {
            let refusal = match describe.target {
                Target::Statement => Refusal::NoStatement(shown(describe.name)),
                Target::Portal => Refusal::NoPortal(shown(describe.name)),
            };
            return self.refuse_extended(refusal, None, turn);
        };
        let op = self.next_op(OpKind::Describe { judged });
        self.dispatch(Deferred::Client { message: raw.to_vec(), op: Some(op) }, turn);
    }

    pub(crate) fn execute(&mut self, execute: &Execute<'_>, raw: &[u8], turn: &mut Turn<'_>) {
        self.execute_with(execute, raw, None, turn);
    }

    /// Likewise, with what approvers have agreed to.
    pub(crate) fn execute_with(
        &mut self,
        execute: &Execute<'_>,
        raw: &[u8],
        approved: Option<&Arc<Approved>>,
        turn: &mut Turn<'_>,
    ) {
        let Some(portal) = self.portals.get(truncate_key(execute.portal)).cloned() else {
            return self.refuse_message("", Refusal::NoPortal(shown(execute.portal)), turn);
        };
        if portal.stale(self) {
            let what = format!("\"{}\" was bound under other names", shown(execute.portal));
            return self.refuse_message(&portal.text, Refusal::Changed(what), turn);
        }
        // EXECUTE and FETCH run what the name stands for now, not when they were bound.
        let judged = match portal.bound.as_ref().and_then(|statement| self.bound(statement, turn.now)) {
            Some(Ok(analysis)) => {
                let effect = portal.bound.as_ref().map_or(&Effect::None, |statement| &statement.effect);
                let cursor = self.approved_cursor(effect);
                self.judge_with(&analysis, cursor.as_ref(), turn.now)
            }
            Some(Err(refusal)) => return self.refuse_message(&portal.text, refusal, turn),
            None => self.rejudge(&portal.judged, turn.now),
        };
        let bound = Some((portal.param_types.as_slice(), &portal.parameters));
        let judged = match portal.judged.approved.as_ref().filter(|_| judged.holds() && approved.is_none()) {
            // What was approved when it was bound is approved, if it still is that.
            Some(before)
                if judged.analysis.is_within(&portal.judged.analysis)
                    && self.is_approved(before, &portal.text, bound, &portal.judged.analysis) =>
            {
                self.judge_with(&judged.analysis, Some(before), turn.now)
            }
            _ => self.with_approval(&judged, approved, &portal.text, bound, turn),
        };
        if judged.holds() {
            let job = hold::Job::Execute { raw: raw.to_vec(), portal };
            return self.hold(job, &judged, None, turn);
        }
        let executed = Executed {
            judged: &judged,
            text: &portal.text,
            parameters: Some(&portal.parameters),
            extended: true,
        };
        let rows = match Rows::bound(&judged, &portal, &self.database.settings) {
            Ok(rows) => rows,
            Err(refusal) => {
                self.record_statement(&executed, Some(&refusal), turn);
                return self.refuse_extended(refusal, None, turn);
            }
        };
        let (allowed, mut run) = match self.decide_and_record(&executed, turn) {
            Ok(decided) => decided,
            Err(refusal) => return self.refuse_extended(refusal, None, turn),
        };
        run.rows = rows;
        run.spent = portal.bound.as_ref().map_or_else(|| portal.spent.clone(), |s| self.spent_of(&s.effect));
        let op = self.next_op(OpKind::Execute(Box::new(run)));
        let number = op.number;
        self.apply_effect(&judged, &portal.text, op.number);
        self.dispatch_run(allowed, raw, op, turn);
        self.hold_after(&judged, number, true);
        if judged.analysis.copies_in() {
            self.wait_for_copy(number);
        }
    }

    pub(crate) fn close_named(&mut self, close: Close<'_>, raw: &[u8], turn: &mut Turn<'_>) {
        let op = self.next_op(OpKind::Close { hidden: false });
        match close.target {
            Target::Statement => self.statements.remove(op.number, truncate_key(close.name)),
            Target::Portal => self.portals.remove(op.number, truncate_key(close.name)),
        }
        self.dispatch(Deferred::Client { message: raw.to_vec(), op: Some(op) }, turn);
    }
}

/// Why a statement that was prepared is refused now that the server has answered otherwise.
fn changed(old: &Prepared, new: &Arc<Analysis>, name: &[u8]) -> Refusal {
    let new = if old.by_sql { new.inner.as_ref() } else { Some(new) };
    if new.is_some_and(|new| new.returns_other_columns_than(&old.judged.analysis)) {
        return Refusal::CachedPlan;
    }
    Refusal::Changed(format!("\"{}\" means something else now", shown(name)))
}

fn job(parsed: Parsed) -> Job {
    let Parsed { message, name, text, param_types, parsed: _ } = parsed;
    Job::Parse { message, name, text, param_types }
}

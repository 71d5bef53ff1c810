//! The simple protocol: one Query message, from text to a statement on its way or a refusal in its place.

use std::sync::Arc;

use sql::{Effect, Inside, Statement};
use wire::frontend::encode;

use crate::analysis::Analysis;
use crate::approved::Approved;
use crate::authorize::{Allowed, Judged};
use crate::evidence::Executed;
use crate::hold::Job;
use crate::input::Now;
use crate::inquiry::{self, Inquiry};
use crate::ops::{Deferred, Op, OpKind};
use crate::quota::Spent;
use crate::refuse::Refusal;
use crate::results::Rows;
use crate::running::{Running, Turn};
use crate::script::Script;

/// Where a statement of the simple protocol came from.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    /// The statement on its own; the whole text where there is one statement only.
    pub(crate) text: String,
    /// Characters of the client's message before the text.
    pub(crate) offset_chars: usize,
    pub(crate) in_script: bool,
    /// Of the cursor that it fetches from, or its own.
    pub(crate) spent: Arc<Spent>,
    /// What it costs is known and within the limit.
    pub(crate) costed: bool,
    /// What approvers have agreed to; whether it is this statement is asked before it is used.
    pub(crate) approved: Option<Arc<Approved>>,
}

impl Origin {
    fn whole(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// A statement of a script.
    pub(crate) fn step(text: String, offset_chars: usize) -> Self {
        Self { text, offset_chars, in_script: true, ..Self::default() }
    }
}

impl Running {
    pub(crate) fn query(&mut self, text: &[u8], raw: &[u8], turn: &mut Turn<'_>) {
        self.implicit_end();
        let text = match self.readable(text) {
            Ok(text) => text,
            Err(refusal) => return self.refuse_query(&String::from_utf8_lossy(text), refusal, turn),
        };
        // The hot path: a shape that was decided before is a look-up, and the message goes on as it came.
        if let Some(judged) = self.known(text, &[], turn.now) {
            return self.run_query(&judged, text, &Origin::default(), raw, turn);
        }
        self.simple_text(Origin::whole(text), turn);
    }

    /// Returns the text if it is certain how it will be read.
    pub(crate) fn readable<'t>(&self, text: &'t [u8]) -> Result<&'t str, Refusal> {
        if let Some(why) = &self.text_unsafe {
            return Err(Refusal::NotUnderstood(why.clone()));
        }
        std::str::from_utf8(text).map_err(|error| {
            Refusal::Encoding(format!("statement is not valid UTF-8 after byte {}", error.valid_up_to()))
        })
    }

    pub(crate) fn sql_limits(&self) -> sql::Limits {
        let limits = &self.database.settings.limits;
        sql::Limits { bytes_max: limits.statement_bytes_max, statements_max: limits.statements_max }
    }

    pub(crate) fn read_sql(&self, text: &str) -> Result<Vec<Statement>, sql::SyntaxError> {
        sql::parse(text, self.sql_limits())
    }

    /// A text that was not seen before, or a statement of a script.
    pub(crate) fn simple_text(&mut self, origin: Origin, turn: &mut Turn<'_>) {
        if origin.in_script
            && let Some(judged) = self.known(&origin.text, &[], turn.now)
        {
            return self.run_origin(&judged, &origin, turn);
        }
        let mut statements = match self.read_sql(&origin.text) {
            Ok(statements) => statements,
            Err(error) => {
                if let Some(refusal) = Refusal::of_limit(&error) {
                    return self.refuse_query(&origin.text, refusal, turn);
                }
                if let Err(refusal) = self.may_ask(&Effect::None, turn) {
                    return self.refuse_query(&origin.text, refusal, turn);
                }
                // The server is asked for its own words; it parses and runs nothing.
                let inquiry = Inquiry::syntax(inquiry::Job::Simple(origin), error);
                return self.begin_inquiry(inquiry, turn);
            }
        };
        if statements.len() > 1 {
            let parts: Vec<_> = statements.into_iter().map(|statement| statement.range).collect();
            self.script = Some(Script::new(&origin.text, parts.into_iter()));
            return;
        }
        let Some(statement) = statements.pop() else {
            let judged = self.judge(&Arc::new(Analysis::empty(turn.now.monotonic)), turn.now);
            return self.run_origin(&judged, &origin, turn);
        };
        let origin = Origin { spent: self.spent_of(&statement.effect), ..origin };
        // It was counted when approvers were asked.
        let counted = origin.approved.is_some();
        if !counted && let Err(refusal) = self.may_ask(&statement.effect, turn) {
            self.record_unasked(&statement, &origin.text, false, &refusal, turn);
            return self.refuse_simple(refusal, turn);
        }
        if let Effect::Execute { name, .. } = &statement.effect
            && let Some(prepared) = self.statements.get(name.as_bytes()).cloned()
            && !prepared.holds(self, turn.now)
        {
            return self.refresh(name.as_bytes(), prepared, origin, turn);
        }
        match self.bound(&statement, turn.now) {
            Some(Ok(analysis)) if statement.asks.is_empty() => {
                let cursor = self.approved_cursor(&statement.effect);
                let judged = self.judge_with(&analysis, cursor.as_ref(), turn.now);
                self.run_origin(&judged, &origin, turn);
            }
            Some(Err(refusal)) => self.refuse_query(&origin.text, refusal, turn),
            Some(Ok(_)) | None => {
                let inquiry = Inquiry::new(inquiry::Job::Simple(origin), statement, &[]);
                self.begin_inquiry(inquiry, turn);
            }
        }
    }

    /// What a statement means that runs what was prepared or declared before: that statement's analysis.
    /// `None`: it is of no such kind.
    pub(crate) fn bound(&self, statement: &Statement, now: Now) -> Option<Result<Arc<Analysis>, Refusal>> {
        match &statement.effect {
            Effect::Execute { name, inside } => Some(match self.statements.get(name.as_bytes()) {
                Some(prepared) if !prepared.holds(self, now) => {
                    Err(Refusal::Changed(format!("\"{name}\" must be decided anew")))
                }
                Some(prepared) => Ok(match inside {
                    Inside::Nothing => prepared.judged.analysis.as_executed(),
                    Inside::Explain { analyze } => prepared.judged.analysis.as_explained(*analyze),
                    Inside::CreateTableAs => prepared.judged.analysis.as_copied(),
                }),
                None => Err(Refusal::NoStatement(name.clone())),
            }),
            Effect::Fetch { name, moves } => Some(match self.portals.get(name.as_bytes()) {
                Some(portal) if portal.bound.is_some() => {
                    let what = format!("portal \"{name}\" runs what another name stands for");
                    Err(Refusal::NotUnderstood(what))
                }
                Some(portal) => Ok(portal.judged.analysis.as_fetched(*moves)),
                // What a function opened, it returns: as trusted as the function.
                None if !self.openers.is_empty() => {
                    Ok(Arc::new(Analysis::of_a_function(&self.openers, *moves, now.monotonic)))
                }
                None => Err(Refusal::NoCursor(name.clone())),
            }),
            _ => None,
        }
    }

    /// What approvers have agreed to for the cursor that a statement fetches from.
    pub(crate) fn approved_cursor(&self, effect: &Effect) -> Option<Arc<Approved>> {
        let Effect::Fetch { name, .. } = effect else { return None };
        let approved = self.portals.get(name.as_bytes())?.judged.approved.clone()?;
        approved.is_of(&self.bundle).then_some(approved)
    }

    pub(crate) fn run_origin(&mut self, judged: &Arc<Judged>, origin: &Origin, turn: &mut Turn<'_>) {
        let mut message = Vec::with_capacity(origin.text.len() + 6);
        if encode::query(&mut message, origin.text.as_bytes()).is_err() {
            return self
                .refuse_simple(Refusal::TooLarge("statement is too long to be sent".to_owned()), turn);
        }
        self.run_query(judged, &origin.text, origin, &message, turn);
    }

    /// Decides and records a statement whose meaning is known, and sends it or refuses it.
    fn run_query(
        &mut self,
        judged: &Arc<Judged>,
        text: &str,
        origin: &Origin,
        message: &[u8],
        turn: &mut Turn<'_>,
    ) {
        if !origin.in_script && self.must_be_undoable(judged) {
            // In a hidden transaction, where none is open.
            self.script = Some(Script::new(text, std::iter::once(0..text.len())));
            return;
        }
        let judged = &self.with_approval(judged, origin.approved.as_ref(), text, None, turn);
        if judged.holds() {
            let origin = Origin { text: text.to_owned(), ..origin.clone() };
            return self.hold(Job::Run(origin), judged, None, turn);
        }
        let executed = Executed { judged, text, parameters: None, extended: false };
        match self.ask_cost_of_query(judged, text, origin, turn) {
            Ok(false) => {}
            Ok(true) => return,
            Err(refusal) => {
                self.record_statement(&executed, Some(&refusal), turn);
                return self.refuse_simple(refusal, turn);
            }
        }
        let (allowed, mut run) = match self.decide_and_record(&executed, turn) {
            Ok(decided) => decided,
            Err(refusal) => return self.refuse_simple(refusal, turn),
        };
        run.offset_chars = origin.offset_chars;
        run.in_script = origin.in_script;
        run.spent = origin.spent.clone();
        run.rows = Rows::until_described(judged);
        let copies = judged.analysis.copies_in();
        let op = self.next_op(OpKind::Query(Box::new(run)));
        let number = op.number;
        self.apply_effect(judged, text, op.number);
        self.dispatch_run(allowed, message, op, turn);
        self.hold_after(judged, number, false);
        if copies {
            self.wait_for_copy(number);
        }
    }

    pub(crate) fn dispatch_run(&mut self, allowed: Allowed, message: &[u8], op: Op, turn: &mut Turn<'_>) {
        let Some((ticket, quotes)) = op.kind.run().map(|run| (run.ticket, run.judged.quotes)) else { return };
        self.quotes = self.quotes.max(quotes);
        self.dispatch(Deferred::Run { allowed, ticket, message: message.to_vec(), op }, turn);
    }
}

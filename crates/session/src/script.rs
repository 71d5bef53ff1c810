//! A Query with several statements: one after another, as one implicit transaction, because a later statement may
//! need what an earlier one makes and so can't be decided before that has run.
//!
//! PostgreSQL's rules (`exec_simple_query`, postgres.c, and "Multiple Statements in a Simple Query" in its manual):
//! outside a transaction block all statements are one implicit transaction; BEGIN inside turns it into a regular
//! block; COMMIT and ROLLBACK end what came before; an error ends the whole message. The implicit transaction is a
//! hidden BEGIN and COMMIT here.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use sql::Effect;
use wire::backend::encode;
use wire::error::{ErrorFields, Severity};
use wire::sqlstate;

use crate::ops::Bracket;
use crate::running::{Running, Status, Turn};
use crate::simple::Origin;

/// See the module.
pub(crate) struct Script {
    text: String,
    parts: VecDeque<Range<usize>>,
    /// Characters before byte `counted_to`, so that offsets are counted once.
    counted: (usize, usize),
    /// A statement or a bracket is under way.
    pub(crate) running: bool,
    bracket_open: bool,
    committing: bool,
    failed: bool,
    /// Nothing has run in the bracket yet.
    fresh: bool,
    /// The last statement's CommandComplete: the server sends it after the commit, so it waits for ours.
    pub(crate) held_complete: Option<Vec<u8>>,
    /// What the server would send only just before ReadyForQuery (`PostgresMain`, postgres.c): notifications, then parameters.
    pub(crate) held_notifications: Vec<u8>,
    pub(crate) held_statuses: BTreeMap<Vec<u8>, Vec<u8>>,
    /// BEGIN inside our bracket warns; in an implicit transaction it does not.
    pub(crate) hush_active_transaction: bool,
}

impl Script {
    pub(crate) fn new(text: &str, parts: impl Iterator<Item = Range<usize>>) -> Self {
        Self {
            text: text.to_owned(),
            parts: parts.collect(),
            counted: (0, 0),
            running: false,
            bracket_open: false,
            committing: false,
            failed: false,
            fresh: false,
            held_complete: None,
            held_notifications: Vec::new(),
            held_statuses: BTreeMap::new(),
            hush_active_transaction: false,
        }
    }

    fn next(&mut self) -> Option<(String, usize)> {
        let range = self.parts.pop_front()?;
        let (bytes, chars) = self.counted;
        let chars = chars + self.text.get(bytes..range.start)?.chars().count();
        self.counted = (range.start, chars);
        Some((self.text.get(range)?.to_owned(), chars))
    }

    /// Whether what has failed will be rolled back by the gateway itself.
    pub(crate) fn rolls_back(&self) -> bool {
        self.bracket_open
    }

    /// Takes the bracket to be closed while its first statement waits; `false` if there is none, or something has run in it.
    pub(crate) fn suspend(&mut self) -> bool {
        let suspends = self.bracket_open && self.fresh;
        self.bracket_open &= !suspends;
        suspends
    }

    /// Takes it to be open again.
    pub(crate) fn resume(&mut self) -> bool {
        self.bracket_open = true;
        self.fresh = true;
        true
    }

    /// Whether CommandComplete of the statement that runs must wait for the commit.
    pub(crate) fn holds_complete(&self) -> bool {
        self.bracket_open && self.parts.is_empty() && !self.committing
    }
}

impl Running {
    pub(crate) fn script_step(&mut self, turn: &mut Turn<'_>) {
        let idle = self.status == Status::Idle;
        let limits = self.sql_limits();
        self.trace_begins(turn);
        let Some(script) = &mut self.script else { return };
        let Some((text, offset_chars)) = script.next() else {
            script.running = true;
            script.committing = true;
            let bracket = if script.failed { Bracket::Rollback } else { Bracket::Commit };
            if script.bracket_open {
                self.bracket(bracket, turn);
            } else {
                self.script_end(turn);
            }
            self.trace_forgets();
            return;
        };
        let effect = sql::parse(&text, limits).ok().and_then(|mut list| list.pop()).map(|s| s.effect);
        script.running = true;
        script.hush_active_transaction = false;
        let mut open = false;
        let mut warn = false;
        let mut abandon = false;
        match effect {
            // Only in a transaction block of the client's own (`RequireTransactionBlock`, xact.c).
            Some(
                Effect::Savepoint(_)
                | Effect::RollbackTo(_)
                | Effect::Release(_)
                | Effect::Commit { chain: true }
                | Effect::Rollback { chain: true },
            ) if script.bracket_open || idle => {
                abandon = script.bracket_open;
                script.bracket_open = false;
                script.parts.clear();
            }
            Some(Effect::Begin { .. }) => {
                script.hush_active_transaction = script.bracket_open;
                script.bracket_open = false;
            }
            Some(Effect::Commit { .. } | Effect::Rollback { .. }) => {
                warn = script.bracket_open;
                script.bracket_open = false;
            }
            _ => {
                open = idle && !script.bracket_open;
                script.bracket_open |= open;
            }
        }
        script.fresh = open;
        if abandon {
            self.bracket(Bracket::Abandon, turn);
        }
        if open {
            self.bracket(Bracket::Begin, turn);
        }
        if warn {
            let text = "there is no transaction in progress";
            self.notice(
                &ErrorFields::new(Severity::Warning, sqlstate::NO_ACTIVE_SQL_TRANSACTION, text),
                turn,
            );
        }
        self.simple_text(Origin::step(text, offset_chars), turn);
    }

    /// A statement or bracket of the script has ended with ReadyForQuery.
    pub(crate) fn script_ready(&mut self, bracket: Option<Bracket>, failed: bool, turn: &mut Turn<'_>) {
        let Some(script) = &mut self.script else { return };
        match bracket {
            // Its ReadyForQuery comes before that of the statement it was sent with.
            Some(Bracket::Begin | Bracket::Abandon) => return,
            Some(Bracket::Commit | Bracket::Rollback) => {
                let held = script.held_complete.take();
                if let (Some(complete), false) = (held, failed) {
                    turn.out.client.extend_from_slice(&complete);
                }
                return self.script_end(turn);
            }
            None => {}
        }
        if failed {
            script.parts.clear();
            script.failed = true;
            script.held_complete = None;
            script.bracket_open &= self.status != Status::Idle;
        }
        script.running = false;
    }

    fn script_end(&mut self, turn: &mut Turn<'_>) {
        if let Some(script) = self.script.take() {
            turn.out.client.extend_from_slice(&script.held_notifications);
            for status in script.held_statuses.values() {
                turn.out.client.extend_from_slice(status);
            }
        }
        self.names.boundary();
        encode::ready_for_query(&mut turn.out.client, self.status);
    }
}

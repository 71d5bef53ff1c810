//! The run-time parameter `gatepost.approval`: whether a statement that is to be approved waits, or is refused until it is.
//!
//! The server has it as well, as one that means nothing there, and tells of it (SHOW). What the session believes follows PostgreSQL's rules
//! for settings in transactions and savepoints (`push_old_value` and `AtEOXact_GUC`, utils/misc/guc.c), from what the server has completed.
//! What a function's body sets is not followed.

use std::collections::VecDeque;

use sql::{Effect, SetTo};

use crate::namespace::OpNumber;

/// What a client wants of a statement that is to be approved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// That it waits.
    #[default]
    Wait,
    /// That it is refused at once, and passes when it is sent again after approval.
    Async,
}

/// The run-time parameter that says so, and its values.
pub(crate) const PARAMETER: &str = "gatepost.approval";

impl Mode {
    /// Reads a value of the parameter.
    pub(crate) fn read(value: &str) -> Option<Self> {
        match value.trim_matches('\'').to_ascii_lowercase().as_str() {
            "wait" => Some(Self::Wait),
            "async" => Some(Self::Async),
            _ => None,
        }
    }

    /// Returns its word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Async => "async",
        }
    }
}

/// The parameter as the session has it.
#[derive(Debug, Default)]
pub(crate) struct Modes {
    now: Value,
    /// As connected with: what RESET sets.
    first: Mode,
    /// What is to be restored, by depth of subtransaction.
    saved: Vec<Saved>,
    /// Names of the savepoints that are open; the first is of depth 2.
    savepoints: Vec<String>,
    /// A transaction block is open.
    block: bool,
    /// It has failed.
    aborted: bool,
    proposed: VecDeque<(OpNumber, Change)>,
}

/// A value, and whether the session has set it: `GucSource`, as far as RESET ALL asks.
#[derive(Clone, Copy, Debug, Default)]
struct Value {
    mode: Mode,
    by_session: bool,
}

/// `GucStack` (utils/guc_tables.h).
#[derive(Debug)]
struct Saved {
    depth: usize,
    state: State,
    prior: Value,
}

/// How it was set at a depth: `GucStackState`.
#[derive(Clone, Copy, Debug)]
enum State {
    Set,
    Local,
    /// SET, of that value, and then SET LOCAL.
    SetLocal(Mode),
}

/// What a statement changes once the server has completed it.
#[derive(Clone, Debug)]
enum Change {
    Set {
        to: Mode,
        local: bool,
    },
    /// To what it was when the session began; RESET, or SET [LOCAL] TO DEFAULT.
    Reset {
        local: bool,
    },
    ResetAll,
    DiscardAll,
    Savepoint(String),
    RollbackTo(String),
    Release(String),
    /// Of the transaction; `chain`: another begins.
    End {
        chain: bool,
    },
}

impl Modes {
    /// For a session that was connected with this.
    pub(crate) fn begun(first: Mode) -> Self {
        Self { now: Value { mode: first, by_session: false }, first, ..Self::default() }
    }

    /// As the server has it, of what it has completed.
    pub(crate) const fn now(&self) -> Mode {
        self.now.mode
    }

    /// Notes what a statement that is being sent will change. `value` reads what SET in its text sets to.
    pub(crate) fn propose(&mut self, op: OpNumber, effect: &Effect, value: impl FnOnce() -> Option<SetTo>) {
        let change = match effect {
            Effect::Set { name, local, .. } if name == PARAMETER => match value() {
                Some(SetTo::Value(value)) => match Mode::read(&value) {
                    Some(to) => Change::Set { to, local: *local },
                    None => return,
                },
                Some(SetTo::Default | SetTo::Current) => Change::Reset { local: *local },
                None => return,
            },
            Effect::Reset(name) if name == PARAMETER => Change::Reset { local: false },
            Effect::ResetAll => Change::ResetAll,
            Effect::DiscardAll => Change::DiscardAll,
            Effect::Savepoint(name) => Change::Savepoint(name.clone()),
            Effect::RollbackTo(name) => Change::RollbackTo(name.clone()),
            Effect::Release(name) => Change::Release(name.clone()),
            Effect::Commit { chain } | Effect::Rollback { chain } => Change::End { chain: *chain },
            _ => return,
        };
        self.proposed.push_back((op, change));
    }

    /// The server has completed a message, with this command tag.
    pub(crate) fn completed(&mut self, op: OpNumber, tag: &str) {
        // What was sent before it and is still here has failed, or was skipped.
        while self.proposed.front().is_some_and(|(known, _)| *known < op) {
            self.proposed.pop_front();
        }
        let change = self.proposed.pop_front_if(|(known, _)| *known == op).map(|(_, change)| change);
        match (change, tag) {
            (Some(Change::Set { to, local }), _) => self.set(Value { mode: to, by_session: true }, local),
            (Some(Change::Reset { local }), _) => self.reset(local),
            (Some(Change::ResetAll), _) => self.reset_all(),
            (Some(Change::DiscardAll), _) => {
                self.reset_all();
                // In no transaction but its own (`PreventInTransactionBlock`, xact.c).
                self.end(Ends::Commit);
            }
            (Some(Change::Savepoint(name)), _) => self.savepoints.push(name),
            (Some(Change::RollbackTo(name)), _) => {
                if let Some(at) = self.savepoint(&name) {
                    self.leave(at + 2, Ends::Rollback);
                    self.savepoints.truncate(at + 1);
                    self.aborted = false;
                }
            }
            (Some(Change::Release(name)), _) => {
                if let Some(at) = self.savepoint(&name) {
                    for depth in (at + 2..=self.depth()).rev() {
                        self.leave(depth, Ends::Commit);
                    }
                    self.savepoints.truncate(at);
                }
            }
            (Some(Change::End { chain }), tag) => {
                // COMMIT of what has failed answers ROLLBACK.
                self.end(if tag == "ROLLBACK" { Ends::Rollback } else { Ends::Commit });
                self.block = chain;
            }
            // The gateway's own among them.
            (None, "BEGIN" | "START TRANSACTION") => self.block = true,
            (None, "COMMIT" | "PREPARE TRANSACTION") => self.end(Ends::Commit),
            (None, "ROLLBACK") => self.end(Ends::Rollback),
            (None, _) => {}
        }
    }

    /// The server has failed. Outside a block that is the end of the transaction.
    pub(crate) fn failed(&mut self) {
        if self.block {
            self.aborted = true;
        } else {
            self.end(Ends::Rollback);
        }
    }

    /// The server says that no transaction is open: one that nobody began, if there was one, has been committed; one whose COMMIT has
    /// failed has not.
    pub(crate) fn idle(&mut self) {
        self.end(if self.aborted { Ends::Rollback } else { Ends::Commit });
    }

    fn depth(&self) -> usize {
        1 + self.savepoints.len()
    }

    fn savepoint(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|known| known == name)
    }

    fn set(&mut self, to: Value, local: bool) {
        let depth = self.depth();
        match self.saved.last_mut().filter(|saved| saved.depth == depth) {
            Some(saved) if local => {
                if matches!(saved.state, State::Set) {
                    saved.state = State::SetLocal(self.now.mode);
                }
            }
            Some(saved) => saved.state = State::Set,
            None => {
                let state = if local { State::Local } else { State::Set };
                self.saved.push(Saved { depth, state, prior: self.now });
            }
        }
        self.now = to;
    }

    fn reset(&mut self, local: bool) {
        self.set(Value { mode: self.first, by_session: false }, local);
    }

    /// As `ResetAllOptions`: what the session hasn't set is left as it is.
    fn reset_all(&mut self) {
        if self.now.by_session {
            self.reset(false);
        }
    }

    fn end(&mut self, how: Ends) {
        if !self.saved.is_empty() {
            for depth in (1..=self.depth()).rev() {
                self.leave(depth, how);
            }
        }
        self.savepoints.clear();
        self.block = false;
        self.aborted = false;
    }

    /// Ends the subtransactions from a depth on; of those that are committed there is only one.
    fn leave(&mut self, depth: usize, how: Ends) {
        while self.saved.last().is_some_and(|saved| saved.depth >= depth) {
            let Some(saved) = self.saved.pop() else { return };
            match (how, saved.state) {
                (Ends::Rollback, _) => self.now = saved.prior,
                (Ends::Commit, State::Set) if depth == 1 => {}
                (Ends::Commit, State::SetLocal(mode)) if depth == 1 => {
                    self.now = Value { mode, by_session: true };
                }
                (Ends::Commit, State::Local) if depth == 1 => self.now = saved.prior,
                (Ends::Commit, _) => {
                    let below = depth.saturating_sub(1);
                    match self.saved.last_mut().filter(|outer| outer.depth == below) {
                        Some(outer) => outer.take_over(&saved),
                        None => self.saved.push(Saved { depth: below, ..saved }),
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Ends {
    Commit,
    Rollback,
}

impl Saved {
    /// What a released savepoint had set was set at this depth.
    fn take_over(&mut self, inner: &Self) {
        match (inner.state, self.state) {
            (State::Set, _) => self.state = State::Set,
            (State::Local, State::Set) => self.state = State::SetLocal(inner.prior.mode),
            (State::Local, State::Local | State::SetLocal(_)) => {}
            (State::SetLocal(mode), _) => self.state = State::SetLocal(mode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Completes each statement as the server would, in a block.
    fn after(script: &str) -> Mode {
        let mut modes = Modes::begun(Mode::Wait);
        for (at, text) in script.split(';').map(str::trim).enumerate() {
            let op = OpNumber(at as u64);
            let statement = sql::parse(text, sql::Limits::default()).unwrap().pop().unwrap();
            let value = match &statement.effect {
                Effect::Set { value, .. } => Some(value.clone()),
                _ => None,
            };
            modes.propose(op, &statement.effect, || value);
            let tag = match &statement.effect {
                Effect::Begin { .. } => "BEGIN",
                Effect::Commit { .. } => "COMMIT",
                Effect::Rollback { .. } | Effect::RollbackTo(_) => "ROLLBACK",
                _ => "",
            };
            modes.completed(op, tag);
            if !modes.block {
                modes.idle();
            }
        }
        modes.now()
    }

    #[test]
    fn what_is_set_in_a_transaction_ends_as_postgresql_says() {
        let (a, w) = ("SET gatepost.approval = async", "SET gatepost.approval = wait");
        let local = "SET LOCAL gatepost.approval = async";
        for (script, expected) in [
            (a.to_owned(), Mode::Async),
            (local.to_owned(), Mode::Wait),
            (format!("BEGIN; {a}; ROLLBACK"), Mode::Wait),
            (format!("BEGIN; {local}"), Mode::Async),
            (format!("BEGIN; {local}; COMMIT"), Mode::Wait),
            (format!("BEGIN; {w}; SAVEPOINT s; {a}; ROLLBACK TO s"), Mode::Wait),
            (format!("BEGIN; SAVEPOINT s; {a}; RELEASE s; COMMIT"), Mode::Async),
            (format!("BEGIN; SAVEPOINT s; {local}; RELEASE s"), Mode::Async),
            (format!("BEGIN; SAVEPOINT s; {local}; RELEASE s; COMMIT"), Mode::Wait),
            (format!("BEGIN; {a}; SAVEPOINT s; SET LOCAL gatepost.approval = wait; COMMIT"), Mode::Async),
            (format!("{a}; BEGIN; RESET ALL; COMMIT"), Mode::Wait),
            (format!("{a}; BEGIN; SET LOCAL gatepost.approval TO DEFAULT; RESET ALL; COMMIT"), Mode::Async),
            (format!("{a}; BEGIN; RESET gatepost.approval; ROLLBACK AND CHAIN"), Mode::Async),
            (format!("{a}; DISCARD ALL"), Mode::Wait),
            (
                format!("{a}; BEGIN; SET LOCAL gatepost.approval = wait; SAVEPOINT s; {a}; COMMIT"),
                Mode::Async,
            ),
        ] {
            assert_eq!(after(&script), expected, "{script}");
        }
    }

    #[test]
    fn what_was_skipped_changes_nothing() {
        let mut modes = Modes::begun(Mode::Wait);
        let set = Effect::Set { name: PARAMETER.to_owned(), local: false, value: SetTo::Default };
        modes.propose(OpNumber(1), &set, || Some(SetTo::Value("async".to_owned())));
        modes.failed();
        modes.propose(OpNumber(2), &Effect::Savepoint("s".to_owned()), || None);
        modes.completed(OpNumber(3), "SELECT 1");
        assert_eq!((modes.now(), modes.savepoints.len(), modes.proposed.len()), (Mode::Wait, 0, 0));
    }
}

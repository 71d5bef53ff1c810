//! When what happened to a statement, for those of which somebody makes spans. Knows no clock but that of inputs, and no span.
//!
//! INVARIANT: nothing of a statement's text is in it, nor of its parameters, nor of who sent it: what is told are times, numbers, words of ours,
//! SQLSTATEs, and the names of relations in the catalog.

use std::sync::Arc;
use std::time::Instant;

use approval::{Answer, Number};
use audit::Completion;
use policy::Resource;

use crate::authorize::Judged;
use crate::effect::Effect;
use crate::ops::Run;
use crate::running::{Running, Turn};

/// Says by its number whether a statement is traced.
pub type Sample = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// Of what a statement touches, so many relations are told.
const RELATIONS_MAX: usize = 8;

/// What the shell is told of traced statements.
pub enum Trace {
    /// The one of this number is decided: its record is the next that is appended.
    Decided(u64),
    /// One is over.
    Ended(Box<Traced>),
}

/// A traced statement that is over. Times are those of inputs.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Counts the session's statements from 1.
    pub number: u64,
    /// When the first message of it came that the server had not answered yet.
    pub began: Instant,
    /// The last record of it is made.
    pub ended: Instant,
    /// The extended protocol was used.
    pub extended: bool,
    /// What the audit calls its kind: `SELECT`; empty where that is not known.
    pub kind: &'static str,
    /// By schema and name.
    pub relations: Vec<String>,
    /// The word of the audit.
    pub verdict: &'static str,
    /// Columns of the result that are masked.
    pub masked: usize,
    /// Its record had to be on disk before it was sent.
    pub durable: bool,
    /// What the server was asked about it, from question to answer.
    pub questions: Vec<(Instant, Instant)>,
    /// How often approvers were asked.
    pub holds: Vec<Hold>,
    /// When it was sent to the server.
    pub sent: Option<Instant>,
    /// When the server's first answer to it came.
    pub answered: Option<Instant>,
    /// Who refused or failed it, and with what.
    pub error: Option<(Fault, String)>,
    /// Rows returned or changed.
    pub rows: u64,
    /// Of rows, as they were sent to the client.
    pub bytes: u64,
}

/// Where a statement came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The gateway refused it.
    Refused,
    /// The server failed it.
    Failed,
    /// The session ended, or the server skipped it; there is no SQLSTATE.
    Lost,
}

/// A statement was held.
#[derive(Clone, Debug)]
pub struct Hold {
    /// The request, if there came to be one.
    pub number: Option<Number>,
    /// When approvers were asked.
    pub asked: Instant,
    /// When they had answered, or it was over.
    pub ended: Instant,
    /// What became of it: `approved`, `denied`, `pending`, `failed`, or why it ended.
    pub outcome: &'static str,
}

/// What is known so far of the statement that comes next.
pub(crate) struct Tracing {
    sample: Sample,
    began: Option<Instant>,
    asking: Option<Instant>,
    questions: Vec<(Instant, Instant)>,
    holds: Vec<Hold>,
    /// Of the statement that was recorded last.
    recorded: Option<Box<Traced>>,
}

impl Tracing {
    pub(crate) fn new(sample: Sample) -> Self {
        Self { sample, began: None, asking: None, questions: Vec::new(), holds: Vec::new(), recorded: None }
    }

    fn clear(&mut self) {
        self.began = None;
        self.asking = None;
        self.questions.clear();
        self.holds.clear();
    }
}

impl Running {
    /// A message has come that may become a statement.
    pub(crate) fn trace_begins(&mut self, turn: &Turn<'_>) {
        if let Some(tracing) = &mut self.tracing {
            tracing.began.get_or_insert(turn.now.monotonic);
        }
    }

    /// What has come so far became no statement.
    pub(crate) fn trace_forgets(&mut self) {
        if let Some(tracing) = &mut self.tracing {
            tracing.clear();
        }
    }

    /// The server is asked.
    pub(crate) fn trace_asks(&mut self, turn: &Turn<'_>) {
        if let Some(tracing) = &mut self.tracing {
            tracing.asking.get_or_insert(turn.now.monotonic);
        }
    }

    /// The server has answered.
    pub(crate) fn trace_told(&mut self, turn: &Turn<'_>) {
        if let Some(tracing) = &mut self.tracing
            && let Some(asked) = tracing.asking.take()
        {
            tracing.questions.push((asked, turn.now.monotonic));
        }
    }

    /// A hold is over.
    pub(crate) fn trace_held(
        &mut self,
        (number, asked): (Option<Number>, Instant),
        outcome: &'static str,
        turn: &Turn<'_>,
    ) {
        if let Some(tracing) = &mut self.tracing {
            tracing.holds.push(Hold { number, asked, ended: turn.now.monotonic, outcome });
        }
    }

    /// A statement has got its number, and its record is about to be appended.
    pub(crate) fn trace_decided(
        &mut self,
        judged: &Judged,
        verdict: audit::Verdict,
        (extended, durable): (bool, bool),
        turn: &mut Turn<'_>,
    ) -> Option<Box<Traced>> {
        let number = self.statement_last;
        let tracing = self.tracing.as_mut()?;
        if !(tracing.sample)(number) {
            tracing.clear();
            return None;
        }
        let now = turn.now.monotonic;
        let traced = Box::new(Traced {
            number,
            began: tracing.began.unwrap_or(now),
            ended: now,
            extended,
            kind: judged.analysis.kind(),
            relations: relations(judged),
            verdict: verdict.as_str(),
            masked: judged.masks.iter().flatten().count(),
            durable,
            questions: std::mem::take(&mut tracing.questions),
            holds: std::mem::take(&mut tracing.holds),
            sent: None,
            answered: None,
            error: None,
            rows: 0,
            bytes: 0,
        });
        tracing.clear();
        turn.out.effects.push(Effect::Trace(Trace::Decided(number)));
        Some(traced)
    }

    /// Its record is appended: what is refused is over with it, and of what goes on it is kept until that runs.
    pub(crate) fn trace_recorded(
        &mut self,
        traced: Option<Box<Traced>>,
        refusal: Option<&str>,
        turn: &mut Turn<'_>,
    ) {
        match (traced, refusal) {
            (Some(traced), Some(sqlstate)) => traced.refused(sqlstate, turn),
            (traced, _) => {
                if let Some(tracing) = &mut self.tracing {
                    tracing.recorded = traced;
                }
            }
        }
    }

    /// The session ends while a statement is held, which so never gets a record of its own.
    pub(crate) fn trace_abandoned(&mut self, turn: &mut Turn<'_>) {
        let Some(judged) = self.held_judged() else { return };
        self.statement_last += 1;
        let traced = self.trace_decided(&judged, audit::Verdict::Hold, (false, false), turn);
        self.statement_last -= 1;
        if let Some(mut traced) = traced {
            traced.error = Some((Fault::Lost, String::new()));
            turn.out.effects.push(Effect::Trace(Trace::Ended(traced)));
        }
    }

    /// Returns what is known of the statement that was recorded last, if it is traced and goes on.
    pub(crate) fn trace_of_recorded(&mut self) -> Option<Box<Traced>> {
        self.tracing.as_mut()?.recorded.take()
    }

    /// The server says something of the statement that it is at.
    pub(crate) fn trace_answered(&mut self, turn: &Turn<'_>) {
        if self.tracing.is_none() {
            return;
        }
        let run = self.ops.front_mut().and_then(|op| op.kind.run_mut());
        if let Some(traced) = run.and_then(|run| run.traced.as_mut()) {
            traced.answered.get_or_insert(turn.now.monotonic);
        }
    }
}

impl Run {
    /// It goes to the server.
    pub(crate) fn trace_sent(&mut self, now: Instant) {
        if let Some(traced) = &mut self.traced {
            traced.sent = Some(now);
        }
    }

    /// It is over.
    pub(crate) fn trace_ended(&mut self, completion: &Completion<'_>, turn: &mut Turn<'_>) {
        let Some(mut traced) = self.traced.take() else { return };
        traced.ended = turn.now.monotonic;
        traced.rows = self.rows_count;
        traced.bytes = self.bytes;
        traced.error = match completion {
            Completion::Completed(_) => None,
            Completion::Failed(sqlstate) => Some((Fault::Failed, (*sqlstate).to_owned())),
            Completion::Lost(_) => Some((Fault::Lost, String::new())),
        };
        turn.out.effects.push(Effect::Trace(Trace::Ended(traced)));
    }

    /// It is refused after all, and was not sent.
    pub(crate) fn trace_refused(&mut self, sqlstate: &str, turn: &mut Turn<'_>) {
        if let Some(mut traced) = self.traced.take() {
            traced.ended = turn.now.monotonic;
            traced.refused(sqlstate, turn);
        }
    }
}

impl Traced {
    fn refused(mut self: Box<Self>, sqlstate: &str, turn: &mut Turn<'_>) {
        self.error = Some((Fault::Refused, sqlstate.to_owned()));
        turn.out.effects.push(Effect::Trace(Trace::Ended(self)));
    }
}

/// What an answer of the approvers' comes to.
pub(crate) fn outcome(answer: &Answer) -> (Option<Number>, &'static str) {
    match answer {
        Answer::Waiting(waiting) => (Some(waiting.number), "pending"),
        Answer::Granted(grant) => (Some(grant.number()), "approved"),
        Answer::Denied { number, .. } => (Some(*number), "denied"),
        Answer::Ended { number, why } => (Some(*number), why.as_str()),
        Answer::Failed(_) => (None, "failed"),
    }
}

fn relations(judged: &Judged) -> Vec<String> {
    let mut names = Vec::new();
    for touch in &judged.analysis.touches {
        let name = match &touch.resource {
            Resource::Relation { name, .. } => name.to_string(),
            Resource::Column { relation, .. } => relation.to_string(),
            Resource::Database | Resource::Schema { .. } | Resource::Function { .. } => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
        if names.len() == RELATIONS_MAX {
            break;
        }
    }
    names
}

//! Tells the session's trace, if it has one, when what happened. Moves nothing, and nothing waits for it.

use otlp::Value;
use session::Traced;

use super::{Shell, Step};
use crate::traces::{self, SessionTrace};

impl Shell {
    /// With spans, if there are to be some.
    pub(crate) fn traced(mut self, trace: Option<Box<SessionTrace>>) -> Self {
        self.trace = trace;
        self
    }

    /// The login begins to wait for something.
    pub(super) fn span_begins(&mut self, step: traces::Step) {
        if let Some(trace) = &mut self.trace {
            trace.begin(step);
        }
    }

    /// It has come, or will not.
    pub(super) fn span_ends(&mut self, step: &Step) {
        let Some(trace) = &mut self.trace else { return };
        let (within, error) = match step {
            Step::Verified(Ok(_), _) | Step::Found(Some(_)) => (None, None),
            Step::Verified(Err(failure), _) => {
                let word = if failure.unavailable { "unavailable" } else { "refused" };
                (None, Some(Value::Word(word)))
            }
            Step::Found(None) => (None, Some(Value::Word("unavailable"))),
            Step::Connected(Ok(connected)) => {
                (connected.role.map(|(from, until)| ("get role", from, until)), None)
            }
            Step::Connected(Err(failure)) => {
                let state = failure.sqlstate.clone().map_or(Value::Word("unreachable"), Value::Name);
                (None, Some(state))
            }
        };
        trace.end(within, error);
    }

    /// The session is logged in.
    pub(super) fn spans_of_login(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.log_in();
        }
    }

    /// A traced statement is decided; its record comes next.
    pub(super) fn span_decided(&mut self, number: u64) {
        if let Some(trace) = &mut self.trace {
            trace.decided(number);
        }
    }

    /// What was decided has been recorded, and with it these are over.
    pub(super) fn spans_of_statements(&mut self, over: &[Traced]) {
        if let Some(trace) = &mut self.trace {
            trace.recorded();
            over.iter().for_each(|traced| trace.statement(traced));
        }
    }
}

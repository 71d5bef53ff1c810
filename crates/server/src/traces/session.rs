//! The spans of one session: its login, and itself. Knows no statement from inside.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use otlp::{Kind, Span, SpanId, SpanIds, Status, TraceId, Value};

use super::Traces;
use super::statement::{self, Stamps};

/// So many statements are in a session's own trace. Each after is one of its own, which is linked to the session's: what shows traces
/// shows no trace that grows for days.
const IN_TRACE_MAX: u64 = 1000;

/// What is known of a session when it begins.
pub(crate) struct At {
    /// When its client connected, on both clocks.
    pub(crate) began: (Instant, SystemTime),
    /// How its client must say who it is: a word of the configuration.
    pub(crate) method: &'static str,
    /// Where it goes; `None`: to no database that is served.
    pub(crate) to: Option<To>,
}

/// A database that is served.
#[derive(Clone)]
pub(crate) struct To {
    /// Its name in the configuration.
    pub(crate) database: String,
    /// Where it is.
    pub(crate) upstream: config::Upstream,
}

impl To {
    /// Returns where it is, as attributes.
    pub(crate) fn server(&self) -> [(&'static str, Value); 2] {
        let address = match &self.upstream.host {
            config::Host::Name(name) => name.clone(),
            config::Host::Address(address) => address.to_string(),
            config::Host::Socket(path) => path.display().to_string(),
        };
        [("server.address", Value::Name(address)), ("server.port", Value::Number(self.upstream.port.into()))]
    }
}

/// What a login waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Whether a token, certificate or proof is believed.
    Credential,
    /// What a legacy account's proof is checked by.
    Verifier,
    /// A connection to the database, logged in.
    Connect,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Credential => "verify credential",
            Self::Verifier => "find verifier",
            Self::Connect => "connect",
        }
    }
}

/// See the module.
pub(crate) struct SessionTrace {
    traces: Arc<Traces>,
    trace: TraceId,
    ids: SpanIds,
    at: At,
    root: SpanId,
    login: SpanId,
    /// The spans of the login, until it is over.
    steps: Vec<Span>,
    /// The step that goes on.
    step: Option<(Step, Instant)>,
    logged_in: bool,
    /// Of statements that are decided and go on.
    stamps: VecDeque<Stamps>,
    statements: u64,
}

impl SessionTrace {
    pub(super) fn new(traces: Arc<Traces>, trace: TraceId, at: At) -> Self {
        // The half of the number that nothing is chosen by.
        let mut ids = SpanIds::new(u64::from_be_bytes(first_half(trace)));
        let (root, login) = (ids.next_id(), ids.next_id());
        let (steps, stamps) = (Vec::new(), VecDeque::new());
        Self {
            traces,
            trace,
            ids,
            at,
            root,
            login,
            steps,
            step: None,
            logged_in: false,
            stamps,
            statements: 0,
        }
    }

    /// Returns which of its statements are traced.
    pub(crate) fn sample(&self) -> Option<session::Sample> {
        self.traces.sample(self.trace.lot())
    }

    /// The time of the wall as it was then, by the clock that is never set.
    pub(super) fn wall(&self, then: Instant) -> SystemTime {
        let (began, wall) = self.at.began;
        wall + then.saturating_duration_since(began)
    }

    fn span(&mut self, name: &str, kind: Kind, parent: Option<SpanId>, times: (Instant, Instant)) -> Span {
        let times = (self.wall(times.0), self.wall(times.1));
        Span::new((self.trace, self.ids.next_id()), parent, name, kind, times)
    }

    /// What all that is about a database says.
    pub(super) fn about(&self) -> Vec<(&'static str, Value)> {
        let mut attributes = vec![
            ("db.system.name", Value::Word("postgresql")),
            ("gatepost.session.id", Value::Name(self.trace.to_string())),
        ];
        if let Some(to) = &self.at.to {
            attributes.push(("db.namespace", Value::Name(to.database.clone())));
        }
        attributes
    }

    /// The login waits for something.
    pub(crate) fn begin(&mut self, step: Step) {
        self.step = Some((step, Instant::now()));
    }

    /// It waits no longer. `within`: what took its part of it; `error`: a word of ours or a SQLSTATE, if it failed.
    pub(crate) fn end(&mut self, within: Option<(&'static str, Instant, Instant)>, error: Option<Value>) {
        let Some((step, began)) = self.step.take() else { return };
        let kind = if step == Step::Connect { Kind::Client } else { Kind::Internal };
        let login = self.login;
        let mut span = self.span(step.name(), kind, Some(login), (began, Instant::now()));
        match step {
            Step::Credential | Step::Verifier => {
                span.attributes.push(("gatepost.auth.method", Value::Word(self.at.method)));
            }
            Step::Connect => {
                span.attributes.push(("db.system.name", Value::Word("postgresql")));
                span.attributes.extend(self.at.to.iter().flat_map(To::server));
            }
        }
        fail(&mut span, error);
        if let Some((name, from, until)) = within {
            let part = self.span(name, Kind::Internal, Some(span.id), (from, until));
            self.steps.push(part);
        }
        self.steps.push(span);
    }

    /// The session is logged in on both sides.
    pub(crate) fn log_in(&mut self) {
        if !std::mem::replace(&mut self.logged_in, true) {
            self.login_over(None);
        }
    }

    fn login_over(&mut self, error: Option<Value>) {
        let (began, root) = (self.at.began.0, self.root);
        let mut span = self.span("login", Kind::Internal, Some(root), (began, Instant::now()));
        span.id = self.login;
        span.attributes.push(("gatepost.auth.method", Value::Word(self.at.method)));
        fail(&mut span, error);
        let mut spans = std::mem::take(&mut self.steps);
        spans.push(span);
        self.traces.send(spans);
    }

    /// Of the step that failed last, what the login failed of.
    fn reason(&self) -> Value {
        let failed = self.steps.iter().rev().find(|span| span.status == Status::Error);
        let said = failed.and_then(|span| span.attributes.iter().find(|(key, _)| *key == ERROR));
        said.map_or(Value::Word("refused"), |(_, value)| value.clone())
    }

    /// The session is over.
    pub(crate) fn over(mut self: Box<Self>) {
        if self.step.is_some() {
            self.end(None, Some(Value::Word("given_up")));
        }
        let refused = (!self.logged_in).then(|| self.reason());
        if let Some(reason) = refused.clone() {
            self.login_over(Some(reason));
        }
        let times = (self.at.began.0, Instant::now());
        let mut span = self.span("session", Kind::Server, None, times);
        span.id = self.root;
        span.attributes = self.about();
        span.attributes.push(("gatepost.statements.traced", self.statements.into()));
        fail(&mut span, refused);
        self.traces.send(vec![span]);
    }

    /// A traced statement is decided, and its record is about to be kept.
    pub(crate) fn decided(&mut self, number: u64) {
        self.stamps.push_back(Stamps { number, decided: Instant::now(), recorded: None });
    }

    /// What was decided is recorded: it has left the process.
    pub(crate) fn recorded(&mut self) {
        for stamps in self.stamps.iter_mut().rev() {
            if stamps.recorded.is_some() {
                break;
            }
            stamps.recorded = Some(Instant::now());
        }
    }

    /// A traced statement is over.
    pub(crate) fn statement(&mut self, traced: &session::Traced) {
        // Of a long pipeline the first ends first.
        let at = self.stamps.iter().position(|stamps| stamps.number == traced.number);
        let stamps = at.and_then(|at| self.stamps.remove(at));
        // It was never recorded.
        let never = Stamps { number: traced.number, decided: traced.ended, recorded: None };
        let stamps = stamps.unwrap_or(never);
        self.statements += 1;
        let (trace, parent, links) = if self.statements <= IN_TRACE_MAX {
            (self.trace, Some(self.root), Vec::new())
        } else {
            let number = u128::from(self.ids.number()) << 64 | u128::from(self.ids.number());
            (TraceId::new(number).unwrap_or(self.trace), None, vec![(self.trace, self.root)])
        };
        let mut ids = self.ids.clone();
        let mut spans = statement::spans(self, self.at.to.as_ref(), traced, &stamps, (trace, &mut ids));
        self.ids = ids;
        if let Some(first) = spans.first_mut() {
            (first.parent, first.links) = (parent, links);
        }
        self.traces.send(spans);
    }
}

/// What a span failed of: of OpenTelemetry's conventions.
pub(super) const ERROR: &str = "error.type";

/// Notes that a span failed, if it did.
pub(super) fn fail(span: &mut Span, error: Option<Value>) {
    if let Some(error) = error {
        span.status = Status::Error;
        span.attributes.push((ERROR, error));
    }
}

fn first_half(trace: TraceId) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = trace.to_bytes();
    [a, b, c, d, e, f, g, h]
}

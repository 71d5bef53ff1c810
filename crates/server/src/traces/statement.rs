//! The spans of one statement: itself, and what its time went to. Knows no text.

use std::time::Instant;

use otlp::{Kind, Span, SpanId, SpanIds, TraceId, Value};
use session::{Fault, Traced};

use super::session::{SessionTrace, To, fail};

/// Of a span's name; OpenTelemetry's conventions want no more than 255 of a summary.
const NAME_CHARS_MAX: usize = 200;

/// When a statement was decided and recorded, as the shell saw it.
pub(super) struct Stamps {
    pub(super) number: u64,
    pub(super) decided: Instant,
    pub(super) recorded: Option<Instant>,
}

/// Makes them, the statement's own first, as spans of a trace.
pub(super) fn spans(
    session: &SessionTrace,
    to: Option<&To>,
    traced: &Traced,
    stamps: &Stamps,
    (trace, ids): (TraceId, &mut SpanIds),
) -> Vec<Span> {
    let ended = traced.ended.max(stamps.recorded.unwrap_or(stamps.decided));
    let mut part = |name: &str, kind: Kind, parent: Option<SpanId>, times: (Instant, Instant)| {
        let times = (session.wall(times.0), session.wall(times.1));
        Span::new((trace, ids.next_id()), parent, name, kind, times)
    };
    let summary = summary(traced);
    let mut whole = part(&summary, Kind::Server, None, (traced.began, ended));
    let within = Some(whole.id);
    let mut spans = Vec::new();
    // What waited for nobody, but for what is told below: the gateway's own work.
    let mut working = traced.began;
    for (asked, told) in &traced.questions {
        spans.push(part("ask the server", Kind::Client, within, (*asked, *told)));
        working = working.max(*told);
    }
    for hold in &traced.holds {
        let mut span = part("hold", Kind::Internal, within, (hold.asked, hold.ended));
        span.attributes.push(("gatepost.hold.outcome", Value::Word(hold.outcome)));
        if let Some(number) = hold.number {
            span.attributes.push(("gatepost.approval.number", number.0.into()));
        }
        spans.push(span);
        working = working.max(hold.ended);
    }
    spans.push(part("decide", Kind::Internal, within, (working, stamps.decided.max(working))));
    let recorded = stamps.recorded.map(|at| traced.sent.map_or(at, |sent| sent.max(at)));
    if let Some(recorded) = recorded {
        let mut span = part("record", Kind::Internal, within, (stamps.decided, recorded));
        let durability = if traced.durable { "durable" } else { "written" };
        span.attributes.push(("gatepost.record.durability", Value::Word(durability)));
        spans.push(span);
    }
    if let Some(sent) = traced.sent {
        let from = recorded.unwrap_or(sent);
        let mut span = part("execute", Kind::Client, within, (from, ended.max(from)));
        if let Some(answered) = traced.answered {
            span.events.push(("first answer", session.wall(answered.max(from))));
        }
        span.attributes = database(session, traced, &summary);
        span.attributes.extend(to.iter().flat_map(|to| to.server()));
        if let Some((fault @ (Fault::Failed | Fault::Lost), state)) = &traced.error {
            fail(&mut span, Some(error(*fault, state)));
        }
        spans.push(span);
    }
    whole.attributes = of_whole(session, traced, &summary);
    if let Some((fault, state)) = &traced.error {
        let word = match fault {
            Fault::Refused => "refused",
            Fault::Failed => "failed",
            Fault::Lost => "lost",
        };
        whole.attributes.push(("gatepost.outcome", Value::Word(word)));
        if !state.is_empty() {
            whole.attributes.push(("db.response.status_code", Value::Name(state.clone())));
        }
        fail(&mut whole, Some(error(*fault, state)));
    } else {
        whole.attributes.push(("gatepost.outcome", Value::Word("completed")));
    }
    spans.insert(0, whole);
    spans
}

/// What it does to what: `SELECT public.orders`, as `db.query.summary` of OpenTelemetry's conventions.
fn summary(traced: &Traced) -> String {
    let mut summary = if traced.kind.is_empty() { "statement" } else { traced.kind }.to_owned();
    for relation in &traced.relations {
        if summary.len() + relation.len() >= NAME_CHARS_MAX {
            break;
        }
        summary.push(' ');
        summary.push_str(relation);
    }
    summary
}

fn database(session: &SessionTrace, traced: &Traced, summary: &str) -> Vec<(&'static str, Value)> {
    let mut attributes = session.about();
    if !traced.kind.is_empty() {
        attributes.push(("db.operation.name", Value::Word(traced.kind)));
    }
    if let [relation] = traced.relations.as_slice() {
        attributes.push(("db.collection.name", Value::Name(relation.clone())));
    }
    attributes.push(("db.query.summary", Value::Name(summary.to_owned())));
    attributes
}

fn of_whole(session: &SessionTrace, traced: &Traced, summary: &str) -> Vec<(&'static str, Value)> {
    let mut attributes = database(session, traced, summary);
    let protocol = if traced.extended { "extended" } else { "simple" };
    attributes.extend([
        ("gatepost.statement.number", traced.number.into()),
        ("gatepost.protocol", Value::Word(protocol)),
        ("gatepost.verdict", Value::Word(traced.verdict)),
        ("gatepost.masked_columns", traced.masked.into()),
        ("gatepost.rows", traced.rows.into()),
        ("gatepost.bytes", traced.bytes.into()),
    ]);
    attributes
}

fn error(fault: Fault, state: &str) -> Value {
    if state.is_empty() {
        return Value::Word(if fault == Fault::Lost { "lost" } else { "_OTHER" });
    }
    Value::Name(state.to_owned())
}

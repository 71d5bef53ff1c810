//! What the planner expects a statement to cost, asked before it is run, where the bundle limits that.
//!
//! Asked each time and with the parameters that it will have: two texts of one shape can differ by everything in what
//! they cost. The question is EXPLAIN on the session's own connection, and runs nothing.

use std::sync::Arc;

use model::Oid;
use policy::CostLimit;
use sql::{Ask, Effect, Inside, QueryRole};
use wire::backend::{self, DataRow};
use wire::error::ErrorFields;

use crate::authorize::{Judged, Quotes};
use crate::evidence::{Executed, Parameters};
use crate::extended::Binding;
use crate::forward::{self, Housekeeping};
use crate::hold;
use crate::ops::{HiddenKind, OpKind};
use crate::quota::Reached;
use crate::refuse::{self, Refusal};
use crate::running::{Running, Status, Turn, Waiting};
use crate::simple::Origin;

/// Settings that would make everything cheap. Whose cost is limited may not change them.
const SETTINGS: [&str; 8] = [
    "seq_page_cost",
    "random_page_cost",
    "cpu_tuple_cost",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "parallel_tuple_cost",
    "parallel_setup_cost",
    "effective_cache_size",
];

/// A statement whose cost is being asked about.
pub(crate) struct Costing {
    job: Job,
    question: String,
    param_types: Vec<Oid>,
    judged: Arc<Judged>,
    plan: String,
    closes_left: usize,
    sent: bool,
}

/// What the answer is for.
enum Job {
    Run(Origin),
    Bind(Binding),
}

/// What is to be explained of a statement.
enum Planned {
    /// It has no plan.
    Nothing,
    /// This text has one.
    Text(String),
    /// It has one that can't be asked about.
    Hidden,
}

impl Running {
    /// Asks what a statement of the simple protocol will cost, if that is limited; else gives it back.
    pub(crate) fn ask_cost_of_query(
        &mut self,
        judged: &Arc<Judged>,
        text: &str,
        origin: &Origin,
        turn: &mut Turn<'_>,
    ) -> Result<bool, Refusal> {
        if origin.costed || !self.limits_cost(judged, turn) {
            return Ok(false);
        }
        let origin = Origin { text: text.to_owned(), costed: true, ..origin.clone() };
        let question = match self.planned(text)? {
            Planned::Nothing => return Ok(false),
            Planned::Text(question) => question,
            Planned::Hidden => return Err(unknown_cost()),
        };
        self.ask_cost(Job::Run(origin), question, Vec::new(), judged, turn);
        Ok(true)
    }

    /// Likewise for one that is bound, with the values that it is bound to.
    pub(crate) fn ask_cost_of_binding(
        &mut self,
        mut binding: Binding,
        judged: &Arc<Judged>,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Binding>, Box<(Binding, Refusal)>> {
        if binding.costed || !self.limits_cost(judged, turn) {
            return Ok(Some(binding));
        }
        // What PREPARE made is bound to no text of its own.
        let planned =
            if binding.prepared.by_sql { Ok(Planned::Hidden) } else { self.planned(&binding.prepared.text) };
        let question = match planned {
            Ok(Planned::Nothing) => return Ok(Some(binding)),
            Ok(Planned::Text(question)) => question,
            Ok(Planned::Hidden) => return Err(Box::new((binding, unknown_cost()))),
            Err(refusal) => return Err(Box::new((binding, refusal))),
        };
        binding.costed = true;
        let param_types = binding.prepared.param_types.clone();
        self.ask_cost(Job::Bind(binding), question, param_types, judged, turn);
        Ok(None)
    }

    fn limits_cost(&self, judged: &Judged, turn: &Turn<'_>) -> bool {
        self.quota.limits().cost().is_some()
            && judged.refusal().is_none()
            && self.quota.may_begin_statement(turn.now.monotonic).is_ok()
    }

    fn planned(&self, text: &str) -> Result<Planned, Refusal> {
        let Some(statement) = self.read_sql(text).ok().and_then(|mut list| list.pop()) else {
            // What only the server reads it may explain.
            return Ok(Planned::Text(text.to_owned()));
        };
        let whole = || Planned::Text(text.to_owned());
        match &statement.effect {
            Effect::Execute { inside: Inside::Explain { analyze: false }, .. } => {
                return Ok(Planned::Nothing);
            }
            Effect::Execute { inside: Inside::Explain { analyze: true }, .. } => return Ok(Planned::Hidden),
            Effect::Execute { .. } => return Ok(whole()),
            Effect::Set { name, .. } if SETTINGS.contains(&name.as_str()) => return Err(setting(name)),
            Effect::SetByCalls(names) => {
                if let Some(name) = names.iter().find(|name| SETTINGS.contains(&name.as_str())) {
                    return Err(setting(name));
                }
            }
            _ => {}
        }
        let planned = statement.asks.iter().find_map(|ask| match ask {
            Ask::Query { sql, role, .. } => match role {
                QueryRole::Statement
                | QueryRole::Unread
                | QueryRole::CreateTableAs
                | QueryRole::MaterializedView
                | QueryRole::Declare => Some(whole()),
                QueryRole::Explained { analyze: true } | QueryRole::CopyOut => {
                    Some(Planned::Text(sql.bare(text).into_owned()))
                }
                QueryRole::Explained { analyze: false } | QueryRole::View | QueryRole::Prepare => None,
            },
            _ => None,
        });
        Ok(planned.unwrap_or(Planned::Nothing))
    }

    fn ask_cost(
        &mut self,
        job: Job,
        question: String,
        param_types: Vec<Oid>,
        judged: &Arc<Judged>,
        turn: &mut Turn<'_>,
    ) {
        let judged = judged.clone();
        let costing =
            Costing { job, question, param_types, judged, plan: String::new(), closes_left: 0, sent: false };
        self.waiting = Some(Waiting::Cost(Box::new(costing)));
        if self.deferred.is_empty() {
            self.send_costing(turn);
        }
    }

    /// Sends the question when what comes before it has been sent.
    pub(crate) fn send_costing(&mut self, turn: &mut Turn<'_>) {
        let Some(Waiting::Cost(costing)) = &mut self.waiting else { return };
        if std::mem::replace(&mut costing.sent, true) {
            return;
        }
        let nothing = Parameters::default();
        let parameters = match &costing.job {
            Job::Run(_) => &nothing,
            Job::Bind(binding) => &binding.parameters,
        };
        let out = &mut turn.out.upstream;
        match forward::ask_plan(out, &costing.question, &costing.param_types, parameters) {
            Ok(closes) => {
                costing.closes_left = closes;
                let op = self.next_op(OpKind::Flight);
                self.ops.push_back(op);
                self.trace_asks(turn);
            }
            Err(_) => {
                let Some(Waiting::Cost(costing)) = self.waiting.take() else { return };
                self.refuse_costed(*costing, unknown_cost(), turn);
            }
        }
    }

    /// One message of the server's that answers the question.
    pub(crate) fn costing_message(
        &mut self,
        tag: u8,
        body: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), String> {
        let Some(Waiting::Cost(costing)) = &mut self.waiting else { return Ok(()) };
        match tag {
            backend::tag::DATA_ROW => {
                let row = DataRow::parse(body).map_err(|error| error.to_string())?;
                let line = row.iter().next().flatten().unwrap_or_default();
                costing.plan.push_str(&String::from_utf8_lossy(line));
                costing.plan.push('\n');
            }
            backend::tag::CLOSE_COMPLETE => {
                costing.closes_left = costing.closes_left.saturating_sub(1);
                if costing.closes_left == 0 {
                    self.ops.pop_front();
                    self.trace_told(turn);
                    self.costed(turn);
                }
            }
            backend::tag::PARSE_COMPLETE
            | backend::tag::BIND_COMPLETE
            | backend::tag::NOTICE_RESPONSE
            | backend::tag::PARAMETER_STATUS
            | backend::tag::COMMAND_COMPLETE => {}
            other => return Err(format!("unexpected message type {other} in answer to a question")),
        }
        Ok(())
    }

    /// The server would not plan the statement: what it says is what the statement itself would have got.
    pub(crate) fn costing_failed(&mut self, mut error: ErrorFields, turn: &mut Turn<'_>) {
        let Some(Waiting::Cost(costing)) = self.waiting.take() else { return };
        self.ops.pop_front();
        if self.leaving.is_some() {
            return;
        }
        if costing.judged.quotes != Quotes::Nothing {
            error = refuse::redact(&error);
        }
        // Its positions are those of the question.
        error.retain(|code| code != wire::error::field::POSITION);
        self.record_costed(&costing, &Refusal::ByServer(Box::new(error.clone())), turn);
        wire::backend::encode::error_response(&mut turn.out.client, &error);
        match costing.job {
            Job::Run(_) => {
                forward::housekeeping(&mut turn.out.upstream, Housekeeping::Sync);
                let op = self.next_op(OpKind::Hidden(HiddenKind::QuestionFailed));
                self.ops.push_back(op);
            }
            Job::Bind(_) => self.drop_skipped(None, turn),
        }
    }

    fn costed(&mut self, turn: &mut Turn<'_>) {
        let Some(Waiting::Cost(costing)) = self.waiting.take() else { return };
        if self.leaving.is_some() {
            return;
        }
        if self.status == Status::Idle && !self.pipeline_open && self.ops.is_empty() {
            forward::housekeeping(&mut turn.out.upstream, Housekeeping::Sync);
            let op = self.next_op(OpKind::Hidden(HiddenKind::QuestionOver));
            self.ops.push_back(op);
        }
        let refusal = match (total(&costing.plan), self.quota.limits().cost().cloned()) {
            (None, Some(_)) => Some(unknown_cost()),
            (Some(cost), Some(limit)) if cost > limit.max && !self.is_lifted(&limit, &costing.judged) => {
                // What the planner knows of values that the identity may not see is in the number.
                let told = (costing.judged.quotes != Quotes::Values).then_some(cost);
                let reached = Reached::cost(&limit, told);
                self.record_limit(Some(self.statement_last + 1), &reached, turn);
                if let Some(group) = limit.approval.clone() {
                    let limit = hold::Limit { group, what: reached.told() };
                    return self.hold_costed(*costing, limit, turn);
                }
                Some(Refusal::Limited(Box::new(reached)))
            }
            _ => None,
        };
        let costing = *costing;
        match (refusal, costing) {
            (Some(refusal), costing) => self.refuse_costed(costing, refusal, turn),
            (None, Costing { job: Job::Run(origin), judged, .. }) => {
                // The policy may have changed in the meantime.
                let judged = self.rejudge(&judged, turn.now);
                self.run_origin(&judged, &origin, turn);
            }
            (None, Costing { job: Job::Bind(binding), .. }) => self.bound_to(binding, turn),
        }
    }

    /// Whether approvers have agreed to what this statement costs, under the policy that is in force.
    fn is_lifted(&self, limit: &CostLimit, judged: &Judged) -> bool {
        let approved = judged.approved.as_ref().filter(|approved| approved.is_of(&self.bundle));
        limit.approval.as_ref().is_some_and(|group| approved.is_some_and(|approved| approved.is_by(group)))
    }

    fn hold_costed(&mut self, costing: Costing, limit: hold::Limit, turn: &mut Turn<'_>) {
        let Costing { job, judged, .. } = costing;
        let job = match job {
            Job::Run(origin) => hold::Job::Run(origin),
            Job::Bind(binding) => hold::Job::Bind(binding),
        };
        self.hold(job, &judged, Some(limit), turn);
    }

    fn refuse_costed(&mut self, costing: Costing, refusal: Refusal, turn: &mut Turn<'_>) {
        self.record_costed(&costing, &refusal, turn);
        match costing.job {
            Job::Run(_) => self.refuse_simple(refusal, turn),
            Job::Bind(_) => self.refuse_extended(refusal, None, turn),
        }
    }

    fn record_costed(&mut self, costing: &Costing, refusal: &Refusal, turn: &mut Turn<'_>) {
        self.count_unparsed(turn);
        let (text, parameters) = match &costing.job {
            Job::Run(origin) => (&*origin.text, None),
            Job::Bind(binding) => (&*binding.prepared.text, Some(&binding.parameters)),
        };
        let extended = parameters.is_some();
        let executed = Executed { judged: &costing.judged, text, parameters, extended };
        self.record_statement(&executed, Some(refusal), turn);
    }
}

fn unknown_cost() -> Refusal {
    Refusal::NotUnderstood("its cost is limited and can't be estimated".to_owned())
}

fn setting(name: &str) -> Refusal {
    Refusal::Unsupported(format!("setting {name}, for an identity whose statements' cost is limited,"))
}

/// Reads what EXPLAIN (FORMAT JSON) answers: a list of plans, more than one where a rule adds some. A statement without plan
/// (CREATE TABLE IF NOT EXISTS of one that exists) answers nothing.
fn total(plan: &str) -> Option<f64> {
    if plan.is_empty() {
        return Some(0.0);
    }
    let plans: serde_json::Value = serde_json::from_str(plan).ok()?;
    let mut sum = 0.0;
    for plan in plans.as_array()? {
        match plan.get("Plan") {
            Some(plan) => sum += plan.get("Total Cost")?.as_f64()?,
            // "Utility Statement", which a rule may add.
            None if plan.is_string() => {}
            None => return None,
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_added_and_what_is_no_plan_has_none() {
        let plan = r#"[{"Plan": {"Node Type": "Result", "Startup Cost": 0.00, "Total Cost": 12.5, "Plans": [{"Total Cost": 7}]}}]"#;
        assert_eq!(total(plan), Some(12.5));
        assert_eq!(
            total(r#"[{"Plan": {"Total Cost": 1}}, "Utility Statement", {"Plan": {"Total Cost": 2e3}}]"#),
            Some(2001.0)
        );
        assert_eq!(total(""), Some(0.0));
        for none in ["[]x", "{}", r#"[{}]"#, r#"[{"Plan": {"Total Cost": "1"}}]"#] {
            assert_eq!(total(none), None, "{none}");
        }
    }
}

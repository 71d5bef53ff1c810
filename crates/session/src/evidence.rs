//! What is recorded about statements: the decision, the statement, its outcome.

use std::collections::BTreeMap;
use std::sync::Arc;

use audit::{Completion, Durability, Event, MaskUse, Outcome, Parameter, Protocol, Statement, TouchFacts};
use model::QualifiedName;
use policy::{
    Decision, FunctionFacts, FunctionSecurity, PartVerdict, RelationFacts, RelationKind, Resource, Touch,
};
use sha2::{Digest, Sha256};
use wire::error::ErrorFields;
use wire::frontend::Bind;

use crate::analysis::Analysis;
use crate::authorize::{self, Allowed, Judged};
use crate::effect::Keep;
use crate::ops::Run;
use crate::record::Ticket;
use crate::refuse::Refusal;
use crate::results::{self, Rows};
use crate::running::{Running, Turn};

/// A statement that is about to be executed.
pub(crate) struct Executed<'a> {
    pub(crate) judged: &'a Arc<Judged>,
    pub(crate) text: &'a str,
    pub(crate) parameters: Option<&'a Parameters>,
    pub(crate) extended: bool,
}

/// The values bound to a portal, for the record.
#[derive(Default)]
pub(crate) struct Parameters(Vec<(i16, Option<Vec<u8>>)>);

impl Parameters {
    /// Lends them: formats, and values as they came.
    pub(crate) fn values(&self) -> impl Iterator<Item = (i16, Option<&[u8]>)> {
        self.0.iter().map(|(format, value)| (*format, value.as_deref()))
    }

    /// How much memory they take.
    pub(crate) fn bytes(&self) -> usize {
        let value =
            |value: &(i16, Option<Vec<u8>>)| size_of_val(value) + value.1.as_ref().map_or(0, Vec::len);
        self.0.iter().map(value).sum()
    }

    pub(crate) fn of(bind: &Bind<'_>) -> Self {
        let format = |i| bind.param_formats.of(i).unwrap_or(0);
        Self(
            bind.params.iter().enumerate().map(|(i, value)| (format(i), value.map(<[u8]>::to_vec))).collect(),
        )
    }
}

/// Renders what was decided, once per judgement.
pub(crate) fn decision(
    analysis: &Analysis,
    touches: &[Touch],
    decision: &Decision,
) -> (audit::Fragment, Vec<String>) {
    let mut grouped: BTreeMap<(&str, &str, String), Touched<'_>> = BTreeMap::new();
    let mut rules: Vec<String> = Vec::new();
    let mut masks = Vec::new();
    let mut approvers = Vec::new();
    for (touch, part) in touches.iter().zip(&decision.parts) {
        let (kind, name, column) = match &touch.resource {
            Resource::Database => ("database", String::new(), None),
            Resource::Schema { name } => ("schema", name.clone(), None),
            Resource::Relation { name, .. } => ("relation", name.to_string(), None),
            Resource::Column { relation, column, .. } => {
                ("relation", relation.to_string(), Some(column.as_str()))
            }
            Resource::Function { name, .. } => ("function", name.to_string(), None),
        };
        if let (Some(spec), Some(column)) = (part.verdict.mask(), column) {
            masks.push((format!("{name}.{column}"), spec.kind()));
        }
        if let PartVerdict::Hold { approvers: groups, mask: _ } = &part.verdict {
            approvers.extend(groups.iter().map(String::as_str));
        }
        grouped.entry((touch.action.as_str(), kind, name)).or_default().add(&touch.resource);
        for rule in &part.rules {
            let id = rule.id.to_string();
            if !rules.contains(&id) {
                rules.push(id);
            }
        }
    }
    approvers.sort_unstable();
    approvers.dedup();
    let fragment = audit::Decision {
        kind: analysis.kind(),
        touches: grouped
            .iter()
            .map(|((action, kind, name), touched)| audit::Touch {
                action,
                kind,
                name,
                columns: touched.columns.clone(),
                facts: touched.facts(),
            })
            .collect(),
        rules: rules.iter().map(String::as_str).collect(),
        masks: masks.iter().map(|(column, mask)| MaskUse { column, mask }).collect(),
        approvers,
        facts: Some(audit::StatementFacts { has_where: analysis.has_where, row_locks: analysis.row_locks }),
    }
    .render();
    (fragment, rules)
}

/// What is touched under one name in one way.
#[derive(Default)]
struct Touched<'a> {
    name: Option<&'a QualifiedName>,
    columns: Vec<&'a str>,
    tags: Vec<(&'a str, Vec<&'a str>)>,
    relation: Option<RelationFacts>,
    /// Of overloads, what policy makes of them together.
    function: Option<FunctionFacts>,
}

impl<'a> Touched<'a> {
    fn add(&mut self, resource: &'a Resource) {
        match resource {
            Resource::Database | Resource::Schema { .. } => {}
            Resource::Relation { name, facts } => {
                self.name = Some(name);
                self.relation = Some(*facts);
            }
            Resource::Column { relation, column, tags, facts } => {
                self.name = Some(relation);
                self.relation = Some(*facts);
                self.columns.push(column);
                if !tags.is_empty() {
                    self.tags.push((column, tags.iter().map(String::as_str).collect()));
                }
            }
            Resource::Function { name, facts } => {
                self.name = Some(name);
                self.function = Some(self.function.map_or(*facts, |other| other.stricter(facts)));
            }
        }
    }

    fn facts(&self) -> TouchFacts<'a> {
        let kind = self.relation.map(|facts| facts.kind()).filter(|kind| *kind != RelationKind::Table);
        let dotted = |name: &&QualifiedName| name.schema.contains('.') || name.name.contains('.');
        TouchFacts {
            schema: self.name.filter(dotted).map(|name| name.schema.as_str()),
            relation: kind.map(RelationKind::as_str),
            temporary: self.relation.is_some_and(|facts| facts.temporary()),
            tags: self.tags.clone(),
            function: self.function.map(|facts| audit::FunctionFacts {
                class: facts.class().as_str(),
                volatility: facts.volatility().as_str(),
                builtin: facts.builtin(),
                definer: facts.security() == FunctionSecurity::Definer,
                dynamic: facts.dynamic(),
            }),
        }
    }
}

impl Running {
    /// Asks for the permit and records the statement with the verdict, allowed or refused.
    pub(crate) fn decide_and_record(
        &mut self,
        executed: &Executed<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(Allowed, Run), Refusal> {
        let counted = self.count_statement(executed.judged, turn);
        let decided = authorize::permit(executed.judged).and_then(|allowed| {
            counted?;
            // What can't be masked is refused before it runs, not when its result is there.
            results::maskable(executed.judged, &self.database.settings)?;
            self.has_room_for(&executed.judged.analysis.effect)?;
            if self.database.settings.enforce {
                self.written_back(executed)?;
            }
            Ok(allowed)
        });
        let ticket = self.record_statement(executed, decided.as_ref().err(), turn);
        let allowed = decided?;
        let run = Run {
            number: self.statement_last,
            judged: executed.judged.clone(),
            ticket,
            started: turn.now.monotonic,
            rows: Rows::Plain,
            rows_count: 0,
            bytes: 0,
            spent: Arc::default(),
            offset_chars: 0,
            done: false,
            in_script: false,
            token: None,
            failed: false,
            traced: self.trace_of_recorded(),
        };
        Ok((allowed, run))
    }

    /// Refuses what would store masked values as if they were data.
    fn written_back(&self, executed: &Executed<'_>) -> Result<(), Refusal> {
        let masks = &executed.judged.written;
        if !masks.is_empty() && executed.judged.analysis.copies_in() {
            let what = "COPY FROM into a masked column: what is stored could be masked values, and can't be looked at on its way";
            return Err(Refusal::Unmaskable(what.to_owned()));
        }
        let parameters = executed.parameters.into_iter().flat_map(|parameters| &parameters.0);
        let parameters = parameters.filter_map(|(_, value)| value.as_deref());
        self.shown.check_statement(masks, executed.text, parameters)
    }

    /// Records a statement that is refused before it could be executed.
    pub(crate) fn record_refusal(
        &mut self,
        analysis: &Arc<Analysis>,
        text: &str,
        extended: bool,
        refusal: &Refusal,
        turn: &mut Turn<'_>,
    ) {
        let judged = self.judge(analysis, turn.now);
        let executed = Executed { judged: &judged, text, parameters: None, extended };
        self.record_statement(&executed, Some(refusal), turn);
    }

    /// Records a statement that is refused before the server was asked about it.
    pub(crate) fn record_unasked(
        &mut self,
        statement: &sql::Statement,
        text: &str,
        extended: bool,
        refusal: &Refusal,
        turn: &mut Turn<'_>,
    ) {
        let unknown = Analysis::unknown(Some(statement.command), refusal, turn.now.monotonic);
        let analysis = Arc::new(Analysis { secrets: statement.secrets.clone(), ..unknown });
        self.record_refusal(&analysis, text, extended, refusal, turn);
    }

    /// Records a statement that the server itself would not parse: nothing of it was executed.
    pub(crate) fn record_unparsed(
        &mut self,
        text: &str,
        extended: bool,
        error: &ErrorFields,
        turn: &mut Turn<'_>,
    ) {
        self.count_unparsed(turn);
        let refusal = Refusal::ByServer(Box::new(error.clone()));
        let analysis = Arc::new(Analysis::unknown(None, &refusal, turn.now.monotonic));
        self.record_refusal(&analysis, text, extended, &refusal, turn);
    }

    pub(crate) fn record_statement(
        &mut self,
        executed: &Executed<'_>,
        refusal: Option<&Refusal>,
        turn: &mut Turn<'_>,
    ) -> Ticket {
        let Executed { judged, text, parameters, extended } = *executed;
        self.statement_last += 1;
        let durable = refusal.is_none() && (!judged.analysis.reads_only || judged.sync_reads);
        let error = refusal.map(Refusal::error);
        let state =
            error.as_ref().and_then(|e| e.sqlstate()).map(|s| s.as_str().to_owned()).unwrap_or_default();
        let message =
            error.as_ref().and_then(|e| e.message()).map(String::from_utf8_lossy).unwrap_or_default();
        let redacted = without_secrets(text, &judged.analysis.secrets);
        let redacted = cut(redacted, self.database.settings.limits.recorded_bytes_max);
        let parameters: Vec<Parameter<'_>> = parameters
            .map(|p| p.0.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|(format, value)| match (format, value) {
                (_, None) => Parameter::Null,
                (0, Some(text)) => Parameter::Text(text),
                (_, Some(binary)) => Parameter::Binary(binary),
            })
            .collect();
        let verdict = match (refusal, judged.refusal()) {
            // Refused for another reason than the policy's.
            (Some(Refusal::ApprovalRequired { .. } | Refusal::Unapproved(_)), None) => audit::Verdict::Hold,
            (Some(_), None) => audit::Verdict::Deny,
            // What waits for approvers may be prepared.
            (None, Some(_)) => audit::Verdict::Allow,
            _ => judged.verdict,
        };
        let approval = match refusal {
            Some(Refusal::Unapproved(unapproved)) => unapproved.number,
            _ => judged.approved.as_ref().map(|approved| approved.number()),
        };
        let approval = approval.map(|number| number.0);
        let traced = self.trace_decided(judged, verdict, (extended, durable), turn);
        let event = Event::Statement(Statement {
            session: self.id,
            statement: self.statement_last,
            identity: &self.form,
            client: self.client,
            application_name: self.application_name.as_deref().unwrap_or_default(),
            database: &self.database.settings.name,
            protocol: if extended { Protocol::Extended } else { Protocol::Simple },
            text: &redacted,
            parameters: &parameters,
            decision: &judged.decision,
            verdict,
            refusal: refusal.map(|_| audit::Refusal { sqlstate: &state, message: &message }),
            durability: if durable { Durability::Durable } else { Durability::Written },
            approval,
        })
        .encode();
        if self.tape.is_some() {
            let sqlstate = refusal.map(|_| state.clone());
            self.tape_sent(judged, (&redacted, &parameters), (extended, verdict, sqlstate, approval), turn);
        }
        let ticket = self.append(event, if durable { Keep::Durable } else { Keep::Written }, turn);
        self.trace_recorded(traced, refusal.map(|_| state.as_str()), turn);
        ticket
    }

    /// Records how a statement ended.
    pub(crate) fn record_outcome(&mut self, run: &mut Run, completion: Completion<'_>, turn: &mut Turn<'_>) {
        run.trace_ended(&completion, turn);
        self.quota.note(run.rows_count, run.bytes, turn.now);
        let event = Event::Outcome(Outcome {
            session: self.id,
            statement: run.number,
            completion,
            rows: run.rows_count,
            bytes: run.bytes,
            duration: turn.now.monotonic.saturating_duration_since(run.started),
        })
        .encode();
        // What a write came to is known to the record before it is known to the client.
        let keep = if run.judged.analysis.reads_only { Keep::Soon } else { Keep::Written };
        self.append(event, keep, turn);
    }

    pub(crate) fn record_incident(
        &mut self,
        statement: Option<u64>,
        kind: &str,
        detail: &str,
        turn: &mut Turn<'_>,
    ) {
        let event = Event::Incident {
            session: Some(self.id),
            statement,
            identity: Some(&self.form),
            database: Some(&self.database.settings.name),
            kind,
            detail,
        }
        .encode();
        self.append(event, Keep::Durable, turn);
    }
}

/// Keeps a text to a length; what is cut is told by length and digest.
fn cut(text: std::borrow::Cow<'_, str>, bytes_max: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= bytes_max {
        return text;
    }
    let kept = text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default();
    format!(
        "{kept} [cut here; {} bytes in all, SHA-256 {}]",
        text.len(),
        hex::encode(Sha256::digest(text.as_bytes()))
    )
    .into()
}

/// Takes the literals of secrets out of a text.
pub(crate) fn without_secrets<'t>(
    text: &'t str,
    secrets: &[std::ops::Range<usize>],
) -> std::borrow::Cow<'t, str> {
    if secrets.is_empty() {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for secret in secrets {
        out.push_str(text.get(at..secret.start).unwrap_or_default());
        out.push_str("'***'");
        at = secret.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out.into()
}

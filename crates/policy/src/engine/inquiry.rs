//! One request's questions to the rules: entities are built once, contexts once per promise, slices once per action.
//!
//! SECURITY: Cedar skips a rule that can't be evaluated, a `forbid` too. Here an answer in which any rule failed is a refusal.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{
    AuthorizationError, Context, Decision, Entities, EntityUid, PolicySet, Request, RestrictedExpression,
};

use super::entities::{Builder, Facts, Key, merge, record, string, uid};
use super::rules::{Engine, Principals, Rule};
use crate::action::Action;
use crate::catalog;
use crate::decision::RuleRef;
use crate::lint::Uses;
use crate::request::{self, Touch};
use crate::resource::Resource;

/// What is promised when a question is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) masked: bool,
    pub(crate) approved_by: BTreeSet<String>,
    pub(crate) has_where: bool,
}

/// What the rules say to one question.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    /// The permits of an allowed question, the forbids of a refused one.
    pub(crate) rules: Vec<Arc<RuleRef>>,
    /// Rules that could not be evaluated, and why.
    pub(crate) failed: Vec<(Arc<RuleRef>, String)>,
}

/// A request, made ready for questions.
pub(crate) struct Inquiry<'e, 'r> {
    engine: &'e Engine,
    request: &'r request::Request<'r>,
    principal: EntityUid,
    entities: Entities,
    slices: BTreeMap<Action, Slice>,
    contexts: Vec<(Promise, Context)>,
    resources: BTreeMap<Key, Facts>,
    /// For each touch, the first one that every rule must answer alike; often itself.
    representatives: Vec<usize>,
}

/// The rules that can say anything about an action of this principal.
struct Slice {
    policies: PolicySet,
    uses: Uses,
}

/// Why a request can't be put to the rules at all.
pub(super) type Fault = String;

pub(super) fn fault(error: impl std::fmt::Display) -> Fault {
    error.to_string()
}

impl Engine {
    /// Returns whether the time of day can change an answer.
    pub(crate) fn depends_on_time(&self) -> bool {
        self.rules.iter().any(|rule| rule.uses.now)
    }

    /// Returns whether a permit of the bundle names this identity, or a group that it is in, in its scope.
    pub(super) fn knows(&self, identity: &model::Identity) -> bool {
        let agent = identity.to_string();
        let names =
            |rule: &Rule| !matches!(rule.principal, Principals::Anyone) && rule.may_concern(identity, &agent);
        self.rules.iter().any(|rule| !rule.system() && !rule.reference.forbid && names(rule))
    }

    /// Finds touches that differ only in which column of a relation they mean.
    ///
    /// Rules see of a column its relation, tags and facts, and whether it is one that a rule names. So two columns that no rule
    /// names, and that share the rest, get the same answers.
    fn representatives(
        &self,
        touches: &[Touch],
        keys: &[Key],
        resources: &BTreeMap<Key, Facts>,
    ) -> Vec<usize> {
        let mut seen = HashMap::new();
        let touches = touches.iter().zip(keys).enumerate();
        touches
            .map(|(at, (touch, key))| match resources.get(key) {
                Some(Facts::Column { relation, column, tags, facts })
                    if !self.named_columns.contains(&key.1) =>
                {
                    let reveals = facts.reveals() || catalog::column_reveals(relation, column).is_some();
                    *seen.entry((touch.action, relation, tags, facts, reveals)).or_insert(at)
                }
                _ => at,
            })
            .collect()
    }

    fn slice(&self, action: Action, identity: &model::Identity) -> Result<Slice, Fault> {
        let agent = identity.to_string();
        let mut slice = Slice { policies: PolicySet::new(), uses: Uses::default() };
        for rule in self
            .rules
            .iter()
            .filter(|rule| rule.actions.contains(&action) && rule.may_concern(identity, &agent))
        {
            slice.policies.add(rule.policy.clone()).map_err(fault)?;
            slice.uses = slice.uses.and(rule.uses);
        }
        Ok(slice)
    }
}

impl Rule {
    /// Returns false only if the rule's scope keeps this identity out, so that leaving the rule out changes no answer: a scope is
    /// evaluated before anything that could fail.
    pub(super) fn may_concern(&self, identity: &model::Identity, agent: &str) -> bool {
        match &self.principal {
            Principals::Anyone => true,
            Principals::Group(group) => identity.groups.contains(group),
            Principals::Agent(named) => named == agent,
        }
    }
}

impl<'e, 'r> Inquiry<'e, 'r> {
    /// Makes a request ready; `tags` gives a column's tags by the bundle.
    pub(crate) fn new(
        engine: &'e Engine,
        request: &'r request::Request<'r>,
        claims: &[String],
        tags: &dyn Fn(&model::QualifiedName, &str) -> Vec<String>,
    ) -> Result<Self, Fault> {
        if request.identity.issuer.contains(':') {
            // SECURITY: issuer `a:b` with subject `c` would be taken for issuer `a` with subject `b:c`
            return Err(format!("the issuer's name {:?} holds a colon", request.identity.issuer));
        }
        let principal = uid(&engine.types.agent, &request.identity.to_string());
        let mut resources = BTreeMap::new();
        let mut slices = BTreeMap::new();
        let mut keys = Vec::with_capacity(request.touches.len());
        for Touch { action, resource } in request.touches {
            if let std::collections::btree_map::Entry::Vacant(place) = slices.entry(*action) {
                place.insert(engine.slice(*action, request.identity)?);
            }
            let key = (resource.resource_type(), resource.path(request.database));
            merge(&mut resources, key.clone(), resource, tags);
            keys.push(key);
        }
        let representatives = engine.representatives(request.touches, &keys, &resources);
        let mut builder = Builder { engine, database: request.database, made: BTreeMap::new() };
        builder.agent(principal.clone(), request.identity, claims)?;
        // relations before their columns, so that a relation's own facts are taken
        let asked: BTreeSet<&Key> = representatives.iter().filter_map(|at| keys.get(*at)).collect();
        for key in asked {
            let facts = resources.get(key).ok_or("a resource has no facts")?;
            builder.resource(&key.1, facts)?;
        }
        let entities = engine.actions.iter().cloned().chain(builder.made.into_values());
        let entities = Entities::from_entities(entities, None).map_err(fault)?;
        Ok(Self {
            engine,
            request,
            principal,
            entities,
            slices,
            contexts: Vec::new(),
            resources,
            representatives,
        })
    }

    /// Returns the first touch that every rule must answer like this one; the touch itself if there is none before it.
    pub(crate) fn representative(&self, touch: usize) -> usize {
        self.representatives.get(touch).copied().unwrap_or(touch)
    }

    /// Returns all tags of a column that is touched: the bundle's, and those that any of its mentions inherits.
    pub(crate) fn tags(&self, column: &Resource) -> impl Iterator<Item = &str> {
        let facts = self.resources.get(&(column.resource_type(), column.path(self.request.database)));
        let tags = match facts {
            Some(Facts::Column { tags, .. }) => Some(tags),
            _ => None,
        };
        tags.into_iter().flatten().map(String::as_str)
    }

    /// Returns which promises can change an answer about this action.
    pub(crate) fn uses(&self, action: Action) -> Uses {
        self.slices.get(&action).map_or(Uses::default(), |slice| slice.uses)
    }

    /// Puts a question.
    pub(crate) fn ask(
        &mut self,
        action: Action,
        resource: &Resource,
        promise: &Promise,
    ) -> Result<Answer, Fault> {
        let engine = self.engine;
        let context = self.context(promise)?;
        let path = resource.path(self.request.database);
        let kind = match resource {
            Resource::Database => &engine.types.database,
            Resource::Schema { .. } => &engine.types.schema,
            Resource::Relation { .. } => &engine.types.relation,
            Resource::Column { .. } => &engine.types.column,
            Resource::Function { .. } => &engine.types.function,
        };
        let action_uid = uid(&engine.types.action, action.as_str());
        let question = Request::new(self.principal.clone(), action_uid, uid(kind, &path), context, None)
            .map_err(fault)?;
        if let std::collections::btree_map::Entry::Vacant(place) = self.slices.entry(action) {
            place.insert(engine.slice(action, self.request.identity)?);
        }
        let Some(slice) = self.slices.get(&action) else { return Err("no rules were chosen".to_owned()) };
        let response = engine.authorizer.is_authorized(&question, &slice.policies, &self.entities);
        let mut rules: Vec<_> =
            response.diagnostics().reason().filter_map(|id| engine.by_id.get(id).cloned()).collect();
        rules.sort_by(|a, b| (&a.file, a.line, &a.id).cmp(&(&b.file, b.line, &b.id)));
        let mut failed = Vec::new();
        for AuthorizationError::PolicyEvaluationError(error) in response.diagnostics().errors() {
            let rule = engine.by_id.get(error.policy_id()).cloned();
            failed.push((rule.ok_or("a rule without a name failed")?, error.inner().to_string()));
        }
        let allowed = response.decision() == Decision::Allow && failed.is_empty();
        if !allowed && response.decision() == Decision::Allow {
            rules.clear();
        }
        Ok(Answer { allowed, rules, failed })
    }

    fn context(&mut self, promise: &Promise) -> Result<Context, Fault> {
        if let Some((_, context)) = self.contexts.iter().find(|(known, _)| known == promise) {
            return Ok(context.clone());
        }
        let facts = &self.request.context;
        let statement = record([
            ("command", string(facts.statement.command)),
            ("has_where", RestrictedExpression::new_bool(promise.has_where)),
            ("row_locks", RestrictedExpression::new_bool(facts.statement.row_locks)),
        ])?;
        let address = facts.session.client_address.to_canonical().to_string();
        let session = record([
            ("application_name", string(facts.session.application_name)),
            ("address", RestrictedExpression::new_ip(address)),
            ("tls", RestrictedExpression::new_bool(facts.session.tls)),
            ("method", string(facts.session.method.as_str())),
        ])?;
        let now = jiff::Timestamp::try_from(facts.now).map_err(fault)?;
        let now = RestrictedExpression::new_datetime(now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
        let approved_by = promise.approved_by.iter().map(|name| string(name));
        let pairs = [
            ("masked", RestrictedExpression::new_bool(promise.masked)),
            ("approved_by", RestrictedExpression::new_set(approved_by)),
            ("statement", statement),
            ("session", session),
            ("now", now),
        ];
        let context =
            Context::from_pairs(pairs.map(|(key, value)| (key.to_owned(), value))).map_err(fault)?;
        self.contexts.push((promise.clone(), context.clone()));
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use model::{Identity, Method, QualifiedName};

    use super::*;
    use crate::engine::build;
    use crate::lint::Vocabulary;
    use crate::problem::Source;
    use crate::request::{SessionFacts, StatementFacts};
    use crate::resource::{Persistence, RelationFacts, RelationKind};

    /// Rules whose scopes let in different principals and actions, some of which fail for whom they let in.
    const RULES: &str = r#"
        permit (principal, action in Action::"Read", resource);
        permit (principal in Group::"a", action in [Action::"Write", Action::"drop"], resource);
        permit (principal is Agent in Group::"b", action, resource) when { context.statement.has_where };
        permit (principal == Agent::"i:s", action == Action::"alter", resource);
        permit (principal is Agent, action == Action::"comment", resource in Schema::"d.public");
        forbid (principal in Group::"b", action == Action::"update", resource);
        forbid (principal in Group::"a", action == Action::"drop", resource) when { 9223372036854775807 + 1 == 0 };
    "#;

    fn engine() -> Engine {
        let source = Source { path: "r.cedar".into(), text: RULES.into() };
        let vocabulary =
            Vocabulary { database: "d", tags: Vec::new(), approvers: Vec::new(), claims: Vec::new() };
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let engine = build(&[source], &crate::schema::text(&[]), &vocabulary, &mut problems, &mut warnings);
        engine.unwrap_or_else(|| panic!("{problems:?}"))
    }

    /// The slices only save time: asking all rules about everything gives the same answers.
    #[test]
    fn a_slice_answers_as_all_rules_do() {
        let engine = engine();
        let mut all = PolicySet::new();
        for rule in &engine.rules {
            all.add(rule.policy.clone()).unwrap();
        }
        let name = QualifiedName { schema: "public".to_owned(), name: "t".to_owned() };
        let facts = RelationFacts::new(&name, RelationKind::Table, Persistence::Permanent);
        let relation = Resource::Relation { name, facts };
        let touches: Vec<Touch> = Action::all()
            .filter(|action| action.applies_to().contains(&relation.resource_type()))
            .map(|action| Touch { action, resource: relation.clone() })
            .collect();
        let approved_by = BTreeSet::new();
        let mut allowed = 0;
        for groups in [&[][..], &["a"], &["b"], &["a", "b"]] {
            for subject in ["s", "other"] {
                let identity = Identity {
                    issuer: "i".to_owned(),
                    subject: subject.to_owned(),
                    name: None,
                    groups: groups.iter().map(|group| (*group).to_owned()).collect(),
                    attributes: BTreeMap::new(),
                    token_id: None,
                    on_behalf_of: None,
                };
                let request = request::Request {
                    identity: &identity,
                    database: "d",
                    context: request::Context {
                        statement: StatementFacts { command: "X", has_where: true, row_locks: false },
                        session: SessionFacts {
                            application_name: "",
                            client_address: std::net::IpAddr::from([127, 0, 0, 1]),
                            tls: false,
                            method: Method::Token,
                        },
                        now: SystemTime::UNIX_EPOCH,
                        approved_by: &approved_by,
                    },
                    touches: &touches,
                };
                let promise = Promise { masked: false, approved_by: BTreeSet::new(), has_where: true };
                let new = || Inquiry::new(&engine, &request, &[], &|_, _| Vec::new()).unwrap();
                let (mut sliced, mut whole) = (new(), new());
                for slice in whole.slices.values_mut() {
                    slice.policies = all.clone();
                }
                for touch in &touches {
                    let one = sliced.ask(touch.action, &touch.resource, &promise).unwrap();
                    let other = whole.ask(touch.action, &touch.resource, &promise).unwrap();
                    assert_eq!(
                        format!("{one:?}"),
                        format!("{other:?}"),
                        "{subject} in {groups:?}: {}",
                        touch.action
                    );
                    allowed += usize::from(one.allowed);
                }
            }
        }
        assert!(allowed > 40, "the rules allow too little to compare: {allowed}");
    }
}

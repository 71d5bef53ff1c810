//! What rules could allow an identity, whatever else a request will say: three-valued evaluation of rules in their JSON form.
//!
//! Known are principal and resource, made by the same code as for a decision; unknown are `context.session`, `now`, `statement` and
//! `approved_by`. `masked` is promised as a decision would. A permit counts unless it is surely false, a forbid only if it is surely
//! true. So the answer is never narrower than [`decide`](crate::decide), and a test holds it. Cedar's own partial evaluation is an
//! experiment; this reads "JSON policy format" (docs.cedarpolicy.com), and what it doesn't know there is unknown.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Entity, EntityUid};
use model::{Identity, QualifiedName};
use serde_json::Value as Json;

use super::entities::{Builder, merge, uid};
use super::inquiry::Fault;
use super::rules::{Engine, Rule};
use super::value::Value;
use crate::action::{Action, ActionGroup};
use crate::resource::{Resource, ResourceType};
use crate::schema;

/// Rules, and somebody of whom is known all that rules can look at.
pub(crate) struct Supposition<'e> {
    engine: &'e Engine,
    database: &'e str,
    principal: Known,
    /// Rules that may say anything, by action.
    rules: BTreeMap<Action, Vec<&'e Rule>>,
}

/// An entity and what it has.
pub(crate) struct Known {
    resource_type: Option<ResourceType>,
    uid: (String, String),
    /// Itself not among them.
    ancestors: BTreeSet<(String, String)>,
    attributes: Value,
}

/// Whether all tags of a column are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tagging {
    /// It has those that are named and no others.
    Complete,
    /// What it is made of can't be read: it may have more.
    Open,
}

impl<'e> Supposition<'e> {
    pub(crate) fn new(
        engine: &'e Engine,
        database: &'e str,
        identity: &Identity,
        claims: &[String],
    ) -> Result<Self, Fault> {
        let agent = identity.to_string();
        let principal = engine.principal(database, identity, claims)?;
        let mut rules: BTreeMap<Action, Vec<&Rule>> = BTreeMap::new();
        for rule in engine.rules.iter().filter(|rule| rule.may_concern(identity, &agent)) {
            for action in &rule.actions {
                rules.entry(*action).or_default().push(rule);
            }
        }
        Ok(Self { engine, database, principal, rules })
    }

    /// Makes a resource ready for questions. `tags` gives a column's tags by the bundle.
    pub(crate) fn resource(
        &self,
        resource: &Resource,
        tagging: Tagging,
        tags: &dyn Fn(&QualifiedName, &str) -> Vec<String>,
    ) -> Result<Known, Fault> {
        let mut resources = BTreeMap::new();
        let path = resource.path(self.database);
        merge(&mut resources, (resource.resource_type(), path.clone()), resource, tags);
        let mut builder = Builder { engine: self.engine, database: self.database, made: BTreeMap::new() };
        for (key, facts) in &resources {
            builder.resource(&key.1, facts)?;
        }
        let kind = resource.resource_type();
        let entity = builder.made.remove(&(kind.as_str(), path)).ok_or("a resource was not made")?;
        let mut known = Known::of(&entity, schema::RESOURCE_ATTRIBUTES);
        known.resource_type = Some(kind);
        known.ancestors = builder.made.values().map(|entity| name(&entity.uid())).collect();
        if let (Tagging::Open, Value::Record(attributes)) = (tagging, &mut known.attributes)
            && let Some(Value::Set(tags)) = attributes.remove("tags")
        {
            attributes.insert("tags".to_owned(), Value::AtLeast(tags));
        }
        Ok(known)
    }

    /// Returns whether there could be a request of this action on this resource that is allowed, masked or held.
    pub(crate) fn could(&self, action: Action, resource: &Known) -> bool {
        if !resource.resource_type.is_some_and(|kind| action.applies_to().contains(&kind)) {
            return false;
        }
        let maskable = action == Action::Select && resource.resource_type == Some(ResourceType::Column);
        let promises: &[bool] = if maskable { &[false, true] } else { &[false] };
        let rules = self.rules.get(&action).map(Vec::as_slice).unwrap_or_default();
        promises.iter().any(|masked| {
            let question = Question { about: self, action, resource, context: context(action, *masked) };
            let mut permitted = false;
            for rule in rules {
                let outcome = question.rule(rule);
                if rule.reference.forbid && outcome == Value::Bool(true) {
                    return false;
                }
                permitted |= !rule.reference.forbid && outcome != Value::Bool(false);
            }
            permitted
        })
    }

    /// Returns whether a rule names this column itself, so that it may be treated otherwise than columns like it.
    pub(crate) fn names_column(&self, path: &str) -> bool {
        self.engine.named_columns.contains(path)
    }
}

impl Known {
    fn of(entity: &Entity, attributes: &[&str]) -> Self {
        let value = |name: &&str| {
            let value = match entity.attr(name)? {
                Ok(value) => Value::of(&value),
                Err(_) => Value::Unknown,
            };
            Some(((*name).to_owned(), value))
        };
        Self {
            resource_type: None,
            uid: name(&entity.uid()),
            ancestors: BTreeSet::new(),
            attributes: Value::Record(attributes.iter().filter_map(value).collect()),
        }
    }

    /// Returns what it has, by attribute.
    pub(super) fn attribute(&self, name: &str) -> Value {
        self.attributes.attribute(name)
    }
}

impl Engine {
    pub(super) fn principal(
        &self,
        database: &str,
        identity: &Identity,
        claims: &[String],
    ) -> Result<Known, Fault> {
        if identity.issuer.contains(':') {
            // SECURITY: as for a decision, which refuses it
            return Err(format!("the issuer's name {:?} holds a colon", identity.issuer));
        }
        let agent = identity.to_string();
        let mut builder = Builder { engine: self, database, made: BTreeMap::new() };
        builder.agent(uid(&self.types.agent, &agent), identity, claims)?;
        let entity = builder.made.remove(&("Agent", agent)).ok_or("the agent was not made")?;
        let mut known = Known::of(&entity, schema::AGENT_ATTRIBUTES);
        known.ancestors =
            identity.groups.iter().map(|group| (self.types.group.to_string(), group.clone())).collect();
        Ok(known)
    }
}

fn name(uid: &EntityUid) -> (String, String) {
    (uid.type_name().to_string(), uid.id().unescaped().to_owned())
}

/// What is known of `context`.
fn context(action: Action, masked: bool) -> Value {
    let record = |fields: &[&str]| -> BTreeMap<String, Value> {
        fields.iter().map(|field| ((*field).to_owned(), Value::Unknown)).collect()
    };
    let mut statement = record(schema::STATEMENT_ATTRIBUTES);
    if action == Action::Truncate {
        // as a decision has it
        statement.insert("has_where".to_owned(), Value::Bool(false));
    }
    let mut context = record(schema::CONTEXT_ATTRIBUTES);
    context.insert("masked".to_owned(), Value::Bool(masked));
    context.insert("approved_by".to_owned(), Value::AtLeast(BTreeSet::new()));
    context.insert("statement".to_owned(), Value::Record(statement));
    context.insert("session".to_owned(), Value::Record(record(schema::SESSION_ATTRIBUTES)));
    Value::Record(context)
}

struct Question<'q> {
    about: &'q Supposition<'q>,
    action: Action,
    resource: &'q Known,
    context: Value,
}

impl Question<'_> {
    /// Evaluates a rule whose scope lets in the principal and the action.
    fn rule(&self, rule: &Rule) -> Value {
        let conditions = rule.json.get("conditions").and_then(Json::as_array);
        let Some(conditions) = conditions else { return Value::Unknown };
        conditions.iter().fold(self.resource_scope(&rule.json), |so_far, condition| {
            so_far.and(|| {
                let body = condition.get("body").map_or(Value::Unknown, |body| self.evaluate(body));
                match condition.get("kind").and_then(Json::as_str) {
                    Some("when") => body,
                    Some("unless") => body.not(),
                    _ => Value::Unknown,
                }
            })
        })
    }

    fn resource_scope(&self, rule: &Json) -> Value {
        let Some(scope) = rule.get("resource") else { return Value::Unknown };
        let entity = |of: &Json| of.get("entity").and_then(entity);
        match scope.get("op").and_then(Json::as_str) {
            Some("All" | "all") => Value::Bool(true),
            Some("==") => entity(scope).map_or(Value::Unknown, |e| Value::Bool(e == self.resource.uid)),
            Some("in") => entity(scope).map_or(Value::Unknown, |e| Value::Bool(is_in(self.resource, &e))),
            Some("is") => {
                let kind = scope.get("entity_type").and_then(Json::as_str);
                let of = kind.map_or(Value::Unknown, |kind| Value::Bool(self.resource.uid.0 == kind));
                of.and(|| match scope.get("in") {
                    None => Value::Bool(true),
                    Some(within) => {
                        entity(within).map_or(Value::Unknown, |e| Value::Bool(is_in(self.resource, &e)))
                    }
                })
            }
            _ => Value::Unknown,
        }
    }

    fn evaluate(&self, expression: &Json) -> Value {
        let Some((operator, operands)) =
            expression.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.iter().next())
        else {
            return Value::Unknown;
        };
        let operand = |name: &str| operands.get(name).map_or(Value::Unknown, |of| self.evaluate(of));
        let (left, right) = (|| operand("left"), || operand("right"));
        match operator.as_str() {
            "Value" => literal(operands),
            "Var" => self.variable(operands),
            "Set" => {
                let members = operands.as_array().map(|members| members.iter().map(|m| self.evaluate(m)));
                members.map_or(Value::Unknown, Value::set)
            }
            "Record" => {
                let fields = operands.as_object();
                let record = fields.map(|f| f.iter().map(|(k, v)| (k.clone(), self.evaluate(v))).collect());
                record.map_or(Value::Unknown, Value::Record)
            }
            "!" => operand("arg").not(),
            "&&" => left().and(right),
            "||" => left().or(right),
            "==" => left().equals(&right()),
            "!=" => left().equals(&right()).not(),
            "<" => left().compare(&right(), std::cmp::Ordering::is_lt),
            "<=" => left().compare(&right(), std::cmp::Ordering::is_le),
            ">" => left().compare(&right(), std::cmp::Ordering::is_gt),
            ">=" => left().compare(&right(), std::cmp::Ordering::is_ge),
            "contains" => left().contains(&right()),
            "containsAll" => left().contains_all(&right()),
            "containsAny" => left().contains_any(&right()),
            "isEmpty" => operand("arg").is_empty(),
            "in" => self.within(&left(), &right()),
            "is" => self.is(&left(), operands),
            "." => match operands.get("attr").and_then(Json::as_str) {
                Some(attribute) => self.record(left()).attribute(attribute),
                None => Value::Unknown,
            },
            "has" => match operands.get("attr").and_then(Json::as_str) {
                Some(attribute) => self.record(left()).has(attribute),
                None => Value::Unknown,
            },
            "like" => pattern(operands).map_or(Value::Unknown, |pattern| left().like(&pattern)),
            "if-then-else" => match operand("if") {
                Value::Bool(true) => operand("then"),
                Value::Bool(false) => operand("else"),
                _ => {
                    let (one, other) = (operand("then"), operand("else"));
                    if one == other { one } else { Value::Unknown }
                }
            },
            _ => Value::Unknown,
        }
    }

    fn variable(&self, name: &Json) -> Value {
        let entity = |uid: &(String, String)| Value::Entity(uid.0.clone(), uid.1.clone());
        match name.as_str() {
            Some("principal") => entity(&self.about.principal.uid),
            Some("resource") => entity(&self.resource.uid),
            Some("action") => Value::Entity("Action".to_owned(), self.action.as_str().to_owned()),
            Some("context") => self.context.clone(),
            _ => Value::Unknown,
        }
    }

    fn known(&self, uid: (&String, &String)) -> Option<&Known> {
        [&self.about.principal, self.resource].into_iter().find(|known| (&known.uid.0, &known.uid.1) == uid)
    }

    /// Returns what attributes are taken from.
    fn record(&self, of: Value) -> Value {
        match &of {
            Value::Entity(kind, id) => {
                self.known((kind, id)).map_or(Value::Unknown, |known| known.attributes.clone())
            }
            _ => of,
        }
    }

    fn within(&self, member: &Value, groups: &Value) -> Value {
        let Value::Entity(kind, id) = member else { return Value::Unknown };
        match groups {
            Value::Entity(group_kind, group) => {
                if (kind, id) == (group_kind, group) {
                    return Value::Bool(true);
                }
                if kind == "Action" {
                    let group_of = Action::from_word(id).map(Action::group).map(ActionGroup::as_str);
                    return Value::Bool(group_kind == "Action" && group_of == Some(group.as_str()));
                }
                match self.known((kind, id)) {
                    Some(known) => {
                        Value::Bool(known.ancestors.contains(&(group_kind.clone(), group.clone())))
                    }
                    None => Value::Unknown,
                }
            }
            Value::Set(groups) => groups
                .iter()
                .fold(Value::Bool(false), |so_far, group| so_far.or(|| self.within(member, group))),
            _ => Value::Unknown,
        }
    }

    fn is(&self, entity: &Value, operands: &Json) -> Value {
        let (Value::Entity(kind, _), Some(wanted)) =
            (entity, operands.get("entity_type").and_then(Json::as_str))
        else {
            return Value::Unknown;
        };
        Value::Bool(kind == wanted).and(|| match operands.get("in") {
            None => Value::Bool(true),
            Some(group) => self.within(entity, &self.evaluate(group)),
        })
    }
}

fn is_in(known: &Known, group: &(String, String)) -> bool {
    known.uid == *group || known.ancestors.contains(group)
}

/// Reads `{type, id}`, or the same within `__entity`.
fn entity(json: &Json) -> Option<(String, String)> {
    let entity = json.get("__entity").unwrap_or(json);
    let text = |key| entity.get(key).and_then(Json::as_str).map(str::to_owned);
    Some((text("type")?, text("id")?))
}

fn literal(json: &Json) -> Value {
    match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => number.as_i64().map_or(Value::Unknown, Value::Long),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(members) => Value::set(members.iter().map(literal)),
        Json::Object(fields) if fields.contains_key("__entity") => {
            entity(json).map_or(Value::Unknown, |(kind, id)| Value::Entity(kind, id))
        }
        // records, and values of extensions
        Json::Object(_) | Json::Null => Value::Unknown,
    }
}

/// Reads the parts of a pattern: `"Wildcard"` or `{"Literal": "..."}`.
fn pattern(operands: &Json) -> Option<Vec<Option<&str>>> {
    let parts = operands.get("pattern")?.as_array()?;
    parts
        .iter()
        .map(|part| match part.as_str() {
            Some("Wildcard") => Some(None),
            _ => part.get("Literal")?.as_str().map(Some),
        })
        .collect()
}

//! Reads rules, checks them against the schema, and sorts them by who and what they can be about.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Authorizer, Effect, Entity, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet,
    PrincipalConstraint, Schema, ValidationMode, ValidationWarning, Validator,
};
use miette::Diagnostic;

use super::depth;
use crate::action::{Action, ActionGroup};
use crate::approvers::{self, Wrong};
use crate::decision::RuleRef;
use crate::lint::{self, Uses, Vocabulary, Written};
use crate::problem::{Problem, Source};

/// The gateway's own rules, part of every bundle.
const SYSTEM: &str = include_str!("../system.cedar");
/// The name that reports give their file.
pub(crate) const SYSTEM_FILE: &str = "gatepost";
/// What the ids of the gateway's own rules begin with, and of no others.
const SYSTEM_PREFIX: &str = "gatepost:";

/// Rules, ready to be asked.
pub(crate) struct Engine {
    /// Actions and their groups, for every request.
    pub(super) actions: Vec<Entity>,
    pub(super) rules: Vec<Rule>,
    pub(super) by_id: HashMap<PolicyId, Arc<RuleRef>>,
    pub(super) types: Types,
    /// Paths of the columns that some rule names.
    pub(super) named_columns: HashSet<String>,
    pub(super) authorizer: Authorizer,
}

/// One rule.
pub(super) struct Rule {
    pub(super) reference: Arc<RuleRef>,
    pub(super) policy: Policy,
    pub(super) principal: Principals,
    pub(super) actions: Vec<Action>,
    pub(super) uses: Uses,
    /// The "JSON policy format".
    pub(super) json: serde_json::Value,
    /// What is wrong with its annotations.
    wrong: Vec<Wrong>,
    system: bool,
    source: Source,
    range: Range<usize>,
}

/// Whom the scope of a rule lets in.
pub(super) enum Principals {
    Anyone,
    Group(String),
    Agent(String),
}

/// The names of entity types, parsed once.
pub(super) struct Types {
    pub(super) action: EntityTypeName,
    pub(super) agent: EntityTypeName,
    pub(super) group: EntityTypeName,
    pub(super) database: EntityTypeName,
    pub(super) schema: EntityTypeName,
    pub(super) relation: EntityTypeName,
    pub(super) column: EntityTypeName,
    pub(super) function: EntityTypeName,
}

impl Types {
    fn new() -> Option<Self> {
        let name = |text: &str| EntityTypeName::from_str(text).ok();
        Some(Self {
            action: name("Action")?,
            agent: name("Agent")?,
            group: name("Group")?,
            database: name("Database")?,
            schema: name("Schema")?,
            relation: name("Relation")?,
            column: name("Column")?,
            function: name("Function")?,
        })
    }
}

/// Reads and checks the rules of a bundle; `None` if there were problems.
///
/// On a thread of its own with a deep stack: Cedar's parser and validator go down once for each operator of a chain, and abort
/// the process where the stack ends.
pub(crate) fn build(
    files: &[Source],
    schema_text: &str,
    vocabulary: &Vocabulary<'_>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Option<Engine> {
    let built = std::thread::scope(|scope| {
        let build = || build_here(files, schema_text, vocabulary, problems, warnings);
        let thread =
            std::thread::Builder::new().stack_size(depth::LOAD_STACK_BYTES).spawn_scoped(scope, build);
        thread.ok()?.join().ok()
    });
    if built.is_none() {
        problems
            .push(Problem::of("*.cedar", "the rules could not be read: no thread, or Cedar failed on them"));
    }
    built.flatten()
}

fn build_here(
    files: &[Source],
    schema_text: &str,
    vocabulary: &Vocabulary<'_>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Option<Engine> {
    let before = problems.len();
    let schema_source = Source { path: "gatepost.cedarschema".into(), text: schema_text.into() };
    let schema = match Schema::from_cedarschema_str(schema_text) {
        Ok((schema, _warnings)) => schema,
        Err(error) => {
            problems.push(diagnosed(&schema_source, &error, 0..0));
            return None;
        }
    };
    let mut rules = Vec::new();
    let system = Source { path: SYSTEM_FILE.into(), text: SYSTEM.into() };
    for source in std::iter::once(&system).chain(files) {
        read(source, &mut rules, problems);
    }
    name(&mut rules, problems);
    if problems.len() > before {
        return None;
    }
    let mut policies = PolicySet::new();
    for rule in &rules {
        if let Err(error) = policies.add(rule.policy.clone()) {
            problems.push(diagnosed(&rule.source, &error, rule.range.clone()));
        }
    }
    for rule in rules.iter().filter(|rule| !rule.system) {
        rule.lint(vocabulary, problems);
    }
    validate(&schema, &policies, &rules, problems, warnings);
    if problems.len() > before {
        return None;
    }
    let by_id = rules.iter().map(|rule| (rule.policy.id().clone(), Arc::clone(&rule.reference))).collect();
    let (Some(types), Ok(actions)) = (Types::new(), schema.action_entities()) else {
        problems.push(Problem::of("gatepost.cedarschema", "the schema has no valid names"));
        return None;
    };
    let actions = actions.iter().cloned().collect();
    let named_columns = named(&rules, &types.column);
    Some(Engine { actions, rules, by_id, types, named_columns, authorizer: Authorizer::new() })
}

/// Collects the entities of a type that rules name.
fn named(rules: &[Rule], kind: &EntityTypeName) -> HashSet<String> {
    let literals = rules.iter().flat_map(|rule| rule.policy.entity_literals());
    literals.filter(|uid| uid.type_name() == kind).map(|uid| uid.id().unescaped().to_owned()).collect()
}

/// Reads one file of rules.
fn read(source: &Source, rules: &mut Vec<Rule>, problems: &mut Vec<Problem>) {
    if let Err((at, message)) = depth::check(&source.text) {
        problems.push(Problem::at(source, at..at + 1, message));
        return;
    }
    let set = match PolicySet::from_str(&source.text) {
        Ok(set) => set,
        Err(errors) => {
            for error in errors.iter() {
                problems.push(diagnosed(source, error, 0..0));
            }
            return;
        }
    };
    for template in set.templates() {
        let range = template.as_ref().loc().map_or(0..0, |loc| loc.start()..loc.end());
        let message = "this rule is a template: nothing fills in its ?principal or ?resource";
        problems.push(Problem::at(source, range, message));
    }
    for policy in set.policies() {
        // the position is not in the public interface of `Policy`
        let range = policy.as_ref().loc().map_or(0..0, |loc| loc.start()..loc.end());
        match Rule::new(source, policy, range.clone()) {
            Ok(rule) => rules.push(rule),
            Err(error) => problems.push(Problem::at(source, range, error)),
        }
    }
    rules.sort_by(|a, b| {
        (!a.system, &a.source.path, a.range.start).cmp(&(!b.system, &b.source.path, b.range.start))
    });
}

impl Engine {
    /// Returns where a rule stands and its text, by its id.
    pub(crate) fn rule(&self, id: &str) -> Option<(&RuleRef, &str)> {
        let rule = self.rules.iter().find(|rule| rule.reference.id == id)?;
        Some((&rule.reference, rule.source.text.get(rule.range.clone()).unwrap_or_default()))
    }
}

impl Rule {
    fn new(source: &Source, policy: &Policy, range: Range<usize>) -> Result<Self, String> {
        let json = policy.to_json().map_err(|error| format!("the rule can't be analysed: {error}"))?;
        let line = source.text.get(..range.start).map_or(0, |before| before.matches('\n').count()) + 1;
        let uses = lint::uses(&json);
        let (terms, wrong) = approvers::terms(policy.annotations(), uses.approved_by);
        let id = match policy.annotation("id") {
            Some(id) => id.to_owned(),
            None => format!("{}:{line}", source.path),
        };
        let reference = RuleRef {
            id,
            file: source.path.to_string(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            forbid: policy.effect() == Effect::Forbid,
            terms: uses.approved_by.then_some(terms),
        };
        Ok(Self {
            reference: Arc::new(reference),
            principal: principals(&policy.principal_constraint()),
            actions: actions(&policy.action_constraint()),
            uses,
            wrong,
            json,
            policy: policy.clone(),
            system: &*source.path == SYSTEM_FILE,
            source: source.clone(),
            range,
        })
    }

    /// Returns whether a problem is within this rule.
    fn holds(&self, problem: &Problem) -> bool {
        let Some((path, line, column)) = problem.position() else { return false };
        let of = |at: usize| {
            Problem::at(&self.source, at..at, "").position().map(|(_, line, column)| (line, column))
        };
        *path == *self.source.path
            && of(self.range.start) <= Some((line, column))
            && Some((line, column)) <= of(self.range.end)
    }

    pub(super) fn system(&self) -> bool {
        self.system
    }

    fn lint(&self, vocabulary: &Vocabulary<'_>, problems: &mut Vec<Problem>) {
        for Wrong { key, message, help } in &self.wrong {
            let range = self.annotation(key);
            problems.push(Problem::at(&self.source, range, message.clone()).help(help.clone()));
        }
        for finding in lint::check(&self.json, &self.actions, vocabulary) {
            let range = self.find(&finding.text, finding.written);
            let problem = Problem::at(&self.source, range, finding.message);
            problems.push(if finding.help.is_empty() { problem } else { problem.help(finding.help) });
        }
    }

    /// Finds an annotation with its value.
    fn annotation(&self, key: &str) -> Range<usize> {
        let text = self.source.text.get(self.range.clone()).unwrap_or_default();
        let mut places = text.match_indices('@').filter_map(|(at, _)| {
            let after = text.get(at + 1..)?.trim_start().strip_prefix(key)?.trim_start();
            let end = if after.starts_with('(') {
                text.len() - after.len() + after.find(')')? + 1
            } else {
                return None;
            };
            Some(self.range.start + at..self.range.start + end)
        });
        places.next().unwrap_or_else(|| self.range.clone())
    }

    /// Finds what is written in the rule's text; if it can't be found, the rule as a whole.
    fn find(&self, what: &str, written: Written) -> Range<usize> {
        let text = self.source.text.get(self.range.clone()).unwrap_or_default();
        let candidates = match written {
            Written::String | Written::Entity => vec![crate::schema::quote(what), format!("{what:?}")],
            Written::Attribute => vec![format!("has {what}"), format!("has {}", crate::schema::quote(what))],
        };
        for candidate in candidates {
            let mut places = text.match_indices(&candidate).filter(|(at, _)| {
                let entity = text.get(..*at).is_some_and(|before| before.ends_with("::"));
                entity == (written == Written::Entity)
            });
            if let Some((at, _)) = places.next() {
                let start = self.range.start + at;
                return start..start + candidate.len();
            }
        }
        self.range.clone()
    }
}

/// Gives each rule its id, and refuses ids that are taken.
fn name(rules: &mut [Rule], problems: &mut Vec<Problem>) {
    let mut taken: HashMap<String, Arc<RuleRef>> = HashMap::new();
    for rule in rules {
        let annotated = rule.policy.annotation("id").is_some();
        let mut id = rule.reference.id.clone();
        if annotated {
            let good =
                !id.is_empty() && id.len() <= 128 && !id.chars().any(|c| c.is_control() || c.is_whitespace());
            if !good {
                let help = "1 to 128 bytes without space, such as @id(\"read-shop\")";
                problems.push(
                    Problem::at(
                        &rule.source,
                        rule.find(&id, Written::String),
                        "a rule's id must be one word",
                    )
                    .help(help),
                );
            }
            if !rule.system && id.starts_with(SYSTEM_PREFIX) {
                let message = format!("ids that begin with {SYSTEM_PREFIX:?} are the gateway's own");
                problems.push(Problem::at(&rule.source, rule.find(&id, Written::String), message));
            }
        } else {
            let mut nth = 1;
            while taken.contains_key(&id) {
                nth += 1;
                id = format!("{}#{nth}", rule.reference.id);
            }
            rule.reference = Arc::new(RuleRef { id: id.clone(), ..RuleRef::clone(&rule.reference) });
        }
        if let Some(other) = taken.get(&id) {
            let message = format!("rule id {id:?} is taken by the rule at {}:{}", other.file, other.line);
            problems.push(Problem::at(&rule.source, rule.find(&id, Written::String), message));
        }
        rule.policy = rule.policy.new_id(PolicyId::new(&id));
        taken.insert(id, Arc::clone(&rule.reference));
    }
}

/// Checks rules against the schema, strictly, and that they look no further than at principal, resource and context themselves.
fn validate(
    schema: &Schema,
    policies: &PolicySet,
    rules: &[Rule],
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    let validator = Validator::new(schema.clone());
    let result = validator.validate_with_level(policies, ValidationMode::Strict, 1);
    let rule = |id: &PolicyId| rules.iter().find(|rule| rule.policy.id() == id);
    for error in result.validation_errors() {
        match rule(error.policy_id()) {
            Some(rule) => problems.push(diagnosed(&rule.source, error, rule.range.clone())),
            None => problems.push(Problem::of("*.cedar", error.to_string())),
        }
    }
    for warning in result.validation_warnings() {
        let Some(rule) = rule(warning.policy_id()) else { continue };
        let problem = diagnosed(&rule.source, warning, rule.range.clone());
        match warning {
            // what else is wrong with a rule often makes it impossible too, and says more
            ValidationWarning::ImpossiblePolicy(_) if problems.iter().any(|told| rule.holds(told)) => {}
            ValidationWarning::ImpossiblePolicy(_) => problems.push(problem),
            _ => warnings.push(problem),
        }
    }
}

/// Turns Cedar's own report into ours, its words kept.
fn diagnosed(source: &Source, error: &(impl Diagnostic + ?Sized), otherwise: Range<usize>) -> Problem {
    let label = error.labels().and_then(|mut labels| labels.next());
    let range = label.as_ref().map_or(otherwise, |label| label.offset()..label.offset() + label.len());
    let mut message = error.to_string();
    if let Some(text) = label.as_ref().and_then(|label| label.label())
        && !message.contains(text)
    {
        message = format!("{message}: {text}");
    }
    let problem = Problem::at(source, range, message);
    match error.help() {
        Some(help) => problem.help(help.to_string()),
        None => problem,
    }
}

/// Reads whom a scope lets in; what it can't read lets anyone in, which only costs time.
fn principals(constraint: &PrincipalConstraint) -> Principals {
    match constraint {
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) | PrincipalConstraint::IsIn(_, uid) => {
            let id = uid.id().unescaped().to_owned();
            match uid.type_name().to_string().as_str() {
                "Group" => Principals::Group(id),
                "Agent" => Principals::Agent(id),
                _ => Principals::Anyone,
            }
        }
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => Principals::Anyone,
    }
}

/// Reads which actions a scope lets in; one that it doesn't know lets all in, which only costs time.
fn actions(constraint: &ActionConstraint) -> Vec<Action> {
    let named = |uid: &EntityUid| -> Vec<Action> {
        let word = uid.id().unescaped().to_owned();
        let group = ActionGroup::all().into_iter().find(|group| group.as_str() == word);
        match (Action::from_word(&word), group) {
            (Some(action), _) => vec![action],
            (None, Some(group)) => Action::all().filter(|action| action.group() == group).collect(),
            (None, None) => Action::all().collect(),
        }
    };
    match constraint {
        ActionConstraint::Any => Action::all().collect(),
        ActionConstraint::Eq(uid) => named(uid),
        ActionConstraint::In(uids) => uids.iter().flat_map(named).collect(),
    }
}

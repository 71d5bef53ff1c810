//! Finds mistakes in rules that their schema can't see: words and names that no entity has, and rules that miss their mark.
//!
//! SECURITY: a mistyped tag in an `unless` would permit what it was to keep back, and a mistyped name in a `forbid` would forbid
//! nothing; so these are errors. Knows rules in Cedar's JSON form (docs.cedarpolicy.com, "JSON policy format") as plain JSON,
//! not Cedar's crate.

use serde_json::Value;

use crate::action::Action;
use crate::functions::FunctionClass;
use crate::problem::nearest;
use crate::resource::{RelationKind, ResourceType, Volatility};
use crate::{path, schema};

/// What a bundle's rules may name.
pub(crate) struct Vocabulary<'a> {
    pub(crate) database: &'a str,
    pub(crate) tags: Vec<&'a str>,
    pub(crate) approvers: Vec<&'a str>,
    pub(crate) claims: Vec<&'a str>,
}

/// A mistake in a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The text to point at, as the rule means it (not as it is quoted there).
    pub(crate) text: String,
    pub(crate) written: Written,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// How the text of a finding is written in the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A string.
    String,
    /// An entity: `Type::"..."`.
    Entity,
    /// An attribute.
    Attribute,
}

/// Which facts of `context` a rule looks at; more than it does, if that can't be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    pub(crate) masked: bool,
    pub(crate) approved_by: bool,
    pub(crate) now: bool,
    pub(crate) statement: bool,
}

impl Uses {
    const ALL: Self = Self { masked: true, approved_by: true, now: true, statement: true };

    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            masked: self.masked || other.masked,
            approved_by: self.approved_by || other.approved_by,
            now: self.now || other.now,
            statement: self.statement || other.statement,
        }
    }
}

/// Tells which facts of `context` a rule looks at.
pub(crate) fn uses(rule: &Value) -> Uses {
    match rule {
        Value::Object(fields) => {
            if is_var(rule, "context") {
                // `context` itself, other than to take one fact from it
                return Uses::ALL;
            }
            let mut uses = Uses::default();
            for (key, value) in fields {
                uses = uses.and(match context_attribute(key, value) {
                    Some(attribute) => Uses {
                        masked: attribute == "masked",
                        approved_by: attribute == "approved_by",
                        now: attribute == "now",
                        statement: attribute == "statement",
                    },
                    None => self::uses(value),
                });
            }
            uses
        }
        Value::Array(items) => items.iter().map(uses).fold(Uses::default(), Uses::and),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Uses::default(),
    }
}

fn context_attribute<'v>(operator: &str, operands: &'v Value) -> Option<&'v str> {
    let taken = matches!(operator, "." | "has") && is_var(operands.get("left")?, "context");
    if taken { operands.get("attr")?.as_str() } else { None }
}

fn is_var(expression: &Value, name: &str) -> bool {
    expression.get("Var").and_then(Value::as_str) == Some(name)
}

/// Looks for mistakes in a rule whose scope has these actions.
pub(crate) fn check(rule: &Value, actions: &[Action], vocabulary: &Vocabulary<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    walk(rule, vocabulary, &mut findings);
    misses_what_is_inside(rule, actions, &mut findings);
    findings
}

fn walk(value: &Value, vocabulary: &Vocabulary<'_>, findings: &mut Vec<Finding>) {
    match value {
        Value::Object(fields) => {
            if let (Some(kind), Some(id)) = (value.get("type"), value.get("id"))
                && let (Some(kind), Some(id)) = (kind.as_str(), id.as_str())
            {
                findings.extend(misnamed(kind, id, vocabulary.database));
            }
            for (key, value) in fields {
                if key == "has" {
                    findings.extend(has_what_nothing_has(value, vocabulary));
                }
                if let (Some(left), Some(right)) = (value.get("left"), value.get("right"))
                    && matches!(key.as_str(), "==" | "!=" | "contains" | "containsAll" | "containsAny")
                {
                    compare(left, right, vocabulary, findings);
                    compare(right, left, vocabulary, findings);
                }
                walk(value, vocabulary, findings);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, vocabulary, findings)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Checks the literals that a fact is compared with, where only some words make sense.
fn compare(fact: &Value, with: &Value, vocabulary: &Vocabulary<'_>, findings: &mut Vec<Finding>) {
    let Some(access) = fact.get(".") else { return };
    let (Some(of), Some(attribute)) = (access.get("left"), access.get("attr").and_then(Value::as_str)) else {
        return;
    };
    let Some(path) = attribute_path(of) else { return };
    let resource = path == ["resource"];
    let session = path == ["context", "session"];
    let statement = path == ["context", "statement"];
    let (what, allowed, mend): (_, Vec<&str>, _) = match attribute {
        "approved_by" if path == ["context"] => (
            "approver group",
            vocabulary.approvers.clone(),
            "bundle.toml declares approver groups under [approvers]",
        ),
        "tags" if resource => ("tag", vocabulary.tags.clone(), "bundle.toml declares tags under [tags]"),
        "kind" if resource => {
            ("kind of relation", RelationKind::all().map(RelationKind::as_str).to_vec(), "")
        }
        "volatility" if resource => ("volatility", Volatility::all().map(Volatility::as_str).to_vec(), ""),
        "class" if resource => {
            ("class of function", FunctionClass::all().map(FunctionClass::as_str).to_vec(), "")
        }
        "method" if session => ("method", model::Method::ALL.map(model::Method::as_str).to_vec(), ""),
        "command" if statement => {
            for word in literals(with).into_iter().filter(|word| word.to_uppercase() != *word) {
                findings.push(Finding {
                    text: word.to_owned(),
                    written: Written::String,
                    message: format!("there is no command tag {word:?}"),
                    help: format!("command tags are upper case: {:?}", word.to_uppercase()),
                });
            }
            return;
        }
        _ => return,
    };
    for word in literals(with).into_iter().filter(|word| !allowed.contains(word)) {
        let help = match nearest(word, &allowed) {
            Some(near) => format!("did you mean {near:?}?"),
            None if allowed.is_empty() => mend.to_owned(),
            None => format!("one of: {}", allowed.join(", ")),
        };
        let message = format!("unknown {what} {word:?}");
        findings.push(Finding { text: word.to_owned(), written: Written::String, message, help });
    }
}

/// Checks an attribute that a rule asks for by `has`: if nothing can have it, the answer is always no.
///
/// SECURITY: Cedar takes `resource has tgas && ...` for plain false, without a word; in an `unless` that opens the rule.
fn has_what_nothing_has(operands: &Value, vocabulary: &Vocabulary<'_>) -> Option<Finding> {
    let (of, attribute) = (operands.get("left")?, operands.get("attr")?.as_str()?);
    let path = attribute_path(of)?;
    let allowed: Vec<&str> = match path.as_slice() {
        ["principal"] => schema::AGENT_ATTRIBUTES.to_vec(),
        ["principal", "claims"] => vocabulary.claims.clone(),
        ["resource"] => schema::RESOURCE_ATTRIBUTES.to_vec(),
        ["context"] => schema::CONTEXT_ATTRIBUTES.to_vec(),
        ["context", "statement"] => schema::STATEMENT_ATTRIBUTES.to_vec(),
        ["context", "session"] => schema::SESSION_ATTRIBUTES.to_vec(),
        _ => Vec::new(),
    };
    if allowed.contains(&attribute) {
        return None;
    }
    let of = path.join(".");
    let help = match nearest(attribute, &allowed) {
        Some(near) => format!("did you mean {near}?"),
        None if of == "principal.claims" => "bundle.toml declares claims: claims = [\"...\"]".to_owned(),
        None if allowed.is_empty() => format!("{of} has no attributes"),
        None => format!("{of} can have: {}", allowed.join(", ")),
    };
    let message = format!("{of} never has {attribute:?}");
    Some(Finding { text: attribute.to_owned(), written: Written::Attribute, message, help })
}

/// Reads `context.session` as its words; `None` for anything but a variable and attributes.
fn attribute_path(expression: &Value) -> Option<Vec<&str>> {
    if let Some(variable) = expression.get("Var") {
        return Some(vec![variable.as_str()?]);
    }
    let access = expression.get(".")?;
    let mut path = attribute_path(access.get("left")?)?;
    path.push(access.get("attr")?.as_str()?);
    Some(path)
}

fn literals(expression: &Value) -> Vec<&str> {
    match (expression.get("Value"), expression.get("Set")) {
        (Some(Value::String(text)), _) => vec![text],
        (Some(Value::Array(items)), _) => items.iter().filter_map(Value::as_str).collect(),
        (_, Some(Value::Array(items))) => items.iter().flat_map(literals).collect(),
        _ => Vec::new(),
    }
}

/// Checks the name of an entity: it must be one that a resource of this database can have.
fn misnamed(kind: &str, id: &str, database: &str) -> Option<Finding> {
    let finding = |problem: String, help: String| {
        let message = format!("{kind}::{} {problem}", crate::schema::quote(id));
        Some(Finding { text: id.to_owned(), written: Written::Entity, message, help })
    };
    if kind == "Agent" && !id.contains(':') {
        return finding("names no agent".to_owned(), "an agent is named by issuer:subject".to_owned());
    }
    let kind = ResourceType::all().into_iter().find(|known| known.as_str() == kind)?;
    let parts = match path::split_names(id) {
        Ok(parts) => parts,
        Err(error) => return finding(format!("is no name: {error}"), shape(kind, database)),
    };
    if parts.len() != kind.parts() {
        return finding(
            format!("has {} parts and needs {}", parts.len(), kind.parts()),
            shape(kind, database),
        );
    }
    if parts.first().is_none_or(|root| root != database) {
        return finding(
            format!("is not in database {database:?}, which this bundle is for"),
            shape(kind, database),
        );
    }
    None
}

fn shape(kind: ResourceType, database: &str) -> String {
    let rest = match kind {
        ResourceType::Database => "",
        ResourceType::Schema => ".schema",
        ResourceType::Relation => ".schema.relation",
        ResourceType::Column => ".schema.relation.column",
        ResourceType::Function => ".schema.function",
    };
    format!(
        "write {kind}::\"{}{rest}\"; a part that holds a dot is put in double quotes",
        path::join([database])
    )
}

/// Finds a `forbid` whose scope names a container by `==`: it would not forbid what is done to the things inside.
fn misses_what_is_inside(rule: &Value, actions: &[Action], findings: &mut Vec<Finding>) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let resource = rule.get("resource");
    let op = text(resource.and_then(|resource| resource.get("op")));
    if text(rule.get("effect")).as_deref() != Some("forbid") || op.as_deref() != Some("==") {
        return;
    }
    let entity = resource.and_then(|resource| resource.get("entity"));
    let entity = entity.map(|entity| entity.get("__entity").unwrap_or(entity));
    let (Some(kind), Some(id)) = (
        text(entity.and_then(|entity| entity.get("type"))),
        text(entity.and_then(|entity| entity.get("id"))),
    ) else {
        return;
    };
    let Some(kind) = ResourceType::all().into_iter().find(|known| known.as_str() == kind) else { return };
    let inside = |other: &ResourceType| match kind {
        ResourceType::Database => *other != ResourceType::Database,
        ResourceType::Schema => {
            matches!(other, ResourceType::Relation | ResourceType::Column | ResourceType::Function)
        }
        ResourceType::Relation => *other == ResourceType::Column,
        ResourceType::Column | ResourceType::Function => false,
    };
    if actions.iter().any(|action| action.applies_to().iter().any(inside)) {
        findings.push(Finding {
            text: id.clone(),
            written: Written::Entity,
            message: format!(
                "this forbids {kind}::{} itself, but not what is in it",
                crate::schema::quote(&id)
            ),
            help: format!("write resource in {kind}::{}", crate::schema::quote(&id)),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_facts_of_context_that_a_rule_uses_are_seen() {
        let masked = json!({".": {"left": {"Var": "context"}, "attr": "masked"}});
        assert_eq!(uses(&masked), Uses { masked: true, ..Uses::default() });
        let nested =
            json!({"&&": {"left": masked, "right": {"has": {"left": {"Var": "context"}, "attr": "now"}}}});
        assert_eq!(uses(&nested), Uses { masked: true, now: true, ..Uses::default() });
        let deep = json!([{".": {"left": {".": {"left": {"Var": "context"}, "attr": "statement"}}, "attr": "masked"}}]);
        assert_eq!(uses(&deep), Uses { statement: true, ..Uses::default() });
    }

    #[test]
    fn context_as_a_whole_is_taken_to_use_everything() {
        let whole = json!({"==": {"left": {"Var": "context"}, "right": {"Record": {}}}});
        assert_eq!(uses(&whole), Uses::ALL);
        assert_eq!(uses(&json!({"Var": "principal"})), Uses::default());
    }
}

//! Rules, tests and manifests as texts. Knows how they are written, not why they are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use policy::{Action, Resource};

use crate::suggest::{For, Kind, Need, Terms};

/// The file with the rules.
pub(crate) const RULES: &str = "suggested.cedar";
/// Characters of a statement that a comment shows.
const TEXT_CHARS_MAX: usize = 240;
/// Kinds of statements that a line's comment names.
const NAMED_MAX: usize = 12;

/// A manifest without tags and masks.
pub(crate) fn manifest() -> String {
    manifest_with(&BTreeSet::new())
}

/// A manifest whose approver groups are the groups of tokens of the same name.
pub(crate) fn manifest_with(approvers: &BTreeSet<&String>) -> String {
    let mut text = "name    = \"suggested\"\nversion = \"1\"\n".to_owned();
    if !approvers.is_empty() {
        text.push_str("\n# Named as they were in the bundle that asked for their approval: say which groups of tokens they are.\n[approvers]\n");
    }
    for group in approvers {
        let _ = writeln!(text, "{} = {{ group = {} }}", toml(group), toml(group));
    }
    text
}

fn principal(whom: &For) -> String {
    match whom {
        For::Identity(name) => format!("principal == Agent::{}", quoted(name)),
        For::Group(name) => format!("principal in Group::{}", quoted(name)),
    }
}

/// The rule that lets them in.
pub(crate) fn connect(whom: &For, database: &str) -> String {
    let principal = principal(whom);
    let database = quoted(&Resource::Database.path(database));
    format!(
        "@id(\"connect\")\npermit ({principal}, action == Action::\"connect\", resource == Database::{database});\n"
    )
}

/// What one rule permits: the same actions on the same terms, on one thing or on columns of one relation.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Scope {
    /// The path, of columns that of their relation.
    of: String,
    resource_type: policy::ResourceType,
    terms: Terms,
    columns: Columns,
    kinds: BTreeSet<usize>,
}

/// The rules, with what needs each line.
pub(crate) fn rules(whom: &For, database: &str, needs: &[Need], kinds: &[Kind]) -> String {
    let mut text =
        format!("// What the statements of {} needed, and nothing else.\n//\n", plain(&whom.to_string()));
    for (index, kind) in kinds.iter().enumerate() {
        let Kind { text: shown, command, statements, last } = kind;
        let shown = shown.as_deref().map_or_else(|| format!("{command} (its text can't be shown)"), plain);
        let times = if *statements == 1 { "once".to_owned() } else { format!("{statements} times") };
        let _ = writeln!(text, "// s{}: {times}, last in record {last}: {shown}", index + 1);
    }
    let _ = write!(
        text,
        "\n// They may connect; what a session needs beside that comes with it.\n{}",
        connect(whom, database)
    );
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    for (scope, actions) in scopes(database, needs) {
        let words: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
        let name = format!("{}-{}", words.join("-"), scope.of);
        let count = names.entry(name.clone()).or_default();
        *count += 1;
        let id = if *count == 1 { name } else { format!("{name}-{count}") };
        rule(&mut text, whom, &id, &actions, &scope);
    }
    text
}

/// Paths of columns, each with the kinds of statements that need it.
type Columns = Vec<(String, BTreeSet<usize>)>;

/// Puts needs together that one rule can permit.
fn scopes(database: &str, needs: &[Need]) -> Vec<(Scope, BTreeSet<Action>)> {
    type Of = (String, policy::ResourceType, Terms, Action);
    let mut by_action: BTreeMap<Of, (Columns, BTreeSet<usize>)> = BTreeMap::new();
    for Need { action, resource, terms, kinds } in needs {
        let path = resource.path(database);
        let of = match resource {
            Resource::Column { relation, .. } => {
                policy::path::join([database, &relation.schema, &relation.name])
            }
            _ => path.clone(),
        };
        let key = (of, resource.resource_type(), terms.clone(), *action);
        let (columns, all) = by_action.entry(key).or_default();
        if matches!(resource, Resource::Column { .. }) {
            columns.push((path, kinds.clone()));
        }
        all.extend(kinds);
    }
    let mut scopes: BTreeMap<Scope, BTreeSet<Action>> = BTreeMap::new();
    for ((of, resource_type, terms, action), (columns, kinds)) in by_action {
        scopes.entry(Scope { of, resource_type, terms, columns, kinds }).or_default().insert(action);
    }
    scopes.into_iter().collect()
}

fn rule(text: &mut String, whom: &For, id: &str, actions: &BTreeSet<Action>, scope: &Scope) {
    let Scope { of, resource_type, terms, columns, kinds } = scope;
    let words: Vec<String> = actions.iter().map(|action| format!("Action::\"{action}\"")).collect();
    let action = match words.as_slice() {
        [one] => format!("action == {one}"),
        several => format!("action in [{}]", several.join(", ")),
    };
    let single = match columns.as_slice() {
        [(path, _)] => format!("resource == Column::{}", quoted(path)),
        [] => format!("resource == {resource_type}::{}", quoted(of)),
        _ => format!("resource is Column in Relation::{}", quoted(of)),
    };
    let _ = write!(
        text,
        "\n// {}\n@id({})\npermit ({}, {action}, {single})",
        named(kinds),
        quoted(id),
        principal(whom)
    );
    if columns.len() > 1 {
        text.push_str("\nwhen {\n    [\n");
        for (index, (path, kinds)) in columns.iter().enumerate() {
            let comma = if index + 1 < columns.len() { "," } else { "" };
            let _ = writeln!(text, "        Column::{}{comma} // {}", quoted(path), named(kinds));
        }
        text.push_str("    ].contains(resource)\n}");
    }
    let mut conditions = Vec::new();
    if terms.masked {
        conditions.push("context.masked".to_owned());
    }
    if terms.has_where {
        conditions.push("context.statement.has_where".to_owned());
    }
    let approved = |group: &String| format!("context.approved_by.contains({})", quoted(group));
    conditions.extend(terms.approved_by.iter().map(approved));
    if !conditions.is_empty() {
        let _ = write!(text, "\nwhen {{ {} }}", conditions.join(" && "));
    }
    text.push_str(";\n");
}

fn named(kinds: &BTreeSet<usize>) -> String {
    let mut names: Vec<String> =
        kinds.iter().take(NAMED_MAX).map(|index| format!("s{}", index + 1)).collect();
    if let Some(more) = kinds.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        names.push(format!("and {more} more"));
    }
    names.join(" ")
}

/// Tests of what is permitted on tables by name.
pub(crate) fn tests(whom: &For, needs: &[Need]) -> String {
    let mut text = String::new();
    for Need { action, resource, terms, kinds: _ } in needs {
        let (name, kind, temporary, tags) = match resource {
            Resource::Relation { name, facts } => (
                policy::path::join([name.schema.as_str(), &name.name]),
                facts.kind(),
                facts.temporary(),
                &[][..],
            ),
            Resource::Column { relation, column, tags, facts } => (
                policy::path::join([relation.schema.as_str(), &relation.name, column]),
                facts.kind(),
                facts.temporary(),
                tags.as_slice(),
            ),
            Resource::Database | Resource::Schema { .. } | Resource::Function { .. } => continue,
        };
        let expect = match (terms.approved_by.is_empty(), terms.masked) {
            (false, _) => "hold",
            (true, true) => "mask",
            (true, false) => "allow",
        };
        let who = match whom {
            For::Identity(name) => format!("as       = {}", toml(name)),
            For::Group(name) => format!("groups   = [{}]", toml(name)),
        };
        let _ = write!(
            text,
            "[[test]]\nname     = {}\n{who}\naction   = \"{action}\"\nresource = {}\nkind     = \"{}\"\n",
            toml(&format!("{action} on {name}")),
            toml(&name),
            kind.as_str()
        );
        if temporary {
            text.push_str("temporary = true\n");
        }
        if !tags.is_empty() {
            let tags: Vec<String> = tags.iter().map(|tag| toml(tag)).collect();
            let _ = writeln!(text, "tags     = [{}]", tags.join(", "));
        }
        let _ = write!(text, "expect   = \"{expect}\"\n\n");
    }
    text
}

/// A string of Cedar's.
fn quoted(text: &str) -> String {
    string(text, |c| format!("\\u{{{:x}}}", u32::from(c)))
}

/// A string of TOML's.
fn toml(text: &str) -> String {
    string(text, |c| format!("\\U{:08X}", u32::from(c)))
}

fn string(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if harmless(c) => out.push(c),
            c => out.push_str(&escape(c)),
        }
    }
    out.push('"');
    out
}

/// Whether a reader sees it as what it is, on its line.
fn harmless(c: char) -> bool {
    c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric()
}

/// Fit for a comment: one line, nothing that deceives a reader.
fn plain(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(TEXT_CHARS_MAX)
        .flat_map(|c| {
            let escaped = (!harmless(c)).then(|| c.escape_unicode());
            let kept = harmless(c).then_some(c);
            kept.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect();
    if text.chars().nth(TEXT_CHARS_MAX).is_some() {
        out.push_str(" ...");
    }
    out
}

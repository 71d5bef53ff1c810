//! What a statement touches, by name, as policy asks it: made from the server's answers and the catalog.
//!
//! Knows `querytree`, `sql` and `policy`'s words; decides nothing.

mod answers;
mod build;
mod calls;
mod facts;
mod lineage;
mod results;
mod total;
mod utility;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use model::{Oid, QualifiedName};
use policy::{Action, RelationKind, Resource, Touch};
use sql::{Command, CopyFormat, CopySource, Effect};
use wire::error::ErrorFields;

pub(crate) use answers::{Answers, names_query, reach_query};
pub(crate) use build::{Built, build};
pub(crate) use facts::{Kind, Lookup, Missing, function_facts, relation_facts};
pub(crate) use lineage::Ancestry;
pub(crate) use utility::resolved;

use crate::catalog::{ColumnName, Relation};
use crate::refuse::Refusal;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputColumn {
    /// The type that the value has on the wire; 0 where the tree doesn't say.
    pub(crate) type_oid: Oid,
    pub(crate) typmod: i32,
    /// Touches (by index) of columns that the value depends on, and whether it is the very value.
    pub(crate) sources: Vec<(usize, bool)>,
    /// What RowDescription may name as its origin.
    pub(crate) origins: Vec<(Oid, i16)>,
}

/// A relation whose values the server may quote in errors and notices of a statement, named in it or not: rows that it
/// writes, and what views and policies in it read.
#[derive(Clone, Debug)]
pub(crate) struct Quotable {
    pub(crate) relation: Arc<Relation>,
    /// Whose tags its columns carry as well.
    pub(crate) others: Vec<(i16, ColumnName)>,
    /// `None`: whole rows, as a failing constraint's DETAIL and a trigger's `NEW` have them.
    pub(crate) columns: Option<Vec<i16>>,
}

/// What a statement returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Results {
    /// No rows of data; or rows that the gateway knows to hold none (EXPLAIN, SHOW).
    None,
    /// These columns.
    Columns(Vec<OutputColumn>),
    /// Whatever it is, it can't be known beforehand.
    Unknown,
}

/// Everything that is asked of policy about one statement, and what its execution changes.
#[derive(Clone, Debug)]
pub(crate) struct Analysis {
    /// `None`: an empty statement.
    pub(crate) command: Option<Command>,
    pub(crate) effect: Effect,
    pub(crate) touches: Vec<Touch>,
    /// Parallel to `touches`: the base columns whose tags a view's column inherits.
    pub(crate) inherits: Vec<Vec<(QualifiedName, String)>>,
    /// Columns that are used without being returned: whether their values may be seen decides whether errors may quote them.
    pub(crate) seen: Vec<(Touch, Vec<(QualifiedName, String)>)>,
    /// Beside them, what errors and notices may quote that the statement doesn't name.
    pub(crate) quotable: Vec<Quotable>,
    /// What its tree and names lead to, by `pg_class.oid` and `pg_proc.oid`; what came with the server isn't listed.
    pub(crate) objects: BTreeSet<Oid>,
    pub(crate) results: Results,
    /// Columns (by touch) whose value is computed with on its way to the result, if there is one or not.
    pub(crate) computed: Vec<usize>,
    /// Something in it can fail, or take its time, depending on the values that it computes with.
    pub(crate) computes_in_the_open: bool,
    /// A function is called that may keep or send what it is given.
    pub(crate) tells_elsewhere: bool,
    /// What it returns is a plan.
    pub(crate) plans: bool,
    /// Nothing but reading: no change, no lock, no function that could do either.
    pub(crate) reads_only: bool,
    /// Names may have another meaning after it.
    pub(crate) unsettles: bool,
    /// Objects that other sessions see are made, changed or dropped.
    pub(crate) defines: bool,
    /// It may give a role by its name something that others don't have.
    pub(crate) names_roles: bool,
    pub(crate) has_where: bool,
    pub(crate) row_locks: bool,
    /// The text with literals blanked is not a sound memo key.
    pub(crate) depends_on_literals: bool,
    /// What it means depends on prepared statements or cursors of the session.
    pub(crate) session_bound: bool,
    /// Types of `$n` as the server has resolved them, ordered by n; of those in its query only.
    pub(crate) parameter_types: Vec<(u32, Oid)>,
    /// What it prepares or declares.
    pub(crate) inner: Option<Arc<Analysis>>,
    /// Why it is not known what it touches.
    pub(crate) unknown: Option<Refusal>,
    /// Byte ranges of the text that hold secrets; only for statements that have them, which are not remembered.
    pub(crate) secrets: Vec<std::ops::Range<usize>>,
    pub(crate) asked: Instant,
    pub(crate) epoch: u64,
}

impl Analysis {
    fn bare(command: Option<Command>, now: Instant) -> Self {
        Self {
            command,
            effect: Effect::None,
            // Every statement touches at least the database.
            touches: vec![Touch { action: Action::Connect, resource: Resource::Database }],
            inherits: vec![Vec::new()],
            seen: Vec::new(),
            quotable: Vec::new(),
            objects: BTreeSet::new(),
            results: Results::None,
            computed: Vec::new(),
            computes_in_the_open: false,
            tells_elsewhere: false,
            plans: false,
            reads_only: true,
            unsettles: false,
            defines: false,
            names_roles: false,
            has_where: true,
            row_locks: false,
            depends_on_literals: false,
            session_bound: false,
            parameter_types: Vec::new(),
            inner: None,
            unknown: None,
            secrets: Vec::new(),
            asked: now,
            epoch: 0,
        }
    }

    /// An empty statement, which the server answers with EmptyQueryResponse.
    pub(crate) fn empty(now: Instant) -> Self {
        Self { session_bound: true, ..Self::bare(None, now) }
    }

    /// A statement of which it is not known what it touches.
    pub(crate) fn unknown(command: Option<Command>, why: &Refusal, now: Instant) -> Self {
        Self {
            results: Results::Unknown,
            reads_only: false,
            unsettles: true,
            defines: true,
            names_roles: true,
            session_bound: true,
            unknown: Some(why.clone()),
            ..Self::bare(command, now)
        }
    }

    /// FETCH from a cursor that one of these functions must have opened.
    pub(crate) fn of_a_function(openers: &[Touch], moves: bool, now: Instant) -> Self {
        let mut analysis = Self::bare(Some(if moves { Command::Move } else { Command::Fetch }), now);
        for touch in openers {
            analysis.touches.push(touch.clone());
            analysis.inherits.push(Vec::new());
        }
        let results = if moves { Results::None } else { Results::Unknown };
        // The cursor's query may call what changes something.
        Self { results, reads_only: false, session_bound: true, ..analysis }
    }

    /// What of it may open a cursor that no statement shows.
    pub(crate) fn openers(&self) -> impl Iterator<Item = &Touch> {
        self.touches.iter().filter(|touch| match &touch.resource {
            Resource::Function { facts, .. } => touch.action == Action::Execute && !facts.builtin(),
            _ => touch.action == Action::Do,
        })
    }

    /// Whether what it does is in definitions that it doesn't show: of functions that somebody made, of views, in a DO.
    pub(crate) fn has_bodies(&self) -> bool {
        let view = |kind| matches!(kind, RelationKind::View | RelationKind::MaterializedView);
        self.openers().next().is_some()
            || self.touches.iter().any(|touch| match &touch.resource {
                Resource::Relation { facts, .. } | Resource::Column { facts, .. } => {
                    view(facts.kind()) && !facts.system()
                }
                Resource::Database | Resource::Schema { .. } | Resource::Function { .. } => false,
            })
    }

    /// Says when, and in which epoch of the catalog, the server was asked.
    pub(crate) fn learnt(&mut self, asked: Instant, epoch: u64) {
        self.asked = asked;
        self.epoch = epoch;
        if let Some(inner) = &self.inner {
            self.inner = Some(Arc::new(Self { asked, epoch, ..Self::clone(inner) }));
        }
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let column = |relation: &QualifiedName, column: &String| {
            relation.schema.len() + relation.name.len() + column.len() + size_of::<(QualifiedName, String)>()
        };
        let touch = |touch: &Touch| {
            let names = match &touch.resource {
                Resource::Database => 0,
                Resource::Schema { name } => name.len(),
                Resource::Relation { name, .. } | Resource::Function { name, .. } => {
                    name.schema.len() + name.name.len()
                }
                Resource::Column { relation, column: name, tags, .. } => {
                    column(relation, name)
                        + tags.iter().map(|tag| tag.len() + size_of::<String>()).sum::<usize>()
                }
            };
            size_of::<Touch>() + names
        };
        let inherited = |columns: &Vec<(QualifiedName, String)>| {
            size_of::<Vec<()>>() + columns.iter().map(|(r, c)| column(r, c)).sum::<usize>()
        };
        let results = match &self.results {
            Results::Columns(columns) => columns
                .iter()
                .map(|column| {
                    size_of::<OutputColumn>()
                        + column.sources.len() * size_of::<(usize, bool)>()
                        + column.origins.len() * size_of::<(Oid, i16)>()
                })
                .sum(),
            Results::None | Results::Unknown => 0,
        };
        size_of::<Self>()
            + self.touches.iter().map(touch).sum::<usize>()
            + self.inherits.iter().map(inherited).sum::<usize>()
            + self.seen.iter().map(|(seen, columns)| touch(seen) + inherited(columns)).sum::<usize>()
            + self.computed.len() * size_of::<usize>()
            + self.objects.len() * size_of::<Oid>()
            + size_of_val(self.parameter_types.as_slice())
            + self.inner.as_ref().map_or(0, |inner| inner.bytes())
            + results
    }

    /// Returns the word that audit and policy use for the kind of statement.
    pub(crate) fn kind(&self) -> &'static str {
        self.command.map_or("", Command::tag)
    }

    /// Nothing but the session and its transaction: there is no name in it to mean something else.
    pub(crate) fn touches_nothing(&self) -> bool {
        self.touches.iter().all(|touch| touch.resource == Resource::Database)
    }

    pub(crate) fn copies(&self) -> bool {
        self.copies_in() || self.copies_out().is_some()
    }

    pub(crate) fn copies_in(&self) -> bool {
        matches!(&self.effect, Effect::CopyIn(CopyFormat { source: CopySource::Client, .. }))
    }

    pub(crate) fn copies_out(&self) -> Option<&CopyFormat> {
        match &self.effect {
            Effect::CopyOut(format @ CopyFormat { source: CopySource::Client, .. }) => Some(format),
            _ => None,
        }
    }

    /// Columns (by touch) whose value reaches the result by way of a computation that could tell of it.
    pub(crate) fn told_columns(&self) -> Vec<usize> {
        if self.computes_in_the_open { self.computed.clone() } else { Vec::new() }
    }

    /// Two analyses that a prepared statement may have without being another statement.
    pub(crate) fn means_the_same_as(&self, other: &Self) -> bool {
        self.touches == other.touches
            && self.inherits == other.inherits
            && self.seen == other.seen
            && self.results == other.results
            && self.unknown == other.unknown
    }

    /// Whether it touches nothing that the other doesn't, and returns the same: of EXECUTE when it is bound and when it is executed.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.touches.iter().all(|touch| other.touches.contains(touch))
            && self.objects.is_subset(&other.objects)
            && self.results == other.results
    }

    /// Whether the result has another number or other types of columns.
    pub(crate) fn returns_other_columns_than(&self, other: &Self) -> bool {
        let types = |results: &Results| match results {
            Results::Columns(columns) => columns.iter().map(|column| column.type_oid).collect(),
            Results::None | Results::Unknown => Vec::new(),
        };
        types(&self.results) != types(&other.results)
    }

    /// Whether it writes, or works on, rows of a relation.
    pub(crate) fn writes_rows(&self) -> bool {
        self.quotable.iter().any(|quotable| quotable.columns.is_none())
    }

    /// Whether it writes rows of the relation that an error names.
    pub(crate) fn writes(&self, schema: &[u8], name: &[u8]) -> bool {
        let is = |relation: &Relation| {
            relation.name.name.as_bytes() == name
                && (relation.name.schema.as_bytes() == schema
                    || relation.temporary && schema.starts_with(b"pg_temp"))
        };
        self.quotable.iter().any(|quotable| quotable.columns.is_none() && is(&quotable.relation))
    }

    /// What EXECUTE of it means.
    pub(crate) fn as_executed(&self) -> Arc<Self> {
        Arc::new(Self { command: Some(Command::Execute), session_bound: true, ..self.clone() })
    }

    /// What EXPLAIN EXECUTE of it means: its plan is returned, not its rows.
    pub(crate) fn as_explained(&self, analyze: bool) -> Arc<Self> {
        Arc::new(Self {
            command: Some(Command::Explain),
            results: Results::None,
            plans: true,
            reads_only: self.reads_only || !analyze,
            session_bound: true,
            ..if analyze { self.as_measured() } else { self.clone() }
        })
    }

    /// The same, with memory, disk and rows of each step told: that is all of what it returns, in other words.
    fn as_measured(&self) -> Self {
        let Results::Columns(columns) = &self.results else { return self.clone() };
        let mut computed = self.computed.clone();
        computed.extend(columns.iter().flat_map(|column| &column.sources).map(|(at, _)| *at));
        computed.sort_unstable();
        computed.dedup();
        Self { computed, computes_in_the_open: true, ..self.clone() }
    }

    /// What CREATE TABLE AS EXECUTE of it means: what it returns is kept in the clear.
    pub(crate) fn as_copied(&self) -> Arc<Self> {
        let mut copied = Self {
            command: Some(Command::CreateTableAs),
            results: Results::None,
            reads_only: false,
            unsettles: true,
            defines: true,
            session_bound: true,
            ..self.clone()
        };
        for touch in &mut copied.touches {
            if touch.action == Action::Select {
                touch.action = Action::Copy;
            }
        }
        Arc::new(copied)
    }

    /// What FETCH from a cursor over it means.
    pub(crate) fn as_fetched(&self, moves: bool) -> Arc<Self> {
        let results = if moves { Results::None } else { self.results.clone() };
        Arc::new(Self {
            command: Some(if moves { Command::Move } else { Command::Fetch }),
            effect: Effect::None,
            results,
            session_bound: true,
            ..self.clone()
        })
    }

    /// Names a column's relation for messages.
    pub(crate) fn describe(touch: &Touch) -> String {
        let action = touch.action.as_str();
        match &touch.resource {
            Resource::Database => format!("{action} on the database"),
            Resource::Schema { name } => format!("{action} on schema {name}"),
            Resource::Relation { name, .. } => format!("{action} on relation {name}"),
            Resource::Column { relation, column, .. } => format!("{action} on column {relation}.{column}"),
            Resource::Function { name, .. } => format!("{action} on function {name}"),
        }
    }
}

/// Returns the tree that a notice holds, if it is the server's LOG of a rewritten tree (`pg_rewrite_query`, postgres.c).
pub(crate) fn tree_of(fields: &ErrorFields) -> Option<String> {
    if fields.get(b'V') != Some(b"LOG") || fields.message() != Some(b"rewritten parse tree:") {
        return None;
    }
    // Text that isn't UTF-8 is kept from looking like a tree.
    fields.get(b'D').and_then(|tree| String::from_utf8(tree.to_vec()).ok())
}

/// Names that mean one thing to policy whatever the session: used for what a statement makes.
fn new_schema(schema: Option<&str>, temporary: bool, creation: Option<&str>) -> Option<String> {
    if temporary {
        return Some("pg_temp".to_owned());
    }
    schema.or(creation).map(str::to_owned)
}

/// A qualified name.
fn qualified(schema: &str, name: &str) -> QualifiedName {
    QualifiedName { schema: schema.to_owned(), name: name.to_owned() }
}

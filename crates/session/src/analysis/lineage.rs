//! Whose tags a column carries: those of what it was called before, of what it is a partition's, a child's, a generated or a
//! materialized column of.
//!
//! What a view's columns are made of is in the statement's own tree; only under materialized views are stored trees read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use model::{Oid, QualifiedName};
use querytree::{Output, ServerVersion};

use super::Analysis;
use super::build::{Builder, Stop};
use super::facts::{Kind, Lookup, Missing};
use crate::catalog::{ColumnName, Relation};
use crate::refuse::Refusal;

/// The columns whose tags a column carries besides its own, by name, and whether its value is another than theirs.
#[derive(Default)]
pub(super) struct Lineage {
    pub(super) names: Vec<ColumnName>,
    pub(super) computed: bool,
}

/// A column on the way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    relation: Oid,
    column: i16,
    /// Reached by a stored tree, in which views are not expanded.
    stored: bool,
}

impl Builder<'_> {
    /// Follows a column to all that it is made of. `sources` are those that the statement's tree names, because it is a view's.
    pub(super) fn lineage(
        &mut self,
        oid: Oid,
        number: i16,
        sources: &[querytree::Source],
    ) -> Result<Lineage, Stop> {
        let mut next = vec![Step { relation: oid, column: number, stored: false }];
        next.extend(sources.iter().map(|source| Step {
            relation: source.relation,
            column: source.column,
            stored: false,
        }));
        let computed = sources.iter().any(|source| !source.bare);
        self.follow((oid, number), next, computed)
    }

    fn follow(
        &mut self,
        (oid, number): (Oid, i16),
        mut next: Vec<Step>,
        computed: bool,
    ) -> Result<Lineage, Stop> {
        let mut lineage = Lineage { names: Vec::new(), computed };
        let mut seen = BTreeSet::new();
        while let Some(step) = next.pop() {
            if !seen.insert(step) {
                continue;
            }
            let Some(relation) = self.relation(step.relation) else { continue };
            if step.column == 0 {
                next.extend(relation.columns.iter().map(|c| Step { column: c.number, ..step }));
                continue;
            }
            let Some(name) = relation.column_name(step.column) else {
                // Younger than what is known.
                self.missing.0.insert((Kind::Relation, step.relation));
                continue;
            };
            let called = (relation.name.clone(), name.to_owned());
            lineage.names.extend(self.lookup.other_names(step.relation, step.column, (&called.0, name)));
            if (step.relation, step.column) != (oid, number) {
                lineage.names.push(called);
            }
            if step.column > 0 {
                self.above(step, &relation, name, &mut next);
                lineage.computed |= below(step, &relation, &mut next);
                lineage.computed |= self.stored(step, &relation, &mut next)?;
            }
        }
        let mut known: BTreeSet<(QualifiedName, String)> = BTreeSet::new();
        lineage.names.retain(|name| known.insert(name.clone()));
        Ok(lineage)
    }

    /// The columns of that name in what the relation is a partition or a child of.
    fn above(&mut self, step: Step, relation: &Relation, name: &str, next: &mut Vec<Step>) {
        for oid in &relation.parents {
            let Some(parent) = self.relation(*oid) else { continue };
            let column = parent.columns.iter().find(|column| *column.name == *name);
            next.extend(column.map(|c| Step { relation: *oid, column: c.number, stored: step.stored }));
        }
    }

    /// What a materialized view's column, or under one a view's, is made of; whether it is computed.
    fn stored(&mut self, step: Step, relation: &Relation, next: &mut Vec<Step>) -> Result<bool, Stop> {
        let wanted = match relation.kind {
            b'm' => true,
            // Views of the server's own have no tags of a bundle's under them.
            b'v' => step.stored && !step.relation.is_builtin(),
            _ => false,
        };
        if !wanted {
            return Ok(false);
        }
        // SECURITY: what a column is made of must be known, or the statement is refused.
        let unreadable =
            |why: String| Refusal::NotUnderstood(format!("the definition of {}: {why}", relation.name));
        let outputs = match self.outputs.get(&step.relation) {
            Some(outputs) => outputs.clone(),
            None => {
                let Some(tree) = self.lookup.definition(step.relation).cloned() else {
                    self.missing.0.insert((Kind::Definition, step.relation));
                    return Ok(false);
                };
                let access = querytree::read(&tree, self.version)
                    .map_err(|unknown| unreadable(unknown.to_string()))?;
                let outputs: Arc<[Output]> = access.output.into();
                self.outputs.insert(step.relation, outputs.clone());
                outputs
            }
        };
        let at = relation.columns.iter().position(|column| column.number == step.column);
        let output = at.and_then(|at| outputs.get(at));
        let Some(output) = output.filter(|_| outputs.len() == relation.columns.len()) else {
            return Err(unreadable("it has other columns".to_owned()).into());
        };
        next.extend(output.sources.iter().map(|source| Step {
            relation: source.relation,
            column: source.column,
            stored: true,
        }));
        Ok(output.sources.iter().any(|source| !source.bare))
    }
}

/// Follows columns by what is stored of views, outside any statement.
pub(crate) struct Ancestry<'a> {
    builder: Builder<'a>,
}

impl<'a> Ancestry<'a> {
    /// `asked` are routines whose names were asked about: none.
    pub(crate) fn new(
        lookup: &'a Lookup<'a>,
        version: ServerVersion,
        asked: &'a BTreeSet<String>,
        now: Instant,
    ) -> Self {
        Self { builder: Builder::new(lookup, version, asked, Analysis::bare(None, now)) }
    }

    /// Returns the columns whose tags a column carries besides its own; `None` if not all can be told.
    pub(crate) fn of(&mut self, oid: Oid, number: i16) -> Option<Vec<ColumnName>> {
        self.builder.missing = Missing::default();
        let first = vec![Step { relation: oid, column: number, stored: true }];
        let lineage = self.builder.follow((oid, number), first, false).ok()?;
        self.builder.missing.is_empty().then_some(lineage.names)
    }
}

/// What a generated column is made of; whether it is one.
fn below(step: Step, relation: &Relation, next: &mut Vec<Step>) -> bool {
    let Some((_, sources)) = relation.generated.iter().find(|(number, _)| *number == step.column) else {
        return false;
    };
    next.extend(sources.iter().map(|column| Step { column: *column, ..step }));
    true
}

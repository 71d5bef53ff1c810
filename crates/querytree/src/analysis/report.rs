//! The sum of it all.

use std::collections::{BTreeMap, BTreeSet};

use model::Oid;

use super::{Analysis, Facts, note_place};
use crate::Unknown;
use crate::access::{Access, Command, Origin, Output, Relation, Rights, Source, Unnamed, Ways};
use crate::flow::{Cell, CellId, EntryId, Passage, QueryId, Reached};
use crate::scope::{Entry, Kind, Permissions};

type Relations = BTreeMap<(Oid, Rights), Relation>;
type ColumnWays = BTreeMap<(EntryId, i16), Ways>;

impl Analysis<'_> {
    /// Sums up what was found. Every cell is settled.
    pub(super) fn report(mut self) -> Result<Access, Unknown> {
        let commands: Vec<_> = self.queries.iter().map(|query| query.command).collect();
        let notifies = commands.contains(&Command::Utility);
        let commands = commands.into_iter().filter(|command| *command != Command::Utility);
        let counts = |query: &&crate::scope::Query<'_>| {
            query.command != Command::Utility && (query.parent.is_none() || query.command != Command::Select)
        };
        let every = self.queries.iter().filter(counts).map(|query| query.command).collect();
        let command = match commands.max() {
            Some(command) => command,
            None if self.queries.is_empty() => Command::Nothing,
            None => Command::Utility,
        };
        let (output, side_outputs) = self.outputs()?;
        let view_columns = self.view_columns()?;
        let mut ways = self.ways()?;
        self.apply_floor(&mut ways)?;
        let relations = self.relations(&ways)?;
        let Facts {
            functions,
            operators,
            casts_via_io,
            domains,
            compared_types,
            sequences,
            current_of,
            reg_constants,
            parameters,
            parameter_types,
            row_locks,
            modifies_in_cte,
            has_sublinks,
            has_limit,
            writes_unconditionally,
        } = self.facts;
        Ok(Access {
            command,
            commands: every,
            relations: relations.into_values().collect(),
            functions,
            operators,
            casts_via_io,
            domains,
            compared_types,
            sequences,
            output,
            side_outputs,
            view_columns,
            notifies,
            has_where: !writes_unconditionally,
            row_locks,
            modifies_in_cte,
            has_sublinks,
            has_limit,
            parameters,
            parameter_types,
            current_of,
            reg_constants,
        })
    }

    /// Returns the columns of the result that the client is told of, and those of any further result.
    fn outputs(&mut self) -> Result<(Vec<Output>, Vec<Vec<Output>>), Unknown> {
        let mut told = Vec::new();
        let mut further = Vec::new();
        for query in self.top_queries() {
            let mut columns = Vec::new();
            for target in self.results_of(query)? {
                if target.is("resjunk")? {
                    continue;
                }
                let cell = self.flow.cell(Cell::Target { query, column: target.small("resno")? });
                let expression = target.the("expr")?;
                columns.push(Output {
                    name: target.name("resname")?.unwrap_or_default(),
                    type_oid: self.type_of(expression)?,
                    typmod: self.typmod_of(expression)?,
                    sources: self.sources(cell)?,
                });
            }
            let node = self.query(query)?.node;
            if !node.is("canSetTag")? {
                if !columns.is_empty() {
                    further.push(columns);
                }
            } else if told.is_empty() {
                told = columns;
            } else {
                return Err(node.unknown("a second query that sets the tag".to_owned()));
            }
        }
        Ok((told, further))
    }

    /// Returns the queries that are nobody's part, utility statements of rules excepted.
    fn top_queries(&self) -> Vec<QueryId> {
        let top = |(number, query): (usize, &crate::scope::Query<'_>)| {
            (query.parent.is_none() && query.command != Command::Utility).then_some(QueryId(number))
        };
        self.queries.iter().enumerate().filter_map(top).collect()
    }

    /// Returns the columns that flow into a cell.
    fn sources(&mut self, cell: CellId) -> Result<Vec<Source>, Unknown> {
        let reached = self.flow.reach([cell])?;
        let mut sources: BTreeMap<(Oid, i16, Rights), bool> = BTreeMap::new();
        for (entry, column, passage) in self.leaves(&reached) {
            let entry = self.entry(entry)?;
            let Some((relation, _)) = entry.relation else { continue };
            let bare = sources.entry((relation, column, rights(entry))).or_insert(true);
            *bare &= passage == Passage::Bare;
        }
        let source = |((relation, column, rights), bare)| Source { relation, column, rights, bare };
        Ok(sources.into_iter().map(source).collect())
    }

    fn leaves(&self, reached: &Reached) -> Vec<(EntryId, i16, Passage)> {
        let leaf = |(id, cell)| match cell {
            Cell::Leaf { entry, column } => reached.how(id).map(|passage| (entry, column, passage)),
            _ => None,
        };
        self.flow.cells().filter_map(leaf).collect()
    }

    /// Returns what each column of a view that was named is made of.
    fn view_columns(&mut self) -> Result<BTreeMap<(Oid, i16), Vec<Source>>, Unknown> {
        let mut named = Vec::new();
        for (_, cell) in self.flow.cells() {
            if let Cell::Leaf { entry, column } = cell
                && column > 0
                && let Entry { kind: Kind::Subquery(inner), relation: Some((view, _)), .. } =
                    self.entry(entry)?
            {
                named.push(((*view, column), *inner));
            }
        }
        let mut columns: BTreeMap<(Oid, i16), BTreeSet<Source>> = BTreeMap::new();
        for ((view, column), inner) in named {
            let Some(cell) = self.flow.find(Cell::Target { query: inner, column }) else { continue };
            let sources = self.sources(cell)?;
            columns.entry((view, column)).or_default().extend(sources);
        }
        Ok(columns.into_iter().map(|(key, sources)| (key, sources.into_iter().collect())).collect())
    }

    /// Says how each column is touched, as far as its value flows.
    fn ways(&mut self) -> Result<ColumnWays, Unknown> {
        let top = self.top_queries();
        let (mut outputs, mut filters, mut copies, mut security, mut all) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (id, cell) in self.flow.cells() {
            all.push(id);
            match cell {
                Cell::Target { query, column } if top.contains(&query) => {
                    outputs.extend(self.query(query)?.columns.contains(&column).then_some(id));
                }
                Cell::Condition { query } if self.query(query)?.place.security => security.push(id),
                Cell::Condition { .. } => filters.push(id),
                Cell::Written { .. } => copies.push(id),
                Cell::Security { .. } => security.push(id),
                _ => {}
            }
        }
        let mut ways = ColumnWays::new();
        for (roots, way) in [
            (outputs, Ways::OUTPUT),
            (filters, Ways::FILTER),
            (copies, Ways::COPY),
            (security, Ways::SECURITY),
        ] {
            let reached = self.flow.reach(roots)?;
            for (entry, column, _) in self.leaves(&reached) {
                *ways.entry((entry, column)).or_default() |= way;
            }
        }
        // What is named and reaches nothing. Computed with, it may still fail and tell of its value.
        let reached = self.flow.reach(all)?;
        for (entry, column, passage) in self.leaves(&reached) {
            let idle = if passage == Passage::Bare { Ways::IDLE } else { Ways::FILTER };
            ways.entry((entry, column)).or_insert(idle);
        }
        Ok(ways)
    }

    /// Adds every column that PostgreSQL will check and that the flow did not tell of.
    ///
    /// SECURITY: this is what stands between a mistake in the reading of expressions and an unseen column.
    fn apply_floor(&self, ways: &mut ColumnWays) -> Result<(), Unknown> {
        let mut missing = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            let id = EntryId(number);
            let Some(permissions) = &entry.permissions else { continue };
            let query = self.query(entry.query)?;
            if entry.kind == Kind::Placeholder || query.command == Command::Utility {
                continue;
            }
            let is_target = query.result == Some(id);
            let is_view = matches!(entry.relation, Some((_, b'v')));
            let assumed = match entry.kind {
                // EXCLUDED is no relation: up to 15 its columns are checked like the target's.
                Kind::Excluded => Ways::IDLE,
                // OLD or NEW of a rule: their columns were replaced by what they stand for.
                Kind::Relation if !entry.joined && !is_target && !is_view => Ways::IDLE,
                // What the view that was written through would show, were it read.
                Kind::Relation if is_target && !is_view && self.writes_through_view(entry.query)? => {
                    Ways::IDLE
                }
                // ON CONFLICT ON CONSTRAINT: the constraint's columns.
                Kind::Relation if is_target && names_constraint(query.node)? => Ways::FILTER,
                _ => Ways::UNTOLD,
            };
            let same = match query.result {
                // A view that a trigger writes is there twice, with one set of permissions.
                Some(result) if is_view && self.entry(result)?.relation == entry.relation => {
                    let same = |other: &&EntryId| {
                        self.entry(**other).is_ok_and(|other| other.relation == entry.relation)
                    };
                    query.entries.iter().filter(same).copied().collect()
                }
                _ => vec![id],
            };
            let told = |column: &&i16| same.iter().any(|entry| ways.contains_key(&(*entry, **column)));
            let untold = permissions.selected.iter().filter(|column| !told(column));
            missing.extend(untold.map(|column| ((id, *column), assumed)));
        }
        for (column, assumed) in missing {
            *ways.entry(column).or_default() |= assumed;
        }
        Ok(())
    }

    fn relations(&self, ways: &ColumnWays) -> Result<Relations, Unknown> {
        let mut relations = Relations::new();
        for (number, entry) in self.entries.iter().enumerate() {
            let id = EntryId(number);
            let Some((oid, relkind)) = entry.relation else { continue };
            let columns = ways.range((id, i16::MIN)..=(id, i16::MAX));
            let required = entry.permissions.as_ref().map_or(0, |permissions| permissions.required);
            let is_target = self.query(entry.query)?.result == Some(id);
            let is_read = entry.joined && entry.kind != Kind::Excluded;
            let is_named = required != 0 || is_target || is_read || columns.clone().next().is_some();
            if entry.kind == Kind::Placeholder || !is_named {
                continue;
            }
            let rights = rights(entry);
            let relation = relations.entry((oid, rights)).or_insert_with(|| Relation {
                oid,
                relkind,
                rights,
                origin: Origin::default(),
                select: false,
                insert: false,
                update: false,
                delete: false,
                locked: false,
                columns: BTreeMap::new(),
                selected: BTreeSet::new(),
                unnamed: Unnamed::default(),
                inherited: false,
                security_quals: false,
            });
            note_place(&mut relation.origin, self.query(entry.query)?.place);
            // EXCLUDED says that it is a composite type.
            if relkind != b'c' {
                relation.relkind = relkind;
            }
            relation.select |= required & Permissions::SELECT != 0;
            relation.insert |= required & Permissions::INSERT != 0;
            relation.update |= required & Permissions::UPDATE != 0;
            relation.delete |= required & Permissions::DELETE != 0;
            relation.locked |= entry.locked;
            relation.inherited |= relkind != b'v' && entry.node.is("inh")?;
            relation.security_quals |= !entry.node.items("securityQuals")?.is_empty();
            for ((_, column), ways) in columns {
                *relation.columns.entry(*column).or_default() |= *ways;
            }
            if let Some(permissions) = &entry.permissions {
                note_checks(relation, permissions);
                for (columns, way) in
                    [(&permissions.inserted, Ways::INSERT), (&permissions.updated, Ways::UPDATE)]
                {
                    for column in columns {
                        *relation.columns.entry(*column).or_default() |= way;
                    }
                }
            }
        }
        Ok(relations)
    }
}

/// Notes which privileges are checked of which columns (`ExecCheckOneRelPerms`, executor/execMain.c).
fn note_checks(relation: &mut Relation, permissions: &Permissions) {
    let required = |privilege: i64| permissions.required & privilege != 0;
    if required(Permissions::SELECT) {
        relation.selected.extend(&permissions.selected);
        relation.unnamed.select |= permissions.selected.is_empty();
    }
    relation.unnamed.insert |= required(Permissions::INSERT) && permissions.inserted.is_empty();
    relation.unnamed.update |= required(Permissions::UPDATE) && permissions.updated.is_empty();
}

fn rights(entry: &Entry<'_>) -> Rights {
    entry.permissions.as_ref().map_or(Rights::Invoker, |permissions| permissions.rights)
}

fn names_constraint(query: crate::tree::NodeRef<'_>) -> Result<bool, Unknown> {
    match query.child("onConflict")? {
        Some(conflict) => Ok(conflict.number("constraint")? != 0),
        None => Ok(false),
    }
}

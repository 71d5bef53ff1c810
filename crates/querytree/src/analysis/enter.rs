//! Queries and range-table entries as they are found.

use model::Oid;

use super::Analysis;
use crate::Unknown;
use crate::access::Command;
use crate::flow::{EntryId, QueryId};
use crate::scope::{self, Entry, Kind, Permissions, Place, Query};
use crate::tree::NodeRef;

impl<'t> Analysis<'t> {
    /// Registers a query; its range table and clauses are read when its turn comes, so that nothing here recurses.
    pub(super) fn enter(
        &mut self,
        node: NodeRef<'t>,
        parent: Option<QueryId>,
        in_returning: bool,
        place: Place,
    ) -> Result<QueryId, Unknown> {
        let id = QueryId(self.queries.len());
        let command = scope::command(node, self.tree.version())?;
        self.queries.push(Query {
            node,
            command,
            parent,
            in_returning,
            place,
            entries: Vec::new(),
            result: None,
            ctes: Vec::new(),
            columns: Vec::new(),
        });
        self.pending.push_back(id);
        match (command, parent) {
            (Command::Utility, Some(_)) => Err(node.unknown("a utility statement inside a query".to_owned())),
            (Command::Utility, None) => Ok(id),
            _ => self.note_columns(id).map(|()| id),
        }
    }

    /// Registers a query's range table, and the sub-selects in it.
    pub(super) fn enter_entries(&mut self, query: QueryId) -> Result<(), Unknown> {
        let (node, place) = {
            let query = self.query(query)?;
            (query.node, query.place)
        };
        let permissions = node.children("rteperminfos")?;
        let placeholders = if self.tree.version() < 16 && scope::view_of(node)?.is_some() { 2 } else { 0 };
        for (index, entry) in node.children("rtable")?.into_iter().enumerate() {
            let id = EntryId(self.entries.len());
            let made = match entry.number("rtekind")? {
                0 => self.relation(query, entry, &permissions, index < placeholders)?,
                1 => self.subquery(query, entry, &permissions, place)?,
                2 => plain(query, entry, Kind::Join)?,
                6 => plain(query, entry, Kind::Cte)?,
                _ => plain(query, entry, Kind::Expressions)?,
            };
            self.entries.push(made);
            if let Some(query) = self.queries.get_mut(query.0) {
                query.entries.push(id);
            }
        }
        let result = match node.number("resultRelation")? {
            0 => None,
            index => Some(self.entry_at(query, index)?),
        };
        if let Some(query) = self.queries.get_mut(query.0) {
            query.result = result;
        }
        if let Some(conflict) = node.child("onConflict")? {
            let index = conflict.number("exclRelIndex")?;
            if index != 0 {
                let excluded = self.entry_at(query, index)?;
                if let Some(entry) = self.entries.get_mut(excluded.0) {
                    entry.kind = Kind::Excluded;
                }
            }
        }
        for mark in node.children("rowMarks")? {
            let marked = self.entry_at(query, mark.number("rti")?)?;
            if let Some(entry) = self.entries.get_mut(marked.0) {
                entry.locked = true;
            }
            self.facts.row_locks = true;
        }
        Ok(())
    }

    fn relation(
        &self,
        query: QueryId,
        entry: NodeRef<'t>,
        permissions: &[NodeRef<'t>],
        is_placeholder: bool,
    ) -> Result<Entry<'t>, Unknown> {
        let relid = Oid(entry.small("relid")?);
        let mut made = plain(query, entry, if is_placeholder { Kind::Placeholder } else { Kind::Relation })?;
        made.relation = Some((relid, scope::relkind(entry)?));
        made.permissions = match self.tree.version() {
            ..16 => Some(Permissions::read(entry)?),
            _ => indexed(entry, permissions, relid)?,
        };
        Ok(made)
    }

    fn subquery(
        &mut self,
        query: QueryId,
        entry: NodeRef<'t>,
        permissions: &[NodeRef<'t>],
        place: Place,
    ) -> Result<Entry<'t>, Unknown> {
        let subquery = entry.the("subquery")?;
        let mut view = None;
        let mut checked = None;
        if self.tree.version() < 16 {
            if let Some((oid, permissions)) = scope::view_of(subquery)? {
                view = Some((oid, b'v'));
                checked = Some(permissions);
            }
        } else if entry.number("relid")? != 0 {
            let oid = Oid(entry.small("relid")?);
            view = Some((oid, scope::relkind(entry)?));
            checked = indexed(entry, permissions, oid)?;
        }
        let place = Place { view: view.map(|(oid, _)| oid).or(place.view), ..place };
        let inner = self.enter(subquery, Some(query), false, place)?;
        let mut made = plain(query, entry, Kind::Subquery(inner))?;
        made.relation = view;
        made.permissions = checked;
        Ok(made)
    }

    /// Notes the columns of a query's result, without junk.
    fn note_columns(&mut self, query: QueryId) -> Result<(), Unknown> {
        let mut columns = Vec::new();
        for target in self.results_of(query)? {
            if !target.is("resjunk")? {
                columns.push(target.small("resno")?);
            }
        }
        if let Some(query) = self.queries.get_mut(query.0) {
            query.columns = columns;
        }
        Ok(())
    }

    /// Returns the target entries whose values leave the query.
    pub(super) fn results_of(&self, query: QueryId) -> Result<Vec<NodeRef<'t>>, Unknown> {
        let query = self.query(query)?;
        query.node.children(match query.command {
            Command::Select => "targetList",
            _ => "returningList",
        })
    }
}

fn plain<'t>(query: QueryId, node: NodeRef<'t>, kind: Kind) -> Result<Entry<'t>, Unknown> {
    let columns = scope::columns(node)?;
    Ok(Entry {
        node,
        query,
        kind,
        relation: None,
        permissions: None,
        columns,
        joined: false,
        sides: Vec::new(),
        locked: false,
    })
}

/// Returns what is checked of an entry, from 16 on.
fn indexed(
    entry: NodeRef<'_>,
    permissions: &[NodeRef<'_>],
    relid: Oid,
) -> Result<Option<Permissions>, Unknown> {
    let index: usize = entry.small("perminfoindex")?;
    let Some(index) = index.checked_sub(1) else { return Ok(None) };
    match permissions.get(index) {
        Some(info) if info.small::<u32>("relid")? == relid.0 => Permissions::read(*info).map(Some),
        _ => Err(entry.unknown("permissions of another relation".to_owned())),
    }
}

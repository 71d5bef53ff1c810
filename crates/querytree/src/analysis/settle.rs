//! What each column that was named stands for.

use super::Analysis;
use super::expressions::Walk;
use crate::Unknown;
use crate::flow::{Cell, CellId, EntryId, Moment, Passage, QueryId};
use crate::scope::Kind;
use crate::tree::Value;

impl Analysis<'_> {
    /// Says of a cell what flows into it. One of which nothing can be said stops the reading.
    pub(super) fn settle(&mut self, id: CellId, cell: Cell) -> Result<(), Unknown> {
        match cell {
            Cell::Leaf { .. } => {}
            Cell::Column { entry, column, moment } => self.settle_column(id, entry, column, moment)?,
            Cell::Multiple { query, sublink, column } => {
                let Some(inner) = self.multiple.get(&(query, sublink)).cloned() else {
                    return Err(self.query(query)?.node.unknown(format!("no sublink {sublink}")));
                };
                for inner in inner {
                    self.target(id, inner, column, Passage::Bare)?;
                    let condition = self.flow.cell(Cell::Condition { query: inner });
                    self.flow.add(id, condition, Passage::Computed);
                }
            }
            // A column that is not written.
            Cell::Inserted { .. } | Cell::Updated { .. } => {}
            Cell::Target { query, .. }
            | Cell::Condition { query }
            | Cell::Window { query, .. }
            | Cell::Sorted { query, .. }
            | Cell::Written { query }
            | Cell::Security { query } => {
                return Err(self.query(query)?.node.unknown(format!("no {cell:?}")));
            }
            Cell::Source { entry, .. } => {
                return Err(self.entry(entry)?.node.unknown(format!("no {cell:?}")));
            }
        }
        self.flow.settle(id);
        Ok(())
    }

    fn settle_column(
        &mut self,
        id: CellId,
        entry: EntryId,
        column: i16,
        moment: Moment,
    ) -> Result<(), Unknown> {
        let found = self.entry(entry)?;
        let (kind, node, query) = (found.kind, found.node, found.query);
        let missing = || node.unknown(format!("no column {column}"));
        let is_relation = matches!(kind, Kind::Relation);
        if is_relation || found.relation.is_some() && matches!(kind, Kind::Subquery(_)) {
            let passage = if column == 0 { Passage::Computed } else { Passage::Bare };
            self.feed(id, Cell::Leaf { entry, column }, passage);
        }
        if column == 0 {
            // The whole row: every column that the entry is known to have.
            for column in self.entry(entry)?.columns.clone() {
                self.feed(id, Cell::Column { entry, column, moment }, Passage::Computed);
            }
            for side in self.entry(entry)?.sides.clone() {
                let side = self.entry_at(query, side)?;
                self.feed(
                    id,
                    Cell::Column { entry: side, column, moment: Moment::Before },
                    Passage::Computed,
                );
            }
            return Ok(());
        }
        if column < 0 && !is_relation {
            return Err(missing());
        }
        match kind {
            Kind::Relation => self.settle_written(id, entry, column, moment)?,
            Kind::Subquery(inner) => self.target(id, inner, column, Passage::Bare)?,
            Kind::Cte => {
                let inner = self.cte(entry)?;
                self.target(id, inner, column, Passage::Bare)?;
            }
            // The row that was to be inserted.
            Kind::Excluded => self.feed(id, Cell::Inserted { query, column }, Passage::Bare),
            Kind::Expressions if moment == Moment::After => {
                self.feed(id, Cell::Column { entry, column, moment: Moment::Before }, Passage::Bare);
            }
            Kind::Join => self.settle_joined(id, entry, column)?,
            Kind::Expressions | Kind::Placeholder => return Err(missing()),
        }
        Ok(())
    }

    /// A column of a relation: after a write, also what was written; of a view written by a trigger, also what the view
    /// reads.
    fn settle_written(
        &mut self,
        id: CellId,
        entry: EntryId,
        column: i16,
        moment: Moment,
    ) -> Result<(), Unknown> {
        let found = self.entry(entry)?;
        let (query, relation) = (found.query, found.relation);
        if moment == Moment::After {
            self.feed(id, Cell::Inserted { query, column }, Passage::Bare);
            self.feed(id, Cell::Updated { query, column }, Passage::Bare);
        }
        if let Some((view, b'v')) = relation {
            for other in self.query(query)?.entries.clone() {
                let sibling = self.entry(other)?;
                let is_view = matches!(sibling.kind, Kind::Subquery(_))
                    && sibling.relation.is_some_and(|(relation, _)| relation == view);
                if is_view && column > 0 {
                    self.feed(
                        id,
                        Cell::Column { entry: other, column, moment: Moment::Before },
                        Passage::Bare,
                    );
                }
            }
        }
        Ok(())
    }

    /// A column of a join: only now, since a join lists all columns of both sides, named or not.
    fn settle_joined(&mut self, id: CellId, entry: EntryId, column: i16) -> Result<(), Unknown> {
        let found = self.entry(entry)?;
        let (node, query) = (found.node, found.query);
        let place = self.query(query)?.place;
        let index = usize::try_from(column).ok().and_then(|column| column.checked_sub(1));
        let value = index.and_then(|index| node.items("joinaliasvars").ok()?.get(index).copied());
        match value {
            Some(value @ Value::Node(_)) => {
                if let Some(expression) = node.node(value)? {
                    let walk = Walk { query, place, returning: false, into: id, passage: Passage::Bare };
                    self.walk(expression, walk)?;
                }
                Ok(())
            }
            // A column that one side has dropped.
            Some(Value::Null) => Ok(()),
            _ => Err(node.unknown(format!("no column {column}"))),
        }
    }

    fn feed(&mut self, into: CellId, from: Cell, passage: Passage) {
        let from = self.flow.cell(from);
        self.flow.add(into, from, passage);
    }

    /// Lets a column of a query's result flow in, which the query must have.
    fn target(&mut self, into: CellId, query: QueryId, column: i16, passage: Passage) -> Result<(), Unknown> {
        let found = self.query(query)?;
        if !found.columns.contains(&column) {
            return Err(found.node.unknown(format!("no column {column}")));
        }
        self.feed(into, Cell::Target { query, column }, passage);
        Ok(())
    }

    /// Finds the query in WITH that an entry names.
    fn cte(&self, entry: EntryId) -> Result<QueryId, Unknown> {
        let entry = self.entry(entry)?;
        let missing = || entry.node.unknown("a name that no WITH has".to_owned());
        let mut query = entry.query;
        for _ in 0..entry.node.number("ctelevelsup")? {
            query = self.query(query)?.parent.ok_or_else(missing)?;
        }
        let name = entry.node.name("ctename")?.unwrap_or_default();
        let found = self.query(query)?.ctes.iter().find(|(other, _)| *other == name);
        found.map(|(_, query)| *query).ok_or_else(missing)
    }
}

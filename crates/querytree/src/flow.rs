//! What flows into what: cells and edges, and which cells are reached from some. Knows no nodes.
//!
//! A graph and not a recursion: recursive WITH makes cycles, and nested views share.

use std::collections::HashMap;

use crate::Unknown;

/// A query's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QueryId(pub(crate) usize);

/// A range-table entry's number, over all queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EntryId(pub(crate) usize);

/// Which of a written row's two states is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Moment {
    Before,
    After,
}

/// A thing that values flow through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Cell {
    /// A column of a relation or view, as touched through this entry: where lineage ends.
    Leaf { entry: EntryId, column: i16 },
    /// What a Var of this entry stands for.
    Column { entry: EntryId, column: i16, moment: Moment },
    /// All that a function, VALUES or the like in FROM is computed from.
    Source { entry: EntryId, part: usize },
    /// A column of a query's result.
    Target { query: QueryId, column: i16 },
    /// A column of `SET (a, b) = (SELECT ...)`, by the sublink's number.
    Multiple { query: QueryId, sublink: i64, column: i16 },
    /// What INSERT or MERGE, or UPDATE, writes into a column.
    Inserted { query: QueryId, column: i16 },
    /// The same for UPDATE, ON CONFLICT DO UPDATE and MERGE's UPDATE.
    Updated { query: QueryId, column: i16 },
    /// What decides over the rows of a query, with the queries in its FROM and WITH.
    Condition { query: QueryId },
    /// What a window's rows are chosen and ordered by.
    Window { query: QueryId, window: u32 },
    /// What an aggregate's input is sorted by.
    Sorted { query: QueryId, number: usize },
    /// Everything that a query writes.
    Written { query: QueryId },
    /// What a query's row-level security reads.
    Security { query: QueryId },
}

/// A cell's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CellId(usize);

/// How the value of one cell is made of another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Passage {
    /// Unchanged.
    Bare,
    /// As an input of an expression.
    Computed,
}

impl Passage {
    fn then(self, next: Self) -> Self {
        self.max(next)
    }
}

/// The cells that were reached, and how: bare, computed, or both.
#[derive(Debug)]
pub(crate) struct Reached(Vec<u8>);

const BARE: u8 = 1;
const COMPUTED: u8 = 2;

impl Reached {
    /// Says how a cell was reached: [`Passage::Bare`] only if by no other way.
    pub(crate) fn how(&self, cell: CellId) -> Option<Passage> {
        match self.0.get(cell.0).copied().unwrap_or_default() {
            0 => None,
            BARE => Some(Passage::Bare),
            _ => Some(Passage::Computed),
        }
    }
}

/// All cells and edges of one tree.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    ids: HashMap<Cell, CellId>,
    cells: Vec<Cell>,
    inputs: Vec<Vec<(CellId, Passage)>>,
    /// Whether it was said what the cell is made of.
    settled: Vec<bool>,
    all_settled_to: usize,
    work: usize,
}

/// Steps over edges, all questions together, after which a tree is too entangled to be read.
const WORK_MAX: usize = 50_000_000;

impl Flow {
    /// Returns a cell's number; the cell is new if it was not named before.
    pub(crate) fn cell(&mut self, cell: Cell) -> CellId {
        let next = CellId(self.cells.len());
        let id = *self.ids.entry(cell).or_insert(next);
        if id == next {
            self.cells.push(cell);
            self.inputs.push(Vec::new());
            self.settled.push(false);
        }
        id
    }

    /// Returns a cell's number if it was named.
    pub(crate) fn find(&self, cell: Cell) -> Option<CellId> {
        self.ids.get(&cell).copied()
    }

    /// Returns how many cells were named so far.
    pub(crate) fn count(&self) -> usize {
        self.cells.len()
    }

    /// Returns all cells named so far.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (CellId, Cell)> {
        self.cells.iter().enumerate().map(|(number, cell)| (CellId(number), *cell))
    }

    /// Returns a cell of which nothing was said yet.
    pub(crate) fn unsettled(&mut self) -> Option<(CellId, Cell)> {
        while self.settled.get(self.all_settled_to) == Some(&true) {
            self.all_settled_to += 1;
        }
        self.cells.get(self.all_settled_to).map(|cell| (CellId(self.all_settled_to), *cell))
    }

    /// Notes that all that flows into a cell is known, or will be before anything is asked.
    pub(crate) fn settle(&mut self, cell: CellId) {
        if let Some(settled) = self.settled.get_mut(cell.0) {
            *settled = true;
        }
    }

    /// Lets `from` flow into `into`.
    pub(crate) fn add(&mut self, into: CellId, from: CellId, passage: Passage) {
        if let Some(inputs) = self.inputs.get_mut(into.0) {
            inputs.push((from, passage));
        }
    }

    /// Returns whatever flows into any of `roots`, themselves included.
    ///
    /// # Errors
    /// [`Unknown`]: it takes too long.
    pub(crate) fn reach(&mut self, roots: impl IntoIterator<Item = CellId>) -> Result<Reached, Unknown> {
        let mut reached = vec![0; self.cells.len()];
        self.work += self.cells.len() / 4;
        let mut pending: Vec<_> = roots.into_iter().map(|root| (root, Passage::Bare)).collect();
        while let Some((cell, passage)) = pending.pop() {
            let bit = if passage == Passage::Bare { BARE } else { COMPUTED };
            let Some(state) = reached.get_mut(cell.0).filter(|state| **state & bit == 0) else { continue };
            *state |= bit;
            let inputs = self.inputs.get(cell.0).map(Vec::as_slice).unwrap_or_default();
            self.work += 1 + inputs.len();
            if self.work > WORK_MAX {
                return Err(Unknown { what: "more entangled expressions than are read".to_owned(), at: 0 });
            }
            pending.extend(inputs.iter().map(|(from, next)| (*from, passage.then(*next))));
        }
        Ok(Reached(reached))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(column: i16) -> Cell {
        Cell::Target { query: QueryId(0), column }
    }

    #[test]
    fn a_cycle_ends_and_bare_is_lost_by_any_computed_way() {
        let mut flow = Flow::default();
        let cells: Vec<_> = (0..4).map(|column| flow.cell(target(column))).collect();
        flow.add(cells[0], cells[1], Passage::Bare);
        flow.add(cells[1], cells[0], Passage::Bare);
        flow.add(cells[1], cells[2], Passage::Bare);
        let reached = flow.reach([cells[0]]).unwrap();
        assert_eq!(reached.how(cells[2]), Some(Passage::Bare));
        assert_eq!(reached.how(cells[3]), None);
        flow.add(cells[1], cells[0], Passage::Computed);
        assert_eq!(flow.reach([cells[0]]).unwrap().how(cells[2]), Some(Passage::Computed));
    }

    #[test]
    fn endless_work_is_refused() {
        let mut flow = Flow { work: WORK_MAX, ..Flow::default() };
        let root = flow.cell(target(1));
        assert!(flow.reach([root]).is_err());
    }
}

//! From a tree's nodes to queries, cells and what flows between them. Knows no text and no policy.
//!
//! In the order a tree meets it: `enter` finds queries and their range tables, `clauses` reads a query's parts,
//! `expressions` what is in them, `settle` says what each column stands for, `report` sums it up.

mod clauses;
mod enter;
mod expressions;
mod report;
mod settle;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use model::Oid;

use crate::Unknown;
use crate::access::{Access, Command, Origin};
use crate::flow::{Cell, CellId, EntryId, Flow, QueryId};
use crate::scope::{Entry, Place, Query};
use crate::tree::{NodeId, Tree};

/// Reads what the statement touches off its tree.
///
/// # Errors
/// [`Unknown`]: the nodes do not fit together as they should.
pub(crate) fn analyse(tree: &Tree<'_>) -> Result<Access, Unknown> {
    let mut analysis = Analysis {
        tree,
        queries: Vec::new(),
        entries: Vec::new(),
        flow: Flow::default(),
        pending: VecDeque::new(),
        multiple: HashMap::new(),
        kept: HashSet::new(),
        facts: Facts::default(),
    };
    analysis.run()?;
    analysis.report()
}

struct Analysis<'t> {
    tree: &'t Tree<'t>,
    queries: Vec<Query<'t>>,
    entries: Vec<Entry<'t>>,
    flow: Flow,
    /// Queries whose clauses are not read yet.
    pending: VecDeque<QueryId>,
    /// The sub-selects of `SET (a, b) = (SELECT ...)`, by query and number.
    multiple: HashMap<(QueryId, i64), Vec<QueryId>>,
    /// Vars that stand for the rest of a column of which only a part is assigned.
    kept: HashSet<NodeId>,
    facts: Facts,
}

/// What is only gathered.
#[derive(Default)]
struct Facts {
    functions: BTreeMap<Oid, Origin>,
    operators: BTreeMap<Oid, Origin>,
    casts_via_io: BTreeMap<Oid, Origin>,
    domains: BTreeMap<Oid, Origin>,
    compared_types: BTreeMap<Oid, Origin>,
    sequences: BTreeSet<Oid>,
    current_of: BTreeSet<Option<String>>,
    reg_constants: BTreeSet<(Oid, Option<Oid>)>,
    parameters: u32,
    parameter_types: BTreeMap<u32, Oid>,
    row_locks: bool,
    modifies_in_cte: bool,
    has_sublinks: bool,
    has_limit: bool,
    writes_unconditionally: bool,
}

impl<'t> Analysis<'t> {
    fn run(&mut self) -> Result<(), Unknown> {
        for id in self.tree.top() {
            let place = Place { view: None, security: false };
            self.enter(self.tree.node(*id)?, None, false, place)?;
        }
        loop {
            if let Some(query) = self.pending.pop_front() {
                if self.query(query)?.command != Command::Utility {
                    self.enter_entries(query)?;
                    self.read_clauses(query)?;
                }
            } else if let Some((id, cell)) = self.flow.unsettled() {
                // Only now, when the clauses have said what there is; it may name more cells, and even queries.
                self.settle(id, cell)?;
            } else {
                return Ok(());
            }
        }
    }

    fn query(&self, id: QueryId) -> Result<&Query<'t>, Unknown> {
        self.queries.get(id.0).ok_or_else(|| lost("query"))
    }

    fn entry(&self, id: EntryId) -> Result<&Entry<'t>, Unknown> {
        self.entries.get(id.0).ok_or_else(|| lost("range-table entry"))
    }

    /// Returns an entry by its query and range-table index.
    fn entry_at(&self, query: QueryId, index: i64) -> Result<EntryId, Unknown> {
        let query = self.query(query)?;
        let entry = usize::try_from(index - 1).ok().and_then(|index| query.entries.get(index));
        entry.copied().ok_or_else(|| query.node.unknown(format!("range-table index {index}")))
    }

    /// Returns a cell that whoever calls says all about.
    fn settled(&mut self, cell: Cell) -> CellId {
        let id = self.flow.cell(cell);
        self.flow.settle(id);
        id
    }
}

fn lost(what: &str) -> Unknown {
    Unknown { what: format!("a {what} that is not there"), at: 0 }
}

/// Notes one more use of an object; 0 is none.
fn note(uses: &mut BTreeMap<Oid, Origin>, oid: Oid, place: Place) {
    if oid.0 == 0 {
        return;
    }
    note_place(uses.entry(oid).or_default(), place);
}

fn note_place(origin: &mut Origin, place: Place) {
    match place {
        Place { security: true, .. } => origin.security = true,
        Place { view: Some(view), .. } => {
            origin.views.insert(view);
        }
        Place { view: None, .. } => origin.statement = true,
    }
}

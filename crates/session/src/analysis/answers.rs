//! What the server is asked about a statement's names beside its trees, and what it answered to all of it.

use std::collections::{BTreeMap, BTreeSet};

use sql::{Ask, Statement};

use crate::catalog::Row;
use crate::refuse::Refusal;

/// What the server answered to a statement's asks.
#[derive(Default)]
pub(crate) struct Answers {
    trees: BTreeMap<usize, Vec<String>>,
    too_large: BTreeSet<usize>,
    /// Names of routines that the server was asked for.
    pub(crate) routines_asked: BTreeSet<String>,
    /// One row per relation asked for: index, OID or NULL, current schema.
    pub(crate) names: Vec<Row>,
    /// What names lead to besides: `r` and the OID of a relation behind a view, `p` and that of a function.
    pub(crate) reached: Vec<Row>,
}

impl Answers {
    pub(crate) fn add_tree(&mut self, ask: usize, tree: String) {
        self.trees.entry(ask).or_default().push(tree);
    }

    /// Returns the tree of an ask, if there is exactly one.
    pub(crate) fn tree(&self, ask: usize) -> Result<&str, Refusal> {
        if self.too_large.contains(&ask) {
            return Err(Refusal::TooLarge("statement's query tree is over this gateway's limit".to_owned()));
        }
        let how_many = match self.trees.get(&ask).map(Vec::as_slice) {
            Some([tree]) => return Ok(tree),
            Some(_) => "more than one query tree",
            None => "no query tree",
        };
        Err(Refusal::NotUnderstood(format!("the server printed {how_many}")))
    }

    pub(crate) fn too_large(&mut self, ask: usize) {
        self.too_large.insert(ask);
    }

    /// Bytes of all trees that have come.
    pub(crate) fn tree_bytes(&self) -> usize {
        self.trees.values().flatten().map(String::len).sum()
    }
}

/// Returns the query that resolves the relations that a statement names and no tree tells of.
pub(crate) fn names_query(statement: &Statement) -> Option<String> {
    let mut names = Vec::new();
    let mut wanted = false;
    for ask in &statement.asks {
        match ask {
            Ask::Relation { name, .. } => {
                names.push((name.schema.as_deref(), name.name.as_str()));
                wanted = true;
            }
            Ask::New { .. }
            | Ask::Schema { name: None, .. }
            | Ask::Routine { name: sql::Name { schema: None, .. }, .. } => wanted = true,
            _ => {}
        }
    }
    if wanted && names.is_empty() {
        // Only the creation schema is of interest.
        names.push((None, ""));
    }
    wanted.then(|| crate::forward::resolve_names_query(&names))
}

/// Returns the query that tells what the names of a statement that is read by its names lead to.
pub(crate) fn reach_query(statement: &Statement) -> Option<String> {
    let mut relations = Vec::new();
    let mut operators = Vec::new();
    for ask in &statement.asks {
        match ask {
            Ask::Relation { name, touch: sql::Touch::Copy, .. } => {
                relations.push((name.schema.as_deref(), name.name.as_str()));
            }
            Ask::Object { kind: sql::ObjectKind::Operator, name, touch: sql::Touch::Execute, .. } => {
                operators.extend(name.last().map(String::as_str));
            }
            _ => {}
        }
    }
    (!relations.is_empty() || !operators.is_empty())
        .then(|| crate::forward::reach_query(&relations, &operators))
}

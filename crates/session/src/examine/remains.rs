//! What a statement would leave behind if it were run and rolled back, and what planning it would already run: as far as its own tree
//! says. What tables carry with them (triggers, foreign keys, generated columns) is in nobody's tree.
//!
//! SECURITY: fails closed. A function that nobody has read is not harmless, and neither is what isn't known.

use std::collections::{BTreeMap, BTreeSet};

use model::Oid;
use policy::{FunctionClass, RelationKind, Volatility};
use querytree::{Access, Command};
use sql::QueryRole;

use super::Examined;
use super::tell::Use;
use crate::analysis::{self, Lookup};
use crate::catalog::Catalog;

/// What is known of a statement before it is run to be rolled back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// What can't be undone, or can't be judged, in words; empty: nothing that the tree shows.
    pub stops: Vec<String>,
    /// Relations that it inserts into, updates or deletes from, by OID.
    pub written: BTreeSet<u32>,
    /// Relations that it reads, those it writes included.
    pub touched: BTreeSet<u32>,
}

/// `relkind` of a foreign table (catalog/pg_class.h).
const FOREIGN: u8 = b'f';

impl Examined {
    /// Says what running it and rolling it back would leave behind. Only INSERT, UPDATE, DELETE and MERGE are ever run like that.
    pub fn remains(&self, catalog: &Catalog) -> Remains {
        let mut remains = Remains::default();
        let [(Use::Query(QueryRole::Statement | QueryRole::Unread), access)] = self.accesses.as_slice()
        else {
            let kind = self.statement.command.tag();
            remains.stops.push(format!("only INSERT, UPDATE, DELETE and MERGE are counted, not {kind}"));
            return remains;
        };
        let changes = |command: &Command| {
            matches!(command, Command::Insert | Command::Update | Command::Delete | Command::Merge)
        };
        if !access.commands.iter().any(changes) {
            remains.stops.push("it changes no rows".to_owned());
        }
        if access.notifies || access.commands.contains(&Command::Utility) {
            remains.stops.push("a rule adds a NOTIFY to it".to_owned());
        }
        if !access.current_of.is_empty() {
            remains.stops.push("it works on a row that a cursor of the session stands on".to_owned());
        }
        for oid in &access.sequences {
            remains.stops.push(format!("an identity column advances sequence {}: that is not undone", oid.0));
        }
        let calls = Calls { examined: self, catalog };
        calls.stop(access, |_| true, &mut remains.stops);
        for relation in &access.relations {
            remains.touched.insert(relation.oid.0);
            if relation.insert || relation.update || relation.delete {
                remains.written.insert(relation.oid.0);
            }
        }
        calls.foreign(access, &mut remains.stops);
        remains
    }

    /// Says what planning it could run that is not known to be harmless: the planner calls functions that are not volatile to see
    /// what they return (`eval_const_expressions`, optimizer/util/clauses.c). `Err`: it has no plan.
    ///
    /// # Errors
    /// Why it has no plan.
    pub fn planning(&self, catalog: &Catalog) -> Result<Vec<String>, String> {
        use QueryRole::{CreateTableAs, Declare, MaterializedView, Statement, Unread};
        let planned = match self.accesses.as_slice() {
            [(Use::Query(Statement | Unread | CreateTableAs | MaterializedView | Declare), access)] => access,
            _ => return Err(format!("{} has no plan of its own", self.statement.command.tag())),
        };
        let mut stops = Vec::new();
        let calls = Calls { examined: self, catalog };
        calls.stop(planned, |volatility| volatility != Volatility::Volatile, &mut stops);
        calls.foreign(planned, &mut stops);
        Ok(stops)
    }

    /// Returns the types of values in it that didn't come with the server, by OID. What the server's own functions do with such a value may
    /// be somebody's own: a cast inside `to_json`, a comparison inside that of an array.
    pub const fn made_types(&self) -> &BTreeSet<u32> {
        &self.made_types
    }

    /// Says why a function that a table carries with it stops a count, if it does.
    pub fn function_stops(&self, catalog: &Catalog, oid: u32) -> Option<String> {
        Calls { examined: self, catalog }.function(Oid(oid), &|_| true)
    }
}

/// Finds the types of values in a printed tree (nodes/outfuncs.c): fields whose name ends in a word for a type, followed by an OID that
/// is none of the server's own. More may be found than there are, in what is no type; never fewer.
pub(super) fn made_types(tree: &str) -> BTreeSet<u32> {
    let mut made = BTreeSet::new();
    let mut words = tree.split_ascii_whitespace().peekable();
    while let Some(word) = words.next() {
        let named = word.starts_with(':')
            && ["type", "typeid", "typeId", "typid"].iter().any(|ending| word.ends_with(ending));
        let next = words.peek().filter(|_| named);
        let oid = next.and_then(|next| next.trim_end_matches(['}', ')']).parse::<u32>().ok());
        made.extend(oid.filter(|oid| !Oid(*oid).is_builtin()));
    }
    made
}

struct Calls<'a> {
    examined: &'a Examined,
    catalog: &'a Catalog,
}

impl Calls<'_> {
    fn lookup(&self) -> Lookup<'_> {
        Lookup { shared: Some(self.catalog), overlay: &self.examined.overlay, past: None }
    }

    /// Whether it may run is asked only of functions of classes that do more than compute; `runs` says so by volatility.
    fn function(&self, oid: Oid, runs: &impl Fn(Volatility) -> bool) -> Option<String> {
        let lookup = self.lookup();
        let Some(function) = lookup.function(oid) else {
            return Some(format!("function {} is unknown", oid.0));
        };
        let facts = analysis::function_facts(oid, function);
        let class = facts.class();
        let harmless = matches!(class, FunctionClass::Harmless | FunctionClass::Names);
        // What somebody made says itself what it is; only of what came with the server that is believed.
        let stays = facts.builtin() && !runs(facts.volatility());
        (!harmless && !stays).then(|| {
            let why = match class {
                FunctionClass::Unknown => "nobody has read what it does",
                FunctionClass::Changes => "what it changes is not undone, or holds others up",
                _ => "it does more than compute",
            };
            format!("function {} ({}): {why}", function.name, class.as_str())
        })
    }

    fn stop(&self, access: &Access, runs: impl Fn(Volatility) -> bool, stops: &mut Vec<String>) {
        let made = |what: &str, oid: &Oid| format!("{what} {} is somebody's own", oid.0);
        for oid in access.functions.keys() {
            stops.extend(self.function(*oid, &runs));
        }
        for oid in access.operators.keys().filter(|oid| !oid.is_builtin()) {
            stops.push(made("operator", oid));
        }
        let types: BTreeMap<_, _> = access.casts_via_io.iter().chain(&access.compared_types).collect();
        for oid in types.keys().filter(|oid| !oid.is_builtin()) {
            stops.push(made("the input or comparison of type", oid));
        }
        let mut domains: Vec<Oid> = access.domains.keys().copied().filter(|oid| !oid.is_builtin()).collect();
        let mut seen = BTreeSet::new();
        while let Some(oid) = domains.pop() {
            if !seen.insert(oid) {
                continue;
            }
            let lookup = self.lookup();
            let Some(checks) = lookup.checks(oid) else {
                stops.push(format!("the constraints of domain {} are unknown", oid.0));
                continue;
            };
            for function in &checks.functions {
                stops.extend(self.function(*function, &runs));
            }
            domains.extend(checks.domains.iter());
        }
    }

    fn foreign(&self, access: &Access, stops: &mut Vec<String>) {
        let lookup = self.lookup();
        for relation in &access.relations {
            let known = lookup.relation(relation.oid);
            let kind = known.map(|known| analysis::relation_facts(known).map(|facts| facts.kind()));
            let name = known.map_or_else(|| relation.oid.0.to_string(), |known| known.name.to_string());
            if relation.relkind == FOREIGN || kind == Some(Some(RelationKind::ForeignTable)) {
                stops.push(format!("{name} is a foreign table: another server would be asked"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_somebody_made_are_found_in_a_tree() {
        let tree = "{VAR :varno 1 :vartype 23} {CONST :consttype 20001 :constlen 4} {ROW :row_typeid 20002} {CASETESTEXPR :typeId 20003}";
        assert_eq!(made_types(tree), BTreeSet::from([20001, 20002, 20003]));
        assert!(made_types("{VAR :varno 20001 :vartype 25 :varcollid 20002}").is_empty());
    }
}

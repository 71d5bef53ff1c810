//! What object identifiers are called: a snapshot of a database's catalog, and a session's own additions to it.
//!
//! Knows what is remembered of objects. `queries` asks for it and reads the answers; it is run elsewhere. Decides nothing.

mod queries;

pub(crate) use queries::{number, string as text};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use model::{Oid, QualifiedName};
use policy::Language;

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// `pg_attribute.attnum`; system columns are negative and are not listed.
    pub number: i16,
    /// `pg_attribute.attname`; columns of one name share it.
    pub name: Arc<str>,
    /// `pg_attribute.atttypid`.
    pub type_oid: Oid,
    /// `pg_attribute.atttypmod`.
    pub typmod: i32,
    /// Whether the column is generated (COPY leaves those out).
    pub generated: bool,
}

/// A table, view, sequence or other relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: Oid,
    /// Schema and name; temporary schemas read `pg_temp`.
    pub name: QualifiedName,
    /// `pg_class.relkind`.
    pub kind: u8,
    /// Whether it is in a session's temporary schema.
    pub temporary: bool,
    /// The live columns, by `attnum`.
    pub columns: Box<[Column]>,
    /// What it is a partition of or inherits from (`pg_inherits.inhparent`): tags of a parent's columns are its own too.
    pub parents: Box<[Oid]>,
    /// Generated columns, and the columns of the same row that each is made of (0: all of them).
    pub generated: Box<[(i16, Box<[i16]>)]>,
}

impl Relation {
    /// Returns the column with that `attnum`.
    pub fn column(&self, number: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.number == number)
    }

    /// Returns what the column is called; system columns have fixed names (heap.c, `SysAtt`).
    pub fn column_name(&self, number: i16) -> Option<&str> {
        match number {
            -1 => Some("ctid"),
            -2 => Some("xmin"),
            -3 => Some("cmin"),
            -4 => Some("xmax"),
            -5 => Some("cmax"),
            -6 => Some("tableoid"),
            _ => self.column(number).map(|column| &*column.name),
        }
    }
}

/// A function, procedure or aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Schema and name; overloads share it.
    pub name: QualifiedName,
    /// `pg_proc.provolatile`: `i`, `s` or `v`.
    pub volatility: u8,
    /// `pg_proc.prosecdef`.
    pub security_definer: bool,
    /// What it is written in.
    pub language: Language,
    /// `pg_type.typname` of each argument, joined by commas; of functions that came with the server.
    pub arguments: Box<str>,
}

/// A column by its names, as a bundle tags it.
pub type ColumnName = (QualifiedName, String);

/// A snapshot of one database's catalog. Shared by its sessions, never changed in place.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    relations: HashMap<Oid, Arc<Relation>, RandomState>,
    functions: HashMap<Oid, Arc<Function>, RandomState>,
    operators: HashMap<Oid, Oid, RandomState>,
    /// Stored query trees of materialized views, and of the views that they are made of (`pg_rewrite.ev_action`).
    definitions: HashMap<Oid, Arc<str>, RandomState>,
    domains: HashMap<Oid, Arc<Checks>, RandomState>,
    /// What tagged columns were called in snapshots before this one, where they are called otherwise now.
    former: HashMap<(Oid, i16), Box<[ColumnName]>, RandomState>,
    /// Each name once.
    names: HashSet<Arc<str>, RandomState>,
    since: Option<Since>,
}

/// What is called, and which other domains are checked, where a value is made one of a domain (`pg_constraint.conbin`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    pub(crate) functions: Box<[Oid]>,
    pub(crate) domains: Box<[Oid]>,
}

/// Up to where the server's history is in a snapshot (`pg_snapshot_xmin`): what was committed before it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since(u32);

/// One row of a catalog query's answer: text values, `None` for NULL.
pub type Row = Vec<Option<Vec<u8>>>;

/// The server answered a catalog query with rows of another shape than asked for.
#[derive(Debug, thiserror::Error)]
#[error("the server's answer to a catalog query can't be read: {0}")]
pub struct CatalogError(pub(crate) &'static str);

impl Catalog {
    /// Returns the relation with that OID.
    pub fn relation(&self, oid: Oid) -> Option<&Arc<Relation>> {
        self.relations.get(&oid)
    }

    /// Returns the function with that OID.
    pub fn function(&self, oid: Oid) -> Option<&Arc<Function>> {
        self.functions.get(&oid)
    }

    /// Returns the function that an operator calls.
    pub fn operator_function(&self, oid: Oid) -> Option<Oid> {
        self.operators.get(&oid).copied()
    }

    /// Returns the stored query tree of a materialized view, or of a view that one is made of.
    pub fn definition(&self, oid: Oid) -> Option<&Arc<str>> {
        self.definitions.get(&oid)
    }

    /// Returns what the constraints of a domain call; nothing for any other type.
    pub fn checks(&self, type_oid: Oid) -> Option<&Arc<Checks>> {
        self.domains.get(&type_oid)
    }

    /// Iterates over all functions, in no order.
    pub fn functions(&self) -> impl Iterator<Item = (Oid, &Arc<Function>)> {
        self.functions.iter().map(|(oid, function)| (*oid, function))
    }

    /// Iterates over all relations, in no order.
    pub fn relations(&self) -> impl Iterator<Item = (Oid, &Arc<Relation>)> {
        self.relations.iter().map(|(oid, relation)| (*oid, relation))
    }

    /// Iterates over the columns that are called otherwise than a bundle's tags call them: what they are called there, and now.
    pub fn renamed(&self) -> impl Iterator<Item = (&ColumnName, ColumnName)> {
        self.former
            .iter()
            .filter_map(|((oid, number), names)| {
                let relation = self.relation(*oid)?;
                let now = (relation.name.clone(), relation.column_name(*number)?.to_owned());
                Some(names.iter().map(move |name| (name, now.clone())))
            })
            .flatten()
    }

    /// Returns what a column is or was called in this snapshot and those before it, if not as it is called `now`.
    pub(crate) fn other_names(&self, oid: Oid, number: i16, now: (&QualifiedName, &str)) -> Vec<ColumnName> {
        let mut names: Vec<ColumnName> =
            self.former.get(&(oid, number)).map(|names| names.to_vec()).unwrap_or_default();
        if let Some((relation, name)) = self.relation(oid).and_then(|r| Some((r, r.column_name(number)?)))
            && (&relation.name, name) != now
        {
            names.push((relation.name.clone(), name.to_owned()));
        }
        names
    }

    /// Takes over from the snapshot before this one what tagged columns were called. `tags` says which tags a name has: of
    /// several former names with the same tags the first is enough.
    pub fn succeed<T: PartialEq>(&mut self, before: &Self, tags: impl Fn(&QualifiedName, &str) -> Vec<T>) {
        let mut former = HashMap::default();
        let mut take = |oid: Oid, relation: &Relation, number: i16, names: Vec<ColumnName>| {
            let Some(now) = relation.column_name(number) else { return };
            let mut has = tags(&relation.name, now);
            let mut kept: Vec<ColumnName> = Vec::new();
            for (relation, name) in names {
                let more: Vec<T> =
                    tags(&relation, &name).into_iter().filter(|tag| !has.contains(tag)).collect();
                if !more.is_empty() {
                    has.extend(more);
                    kept.push((relation, name));
                }
            }
            if !kept.is_empty() {
                former.insert((oid, number), kept.into_boxed_slice());
            }
        };
        for (oid, relation) in &self.relations {
            let Some(known) = before.relations.get(oid) else { continue };
            let same = Arc::ptr_eq(known, relation) || known == relation;
            if same && before.former.is_empty() {
                continue;
            }
            for column in &relation.columns {
                let before_it = before.former.contains_key(&(*oid, column.number));
                if same && !before_it {
                    continue;
                }
                let now = (&relation.name, &*column.name);
                let names = before.other_names(*oid, column.number, now);
                if !names.is_empty() {
                    take(*oid, relation, column.number, names);
                }
            }
        }
        self.former = former;
    }

    /// Takes over everything of another that this doesn't know, or knows otherwise; temporary relations not.
    pub(crate) fn merge(&mut self, other: &Self) {
        let lasting = other.relations.iter().filter(|(_, relation)| !relation.temporary);
        self.relations.extend(lasting.map(|(oid, relation)| (*oid, relation.clone())));
        self.functions.extend(other.functions.iter().map(|(oid, function)| (*oid, function.clone())));
        self.operators.extend(&other.operators);
        self.definitions.extend(other.definitions.iter().map(|(oid, tree)| (*oid, tree.clone())));
        self.domains.extend(other.domains.iter().map(|(oid, checks)| (*oid, checks.clone())));
    }

    /// Returns whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.relations.is_empty()
            && self.functions.is_empty()
            && self.operators.is_empty()
            && self.definitions.is_empty()
            && self.domains.is_empty()
    }

    /// Returns up to where the server's history is in it; `None` if it is no whole snapshot.
    pub fn since(&self) -> Option<Since> {
        self.since
    }

    /// Begins the snapshot after this one: what has not changed is taken over.
    pub fn successor(&self) -> Self {
        Self { since: None, ..self.clone() }
    }

    /// Forgets what isn't there any more. `relations` and `functions` are the OIDs of all that is.
    pub fn retain(&mut self, relations: &HashSet<Oid, RandomState>, functions: &HashSet<Oid, RandomState>) {
        self.relations.retain(|oid, _| relations.contains(oid));
        self.definitions.retain(|oid, _| relations.contains(oid));
        self.functions.retain(|oid, _| functions.contains(oid));
    }
}

impl Since {
    /// Returns a condition on a row of the catalog: whether it may have come after a snapshot. `row` is the row's alias.
    pub fn changed(self, row: &str) -> String {
        // The age of a permanent transaction ID, which rows of initdb have, is the greatest there is (xid_age, xid.c).
        format!(
            "pg_catalog.age({row}.xmin) OPERATOR(pg_catalog.<=) pg_catalog.age('{}'::pg_catalog.xid)",
            self.0
        )
    }
}

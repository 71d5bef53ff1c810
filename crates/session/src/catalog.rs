//! What object identifiers are called: a snapshot of a database's catalog, and a session's own additions to it.
//!
//! Knows how rows of the catalog queries become facts. Does not run the queries and decides nothing.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use model::{Oid, QualifiedName};
use policy::Language;

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// `pg_attribute.attnum`; system columns are negative and are not listed.
    pub number: i16,
    /// `pg_attribute.attname`.
    pub name: Box<str>,
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

/// A snapshot of one database's catalog. Shared by its sessions, never changed in place.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    relations: HashMap<Oid, Arc<Relation>, RandomState>,
    functions: HashMap<Oid, Arc<Function>, RandomState>,
    operators: HashMap<Oid, Oid, RandomState>,
}

/// One row of a catalog query's answer: text values, `None` for NULL.
pub type Row = Vec<Option<Vec<u8>>>;

/// The server answered a catalog query with rows of another shape than asked for.
#[derive(Debug, thiserror::Error)]
#[error("the server's answer to a catalog query can't be read: {0}")]
pub struct CatalogError(pub(crate) &'static str);

impl Catalog {
    /// Lists relations with their columns. The filter is a condition on `c` (pg_class).
    pub fn relations_query(filter: &str) -> String {
        format!(
            "SELECT c.oid, n.nspname, c.relname, c.relkind::pg_catalog.text, c.relpersistence::pg_catalog.text, \
             a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated::pg_catalog.text, \
             (SELECT pg_catalog.string_agg(i.inhparent::pg_catalog.text, ',') FROM pg_catalog.pg_inherits i \
             WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid) \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
             LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid \
             AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped \
             WHERE {filter} ORDER BY c.oid, a.attnum"
        )
    }

    /// Lists functions. The filter is a condition on `p` (pg_proc).
    pub fn functions_query(filter: &str) -> String {
        format!(
            "SELECT p.oid, n.nspname, p.proname, p.provolatile::pg_catalog.text, p.prosecdef, l.lanname, \
             CASE WHEN p.oid OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid THEN \
             (SELECT pg_catalog.string_agg(t.typname::pg_catalog.text, ',' ORDER BY a.n) \
             FROM ROWS FROM (pg_catalog.unnest(p.proargtypes::pg_catalog.oid[])) WITH ORDINALITY a(t, n) \
             JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.t) END \
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace \
             JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang \
             WHERE {filter}"
        )
    }

    /// Lists which function each operator calls. The filter is a condition on `o` (pg_operator).
    pub fn operators_query(filter: &str) -> String {
        format!("SELECT o.oid, o.oprcode::pg_catalog.oid FROM pg_catalog.pg_operator o WHERE {filter}")
    }

    /// The filter of [`Self::relations_query`] for a whole snapshot: everything but indexes, TOAST and other
    /// sessions' temporary relations.
    pub const SNAPSHOT_RELATIONS: &str =
        "c.relkind IN ('r','v','m','f','p','S','c') AND c.relpersistence OPERATOR(pg_catalog.<>) 't'";

    /// Adds the answer to [`Self::relations_query`].
    ///
    /// # Errors
    /// [`CatalogError`]: the server's fault; the rows have another shape.
    pub fn add_relations(&mut self, rows: &[Row]) -> Result<(), CatalogError> {
        let mut current: Option<(Oid, Relation, Vec<Column>)> = None;
        for row in rows {
            let [oid, schema, name, kind, persistence, attnum, attname, type_oid, typmod, generated, parents] =
                row.as_slice()
            else {
                return Err(CatalogError("a relation's row has not eleven values"));
            };
            let oid = Oid(number(oid)?);
            if current.as_ref().is_none_or(|(known, ..)| *known != oid) {
                self.keep(current.take());
                let temporary = text(persistence)? == "t";
                let schema = if temporary { "pg_temp".to_owned() } else { text(schema)? };
                let kind = *text(kind)?.as_bytes().first().ok_or(CatalogError("empty relkind"))?;
                let name = QualifiedName { schema, name: text(name)? };
                current = Some((
                    oid,
                    Relation { name, kind, temporary, columns: Box::default(), parents: oids(parents)? },
                    Vec::new(),
                ));
            }
            if let (Some((_, _, columns)), true) = (current.as_mut(), attnum.is_some()) {
                columns.push(Column {
                    number: number(attnum)?,
                    name: text(attname)?.into(),
                    type_oid: Oid(number(type_oid)?),
                    typmod: number(typmod)?,
                    generated: !text(generated)?.is_empty(),
                });
            }
        }
        self.keep(current);
        Ok(())
    }

    fn keep(&mut self, relation: Option<(Oid, Relation, Vec<Column>)>) {
        if let Some((oid, mut relation, columns)) = relation {
            relation.columns = columns.into();
            self.relations.insert(oid, Arc::new(relation));
        }
    }

    /// Adds the answer to [`Self::functions_query`].
    ///
    /// # Errors
    /// [`CatalogError`]: the server's fault; the rows have another shape.
    pub fn add_functions(&mut self, rows: &[Row]) -> Result<(), CatalogError> {
        for row in rows {
            let [oid, schema, name, volatility, security_definer, language, arguments] = row.as_slice()
            else {
                return Err(CatalogError("a function's row has not seven values"));
            };
            let function = Function {
                name: QualifiedName { schema: text(schema)?, name: text(name)? },
                volatility: *text(volatility)?.as_bytes().first().ok_or(CatalogError("empty provolatile"))?,
                security_definer: text(security_definer)? == "t",
                language: Language::from_lanname(&text(language)?),
                // None for no arguments.
                arguments: if arguments.is_some() { text(arguments)?.into() } else { Box::default() },
            };
            self.functions.insert(Oid(number(oid)?), Arc::new(function));
        }
        Ok(())
    }

    /// Adds the answer to [`Self::operators_query`].
    ///
    /// # Errors
    /// [`CatalogError`]: the server's fault; the rows have another shape.
    pub fn add_operators(&mut self, rows: &[Row]) -> Result<(), CatalogError> {
        for row in rows {
            let [oid, function] = row.as_slice() else {
                return Err(CatalogError("an operator's row has not two values"));
            };
            self.operators.insert(Oid(number(oid)?), Oid(number(function)?));
        }
        Ok(())
    }

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

    /// Iterates over all functions, in no order.
    pub fn functions(&self) -> impl Iterator<Item = (Oid, &Arc<Function>)> {
        self.functions.iter().map(|(oid, function)| (*oid, function))
    }

    /// Iterates over all relations, in no order.
    pub fn relations(&self) -> impl Iterator<Item = (Oid, &Arc<Relation>)> {
        self.relations.iter().map(|(oid, relation)| (*oid, relation))
    }
}

pub(crate) fn text(value: &Option<Vec<u8>>) -> Result<String, CatalogError> {
    let value = value.as_ref().ok_or(CatalogError("an unexpected NULL"))?;
    String::from_utf8(value.clone()).map_err(|_| CatalogError("a name isn't UTF-8"))
}

fn oids(value: &Option<Vec<u8>>) -> Result<Box<[Oid]>, CatalogError> {
    let Some(value) = value else { return Ok(Box::default()) };
    let list = std::str::from_utf8(value).map_err(|_| CatalogError("a list of OIDs can't be read"))?;
    list.split(',')
        .map(|oid| oid.parse().map(Oid).map_err(|_| CatalogError("a list of OIDs can't be read")))
        .collect()
}

pub(crate) fn number<N: std::str::FromStr>(value: &Option<Vec<u8>>) -> Result<N, CatalogError> {
    text(value)?.parse().map_err(|_| CatalogError("a number can't be read"))
}

//! What things are called that only explanations speak of: roles, types, operators, arguments of functions, children.
//!
//! Knows which queries tell it and how their rows become names; does not run them, and decides nothing.

use std::collections::{BTreeSet, HashMap};

use model::Oid;

use crate::analysis::Lookup;
use crate::catalog::{Catalog, CatalogError, Row, number, text};

/// What one query is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The session: its role.
    Session,
    /// Roles.
    Roles,
    /// Types.
    Types,
    /// Functions, beyond what the catalog snapshot says.
    Functions,
    /// Operators that somebody made.
    Operators,
    /// Which relation is a child or a partition of which.
    Children,
    /// Relations that the snapshot doesn't have.
    OtherRelations,
    /// Functions that the snapshot doesn't have.
    OtherFunctions,
}

/// A function, beyond what the catalog snapshot says.
#[derive(Clone, Debug)]
pub(super) struct FunctionLore {
    pub(super) arguments: String,
    pub(super) language: String,
    /// Whether its body says EXECUTE; `None`: its body isn't there to be read.
    pub(super) executes: Option<bool>,
}

#[derive(Clone, Debug)]
pub(super) struct TypeLore {
    pub(super) name: String,
    /// `pg_type.typtype`.
    pub(super) kind: u8,
}

#[derive(Clone, Debug)]
pub(super) struct OperatorLore {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) operands: String,
    pub(super) function: String,
}

/// See the module. As of one moment; what it lacks is asked for by OID.
#[derive(Clone, Debug, Default)]
pub struct Lore {
    pub(super) role: String,
    roles: HashMap<Oid, String>,
    types: HashMap<Oid, TypeLore>,
    functions: HashMap<Oid, FunctionLore>,
    operators: HashMap<Oid, OperatorLore>,
    children: HashMap<Oid, Vec<Oid>>,
    /// What the catalog snapshot doesn't have.
    pub(super) others: Catalog,
}

/// Objects that an explanation wants to name.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) relations: BTreeSet<Oid>,
    pub(super) functions: BTreeSet<Oid>,
    pub(super) operators: BTreeSet<Oid>,
    pub(super) types: BTreeSet<Oid>,
    pub(super) roles: BTreeSet<Oid>,
}

const ROLES: &str = "SELECT r.oid, r.rolname FROM pg_catalog.pg_roles r";
const TYPES: &str = "SELECT t.oid, pg_catalog.format_type(t.oid, NULL), t.typtype::pg_catalog.text \
                     FROM pg_catalog.pg_type t";
// A body in a procedural language runs text if it says EXECUTE anywhere, a comment included: rather once too often.
const FUNCTIONS: &str = "SELECT p.oid, pg_catalog.oidvectortypes(p.proargtypes), l.lanname, \
                         CASE WHEN l.lanname IN ('internal', 'c') THEN NULL \
                         WHEN l.lanname OPERATOR(pg_catalog.=) 'sql' THEN false \
                         ELSE p.prosrc OPERATOR(pg_catalog.~*) '\\mexecute\\M' END \
                         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang";
const OPERATORS: &str = "SELECT o.oid, n.nspname, o.oprname, \
                         pg_catalog.concat_ws(', ', \
                         CASE WHEN o.oprleft OPERATOR(pg_catalog.<>) 0 THEN pg_catalog.format_type(o.oprleft, NULL) END, \
                         pg_catalog.format_type(o.oprright, NULL)), o.oprcode::pg_catalog.text \
                         FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace";

impl Lore {
    /// Returns the queries that tell it all; to be run with an empty `search_path`, so that types come with their schemas.
    pub fn queries() -> Vec<(About, String)> {
        vec![
            (About::Session, "SELECT current_user".to_owned()),
            (About::Roles, ROLES.to_owned()),
            (About::Types, TYPES.to_owned()),
            (About::Functions, FUNCTIONS.to_owned()),
            (
                About::Operators,
                format!("{OPERATORS} WHERE o.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid"),
            ),
            (
                About::Children,
                "SELECT i.inhparent, i.inhrelid FROM pg_catalog.pg_inherits i ORDER BY 1, 2".to_owned(),
            ),
        ]
    }

    /// Adds the answer to one of the queries.
    ///
    /// # Errors
    /// [`CatalogError`]: the server's fault; the rows have another shape.
    pub fn add(&mut self, about: About, rows: &[Row]) -> Result<(), CatalogError> {
        match about {
            About::OtherRelations => return self.others.add_relations(rows),
            About::OtherFunctions => return self.others.add_functions(rows),
            About::Session
            | About::Roles
            | About::Types
            | About::Functions
            | About::Operators
            | About::Children => {}
        }
        for row in rows {
            match (about, row.as_slice()) {
                (About::Session, [role]) => self.role = text(role)?,
                (About::Roles, [oid, name]) => {
                    self.roles.insert(Oid(number(oid)?), text(name)?);
                }
                (About::Types, [oid, name, kind]) => {
                    let kind = text(kind)?.bytes().next().unwrap_or_default();
                    self.types.insert(Oid(number(oid)?), TypeLore { name: text(name)?, kind });
                }
                (About::Functions, [oid, arguments, language, executes]) => {
                    let executes = executes.as_deref().map(|value| value == b"t");
                    let function =
                        FunctionLore { arguments: text(arguments)?, language: text(language)?, executes };
                    self.functions.insert(Oid(number(oid)?), function);
                }
                (About::Operators, [oid, schema, name, operands, function]) => {
                    let operator = OperatorLore {
                        schema: text(schema)?,
                        name: text(name)?,
                        operands: text(operands)?,
                        function: text(function)?,
                    };
                    self.operators.insert(Oid(number(oid)?), operator);
                }
                (About::Children, [parent, child]) => {
                    let children = self.children.entry(Oid(number(parent)?)).or_default();
                    let child = Oid(number(child)?);
                    if !children.contains(&child) {
                        children.push(child);
                    }
                }
                _ => return Err(CatalogError("a row about names has another number of values")),
            }
        }
        Ok(())
    }

    /// Returns the queries that would tell what is wanted and not known.
    pub(super) fn lacks(&self, wanted: &Wanted, lookup: &Lookup<'_>) -> Vec<(About, String)> {
        let mut queries = Vec::new();
        let mut ask = |about, query: &dyn Fn(&str) -> String, alias: &str, oids: Vec<Oid>| {
            if !oids.is_empty() {
                let list: Vec<String> = oids.iter().map(ToString::to_string).collect();
                let list = list.join(",");
                let filter =
                    format!("{alias}.oid OPERATOR(pg_catalog.=) ANY ('{{{list}}}'::pg_catalog.oid[])");
                queries.push((about, query(&filter)));
            }
        };
        let without = |oids: &BTreeSet<Oid>, known: &dyn Fn(&Oid) -> bool| -> Vec<Oid> {
            oids.iter().filter(|oid| oid.0 != 0 && !known(oid)).copied().collect()
        };
        let plain = |head: &'static str| move |filter: &str| format!("{head} WHERE {filter}");
        ask(About::Roles, &plain(ROLES), "r", without(&wanted.roles, &|oid| self.roles.contains_key(oid)));
        ask(About::Types, &plain(TYPES), "t", without(&wanted.types, &|oid| self.types.contains_key(oid)));
        let functions = without(&wanted.functions, &|oid| self.functions.contains_key(oid));
        ask(About::Functions, &plain(FUNCTIONS), "p", functions);
        let operators =
            without(&wanted.operators, &|oid| oid.is_builtin() || self.operators.contains_key(oid));
        ask(About::Operators, &plain(OPERATORS), "o", operators);
        let known = |oid: &Oid| lookup.relation(*oid).is_some() || self.others.relation(*oid).is_some();
        ask(About::OtherRelations, &Catalog::relations_query, "c", without(&wanted.relations, &known));
        let known = |oid: &Oid| lookup.function(*oid).is_some() || self.others.function(*oid).is_some();
        ask(About::OtherFunctions, &Catalog::functions_query, "p", without(&wanted.functions, &known));
        queries
    }

    /// Names a role; one that has gone by its OID, as PostgreSQL does.
    pub(super) fn role_name(&self, oid: Oid) -> String {
        self.roles.get(&oid).cloned().unwrap_or_else(|| oid.to_string())
    }

    pub(super) fn type_of(&self, oid: Oid) -> Option<&TypeLore> {
        self.types.get(&oid)
    }

    pub(super) fn function(&self, oid: Oid) -> Option<&FunctionLore> {
        self.functions.get(&oid)
    }

    pub(super) fn operator(&self, oid: Oid) -> Option<&OperatorLore> {
        self.operators.get(&oid)
    }

    /// Returns a relation's children and partitions, at any depth.
    pub(super) fn descendants(&self, oid: Oid) -> Vec<Oid> {
        let mut seen = BTreeSet::from([oid]);
        let mut next = vec![oid];
        while let Some(parent) = next.pop() {
            let children = self.children.get(&parent).map(Vec::as_slice).unwrap_or_default();
            next.extend(children.iter().filter(|child| seen.insert(**child)));
        }
        seen.remove(&oid);
        seen.into_iter().collect()
    }
}

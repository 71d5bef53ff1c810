//! Object identifiers to names: first the session's own knowledge, then the shared snapshot.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use model::{Oid, QualifiedName};
use policy::{
    Declared, FunctionFacts, FunctionSecurity, Persistence, RelationFacts, RelationKind, Volatility,
};

use crate::catalog::{Catalog, Checks, ColumnName, Function, Relation};

/// Where names are looked up.
pub(crate) struct Lookup<'a> {
    /// `None` while the session can't rely on it.
    pub(crate) shared: Option<&'a Catalog>,
    /// What the session has asked about itself.
    pub(crate) overlay: &'a Catalog,
    /// The last whole snapshot, however old: only for what columns were called.
    pub(crate) past: Option<&'a Catalog>,
}

impl Lookup<'_> {
    pub(crate) fn relation(&self, oid: Oid) -> Option<&Arc<Relation>> {
        self.overlay.relation(oid).or_else(|| self.shared?.relation(oid))
    }

    pub(crate) fn function(&self, oid: Oid) -> Option<&Arc<Function>> {
        self.overlay.function(oid).or_else(|| self.shared?.function(oid))
    }

    pub(crate) fn operator(&self, oid: Oid) -> Option<Oid> {
        self.overlay.operator_function(oid).or_else(|| self.shared?.operator_function(oid))
    }

    pub(crate) fn definition(&self, oid: Oid) -> Option<&Arc<str>> {
        self.overlay.definition(oid).or_else(|| self.shared?.definition(oid))
    }

    pub(crate) fn checks(&self, type_oid: Oid) -> Option<&Arc<Checks>> {
        self.overlay.checks(type_oid).or_else(|| self.shared?.checks(type_oid))
    }

    /// What a column was called in the last whole snapshot and those before it, if not as it is called `now`.
    pub(crate) fn other_names(&self, oid: Oid, number: i16, now: (&QualifiedName, &str)) -> Vec<ColumnName> {
        self.past.map(|past| past.other_names(oid, number, now)).unwrap_or_default()
    }

    /// Every function of that name, in that schema or, without one, in any.
    pub(crate) fn functions_named(&self, schema: Option<&str>, name: &str) -> Vec<(Oid, Arc<Function>)> {
        let named = |f: &Function| f.name.name == name && schema.is_none_or(|s| f.name.schema == s);
        let catalogs = std::iter::once(self.overlay).chain(self.shared);
        catalogs
            .flat_map(|c| c.functions())
            .filter(|(_, f)| named(f))
            .map(|(oid, f)| (oid, f.clone()))
            .collect()
    }
}

/// What kind of object an OID is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Relation,
    Function,
    Operator,
    /// The stored tree of a view or materialized view.
    Definition,
    /// What the constraints of a type call, if it is a domain.
    Domain,
}

/// OIDs, and names of routines, that no catalog at hand knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) BTreeSet<(Kind, Oid)>, pub(crate) BTreeSet<String>);

impl Missing {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty() && self.1.is_empty()
    }
}

impl Missing {
    /// Returns the queries that would tell.
    pub(crate) fn queries(&self) -> Vec<(Kind, String)> {
        let list = |kind: Kind| {
            let oids: Vec<String> =
                self.0.iter().filter(|(k, _)| *k == kind).map(|(_, oid)| oid.to_string()).collect();
            (!oids.is_empty()).then(|| format!("'{{{}}}'::pg_catalog.oid[]", oids.join(",")))
        };
        let filter = |alias: &str, list: String| format!("{alias}.oid OPERATOR(pg_catalog.=) ANY ({list})");
        let names: Vec<String> = self.1.iter().map(|name| model::quote_literal(name)).collect();
        let named = (!names.is_empty()).then(|| {
            let list = names.join(", ");
            format!("p.proname OPERATOR(pg_catalog.=) ANY (ARRAY[{list}]::pg_catalog.name[])")
        });
        [
            named.map(|filter| (Kind::Function, Catalog::functions_query(&filter))),
            list(Kind::Relation).map(|l| (Kind::Relation, Catalog::relations_query(&filter("c", l)))),
            list(Kind::Function).map(|l| (Kind::Function, Catalog::functions_query(&filter("p", l)))),
            list(Kind::Operator).map(|l| (Kind::Operator, Catalog::operators_query(&filter("o", l)))),
            list(Kind::Definition).map(|l| (Kind::Definition, Catalog::definitions_query(&filter("c", l)))),
            list(Kind::Domain).map(|l| (Kind::Domain, Catalog::domains_query(&filter("t", l)))),
            list(Kind::Definition)
                .map(|l| (Kind::Relation, Catalog::relations_query(&Catalog::made_of(&filter("c", l))))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (kind, oid)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{} {oid}", format!("{kind:?}").to_lowercase())?;
        }
        Ok(())
    }
}

/// What policy may ask about a relation. `None`: of a kind that policy has no word for.
pub(crate) fn relation_facts(relation: &Relation) -> Option<RelationFacts> {
    let persistence = if relation.temporary { Persistence::Temporary } else { Persistence::Permanent };
    Some(RelationFacts::new(&relation.name, RelationKind::from_relkind(relation.kind)?, persistence))
}

/// What policy may ask about a function.
pub(crate) fn function_facts(oid: Oid, function: &Function) -> FunctionFacts {
    let security =
        if function.security_definer { FunctionSecurity::Definer } else { FunctionSecurity::Invoker };
    FunctionFacts::new(&Declared {
        name: &function.name,
        oid,
        arguments: Some(&function.arguments),
        language: function.language,
        volatility: Volatility::from_provolatile(function.volatility),
        security,
    })
}

//! What the catalog is asked, and how the rows of the answers become facts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::{Oid, QualifiedName};
use policy::Language;

use super::{Catalog, CatalogError, Checks, Column, Function, Relation, Row, Since};

/// A relation whose rows are being read: its columns, and what the generated ones are made of.
type Reading = (Oid, Relation, Vec<Column>, Vec<(i16, Box<[i16]>)>);

impl Catalog {
    /// Lists relations with their columns. The filter is a condition on `c` (pg_class).
    pub fn relations_query(filter: &str) -> String {
        format!(
            "SELECT c.oid, n.nspname, c.relname, c.relkind::pg_catalog.text, c.relpersistence::pg_catalog.text, \
             a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated::pg_catalog.text, i.parents, \
             CASE WHEN a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog.\"char\" THEN \
             (SELECT d.adbin::pg_catalog.text FROM pg_catalog.pg_attrdef d \
             WHERE d.adrelid OPERATOR(pg_catalog.=) c.oid AND d.adnum OPERATOR(pg_catalog.=) a.attnum) END \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
             CROSS JOIN LATERAL (SELECT pg_catalog.string_agg(i.inhparent::pg_catalog.text, ',') \
             FROM pg_catalog.pg_inherits i WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid) i(parents) \
             LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid \
             AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped \
             WHERE {filter} ORDER BY c.oid, a.attnum"
        )
    }

    /// Lists the stored query trees of the views and materialized views that the filter, a condition on `c` (pg_class), picks, and of
    /// all views that those are made of.
    pub fn definitions_query(filter: &str) -> String {
        format!(
            "WITH RECURSIVE wanted(oid) AS (SELECT c.oid FROM pg_catalog.pg_class c WHERE {filter} \
             UNION SELECT v.oid FROM wanted w \
             JOIN pg_catalog.pg_rewrite r ON r.ev_class OPERATOR(pg_catalog.=) w.oid \
             JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
             AND d.objid OPERATOR(pg_catalog.=) r.oid \
             AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass \
             JOIN pg_catalog.pg_class v ON v.oid OPERATOR(pg_catalog.=) d.refobjid AND v.relkind IN ('v', 'm')) \
             SELECT w.oid, r.ev_action::pg_catalog.text FROM wanted w \
             JOIN pg_catalog.pg_rewrite r ON r.ev_class OPERATOR(pg_catalog.=) w.oid \
             AND r.rulename OPERATOR(pg_catalog.=) '_RETURN'::pg_catalog.name"
        )
    }

    /// Returns the filter of [`Self::relations_query`] for the views that a filter picks, and all relations that they are made of, at any
    /// depth: one question for all of them.
    pub fn made_of(filter: &str) -> String {
        format!(
            "c.oid IN (WITH RECURSIVE wanted(oid) AS (SELECT c.oid FROM pg_catalog.pg_class c WHERE {filter} \
             UNION SELECT d.refobjid FROM wanted w \
             JOIN pg_catalog.pg_rewrite r ON r.ev_class OPERATOR(pg_catalog.=) w.oid \
             JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
             AND d.objid OPERATOR(pg_catalog.=) r.oid \
             AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass) \
             SELECT w.oid FROM wanted w)"
        )
    }

    /// Lists the constraints of types that are domains, those of the domains that they are over included; one row without any for a type
    /// that has none. The filter is a condition on `t` (pg_type).
    pub fn domains_query(filter: &str) -> String {
        format!(
            "WITH RECURSIVE bases(oid, base) AS (SELECT t.oid, t.oid FROM pg_catalog.pg_type t WHERE {filter} \
             UNION SELECT b.oid, t.typbasetype FROM bases b JOIN pg_catalog.pg_type t \
             ON t.oid OPERATOR(pg_catalog.=) b.base AND t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog.\"char\") \
             SELECT b.oid, k.conbin::pg_catalog.text FROM bases b \
             LEFT JOIN pg_catalog.pg_constraint k ON k.contypid OPERATOR(pg_catalog.=) b.base \
             AND k.contype OPERATOR(pg_catalog.=) 'c'::pg_catalog.\"char\""
        )
    }

    /// The filter of [`Self::definitions_query`] for a whole snapshot.
    pub const SNAPSHOT_DEFINITIONS: &str = "c.relkind OPERATOR(pg_catalog.=) 'm'::pg_catalog.\"char\"";

    /// Asks up to where the server's history is visible.
    pub const SINCE_QUERY: &str = "SELECT (pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.numeric \
         OPERATOR(pg_catalog.%) 4294967296)::pg_catalog.text";

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
        let mut current: Option<Reading> = None;
        for row in rows {
            let [
                oid,
                schema,
                name,
                kind,
                persistence,
                attnum,
                attname,
                type_oid,
                typmod,
                generated,
                parents,
                expression,
            ] = row.as_slice()
            else {
                return Err(CatalogError("a relation's row has not twelve values"));
            };
            let oid = Oid(number(oid)?);
            if current.as_ref().is_none_or(|(known, ..)| *known != oid) {
                self.keep(current.take());
                let temporary = text(persistence)? == "t";
                let schema = if temporary { "pg_temp" } else { text(schema)? };
                let kind = *text(kind)?.as_bytes().first().ok_or(CatalogError("empty relkind"))?;
                let name = QualifiedName { schema: schema.to_owned(), name: text(name)?.to_owned() };
                let relation = Relation {
                    oid,
                    name,
                    kind,
                    temporary,
                    columns: Box::default(),
                    parents: oids(parents)?,
                    generated: Box::default(),
                };
                current = Some((oid, relation, Vec::new(), Vec::new()));
            }
            if let (Some((_, _, columns, made)), true) = (current.as_mut(), attnum.is_some()) {
                let column = Column {
                    number: number(attnum)?,
                    name: self.name(text(attname)?),
                    type_oid: Oid(number(type_oid)?),
                    typmod: number(typmod)?,
                    generated: !text(generated)?.is_empty(),
                };
                if column.generated {
                    made.push((column.number, variables(expression)));
                }
                columns.push(column);
            }
        }
        self.keep(current);
        Ok(())
    }

    fn keep(&mut self, relation: Option<Reading>) {
        if let Some((oid, mut relation, columns, made)) = relation {
            relation.columns = columns.into();
            relation.generated = made.into();
            self.relations.insert(oid, Arc::new(relation));
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone());
        name
    }

    /// Adds the answer to [`Self::definitions_query`].
    ///
    /// # Errors
    /// [`CatalogError`]: the server's fault; the rows have another shape.
    pub fn add_definitions(&mut self, rows: &[Row]) -> Result<(), CatalogError> {
        for row in rows {
            let [oid, tree] = row.as_slice() else {
                return Err(CatalogError("a definition's row has not two values"));
            };
            self.definitions.insert(Oid(number(oid)?), text(tree)?.into());
        }
        Ok(())
    }

    /// Adds the answer to [`Self::domains_query`].
    ///
    /// # Errors
    /// [`CatalogError`]: the server's fault; the rows have another shape.
    pub fn add_domains(&mut self, rows: &[Row]) -> Result<(), CatalogError> {
        let mut domains: HashMap<Oid, (BTreeSet<Oid>, BTreeSet<Oid>)> = HashMap::new();
        for row in rows {
            let [oid, expression] = row.as_slice() else {
                return Err(CatalogError("a domain's row has not two values"));
            };
            let (functions, within) = domains.entry(Oid(number(oid)?)).or_default();
            if expression.is_some() {
                let tree = text(expression)?;
                for label in [":funcid ", ":opfuncid "] {
                    functions.extend(numbers(tree, label)?);
                }
                for inner in tree.split("{COERCETODOMAIN ").skip(1) {
                    within.extend(numbers(inner, ":resulttype ")?);
                }
            }
        }
        let kept = domains.into_iter().map(|(oid, (functions, domains))| {
            let sorted = |oids: BTreeSet<Oid>| oids.into_iter().collect();
            (oid, Arc::new(Checks { functions: sorted(functions), domains: sorted(domains) }))
        });
        self.domains.extend(kept);
        Ok(())
    }

    /// Keeps the answer to [`Self::SINCE_QUERY`].
    ///
    /// # Errors
    /// [`CatalogError`]: the server's fault; the rows have another shape.
    pub fn set_since(&mut self, rows: &[Row]) -> Result<(), CatalogError> {
        let [row] = rows else { return Err(CatalogError("not one row of the server's history")) };
        let [since] = row.as_slice() else {
            return Err(CatalogError("not one value of the server's history"));
        };
        self.since = Some(Since(number(since)?));
        Ok(())
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
                name: QualifiedName { schema: text(schema)?.to_owned(), name: text(name)?.to_owned() },
                volatility: *text(volatility)?.as_bytes().first().ok_or(CatalogError("empty provolatile"))?,
                security_definer: text(security_definer)? == "t",
                language: Language::from_lanname(text(language)?),
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
}

fn text(value: &Option<Vec<u8>>) -> Result<&str, CatalogError> {
    let value = value.as_ref().ok_or(CatalogError("an unexpected NULL"))?;
    std::str::from_utf8(value).map_err(|_| CatalogError("a name isn't UTF-8"))
}

/// Reads a text, to keep it.
pub(crate) fn string(value: &Option<Vec<u8>>) -> Result<String, CatalogError> {
    text(value).map(str::to_owned)
}

fn oids(value: &Option<Vec<u8>>) -> Result<Box<[Oid]>, CatalogError> {
    let Some(value) = value else { return Ok(Box::default()) };
    let list = std::str::from_utf8(value).map_err(|_| CatalogError("a list of OIDs can't be read"))?;
    list.split(',')
        .map(|oid| oid.parse().map(Oid).map_err(|_| CatalogError("a list of OIDs can't be read")))
        .collect()
}

/// Reads a number.
pub(crate) fn number<N: std::str::FromStr>(value: &Option<Vec<u8>>) -> Result<N, CatalogError> {
    text(value)?.parse().map_err(|_| CatalogError("a number can't be read"))
}

/// Which columns a stored expression over one relation reads (`VAR`, outfuncs.c). What it can't make out is all of them.
fn variables(expression: &Option<Vec<u8>>) -> Box<[i16]> {
    const LABEL: &str = ":varattno ";
    let Ok(tree) = text(expression) else { return Box::new([0]) };
    let read = tree.split(LABEL).skip(1).map(|rest| {
        let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
    });
    let columns: BTreeSet<i16> = read.collect();
    if columns.contains(&0) { Box::new([0]) } else { columns.into_iter().collect() }
}

/// Reads the OIDs that follow a label in a stored expression.
fn numbers(tree: &str, label: &str) -> Result<Vec<Oid>, CatalogError> {
    let read = tree.split(label).skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        match rest.get(..end).and_then(|digits| digits.parse().ok()) {
            // 0 stands for "not looked up", which a stored expression never has (`set_opfuncid`).
            None | Some(0) => Err(CatalogError("a constraint's expression can't be read")),
            Some(oid) => Ok(Oid(oid)),
        }
    });
    read.collect()
}

//! What a database has that can be granted: the catalog's snapshot, and what it lacks for that, as [`policy::grants`] wants it.
//!
//! Asks for owners, what PUBLIC holds, signatures, what defaults and policies use, and the definitions of views, so that columns of views
//! carry the tags of what they are made of. Run elsewhere; decides nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;
use model::{Oid, QualifiedName};
use policy::grants::{
    ColumnObject, FunctionObject, Objects, Privilege, Privileges, RelationObject, SchemaObject, Server,
    Tagging,
};
use policy::{Bundle, RelationKind};
use querytree::ServerVersion;

use crate::analysis::{Ancestry, Lookup, function_facts, relation_facts};
use crate::catalog::{Catalog, CatalogError, ColumnName, Relation, Row, number, text};

/// One thing that is asked of the server; the answers of all make a [`Grantable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privileged {
    /// The database, and what PUBLIC holds on it.
    Database,
    /// Schemas.
    Schemas,
    /// Owners of relations, and what PUBLIC holds on them.
    Relations,
    /// What PUBLIC holds on columns.
    Columns,
    /// Types that are not PostgreSQL's own, by column.
    Types,
    /// Functions that are not open to all, or not PostgreSQL's own.
    Functions,
    /// What uses what: see [`Uses`].
    Uses,
    /// Stored queries of views.
    Definitions,
}

/// One object as stated.
#[derive(Clone, Debug)]
struct Stated {
    owner: Arc<str>,
    public: Privileges,
}

/// What can be granted in a database, as of one moment.
#[derive(Clone, Debug)]
pub struct Grantable {
    catalog: Arc<Catalog>,
    version: ServerVersion,
    version_major: u32,
    database: (String, Privileges),
    schemas: Vec<SchemaObject>,
    relations: HashMap<Oid, Stated, RandomState>,
    columns: HashMap<(Oid, i16), Privileges, RandomState>,
    types: HashMap<(Oid, i16), Arc<str>, RandomState>,
    functions: Vec<(Oid, Stated, String)>,
    uses: Uses,
    definitions: Catalog,
}

/// What objects use with the rights of whoever uses them.
#[derive(Clone, Debug, Default)]
struct Uses {
    /// Relations to the sequences that their defaults advance.
    sequences: BTreeMap<Oid, BTreeSet<Oid>>,
    /// Relations to the functions that their definitions, defaults, constraints, indexes and policies call.
    functions: BTreeMap<Oid, BTreeSet<Oid>>,
    /// Views to what they are made of, parents to their partitions and children.
    relations: BTreeMap<Oid, BTreeSet<Oid>>,
    /// Relations to columns of others that their policies read.
    policies: BTreeMap<Oid, BTreeSet<(Oid, i16)>>,
}

/// A list of what PUBLIC holds; `acl`, `kind` and `owner` are SQL (`aclexplode`, `acldefault`, acl.c).
fn public(acl: &str, kind: &str, owner: &str) -> String {
    format!(
        "(SELECT pg_catalog.string_agg(x.privilege_type, ',') FROM pg_catalog.aclexplode(\
         COALESCE({acl}, pg_catalog.acldefault({kind}, {owner}))) x \
         WHERE x.grantee OPERATOR(pg_catalog.=) '0'::pg_catalog.oid)"
    )
}

impl Privileged {
    /// Returns all that must be asked, in one transaction whose `search_path` is `pg_catalog`, so that names of types are qualified.
    pub const fn all() -> [Self; 8] {
        [
            Self::Database,
            Self::Schemas,
            Self::Relations,
            Self::Columns,
            Self::Types,
            Self::Functions,
            Self::Uses,
            Self::Definitions,
        ]
    }

    /// Returns the query.
    pub fn query(self) -> String {
        match self {
            Self::Database => format!(
                "SELECT d.datname, {} FROM pg_catalog.pg_database d \
                 WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
                public("d.datacl", "'d'::\"char\"", "d.datdba")
            ),
            Self::Schemas => format!(
                "SELECT n.nspname, pg_catalog.pg_get_userbyid(n.nspowner), {} FROM pg_catalog.pg_namespace n \
                 WHERE NOT (n.nspname OPERATOR(pg_catalog.~) '^pg_(toast|temp_|toast_temp_)')",
                public("n.nspacl", "'n'::\"char\"", "n.nspowner")
            ),
            Self::Relations => format!(
                "SELECT c.oid, pg_catalog.pg_get_userbyid(c.relowner), {} FROM pg_catalog.pg_class c WHERE {}",
                public(
                    "c.relacl",
                    "CASE WHEN c.relkind OPERATOR(pg_catalog.=) 'S'::\"char\" THEN 's'::\"char\" ELSE 'r'::\"char\" END",
                    "c.relowner"
                ),
                Catalog::SNAPSHOT_RELATIONS
            ),
            Self::Columns => format!(
                "SELECT a.attrelid, a.attnum, {} FROM pg_catalog.pg_attribute a \
                 WHERE a.attacl IS NOT NULL AND NOT a.attisdropped",
                public("a.attacl", "'c'::\"char\"", "'10'::pg_catalog.oid")
            ),
            Self::Types => "SELECT a.attrelid, a.attnum, n.nspname FROM pg_catalog.pg_attribute a \
                 JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid \
                 LEFT JOIN pg_catalog.pg_type e ON e.oid OPERATOR(pg_catalog.=) t.typelem \
                 JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) COALESCE(e.typnamespace, t.typnamespace) \
                 WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped \
                 AND t.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid"
                .to_owned(),
            Self::Functions => format!(
                "SELECT p.oid, pg_catalog.pg_get_userbyid(p.proowner), {}, \
                 CASE WHEN p.prokind OPERATOR(pg_catalog.=) 'a'::\"char\" THEN \
                 COALESCE((SELECT pg_catalog.string_agg(pg_catalog.format_type(a.t, NULL), ', ' ORDER BY a.n) \
                 FROM ROWS FROM (pg_catalog.unnest(p.proargtypes::pg_catalog.oid[])) WITH ORDINALITY a(t, n)), '*') \
                 ELSE pg_catalog.pg_get_function_identity_arguments(p.oid) END FROM pg_catalog.pg_proc p \
                 WHERE p.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid OR p.proacl IS NOT NULL \
                 OR p.proname IN ('nextval', 'currval', 'lastval', 'setval', 'pg_sequence_last_value')",
                public("p.proacl", "'f'::\"char\"", "p.proowner")
            ),
            Self::Uses => USES.to_owned(),
            Self::Definitions => Catalog::definitions_query(
                "c.relkind IN ('v', 'm') AND c.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid",
            ),
        }
    }
}

/// Rows of: how, the relation, what it uses, and which column of it (0: no column). Dependencies are those that PostgreSQL keeps
/// itself (manual, 53.18 `pg_depend`); built-in objects are not among them (`isObjectPinned`), and need not be.
const USES: &str = "\
WITH owned(how, oid, classid, objid) AS (
    SELECT 'view', r.ev_class, 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid, r.oid FROM pg_catalog.pg_rewrite r
    UNION ALL SELECT 'default', d.adrelid, 'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid FROM pg_catalog.pg_attrdef d
    UNION ALL SELECT 'constraint', k.conrelid, 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid
        FROM pg_catalog.pg_constraint k WHERE k.conrelid OPERATOR(pg_catalog.<>) '0'::pg_catalog.oid
    UNION ALL SELECT 'index', i.indrelid, 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid FROM pg_catalog.pg_index i
    UNION ALL SELECT 'policy', p.polrelid, 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid FROM pg_catalog.pg_policy p
), used AS (
    SELECT o.how, o.oid, d.refclassid, d.refobjid, d.refobjsubid FROM owned o JOIN pg_catalog.pg_depend d
    ON d.classid OPERATOR(pg_catalog.=) o.classid AND d.objid OPERATOR(pg_catalog.=) o.objid
    WHERE d.refobjid OPERATOR(pg_catalog.<>) o.oid
)
SELECT 'call', u.oid, u.refobjid, 0 FROM used u WHERE u.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
UNION SELECT 'call', u.oid, o.oprcode::pg_catalog.oid, 0 FROM used u JOIN pg_catalog.pg_operator o
    ON o.oid OPERATOR(pg_catalog.=) u.refobjid WHERE u.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass
UNION SELECT 'sequence', u.oid, u.refobjid, 0 FROM used u JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) u.refobjid
    WHERE u.how OPERATOR(pg_catalog.=) 'default' AND c.relkind OPERATOR(pg_catalog.=) 'S'::pg_catalog.\"char\"
    AND u.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
UNION SELECT 'relation', u.oid, u.refobjid, 0 FROM used u
    WHERE u.how OPERATOR(pg_catalog.=) 'view' AND u.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
UNION SELECT 'relation', i.inhparent, i.inhrelid, 0 FROM pg_catalog.pg_inherits i
UNION SELECT 'policy', u.oid, u.refobjid, u.refobjsubid FROM used u
    WHERE u.how OPERATOR(pg_catalog.=) 'policy' AND u.refobjsubid OPERATOR(pg_catalog.>) 0
    AND u.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass";

/// Columns that every stored relation has (heap.c, `SysAtt`).
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"];

impl Grantable {
    /// Begins with a snapshot of the catalog; `None` if this version can't be read.
    pub fn new(catalog: Arc<Catalog>, version_major: u32) -> Option<Self> {
        Some(Self {
            catalog,
            version: ServerVersion::from_major(version_major)?,
            version_major,
            database: (String::new(), Privileges::default()),
            schemas: Vec::new(),
            relations: HashMap::default(),
            columns: HashMap::default(),
            types: HashMap::default(),
            functions: Vec::new(),
            uses: Uses::default(),
            definitions: Catalog::default(),
        })
    }

    /// Takes in a row of the answer to one query.
    ///
    /// # Errors
    /// [`CatalogError`]: the server's fault; the row has another shape.
    pub fn add(&mut self, of: Privileged, row: Row) -> Result<(), CatalogError> {
        match (of, row.as_slice()) {
            (Privileged::Database, [name, public]) => self.database = (text(name)?, privileges(public)?),
            (Privileged::Schemas, [name, owner, public]) => self.schemas.push(SchemaObject {
                name: text(name)?,
                owner: text(owner)?.into(),
                public: privileges(public)?,
            }),
            (Privileged::Relations, [oid, owner, public]) => {
                let stated = Stated { owner: text(owner)?.into(), public: privileges(public)? };
                self.relations.insert(Oid(number(oid)?), stated);
            }
            (Privileged::Columns, [oid, attnum, public]) => {
                self.columns.insert((Oid(number(oid)?), number(attnum)?), privileges(public)?);
            }
            (Privileged::Types, [oid, attnum, schema]) => {
                self.types.insert((Oid(number(oid)?), number(attnum)?), text(schema)?.into());
            }
            (Privileged::Functions, [oid, owner, public, arguments]) => {
                let stated = Stated { owner: text(owner)?.into(), public: privileges(public)? };
                self.functions.push((Oid(number(oid)?), stated, text(arguments)?));
            }
            (Privileged::Uses, [how, oid, used, column]) => {
                let (oid, used) = (Oid(number(oid)?), Oid(number(used)?));
                let uses = &mut self.uses;
                match text(how)?.as_str() {
                    "call" => uses.functions.entry(oid).or_default().insert(used),
                    "sequence" => uses.sequences.entry(oid).or_default().insert(used),
                    "relation" => uses.relations.entry(oid).or_default().insert(used),
                    "policy" => uses.policies.entry(oid).or_default().insert((used, number(column)?)),
                    _ => return Err(CatalogError("an unknown kind of dependency")),
                };
            }
            (Privileged::Definitions, [_, _]) => self.definitions.add_definitions(&[row])?,
            _ => return Err(CatalogError("a row about privileges has another number of values")),
        }
        Ok(())
    }

    /// Returns the database's objects with what this bundle's rules may ask of them.
    pub fn objects(&self, bundle: &Bundle, now: Instant) -> Objects {
        let mut places: HashMap<Oid, usize> = HashMap::new();
        let mut functions = Vec::with_capacity(self.functions.len());
        for (oid, stated, arguments) in &self.functions {
            let Some(function) = self.catalog.function(*oid) else { continue };
            places.insert(*oid, functions.len());
            functions.push(FunctionObject {
                name: function.name.clone(),
                arguments: arguments.clone(),
                facts: function_facts(*oid, function),
                owner: stated.owner.clone(),
                public: stated.public,
            });
        }
        let lookup =
            Lookup { shared: Some(&self.catalog), overlay: &self.definitions, past: Some(&self.catalog) };
        let asked = BTreeSet::new();
        let mut ancestry = Ancestry::new(&lookup, self.version, &asked, now);
        let mut relations: Vec<RelationObject> = self
            .catalog
            .relations()
            .filter(|(_, relation)| !relation.temporary)
            .filter_map(|(oid, relation)| self.relation(oid, relation, bundle, &places, &mut ancestry))
            .collect();
        relations.sort_by(|a, b| a.name.cmp(&b.name));
        Objects {
            server: Server { version_major: self.version_major },
            database: self.database.0.clone(),
            public: self.database.1,
            schemas: self.schemas.clone(),
            relations,
            functions,
        }
    }

    fn relation(
        &self,
        oid: Oid,
        relation: &Relation,
        bundle: &Bundle,
        places: &HashMap<Oid, usize>,
        ancestry: &mut Ancestry<'_>,
    ) -> Option<RelationObject> {
        let stated = self.relations.get(&oid)?;
        let facts = relation_facts(relation)?;
        let stored = matches!(
            facts.kind(),
            RelationKind::Table
                | RelationKind::PartitionedTable
                | RelationKind::MaterializedView
                | RelationKind::ForeignTable
        );
        let system = SYSTEM_COLUMNS.iter().filter(|_| stored).map(|name| ColumnObject {
            name: Arc::from(*name),
            tags: Vec::new(),
            tagging: Tagging::Complete,
            public: Privileges::default(),
            system: true,
            type_schema: None,
        });
        let mut columns = Vec::with_capacity(relation.columns.len() + SYSTEM_COLUMNS.len());
        for column in &relation.columns {
            // What is PostgreSQL's own has no tags of a bundle's under it.
            let names = if oid.is_builtin() { Some(Vec::new()) } else { ancestry.of(oid, column.number) };
            columns.push(ColumnObject {
                name: column.name.clone(),
                tagging: if names.is_some() { Tagging::Complete } else { Tagging::Open },
                tags: tags(bundle, &names.unwrap_or_default()),
                public: self.columns.get(&(oid, column.number)).copied().unwrap_or_default(),
                system: false,
                type_schema: self.types.get(&(oid, column.number)).cloned(),
            });
        }
        columns.extend(system);
        let reached = self.reached(oid);
        let used = |uses: &BTreeMap<Oid, BTreeSet<Oid>>| -> BTreeSet<Oid> {
            reached.iter().filter_map(|oid| uses.get(oid)).flatten().copied().collect()
        };
        let name = |oid: &Oid| self.catalog.relation(*oid).map(|relation| relation.name.clone());
        Some(RelationObject {
            name: relation.name.clone(),
            facts,
            owner: stated.owner.clone(),
            public: stated.public,
            columns,
            sequences: used(&self.uses.sequences).iter().filter_map(name).collect(),
            calls: used(&self.uses.functions).iter().filter_map(|oid| places.get(oid).copied()).collect(),
            policies_read: self.policies_read(oid),
        })
    }

    fn policies_read(&self, oid: Oid) -> Vec<(QualifiedName, Arc<str>)> {
        let read = self.uses.policies.get(&oid).into_iter().flatten();
        read.filter_map(|(oid, number)| {
            let relation = self.catalog.relation(*oid)?;
            Some((relation.name.clone(), relation.column(*number)?.name.clone()))
        })
        .collect()
    }

    /// Returns a relation and all that it is made of.
    fn reached(&self, oid: Oid) -> HashSet<Oid> {
        let mut reached = HashSet::from([oid]);
        let mut next = vec![oid];
        while let Some(oid) = next.pop() {
            for used in self.uses.relations.get(&oid).into_iter().flatten() {
                if reached.insert(*used) {
                    next.push(*used);
                }
            }
        }
        reached
    }
}

fn tags(bundle: &Bundle, names: &[ColumnName]) -> Vec<String> {
    let tags = names.iter().flat_map(|(relation, column)| bundle.tags(relation, column));
    let tags: BTreeSet<&str> = tags.map(policy::Tag::as_str).collect();
    tags.into_iter().map(str::to_owned).collect()
}

fn privileges(list: &Option<Vec<u8>>) -> Result<Privileges, CatalogError> {
    if list.is_none() {
        return Ok(Privileges::default());
    }
    // A privilege that isn't known grants nothing that is asked about.
    Ok(text(list)?.split(',').filter_map(Privilege::from_word).collect())
}

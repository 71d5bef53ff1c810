//! What a database has that could be granted, with what rules may ask of it. Whoever knows the catalog makes these; they only state.

use std::sync::Arc;

use model::QualifiedName;

use super::{Privilege, Privileges, Tagging};
use crate::resource::{FunctionFacts, RelationFacts};

/// A database, as far as privileges matter. `public` is always what PUBLIC holds on the object as a whole: that needs no grant.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The server.
    pub server: Server,
    /// `pg_database.datname`.
    pub database: String,
    /// On the database.
    pub public: Privileges,
    /// Schemas, PostgreSQL's own included.
    pub schemas: Vec<SchemaObject>,
    /// Relations that last.
    pub relations: Vec<RelationObject>,
    /// Functions, procedures, aggregates.
    pub functions: Vec<FunctionObject>,
}

/// What the server can grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its major version.
    pub version_major: u32,
}

impl Server {
    /// Returns whether maintenance is a privilege: since PostgreSQL 17.
    pub const fn has_maintain(self) -> bool {
        self.version_major >= 17
    }
}

/// A schema.
#[derive(Clone, Debug)]
pub struct SchemaObject {
    /// `pg_namespace.nspname`.
    pub name: String,
    /// Its owner's `rolname`.
    pub owner: Arc<str>,
    /// What PUBLIC holds.
    pub public: Privileges,
}

/// A relation.
#[derive(Clone, Debug)]
pub struct RelationObject {
    /// Its name.
    pub name: QualifiedName,
    /// What rules may ask.
    pub facts: RelationFacts,
    /// Its owner's `rolname`.
    pub owner: Arc<str>,
    /// What PUBLIC holds.
    pub public: Privileges,
    /// Its columns, system columns included.
    pub columns: Vec<ColumnObject>,
    /// Sequences that defaults of its columns advance with the rights of whoever inserts.
    pub sequences: Vec<QualifiedName>,
    /// What its definition, defaults, constraints and policies call with the rights of whoever uses it: places in
    /// [`Objects::functions`].
    pub calls: Vec<usize>,
    /// Columns of other relations that its policies for row-level security read with the rights of whoever asks.
    pub policies_read: Vec<(QualifiedName, Arc<str>)>,
}

/// A column.
#[derive(Clone, Debug)]
pub struct ColumnObject {
    /// `pg_attribute.attname`.
    pub name: Arc<str>,
    /// Tags beyond those that the bundle gives it by name.
    pub tags: Vec<String>,
    /// Whether these are all.
    pub tagging: Tagging,
    /// What PUBLIC holds on the column itself.
    pub public: Privileges,
    /// Whether it can't be written: PostgreSQL's own, such as `ctid`.
    pub system: bool,
    /// The schema of its type, or of what that is an array of.
    pub type_schema: Option<Arc<str>>,
}

/// A function, procedure, aggregate or window function.
#[derive(Clone, Debug)]
pub struct FunctionObject {
    /// Its name.
    pub name: QualifiedName,
    /// As GRANT wants them: types as SQL, all schema-qualified.
    pub arguments: String,
    /// What rules may ask.
    pub facts: FunctionFacts,
    /// Its owner's `rolname`.
    pub owner: Arc<str>,
    /// What PUBLIC holds.
    pub public: Privileges,
}

impl Objects {
    /// Returns what every role holds by PUBLIC, and so can't be kept from anyone: on the database, and on objects that are not
    /// PostgreSQL's own. EXECUTE counts only for functions that run with their owner's rights.
    pub fn open(&self) -> super::Grants {
        use super::Object;
        let mut open = super::Grants::default();
        let mut add = |object: Object, public: Privileges| {
            public.iter().for_each(|privilege| open.grant(object.clone(), privilege));
        };
        add(Object::Database(self.database.clone()), self.public);
        for SchemaObject { name, public, .. } in &self.schemas {
            add(Object::Schema(name.clone()), *public);
        }
        for relation in &self.relations {
            add(object_of(relation), relation.public);
        }
        for function in &self.functions {
            if function.facts.security() == crate::resource::FunctionSecurity::Definer {
                let (name, arguments) = (function.name.clone(), function.arguments.clone());
                add(Object::Routine { name, arguments }, function.public);
            }
        }
        for relation in &self.relations {
            for privilege in [Privilege::Select, Privilege::Insert, Privilege::Update, Privilege::References]
            {
                if relation.public.has(privilege) {
                    continue;
                }
                let columns = relation.columns.iter().filter(|column| column.public.has(privilege));
                open.grant_columns(&relation.name, privilege, columns.map(|c| c.name.clone()).collect());
            }
        }
        open.filtered(|object| !object.is_system())
    }
}

pub(super) fn object_of(relation: &RelationObject) -> super::Object {
    if relation.facts.kind() == crate::resource::RelationKind::Sequence {
        super::Object::Sequence(relation.name.clone())
    } else {
        super::Object::Table(relation.name.clone())
    }
}

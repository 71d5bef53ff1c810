//! What is touched: the nouns of a decision, and the facts about them that rules may ask for.
//!
//! Knows names and facts as PostgreSQL's catalog states them; reads no catalog.

use std::fmt;

use model::QualifiedName;
use serde::{Serialize, Serializer};

use crate::functions::{Declared, FunctionClass, Language};
use crate::{catalog, functions, path};

/// The type of a [`Resource`], as rules name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    /// What the client names as dbname: the root.
    Database,
    /// A schema.
    Schema,
    /// A table, view, sequence, index: anything in `pg_class`.
    Relation,
    /// A column of a relation.
    Column,
    /// A function, procedure, aggregate or window function.
    Function,
}

impl ResourceType {
    /// Returns every type.
    pub const fn all() -> [Self; 5] {
        [Self::Database, Self::Schema, Self::Relation, Self::Column, Self::Function]
    }

    /// Returns the word that rules and reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "Database",
            Self::Schema => "Schema",
            Self::Relation => "Relation",
            Self::Column => "Column",
            Self::Function => "Function",
        }
    }

    /// Returns how many parts its dotted name has, the database's included.
    pub(crate) const fn parts(self) -> usize {
        match self {
            Self::Database => 1,
            Self::Schema => 2,
            Self::Relation | Self::Function => 3,
            Self::Column => 4,
        }
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ResourceType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Something in the database that an action touches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The database itself: session, roles, server.
    Database,
    /// A schema; also where something new is to be created.
    Schema {
        /// `pg_namespace.nspname`; the session's own temporary schema is `pg_temp`.
        name: String,
    },
    /// A relation.
    Relation {
        /// Its name.
        name: QualifiedName,
        /// Facts about it.
        facts: RelationFacts,
    },
    /// A column of a relation.
    Column {
        /// The relation that it is a column of.
        relation: QualifiedName,
        /// `pg_attribute.attname`.
        column: String,
        /// Tags beyond those that the bundle gives the column by name: those it inherits through views.
        tags: Vec<String>,
        /// Facts about the relation.
        facts: RelationFacts,
    },
    /// A function.
    Function {
        /// Its name.
        name: QualifiedName,
        /// Facts about it.
        facts: FunctionFacts,
    },
}

impl Resource {
    /// Returns its type.
    pub const fn resource_type(&self) -> ResourceType {
        match self {
            Self::Database => ResourceType::Database,
            Self::Schema { .. } => ResourceType::Schema,
            Self::Relation { .. } => ResourceType::Relation,
            Self::Column { .. } => ResourceType::Column,
            Self::Function { .. } => ResourceType::Function,
        }
    }

    /// Returns its dotted name under a database, as rules write it.
    pub fn path(&self, database: &str) -> String {
        match self {
            Self::Database => path::join([database]),
            Self::Schema { name } => path::join([database, name]),
            Self::Relation { name, .. } | Self::Function { name, .. } => {
                path::join([database, &name.schema, &name.name])
            }
            Self::Column { relation, column, .. } => {
                path::join([database, &relation.schema, &relation.name, column])
            }
        }
    }
}

/// `pg_class.relkind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RelationKind {
    /// `r`
    Table,
    /// `p`
    PartitionedTable,
    /// `v`
    View,
    /// `m`
    MaterializedView,
    /// `f`
    ForeignTable,
    /// `S`
    Sequence,
    /// `i` and `I`
    Index,
    /// `c`
    CompositeType,
    /// `t`
    ToastTable,
}

impl RelationKind {
    /// Returns every kind.
    pub const fn all() -> [Self; 9] {
        [
            Self::Table,
            Self::PartitionedTable,
            Self::View,
            Self::MaterializedView,
            Self::ForeignTable,
            Self::Sequence,
            Self::Index,
            Self::CompositeType,
            Self::ToastTable,
        ]
    }

    /// Reads `pg_class.relkind` (`RELKIND_*`, catalog/pg_class.h); `None` for a letter that these versions don't have.
    pub const fn from_relkind(relkind: u8) -> Option<Self> {
        Some(match relkind {
            b'r' => Self::Table,
            b'p' => Self::PartitionedTable,
            b'v' => Self::View,
            b'm' => Self::MaterializedView,
            b'f' => Self::ForeignTable,
            b'S' => Self::Sequence,
            b'i' | b'I' => Self::Index,
            b'c' => Self::CompositeType,
            b't' => Self::ToastTable,
            _ => return None,
        })
    }

    /// Returns the words that rules compare `resource.kind` with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::PartitionedTable => "partitioned table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::ForeignTable => "foreign table",
            Self::Sequence => "sequence",
            Self::Index => "index",
            Self::CompositeType => "composite type",
            Self::ToastTable => "toast table",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::all().into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Where a relation lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// In a schema that other sessions see.
    Permanent,
    /// In the session's own temporary schema (`pg_class.relpersistence` `t`).
    Temporary,
}

/// Facts about a relation that rules may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RelationFacts {
    kind: RelationKind,
    persistence: Persistence,
    system: bool,
    // INVARIANT: true for a system relation that `catalog` doesn't list as harmless.
    reveals: bool,
}

impl RelationFacts {
    /// States the facts about a relation; whether it reveals data is looked up in [`catalog`](crate::catalog).
    pub fn new(name: &QualifiedName, kind: RelationKind, persistence: Persistence) -> Self {
        let system = catalog::is_system_schema(&name.schema);
        Self { kind, persistence, system, reveals: system && catalog::relation(name).reveals() }
    }

    /// Returns what kind of relation it is.
    pub const fn kind(&self) -> RelationKind {
        self.kind
    }

    /// Returns whether it is one of PostgreSQL's own: in `pg_catalog`, `information_schema` or `pg_toast`.
    pub const fn system(&self) -> bool {
        self.system
    }

    /// Returns whether only this session sees it.
    pub const fn temporary(&self) -> bool {
        matches!(self.persistence, Persistence::Temporary)
    }

    /// Returns whether it is a system relation that shows more than names and definitions: rows' values, other sessions' texts, secrets.
    pub const fn reveals(&self) -> bool {
        self.reveals
    }
}

/// `pg_proc.provolatile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Volatility {
    /// `i`: the same arguments give the same answer for ever.
    Immutable,
    /// `s`: within one statement.
    Stable,
    /// `v`: anything goes.
    Volatile,
}

impl Volatility {
    /// Returns every volatility.
    pub const fn all() -> [Self; 3] {
        [Self::Immutable, Self::Stable, Self::Volatile]
    }

    /// Reads `pg_proc.provolatile` (`PROVOLATILE_*`, catalog/pg_proc.h). An unknown letter is volatile.
    pub const fn from_provolatile(provolatile: u8) -> Self {
        match provolatile {
            b'i' => Self::Immutable,
            b's' => Self::Stable,
            _ => Self::Volatile,
        }
    }

    /// Returns the word that rules compare `resource.volatility` with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Immutable => "immutable",
            Self::Stable => "stable",
            Self::Volatile => "volatile",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::all().into_iter().find(|volatility| volatility.as_str() == word)
    }
}

/// Whose rights a function runs with (`pg_proc.prosecdef`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FunctionSecurity {
    /// Its caller's.
    Invoker,
    /// Its owner's.
    Definer,
}

/// Facts about a function that rules may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionFacts {
    builtin: bool,
    language: Language,
    volatility: Volatility,
    security: FunctionSecurity,
    // INVARIANT: never `Harmless` or `Names` for a function that did not come with the server.
    class: FunctionClass,
    reason: &'static str,
}

/// What rules could see of a function at another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Whether it came with the server.
    pub builtin: bool,
    /// Whether what it touches is decided only while it runs.
    pub dynamic: bool,
    /// How its answer may change.
    pub volatility: Volatility,
    /// Whose rights it runs with.
    pub security: FunctionSecurity,
    /// What calling it can do.
    pub class: FunctionClass,
}

impl FunctionFacts {
    /// States the facts about a function; its class is looked up in [`functions`](crate::functions).
    pub fn new(function: &Declared<'_>) -> Self {
        let (class, reason) = functions::classify(function);
        Self {
            builtin: function.is_builtin(),
            language: function.language,
            volatility: function.volatility,
            security: function.security,
            class,
            reason,
        }
    }

    /// States what was once found out about a function, and written down.
    pub const fn noted(noted: Noted) -> Self {
        let Noted { builtin, dynamic, volatility, security, class } = noted;
        let class = match class {
            FunctionClass::Harmless | FunctionClass::Names if !builtin => FunctionClass::Unknown,
            class => class,
        };
        let language = if dynamic { Language::Procedural } else { Language::Internal };
        Self { builtin, language, volatility, security, class, reason: "as it was noted" }
    }

    /// Returns why it is in its class.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Returns whether what it touches is decided only while it runs: it is in a procedural language, or runs text.
    pub const fn dynamic(&self) -> bool {
        matches!(self.language, Language::Procedural) || matches!(self.class, FunctionClass::RunsText)
    }

    /// Returns whether it came with the server.
    pub const fn builtin(&self) -> bool {
        self.builtin
    }

    /// Returns how its answer may change.
    pub const fn volatility(&self) -> Volatility {
        self.volatility
    }

    /// Returns whose rights it runs with.
    pub const fn security(&self) -> FunctionSecurity {
        self.security
    }

    /// Returns what calling it can do.
    pub const fn class(&self) -> FunctionClass {
        self.class
    }
}

impl RelationFacts {
    /// Takes the stricter of two statements about the same relation.
    pub(crate) fn stricter(&self, other: &Self) -> Self {
        let persistence =
            if self.temporary() && other.temporary() { self.persistence } else { Persistence::Permanent };
        Self {
            kind: self.kind,
            persistence,
            system: self.system && other.system,
            reveals: self.reveals || other.reveals,
        }
    }
}

impl FunctionFacts {
    /// Takes the stricter of two overloads: rules know them by one name.
    #[must_use]
    pub fn stricter(&self, other: &Self) -> Self {
        let definer =
            self.security == FunctionSecurity::Definer || other.security == FunctionSecurity::Definer;
        let more = if other.class > self.class { other } else { self };
        Self {
            builtin: self.builtin && other.builtin,
            language: if other.language == Language::Procedural { other.language } else { self.language },
            volatility: self.volatility.max(other.volatility),
            security: if definer { FunctionSecurity::Definer } else { FunctionSecurity::Invoker },
            class: more.class,
            reason: more.reason,
        }
    }
}

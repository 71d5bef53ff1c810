//! What a statement touches, by OID. Knows no names, no catalog and no policy.
//!
//! [`read`](crate::read) makes it; whoever has a catalog turns it into names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use model::Oid;

/// Everything that one Parse message's statement touches, rules and views included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The strongest command of all queries in the tree, those inside WITH and those made by rules included.
    pub command: Command,
    /// The commands of the statement and of rules' queries, and whatever is not SELECT at any depth. Without utility statements.
    pub commands: BTreeSet<Command>,
    /// One entry per relation and rights that it is touched with, ordered by both.
    pub relations: Vec<Relation>,
    /// Every function whose OID the tree names, with where it is called from.
    pub functions: BTreeMap<Oid, Origin>,
    /// Operators (pg_operator) whose function the tree does not name: sorting, grouping, row comparison.
    pub operators: BTreeMap<Oid, Origin>,
    /// Types whose input or output function runs, or that may be a domain whose constraints then are checked: both ends
    /// of a CoerceViaIO, columns of XMLTABLE and JSON_TABLE, results of JSON_VALUE and its kin.
    pub casts_via_io: BTreeMap<Oid, Origin>,
    /// Domains whose constraints are checked (CoerceToDomain).
    pub domains: BTreeMap<Oid, Origin>,
    /// Types whose default comparison runs (GREATEST and LEAST).
    pub compared_types: BTreeMap<Oid, Origin>,
    /// Sequences advanced by an identity column (NextValueExpr). A `nextval(...)` call is in `functions`, and its
    /// sequence, if constant, in `reg_constants`.
    pub sequences: BTreeSet<Oid>,
    /// One per column of the result that the client gets and is told of; empty if there is none.
    pub output: Vec<Output>,
    /// Results of further queries (a rule's SELECT), which PostgreSQL sends in the simple protocol only.
    pub side_outputs: Vec<Vec<Output>>,
    /// For each column of a view that the statement uses: what it is made of, nested views' columns and base columns alike.
    pub view_columns: BTreeMap<(Oid, i16), Vec<Source>>,
    /// `false` if any UPDATE, DELETE or MERGE that changes or deletes rows, at any level, has no condition that
    /// reads the target relation (so also `WHERE true`); else `true`.
    pub has_where: bool,
    /// Any FOR UPDATE, NO KEY UPDATE, SHARE or KEY SHARE.
    pub row_locks: bool,
    /// Any utility statement: of a query that is none itself, a NOTIFY that a rule adds or puts in its place
    /// (`RuleActionStmt`, gram.y).
    pub notifies: bool,
    /// Any INSERT, UPDATE, DELETE or MERGE inside WITH.
    pub modifies_in_cte: bool,
    /// Any sublink: `EXISTS (...)`, `IN (SELECT ...)`, `(SELECT ...)` as a value.
    pub has_sublinks: bool,
    /// Any LIMIT or OFFSET, at any level.
    pub has_limit: bool,
    /// Number of the highest `$n` of the protocol, 0 if there is none.
    pub parameters: u32,
    /// Types of those of them that are read, as the server has resolved them.
    pub parameter_types: BTreeMap<u32, Oid>,
    /// Cursors named by WHERE CURRENT OF; `None` stands for one named by a parameter.
    pub current_of: BTreeSet<Option<String>>,
    /// Constants in the statement's text that name objects (regclass and its kin, arrays of them): (type, value if
    /// it could be read). If not empty, the text with literals blanked is not a sound memo key.
    pub reg_constants: BTreeSet<(Oid, Option<Oid>)>,
}

/// What a query does (`CmdType`, nodes/nodes.h), weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// Nothing is left after rewriting (DO INSTEAD NOTHING).
    Nothing,
    /// SELECT or VALUES.
    Select,
    /// INSERT, also with ON CONFLICT.
    Insert,
    /// UPDATE.
    Update,
    /// MERGE (from 15 on).
    Merge,
    /// DELETE.
    Delete,
    /// A utility statement: the tree says nothing of what it touches.
    Utility,
}

/// Whose privileges PostgreSQL checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rights {
    /// The session's current role.
    Invoker,
    /// This role (`checkAsUser`): the owner of the view or rule, or, inside a row-level-security policy, the role that
    /// the policy applies to. May be the session's own role.
    AsUser(Oid),
}

/// Where a relation, function, operator or type is named.
///
/// A view is no more to be trusted than whoever may write it: a session's own temporary view is the statement's own text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// In the statement's own text, or in a rule's (which can't be told apart).
    pub statement: bool,
    /// In the definitions of these views.
    pub views: BTreeSet<Oid>,
    /// In a row-level-security policy.
    pub security: bool,
}

/// A relation as touched with some rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// pg_class.oid.
    pub oid: Oid,
    /// pg_class.relkind: `r`, `p`, `v`, `m`, `f`, `S`, `t`, ...
    pub relkind: u8,
    /// Whose privileges are checked.
    pub rights: Rights,
    /// Where it is named.
    pub origin: Origin,
    /// ACL_SELECT is in requiredPerms.
    pub select: bool,
    /// ACL_INSERT is.
    pub insert: bool,
    /// ACL_UPDATE is; FOR UPDATE and its kin need it too, then `locked` is set.
    pub update: bool,
    /// ACL_DELETE is.
    pub delete: bool,
    /// A row lock is taken by FOR UPDATE, NO KEY UPDATE, SHARE or KEY SHARE.
    pub locked: bool,
    /// By attribute number; 0 is the whole row, that is every column that the catalog knows of (known ones are listed
    /// too, but a view's definition may be older than a column); negative are system columns.
    pub columns: BTreeMap<i16, Ways>,
    /// The columns whose SELECT privilege PostgreSQL checks (`selectedCols`); 0 is the whole row, which needs every column's.
    pub selected: BTreeSet<i16>,
    /// Privileges that are checked somewhere without a column being named (`count(*)`): one column's is enough there.
    pub unnamed: Unnamed,
    /// Children and partitions are included.
    pub inherited: bool,
    /// A row-level-security policy, or the condition of a security_barrier view that is written through, applies.
    pub security_quals: bool,
}

/// Privileges that PostgreSQL checks of a relation as such, where any one column's would do as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unnamed {
    /// SELECT.
    pub select: bool,
    /// INSERT.
    pub insert: bool,
    /// UPDATE: row locks need it of some column.
    pub update: bool,
}

/// How a column is touched; a set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Ways(u8);

impl Ways {
    /// The value reaches a column of a result, bare or within an expression.
    pub const OUTPUT: Self = Self(1);
    /// The value chooses, joins, sorts, groups, counts or limits rows, or is computed with (an error would tell of it)
    /// without reaching any other place.
    pub const FILTER: Self = Self(2);
    /// The value flows into a column that is written: a read in the clear.
    pub const COPY: Self = Self(4);
    /// The column is written by INSERT.
    pub const INSERT: Self = Self(8);
    /// The column is written by UPDATE.
    pub const UPDATE: Self = Self(16);
    /// Read by a row-level-security policy, not by the statement's text. Whoever may write such a policy (the owner of
    /// the relation that carries it) chose it.
    pub const SECURITY: Self = Self(32);
    /// Named, bare, in a place that reaches nothing: a column of a view or sub-select that is not used. PostgreSQL
    /// asks for the privilege all the same.
    pub const IDLE: Self = Self(64);

    /// No way at all.
    pub const NONE: Self = Self(0);
    /// What is assumed where the reader could not tell.
    pub const UNTOLD: Self = Self(1 | 2 | 4);

    const NAMES: [(Self, &'static str); 7] = [
        (Self::OUTPUT, "output"),
        (Self::FILTER, "filter"),
        (Self::COPY, "copy"),
        (Self::INSERT, "insert"),
        (Self::UPDATE, "update"),
        (Self::SECURITY, "security"),
        (Self::IDLE, "idle"),
    ];

    /// Returns whether every way of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether any way of `other` is in this set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the set without the ways of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Command {
    /// Returns PostgreSQL's tag; `None` for what has none of its own.
    pub const fn tag(self) -> Option<&'static str> {
        match self {
            Self::Select => Some("SELECT"),
            Self::Insert => Some("INSERT"),
            Self::Update => Some("UPDATE"),
            Self::Merge => Some("MERGE"),
            Self::Delete => Some("DELETE"),
            Self::Nothing | Self::Utility => None,
        }
    }
}

impl Ways {
    /// Returns the words for the ways of this set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(way, _)| self.contains(*way)).map(|(_, name)| name)
    }
}

impl BitOr for Ways {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Ways {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Ways {
    /// Writes the names, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (way, name) in Self::NAMES {
            if self.contains(way) {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ways({self})")
    }
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// As RowDescription will name it.
    pub name: String,
    /// The expression's type, or 0 where the tree does not say (an array made by a sublink, ...).
    pub type_oid: Oid,
    /// The expression's type modifier where the tree says it, else -1.
    pub typmod: i32,
    /// All columns that the value depends on, through views, sub-selects, CTEs and expressions; ordered. A column
    /// read through a view is here twice: as the view's and as the base relation's. Empty: no column's value is in it.
    pub sources: Vec<Source>,
}

/// A column that a value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// pg_class.oid of a base relation or a view.
    pub relation: Oid,
    /// Attribute number; 0 is the whole row, negative a system column.
    pub column: i16,
    /// Whose privileges it is read with.
    pub rights: Rights,
    /// Everything that may arrive from this column is its very value, unchanged byte for byte: no expression on the way.
    pub bare: bool,
}

/// The major version of the server that wrote a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerVersion {
    /// 14
    V14,
    /// 15
    V15,
    /// 16
    V16,
    /// 17
    V17,
    /// 18
    V18,
}

impl ServerVersion {
    /// Every version whose trees can be read.
    pub const ALL: [Self; 5] = [Self::V14, Self::V15, Self::V16, Self::V17, Self::V18];

    /// Returns the version for a major number, or `None` if its trees can't be read.
    pub const fn from_major(major: u32) -> Option<Self> {
        match major {
            14 => Some(Self::V14),
            15 => Some(Self::V15),
            16 => Some(Self::V16),
            17 => Some(Self::V17),
            18 => Some(Self::V18),
            _ => None,
        }
    }

    /// Returns the major number.
    pub const fn major(self) -> u32 {
        match self {
            Self::V14 => 14,
            Self::V15 => 15,
            Self::V16 => 16,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }
}

/// A tree that could not be read: its statement must be refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} in the server's query tree, at byte {at}")]
pub struct Unknown {
    /// What the reader does not know or did not expect; what it quotes from the tree is escaped and short.
    pub what: String,
    /// Byte offset in the text with its line breaks undone (in the text as given, where undoing them failed).
    pub at: usize,
}

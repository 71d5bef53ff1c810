//! What must be asked of the server before a statement can be decided. Knows no answers.

use crate::Sql;

/// One thing that a statement touches, as it names it: the caller resolves it on the session's own connection.
///
/// Names are folded, unquoted and cut to 63 bytes, as the server's own parser does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ask {
    /// A query to be parsed by the server on its own.
    Query {
        /// Its text.
        sql: Sql,
        /// What becomes of its result.
        role: QueryRole,
        /// Types of `$1`, `$2`, ... as SQL, where the statement gives them (PREPARE): the server must be told them
        /// (as OIDs, in Parse), or it may read the query otherwise.
        parameters: Vec<String>,
    },
    /// Expressions, as `SELECT expression, ... [FROM relation]`, to be parsed by the server on its own: what
    /// they read and call, the statement reads or will have others call.
    Expression {
        /// The query.
        sql: Sql,
        /// What the expressions are for.
        role: ExpressionRole,
    },
    /// A relation that exists.
    Relation {
        /// Its name.
        name: Name,
        /// Which columns.
        columns: Columns,
        /// What is done.
        touch: Touch,
        /// IF EXISTS
        missing_ok: bool,
    },
    /// An object that the statement makes. What it makes needs `create` on its schema: where `name.schema` is `None`,
    /// `pg_temp` for a temporary relation, else the creation schema (`current_schema()`).
    New {
        /// What it is.
        kind: ObjectKind,
        /// Its name; the schema is always `None` for kinds that live in none.
        name: Name,
        /// A temporary relation.
        temporary: bool,
        /// OR REPLACE: one of that name may exist, and is altered then.
        replace: bool,
    },
    /// A schema that exists; `None`: the creation schema, `current_schema()`.
    Schema {
        /// Its name.
        name: Option<String>,
        /// What is done.
        touch: Touch,
        /// IF EXISTS
        missing_ok: bool,
    },
    /// A function, procedure or aggregate that exists.
    Routine {
        /// Its name.
        name: Name,
        /// Which kinds the name can mean.
        kind: RoutineKind,
        /// Argument types as SQL, if given. `None`: any; every routine the name can mean must be allowed.
        args: Option<Vec<String>>,
        /// What is done.
        touch: Touch,
        /// IF EXISTS
        missing_ok: bool,
    },
    /// A type or domain.
    Type {
        /// As SQL, for `to_regtype`: no type modifiers.
        sql: String,
        /// What is done.
        touch: Touch,
        /// IF EXISTS
        missing_ok: bool,
    },
    /// Any other object that exists.
    Object {
        /// What it is.
        kind: ObjectKind,
        /// Its name, part by part, as the statement gives it; for parts of a relation (trigger, rule, policy,
        /// constraint) the last part only: the relation has an ask of its own.
        name: Vec<String>,
        /// What is done.
        touch: Touch,
        /// IF EXISTS
        missing_ok: bool,
    },
    /// A database; `None`: the current one.
    Database {
        /// Its name.
        name: Option<String>,
        /// What is done.
        touch: Touch,
    },
    /// A role.
    Role {
        /// Who.
        name: RoleName,
        /// What is done.
        touch: Touch,
    },
    /// A setting that the statement would keep for others (ALTER SYSTEM, ALTER ROLE ... SET, GRANT SET ON PARAMETER).
    Setting {
        /// Its name in lower case; `None`: all of them.
        name: Option<String>,
        /// What is done.
        touch: Touch,
    },
    /// Something in the statement that isn't understood: it must be refused, saying this.
    Unsupported(String),
}

/// A name as a statement gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The schema, if given.
    pub schema: Option<String>,
    /// The object.
    pub name: String,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Columns of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// All of them, or the relation as such.
    All,
    /// These.
    Named(Vec<String>),
}

/// What becomes of a query's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryRole {
    /// The whole statement: its rows go to the client.
    Statement,
    /// The whole text, which this crate's grammar doesn't read: only the server's tree says what it is. It may be no query.
    Unread,
    /// EXPLAIN: its plan goes to the client.
    Explained {
        /// It runs too.
        analyze: bool,
    },
    /// COPY (query) TO: its rows go to the client, a file or a program.
    CopyOut,
    /// CREATE TABLE AS, SELECT INTO: its rows become a table.
    CreateTableAs,
    /// CREATE VIEW: others will read it with the owner's rights.
    View,
    /// CREATE MATERIALIZED VIEW: its rows are kept, for others to read.
    MaterializedView,
    /// DECLARE CURSOR: FETCH brings its rows to the client.
    Declare,
    /// PREPARE: EXECUTE (or Bind) runs it.
    Prepare,
}

/// What expressions are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpressionRole {
    /// Arguments of EXECUTE or CALL: evaluated at once.
    Argument,
    /// COPY FROM's WHERE: evaluated for each row that comes in.
    CopyWhere,
    /// DEFAULT, CHECK, GENERATED, USING of ALTER COLUMN TYPE, a domain's constraint: kept, or evaluated for each row.
    Constraint,
    /// An index's or a partition key's or a statistics object's expressions and predicate: kept.
    Index,
    /// A partition's bounds: evaluated at once.
    PartitionBound,
    /// A policy's USING and WITH CHECK: kept, evaluated for those it binds.
    Policy,
    /// A trigger's WHEN: kept.
    Trigger,
    /// A publication's row filter: kept.
    Publication,
    /// A function's argument defaults: kept.
    FunctionDefault,
}

/// What a statement does to an object that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Touch {
    /// Rows are read (COPY TO).
    Select,
    /// Rows are added (COPY FROM).
    Insert,
    /// Rows are read by something that is kept, or that others run: nothing of them may be masked. With
    /// [`Columns::Named`], of these words those that are columns.
    Copy,
    /// Rows are changed.
    Update,
    /// Rows are removed.
    Delete,
    /// TRUNCATE
    Truncate,
    /// Something is made in it.
    Create,
    /// Its definition changes.
    Alter,
    /// It goes.
    Drop,
    /// COMMENT ON
    Comment,
    /// SECURITY LABEL ON
    Label,
    /// Rights on it are given (also: a role's membership).
    Grant,
    /// Rights on it are taken (also: a role's membership).
    Revoke,
    /// CREATE INDEX ON
    Index,
    /// CREATE TRIGGER ON
    Trigger,
    /// CREATE/ALTER/DROP POLICY ON
    Policy,
    /// CREATE RULE ON
    Rule,
    /// CREATE STATISTICS FROM
    Statistics,
    /// LOCK TABLE
    Lock(LockMode),
    /// VACUUM
    Vacuum,
    /// ANALYZE
    Analyze,
    /// CLUSTER
    Cluster,
    /// REINDEX
    Reindex,
    /// REFRESH MATERIALIZED VIEW
    Refresh,
    /// It becomes, or ceases to be, part of another relation, or gets such a part (partitions, inheritance, OWNED BY).
    Attach,
    /// A foreign key points to it.
    Reference,
    /// Its definition is copied (LIKE, a column's `t.c%TYPE`, a table's row type).
    Like,
    /// A publication sends it.
    Publish,
    /// It is named as a part of what is made or altered: a type of a column, a language, a server, a tablespace.
    Use,
    /// It is run.
    Execute,
    /// It (a role) becomes the owner.
    Own,
    /// It (a role) is the one whom rights are given to or taken from, or whom a policy or mapping binds.
    Grantee,
    /// SET CONSTRAINTS
    Defer,
}

/// LOCK TABLE's modes (src/include/storage/lockdefs.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "PostgreSQL's own words")]
pub enum LockMode {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

/// Which routines a name can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "PostgreSQL's own words")]
pub enum RoutineKind {
    Function,
    Procedure,
    Aggregate,
    Routine,
}

/// A role as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "PostgreSQL's own words")]
pub enum RoleName {
    Named(String),
    Public,
    CurrentUser,
    CurrentRole,
    SessionUser,
    /// DROP USER MAPPING FOR ... ALL, ALTER ROLE ALL
    All,
}

macro_rules! kinds {
    ($($variant:ident = $name:literal,)*) => {
        /// Kinds of objects (`ObjectType`, src/include/nodes/parsenodes.h).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "PostgreSQL's own words")]
        pub enum ObjectKind { $($variant,)* }

        impl ObjectKind {
            /// As SQL writes it, in lower case.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    AccessMethod = "access method",
    Aggregate = "aggregate",
    Cast = "cast",
    Collation = "collation",
    Constraint = "constraint",
    Conversion = "conversion",
    Database = "database",
    Domain = "domain",
    EventTrigger = "event trigger",
    Extension = "extension",
    ForeignDataWrapper = "foreign data wrapper",
    ForeignTable = "foreign table",
    Function = "function",
    Index = "index",
    Language = "language",
    LargeObject = "large object",
    MaterializedView = "materialized view",
    Operator = "operator",
    OperatorClass = "operator class",
    OperatorFamily = "operator family",
    Policy = "policy",
    Procedure = "procedure",
    Publication = "publication",
    Role = "role",
    Routine = "routine",
    Rule = "rule",
    Schema = "schema",
    Sequence = "sequence",
    Server = "server",
    Statistics = "statistics",
    Subscription = "subscription",
    Table = "table",
    Tablespace = "tablespace",
    TextSearchConfiguration = "text search configuration",
    TextSearchDictionary = "text search dictionary",
    TextSearchParser = "text search parser",
    TextSearchTemplate = "text search template",
    Transform = "transform",
    Trigger = "trigger",
    Type = "type",
    UserMapping = "user mapping",
    View = "view",
}

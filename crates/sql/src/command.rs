//! Every command PostgreSQL 18 has, by its command tag. Knows no statement nodes and no policy.

/// What family a command belongs to: what one would grant together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Planned and run by the executor: SELECT, INSERT, UPDATE, DELETE, MERGE.
    Query,
    /// Begins, ends or divides a transaction, or says how it runs.
    Transaction,
    /// Lives and dies with the session: settings, prepared statements, cursors, notifications.
    Session,
    /// Makes, changes, drops or describes objects and rights.
    Define,
    /// Touches stored rows or files but neither their meaning nor their definition.
    Maintain,
    /// COPY.
    Copy,
    /// EXPLAIN.
    Explain,
    /// Runs code that the statement does not show: DO, CALL, LOAD.
    Code,
}

macro_rules! commands {
    ($($class:ident { $($variant:ident = $tag:literal,)* })*) => {
        /// A command by its tag, as PostgreSQL's `cmdtaglist.h` (src/include/tcop) spells it.
        ///
        /// One variant per tag that PostgreSQL 18's `CreateCommandTag` (src/backend/tcop/utility.c) can return
        /// for a raw statement, but the row-locking tags (`SELECT FOR UPDATE`, ...): those are `SELECT`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Command {
            $($(#[doc = concat!("`", $tag, "`")] $variant,)*)*
        }

        impl Command {
            /// All commands, grouped by class.
            pub fn all() -> &'static [Self] {
                &[$($(Self::$variant,)*)*]
            }

            /// The command tag.
            pub fn tag(self) -> &'static str {
                match self { $($(Self::$variant => $tag,)*)* }
            }

            /// The family.
            pub fn class(self) -> Class {
                match self { $($(Self::$variant => Class::$class,)*)* }
            }
        }
    };
}

commands! {
    Query {
        Select = "SELECT",
        Insert = "INSERT",
        Update = "UPDATE",
        Delete = "DELETE",
        Merge = "MERGE",
    }
    Transaction {
        Begin = "BEGIN",
        StartTransaction = "START TRANSACTION",
        Commit = "COMMIT",
        Rollback = "ROLLBACK",
        Savepoint = "SAVEPOINT",
        Release = "RELEASE",
        PrepareTransaction = "PREPARE TRANSACTION",
        CommitPrepared = "COMMIT PREPARED",
        RollbackPrepared = "ROLLBACK PREPARED",
        SetConstraints = "SET CONSTRAINTS",
        LockTable = "LOCK TABLE",
    }
    Session {
        Set = "SET",
        Reset = "RESET",
        Show = "SHOW",
        Prepare = "PREPARE",
        Execute = "EXECUTE",
        Deallocate = "DEALLOCATE",
        DeallocateAll = "DEALLOCATE ALL",
        DeclareCursor = "DECLARE CURSOR",
        Fetch = "FETCH",
        Move = "MOVE",
        CloseCursor = "CLOSE CURSOR",
        CloseCursorAll = "CLOSE CURSOR ALL",
        DiscardAll = "DISCARD ALL",
        DiscardPlans = "DISCARD PLANS",
        DiscardSequences = "DISCARD SEQUENCES",
        DiscardTemp = "DISCARD TEMP",
        Listen = "LISTEN",
        Unlisten = "UNLISTEN",
        Notify = "NOTIFY",
    }
    Define {
        SelectInto = "SELECT INTO",
        CreateTableAs = "CREATE TABLE AS",
        CreateMaterializedView = "CREATE MATERIALIZED VIEW",
        CreateView = "CREATE VIEW",
        CreateTable = "CREATE TABLE",
        CreateForeignTable = "CREATE FOREIGN TABLE",
        CreateIndex = "CREATE INDEX",
        CreateSequence = "CREATE SEQUENCE",
        CreateSchema = "CREATE SCHEMA",
        CreateDatabase = "CREATE DATABASE",
        CreateTablespace = "CREATE TABLESPACE",
        CreateFunction = "CREATE FUNCTION",
        CreateProcedure = "CREATE PROCEDURE",
        CreateAggregate = "CREATE AGGREGATE",
        CreateOperator = "CREATE OPERATOR",
        CreateOperatorClass = "CREATE OPERATOR CLASS",
        CreateOperatorFamily = "CREATE OPERATOR FAMILY",
        CreateType = "CREATE TYPE",
        CreateDomain = "CREATE DOMAIN",
        CreateCast = "CREATE CAST",
        CreateCollation = "CREATE COLLATION",
        CreateConversion = "CREATE CONVERSION",
        CreateTransform = "CREATE TRANSFORM",
        CreateLanguage = "CREATE LANGUAGE",
        CreateExtension = "CREATE EXTENSION",
        CreateAccessMethod = "CREATE ACCESS METHOD",
        CreateTrigger = "CREATE TRIGGER",
        CreateEventTrigger = "CREATE EVENT TRIGGER",
        CreateRule = "CREATE RULE",
        CreatePolicy = "CREATE POLICY",
        CreateStatistics = "CREATE STATISTICS",
        CreateRole = "CREATE ROLE",
        CreateForeignDataWrapper = "CREATE FOREIGN DATA WRAPPER",
        CreateServer = "CREATE SERVER",
        CreateUserMapping = "CREATE USER MAPPING",
        CreatePublication = "CREATE PUBLICATION",
        CreateSubscription = "CREATE SUBSCRIPTION",
        CreateTextSearchConfiguration = "CREATE TEXT SEARCH CONFIGURATION",
        CreateTextSearchDictionary = "CREATE TEXT SEARCH DICTIONARY",
        CreateTextSearchParser = "CREATE TEXT SEARCH PARSER",
        CreateTextSearchTemplate = "CREATE TEXT SEARCH TEMPLATE",
        AlterTable = "ALTER TABLE",
        AlterForeignTable = "ALTER FOREIGN TABLE",
        AlterIndex = "ALTER INDEX",
        AlterSequence = "ALTER SEQUENCE",
        AlterView = "ALTER VIEW",
        AlterMaterializedView = "ALTER MATERIALIZED VIEW",
        AlterSchema = "ALTER SCHEMA",
        AlterDatabase = "ALTER DATABASE",
        AlterTablespace = "ALTER TABLESPACE",
        AlterFunction = "ALTER FUNCTION",
        AlterProcedure = "ALTER PROCEDURE",
        AlterRoutine = "ALTER ROUTINE",
        AlterAggregate = "ALTER AGGREGATE",
        AlterOperator = "ALTER OPERATOR",
        AlterOperatorClass = "ALTER OPERATOR CLASS",
        AlterOperatorFamily = "ALTER OPERATOR FAMILY",
        AlterType = "ALTER TYPE",
        AlterDomain = "ALTER DOMAIN",
        AlterCast = "ALTER CAST",
        AlterConstraint = "ALTER CONSTRAINT",
        AlterCollation = "ALTER COLLATION",
        AlterConversion = "ALTER CONVERSION",
        AlterTransform = "ALTER TRANSFORM",
        AlterLanguage = "ALTER LANGUAGE",
        AlterLargeObject = "ALTER LARGE OBJECT",
        AlterExtension = "ALTER EXTENSION",
        AlterAccessMethod = "ALTER ACCESS METHOD",
        AlterTrigger = "ALTER TRIGGER",
        AlterEventTrigger = "ALTER EVENT TRIGGER",
        AlterRule = "ALTER RULE",
        AlterPolicy = "ALTER POLICY",
        AlterStatistics = "ALTER STATISTICS",
        AlterRole = "ALTER ROLE",
        AlterDefaultPrivileges = "ALTER DEFAULT PRIVILEGES",
        AlterForeignDataWrapper = "ALTER FOREIGN DATA WRAPPER",
        AlterServer = "ALTER SERVER",
        AlterUserMapping = "ALTER USER MAPPING",
        AlterPublication = "ALTER PUBLICATION",
        AlterSubscription = "ALTER SUBSCRIPTION",
        AlterSystem = "ALTER SYSTEM",
        AlterTextSearchConfiguration = "ALTER TEXT SEARCH CONFIGURATION",
        AlterTextSearchDictionary = "ALTER TEXT SEARCH DICTIONARY",
        AlterTextSearchParser = "ALTER TEXT SEARCH PARSER",
        AlterTextSearchTemplate = "ALTER TEXT SEARCH TEMPLATE",
        DropTable = "DROP TABLE",
        DropForeignTable = "DROP FOREIGN TABLE",
        DropIndex = "DROP INDEX",
        DropSequence = "DROP SEQUENCE",
        DropView = "DROP VIEW",
        DropMaterializedView = "DROP MATERIALIZED VIEW",
        DropSchema = "DROP SCHEMA",
        DropDatabase = "DROP DATABASE",
        DropTablespace = "DROP TABLESPACE",
        DropFunction = "DROP FUNCTION",
        DropProcedure = "DROP PROCEDURE",
        DropRoutine = "DROP ROUTINE",
        DropAggregate = "DROP AGGREGATE",
        DropOperator = "DROP OPERATOR",
        DropOperatorClass = "DROP OPERATOR CLASS",
        DropOperatorFamily = "DROP OPERATOR FAMILY",
        DropType = "DROP TYPE",
        DropDomain = "DROP DOMAIN",
        DropCast = "DROP CAST",
        DropCollation = "DROP COLLATION",
        DropConversion = "DROP CONVERSION",
        DropTransform = "DROP TRANSFORM",
        DropLanguage = "DROP LANGUAGE",
        DropExtension = "DROP EXTENSION",
        DropAccessMethod = "DROP ACCESS METHOD",
        DropTrigger = "DROP TRIGGER",
        DropEventTrigger = "DROP EVENT TRIGGER",
        DropRule = "DROP RULE",
        DropPolicy = "DROP POLICY",
        DropStatistics = "DROP STATISTICS",
        DropRole = "DROP ROLE",
        DropOwned = "DROP OWNED",
        DropForeignDataWrapper = "DROP FOREIGN DATA WRAPPER",
        DropServer = "DROP SERVER",
        DropUserMapping = "DROP USER MAPPING",
        DropPublication = "DROP PUBLICATION",
        DropSubscription = "DROP SUBSCRIPTION",
        DropTextSearchConfiguration = "DROP TEXT SEARCH CONFIGURATION",
        DropTextSearchDictionary = "DROP TEXT SEARCH DICTIONARY",
        DropTextSearchParser = "DROP TEXT SEARCH PARSER",
        DropTextSearchTemplate = "DROP TEXT SEARCH TEMPLATE",
        ReassignOwned = "REASSIGN OWNED",
        TruncateTable = "TRUNCATE TABLE",
        Comment = "COMMENT",
        SecurityLabel = "SECURITY LABEL",
        Grant = "GRANT",
        GrantRole = "GRANT ROLE",
        Revoke = "REVOKE",
        RevokeRole = "REVOKE ROLE",
        ImportForeignSchema = "IMPORT FOREIGN SCHEMA",
    }
    Maintain {
        Vacuum = "VACUUM",
        Analyze = "ANALYZE",
        Cluster = "CLUSTER",
        Reindex = "REINDEX",
        RefreshMaterializedView = "REFRESH MATERIALIZED VIEW",
        Checkpoint = "CHECKPOINT",
    }
    Copy {
        Copy = "COPY",
    }
    Explain {
        Explain = "EXPLAIN",
    }
    Code {
        Do = "DO",
        Call = "CALL",
        Load = "LOAD",
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.tag())
    }
}

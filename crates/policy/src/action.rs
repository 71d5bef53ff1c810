//! The actions that policy speaks of, and the groups they are in.
//!
//! Knows PostgreSQL's commands as words; knows no SQL, no bundle and no Cedar.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::resource::ResourceType;

/// What is done to a resource. The names are PostgreSQL's own where it has one.
///
/// Every PostgreSQL command comes down to some of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Action {
    /// A column is returned, or rows of a relation are read without any of its columns (`count(*)`).
    Select,
    /// A column is used to choose, join, sort or group rows, but is not returned.
    Filter,
    /// A column's value is stored somewhere else by the same statement; never masked.
    Copy,
    /// INSERT, COPY FROM, MERGE's insert.
    Insert,
    /// UPDATE, ON CONFLICT DO UPDATE, MERGE's update, `setval`'s sequence.
    Update,
    /// DELETE, MERGE's delete.
    Delete,
    /// TRUNCATE.
    Truncate,
    /// LOCK TABLE, and the row locks of SELECT FOR UPDATE / SHARE.
    Lock,
    /// A function, procedure, aggregate, operator or cast runs a function; CALL.
    Execute,
    /// DO: an anonymous code block, whose text the gateway can't analyse.
    Do,
    /// CREATE, SELECT INTO, CREATE TABLE AS, IMPORT FOREIGN SCHEMA.
    Create,
    /// ALTER, RENAME, SET SCHEMA, OWNER TO.
    Alter,
    /// DROP, DROP OWNED.
    Drop,
    /// COMMENT ON, SECURITY LABEL.
    Comment,
    /// GRANT and REVOKE on objects, ALTER DEFAULT PRIVILEGES.
    Grant,
    /// VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH MATERIALIZED VIEW.
    Maintain,
    /// The session is opened, and goes on being used: asked for every statement.
    Connect,
    /// BEGIN, COMMIT, ROLLBACK, SAVEPOINT, SET TRANSACTION, PREPARE TRANSACTION, SET CONSTRAINTS.
    Transaction,
    /// SET and RESET of a setting other than the session's role.
    Set,
    /// SHOW.
    Show,
    /// EXPLAIN; what it explains is decided as well.
    Explain,
    /// PREPARE, EXECUTE, DEALLOCATE; the statement is decided as well.
    Prepare,
    /// DECLARE, FETCH, MOVE, CLOSE; the query is decided as well.
    Cursor,
    /// LISTEN.
    Listen,
    /// NOTIFY.
    Notify,
    /// DISCARD, UNLISTEN.
    Discard,
    /// SET ROLE, SET SESSION AUTHORIZATION.
    Impersonate,
    /// CREATE, ALTER, DROP ROLE; GRANT and REVOKE of membership; REASSIGN OWNED.
    Role,
    /// ALTER SYSTEM, CHECKPOINT, ALTER DATABASE, tablespaces, event triggers, extensions, languages, foreign servers.
    System,
    /// COPY from or to a file of the server.
    ServerFile,
    /// COPY from or to a program on the server.
    ServerProgram,
    /// LOAD: a library into the server's process.
    Load,
    /// Publications, subscriptions, replication slots and commands.
    Replicate,
}

/// A named set of actions, for `action in Action::"Read"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActionGroup {
    /// Data leaves its place or steers what does.
    Read,
    /// Data changes, or is kept from changing.
    Write,
    /// Code runs.
    Run,
    /// Objects are made, changed, described, kept up.
    Define,
    /// The session itself.
    Session,
    /// The server, its files, its roles.
    Admin,
}

use ResourceType::{Column, Database, Function, Relation, Schema};

const ANY: &[ResourceType] = &[Database, Schema, Relation, Column, Function];
const DATABASE: &[ResourceType] = &[Database];
const DATA: &[ResourceType] = &[Relation, Column];
const UPKEEP: &[ResourceType] = &[Database, Schema, Relation];

struct About {
    action: Action,
    name: &'static str,
    group: ActionGroup,
    applies_to: &'static [ResourceType],
}

/// INVARIANT: in the order of the enum's variants, each once; a test holds it.
#[rustfmt::skip]
const ABOUT: [About; 33] = {
    use Action as A;
    use ActionGroup::{Admin, Define, Read, Run, Session, Write};
    const fn row(action: A, name: &'static str, group: ActionGroup, applies_to: &'static [ResourceType]) -> About {
        About { action, name, group, applies_to }
    }
    [
        row(A::Select,        "select",         Read,    DATA),
        row(A::Filter,        "filter",         Read,    DATA),
        row(A::Copy,          "copy",           Read,    DATA),
        row(A::Insert,        "insert",         Write,   DATA),
        row(A::Update,        "update",         Write,   DATA),
        row(A::Delete,        "delete",         Write,   &[Relation]),
        row(A::Truncate,      "truncate",       Write,   &[Relation]),
        row(A::Lock,          "lock",           Write,   &[Relation]),
        row(A::Execute,       "execute",        Run,     &[Function]),
        row(A::Do,            "do",             Run,     DATABASE),
        row(A::Create,        "create",         Define,  ANY),
        row(A::Alter,         "alter",          Define,  ANY),
        row(A::Drop,          "drop",           Define,  ANY),
        row(A::Comment,       "comment",        Define,  ANY),
        row(A::Grant,         "grant",          Define,  ANY),
        row(A::Maintain,      "maintain",       Define,  UPKEEP),
        row(A::Connect,       "connect",        Session, DATABASE),
        row(A::Transaction,   "transaction",    Session, DATABASE),
        row(A::Set,           "set",            Session, DATABASE),
        row(A::Show,          "show",           Session, DATABASE),
        row(A::Explain,       "explain",        Session, DATABASE),
        row(A::Prepare,       "prepare",        Session, DATABASE),
        row(A::Cursor,        "cursor",         Session, DATABASE),
        row(A::Listen,        "listen",         Session, DATABASE),
        row(A::Notify,        "notify",         Session, DATABASE),
        row(A::Discard,       "discard",        Session, DATABASE),
        row(A::Impersonate,   "impersonate",    Admin,   DATABASE),
        row(A::Role,          "role",           Admin,   DATABASE),
        row(A::System,        "system",         Admin,   DATABASE),
        row(A::ServerFile,    "server_file",    Admin,   DATABASE),
        row(A::ServerProgram, "server_program", Admin,   DATABASE),
        row(A::Load,          "load",           Admin,   DATABASE),
        row(A::Replicate,     "replicate",      Admin,   DATABASE),
    ]
};

const _: () = {
    let mut i = 0;
    while i < ABOUT.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
        let row = &ABOUT[i];
        assert!(row.action as usize == i, "ABOUT is not in the order of Action");
        i += 1;
    }
};

impl Action {
    /// Returns every action.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        ABOUT.iter().map(|row| row.action)
    }

    /// Returns the word that rules, tests and reports use.
    pub const fn as_str(self) -> &'static str {
        self.about().name
    }

    /// Returns the group that it is in.
    pub const fn group(self) -> ActionGroup {
        self.about().group
    }

    /// Returns the types of resource that it can be asked of; of any other it is always refused.
    pub const fn applies_to(self) -> &'static [ResourceType] {
        self.about().applies_to
    }

    /// Finds an action by its word.
    pub fn from_word(word: &str) -> Option<Self> {
        ABOUT.iter().find(|row| row.name == word).map(|row| row.action)
    }

    const fn about(self) -> &'static About {
        #[expect(
            clippy::indexing_slicing,
            reason = "one row for each variant, in order: asserted at compile time"
        )]
        &ABOUT[self as usize]
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl ActionGroup {
    /// Returns every group.
    pub const fn all() -> [Self; 6] {
        [Self::Read, Self::Write, Self::Run, Self::Define, Self::Session, Self::Admin]
    }

    /// Returns the word that rules use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Run => "Run",
            Self::Define => "Define",
            Self::Session => "Session",
            Self::Admin => "Admin",
        }
    }
}

impl fmt::Display for ActionGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_finds_its_action() {
        for action in Action::all() {
            assert_eq!(Action::from_word(action.as_str()), Some(action));
        }
        assert_eq!(Action::from_word("Read"), None);
    }
}

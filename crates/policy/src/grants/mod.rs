//! What PostgreSQL must grant to an identity so that all that policy could allow it works, and nothing else does: the second lock.
//!
//! [`derive`] asks the rules of a bundle about everything that a database has ([`Objects`]) and returns [`Grants`]. They are never narrower
//! than what [`decide`](crate::decide) could allow, mask or hold in any context; what no privilege gives is told in
//! [`Grants::beyond`]. Knows PostgreSQL's privileges and names; runs no SQL.

mod derive;
mod objects;
mod privilege;
mod scope;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use model::{QualifiedName, quote_identifier};
use serde::Serialize;

use crate::action::Action;
pub use crate::engine::Tagging;
pub use derive::{derive, open_beyond};
pub use objects::{ColumnObject, FunctionObject, Objects, RelationObject, SchemaObject, Server};
pub use privilege::{Privilege, Privileges};
pub use scope::ScopeKey;

/// What privileges are granted on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// A database, by `pg_database.datname`: not as clients name it.
    Database(String),
    /// A schema.
    Schema(String),
    /// A table, view, materialized view or foreign table.
    Table(QualifiedName),
    /// A sequence.
    Sequence(QualifiedName),
    /// A function, procedure, aggregate or window function.
    Routine {
        /// Its name.
        name: QualifiedName,
        /// Its arguments' types as SQL, all schema-qualified.
        arguments: String,
    },
}

impl Object {
    /// Returns whether it is one of PostgreSQL's own, on which only superusers grant. [`derive`] grants nothing on these.
    pub fn is_system(&self) -> bool {
        match self {
            Self::Database(_) => false,
            Self::Schema(name) => crate::catalog::is_system_schema(name),
            Self::Table(name) | Self::Sequence(name) | Self::Routine { name, .. } => {
                crate::catalog::is_system_schema(&name.schema)
            }
        }
    }
}

impl fmt::Display for Object {
    /// Writes it as GRANT names it, quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, name, arguments) = match self {
            Self::Database(name) => return write!(f, "DATABASE {}", quote_identifier(name)),
            Self::Schema(name) => return write!(f, "SCHEMA {}", quote_identifier(name)),
            Self::Table(name) => ("TABLE", name, None),
            Self::Sequence(name) => ("SEQUENCE", name, None),
            Self::Routine { name, arguments } => ("ROUTINE", name, Some(arguments)),
        };
        write!(f, "{word} {}.{}", quote_identifier(&name.schema), quote_identifier(&name.name))?;
        if let Some(arguments) = arguments {
            write!(f, "({arguments})")?;
        }
        Ok(())
    }
}

/// Which columns a privilege is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extent {
    Whole,
    Columns(BTreeSet<Arc<str>>),
}

/// Privileges on objects, each once, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    // INVARIANT: no set of columns is empty; columns only of tables and of privileges that have them
    held: BTreeMap<(Object, Privilege), Extent>,
    beyond: Vec<Beyond>,
}

/// One privilege on one object, or on columns of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The privilege.
    pub privilege: Privilege,
    /// On what, as GRANT names it: `TABLE "public"."orders"`.
    pub on: String,
    /// On which columns; `None` for the object as a whole.
    pub columns: Option<Vec<String>>,
}

/// What changes one set of privileges into another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// To be taken away, first.
    pub revoke: Grants,
    /// To be given.
    pub grant: Grants,
}

/// What policy allows and no privilege on the object gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Beyond {
    /// What it would take.
    #[serde(flatten)]
    pub need: Need,
    /// For what.
    pub actions: BTreeSet<Action>,
    /// On how many objects.
    pub objects: usize,
    /// One of them.
    pub example: String,
}

/// What it takes where a privilege is not enough.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "need", rename_all = "snake_case")]
pub enum Need {
    /// Membership in the role that owns the object; it opens all that this role owns.
    Owner {
        /// `pg_roles.rolname`.
        role: String,
    },
    /// An attribute of the role itself, or membership in one of PostgreSQL's own roles.
    Role {
        /// As CREATE ROLE or GRANT names it.
        what: &'static str,
    },
    /// It is PostgreSQL's own and PUBLIC may not use it: a superuser's, or what a superuser grants.
    System,
    /// The relation may be touched, but none of its columns: PostgreSQL wants the privilege on one of them.
    Column,
    /// It may be locked: for rows PostgreSQL wants UPDATE on a column, for LOCK TABLE in most modes DELETE, TRUNCATE or MAINTAIN.
    Lock,
    /// Policies for row-level security read columns with the rights of whoever asks, and these are not granted.
    RowSecurity {
        /// The columns.
        reads: String,
    },
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner { role } => write!(f, "the rights of the owner, {}", quote_identifier(role)),
            Self::Role { what } => f.write_str(what),
            Self::System => f.write_str("SUPERUSER, or a superuser's grant: it is PostgreSQL's own"),
            Self::Column => f.write_str("a column that may be touched in this way"),
            Self::Lock => f.write_str(
                "UPDATE on a column to lock rows, and DELETE, TRUNCATE or MAINTAIN for LOCK TABLE",
            ),
            Self::RowSecurity { reads } => {
                write!(f, "SELECT ON {reads}, which a policy of row-level security reads")
            }
        }
    }
}

impl fmt::Display for Grant {
    /// Writes what is between GRANT and TO.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.privilege.as_str())?;
        if let Some(columns) = &self.columns {
            let columns: Vec<String> = columns.iter().map(|column| quote_identifier(column)).collect();
            write!(f, " ({})", columns.join(", "))?;
        }
        write!(f, " ON {}", self.on)
    }
}

impl Grants {
    /// Returns whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns how many privileges there are, columns counted together.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Iterates over the privileges: by object, then by privilege.
    pub fn iter(&self) -> impl Iterator<Item = (&Object, Grant)> {
        self.held.iter().map(|((object, privilege), extent)| {
            let columns = match extent {
                Extent::Whole => None,
                Extent::Columns(columns) => Some(columns.iter().map(|c| c.to_string()).collect()),
            };
            (object, Grant { privilege: *privilege, on: object.to_string(), columns })
        })
    }

    /// Returns what policy allows and these privileges don't give.
    pub fn beyond(&self) -> &[Beyond] {
        &self.beyond
    }

    /// Returns whether they hold a privilege on an object as a whole.
    pub fn has(&self, object: &Object, privilege: Privilege) -> bool {
        self.extent(object, privilege) == Some(&Extent::Whole)
    }

    /// Returns whether they hold a privilege on a column of a table, by itself or with the whole.
    pub fn has_column(&self, table: &QualifiedName, column: &str, privilege: Privilege) -> bool {
        match self.extent(&Object::Table(table.clone()), privilege) {
            Some(Extent::Whole) => true,
            Some(Extent::Columns(columns)) => columns.contains(column),
            None => false,
        }
    }

    /// Returns whether they hold a privilege on a table or any of its columns.
    pub fn has_any(&self, table: &QualifiedName, privilege: Privilege) -> bool {
        self.extent(&Object::Table(table.clone()), privilege).is_some()
    }

    fn extent(&self, object: &Object, privilege: Privilege) -> Option<&Extent> {
        self.held.get(&(object.clone(), privilege))
    }

    /// Returns the privileges as SQL, each without a semicolon.
    pub fn statements(&self, role: &str) -> Vec<String> {
        let role = quote_identifier(role);
        self.iter().map(|(_, grant)| format!("GRANT {grant} TO {role}")).collect()
    }

    /// Returns the SQL that takes them away, each statement without a semicolon.
    pub fn revocations(&self, role: &str) -> Vec<String> {
        let role = quote_identifier(role);
        self.iter().map(|(_, grant)| format!("REVOKE {grant} FROM {role}")).collect()
    }

    /// Returns those on objects that satisfy a condition.
    pub fn filtered(&self, keep: impl Fn(&Object) -> bool) -> Self {
        let held = self.held.iter().filter(|((object, _), _)| keep(object));
        let held = held.map(|(key, extent)| (key.clone(), extent.clone())).collect();
        Self { held, beyond: self.beyond.clone() }
    }

    /// Returns what must change so that exactly `new` is held.
    pub fn change_to(&self, new: &Self) -> Change {
        Change { revoke: self.less(new), grant: new.less(self) }
    }

    /// What is here and not there; `beyond` left out.
    fn less(&self, other: &Self) -> Self {
        let mut left = BTreeMap::new();
        for (key, extent) in &self.held {
            let more = match (extent, other.held.get(key)) {
                (mine, Some(theirs)) if mine == theirs => continue,
                (Extent::Columns(mine), Some(Extent::Columns(theirs))) => {
                    let more: BTreeSet<Arc<str>> = mine.difference(theirs).cloned().collect();
                    if more.is_empty() {
                        continue;
                    }
                    Extent::Columns(more)
                }
                (mine, _) => mine.clone(),
            };
            left.insert(key.clone(), more);
        }
        Self { held: left, beyond: Vec::new() }
    }

    pub(super) fn grant(&mut self, object: Object, privilege: Privilege) {
        self.held.insert((object, privilege), Extent::Whole);
    }

    pub(super) fn grant_columns(
        &mut self,
        table: &QualifiedName,
        privilege: Privilege,
        columns: BTreeSet<Arc<str>>,
    ) {
        if !columns.is_empty() {
            self.held.insert((Object::Table(table.clone()), privilege), Extent::Columns(columns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> QualifiedName {
        QualifiedName { schema: "s".to_owned(), name: name.to_owned() }
    }

    fn columns(names: &[&str]) -> BTreeSet<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn a_change_takes_away_what_is_too_much_and_gives_what_is_missing() {
        let mut old = Grants::default();
        old.grant(Object::Schema("s".to_owned()), Privilege::Usage);
        old.grant_columns(&name("t"), Privilege::Select, columns(&["a", "b"]));
        old.grant(Object::Table(name("t")), Privilege::Delete);
        let mut new = Grants::default();
        new.grant(Object::Schema("s".to_owned()), Privilege::Usage);
        new.grant_columns(&name("t"), Privilege::Select, columns(&["b", "c\"x"]));
        let change = old.change_to(&new);
        let revoke = change.revoke.revocations("r\"1");
        assert_eq!(
            revoke,
            [
                r#"REVOKE SELECT ("a") ON TABLE "s"."t" FROM "r""1""#,
                r#"REVOKE DELETE ON TABLE "s"."t" FROM "r""1""#,
            ]
        );
        assert_eq!(change.grant.statements("r"), [r#"GRANT SELECT ("c""x") ON TABLE "s"."t" TO "r""#]);
        assert_eq!(new.change_to(&new), Change::default());
        assert_eq!(Grants::default().change_to(&new).grant, new);
    }
}

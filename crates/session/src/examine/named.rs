//! What utility statements name: relations with the privileges that PostgreSQL checks of them, and other objects.
//!
//! Which privilege each command needs is from PostgreSQL's own checks (tablecmds.c, copy.c, lockcmds.c, parse_utilcmd.c) and its
//! reference pages. Knows what was asked and what names were resolved to; decides nothing.

use model::Oid;
use querytree::Origin;
use sql::{Ask, Columns, Name, RoleName, RoutineKind, Touch};

use super::lore::Wanted;
use super::tell::Teller;
use super::told::{self, Object, Told};

/// Adds what an ask names to what is wanted.
pub(super) fn want(oid: Option<Oid>, wanted: &mut Wanted) {
    wanted.relations.extend(oid);
}

impl Teller<'_> {
    /// Tells of one thing that a utility statement names; `oid` is what a relation's name was resolved to.
    pub(super) fn named(&self, ask: &Ask, oid: Option<Oid>, version: u32, told: &mut Told) {
        match ask {
            Ask::Query { .. } | Ask::Expression { .. } | Ask::Unsupported(_) => {}
            Ask::Relation { name, columns, touch, .. } => {
                let relation = self.named_relation(name, columns, *touch, oid, version);
                if *touch == Touch::Select {
                    told.output = self.copied(&relation);
                }
                told::add_relation(&mut told.relations, relation);
            }
            Ask::Routine { name, kind, touch, .. } if *touch == Touch::Execute => {
                let found = self.lookup.functions_named(name.schema.as_deref(), &name.name);
                let origin = Origin { statement: true, ..Origin::default() };
                for (oid, _) in found {
                    told::add_function(&mut told.functions, self.function(oid, &origin));
                }
                note(told, routine(*kind), Some(name.to_string()), *touch);
            }
            Ask::Routine { name, kind, touch, .. } => {
                note(told, routine(*kind), Some(name.to_string()), *touch);
            }
            Ask::New { kind, name, .. } => note(told, kind.name(), Some(name.to_string()), Touch::Create),
            Ask::Schema { name, touch, .. } => note(told, "schema", name.clone(), *touch),
            Ask::Type { sql, touch, .. } => note(told, "type", Some(sql.clone()), *touch),
            Ask::Object { kind, name, touch, .. } => note(told, kind.name(), Some(name.join(".")), *touch),
            Ask::Database { name, touch } => note(told, "database", name.clone(), *touch),
            Ask::Role { name, touch } => note(told, "role", role(name), *touch),
            Ask::Setting { name, touch } => note(told, "setting", name.clone(), *touch),
        }
    }

    fn named_relation(
        &self,
        name: &Name,
        columns: &Columns,
        touch: Touch,
        oid: Option<Oid>,
        version: u32,
    ) -> told::Relation {
        let privileges: Vec<_> = privilege(touch, version).into_iter().collect();
        let mut relation = match oid {
            Some(oid) => self.bare(oid),
            None => told::Relation::named(name.schema.clone(), name.name.clone(), self.lore.role.clone()),
        };
        relation.named_for = vec![does(touch)];
        if matches!(touch, Touch::Select | Touch::Copy | Touch::Insert | Touch::Update | Touch::Reference) {
            let ways: &[&'static str] = match touch {
                Touch::Select => &["output"],
                Touch::Copy => &["copy"],
                Touch::Insert => &["insert"],
                Touch::Update => &["update"],
                _ => &[],
            };
            let known = oid.and_then(|oid| self.relation(oid));
            for column in known.into_iter().flat_map(|known| known.columns.iter()) {
                let is_named = match columns {
                    Columns::Named(names) => names.iter().any(|name| **name == *column.name),
                    // COPY leaves generated columns out (`CopyGetAttnums`, copy.c); a foreign key without columns refers to the
                    // primary key, which is one or some of them.
                    Columns::All => touch != Touch::Reference && !column.generated,
                };
                if is_named {
                    relation.columns.push(told::Column {
                        name: column.name.to_string(),
                        number: column.number,
                        ways: ways.to_vec(),
                        privileges: privileges.clone(),
                        whole_row: false,
                        sources: Vec::new(),
                    });
                }
            }
        }
        if relation.columns.is_empty() && matches!(touch, Touch::Select | Touch::Insert) {
            relation.any_column.clone_from(&privileges);
        }
        relation.privileges = privileges;
        relation
    }

    /// The columns that COPY of a table returns, of those that it names in the order of the table.
    fn copied(&self, relation: &told::Relation) -> Vec<told::Output> {
        let schema = relation.schema.as_deref().unwrap_or_default();
        let known = relation.oid.and_then(|oid| self.relation(Oid(oid)));
        let output = |column: &told::Column| told::Output {
            name: column.name.clone(),
            type_name: known
                .and_then(|known| known.column(column.number))
                .and_then(|column| self.type_name(column.type_oid)),
            sources: vec![told::Source {
                relation: format!("{schema}.{}", relation.name),
                column: column.name.clone(),
                role: relation.role.clone(),
                bare: true,
            }],
            mask: None,
        };
        relation.columns.iter().map(output).collect()
    }
}

fn note(told: &mut Told, kind: &'static str, name: Option<String>, touch: Touch) {
    let object = Object { kind, name, does: does(touch) };
    if !told.objects.contains(&object) {
        told.objects.push(object);
    }
}

fn routine(kind: RoutineKind) -> &'static str {
    match kind {
        RoutineKind::Function => "function",
        RoutineKind::Procedure => "procedure",
        RoutineKind::Aggregate => "aggregate",
        RoutineKind::Routine => "routine",
    }
}

fn role(name: &RoleName) -> Option<String> {
    match name {
        RoleName::Named(name) => Some(name.clone()),
        RoleName::Public => Some("PUBLIC".to_owned()),
        RoleName::CurrentUser => Some("CURRENT_USER".to_owned()),
        RoleName::CurrentRole => Some("CURRENT_ROLE".to_owned()),
        RoleName::SessionUser => Some("SESSION_USER".to_owned()),
        RoleName::All => None,
    }
}

/// The privilege that PostgreSQL wants of a relation for what is done with it. `None`: none of the relation's own.
fn privilege(touch: Touch, version: u32) -> Option<&'static str> {
    Some(match touch {
        Touch::Select | Touch::Copy | Touch::Like => "SELECT",
        Touch::Insert => "INSERT",
        Touch::Update => "UPDATE",
        Touch::Delete => "DELETE",
        Touch::Truncate => "TRUNCATE",
        // Which privileges will do depends on the mode (`LockTableAclCheck`, lockcmds.c).
        Touch::Lock(_) => "LOCK",
        Touch::Reference => "REFERENCES",
        Touch::Trigger => "TRIGGER",
        Touch::Vacuum | Touch::Analyze | Touch::Cluster | Touch::Reindex | Touch::Refresh => {
            if version >= 17 { "MAINTAIN" } else { "OWNER" }
        }
        Touch::Grant | Touch::Revoke => "GRANT OPTION",
        Touch::Alter
        | Touch::Attach
        | Touch::Comment
        | Touch::Drop
        | Touch::Index
        | Touch::Label
        | Touch::Policy
        | Touch::Publish
        | Touch::Rule
        | Touch::Statistics => "OWNER",
        Touch::Create | Touch::Defer | Touch::Execute | Touch::Grantee | Touch::Own | Touch::Use => {
            return None;
        }
    })
}

/// What is done, in a word or two.
fn does(touch: Touch) -> &'static str {
    use sql::LockMode as Mode;
    match touch {
        Touch::Select => "select",
        Touch::Copy => "copy",
        Touch::Insert => "insert",
        Touch::Update => "update",
        Touch::Delete => "delete",
        Touch::Truncate => "truncate",
        Touch::Create => "create",
        Touch::Alter => "alter",
        Touch::Drop => "drop",
        Touch::Comment => "comment",
        Touch::Label => "label",
        Touch::Grant => "grant",
        Touch::Revoke => "revoke",
        Touch::Index => "index",
        Touch::Trigger => "trigger",
        Touch::Policy => "policy",
        Touch::Rule => "rule",
        Touch::Statistics => "statistics",
        Touch::Lock(Mode::AccessShare) => "lock access share",
        Touch::Lock(Mode::RowShare) => "lock row share",
        Touch::Lock(Mode::RowExclusive) => "lock row exclusive",
        Touch::Lock(Mode::ShareUpdateExclusive) => "lock share update exclusive",
        Touch::Lock(Mode::Share) => "lock share",
        Touch::Lock(Mode::ShareRowExclusive) => "lock share row exclusive",
        Touch::Lock(Mode::Exclusive) => "lock exclusive",
        Touch::Lock(Mode::AccessExclusive) => "lock access exclusive",
        Touch::Vacuum => "vacuum",
        Touch::Analyze => "analyze",
        Touch::Cluster => "cluster",
        Touch::Reindex => "reindex",
        Touch::Refresh => "refresh",
        Touch::Attach => "attach",
        Touch::Reference => "reference",
        Touch::Like => "like",
        Touch::Publish => "publish",
        Touch::Use => "use",
        Touch::Execute => "execute",
        Touch::Own => "own",
        Touch::Grantee => "grantee",
        Touch::Defer => "defer",
    }
}

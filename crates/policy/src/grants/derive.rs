//! From rules to privileges, object by object.
//!
//! An action becomes the privilege that PostgreSQL checks for it (aclchk.c, execMain.c `ExecCheckPermissions`, lockcmds.c). Never a
//! wider one: columns are always listed, so that a later column is not covered. What no privilege gives is told, not granted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{Identity, QualifiedName};

use super::objects::{ColumnObject, FunctionObject, Objects, RelationObject, object_of};
use super::{Beyond, Grants, Need, Object, Privilege, Privileges, Tagging};
use crate::action::Action;
use crate::bundle::Bundle;
use crate::catalog;
use crate::engine::{Known, Supposition};
use crate::resource::{FunctionFacts, RelationKind, Resource};

const OWNERS: [Action; 4] = [Action::Alter, Action::Drop, Action::Comment, Action::Grant];
const READING: [Action; 3] = [Action::Select, Action::Filter, Action::Copy];

/// Derives what an identity could ever use of a database by this bundle, whatever is promised, approved, or the time.
///
/// Pure. Whoever may not connect, and whoever rules can't be asked about, gets nothing.
pub fn derive(bundle: &Bundle, identity: &Identity, objects: &Objects) -> Grants {
    let Ok(supposed) = bundle.suppose(identity) else { return Grants::default() };
    let mut derivation = Derivation {
        bundle,
        supposed,
        objects,
        relations: objects.relations.iter().map(|relation| (&relation.name, relation)).collect(),
        schemas: BTreeSet::new(),
        grants: Grants::default(),
        beyond: BTreeMap::new(),
        defines: false,
        advances: false,
        sets: false,
    };
    if derivation.could(Action::Connect, &Resource::Database) {
        derivation.all();
    }
    derivation.grants
}

/// Returns what every role holds by PUBLIC beyond what this identity could ever use: it is outside the second lock.
pub fn open_beyond(bundle: &Bundle, identity: &Identity, objects: &Objects) -> Grants {
    let mut closed = objects.clone();
    closed.public = Privileges::default();
    closed.schemas.iter_mut().for_each(|schema| schema.public = Privileges::default());
    closed.functions.iter_mut().for_each(|function| function.public = Privileges::default());
    for relation in &mut closed.relations {
        relation.public = Privileges::default();
        relation.columns.iter_mut().for_each(|column| column.public = Privileges::default());
    }
    objects.open().less(&derive(bundle, identity, &closed))
}

struct Derivation<'d> {
    bundle: &'d Bundle,
    supposed: Supposition<'d>,
    objects: &'d Objects,
    relations: HashMap<&'d QualifiedName, &'d RelationObject>,
    /// Schemas in which something may be named.
    schemas: BTreeSet<String>,
    grants: Grants,
    beyond: BTreeMap<Need, (BTreeSet<Action>, BTreeSet<String>)>,
    /// Relations may be made in some schema.
    defines: bool,
    /// `nextval` or a function that shows what it gave may be called; which sequence it is given can't be told.
    advances: bool,
    /// The same of `setval`.
    sets: bool,
}

/// What columns of a relation share that rules can't tell apart: tags from elsewhere, whether these are all, the bundle's, and whether
/// it reveals.
type Likeness<'o> = (&'o [String], Tagging, Vec<String>, bool);

/// What may be done to a column.
#[derive(Clone, Copy, Default)]
struct Uses {
    read: bool,
    insert: bool,
    update: bool,
    refer: bool,
}

impl Derivation<'_> {
    fn all(&mut self) {
        self.database();
        for schema in &self.objects.schemas {
            if catalog::is_system_schema(&schema.name) {
                continue;
            }
            let resource = self.known(&Resource::Schema { name: schema.name.clone() }, Tagging::Complete);
            let Some(resource) = resource else { continue };
            if self.supposed.could(Action::Create, &resource) {
                self.defines = true;
                self.schemas.insert(schema.name.clone());
                if !schema.public.has(Privilege::Create) {
                    self.grants.grant(Object::Schema(schema.name.clone()), Privilege::Create);
                }
            }
            self.owner(&resource, &schema.owner, &OWNERS, || format!("SCHEMA {}", schema.name));
        }
        self.functions();
        for relation in &self.objects.relations {
            if relation.facts.system() && relation.public.has(Privilege::Select) {
                // Of what is PostgreSQL's own only reading is ever granted, and this everyone may.
                continue;
            }
            match relation.facts.kind() {
                RelationKind::Sequence => self.sequence(relation),
                RelationKind::Table
                | RelationKind::PartitionedTable
                | RelationKind::View
                | RelationKind::MaterializedView
                | RelationKind::ForeignTable => self.relation(relation),
                RelationKind::Index | RelationKind::CompositeType | RelationKind::ToastTable => {}
            }
        }
        self.row_security();
        for schema in &self.objects.schemas {
            let system = catalog::is_system_schema(&schema.name);
            if !system && self.schemas.contains(&schema.name) && !schema.public.has(Privilege::Usage) {
                self.grants.grant(Object::Schema(schema.name.clone()), Privilege::Usage);
            }
        }
        let beyond = std::mem::take(&mut self.beyond).into_iter();
        self.grants.beyond = beyond
            .map(|(need, (actions, objects))| {
                let example = objects.first().cloned().unwrap_or_default();
                Beyond { need, actions, objects: objects.len(), example }
            })
            .collect();
    }

    fn known(&self, resource: &Resource, tagging: Tagging) -> Option<Known> {
        let tags = |relation: &QualifiedName, column: &str| self.tags(relation, column);
        self.supposed.resource(resource, tagging, &tags).ok()
    }

    fn tags(&self, relation: &QualifiedName, column: &str) -> Vec<String> {
        self.bundle.tags(relation, column).into_iter().map(|tag| tag.as_str().to_owned()).collect()
    }

    fn could(&self, action: Action, resource: &Resource) -> bool {
        // SECURITY: what rules can't be asked about is refused whenever it is asked.
        self.known(resource, Tagging::Complete).is_some_and(|known| self.supposed.could(action, &known))
    }

    fn needs(&mut self, need: Need, action: Action, example: impl FnOnce() -> String) {
        let (actions, objects) = self.beyond.entry(need).or_default();
        actions.insert(action);
        objects.insert(example());
    }

    fn owner(&mut self, resource: &Known, owner: &str, actions: &[Action], name: impl Fn() -> String) {
        for action in actions {
            if self.supposed.could(*action, resource) {
                self.needs(Need::Owner { role: owner.to_owned() }, *action, &name);
            }
        }
    }

    fn database(&mut self) {
        let name = &self.objects.database;
        let database = Object::Database(name.clone());
        let mut wanted = vec![Privilege::Connect];
        if self.could(Action::Create, &Resource::Database) {
            wanted.push(Privilege::Create);
        }
        // Temporary relations are in a schema of the session's own.
        if self.could(Action::Create, &Resource::Schema { name: "pg_temp".to_owned() }) {
            wanted.push(Privilege::Temporary);
        }
        for privilege in wanted.into_iter().filter(|privilege| !self.objects.public.has(*privilege)) {
            self.grants.grant(database.clone(), privilege);
        }
        let roles = [
            (Action::Impersonate, "membership in the roles that are set"),
            (Action::Role, "CREATEROLE"),
            (Action::System, "SUPERUSER, or being the owner of what is changed"),
            (Action::ServerFile, "membership in pg_read_server_files and pg_write_server_files"),
            (Action::ServerProgram, "membership in pg_execute_server_program"),
            (Action::Load, "SUPERUSER"),
            (Action::Replicate, "REPLICATION, or being the owner of what is published"),
        ];
        let owned = OWNERS.map(|action| (action, "being the owner of the database or of what is changed"));
        for (action, what) in roles.into_iter().chain(owned) {
            if self.could(action, &Resource::Database) {
                self.needs(Need::Role { what }, action, || format!("DATABASE {name}"));
            }
        }
    }

    fn functions(&mut self) {
        // Rules know overloads by one name: called together, each counts with the stricter facts of both.
        let mut together: HashMap<&QualifiedName, FunctionFacts> = HashMap::new();
        for function in &self.objects.functions {
            let facts = &function.facts;
            let known = together.entry(&function.name).or_insert(*facts);
            *known = known.stricter(facts);
        }
        for function in &self.objects.functions {
            let FunctionObject { name, facts, .. } = function;
            let system = catalog::is_system_schema(&name.schema);
            let of_sequences = system && is_of_sequences(&name.name);
            if system && !of_sequences && function.public.has(Privilege::Execute) {
                continue;
            }
            let mut ways = vec![*facts];
            ways.extend(together.get(name).filter(|all| *all != facts));
            let could = ways
                .into_iter()
                .any(|facts| self.could(Action::Execute, &Resource::Function { name: name.clone(), facts }));
            if could {
                self.sets |= of_sequences && name.name == "setval";
                self.advances |= of_sequences && name.name != "setval";
                self.execute(function);
                self.schemas.insert(name.schema.clone());
            }
            if !system {
                let resource = Resource::Function { name: name.clone(), facts: *facts };
                if let Some(resource) = self.known(&resource, Tagging::Complete) {
                    self.owner(&resource, &function.owner, &OWNERS, || format!("ROUTINE {name}"));
                }
            }
        }
    }

    fn execute(&mut self, function: &FunctionObject) {
        if function.public.has(Privilege::Execute) {
            return;
        }
        if catalog::is_system_schema(&function.name.schema) {
            self.needs(Need::System, Action::Execute, || format!("ROUTINE {}", function.name));
        } else {
            let (name, arguments) = (function.name.clone(), function.arguments.clone());
            self.grants.grant(Object::Routine { name, arguments }, Privilege::Execute);
        }
    }

    fn sequence(&mut self, relation: &RelationObject) {
        let Some(whole) = self.relation_known(relation) else { return };
        let reads = READING.iter().any(|action| self.supposed.could(*action, &whole))
            || relation.columns.iter().any(|column| self.column(relation, column).read);
        let writes = self.supposed.could(Action::Update, &whole);
        let system = relation.facts.system();
        let wanted = [
            (Privilege::Select, reads),
            (Privilege::Update, !system && (writes || self.sets)),
            (Privilege::Usage, !system && self.advances),
        ];
        for (privilege, wanted) in wanted {
            if wanted {
                self.schemas.insert(relation.name.schema.clone());
                if !relation.public.has(privilege) {
                    self.grants.grant(object_of(relation), privilege);
                }
            }
        }
        if !system {
            self.owner(&whole, &relation.owner, &OWNERS, || format!("SEQUENCE {}", relation.name));
        }
    }

    fn relation_known(&self, relation: &RelationObject) -> Option<Known> {
        let resource = Resource::Relation { name: relation.name.clone(), facts: relation.facts };
        self.known(&resource, Tagging::Complete)
    }

    fn relation(&mut self, relation: &RelationObject) {
        let Some(whole) = self.relation_known(relation) else { return };
        let mut columns: BTreeMap<Privilege, BTreeSet<Arc<str>>> = BTreeMap::new();
        let mut used: BTreeSet<Privilege> = BTreeSet::new();
        let mut alike: HashMap<Likeness<'_>, Uses> = HashMap::new();
        for column in &relation.columns {
            let path = crate::path::join([
                self.bundle.database(),
                &relation.name.schema,
                &relation.name.name,
                &column.name,
            ]);
            let uses = if self.supposed.names_column(&path) {
                self.column(relation, column)
            } else {
                let reveals = catalog::column_reveals(&relation.name, &column.name).is_some();
                let tags = self.tags(&relation.name, &column.name);
                let key = (column.tags.as_slice(), column.tagging, tags, reveals);
                match alike.get(&key) {
                    Some(uses) => *uses,
                    None => *alike.entry(key).or_insert(self.column(relation, column)),
                }
            };
            let writable = !column.system;
            let wanted = [
                (Privilege::Select, uses.read),
                (Privilege::Insert, uses.insert && writable && is_written(relation)),
                (Privilege::Update, uses.update && writable && is_written(relation)),
                (Privilege::References, uses.refer && writable && self.defines && is_referred_to(relation)),
            ];
            for (privilege, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
                used.insert(privilege);
                if !relation.public.has(privilege) && !column.public.has(privilege) {
                    columns.entry(privilege).or_default().insert(column.name.clone());
                }
                self.schemas.extend(column.type_schema.as_deref().map(str::to_owned));
            }
        }
        if relation.facts.system() {
            // SECURITY: PostgreSQL keeps these from everyone (connection strings, password hashes); a policy for data is no reason.
            if !columns.is_empty() {
                self.needs(Need::System, Action::Select, || relation.name.to_string());
            }
            return;
        }
        for (privilege, columns) in columns {
            self.grants.grant_columns(&relation.name, privilege, columns);
        }
        self.as_a_whole(relation, &whole, &mut used);
        if !used.is_empty() {
            self.carried(relation, &used);
        }
    }

    fn column(&self, relation: &RelationObject, column: &ColumnObject) -> Uses {
        let resource = Resource::Column {
            relation: relation.name.clone(),
            column: column.name.to_string(),
            tags: column.tags.clone(),
            facts: relation.facts,
        };
        let Some(known) = self.known(&resource, column.tagging) else { return Uses::default() };
        let could = |action| self.supposed.could(action, &known);
        Uses {
            read: READING.into_iter().any(could),
            insert: could(Action::Insert),
            update: could(Action::Update),
            refer: could(Action::Filter),
        }
    }

    /// What is asked of a relation and of no column.
    fn as_a_whole(&mut self, relation: &RelationObject, whole: &Known, used: &mut BTreeSet<Privilege>) {
        let name = || relation.name.to_string();
        // PostgreSQL wants the privilege on any column.
        let by_column = [
            (Privilege::Select, READING.to_vec()),
            (Privilege::Insert, vec![Action::Insert]),
            (Privilege::Update, vec![Action::Update]),
        ];
        for (privilege, actions) in by_column {
            let asked = privilege == Privilege::Select || is_written(relation);
            for action in actions {
                if asked && !used.contains(&privilege) && self.supposed.could(action, whole) {
                    self.needs(Need::Column, action, name);
                }
            }
        }
        let empties = !matches!(relation.facts.kind(), RelationKind::View) && is_written(relation);
        let maintained = self.objects.server.has_maintain() && is_maintained(relation);
        for (action, privilege, there) in [
            (Action::Delete, Privilege::Delete, is_written(relation)),
            (Action::Truncate, Privilege::Truncate, empties),
            (Action::Maintain, Privilege::Maintain, maintained),
        ] {
            if there && self.supposed.could(action, whole) {
                used.insert(privilege);
                if !relation.public.has(privilege) {
                    self.grants.grant(object_of(relation), privilege);
                }
            }
        }
        let locks = used.contains(&Privilege::Update)
            && [Privilege::Delete, Privilege::Truncate, Privilege::Maintain].iter().any(|p| used.contains(p));
        if !locks && self.supposed.could(Action::Lock, whole) {
            self.needs(Need::Lock, Action::Lock, name);
        }
        self.owner(whole, &relation.owner, &OWNERS, name);
        self.owner(whole, &relation.owner, &[Action::Create], name);
        if !maintained {
            self.owner(whole, &relation.owner, &[Action::Maintain], name);
        }
    }

    /// What a relation that is used needs besides, with the rights of whoever uses it.
    fn carried(&mut self, relation: &RelationObject, used: &BTreeSet<Privilege>) {
        self.schemas.insert(relation.name.schema.clone());
        let objects = self.objects;
        for function in relation.calls.iter().filter_map(|at| objects.functions.get(*at)) {
            self.execute(function);
        }
        if used.contains(&Privilege::Insert) || used.contains(&Privilege::Update) {
            for sequence in &relation.sequences {
                if !self.relations.get(sequence).is_some_and(|known| known.public.has(Privilege::Usage)) {
                    self.grants.grant(Object::Sequence(sequence.clone()), Privilege::Usage);
                }
            }
        }
    }

    /// Tells what policies for row-level security read and is not granted.
    fn row_security(&mut self) {
        let objects = self.objects;
        let with_policies = objects.relations.iter().filter(|relation| !relation.policies_read.is_empty());
        for relation in with_policies {
            if ![Privilege::Select, Privilege::Insert, Privilege::Update, Privilege::Delete]
                .into_iter()
                .any(|privilege| self.grants.has_any(&relation.name, privilege))
            {
                continue;
            }
            for (other, column) in &relation.policies_read {
                let public = self.relations.get(other).is_some_and(|known| {
                    let own = known.columns.iter().find(|known| known.name == *column);
                    known.public.has(Privilege::Select)
                        || own.is_some_and(|own| own.public.has(Privilege::Select))
                });
                if !public && !self.grants.has_column(other, column, Privilege::Select) {
                    let reads = format!("{other}.{column}");
                    self.needs(Need::RowSecurity { reads }, Action::Select, || relation.name.to_string());
                }
            }
        }
    }
}

/// The functions whose argument is a sequence, on which they check privileges (sequence.c).
fn is_of_sequences(name: &str) -> bool {
    matches!(name, "nextval" | "currval" | "lastval" | "setval" | "pg_sequence_last_value")
}

fn is_written(relation: &RelationObject) -> bool {
    matches!(
        relation.facts.kind(),
        RelationKind::Table
            | RelationKind::PartitionedTable
            | RelationKind::View
            | RelationKind::ForeignTable
    )
}

fn is_referred_to(relation: &RelationObject) -> bool {
    matches!(relation.facts.kind(), RelationKind::Table | RelationKind::PartitionedTable)
}

fn is_maintained(relation: &RelationObject) -> bool {
    matches!(
        relation.facts.kind(),
        RelationKind::Table | RelationKind::PartitionedTable | RelationKind::MaterializedView
    )
}

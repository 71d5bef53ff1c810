//! Objects that a statement names rather than queries: which action on which resource each one is.

use model::Oid;
use policy::{
    Action, Declared, FunctionClass, FunctionFacts, FunctionSecurity, Language, Persistence, RelationFacts,
    RelationKind, Resource, Volatility,
};
use sql::{
    Ask, Class, Columns, Command, CopySource, Effect, LockMode, Name, ObjectKind, RoleName, RoutineKind,
    Statement, Touch,
};

use super::build::{Builder, Stop};
use super::{facts, new_schema, qualified};
use crate::catalog::Row;
use crate::forward::RESERVED_PREFIX;
use crate::mode::{Mode, PARAMETER};
use crate::refuse::Refusal;

/// The server's answer to [`super::names_query`].
pub(super) struct Names {
    oids: Vec<Option<Oid>>,
    creation_schema: Option<String>,
}

impl Names {
    pub(super) fn read(rows: &[Row]) -> Result<Self, Stop> {
        let unreadable =
            || Refusal::NotUnderstood("the server's answer about names can't be read".to_owned());
        let text = |value: &Option<Vec<u8>>| value.as_ref().map(|v| String::from_utf8(v.clone())).transpose();
        let mut names = Self { oids: vec![None; rows.len()], creation_schema: None };
        for row in rows {
            let [index, oid, schema] = row.as_slice() else { return Err(unreadable().into()) };
            let index: usize =
                text(index).ok().flatten().and_then(|i| i.parse().ok()).ok_or_else(unreadable)?;
            let oid = match text(oid).map_err(|_| unreadable())? {
                Some(oid) => Some(Oid(oid.parse().map_err(|_| unreadable())?)),
                None => None,
            };
            *names.oids.get_mut(index).ok_or_else(unreadable)? = oid;
            names.creation_schema = text(schema).map_err(|_| unreadable())?;
        }
        Ok(names)
    }
}

/// Returns what the relations that a statement names were resolved to, in the order of its asks.
pub(crate) fn resolved(rows: &[Row]) -> Result<Vec<Option<Oid>>, Refusal> {
    match Names::read(rows) {
        Ok(names) => Ok(names.oids),
        Err(Stop::Refused(refusal)) => Err(refusal),
        Err(Stop::Missing) => Ok(Vec::new()),
    }
}

impl Builder<'_> {
    pub(super) fn named(&mut self, ask: &Ask, names: &Names, index: usize) -> Result<(), Stop> {
        let creation = names.creation_schema.as_deref();
        match ask {
            Ask::Query { .. } | Ask::Expression { .. } => Ok(()),
            Ask::Relation { name, columns, touch, missing_ok } => {
                let oid = names.oids.get(index).copied().flatten();
                if oid.is_none() && *missing_ok && *touch == Touch::Copy {
                    // The name of a WITH query.
                    return Ok(());
                }
                self.relation_ask(name, columns, *touch, oid, creation)
            }
            Ask::New { kind, name, temporary, replace: _ } => self.new_ask(*kind, name, *temporary, creation),
            Ask::Schema { name, touch, missing_ok: _ } => {
                if *touch == Touch::Publish {
                    // Every table that is in it, or ever will be.
                    self.add(Action::Replicate, Resource::Database)?;
                    return self.add(Action::System, Resource::Database);
                }
                let Some(action) = define_action(*touch) else { return Ok(()) };
                match name.as_deref().or(creation) {
                    Some(schema) => self.add(action, Resource::Schema { name: schema.to_owned() }),
                    None => self.add(action, Resource::Database),
                }
            }
            Ask::Routine { name, kind, touch, missing_ok, .. } => {
                // One of several things that a word can mean.
                let guessed = *kind == RoutineKind::Routine && *touch == Touch::Execute;
                let sure = if guessed && *missing_ok { None } else { Some(creation.unwrap_or("pg_catalog")) };
                self.routine_ask(name, *touch, sure, guessed)
            }
            // What a column's type is, or that a type is named, reveals and changes nothing.
            Ask::Type { touch: Touch::Use | Touch::Like, .. } => Ok(()),
            Ask::Type { touch, .. } => {
                self.add(define_action(*touch).unwrap_or(Action::Alter), Resource::Database)
            }
            Ask::Object { kind, touch, .. } => self.object_ask(*kind, *touch),
            Ask::Database { touch, .. } => match touch {
                Touch::Comment
                | Touch::Label
                | Touch::Grant
                | Touch::Revoke
                | Touch::Analyze
                | Touch::Vacuum
                | Touch::Reindex
                | Touch::Cluster => {
                    self.add(define_action(*touch).unwrap_or(Action::System), Resource::Database)
                }
                Touch::Create => self.add(Action::Create, Resource::Database),
                _ => self.add(Action::System, Resource::Database),
            },
            Ask::Role { touch: Touch::Own | Touch::Grantee | Touch::Use, name } => {
                self.analysis.names_roles |= matches!(name, RoleName::Named(_) | RoleName::All);
                Ok(())
            }
            Ask::Role { .. } => self.add(Action::Role, Resource::Database),
            // SECURITY: a function that has it among its settings would run as somebody else.
            Ask::Setting { name: Some(name), .. } if name.starts_with(RESERVED_PREFIX) => {
                Err(Refusal::Reserved(name.clone()).into())
            }
            Ask::Setting { .. } => self.add(Action::System, Resource::Database),
            Ask::Unsupported(what) => Err(Refusal::NotUnderstood(what.clone()).into()),
        }
    }

    fn add(&mut self, action: Action, resource: Resource) -> Result<(), Stop> {
        self.touch(action, (resource, Vec::new()));
        Ok(())
    }

    fn relation_ask(
        &mut self,
        name: &Name,
        columns: &Columns,
        touch: Touch,
        oid: Option<Oid>,
        creation: Option<&str>,
    ) -> Result<(), Stop> {
        let Some(oid) = oid else {
            // It doesn't exist: the server will say so. Decided as if it were an ordinary table of that name, so that
            // a policy that would refuse it does.
            let schema = name.schema.as_deref().or(creation).unwrap_or("pg_catalog");
            let name = qualified(schema, &name.name);
            let facts = RelationFacts::new(&name, RelationKind::Table, Persistence::Permanent);
            let action = relation_action(touch).unwrap_or(Action::Select);
            return self.add(action, Resource::Relation { name, facts });
        };
        let Some(relation) = self.lookup.relation(oid).cloned() else {
            self.missing.0.insert((facts::Kind::Relation, oid));
            return Ok(());
        };
        self.met(oid);
        if !matches!(touch, Touch::Select | Touch::Use | Touch::Like) {
            // Keys that are there twice, rows that a new constraint fails for, values that a new type doesn't take.
            self.quotable(&relation, None)?;
        }
        let chosen = match columns {
            Columns::All => None,
            Columns::Named(names) => Some(names.as_slice()),
        };
        match touch {
            Touch::Select => self.copied_columns(oid, &relation, chosen),
            Touch::Insert | Touch::Update => {
                let action = if touch == Touch::Insert { Action::Insert } else { Action::Update };
                let all: Vec<String> = match chosen {
                    Some(names) => names.to_vec(),
                    None => {
                        relation.columns.iter().filter(|c| !c.generated).map(|c| c.name.to_string()).collect()
                    }
                };
                if all.is_empty() {
                    let resource = self.relation_resource(&relation)?;
                    self.add(action, resource)?;
                }
                for column in all {
                    let resource = self.column_resource(&relation, &column)?;
                    let number = relation.columns.iter().find(|c| *c.name == *column).map(|c| c.number);
                    let lineage = number.map(|number| self.lineage(oid, number, &[])).transpose()?;
                    let names = lineage.map(|lineage| lineage.names).unwrap_or_default();
                    self.touch(action, (resource, names));
                }
                Ok(())
            }
            Touch::Copy => self.kept_columns(&relation, chosen),
            Touch::Publish => {
                self.add(Action::Replicate, Resource::Database)?;
                self.kept_columns(&relation, chosen)
            }
            Touch::Use => Ok(()),
            touch => {
                let resource = self.relation_resource(&relation)?;
                let action = relation_action(touch).unwrap_or(Action::Alter);
                self.add(action, resource)
            }
        }
    }

    /// Columns whose values are kept, or go elsewhere, in the clear. Words that are no columns of it name something else.
    fn kept_columns(
        &mut self,
        relation: &crate::catalog::Relation,
        chosen: Option<&[String]>,
    ) -> Result<(), Stop> {
        let wanted = |name: &str| chosen.is_none_or(|names| names.iter().any(|n| n == name));
        let columns: Vec<_> = relation.columns.iter().filter(|column| wanted(&column.name)).collect();
        if columns.is_empty() {
            let resource = self.relation_resource(relation)?;
            return self.add(Action::Copy, resource);
        }
        for column in columns {
            let resource = self.column_resource(relation, &column.name)?;
            let lineage = self.lineage(relation.oid, column.number, &[])?;
            self.touch(Action::Copy, (resource, lineage.names));
        }
        Ok(())
    }

    /// What names lead to besides what they name: relations behind views, functions behind operators and casts.
    pub(super) fn reached(&mut self, rows: &[Row]) -> Result<(), Stop> {
        for row in rows {
            let (kind, oid) = match row.as_slice() {
                [Some(kind), Some(oid)] => (kind.as_slice(), std::str::from_utf8(oid).ok()),
                _ => (b"".as_slice(), None),
            };
            let oid = oid.and_then(|oid| oid.parse().ok()).map(Oid);
            match (kind, oid) {
                (b"r", Some(oid)) => match self.lookup.relation(oid).cloned() {
                    Some(relation) => self.kept_columns(&relation, None)?,
                    None => drop(self.missing.0.insert((facts::Kind::Relation, oid))),
                },
                (b"p", Some(oid)) => self.called(oid),
                _ => {
                    let what = "the server's answer about what names lead to can't be read";
                    return Err(Refusal::NotUnderstood(what.to_owned()).into());
                }
            }
        }
        Ok(())
    }

    fn new_ask(
        &mut self,
        kind: ObjectKind,
        name: &Name,
        temporary: bool,
        creation: Option<&str>,
    ) -> Result<(), Stop> {
        if temporary {
            self.analysis.unsettles = true;
        }
        match object_action(kind) {
            Some(action) => self.add(action, Resource::Database),
            None if kind == ObjectKind::Schema => self.add(Action::Create, Resource::Database),
            None => match new_schema(name.schema.as_deref(), temporary, creation) {
                Some(schema) => self.add(Action::Create, Resource::Schema { name: schema }),
                None => self.add(Action::Create, Resource::Database),
            },
        }
    }

    /// `sure`: the schema it is taken to be in if there is none of that name; the server will say so. `None`: it need not
    /// exist. `guessed`: what only computes isn't worth a question.
    fn routine_ask(
        &mut self,
        name: &Name,
        touch: Touch,
        sure: Option<&str>,
        guessed: bool,
    ) -> Result<(), Stop> {
        let found = self.lookup.functions_named(name.schema.as_deref(), &name.name);
        let action = if touch == Touch::Execute {
            Action::Execute
        } else {
            define_action(touch).unwrap_or(Action::Alter)
        };
        if found.is_empty() {
            if self.routines_asked.contains(&name.name) {
                let Some(schema) = name.schema.as_deref().or(sure) else { return Ok(()) };
                let name = qualified(schema, &name.name);
                // Nobody has read what isn't there.
                let facts = FunctionFacts::new(&Declared {
                    name: &name,
                    oid: Oid(u32::MAX),
                    arguments: None,
                    language: Language::Procedural,
                    volatility: Volatility::Volatile,
                    security: FunctionSecurity::Invoker,
                });
                return self.add(action, Resource::Function { name, facts });
            }
            self.missing.1.insert(name.name.clone());
            return Ok(());
        }
        for (oid, function) in found {
            let facts = facts::function_facts(oid, &function);
            if guessed && facts.class() == FunctionClass::Harmless {
                continue;
            }
            self.add(action, Resource::Function { name: function.name.clone(), facts })?;
        }
        Ok(())
    }

    fn object_ask(&mut self, kind: ObjectKind, touch: Touch) -> Result<(), Stop> {
        // What an operator calls is among what names lead to.
        if touch == Touch::Use || touch == Touch::Execute {
            return Ok(());
        }
        match object_action(kind) {
            Some(action) => self.add(action, Resource::Database),
            None => self.add(define_action(touch).unwrap_or(Action::Alter), Resource::Database),
        }
    }

    /// What the command itself is, beside what it names.
    pub(super) fn command(&mut self, statement: &Statement) -> Result<(), Stop> {
        let analysis = &mut self.analysis;
        match &statement.effect {
            Effect::Define => {
                analysis.unsettles = true;
                analysis.defines = true;
                analysis.reads_only = false;
            }
            Effect::Anything => {
                analysis.names_roles = true;
                analysis.unsettles = true;
                analysis.defines = true;
                analysis.reads_only = false;
            }
            Effect::CopyIn(format) | Effect::CopyOut(format) => {
                analysis.reads_only &= !matches!(statement.effect, Effect::CopyIn(_));
                match &format.source {
                    CopySource::Client => {}
                    CopySource::File(_) => self.server_side(Action::ServerFile)?,
                    CopySource::Program(_) => self.server_side(Action::ServerProgram)?,
                }
            }
            _ => {}
        }
        if let Some(action) = command_action(statement)? {
            self.add(action, Resource::Database)?;
        }
        if self.analysis.touches.len() < 2
            && !statement.asks.iter().any(|ask| matches!(ask, Ask::Query { .. }))
            && statement.command.class() != Class::Query
            && self.missing.is_empty()
        {
            let what = format!("{} names nothing that policy can decide", statement.command.tag());
            return Err(Refusal::NotUnderstood(what).into());
        }
        Ok(())
    }

    /// Rows leave the wire: what they hold must be readable in the clear.
    fn server_side(&mut self, action: Action) -> Result<(), Stop> {
        for touch in &mut self.analysis.touches {
            if touch.action == Action::Select {
                touch.action = Action::Copy;
            }
        }
        self.analysis.results = super::Results::None;
        self.analysis.reads_only = false;
        self.add(action, Resource::Database)
    }
}

/// The action on a relation that is named. `None`: no action of its own.
fn relation_action(touch: Touch) -> Option<Action> {
    match touch {
        Touch::Select | Touch::Like => Some(Action::Select),
        Touch::Copy => Some(Action::Copy),
        Touch::Insert => Some(Action::Insert),
        Touch::Update => Some(Action::Update),
        Touch::Delete => Some(Action::Delete),
        Touch::Truncate => Some(Action::Truncate),
        // What every SELECT takes; PostgreSQL asks no more than SELECT for it either (`LockTableAclCheck`, lockcmds.c).
        Touch::Lock(LockMode::AccessShare) => Some(Action::Select),
        Touch::Lock(_) => Some(Action::Lock),
        Touch::Reference => Some(Action::Filter),
        Touch::Publish => Some(Action::Copy),
        touch => define_action(touch),
    }
}

/// The action of a definition, on whatever it is done to. `None`: naming it is not an action.
fn define_action(touch: Touch) -> Option<Action> {
    match touch {
        Touch::Create => Some(Action::Create),
        Touch::Drop => Some(Action::Drop),
        Touch::Comment | Touch::Label => Some(Action::Comment),
        Touch::Grant | Touch::Revoke => Some(Action::Grant),
        Touch::Vacuum | Touch::Analyze | Touch::Cluster | Touch::Reindex | Touch::Refresh => {
            Some(Action::Maintain)
        }
        Touch::Alter
        | Touch::Index
        | Touch::Trigger
        | Touch::Policy
        | Touch::Rule
        | Touch::Statistics
        | Touch::Attach
        | Touch::Defer => Some(Action::Alter),
        Touch::Execute => Some(Action::Execute),
        Touch::Publish => Some(Action::Replicate),
        Touch::Select
        | Touch::Copy
        | Touch::Insert
        | Touch::Update
        | Touch::Delete
        | Touch::Truncate
        | Touch::Lock(_) => Some(Action::Alter),
        Touch::Reference | Touch::Like | Touch::Use | Touch::Own | Touch::Grantee => None,
    }
}

/// The action for objects that live in no schema. `None`: it lives in one, or in a relation that is named besides.
fn object_action(kind: ObjectKind) -> Option<Action> {
    match kind {
        ObjectKind::Role => Some(Action::Role),
        ObjectKind::Publication | ObjectKind::Subscription => Some(Action::Replicate),
        ObjectKind::AccessMethod
        | ObjectKind::Cast
        | ObjectKind::Database
        | ObjectKind::EventTrigger
        | ObjectKind::Extension
        | ObjectKind::ForeignDataWrapper
        | ObjectKind::Language
        | ObjectKind::LargeObject
        | ObjectKind::Server
        | ObjectKind::Tablespace
        | ObjectKind::Transform
        | ObjectKind::UserMapping => Some(Action::System),
        ObjectKind::Aggregate
        | ObjectKind::Collation
        | ObjectKind::Constraint
        | ObjectKind::Conversion
        | ObjectKind::Domain
        | ObjectKind::ForeignTable
        | ObjectKind::Function
        | ObjectKind::Index
        | ObjectKind::MaterializedView
        | ObjectKind::Operator
        | ObjectKind::OperatorClass
        | ObjectKind::OperatorFamily
        | ObjectKind::Policy
        | ObjectKind::Procedure
        | ObjectKind::Routine
        | ObjectKind::Rule
        | ObjectKind::Schema
        | ObjectKind::Sequence
        | ObjectKind::Statistics
        | ObjectKind::Table
        | ObjectKind::TextSearchConfiguration
        | ObjectKind::TextSearchDictionary
        | ObjectKind::TextSearchParser
        | ObjectKind::TextSearchTemplate
        | ObjectKind::Trigger
        | ObjectKind::Type
        | ObjectKind::View => None,
    }
}

/// The name in SQL that a statement makes, drops or sets, if it is one that the gateway keeps for itself.
fn reserved(effect: &Effect) -> Option<&str> {
    let name = match effect {
        Effect::Prepare { name }
        | Effect::Execute { name, .. }
        | Effect::Deallocate(Some(name))
        | Effect::Declare { name, .. }
        | Effect::Fetch { name, .. }
        | Effect::CloseCursor(Some(name))
        | Effect::Set { name, .. }
        | Effect::Reset(name) => name,
        _ => return None,
    };
    let settable = name == PARAMETER && matches!(effect, Effect::Set { .. } | Effect::Reset(_));
    (name.starts_with(RESERVED_PREFIX) && !settable).then_some(name)
}

/// The action that a command is by itself, asked of the database.
fn command_action(statement: &Statement) -> Result<Option<Action>, Refusal> {
    if let Some(name) = reserved(&statement.effect) {
        return Err(Refusal::Reserved(name.to_owned()));
    }
    let action = match &statement.effect {
        Effect::Set { name, value: sql::SetTo::Value(value), .. }
            if name == PARAMETER && Mode::read(value).is_none() =>
        {
            let why = format!("setting {PARAMETER} to anything but wait and async");
            return Err(Refusal::Unsupported(why));
        }
        // The gateway reads text as UTF-8 with standard strings: these must stay.
        Effect::Set { name, .. } | Effect::Reset(name)
            if matches!(name.as_str(), "client_encoding" | "standard_conforming_strings" | "names")
                && !keeps_text_readable(&statement.effect) =>
        {
            return Err(Refusal::Unsupported(format!("changing {name}")));
        }
        Effect::Set { name, .. } | Effect::Reset(name)
            if matches!(name.as_str(), "role" | "session_authorization") =>
        {
            Action::Impersonate
        }
        Effect::Set { .. } | Effect::Reset(_) | Effect::ResetAll => Action::Set,
        Effect::Show(_) => Action::Show,
        Effect::SetRole { .. } | Effect::SetSessionAuthorization { .. } => Action::Impersonate,
        Effect::Begin { .. }
        | Effect::Commit { .. }
        | Effect::Rollback { .. }
        | Effect::Savepoint(_)
        | Effect::RollbackTo(_)
        | Effect::Release(_)
        | Effect::PrepareTransaction { .. }
        | Effect::CommitPrepared { .. }
        | Effect::RollbackPrepared { .. }
        | Effect::SetTransaction { .. }
        | Effect::SetSnapshot
        | Effect::SetConstraints => Action::Transaction,
        Effect::Prepare { .. } | Effect::Execute { .. } | Effect::Deallocate(_) => Action::Prepare,
        Effect::Declare { .. } | Effect::Fetch { .. } | Effect::CloseCursor(_) => Action::Cursor,
        // UNLISTEN is a part of DISCARD ALL, and what pools say before they lend a connection again.
        Effect::DiscardAll
        | Effect::DiscardPlans
        | Effect::DiscardSequences
        | Effect::DiscardTemp
        | Effect::Unlisten(_) => Action::Discard,
        Effect::Listen(_) => Action::Listen,
        Effect::Notify { .. } => Action::Notify,
        Effect::Anything => match statement.command {
            Command::Do => Action::Do,
            Command::Load => Action::Load,
            _ => return Ok(None),
        },
        Effect::None => match statement.command {
            Command::Explain => Action::Explain,
            Command::Checkpoint => Action::System,
            _ => return Ok(None),
        },
        // What the call is of, the tree says.
        Effect::Define | Effect::CopyIn(_) | Effect::CopyOut(_) | Effect::SetByCalls(_) => return Ok(None),
    };
    Ok(Some(action))
}

/// Whether setting it by a call of `set_config` is no more than SET of it: the session's role and how text is read are.
pub(super) fn is_ordinary_setting(name: &str) -> bool {
    let special =
        ["client_encoding", "standard_conforming_strings", "names", "role", "session_authorization"];
    !special.contains(&name) && !name.starts_with(RESERVED_PREFIX)
}

fn keeps_text_readable(effect: &Effect) -> bool {
    let Effect::Set { name, value, .. } = effect else { return false };
    let sql::SetTo::Value(value) = value else { return false };
    let folded: String =
        value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match name.as_str() {
        "standard_conforming_strings" => matches!(folded.as_str(), "on" | "true" | "yes" | "1"),
        _ => matches!(folded.as_str(), "utf8" | "unicode"),
    }
}

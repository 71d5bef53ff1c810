//! Statements about any kind of object: DROP, COMMENT, SECURITY LABEL, RENAME, OWNER TO, SET SCHEMA, DEPENDS ON.
//! Knows which form each kind's name takes in the raw tree (src/backend/parser/gram.y), and nothing else of it.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterObjectDependsStmt, AlterObjectSchemaStmt, AlterOwnerStmt, CommentStmt, DropStmt, Node, ObjectType,
    RangeVar, RenameStmt, SecLabelStmt,
};

use super::Reader;
use super::alter::string_node;
use super::names::{items, string, strings};
use super::options::value;
use crate::{Ask, Columns, Command, ObjectKind, RoutineKind, Touch};

/// A kind's commands and what is asked about its objects.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) alter: Command,
    pub(super) drop: Option<Command>,
    pub(super) form: Form,
}

/// How objects of a kind are named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Relation,
    Column,
    /// The last part of a name whose other parts are a relation's.
    PartOf(ObjectKind),
    Routine(RoutineKind),
    Type,
    DomainConstraint,
    Schema,
    Database,
    Role,
    Other(ObjectKind),
}

/// `AlterObjectTypeCommandTag` and DROP's tags (src/backend/tcop/utility.c).
pub(super) fn kind(object: i32) -> Option<Kind> {
    use Command as C;
    use ObjectKind as K;
    use ObjectType as O;
    let other = Form::Other;
    let (alter, drop, form) = match ObjectType::try_from(object).ok()? {
        O::ObjectTable => (C::AlterTable, Some(C::DropTable), Form::Relation),
        O::ObjectForeignTable => (C::AlterForeignTable, Some(C::DropForeignTable), Form::Relation),
        O::ObjectView => (C::AlterView, Some(C::DropView), Form::Relation),
        O::ObjectMatview => (C::AlterMaterializedView, Some(C::DropMaterializedView), Form::Relation),
        O::ObjectSequence => (C::AlterSequence, Some(C::DropSequence), Form::Relation),
        O::ObjectIndex => (C::AlterIndex, Some(C::DropIndex), Form::Relation),
        O::ObjectColumn => (C::AlterTable, None, Form::Column),
        O::ObjectTrigger => (C::AlterTrigger, Some(C::DropTrigger), Form::PartOf(K::Trigger)),
        O::ObjectRule => (C::AlterRule, Some(C::DropRule), Form::PartOf(K::Rule)),
        O::ObjectPolicy => (C::AlterPolicy, Some(C::DropPolicy), Form::PartOf(K::Policy)),
        O::ObjectTabconstraint => (C::AlterTable, None, Form::PartOf(K::Constraint)),
        O::ObjectFunction => (C::AlterFunction, Some(C::DropFunction), Form::Routine(RoutineKind::Function)),
        O::ObjectProcedure => {
            (C::AlterProcedure, Some(C::DropProcedure), Form::Routine(RoutineKind::Procedure))
        }
        O::ObjectRoutine => (C::AlterRoutine, Some(C::DropRoutine), Form::Routine(RoutineKind::Routine)),
        O::ObjectAggregate => {
            (C::AlterAggregate, Some(C::DropAggregate), Form::Routine(RoutineKind::Aggregate))
        }
        O::ObjectType => (C::AlterType, Some(C::DropType), Form::Type),
        O::ObjectDomain => (C::AlterDomain, Some(C::DropDomain), Form::Type),
        O::ObjectDomconstraint => (C::AlterDomain, None, Form::DomainConstraint),
        O::ObjectAttribute => (C::AlterType, None, Form::Type),
        O::ObjectSchema => (C::AlterSchema, Some(C::DropSchema), Form::Schema),
        O::ObjectDatabase => (C::AlterDatabase, None, Form::Database),
        O::ObjectRole => (C::AlterRole, None, Form::Role),
        O::ObjectOperator => (C::AlterOperator, Some(C::DropOperator), other(K::Operator)),
        O::ObjectOpclass => (C::AlterOperatorClass, Some(C::DropOperatorClass), other(K::OperatorClass)),
        O::ObjectOpfamily => (C::AlterOperatorFamily, Some(C::DropOperatorFamily), other(K::OperatorFamily)),
        O::ObjectCast => (C::AlterCast, Some(C::DropCast), other(K::Cast)),
        O::ObjectTransform => (C::AlterTransform, Some(C::DropTransform), other(K::Transform)),
        O::ObjectCollation => (C::AlterCollation, Some(C::DropCollation), other(K::Collation)),
        O::ObjectConversion => (C::AlterConversion, Some(C::DropConversion), other(K::Conversion)),
        O::ObjectStatisticExt => (C::AlterStatistics, Some(C::DropStatistics), other(K::Statistics)),
        O::ObjectTsconfiguration => (
            C::AlterTextSearchConfiguration,
            Some(C::DropTextSearchConfiguration),
            other(K::TextSearchConfiguration),
        ),
        O::ObjectTsdictionary => {
            (C::AlterTextSearchDictionary, Some(C::DropTextSearchDictionary), other(K::TextSearchDictionary))
        }
        O::ObjectTsparser => {
            (C::AlterTextSearchParser, Some(C::DropTextSearchParser), other(K::TextSearchParser))
        }
        O::ObjectTstemplate => {
            (C::AlterTextSearchTemplate, Some(C::DropTextSearchTemplate), other(K::TextSearchTemplate))
        }
        O::ObjectAccessMethod => (C::AlterAccessMethod, Some(C::DropAccessMethod), other(K::AccessMethod)),
        O::ObjectEventTrigger => (C::AlterEventTrigger, Some(C::DropEventTrigger), other(K::EventTrigger)),
        O::ObjectExtension => (C::AlterExtension, Some(C::DropExtension), other(K::Extension)),
        O::ObjectFdw => {
            (C::AlterForeignDataWrapper, Some(C::DropForeignDataWrapper), other(K::ForeignDataWrapper))
        }
        O::ObjectForeignServer => (C::AlterServer, Some(C::DropServer), other(K::Server)),
        O::ObjectLanguage => (C::AlterLanguage, Some(C::DropLanguage), other(K::Language)),
        O::ObjectLargeobject => (C::AlterLargeObject, None, other(K::LargeObject)),
        O::ObjectPublication => (C::AlterPublication, Some(C::DropPublication), other(K::Publication)),
        O::ObjectSubscription => (C::AlterSubscription, Some(C::DropSubscription), other(K::Subscription)),
        O::ObjectTablespace => (C::AlterTablespace, Some(C::DropTablespace), other(K::Tablespace)),
        O::Undefined
        | O::ObjectAmop
        | O::ObjectAmproc
        | O::ObjectDefault
        | O::ObjectDefacl
        | O::ObjectParameterAcl
        | O::ObjectPublicationNamespace
        | O::ObjectPublicationRel
        | O::ObjectUserMapping => return None,
    };
    Some(Kind { alter, drop, form })
}

/// What touching a part does to the relation that it is a part of.
fn whole(part: ObjectKind, touch: Touch) -> Touch {
    match (touch, part) {
        (Touch::Comment | Touch::Label, _) => touch,
        (_, ObjectKind::Trigger) => Touch::Trigger,
        (_, ObjectKind::Rule) => Touch::Rule,
        (_, ObjectKind::Policy) => Touch::Policy,
        _ => Touch::Alter,
    }
}

impl Reader<'_> {
    pub(super) fn drop_objects(&mut self, stmt: &DropStmt) -> Command {
        let DropStmt { objects, remove_type, behavior: _, missing_ok, concurrent: _ } = stmt;
        let Some(Kind { drop: Some(command), form, .. }) = kind(*remove_type) else {
            self.unsupported("DROP of such an object");
            return Command::DropOwned;
        };
        for object in objects {
            self.object(form, object, Touch::Drop, *missing_ok);
        }
        command
    }

    pub(super) fn comment(&mut self, stmt: &CommentStmt) -> Command {
        let CommentStmt { objtype, object, comment: _ } = stmt;
        self.described(*objtype, object, Touch::Comment);
        Command::Comment
    }

    pub(super) fn security_label(&mut self, stmt: &SecLabelStmt) -> Command {
        let SecLabelStmt { objtype, object, provider: _, label: _ } = stmt;
        self.described(*objtype, object, Touch::Label);
        Command::SecurityLabel
    }

    fn described(&mut self, objtype: i32, object: &Option<Box<Node>>, touch: Touch) {
        match (kind(objtype), object) {
            (Some(kind), Some(object)) => self.object(kind.form, object, touch, false),
            _ => self.unsupported("an object of such a kind"),
        }
    }

    pub(super) fn rename(&mut self, stmt: &RenameStmt) -> Command {
        let RenameStmt {
            rename_type,
            relation_type,
            relation,
            object,
            subname,
            newname: _,
            behavior: _,
            missing_ok,
        } = stmt;
        let Some(named) = kind(*rename_type) else {
            self.unsupported("renaming such an object");
            return Command::AlterTable;
        };
        let touch = Touch::Alter;
        match (named.form, relation, object) {
            (Form::Schema | Form::Database | Form::Role | Form::Other(_), None, None) => {
                self.named(named.form, subname, touch, *missing_ok);
            }
            (Form::DomainConstraint, None, Some(domain)) => {
                self.object(Form::Type, domain, touch, *missing_ok)
            }
            (form, relation, Some(object)) => {
                self.target(form, relation.as_ref(), Some(object), "", *missing_ok)
            }
            (form, relation, None) => self.target(form, relation.as_ref(), None, subname, *missing_ok),
        }
        // Of a column, the tag is that of what it is a column of.
        match named.form {
            Form::Column => kind(*relation_type).map_or(Command::AlterTable, |kind| kind.alter),
            _ => named.alter,
        }
    }

    pub(super) fn alter_owner(&mut self, stmt: &AlterOwnerStmt) -> Command {
        let AlterOwnerStmt { object_type, relation, object, newowner } = stmt;
        let command = self.altered(*object_type, relation.as_ref(), object.as_deref(), false);
        self.role(newowner.as_ref(), Touch::Own);
        command
    }

    pub(super) fn alter_schema_of(&mut self, stmt: &AlterObjectSchemaStmt) -> Command {
        let AlterObjectSchemaStmt { object_type, relation, object, newschema, missing_ok } = stmt;
        let command = self.altered(*object_type, relation.as_ref(), object.as_deref(), *missing_ok);
        self.schema(newschema, Touch::Create, false);
        command
    }

    pub(super) fn alter_depends(&mut self, stmt: &AlterObjectDependsStmt) -> Command {
        let AlterObjectDependsStmt { object_type, relation, object, extname, remove: _ } = stmt;
        let command = self.altered(*object_type, relation.as_ref(), object.as_deref(), false);
        if let Some(name) = extname {
            self.plain(ObjectKind::Extension, &name.sval, Touch::Use, false);
        }
        command
    }

    fn altered(
        &mut self,
        objtype: i32,
        relation: Option<&RangeVar>,
        object: Option<&Node>,
        missing_ok: bool,
    ) -> Command {
        let Some(kind) = kind(objtype) else {
            self.unsupported("altering such an object");
            return Command::AlterTable;
        };
        // DEPENDS ON of a trigger names it by itself, and its relation beside it.
        let part = match object {
            Some(Node { node: Some(NodeEnum::List(list)) }) => list.items.first(),
            other => other,
        };
        let part = part.and_then(string).filter(|_| relation.is_some()).unwrap_or_default();
        self.target(kind.form, relation, object.filter(|_| part.is_empty()), part, missing_ok);
        kind.alter
    }

    /// An object given as a relation, a part of one, or by a name of its own.
    fn target(
        &mut self,
        form: Form,
        relation: Option<&RangeVar>,
        object: Option<&Node>,
        part: &str,
        missing_ok: bool,
    ) {
        let touch = Touch::Alter;
        match (form, relation, object) {
            (Form::Relation, Some(relation), None) => {
                self.relation(Some(relation), Columns::All, touch, missing_ok);
            }
            (Form::Column, Some(relation), None) => {
                let columns = Columns::Named(vec![part.to_owned()]);
                self.relation(Some(relation), columns, touch, missing_ok);
            }
            (Form::PartOf(kind), Some(relation), None) => {
                self.relation(Some(relation), Columns::All, whole(kind, touch), missing_ok);
                self.plain(kind, part, touch, missing_ok);
            }
            // A composite type's attribute.
            (Form::Type, Some(relation), None) => {
                self.read(relation);
                let schema = Some(&relation.schemaname).filter(|schema| !schema.is_empty());
                let parts: Vec<Node> =
                    schema.into_iter().chain([&relation.relname]).map(|part| string_node(part)).collect();
                self.type_of(&parts, touch, missing_ok);
            }
            (_, None, Some(object)) => self.object(form, object, touch, missing_ok),
            _ => self.unsupported("altering such an object"),
        }
    }

    /// An object that is named by one word.
    fn named(&mut self, form: Form, name: &str, touch: Touch, missing_ok: bool) {
        match form {
            Form::Schema => self.schema(name, touch, missing_ok),
            Form::Database => self.database(name, touch),
            Form::Role => {
                let name = crate::RoleName::Named(name.to_owned());
                self.asks.push(Ask::Role { name, touch });
            }
            Form::Other(kind) => self.plain(kind, name, touch, missing_ok),
            Form::Relation
            | Form::Column
            | Form::PartOf(_)
            | Form::Routine(_)
            | Form::Type
            | Form::DomainConstraint => self.unsupported("an object of such a kind"),
        }
    }

    /// An object by its node in the raw tree.
    pub(super) fn object(&mut self, form: Form, node: &Node, touch: Touch, missing_ok: bool) {
        let parts = items(node).and_then(strings);
        match (form, &node.node, parts) {
            (Form::Relation, _, Some(parts)) => self.relation_of(&parts, Columns::All, touch, missing_ok),
            (Form::Column, _, Some(parts)) => match parts.split_last() {
                Some((column, relation)) if !relation.is_empty() => {
                    self.relation_of(relation, Columns::Named(vec![column.clone()]), touch, missing_ok);
                }
                _ => self.unsupported("a column without its relation"),
            },
            (Form::PartOf(kind), _, Some(parts)) => match parts.split_last() {
                Some((name, relation)) if !relation.is_empty() => {
                    self.relation_of(relation, Columns::All, whole(kind, touch), missing_ok);
                    self.plain(kind, name, touch, missing_ok);
                }
                _ => self.unsupported(format!("a {} without its relation", kind.name())),
            },
            (Form::Routine(kind), Some(NodeEnum::ObjectWithArgs(object)), _) => {
                self.routine(object, kind, touch, missing_ok);
            }
            (Form::Type, Some(NodeEnum::TypeName(name)), _) => self.type_name(Some(name), touch, missing_ok),
            (Form::Type, Some(NodeEnum::List(list)), Some(_)) => self.type_of(&list.items, touch, missing_ok),
            (Form::DomainConstraint, Some(NodeEnum::List(list)), _) => match list.items.first() {
                Some(domain) => self.object(Form::Type, domain, touch, missing_ok),
                None => self.unsupported("a domain"),
            },
            (Form::Schema | Form::Database | Form::Role, Some(NodeEnum::String(name)), _) => {
                self.named(form, &name.sval, touch, missing_ok);
            }
            (Form::Other(kind), _, _) => self.other(kind, node, touch, missing_ok),
            _ => self.unsupported("an object named in such a way"),
        }
    }

    /// An object of a kind that policy knows by its kind and name alone.
    fn other(&mut self, kind: ObjectKind, node: &Node, touch: Touch, missing_ok: bool) {
        self.read(node);
        let name = match &node.node {
            Some(NodeEnum::ObjectWithArgs(object)) => strings(&object.objname),
            // A cast's two types; a transform's type and language.
            Some(NodeEnum::List(list)) => list
                .items
                .iter()
                .map(|item| match &item.node {
                    Some(NodeEnum::TypeName(name)) => super::names::type_sql(name),
                    _ => string(item).map(str::to_owned),
                })
                .collect(),
            _ => value(node).map(|name| vec![name]),
        };
        match name {
            Some(name) => self.asks.push(Ask::Object { kind, name, touch, missing_ok }),
            None => self.unsupported(format!("the name of a {}", kind.name())),
        }
    }
}

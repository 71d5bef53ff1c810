//! Definitions that few statements make: databases, extensions, foreign data, replication, types, operators, text
//! search. Knows no tables.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterExtensionContentsStmt, AlterOpFamilyStmt, CreateCastStmt, CreateOpClassItem, CreateOpClassStmt,
    CreateTransformStmt, CreatedbStmt, DefineStmt, ImportForeignSchemaStmt, Node, ObjectType,
    PublicationObjSpec, PublicationObjSpecType, PublicationTable, TypeName,
};

use super::Reader;
use super::names::{columns, strings};
use super::object::kind;
use super::options::{options, text};
use super::table::node;
use crate::{Ask, Command, ExpressionRole, ObjectKind as K, Touch};

impl<'s> Reader<'_> {
    pub(super) fn rare(&mut self, stmt: &'s NodeEnum) -> Command {
        use NodeEnum as N;
        match stmt {
            N::CreatedbStmt(_)
            | N::AlterDatabaseStmt(_)
            | N::AlterDatabaseRefreshCollStmt(_)
            | N::AlterDatabaseSetStmt(_)
            | N::DropdbStmt(_)
            | N::AlterSystemStmt(_)
            | N::CreateTableSpaceStmt(_)
            | N::DropTableSpaceStmt(_)
            | N::AlterTableSpaceOptionsStmt(_)
            | N::AlterTableMoveAllStmt(_) => self.cluster_wide(stmt),
            N::CreateExtensionStmt(_)
            | N::AlterExtensionStmt(_)
            | N::AlterExtensionContentsStmt(_)
            | N::CreateAmStmt(_)
            | N::CreateEventTrigStmt(_)
            | N::AlterEventTrigStmt(_)
            | N::CreatePlangStmt(_) => self.extending(stmt),
            N::CreateFdwStmt(_)
            | N::AlterFdwStmt(_)
            | N::CreateForeignServerStmt(_)
            | N::AlterForeignServerStmt(_)
            | N::CreateUserMappingStmt(_)
            | N::AlterUserMappingStmt(_)
            | N::DropUserMappingStmt(_)
            | N::ImportForeignSchemaStmt(_) => self.foreign(stmt),
            N::CreatePublicationStmt(_)
            | N::AlterPublicationStmt(_)
            | N::CreateSubscriptionStmt(_)
            | N::AlterSubscriptionStmt(_)
            | N::DropSubscriptionStmt(_) => self.replication(stmt),
            other => self.typing(other),
        }
    }

    /// Databases, tablespaces, the server's settings.
    fn cluster_wide(&mut self, stmt: &'s NodeEnum) -> Command {
        use NodeEnum as N;
        match stmt {
            N::CreatedbStmt(stmt) => {
                let CreatedbStmt { dbname, options: list } = stmt;
                self.new_plain(K::Database, dbname, false);
                for option in options(list).flatten() {
                    match (option.defname.as_str(), text(option)) {
                        ("template", Some(name)) => self.database(&name, Touch::Use),
                        ("owner", Some(name)) => {
                            let name = crate::RoleName::Named(name);
                            self.asks.push(Ask::Role { name, touch: Touch::Own });
                        }
                        ("tablespace", Some(name)) => self.plain(K::Tablespace, &name, Touch::Use, false),
                        _ => self.read(option),
                    }
                }
                Command::CreateDatabase
            }
            N::AlterDatabaseStmt(stmt) => {
                self.database(&stmt.dbname, Touch::Alter);
                self.read(stmt.options.as_slice());
                Command::AlterDatabase
            }
            N::AlterDatabaseRefreshCollStmt(stmt) => {
                self.database(&stmt.dbname, Touch::Alter);
                Command::AlterDatabase
            }
            N::AlterDatabaseSetStmt(stmt) => {
                self.database(&stmt.dbname, Touch::Alter);
                self.kept_setting(stmt.setstmt.as_ref());
                Command::AlterDatabase
            }
            N::DropdbStmt(stmt) => {
                self.database(&stmt.dbname, Touch::Drop);
                Command::DropDatabase
            }
            N::AlterSystemStmt(stmt) => {
                self.kept_setting(stmt.setstmt.as_ref());
                Command::AlterSystem
            }
            N::CreateTableSpaceStmt(stmt) => {
                self.new_plain(K::Tablespace, &stmt.tablespacename, false);
                self.role(stmt.owner.as_ref(), Touch::Own);
                Command::CreateTablespace
            }
            N::DropTableSpaceStmt(stmt) => {
                self.plain(K::Tablespace, &stmt.tablespacename, Touch::Drop, stmt.missing_ok);
                Command::DropTablespace
            }
            N::AlterTableSpaceOptionsStmt(stmt) => {
                self.plain(K::Tablespace, &stmt.tablespacename, Touch::Alter, false);
                Command::AlterTablespace
            }
            N::AlterTableMoveAllStmt(stmt) => {
                self.plain(K::Tablespace, &stmt.orig_tablespacename, Touch::Alter, false);
                self.plain(K::Tablespace, &stmt.new_tablespacename, Touch::Use, false);
                self.roles(&stmt.roles, Touch::Use);
                kind(stmt.objtype).map_or(Command::AlterTable, |kind| kind.alter)
            }
            _ => self.strange(),
        }
    }

    /// Extensions, languages, access methods, event triggers.
    fn extending(&mut self, stmt: &'s NodeEnum) -> Command {
        use NodeEnum as N;
        match stmt {
            N::CreateExtensionStmt(stmt) => {
                self.new_plain(K::Extension, &stmt.extname, false);
                for option in options(&stmt.options).flatten() {
                    if let ("schema", Some(name)) = (option.defname.as_str(), text(option)) {
                        self.schema(&name, Touch::Create, false);
                    }
                }
                Command::CreateExtension
            }
            N::AlterExtensionStmt(stmt) => {
                self.plain(K::Extension, &stmt.extname, Touch::Alter, false);
                Command::AlterExtension
            }
            N::AlterExtensionContentsStmt(stmt) => {
                let AlterExtensionContentsStmt { extname, action: _, objtype, object } = stmt.as_ref();
                self.plain(K::Extension, extname, Touch::Alter, false);
                match (kind(*objtype), object) {
                    (Some(kind), Some(object)) => self.object(kind.form, object, Touch::Alter, false),
                    _ => self.unsupported("an object of an extension"),
                }
                Command::AlterExtension
            }
            N::CreateAmStmt(stmt) => {
                self.new_plain(K::AccessMethod, &stmt.amname, false);
                self.function_of(&stmt.handler_name, Touch::Execute);
                Command::CreateAccessMethod
            }
            N::CreateEventTrigStmt(stmt) => {
                self.new_plain(K::EventTrigger, &stmt.trigname, false);
                self.function_of(&stmt.funcname, Touch::Execute);
                Command::CreateEventTrigger
            }
            N::AlterEventTrigStmt(stmt) => {
                self.plain(K::EventTrigger, &stmt.trigname, Touch::Alter, false);
                Command::AlterEventTrigger
            }
            N::CreatePlangStmt(stmt) => {
                self.new_plain(K::Language, &stmt.plname, stmt.replace);
                for name in [&stmt.plhandler, &stmt.plinline, &stmt.plvalidator] {
                    if !name.is_empty() {
                        self.function_of(name, Touch::Execute);
                    }
                }
                Command::CreateLanguage
            }
            _ => self.strange(),
        }
    }

    /// Foreign data.
    fn foreign(&mut self, stmt: &'s NodeEnum) -> Command {
        use NodeEnum as N;
        match stmt {
            N::CreateFdwStmt(stmt) => {
                self.new_plain(K::ForeignDataWrapper, &stmt.fdwname, false);
                self.wrapper_functions(&stmt.func_options);
                Command::CreateForeignDataWrapper
            }
            N::AlterFdwStmt(stmt) => {
                self.plain(K::ForeignDataWrapper, &stmt.fdwname, Touch::Alter, false);
                self.wrapper_functions(&stmt.func_options);
                Command::AlterForeignDataWrapper
            }
            N::CreateForeignServerStmt(stmt) => {
                self.new_plain(K::Server, &stmt.servername, false);
                self.plain(K::ForeignDataWrapper, &stmt.fdwname, Touch::Use, false);
                Command::CreateServer
            }
            N::AlterForeignServerStmt(stmt) => {
                self.plain(K::Server, &stmt.servername, Touch::Alter, false);
                Command::AlterServer
            }
            N::CreateUserMappingStmt(stmt) => {
                self.role(stmt.user.as_ref(), Touch::Grantee);
                self.plain(K::Server, &stmt.servername, Touch::Use, false);
                Command::CreateUserMapping
            }
            N::AlterUserMappingStmt(stmt) => {
                self.role(stmt.user.as_ref(), Touch::Grantee);
                self.plain(K::Server, &stmt.servername, Touch::Use, false);
                Command::AlterUserMapping
            }
            N::DropUserMappingStmt(stmt) => {
                self.role(stmt.user.as_ref(), Touch::Grantee);
                self.plain(K::Server, &stmt.servername, Touch::Use, stmt.missing_ok);
                Command::DropUserMapping
            }
            N::ImportForeignSchemaStmt(stmt) => {
                let ImportForeignSchemaStmt {
                    server_name,
                    remote_schema: _,
                    local_schema,
                    list_type: _,
                    table_list,
                    options: _,
                } = stmt;
                self.plain(K::Server, server_name, Touch::Use, false);
                self.schema(local_schema, Touch::Create, false);
                // Relations of the other server.
                self.read(table_list.as_slice());
                Command::ImportForeignSchema
            }
            _ => self.strange(),
        }
    }

    fn wrapper_functions(&mut self, list: &[Node]) {
        for option in options(list).flatten() {
            if option.arg.is_some() {
                self.named_function(node(&option.arg));
            }
        }
    }

    /// Publications and subscriptions.
    fn replication(&mut self, stmt: &'s NodeEnum) -> Command {
        use NodeEnum as N;
        match stmt {
            N::CreatePublicationStmt(stmt) => {
                self.new_plain(K::Publication, &stmt.pubname, false);
                self.published(&stmt.pubobjects);
                if stmt.for_all_tables {
                    self.asks.push(Ask::Database { name: None, touch: Touch::Publish });
                }
                Command::CreatePublication
            }
            N::AlterPublicationStmt(stmt) => {
                self.plain(K::Publication, &stmt.pubname, Touch::Alter, false);
                self.published(&stmt.pubobjects);
                if stmt.for_all_tables {
                    self.asks.push(Ask::Database { name: None, touch: Touch::Publish });
                }
                Command::AlterPublication
            }
            N::CreateSubscriptionStmt(stmt) => {
                self.new_plain(K::Subscription, &stmt.subname, false);
                Command::CreateSubscription
            }
            N::AlterSubscriptionStmt(stmt) => {
                self.plain(K::Subscription, &stmt.subname, Touch::Alter, false);
                Command::AlterSubscription
            }
            N::DropSubscriptionStmt(stmt) => {
                self.plain(K::Subscription, &stmt.subname, Touch::Drop, stmt.missing_ok);
                Command::DropSubscription
            }
            _ => self.strange(),
        }
    }

    fn published(&mut self, objects: &'s [Node]) {
        for object in objects {
            let Some(NodeEnum::PublicationObjSpec(object)) = &object.node else {
                self.unsupported("an object of a publication");
                continue;
            };
            let PublicationObjSpec { pubobjtype, name, pubtable, location: _ } = object.as_ref();
            match (PublicationObjSpecType::try_from(*pubobjtype), pubtable.as_deref()) {
                (Ok(PublicationObjSpecType::PublicationobjTablesInSchema), None) => {
                    self.schema(name, Touch::Publish, false);
                }
                (Ok(PublicationObjSpecType::PublicationobjTablesInCurSchema), None) => {
                    self.asks.push(Ask::Schema { name: None, touch: Touch::Publish, missing_ok: false });
                }
                (_, Some(table)) => self.published_table(table),
                _ => self.unsupported("an object of a publication"),
            }
        }
    }

    fn published_table(&mut self, table: &'s PublicationTable) {
        let PublicationTable { relation, where_clause, columns: names } = table;
        self.relation(relation.as_ref(), columns(names), Touch::Publish, false);
        if let (Some(condition), Some(relation)) = (node(where_clause), relation) {
            let from = vec![NodeEnum::RangeVar(relation.clone())];
            self.expressions(&[condition], from, ExpressionRole::Publication);
        }
    }

    /// Types, operators and what they are made of; text search.
    fn typing(&mut self, stmt: &'s NodeEnum) -> Command {
        use NodeEnum as N;
        match stmt {
            N::DefineStmt(stmt) => self.definition(stmt),
            N::CreateEnumStmt(stmt) => {
                self.new_object(K::Type, &stmt.type_name, false);
                Command::CreateType
            }
            N::CreateRangeStmt(stmt) => {
                self.new_object(K::Type, &stmt.type_name, false);
                self.attributes(&stmt.params);
                Command::CreateType
            }
            N::AlterEnumStmt(stmt) => {
                self.type_of(&stmt.type_name, Touch::Alter, false);
                Command::AlterType
            }
            N::AlterTypeStmt(stmt) => {
                self.type_of(&stmt.type_name, Touch::Alter, false);
                self.attributes(&stmt.options);
                Command::AlterType
            }
            N::CreateConversionStmt(stmt) => {
                self.new_object(K::Conversion, &stmt.conversion_name, false);
                self.function_of(&stmt.func_name, Touch::Execute);
                Command::CreateConversion
            }
            N::AlterCollationStmt(stmt) => {
                self.altered_object(K::Collation, &stmt.collname, false);
                Command::AlterCollation
            }
            N::AlterOperatorStmt(stmt) => {
                match &stmt.opername {
                    Some(name) => {
                        self.read(name);
                        self.altered_object(K::Operator, &name.objname, false);
                    }
                    None => self.unsupported("an operator"),
                }
                self.attributes(&stmt.options);
                Command::AlterOperator
            }
            N::AlterStatsStmt(stmt) => {
                self.altered_object(K::Statistics, &stmt.defnames, stmt.missing_ok);
                Command::AlterStatistics
            }
            N::AlterTsdictionaryStmt(stmt) => {
                self.altered_object(K::TextSearchDictionary, &stmt.dictname, false);
                self.read(stmt.options.as_slice());
                Command::AlterTextSearchDictionary
            }
            N::AlterTsconfigurationStmt(stmt) => {
                self.altered_object(K::TextSearchConfiguration, &stmt.cfgname, stmt.missing_ok);
                Command::AlterTextSearchConfiguration
            }
            N::CreateCastStmt(stmt) => self.create_cast(stmt),
            N::CreateTransformStmt(stmt) => self.create_transform(stmt),
            N::CreateOpClassStmt(stmt) => self.create_operator_class(stmt),
            N::CreateOpFamilyStmt(stmt) => {
                self.new_object(K::OperatorFamily, &stmt.opfamilyname, false);
                Command::CreateOperatorFamily
            }
            N::AlterOpFamilyStmt(stmt) => {
                let AlterOpFamilyStmt { opfamilyname, amname: _, is_drop: _, items } = stmt;
                self.altered_object(K::OperatorFamily, opfamilyname, false);
                self.operator_items(items);
                Command::AlterOperatorFamily
            }
            _ => self.strange(),
        }
    }

    fn strange(&mut self) -> Command {
        self.unknown().0
    }

    fn altered_object(&mut self, kind: K, parts: &[Node], missing_ok: bool) {
        match strings(parts) {
            Some(name) => self.asks.push(Ask::Object { kind, name, touch: Touch::Alter, missing_ok }),
            None => self.unsupported(format!("the name of the {}", kind.name())),
        }
    }

    /// CREATE AGGREGATE, OPERATOR, TYPE, COLLATION, TEXT SEARCH.
    fn definition(&mut self, stmt: &'s DefineStmt) -> Command {
        use Command as C;
        use ObjectType as O;
        let DefineStmt { kind, oldstyle, defnames, args, definition, if_not_exists: _, replace } = stmt;
        let (command, made) = match ObjectType::try_from(*kind) {
            Ok(O::ObjectAggregate) => (C::CreateAggregate, K::Aggregate),
            Ok(O::ObjectOperator) => (C::CreateOperator, K::Operator),
            Ok(O::ObjectType) => (C::CreateType, K::Type),
            Ok(O::ObjectCollation) => (C::CreateCollation, K::Collation),
            Ok(O::ObjectTsparser) => (C::CreateTextSearchParser, K::TextSearchParser),
            Ok(O::ObjectTsdictionary) => (C::CreateTextSearchDictionary, K::TextSearchDictionary),
            Ok(O::ObjectTstemplate) => (C::CreateTextSearchTemplate, K::TextSearchTemplate),
            Ok(O::ObjectTsconfiguration) => (C::CreateTextSearchConfiguration, K::TextSearchConfiguration),
            _ => return self.strange(),
        };
        self.new_object(made, defnames, *replace);
        match made {
            K::Aggregate if !oldstyle => self.aggregate_arguments(args),
            _ if args.is_empty() => {}
            _ => self.unsupported("a definition's arguments"),
        }
        match made {
            // Their attributes name no functions but parsers' and templates', which only a superuser may make.
            K::Collation | K::TextSearchDictionary | K::TextSearchConfiguration => {
                self.read(definition.as_slice());
            }
            K::TextSearchParser | K::TextSearchTemplate => {
                for option in options(definition).flatten() {
                    self.named_function(node(&option.arg));
                }
            }
            _ => self.attributes(definition),
        }
        command
    }

    /// Attributes of aggregates, operators and types (src/backend/commands/aggregatecmds.c, operatorcmds.c,
    /// typecmds.c): functions, types, operators, and words that name nothing.
    fn attributes(&mut self, list: &'s [Node]) {
        for option in options(list) {
            let Some(option) = option else {
                self.unsupported("an attribute");
                continue;
            };
            let arg = node(&option.arg);
            match option.defname.to_ascii_lowercase().as_str() {
                "sfunc" | "sfunc1" | "finalfunc" | "combinefunc" | "serialfunc" | "deserialfunc"
                | "msfunc" | "minvfunc" | "mfinalfunc" | "input" | "output" | "receive" | "send"
                | "typmod_in" | "typmod_out" | "analyze" | "subscript" | "canonical" | "subtype_diff"
                | "function" | "procedure" | "restrict" | "join" => match arg {
                    // SET (restrict = NONE)
                    None => {}
                    Some(NodeEnum::String(none)) if none.sval == "none" => {}
                    arg => self.named_function(arg),
                },
                "stype" | "stype1" | "mstype" | "basetype" | "like" | "element" | "subtype" | "leftarg"
                | "rightarg" => match arg {
                    Some(NodeEnum::TypeName(name)) => self.type_name(Some(name), Touch::Use, false),
                    // basetype = 'ANY', of an old aggregate.
                    Some(NodeEnum::String(_)) => {}
                    _ => self.unsupported("an attribute's type"),
                },
                "commutator" | "negator" | "sortop" => match arg {
                    Some(NodeEnum::String(name)) => self.operator_of(Some(vec![name.sval.clone()])),
                    Some(NodeEnum::List(parts)) => self.operator_of(strings(&parts.items)),
                    None => {}
                    _ => self.unsupported("an attribute's operator"),
                },
                "internallength"
                | "passedbyvalue"
                | "alignment"
                | "storage"
                | "category"
                | "preferred"
                | "default"
                | "delimiter"
                | "collatable"
                | "sspace"
                | "msspace"
                | "finalfunc_extra"
                | "mfinalfunc_extra"
                | "finalfunc_modify"
                | "mfinalfunc_modify"
                | "initcond"
                | "initcond1"
                | "minitcond"
                | "hypothetical"
                | "parallel"
                | "hashes"
                | "merges"
                | "collation"
                | "subtype_opclass"
                | "multirange_type_name" => self.read(option),
                other => self.unsupported(format!("the attribute \"{other}\"")),
            }
        }
    }

    fn create_cast(&mut self, stmt: &CreateCastStmt) -> Command {
        let CreateCastStmt { sourcetype, targettype, func, context: _, inout: _ } = stmt;
        self.typed_object(K::Cast, [sourcetype.as_ref(), targettype.as_ref()], None);
        self.support(func.as_ref());
        Command::CreateCast
    }

    fn create_transform(&mut self, stmt: &CreateTransformStmt) -> Command {
        let CreateTransformStmt { replace: _, type_name, lang, fromsql, tosql } = stmt;
        self.typed_object(K::Transform, [type_name.as_ref(), None], Some(lang));
        self.support(fromsql.as_ref());
        self.support(tosql.as_ref());
        Command::CreateTransform
    }

    /// An object that is known by types and has no name.
    fn typed_object(&mut self, kind: K, types: [Option<&TypeName>; 2], word: Option<&str>) {
        let mut name = Vec::new();
        for part in types.into_iter().flatten() {
            self.type_name(Some(part), Touch::Use, false);
            name.extend(super::names::type_sql(part));
        }
        name.extend(word.map(str::to_owned));
        self.asks.push(Ask::Object { kind, name, touch: Touch::Create, missing_ok: false });
    }

    fn create_operator_class(&mut self, stmt: &CreateOpClassStmt) -> Command {
        let CreateOpClassStmt { opclassname, opfamilyname, amname: _, datatype, items, is_default: _ } = stmt;
        self.new_object(K::OperatorClass, opclassname, false);
        if !opfamilyname.is_empty() {
            self.altered_object(K::OperatorFamily, opfamilyname, false);
        }
        self.type_name(datatype.as_ref(), Touch::Use, false);
        self.operator_items(items);
        Command::CreateOperatorClass
    }

    fn operator_items(&mut self, items: &[Node]) {
        for item in items {
            let Some(NodeEnum::CreateOpClassItem(item)) = &item.node else {
                self.unsupported("a part of an operator class");
                continue;
            };
            let CreateOpClassItem { itemtype, name, number: _, order_family: _, class_args, storedtype } =
                item;
            self.types(class_args, Touch::Use);
            self.type_name(storedtype.as_ref(), Touch::Use, false);
            // OPCLASS_ITEM_OPERATOR, _FUNCTION, _STORAGETYPE (src/include/nodes/parsenodes.h).
            match (itemtype, name) {
                (1, Some(name)) => self.operator(name),
                (2, Some(name)) => self.support(Some(name)),
                // DROP OPERATOR 1 (types), DROP FUNCTION 1 (types), STORAGE type
                (1..=3, None) => {}
                _ => self.unsupported("a part of an operator class"),
            }
        }
    }
}

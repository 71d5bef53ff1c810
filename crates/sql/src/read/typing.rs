//! Types, operators and what they are made of, text search. Knows no tables.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterOpFamilyStmt, CreateCastStmt, CreateOpClassItem, CreateOpClassStmt, CreateTransformStmt, DefineStmt,
    Node, ObjectType, TypeName,
};

use super::Reader;
use super::names::{qualified, strings};
use super::options::options;
use super::table::node;
use crate::{Ask, Command, ObjectKind as K, RoutineKind, Touch};

/// The function that an attribute's value may name: the grammar reads it as a type.
fn function_name(arg: &NodeEnum) -> Option<crate::Name> {
    match arg {
        NodeEnum::TypeName(name) => qualified(&strings(&name.names)?),
        NodeEnum::List(parts) => qualified(&strings(&parts.items)?),
        _ => None,
    }
}

impl<'s> Reader<'_> {
    /// Types, operators and what they are made of; text search.
    pub(super) fn typing(&mut self, stmt: &'s NodeEnum) -> Command {
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
                // PostgreSQL ignores what it doesn't know, with a warning. Should a newer one know it, it may name a function.
                _ => {
                    self.read(option);
                    if let Some(name) = arg.and_then(function_name) {
                        let (kind, touch) = (RoutineKind::Routine, Touch::Execute);
                        self.asks.push(Ask::Routine { name, kind, args: None, touch, missing_ok: true });
                    }
                }
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

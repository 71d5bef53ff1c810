//! CREATE of what hangs on relations or is called: indexes, statistics, triggers, policies, rules, functions, schemas.
//! Knows no tables' columns.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    Alias, AlterFunctionStmt, AlterPolicyStmt, CompositeTypeStmt, CreateFunctionStmt, CreatePolicyStmt,
    CreateSchemaStmt, CreateStatsStmt, CreateTrigStmt, FunctionParameter, IndexStmt, Node, RangeVar,
    RuleStmt, StatsElem, TypeName,
};

use super::names::{items, strings};
use super::object::{Form, kind};
use super::options::{options, text};
use super::table::{Parts, node};
use super::{Inner, Making, Reader};
use crate::{Ask, Columns, Command, ExpressionRole, ObjectKind, RoutineKind, Touch};

impl<'s> Reader<'_> {
    pub(super) fn create_index(&mut self, stmt: &'s IndexStmt) -> Command {
        let IndexStmt {
            idxname: _,
            relation,
            access_method: _,
            table_space,
            index_params,
            index_including_params,
            options,
            where_clause,
            exclude_op_names,
            idxcomment: _,
            index_oid: _,
            old_number: _,
            old_create_subid: _,
            old_first_relfilelocator_subid: _,
            unique: _,
            nulls_not_distinct: _,
            primary: _,
            isconstraint: _,
            iswithoutoverlaps: _,
            deferrable: _,
            initdeferred: _,
            transformed: _,
            concurrent: _,
            if_not_exists: _,
            reset_default_tblspc: _,
        } = stmt;
        let mut parts = Parts::default();
        let mut names = Vec::new();
        for element in index_params.iter().chain(index_including_params) {
            match &element.node {
                Some(NodeEnum::IndexElem(element)) => {
                    names.extend(self.index_element(element, &mut parts).map(str::to_owned));
                }
                _ => self.unsupported("a part of CREATE INDEX"),
            }
        }
        parts.index.extend(node(where_clause));
        let columns = if names.is_empty() { Columns::All } else { Columns::Named(names) };
        self.relation(relation.as_ref(), columns, Touch::Index, false);
        self.plain_if(ObjectKind::Tablespace, table_space, Touch::Use);
        self.read(options.as_slice());
        if !exclude_op_names.is_empty() {
            self.unsupported("an index already analysed");
        }
        match relation {
            Some(relation) => self.gathered(parts, |_| NodeEnum::RangeVar(relation.clone())),
            None => self.unsupported("an index without a relation"),
        }
        Command::CreateIndex
    }

    pub(super) fn create_statistics(&mut self, stmt: &'s CreateStatsStmt) -> Command {
        let CreateStatsStmt {
            defnames,
            stat_types: _,
            exprs,
            relations,
            stxcomment: _,
            transformed: _,
            if_not_exists: _,
        } = stmt;
        if !defnames.is_empty() {
            self.new_object(ObjectKind::Statistics, defnames, false);
        }
        let mut parts = Parts::default();
        let mut names = Vec::new();
        for element in exprs {
            match &element.node {
                Some(NodeEnum::StatsElem(element)) => {
                    let StatsElem { name, expr } = element.as_ref();
                    names.extend((!name.is_empty()).then(|| name.clone()));
                    parts.index.extend(node(expr));
                }
                _ => self.unsupported("a part of CREATE STATISTICS"),
            }
        }
        let columns = if names.is_empty() { Columns::All } else { Columns::Named(names) };
        match relations.as_slice() {
            [Node { node: Some(NodeEnum::RangeVar(relation)) }] => {
                self.relation(Some(relation), columns, Touch::Statistics, false);
                self.gathered(parts, |_| NodeEnum::RangeVar(relation.clone()));
            }
            // PostgreSQL refuses it, in its own words.
            others => {
                self.read(others);
                self.read(exprs.as_slice());
                let all = others.iter().chain(exprs).filter_map(|node| node.node.as_ref());
                self.by_name(&all.collect::<Vec<_>>(), None);
            }
        }
        Command::CreateStatistics
    }

    pub(super) fn create_trigger(&mut self, stmt: &'s CreateTrigStmt) -> Command {
        let CreateTrigStmt {
            replace: _,
            isconstraint: _,
            trigname: _,
            relation,
            funcname,
            args: _,
            row: _,
            timing: _,
            events: _,
            columns: _,
            when_clause,
            transition_rels: _,
            deferrable: _,
            initdeferred: _,
            constrrel,
        } = stmt;
        self.relation(relation.as_ref(), Columns::All, Touch::Trigger, false);
        self.relation(constrrel.as_ref(), Columns::All, Touch::Reference, false);
        self.function_of(funcname, Touch::Execute);
        if let (Some(condition), Some(relation)) = (node(when_clause), relation) {
            let from = vec![aliased(relation, "old"), aliased(relation, "new")];
            self.expressions(&[condition], from, ExpressionRole::Trigger);
        }
        Command::CreateTrigger
    }

    pub(super) fn create_policy(&mut self, stmt: &'s CreatePolicyStmt) -> Command {
        let CreatePolicyStmt { policy_name: _, table, cmd_name: _, permissive: _, roles, qual, with_check } =
            stmt;
        self.policy(table.as_ref(), roles, [node(qual), node(with_check)]);
        Command::CreatePolicy
    }

    pub(super) fn alter_policy(&mut self, stmt: &'s AlterPolicyStmt) -> Command {
        let AlterPolicyStmt { policy_name: _, table, roles, qual, with_check } = stmt;
        self.policy(table.as_ref(), roles, [node(qual), node(with_check)]);
        Command::AlterPolicy
    }

    fn policy(&mut self, table: Option<&RangeVar>, roles: &[Node], conditions: [Option<&NodeEnum>; 2]) {
        let Some(table) = table else { return self.unsupported("a policy without a table") };
        self.relation(Some(table), Columns::All, Touch::Policy, false);
        self.roles(roles, Touch::Grantee);
        let conditions: Vec<&NodeEnum> = conditions.into_iter().flatten().collect();
        self.expressions(&conditions, vec![NodeEnum::RangeVar(table.clone())], ExpressionRole::Policy);
    }

    pub(super) fn create_rule(&mut self, stmt: &RuleStmt) -> Command {
        let RuleStmt { relation, rulename: _, where_clause, event: _, instead: _, actions, replace: _ } =
            stmt;
        self.relation(relation.as_ref(), Columns::All, Touch::Rule, false);
        // Its actions see OLD and NEW, which no statement of ours can stand for.
        self.read(where_clause);
        self.read(actions.as_slice());
        let actions = actions.iter().filter_map(|action| action.node.as_ref());
        let parts: Vec<&NodeEnum> = actions.chain(node(where_clause)).collect();
        let from: Vec<NodeEnum> = relation.clone().map(NodeEnum::RangeVar).into_iter().collect();
        self.by_name(&parts, Some(&from));
        Command::CreateRule
    }

    pub(super) fn create_composite_type(&mut self, stmt: &'s CompositeTypeStmt) -> Command {
        let CompositeTypeStmt { typevar, coldeflist } = stmt;
        self.new_relation(ObjectKind::Type, typevar.as_ref(), false);
        let mut parts = Parts::default();
        for element in coldeflist {
            match &element.node {
                Some(NodeEnum::ColumnDef(column)) => self.column(column, &mut parts),
                _ => self.unsupported("an attribute"),
            }
        }
        Command::CreateType
    }

    pub(super) fn create_function(&mut self, stmt: &'s CreateFunctionStmt) -> Command {
        let CreateFunctionStmt {
            is_procedure,
            replace,
            funcname,
            parameters,
            return_type,
            options,
            sql_body,
        } = stmt;
        let (command, kind) = match is_procedure {
            true => (Command::CreateProcedure, ObjectKind::Procedure),
            false => (Command::CreateFunction, ObjectKind::Function),
        };
        self.new_object(kind, funcname, *replace);
        let mut defaults = Vec::new();
        for parameter in parameters {
            match &parameter.node {
                Some(NodeEnum::FunctionParameter(parameter)) => {
                    defaults.extend(self.parameter(parameter));
                }
                _ => self.unsupported("a parameter"),
            }
        }
        self.expressions(&defaults, Vec::new(), ExpressionRole::FunctionDefault);
        self.type_or_set_of(return_type.as_ref());
        self.function_options(options);
        // Its body sees the parameters, which no statement of ours can stand for.
        if let Some(body) = node(sql_body) {
            self.read(body);
            self.by_name(&[body], None);
        }
        command
    }

    /// A parameter; its default, if it has one.
    pub(super) fn parameter(&mut self, parameter: &'s FunctionParameter) -> Option<&'s NodeEnum> {
        let FunctionParameter { name: _, arg_type, mode: _, defexpr, location: _ } = parameter;
        self.type_or_set_of(arg_type.as_ref());
        node(defexpr)
    }

    fn type_or_set_of(&mut self, name: Option<&TypeName>) {
        self.type_name(name, Touch::Use, false);
    }

    fn function_options(&mut self, list: &[Node]) {
        for option in options(list) {
            let Some(option) = option else {
                self.unsupported("an option of a function");
                continue;
            };
            match (option.defname.as_str(), node(&option.arg)) {
                ("language", _) => match text(option) {
                    Some(name) => self.plain(ObjectKind::Language, &name, Touch::Use, false),
                    None => self.unsupported("a function's language"),
                },
                ("set", Some(NodeEnum::VariableSetStmt(stmt))) => self.kept_setting(Some(stmt)),
                ("support", Some(NodeEnum::List(name))) => self.function_of(&name.items, Touch::Execute),
                ("transform", Some(NodeEnum::List(types))) => self.types(&types.items, Touch::Use),
                _ => self.read(option),
            }
        }
    }

    pub(super) fn alter_function(&mut self, stmt: &AlterFunctionStmt) -> Command {
        let AlterFunctionStmt { objtype, func, actions } = stmt;
        let named = kind(*objtype);
        match (named.map(|kind| kind.form), func) {
            (Some(Form::Routine(kind)), Some(func)) => self.routine(func, kind, Touch::Alter, false),
            _ => self.unsupported("ALTER of such a routine"),
        }
        self.function_options(actions);
        named.map_or(Command::AlterFunction, |kind| kind.alter)
    }

    pub(super) fn create_schema(&mut self, stmt: &CreateSchemaStmt) -> Command {
        let CreateSchemaStmt { schemaname, authrole, schema_elts, if_not_exists: _ } = stmt;
        let schema = match (schemaname.is_empty(), authrole.as_ref().and_then(super::names::role_name)) {
            (false, _) => schemaname.clone(),
            // CREATE SCHEMA AUTHORIZATION role is named after the role.
            (true, Some(crate::RoleName::Named(name))) => name,
            // Whoever that is at the moment: as `search_path` says it.
            (true, _) => "$user".to_owned(),
        };
        self.new_plain(ObjectKind::Schema, &schema, false);
        self.role(authrole.as_ref(), Touch::Own);
        // They name each other, and none of them exists before they all do: the server can't be asked.
        let inner = std::mem::replace(&mut self.inner, Inner::Named);
        let names = schema_elts.iter().filter_map(|node| made(node.node.as_ref()?)).collect();
        self.making = Some(Making { schema, names });
        for element in schema_elts {
            match &element.node {
                Some(element) => drop(self.any(element)),
                None => self.unsupported("a part of CREATE SCHEMA"),
            }
        }
        self.making = None;
        self.inner = inner;
        Command::CreateSchema
    }

    /// An operator by the parts of its name, as a definition names it.
    pub(super) fn operator_of(&mut self, parts: Option<Vec<String>>) {
        match parts {
            Some(name) => {
                let (kind, touch) = (ObjectKind::Operator, Touch::Use);
                self.asks.push(Ask::Object { kind, name, touch, missing_ok: false });
            }
            None => self.unsupported("an operator"),
        }
    }

    /// The arguments of CREATE AGGREGATE: a list of parameters, and how many of them are direct.
    pub(super) fn aggregate_arguments(&mut self, args: &'s [Node]) {
        let Some([parameters, _]) = Some(args) else { return self.unsupported("an aggregate's arguments") };
        if parameters.node.is_none() {
            // `*`
            return;
        }
        for parameter in items(parameters).unwrap_or_default() {
            match &parameter.node {
                Some(NodeEnum::FunctionParameter(parameter)) if parameter.defexpr.is_none() => {
                    let _ = self.parameter(parameter);
                }
                _ => self.unsupported("an aggregate's argument"),
            }
        }
    }

    /// A function or type that a definition names: the grammar reads it as a type.
    pub(super) fn named_function(&mut self, arg: Option<&NodeEnum>) {
        match arg {
            Some(NodeEnum::TypeName(name)) => {
                self.read(name);
                self.function_of(&name.names, Touch::Execute);
            }
            Some(NodeEnum::List(list)) => self.function_of(&list.items, Touch::Execute),
            Some(NodeEnum::String(_)) | Some(_) | None => self.unsupported("a function's name"),
        }
    }

    /// The routine kinds that operator classes and casts name.
    pub(super) fn support(&mut self, func: Option<&pg_query::protobuf::ObjectWithArgs>) {
        if let Some(func) = func {
            self.routine(func, RoutineKind::Function, Touch::Execute, false);
        }
    }

    /// The name of an operator with its arguments.
    pub(super) fn operator(&mut self, name: &pg_query::protobuf::ObjectWithArgs) {
        self.read(name);
        self.operator_of(strings(&name.objname));
    }
}

/// The relation that a part of CREATE SCHEMA makes in the new schema.
fn made(element: &NodeEnum) -> Option<String> {
    let relation = match element {
        NodeEnum::CreateStmt(stmt) => stmt.relation.as_ref(),
        NodeEnum::ViewStmt(stmt) => stmt.view.as_ref(),
        NodeEnum::CreateSeqStmt(stmt) => stmt.sequence.as_ref(),
        _ => None,
    }?;
    relation.schemaname.is_empty().then(|| relation.relname.clone())
}

fn aliased(relation: &RangeVar, alias: &str) -> NodeEnum {
    let alias = Some(Alias { aliasname: alias.to_owned(), colnames: Vec::new() });
    NodeEnum::RangeVar(RangeVar { alias, ..relation.clone() })
}

//! Statements whose query is written down: EXPLAIN, CREATE TABLE AS, CREATE VIEW, PREPARE, DECLARE CURSOR.
//! Knows no tables.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    CreateTableAsStmt, DeclareCursorStmt, ExecuteStmt, ExplainStmt, IntoClause, Node, ObjectType,
    PrepareStmt, ViewStmt,
};

use super::options::{boolean, options};
use super::query::without_into;
use super::{Read, Reader, plain_query};
use crate::{Ask, Command, Effect, ExpressionRole, Inside, ObjectKind, QueryRole, Touch};

/// DECLARE CURSOR's options (`CURSOR_OPT_...`, src/include/nodes/parsenodes.h).
const CURSOR_BINARY: i32 = 0x0001;
const CURSOR_SCROLL: i32 = 0x0002;
const CURSOR_HOLD: i32 = 0x0020;

fn inner(node: &Option<Box<Node>>) -> Option<&NodeEnum> {
    node.as_deref()?.node.as_ref()
}

impl Reader<'_> {
    pub(super) fn explain(&mut self, stmt: &ExplainStmt) -> Read {
        let ExplainStmt { query, options: list } = stmt;
        self.read(list.as_slice());
        let mut analyze = false;
        for option in options(list) {
            match option {
                // SECURITY: the last one counts, but any that isn't plainly off is taken as on.
                Some(option) if option.defname == "analyze" => analyze |= boolean(option) != Some(false),
                Some(_) => {}
                None => self.unsupported("an option of EXPLAIN"),
            }
        }
        let role = QueryRole::Explained { analyze };
        let effect = match inner(query) {
            Some(node) if plain_query(node).is_some() => {
                self.query(node, role, Vec::new());
                Effect::None
            }
            Some(NodeEnum::ExecuteStmt(stmt)) => self.execute(stmt, Inside::Explain { analyze }).1,
            Some(NodeEnum::DeclareCursorStmt(stmt)) => {
                self.declare_cursor(stmt, role);
                Effect::None
            }
            Some(NodeEnum::CreateTableAsStmt(stmt)) => {
                // Its plan goes to the client besides.
                let query = inner(&stmt.query).filter(|query| plain_query(query).is_some()).cloned();
                let effect = self.create_table_as(stmt).1;
                if let Some(query) = query {
                    let seen = self.seen;
                    self.query(&query, role, Vec::new());
                    self.seen = seen;
                }
                effect
            }
            Some(node @ NodeEnum::RefreshMatViewStmt(_)) => self.maintain(node).1,
            Some(NodeEnum::SelectStmt(stmt)) => {
                let effect = self.select_into(stmt).1;
                let seen = self.seen;
                self.query(&NodeEnum::SelectStmt(Box::new(without_into(stmt))), role, Vec::new());
                self.seen = seen;
                effect
            }
            _ => {
                self.unsupported("EXPLAIN of such a statement");
                Effect::Anything
            }
        };
        (Command::Explain, effect)
    }

    /// CREATE TABLE AS and CREATE MATERIALIZED VIEW, of a query or of an EXECUTE.
    pub(super) fn create_table_as(&mut self, stmt: &CreateTableAsStmt) -> Read {
        let CreateTableAsStmt { query, into, objtype, is_select_into: _, if_not_exists: _ } = stmt;
        let (command, kind, role) = match ObjectType::try_from(*objtype) {
            Ok(ObjectType::ObjectMatview) => {
                (Command::CreateMaterializedView, ObjectKind::MaterializedView, QueryRole::MaterializedView)
            }
            _ => (Command::CreateTableAs, ObjectKind::Table, QueryRole::CreateTableAs),
        };
        match into {
            Some(into) => self.stored_into(into, kind),
            None => self.unsupported("CREATE TABLE AS without a table"),
        }
        let effect = match inner(query) {
            Some(NodeEnum::ExecuteStmt(stmt)) => self.execute(stmt, Inside::CreateTableAs).1,
            Some(node) if plain_query(node).is_some() => {
                self.query(node, role, Vec::new());
                Effect::Define
            }
            _ => {
                self.refused_query(query);
                Effect::Define
            }
        };
        (command, effect)
    }

    /// The relation that a query's rows are put into.
    pub(super) fn stored_into(&mut self, into: &IntoClause, kind: ObjectKind) {
        let IntoClause {
            rel,
            col_names: _,
            access_method,
            options: list,
            on_commit: _,
            table_space_name,
            view_query,
            skip_data: _,
        } = into;
        self.new_relation(kind, rel.as_ref(), false);
        self.plain_if(ObjectKind::AccessMethod, access_method, Touch::Use);
        self.plain_if(ObjectKind::Tablespace, table_space_name, Touch::Use);
        self.read(list.as_slice());
        if view_query.is_some() {
            self.unsupported("a query already analysed");
        }
    }

    pub(super) fn create_view(&mut self, stmt: &ViewStmt) -> Read {
        let ViewStmt { view, aliases: _, query, replace, options: list, with_check_option: _ } = stmt;
        self.new_relation(ObjectKind::View, view.as_ref(), *replace);
        self.read(list.as_slice());
        match inner(query) {
            Some(node) if plain_query(node) == Some(Command::Select) => {
                self.query(node, QueryRole::View, Vec::new())
            }
            _ => self.refused_query(query),
        }
        (Command::CreateView, Effect::Define)
    }

    pub(super) fn prepare(&mut self, stmt: &PrepareStmt) -> Read {
        let PrepareStmt { name, argtypes, query } = stmt;
        let before = self.asks.len();
        let mut parameters = Vec::with_capacity(argtypes.len());
        for node in argtypes {
            match &node.node {
                Some(NodeEnum::TypeName(argument)) => {
                    self.type_name(Some(argument), Touch::Use, false);
                    parameters.extend(super::names::type_sql(argument));
                }
                _ => self.unsupported("a type"),
            }
        }
        if parameters.len() != argtypes.len() || self.asks.len() > before + argtypes.len() {
            self.unsupported("a parameter's type");
        }
        match inner(query) {
            Some(node) if plain_query(node).is_some() => self.query(node, QueryRole::Prepare, parameters),
            _ => self.refused_query(query),
        }
        (Command::Prepare, Effect::Prepare { name: name.clone() })
    }

    /// SELECT INTO where it doesn't belong: PostgreSQL refuses it, in its own words. Should it not, all has been asked about.
    pub(super) fn refused_query(&mut self, query: &Option<Box<Node>>) {
        match inner(query) {
            Some(node @ NodeEnum::SelectStmt(_)) => {
                self.read(node);
                self.by_name(&[node], None);
            }
            _ => self.unsupported("a query of such a kind"),
        }
    }

    /// EXECUTE, wherever it stands: what it runs, the session knows by its name.
    pub(super) fn execute(&mut self, stmt: &ExecuteStmt, inside: Inside) -> Read {
        let ExecuteStmt { name, params } = stmt;
        let arguments: Vec<&NodeEnum> = params.iter().filter_map(|node| node.node.as_ref()).collect();
        self.expressions(&arguments, Vec::new(), ExpressionRole::Argument);
        (Command::Execute, Effect::Execute { name: name.clone(), inside })
    }

    pub(super) fn declare_cursor(&mut self, stmt: &DeclareCursorStmt, role: QueryRole) -> Read {
        let DeclareCursorStmt { portalname, options, query } = stmt;
        match inner(query) {
            Some(node) if plain_query(node) == Some(Command::Select) => self.query(node, role, Vec::new()),
            _ => self.refused_query(query),
        }
        let effect = Effect::Declare {
            name: portalname.clone(),
            hold: options & CURSOR_HOLD != 0,
            binary: options & CURSOR_BINARY != 0,
            scroll: options & CURSOR_SCROLL != 0,
        };
        (Command::DeclareCursor, effect)
    }

    /// An object of a kind that has no ask of its own, and no name in a schema.
    pub(super) fn database(&mut self, name: &str, touch: Touch) {
        self.asks.push(Ask::Database { name: Some(name.to_owned()), touch });
    }
}

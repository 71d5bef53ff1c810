//! Reads a statement's raw tree: what it is, what it names, what it changes. Knows no catalog.
//!
//! One file per family of statements. Every statement node is taken apart field by field, so that a field that a newer
//! grammar adds doesn't compile until it is read; and what was read is counted against what is there
//! ([`Survey`]), so that a name in a place nobody thought of is refused, not overlooked.

mod alter;
mod by_name;
mod copy;
mod define;
mod grant;
mod maintain;
mod names;
mod object;
mod options;
mod query;
mod rare;
mod session;
mod settings;
mod store;
mod table;
mod transaction;
mod typing;

use std::ops::Range;

use pg_query::NodeEnum;

use crate::tokens::Token;
use crate::tree::Survey;
use crate::{Ask, Command, Effect, QueryRole, Sql, Statement, secrets};

/// Where a statement stands.
pub(crate) struct Source<'a> {
    /// The whole message.
    pub(crate) text: &'a str,
    /// The statement's own tokens.
    pub(crate) tokens: &'a [Token],
    /// The statement.
    pub(crate) range: Range<usize>,
}

/// What a statement is and changes.
type Read = (Command, Effect);

/// What becomes of queries and expressions inside definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inner {
    /// The server is asked about them.
    Asked,
    /// What they name is asked about: the server doesn't take them by themselves.
    Named,
}

/// What CREATE SCHEMA makes.
struct Making {
    schema: String,
    /// Relations that it makes in that schema.
    names: Vec<String>,
}

/// Collects what a statement names.
struct Reader<'a> {
    source: Source<'a>,
    inner: Inner,
    /// Inside CREATE SCHEMA.
    making: Option<Making>,
    asks: Vec<Ask>,
    /// What of the tree has been read.
    seen: Survey,
}

/// Reads one statement.
pub(crate) fn statement(source: Source<'_>, node: NodeEnum, inner: Inner) -> Statement {
    let range = source.range.clone();
    let takes_snapshot = takes_snapshot(&node);
    let secrets = secrets::find(source.text.as_bytes(), source.tokens);
    let mut reader = Reader { source, inner, making: None, asks: Vec::new(), seen: Survey::default() };

    let (command, effect) = match plain_query(&node) {
        // The server reads these itself; nothing of them can be overlooked.
        Some(command) => {
            let sql = Sql::Slice { range: range.clone(), blank: None };
            reader.asks.push(Ask::Query { sql, role: QueryRole::Statement, parameters: Vec::new() });
            let set = match &node {
                NodeEnum::SelectStmt(stmt) => settings::set_by_calls(stmt),
                _ => None,
            };
            (command, set.map_or(Effect::None, Effect::SetByCalls))
        }
        None => reader.counted(&node),
    };
    Statement { range, command, asks: reader.asks, effect, secrets, takes_snapshot }
}

impl Reader<'_> {
    /// Reads a statement and checks that nothing that it names was passed over.
    fn counted(&mut self, node: &NodeEnum) -> Read {
        let all = Survey::of(node);
        let read = self.any(node);
        let refused = self.asks.iter().any(|ask| matches!(ask, Ask::Unsupported(_)));
        if !refused && let Some(kind) = all.difference(&self.seen) {
            self.unsupported(format!("a part of {} that isn't understood ({kind})", read.0));
        }
        read
    }

    fn unsupported(&mut self, what: impl Into<String>) {
        self.asks.push(Ask::Unsupported(what.into()));
    }

    /// Marks a part of the tree as read.
    fn read<T: serde::Serialize + ?Sized>(&mut self, part: &T) {
        self.seen.add(Survey::of(part));
    }

    /// Statements as PostgreSQL's `CreateCommandTag` lists them (src/backend/tcop/utility.c).
    fn any(&mut self, node: &NodeEnum) -> Read {
        use NodeEnum as N;
        match node {
            N::SelectStmt(stmt) => self.select_into(stmt),
            N::InsertStmt(_) | N::UpdateStmt(_) | N::DeleteStmt(_) | N::MergeStmt(_) => self.unknown(),
            N::ExplainStmt(stmt) => self.explain(stmt),
            N::CreateTableAsStmt(stmt) => self.create_table_as(stmt),
            N::ViewStmt(stmt) => self.create_view(stmt),
            N::PrepareStmt(stmt) => self.prepare(stmt),
            N::ExecuteStmt(stmt) => self.execute(stmt, crate::Inside::Nothing),
            N::DeallocateStmt(stmt) => self.deallocate(stmt),
            N::DeclareCursorStmt(stmt) => self.declare_cursor(stmt, QueryRole::Declare),
            N::FetchStmt(stmt) => self.fetch(stmt),
            N::ClosePortalStmt(stmt) => self.close_portal(stmt),
            N::CopyStmt(stmt) => self.copy(stmt),
            N::CallStmt(stmt) => self.call(stmt),
            N::DoStmt(stmt) => self.do_block(stmt),
            N::LoadStmt(stmt) => self.load(stmt),
            N::TransactionStmt(stmt) => self.transaction(stmt),
            N::ConstraintsSetStmt(stmt) => self.set_constraints(stmt),
            N::LockStmt(stmt) => self.lock(stmt),
            N::VariableSetStmt(stmt) => self.variable_set(stmt),
            N::VariableShowStmt(stmt) => self.variable_show(stmt),
            N::DiscardStmt(stmt) => self.discard(stmt),
            N::ListenStmt(stmt) => self.listen(stmt),
            N::UnlistenStmt(stmt) => self.unlisten(stmt),
            N::NotifyStmt(stmt) => self.notify(stmt),
            N::TruncateStmt(_)
            | N::VacuumStmt(_)
            | N::ClusterStmt(_)
            | N::ReindexStmt(_)
            | N::RefreshMatViewStmt(_)
            | N::CheckPointStmt(_) => self.maintain(node),
            other => (self.define(other), Effect::Define),
        }
    }

    /// Statements that change definitions or rights.
    fn define(&mut self, node: &NodeEnum) -> Command {
        use NodeEnum as N;
        match node {
            N::CreateStmt(stmt) => self.create_table(stmt),
            N::CreateForeignTableStmt(stmt) => self.create_foreign_table(stmt),
            N::IndexStmt(stmt) => self.create_index(stmt),
            N::CreateStatsStmt(stmt) => self.create_statistics(stmt),
            N::AlterTableStmt(stmt) => self.alter_table(stmt),
            N::CreateTrigStmt(stmt) => self.create_trigger(stmt),
            N::CreatePolicyStmt(stmt) => self.create_policy(stmt),
            N::AlterPolicyStmt(stmt) => self.alter_policy(stmt),
            N::RuleStmt(stmt) => self.create_rule(stmt),
            N::CreateSeqStmt(stmt) => self.create_sequence(stmt),
            N::AlterSeqStmt(stmt) => self.alter_sequence(stmt),
            N::CreateDomainStmt(stmt) => self.create_domain(stmt),
            N::AlterDomainStmt(stmt) => self.alter_domain(stmt),
            N::CompositeTypeStmt(stmt) => self.create_composite_type(stmt),
            N::CreateFunctionStmt(stmt) => self.create_function(stmt),
            N::AlterFunctionStmt(stmt) => self.alter_function(stmt),
            N::CreateSchemaStmt(stmt) => self.create_schema(stmt),
            N::DropStmt(stmt) => self.drop_objects(stmt),
            N::CommentStmt(stmt) => self.comment(stmt),
            N::SecLabelStmt(stmt) => self.security_label(stmt),
            N::RenameStmt(stmt) => self.rename(stmt),
            N::AlterOwnerStmt(stmt) => self.alter_owner(stmt),
            N::AlterObjectSchemaStmt(stmt) => self.alter_schema_of(stmt),
            N::AlterObjectDependsStmt(stmt) => self.alter_depends(stmt),
            N::GrantStmt(stmt) => self.grant(stmt),
            N::GrantRoleStmt(stmt) => self.grant_role(stmt),
            N::AlterDefaultPrivilegesStmt(stmt) => self.default_privileges(stmt),
            N::CreateRoleStmt(stmt) => self.create_role(stmt),
            N::AlterRoleStmt(stmt) => self.alter_role(stmt),
            N::AlterRoleSetStmt(stmt) => self.alter_role_set(stmt),
            N::DropRoleStmt(stmt) => self.drop_role(stmt),
            N::DropOwnedStmt(stmt) => self.drop_owned(stmt),
            N::ReassignOwnedStmt(stmt) => self.reassign_owned(stmt),
            other => self.rare(other),
        }
    }

    /// A node that isn't a statement where one must be, or one read elsewhere.
    fn unknown(&mut self) -> Read {
        self.unsupported("a statement of a kind that isn't known");
        (Command::Do, Effect::Anything)
    }
}

/// SELECT (but SELECT INTO), INSERT, UPDATE, DELETE, MERGE: what the server plans and runs as it stands.
fn plain_query(node: &NodeEnum) -> Option<Command> {
    match node {
        NodeEnum::SelectStmt(stmt) => query::into(stmt).is_none().then_some(Command::Select),
        NodeEnum::InsertStmt(_) => Some(Command::Insert),
        NodeEnum::UpdateStmt(_) => Some(Command::Update),
        NodeEnum::DeleteStmt(_) => Some(Command::Delete),
        NodeEnum::MergeStmt(_) => Some(Command::Merge),
        _ => None,
    }
}

/// `PlannedStmtRequiresSnapshot` (src/backend/tcop/pquery.c).
fn takes_snapshot(node: &NodeEnum) -> bool {
    !matches!(
        node,
        NodeEnum::TransactionStmt(_)
            | NodeEnum::LockStmt(_)
            | NodeEnum::VariableSetStmt(_)
            | NodeEnum::VariableShowStmt(_)
            | NodeEnum::ConstraintsSetStmt(_)
            | NodeEnum::FetchStmt(_)
            | NodeEnum::ListenStmt(_)
            | NodeEnum::NotifyStmt(_)
            | NodeEnum::UnlistenStmt(_)
            | NodeEnum::CheckPointStmt(_)
    )
}

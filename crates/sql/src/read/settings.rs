//! `SELECT set_config('name', value, local), ...`: SET as drivers write it where the value is a parameter.
//!
//! Says what the text calls, not what the name `set_config` means: only the server's tree knows that.

use pg_query::NodeEnum;
use pg_query::protobuf::{AConst, AExpr, AExprKind, FuncCall, Node, RangeVar, SelectStmt, a_const::Val};

/// Returns the settings that a query of nothing but such calls names, in lower case as PostgreSQL compares them (`guc_name_compare`,
/// src/backend/utils/misc/guc.c). `None` for any other query. There may be calls of `current_setting` beside them.
///
/// Names are string literals, values and the third arguments literals or parameters.
///
/// `SELECT set_config(name, value, local) FROM pg_settings WHERE name = 'name'`, as pg_dump has it for settings that older servers lack,
/// is one too. Whether `=` and `pg_settings` are PostgreSQL's own is for the caller to see.
pub(super) fn set_by_calls(stmt: &SelectStmt) -> Option<Vec<String>> {
    // Whatever else a SELECT may have is not there if it equals one that has no more than this.
    let bare = SelectStmt {
        target_list: stmt.target_list.clone(),
        from_clause: stmt.from_clause.clone(),
        where_clause: stmt.where_clause.clone(),
        limit_option: stmt.limit_option,
        op: stmt.op,
        ..SelectStmt::default()
    };
    if *stmt != bare || stmt.target_list.is_empty() {
        return None;
    }
    let row = match (stmt.from_clause.as_slice(), stmt.where_clause.as_deref()) {
        ([], None) => None,
        ([from], Some(condition)) => Some(setting_of_row(from, condition)?),
        _ => return None,
    };
    let calls: Option<Vec<Call>> = stmt.target_list.iter().map(|target| call(target, row)).collect();
    let set = calls?.into_iter().filter_map(|call| match call {
        Call::Sets(name) => Some(name),
        Call::Shows => None,
    });
    Some(set.collect()).filter(|set: &Vec<String>| !set.is_empty())
}

/// `FROM pg_settings WHERE name = 'name'`: the name.
fn setting_of_row<'a>(from: &Node, condition: &'a Node) -> Option<&'a str> {
    let Some(NodeEnum::RangeVar(relation)) = &from.node else { return None };
    let RangeVar { catalogname, schemaname, relname, alias, .. } = relation;
    let schema = matches!(schemaname.as_str(), "" | "pg_catalog");
    if !catalogname.is_empty() || !schema || relname != "pg_settings" || alias.is_some() {
        return None;
    }
    let Some(NodeEnum::AExpr(condition)) = &condition.node else { return None };
    let AExpr { kind, name, lexpr, rexpr, .. } = condition.as_ref();
    let [operator] = name.as_slice() else { return None };
    let equal = matches!(&operator.node, Some(NodeEnum::String(operator)) if operator.sval == "=");
    let plain = *kind == AExprKind::AexprOp as i32;
    (equal && plain && is_name(lexpr.as_deref()?)).then(|| literal(rexpr.as_deref()?)).flatten()
}

/// The column `name`.
fn is_name(node: &Node) -> bool {
    let Some(NodeEnum::ColumnRef(column)) = &node.node else { return false };
    let [field] = column.fields.as_slice() else { return false };
    matches!(&field.node, Some(NodeEnum::String(field)) if field.sval == "name")
}

fn literal(node: &Node) -> Option<&str> {
    match node.node.as_ref()? {
        NodeEnum::AConst(AConst { val: Some(Val::Sval(text)), .. }) => Some(&text.sval),
        _ => None,
    }
}

enum Call {
    Sets(String),
    Shows,
}

fn call(target: &Node, row: Option<&str>) -> Option<Call> {
    let Some(NodeEnum::ResTarget(target)) = &target.node else { return None };
    let Some(NodeEnum::FuncCall(call)) = target.val.as_deref()?.node.as_ref() else { return None };
    let plain = FuncCall {
        funcname: call.funcname.clone(),
        args: call.args.clone(),
        funcformat: call.funcformat,
        location: call.location,
        ..FuncCall::default()
    };
    if **call != plain || !target.indirection.is_empty() {
        return None;
    }
    let Some(NodeEnum::String(name)) = call.funcname.last()?.node.as_ref() else { return None };
    let given = |node: &Node| matches!(node.node.as_ref(), Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)));
    match (name.sval.as_str(), call.args.as_slice()) {
        ("set_config", [setting, value, local]) if given(value) && given(local) => {
            let name = literal(setting).or_else(|| row.filter(|_| is_name(setting)))?;
            Some(Call::Sets(name.to_ascii_lowercase()))
        }
        ("current_setting", arguments) if arguments.iter().all(given) => Some(Call::Shows),
        _ => None,
    }
}

//! `SELECT set_config('name', value, local), ...`: SET as drivers write it where the value is a parameter.
//!
//! Says what the text calls, not what the name `set_config` means: only the server's tree knows that.

use pg_query::NodeEnum;
use pg_query::protobuf::{AConst, FuncCall, Node, SelectStmt, a_const::Val};

/// Returns the settings that a query of nothing but such calls names, in lower case as PostgreSQL compares them (`guc_name_compare`,
/// src/backend/utils/misc/guc.c). `None` for any other query. There may be calls of `current_setting` beside them.
///
/// Names are string literals, values and the third arguments literals or parameters.
pub(super) fn set_by_calls(stmt: &SelectStmt) -> Option<Vec<String>> {
    // Whatever else a SELECT may have is not there if it equals one that has no more than its list.
    let bare = SelectStmt {
        target_list: stmt.target_list.clone(),
        limit_option: stmt.limit_option,
        op: stmt.op,
        ..SelectStmt::default()
    };
    if *stmt != bare || stmt.target_list.is_empty() {
        return None;
    }
    let calls: Option<Vec<Call>> = stmt.target_list.iter().map(call).collect();
    let set = calls?.into_iter().filter_map(|call| match call {
        Call::Sets(name) => Some(name),
        Call::Shows => None,
    });
    Some(set.collect()).filter(|set: &Vec<String>| !set.is_empty())
}

enum Call {
    Sets(String),
    Shows,
}

fn call(target: &Node) -> Option<Call> {
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
            match setting.node.as_ref()? {
                NodeEnum::AConst(AConst { val: Some(Val::Sval(text)), .. }) => {
                    Some(Call::Sets(text.sval.to_ascii_lowercase()))
                }
                _ => None,
            }
        }
        ("current_setting", arguments) if arguments.iter().all(given) => Some(Call::Shows),
        _ => None,
    }
}

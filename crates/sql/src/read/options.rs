//! Reads option lists as PostgreSQL's `defGet...` functions do (src/backend/commands/define.c). Knows no statement.

use pg_query::NodeEnum;
use pg_query::protobuf::{DefElem, Node};

use super::names::strings;

/// The options of a list.
pub(super) fn options(nodes: &[Node]) -> impl Iterator<Item = Option<&DefElem>> {
    nodes.iter().map(|node| match &node.node {
        Some(NodeEnum::DefElem(option)) => Some(option.as_ref()),
        _ => None,
    })
}

/// `defGetString`; `None` if there is no value or not a simple one.
pub(super) fn text(option: &DefElem) -> Option<String> {
    value(option.arg.as_deref()?)
}

/// A simple value as text.
pub(super) fn value(node: &Node) -> Option<String> {
    use pg_query::protobuf::a_const::Val;
    match node.node.as_ref()? {
        NodeEnum::Integer(number) => Some(number.ival.to_string()),
        NodeEnum::Float(number) => Some(number.fval.clone()),
        NodeEnum::Boolean(value) => Some(value.boolval.to_string()),
        NodeEnum::String(text) => Some(text.sval.clone()),
        NodeEnum::TypeName(name) => Some(strings(&name.names)?.join(".")),
        NodeEnum::List(list) => Some(strings(&list.items)?.join(".")),
        NodeEnum::AStar(_) => Some("*".to_owned()),
        NodeEnum::AConst(constant) => match constant.val.as_ref()? {
            Val::Ival(number) => Some(number.ival.to_string()),
            Val::Fval(number) => Some(number.fval.clone()),
            Val::Boolval(value) => Some(value.boolval.to_string()),
            Val::Sval(text) => Some(text.sval.clone()),
            Val::Bsval(bits) => Some(bits.bsval.clone()),
        },
        _ => None,
    }
}

/// `defGetBoolean`: an option without a value is on; `None` if the value isn't a boolean.
pub(super) fn boolean(option: &DefElem) -> Option<bool> {
    let Some(_) = &option.arg else { return Some(true) };
    let text = text(option)?.to_ascii_lowercase();
    match text.as_str() {
        "true" | "on" | "1" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

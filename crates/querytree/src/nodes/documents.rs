//! The nodes of XML and SQL/JSON.

use super::Class::{Expression, JsonBehavior, JsonFormat, JsonPath, JsonPlan, JsonReturning, TableFunction};
use super::Form::{Bits, Bool, Int, Many, Name, Names, Numbers, One, Upto};
use super::Meaning::{Type, TypeViaIo, Typmod};
use super::{ALWAYS, Form, LAST, Node, Tag, field, input, location, node};

const EXPRESSION: Form = One(Expression);
const EXPRESSIONS: Form = Many(Expression);

pub(super) const NODES: &[Node] = &[
    node(
        Tag::XmlExpr,
        Expression,
        &[("XMLEXPR", ALWAYS)],
        &[
            // XmlExprOp: XMLCONCAT to IS DOCUMENT.
            field("op", Upto(7)),
            field("name", Name),
            input("named_args", EXPRESSIONS),
            field("arg_names", Names),
            input("args", EXPRESSIONS),
            field("xmloption", Upto(1)),
            field("indent", Bool).from(16),
            field("type", Int).means(Type),
            field("typmod", Int).means(Typmod),
            location(),
        ],
    ),
    node(
        Tag::JsonFormat,
        JsonFormat,
        &[("JSONFORMAT", (16, LAST))],
        &[field("format_type", Upto(2)), field("encoding", Upto(3)), location()],
    ),
    node(
        Tag::JsonReturning,
        JsonReturning,
        &[("JSONRETURNING", (16, LAST))],
        &[
            field("format", One(JsonFormat)),
            field("typid", Int).means(Type),
            field("typmod", Int).means(Typmod),
        ],
    ),
    node(
        Tag::JsonValueExpr,
        Expression,
        &[("JSONVALUEEXPR", (16, LAST))],
        &[
            input("raw_expr", EXPRESSION),
            input("formatted_expr", EXPRESSION),
            field("format", One(JsonFormat)),
        ],
    ),
    node(
        Tag::JsonConstructorExpr,
        Expression,
        &[("JSONCONSTRUCTOREXPR", (16, LAST))],
        &[
            // JsonConstructorType: JSON_OBJECT to, in 16, JSON_ARRAYAGG, from 17 on JSON_SERIALIZE.
            field("type", Upto(4)).until(16),
            field("type", Upto(7)).from(17),
            input("args", EXPRESSIONS),
            input("func", EXPRESSION),
            input("coercion", EXPRESSION),
            field("returning", One(JsonReturning)),
            field("absent_on_null", Bool),
            field("unique", Bool),
            location(),
        ],
    ),
    node(
        Tag::JsonIsPredicate,
        Expression,
        &[("JSONISPREDICATE", (16, LAST))],
        &[
            input("expr", EXPRESSION),
            field("format", One(JsonFormat)),
            field("item_type", Upto(3)),
            field("unique_keys", Bool),
            location(),
        ],
    ),
    node(
        Tag::JsonBehavior,
        JsonBehavior,
        &[("JSONBEHAVIOR", (17, LAST))],
        &[field("btype", Upto(8)), input("expr", EXPRESSION), field("coerce", Bool), location()],
    ),
    node(
        Tag::JsonExpr,
        Expression,
        &[("JSONEXPR", (17, LAST))],
        &[
            // JsonExprOp: EXISTS, QUERY, VALUE, TABLE.
            field("op", Upto(3)),
            field("column_name", Name),
            input("formatted_expr", EXPRESSION),
            field("format", One(JsonFormat)),
            input("path_spec", EXPRESSION),
            field("returning", One(JsonReturning)),
            field("passing_names", Names),
            input("passing_values", EXPRESSIONS),
            input("on_empty", One(JsonBehavior)),
            input("on_error", One(JsonBehavior)),
            field("use_io_coercion", Bool),
            field("use_json_coercion", Bool),
            field("wrapper", Upto(3)),
            field("omit_quotes", Bool),
            field("collation", Int),
            location(),
        ],
    ),
    node(
        Tag::TableFunc,
        TableFunction,
        &[("TABLEFUNC", ALWAYS)],
        &[
            field("functype", Upto(1)).from(17),
            input("ns_uris", EXPRESSIONS),
            field("ns_names", Names),
            input("docexpr", EXPRESSION),
            input("rowexpr", EXPRESSION),
            field("colnames", Names),
            field("coltypes", Numbers).means(TypeViaIo),
            field("coltypmods", Numbers),
            field("colcollations", Numbers),
            input("colexprs", EXPRESSIONS),
            input("coldefexprs", EXPRESSIONS),
            input("colvalexprs", EXPRESSIONS).from(17),
            input("passingvalexprs", EXPRESSIONS).from(17),
            field("notnulls", Bits),
            input("plan", One(JsonPlan)).from(17),
            field("ordinalitycol", Int),
            location(),
        ],
    ),
    node(
        Tag::JsonTablePath,
        JsonPath,
        &[("JSONTABLEPATH", (17, LAST))],
        &[input("value", EXPRESSION), field("name", Name)],
    ),
    node(
        Tag::JsonTablePathScan,
        JsonPlan,
        &[("JSONTABLEPATHSCAN", (17, LAST))],
        &[
            input("path", One(JsonPath)),
            field("errorOnError", Bool),
            input("child", One(JsonPlan)),
            field("colMin", Int),
            field("colMax", Int),
        ],
    ),
    node(
        Tag::JsonTableSiblingJoin,
        JsonPlan,
        &[("JSONTABLESIBLINGJOIN", (17, LAST))],
        &[input("lplan", One(JsonPlan)), input("rplan", One(JsonPlan))],
    ),
];

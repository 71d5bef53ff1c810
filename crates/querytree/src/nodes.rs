//! The nodes that a rewritten tree may hold, as data: their fields in the order they are written, and what each means.
//! Knows no trees and no analysis.
//!
//! From PostgreSQL's nodes/outfuncs.c (14 and 15) and, from 16 on, nodes/primnodes.h and nodes/parsenodes.h, of which
//! it is generated; each label and order was then compared with what servers of all five versions print.

mod expressions;
mod queries;

/// A node's label and fields.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) tag: Tag,
    pub(crate) class: Class,
    /// As written after `{`, and the versions that write it so.
    pub(crate) labels: &'static [(&'static str, Versions)],
    pub(crate) fields: &'static [Field],
}

/// First and last major version.
pub(crate) type Versions = (u32, u32);

const FIRST: u32 = 14;
const LAST: u32 = 18;
const ALWAYS: Versions = (FIRST, LAST);

/// A field of a node.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) meaning: Meaning,
    pub(crate) versions: Versions,
    /// For a range-table entry: bit set of the RTEKinds that have the field; else 0.
    pub(crate) kinds: u16,
}

/// How a field's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `true` or `false`
    Bool,
    /// A signed number.
    Int,
    /// An enum's number, from 0 to this at most.
    Upto(u8),
    /// A single character, or `<>`.
    Char,
    /// A name with escapes, `""` or `<>`.
    Name,
    /// `and`, `or` or `not`.
    BoolOperator,
    /// `(b 1 2)`
    Bits,
    /// `(i 1 2)`, `(o 1 2)` or `<>`
    Numbers,
    /// `("a" "b")` or `<>`
    Names,
    /// `4 [ 1 0 0 0 ]` or `<>`
    Datum,
    /// A node of the class, or `<>`.
    One(Class),
    /// A list of nodes of the class, or `<>`; its members may be `<>` too.
    Many(Class),
    /// A list of such lists, or `<>`.
    Rows(Class),
    /// A list of nodes of the class, `(i 1 2)` or `<>`.
    ManyOrNumbers(Class),
    /// Anything with its brackets in order.
    Any,
}

/// Where a node may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Has a value.
    Expression,
    Query,
    RangeTableEntry,
    Permissions,
    Alias,
    Cte,
    CteSearch,
    CteCycle,
    /// FROMEXPR
    Jointree,
    /// JOINEXPR, RANGETBLREF
    FromItem,
    /// SETOPERATIONSTMT, RANGETBLREF
    SetOperand,
    Target,
    SortGroup,
    GroupingSet,
    Window,
    RowMark,
    MergeAction,
    OnConflict,
    CheckOption,
    TableSample,
    FunctionItem,
    TableFunction,
    JsonPlan,
    JsonPath,
    JsonFormat,
    JsonReturning,
    JsonBehavior,
    CaseWhen,
}

impl Class {
    /// Says whether a node of this class may stand where `wanted` is asked for.
    pub(crate) fn fits(self, wanted: Self, tag: Tag) -> bool {
        self == wanted || (tag == Tag::RangeTblRef && wanted == Self::SetOperand)
    }
}

/// What a field says about a statement, where it says anything on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing, or what only the analysis of this very node can use.
    Plain,
    /// What the expression's value depends on.
    Input,
    /// The OID of the expression's type.
    Type,
    /// Its type modifier.
    Typmod,
    /// The OID of a function that runs.
    Function,
    /// The OID of an operator whose function runs.
    Operator,
    /// The same, unless the function is named beside it.
    OperatorOfFunction,
    /// The OID of a type that has its input or output function run, and is the expression's type.
    TypeViaIo,
    /// The OID of a domain that is checked, and is the expression's type.
    TypeDomain,
    /// The OID of a type that has its comparison run, and is the expression's type.
    TypeCompared,
    /// The OID of a sequence that is advanced.
    Sequence,
    /// Whether the expression returns a set.
    ReturnsSet,
}

/// Which node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(crate) enum Tag {
    Query, RangeTblEntry, RtePermissionInfo, RangeTblFunction, TableSampleClause, WithCheckOption, SortGroupClause,
    GroupingSet, WindowClause, RowMarkClause, CteSearchClause, CteCycleClause, CommonTableExpr, MergeAction,
    SetOperationStmt, Alias, TableFunc, RangeTblRef, JoinExpr, FromExpr, OnConflictExpr, TargetEntry,
    Var, Const, Param, Aggref, GroupingFunc, WindowFunc, MergeSupportFunc, SubscriptingRef, FuncExpr, NamedArgExpr,
    OpExpr, DistinctExpr, NullIfExpr, ScalarArrayOpExpr, BoolExpr, SubLink, FieldSelect, FieldStore, RelabelType,
    CoerceViaIo, ArrayCoerceExpr, ConvertRowtypeExpr, CollateExpr, CaseExpr, CaseWhen, CaseTestExpr, ArrayExpr,
    RowExpr, RowCompareExpr, CoalesceExpr, MinMaxExpr, SqlValueFunction, XmlExpr, JsonFormat, JsonReturning,
    JsonValueExpr, JsonConstructorExpr, JsonIsPredicate, JsonBehavior, JsonExpr, JsonTablePath, JsonTablePathScan,
    JsonTableSiblingJoin, NullTest, BooleanTest, CoerceToDomain, CoerceToDomainValue, SetToDefault, CurrentOfExpr,
    NextValueExpr, InferenceElem, ReturningExpr,
}

/// Returns the node that this version writes with the label.
pub(crate) fn find(label: &str, version: u32) -> Option<&'static Node> {
    let has = |node: &&Node| node.labels.iter().any(|(name, versions)| *name == label && within(*versions, version));
    expressions::NODES.iter().find(has).or_else(|| queries::NODES.iter().find(has))
}

/// Says whether a version is among some.
pub(crate) const fn within(versions: Versions, version: u32) -> bool {
    versions.0 <= version && version <= versions.1
}

const fn field(name: &'static str, form: Form) -> Field {
    Field { name, form, meaning: Meaning::Plain, versions: ALWAYS, kinds: 0 }
}

const fn input(name: &'static str, form: Form) -> Field {
    field(name, form).means(Meaning::Input)
}

const fn location() -> Field {
    field("location", Form::Int)
}

impl Field {
    const fn means(mut self, meaning: Meaning) -> Self {
        self.meaning = meaning;
        self
    }

    const fn from(mut self, version: u32) -> Self {
        self.versions.0 = version;
        self
    }

    const fn until(mut self, version: u32) -> Self {
        self.versions.1 = version;
        self
    }

    const fn kinds(mut self, kinds: u16) -> Self {
        self.kinds = kinds;
        self
    }
}

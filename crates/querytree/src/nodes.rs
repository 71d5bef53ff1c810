//! The nodes that a rewritten tree may hold, as data: their fields in the order they are written, and what each means.
//! Knows no trees and no analysis.
//!
//! From PostgreSQL's nodes/outfuncs.c (14 and 15) and, from 16 on, nodes/primnodes.h and nodes/parsenodes.h, of which
//! it is generated; each label and order was then compared with what servers of all five versions print.

mod documents;
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
    let has = |node: &&Node| {
        node.labels.iter().any(|(name, versions)| *name == label && within(*versions, version))
    };
    [expressions::NODES, queries::NODES, documents::NODES].into_iter().flatten().find(has)
}

/// Says whether a version is among some.
pub(crate) const fn within(versions: Versions, version: u32) -> bool {
    versions.0 <= version && version <= versions.1
}

const fn node(
    tag: Tag,
    class: Class,
    labels: &'static [(&'static str, Versions)],
    fields: &'static [Field],
) -> Node {
    Node { tag, class, labels, fields }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn all() -> impl Iterator<Item = &'static Node> {
        [expressions::NODES, queries::NODES, documents::NODES].into_iter().flatten()
    }

    /// What a version's server printed for `testdata/cases/`.
    fn printed(version: u32) -> String {
        let path = format!("testdata/trees/{version}.txt");
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    }

    /// Nodes that no statement of `testdata/cases/` brings, though the version has them. May only shrink.
    const UNSEEN: [&str; 2] = [
        // Stands for the value in a domain's constraint, which is no part of a query.
        "COERCETODOMAINVALUE",
        // Replaced by the default, or by NULL, before the tree is printed.
        "SETTODEFAULT",
    ];

    #[test]
    fn every_node_has_been_seen_in_every_version_that_has_it() {
        let mut unseen = BTreeSet::new();
        for version in FIRST..=LAST {
            let printed = printed(version);
            for node in all() {
                for (label, _) in node.labels.iter().filter(|(_, versions)| within(*versions, version)) {
                    if !printed.contains(&format!("{{{label} ")) && !printed.contains(&format!("{{{label}\n"))
                    {
                        unseen.insert((*label, version));
                    }
                }
            }
        }
        unseen.retain(|(label, _)| !UNSEEN.contains(label));
        assert!(unseen.is_empty(), "{unseen:?}");
    }

    #[test]
    fn every_node_type_of_postgresql_is_listed_as_read_or_refused() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/node_types.txt");
        let text = std::fs::read_to_string(path).unwrap();
        let mut read = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split(' ');
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            match kind {
                "read" => read.extend(words.map(str::to_owned)),
                "value" => assert_eq!(words.next(), None, "{name}"),
                "refused" => {
                    for label in words {
                        assert!((FIRST..=LAST).all(|version| find(label, version).is_none()), "{name}");
                    }
                }
                other => panic!("{name} is {other}"),
            }
        }
        let known: BTreeSet<String> =
            all().flat_map(|node| node.labels).map(|(label, _)| (*label).to_owned()).collect();
        assert_eq!(read, known);
    }

    #[test]
    fn a_label_is_one_node_in_a_version() {
        for version in FIRST..=LAST {
            let mut labels = BTreeSet::new();
            for node in all() {
                let of_version: Vec<_> =
                    node.labels.iter().filter(|(_, versions)| within(*versions, version)).collect();
                assert!(of_version.len() <= 1, "{of_version:?}");
                for (label, _) in of_version {
                    assert!(labels.insert(*label), "{label}");
                }
            }
        }
    }

    #[test]
    fn a_field_is_one_in_a_version_and_kind() {
        for version in FIRST..=LAST {
            for node in all() {
                for kind in 0..10 {
                    let mut names = BTreeSet::new();
                    let has = |field: &&Field| {
                        within(field.versions, version) && (field.kinds == 0 || field.kinds >> kind & 1 == 1)
                    };
                    for field in node.fields.iter().filter(has) {
                        assert!(names.insert(field.name), "{}", field.name);
                    }
                }
            }
        }
    }

    #[test]
    fn each_tag_is_one_node() {
        let mut tags: Vec<_> = all().map(|node| format!("{:?}", node.tag)).collect();
        tags.sort();
        let count = tags.len();
        tags.dedup();
        assert_eq!(tags.len(), count);
    }
}

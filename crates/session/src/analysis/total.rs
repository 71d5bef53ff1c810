//! Computations that can tell nothing but their result: they don't fail, keep nothing, and choose nothing.
//!
//! Where a masked column is computed with, its value is masked whole; but whether the computation *fails* would still tell of
//! it (`1 / (CASE WHEN ... THEN 0 ELSE 1 END)`). So unless a statement consists of nothing but the nodes and functions listed
//! here, such a computation counts as using the column to choose: it needs `filter`. Knows names only.

use std::collections::BTreeSet;

use model::{Oid, QualifiedName};

/// Sorted. None of these has an error of its own for any argument, or reads or keeps anything, in PostgreSQL 14 to 18.
const TOTAL: &[&str] = &[
    "ascii",
    "bool_and",
    "bool_or",
    "booland_statefunc",
    "booleq",
    "boolne",
    "boolor_statefunc",
    "bpchareq",
    "bpcharge",
    "bpchargt",
    "bpcharle",
    "bpcharlt",
    "bpcharne",
    "btrim",
    "char_length",
    "character_length",
    "count",
    "date_eq",
    "date_ge",
    "date_gt",
    "date_larger",
    "date_le",
    "date_lt",
    "date_ne",
    "date_smaller",
    "dense_rank",
    "every",
    "first_value",
    "initcap",
    "int2eq",
    "int2ge",
    "int2gt",
    "int2le",
    "int2lt",
    "int2ne",
    "int4eq",
    "int4ge",
    "int4gt",
    "int4le",
    "int4lt",
    "int4ne",
    "int8eq",
    "int8ge",
    "int8gt",
    "int8le",
    "int8lt",
    "int8ne",
    "last_value",
    "left",
    "lower",
    "ltrim",
    "max",
    "min",
    "nameeq",
    "namene",
    "octet_length",
    "quote_ident",
    "quote_literal",
    "rank",
    "reverse",
    "right",
    "row_number",
    "rtrim",
    "starts_with",
    "strpos",
    "text",
    "text_ge",
    "text_gt",
    "text_larger",
    "text_le",
    "text_lt",
    "text_smaller",
    "textcat",
    "texteq",
    "textne",
    "upper",
    "uuid_eq",
    "uuid_ne",
];

/// Single overloads (pg_proc.dat): `length(text)`, `length(character)`, `int8(int4)`, which LIMIT calls, `int4(int2)`,
/// `int8(int2)`. Others of these names can fail.
const TOTAL_OVERLOADS: [Oid; 5] = [Oid(1317), Oid(1318), Oid(481), Oid(313), Oid(754)];

/// Labels of the nodes (outfuncs.c) that can't fail themselves. So no sub-select in an expression, no array, row, JSON or XML
/// constructor.
const PLAIN: &[&str] = &[
    "AGGREF",
    "ALIAS",
    "BOOLEANTEST",
    "BOOLEXPR",
    "CASE",
    "CASEEXPR",
    "CASETESTEXPR",
    "CASEWHEN",
    "COALESCE",
    "COALESCEEXPR",
    "COLLATEEXPR",
    "COMMONTABLEEXPR",
    "CONST",
    "DISTINCTEXPR",
    "FROMEXPR",
    "FUNCEXPR",
    "JOINEXPR",
    "NULLIFEXPR",
    "NULLTEST",
    "OPEXPR",
    "PARAM",
    "QUERY",
    "RANGETBLENTRY",
    "RANGETBLREF",
    "RELABELTYPE",
    "RTE",
    "RTEPERMISSIONINFO",
    "SORTGROUPCLAUSE",
    "TARGETENTRY",
    "VAR",
    "WHEN",
    "WINDOWCLAUSE",
    "WINDOWFUNC",
];

/// Those of them that evaluate some of what they have depending on the rest: CASE and COALESCE under both their labels, AND, OR.
const CONDITIONAL: [&str; 5] = ["BOOLEXPR", "CASE", "CASEEXPR", "COALESCE", "COALESCEEXPR"];

/// What kinds of nodes a tree has.
pub(super) struct Nodes {
    /// None but plain ones.
    pub(super) plain: bool,
    /// Something is evaluated, or not, depending on something else.
    pub(super) conditional: bool,
}

/// Looks at a tree as the server prints it.
pub(super) fn nodes(tree: &str) -> Nodes {
    let labels = labels(tree);
    let plain = labels.iter().all(|label| PLAIN.binary_search(label).is_ok());
    let conditional = CONDITIONAL.iter().any(|label| labels.contains(label));
    Nodes { plain, conditional }
}

/// `textcat` (`||`), `quote_ident`, `quote_literal` (pg_proc.dat): they make text longer, and so can fail for want of memory. Where that depends on
/// whether they are reached, it tells.
pub(super) const GROWING: [Oid; 4] = [Oid(1258), Oid(1282), Oid(1283), Oid(1285)];

/// Returns the labels of all nodes. In a tree an identifier's own braces are escaped (`outToken`, outfuncs.c).
fn labels(tree: &str) -> BTreeSet<&str> {
    let mut labels = BTreeSet::new();
    let mut rest = tree;
    while let Some(at) = rest.find(['{', '\\']) {
        let (escaped, after) = (rest.get(at..=at) == Some("\\"), rest.get(at + 1..).unwrap_or_default());
        if escaped {
            let mut chars = after.chars();
            chars.next();
            rest = chars.as_str();
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            labels.insert(after.get(..end).unwrap_or_default());
            rest = after.get(end..).unwrap_or_default();
        }
    }
    labels
}

/// Types whose output and input functions both take everything: text and its kin.
const TEXT_TYPES: [Oid; 4] = [Oid(25), Oid(1042), Oid(1043), Oid(19)];

/// Returns whether calling it can neither fail nor be measured.
pub(super) fn is_total(oid: Oid, name: &QualifiedName) -> bool {
    let listed = TOTAL.binary_search(&name.name.as_str()).is_ok() || TOTAL_OVERLOADS.contains(&oid);
    oid.is_builtin() && name.schema == "pg_catalog" && listed
}

/// Returns whether a cast by way of text between such types can't fail.
pub(super) fn is_text(type_oid: Oid) -> bool {
    TEXT_TYPES.contains(&type_oid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, total: bool) {
        let name = QualifiedName { schema: "pg_catalog".to_owned(), name: name.to_owned() };
        assert_eq!(is_total(Oid(1299), &name), total, "{name}");
        assert!(!is_total(Oid(20000), &name), "a function of a user's is never total");
    }

    #[test]
    fn what_can_fail_is_not_plain_and_what_chooses_is_told() {
        assert!(PLAIN.is_sorted());
        let read = |tree: &str| (nodes(tree).plain, nodes(tree).conditional);
        let escaped =
            "({QUERY :targetList ({TARGETENTRY :expr {FUNCEXPR :args ({VAR :varno 1})} :resname a\\{CASE})})";
        assert_eq!(read(escaped), (true, false));
        for label in ["CASE", "CASEEXPR", "COALESCE", "COALESCEEXPR", "BOOLEXPR"] {
            assert_eq!(
                read(&format!("({{QUERY :targetList ({{{label} :args <>}})}})")),
                (true, true),
                "{label}"
            );
        }
        for label in
            ["SUBLINK", "ARRAYEXPR", "ARRAY", "ROWEXPR", "XMLEXPR", "COERCETODOMAIN", "COERCEVIAIO", "NEWER"]
        {
            assert!(!nodes(&format!("({{QUERY {{{label} :opfuncid 1258}}}})")).plain, "{label}");
        }
    }

    #[test]
    fn what_can_fail_is_not_total() {
        assert!(TOTAL.is_sorted());
        check("upper", true);
        for name in [
            "int4div",
            "substr",
            "substring",
            "to_date",
            "repeat",
            "chr",
            "generate_series",
            "random",
            "sum",
            "similar_to_escape",
        ] {
            check(name, false);
        }
    }
}

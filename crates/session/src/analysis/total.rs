//! Built-in functions that give an answer for every argument, and quickly: no error, no state, no time to measure.
//!
//! Where a masked column is computed with, its value is masked whole; but whether the computation *fails*, or how long it takes,
//! would still tell of it (`1 / (CASE WHEN ... THEN 0 ELSE 1 END)`). So with any other function such a computation counts as using
//! the column to choose: it needs `filter`. Knows names only; a name stands for all its overloads.

use model::{Oid, QualifiedName};

/// Sorted. Of each name every overload in pg_proc of PostgreSQL 14 to 18 was looked at: none has an error of its own
/// (running out of memory aside), none reads or keeps anything, and none takes longer than its arguments are long.
const TOTAL: &[&str] = &[
    "array_agg",
    "ascii",
    "bool_and",
    "bool_or",
    "booland_statefunc",
    "booleq",
    "boolge",
    "boolgt",
    "boolle",
    "boollt",
    "boolne",
    "boolor_statefunc",
    "bpchar",
    "bpchareq",
    "bpcharge",
    "bpchargt",
    "bpcharle",
    "bpcharlt",
    "bpcharne",
    "btrim",
    "char_length",
    "character_length",
    "concat",
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
    "length",
    "like",
    "lower",
    "ltrim",
    "max",
    "md5",
    "min",
    "name",
    "nameeq",
    "namene",
    "notlike",
    "octet_length",
    "quote_ident",
    "quote_literal",
    "quote_nullable",
    "rank",
    "replace",
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
    "textlike",
    "textne",
    "textnlike",
    "translate",
    "upper",
    "uuid_eq",
    "uuid_ne",
    "varchar",
];

/// Types whose output and input functions both take everything: text and its kin.
const TEXT_TYPES: [Oid; 4] = [Oid(25), Oid(1042), Oid(1043), Oid(19)];

/// Returns whether calling it can neither fail nor be measured.
pub(super) fn is_total(oid: Oid, name: &QualifiedName) -> bool {
    oid.is_builtin() && name.schema == "pg_catalog" && TOTAL.binary_search(&name.name.as_str()).is_ok()
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

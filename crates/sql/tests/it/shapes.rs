//! Keys: texts that differ in plain literals alone share one; texts that PostgreSQL reads otherwise never do.

use std::collections::HashMap;

use proptest::prelude::*;
use sql::Strings;
use sql::shape::{Shape, exact, key};

fn of(text: &str) -> Shape {
    key(text.as_bytes(), Strings::Standard)
}

/// The raw tree without positions, and with the types of constants in place of their values.
fn tree(text: &str) -> Option<String> {
    let parsed = pg_query::parse(text, 0).ok()?;
    let debug = format!("{:?}", parsed.protobuf.stmts);
    let mut out = String::new();
    let mut rest = debug.as_str();
    while let Some(at) = rest.find(['"', ':', '(']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        rest = from;
        if rest.starts_with('"') {
            let (quoted, after) = quoted(rest);
            out.push_str(quoted);
            rest = after;
        } else if let Some(number) = rest.strip_prefix("(Ival(Integer { ival: ") {
            out.push_str("(4");
            rest = number.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit());
        } else if let Some(number) = rest.strip_prefix("(Fval(Float { fval: ") {
            let (digits, after) = quoted(number);
            out.push_str(float_type(digits.trim_matches('"')));
            rest = after;
        } else if let Some(text) = rest.strip_prefix("(Sval(String { sval: ") {
            out.push_str("(s");
            rest = quoted(text).1;
        } else if let Some(bits) = rest.strip_prefix("(Bsval(BitString { bsval: ") {
            out.push_str(&bits[..2]);
            rest = quoted(bits).1;
        } else if rest.starts_with(':') && is_position(&out) {
            rest = rest[1..].trim_start_matches(|c: char| c == ' ' || c == '-' || c.is_ascii_digit());
        } else {
            out.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    Some(out)
}

fn quoted(text: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return text.split_at(at + 1),
            _ => {}
        }
    }
    (text, "")
}

/// `make_const`, src/backend/parser/parse_node.c
fn float_type(digits: &str) -> &'static str {
    match digits.parse::<i64>().map(i32::try_from) {
        Ok(Ok(_)) => "(f4",
        Ok(Err(_)) => "(f8",
        Err(_) => "(fn",
    }
}

fn is_position(before: &str) -> bool {
    ["location", "stmt_len", "list_start", "list_end"].iter().any(|field| before.ends_with(field))
}

fn same(texts: &[&str]) {
    let shapes: Vec<Shape> = texts.iter().map(|text| of(text)).collect();
    for (text, shape) in texts.iter().zip(&shapes) {
        assert!(shape.blanked, "not blanked: {text}");
        assert_eq!(shape.key, shapes[0].key, "{text} is not {}", texts[0]);
        assert_eq!(tree(text), tree(texts[0]), "{text}");
    }
}

fn different(texts: &[&str]) {
    let mut seen = HashMap::new();
    for text in texts {
        if let Some(other) = seen.insert(of(text).key, text) {
            panic!("{text} has the key of {other}");
        }
    }
}

fn opaque(texts: &[&str]) {
    for text in texts {
        assert_eq!(of(text), exact(text.as_bytes(), Strings::Standard), "{text}");
    }
}

#[test]
fn plain_literals_do_not_matter() {
    same(&[
        "SELECT a FROM t WHERE id = 1",
        "SELECT a FROM t WHERE id = 42;",
        "SELECT  a\nFROM t -- x\n WHERE id=7 /* /* */ */",
    ]);
    same(&[
        "SELECT 'a'",
        "SELECT 'it''s'",
        "SELECT E'\\'x'",
        "SELECT $t$ ; $t$",
        "SELECT 'a'\n  'b'",
        "SELECT ''",
    ]);
    same(&[
        "SELECT a FROM t WHERE b LIKE 'x%' LIMIT 5 OFFSET 10",
        "SELECT a FROM t WHERE b LIKE '' LIMIT 7 OFFSET 1",
    ]);
    same(&["SELECT 1.5, 1e3, .5, 10000000000000000000", "SELECT 1., 1.0e-3, 0.5, 99999999999999999999"]);
    same(&["SELECT 3000000000", "SELECT 9223372036854775807"]);
    same(&["SELECT B'1', X'1', N'a'", "SELECT B'', X'FF', N''"]);
    same(&["SELECT -1", "SELECT -2147483647"]);
    same(&["SELECT a FROM t ORDER BY a, 2 LIMIT 5", "SELECT a FROM t ORDER BY a, 2 LIMIT 6"]);
    same(&[
        "SELECT a FROM t GROUP BY a HAVING count(*) > 5",
        "SELECT a FROM t GROUP BY a HAVING count(*) > 6",
    ]);
    same(&[
        "INSERT INTO t (a) VALUES ('x', 1) RETURNING id",
        "INSERT INTO t (a) VALUES ('y', 2) RETURNING id",
    ]);
    same(&["UPDATE t SET a = 'x' WHERE b IN (1, 2)", "UPDATE t SET a = 'y' WHERE b IN (3, 4)"]);
    same(&["SELECT coalesce(a, 'x'), date '2020-01-01'", "SELECT coalesce(a, 'y'), date '2021-01-01'"]);
    same(&["SELECT 'x'::text, '1'::numeric(10,2)::text", "SELECT 'y'::text, '2'::numeric(10,2)::text"]);
    same(&["SELECT CAST('1' AS int)", "SELECT CAST('2' AS int)"]);
    same(&["SELECT a->>'x', a @> '{}'", "SELECT a->>'y', a @> '[]'"]);
    same(&[
        "SELECT a FROM t WHERE (b = 'x' AND c > now() - interval '1 day')",
        "SELECT a FROM t WHERE (b = '' AND c > now() - interval '2')",
    ]);
    same(&[
        "WITH x AS (SELECT 1) SELECT * FROM x WHERE a = 'b'",
        "WITH x AS (SELECT 2) SELECT * FROM x WHERE a = 'c'",
    ]);
}

#[test]
fn structure_matters() {
    different(&[
        "SELECT a",
        "SELECT A",
        "SELECT \"a\"",
        "SELECT \"A\"",
        "SELECT 'a'",
        "SELECT a b",
        "SELECT ab",
    ]);
    different(&[
        "SELECT 1",
        "SELECT 3000000000",
        "SELECT 1.0",
        "SELECT '1'",
        "SELECT B'1'",
        "SELECT X'1'",
        "SELECT N'1'",
        "SELECT $1",
        "SELECT -1",
        "SELECT NULL",
        "SELECT true",
    ]);
    different(&["SELECT $1", "SELECT $2"]);
    different(&["SELECT a <= b", "SELECT a < = b", "SELECT a <=- b", "SELECT a < b"]);
    different(&["SELECT a IN (1)", "SELECT a IN (1, 2)", "SELECT a IN (1, 2, 3)"]);
    different(&["SELECT 1 -- '\n, 2", "SELECT 1 -- ', 2"]);
    different(&["SELECT e 'x'", "SELECT e'x'"]);
    different(&["SELECT a.b", "SELECT a, b", "SELECT a b"]);
}

/// At these two sizes the sign decides the type.
#[test]
fn integers_at_the_edges_of_their_types_are_kept() {
    different(&["SELECT -2147483648", "SELECT -2147483649", "SELECT 2147483648"]);
    different(&["SELECT -9223372036854775808", "SELECT -9223372036854775809", "SELECT 9223372036854775808"]);
    different(&["SELECT 2147483647", "SELECT 2147483649"]);
    different(&["SELECT 0x1F", "SELECT 0x1E", "SELECT 31"]);
    different(&["SELECT 1_000", "SELECT 1_001", "SELECT 1000"]);
}

#[test]
fn positions_are_kept() {
    different(&[
        "SELECT a, b FROM t ORDER BY 1",
        "SELECT a, b FROM t ORDER BY 2",
        "SELECT a, b FROM t ORDER BY 1, 2",
    ]);
    different(&["SELECT a, b FROM t GROUP BY 1", "SELECT a, b FROM t GROUP BY 2"]);
    different(&["SELECT DISTINCT ON (1) a, b FROM t", "SELECT DISTINCT ON (2) a, b FROM t"]);
    different(&["SELECT a FROM t ORDER BY 1 LIMIT 2", "SELECT a FROM t ORDER BY 2 LIMIT 1"]);
    different(&["SELECT a, b FROM t GROUP BY ROLLUP (1, 2)", "SELECT a, b FROM t GROUP BY ROLLUP (2, 1)"]);
    different(&["(SELECT a, b FROM t) ORDER BY 1", "(SELECT a, b FROM t) ORDER BY 2"]);
    different(&["SELECT a, b FROM t ORDER BY t.limit, 1", "SELECT a, b FROM t ORDER BY t.limit, 2"]);
}

/// PostgreSQL compares the expressions of such lists with those of the select list.
#[test]
fn texts_with_literals_in_compared_expressions_are_opaque() {
    opaque(&[
        "SELECT a || 'x' FROM t ORDER BY a || 'x'",
        "SELECT a + 1 FROM t GROUP BY a + 1",
        "SELECT a FROM t ORDER BY coalesce(a, 'x')",
        "SELECT a FROM t ORDER BY 1 + a",
        "SELECT a FROM t ORDER BY 1 AT TIME ZONE 'x'",
        "SELECT a FROM t ORDER BY 'x'",
        "SELECT DISTINCT ON (a + 1) a FROM t",
        "SELECT sum(a) OVER (PARTITION BY a + 1) FROM t",
        "SELECT sum(a) OVER (ROWS 1 PRECEDING), sum(b) OVER (ROWS 1 PRECEDING) FROM t",
        "SELECT sum(a) OVER w FROM t WINDOW w AS (ROWS 2 PRECEDING)",
        "SELECT string_agg(a || 'x', ',' ORDER BY a || 'x') FROM t",
    ]);
}

#[test]
fn literals_that_may_name_objects_are_kept() {
    different(&["SELECT nextval('a')", "SELECT nextval('b')"]);
    different(&["SELECT nextval(('a'))", "SELECT nextval(('b'))"]);
    different(&["SELECT nextval(lower('a'))", "SELECT nextval(lower('b'))"]);
    different(&[
        "SELECT query_to_xml('SELECT 1', true, false, '')",
        "SELECT query_to_xml('SELECT 2', true, false, '')",
    ]);
    different(&["SELECT set_config('role', 'a', false)", "SELECT set_config('role', 'b', false)"]);
    different(&["SELECT pg_catalog.lower('a')", "SELECT pg_catalog.lower('b')"]);
    different(&["SELECT 'a'::mood", "SELECT 'b'::mood"]);
    different(&["SELECT 'a'::text::mood", "SELECT 'b'::text::mood"]);
    different(&["SELECT 'a'::varchar(3)::mood", "SELECT 'b'::varchar(3)::mood"]);
    different(&["SELECT 'a'::text.mood", "SELECT 'b'::text.mood"]);
    different(&["SELECT mood 'a'", "SELECT mood 'b'"]);
    different(&["SELECT s.date 'a'", "SELECT s.date 'b'"]);
    different(&["SELECT \"date\" 'a'", "SELECT \"date\" 'b'"]);
    different(&["SELECT CAST('a' AS mood)", "SELECT CAST('b' AS mood)"]);
    opaque(&[
        "SELECT 'a'::regclass",
        "SELECT ('a')::RegClass",
        "SELECT CAST('a' AS pg_catalog.regproc)",
        "SELECT regclass 'a'",
        "SELECT \"regclass\" 'a'",
        "SELECT to_regtype('a')",
    ]);
}

#[test]
fn type_modifiers_are_kept() {
    different(&["SELECT a::varchar(10)", "SELECT a::varchar(20)"]);
    different(&["SELECT CAST(a AS numeric(10, 2))", "SELECT CAST(a AS numeric(10, 3))"]);
    different(&["SELECT a::float(24)", "SELECT a::float(25)"]);
    different(&["SELECT interval(3) '1'", "SELECT interval(4) '1'"]);
    different(&["SELECT interval '1' second(2)", "SELECT interval '1' second(3)"]);
    different(&["SELECT a::int[3]", "SELECT a::int[4]"]);
    different(&["SELECT a::timestamp(3) with time zone", "SELECT a::timestamp(4) with time zone"]);
}

#[test]
fn texts_that_are_not_one_plain_query_are_opaque() {
    opaque(&[
        "",
        ";",
        "SET a = 1",
        "COPY t TO STDOUT (DELIMITER 'x')",
        "EXECUTE p(1)",
        "FETCH 5 FROM c",
        "SELECT 1; SELECT 2",
        "SELECT 1 INTO t",
        "SELECT f(1) insert INTO t",
        "WITH x AS (SELECT 1) SELECT * INTO y FROM x",
        "EXPLAIN SELECT 1",
        "CREATE TABLE t AS SELECT 1",
        "SELECT 'open",
        "SELECT \"open",
        "SELECT $a$ open",
        "SELECT /* open",
        "SELECT 1a",
        "SELECT 1..2",
        "SELECT (1",
        "SELECT 1)",
        "SELECT U&'\\0061'",
        "SELECT U&\"a!0061\" UESCAPE '!'",
        "SELECT \u{1}",
        "SELECT 1\0",
        "SELECT {1}",
    ]);
}

#[test]
fn a_backslash_means_what_the_setting_says() {
    let blanked =
        |text: &[u8]| [Strings::Standard, Strings::Escaping].map(|strings| key(text, strings).blanked);
    assert_eq!(blanked(br"SELECT 'a\', b, ', c'"), [true, false]);
    assert_eq!(blanked(br"SELECT 'a\', b'"), [false, true]);
    assert_eq!(blanked(br"SELECT E'a\', b'"), [true, true]);
    assert_eq!(blanked(br"SELECT E'a\', b, ', c'"), [false, false]);
    assert_ne!(key(b"SELECT 'a'", Strings::Standard).key, key(b"SELECT 'a'", Strings::Escaping).key);
}

#[test]
fn exact_and_blanked_keys_never_meet() {
    for text in ["SELECT a", "SELECT 1", "SELECT \u{2}s"] {
        let shape = of(text);
        assert_eq!(shape.blanked, shape.key != exact(text.as_bytes(), Strings::Standard).key, "{text}");
    }
    // What a blanked text looks like inside, given as a text.
    assert_ne!(of("SELECT 1").key, exact(b"SELECT \x024 ", Strings::Standard).key);
    assert!(!of("SELECT 1").blanked || of("SELECT 1").has_literals);
    assert!(!of("SELECT a").has_literals);
}

/// Queries whose every literal is tried with other values.
const QUERIES: &[&str] = &[
    "SELECT a, 1, 'x' FROM t WHERE b = 2 AND c IN ('p', 'q') ORDER BY 2, a LIMIT 10",
    "SELECT DISTINCT ON (1, 2) a, b FROM t ORDER BY 1, 2 DESC NULLS LAST OFFSET 5 ROWS FETCH FIRST 3 ROWS ONLY",
    "SELECT count(*) FILTER (WHERE a > 5), 3 FROM t GROUP BY 2 HAVING sum(b) > 100 ORDER BY 1",
    "SELECT sum(a) OVER (PARTITION BY b ORDER BY 1 ROWS 2 PRECEDING) FROM t",
    "SELECT CASE a WHEN 1 THEN 'x' ELSE -2147483648 END::text, CAST('5' AS numeric(10, 2)), 'z'::mood[3] FROM t",
    "SELECT interval '1' second(2), interval(3) '5', timestamp with time zone '2020-01-01' AT TIME ZONE 'UTC'",
    "SELECT f(1, 'a', g(2)), lower('X'), s.lower('Y'), nextval('seq'), ARRAY[1, 2], b[3], b[1:2] FROM t",
    "INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y') ON CONFLICT (a) DO UPDATE SET b = 'z' WHERE t.a > 5 RETURNING 1",
    "UPDATE t SET a = 5, b = B'101', c = X'1F' WHERE d LIKE 'x%' ESCAPE '!' RETURNING a, 'k'",
    "DELETE FROM t USING u WHERE t.a = 1 AND u.b = N'x'",
    "MERGE INTO t USING (SELECT 1 AS a) s ON t.a = s.a AND t.b = 5 WHEN MATCHED AND t.c = 'x' THEN UPDATE SET d = 1",
    "WITH x AS MATERIALIZED (SELECT 1 AS a UNION ALL SELECT 2 ORDER BY 1 LIMIT 4) SELECT * FROM x WHERE a = -1",
    "SELECT * FROM t TABLESAMPLE bernoulli (10) REPEATABLE (5), generate_series(1, 5), LATERAL (SELECT 3) l",
    "SELECT a->>'k', a @> '{}', a #>> '{a,1}', substring(a FROM 1 FOR 2), trim(BOTH 'x' FROM a), extract(year FROM b)",
    "SELECT xmlelement(name a, 'x'), json_value(a, '$.b' DEFAULT 1 ON EMPTY), 'a' COLLATE \"C\", -5, +3, - 2147483649",
    "SELECT string_agg(a, ',' ORDER BY 1), percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t",
    "VALUES (1, 'a'), (2, 'b') ORDER BY 1 LIMIT 1",
    "SELECT EXISTS (SELECT 1 FROM t WHERE a = 'x' GROUP BY ROLLUP (1)), (SELECT 5), ROW(1, 'a'), (1, 'b') = (2, 'c')",
    "SELECT GROUPING(a), 4 FROM t GROUP BY CUBE (a, 2), GROUPING SETS ((1), ())",
    "SELECT date '2020-01-01' + 1, 'x' IS NULL, 5 BETWEEN 1 AND 10, 1 = ANY ('{1,2}'), a SIMILAR TO 'x' FROM t",
];

fn other_literal() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u16>().prop_map(|n| n.to_string()),
        prop::sample::select(vec![
            "2147483647",
            "2147483648",
            "2147483649",
            "9223372036854775807",
            "9223372036854775808",
            "99999999999999999999",
            "1.5",
            "1e10",
            "0x10",
            "1_0",
            "'x'",
            "''",
            "'it''s'",
            "E'\\n'",
            "$$ q $$",
            "B'1'",
            "X'F'",
            "N'n'",
            "'a'\n'b'",
            "'t'",
            "TRUE",
            "NULL",
            "$1",
            "-1",
        ])
        .prop_map(str::to_owned),
    ]
}

/// Where the literals of a query stand; PostgreSQL's own scanner says.
fn literals(text: &str) -> Vec<std::ops::Range<usize>> {
    use pg_query::protobuf::Token;
    let kinds =
        [Token::Iconst, Token::Fconst, Token::Sconst, Token::Bconst, Token::Xconst].map(|kind| kind as i32);
    let tokens = pg_query::scan_tokens(text).unwrap();
    let literals = tokens.iter().filter(|token| kinds.contains(&token.token));
    literals.map(|token| token.start as usize..token.end as usize).collect()
}

#[test]
fn queries_for_the_proof_are_read_and_blanked() {
    for query in QUERIES {
        assert!(tree(query).is_some(), "{query}");
    }
    let blanked = QUERIES.iter().filter(|query| of(query).blanked).count();
    assert!(blanked * 3 > QUERIES.len() * 2, "only {blanked} of {}", QUERIES.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever its literals are changed to: if the key is the same, so is the tree.
    #[test]
    fn one_key_means_one_tree(
        query in prop::sample::select(QUERIES),
        replacements in prop::collection::vec((any::<prop::sample::Index>(), other_literal()), 1..4),
    ) {
        let places = literals(query);
        let mut chosen: Vec<_> = replacements.iter().map(|(at, other)| (at.index(places.len()), other)).collect();
        chosen.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        chosen.dedup_by_key(|(at, _)| *at);
        let mut changed = (*query).to_owned();
        for (at, other) in chosen {
            changed.replace_range(places[at].clone(), other);
        }
        let (before, after) = (of(query), of(&changed));
        if before.key == after.key && changed != *query {
            prop_assert!(before.blanked && after.blanked);
            prop_assert_eq!(tree(query), tree(&changed), "{}\n{}", query, changed);
        }
    }

    /// Texts of one key and arbitrary tokens have one tree, or both none.
    #[test]
    fn one_key_means_one_tree_for_any_tokens(words in prop::collection::vec(word(), 1..8), spaces in any::<u64>()) {
        let text = format!("SELECT {}", words.join(" "));
        let squeezed: String = words.iter().enumerate().fold("SELECT ".to_owned(), |mut all, (at, word)| {
            all.push_str(word);
            if spaces >> (at % 64) & 1 == 1 { all.push('\n'); }
            all
        });
        if of(&text).blanked && of(&text).key == of(&squeezed).key {
            prop_assert_eq!(tree(&text), tree(&squeezed), "{}\n{}", text, squeezed);
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a", "e", "b", "x", "n", "u", "'s'", "1", "1.5", ".5", "5.", "-", "+", "<", "=", ">", "::", ":", ".",
        ",", "(", ")", "[", "]", "$1", "$$q$$", "\"Q\"", "FROM", "ORDER", "BY", "/*c*/", "--c\n", "int", "|",
        "!", "@", "&", "*", "0x1", "é", "E'x'",
    ])
    .prop_map(str::to_owned)
}

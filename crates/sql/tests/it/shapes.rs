//! Keys: texts that differ in plain literals alone share one; texts that PostgreSQL reads otherwise never do.

use std::collections::HashMap;

use proptest::prelude::*;
use sql::Strings;
use sql::shape::{Form, Shape, Shaper, exact};

/// A shape on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Of {
    blanked: bool,
    key: (Form, Strings, Vec<u8>),
}

fn owned(shape: Shape<'_>) -> Of {
    let Shape { form, strings, bytes } = shape;
    Of { blanked: form == Form::Blanked, key: (form, strings, bytes.to_vec()) }
}

fn key(text: &[u8], strings: Strings) -> Of {
    owned(Shaper::default().shape(text, strings))
}

fn of(text: &str) -> Of {
    key(text.as_bytes(), Strings::Standard)
}

/// The raw tree without positions, with the types of constants in place of their values, and with IN lists of two or more
/// constants of one type cut to two.
fn tree(text: &str) -> Option<String> {
    typed(text).map(|tree| cut_lists(&tree))
}

fn cut_lists(tree: &str) -> String {
    const LIST: &str = "rexpr: Some(Node { node: Some(List(List { items: [";
    const CONSTANT: &str = "Node { node: Some(AConst(";
    let mut out = String::new();
    let mut rest = tree;
    while let Some(at) = rest.find(LIST) {
        let (before, list) = rest.split_at(at + LIST.len());
        out.push_str(before);
        rest = list;
        let (items, _) = list.split_once(']').unwrap();
        let all: Vec<&str> = items.split(", Node {").collect();
        let first = items.starts_with(CONSTANT).then(|| all[0].trim_start_matches("Node {"));
        if all.len() > 1 && first.is_some_and(|first| all[1..].iter().all(|item| *item == first)) {
            out.push_str(all[0]);
            out.push_str(", and more of it");
            rest = &list[items.len()..];
        }
    }
    out + rest
}

fn typed(text: &str) -> Option<String> {
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
    let shapes: Vec<Of> = texts.iter().map(|text| of(text)).collect();
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
        assert_eq!(of(text), owned(exact(text.as_bytes(), Strings::Standard)), "{text}");
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
fn the_length_of_a_list_of_alike_literals_does_not_matter() {
    let list = |item: &str, count: usize| vec![item; count].join(", ");
    for item in ["1", "'a'", "1.5", "3000000000", "B'1'", "X'F'", "E'\\n'", "$$q$$"] {
        let long = list(item, 1000);
        same(&[
            &format!("SELECT a FROM t WHERE b IN ({item}, {item}) AND c = 1"),
            &format!("SELECT a FROM t WHERE b IN ({item}, {item}, {item}) AND c = 2"),
            &format!("SELECT a FROM t WHERE b IN ({long}) AND c = 3"),
        ]);
        different(&[
            &format!("SELECT a FROM t WHERE b IN ({item})"),
            &format!("SELECT a FROM t WHERE b IN ({item}, {item})"),
            &format!("SELECT a FROM t WHERE b IN ({item}, {item}, NULL)"),
            &format!("SELECT a FROM t WHERE b IN ({item}, {item}, a)"),
            &format!("SELECT a FROM t WHERE b NOT IN ({item}, {item})"),
        ]);
    }
    same(&["DELETE FROM t WHERE a NOT IN (1, 2)", "DELETE FROM t WHERE a NOT IN (1, 2, 3)"]);
    same(&["SELECT (a IN (1, 2))::text", "SELECT (a IN (1, 2, 3))::text"]);
    different(&["SELECT a IN (N'a', N'b')", "SELECT a IN (N'a', N'b', N'c')"]);
    // Literals of several types have a common type that may depend on them all.
    different(&[
        "SELECT a IN (1, 2, 1.5)",
        "SELECT a IN (1, 1.5)",
        "SELECT a IN (1.5, 1)",
        "SELECT a IN (1, '1')",
    ]);
    different(&[
        "SELECT a IN (1, 2)",
        "SELECT a IN (1, -2)",
        "SELECT a IN (1, 2::int8)",
        "SELECT a IN (1, (2))",
    ]);
    different(&["SELECT a IN ((1, 2), (3, 4))", "SELECT a IN ((1, 2), (3, 4), (5, 6))"]);
    // Other lists in parentheses have a length that matters.
    different(&["SELECT (1, 2)", "SELECT (1, 2, 3)", "SELECT ROW(1, 2)", "SELECT ROW(1, 2, 3)"]);
    different(&["VALUES (1, 2)", "VALUES (1, 2, 3)", "VALUES (1, 2), (1, 2)"]);
    different(&["SELECT concat('a', 'b')", "SELECT concat('a', 'b', 'c')"]);
    different(&["SELECT position('a' IN ('b', 'c'))", "SELECT position('a' IN ('b', 'c', 'd'))"]);
    different(&[
        "SELECT \"in\"(1, 2)",
        "SELECT \"in\"(1, 2, 3)",
        "SELECT t.in (1, 2)",
        "SELECT t.in (1, 2, 3)",
    ]);
    different(&["SELECT f(a IN ('b', 'c'))", "SELECT f(a IN ('b', 'd'))", "SELECT f(a IN ('b', 'c', 'd'))"]);
    // Positions and their like stay what they are.
    opaque(&["SELECT a FROM t ORDER BY a IN (1, 2)", "SELECT a FROM t GROUP BY b IN (1, 2, 3)"]);
    // At the edges of types the sign decides.
    different(&[
        "SELECT a IN (2147483648, 1)",
        "SELECT a IN (2147483648, 1, 1)",
        "SELECT a IN (1, 2147483648)",
    ]);
}

/// Each literal is looked at once, whatever is cast to what.
#[test]
fn casts_and_lists_take_time_that_grows_with_their_length() {
    for piece in [
        "1::int,",
        "1::int[1],",
        "'x'::numeric(1,1)::text,",
        "1::int(1,",
        "a IN (1,2) AND ",
        "a IN (1,",
        "((1,",
    ] {
        let text = format!("SELECT {} 1", piece.repeat((1 << 20) / piece.len()));
        let began = std::time::Instant::now();
        key(text.as_bytes(), Strings::Standard);
        // Tens of milliseconds; minutes where each literal looks at all that follow.
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(10), "{piece}: {took:?}");
    }
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
        let exact = exact(text.as_bytes(), Strings::Standard);
        assert_eq!(shape.blanked, shape.key != owned(exact).key, "{text}");
    }
    // What a blanked text looks like inside, given as a text.
    assert_eq!(of("SELECT 1").key.2, b"SELECT \x024 ");
    assert_ne!(of("SELECT 1").key, owned(exact(b"SELECT \x024 ", Strings::Standard)).key);
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

    /// Lists of any length and mixture, wherever a list can stand.
    #[test]
    fn one_key_means_one_tree_for_lists(
        place in prop::sample::select(LISTS),
        first in list(),
        second in list(),
    ) {
        let [before, after] = [first, second].map(|list| place.replace("...", &list));
        if of(&before).key == of(&after).key {
            prop_assert_eq!(tree(&before), tree(&after), "{}\n{}", before, after);
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

/// Where a list can stand; `...` is the list.
const LISTS: &[&str] = &[
    "SELECT a FROM t WHERE b IN (...)",
    "SELECT a FROM t WHERE b NOT IN (...) AND c IN (1, 2, 3)",
    "SELECT a FROM t WHERE (b, c) IN (...)",
    "SELECT a FROM t WHERE (b, c) IN ((...), (...))",
    "SELECT 1 IN (...), (a IN (...))::int, CASE WHEN a IN (...) THEN 1 END FROM t",
    "SELECT f(a IN (...)), lower(b IN (...)), position(a IN (...)), position((a IN (...)) IN 'x') FROM t",
    "SELECT a FROM t ORDER BY b IN (...) LIMIT 1",
    "SELECT a FROM t WHERE b IN (...) ORDER BY 1",
    "SELECT count(*) FILTER (WHERE a IN (...)) OVER (PARTITION BY b IN (...)) FROM t",
    "SELECT CAST(a IN (...) AS text), a = ANY (ARRAY[...]), ROW(...), (...) FROM t",
    "SELECT a in (...), \"in\"(...), t.in, a AS in FROM t",
    "INSERT INTO t VALUES (...), (...) ON CONFLICT (a) DO UPDATE SET b = 1 WHERE t.a IN (...)",
    "MERGE INTO t USING u ON t.a IN (...) WHEN MATCHED AND u.b IN (...) THEN DELETE",
    "VALUES (...), (...)",
];

fn list() -> impl Strategy<Value = String> {
    let alike = (other_literal(), 1..5_usize).prop_map(|(one, count)| vec![one; count]);
    let mixed = prop::collection::vec(other_literal(), 1..4);
    prop_oneof![3 => alike, 1 => mixed].prop_map(|all| all.join(", "))
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a",
        "e",
        "b",
        "x",
        "n",
        "u",
        "'s'",
        "1",
        "1.5",
        ".5",
        "5.",
        "-",
        "+",
        "<",
        "=",
        ">",
        "::",
        ":",
        ".",
        ",",
        "(",
        ")",
        "[",
        "]",
        "$1",
        "$$q$$",
        "\"Q\"",
        "FROM",
        "ORDER",
        "BY",
        "/*c*/",
        "--c\n",
        "int",
        "|",
        "!",
        "@",
        "&",
        "*",
        "0x1",
        "é",
        "E'x'",
        "IN",
        "(1,1)",
        "(1,1,1)",
        "('s','s')",
        "AS",
        "position(",
    ])
    .prop_map(str::to_owned)
}

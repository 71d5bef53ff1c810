use proptest::prelude::*;

use super::*;

fn joined(runs: &[Run]) -> String {
    runs.iter().map(|run| run.text.as_str()).collect()
}

/// Writes runs in one line: `kind` of each, and what stands for what is marked.
fn told(runs: &[Run]) -> String {
    let told = runs.iter().map(|run| match run.kind {
        Mark::Plain => run.text.clone(),
        Mark::Comment => format!("C{{{}}}", run.text),
        Mark::String => format!("S{{{}}}", run.text),
        _ => Bracketed(run).to_string(),
    });
    told.collect()
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let runs = statement(text);
    assert_eq!(told(&runs), expected);
    assert_eq!(joined(&runs), text);
}

#[test]
fn comments_and_strings_are_where_postgresql_has_them() {
    check("SELECT 1 -- c\n, 2 /* a /* b */ c */ x", "SELECT 1 C{-- c}\n, 2 C{/* a /* b */ c */} x");
    check("SELECT '--' , E'\\'--' -- x", "SELECT S{'--'} , S{E'\\'--'} C{-- x}");
    check("SELECT $a$ -- $b$ /* $a$ -- x", "SELECT S{$a$ -- $b$ /* $a$} C{-- x}");
    check("SELECT a$$b -- $$", "SELECT a$$b C{-- $$}");
    check("SELECT \"-- a\"\" /*\" FROM t", "SELECT \"-- a\"\" /*\" FROM t");
    check("SELECT '\\' -- x", "SELECT S{'\\'} C{-- x}");
    check("SELECT 1+--x\n2", "SELECT 1+C{--x}\n2");
    // a string that goes on in another line goes on as it began
    check("SELECT E'a'\n'\\'--' -- x", "SELECT S{E'a'\n'\\'--'} C{-- x}");
    check("SELECT 'a' '\\' -- x", "SELECT S{'a'} S{'\\'} C{-- x}");
}

#[test]
fn what_ends_too_early_or_is_read_in_two_ways_is_no_comment() {
    for text in ["SELECT /* a", "SELECT 'a -- b", "SELECT \"a -- b", "SELECT $$ -- b", "SELECT 1$$ -- $$"] {
        assert!(statement(text).iter().all(|run| run.kind == Mark::Plain), "{text}");
    }
}

/// A carriage return ends a comment for PostgreSQL, and shows as nothing in a browser.
#[test]
fn a_comment_that_ends_unseen_is_told() {
    let text = "SELECT 1 -- nothing\rDELETE FROM t";
    check(text, "SELECT 1 C{-- nothing}\u{27e6}U+000D\u{27e7}DELETE FROM t");
    check("SELECT 1 -- a\r\n, 2", "SELECT 1 C{-- a}\r\n, 2");
}

/// The shapes of "Trojan Source: Invisible Vulnerabilities" (Boucher, Anderson, 2021), in SQL.
#[test]
fn text_that_shows_in_another_order_is_told() {
    // an early end: the condition seems to be code, and is in a comment
    let text = "DELETE FROM t /*\u{202e} } \u{2066}WHERE id = 1\u{2069} \u{2066} only one */";
    let runs = statement(text);
    assert_eq!(joined(&runs), text);
    let bidi: Vec<_> = runs.iter().filter(|run| run.kind == Mark::Bidi).collect();
    assert_eq!(bidi.len(), 4);
    assert!(bidi.iter().all(|run| run.inside == Some(Mark::Comment)));
    assert_eq!(bidi[0].code.as_deref(), Some("U+202E"));
    assert_eq!(bidi[0].name.as_deref(), Some("right-to-left override"));
    // a stretched string
    check(
        "WHERE role <> 'user\u{202e} \u{2066}-- admins\u{2069} \u{2066}'",
        "WHERE role <> S{'user}\u{27e6}U+202E\u{27e7}S{ }\u{27e6}U+2066\u{27e7}S{-- admins}\u{27e6}U+2069\u{27e7}S{ }\u{27e6}U+2066\u{27e7}S{'}",
    );
    // letters that run from right to left reorder what is around them without any control
    let runs = statement("SELECT '\u{5d0}' , 1 , '\u{5d1}\u{5d2}'");
    assert_eq!(runs.iter().filter(|run| run.kind == Mark::RightToLeft).count(), 2);
    assert!(!escaped(&runs).contains(super::marks::right_to_left));
}

#[test]
fn what_shows_nothing_is_told() {
    check("SELECT pass\u{200b}word", "SELECT pass\u{27e6}U+200B\u{27e7}word");
    check("a\u{200b}\u{200b}\u{200b}b", "a\u{27e6}U+200B x3\u{27e7}b");
    check(
        "a\u{a0}b\u{3164}c\u{2800}d",
        "a\u{27e6}U+00A0\u{27e7}b\u{27e6}U+3164\u{27e7}c\u{27e6}U+2800\u{27e7}d",
    );
    check(
        "a\u{e0041}b\u{fe0f}c\u{ad}d",
        "a\u{27e6}U+E0041\u{27e7}b\u{27e6}U+FE0F\u{27e7}c\u{27e6}U+00AD\u{27e7}d",
    );
    check("a\u{1b}[2Jb\u{8}", "a\u{27e6}U+001B\u{27e7}[2Jb\u{27e6}U+0008\u{27e7}");
    check("a\u{e000}\u{fffe}", "a\u{27e6}U+E000\u{27e7}\u{27e6}U+FFFE\u{27e7}");
    check("a = b\u{338}", "a = b\u{27e6}U+0338\u{27e7}");
    // white space that pushes the rest out of sight
    let wide = format!("SELECT 1;{}DROP", " ".repeat(300));
    check(&wide, "SELECT 1;\u{27e6}300 blanks\u{27e7}DROP");
    let tall = format!("SELECT 1{}DROP", "\n".repeat(40));
    check(&tall, "SELECT 1\u{27e6}39 empty lines\u{27e7}DROP");
    check("SELECT 1\n\n\n  FROM t", "SELECT 1\n\n\n  FROM t");
}

#[test]
fn what_looks_like_ascii_is_told() {
    // Cyrillic a in a Latin word
    check("FROM p\u{430}yments", "FROM p\u{27e6}U+0430 like a\u{27e7}yments");
    // a word that is Cyrillic as a whole, and looks Latin
    assert!(is_marked(&statement("FROM \u{441}\u{43e}\u{441}\u{43e}")));
    assert!(is_marked(&statement("WHERE name = '\u{441}\u{43e}\u{441}\u{43e}'")));
    // fullwidth, mathematical, a quotation mark, a minus, a Greek question mark
    for text in
        ["\u{ff21}", "\u{1d400}", "\u{2019}", "\u{2212}", "\u{37e}", "\u{212a}", "\u{131}", "\u{2044}"]
    {
        assert!(is_marked(&statement(&format!("SELECT {text}"))), "{text:?}");
    }
    // what brackets say can't be forged
    check("\u{27e6}U+202E\u{27e7}", "\u{27e6}U+27E6 like [\u{27e7}U+202E\u{27e6}U+27E7 like ]\u{27e7}");
}

#[test]
fn honest_text_is_left_alone() {
    for text in [
        "WHERE name = 'Москва'",
        "WHERE city IN ('München', 'Łódź', 'Århus', 'São Paulo', 'Ærø', 'Cœur')",
        "WHERE name = '東京、日本' -- こんにちは、世界",
        "SELECT größe, 數量 FROM \"größen\"",
        "WHERE name = 'Ελλάδα' OR name LIKE 'हिन्दी%'",
        "SELECT 'm²'",
        "SELECT '👍 5 €'",
        "SELECT\n\t1,\r\n        2",
    ] {
        let runs = statement(text);
        let marked: Vec<_> = runs.iter().filter(|run| run.kind.is_marked()).collect();
        assert!(marked.is_empty(), "{text}: {marked:?}");
    }
}

#[test]
fn a_legend_counts_what_is_marked() {
    let runs = statement("SELECT p\u{430}\u{200b}y, p\u{430}\u{200b}\u{200b}");
    assert_eq!(
        legend(&runs),
        ["U+0430 Cyrillic, looks like a (2 times)", "U+200B zero-width space (3 times)"]
    );
}

#[test]
fn parameters_are_shown_likewise() {
    let shown = |value| parameter(&Parameter { type_oid: 25, type_name: None, value });
    assert_eq!(shown(Value::Null), None);
    let runs = shown(Value::Text("-- \u{202e}x".to_owned())).unwrap();
    // no SQL: nothing in it is a comment
    assert_eq!(told(&runs), "-- \u{27e6}U+202E\u{27e7}x");
    assert_eq!(told(&shown(Value::Binary("00ff".to_owned())).unwrap()), "00ff");
}

#[test]
fn much_of_anything_is_shown_in_time() {
    for unit in
        ["\r", "\r ", " \r", "\u{200b}a", "a", " ", "\n", "\u{430}", "'", "/*", "$a$", "\u{5d0} ", "\u{301}"]
    {
        let text = unit.repeat((1 << 20) / unit.len());
        let began = std::time::Instant::now();
        assert_eq!(joined(&statement(&text)).len(), text.len());
        // linear: quadratic work would take minutes
        assert!(began.elapsed().as_secs() < 20, "{unit:?}: {:?}", began.elapsed());
    }
}

/// Pieces of which hostile and honest statements are made.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => proptest::sample::select(vec![
            "'", "\"", "--", "/*", "*/", "$$", "$a$", "$1", "E'", "e'", "U&'", "b'", "\\", "\n", "\r", "\r\n", " ", "\t", "a", "e",
            "1", "1e5", "0x1F", "1_0", ".", "+", "-", "/", "*", ";", ",", "(", ")", "::", ":=", "x$", "_", "\u{e4}", "\u{202e}", "\u{200b}",
            "\u{430}", "\u{5d0}", "\u{301}", "\u{27e6}", "\u{b}", "\u{c}", "<", "=", "SELECT ", "$", "\u{1f44d}",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

#[test]
fn a_string_that_may_begin_within_a_number_is_not_told_from_elsewhere() {
    let parts = lex::parts("SELECT 1e5.U&'E''E' -- no");
    assert!(parts.iter().all(|(_, part)| *part == lex::Part::Code), "{parts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_added(text in pieces()) {
        prop_assert_eq!(joined(&statement(&text)), text.clone());
        prop_assert_eq!(joined(&plain(&text)), text);
    }

    /// What is written for a terminal steers none, shows no character unseen, and only our own brackets.
    #[test]
    fn nothing_hides_in_what_is_written(text in pieces()) {
        let runs = statement(&text);
        let written = escaped(&runs);
        for c in written.chars() {
            prop_assert!(!c.is_control() || matches!(c, '\n' | '\t'), "{c:?}");
            prop_assert!(!super::marks::right_to_left(c), "{c:?}");
        }
        let ours = runs.iter().filter(|run| run.kind.is_marked()).count();
        prop_assert_eq!(written.matches(super::marks::BRACKETS[0]).count(), ours);
        for run in runs.iter().filter(|run| !run.kind.is_marked()) {
            let seen = !run.text.contains(['\u{202e}', '\u{200b}', '\u{27e6}', '\u{b}', '\u{c}']);
            prop_assert!(seen, "{run:?}");
        }
    }

    /// PostgreSQL's own scanner has comments and strings in the same places, in what it can read.
    #[test]
    fn the_scan_is_postgresql_s(text in pieces()) {
        use pg_query::protobuf::Token;
        prop_assume!(!text.contains('\0'));
        if let Ok(scanned) = pg_query::scan(&text) {
            let of = |part: lex::Part| -> Vec<(usize, usize)> {
                lex::parts(&text).into_iter().filter(|(_, is)| *is == part).map(|(range, _)| (range.start, range.end)).collect()
            };
            let tokens = |kinds: &[Token]| -> Vec<(usize, usize)> {
                let tokens = scanned.tokens.iter().filter(|token| kinds.iter().any(|kind| *kind as i32 == token.token));
                tokens.map(|token| (token.start as usize, token.end as usize)).collect()
            };
            let comments = of(lex::Part::Comment);
            let theirs = tokens(&[Token::SqlComment, Token::CComment]);
            // Where ours gave up it says less, and never more.
            prop_assert!(theirs.starts_with(&comments), "{comments:?} {theirs:?}");
            let strings = of(lex::Part::String);
            let theirs = tokens(&[Token::Sconst, Token::Usconst, Token::Bconst, Token::Xconst]);
            prop_assert!(theirs.starts_with(&strings), "{strings:?} {theirs:?}");
        }
    }
}

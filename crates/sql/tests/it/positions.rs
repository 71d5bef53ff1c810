//! Texts that the server is asked about keep the client's positions.

use sql::Ask;

fn texts(message: &str) -> Vec<(String, Option<usize>, String)> {
    let mut found = Vec::new();
    for statement in crate::parse(message).unwrap() {
        for ask in &statement.asks {
            if let Ask::Query { sql, .. } | Ask::Expression { sql, .. } = ask {
                let bare = sql.bare(message).into_owned();
                found.push((bare, sql.offset_chars(message), sql.padded(message).into_owned()));
            }
        }
    }
    found
}

#[test]
fn a_slice_padded_stands_where_it_stands_in_the_message() {
    crate::on_large_stack(|| {
        let message = "SELECT 'ä'; EXPLAIN /* é */ SELECT x FROM t";
        let found = texts(message);
        assert_eq!(found[0], ("SELECT 'ä'".to_owned(), Some(0), "SELECT 'ä'".to_owned()));
        let (bare, offset, padded) = &found[1];
        assert_eq!(bare, "SELECT x FROM t");
        assert_eq!(padded.trim_start(), bare);
        let place = |text: &str| text.chars().position(|c| c == 'x');
        let in_message = message.chars().skip(20).position(|c| c == 'x').map(|at| at + 20);
        assert_eq!(place(padded), in_message);
        assert_eq!(place(bare).map(|at| at + offset.unwrap()), in_message);
    });
}

#[test]
fn a_blanked_slice_keeps_its_length_in_characters() {
    crate::on_large_stack(|| {
        let message = "SELECT a INTO \"é\" FROM t";
        let (bare, _, _) = &texts(message)[0];
        assert_eq!(bare, "SELECT a          FROM t");
        assert_eq!(bare.chars().count(), message.chars().count());
    });
}

#[test]
fn what_is_made_has_no_place() {
    crate::on_large_stack(|| {
        let (bare, offset, padded) = &texts("EXECUTE p(1, f(2))")[0];
        assert_eq!((bare.as_str(), *offset), ("SELECT 1, f(2)", None));
        assert_eq!(padded, bare);
    });
}

//! Tables as CSV (RFC 4180) that a spreadsheet opens as text. Knows no table's meaning.

use crate::table::Table;

/// Writes a table with its headings; a record on each line.
pub fn csv(table: &Table) -> String {
    let mut out = String::new();
    line(&mut out, table.headings.iter().copied());
    for row in &table.rows {
        line(&mut out, row.iter().map(String::as_str));
    }
    out
}

fn line<'t>(out: &mut String, cells: impl Iterator<Item = &'t str>) {
    for (index, text) in cells.enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&cell(text));
    }
    out.push_str("\r\n");
}

/// One cell.
// SECURITY: a spreadsheet runs a cell that begins like a formula, also behind space and in full-width forms; names, texts and reasons
// are strangers'. What steers or hides is written out, as everywhere.
fn cell(text: &str) -> String {
    let shown = audit::render::cell(text);
    let first = text.trim_start().chars().next();
    let formula = matches!(first, Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠'))
        || text.starts_with(['\t', '\r', '\n']);
    let guarded = if formula { format!("'{shown}") } else { shown };
    if guarded.contains(['"', ',', '\'', ' ', ';']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn no_cell_is_a_formula_or_breaks_its_line() {
        for (text, expected) in [
            ("plain", "plain"),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("  =1", "\"'  =1\""),
            ("\t=1", "\"'\\t=1\""),
            ("＝1", "\"'＝1\""),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\r\nb", "a\\r\\nb"),
            ("a\u{202e}b", "a\\u{202e}b"),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }
}

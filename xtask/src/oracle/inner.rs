//! Finds the query in a statement's text by its words alone. The oracle's side: knows no grammar, and gives up rather than guess.

/// What a statement is to the oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// It is planned, and so can be explained.
    Planned,
    /// It carries a query, which can be explained.
    Carries(&'a str),
    /// It may only be examined.
    Utility,
    /// About the transaction, or about what the session prepared: left alone.
    Session,
}

const PLANNED: &[&str] = &["select", "insert", "update", "delete", "merge", "values", "table", "with", "("];

/// Statements before which nothing may be run, or whose meaning only the session knows.
const SESSION: &[&str] = &[
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "set",
    "reset",
    "show",
    "discard",
    "execute",
    "fetch",
    "move",
    "close",
    "deallocate",
    "listen",
    "unlisten",
    "notify",
    "lock",
    "checkpoint",
    "vacuum",
    "call",
    "do",
    "load",
    "",
];

/// Says what a statement is.
pub(crate) fn kind(text: &str) -> Kind<'_> {
    let start = skip(text);
    let (word, rest) = word(start);
    match word.as_str() {
        word if PLANNED.contains(&word) => Kind::Planned,
        "prepare" if self::word(skip(rest)).0 == "transaction" => Kind::Session,
        word if SESSION.contains(&word) => Kind::Session,
        "explain" => query(explained(rest)),
        "copy" => match skip(rest).strip_prefix('(') {
            Some(inner) => query(balanced(inner)),
            None => Kind::Utility,
        },
        "declare" => query(after(rest, "for")),
        "create" | "prepare" => match after(rest, "as").map(trimmed) {
            Some(inner) if is_planned(inner) && !inner.contains('$') => {
                let made = rest.to_lowercase();
                let made = made.split_whitespace().take(5).collect::<Vec<_>>();
                let carries = made.iter().any(|word| ["view", "table"].contains(word)) || word == "prepare";
                if carries { Kind::Carries(inner) } else { Kind::Utility }
            }
            _ => Kind::Utility,
        },
        _ => Kind::Utility,
    }
}

fn query(found: Option<&str>) -> Kind<'_> {
    match found {
        Some(inner) if is_planned(inner) => Kind::Carries(inner),
        _ => Kind::Utility,
    }
}

fn is_planned(text: &str) -> bool {
    PLANNED.contains(&word(skip(text)).0.as_str())
}

fn explained(rest: &str) -> Option<&str> {
    let mut rest = skip(rest);
    if let Some(options) = rest.strip_prefix('(') {
        // EXPLAIN (SELECT ...) has no options.
        if PLANNED.contains(&word(skip(options)).0.as_str()) {
            return Some(rest);
        }
        let inner = balanced(options)?;
        rest = options.get(inner.len() + 1..)?;
    }
    loop {
        let (next, after) = word(skip(rest));
        if !["analyze", "verbose"].contains(&next.as_str()) {
            return Some(skip(rest));
        }
        rest = after;
    }
}

/// Leaves out what may follow the query of CREATE.
fn trimmed(text: &str) -> &str {
    let mut text = text.trim().trim_end_matches(';').trim_end();
    let tails = [
        "with check option",
        "with local check option",
        "with cascaded check option",
        "with no data",
        "with data",
    ];
    for tail in tails {
        if text.to_lowercase().ends_with(tail) && text.len() == text.to_lowercase().len() {
            text = text[..text.len() - tail.len()].trim_end();
        }
    }
    text
}

/// Skips blanks and comments.
fn skip(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        if let Some(comment) = text.strip_prefix("--") {
            text = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = text.strip_prefix("/*") {
            text = comment.split_once("*/").map_or("", |(_, rest)| rest);
        } else {
            return text;
        }
    }
}

/// Splits off the first word, in lower case, or an opening bracket.
fn word(text: &str) -> (String, &str) {
    if let Some(rest) = text.strip_prefix('(') {
        return ("(".to_owned(), rest);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (text[..end].to_lowercase(), &text[end..])
}

/// Returns what comes before the bracket that closes one that is open.
fn balanced(text: &str) -> Option<&str> {
    let mut depth = 0;
    let mut quoted = None;
    for (at, c) in text.char_indices() {
        match (quoted, c) {
            (Some(quote), c) if c == quote => quoted = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quoted = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return text.get(..at),
            (None, ')') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Returns what comes after the first such word outside brackets and quotes.
fn after<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    let mut depth = 0;
    let mut quoted = None;
    let mut start = None;
    for (at, c) in text.char_indices() {
        if quoted.is_some() {
            quoted = quoted.filter(|quote| *quote != c);
            continue;
        }
        if c.is_ascii_alphanumeric() || c == '_' {
            start = start.or(Some(at));
            continue;
        }
        if let Some(begun) = start.take()
            && depth == 0
            && text[begun..at].eq_ignore_ascii_case(wanted)
        {
            return text.get(at..);
        }
        match c {
            '\'' | '"' => quoted = Some(c),
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_found_where_they_are() {
        for (text, found) in [
            ("-- note\nselect 1", Kind::Planned),
            ("/* a */ (select 1)", Kind::Planned),
            ("EXPLAIN (COSTS OFF, FORMAT json) SELECT 1", Kind::Carries("SELECT 1")),
            ("explain analyze verbose delete from t", Kind::Carries("delete from t")),
            ("explain (select 1)", Kind::Carries("(select 1)")),
            ("COPY (SELECT ')' FROM t) TO STDOUT", Kind::Carries("SELECT ')' FROM t")),
            ("copy t from stdin", Kind::Utility),
            ("declare c scroll cursor with hold for select 1", Kind::Carries(" select 1")),
            ("create view v (a) as select 1 as x with check option;", Kind::Carries("select 1 as x")),
            ("create temp table t as values (1) with no data", Kind::Carries("values (1)")),
            ("create function f() returns int as 'select 1' language sql", Kind::Utility),
            ("create rule r as on insert to t do nothing", Kind::Utility),
            ("prepare p (int) as select $1", Kind::Utility),
            ("prepare p as table t", Kind::Carries("table t")),
            ("prepare transaction 'x'", Kind::Session),
            ("begin", Kind::Session),
            ("", Kind::Session),
            ("explain execute p", Kind::Utility),
        ] {
            assert_eq!(kind(text), found, "{text}");
        }
    }
}

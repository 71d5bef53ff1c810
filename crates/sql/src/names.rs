//! Identifiers as the server reads and keeps them (src/backend/parser/scansup.c). Knows no grammar.

use std::borrow::Cow;

/// Longest name that the server keeps: `NAMEDATALEN - 1` (src/include/pg_config_manual.h).
pub const NAME_BYTES_MAX: usize = 63;

/// Cuts a name as `truncate_identifier` does: to at most [`NAME_BYTES_MAX`] bytes, at a character's boundary.
///
/// SQL identifiers are cut so by the server's scanner, and come cut from [`parse`](crate::parse). Names in
/// protocol messages are cut otherwise: see [`truncate_key`].
pub fn truncate(name: &str) -> &str {
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let mut end = NAME_BYTES_MAX;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or(name)
}

/// Cuts the name of a prepared statement or portal in a protocol message as the server's tables of them do: to
/// [`NAME_BYTES_MAX`] bytes, wherever that is (`string_hash` and `strlcpy` of `NAMEDATALEN`, src/common/hashfn.c,
/// src/backend/utils/hash/dynahash.c).
pub fn truncate_key(name: &[u8]) -> &[u8] {
    name.get(..NAME_BYTES_MAX).unwrap_or(name)
}

/// Reads one identifier as SQL writes it (quoted or not): unquotes it, or folds it to lower case as
/// `downcase_identifier` does in UTF-8 (ASCII letters only), and truncates it. `None` if it isn't one.
pub fn identifier(sql: &str) -> Option<Cow<'_, str>> {
    if let Some(rest) = sql.strip_prefix('"') {
        let inner = rest.strip_suffix('"')?;
        let plain = inner.replace("\"\"", "");
        if inner.is_empty() || plain.contains('"') || plain.contains('\0') {
            return None;
        }
        return Some(Cow::Owned(truncate(&inner.replace("\"\"", "\"")).to_owned()));
    }
    let mut bytes = sql.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b >= 0x80);
    let goes_on = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$') || b >= 0x80);
    if !starts || !goes_on {
        return None;
    }
    let cut = truncate(sql);
    if cut.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some(Cow::Owned(cut.to_ascii_lowercase()));
    }
    Some(Cow::Borrowed(cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: Option<&str>) {
        assert_eq!(identifier(sql).as_deref(), expected, "{sql}");
    }

    #[test]
    fn identifiers_are_folded_unquoted_and_cut() {
        check("Orders", Some("orders"));
        check("ORDÉRS", Some("ordÉrs"));
        check("\"Or\"\"ders\"", Some("Or\"ders"));
        check("\"a\"b\"", None);
        check("\"\"", None);
        check("1a", None);
        check("a b", None);
        check("", None);
        check("\"", None);
        let long = "x".repeat(62);
        assert_eq!(truncate_key(format!("{long}é").as_bytes()).len(), 63);
        assert_eq!(truncate_key(b"short"), b"short");
        check(&format!("{long}yz"), Some(&format!("{long}y")));
        check(&format!("{long}é"), Some(&long));
        check(&format!("\"{long}é\""), Some(&long));
    }
}

//! Dotted names such as `app.public.customers.email`, written so that no two names share one spelling.
//!
//! A part is written as it is in the catalog, with no case folding; a part that is empty, or holds a dot, a
//! quote, a star, a parenthesis or an ASCII control character is put in double quotes with inner quotes doubled, as PostgreSQL
//! would. So `app."we.ird".t` has three parts, and the schema `a` with relation `b.c` never reads as `a.b` with `c`.
//! Knows nothing of what the parts name.

/// Why a text is not a dotted name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    /// A part is empty: two dots in a row, or one at an end.
    Empty,
    /// A quote is not closed, or stands within a bare part.
    Quote,
    /// Quotes around a part that needs none: another spelling of the same name.
    Needless(String),
    /// A bare part that must be quoted.
    Bare(String),
    /// `*` where only a name will do.
    Wildcard,
}

impl std::fmt::Display for PathError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("a part of the name is empty"),
            Self::Quote => f.write_str("a double quote is not closed, or is in the middle of a bare part"),
            Self::Needless(part) => write!(f, "{part:?} needs no double quotes here"),
            Self::Bare(part) => write!(f, "{part:?} needs double quotes here"),
            Self::Wildcard => f.write_str("* does not stand for any name here"),
        }
    }
}

/// A part of a pattern: a name, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PathPart {
    Name(String),
    Any,
}

/// Writes parts as one dotted name.
pub fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for part in parts {
        push(&mut text, part);
    }
    text
}

/// Appends a part to a dotted name.
pub(crate) fn push(text: &mut String, part: &str) {
    if !text.is_empty() {
        text.push('.');
    }
    if !needs_quotes(part) {
        text.push_str(part);
        return;
    }
    text.push('"');
    for c in part.chars() {
        if c == '"' {
            text.push('"');
        }
        text.push(c);
    }
    text.push('"');
}

fn needs_quotes(part: &str) -> bool {
    part.is_empty() || part.chars().any(|c| matches!(c, '.' | '"' | '*' | '(' | ')') || c.is_ascii_control())
}

/// Reads a dotted name; the inverse of [`join`], and only of it.
pub(crate) fn split(text: &str) -> Result<Vec<PathPart>, PathError> {
    let mut parts = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        let mut part = String::new();
        if chars.next_if_eq(&'"').is_some() {
            loop {
                match chars.next() {
                    None => return Err(PathError::Quote),
                    Some('"') if chars.next_if_eq(&'"').is_none() => break,
                    Some(c) => part.push(c),
                }
            }
            if !needs_quotes(&part) {
                return Err(PathError::Needless(part));
            }
            parts.push(PathPart::Name(part));
        } else {
            while let Some(c) = chars.next_if(|c| *c != '.') {
                if c == '"' {
                    return Err(PathError::Quote);
                }
                part.push(c);
            }
            match part.as_str() {
                "" => return Err(PathError::Empty),
                "*" => parts.push(PathPart::Any),
                _ if needs_quotes(&part) => return Err(PathError::Bare(part)),
                _ => parts.push(PathPart::Name(part)),
            }
        }
        match chars.next() {
            None => return Ok(parts),
            Some('.') => {}
            Some(_) => return Err(PathError::Quote),
        }
    }
}

/// Reads a dotted name without `*`.
pub(crate) fn split_names(text: &str) -> Result<Vec<String>, PathError> {
    split(text)?
        .into_iter()
        .map(|part| match part {
            PathPart::Name(name) => Ok(name),
            PathPart::Any => Err(PathError::Wildcard),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: &[&str], text: &str) {
        assert_eq!(join(parts.iter().copied()), text);
        let named: Vec<_> = parts.iter().map(|part| PathPart::Name((*part).to_owned())).collect();
        assert_eq!(split(text), Ok(named), "{text}");
    }

    #[test]
    fn quoted_where_needed_and_read_back() {
        check(&["app", "public", "customers"], "app.public.customers");
        check(&["app", "we.ird"], r#"app."we.ird""#);
        check(&["a", "b.c"], r#"a."b.c""#);
        check(&["a.b", "c"], r#""a.b".c"#);
        check(&["q\"q", ""], r#""q""q"."""#);
        check(&["*", "a*b", "Ünï cödé"], r#""*"."a*b".Ünï cödé"#);
    }

    #[test]
    fn one_spelling_only() {
        assert_eq!(split(r#"app."public""#), Err(PathError::Needless("public".to_owned())));
        assert_eq!(split("a..b"), Err(PathError::Empty));
        assert_eq!(split("a."), Err(PathError::Empty));
        assert_eq!(split(""), Err(PathError::Empty));
        assert_eq!(split(r#"a."b"#), Err(PathError::Quote));
        assert_eq!(split(r#"a"b"#), Err(PathError::Quote));
        assert_eq!(split(r#""a.b"c"#), Err(PathError::Quote));
        assert_eq!(split("a.f()"), Err(PathError::Bare("f()".to_owned())));
        assert_eq!(split("a.*"), Ok(vec![PathPart::Name("a".to_owned()), PathPart::Any]));
        assert_eq!(split_names("a.*"), Err(PathError::Wildcard));
    }
}

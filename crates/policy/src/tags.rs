//! Tags on columns: patterns of names, and what they give a column.
//!
//! Knows names; no catalog, no masks.

use std::collections::BTreeSet;
use std::fmt;

use model::QualifiedName;
use serde::{Serialize, Serializer};

use crate::path::{self, PathError, PathPart};

/// A word on columns that rules and masks speak of, such as `pii`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub(crate) String);

impl Tag {
    /// Returns the word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Names columns: `schema.relation.column`, with `*` for any relation or any column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern {
    pub(crate) schema: String,
    pub(crate) relation: PathPart,
    pub(crate) column: PathPart,
    pub(crate) tags: Vec<Tag>,
}

impl TagPattern {
    /// Returns a column that it tags, and the tags; `*` stands for any name.
    pub fn example(&self) -> (QualifiedName, String, Vec<String>) {
        let name = |part: &PathPart| match part {
            PathPart::Name(name) => name.clone(),
            PathPart::Any => "*".to_owned(),
        };
        let relation = QualifiedName { schema: self.schema.clone(), name: name(&self.relation) };
        (relation, name(&self.column), self.tags.iter().map(|tag| tag.0.clone()).collect())
    }

    /// Reads a pattern; the error is a fragment that says what is wrong.
    pub(crate) fn parse(text: &str, tags: Vec<Tag>) -> Result<Self, String> {
        let parts = path::split(text).map_err(|error| match error {
            PathError::Bare(part) if part.contains('*') => {
                format!("* stands for a whole name, not for a piece of one as in {part:?}")
            }
            error => error.to_string(),
        })?;
        match <[PathPart; 3]>::try_from(parts) {
            Ok([PathPart::Name(schema), relation, column]) => Ok(Self { schema, relation, column, tags }),
            Ok([PathPart::Any, _, _]) => {
                Err("* can stand for a relation or a column, not for a schema".to_owned())
            }
            Err(parts) => Err(format!(
                "a column is named by schema.relation.column, and this has {} of the 3 parts",
                parts.len()
            )),
        }
    }

    /// Returns the schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Returns the relation; `None` for any.
    pub fn relation(&self) -> Option<&str> {
        name(&self.relation)
    }

    /// Returns the column; `None` for any.
    pub fn column(&self) -> Option<&str> {
        name(&self.column)
    }

    /// Returns the tags that it gives.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Returns whether it names a column.
    pub fn matches(&self, relation: &QualifiedName, column: &str) -> bool {
        self.schema == relation.schema
            && name(&self.relation).is_none_or(|name| name == relation.name)
            && name(&self.column).is_none_or(|name| name == column)
    }
}

fn name(part: &PathPart) -> Option<&str> {
    match part {
        PathPart::Name(name) => Some(name),
        PathPart::Any => None,
    }
}

impl fmt::Display for TagPattern {
    /// Writes it as in `[tags]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = path::join([self.schema.as_str()]);
        for part in [&self.relation, &self.column] {
            match part {
                PathPart::Name(name) => path::push(&mut text, name),
                PathPart::Any => text.push_str(".*"),
            }
        }
        f.write_str(&text)
    }
}

/// Collects the tags of every pattern that names a column, each once, in alphabetical order.
pub(crate) fn of<'a>(patterns: &'a [TagPattern], relation: &QualifiedName, column: &str) -> Vec<&'a Tag> {
    let tags: BTreeSet<&Tag> = patterns
        .iter()
        .filter(|pattern| pattern.matches(relation, column))
        .flat_map(|pattern| &pattern.tags)
        .collect();
    tags.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Result<TagPattern, String> {
        TagPattern::parse(text, vec![Tag(text.to_owned())])
    }

    fn check(text: &str, schema: &str, relation: &str, column: &str) -> bool {
        let relation = QualifiedName { schema: schema.to_owned(), name: relation.to_owned() };
        let pattern = pattern(text).unwrap();
        assert_eq!(pattern.to_string(), text);
        pattern.matches(&relation, column)
    }

    #[test]
    fn wildcards_stand_for_whole_names() {
        assert!(check("public.customers.email", "public", "customers", "email"));
        assert!(!check("public.customers.email", "public", "customers", "Email"));
        assert!(check("public.*.email", "public", "orders", "email"));
        assert!(check("public.customers.*", "public", "customers", "x"));
        assert!(check("public.*.*", "public", "a.b", "c"));
        assert!(!check("public.*.*", "private", "a", "b"));
        assert!(check(r#"public."*".x"#, "public", "*", "x"));
        assert!(!check(r#"public."*".x"#, "public", "y", "x"));
        assert!(check(r#"public."a*b".x"#, "public", "a*b", "x"));
        assert!(check(r#""we.ird"."t""x".c"#, "we.ird", "t\"x", "c"));
    }

    #[test]
    fn what_names_no_column_is_refused() {
        for text in ["*.a.b", "a.b", "a.b.c.d", "a.b*.c", "a..c", ""] {
            assert!(pattern(text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_patterns_that_match_add_their_tags() {
        let patterns =
            ["public.*.email", "public.customers.*", "public.orders.*"].map(|text| pattern(text).unwrap());
        let relation = QualifiedName { schema: "public".to_owned(), name: "customers".to_owned() };
        let tags: Vec<_> = of(&patterns, &relation, "email").into_iter().map(Tag::as_str).collect();
        assert_eq!(tags, ["public.*.email", "public.customers.*"]);
    }
}

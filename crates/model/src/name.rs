//! Names as PostgreSQL writes them.

use std::fmt;

/// A schema-qualified name, unquoted: the exact bytes of `nspname` and `relname` or `proname`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QualifiedName {
    /// `pg_namespace.nspname`; a session's own temporary schema is `pg_temp`.
    pub schema: String,
    /// `pg_class.relname`, `pg_proc.proname`, ...
    pub name: String,
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Quotes an identifier always, doubling inner quotes (`quote_identifier`, ruleutils.c, quotes only where needed).
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string literal so that it means the same whatever `standard_conforming_strings` is
/// (as `quote_literal_internal`, quote.c).
pub fn quote_literal(text: &str) -> String {
    let prefix = if text.contains('\\') { " E" } else { "" };
    format!("{prefix}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

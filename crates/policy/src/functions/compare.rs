//! Compares the reviewed list with what a server has, and with facts that no reading can argue away.
//!
//! Knows `pg_proc`; connects to nothing.

use std::fmt;

use super::reviewed::{Entry, Family, Review};
use super::{Declared, FunctionClass, Language};
use crate::resource::{FunctionSecurity, Volatility};

/// Lists the functions that came with a server, in the columns of [`Observed::read`].
pub const OBSERVE: &str = "SELECT n.nspname, p.proname, \
    coalesce((SELECT string_agg(t.typname::text, ',' ORDER BY a.n) \
              FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a(t, n) JOIN pg_type t ON t.oid = a.t), ''), \
    l.lanname, p.provolatile, p.prosecdef, p.proparallel, \
    CASE WHEN l.lanname = 'sql' THEN '' ELSE p.prosrc END, \
    coalesce(array_to_string(p.proargnames, ','), ''), \
    has_function_privilege('public', p.oid, 'EXECUTE'), \
    EXISTS (SELECT FROM pg_type t WHERE t.oid = p.prorettype AND t.typname = 'internal') \
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang \
    WHERE p.oid < 16384";

/// A function as a server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Schema and name, with a dot between them.
    pub name: String,
    /// `pg_type.typname` of each argument, joined by commas.
    pub arguments: String,
    /// Letters as in the list: volatility, then language.
    pub facts: String,
    language: Language,
    volatility: Volatility,
    security: FunctionSecurity,
    parallel_unsafe: bool,
    symbol: String,
    argument_names: String,
    public: bool,
    returns_internal: bool,
}

impl Observed {
    /// Reads a row of [`OBSERVE`]; `None` if it has another form.
    pub fn read(row: &[&str]) -> Option<Self> {
        let [
            schema,
            name,
            arguments,
            language,
            volatility,
            definer,
            parallel,
            symbol,
            names,
            public,
            internal,
        ] = *row
        else {
            return None;
        };
        let language = Language::from_lanname(language);
        Some(Self {
            name: format!("{schema}.{name}"),
            arguments: arguments.to_owned(),
            facts: format!("{volatility}{}", language.letter()),
            language,
            volatility: Volatility::from_provolatile(*volatility.as_bytes().first()?),
            security: if definer == "t" { FunctionSecurity::Definer } else { FunctionSecurity::Invoker },
            parallel_unsafe: parallel == "u",
            symbol: symbol.to_owned(),
            argument_names: names.to_owned(),
            public: public == "t",
            returns_internal: internal == "t",
        })
    }
}

/// Where list and server disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The list doesn't have it: it is unknown, and so refused.
    Unlisted,
    /// It is not declared as it was read, so it is unknown.
    Changed,
    /// It is listed to need no permit, which this fact speaks against.
    Contradicted(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlisted => f.write_str("is in no family"),
            Self::Changed => f.write_str("is declared otherwise than it was read"),
            Self::Contradicted(fact) => write!(f, "needs no permit although {fact}"),
        }
    }
}

/// C functions of families that do more than compute, by how their names begin.
const DANGEROUS_SYMBOLS: &[&str] = &[
    "be_lo",
    "binary_upgrade",
    "brin_desummarize",
    "brin_summarize",
    "currtid",
    "currval",
    "cursor_to_xml",
    "database_to_xml",
    "gin_clean_pending",
    "lastval",
    "nextval",
    "pg_advisory_lock",
    "pg_advisory_unlock_int",
    "pg_advisory_unlock_shared",
    "pg_advisory_xact",
    "pg_backup",
    "pg_cancel",
    "pg_copy_",
    "pg_create_",
    "pg_drop_",
    "pg_export_snapshot",
    "pg_import",
    "pg_log_",
    "pg_logical",
    "pg_ls_",
    "pg_notify",
    "pg_promote",
    "pg_read_",
    "pg_reload",
    "pg_replication",
    "pg_rotate",
    "pg_sleep",
    "pg_stat_file",
    "pg_stat_reset",
    "pg_switch",
    "pg_terminate",
    "pg_try_advisory",
    "pg_wal_replay",
    "query_to_xml",
    "schema_to_xml",
    "set_config",
    "setseed",
    "setval",
    "table_to_xml",
    "ts_stat",
    "tsquery_rewrite_query",
];

/// Names of arguments that hold text to be run, or name what is to be read.
const DANGEROUS_ARGUMENTS: &[&str] = &["query", "sql", "cursor", "tbl", "filename"];

/// Says what is wrong with the entry of a server's function, if anything is.
pub fn compare(review: &Review, observed: &Observed) -> Option<Finding> {
    let (schema, name) = observed.name.split_once('.')?;
    let overloads = review.overloads(schema, name);
    let Some(entry) = overloads.iter().find(|entry| entry.arguments() == observed.arguments) else {
        return Some(Finding::Unlisted);
    };
    let qualified = model::QualifiedName { schema: schema.to_owned(), name: name.to_owned() };
    let declared = Declared {
        name: &qualified,
        oid: model::Oid(1),
        arguments: Some(&observed.arguments),
        language: observed.language,
        volatility: observed.volatility,
        security: observed.security,
    };
    if !entry.agrees(&declared) {
        return Some(Finding::Changed);
    }
    contradiction(observed, entry, review.family(entry)).map(Finding::Contradicted)
}

fn contradiction(observed: &Observed, entry: &Entry, family: &Family) -> Option<String> {
    if observed.returns_internal || entry.arguments().split(',').any(|ty| ty == "internal") {
        return (family.class() != FunctionClass::Internal)
            .then(|| "it takes or returns internal".to_owned());
    }
    if family.class().acts() {
        return None;
    }
    if observed.volatility == Volatility::Volatile && !family.allows("volatile") {
        return Some("it is volatile".to_owned());
    }
    if observed.parallel_unsafe && !family.allows("unsafe") {
        return Some("it is parallel unsafe".to_owned());
    }
    if !observed.public {
        return Some("PUBLIC may not execute it".to_owned());
    }
    let symbol = DANGEROUS_SYMBOLS.iter().find(|prefix| observed.symbol.starts_with(**prefix));
    if symbol.is_some() {
        return Some(format!("its C function is {}", observed.symbol));
    }
    let inputs = entry.arguments().split(',').count();
    let mut named = observed.argument_names.split(',').take(inputs);
    let argument = named.find(|name| DANGEROUS_ARGUMENTS.contains(name));
    argument.map(|argument| format!("an argument is called {argument}"))
}

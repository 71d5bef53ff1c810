//! What a function can do beyond computing: the reviewed list of PostgreSQL's own, by identity, and what is said of all others.
//!
//! The list is data, `reviewed.txt`, with a reason for each family. A function is the one that was read if it came with the server (its
//! OID was given out by initdb), is in `pg_catalog` or `information_schema`, has the name and argument types of an entry, and is declared as
//! the entry says. Anything else is `unknown`.
//!
//! SECURITY: no pattern stands for a name that nobody has read, so a newer server's functions are not harmless. Knows names and reasons; no
//! bundle, no Cedar.

mod compare;
mod reviewed;

use std::fmt;

use model::{Oid, QualifiedName};

pub use compare::{Finding, OBSERVE, Observed, compare};
pub use reviewed::{Entry, Family, Review, review};

use crate::resource::{FunctionSecurity, Volatility};

/// What calling a function can do beyond computing its result from its arguments. From the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FunctionClass {
    /// Nothing.
    Harmless,
    /// It shows names, definitions, privileges, counts: what the catalog shows.
    Names,
    /// Only PostgreSQL itself calls it.
    Internal,
    /// It changes data, settings, other sessions or the server, or holds them up.
    Changes,
    /// It shows data or other sessions' doings without touching a relation by name.
    Reveals,
    /// It reaches files, control data or the network of the server.
    Server,
    /// It runs SQL given as text, or reads what its arguments name: what that touches can't be seen.
    RunsText,
    /// Not reviewed.
    Unknown,
}

impl FunctionClass {
    /// Returns every class.
    pub const fn all() -> [Self; 8] {
        [
            Self::Harmless,
            Self::Names,
            Self::Internal,
            Self::Changes,
            Self::Reveals,
            Self::Server,
            Self::RunsText,
            Self::Unknown,
        ]
    }

    /// Returns the word that rules compare `resource.class` with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Harmless => "harmless",
            Self::Names => "names",
            Self::Internal => "internal",
            Self::Changes => "changes",
            Self::Reveals => "reveals",
            Self::Server => "server",
            Self::RunsText => "runs_text",
            Self::Unknown => "unknown",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::all().into_iter().find(|class| class.as_str() == word)
    }

    /// Returns whether a call can keep what it is given, send it elsewhere, or do anything but answer.
    pub const fn acts(self) -> bool {
        match self {
            Self::Harmless | Self::Names => false,
            Self::Internal
            | Self::Changes
            | Self::Reveals
            | Self::Server
            | Self::RunsText
            | Self::Unknown => true,
        }
    }
}

impl fmt::Display for FunctionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a function is written in (`pg_proc.prolang`), as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// A C function of the server itself.
    Internal,
    /// A C function of a library.
    C,
    /// SQL: statements that are fixed when it is made, or at least when it is called.
    Sql,
    /// A procedural language: it can build statements while it runs.
    Procedural,
}

impl Language {
    /// Reads `pg_language.lanname`. Names of languages can't be taken twice (`pg_language_name_index`).
    pub fn from_lanname(lanname: &str) -> Self {
        match lanname {
            "internal" => Self::Internal,
            "c" => Self::C,
            "sql" => Self::Sql,
            _ => Self::Procedural,
        }
    }

    const fn letter(self) -> &'static str {
        match self {
            Self::Internal => "",
            Self::C => "c",
            Self::Sql => "q",
            Self::Procedural => "p",
        }
    }
}

/// A function as `pg_proc` declares it.
#[derive(Clone, Copy, Debug)]
pub struct Declared<'a> {
    /// Schema and name; overloads share it.
    pub name: &'a QualifiedName,
    /// `pg_proc.oid`.
    pub oid: Oid,
    /// `pg_type.typname` of each argument, joined by commas; `None` stands for whichever overload can do most.
    pub arguments: Option<&'a str>,
    /// `pg_proc.prolang`.
    pub language: Language,
    /// `pg_proc.provolatile`.
    pub volatility: Volatility,
    /// `pg_proc.prosecdef`.
    pub security: FunctionSecurity,
}

impl Declared<'_> {
    /// Returns whether it came with the server: initdb gave out its OID *and* it is in `pg_catalog` or `information_schema`.
    pub fn is_builtin(&self) -> bool {
        self.oid.is_builtin() && matches!(self.name.schema.as_str(), "pg_catalog" | "information_schema")
    }
}

const UNREAD: &str = "nobody has read what it does";
const CHANGED: &str = "it is not declared as the function of that name that was read";
const MADE: &str = "somebody made it, and its body decides what it does";

/// Returns what a function can do, and why we say so.
pub(crate) fn classify(function: &Declared<'_>) -> (FunctionClass, &'static str) {
    if !function.is_builtin() {
        // SECURITY: what somebody made is never harmless, whatever it is called.
        return match review().extension(&function.name.name) {
            Some(family) => (family.class(), family.reason()),
            None => (FunctionClass::Unknown, MADE),
        };
    }
    let overloads = review().overloads(&function.name.schema, &function.name.name);
    let found = match function.arguments {
        Some(arguments) => overloads.iter().find(|entry| entry.arguments() == arguments),
        None => overloads.iter().max_by_key(|entry| review().family(entry).class()),
    };
    match found {
        None => (FunctionClass::Unknown, UNREAD),
        Some(entry) if function.arguments.is_some() && !entry.agrees(function) => {
            (FunctionClass::Unknown, CHANGED)
        }
        Some(entry) => {
            let family = review().family(entry);
            (family.class(), family.reason())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(schema: &str, name: &str, arguments: &str, oid: Oid, letters: &str) -> FunctionClass {
        let name = QualifiedName { schema: schema.to_owned(), name: name.to_owned() };
        let language = match letters.get(1..) {
            Some("q") => Language::Sql,
            Some("c") => Language::C,
            Some("p") => Language::Procedural,
            _ => Language::Internal,
        };
        let volatility = Volatility::from_provolatile(letters.as_bytes()[0]);
        let security = FunctionSecurity::Invoker;
        classify(&Declared { name: &name, oid, arguments: Some(arguments), language, volatility, security }).0
    }

    fn check(signature: &str, letters: &str, class: FunctionClass) {
        let (name, arguments) = signature.trim_end_matches(')').split_once('(').unwrap();
        assert_eq!(declared("pg_catalog", name, arguments, Oid(1), letters), class, "{signature}");
    }

    #[test]
    fn what_runs_text_reads_files_or_changes_is_never_harmless() {
        use FunctionClass::{Changes, Reveals, RunsText, Server};
        check("query_to_xml(text,bool,bool,text)", "v", RunsText);
        check("ts_stat(text)", "v", RunsText);
        check("ts_rewrite(tsquery,text)", "v", RunsText);
        check("table_to_xml(regclass,bool,bool,text)", "s", RunsText);
        check("pg_input_is_valid(text,text)", "s", RunsText);
        check("pg_read_file(text)", "v", Server);
        check("pg_ls_dir(text)", "v", Server);
        check("lo_export(oid,text)", "v", Server);
        check("pg_stat_get_activity(int4)", "s", Reveals);
        check("lo_get(oid)", "v", Reveals);
        check("currval(regclass)", "v", Reveals);
        for changes in ["set_config(text,text,bool)", "nextval(regclass)", "pg_notify(text,text)"] {
            check(changes, "v", Changes);
        }
        check("pg_sleep_for(interval)", "vq", Changes);
        check("int4in(cstring)", "i", FunctionClass::Harmless);
        check("btint4sortsupport(internal)", "i", FunctionClass::Internal);
    }

    #[test]
    fn computing_is_harmless_and_the_unread_is_not() {
        check("lower(text)", "i", FunctionClass::Harmless);
        check("now()", "s", FunctionClass::Harmless);
        check("gen_random_uuid()", "v", FunctionClass::Harmless);
        check("pg_get_viewdef(oid)", "s", FunctionClass::Names);
        check("new_in_19()", "i", FunctionClass::Unknown);
    }

    #[test]
    fn overloads_are_told_apart() {
        check("ts_rewrite(tsquery,tsquery,tsquery)", "i", FunctionClass::Harmless);
        check("lower(anyrange)", "i", FunctionClass::Harmless);
        check("lower(secret)", "i", FunctionClass::Unknown);
        let name = QualifiedName { schema: "pg_catalog".to_owned(), name: "ts_rewrite".to_owned() };
        let any = Declared {
            name: &name,
            oid: Oid(1),
            arguments: None,
            language: Language::Internal,
            volatility: Volatility::Immutable,
            security: FunctionSecurity::Invoker,
        };
        assert_eq!(classify(&any).0, FunctionClass::RunsText, "not knowing which, the one that can do most");
    }

    #[test]
    fn a_function_that_is_not_declared_as_it_was_read_is_unknown() {
        check("lower(text)", "v", FunctionClass::Unknown);
        check("lower(text)", "ip", FunctionClass::Unknown);
        check("lower(text)", "iq", FunctionClass::Unknown);
    }

    #[test]
    fn a_function_that_somebody_made_is_never_harmless() {
        let made = Oid::FIRST_NORMAL;
        assert_eq!(declared("public", "lower", "text", made, "i"), FunctionClass::Unknown);
        assert_eq!(declared("pg_catalog", "lower", "text", made, "i"), FunctionClass::Unknown);
        assert_eq!(declared("public", "lower", "text", Oid(870), "i"), FunctionClass::Unknown);
        assert_eq!(declared("public", "dblink_exec", "text", made, "v"), FunctionClass::RunsText);
    }
}

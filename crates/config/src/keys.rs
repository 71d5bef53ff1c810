//! Every key of the configuration file: its type, its default, its meaning. The reader takes defaults from here and
//! refuses what is not here; the reference page is printed from here. Each file in `keys/` has some tables; a new one goes into `ROOT` and
//! `SECTIONS` too. Knows no Rust type of a setting.

mod auth;
mod database;
mod issuer;
mod journal;
mod kept;
mod limits;
mod listen;
mod near;
mod notify;
mod object_store;
mod people;
mod recording;
mod secrets;
mod stream;
mod telemetry;

use self::Default::{Absent, Required, Toml};
pub(crate) use self::auth::{AUTH, LEGACY, MATCH, PASSTHROUGH};
pub(crate) use self::database::{DATABASE, LOGIN};
pub(crate) use self::issuer::{INTROSPECTION, ISSUER};
pub(crate) use self::journal::{INDEX, JOURNAL, PREVIOUS, SIGNING};
pub(crate) use self::kept::{STATE, STORE};
pub(crate) use self::limits::{LIMITS, MASK};
pub(crate) use self::listen::{LISTEN, TLS};
pub(crate) use self::near::nearest;
pub(crate) use self::notify::NOTIFY;
pub(crate) use self::object_store::OBJECT_STORE;
pub(crate) use self::people::{CONSOLE, OPERATORS};
pub(crate) use self::recording::RECORDING;
pub(crate) use self::secrets::{AWS, VAULT};
pub(crate) use self::stream::STREAM;
pub(crate) use self::telemetry::{OTLP, TELEMETRY};

/// A table of the file.
#[derive(Debug)]
pub(crate) struct Section {
    /// The key that holds it.
    pub(crate) name: &'static str,
    /// How it is written.
    pub(crate) header: &'static str,
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [Key],
    /// Keys of later versions: refused by name rather than as unknown.
    pub(crate) later: &'static [Later],
}

/// A key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) default: Default,
    pub(crate) about: &'static str,
}

/// What holds where a key is not written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Default {
    /// It must be written.
    Required,
    /// Nothing; the text says what that means.
    Absent(&'static str),
    /// This value, as TOML.
    Toml(&'static str),
}

/// A key that a later version brings.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
}

const fn key(name: &'static str, kind: &'static str, default: Default, about: &'static str) -> Key {
    Key { name, kind, default, about }
}

const fn later(name: &'static str, what: &'static str) -> Later {
    Later { name, what }
}

/// The top of the file.
pub(crate) const ROOT: Section = Section {
    name: "",
    header: "the top level",
    about: "",
    keys: &[
        key("listen", "table", Toml("{}"), "see [listen]"),
        key("issuer", "tables", Toml("[]"), "see [[issuer]]"),
        key("database", "tables", Required, "see [[database]]"),
        key("auth", "tables", Toml("[]"), "see [[auth]]"),
        key("legacy", "tables", Toml("[]"), "see [[legacy]]"),
        key("passthrough", "table", Toml("{}"), "see [passthrough]"),
        key("journal", "table", Toml("{}"), "see [journal]"),
        key("index", "table", Toml("{}"), "see [index]"),
        key("limits", "table", Toml("{}"), "see [limits]"),
        key("mask", "table", Toml("{}"), "see [mask]"),
        key("vault", "table", Absent("no `vault:` reference can be used"), "see [vault]"),
        key("aws", "table", Absent("no `aws:` reference can be used"), "see [aws]"),
        key("operators", "table", Toml("{}"), "see [operators]"),
        key("notify", "tables", Toml("[]"), "see [[notify]]"),
        key("object_store", "tables", Toml("[]"), "see [[object_store]]"),
        key("stream", "tables", Toml("[]"), "see [[stream]]"),
        key("recording", "table", Absent("no session is recorded"), "see [recording]"),
        key("state", "table", Toml("{}"), "see [state]"),
        key("store", "table", Toml("{}"), "see [store]"),
        key("telemetry", "table", Toml("{}"), "see [telemetry]"),
        key(
            "console",
            "table",
            Absent("nobody logs in with a browser; tokens are taken all the same"),
            "see [console]",
        ),
    ],
    later: &[],
};

/// All tables, in the order of the reference page.
pub(crate) const SECTIONS: &[&Section] = &[
    &LISTEN,
    &TLS,
    &ISSUER,
    &INTROSPECTION,
    &DATABASE,
    &LOGIN,
    &AUTH,
    &MATCH,
    &LEGACY,
    &PASSTHROUGH,
    &JOURNAL,
    &SIGNING,
    &PREVIOUS,
    &INDEX,
    &LIMITS,
    &MASK,
    &VAULT,
    &AWS,
    &OPERATORS,
    &NOTIFY,
    &OBJECT_STORE,
    &STREAM,
    &RECORDING,
    &STATE,
    &CONSOLE,
    &STORE,
    &TELEMETRY,
    &OTLP,
];

impl Section {
    pub(crate) fn key(&'static self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// Returns whether a word is the name of a key or table, and so no secret.
pub(crate) fn is_known(word: &str) -> bool {
    SECTIONS.iter().any(|section| section.name == word || section.key(word).is_some())
}

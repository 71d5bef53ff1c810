//! What `schema.sql` holds, as far as queries are made of it.

/// A type, or a family of types that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    Int,
    Num,
    Text,
    Date,
    Bool,
    Json,
    Texts,
    Address,
    Mood,
    Xml,
}

use Ty::{Address, Bool, Date, Int, Json, Mood, Num, Text, Texts, Xml};

/// A relation of the schema.
pub(crate) struct Relation {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Ty)],
    /// What may be written; empty: nothing.
    pub(crate) writable: &'static [&'static str],
    /// A table, so it has system columns and can be sampled.
    pub(crate) table: bool,
    /// The oldest server that has it.
    pub(crate) since: u32,
    /// What ON CONFLICT can infer from.
    pub(crate) key: Option<&'static str>,
}

const fn table(
    name: &'static str,
    columns: &'static [(&'static str, Ty)],
    writable: &'static [&'static str],
    key: Option<&'static str>,
) -> Relation {
    Relation { name, columns, writable, table: true, since: 14, key }
}

const fn view(
    name: &'static str,
    columns: &'static [(&'static str, Ty)],
    writable: &'static [&'static str],
    since: u32,
) -> Relation {
    Relation { name, columns, writable, table: false, since, key: None }
}

const ENTRY: &[(&str, Ty)] =
    &[("id", Int), ("account_id", Int), ("day", Date), ("amount", Num), ("memo", Text), ("code", Int)];
const ENTRY_SET: &[&str] = &["id", "account_id", "day", "amount", "memo"];
const INVOKED: &[(&str, Ty)] = &[("id", Int), ("name", Text), ("ssn", Text), ("balance", Num)];

#[rustfmt::skip]
pub(crate) const RELATIONS: &[Relation] = &[
    table("person", &[("id", Int), ("name", Text), ("email", Text), ("born", Date), ("score", Num), ("home", Address),
        ("nicknames", Texts), ("boss", Int), ("ssn", Text), ("active", Bool), ("feeling", Mood), ("extra", Json)],
        &["id", "name", "email", "born", "score", "home", "nicknames", "boss", "ssn", "active"], Some("(id)")),
    table("account", &[("id", Int), ("person_id", Int), ("balance", Num), ("kind", Text), ("opened", Date), ("note", Text),
        ("secret", Text), ("profile", Json)],
        &["id", "person_id", "balance", "kind", "opened", "note", "secret"], Some("(person_id, kind)")),
    table("entry", ENTRY, ENTRY_SET, None),
    table("entry_new", ENTRY, ENTRY_SET, None),
    table("item", &[("id", Int), ("label", Text), ("price", Num), ("stock", Int)], &["id", "label", "price", "stock"], Some("(id)")),
    table("book", &[("id", Int), ("label", Text), ("price", Num), ("stock", Int), ("isbn", Text), ("pages", Int)],
        &["id", "label", "price", "pages"], None),
    table("doc", &[("id", Int), ("owner_id", Int), ("title", Text), ("level", Int), ("content", Text), ("markup", Xml)],
        &["id", "owner_id", "title", "level", "content"], Some("(id)")),
    table("measure", &[("id", Int), ("v1", Int), ("v2", Int), ("sum", Int), ("unit", Text), ("made", Int)],
        &["id", "v1", "v2", "unit"], Some("(id)")),
    table("journal", &[("id", Int), ("what", Text), ("who", Int), ("secret", Text)], &["id", "what", "who", "secret"], None),
    table("journal_copy", &[("id", Int), ("what", Text), ("who", Int)], &["id", "what", "who"], None),
    view("holding", &[("id", Int), ("name", Text), ("total", Num)], &[], 14),
    view("adult", &[("id", Int), ("name", Text), ("email", Text), ("score", Num), ("home", Address), ("active", Bool)],
        &["id", "name", "score"], 14),
    view("wealthy", &[("id", Int), ("name", Text), ("balance", Num), ("secret", Text), ("label", Text)], &[], 14),
    view("guarded", &[("id", Int), ("name", Text), ("ssn", Text), ("boss", Int)], &["id", "name", "ssn", "boss"], 14),
    view("everybody", &[("id", Int), ("label", Text), ("kind", Text)], &[], 14),
    view("spent", &[("account_id", Int), ("total", Num), ("entries", Int), ("memo", Text)], &[], 14),
    view("shelf", &[("id", Int), ("label", Text), ("price", Num), ("stock", Int)], &["id", "label", "price"], 14),
    view("ruled", &[("id", Int), ("what", Text), ("who", Int)], &[], 14),
    view("ranked", &[("id", Int), ("name", Text), ("score", Num), ("place", Int)], &[], 14),
    view("invoked", INVOKED, &[], 15),
    view("invoked_outer", &[("id", Int), ("told", Text), ("balance", Num)], &[], 15),
    view("invoked_inner", &[("id", Int), ("label", Text), ("balance", Num), ("ssn", Text)], &[], 15),
    Relation { name: "gauge", columns: &[("id", Int), ("low", Int), ("high", Int), ("span", Int), ("label", Text), ("shown", Text)],
        writable: &["id", "low", "high", "label"], table: true, since: 18, key: Some("(id)") },
];

impl Ty {
    /// Returns the type's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Int => "int",
            Num => "numeric",
            Text => "text",
            Date => "date",
            Bool => "bool",
            Json => "jsonb",
            Texts => "text[]",
            Address => "address",
            Mood => "mood",
            Xml => "xml",
        }
    }

    /// Says whether values can be compared, sorted and grouped.
    pub(crate) const fn is_ordered(self) -> bool {
        !matches!(self, Xml)
    }
}

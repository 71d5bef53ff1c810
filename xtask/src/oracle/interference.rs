//! The stronger question: if other values stand in the columns that a query is not said to depend on, does it still say the same?
//!
//! Each generated query is run twice in the same state but for those values: rows, errors, everything but the order of rows must be
//! equal. Columns that are only named (`idle`) count as not depended on.

use std::collections::{BTreeMap, BTreeSet};

use model::Oid;
use querytree::{ServerVersion, Ways};
use testkit::client::Message;
use testkit::postgres::{Cluster, Version};
use wire::backend::tag;

use super::corpus;
use super::generate;
use super::server::Server;

/// What became of it on one server.
#[derive(Default)]
pub(crate) struct Compared {
    /// Queries that were run.
    pub(crate) queries: usize,
    /// Columns whose values were changed under them, all together.
    pub(crate) columns: usize,
    /// Of these, columns that the query names without depending on them.
    pub(crate) idle: usize,
    /// Queries whose answer changed, and the columns that did it.
    pub(crate) changed: Vec<(String, String)>,
}

/// A column that may be given other values, and how.
struct Subject {
    table: &'static str,
    column: &'static str,
    other: &'static str,
}

const fn subject(table: &'static str, column: &'static str, other: &'static str) -> Subject {
    Subject { table, column, other }
}

/// What decides over a row's partition is left alone.
const SUBJECTS: &[Subject] = &[
    subject("person", "name", "name || '~'"),
    subject("person", "email", "CASE id % 3 WHEN 0 THEN NULL ELSE 'x' || email END"),
    subject("person", "born", "CASE id % 3 WHEN 0 THEN NULL ELSE date '2030-01-01' - id * 4000 END"),
    subject("person", "score", "CASE id % 4 WHEN 0 THEN NULL ELSE 500 - score END"),
    subject("person", "home", "CASE id % 3 WHEN 0 THEN NULL ELSE ROW('q', 'r' || id, NULL)::address END"),
    subject("person", "nicknames", "CASE id % 3 WHEN 0 THEN NULL ELSE ARRAY['q', 't1', 'b', NULL] END"),
    subject("person", "boss", "CASE id % 3 WHEN 0 THEN 4 ELSE nullif(14 - boss, 9) END"),
    subject("person", "ssn", "CASE id % 3 WHEN 0 THEN NULL ELSE 'z' || ssn END"),
    subject("person", "active", "NOT active"),
    subject("person", "feeling", "CASE feeling WHEN 'calm' THEN NULL ELSE 'calm'::mood END"),
    subject("person", "extra", "CASE id % 3 WHEN 0 THEN NULL ELSE '{\"k\": 1, \"list\": [9]}'::jsonb END"),
    subject("account", "balance", "CASE id % 3 WHEN 0 THEN NULL ELSE 60 - balance END"),
    subject("account", "opened", "CASE id % 3 WHEN 0 THEN NULL ELSE opened - 900 END"),
    subject("account", "note", "CASE id % 3 WHEN 0 THEN NULL ELSE 'q' || note END"),
    subject("account", "secret", "CASE id % 3 WHEN 0 THEN NULL ELSE 'q' || secret END"),
    subject("account", "profile", "CASE id % 3 WHEN 0 THEN NULL ELSE '{\"k\": 1}'::jsonb END"),
    subject("entry", "account_id", "CASE id % 4 WHEN 0 THEN NULL ELSE 19 - account_id END"),
    subject("entry", "amount", "CASE id % 4 WHEN 0 THEN NULL ELSE 19 - amount END"),
    subject("entry", "memo", "CASE id % 4 WHEN 0 THEN NULL ELSE 'q' || memo END"),
    subject("item", "label", "CASE id % 3 WHEN 0 THEN NULL ELSE 'q' || label END"),
    subject("item", "price", "CASE id % 3 WHEN 0 THEN NULL ELSE 2000 - price END"),
    subject("item", "stock", "CASE id % 3 WHEN 0 THEN NULL ELSE 20 - stock END"),
    subject("book", "isbn", "CASE id % 3 WHEN 0 THEN NULL ELSE 'q' || isbn END"),
    subject("book", "pages", "CASE id % 3 WHEN 0 THEN NULL ELSE 19 - pages END"),
    subject("doc", "title", "CASE id % 3 WHEN 0 THEN NULL ELSE 'q' || title END"),
    subject("doc", "content", "CASE id % 3 WHEN 0 THEN NULL ELSE 'q' || content END"),
    subject("doc", "level", "7 - level"),
    subject("doc", "owner_id", "10 - owner_id"),
    subject("doc", "markup", "CASE id % 3 WHEN 0 THEN NULL ELSE '<q><v a=\"3\">8</v><v/></q>'::xml END"),
    subject("measure", "v1", "CASE id % 3 WHEN 0 THEN NULL ELSE 10 - v1 END"),
    subject("measure", "v2", "CASE id % 3 WHEN 0 THEN NULL ELSE 10 - v2 END"),
    subject("measure", "unit", "CASE id % 3 WHEN 0 THEN NULL ELSE 'q' || unit END"),
    subject("journal", "what", "CASE id % 3 WHEN 0 THEN NULL ELSE 'q' || what END"),
    subject("journal", "who", "CASE id % 3 WHEN 0 THEN NULL ELSE 9 - who END"),
    subject("journal", "secret", "CASE id % 3 WHEN 0 THEN NULL ELSE 'q' || secret END"),
    subject("journal_copy", "what", "CASE id % 3 WHEN 0 THEN NULL ELSE 'q' || what END"),
    subject("journal_copy", "who", "CASE id % 3 WHEN 0 THEN NULL ELSE 9 - who END"),
];

/// Whose rows are also this table's.
fn family(relation: &str) -> &str {
    match relation {
        "item" | "book" | "film" => "item",
        name if name.starts_with("entry") => "entry",
        name => name,
    }
}

/// A column, by family.
type Name = (String, String);

/// What a query depends on, and what it names.
struct Reading {
    depends: BTreeSet<Name>,
    named: BTreeSet<Name>,
    tables: BTreeSet<String>,
}

/// Asks about that many generated queries.
pub(crate) fn compare(cluster: &Cluster, seed: u64, count: u64) -> Compared {
    let major = cluster.version().major();
    let corpus = corpus::generated(seed, 0, cluster.version());
    let (mut server, _) = corpus::prepare(cluster, &corpus);
    let names = names(&mut server);
    let mut compared = Compared::default();
    for number in 0..count {
        let query = generate::reading(seed, number, major);
        // Where a row lies depends on how long the others are.
        if query.contains("TABLESAMPLE") || query.contains(".ctid") {
            continue;
        }
        let Some(reading) = read(&mut server, &query, &names, cluster.version()) else { continue };
        let free: Vec<&Subject> = SUBJECTS.iter().filter(|subject| reading.leaves(subject)).collect();
        if free.is_empty() {
            continue;
        }
        let before = answer(&mut server, &query, &free, false);
        if is_cut_off(&before) {
            continue;
        }
        compared.queries += 1;
        compared.columns += free.len();
        compared.idle += free.iter().filter(|subject| reading.named.contains(&subject.name())).count();
        let after = answer(&mut server, &query, &free, true);
        if before == after || is_cut_off(&after) {
            continue;
        }
        let mut culprits = Vec::new();
        for subject in &free {
            let before = answer(&mut server, &query, &[subject], false);
            if before != answer(&mut server, &query, &[subject], true) {
                culprits.push(format!("{}.{}", subject.table, subject.column));
            }
        }
        compared.changed.push((format!("seed {seed}, reading {number}: {query}"), culprits.join(", ")));
    }
    compared
}

impl Subject {
    fn name(&self) -> Name {
        (family(self.table).to_owned(), self.column.to_owned())
    }
}

impl Reading {
    /// Says whether a column of a table that is read may be given other values.
    fn leaves(&self, subject: &Subject) -> bool {
        self.tables.contains(family(subject.table)) && !self.depends.contains(&subject.name())
    }
}

/// Relations and columns by number.
fn names(server: &mut Server) -> BTreeMap<(u32, i16), Name> {
    let rows = server.raw.rows(
        "SELECT a.attrelid::oid, a.attnum, c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         WHERE NOT a.attisdropped AND c.oid >= 16384",
    );
    let row = |line: &str| {
        let parts: Vec<&str> = line.split('|').collect();
        let key = (parts[0].parse().expect("an OID"), parts[1].parse().expect("a number"));
        (key, (family(parts[2]).to_owned(), parts[3].to_owned()))
    };
    rows.lines().map(row).collect()
}

/// Learns what Gatepost says; `None` if the query isn't valid.
fn read(
    server: &mut Server,
    query: &str,
    names: &BTreeMap<(u32, i16), Name>,
    version: Version,
) -> Option<Reading> {
    server.raw.query("BEGIN; SET LOCAL ROLE gatepost_oracle_all");
    let trees = server.trees(query);
    server.raw.query("ROLLBACK");
    let version = ServerVersion::from_major(version.major()).expect("a version that is read");
    let access = querytree::read(trees?.first()?, version).ok()?;
    let mut reading = Reading { depends: BTreeSet::new(), named: BTreeSet::new(), tables: BTreeSet::new() };
    for relation in &access.relations {
        let Oid(oid) = relation.oid;
        let all = || names.range((oid, 1)..=(oid, i16::MAX)).map(|(_, name)| name.clone());
        let Some((table, _)) = all().next() else { continue };
        reading.tables.insert(table);
        for (column, ways) in &relation.columns {
            let columns: Vec<Name> = if *column == 0 {
                all().collect()
            } else {
                names.get(&(oid, *column)).cloned().into_iter().collect()
            };
            let into = if *ways == Ways::IDLE { &mut reading.named } else { &mut reading.depends };
            into.extend(columns);
        }
    }
    // What functions read is no part of the tree: people_older reads all of a person.
    let functions = access.functions.keys().map(Oid::to_string).collect::<Vec<_>>().join(",");
    let calls = server.raw.rows(&format!(
        "SELECT 1 FROM pg_proc WHERE proname = 'people_older' AND oid = ANY ('{{{functions}}}'::oid[])"
    ));
    if !calls.is_empty() {
        let own = SUBJECTS.iter().filter(|subject| subject.table == "person");
        reading.depends.extend(own.map(Subject::name));
    }
    // A generated column is made of others.
    let of = |table: &str, column: &str| (table.to_owned(), column.to_owned());
    if reading.depends.contains(&of("measure", "sum")) {
        reading.depends.extend([of("measure", "v1"), of("measure", "v2")]);
    }
    Some(reading)
}

/// Runs a query after all these columns were written, with their own values or with others.
fn answer(server: &mut Server, query: &str, subjects: &[&Subject], others: bool) -> Vec<Message> {
    let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for subject in subjects {
        let value = if others { subject.other } else { subject.column };
        tables.entry(subject.table).or_default().push(format!("{} = {value}", subject.column));
    }
    let updates: String =
        tables.iter().map(|(table, sets)| format!("UPDATE {table} SET {}; ", sets.join(", "))).collect();
    let made = server.raw.query(&format!(
        "BEGIN; {updates}SET LOCAL ROLE gatepost_oracle_all; SET LOCAL statement_timeout TO '3s'"
    ));
    assert!(made.iter().all(|message| message.tag != tag::ERROR_RESPONSE), "{made:?} of {updates}");
    let mut answer = server.raw.query(query);
    server.raw.query("ROLLBACK");
    // Longer values make larger tables, and these other plans, which bring rows in another order.
    answer.sort_by(|one, other| (one.tag, &one.body).cmp(&(other.tag, &other.body)));
    answer
}

/// It took too long, which says nothing.
fn is_cut_off(answer: &[Message]) -> bool {
    answer.iter().any(|message| message.tag == tag::ERROR_RESPONSE && message.field(b'C') == "57014")
}

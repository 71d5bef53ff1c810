//! Reads `tests/*.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use model::{Identity, Method, Oid, Party, QualifiedName};
use toml::de::DeTable;

use super::{Case, Expectation, Place, Setting, Subject};
use crate::action::Action;
use crate::approvers::{self, HOLD_MAX, InTransaction};
use crate::functions::{Declared, Language};
use crate::manifest::Manifest;
use crate::path;
use crate::problem::{Problem, Source};
use crate::reader::{self, Entry, Reader};
use crate::request::Touch;
use crate::resource::{
    FunctionFacts, FunctionSecurity, Persistence, RelationFacts, RelationKind, Resource, ResourceType,
    Volatility,
};
use model::Mask;

#[rustfmt::skip]
const KEYS: &[&str] = &[
    "name",
    // who, in what session
    "as", "on_behalf_of", "groups", "claims", "application", "address", "tls", "method", "now", "approved_by",
    // what
    "sql",
    "action", "resource", "command", "has_where", "row_locks",
    "kind", "temporary", "tags", "builtin", "volatility", "security_definer",
    // and what must come of it
    "expect", "mask", "masked", "approvers", "hold", "in_transaction", "rules",
];

/// Keys that a test with `sql` has no use for: the statement says it.
const NOT_WITH_SQL: &[&str] = &[
    "action",
    "resource",
    "command",
    "has_where",
    "row_locks",
    "kind",
    "temporary",
    "tags",
    "builtin",
    "volatility",
    "security_definer",
    "mask",
];

/// Noon of the first of January 2026 UTC, unless a test says otherwise: a test's outcome doesn't depend on when it is run.
const NOW_SECONDS: u64 = 1_767_268_800;

/// Reads the tests of one file, as far as they can be read.
pub(crate) fn parse(
    source: &Source,
    manifest: &Manifest,
    database: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Case> {
    let mut reader = Reader { source, problems };
    let Some(document) = reader.document(&source.text) else { return Vec::new() };
    let mut cases = Vec::new();
    for entry in reader.known(document.get_ref(), &["test"]) {
        let Some(array) = entry.value.get_ref().as_array() else {
            reader.wrong_with_help(
                entry.key_range,
                "test must be an array of tables",
                "begin each test with [[test]]",
            );
            continue;
        };
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => {
                    let before = reader.problems.len();
                    let draft = Draft { reader: &mut reader, table, range: item.span(), manifest, database };
                    let case = draft.case();
                    if reader.problems.len() == before {
                        cases.extend(case);
                    }
                }
                None => reader.wrong(item.span(), "test must be a table"),
            }
        }
    }
    cases
}

/// One test being read.
struct Draft<'d, 'r, 's> {
    reader: &'d mut Reader<'r>,
    table: &'s DeTable<'s>,
    range: std::ops::Range<usize>,
    manifest: &'d Manifest,
    database: &'d str,
}

type Entries<'s> = BTreeMap<&'s str, Entry<'s>>;

impl<'s> Draft<'_, '_, 's> {
    fn case(mut self) -> Option<Case> {
        let entries: Entries<'s> =
            self.reader.known(self.table, KEYS).into_iter().map(|entry| (entry.key, entry)).collect();
        let name = match entries.get("name") {
            Some(entry) => self.reader.string(entry)?.to_owned(),
            None => {
                self.reader.wrong(self.range.clone(), "the test has no name");
                return None;
            }
        };
        let subject = match entries.get("sql") {
            Some(sql) => {
                for key in NOT_WITH_SQL {
                    if let Some(entry) = entries.get(key) {
                        self.reader.wrong(
                            entry.key_range.clone(),
                            format!("{key} has no meaning in a test with sql"),
                        );
                    }
                }
                Subject::Sql(self.reader.string(sql)?.to_owned())
            }
            None => {
                if let Some(entry) = entries.get("masked") {
                    let help = "in a test with action and resource, write mask = \"redact\" or another kind";
                    self.reader.wrong_with_help(
                        entry.key_range.clone(),
                        "masked has no meaning without sql",
                        help,
                    );
                }
                Subject::Touches(self.touches(&entries)?)
            }
        };
        let mut setting = self.setting(&entries)?;
        if let (Subject::Touches(touches), None) = (&subject, entries.get("command")) {
            setting.command =
                touches.first().map_or(String::new(), |touch| touch.action.as_str().to_uppercase());
        }
        let expect = self.expectation(&entries)?;
        // the header's position: the table's own range may begin with its first key
        let place = Place { source: self.reader.source.clone(), range: self.range.clone(), name };
        Some(Case { place, setting, expect, subject })
    }

    fn text(&mut self, entries: &Entries<'s>, key: &str) -> Option<&'s str> {
        entries.get(key).and_then(|entry| self.reader.string(entry))
    }

    fn flag(&mut self, entries: &Entries<'s>, key: &str, otherwise: bool) -> bool {
        entries.get(key).and_then(|entry| self.reader.boolean(entry)).unwrap_or(otherwise)
    }

    fn words(&mut self, entries: &Entries<'s>, key: &str) -> Vec<(&'s str, std::ops::Range<usize>)> {
        entries.get(key).map(|entry| self.reader.strings(entry)).unwrap_or_default()
    }

    /// Reads a word that must be one of some, by the function that knows them.
    fn word<T>(
        &mut self,
        entries: &Entries<'s>,
        key: &str,
        allowed: &[&str],
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let entry = entries.get(key)?;
        let word = self.reader.string(entry)?;
        let value = read(word);
        if value.is_none() {
            self.reader.unknown(entry.value.span(), key, word, allowed);
        }
        value
    }

    fn party(&mut self, entry: &Entry<'s>) -> Option<Party> {
        match self.reader.string(entry)?.split_once(':') {
            Some((issuer, subject)) if !issuer.is_empty() && !subject.is_empty() => {
                Some(Party { issuer: issuer.to_owned(), subject: subject.to_owned() })
            }
            _ => {
                self.reader.wrong_with_help(
                    entry.value.span(),
                    "this names no identity",
                    "write \"issuer:subject\"",
                );
                None
            }
        }
    }

    fn setting(&mut self, entries: &Entries<'s>) -> Option<Setting> {
        let Party { issuer, subject } = match entries.get("as") {
            Some(entry) => self.party(entry)?,
            None => Party { issuer: "test".to_owned(), subject: "agent".to_owned() },
        };
        let on_behalf_of = match entries.get("on_behalf_of") {
            Some(entry) => Some(self.party(entry)?),
            None => None,
        };
        let mut attributes = BTreeMap::new();
        if let Some(entry) = entries.get("claims") {
            let declared: Vec<&str> = self.manifest.claims.iter().map(String::as_str).collect();
            for claim in self.reader.table(entry).map(reader::entries).unwrap_or_default() {
                if !declared.contains(&claim.key) {
                    self.reader.unknown(claim.key_range.clone(), "claim", claim.key, &declared);
                } else if let Some(value) = self.reader.string(&claim) {
                    attributes.insert(claim.key.to_owned(), value.to_owned());
                }
            }
        }
        let method = self.word(entries, "method", &Method::ALL.map(Method::as_str), |word| {
            Method::ALL.into_iter().find(|method| method.as_str() == word)
        });
        let mut client_address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        if let Some(entry) = entries.get("address") {
            match self.reader.string(entry)?.parse() {
                Ok(address) => client_address = address,
                Err(_) => self.reader.wrong(entry.value.span(), "address must be an IP address"),
            }
        }
        Some(Setting {
            identity: Identity {
                issuer,
                subject,
                name: None,
                groups: self
                    .words(entries, "groups")
                    .into_iter()
                    .map(|(group, _)| group.to_owned())
                    .collect(),
                attributes,
                token_id: None,
                on_behalf_of,
            },
            application_name: self.text(entries, "application").unwrap_or("test").to_owned(),
            client_address,
            tls: self.flag(entries, "tls", true),
            method: method.unwrap_or(Method::Token),
            now: self.now(entries)?,
            approved_by: self.approvers(entries, "approved_by"),
            command: self.text(entries, "command").unwrap_or_default().to_owned(),
            has_where: self.flag(entries, "has_where", true),
            row_locks: self.flag(entries, "row_locks", false),
        })
    }

    fn now(&mut self, entries: &Entries<'s>) -> Option<SystemTime> {
        let Some(entry) = entries.get("now") else {
            return Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(NOW_SECONDS));
        };
        let text = match entry.value.get_ref().as_datetime() {
            Some(datetime) => datetime.to_string(),
            None => self.reader.string(entry)?.to_owned(),
        };
        let now = text.parse::<jiff::Timestamp>().ok().map(SystemTime::from);
        if now.is_none() {
            let help = "write it with its offset: 2026-01-31T08:00:00Z";
            self.reader.wrong_with_help(entry.value.span(), "now must be a moment", help);
        }
        now
    }

    fn approvers(&mut self, entries: &Entries<'s>, key: &str) -> BTreeSet<String> {
        let known = self.manifest.approver_words();
        let mut approvers = BTreeSet::new();
        for (name, range) in self.words(entries, key) {
            if known.contains(&name) {
                approvers.insert(name.to_owned());
            } else {
                self.reader.unknown(range, "approver group", name, &known);
            }
        }
        approvers
    }

    fn expectation(&mut self, entries: &Entries<'s>) -> Option<Expectation> {
        if !entries.contains_key("expect") {
            self.reader.wrong_with_help(
                self.range.clone(),
                "the test expects nothing",
                "add expect = \"allow\", \"mask\", \"hold\" or \"deny\"",
            );
            return None;
        }
        let verdicts = ["allow", "mask", "hold", "deny"];
        let verdict = self
            .word(entries, "expect", &verdicts, |word| verdicts.contains(&word).then(|| word.to_owned()))?;
        let mask = self
            .word(entries, "mask", &Mask::KINDS, |word| Mask::KINDS.contains(&word).then(|| word.to_owned()));
        let mut masked = None;
        if entries.contains_key("masked") {
            let mut columns = BTreeSet::new();
            for (column, range) in self.words(entries, "masked") {
                match path::split_names(column) {
                    Ok(parts) if parts.len() == 3 => {
                        columns.insert(column.to_owned());
                    }
                    _ => self.reader.wrong(range, "masked must name columns by schema.relation.column"),
                }
            }
            masked = Some(columns);
        }
        let approvers = entries.contains_key("approvers").then(|| self.approvers(entries, "approvers"));
        let hold = entries.get("hold").and_then(|entry| approvers::duration(self.reader, entry, HOLD_MAX));
        let in_transaction =
            self.word(entries, "in_transaction", &InTransaction::WORDS, InTransaction::from_word);
        for key in ["hold", "in_transaction"] {
            if let Some(entry) = entries.get(key).filter(|_| verdict != "hold") {
                let message = format!("{key} has no meaning where nothing is held");
                self.reader.wrong_with_help(entry.key_range.clone(), message, "expect = \"hold\"");
            }
        }
        let rules = self.words(entries, "rules").into_iter().map(|(rule, _)| rule.to_owned()).collect();
        Some(Expectation { verdict, mask, masked, approvers, hold, in_transaction, rules })
    }

    /// Reads every pair of an action and a resource.
    fn touches(&mut self, entries: &Entries<'s>) -> Option<Vec<Touch>> {
        if !entries.contains_key("action") {
            let help = "add sql = \"...\", or action = \"...\" and resource = \"...\"";
            self.reader.wrong_with_help(self.range.clone(), "the test does nothing", help);
            return None;
        }
        let before = self.reader.problems.len();
        let words: Vec<&str> = Action::all().map(Action::as_str).collect();
        let mut actions = Vec::new();
        for (word, range) in self.words(entries, "action") {
            match Action::from_word(word) {
                Some(action) => actions.push(action),
                None => self.reader.unknown(range, "action", word, &words),
            }
        }
        let mut resources = Vec::new();
        match entries.get("resource") {
            Some(entry) => {
                for (name, range) in self.reader.strings(entry) {
                    match self.resource(entries, name) {
                        Ok(resource) => resources.push(resource),
                        Err(error) => {
                            let help = "write schema, schema.relation, schema.relation.column or schema.function(); \
                                        without resource, the database itself";
                            self.reader.wrong_with_help(
                                range,
                                format!("{name:?} names no resource: {error}"),
                                help,
                            );
                        }
                    }
                }
            }
            None => resources.push(Resource::Database),
        }
        let mut touches = Vec::new();
        for action in &actions {
            for resource in &resources {
                if action.applies_to().contains(&resource.resource_type()) {
                    touches.push(Touch { action: *action, resource: resource.clone() });
                } else {
                    let kinds: Vec<_> =
                        action.applies_to().iter().map(|kind| ResourceType::as_str(*kind)).collect();
                    self.reader.wrong_with_help(
                        self.range.clone(),
                        format!(
                            "{action} can't be asked of {}",
                            crate::decide::reference(resource, self.database)
                        ),
                        format!("it is asked of: {}", kinds.join(", ")),
                    );
                }
            }
        }
        if touches.is_empty() && self.reader.problems.len() == before {
            self.reader.wrong(self.range.clone(), "the test does nothing: action or resource is empty");
        }
        Some(touches)
    }

    fn resource(&mut self, entries: &Entries<'s>, name: &str) -> Result<Resource, String> {
        let (name, function) = match name.strip_suffix("()") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let parts = path::split_names(name).map_err(|error| error.to_string())?;
        let kinds = RelationKind::all();
        let kind = self.word(entries, "kind", &kinds.map(RelationKind::as_str), |word| {
            kinds.into_iter().find(|kind| kind.as_str() == word)
        });
        let temporary = self.flag(entries, "temporary", false);
        let persistence = if temporary { Persistence::Temporary } else { Persistence::Permanent };
        let facts = |relation: &QualifiedName| {
            RelationFacts::new(relation, kind.unwrap_or(RelationKind::Table), persistence)
        };
        let qualified =
            |schema: &String, name: &String| QualifiedName { schema: schema.clone(), name: name.clone() };
        match (parts.as_slice(), function) {
            ([schema], false) => Ok(Resource::Schema { name: schema.clone() }),
            ([schema, relation], false) => {
                let name = qualified(schema, relation);
                Ok(Resource::Relation { facts: facts(&name), name })
            }
            ([schema, relation, column], false) => {
                let relation = qualified(schema, relation);
                let tags = self.words(entries, "tags").into_iter().map(|(tag, _)| tag.to_owned()).collect();
                Ok(Resource::Column { facts: facts(&relation), relation, column: column.clone(), tags })
            }
            ([schema, function], true) => {
                let name = qualified(schema, function);
                Ok(Resource::Function { facts: self.function(entries, &name), name })
            }
            (parts, _) => Err(format!("it has {} parts", parts.len())),
        }
    }

    fn function(&mut self, entries: &Entries<'s>, name: &QualifiedName) -> FunctionFacts {
        let kinds = Volatility::all();
        let volatility = self.word(entries, "volatility", &kinds.map(Volatility::as_str), |word| {
            kinds.into_iter().find(|kind| kind.as_str() == word)
        });
        let definer = self.flag(entries, "security_definer", false);
        let security = if definer { FunctionSecurity::Definer } else { FunctionSecurity::Invoker };
        let builtin = self.flag(entries, "builtin", name.schema == "pg_catalog");
        let oid = if builtin { Oid(1) } else { Oid::FIRST_NORMAL };
        FunctionFacts::new(&Declared {
            name,
            oid,
            arguments: None,
            language: if builtin { Language::Internal } else { Language::Procedural },
            volatility: volatility.unwrap_or(Volatility::Volatile),
            security,
        })
    }
}

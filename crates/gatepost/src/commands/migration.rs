//! `gatepost audit report --migration`: who still uses legacy accounts, and what another policy would refuse them. Reads the
//! journal's files and a bundle; asks no gateway and no database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use audit::Time;
use journal::reader::Reader;
use model::{Identity, Method, Oid, QualifiedName};
use policy::{
    Action, Bundle, Context, Declared, FunctionFacts, FunctionSecurity, Language, PartVerdict, Persistence,
    RelationFacts, RelationKind, Request, Resource, SessionFacts, StatementFacts, Touch, Volatility,
};
use serde_json::{Value, json};

use crate::failure::{Failure, Status};
use crate::output::{Cell, Format, Out, Tone};

/// What to report, and what to compare with.
pub(crate) struct Wanted {
    pub(crate) since: Option<Time>,
    pub(crate) until: Option<Time>,
    pub(crate) database: Option<String>,
    pub(crate) bundle: Option<PathBuf>,
    /// The groups of every token, where an account has none of its own here.
    pub(crate) groups: Vec<String>,
    /// The groups of single accounts' tokens.
    pub(crate) by_account: BTreeMap<String, BTreeSet<String>>,
}

/// Addresses, applications and refused touches that are kept for each account; of more, only how many there were is known.
const KEPT_MAX: usize = 1000;
/// Decisions that are remembered.
const DECISIONS_MAX: usize = 50_000;
/// Of a list, what a table shows.
const SHOWN_MAX: usize = 3;

/// What is known of an account's use of a database.
#[derive(Default)]
struct Use {
    owner: Option<String>,
    until: Option<String>,
    sessions: u64,
    statements: u64,
    /// Refused by the policy in force, or would have been if it were enforced.
    refused: u64,
    /// Logins after its deadline.
    turned_away: u64,
    first: Option<Time>,
    last: Option<Time>,
    addresses: BTreeMap<String, u64>,
    applications: BTreeMap<String, u64>,
    would_refuse: u64,
    would_mask: u64,
    /// Touches that the other policy refuses, by how many statements have them.
    what: BTreeMap<String, u64>,
}

type Uses = BTreeMap<(String, String), Use>;

pub(crate) fn run(dir: &Path, wanted: &Wanted, format: Format) -> Result<Status, Failure> {
    let mut reader = Reader::open_from(dir, audit::Seq(0)).map_err(|error| Failure::of(&error))?;
    let mut other = Other { wanted, bundle: None, known: HashMap::new() };
    let mut uses = Uses::new();
    while let Some(record) = reader.read().map_err(|error| Failure::of(&error))? {
        let early = wanted.since.is_some_and(|since| record.time < since);
        let late = wanted.until.is_some_and(|until| record.time >= until);
        if early || late {
            continue;
        }
        let Ok(value) = serde_json::from_slice::<Value>(record.payload) else { continue };
        take(&value, record.time, &mut uses, &mut other)?;
    }
    show(&uses, wanted.bundle.is_some(), format)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn take(value: &Value, time: Time, uses: &mut Uses, other: &mut Other<'_>) -> Result<(), Failure> {
    let event = text(value, "event");
    let identity = match event {
        "session_started" | "statement" => value.get("identity").unwrap_or(&Value::Null),
        // Here issuer and subject stand alone.
        "authentication_failed" => value,
        _ => return Ok(()),
    };
    let database = text(value, "database");
    let wanted = other.wanted.database.as_deref().is_none_or(|wanted| wanted == database);
    if text(identity, "issuer") != Identity::LEGACY || !wanted {
        return Ok(());
    }
    let account = text(identity, "subject");
    let found = uses.entry((account.to_owned(), database.to_owned())).or_default();
    found.first = found.first.or(Some(time));
    found.last = Some(time);
    count(&mut found.addresses, &address(value).map_or_else(String::new, |ip| ip.to_string()));
    match event {
        "session_started" => {
            found.sessions += 1;
            let attribute = |name: &str| {
                let attribute = identity.get("attributes").and_then(|all| all.get(name));
                attribute.and_then(Value::as_str).map(str::to_owned)
            };
            (found.owner, found.until) = (attribute("owner"), attribute("until"));
            count(&mut found.applications, text(value, "application_name"));
        }
        "authentication_failed" => found.turned_away += 1,
        _ => {
            found.statements += 1;
            let verdict = text(value, "verdict").trim_start_matches("observed-");
            found.refused += u64::from(matches!(verdict, "deny" | "hold"));
            let decided = other.decide(account, database, identity, value)?;
            found.would_refuse += u64::from(!decided.refused.is_empty());
            found.would_mask += u64::from(decided.refused.is_empty() && decided.masked);
            decided.refused.iter().for_each(|what| count(&mut found.what, what));
        }
    }
    Ok(())
}

fn count(counts: &mut BTreeMap<String, u64>, what: &str) {
    if what.is_empty() || (counts.len() >= KEPT_MAX && !counts.contains_key(what)) {
        return;
    }
    *counts.entry(what.to_owned()).or_default() += 1;
}

fn address(value: &Value) -> Option<IpAddr> {
    text(value, "client").parse::<SocketAddr>().ok().map(|client| client.ip())
}

/// What another policy makes of a statement.
#[derive(Clone, Default)]
struct Decided {
    refused: Vec<String>,
    masked: bool,
}

/// The policy to compare with.
struct Other<'a> {
    wanted: &'a Wanted,
    /// For which database it was loaded.
    bundle: Option<Bundle>,
    known: HashMap<String, Decided>,
}

impl Other<'_> {
    /// Decides what a statement touched, as for a token of the account's successor.
    fn decide(
        &mut self,
        account: &str,
        database: &str,
        identity: &Value,
        statement: &Value,
    ) -> Result<Decided, Failure> {
        let Some(folder) = &self.wanted.bundle else { return Ok(Decided::default()) };
        let bundle = match self.bundle.take() {
            Some(bundle) if bundle.database() != database => {
                return Err(Failure::usage(format!(
                    "legacy accounts used several databases, and --bundle is for one; say with --database which: \"{}\", \"{database}\"",
                    bundle.database()
                )));
            }
            Some(bundle) => bundle,
            None => policy::load(folder, database).map_err(|error| Failure::new(error.to_string()))?,
        };
        let bundle = self.bundle.insert(bundle);
        let decision = statement.get("decision").unwrap_or(&Value::Null);
        let application = text(statement, "application_name");
        let host = address(statement).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let key = json!([account, database, application, host.to_string(), decision]).to_string();
        if let Some(decided) = self.known.get(&key) {
            return Ok(decided.clone());
        }
        let mut recorded = BTreeSet::new();
        if let Some(Value::Array(groups)) = identity.get("groups") {
            recorded.extend(groups.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        let groups = self.wanted.by_account.get(account).cloned().unwrap_or_else(|| {
            if self.wanted.groups.is_empty() {
                recorded
            } else {
                self.wanted.groups.iter().cloned().collect()
            }
        });
        let identity = successor(account, groups);
        let command = text(decision, "kind").to_uppercase();
        let touches: Vec<(String, Option<Touch>)> = decision
            .get("touches")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .flat_map(touches)
            .collect();
        let request = Request {
            identity: &identity,
            database,
            context: Context {
                statement: StatementFacts { command: &command, has_where: true, row_locks: false },
                session: SessionFacts {
                    application_name: application,
                    client_address: host,
                    tls: true,
                    method: Method::Token,
                },
                now: SystemTime::now(),
                approved_by: &BTreeSet::new(),
            },
            touches: &touches.iter().filter_map(|(_, touch)| touch.clone()).collect::<Vec<_>>(),
        };
        let mut parts = policy::decide(bundle, &request).parts.into_iter();
        let mut decided = Decided::default();
        for (what, touch) in touches {
            // What can't be read again would be refused: nothing is known that allows it.
            let verdict = touch.and_then(|_| parts.next()).map_or(PartVerdict::Deny, |part| part.verdict);
            decided.masked |= verdict.mask().is_some();
            if matches!(verdict, PartVerdict::Deny | PartVerdict::Hold { .. }) {
                decided.refused.push(what);
            }
        }
        if self.known.len() >= DECISIONS_MAX {
            self.known.clear();
        }
        self.known.insert(key, decided.clone());
        Ok(decided)
    }
}

/// Whoever comes with a token in the account's place.
fn successor(account: &str, groups: BTreeSet<String>) -> Identity {
    Identity {
        issuer: "token".to_owned(),
        subject: account.to_owned(),
        name: None,
        groups,
        attributes: BTreeMap::new(),
        token_id: None,
        on_behalf_of: None,
    }
}

/// Reads recorded touches back, one for each column, in words and as policy has them.
///
/// A record has names and no facts: relations are taken for permanent tables, and functions for the overload that can do most, as in
/// a bundle's tests.
fn touches(recorded: &Value) -> Vec<(String, Option<Touch>)> {
    let (word, kind, name) = (text(recorded, "action"), text(recorded, "kind"), text(recorded, "name"));
    let columns = recorded.get("columns").and_then(Value::as_array);
    let columns: Vec<&str> = columns.into_iter().flatten().filter_map(Value::as_str).collect();
    let qualified = || {
        let (schema, name) = name.split_once('.')?;
        Some(QualifiedName { schema: schema.to_owned(), name: name.to_owned() })
    };
    let facts = |name: &QualifiedName| RelationFacts::new(name, RelationKind::Table, Persistence::Permanent);
    let resources: Vec<(String, Option<Resource>)> = match kind {
        "relation" if !columns.is_empty() => columns
            .iter()
            .map(|column| {
                let column_of = |relation: QualifiedName| Resource::Column {
                    facts: facts(&relation),
                    relation,
                    column: (*column).to_owned(),
                    tags: Vec::new(),
                };
                (format!("{word} {name}.{column}"), qualified().map(column_of))
            })
            .collect(),
        "relation" => {
            let relation = |name: QualifiedName| Resource::Relation { facts: facts(&name), name };
            vec![(format!("{word} {name}"), qualified().map(relation))]
        }
        "function" => {
            let function = |name: QualifiedName| Resource::Function { facts: function(&name), name };
            vec![(format!("{word} {name}()"), qualified().map(function))]
        }
        "schema" => vec![(format!("{word} {name}"), Some(Resource::Schema { name: name.to_owned() }))],
        "database" => vec![(word.to_owned(), Some(Resource::Database))],
        _ => vec![(format!("{word} {kind} {name}"), None)],
    };
    let action = Action::from_word(word);
    let touch = |resource: Option<Resource>| Some(Touch { action: action?, resource: resource? });
    resources.into_iter().map(|(what, resource)| (what, touch(resource))).collect()
}

fn function(name: &QualifiedName) -> FunctionFacts {
    let builtin = name.schema == "pg_catalog";
    FunctionFacts::new(&Declared {
        name,
        oid: if builtin { Oid(1) } else { Oid::FIRST_NORMAL },
        arguments: None,
        language: if builtin { Language::Internal } else { Language::Procedural },
        volatility: Volatility::Volatile,
        security: FunctionSecurity::Invoker,
    })
}

fn show(uses: &Uses, compared: bool, format: Format) -> Result<Status, Failure> {
    let mut headings = vec![
        "account",
        "database",
        "owner",
        "until",
        "sessions",
        "statements",
        "first_seen",
        "last_seen",
        "addresses",
        "applications",
        "turned_away",
        "refused",
    ];
    if compared {
        headings.extend(["would_refuse", "would_mask", "what"]);
    }
    let rows: Vec<Vec<Cell>> = uses.iter().map(|(of, used)| row(of, used, compared, format)).collect();
    Out::new().table(format, &headings, &rows)?;
    Ok(Status::Success)
}

fn row((account, database): &(String, String), used: &Use, compared: bool, format: Format) -> Vec<Cell> {
    let Use { owner, until, sessions, statements, refused, turned_away, .. } = used;
    let Use { first, last, addresses, applications, would_refuse, would_mask, what, .. } = used;
    let time = |time: &Option<Time>| Cell::new(time.map(|time| time.to_string()));
    let mut cells = vec![
        Cell::new(account.as_str()),
        Cell::new(database.as_str()),
        Cell::new(owner.clone()),
        Cell::new(until.clone()),
        Cell::new(*sessions),
        Cell::new(*statements),
        time(first),
        time(last),
        list(addresses, format),
        list(applications, format),
        Cell::new(*turned_away),
        Cell::new(*refused),
    ];
    if compared {
        let tone = if *would_refuse > 0 { Tone::Bad } else { Tone::Good };
        cells.extend([Cell::toned(tone, *would_refuse), Cell::new(*would_mask), list(what, format)]);
    }
    cells
}

/// All with their counts in JSON; the most frequent in a table.
fn list(counts: &BTreeMap<String, u64>, format: Format) -> Cell {
    let mut sorted: Vec<(&String, &u64)> = counts.iter().collect();
    sorted.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
    if format == Format::Json {
        let all = sorted.iter().map(|(name, count)| json!({ "name": name, "count": count }));
        return Cell::new(Value::Array(all.collect()));
    }
    let mut shown: Vec<String> = sorted.iter().take(SHOWN_MAX).map(|(name, _)| (*name).clone()).collect();
    if let Some(more) = sorted.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        shown.push(format!("and {more} more"));
    }
    Cell::new(shown)
}

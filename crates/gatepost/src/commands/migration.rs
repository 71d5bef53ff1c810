//! `gatepost audit report --migration`: who still uses legacy accounts, and what another policy would refuse them. Reads the
//! journal's files and a bundle; asks no gateway and no database.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use audit::Time;
use journal::reader::Reader;
use model::Identity;
use policy::{Bundle, PartVerdict, Resource, Touch};
use serde_json::{Value, json};
use traffic::{Recorded, Recording, Unread};

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
    let mut other = Other { wanted, bundle: None };
    let mut uses = Uses::new();
    let mut recording = Recording::default();
    while let Some(record) = reader.read().map_err(|error| Failure::of(&error))? {
        let Ok(value) = serde_json::from_slice::<Value>(record.payload) else { continue };
        let recorded = recording.take(record.seq.0, record.time.to_system(), &value);
        let early = wanted.since.is_some_and(|since| record.time < since);
        let late = wanted.until.is_some_and(|until| record.time >= until);
        if early || late {
            continue;
        }
        take(&value, recorded.as_ref(), record.time, &mut uses, &mut other)?;
    }
    show(&uses, wanted.bundle.is_some(), format)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn take(
    value: &Value,
    recorded: Option<&Result<Recorded, Unread>>,
    time: Time,
    uses: &mut Uses,
    other: &mut Other<'_>,
) -> Result<(), Failure> {
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
            let Some(recorded) = recorded else { return Ok(()) };
            let decided = other.decide(account, database, recorded)?;
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
#[derive(Default)]
struct Decided {
    refused: Vec<String>,
    masked: bool,
}

/// The policy to compare with.
struct Other<'a> {
    wanted: &'a Wanted,
    /// For which database it was loaded.
    bundle: Option<Bundle>,
}

impl Other<'_> {
    /// Decides what a statement touched, as for a token of the account's successor.
    fn decide(
        &mut self,
        account: &str,
        database: &str,
        recorded: &Result<Recorded, Unread>,
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
        let recorded = match recorded {
            Ok(recorded) => recorded.clone(),
            // What can't be read again would be refused: nothing is known that allows it.
            Err(_) => {
                return Ok(Decided { refused: vec!["what was not understood".to_owned()], masked: false });
            }
        };
        let groups = self.wanted.by_account.get(account).cloned().unwrap_or_else(|| {
            if self.wanted.groups.is_empty() {
                recorded.identity.groups.clone()
            } else {
                self.wanted.groups.iter().cloned().collect()
            }
        });
        let recorded = recorded.by_token(successor(account, groups));
        let mut decided = Decided::default();
        for (touch, part) in recorded.touches.iter().zip(recorded.decide(bundle, &BTreeSet::new()).parts) {
            decided.masked |= part.verdict.mask().is_some();
            if matches!(part.verdict, PartVerdict::Deny | PartVerdict::Hold { .. }) {
                decided.refused.push(words(touch));
            }
        }
        Ok(decided)
    }
}

/// What is touched: `select public.customers.name`.
fn words(Touch { action, resource }: &Touch) -> String {
    match resource {
        Resource::Database => action.to_string(),
        Resource::Schema { name } => format!("{action} {name}"),
        Resource::Relation { name, .. } => format!("{action} {name}"),
        Resource::Column { relation, column, .. } => format!("{action} {relation}.{column}"),
        Resource::Function { name, .. } => format!("{action} {name}()"),
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

//! `[limits]` of `bundle.toml`: how much the members of a group may take, and which limit holds for whom. Counts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use toml::de::DeValue;

use crate::approvers::ApproverGroup;
use crate::problem::{Problem, Source};
use crate::reader::{self, Entry, Reader};

/// The table that holds for identities of which no group names a limit.
const DEFAULT: &str = "default";
/// What a group writes that is free of a limit which `default` names.
const UNLIMITED: &str = "unlimited";
/// The largest number that a limit may be: beyond this it is a slip of the pen.
const COUNT_MAX: u64 = 1 << 53;
const TIME_MAX: Duration = Duration::from_secs(30 * 86400);

/// What is limited. The order is that of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// Sessions at the same time.
    Sessions,
    /// Statements begun within any minute.
    StatementsPerMinute,
    /// Rows of one statement's result, or that it copies.
    RowsPerStatement,
    /// Bytes of those rows, as they are on the wire.
    BytesPerStatement,
    /// Rows of all statements of a day (UTC).
    RowsPerDay,
    /// Bytes of those rows.
    BytesPerDay,
    /// How long a statement may take.
    StatementTimeout,
    /// How long a session may do nothing.
    IdleTimeout,
    /// How long a session may do nothing while a transaction is open.
    IdleInTransactionTimeout,
}

impl LimitKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Sessions,
        Self::StatementsPerMinute,
        Self::RowsPerStatement,
        Self::BytesPerStatement,
        Self::RowsPerDay,
        Self::BytesPerDay,
        Self::StatementTimeout,
        Self::IdleTimeout,
        Self::IdleInTransactionTimeout,
    ];

    /// Returns the key in `bundle.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::StatementsPerMinute => "statements_per_minute",
            Self::RowsPerStatement => "rows_per_statement",
            Self::BytesPerStatement => "bytes_per_statement",
            Self::RowsPerDay => "rows_per_day",
            Self::BytesPerDay => "bytes_per_day",
            Self::StatementTimeout => "statement_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::IdleInTransactionTimeout => "idle_in_transaction_timeout",
        }
    }

    const fn unit(self) -> Unit {
        match self {
            Self::Sessions | Self::StatementsPerMinute | Self::RowsPerStatement | Self::RowsPerDay => {
                Unit::Count
            }
            Self::BytesPerStatement | Self::BytesPerDay => Unit::Bytes,
            Self::StatementTimeout | Self::IdleTimeout | Self::IdleInTransactionTimeout => Unit::Time,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Count,
    Bytes,
    Time,
}

/// A limit that holds for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// The most that is let pass; of a time, seconds.
    pub max: u64,
    /// The group whose limit it is; `None` for `[limits.default]`.
    pub group: Option<Arc<str>>,
}

impl Limit {
    /// Returns the limit of a time.
    pub const fn duration(&self) -> Duration {
        Duration::from_secs(self.max)
    }

    /// Says whose limit it is, as a part of a sentence.
    pub fn whose(&self) -> String {
        whose(self.group.as_deref())
    }
}

fn whose(group: Option<&str>) -> String {
    group.map_or_else(|| "everybody".to_owned(), |group| format!("group \"{group}\""))
}

/// The largest cost that the planner may expect of a statement, and what becomes of one that it expects more of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostLimit {
    /// In the planner's unit, one page read in sequence.
    pub max: f64,
    /// `None`: refused. Else the approver group that may allow it.
    pub approval: Option<Arc<str>>,
    /// The group whose limit it is; `None` for `[limits.default]`.
    pub group: Option<Arc<str>>,
}

impl CostLimit {
    /// Says whose limit it is, as a part of a sentence.
    pub fn whose(&self) -> String {
        whose(self.group.as_deref())
    }
}

/// The limits that hold for somebody.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    held: BTreeMap<LimitKind, Limit>,
    cost: Option<CostLimit>,
}

impl Limits {
    /// Returns a limit, if there is one.
    pub fn get(&self, kind: LimitKind) -> Option<&Limit> {
        self.held.get(&kind)
    }

    /// Returns the limit of the estimated cost, if there is one.
    pub fn cost(&self) -> Option<&CostLimit> {
        self.cost.as_ref()
    }

    /// Returns whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.cost.is_none()
    }

    /// Returns a line for each limit, for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .held
            .iter()
            .map(|(kind, limit)| {
                let unit = if kind.unit() == Unit::Time { " s" } else { "" };
                format!("{} = {}{unit} ({})", kind.as_str(), limit.max, limit.whose())
            })
            .collect();
        lines.extend(self.cost.as_ref().map(ToString::to_string));
        lines
    }
}

impl fmt::Display for CostLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cost = {}", self.max)?;
        if let Some(approvers) = &self.approval {
            write!(f, ", then approval by {approvers}")?;
        }
        write!(f, " ({})", self.whose())
    }
}

impl Serialize for Limits {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        for (kind, limit) in &self.held {
            map.serialize_entry(kind.as_str(), limit)?;
        }
        if let Some(cost) = &self.cost {
            map.serialize_entry("cost", cost)?;
        }
        map.end()
    }
}

/// What one table says; a limit that it doesn't name is left to others.
#[derive(Clone, Debug, Default)]
struct Table {
    /// `None`: unlimited.
    held: BTreeMap<LimitKind, Option<u64>>,
    cost: Option<Option<(f64, Option<Arc<str>>)>>,
}

/// `[limits]` as written.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitTables {
    default: Table,
    groups: BTreeMap<Arc<str>, Table>,
}

impl LimitTables {
    /// Returns what holds for a member of these groups: of each limit the most generous of those that its groups name; where none
    /// names it, the default's.
    pub(crate) fn of(&self, groups: &BTreeSet<String>) -> Limits {
        let named: Vec<_> = self.groups.iter().filter(|(name, _)| groups.contains(&***name)).collect();
        let mut limits = Limits::default();
        for kind in LimitKind::ALL {
            let mine = named.iter().filter_map(|(name, table)| Some((table.held.get(&kind)?, *name)));
            let widest = mine.max_by_key(|(max, _)| max.unwrap_or(u64::MAX));
            let chosen = match widest {
                Some((max, name)) => max.map(|max| Limit { max, group: Some(name.clone()) }),
                None => self.default.held.get(&kind).copied().flatten().map(|max| Limit { max, group: None }),
            };
            limits.held.extend(chosen.map(|limit| (kind, limit)));
        }
        let mine = named.iter().filter_map(|(name, table)| Some((table.cost.as_ref()?, *name)));
        // At the same cost, what may be approved is wider than what is refused.
        let rank = |cost: &Option<(f64, Option<Arc<str>>)>| {
            cost.as_ref().map_or((f64::INFINITY, true), |(max, approval)| (*max, approval.is_some()))
        };
        let widest = mine.max_by(|(a, _), (b, _)| {
            let (a, b) = (rank(a), rank(b));
            a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
        });
        let (cost, group) = match widest {
            Some((cost, name)) => (cost.clone(), Some(name.clone())),
            None => (self.default.cost.clone().flatten(), None),
        };
        limits.cost = cost.map(|(max, approval)| CostLimit { max, approval, group });
        limits
    }

    /// Returns whether anybody's day is limited.
    pub(crate) fn count_days(&self) -> bool {
        let daily = |table: &Table| {
            [LimitKind::RowsPerDay, LimitKind::BytesPerDay]
                .iter()
                .any(|kind| table.held.get(kind).is_some_and(Option::is_some))
        };
        daily(&self.default) || self.groups.values().any(daily)
    }

    /// Reads `[limits]`.
    pub(crate) fn read(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Self {
        let mut tables = Self::default();
        for entry in reader.table(entry).map(reader::entries).unwrap_or_default() {
            if !reader.is_word(entry.key, entry.key_range.clone(), "a group") {
                continue;
            }
            let table = table(reader, &entry);
            if entry.key == DEFAULT {
                tables.default = table;
            } else {
                tables.groups.insert(entry.key.into(), table);
            }
        }
        tables
    }

    /// Reports approver groups that `[approvers]` doesn't have. `[limits]` may come first in the file.
    pub(crate) fn check_approvers(
        &self,
        reader: &mut Reader<'_>,
        limits: Option<&toml::Spanned<DeValue<'_>>>,
        approvers: &[ApproverGroup],
    ) {
        let Some(tables) = limits.and_then(|limits| limits.get_ref().as_table()) else { return };
        let words: Vec<&str> = approvers.iter().map(|approver| approver.name.as_str()).collect();
        for entry in reader::entries(tables) {
            let Some(then) = entry
                .value
                .get_ref()
                .as_table()
                .and_then(|table| table.get("cost"))
                .and_then(|cost| cost.get_ref().as_table())
                .and_then(|cost| cost.get("then"))
            else {
                continue;
            };
            let named = then.get_ref().as_str().and_then(|text| text.strip_prefix(APPROVAL));
            if let Some(named) = named.filter(|named| !words.contains(named)) {
                reader.unknown(then.span(), "approver group", named, &words);
            }
        }
    }

    /// Warns of groups that no rule names: most likely another name was meant.
    pub(crate) fn warn_of_strangers(
        &self,
        manifest: &Source,
        rules: &[Source],
        approvers: &[ApproverGroup],
        warnings: &mut Vec<Problem>,
    ) {
        for group in self.groups.keys() {
            let in_rules = format!("Group::{:?}", &**group);
            let known = rules.iter().any(|rule| rule.text.contains(&in_rules))
                || approvers.iter().any(|approver| approver.members.groups().iter().any(|of| *of == **group));
            if !known {
                let range = place_of(&manifest.text, group);
                let message = format!("no rule names the group {:?} that these limits are for", &**group);
                warnings.push(Problem::at(manifest, range, message));
            }
        }
    }
}

/// Where the table of a group is written.
fn place_of(text: &str, group: &str) -> Range<usize> {
    let quoted = format!("limits.{group:?}");
    let bare = format!("limits.{group}");
    text.find(&quoted)
        .map(|at| at..at + quoted.len())
        .or_else(|| text.find(&bare).map(|at| at..at + bare.len()))
        .unwrap_or(0..0)
}

const COST: &str = "cost";
const APPROVAL: &str = "approval:";

fn table(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Table {
    let mut keys: Vec<&str> = LimitKind::ALL.iter().map(|kind| kind.as_str()).collect();
    keys.push(COST);
    let mut table = Table::default();
    for entry in reader.table(entry).map(|table| reader.known(table, &keys)).unwrap_or_default() {
        let unlimited = entry.value.get_ref().as_str() == Some(UNLIMITED);
        match LimitKind::ALL.into_iter().find(|kind| kind.as_str() == entry.key) {
            Some(kind) if unlimited => drop(table.held.insert(kind, None)),
            Some(kind) => table.held.extend(amount(reader, &entry, kind.unit()).map(|max| (kind, Some(max)))),
            None if unlimited => table.cost = Some(None),
            None => table.cost = cost(reader, &entry).map(Some),
        }
    }
    table
}

/// Reads a size: a number of bytes, or `"16 MiB"`.
pub(crate) fn bytes(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<u64> {
    amount(reader, entry, Unit::Bytes)
}

fn amount(reader: &mut Reader<'_>, entry: &Entry<'_>, unit: Unit) -> Option<u64> {
    match unit {
        Unit::Count => reader.integer(entry, 1, COUNT_MAX),
        Unit::Bytes if entry.value.get_ref().is_integer() => reader.integer(entry, 1, COUNT_MAX),
        Unit::Bytes => {
            let bytes = reader::bytes(reader.string(entry)?).filter(|bytes| (1..=COUNT_MAX).contains(bytes));
            if bytes.is_none() {
                let help = format!("write \"50 MB\", \"16 MiB\", a number of bytes, or {UNLIMITED:?}");
                reader.wrong_with_help(entry.value.span(), format!("{} is no size", entry.key), help);
            }
            bytes
        }
        Unit::Time => {
            let time = reader::duration(reader.string(entry)?);
            let time = time.filter(|time| !time.is_zero() && *time <= TIME_MAX);
            if time.is_none() {
                let help = format!("write \"30s\", \"10m\", \"2h\", \"1d\" or {UNLIMITED:?}");
                reader.wrong_with_help(
                    entry.value.span(),
                    format!("{} must be from 1s to 30d", entry.key),
                    help,
                );
            }
            Some(time?.as_secs())
        }
    }
}

fn cost(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<(f64, Option<Arc<str>>)> {
    let fields = reader.table(entry)?;
    let mut max = None;
    let mut then = None;
    let before = reader.problems.len();
    for field in reader.known(fields, &["max", "then"]) {
        if field.key == "max" {
            let value = field.value.get_ref();
            let number = match (value.as_float(), value.as_integer()) {
                (Some(float), _) => float.as_str().replace('_', "").parse::<f64>().ok(),
                (_, Some(integer)) => integer.as_str().replace('_', "").parse::<f64>().ok(),
                _ => None,
            };
            max = number.filter(|number| number.is_finite() && *number > 0.0);
            if max.is_none() {
                reader.wrong(field.value.span(), "max must be a number above 0");
            }
        } else {
            let text = reader.string(&field)?;
            then = match (text, text.strip_prefix(APPROVAL)) {
                ("refuse", _) => Some(None),
                (_, Some(group)) if !group.is_empty() => Some(Some(group.into())),
                _ => {
                    let help = format!("write \"refuse\" or \"{APPROVAL}GROUP\", a group of [approvers]");
                    reader.wrong_with_help(field.value.span(), format!("then = {text:?} is not known"), help);
                    None
                }
            };
        }
    }
    if reader.problems.len() == before && (max.is_none() || then.is_none()) {
        let help = "write cost = { max = 1e6, then = \"refuse\" }";
        reader.wrong_with_help(entry.key_range.clone(), "cost needs max and then", help);
    }
    Some((max?, then?))
}

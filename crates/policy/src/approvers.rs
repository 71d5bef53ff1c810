//! `[approvers]` of `bundle.toml`, and what a rule says of the approval that it asks for. Knows groups by name; asks nobody.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use crate::reader::{self, Entry, Reader};

/// The most approver groups a bundle may have: each is a question asked when a statement is refused.
const APPROVERS_MAX: usize = 16;
/// The most groups of identities that one approver group names.
const MEMBERS_MAX: usize = 16;
/// The longest that a statement may be held, and that an approval may be kept for later.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(7 * 86400);
/// The longest that rows may be counted: what is counted is locked meanwhile.
const COUNT_MAX: Duration = Duration::from_secs(60);
/// How long a statement is held where nothing is said.
const HOLD: Duration = Duration::from_secs(600);
/// How long within a transaction, where that is allowed and nothing is said of how long: others may wait for its locks.
const HOLD_IN_TRANSACTION: Duration = Duration::from_secs(30);
/// How long an approval may be used by who did not wait for it, where nothing is said.
const USE_WITHIN: Duration = Duration::from_secs(3600);
/// How times are written.
const TIMES: &str = "write \"30s\", \"10m\", \"2h\" or \"1d\"";
/// The annotations that this file reads.
const HOLD_KEY: &str = "hold";
const IN_TRANSACTION_KEY: &str = "in_transaction";

/// Who may approve what a rule asks approval for, and on what terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApproverGroup {
    /// The name that rules put into `context.approved_by`.
    pub name: String,
    /// Whose members may approve.
    pub members: Members,
    /// How many of them must; of [`Members::All`], of each group.
    pub quorum: u32,
    /// How long the statement waits for them.
    pub hold: Duration,
    /// What becomes of a statement in an open transaction, whose locks would be held with it.
    pub in_transaction: InTransaction,
    /// How long it waits there, if it may; never longer than `hold`.
    pub hold_in_transaction: Duration,
    /// An approval must say why.
    pub reason: bool,
    /// How long rows may be counted by running the statement and rolling it back; `None`: they may not.
    pub count_rows: Option<Duration>,
    /// The identities' group whose members may have it run at once, to be reviewed afterwards.
    pub break_glass: Option<String>,
    /// How long after an approval it may be used, where nobody waits for it.
    pub use_within: Duration,
}

/// Groups of identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Members {
    /// A member of any of them counts.
    Any(Vec<String>),
    /// Each of them must approve by itself.
    All(Vec<String>),
}

impl Members {
    /// Returns the groups, in the order of the file.
    pub fn groups(&self) -> &[String] {
        match self {
            Self::Any(groups) | Self::All(groups) => groups,
        }
    }
}

impl fmt::Display for Members {
    /// Writes `a`, `a or b`, `a and b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(groups) => f.write_str(&groups.join(" or ")),
            Self::All(groups) => f.write_str(&groups.join(" and ")),
        }
    }
}

/// Whether a statement is held within an open transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InTransaction {
    /// It is refused there.
    #[default]
    Refuse,
    /// It is held there, for a shorter time.
    Hold,
}

impl InTransaction {
    pub(crate) const WORDS: [&str; 2] = ["refuse", "hold"];

    /// Returns the word that bundles use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Hold => "hold",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Refuse, Self::Hold].into_iter().find(|known| known.as_str() == word)
    }
}

/// What a rule that looks at `context.approved_by` says of the approval that it asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Terms {
    /// `@hold`: the longest that a statement waits for it.
    #[serde(
        rename = "hold_seconds",
        serialize_with = "maybe_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub hold: Option<Duration>,
    /// `@in_transaction`: in place of what the group says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_transaction: Option<InTransaction>,
}

impl Terms {
    /// Returns whether the rule says nothing of its own.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Terms {
    /// Writes `, hold 5m, in a transaction refuse`, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(hold) = self.hold {
            write!(f, ", hold {}", time(hold))?;
        }
        if let Some(in_transaction) = self.in_transaction {
            write!(f, ", in a transaction {}", in_transaction.as_str())?;
        }
        Ok(())
    }
}

impl ApproverGroup {
    /// Returns the group under the terms of rules that asked for it: of times the shortest; held within a transaction only if each
    /// of them says so, the group speaking for those that say nothing.
    #[must_use]
    pub(crate) fn under<'t>(&self, terms: impl Iterator<Item = &'t Terms>) -> Self {
        let mut group = self.clone();
        let mut said = Vec::new();
        for terms in terms {
            group.hold = terms.hold.map_or(group.hold, |hold| hold.min(group.hold));
            said.push(terms.in_transaction.unwrap_or(self.in_transaction));
        }
        group.hold_in_transaction = group.hold_in_transaction.min(group.hold);
        if said.contains(&InTransaction::Refuse) {
            group.in_transaction = InTransaction::Refuse;
        } else if !said.is_empty() {
            group.in_transaction = InTransaction::Hold;
        }
        group
    }

    /// Says on what terms it approves, in a line.
    pub fn terms(&self) -> String {
        let mut terms = vec![format!("waits {}", time(self.hold))];
        terms.push(match self.in_transaction {
            InTransaction::Refuse => "refused in a transaction".to_owned(),
            InTransaction::Hold => format!("in a transaction {}", time(self.hold_in_transaction)),
        });
        terms.push(format!("used within {} if nobody waits", time(self.use_within)));
        if self.reason {
            terms.push("with a reason".to_owned());
        }
        if let Some(limit) = self.count_rows {
            terms.push(format!("rows counted within {}", time(limit)));
        }
        if let Some(group) = &self.break_glass {
            terms.push(format!("glass broken by {group}"));
        }
        terms.join("; ")
    }
}

impl fmt::Display for ApproverGroup {
    /// Writes `2 of dba (dba)`, `1 of each of dba and owners (both)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = if matches!(self.members, Members::All(_)) { "each of " } else { "" };
        write!(f, "{} of {each}{} ({})", self.quorum, self.members, self.name)
    }
}

impl Serialize for ApproverGroup {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut group = serializer.serialize_struct("ApproverGroup", 11)?;
        group.serialize_field("name", &self.name)?;
        group.serialize_field("group", &self.members.to_string())?;
        group.serialize_field("quorum", &self.quorum)?;
        group.serialize_field("hold_seconds", &self.hold.as_secs())?;
        group.serialize_field("members", &self.members)?;
        group.serialize_field("in_transaction", &self.in_transaction)?;
        group.serialize_field("hold_in_transaction_seconds", &self.hold_in_transaction.as_secs())?;
        group.serialize_field("reason", &self.reason)?;
        group.serialize_field("count_rows_seconds", &self.count_rows.as_ref().map(Duration::as_secs))?;
        group.serialize_field("break_glass", &self.break_glass)?;
        group.serialize_field("use_within_seconds", &self.use_within.as_secs())?;
        group.end()
    }
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
fn maybe_seconds<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_some(&time.as_ref().map(Duration::as_secs))
}

/// Writes a time as bundles do: `90s`, `10m`, `1h`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86400, "d"), (3600, "h"), (60, "m")];
    match units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit)) {
        Some((unit, letter)) => format!("{}{letter}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

const KEYS: &[&str] = &[
    "group",
    "any",
    "all",
    "quorum",
    "hold",
    "in_transaction",
    "hold_in_transaction",
    "reason",
    "count_rows",
    "break_glass",
    "use_within",
];

/// Reads `[approvers]`.
pub(crate) fn approvers(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Vec<ApproverGroup> {
    let entries = reader.table(entry).map(reader::entries).unwrap_or_default();
    if entries.len() > APPROVERS_MAX {
        reader.wrong(
            entry.key_range.clone(),
            format!("{} approver groups are over the limit of {APPROVERS_MAX}", entries.len()),
        );
    }
    let mut approvers = Vec::new();
    for entry in entries {
        reader.is_word(entry.key, entry.key_range.clone(), "an approver group");
        approvers.extend(approver(reader, &entry));
    }
    approvers
}

fn approver(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<ApproverGroup> {
    let table = reader.table(entry)?;
    let mut members: Vec<(&str, Range<usize>, Members)> = Vec::new();
    let mut group = ApproverGroup {
        name: entry.key.to_owned(),
        members: Members::Any(Vec::new()),
        quorum: 1,
        hold: HOLD,
        in_transaction: InTransaction::Refuse,
        hold_in_transaction: HOLD_IN_TRANSACTION,
        reason: false,
        count_rows: None,
        break_glass: None,
        use_within: USE_WITHIN,
    };
    let mut within = None;
    for field in reader.known(table, KEYS) {
        match field.key {
            "group" => {
                let word = reader.word(&field).unwrap_or_default().to_owned();
                members.push(("group", field.key_range.clone(), Members::Any(vec![word])));
            }
            "any" => members.push(("any", field.key_range.clone(), Members::Any(groups(reader, &field)))),
            "all" => members.push(("all", field.key_range.clone(), Members::All(groups(reader, &field)))),
            "quorum" => {
                let quorum = reader.integer(&field, 1, 100).and_then(|quorum| u32::try_from(quorum).ok());
                group.quorum = quorum.unwrap_or(1);
            }
            "hold" => group.hold = duration(reader, &field, HOLD_MAX).unwrap_or(HOLD),
            "in_transaction" => group.in_transaction = in_transaction(reader, &field).unwrap_or_default(),
            "hold_in_transaction" => {
                within = duration(reader, &field, HOLD_MAX).map(|time| (time, field.value.span()));
            }
            "reason" => group.reason = reader.boolean(&field).unwrap_or(true),
            "count_rows" => group.count_rows = duration(reader, &field, COUNT_MAX),
            "break_glass" => group.break_glass = reader.word(&field).map(str::to_owned),
            _ => group.use_within = duration(reader, &field, HOLD_MAX).unwrap_or(USE_WITHIN),
        }
    }
    match within {
        Some((time, range)) if time >= group.hold => {
            let message = "hold_in_transaction must be shorter than hold: others may wait for its locks";
            reader.wrong_with_help(range, message, format!("hold is {}", self::time(group.hold)));
        }
        Some((time, _)) => group.hold_in_transaction = time,
        None => group.hold_in_transaction = HOLD_IN_TRANSACTION.min(group.hold),
    }
    group.members = one_of(reader, entry, members)?;
    Some(group)
}

/// Takes what says who approves, which must be said once.
fn one_of(
    reader: &mut Reader<'_>,
    entry: &Entry<'_>,
    mut members: Vec<(&str, Range<usize>, Members)>,
) -> Option<Members> {
    if let [(first, ..), (second, range, _), ..] = members.as_slice() {
        let message = format!("approver group {:?} has both {first} and {second}", entry.key);
        let help = "write group = \"a\", any = [\"a\", \"b\"] or all = [\"a\", \"b\"]";
        reader.wrong_with_help(range.clone(), message, help);
    }
    let Some((_, _, members)) = members.pop() else {
        let help = "add group = \"...\": the group whose members may approve; or any = [...], or all = [...]";
        reader.wrong_with_help(
            entry.key_range.clone(),
            format!("approver group {:?} has no group", entry.key),
            help,
        );
        return None;
    };
    Some(members)
}

fn groups(reader: &mut Reader<'_>, field: &Entry<'_>) -> Vec<String> {
    let mut groups = BTreeSet::new();
    let mut ordered = Vec::new();
    let before = reader.problems.len();
    for (group, range) in reader.strings(field) {
        if !groups.insert(group) {
            reader.wrong(range, format!("group {group:?} is named twice"));
        } else if reader.is_word(group, range, "a group") {
            ordered.push(group.to_owned());
        }
    }
    if reader.problems.len() == before && !(1..=MEMBERS_MAX).contains(&ordered.len()) {
        reader.wrong(field.value.span(), format!("{} must name 1 to {MEMBERS_MAX} groups", field.key));
    }
    ordered
}

fn in_transaction(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<InTransaction> {
    let word = reader.string(field)?;
    let read = InTransaction::from_word(word);
    if read.is_none() {
        reader.unknown(field.value.span(), field.key, word, &InTransaction::WORDS);
    }
    read
}

/// Reads a time from a second to `most`.
pub(crate) fn duration(reader: &mut Reader<'_>, field: &Entry<'_>, most: Duration) -> Option<Duration> {
    let read = within(reader.string(field)?, most);
    if read.is_none() {
        let message = format!("{} must be from 1s to {}", field.key, time(most));
        reader.wrong_with_help(field.value.span(), message, TIMES);
    }
    read
}

fn within(text: &str, most: Duration) -> Option<Duration> {
    reader::duration(text).filter(|read| !read.is_zero() && *read <= most)
}

/// What is wrong with a rule's annotation.
pub(crate) struct Wrong {
    /// The annotation.
    pub(crate) key: String,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// Reads what a rule's annotations say of its approval; `asks`: whether it looks at `context.approved_by` at all.
pub(crate) fn terms<'r>(
    annotations: impl Iterator<Item = (&'r str, &'r str)>,
    asks: bool,
) -> (Terms, Vec<Wrong>) {
    let mut terms = Terms::default();
    let mut wrong = Vec::new();
    for (key, value) in annotations {
        let problem = match key {
            HOLD_KEY => {
                terms.hold = within(value, HOLD_MAX);
                let message = || format!("@hold must be from 1s to {}, not {value:?}", time(HOLD_MAX));
                terms.hold.is_none().then(|| (message(), TIMES.to_owned()))
            }
            IN_TRANSACTION_KEY => {
                terms.in_transaction = InTransaction::from_word(value);
                let message = || format!("unknown in_transaction {value:?}");
                let help = || "write \"refuse\" or \"hold\"".to_owned();
                terms.in_transaction.is_none().then(|| (message(), help()))
            }
            "id" => continue,
            // other annotations are Cedar's way to leave a note, unless one of ours was meant
            _ => crate::problem::nearest(key, &["id", HOLD_KEY, IN_TRANSACTION_KEY])
                .map(|near| (format!("unknown annotation @{key}"), format!("did you mean @{near}?"))),
        };
        let idle = !asks && matches!(key, HOLD_KEY | IN_TRANSACTION_KEY);
        let problem = problem.or_else(|| {
            let message = format!("@{key} has no meaning: the rule asks no approval");
            idle.then(|| (message, "it asks by looking at context.approved_by".to_owned()))
        });
        wrong.extend(problem.map(|(message, help)| Wrong { key: key.to_owned(), message, help }));
    }
    (terms, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(hold: u64, in_transaction: InTransaction) -> ApproverGroup {
        ApproverGroup {
            name: "g".to_owned(),
            members: Members::Any(vec!["g".to_owned()]),
            quorum: 1,
            hold: Duration::from_secs(hold),
            in_transaction,
            hold_in_transaction: Duration::from_secs(30),
            reason: false,
            count_rows: None,
            break_glass: None,
            use_within: USE_WITHIN,
        }
    }

    fn terms(hold: Option<u64>, in_transaction: Option<InTransaction>) -> Terms {
        Terms { hold: hold.map(Duration::from_secs), in_transaction }
    }

    #[test]
    fn rules_shorten_and_never_lengthen() {
        let under = |terms: &[Terms]| group(600, InTransaction::Refuse).under(terms.iter()).hold.as_secs();
        assert_eq!(under(&[]), 600);
        assert_eq!(under(&[terms(Some(300), None), terms(Some(900), None), terms(None, None)]), 300);
        assert_eq!(under(&[terms(Some(900), None)]), 600);
        let short = group(600, InTransaction::Hold).under([terms(Some(10), None)].iter());
        assert_eq!(short.hold_in_transaction.as_secs(), 10);
    }

    #[test]
    fn within_a_transaction_a_statement_waits_only_if_every_rule_that_asks_says_so() {
        use InTransaction::{Hold, Refuse};
        let under = |of: InTransaction, said: &[Option<InTransaction>]| {
            let terms: Vec<Terms> = said.iter().map(|said| terms(None, *said)).collect();
            group(600, of).under(terms.iter()).in_transaction
        };
        assert_eq!(under(Refuse, &[Some(Hold)]), Hold);
        assert_eq!(under(Refuse, &[Some(Hold), None]), Refuse);
        assert_eq!(under(Hold, &[Some(Hold), None]), Hold);
        assert_eq!(under(Hold, &[Some(Hold), Some(Refuse)]), Refuse);
        assert_eq!(under(Hold, &[]), Hold);
        assert_eq!(under(Refuse, &[]), Refuse);
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for text in ["1s", "90s", "10m", "1h", "7d", "25h"] {
            assert_eq!(time(reader::duration(text).unwrap()), text);
        }
    }
}

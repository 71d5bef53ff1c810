//! What recorded statements would meet under another bundle. Knows decisions; prints nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use policy::{Bundle, Decision, PartVerdict, Resource, Verdict};

use crate::recorded::{Met, Recorded, Unread};

/// Differences that are kept apart; of more, only how many statements have one is known.
const DIFFERENCES_MAX: usize = 10_000;

/// What another bundle changes for a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// It would be refused.
    NewlyRefused,
    /// It would wait for approval, or for another approval.
    NewlyHeld,
    /// It came in clear, and would be masked; if it computes with the column, it may be refused.
    NewlyMasked,
    /// It was refused or held, and would run.
    NewlyAllowed,
    /// It ran after approval, and would run without.
    NoLongerHeld,
    /// It came masked, and would come in clear.
    NewlyClear,
}

impl Change {
    /// Returns every change, what takes away first.
    pub const fn all() -> [Self; 6] {
        [
            Self::NewlyRefused,
            Self::NewlyHeld,
            Self::NewlyMasked,
            Self::NewlyAllowed,
            Self::NoLongerHeld,
            Self::NewlyClear,
        ]
    }

    /// Returns the word that reports and the command line use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewlyRefused => "newly-refused",
            Self::NewlyHeld => "newly-held",
            Self::NewlyMasked => "newly-masked",
            Self::NewlyAllowed => "newly-allowed",
            Self::NoLongerHeld => "no-longer-held",
            Self::NewlyClear => "newly-clear",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::all().into_iter().find(|change| change.as_str() == word)
    }
}

/// What tells differences apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Changed {
    /// What changes.
    pub change: Change,
    /// Whose statements: `issuer:subject`.
    pub identity: String,
    /// The statement without its literals, or its command where the text can't be read with certainty.
    pub text: String,
    /// What makes the difference: touches refused or held, columns masked or clear.
    pub what: Vec<String>,
}

/// Statements with the same difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How many.
    pub statements: u64,
    /// The first one's record.
    pub first: u64,
    /// The last one's record.
    pub last: u64,
    /// When the last one was decided.
    pub last_time: SystemTime,
    /// What became of it when it was recorded.
    pub met: Met,
}

/// A bundle and what recorded statements would meet under it.
pub struct Comparison<'a> {
    bundle: &'a Bundle,
    /// Statements that were decided again.
    pub decided: u64,
    /// Of those, how many would meet what they met.
    pub unchanged: u64,
    /// Of those, how many were refused for a computation with a masked column, which their records don't show: not known.
    pub uncertain: u64,
    /// Of those, how many records lack facts that rules can ask for: taken as what can do most.
    pub inexact: u64,
    /// Statements that can't be decided again.
    pub unread: BTreeMap<Unread, u64>,
    /// The differences.
    pub differences: BTreeMap<Changed, Difference>,
    /// Statements with a difference, beyond those that are kept apart.
    pub more: BTreeMap<Change, u64>,
}

impl<'a> Comparison<'a> {
    /// Nothing compared yet.
    pub const fn new(bundle: &'a Bundle) -> Self {
        Self {
            bundle,
            decided: 0,
            unchanged: 0,
            uncertain: 0,
            inexact: 0,
            unread: BTreeMap::new(),
            differences: BTreeMap::new(),
            more: BTreeMap::new(),
        }
    }

    /// Decides a statement again.
    pub fn take(&mut self, statement: Result<Recorded, Unread>) {
        let recorded = match statement {
            Ok(recorded) => recorded,
            Err(why) => {
                *self.unread.entry(why).or_default() += 1;
                return;
            }
        };
        self.decided += 1;
        self.inexact += u64::from(!recorded.exact);
        match difference(self.bundle, &recorded) {
            Found::Same => self.unchanged += 1,
            Found::Uncertain => self.uncertain += 1,
            Found::Changed(changes) => changes.into_iter().for_each(|it| self.note(it, &recorded)),
        }
    }

    /// How many statements have this difference.
    pub fn count(&self, change: Change) -> u64 {
        let known = self.differences.iter().filter(|(changed, _)| changed.change == change);
        known.map(|(_, it)| it.statements).sum::<u64>() + self.more.get(&change).copied().unwrap_or(0)
    }

    fn note(&mut self, (change, what): (Change, Vec<String>), recorded: &Recorded) {
        let Recorded { seq, time, identity, command, text, met, .. } = recorded;
        let text = text.clone().unwrap_or_else(|| command.clone());
        let changed = Changed { change, identity: identity.to_string(), text, what };
        if self.differences.len() >= DIFFERENCES_MAX && !self.differences.contains_key(&changed) {
            *self.more.entry(change).or_default() += 1;
            return;
        }
        let difference = self.differences.entry(changed).or_insert_with(|| Difference {
            statements: 0,
            first: *seq,
            last: *seq,
            last_time: *time,
            met: met.clone(),
        });
        difference.statements += 1;
        (difference.last, difference.last_time) = (*seq, *time);
        difference.met = met.clone();
    }
}

enum Found {
    Same,
    Uncertain,
    Changed(Vec<(Change, Vec<String>)>),
}

fn difference(bundle: &Bundle, recorded: &Recorded) -> Found {
    let alone = recorded.decide(bundle, &BTreeSet::new());
    let approved = match &recorded.met {
        Met::Approved(by) => Some(recorded.decide(bundle, by)),
        _ => None,
    };
    let changed = |change, decision: &Decision| Found::Changed(vec![(change, obstacles(recorded, decision))]);
    match (&recorded.met, &alone.verdict, &approved) {
        (Met::Refused, Verdict::Deny, _) | (Met::Held, Verdict::Hold { .. }, _) => Found::Same,
        (_, Verdict::Deny, _) => changed(Change::NewlyRefused, &alone),
        (Met::Approved(_), Verdict::Allow, _) => Found::Changed(vec![(Change::NoLongerHeld, Vec::new())]),
        (Met::Approved(_), _, Some(decision)) if decision.verdict == Verdict::Allow => {
            masks(recorded, decision)
        }
        (_, Verdict::Hold { .. }, _) => changed(Change::NewlyHeld, &alone),
        (Met::Refused, Verdict::Allow, _) => {
            // Its touches alone may never have been what it was refused for.
            let still = masked(recorded, &alone).iter().any(|column| recorded.masked.contains(column));
            if still { Found::Uncertain } else { changed(Change::NewlyAllowed, &alone) }
        }
        (Met::Held, Verdict::Allow, _) => changed(Change::NewlyAllowed, &alone),
        (Met::Passed | Met::Observed, Verdict::Allow, _) => masks(recorded, &alone),
    }
}

fn masks(recorded: &Recorded, decision: &Decision) -> Found {
    let now = masked(recorded, decision);
    let list = |columns: Vec<&String>| columns.into_iter().cloned().collect::<Vec<_>>();
    let newly = list(now.difference(&recorded.masked).collect());
    let no_longer = list(recorded.masked.difference(&now).collect());
    let mut changes = Vec::new();
    if !newly.is_empty() {
        changes.push((Change::NewlyMasked, newly));
    }
    if !no_longer.is_empty() {
        changes.push((Change::NewlyClear, no_longer));
    }
    if changes.is_empty() { Found::Same } else { Found::Changed(changes) }
}

/// The columns that come masked, named as in records.
fn masked(recorded: &Recorded, decision: &Decision) -> BTreeSet<String> {
    let parts = recorded.touches.iter().zip(&decision.parts);
    parts
        .filter(|(_, part)| part.verdict.mask().is_some())
        .filter_map(|(touch, _)| match &touch.resource {
            Resource::Column { relation, column, .. } => Some(format!("{relation}.{column}")),
            _ => None,
        })
        .collect()
}

/// What stands in a statement's way: `delete on app.public.t: no rule permits ...`.
fn obstacles(recorded: &Recorded, decision: &Decision) -> Vec<String> {
    let parts = recorded.touches.iter().zip(&decision.parts);
    let mut found: Vec<String> = parts
        .filter_map(|(touch, part)| {
            let of = format!("{} {}", touch.action, touch.resource.path(&recorded.database));
            match &part.verdict {
                PartVerdict::Deny => Some(of),
                PartVerdict::Hold { approvers, .. } => Some(format!("{of}: {}", approvers.join(" and "))),
                PartVerdict::Allow | PartVerdict::Mask(_) => None,
            }
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

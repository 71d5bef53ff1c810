//! The least bundle that would have allowed what was done. Knows what policy refuses; what rules look like is for `cedar` to say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use policy::{Action, Bundle, LoadError, PartVerdict, Resource, Verdict};

use crate::cedar;
use crate::recorded::{Met, Recorded, Unread};

/// Statements that are told apart in comments, and kept for the proof.
const EXAMPLES_MAX: usize = 20_000;

/// Whom a bundle is suggested for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum For {
    /// One identity: `issuer:subject`.
    Identity(String),
    /// All whose token names this group.
    Group(String),
}

impl For {
    /// Whether the statement is one of theirs.
    pub fn is(&self, recorded: &Recorded) -> bool {
        match self {
            Self::Identity(name) => recorded.identity.to_string() == *name,
            Self::Group(name) => recorded.identity.groups.contains(name),
        }
    }
}

impl fmt::Display for For {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(name) => write!(f, "identity {name}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

/// A bundle and what it comes from.
pub struct Suggestion {
    /// The bundle's files by their paths in its folder.
    pub files: BTreeMap<String, String>,
    /// The bundle, loaded, its tests run.
    pub bundle: Bundle,
    /// Statements that it was made for.
    pub statements: u64,
    /// Statements of theirs that did not run, and so ask for nothing.
    pub refused: u64,
    /// Statements of theirs whose records don't say what they touch.
    pub unread: u64,
    /// Statements whose records lack facts that rules can ask for: taken as what can do most.
    pub inexact: u64,
    /// Statements that the bundle would not let pass, by their record's number: a `forbid` of the gateway's own, or too many to keep.
    pub uncovered: Vec<u64>,
}

/// A kind of statement: same text but for literals.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// Without literals; `None` where it can't be read with certainty.
    pub(crate) text: Option<String>,
    pub(crate) command: String,
    pub(crate) statements: u64,
    pub(crate) last: u64,
}

/// On what terms something was always done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Terms {
    pub(crate) masked: bool,
    pub(crate) has_where: bool,
    /// Approver groups that had agreed each time.
    pub(crate) approved_by: BTreeSet<String>,
}

/// What must be permitted.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub(crate) action: Action,
    pub(crate) resource: Resource,
    pub(crate) terms: Terms,
    /// Indexes of the kinds that need it.
    pub(crate) kinds: BTreeSet<usize>,
}

/// Makes the least bundle that allows what these statements did, as far as they ran, on the terms on which they ran: what always came
/// masked is permitted masked only, what was always approved with approval only, and writes that always chose their rows with WHERE
/// only. Tags, masks, approvers and limits are those of `manifest`, the text of a `bundle.toml`.
///
/// # Errors
/// The manifest's faults; its author's to mend.
pub fn suggest(
    statements: impl IntoIterator<Item = Result<Recorded, Unread>>,
    whom: &For,
    database: &str,
    manifest: Option<&str>,
) -> Result<Suggestion, LoadError> {
    let mut seen = Seen::default();
    let mut files = BTreeMap::new();
    files.insert("bundle.toml".to_owned(), manifest.map_or_else(cedar::manifest, str::to_owned));
    files.insert(cedar::RULES.to_owned(), cedar::connect(whom, database));
    let base = policy::parse(&files, database)?;
    for statement in statements {
        seen.take(statement, whom, &base);
    }
    let Seen { needs, kinds, examples, statements, refused, unread, inexact, mut uncovered, .. } = seen;
    let needs: Vec<Need> = needs.into_values().collect();
    if manifest.is_none() {
        let approvers = needs.iter().flat_map(|need| &need.terms.approved_by).collect();
        files.insert("bundle.toml".to_owned(), cedar::manifest_with(&approvers));
    }
    files.insert(cedar::RULES.to_owned(), cedar::rules(whom, database, &needs, &kinds));
    let tests = cedar::tests(whom, &needs);
    if !tests.is_empty() {
        files.insert("tests/suggested.toml".to_owned(), tests);
    }
    let bundle = policy::parse(&files, database)?;
    let refused_by = |recorded: &&Recorded| {
        let nobody = BTreeSet::new();
        let by = match &recorded.met {
            Met::Approved(by) => by,
            _ => &nobody,
        };
        recorded.decide(&bundle, by).verdict != Verdict::Allow
    };
    uncovered.extend(examples.values().filter(refused_by).map(|recorded| recorded.seq));
    Ok(Suggestion { files, bundle, statements, refused, unread, inexact, uncovered })
}

/// Tells statements apart for the proof: what policy sees of them, but for who, when and where.
type Example = (String, Vec<policy::Touch>, BTreeSet<String>, bool);

#[derive(Default)]
struct Seen {
    needs: BTreeMap<(Action, String), Need>,
    kinds: Vec<Kind>,
    known: BTreeMap<(String, Option<String>), usize>,
    examples: std::collections::HashMap<Example, Recorded>,
    statements: u64,
    refused: u64,
    unread: u64,
    inexact: u64,
    uncovered: Vec<u64>,
}

impl Seen {
    fn take(&mut self, statement: Result<Recorded, Unread>, whom: &For, base: &Bundle) {
        let recorded = match statement {
            Ok(recorded) if whom.is(&recorded) && recorded.database == base.database() => recorded,
            Ok(_) => return,
            Err(_) => {
                self.unread += 1;
                return;
            }
        };
        if !recorded.met.ran() {
            self.refused += 1;
            return;
        }
        self.statements += 1;
        self.inexact += u64::from(!recorded.exact);
        let kind = self.kind(&recorded);
        let decision = recorded.decide(base, &BTreeSet::new());
        for (touch, part) in recorded.touches.iter().zip(&decision.parts) {
            if matches!(part.verdict, PartVerdict::Deny) {
                self.need(touch, &recorded, kind);
            }
        }
        let by = match &recorded.met {
            Met::Approved(by) => by.clone(),
            _ => BTreeSet::new(),
        };
        let example = (recorded.command.clone(), recorded.touches.clone(), by, recorded.has_where());
        if self.examples.len() < EXAMPLES_MAX || self.examples.contains_key(&example) {
            self.examples.entry(example).or_insert(recorded);
        }
    }

    fn kind(&mut self, recorded: &Recorded) -> usize {
        let Recorded { command, text, seq, .. } = recorded;
        let key = (command.clone(), text.clone().filter(|_| self.kinds.len() < EXAMPLES_MAX));
        let index = *self.known.entry(key.clone()).or_insert_with(|| {
            self.kinds.push(Kind { command: key.0, text: key.1, statements: 0, last: *seq });
            self.kinds.len() - 1
        });
        if let Some(kind) = self.kinds.get_mut(index) {
            kind.statements += 1;
            kind.last = *seq;
        }
        index
    }

    fn need(&mut self, touch: &policy::Touch, recorded: &Recorded, kind: usize) {
        let name = match &touch.resource {
            Resource::Column { relation, column, .. } => Some(format!("{relation}.{column}")),
            _ => None,
        };
        let masked =
            touch.action == Action::Select && name.is_some_and(|name| recorded.masked.contains(&name));
        let approved_by = match &recorded.met {
            Met::Approved(by) => by.clone(),
            _ => BTreeSet::new(),
        };
        let has_where = matches!(touch.action, Action::Update | Action::Delete) && recorded.has_where();
        let key = (touch.action, touch.resource.path(&recorded.database));
        let need = self.needs.entry(key).or_insert_with(|| Need {
            action: touch.action,
            resource: touch.resource.clone(),
            terms: Terms { masked, has_where, approved_by: approved_by.clone() },
            kinds: BTreeSet::new(),
        });
        need.terms.masked &= masked;
        need.terms.has_where &= has_where;
        need.terms.approved_by.retain(|group| approved_by.contains(group));
        need.kinds.insert(kind);
    }
}

//! The one place where a statement is allowed. Makes [`Permit`]s, and nothing else does.
//!
//! The decision is `policy`'s; this asks the right questions and turns the answers into what the session must do.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::SystemTime;

use audit::Verdict as AuditVerdict;
use model::Mask;
use policy::{
    Action, Bundle, Context, Decision, Part, PartVerdict, Persistence, RelationFacts, RelationKind, Request,
    Resource, StatementFacts, Touch,
};
use sql::Effect;

use crate::analysis::{self, Analysis, Quotable, Results};
use crate::approved::Approved;
use crate::evidence;
use crate::refuse::Refusal;
use crate::scope::{Asker, Scope};
use crate::shared::Settings;

/// Marks a statement that changes nothing.
pub enum Read {}
/// Marks a statement that may change something.
pub enum Write {}
/// Marks a statement that is only parsed: a Parse message, which executes nothing.
pub enum Parse {}
/// Marks SQL's PREPARE, which parses a statement and executes nothing of it.
pub enum Prepare {}

/// A permit that lets something be bound and executed: any but one for [`Parse`].
pub trait Executes: sealed::Sealed {}
impl Executes for Read {}
impl Executes for Write {}
impl Executes for Prepare {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Read {}
    impl Sealed for super::Write {}
    impl Sealed for super::Prepare {}
}

/// Proof that the policy allows a statement. Made by [`permit`] and [`permit_parse`] only, spent by `forward`.
pub struct Permit<K> {
    #[expect(dead_code, reason = "what was allowed; the proof is that it exists")]
    judged: Arc<Judged>,
    kind: PhantomData<K>,
}

/// A permit of the right kind.
pub(crate) enum Allowed {
    Read(Permit<Read>),
    Write(Permit<Write>),
    Prepare(Permit<Prepare>),
}

/// A statement's analysis with what the policy says of it, for one scope.
pub struct Judged {
    pub(crate) analysis: Arc<Analysis>,
    // INVARIANT: None only if the policy allows the statement, under `masks`, or nothing is enforced.
    refusal: Option<Refusal>,
    /// One per column of the result, or none at all if no column is masked.
    pub(crate) masks: Vec<Option<Mask>>,
    /// What errors and notices may quote that the identity may not see.
    pub(crate) quotes: Quotes,
    /// It returns a plan, in whose estimates there is something of values that the identity may not see.
    pub(crate) hides_sizes: bool,
    /// Columns that it writes and the identity sees masked, and how.
    pub(crate) written: Vec<(String, Mask)>,
    pub(crate) verdict: AuditVerdict,
    /// The rules that determined it, by id.
    pub(crate) rules: Vec<String>,
    pub(crate) decision: audit::Fragment,
    /// Of the statement that this one prepares or declares.
    pub(crate) inner: Option<Arc<Judged>>,
    /// Whom and what it holds for.
    pub(crate) scope: u128,
    /// The record of a read must be on disk before its result is released.
    pub(crate) sync_reads: bool,
    /// What it was decided with, where approvers have agreed to it: for the one execution that this judgement is of.
    pub(crate) approved: Option<Arc<Approved>>,
}

impl Judged {
    /// Returns why the statement is refused, if it is.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Returns whether it waits for approvers: nothing else is wrong with it. What is only prepared needs none yet.
    pub(crate) fn holds(&self) -> bool {
        matches!(self.refusal, Some(Refusal::ApprovalRequired { .. })) && !self.only_prepares()
    }

    fn only_prepares(&self) -> bool {
        matches!(self.analysis.effect, Effect::Prepare { .. }) && self.analysis.unknown.is_none()
    }

    /// Returns why it may not be executed, if so.
    pub(crate) fn refuses(&self) -> Option<&Refusal> {
        self.refusal
            .as_ref()
            .filter(|why| !(self.only_prepares() && matches!(why, Refusal::ApprovalRequired { .. })))
    }

    /// About how much memory it takes, the analysis included.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.decision.as_str().len()
            + size_of_val(self.masks.as_slice())
            + self.refusal.as_ref().map_or(0, |refusal| refusal.to_string().len() + 256)
            + self.inner.as_ref().map_or(0, |inner| inner.bytes())
            + self.analysis.bytes()
    }
}

/// Asks the policy whether a session may begin at all.
pub(crate) fn admit(
    scope: &Scope,
    bundle: &Bundle,
    settings: &Settings,
    now: SystemTime,
) -> Result<(), Refusal> {
    let statement = StatementFacts { command: "", has_where: true, row_locks: false };
    let context = Context { statement, session: scope.facts(), now, approved_by: &BTreeSet::new() };
    let touches = [Touch { action: Action::Connect, resource: Resource::Database }];
    let request =
        Request { identity: scope.identity(), database: &settings.name, context, touches: &touches };
    let decision = policy::decide(bundle, &request);
    match refusal(None, touches.iter().zip(&decision.parts)) {
        Some(refusal) if settings.enforce => Err(refusal),
        _ => Ok(()),
    }
}

/// What the policy says of an analysed statement, whatever is then made of it.
pub(crate) struct Weighed {
    pub(crate) touches: Vec<Touch>,
    pub(crate) decision: Decision,
    /// What masked columns need besides.
    pub(crate) told: Vec<(Touch, Part)>,
    pub(crate) refusal: Option<Refusal>,
    /// One per column of the result, or none at all if no column is masked.
    pub(crate) masks: Vec<Option<Mask>>,
    masked: bool,
    quotes: Quotes,
    written: Vec<(String, Mask)>,
}

/// What errors and notices of a statement may show of what the identity may not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quotes {
    /// Nothing.
    Nothing,
    /// Rows of relations that the statement doesn't name but changes: by a foreign key, or as a child of one that it does.
    Strangers,
    /// Values.
    Values,
}

/// Asks the policy about an analysed statement that nobody has approved. Allows nothing by itself.
pub(crate) fn weigh(analysis: &Analysis, bundle: &Bundle, asker: Asker<'_>) -> Weighed {
    weigh_with(analysis, bundle, asker, &BTreeSet::new())
}

/// Likewise about one that approvers have agreed to, maybe not all that must.
pub(crate) fn weigh_for(
    analysis: &Analysis,
    bundle: &Bundle,
    asker: Asker<'_>,
    approved: Option<&Approved>,
) -> Weighed {
    let nobody = BTreeSet::new();
    weigh_with(analysis, bundle, asker, approved.map_or(&nobody, Approved::by))
}

fn weigh_with(
    analysis: &Analysis,
    bundle: &Bundle,
    asker: Asker<'_>,
    approved_by: &BTreeSet<String>,
) -> Weighed {
    let asked = Asked::new(analysis, bundle);
    let context = Context {
        statement: StatementFacts {
            command: analysis.kind(),
            has_where: analysis.has_where,
            row_locks: analysis.row_locks,
        },
        session: asker.session,
        now: asker.now,
        approved_by,
    };
    let decide = |touches: &[Touch]| {
        let request = Request { identity: asker.identity, database: asker.database, context, touches };
        policy::decide(bundle, &request)
    };
    let decision = decide(&asked.touches);
    let seen = decide(&asked.seen);
    let masks = masks(analysis, &decision);
    let masked = decision.parts.iter().any(|part| part.verdict.mask().is_some());
    let tagged_seen = asked
        .seen
        .iter()
        .zip(&seen.parts)
        .any(|(touch, part)| !matches!(part.verdict, PartVerdict::Allow) && is_tagged(touch, bundle));
    let hides = |touches: Vec<Touch>| {
        decide(&touches).parts.iter().any(|part| !matches!(part.verdict, PartVerdict::Allow))
    };
    let quotes = if masked || tagged_seen || hides(quotable(analysis, bundle)) {
        Quotes::Values
    } else if analysis.writes_rows() && hides(tagged(bundle)) {
        Quotes::Strangers
    } else {
        Quotes::Nothing
    };
    let written = written(&asked.touches, bundle, &decide);
    let told = told(analysis, &asked, &decision, &seen, &decide);
    let parts =
        asked.touches.iter().zip(&decision.parts).chain(told.iter().map(|(touch, part)| (touch, part)));
    // Results that can't be told beforehand can't be masked.
    let unmaskable = quotes == Quotes::Values
        && matches!(analysis.results, Results::Unknown)
        && analysis.unknown.is_none();
    let refusal = refusal(analysis.unknown.as_ref(), parts).or_else(|| {
        let why = "a rule gives it results of its own, and it reads masked columns";
        unmaskable.then(|| Refusal::NotUnderstood(why.to_owned()))
    });
    Weighed { touches: asked.touches, decision, told, refusal, masks, masked, quotes, written }
}

/// Asks the policy about an analysed statement, for a session, with what approvers have agreed to.
pub(crate) fn judge(
    analysis: Arc<Analysis>,
    bundle: &Bundle,
    scope: &Scope,
    settings: &Settings,
    now: SystemTime,
    approved: Option<&Arc<Approved>>,
) -> Judged {
    // What is prepared by an approved statement is not approved by that.
    let inherits = approved.filter(|_| !matches!(analysis.effect, Effect::Prepare { .. }));
    let inner = analysis
        .inner
        .as_ref()
        .map(|inner| Arc::new(judge(inner.clone(), bundle, scope, settings, now, inherits)));
    let asker = scope.asker(settings, now);
    let nobody = BTreeSet::new();
    let by = approved.map_or(&nobody, |approved| approved.by());
    let Weighed { touches, decision, refusal, masks, masked, quotes, written, told: _ } =
        weigh_with(&analysis, bundle, asker, by);
    let masking = settings.enforce || settings.mask;
    let verdict = match (&refusal, masked) {
        (None, false) => AuditVerdict::Allow,
        (None, true) if masking => AuditVerdict::Mask,
        (None, true) => AuditVerdict::ObservedMask,
        (Some(Refusal::ApprovalRequired { .. }), _) if settings.enforce => AuditVerdict::Hold,
        (Some(Refusal::ApprovalRequired { .. }), _) => AuditVerdict::ObservedHold,
        (Some(_), _) if settings.enforce => AuditVerdict::Deny,
        (Some(_), _) => AuditVerdict::ObservedDeny,
    };
    let (fragment, rules) = evidence::decision(&analysis, &touches, &decision);
    // SECURITY: without enforcement a statement that can't be read still can't be masked; where the bundle has masks
    // and they are to apply, it is refused all the same.
    let refusal = refusal.filter(|why| {
        settings.enforce
            || (settings.mask
                && analysis.unknown.is_some()
                && !bundle.tag_patterns().is_empty()
                && is_opaque(why))
    });
    Judged {
        refusal,
        masks: if masking { masks } else { Vec::new() },
        quotes: if masking { quotes } else { Quotes::Nothing },
        written,
        hides_sizes: masking && quotes == Quotes::Values && analysis.plans,
        verdict,
        decision: fragment,
        rules,
        inner,
        scope: scope.id(),
        sync_reads: settings.durability == crate::shared::Durability::Sync,
        approved: approved.cloned(),
        analysis,
    }
}

fn is_opaque(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::NotUnderstood(_) | Refusal::Unsupported(_))
}

/// Returns what policy is asked about a statement.
pub(crate) fn asked(analysis: &Analysis, bundle: &Bundle) -> Vec<Touch> {
    Asked::new(analysis, bundle).touches
}

/// Which columns are written that can be seen only masked, and how they are.
fn written(
    touches: &[Touch],
    bundle: &Bundle,
    decide: &impl Fn(&[Touch]) -> Decision,
) -> Vec<(String, Mask)> {
    let writes =
        |touch: &&Touch| matches!(touch.action, Action::Insert | Action::Update) && is_tagged(touch, bundle);
    let seen: Vec<Touch> = touches
        .iter()
        .filter(writes)
        .map(|touch| Touch { action: Action::Select, ..touch.clone() })
        .collect();
    if seen.is_empty() {
        return Vec::new();
    }
    let masks = seen.iter().zip(decide(&seen).parts).filter_map(|(touch, part)| match &touch.resource {
        Resource::Column { relation, column, .. } => {
            Some((format!("{relation}.{column}"), part.verdict.mask()?.clone()))
        }
        _ => None,
    });
    masks.collect()
}

/// Seeing the tagged columns that errors and notices may quote without being named in the statement.
fn quotable(analysis: &Analysis, bundle: &Bundle) -> Vec<Touch> {
    let mut touches = Vec::new();
    for Quotable { relation, others, columns } in &analysis.quotable {
        let Some(facts) = analysis::relation_facts(relation) else { continue };
        let quoted = |number| columns.as_ref().is_none_or(|columns| columns.contains(&number));
        for column in relation.columns.iter().filter(|column| quoted(column.number)) {
            let others = others.iter().filter(|(number, _)| *number == column.number);
            let others = others.map(|(_, (relation, name))| (relation, name.as_str()));
            let names = std::iter::once((&relation.name, &*column.name)).chain(others);
            let tags = names.flat_map(|(relation, name)| bundle.tags(relation, name));
            let tags: BTreeSet<String> = tags.map(|tag| tag.as_str().to_owned()).collect();
            if !tags.is_empty() {
                let (relation, column) = (relation.name.clone(), column.name.to_string());
                let tags = tags.into_iter().collect();
                let resource = Resource::Column { relation, column, tags, facts };
                touches.push(Touch { action: Action::Select, resource });
            }
        }
    }
    touches
}

/// Seeing each column that the bundle tags; where it tags all of a name, one of a table that isn't there.
fn tagged(bundle: &Bundle) -> Vec<Touch> {
    let column = |pattern: &policy::TagPattern| {
        let (relation, column, tags) = pattern.example();
        let facts = RelationFacts::new(&relation, RelationKind::Table, Persistence::Permanent);
        let resource = Resource::Column { relation, column, tags, facts };
        Touch { action: Action::Select, resource }
    };
    bundle.tag_patterns().iter().map(column).collect()
}

/// What a masked column needs beside being returned masked: to be computed with where that could tell of it (`filter`), or to be
/// given, maybe, to a function that keeps or sends it (`copy`).
fn told(
    analysis: &Analysis,
    asked: &Asked,
    decision: &Decision,
    seen: &Decision,
    decide: &impl Fn(&[Touch]) -> Decision,
) -> Vec<(Touch, Part)> {
    let masked = |at: &usize| decision.parts.get(*at).is_some_and(|part| part.verdict.mask().is_some());
    let computed = analysis.told_columns().into_iter().filter(masked).filter_map(|at| asked.touches.get(at));
    let hidden = |part: &Part| !matches!(part.verdict, PartVerdict::Allow);
    let used =
        asked.seen.iter().zip(&seen.parts).filter(|(_, part)| analysis.tells_elsewhere && hidden(part));
    let action = if analysis.tells_elsewhere { Action::Copy } else { Action::Filter };
    computed
        .chain(used.map(|(touch, _)| touch))
        .map(|touch| Touch { action, ..touch.clone() })
        .filter_map(|touch| Some((decide(std::slice::from_ref(&touch)).parts.pop()?, touch)))
        .map(|(part, touch)| (touch, part))
        .collect()
}

/// The touches with the tags that views' columns inherit.
struct Asked {
    touches: Vec<Touch>,
    seen: Vec<Touch>,
}

impl Asked {
    fn new(analysis: &Analysis, bundle: &Bundle) -> Self {
        let with_tags = |touch: &Touch, inherits: &[(model::QualifiedName, String)]| {
            let mut touch = touch.clone();
            if let Resource::Column { tags, .. } = &mut touch.resource {
                for (relation, column) in inherits {
                    for tag in bundle.tags(relation, column) {
                        if !tags.iter().any(|known| known.as_str() == tag.as_str()) {
                            tags.push(tag.as_str().to_owned());
                        }
                    }
                }
            }
            touch
        };
        Self {
            touches: analysis.touches.iter().zip(&analysis.inherits).map(|(t, i)| with_tags(t, i)).collect(),
            seen: analysis.seen.iter().map(|(t, i)| with_tags(t, i)).collect(),
        }
    }
}

fn is_tagged(touch: &Touch, bundle: &Bundle) -> bool {
    match &touch.resource {
        Resource::Column { relation, column, tags, .. } => {
            !tags.is_empty() || !bundle.tags(relation, column).is_empty()
        }
        Resource::Database
        | Resource::Schema { .. }
        | Resource::Relation { .. }
        | Resource::Function { .. } => false,
    }
}

/// Which mask each column of the result gets: of all masks on columns that it depends on, the least revealing.
fn masks(analysis: &Analysis, decision: &Decision) -> Vec<Option<Mask>> {
    let Results::Columns(columns) = &analysis.results else { return Vec::new() };
    let mut any = false;
    let masks = columns
        .iter()
        .map(|column| {
            let mut chosen: Option<Mask> = None;
            for (touch, _) in &column.sources {
                if let Some(spec) = decision.parts.get(*touch).and_then(|part| part.verdict.mask()) {
                    // Of several the least revealing of all wins; which of two keeps less is not asked here.
                    chosen = Some(match chosen.take() {
                        Some(known) if known != *spec => Mask::Null,
                        _ => spec.clone(),
                    });
                }
            }
            any |= chosen.is_some();
            chosen
        })
        .collect();
    if any { masks } else { Vec::new() }
}

fn refusal<'a>(
    unknown: Option<&Refusal>,
    parts: impl Iterator<Item = (&'a Touch, &'a Part)>,
) -> Option<Refusal> {
    if let Some(unknown) = unknown {
        return Some(unknown.clone());
    }
    let mut what = Vec::new();
    let mut rules = Vec::new();
    let mut help = Vec::new();
    let mut approvers: Vec<String> = Vec::new();
    let mut held = Vec::new();
    for (touch, part) in parts {
        let refused = match &part.verdict {
            PartVerdict::Allow => false,
            // Only a value that is returned can be masked on its way.
            PartVerdict::Mask(_) => touch.action != Action::Select,
            PartVerdict::Hold { approvers: groups, mask: _ } => {
                held.push(Analysis::describe(touch));
                for group in groups {
                    if !approvers.contains(group) {
                        approvers.push(group.clone());
                    }
                }
                false
            }
            PartVerdict::Deny => true,
        };
        if refused {
            what.push(Analysis::describe(touch));
            for rule in &part.rules {
                let rule = rule.to_string();
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
            for line in &part.help {
                let line = sentence(&line.to_string());
                if !help.contains(&line) {
                    help.push(line);
                }
            }
        }
    }
    if what.is_empty() {
        return (!approvers.is_empty())
            .then(|| Refusal::ApprovalRequired { what: shorten(&held), approvers });
    }
    let rules = if rules.is_empty() {
        "No rule of the policy permits it.".to_owned()
    } else {
        format!("Decided by: {}.", rules.join(", "))
    };
    Some(Refusal::Denied { what: shorten(&what), rules, help: help.join(" ") })
}

/// Makes a sentence of a fragment.
fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", chars.as_str())
}

/// Lists a few and counts the rest: an error is read by people.
pub(crate) fn shorten(items: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<&str> = items.iter().take(SHOWN).map(String::as_str).collect();
    let more = items.len().saturating_sub(SHOWN);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// Turns a judgement that allows into the proof that it does.
pub(crate) fn permit(judged: &Arc<Judged>) -> Result<Allowed, Refusal> {
    if let Some(refusal) = judged.refuses() {
        return Err(refusal.clone());
    }
    let judged = judged.clone();
    Ok(if judged.refusal.is_some() {
        Allowed::Prepare(Permit { judged, kind: PhantomData })
    } else if judged.analysis.reads_only {
        Allowed::Read(Permit { judged, kind: PhantomData })
    } else {
        Allowed::Write(Permit { judged, kind: PhantomData })
    })
}

/// Likewise for a statement that is only parsed: what waits for approvers may be, since nothing of it is executed.
pub(crate) fn permit_parse(judged: &Arc<Judged>) -> Result<Permit<Parse>, Refusal> {
    match &judged.refusal {
        None | Some(Refusal::ApprovalRequired { .. }) => {
            Ok(Permit { judged: judged.clone(), kind: PhantomData })
        }
        Some(refusal) => Err(refusal.clone()),
    }
}

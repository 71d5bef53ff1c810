//! The search for the least that is enough: what is allowed as it is, what masked, what with approval.
//!
//! An obligation is a question asked of the rules, not a second language beside them. For each touch the questions are, in order:
//!
//! 1. is it allowed with nothing promised?
//! 2. is it allowed if the column is masked? (only `select` of a column)
//! 3. is it allowed if approver group *g* has approved, for each *g* in the order of the bundle?
//! 4. is it allowed if *g* has approved and the column is masked?
//! 5. is it allowed if all groups have approved, and masked? Then groups are left out again while it stays allowed.
//!
//! A question is left out only where no rule that could apply looks at the promise. Pure and total: what can't be decided is
//! refused. Knows no Cedar.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::action::{Action, ActionGroup};
use crate::approvers::Terms;
use crate::bundle::Bundle;
use crate::decision::{Decision, Help, Part, PartVerdict, RuleRef, Verdict};
use crate::engine::{Answer, Inquiry, Promise};
use crate::request::{Request, Touch};
use crate::resource::{Resource, ResourceType};
use model::Mask;

/// Decides a statement.
///
/// The answer depends on nothing but the bundle and the request. Whoever keeps answers for later must keep them by all of the
/// request: identity, statement, session, approvals and touches; and by its time too if [`Bundle::depends_on_time`].
pub fn decide(bundle: &Bundle, request: &Request<'_>) -> Decision {
    if request.database != bundle.database() || request.touches.is_empty() {
        // SECURITY: nothing touched means that the reading of the statement found nothing, not that there was nothing to find
        let part = || Part { verdict: PartVerdict::Deny, rules: Vec::new(), help: vec![Help::Impossible] };
        return Decision { verdict: Verdict::Deny, parts: request.touches.iter().map(|_| part()).collect() };
    }
    let mut findings: Vec<Finding> = match bundle.inquire(request) {
        Ok(inquiry) => {
            let mut search = Search { bundle, request, inquiry };
            search.all()
        }
        Err(error) => request.touches.iter().map(|_| Finding::failed(&error)).collect(),
    };
    agree(bundle, &mut findings);
    let parts: Vec<Part> = findings.into_iter().map(|finding| finding.part).collect();
    Decision { verdict: verdict(bundle, &parts), parts }
}

/// A part, and the single approver groups that would each be enough for it, with the rules that permit then.
#[derive(Clone)]
struct Finding {
    part: Part,
    enough: Vec<(String, Rules)>,
}

type Rules = Vec<Arc<RuleRef>>;

impl Finding {
    fn of(verdict: PartVerdict, rules: Rules, help: Vec<Help>) -> Self {
        Self { part: Part { verdict, rules, help }, enough: Vec::new() }
    }

    /// Says of another touch what was found of one that must come out alike.
    fn for_another(&self, touch: &Touch, database: &str) -> Self {
        let mut finding = self.clone();
        for help in &mut finding.part.help {
            if let Help::Permit { resource, .. } = help {
                *resource = reference(&touch.resource, database);
            }
        }
        finding
    }

    fn failed(error: &str) -> Self {
        Self::of(PartVerdict::Deny, Vec::new(), vec![Help::Failed { rule: None, error: error.to_owned() }])
    }
}

/// Where several groups would each do, picks one that does for every part, so that no more people are asked than must be.
fn agree(bundle: &Bundle, findings: &mut [Finding]) {
    let held = || findings.iter().filter(|finding| matches!(finding.part.verdict, PartVerdict::Hold { .. }));
    let enough = |finding: &Finding, name: &str| finding.enough.iter().any(|(group, _)| group == name);
    let shared =
        bundle.approvers().iter().find(|approver| held().all(|finding| enough(finding, &approver.name)));
    let Some(shared) = shared.map(|approver| approver.name.clone()) else { return };
    for finding in findings {
        let PartVerdict::Hold { approvers, .. } = &mut finding.part.verdict else { continue };
        let Some((_, rules)) = finding.enough.iter().find(|(group, _)| *group == shared) else { continue };
        *approvers = vec![shared.clone()];
        finding.part.rules.clone_from(rules);
        finding.part.help = vec![Help::ApprovedBy { groups: approvers.clone() }];
    }
}

fn verdict(bundle: &Bundle, parts: &[Part]) -> Verdict {
    let mut needed: BTreeSet<&str> = BTreeSet::new();
    for part in parts {
        match &part.verdict {
            PartVerdict::Allow | PartVerdict::Mask(_) => {}
            PartVerdict::Hold { approvers, .. } => needed.extend(approvers.iter().map(String::as_str)),
            PartVerdict::Deny => return Verdict::Deny,
        }
    }
    if needed.is_empty() {
        return Verdict::Allow;
    }
    let approvers: Vec<_> = bundle
        .approvers()
        .iter()
        .filter(|approver| needed.contains(approver.name.as_str()))
        .map(|approver| approver.under(terms(parts, &approver.name)))
        .collect();
    // SECURITY: a group that the bundle doesn't know could never approve
    if approvers.len() == needed.len() { Verdict::Hold { approvers } } else { Verdict::Deny }
}

/// What the rules say that make it necessary for a group to approve.
fn terms<'p>(parts: &'p [Part], group: &'p str) -> impl Iterator<Item = &'p Terms> {
    let held = parts.iter().filter(move |part| match &part.verdict {
        PartVerdict::Hold { approvers, .. } => approvers.iter().any(|name| name == group),
        PartVerdict::Allow | PartVerdict::Mask(_) | PartVerdict::Deny => false,
    });
    held.flat_map(|part| &part.rules).filter_map(|rule| rule.terms.as_ref())
}

struct Search<'a> {
    bundle: &'a Bundle,
    request: &'a Request<'a>,
    inquiry: Inquiry<'a, 'a>,
}

/// Whether an answer allows, with what was promised for it.
struct Found {
    answer: Answer,
    masked: bool,
    approvers: Vec<String>,
    enough: Vec<(String, Answer)>,
}

impl Search<'_> {
    /// Decides every touch; those that must come out alike only once.
    fn all(&mut self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::with_capacity(self.request.touches.len());
        for (at, touch) in self.request.touches.iter().enumerate() {
            let finding = match findings.get(self.inquiry.representative(at)) {
                Some(alike) => alike.for_another(touch, self.request.database),
                None => self.touch(touch),
            };
            findings.push(finding);
        }
        findings
    }

    fn touch(&mut self, touch: &Touch) -> Finding {
        if !touch.action.applies_to().contains(&touch.resource.resource_type()) {
            return Finding::of(PartVerdict::Deny, Vec::new(), vec![Help::Impossible]);
        }
        self.search(touch).unwrap_or_else(|error| Finding::failed(&error))
    }

    fn search(&mut self, touch: &Touch) -> Result<Finding, String> {
        let plain = self.ask(touch, false, &[])?;
        if plain.allowed {
            return Ok(Finding::of(PartVerdict::Allow, plain.rules, Vec::new()));
        }
        let maskable =
            touch.action == Action::Select && touch.resource.resource_type() == ResourceType::Column;
        let uses = self.inquiry.uses(touch.action);
        let masks: &[bool] = if maskable && uses.masked { &[false, true] } else { &[false] };
        let mut found = None;
        if masks.contains(&true) {
            let answer = self.ask(touch, true, &[])?;
            if answer.allowed {
                found = Some(Found { answer, masked: true, approvers: Vec::new(), enough: Vec::new() });
            }
        }
        if found.is_none() && uses.approved_by {
            found = self.with_approval(touch, masks)?;
        }
        match found {
            Some(found) => Ok(self.obliged(touch, &plain, found)),
            None => self.refused(touch, plain, masks),
        }
    }

    fn ask(&mut self, touch: &Touch, masked: bool, approvers: &[String]) -> Result<Answer, String> {
        let mut approved_by = self.request.context.approved_by.clone();
        approved_by.extend(approvers.iter().cloned());
        let promise = Promise { masked, approved_by, has_where: self.has_where(touch.action) };
        self.inquiry.ask(touch.action, &touch.resource, &promise)
    }

    /// SECURITY: TRUNCATE never chooses rows, whatever the request says of the statement.
    fn has_where(&self, action: Action) -> bool {
        self.request.context.statement.has_where && action != Action::Truncate
    }

    /// Steps 3 to 5.
    fn with_approval(&mut self, touch: &Touch, masks: &[bool]) -> Result<Option<Found>, String> {
        let approved = self.request.context.approved_by;
        let names = self.bundle.approvers().iter().map(|approver| approver.name.clone());
        let open: Vec<String> = names.filter(|name| !approved.contains(name)).collect();
        for masked in masks {
            let mut enough = Vec::new();
            for name in &open {
                let answer = self.ask(touch, *masked, std::slice::from_ref(name))?;
                if answer.allowed {
                    enough.push((name.clone(), answer));
                }
            }
            if let Some((name, answer)) = enough.first().cloned() {
                return Ok(Some(Found { answer, masked: *masked, approvers: vec![name], enough }));
            }
        }
        if open.len() < 2 {
            return Ok(None);
        }
        for masked in masks {
            let mut answer = self.ask(touch, *masked, &open)?;
            if !answer.allowed {
                continue;
            }
            let mut approvers = open.clone();
            for name in open.iter().rev() {
                let fewer: Vec<String> = approvers.iter().filter(|kept| *kept != name).cloned().collect();
                let without = self.ask(touch, *masked, &fewer)?;
                if without.allowed {
                    (approvers, answer) = (fewer, without);
                }
            }
            return Ok(Some(Found { answer, masked: *masked, approvers, enough: Vec::new() }));
        }
        Ok(None)
    }

    /// Makes a part of what was found; its rules are those that permit, and those that made the obligation of it.
    fn obliged(&self, touch: &Touch, plain: &Answer, found: Found) -> Finding {
        let Found { answer, masked, approvers, enough } = found;
        // a forbid that an obligation lifts is part of the reason
        let with = |answer: Answer| -> Rules { plain.rules.iter().cloned().chain(answer.rules).collect() };
        let rules = with(answer);
        let enough = enough.into_iter().map(|(group, answer)| (group, with(answer))).collect();
        let mask = masked.then(|| self.mask(&touch.resource));
        let (verdict, help) = match (approvers.is_empty(), mask) {
            (true, Some(mask)) => (PartVerdict::Mask(mask), Vec::new()),
            (_, mask) => {
                let help = vec![Help::ApprovedBy { groups: approvers.clone() }];
                (PartVerdict::Hold { approvers, mask }, help)
            }
        };
        Finding { part: Part { verdict, rules, help }, enough }
    }

    /// The mask of a column that must be masked: NULL if its tags name none.
    fn mask(&self, resource: &Resource) -> Mask {
        self.bundle.mask_of(self.inquiry.tags(resource)).cloned().unwrap_or(Mask::Null)
    }

    fn refused(&mut self, touch: &Touch, plain: Answer, masks: &[bool]) -> Result<Finding, String> {
        let mut help = Vec::new();
        let column = touch.resource.resource_type() == ResourceType::Column;
        if column && matches!(touch.action, Action::Filter | Action::Copy) {
            let select = Touch { action: Action::Select, resource: touch.resource.clone() };
            if self.ask(&select, true, &[])?.allowed {
                help.push(Help::Masked);
            }
        }
        let could_choose = touch.action.group() == ActionGroup::Write && touch.action != Action::Truncate;
        if could_choose && !self.has_where(touch.action) && self.inquiry.uses(touch.action).statement {
            let approved_by = self.request.context.approved_by.clone();
            let promise = Promise { masked: false, approved_by, has_where: true };
            if self.inquiry.ask(touch.action, &touch.resource, &promise)?.allowed {
                help.push(Help::Where);
            }
        }
        // what stands in the way even if all is promised that can be
        let names: Vec<String> =
            self.bundle.approvers().iter().map(|approver| approver.name.clone()).collect();
        let most = self.ask(touch, masks.contains(&true), &names)?;
        let failed = if most.failed.is_empty() { &plain.failed } else { &most.failed };
        help.extend(
            failed
                .iter()
                .map(|(rule, error)| Help::Failed { rule: Some(Arc::clone(rule)), error: error.clone() }),
        );
        let forbids = if most.rules.is_empty() { &plain.rules } else { &most.rules };
        help.extend(
            forbids.iter().filter(|rule| rule.forbid).map(|rule| Help::Forbidden { rule: Arc::clone(rule) }),
        );
        if !help.iter().any(|help| matches!(help, Help::Failed { .. } | Help::Forbidden { .. })) {
            help.push(Help::Permit {
                action: touch.action,
                resource: reference(&touch.resource, self.request.database),
            });
        }
        Ok(Finding::of(PartVerdict::Deny, plain.rules, help))
    }
}

/// Writes a resource as a rule names it.
pub(crate) fn reference(resource: &Resource, database: &str) -> String {
    format!("{}::{}", resource.resource_type(), crate::schema::quote(&resource.path(database)))
}

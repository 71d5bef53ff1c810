//! A decision told to people and programs: per relation, column and function, the action, the verdict, the rules, what would help.
//!
//! Knows decisions; decides nothing.

use std::sync::Arc;

use serde::Serialize;

use crate::action::Action;
use crate::approvers::ApproverGroup;
use crate::bundle::Bundle;
use crate::decision::{Decision, Help, Part, PartVerdict, RuleRef, Verdict};
use crate::request::{Request, Touch};
use crate::resource::ResourceType;
use model::Mask;

/// A decision with what it was about, to be printed or serialised.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `issuer:subject`.
    pub identity: String,
    /// The identity's groups.
    pub groups: Vec<String>,
    /// The database.
    pub database: String,
    /// PostgreSQL's command tag.
    pub command: String,
    /// The bundle that decided, if it was given.
    pub bundle: Option<BundleRef>,
    /// `allow`, `hold` or `deny`.
    pub verdict: &'static str,
    /// Who must approve, all of them.
    pub approvers: Vec<ApproverGroup>,
    /// One for each touch.
    pub parts: Vec<ReportPart>,
}

/// Names a bundle.
#[derive(Clone, Debug, Serialize)]
pub struct BundleRef {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its hash, in hexadecimal.
    pub hash: String,
}

/// One touch and what was decided of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportPart {
    /// What is done.
    pub action: Action,
    /// The type of what it is done to.
    pub resource_type: ResourceType,
    /// Its dotted name, the database's first.
    pub resource: String,
    /// `allow`, `mask`, `hold` or `deny`.
    pub verdict: &'static str,
    /// How its values are masked.
    pub mask: Option<Mask>,
    /// Who must approve it, all of them.
    pub approvers: Vec<String>,
    /// The rules that decided.
    pub rules: Vec<Arc<RuleRef>>,
    /// What would make it pass.
    pub help: Vec<Help>,
}

/// Puts what was decided of a touch together with the touch.
pub fn report_part(database: &str, touch: &Touch, part: &Part) -> ReportPart {
    ReportPart {
        action: touch.action,
        resource_type: touch.resource.resource_type(),
        resource: touch.resource.path(database),
        verdict: part.verdict.as_str(),
        mask: part.verdict.mask().cloned(),
        approvers: match &part.verdict {
            PartVerdict::Hold { approvers, .. } => approvers.clone(),
            PartVerdict::Allow | PartVerdict::Mask(_) | PartVerdict::Deny => Vec::new(),
        },
        rules: part.rules.clone(),
        help: part.help.clone(),
    }
}

/// Puts a decision together with what it was about.
pub fn report(request: &Request<'_>, decision: &Decision) -> Report {
    let parts = request.touches.iter().zip(&decision.parts);
    let parts = parts.map(|(touch, part)| report_part(request.database, touch, part));
    Report {
        identity: request.identity.to_string(),
        groups: request.identity.groups.iter().cloned().collect(),
        database: request.database.to_owned(),
        command: request.context.statement.command.to_owned(),
        bundle: None,
        verdict: decision.verdict.as_str(),
        approvers: match &decision.verdict {
            Verdict::Hold { approvers } => approvers.clone(),
            Verdict::Allow | Verdict::Deny => Vec::new(),
        },
        parts: parts.collect(),
    }
}

/// Writes a decision as a table, with a summary above and a line for each rule below.
pub fn render(request: &Request<'_>, decision: &Decision) -> String {
    report(request, decision).to_string()
}

impl Report {
    /// Adds which bundle decided.
    #[must_use]
    pub fn by(mut self, bundle: &Bundle) -> Self {
        self.bundle = Some(BundleRef {
            name: bundle.name().to_owned(),
            version: bundle.version().to_owned(),
            hash: hex::encode(bundle.hash()),
        });
        self
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let groups = if self.groups.is_empty() { "no group".to_owned() } else { self.groups.join(", ") };
        writeln!(f, "{} ({groups}): {} on database {}", self.identity, self.command, self.database)?;
        if let Some(bundle) = &self.bundle {
            let short: String = bundle.hash.chars().take(12).collect();
            writeln!(f, "policy {} version {} ({short})", bundle.name, bundle.version)?;
        }
        write!(f, "verdict: {}", self.verdict)?;
        for approver in &self.approvers {
            write!(f, ", needs {approver}")?;
        }
        writeln!(f)?;
        for approver in &self.approvers {
            writeln!(f, "  {}: {}", approver.name, approver.terms())?;
        }
        writeln!(f)?;
        write!(f, "{}", Parts(&self.parts))
    }
}

/// What was decided of each touch as a table, with a line for each rule below.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a>(pub &'a [ReportPart]);

impl std::fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows = rows(self.0);
        let mut widths = [0; 5];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &rows {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| {
                    format!("{}{}", printable(cell), " ".repeat(width - cell.chars().count()))
                })
                .collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        let mut rules: Vec<&Arc<RuleRef>> = self.0.iter().flat_map(|part| &part.rules).collect();
        rules.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        rules.dedup();
        if !rules.is_empty() {
            writeln!(f)?;
        }
        for rule in rules {
            let effect = if rule.forbid { "forbid" } else { "permit" };
            write!(f, "{}: {effect}, {}:{}", rule.id, rule.file, rule.line)?;
            if let Some(terms) = &rule.terms {
                write!(f, "{terms}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn rows(parts: &[ReportPart]) -> Vec<[String; 5]> {
    let mut rows = vec![["action", "resource", "verdict", "rules", "what would help"].map(str::to_owned)];
    for part in parts {
        let mut verdict = part.verdict.to_owned();
        if let Some(mask) = &part.mask {
            let with = if part.verdict == "mask" { ": " } else { ", masked: " };
            verdict = format!("{verdict}{with}{}", mask.kind());
        }
        let rules: Vec<&str> = part.rules.iter().map(|rule| rule.id.as_str()).collect();
        let help: Vec<String> = part.help.iter().map(ToString::to_string).collect();
        rows.push([
            part.action.to_string(),
            format!("{} {}", part.resource_type.as_str().to_lowercase(), part.resource),
            verdict,
            rules.join(", "),
            help.join("; "),
        ]);
    }
    rows
}

/// Replaces characters that could steer a terminal: names in a database may hold any.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

//! The answer of policy, and its reasons.
//!
//! Knows verdicts; not how they were reached.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::action::Action;
use crate::approvers::{ApproverGroup, Terms};
use model::Mask;

/// What policy says to a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The strongest of the parts' verdicts. A mask belongs to its part and doesn't show here.
    pub verdict: Verdict,
    /// One for each touch, in the same order.
    pub parts: Vec<Part>,
}

/// What happens to a statement as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run, with the masks of its parts.
    Allow,
    /// It may run once every one of these groups has approved, with the masks of its parts.
    Hold {
        /// In the order of the bundle, on the terms of the rules that ask: their times are this statement's.
        approvers: Vec<ApproverGroup>,
    },
    /// It may not run.
    Deny,
}

impl Verdict {
    /// Returns the word that reports use.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold { .. } => "hold",
            Self::Deny => "deny",
        }
    }
}

/// What policy says to one touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its verdict.
    pub verdict: PartVerdict,
    /// The rules that made it: the permits that allow it, and the forbids that made an obligation or a refusal of it.
    pub rules: Vec<Arc<RuleRef>>,
    /// What would make it pass; empty where nothing is missing.
    pub help: Vec<Help>,
}

/// What happens to one touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartVerdict {
    /// As it is.
    Allow,
    /// With every value of the column masked like this. Only for [`Action::Select`] of a column.
    Mask(Mask),
    /// If these approve.
    Hold {
        /// Names in `[approvers]`; all of them must approve.
        approvers: Vec<String>,
        /// How the column must be masked even then.
        mask: Option<Mask>,
    },
    /// Not at all.
    Deny,
}

impl PartVerdict {
    /// Returns the word that reports and tests use.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Mask(_) => "mask",
            Self::Hold { .. } => "hold",
            Self::Deny => "deny",
        }
    }

    /// Returns how the column must be masked, if it must.
    pub const fn mask(&self) -> Option<&Mask> {
        match self {
            Self::Mask(mask) | Self::Hold { mask: Some(mask), .. } => Some(mask),
            Self::Allow | Self::Hold { mask: None, .. } | Self::Deny => None,
        }
    }
}

/// Names a rule and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RuleRef {
    /// Its `@id`, else `file.cedar:LINE`. Unique in the bundle.
    pub id: String,
    /// The file within the bundle; the gateway's own rules are in `gatepost`.
    pub file: String,
    /// The line that it begins in, from 1.
    pub line: u32,
    /// Whether it forbids.
    pub forbid: bool,
    /// What it says of the approval that it asks for, if it asks for one.
    #[serde(skip_serializing_if = "says_nothing")]
    pub terms: Option<Terms>,
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
fn says_nothing(terms: &Option<Terms>) -> bool {
    terms.as_ref().is_none_or(Terms::is_empty)
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

/// Something that would make a touch pass, or why nothing would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "help", rename_all = "snake_case")]
pub enum Help {
    /// The column may be selected with its values masked, if it is only returned.
    Masked,
    /// These approver groups must approve, all of them.
    ApprovedBy {
        /// Names in `[approvers]`.
        groups: Vec<String>,
    },
    /// It would pass with a WHERE clause.
    Where,
    /// No rule permits it.
    Permit {
        /// What a rule must permit.
        action: Action,
        /// On what, as rules write it: `Relation::"app.public.t"`.
        resource: String,
    },
    /// A rule forbids it, whatever is promised.
    Forbidden {
        /// The rule.
        rule: Arc<RuleRef>,
    },
    /// A rule, or the request as a whole, could not be evaluated, so it can't be told what is forbidden.
    Failed {
        /// The rule.
        rule: Option<Arc<RuleRef>>,
        /// What went wrong.
        error: String,
    },
    /// The action can't be asked of such a resource, or the request is not for this bundle's database.
    Impossible,
}

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masked => f.write_str("select the column without using it otherwise: it comes masked"),
            Self::ApprovedBy { groups } => write!(f, "needs approval by {}", groups.join(" and ")),
            Self::Where => f.write_str("passes with a WHERE clause"),
            Self::Permit { action, resource } => write!(f, "no rule permits {action} on {resource}"),
            Self::Forbidden { rule } => write!(f, "forbidden by {rule}"),
            Self::Failed { rule: Some(rule), error } => {
                write!(f, "rule {rule} could not be evaluated: {error}")
            }
            Self::Failed { rule: None, error } => write!(f, "the request could not be evaluated: {error}"),
            Self::Impossible => f.write_str("there is no such action on such a resource"),
        }
    }
}

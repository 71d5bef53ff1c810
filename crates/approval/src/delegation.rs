//! Delegations: somebody votes with another's groups for a while. Knows no request.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::who::{Stamp, Who};

/// The longest that a delegation may hold.
pub const DELEGATION_MAX: Duration = Duration::from_secs(90 * 24 * 3600);

/// That somebody may vote in another's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// Its name.
    pub id: String,
    /// In whose place, with the groups of the moment when it was made.
    pub from: Who,
    /// Who, as `issuer:subject`.
    pub to: String,
    /// With which groups; some of `from`'s own, never one that was delegated to it.
    pub groups: BTreeSet<String>,
    /// Until when.
    pub until: Stamp,
    /// Why.
    pub reason: String,
    /// When it was made.
    pub made: Stamp,
    /// When it was ended before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Stamp>,
}

/// Why a delegation can't be made: whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDelegation {
    /// To oneself.
    #[error("nobody can delegate to themselves")]
    Oneself,
    /// An agent that acts for somebody has no vote.
    #[error("who acts for somebody else has no vote to delegate")]
    ForAnother,
    /// Not `issuer:subject`.
    #[error("\"{0}\" doesn't say who: write issuer:subject")]
    Nobody(String),
    /// No group is left.
    #[error("there is no group to delegate")]
    NoGroups,
    /// Groups that whoever delegates is not in. What was delegated to them is not theirs to pass on.
    #[error("only own groups can be delegated, not \"{0}\"")]
    NotTheirs(String),
    /// The end is past.
    #[error("its end is past")]
    Over,
    /// The end is too far off.
    #[error("it can hold for at most 90 days")]
    TooLong,
    /// No reason was given.
    #[error("a delegation needs a reason")]
    NoReason,
}

impl Delegation {
    /// Makes a delegation of `groups`, or of all that `from` is in.
    ///
    /// # Errors
    /// [`BadDelegation`]: whoever asked.
    pub fn new(
        id: String,
        (from, to): (Who, &str),
        groups: Option<BTreeSet<String>>,
        until: Stamp,
        reason: &str,
        now: Stamp,
    ) -> Result<Self, BadDelegation> {
        let named =
            to.split_once(':').is_some_and(|(issuer, subject)| !issuer.is_empty() && !subject.is_empty());
        if !named {
            return Err(BadDelegation::Nobody(to.to_owned()));
        }
        if from.to_string() == to {
            return Err(BadDelegation::Oneself);
        }
        if from.on_behalf_of.is_some() {
            return Err(BadDelegation::ForAnother);
        }
        let groups = groups.unwrap_or_else(|| from.groups.clone());
        if let Some(group) = groups.difference(&from.groups).next() {
            return Err(BadDelegation::NotTheirs(group.clone()));
        }
        if groups.is_empty() {
            return Err(BadDelegation::NoGroups);
        }
        if until <= now {
            return Err(BadDelegation::Over);
        }
        if until > now.after(DELEGATION_MAX) {
            return Err(BadDelegation::TooLong);
        }
        let reason = reason.trim().to_owned();
        if reason.is_empty() {
            return Err(BadDelegation::NoReason);
        }
        Ok(Self { id, from, to: to.to_owned(), groups, until, reason, made: now, ended: None })
    }

    /// Returns whether it is in force.
    pub fn holds(&self, now: Stamp) -> bool {
        self.ended.is_none() && self.made <= now && now < self.until
    }

    /// Returns in whose place `who` votes by it, with the groups that it gives; `None` where it gives nothing.
    pub fn gives(&self, who: &Who, now: Stamp) -> Option<Who> {
        if !self.holds(now) || self.to != who.to_string() || self.from.is_same_person(who) {
            return None;
        }
        let groups = self.groups.intersection(&self.from.groups).cloned().collect();
        Some(Who { groups, ..self.from.clone() })
    }
}

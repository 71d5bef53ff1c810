//! What approvers have agreed to, as a session keeps it until the statement runs. The only place where a grant is spent.
//!
//! Knows digests, not statements; asks neither approvers nor policy.

use std::collections::BTreeSet;
use std::sync::Arc;

use approval::{Grant, Number};
use policy::Bundle;

use crate::asking::Bindings;

/// What approvers have agreed to, of one statement as it was when they were asked. Made of grants, and only here.
#[derive(Debug)]
pub(crate) struct Approved {
    binding: approval::Binding,
    bundle: [u8; 32],
    by: BTreeSet<String>,
    number: Number,
    /// Of the catalog, where the session has waited for it; an approval that was there before may be of another gateway.
    epoch: Option<u64>,
}

impl Approved {
    /// Spends a grant for what was asked; `None` if it is for something else. `before` was granted for the same.
    pub(crate) fn spend(
        grant: Grant,
        bound: &Bindings,
        before: Option<&Self>,
        bundle: &Bundle,
        epoch: Option<u64>,
    ) -> Option<Arc<Self>> {
        let fits = grant.binding() == bound.exact || Some(grant.binding()) == bound.pattern;
        if !fits {
            return None;
        }
        let mut by = grant.approved_by().clone();
        if let Some(before) = before.filter(|before| before.binding == bound.exact) {
            by.extend(before.by.iter().cloned());
        }
        let number = grant.number();
        Some(Arc::new(Self { binding: bound.exact, bundle: bundle.hash(), by, number, epoch }))
    }

    /// Whether it is for what would run now. `bodies`: something in it does what its definition says, which the binding doesn't.
    pub(crate) fn fits(&self, now: &Bindings, bundle: &Bundle, epoch: u64, bodies: bool) -> bool {
        self.binding == now.exact
            && self.bundle == bundle.hash()
            && (!bodies || self.epoch.is_none_or(|asked| asked == epoch))
    }

    /// Whether it is for this statement, whatever has become of the policy.
    pub(crate) fn is_for(&self, bound: &Bindings) -> bool {
        self.binding == bound.exact
    }

    /// Whether all who have agreed to the other have agreed to this.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.by.is_superset(&other.by)
    }

    /// Whether it was given under this bundle.
    pub(crate) fn is_of(&self, bundle: &Bundle) -> bool {
        self.bundle == bundle.hash()
    }

    /// The groups of approvers who agreed.
    pub(crate) const fn by(&self) -> &BTreeSet<String> {
        &self.by
    }

    /// Whether this group of approvers is among those who agreed.
    pub(crate) fn is_by(&self, group: &str) -> bool {
        self.by.contains(group)
    }

    /// The request.
    pub(crate) const fn number(&self) -> Number {
        self.number
    }
}

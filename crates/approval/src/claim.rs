//! The only way from an approved request to the grant that lets its statement be decided again.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ask::{Binding, Wait};
use crate::request::{Number, Request, State, Verdict};
use crate::who::{Stamp, Who};

/// How long after the last vote a held statement may be let go: its gateway does so at once.
pub(crate) const CLAIM_WITHIN: Duration = Duration::from_secs(60);

/// Who wants to use an approval, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Claimer<'a> {
    /// Whose statement it is.
    pub requester: &'a Who,
    /// Its session.
    pub session: Option<&'a str>,
    /// What it is bound to, and the pattern that it is of.
    pub bindings: (Binding, Option<Binding>),
}

/// Why an approval can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotClaimable {
    /// It is not approved, or not any more.
    #[error("it is not approved")]
    NotApproved,
    /// Its time is over.
    #[error("its time is over")]
    Late,
    /// Another identity's, or another session's.
    #[error("it is somebody else's")]
    NotTheirs,
    /// Something else was approved.
    #[error("something else was approved")]
    OtherBinding,
    /// What is recorded of it is no approval. The store is not as it was written.
    #[error("its votes are no approval")]
    NoQuorum,
}

/// One use of an approval, taken from a request that has yet to be written.
#[must_use = "a use that is not written is not taken"]
#[derive(Debug)]
pub struct Claim(Grant);

impl Claim {
    /// Returns the grant.
    ///
    /// INVARIANT: only when the store has replaced the very request that was claimed from by the one with the use counted. A comparison
    /// that failed means that somebody else has taken the use: read again.
    pub fn written(self) -> Grant {
        self.0
    }
}

/// Proof that approvers have agreed to what the binding names, to be spent by value.
///
/// Only [`Request::claim`] makes one:
///
/// ```compile_fail,E0451
/// use approval::{Binding, Grant, Number};
/// let grant = Grant {
///     number: Number(1),
///     binding: Binding::of(&[]),
///     approved_by: Default::default(),
///     persons: Vec::new(),
/// };
/// ```
///
/// and it can't be copied:
///
/// ```compile_fail,E0599
/// fn twice(grant: approval::Grant) -> (approval::Grant, approval::Grant) {
///     (grant.clone(), grant)
/// }
/// ```
#[derive(Debug)]
pub struct Grant {
    number: Number,
    binding: Binding,
    approved_by: BTreeSet<String>,
    persons: Vec<String>,
}

impl Grant {
    /// The request.
    pub const fn number(&self) -> Number {
        self.number
    }

    /// What was approved.
    pub const fn binding(&self) -> Binding {
        self.binding
    }

    /// Names in `[approvers]`, for `context.approved_by`.
    pub const fn approved_by(&self) -> &BTreeSet<String> {
        &self.approved_by
    }

    /// Who, as `issuer:subject`.
    pub fn persons(&self) -> &[String] {
        &self.persons
    }
}

impl Request {
    /// Takes one use of what was approved.
    ///
    /// # Errors
    /// [`NotClaimable`]: nothing has changed.
    pub fn claim(&mut self, claimer: &Claimer<'_>, now: Stamp) -> Result<Claim, NotClaimable> {
        let State::Approved = self.state else { return Err(NotClaimable::NotApproved) };
        if self.used >= self.ask.uses.max(1) {
            return Err(NotClaimable::NotApproved);
        }
        if now >= self.until {
            return Err(NotClaimable::Late);
        }
        let asked = &self.ask.requester;
        let theirs = asked.is(claimer.requester) && asked.on_behalf_of == claimer.requester.on_behalf_of;
        let here = match self.ask.wait {
            Wait::Held { .. } => claimer.session.is_some() && claimer.session == self.ask.session.as_deref(),
            Wait::Async | Wait::Before => true,
        };
        if !theirs || !here {
            return Err(NotClaimable::NotTheirs);
        }
        let (exact, pattern) = claimer.bindings;
        let wanted = if self.ask.statement.pattern { pattern } else { Some(exact) };
        if wanted != Some(self.ask.binding) {
            return Err(NotClaimable::OtherBinding);
        }
        // SECURITY: by the votes, not by what the state says of them.
        if self.votes.iter().any(|vote| vote.verdict == Verdict::Deny)
            || !(self.has_quorum() || self.glass_broken())
        {
            return Err(NotClaimable::NoQuorum);
        }
        self.used += 1;
        self.changed = now;
        if self.used >= self.ask.uses.max(1) {
            self.state = State::Used;
        }
        Ok(Claim(Grant {
            number: self.number,
            binding: self.ask.binding,
            approved_by: self.ask.needs.iter().map(|need| need.name.clone()).collect(),
            persons: self.deciders(),
        }))
    }

    /// Returns whether somebody has had it run without waiting for approval.
    pub fn glass_broken(&self) -> bool {
        self.votes.iter().any(|vote| vote.verdict == Verdict::BreakGlass)
    }

    fn deciders(&self) -> Vec<String> {
        let yes = self.votes.iter().filter(|vote| match vote.verdict {
            Verdict::Approve | Verdict::BreakGlass => true,
            Verdict::Deny | Verdict::Review => false,
        });
        yes.map(|vote| vote.by.to_string()).collect()
    }
}

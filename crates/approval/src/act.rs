//! What people do to a request, and who may: the only place that says so.

use serde::{Deserialize, Serialize};

use crate::ask::Wait;
use crate::claim::CLAIM_WITHIN;
use crate::delegation::Delegation;
use crate::outcome::Ended;
use crate::request::{Request, Review, State, Verdict, Vote};
use crate::who::{Relation, Stamp, Who};

/// The longest reason, in bytes: the requester's client is told it.
const REASON_BYTES_MAX: usize = 2000;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Say yes.
    Approve,
    /// Say no. One is enough, also after others have approved, until it is used.
    Deny,
    /// Have it run at once.
    BreakGlass,
    /// Look at a break-glass afterwards.
    Review,
    /// Take back what one has asked for.
    Withdraw,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Approve, Self::Deny, Self::BreakGlass, Self::Review, Self::Withdraw];

    /// Returns the word that reports and addresses use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::BreakGlass => "break-glass",
            Self::Review => "review",
            Self::Withdraw => "withdraw",
        }
    }
}

/// How it was said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// Why; of a denial, what the requester is told.
    pub reason: Option<&'a str>,
    /// Where: `console`, `cli`, `slack`, ...
    pub via: &'a str,
}

/// Why an act is refused: whoever tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too late: it has been decided, or is over.
    #[error("it is no longer open: {0}")]
    Over(&'static str),
    /// Too late: its time is over.
    #[error("its time is over")]
    Late,
    /// It has to do with whoever asks.
    #[error("{}", related(*.0))]
    Related(Relation),
    /// In none of these groups.
    #[error("only members of {} decide this", .0.join(", "))]
    NotInGroup(Vec<String>),
    /// The same person has approved already, perhaps by or for somebody else.
    #[error("the same person has approved already, and counts once")]
    Counted,
    /// Enough of those groups have approved; others are still needed.
    #[error("enough of their groups have approved already; others are needed")]
    Surplus,
    /// A reason is needed.
    #[error("a reason is needed")]
    ReasonRequired,
    /// The reason is too long.
    #[error("a reason has at most {REASON_BYTES_MAX} bytes")]
    ReasonTooLong,
    /// Breaking the glass is not foreseen, or not for them.
    #[error("they may not break the glass here")]
    NoBreakGlass,
    /// There is nothing to review.
    #[error("there is nothing to review")]
    NothingToReview,
    /// Who broke the glass can't review it.
    #[error("who broke the glass can't review it")]
    OwnBreakGlass,
    /// Only the requester, or whom it acts for, takes it back.
    #[error("only who asked can take it back")]
    NotTheirs,
}

impl Refused {
    /// Returns a stable word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Over(_) => "over",
            Self::Late => "late",
            Self::Related(_) => "related",
            Self::NotInGroup(_) => "not_in_group",
            Self::Counted => "counted",
            Self::Surplus => "surplus",
            Self::ReasonRequired => "reason_required",
            Self::ReasonTooLong => "reason_too_long",
            Self::NoBreakGlass => "no_break_glass",
            Self::NothingToReview => "nothing_to_review",
            Self::OwnBreakGlass => "own_break_glass",
            Self::NotTheirs => "not_theirs",
        }
    }
}

const fn related(relation: Relation) -> &'static str {
    match relation {
        Relation::Itself => "nobody decides about what they ask themselves",
        Relation::ActedFor => "nobody decides about what is asked in their name",
        Relation::Owner => "nobody decides about what their own agent asks",
        Relation::ForAnother => "an agent of somebody else has no vote here",
        Relation::Owned => "who belongs to the same owner has no vote",
    }
}

/// In whose place somebody acts, and for which groups.
struct Capacity {
    delegated_by: Option<Who>,
    counts_for: Vec<String>,
}

impl Request {
    /// Does it, if they may.
    ///
    /// # Errors
    /// [`Refused`]: nothing has changed.
    pub fn act(
        &mut self,
        act: Act,
        by: &Who,
        said: Said<'_>,
        delegations: &[Delegation],
        now: Stamp,
    ) -> Result<(), Refused> {
        let capacity = self.capacity(act, by, delegations, now)?;
        let reason = said.reason.map(str::trim).filter(|reason| !reason.is_empty());
        if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
            return Err(Refused::ReasonTooLong);
        }
        if reason.is_none() && self.wants_reason(act, &capacity) {
            return Err(Refused::ReasonRequired);
        }
        let verdict = match act {
            Act::Approve => Verdict::Approve,
            Act::Deny => Verdict::Deny,
            Act::BreakGlass => Verdict::BreakGlass,
            Act::Review => Verdict::Review,
            Act::Withdraw => {
                self.close(State::Ended(Ended::Withdrawn), now);
                return Ok(());
            }
        };
        self.votes.push(Vote {
            by: by.clone(),
            delegated_by: capacity.delegated_by,
            verdict,
            reason: reason.map(str::to_owned),
            at: now,
            via: said.via.to_owned(),
            counts_for: capacity.counts_for,
        });
        match verdict {
            Verdict::Approve if self.has_quorum() => self.approved(now),
            Verdict::Approve => self.changed = now,
            Verdict::Deny => self.close(State::Denied, now),
            Verdict::BreakGlass => {
                self.review = Review::Due;
                self.approved(now);
            }
            Verdict::Review => {
                self.review = Review::Done;
                self.changed = now;
            }
        }
        Ok(())
    }

    /// Says whether they may, but for the reason that they would have to give.
    ///
    /// # Errors
    /// [`Refused`]: why not.
    pub fn may(&self, act: Act, by: &Who, delegations: &[Delegation], now: Stamp) -> Result<(), Refused> {
        self.capacity(act, by, delegations, now).map(drop)
    }

    /// Returns whether they would have to say why.
    pub fn needs_reason(&self, act: Act, by: &Who, delegations: &[Delegation], now: Stamp) -> bool {
        self.capacity(act, by, delegations, now).is_ok_and(|capacity| self.wants_reason(act, &capacity))
    }

    fn capacity(
        &self,
        act: Act,
        by: &Who,
        delegations: &[Delegation],
        now: Stamp,
    ) -> Result<Capacity, Refused> {
        match act {
            Act::Approve => self.can_approve(by, delegations, now),
            Act::Deny => self.can_deny(by, delegations, now),
            Act::BreakGlass => self.can_break_glass(by, now),
            Act::Review => self.can_review(by, delegations, now),
            Act::Withdraw => self.can_withdraw(by),
        }
    }

    fn can_approve(&self, by: &Who, delegations: &[Delegation], now: Stamp) -> Result<Capacity, Refused> {
        let State::Open = self.state else { return Err(Refused::Over(self.state.as_str())) };
        self.in_time(now)?;
        let mut refused = None;
        for place in self.places(by, delegations, now)? {
            let persons = [Some(by), place.delegated_by.as_ref()];
            let counted = persons.into_iter().flatten().any(|person| self.has_counted(person));
            let groups = &place.delegated_by.as_ref().unwrap_or(by).groups;
            if counted {
                refused = refused.or(Some(Refused::Counted));
            } else if self.would_add(groups) == 0 {
                refused = refused.or(Some(Refused::Surplus));
            } else {
                return Ok(place);
            }
        }
        Err(refused.unwrap_or_else(|| self.not_in_group()))
    }

    fn can_deny(&self, by: &Who, delegations: &[Delegation], now: Stamp) -> Result<Capacity, Refused> {
        let open = match self.state {
            State::Open => true,
            // Whoever waits for it has been let go already.
            State::Approved => !matches!(self.ask.wait, Wait::Held { .. }),
            State::Denied | State::Used | State::Ended(_) => false,
        };
        if !open {
            return Err(Refused::Over(self.state.as_str()));
        }
        self.in_time(now)?;
        self.places(by, delegations, now)?.into_iter().next().ok_or_else(|| self.not_in_group())
    }

    /// By oneself only: it is not delegated. The requester's own human may, who will answer for it. SECURITY: an agent may not, which acts for somebody
    /// or has an owner: by its own glass it would let itself through.
    fn can_break_glass(&self, by: &Who, now: Stamp) -> Result<Capacity, Refused> {
        let State::Open = self.state else { return Err(Refused::Over(self.state.as_str())) };
        self.in_time(now)?;
        if by.on_behalf_of.is_some() || by.owner.is_some() {
            return Err(Refused::Related(Relation::ForAnother));
        }
        let missing: Vec<_> =
            self.progress().into_iter().filter(|it| it.have < it.needed).map(|it| it.name).collect();
        let mut left = self.ask.needs.iter().filter(|need| missing.contains(&need.name)).peekable();
        let may = |group: &Option<String>| group.as_ref().is_some_and(|group| by.groups.contains(group));
        // Every group that has not approved yet must foresee it, and for them.
        if left.peek().is_none() || !left.all(|need| may(&need.break_glass)) {
            return Err(Refused::NoBreakGlass);
        }
        Ok(Capacity { delegated_by: None, counts_for: missing })
    }

    fn can_review(&self, by: &Who, delegations: &[Delegation], now: Stamp) -> Result<Capacity, Refused> {
        if self.review != Review::Due {
            return Err(Refused::NothingToReview);
        }
        let broke = |who: &Who| {
            let glass = self.votes.iter().filter(|vote| vote.verdict == Verdict::BreakGlass);
            glass.into_iter().any(|vote| vote.by.is_same_person(who))
        };
        if broke(by) {
            return Err(Refused::OwnBreakGlass);
        }
        let places = self.places(by, delegations, now)?;
        let other = |place: &Capacity| place.delegated_by.as_ref().is_none_or(|from| !broke(from));
        let some = !places.is_empty();
        let refused = || if some { Refused::OwnBreakGlass } else { self.not_in_group() };
        places.into_iter().find(other).ok_or_else(refused)
    }

    fn can_withdraw(&self, by: &Who) -> Result<Capacity, Refused> {
        if !matches!(self.state, State::Open | State::Approved) {
            return Err(Refused::Over(self.state.as_str()));
        }
        match by.relation(&self.ask.requester) {
            Some(Relation::Itself | Relation::ActedFor | Relation::Owner) => {
                Ok(Capacity { delegated_by: None, counts_for: Vec::new() })
            }
            Some(Relation::ForAnother | Relation::Owned) | None => Err(Refused::NotTheirs),
        }
    }

    /// Returns the ways in which somebody may decide: by themselves first, then for others.
    fn places(&self, by: &Who, delegations: &[Delegation], now: Stamp) -> Result<Vec<Capacity>, Refused> {
        if let Some(relation) = by.relation(&self.ask.requester) {
            return Err(Refused::Related(relation));
        }
        let mut related = None;
        let mut places = Vec::new();
        let own = self.admitting(by);
        if !own.is_empty() {
            places.push(Capacity { delegated_by: None, counts_for: own });
        }
        for from in delegations.iter().filter_map(|delegation| delegation.gives(by, now)) {
            let counts_for = self.admitting(&from);
            if counts_for.is_empty() {
                continue;
            }
            // Nobody decides about their own by lending their vote either.
            match from.relation(&self.ask.requester) {
                Some(relation) => related = Some(relation),
                None => places.push(Capacity { delegated_by: Some(from), counts_for }),
            }
        }
        match related {
            Some(relation) if places.is_empty() => Err(Refused::Related(relation)),
            _ => Ok(places),
        }
    }

    /// Names the entries that somebody may decide for.
    fn admitting(&self, who: &Who) -> Vec<String> {
        let needs = self.ask.needs.iter().filter(|need| need.admits(&who.groups));
        needs.map(|need| need.name.clone()).collect()
    }

    fn has_counted(&self, person: &Who) -> bool {
        self.approvals().any(|vote| {
            vote.by.is_same_person(person)
                || vote.delegated_by.as_ref().is_some_and(|from| from.is_same_person(person))
        })
    }

    fn in_time(&self, now: Stamp) -> Result<(), Refused> {
        if now >= self.until { Err(Refused::Late) } else { Ok(()) }
    }

    fn not_in_group(&self) -> Refused {
        Refused::NotInGroup(self.asked())
    }

    fn wants_reason(&self, act: Act, capacity: &Capacity) -> bool {
        match act {
            Act::BreakGlass => true,
            Act::Approve => {
                let needs = self.ask.needs.iter().filter(|need| capacity.counts_for.contains(&need.name));
                needs.into_iter().any(|need| need.reason_required)
            }
            Act::Deny | Act::Review | Act::Withdraw => false,
        }
    }

    fn approved(&mut self, now: Stamp) {
        self.state = State::Approved;
        self.changed = now;
        self.until = match self.ask.wait {
            // The connection waits: it goes on at once, or it has gone.
            Wait::Held { .. } => now.after(CLAIM_WITHIN),
            Wait::Async | Wait::Before => now.after(self.ask.use_within),
        };
    }

    pub(crate) fn close(&mut self, state: State, now: Stamp) {
        self.state = state;
        self.changed = now;
    }
}

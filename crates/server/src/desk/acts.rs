//! What people do to requests. The same for every channel: who it is was proven elsewhere, whether they may is decided here.

use approval::{Act, Delegation, Number, Refused, Request, Said, State, Who};
use config::{IssuerGroup, Operators};
use store::StoreError;

use super::{Desk, Happened, TRIES_MAX, now};

/// What is known of who may decide, as it is configured now.
pub(crate) struct Deciding<'a> {
    /// `[operators]`.
    pub(crate) operators: &'a Operators,
    /// The blocks that are in force: whoever is kept out of the databases decides nothing either.
    pub(crate) blocked: &'a (dyn Fn(&Who) -> Option<String> + Sync),
}

/// Why an act is refused.
#[derive(Debug, thiserror::Error)]
pub enum ActRefused {
    /// Whoever tried: there is no such request.
    #[error("there is no request {0}")]
    Unknown(Number),
    /// Whoever tried: they are in no group of `[operators] approver`.
    #[error("they don't have the role approver")]
    NotApprover,
    /// Whoever tried: they are kept out.
    #[error("they are kept out by block {0}")]
    Blocked(String),
    /// Whoever tried.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nobody: others were faster again and again. Try again.
    #[error("others were faster; look at it again")]
    Overtaken,
    /// Operator: the store.
    #[error("it can't be decided now: {0}")]
    Store(#[from] StoreError),
    /// Operator: the journal.
    #[error("it can't be recorded, so it is not done: {0}")]
    Unrecorded(#[from] journal::JournalError),
}

impl ActRefused {
    /// Returns a stable word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown",
            Self::NotApprover => "not_approver",
            Self::Blocked(_) => "blocked",
            Self::Refused(refused) => refused.as_str(),
            Self::Overtaken => "overtaken",
            Self::Store(_) => "store",
            Self::Unrecorded(_) => "unrecorded",
        }
    }
}

impl Deciding<'_> {
    /// SECURITY: a group counts together with its issuer, so that no other issuer makes approvers.
    fn is_approver(&self, who: &Who) -> bool {
        is_in(&self.operators.approver, who)
    }

    pub(super) fn is_operator(&self, who: &Who) -> bool {
        is_in(&self.operators.operator, who)
    }

    pub(super) fn admit(&self, act: Act, who: &Who) -> Result<(), ActRefused> {
        if let Some(block) = (self.blocked)(who) {
            return Err(ActRefused::Blocked(block));
        }
        match act {
            // It is theirs.
            Act::Withdraw => Ok(()),
            Act::Approve | Act::Deny | Act::BreakGlass | Act::Review if self.is_approver(who) => Ok(()),
            Act::Approve | Act::Deny | Act::BreakGlass | Act::Review => Err(ActRefused::NotApprover),
        }
    }
}

fn is_in(groups: &[IssuerGroup], who: &Who) -> bool {
    groups.iter().any(|it| it.issuer == who.issuer && who.groups.contains(&it.group))
}

impl Desk {
    /// Does it, if they may.
    ///
    /// # Errors
    /// [`ActRefused`]: nothing has changed; whoever tried is in the journal.
    pub(crate) async fn act(
        &self,
        number: Number,
        who: &Who,
        act: Act,
        said: Said<'_>,
        deciding: &Deciding<'_>,
    ) -> Result<Request, ActRefused> {
        let done = self.try_act(number, who, act, said, deciding).await;
        if let Err(refused) = &done {
            let by = who.to_string();
            let told = (refused.as_str(), refused.to_string());
            self.note_refused(Some(number), (act.as_str(), Some(&by), said.via), (told.0, &told.1));
        }
        done
    }

    async fn try_act(
        &self,
        number: Number,
        who: &Who,
        act: Act,
        said: Said<'_>,
        deciding: &Deciding<'_>,
    ) -> Result<Request, ActRefused> {
        deciding.admit(act, who)?;
        let lent = self.lent_to(who, deciding).await?;
        for _ in 0..TRIES_MAX {
            let kept = self.store.request(number).await?.ok_or(ActRefused::Unknown(number))?;
            let mut request = kept.request;
            request.act(act, who, said, &lent, now())?;
            self.record_act(&request, act, who)?;
            match self.store.replace(&request, kept.version).await {
                Ok(true) => {
                    self.acted(&request, act, who, said);
                    return Ok(request);
                }
                Ok(false) => self.note_overtaken(number, act.as_str(), Some(&who.to_string()), said.via),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ActRefused::Overtaken)
    }

    fn acted(&self, request: &Request, act: Act, who: &Who, said: Said<'_>) {
        let (number, state) = (request.number, request.state.as_str());
        let happened = match act {
            Act::Approve if request.state != State::Approved => None,
            Act::Approve | Act::Deny => Some(Happened::Decided),
            Act::BreakGlass => {
                tracing::warn!(%number, by = who.to_string(), via = said.via, "the glass is broken: a statement runs that nobody has approved");
                Some(Happened::BreakGlass)
            }
            Act::Review => Some(Happened::Reviewed),
            Act::Withdraw => Some(Happened::Ended),
        };
        tracing::info!(%number, by = who.to_string(), act = act.as_str(), via = said.via, state, "approval");
        if let Some(happened) = happened {
            self.tell(request, happened);
        }
    }

    /// Says which acts somebody may do, and why not the others.
    ///
    /// # Errors
    /// Operator: the store.
    pub(crate) async fn may(
        &self,
        request: &Request,
        who: &Who,
        deciding: &Deciding<'_>,
    ) -> Result<Vec<(Act, Option<ActRefused>)>, StoreError> {
        let lent = self.lent_to(who, deciding).await?;
        let one = |act: Act| {
            let may = deciding.admit(act, who).and_then(|()| Ok(request.may(act, who, &lent, now())?));
            (act, may.err())
        };
        Ok(Act::ALL.into_iter().map(one).collect())
    }

    /// Returns the delegations by which somebody votes for others, with the groups that those others still have.
    ///
    /// SECURITY: whoever has lost the role or a group, or is kept out, has nothing to lend.
    async fn lent_to(&self, who: &Who, deciding: &Deciding<'_>) -> Result<Vec<Delegation>, StoreError> {
        let me = who.to_string();
        let mut lent = Vec::new();
        let to_me = self.delegations().await?.into_iter().filter(|delegation| delegation.to == me);
        for mut delegation in to_me {
            let from = &delegation.from;
            if let Some(person) = self.store.person(&from.issuer, &from.subject).await?
                && person.last_seen >= delegation.made
            {
                delegation.from = person.who;
            }
            if (deciding.blocked)(&delegation.from).is_none() && deciding.is_approver(&delegation.from) {
                lent.push(delegation);
            }
        }
        Ok(lent)
    }
}

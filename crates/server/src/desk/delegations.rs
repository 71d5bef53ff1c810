//! Delegations as they are kept: made by whoever lends, ended by them or an operator.

use std::collections::BTreeSet;

use approval::{Act, BadDelegation, Delegation, Stamp, Who};
use store::StoreError;

use super::{ActRefused, Deciding, Desk, now};
use crate::cancel;

/// What somebody wants to lend.
#[derive(Clone, Debug)]
pub struct Lend {
    /// `issuer:subject` of who votes instead.
    pub to: String,
    /// With which of their groups; `None`: all.
    pub groups: Option<BTreeSet<String>>,
    /// Until when.
    pub until: Stamp,
    /// Why.
    pub reason: String,
}

/// Why a delegation is not made or not ended.
#[derive(Debug, thiserror::Error)]
pub enum DelegationRefused {
    /// Whoever asked.
    #[error(transparent)]
    Bad(#[from] BadDelegation),
    /// Whoever asked: they have no vote themselves, or are kept out.
    #[error(transparent)]
    Refused(#[from] ActRefused),
    /// Whoever asked: there is none of that name.
    #[error("there is no delegation {0}")]
    Unknown(String),
    /// Whoever asked.
    #[error("only who made a delegation, or an operator, ends it")]
    NotTheirs,
    /// Operator: the operating system.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// Operator: the store.
    #[error("it can't be kept: {0}")]
    Store(#[from] StoreError),
    /// Operator: the journal.
    #[error("it can't be recorded, so it is not done: {0}")]
    Unrecorded(#[from] journal::JournalError),
}

impl Desk {
    /// Returns the delegations that are in force.
    ///
    /// # Errors
    /// Operator: the store.
    pub(crate) async fn delegations(&self) -> Result<Vec<Delegation>, StoreError> {
        self.store.delegations(now()).await
    }

    /// Makes a delegation of somebody's own groups.
    ///
    /// # Errors
    /// [`DelegationRefused`]: there is none.
    pub(crate) async fn lend(
        &self,
        from: &Who,
        lend: Lend,
        deciding: &Deciding<'_>,
    ) -> Result<Delegation, DelegationRefused> {
        let made = self.try_lend(from, lend, deciding).await;
        self.note_if_refused(from, "delegate", made.as_ref().err());
        made
    }

    async fn try_lend(
        &self,
        from: &Who,
        lend: Lend,
        deciding: &Deciding<'_>,
    ) -> Result<Delegation, DelegationRefused> {
        deciding.admit(Act::Approve, from)?;
        let id = hex::encode(cancel::random::<8>().map_err(|_| DelegationRefused::NoRandomness)?);
        let Lend { to, groups, until, reason } = lend;
        let delegation = Delegation::new(id, (from.clone(), &to), groups, until, &reason, now())?;
        self.record_delegation("made", from, &delegation)?;
        self.store.add_delegation(&delegation).await?;
        tracing::info!(from = from.to_string(), to, delegation = delegation.id, "a vote is delegated");
        Ok(delegation)
    }

    /// Ends a delegation: one's own, or as an operator anybody's.
    ///
    /// # Errors
    /// [`DelegationRefused`]: it is as before.
    pub(crate) async fn end_delegation(
        &self,
        by: &Who,
        id: &str,
        deciding: &Deciding<'_>,
    ) -> Result<Delegation, DelegationRefused> {
        let ended = self.try_end_delegation(by, id, deciding).await;
        self.note_if_refused(by, "end-delegation", ended.as_ref().err());
        ended
    }

    async fn try_end_delegation(
        &self,
        by: &Who,
        id: &str,
        deciding: &Deciding<'_>,
    ) -> Result<Delegation, DelegationRefused> {
        let unknown = || DelegationRefused::Unknown(id.to_owned());
        let mut delegation = self.store.delegation(id).await?.ok_or_else(unknown)?;
        if !delegation.from.is(by) && !deciding.is_operator(by) {
            return Err(DelegationRefused::NotTheirs);
        }
        let now = now();
        if !delegation.holds(now) {
            return Err(unknown());
        }
        self.record_delegation("ended", by, &delegation)?;
        self.store.end_delegation(id, now).await?;
        delegation.ended = Some(now);
        Ok(delegation)
    }

    fn note_if_refused(&self, by: &Who, act: &str, refused: Option<&DelegationRefused>) {
        if let Some(refused) = refused {
            let by = by.to_string();
            self.note_refused(None, (act, Some(&by), "api"), ("delegation", &refused.to_string()));
        }
    }
}

//! Approvals as people see and decide them, whichever way they come. Knows no HTTP; who somebody is was proven elsewhere.

use std::time::SystemTime;

use approval::{Act, Ask, Delegation, Number, Request, Said, Who};
use store::{Change, RequestFilter, StoreError};
use tokio::sync::broadcast;

use super::Control;
use crate::desk::{ActRefused, AskRefused, Deciding, DelegationRefused, Lend};

/// The most requests of one answer: each may hold a text of a megabyte.
const PAGE_MAX: u32 = 100;

impl Control {
    /// Returns requests, the newest first, a hundred at most.
    ///
    /// # Errors
    /// Operator: the store.
    pub async fn approvals(&self, filter: &RequestFilter) -> Result<Vec<Request>, StoreError> {
        let limit = filter.limit.unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let filter = RequestFilter { limit: Some(limit), ..filter.clone() };
        let page = self.gateway.store.requests(&filter).await?;
        Ok(page.into_iter().map(|kept| kept.request).collect())
    }

    /// Returns how many requests there are, whatever the page.
    ///
    /// # Errors
    /// Operator: the store.
    pub async fn count_approvals(&self, filter: &RequestFilter) -> Result<u64, StoreError> {
        self.gateway.store.count_requests(filter).await
    }

    /// Returns a request.
    ///
    /// # Errors
    /// Operator: the store.
    pub async fn approval(&self, number: Number) -> Result<Option<Request>, StoreError> {
        Ok(self.gateway.store.request(number).await?.map(|kept| kept.request))
    }

    /// Says which acts upon a request somebody may do, and why not the others.
    ///
    /// # Errors
    /// Operator: the store.
    pub async fn approval_may(
        &self,
        request: &Request,
        who: &Who,
    ) -> Result<Vec<(Act, Option<ActRefused>)>, StoreError> {
        let (live, desk) = (self.gateway.live(), &self.gateway.desk);
        let blocked = |who: &Who| self.gateway.trust.keeps_out(who, SystemTime::now());
        let deciding = Deciding { operators: &live.config.operators, blocked: &blocked };
        desk.may(request, who, &deciding).await
    }

    /// Does something to a request in somebody's name. `via` names the channel: `console`, `cli`, `slack`, ...
    ///
    /// # Errors
    /// [`ActRefused`]: nothing has changed; that somebody tried is in the journal.
    pub async fn act(
        &self,
        number: Number,
        who: &Who,
        via: &str,
        act: Act,
        reason: Option<&str>,
    ) -> Result<Request, ActRefused> {
        let (live, desk) = (self.gateway.live(), &self.gateway.desk);
        let blocked = |who: &Who| self.gateway.trust.keeps_out(who, SystemTime::now());
        let deciding = Deciding { operators: &live.config.operators, blocked: &blocked };
        desk.act(number, who, act, Said { reason, via }, &deciding).await
    }

    /// Records that something was tried which nobody may: a forged, repeated or old call.
    pub fn note_approval_refused(
        &self,
        number: Option<Number>,
        (act, by, via): (&str, Option<&str>, &str),
        (reason, detail): (&str, &str),
    ) {
        self.gateway.desk.note_refused(number, (act, by, via), (reason, detail));
    }

    /// Asks for something that is to run later.
    ///
    /// # Errors
    /// [`AskRefused`]: nothing is open.
    pub async fn request_before(&self, ask: &Ask) -> Result<Request, AskRefused> {
        self.gateway.desk.ask_before(ask, &self.gateway.terms()).await
    }

    /// Returns the delegations that are in force.
    ///
    /// # Errors
    /// Operator: the store.
    pub async fn delegations(&self) -> Result<Vec<Delegation>, StoreError> {
        self.gateway.desk.delegations().await
    }

    /// Lends somebody's vote.
    ///
    /// # Errors
    /// [`DelegationRefused`]: nothing has changed.
    pub async fn delegate(&self, from: &Who, lend: Lend) -> Result<Delegation, DelegationRefused> {
        let (live, desk) = (self.gateway.live(), &self.gateway.desk);
        let blocked = |who: &Who| self.gateway.trust.keeps_out(who, SystemTime::now());
        let deciding = Deciding { operators: &live.config.operators, blocked: &blocked };
        desk.lend(from, lend, &deciding).await
    }

    /// Ends a delegation: one's own, or as an operator anybody's.
    ///
    /// # Errors
    /// [`DelegationRefused`]: nothing has changed.
    pub async fn end_delegation(&self, by: &Who, id: &str) -> Result<Delegation, DelegationRefused> {
        let (live, desk) = (self.gateway.live(), &self.gateway.desk);
        let blocked = |who: &Who| self.gateway.trust.keeps_out(who, SystemTime::now());
        let deciding = Deciding { operators: &live.config.operators, blocked: &blocked };
        desk.end_delegation(by, id, &deciding).await
    }

    /// Tells of every change to requests and delegations, by whichever gateway.
    pub fn approval_changes(&self) -> broadcast::Receiver<Change> {
        self.gateway.store.changes()
    }
}

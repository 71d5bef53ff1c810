//! What approvers are shown beside a request. Knows no HTTP; who may look at a request at all was decided before.

use std::collections::BTreeSet;
use std::sync::Arc;

use approval::{Act, Number, Request, State, Who};
use model::Identity;
use store::{RequestFilter, Standing, StoreError};

use super::Control;
use crate::preview::{self, ApprovedBefore, Before, NotAsked, NotShown, Plan, RowCount, SoFar, TextShown};
use crate::views::{AuditQuery, Sight, ViewError};

/// Statements of a session that are told.
const SO_FAR_MAX: usize = 20;
/// Earlier requests that are looked at, to find those most alike.
const LOOKED_AT_MAX: u32 = 100;

impl Control {
    /// Shows a request's text and parameters whole, with everything marked that would not be seen or be taken for something else.
    pub fn text_shown(request: &Request) -> TextShown {
        preview::text_shown(&request.ask.statement)
    }

    /// Returns what the planner would do with the statement of a request that waits; of one that is over, what it would have done if that
    /// was asked for in time.
    ///
    /// # Errors
    /// [`NotShown`].
    pub async fn plan(&self, number: Number) -> Result<Arc<Plan>, NotShown> {
        let request = self.live_request(number).await?;
        if let Some(plan) = self.gateway.previews.known_plan(number.0) {
            return Ok(plan);
        }
        if !request.is_live() {
            return Err(NotShown::Impossible(
                "the request is over, and its plan was not asked for".to_owned(),
            ));
        }
        preview::plan(&self.gateway, number, &request.ask).await
    }

    /// Runs the statement of an open request and rolls it back, to say how many rows it would change. Only for who may approve it, where the
    /// policy allows it; on record.
    ///
    /// # Errors
    /// [`NotShown`].
    pub async fn count_rows(&self, number: Number, by: &Identity) -> Result<RowCount, NotShown> {
        let request = self.live_request(number).await?;
        if request.state != State::Open {
            return Err(NotShown::NotAllowed("the request is not open any more".to_owned()));
        }
        let may = self.approval_may(&request, &Who::from(by)).await.map_err(stored)?;
        let approve = may.into_iter().find(|(act, _)| *act == Act::Approve);
        match approve {
            Some((_, None)) => {}
            Some((_, Some(why))) => return Err(NotShown::NotAllowed(why.to_string())),
            None => return Err(NotShown::NotAllowed("nobody may approve it".to_owned())),
        }
        preview::count(&self.gateway, &request, by).await
    }

    /// Returns what the session that waits has done, the last first.
    ///
    /// # Errors
    /// [`ViewError`]: the journal.
    pub async fn session_so_far(&self, request: &Request) -> Result<Vec<SoFar>, ViewError> {
        let Some(session) = &request.ask.session else { return Ok(Vec::new()) };
        let query = AuditQuery {
            session: Some(session.clone()),
            event: Some("statement".to_owned()),
            limit: Some(SO_FAR_MAX),
            ..AuditQuery::default()
        };
        let page = self.audit_search(Sight::Texts, query).await?;
        Ok(page.items.into_iter().map(SoFar::from).collect())
    }

    /// Returns what the same identity had approved before, what is most alike first.
    ///
    /// # Errors
    /// [`StoreError`]: operator.
    pub async fn approved_before(&self, request: &Request) -> Result<Vec<ApprovedBefore>, StoreError> {
        let filter = RequestFilter {
            states: BTreeSet::from([Standing::Approved, Standing::Used]),
            requester: Some(request.ask.requester.to_string()),
            limit: Some(LOOKED_AT_MAX),
            ..RequestFilter::default()
        };
        Ok(preview::approved_before(request, self.approvals(&filter).await?))
    }

    /// Asks approvers for something that its identity will run later: a statement, or a pattern.
    ///
    /// # Errors
    /// [`NotAsked`]: nothing is open.
    pub async fn ask_before(&self, identity: &Identity, before: &Before) -> Result<Request, NotAsked> {
        let ask = preview::ask_before(&self.gateway, identity, before).await?;
        self.request_before(&ask).await.map_err(NotAsked::Desk)
    }

    async fn live_request(&self, number: Number) -> Result<Request, NotShown> {
        self.approval(number).await.map_err(stored)?.ok_or(NotShown::Missing(number))
    }
}

fn stored(error: StoreError) -> NotShown {
    NotShown::Gateway(oidc::chain(&error))
}

//! What became of telling approvers, as operators and approvers see it.

use std::sync::Arc;

use approval::Number;
use store::StoreError;

use super::Control;
use crate::notices::{Notices, Notification};

impl Control {
    /// Returns what became of telling about a request.
    ///
    /// # Errors
    /// Operator: the store.
    pub async fn notifications(&self, number: Number) -> Result<Vec<Notification>, StoreError> {
        self.gateway.notices.of(number).await
    }

    pub(crate) fn notices(&self) -> &Arc<Notices> {
        &self.gateway.notices
    }

    pub(crate) fn issuers(&self) -> Vec<config::Issuer> {
        self.gateway.live().config.issuers.clone()
    }
}

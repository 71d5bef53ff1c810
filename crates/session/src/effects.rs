//! What a statement that is being sent changes in the session's books, once the server has carried it out.

use std::sync::Arc;

use sql::Effect;

use crate::authorize::{Judged, Quotes};
use crate::catalog::Catalog;
use crate::extended::{Portal, Prepared};
use crate::names;
use crate::namespace::OpNumber;
use crate::running::{Running, Status};

/// Whether what a statement means depends on prepared statements or cursors of the session.
pub(crate) fn is_session_bound(effect: &Effect) -> bool {
    matches!(effect, Effect::Execute { .. } | Effect::Fetch { .. })
}

impl Running {
    /// Proposes what the statement will change; it counts once the server has said so.
    pub(crate) fn apply_effect(&mut self, judged: &Arc<Judged>, text: &str, op: OpNumber) {
        let analysis = &judged.analysis;
        match &analysis.effect {
            Effect::Prepare { name } => {
                if let Some(inner) = &judged.inner {
                    let prepared = Prepared::declared(self, text, inner.clone());
                    self.statements.put(op, name.as_bytes(), Arc::new(prepared));
                }
            }
            Effect::Deallocate(Some(name)) => self.statements.remove(op, name.as_bytes()),
            Effect::Deallocate(None) => self.statements.clear(op),
            Effect::Declare { name, hold, binary, .. } => {
                if let Some(inner) = &judged.inner {
                    let portal = Portal::declared(self, text, inner.clone(), *hold, *binary);
                    self.portals.put(op, name.as_bytes(), Arc::new(portal));
                }
            }
            Effect::CloseCursor(Some(name)) => self.portals.remove(op, name.as_bytes()),
            Effect::CloseCursor(None) => self.portals.clear(op),
            Effect::DiscardAll => {
                self.statements.clear(op);
                self.portals.clear(op);
                self.names.unsettle();
            }
            Effect::DiscardTemp | Effect::SetRole { .. } | Effect::SetSessionAuthorization { .. } => {
                self.names.unsettle();
            }
            Effect::ResetAll => self.names.unsettle(),
            Effect::Set { name, .. } | Effect::Reset(name) => {
                if !names::parameter_is_harmless(name) {
                    self.names.unsettle();
                }
            }
            Effect::Begin { .. }
            | Effect::Commit { .. }
            | Effect::Rollback { .. }
            | Effect::RollbackTo(_)
            | Effect::Release(_)
            | Effect::Savepoint(_)
            | Effect::PrepareTransaction { .. }
            | Effect::CommitPrepared { .. }
            | Effect::RollbackPrepared { .. } => {
                self.names.boundary();
                if matches!(analysis.effect, Effect::CommitPrepared { .. }) {
                    self.database.catalog_changed();
                }
            }
            Effect::Define | Effect::Anything => {}
            Effect::None
            | Effect::SetTransaction { .. }
            | Effect::SetSnapshot
            | Effect::SetConstraints
            | Effect::SetByCalls(_)
            | Effect::Execute { .. }
            | Effect::Fetch { .. }
            | Effect::Show(_)
            | Effect::DiscardPlans
            | Effect::DiscardSequences
            | Effect::Listen(_)
            | Effect::Unlisten(_)
            | Effect::Notify { .. }
            | Effect::CopyIn(_)
            | Effect::CopyOut(_) => {}
        }
        self.propose_mode(analysis, text, op);
        for touch in analysis.openers() {
            if !self.openers.contains(touch) {
                self.openers.push(touch.clone());
            }
        }
        if analysis.unsettles {
            self.names.unsettle();
        }
        if analysis.defines {
            self.defining = true;
            self.naming_roles |= analysis.names_roles;
            self.defined();
        }
    }

    /// What is known of definitions, or of whom they name, may not hold any more.
    pub(crate) fn defined(&self) {
        self.database.catalog_changed();
        if self.naming_roles {
            self.database.roles_were_named();
        }
    }

    /// A message that ends an implicit transaction is being sent, or one follows that did. In a transaction block, of which
    /// the server has spoken last, it ends none.
    pub(crate) fn implicit_end(&mut self) {
        let in_block =
            self.status == Status::InTransaction && self.ops.is_empty() && self.deferred.is_empty();
        if !in_block {
            self.names.boundary();
        }
    }

    /// The server says that nothing is open: what a transaction changed is now seen by all, or gone.
    pub(crate) fn transaction_over(&mut self) {
        if self.defining {
            self.defined();
            self.defining = false;
            self.naming_roles = false;
        }
        self.quotes = Quotes::Nothing;
        self.openers.clear();
        if std::mem::take(&mut self.overlay_private) {
            self.overlay = Catalog::default();
        }
        self.names.idle();
        self.portals.retain(|portal| portal.hold);
    }
}

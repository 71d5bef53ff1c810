//! Roles that are kept prepared, each for one scope, so that a session of that scope need not wait for its own to be made.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use audit::{Event, IdentityForm};
use model::Identity;

use super::scope::Scope;
use super::{Lease, Made, RoleError, Roles, Wanted};
use crate::gateway::{Gateway, Served};

/// How long one can log in as a role that was prepared: then it is dropped and, where its scope is in use, another made.
const PREPARED_FOR: Duration = Duration::from_secs(300);

/// What is left of that when a role is given away, at least: to log in.
const LEFT_MIN: Duration = Duration::from_secs(30);

/// See the module.
// INVARIANT: a role is taken out once, and only by its scope's name.
#[derive(Default)]
pub(super) struct Pool {
    prepared: HashMap<Arc<str>, Vec<Made>>,
    /// Being made now.
    coming: HashMap<Arc<str>, usize>,
    /// Set when the gateway ends.
    closed: bool,
}

impl Pool {
    /// Takes a role of that scope that can be logged in to for a while, but no longer than `until`.
    fn take(&mut self, scope: &str, now: SystemTime, until: SystemTime) -> Option<Made> {
        let prepared = self.prepared.get_mut(scope)?;
        let fits = |made: &Made| made.until > now + LEFT_MIN && made.until <= until;
        let index = prepared.iter().position(fits)?;
        Some(prepared.remove(index))
    }

    /// Takes out what is too old to be given away.
    pub(super) fn stale(&mut self, now: SystemTime) -> Vec<Made> {
        let mut stale = Vec::new();
        for prepared in self.prepared.values_mut() {
            let (fresh, old) =
                std::mem::take(prepared).into_iter().partition(|made: &Made| made.until > now + LEFT_MIN);
            *prepared = fresh;
            stale.extend::<Vec<Made>>(old);
        }
        self.prepared.retain(|_, prepared| !prepared.is_empty());
        stale
    }

    /// Takes out everything, and takes nothing in any more.
    pub(super) fn close(&mut self) -> Vec<Made> {
        self.closed = true;
        self.prepared.drain().flat_map(|(_, prepared)| prepared).collect()
    }

    /// Counts one more that is being made, unless there are enough.
    fn begin(&mut self, scope: &Arc<str>, enough: usize) -> bool {
        let there = self.prepared.get(scope).map_or(0, Vec::len);
        let coming = self.coming.entry(scope.clone()).or_default();
        let more = !self.closed && there + *coming < enough;
        *coming += usize::from(more);
        more
    }

    /// Takes in what was made; what comes too late is returned.
    fn finish(&mut self, scope: &Arc<str>, made: Option<Made>) -> Option<Made> {
        if let Some(coming) = self.coming.get_mut(scope) {
            *coming = coming.saturating_sub(1);
        }
        self.coming.retain(|_, coming| *coming > 0);
        if self.closed {
            return made;
        }
        if let Some(made) = made {
            self.prepared.entry(scope.clone()).or_default().push(made);
        }
        None
    }
}

impl Roles {
    /// Returns a role that was prepared for the scope of whom it is wanted for, if there is one.
    pub(super) fn take_prepared(
        self: &Arc<Self>,
        gateway: &Arc<Gateway>,
        served: &Arc<Served>,
        wanted: &Wanted,
    ) -> Result<Option<Lease>, RoleError> {
        if self.ephemeral.pool == 0 {
            return Ok(None);
        }
        let Some(scope) = self.scope_known(served, &wanted.identity) else { return Ok(None) };
        let Some(made) = self.pool.lock().take(&scope.role, SystemTime::now(), wanted.until) else {
            return Ok(None);
        };
        let identity = IdentityForm(&wanted.identity).render();
        gateway.record(&Event::RoleGiven {
            session: wanted.session,
            identity: &identity,
            database: &self.database,
            role: &made.role,
            scope: &made.scope,
        })?;
        self.settle_in(&made, wanted);
        self.refill(gateway, served, &wanted.identity);
        Ok(Some(made.give(wanted.session)))
    }

    /// Makes roles for the scope of an identity, as many as are to be kept, while nobody waits for them.
    pub(super) fn refill(
        self: &Arc<Self>,
        gateway: &Arc<Gateway>,
        served: &Arc<Served>,
        identity: &Arc<Identity>,
    ) {
        let enough = self.ephemeral.pool as usize;
        if enough == 0 {
            return;
        }
        let Some(scope) = self.scope_known(served, identity) else { return };
        let (roles, gateway) = (self.clone(), gateway.clone());
        tokio::spawn(async move {
            while roles.pool.lock().begin(&scope.role, enough) {
                let made = roles.prepare(&gateway, &scope).await;
                let failed = made.is_err();
                if let Err(error) = &made {
                    tracing::warn!(
                        database = roles.database,
                        reason = oidc::chain(error),
                        "no role is prepared"
                    );
                }
                let late = roles.pool.lock().finish(&scope.role, made.ok());
                drop(late);
                if failed {
                    break;
                }
            }
        });
    }

    async fn prepare(self: &Arc<Self>, gateway: &Gateway, scope: &Scope) -> Result<Made, RoleError> {
        let mut maker = self.maker.lock().await;
        let link = self.maker_link(&mut maker).await?;
        let made = self.make_role(link, scope, SystemTime::now() + PREPARED_FOR).await;
        if maker.as_ref().is_some_and(|link| link.broken) {
            *maker = None;
        }
        drop(maker);
        let made = made?;
        gateway.record(&Event::RoleMade {
            session: None,
            identity: None,
            database: &self.database,
            role: &made.role,
            scope: &made.scope,
            valid_until: made.until.into(),
        })?;
        Ok(made)
    }
}

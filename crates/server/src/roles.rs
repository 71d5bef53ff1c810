//! A database role for each session: made when it begins, given the grants of its scope, dropped when it ends.
//!
//! [`Roles`] makes them, over the admin's connection; a [`Lease`] is one session's, and its end hands the role to the
//! [keeper], which drops it, sweeps what crashes have left, and moves living roles when the policy changes. Knows no
//! protocol and no statement of a client's.

mod check;
mod keeper;
mod link;
mod name;
mod pool;
mod scope;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::{Event, IdentityForm};
use config::Ephemeral;
use model::{Identity, Secret, SessionId, quote_identifier, quote_literal};
use tokio::sync::{mpsc, watch};
use wire::sqlstate;

pub(crate) use self::check::{Findings, check};
pub(crate) use self::keeper::keep;
use self::link::Link;
pub(crate) use self::link::{RoleError, log_in as log_in_as_admin};
use self::name::{Instance, SessionRole};
use self::pool::Pool;
use self::scope::{Grantable, Known, Scope};
use crate::cancel::random;
use crate::gateway::{Gateway, Served};
use crate::memory;
use crate::upstream::Target;

/// How long connecting the admin may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Roles of one database. See the module.
pub(crate) struct Roles {
    /// The database as clients name it.
    database: String,
    ephemeral: Ephemeral,
    target: Arc<Target>,
    instance: Instance,
    /// Makes roles, and holds the lock that says that this gateway lives.
    maker: tokio::sync::Mutex<Option<Link>>,
    known: parking_lot::Mutex<Known>,
    grantable: parking_lot::Mutex<Option<Arc<Grantable>>>,
    pool: parking_lot::Mutex<Pool>,
    // INVARIANT: holds every role that this gateway has made, or may have, until it is seen to be gone: what isn't here and
    // carries this run's number is left over.
    mine: parking_lot::Mutex<HashMap<String, Option<Tenant>>>,
    count: watch::Sender<usize>,
    dead: mpsc::UnboundedSender<Dead>,
    graves: parking_lot::Mutex<Option<mpsc::UnboundedReceiver<Dead>>>,
}

/// Whose a role is.
#[derive(Clone, Debug)]
struct Tenant {
    session: SessionId,
    identity: Arc<Identity>,
    scope: Arc<str>,
}

/// A role whose time is over.
#[derive(Debug)]
struct Dead {
    role: String,
    session: Option<SessionId>,
    reason: &'static str,
}

/// For whom a role is made, and how long one can log in as it.
pub(crate) struct Wanted {
    pub(crate) session: SessionId,
    pub(crate) identity: Arc<Identity>,
    pub(crate) until: SystemTime,
}

/// One session's role. Its end is the role's end.
pub(crate) struct Lease {
    pub(crate) role: Secret<String>,
    pub(crate) password: Secret<String>,
    /// The role whose grants it has, which stands for it wherever it matters what names mean.
    pub(crate) scope: Arc<str>,
    session: SessionId,
    roles: Arc<Roles>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.roles.bury(self.role.expose().clone(), Some(self.session), "session_ended");
    }
}

/// A role between being thought of and being given away.
struct Made {
    role: String,
    password: Secret<String>,
    scope: Arc<str>,
    until: SystemTime,
    roles: Arc<Roles>,
    given: bool,
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.given {
            self.roles.bury(std::mem::take(&mut self.role), None, "unused");
        }
    }
}

impl Made {
    fn give(mut self, session: SessionId) -> Lease {
        self.given = true;
        Lease {
            role: Secret::new(std::mem::take(&mut self.role)),
            password: std::mem::replace(&mut self.password, Secret::new(String::new())),
            scope: self.scope.clone(),
            session,
            roles: self.roles.clone(),
        }
    }
}

impl Roles {
    /// Prepares the roles of a database; connects to nothing.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn new(
        database: &config::Database,
        ephemeral: &Ephemeral,
        target: Arc<Target>,
    ) -> Result<Arc<Self>, RoleError> {
        let (dead, graves) = mpsc::unbounded_channel();
        Ok(Arc::new(Self {
            database: database.name.clone(),
            ephemeral: ephemeral.clone(),
            target,
            instance: Instance::new(bytes()?),
            maker: tokio::sync::Mutex::new(None),
            known: parking_lot::Mutex::default(),
            grantable: parking_lot::Mutex::new(None),
            pool: parking_lot::Mutex::default(),
            mine: parking_lot::Mutex::default(),
            count: watch::Sender::new(0),
            dead,
            graves: parking_lot::Mutex::new(Some(graves)),
        }))
    }

    /// Returns a role for a session: one that was kept prepared for its scope, or a new one.
    ///
    /// # Errors
    /// [`RoleError`]: for operators. What was made half-way is dropped.
    pub(crate) async fn lease(
        self: &Arc<Self>,
        gateway: &Arc<Gateway>,
        served: &Arc<Served>,
        wanted: Wanted,
    ) -> Result<Lease, RoleError> {
        if let Some(lease) = self.take_prepared(gateway, served, &wanted)? {
            return Ok(lease);
        }
        // In a task of its own: whoever waits may go away, but what was begun on the admin's connection is finished.
        let (roles, gateway, served) = (self.clone(), gateway.clone(), served.clone());
        let made = tokio::spawn(async move { roles.make_for(&gateway, &served, &wanted).await });
        made.await.unwrap_or(Err(RoleError::Other("the task that makes the role has ended")))
    }

    async fn make_for(
        self: &Arc<Self>,
        gateway: &Arc<Gateway>,
        served: &Arc<Served>,
        wanted: &Wanted,
    ) -> Result<Lease, RoleError> {
        let mut maker = self.maker.lock().await;
        let made = self.make(&mut maker, gateway, served, wanted).await;
        drop(maker);
        let made = made?;
        let identity = IdentityForm(&wanted.identity).render();
        gateway.record(&Event::RoleMade {
            session: Some(wanted.session),
            identity: Some(&identity),
            database: &self.database,
            role: &made.role,
            scope: &made.scope,
            valid_until: made.until.into(),
        })?;
        self.settle_in(&made, wanted);
        self.refill(gateway, served, &wanted.identity);
        Ok(made.give(wanted.session))
    }

    async fn make(
        self: &Arc<Self>,
        maker: &mut Option<Link>,
        gateway: &Arc<Gateway>,
        served: &Arc<Served>,
        wanted: &Wanted,
    ) -> Result<Made, RoleError> {
        let mut again = true;
        loop {
            let link = self.maker_link(maker).await?;
            let made = async {
                let scope = self.scope(gateway, served, link, &wanted.identity).await?;
                self.make_role(link, &scope, wanted.until).await
            }
            .await;
            let broken = maker.as_ref().is_some_and(|link| link.broken);
            if broken {
                *maker = None;
            }
            match made {
                // The connection was ended while nobody used it; or what the catalog knew has just been dropped.
                Err(error) if again && (broken || is_stale(&error)) => {
                    again = false;
                    served.database.catalog_changed();
                }
                other => return other,
            }
        }
    }

    async fn maker_link<'l>(&self, maker: &'l mut Option<Link>) -> Result<&'l mut Link, RoleError> {
        if maker.is_none() {
            let mut link = Link::open(&self.ephemeral, &self.target, CONNECT_TIMEOUT).await?;
            link.hold(self.instance).await?;
            *maker = Some(link);
        }
        maker.as_mut().ok_or(RoleError::Other("there is no connection of the admin's"))
    }

    /// Makes a role with the grants of a scope.
    async fn make_role(
        self: &Arc<Self>,
        link: &mut Link,
        scope: &Scope,
        until: SystemTime,
    ) -> Result<Made, RoleError> {
        let name = SessionRole::new(link.database, self.instance, SystemTime::now(), bytes()?);
        let role = name.with_prefix(&self.ephemeral.prefix);
        let random = Secret::new(bytes()?);
        let password = wire::scram::password_of_random(&random);
        // SECURITY: what PostgreSQL keeps of the password, not the password: nobody can log in with what a log has.
        let verifier = wire::scram::verifier_of_random(&random, bytes()?);
        memory::scrub_stack();
        // Before anything is sent: from here on it may be there, and its guard sees to its end.
        self.track(role.clone(), None);
        let roles = self.clone();
        let made = Made { role, password, scope: scope.role.clone(), until, roles, given: false };
        for last in [false, true] {
            if !self.known.lock().has(&scope.role) {
                scope::make(link, scope).await?;
            }
            let sql = creation(link, &made, &verifier);
            match link.run("making a session's role", &sql).await {
                Ok(_) => {
                    self.known.lock().used(&scope.role);
                    return Ok(made);
                }
                // Another gateway has swept the scope's role as unused.
                Err(error) if !last && error.sqlstate() == Some(sqlstate::UNDEFINED_OBJECT) => {
                    self.known.lock().forget(&scope.role);
                }
                Err(error) => return Err(error),
            }
        }
        Err(RoleError::Other("the scope's role is dropped again and again"))
    }

    /// Returns what an identity's role is granted, by the bundle and the catalog of now, where both are known.
    fn scope_known(&self, served: &Served, identity: &Identity) -> Option<Scope> {
        let grantable = self.grantable.lock().clone()?;
        let current = grantable.is_current(&served.bundle(), served.database.epoch(), Instant::now());
        current.then(|| grantable.scope(&self.ephemeral.prefix, identity))
    }

    /// The same, asking the database where that is out of date.
    async fn scope(
        &self,
        gateway: &Gateway,
        served: &Served,
        link: &mut Link,
        identity: &Identity,
    ) -> Result<Scope, RoleError> {
        if let Some(scope) = self.scope_known(served, identity) {
            return Ok(scope);
        }
        let grantable = self.load_grantable(gateway, served, link).await?;
        Ok(grantable.scope(&self.ephemeral.prefix, identity))
    }

    async fn load_grantable(
        &self,
        gateway: &Gateway,
        served: &Served,
        link: &mut Link,
    ) -> Result<Arc<Grantable>, RoleError> {
        let grantable = Arc::new(Grantable::load(gateway, served, link).await?);
        *self.grantable.lock() = Some(grantable.clone());
        Ok(grantable)
    }

    /// Asks the database what can be granted before anybody has to wait for it, while it has sessions.
    async fn renew_grantable(
        &self,
        gateway: &Gateway,
        served: &Served,
        link: &mut Link,
    ) -> Result<(), RoleError> {
        let known = self.grantable.lock().clone();
        let due = known
            .is_some_and(|known| known.is_due(&served.bundle(), served.database.epoch(), Instant::now()));
        if due && !self.mine.lock().is_empty() {
            self.load_grantable(gateway, served, link).await?;
        }
        Ok(())
    }

    fn track(&self, role: String, tenant: Option<Tenant>) {
        let mut mine = self.mine.lock();
        mine.insert(role, tenant);
        self.count.send_replace(mine.len());
    }

    fn untrack(&self, role: &str) {
        let mut mine = self.mine.lock();
        mine.remove(role);
        self.count.send_replace(mine.len());
    }

    fn settle_in(&self, made: &Made, wanted: &Wanted) {
        let tenant =
            Tenant { session: wanted.session, identity: wanted.identity.clone(), scope: made.scope.clone() };
        self.track(made.role.clone(), Some(tenant));
    }

    /// Hands a role to the keeper. Takes no time.
    fn bury(&self, role: String, session: Option<SessionId>, reason: &'static str) {
        // It lives as long as the roles do; without it there is nothing more to drop.
        let _ = self.dead.send(Dead { role, session, reason });
    }

    /// Waits until no role of this gateway is left, or for so long.
    pub(crate) async fn drained(&self, limit: Duration) {
        let prepared = self.pool.lock().close();
        drop(prepared);
        let mut count = self.count.subscribe();
        if tokio::time::timeout(limit, count.wait_for(|count| *count == 0)).await.is_err() {
            let left = *count.borrow();
            tracing::error!(
                database = self.database,
                left,
                "roles of sessions are left; the next start sweeps them"
            );
        }
    }
}

fn creation(link: &Link, made: &Made, verifier: &str) -> String {
    let (role, scope) = (quote_identifier(&made.role), quote_identifier(&made.scope));
    let verifier = quote_literal(verifier);
    let until = audit::Time::from(made.until);
    // Members take over rights and never become the scope's role, so that what they make is theirs; before 16 there was
    // no way to say so.
    let only_rights =
        if link.upstream.version_major >= 16 { " WITH INHERIT TRUE, SET FALSE, ADMIN FALSE" } else { "" };
    // What the session makes, others' scopes may need grants on: those who may give away what it owns can give them.
    let inherit = scope::with_inherit(link.upstream.version_major);
    format!(
        "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOREPLICATION NOBYPASSRLS \
         CONNECTION LIMIT 1 PASSWORD {verifier} VALID UNTIL '{until}'; \
         GRANT {scope} TO {role}{only_rights}; GRANT {role} TO CURRENT_USER{inherit}"
    )
}

/// Whether a statement failed because something that the catalog knew isn't there any more.
fn is_stale(error: &RoleError) -> bool {
    matches!(
        error.sqlstate(),
        Some(
            sqlstate::UNDEFINED_TABLE
                | sqlstate::UNDEFINED_COLUMN
                | sqlstate::UNDEFINED_FUNCTION
                | sqlstate::UNDEFINED_OBJECT
                | sqlstate::INVALID_SCHEMA_NAME
        )
    )
}

fn bytes<const N: usize>() -> Result<[u8; N], RoleError> {
    random().map_err(|_| RoleError::Other("the system gives no random bytes"))
}

//! Sees to the end of roles: drops those whose session has ended, sweeps what crashes have left, and moves living ones to
//! the scope that the policy of now gives them. One task for each database, on a connection of its own, so that no
//! session waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::Event;
use config::{AtEnd, Ephemeral};
use model::{quote_identifier, quote_literal};
use tokio::sync::mpsc;
use wire::sqlstate;

use super::link::{DROPPING, LOCK_CLASS, Link, RoleError, text};
use super::name::{self, SessionRole};
use super::scope::{self, with_inherit};
use super::{CONNECT_TIMEOUT, Dead, Roles, Tenant};
use crate::gateway::{Gateway, Served};

/// How long a server process may take to end.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts at a role that can't be dropped: at first, and at most.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long a role of a gateway that seems to be gone may go on working: that gateway may have lost only the connection that
/// holds its lock.
const ORPHAN_GRACE: Duration = Duration::from_secs(60);
/// How many sweeps in a row must find a scope's role without members before it is dropped.
const SCOPE_SWEEPS: u32 = 5;

/// Starts the keeper of a database's roles.
pub(crate) fn keep(gateway: &Arc<Gateway>, served: &Arc<Served>, roles: &Arc<Roles>) {
    let Some(graves) = roles.graves.lock().take() else { return };
    let keeper = Keeper {
        gateway: gateway.clone(),
        served: served.clone(),
        roles: roles.clone(),
        link: None,
        waiting: Vec::new(),
        orphans: HashMap::new(),
    };
    tokio::spawn(keeper.run(graves));
}

struct Keeper {
    gateway: Arc<Gateway>,
    served: Arc<Served>,
    roles: Arc<Roles>,
    link: Option<Link>,
    waiting: Vec<Waiting>,
    /// Since when a role with a live server process has had no gateway.
    orphans: HashMap<String, Instant>,
}

struct Waiting {
    dead: Dead,
    due: Instant,
    pause: Duration,
}

/// What became of what a role owned.
#[derive(Clone, Copy)]
pub(super) enum Gone {
    Never,
    With(&'static str),
}

impl Keeper {
    async fn run(mut self, mut graves: mpsc::UnboundedReceiver<Dead>) {
        let mut sweep = tokio::time::interval(self.roles.ephemeral.sweep_interval);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut policy = self.served.changes();
        loop {
            let due = self.waiting.iter().map(|waiting| waiting.due).min();
            tokio::select! {
                biased;
                dead = graves.recv() => match dead {
                    Some(dead) => self.waiting.push(Waiting { dead, due: Instant::now(), pause: RETRY_FIRST }),
                    None => return,
                },
                changed = policy.changed() => {
                    if changed.is_ok() {
                        self.follow().await;
                    }
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    self.bury_due().await;
                }
                _ = sweep.tick() => {
                    self.follow().await;
                    self.sweep().await;
                }
            }
        }
    }

    async fn link(&mut self) -> Result<&mut Link, RoleError> {
        if self.link.as_ref().is_some_and(|link| link.broken) {
            self.link = None;
        }
        if self.link.is_none() {
            let link = Link::open(&self.roles.ephemeral, &self.roles.target, CONNECT_TIMEOUT).await?;
            self.link = Some(link);
        }
        self.link.as_mut().ok_or(RoleError::Other("there is no connection of the admin's"))
    }

    /// Drops one of the roles that are due; others may have come in the meantime.
    async fn bury_due(&mut self) {
        let now = Instant::now();
        let Some(index) = self.waiting.iter().position(|waiting| waiting.due <= now) else { return };
        let mut waiting = self.waiting.swap_remove(index);
        match self.bury(&waiting.dead.role).await {
            Ok(gone) => {
                self.roles.untrack(&waiting.dead.role);
                if let Gone::With(owned) = gone {
                    self.record_gone(&waiting.dead, owned);
                }
            }
            Err(error) => {
                tracing::warn!(
                    database = self.roles.database,
                    role = waiting.dead.role,
                    reason = oidc::chain(&error),
                    "a session's role can't be dropped yet"
                );
                waiting.due = Instant::now() + waiting.pause;
                waiting.pause = (waiting.pause * 2).min(RETRY_MAX);
                self.waiting.push(waiting);
            }
        }
    }

    fn record_gone(&self, dead: &Dead, owned: &str) {
        let event = Event::RoleGone {
            session: dead.session,
            database: &self.roles.database,
            role: &dead.role,
            reason: dead.reason,
            owned,
        };
        if let Err(error) = self.gateway.record(&event) {
            tracing::error!(%error, role = dead.role, "that a role is gone can't be recorded");
        }
    }

    async fn bury(&mut self, role: &str) -> Result<Gone, RoleError> {
        let roles = self.roles.clone();
        bury(self.link().await?, &roles.ephemeral, role).await
    }

    async fn sweep(&mut self) {
        let stale = self.roles.pool.lock().stale(SystemTime::now());
        drop(stale);
        if let Err(error) = self.sweep_roles().await {
            tracing::warn!(
                database = self.roles.database,
                reason = oidc::chain(&error),
                "what crashes may have left of roles can't be swept"
            );
        }
    }

    async fn sweep_roles(&mut self) -> Result<(), RoleError> {
        let prefix = self.roles.ephemeral.prefix.clone();
        let link = self.link().await?;
        let database = link.database;
        let found = link.run("looking for roles that were left", &roles_query(&prefix, database)).await?;
        // After the roles: whoever has made one of those holds its lock by now, or has gone.
        let held = link.run("looking for gateways", &gateways_query(database)).await?;
        let held: Vec<u32> = held.iter().filter_map(|row| text(row.first()?).parse().ok()).collect();
        let now = Instant::now();
        let mut orphans = HashMap::new();
        for row in &found {
            let [role, alive] = row.as_slice() else { continue };
            let (role, alive) = (text(role), text(alive) == "t");
            let Some(parsed) = SessionRole::parse(&prefix, &role) else { continue };
            let own = parsed.instance == self.roles.instance.0;
            let left = if own {
                !self.roles.mine.lock().contains_key(&role)
            } else {
                !held.contains(&parsed.instance)
            };
            if !left {
                continue;
            }
            let since = self.orphans.get(&role).copied().unwrap_or(now);
            if alive && now.saturating_duration_since(since) < ORPHAN_GRACE {
                orphans.insert(role, since);
                continue;
            }
            match self.bury(&role).await {
                Ok(Gone::With(owned)) => {
                    tracing::info!(database = self.roles.database, role, "a role that was left is swept");
                    self.record_gone(&Dead { role, session: None, reason: "swept" }, owned);
                }
                // Another gateway sweeps too.
                Ok(Gone::Never) => {}
                Err(error) => tracing::warn!(
                    database = self.roles.database,
                    role,
                    reason = oidc::chain(&error),
                    "a role that was left can't be swept yet"
                ),
            }
        }
        self.orphans = orphans;
        self.sweep_scopes(&prefix, database).await
    }

    /// Drops scope roles that have had no members for a while: of bundles and catalogs that were.
    async fn sweep_scopes(&mut self, prefix: &str, database: u32) -> Result<(), RoleError> {
        let link = self.link().await?;
        let found = link.run("looking for scopes' roles", &scopes_query(prefix, database)).await?;
        let found: Vec<String> = found
            .iter()
            .filter_map(|row| row.first().map(text))
            .filter(|role| name::is_scope_role(prefix, database, role))
            .collect();
        let unused = self.roles.known.lock().unused(found, SCOPE_SWEEPS);
        for role in unused {
            let link = self.link().await?;
            match scope::remove(link, &role).await {
                Ok(()) => {
                    self.record_gone(&Dead { role, session: None, reason: "scope_unused" }, "dropped");
                }
                Err(error) => {
                    tracing::warn!(role, reason = oidc::chain(&error), "a scope's role can't be dropped");
                }
            }
        }
        Ok(())
    }

    /// Gives living roles the grants that the policy and the catalog of now give their identities.
    async fn follow(&mut self) {
        let (gateway, served, roles) = (self.gateway.clone(), self.served.clone(), self.roles.clone());
        let renewed = match self.link().await {
            Ok(link) => roles.renew_grantable(&gateway, &served, link).await,
            Err(error) => Err(error),
        };
        if let Err(error) = renewed {
            tracing::warn!(
                database = self.roles.database,
                reason = oidc::chain(&error),
                "what can be granted can't be asked for"
            );
            return;
        }
        let tenants: Vec<(String, Tenant)> = {
            let mine = self.roles.mine.lock();
            mine.iter().filter_map(|(role, tenant)| Some((role.clone(), tenant.clone()?))).collect()
        };
        let mut moved = false;
        for (role, tenant) in tenants {
            match self.move_one(&role, &tenant).await {
                Ok(was_moved) => moved |= was_moved,
                Err(error) => tracing::error!(
                    database = self.roles.database,
                    role,
                    reason = oidc::chain(&error),
                    "a session's role can't be given the grants of the policy in force; it is tried again"
                ),
            }
        }
        if moved {
            // What was learnt while some had moved and some had not may hold for none of them.
            self.served.database.catalog_changed();
        }
    }

    async fn move_one(&mut self, role: &str, tenant: &Tenant) -> Result<bool, RoleError> {
        let (gateway, served, roles) = (self.gateway.clone(), self.served.clone(), self.roles.clone());
        let link = self.link().await?;
        let scope = roles.scope(&gateway, &served, link, &tenant.identity).await?;
        if scope.role == tenant.scope {
            return Ok(false);
        }
        scope::make(link, &scope).await?;
        let only_rights =
            if link.upstream.version_major >= 16 { " WITH INHERIT TRUE, SET FALSE, ADMIN FALSE" } else { "" };
        let (quoted, new) = (quote_identifier(role), quote_identifier(&scope.role));
        let old = quote_identifier(&tenant.scope);
        link.run(
            "moving a session's role",
            &format!("GRANT {new} TO {quoted}{only_rights}; REVOKE {old} FROM {quoted}"),
        )
        .await?;
        roles.known.lock().used(&scope.role);
        let mut mine = roles.mine.lock();
        // It may have ended in the meantime.
        if let Some(Some(tenant)) = mine.get_mut(role) {
            tenant.scope = scope.role.clone();
        }
        drop(mine);
        let event = Event::RoleMoved {
            session: tenant.session,
            database: &roles.database,
            role,
            from: &tenant.scope,
            to: &scope.role,
        };
        if let Err(error) = gateway.record(&event) {
            tracing::error!(%error, role, "that a role has other grants now can't be recorded");
        }
        Ok(true)
    }
}

/// Ends what a role does, sees to what it owns, and drops it. Can be done again after it failed half-way.
pub(super) async fn bury(link: &mut Link, ephemeral: &Ephemeral, role: &str) -> Result<Gone, RoleError> {
    let quoted = quote_identifier(role);
    let owner = ephemeral.owner.as_deref().map_or_else(|| "CURRENT_USER".to_owned(), quote_identifier);
    let there = format!(
        "SELECT 1 FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) {}",
        quote_literal(role)
    );
    if link.run(DROPPING, &there).await?.is_empty() {
        return Ok(Gone::Never);
    }
    // Who is a member may end its server processes and give away what it owns.
    let inherit = with_inherit(link.upstream.version_major);
    link.run(DROPPING, &format!("ALTER ROLE {quoted} NOLOGIN; GRANT {quoted} TO CURRENT_USER{inherit}"))
        .await?;
    let terminate = format!(
        "SELECT pg_catalog.pg_terminate_backend(a.pid, {}) FROM pg_catalog.pg_stat_activity a \
         WHERE a.usename OPERATOR(pg_catalog.=) {}",
        TERMINATE_TIMEOUT.as_millis(),
        quote_literal(role)
    );
    link.run(DROPPING, &terminate).await?;
    let dropping = format!("DROP OWNED BY {quoted}; DROP ROLE {quoted}");
    if ephemeral.at_end == AtEnd::Drop {
        match link.run(DROPPING, &dropping).await {
            // Others have built on it.
            Err(error) if error.sqlstate() == Some(sqlstate::DEPENDENT_OBJECTS_STILL_EXIST) => {}
            other => return other.map(|_| Gone::With("dropped")),
        }
    }
    link.run(DROPPING, &format!("REASSIGN OWNED BY {quoted} TO {owner}; {dropping}")).await?;
    Ok(Gone::With("reassigned"))
}

fn roles_query(prefix: &str, database: u32) -> String {
    format!(
        "SELECT r.rolname, EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.usesysid OPERATOR(pg_catalog.=) r.oid) \
         FROM pg_catalog.pg_roles r WHERE pg_catalog.starts_with(r.rolname::pg_catalog.text, {})",
        quote_literal(&format!("{prefix}_s{database:x}_"))
    )
}

/// Agents can take advisory locks too: only a lock of somebody who may make roles counts.
fn gateways_query(database: u32) -> String {
    format!(
        "SELECT l.objid FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid) \
         JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.usesysid \
         WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted \
         AND l.database OPERATOR(pg_catalog.=) {database}::pg_catalog.oid \
         AND l.classid OPERATOR(pg_catalog.=) {LOCK_CLASS}::pg_catalog.oid AND l.objsubid OPERATOR(pg_catalog.=) 2 \
         AND (r.rolcreaterole OR r.rolsuper)"
    )
}

/// Those who may make roles are members of what they have made.
fn scopes_query(prefix: &str, database: u32) -> String {
    format!(
        "SELECT r.rolname FROM pg_catalog.pg_roles r \
         WHERE pg_catalog.starts_with(r.rolname::pg_catalog.text, {}) AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m \
         JOIN pg_catalog.pg_roles s ON s.oid OPERATOR(pg_catalog.=) m.member \
         WHERE m.roleid OPERATOR(pg_catalog.=) r.oid AND NOT s.rolcreaterole AND NOT s.rolsuper)",
        quote_literal(&format!("{prefix}_g{database:x}_"))
    )
}

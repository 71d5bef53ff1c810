//! Scopes: which grants an identity needs, and the role that has them, shared by all identities that need the same.
//!
//! Knows what `policy` derives and what the catalog is called; opens no connection.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Identity, QualifiedName, quote_identifier};
use policy::Bundle;
use policy::grants::{Object, Objects, ScopeKey, derive};
use sha2::{Digest, Sha256};
use wire::sqlstate;

use super::link::{Link, RoleError, text};
use super::name;
use crate::catalog::LoadError;
use crate::connection::current_catalog;
use crate::gateway::{Gateway, Served};
use crate::grants;
use crate::upstream::QueryError;

/// How often another gateway that changes the same objects' grants may get in the way.
const ATTEMPTS: usize = 5;

/// What an identity's sessions are granted, by one role for all identities that are granted the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Its role's name.
    pub(crate) role: Arc<str>,
    /// One GRANT for each object.
    pub(crate) statements: Arc<[String]>,
}

impl Scope {
    /// Names the role after all that decides what it is granted: the policy's scope, the statements, and the objects that their
    /// names stood for. So one that exists has these grants, whichever gateway made it.
    pub(crate) fn new(
        prefix: &str,
        database: u32,
        key: &[u8],
        objects: &[u8],
        statements: impl Fn(&str) -> Vec<String>,
    ) -> Self {
        let mut digest = Sha256::new();
        for part in [key, objects]
            .into_iter()
            .map(<[u8]>::to_vec)
            .chain(statements("role").into_iter().map(String::into_bytes))
        {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let role = name::scope_role(prefix, database, &digest.finalize().into());
        Self { statements: statements(&role).into(), role: role.into() }
    }
}

/// What could be granted in a database, as of one bundle and one catalog.
pub(crate) struct Grantable {
    database: u32,
    bundle: Arc<Bundle>,
    epoch: u64,
    taken: Instant,
    objects: Objects,
    reach: Reach,
    /// Which relation or function a name stands for, with the numbers of its columns.
    stand_for: HashMap<QualifiedName, String>,
    scopes: parking_lot::Mutex<HashMap<ScopeKey, Scope>>,
}

/// How old what is known of a database's objects may be when a role is made. The keeper asks again in the meantime.
const AGE_MAX: Duration = Duration::from_secs(120);
/// From this age on the keeper asks again.
const AGE_DUE: Duration = Duration::from_secs(30);

impl Grantable {
    /// Asks the database, over the admin's connection.
    pub(crate) async fn load(gateway: &Gateway, served: &Served, link: &mut Link) -> Result<Self, RoleError> {
        let (epoch, taken, bundle) = (served.database.epoch(), Instant::now(), served.bundle());
        let loaded = async {
            let catalog = current_catalog(gateway, served, &mut link.upstream).await?;
            let grantable = grants::read(&mut link.upstream, &catalog).await?;
            Ok::<_, LoadError>((catalog, grantable))
        };
        let (catalog, grantable) = loaded.await.inspect_err(|_| link.broken = true)?;
        let mut stand_for: HashMap<QualifiedName, String> = HashMap::new();
        for (oid, relation) in catalog.relations() {
            let columns: Vec<String> =
                relation.columns.iter().map(|c| format!("{}={}", c.number, c.name)).collect();
            stand_for.insert(relation.name.clone(), format!("{} {}", oid.0, columns.join(" ")));
        }
        for (oid, function) in catalog.functions() {
            let overloads = stand_for.entry(function.name.clone()).or_default();
            overloads.push_str(&format!(" {}", oid.0));
        }
        let objects = grantable.objects(&bundle, Instant::now());
        let reach = Reach::ask(link, &objects).await?;
        let scopes = parking_lot::Mutex::default();
        Ok(Self { database: link.database, bundle, epoch, taken, objects, reach, stand_for, scopes })
    }

    /// Whether it still says what can be granted.
    pub(crate) fn is_current(&self, bundle: &Bundle, epoch: u64, now: Instant) -> bool {
        self.bundle.hash() == bundle.hash() && self.epoch == epoch && self.age(now) < AGE_MAX
    }

    /// Whether it is time to ask again, before somebody waits for it.
    pub(crate) fn is_due(&self, bundle: &Bundle, epoch: u64, now: Instant) -> bool {
        !self.is_current(bundle, epoch, now) || self.age(now) >= AGE_DUE
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.taken)
    }

    /// Returns what an identity is granted.
    pub(crate) fn scope(&self, prefix: &str, identity: &Identity) -> Scope {
        let key = self.bundle.scope_key(identity);
        if let Some(scope) = self.scopes.lock().get(&key) {
            return scope.clone();
        }
        let all = derive(&self.bundle, identity, &self.objects);
        let grants = all.filtered(|object| self.reach.may_grant(object));
        let mut out_of_reach =
            all.iter().filter(|(object, _)| !object.is_system() && !self.reach.may_grant(object));
        if let Some((object, _)) = out_of_reach.next() {
            // Not fatal: otherwise whoever may make a table could keep everybody out.
            tracing::warn!(
                %object,
                others = out_of_reach.count(),
                "the admin can't grant what the policy permits on an object, so PostgreSQL refuses it; gatepost check --connect says what is missing"
            );
        }
        let mut stand_for = Vec::new();
        for (object, _) in grants.iter() {
            let (Object::Table(name) | Object::Sequence(name) | Object::Routine { name, .. }) = object else {
                continue;
            };
            stand_for.extend(format!("{name:?} {:?} ", self.stand_for.get(name)).into_bytes());
        }
        let scope = Scope::new(prefix, self.database, &key.0, &stand_for, |role| grants.statements(role));
        self.scopes.lock().insert(key, scope.clone());
        scope
    }
}

/// On what the admin can grant: what belongs to roles of which it is a member, and what it was given with the right to pass it on.
/// On PostgreSQL's own objects only superusers grant.
struct Reach {
    database: bool,
    objects: HashSet<Object>,
}

impl Reach {
    async fn ask(link: &mut Link, objects: &Objects) -> Result<Self, RoleError> {
        let rows = link.run("asking what the admin can grant", REACH).await?;
        let mut owners = HashSet::new();
        let mut given = HashSet::new();
        let mut database = false;
        for row in &rows {
            let [what, schema, name] = row.as_slice() else { continue };
            let name = QualifiedName { schema: text(schema), name: text(name) };
            match text(what).as_str() {
                "owner" => drop(owners.insert(name.name)),
                "given" => drop(given.insert(name)),
                _ => database = true,
            }
        }
        let mut within = HashSet::new();
        for schema in objects.schemas.iter().filter(|schema| owners.contains(&*schema.owner)) {
            within.insert(Object::Schema(schema.name.clone()));
        }
        for relation in &objects.relations {
            if owners.contains(&*relation.owner) || given.contains(&relation.name) {
                within.insert(Object::Table(relation.name.clone()));
                within.insert(Object::Sequence(relation.name.clone()));
            }
        }
        for function in objects.functions.iter().filter(|function| owners.contains(&*function.owner)) {
            let (name, arguments) = (function.name.clone(), function.arguments.clone());
            within.insert(Object::Routine { name, arguments });
        }
        Ok(Self { database, objects: within })
    }

    fn may_grant(&self, object: &Object) -> bool {
        !object.is_system()
            && match object {
                Object::Database(_) => self.database,
                _ => self.objects.contains(object),
            }
    }
}

const REACH: &str = "SELECT 'owner', NULL::text, r.rolname::text FROM pg_catalog.pg_roles r \
        WHERE pg_catalog.pg_has_role(r.oid, 'USAGE') \
    UNION ALL SELECT 'given', n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relacl IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) a \
            WHERE a.is_grantable AND a.grantee <> 0 AND pg_catalog.pg_has_role(a.grantee, 'USAGE')) \
    UNION ALL SELECT 'database', NULL, d.datname::text FROM pg_catalog.pg_database d \
        WHERE d.datname = pg_catalog.current_database() AND (pg_catalog.pg_has_role(d.datdba, 'USAGE') \
        OR pg_catalog.has_database_privilege(d.oid, 'CONNECT WITH GRANT OPTION'))";

/// Which scope roles are known to be there.
#[derive(Debug, Default)]
pub(crate) struct Known {
    there: HashSet<Arc<str>>,
    /// How many sweeps in a row have found a scope role without members.
    unused: HashMap<String, u32>,
}

impl Known {
    pub(crate) fn has(&self, role: &str) -> bool {
        self.there.contains(role)
    }

    pub(crate) fn forget(&mut self, role: &str) {
        self.there.remove(role);
    }

    pub(crate) fn used(&mut self, role: &Arc<str>) {
        self.unused.remove(&**role);
        self.there.insert(role.clone());
    }

    /// Counts one more sweep, and returns which roles have been without members in that many.
    pub(crate) fn unused(&mut self, found: Vec<String>, sweeps: u32) -> Vec<String> {
        let before = std::mem::take(&mut self.unused);
        let mut over = Vec::new();
        for role in found {
            let count = before.get(&role).copied().unwrap_or(0) + 1;
            if count >= sweeps {
                self.there.remove(&*role);
                over.push(role);
            } else {
                self.unused.insert(role, count);
            }
        }
        over
    }
}

/// Makes a scope's role if it isn't there: all of it or nothing.
pub(crate) async fn make(link: &mut Link, scope: &Scope) -> Result<(), RoleError> {
    let role = quote_identifier(&scope.role);
    let there = format!(
        "SELECT 1 FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) {}",
        model::quote_literal(&scope.role)
    );
    if !link.run("looking for a scope's role", &there).await?.is_empty() {
        return Ok(());
    }
    let mut sql = format!(
        "CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOREPLICATION NOBYPASSRLS"
    );
    for statement in scope.statements.iter() {
        sql.push_str("; ");
        sql.push_str(statement);
    }
    let mut attempt = 1;
    loop {
        let error = match link.run("making a scope's role", &sql).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match error.sqlstate() {
            // Another gateway was faster. What it has made has the same grants.
            Some(sqlstate::DUPLICATE_OBJECT | sqlstate::UNIQUE_VIOLATION) => return Ok(()),
            // "tuple concurrently updated": another gateway grants something on the same object.
            Some(sqlstate::INTERNAL_ERROR) if attempt < ATTEMPTS => attempt += 1,
            _ => return Err(error),
        }
    }
}

/// Drops a scope's role that has no members.
pub(crate) async fn remove(link: &mut Link, role: &str) -> Result<(), RoleError> {
    let quoted = quote_identifier(role);
    let inherit = with_inherit(link.upstream.version_major);
    let sql = format!("GRANT {quoted} TO CURRENT_USER{inherit}; DROP OWNED BY {quoted}; DROP ROLE {quoted}");
    match link.run("dropping a scope's role", &sql).await {
        Err(RoleError::Statement { source: QueryError::Refused { sqlstate: Some(state), .. }, .. })
            if state == sqlstate::UNDEFINED_OBJECT =>
        {
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

/// From PostgreSQL 16 on each membership says what comes with it; before, the member's own INHERIT does.
pub(crate) const fn with_inherit(version_major: u32) -> &'static str {
    if version_major >= 16 { " WITH INHERIT TRUE" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_named_after_all_that_it_grants_and_on_what() {
        let scope = |key: &str, objects: &str, grants: &[&str]| {
            Scope::new("gatepost", 5, key.as_bytes(), objects.as_bytes(), |role| {
                grants.iter().map(|grant| format!("GRANT {grant} TO {role}")).collect()
            })
        };
        let one = scope("k", "o", &["a", "b"]);
        assert_eq!(one, scope("k", "o", &["a", "b"]));
        assert_eq!(one.statements[0], format!("GRANT a TO {}", one.role));
        for other in [
            scope("l", "o", &["a", "b"]),
            scope("k", "p", &["a", "b"]),
            scope("k", "o", &["a"]),
            scope("ko", "", &["a", "b"]),
        ] {
            assert_ne!(one.role, other.role);
        }
    }

    #[test]
    fn a_scope_without_members_goes_after_some_sweeps_in_a_row() {
        let mut known = Known::default();
        let role: Arc<str> = "g".into();
        known.used(&role);
        let found = || vec!["g".to_owned()];
        assert!(known.unused(found(), 3).is_empty());
        assert!(known.unused(found(), 3).is_empty());
        known.used(&role);
        assert!(known.unused(found(), 3).is_empty() && known.unused(found(), 3).is_empty());
        assert!(known.unused(Vec::new(), 3).is_empty(), "it had a member again");
        assert!(known.unused(found(), 3).is_empty() && known.unused(found(), 3).is_empty());
        assert!(known.has("g"));
        assert_eq!(known.unused(found(), 3), found());
        assert!(!known.has("g"));
    }
}

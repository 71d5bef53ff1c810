//! Whether an admin's login can do what it must, and which statements mend it: for `gatepost check --connect`.

use std::time::{Duration, SystemTime};

use config::Ephemeral;
use model::{Secret, quote_identifier, quote_literal};

use super::link::{Link, RoleError, text};
use super::name::{Instance, SessionRole};
use super::{bytes, keeper};
use crate::upstream::{self, Target};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What keeps sessions from their roles, each with the statement that mends it.
    pub(crate) missing: Vec<String>,
    /// What works and should be better.
    pub(crate) advice: Vec<String>,
}

/// How long one can log in as the role that is made to try it.
const TRIAL: Duration = Duration::from_secs(60);

/// Asks what the admin may do, and, where nothing is missing, makes a role, logs in as it, and drops it.
///
/// # Errors
/// [`RoleError`]: for operators; the admin can't log in, or the trial failed.
pub(crate) async fn check(
    ephemeral: &Ephemeral,
    target: &Target,
    limit: Duration,
) -> Result<Findings, RoleError> {
    let mut link = Link::open(ephemeral, target, limit).await?;
    let mut findings = Findings::default();
    attributes(&mut link, &mut findings).await?;
    owner(&mut link, ephemeral, &mut findings).await?;
    owners(&mut link, &mut findings).await?;
    if findings.missing.is_empty() {
        trial(&mut link, ephemeral, target, limit).await?;
    }
    link.upstream.terminate().await;
    Ok(findings)
}

async fn attributes(link: &mut Link, findings: &mut Findings) -> Result<(), RoleError> {
    let query = "SELECT r.rolsuper, r.rolcreaterole, r.rolinherit FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
    let rows = link.run("asking what the admin may do", query).await?;
    let Some([superuser, create_role, inherit]) = rows.first().map(Vec::as_slice) else {
        return Err(RoleError::Other("the server did not say what the admin may do"));
    };
    let admin = quote_identifier(&link.admin);
    if text(superuser) == "t" {
        findings.advice.push(format!(
            "the admin {admin} is a superuser; CREATEROLE and membership in the roles that own what is granted are enough"
        ));
        return Ok(());
    }
    if text(create_role) != "t" {
        findings.missing.push(format!("it may make no roles: ALTER ROLE {admin} CREATEROLE;"));
    }
    // From 16 on each membership says for itself what it brings.
    if text(inherit) != "t" && link.upstream.version_major < 16 {
        findings.missing.push(format!("it has no rights by its memberships: ALTER ROLE {admin} INHERIT;"));
    }
    Ok(())
}

/// Who gets what sessions leave must be there, and the admin must be a member.
async fn owner(link: &mut Link, ephemeral: &Ephemeral, findings: &mut Findings) -> Result<(), RoleError> {
    let Some(owner) = &ephemeral.owner else { return Ok(()) };
    let query = format!(
        "SELECT pg_catalog.pg_has_role(r.oid, 'USAGE') FROM pg_catalog.pg_roles r WHERE r.rolname = {}",
        quote_literal(owner)
    );
    let rows = link.run("asking for the owner of what sessions leave", &query).await?;
    match rows.first().and_then(|row| row.first()).map(text).as_deref() {
        Some("t") => {}
        Some(_) => findings
            .missing
            .push(format!("it can't give what sessions leave to \"owner\": {}", membership(link, owner))),
        None => findings.missing.push(format!(
            "\"owner\" does not exist: CREATE ROLE {}; {}",
            quote_identifier(owner),
            membership(link, owner)
        )),
    }
    Ok(())
}

/// To grant something, the admin must be a member of the role that owns it, or have been given it WITH GRANT OPTION.
async fn owners(link: &mut Link, findings: &mut Findings) -> Result<(), RoleError> {
    let rows = link.run("asking who owns what is granted", OWNERS).await?;
    for row in &rows {
        let [owner, superuser, example, count] = row.as_slice() else { continue };
        let (owner, example, count) = (text(owner), text(example), text(count));
        let what = format!(
            "it can't grant what {} owns ({count} objects; {example} is one)",
            quote_identifier(&owner)
        );
        if text(superuser) == "t" {
            // SECURITY: whoever may become a superuser is one.
            findings.advice.push(format!(
                "{what}: that is a superuser, of whom the admin should be no member; let another role own what the policy \
                 permits, or GRANT it to {} WITH GRANT OPTION",
                quote_identifier(&link.admin)
            ));
        } else {
            findings.missing.push(format!("{what}: {}", membership(link, &owner)));
        }
    }
    Ok(())
}

/// Owners of which the admin isn't a member and of whose objects there are some on which it has nothing to give.
const OWNERS: &str = "SELECT o.rolname, o.rolsuper, pg_catalog.min(x.name), pg_catalog.count(*) FROM (\
    SELECT c.relowner AS owner, c.oid::pg_catalog.regclass::pg_catalog.text AS name FROM pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' \
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
        AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) a WHERE a.is_grantable AND a.grantee <> 0 \
            AND pg_catalog.pg_has_role(a.grantee, 'USAGE')) \
    UNION ALL SELECT n.nspowner, pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_namespace n \
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
        AND NOT pg_catalog.has_schema_privilege('public', n.oid, 'USAGE') \
        AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE WITH GRANT OPTION')) x \
    JOIN pg_catalog.pg_roles o ON o.oid = x.owner \
    WHERE NOT pg_catalog.pg_has_role(o.oid, 'USAGE') GROUP BY o.rolname, o.rolsuper ORDER BY o.rolname";

fn membership(link: &Link, role: &str) -> String {
    // Rights are what is needed; to become that role is not.
    let only_rights = if link.upstream.version_major >= 16 { " WITH INHERIT TRUE, SET FALSE" } else { "" };
    format!("GRANT {} TO {}{only_rights};", quote_identifier(role), quote_identifier(&link.admin))
}

/// Makes a role without any grants, logs in as it, and drops it: what `pg_hba.conf` and a provider's own rules say of it is
/// known in no other way.
async fn trial(
    link: &mut Link,
    ephemeral: &Ephemeral,
    target: &Target,
    limit: Duration,
) -> Result<(), RoleError> {
    let random = Secret::new(bytes()?);
    let name = SessionRole::new(link.database, Instance::new(bytes()?), SystemTime::now(), bytes()?);
    let role = name.with_prefix(&ephemeral.prefix);
    let sql = format!(
        "CREATE ROLE {} LOGIN CONNECTION LIMIT 1 PASSWORD {} VALID UNTIL '{}'",
        quote_identifier(&role),
        quote_literal(&wire::scram::verifier_of_random(&random, bytes()?)),
        audit::Time::from(SystemTime::now() + TRIAL)
    );
    link.run("making a role to try it", &sql).await?;
    let password = wire::scram::password_of_random(&random);
    let user = Secret::new(role.clone());
    let login = upstream::login(target, &user, Some(&password), &[], limit).await;
    let tried = match login {
        Ok(connection) => {
            connection.terminate().await;
            Ok(())
        }
        Err(error) => Err(RoleError::Trial(error)),
    };
    let buried = keeper::bury(link, ephemeral, &role).await;
    tried?;
    buried.map(drop)
}

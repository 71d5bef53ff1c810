//! The admin's connection to one database: logging in, what roles need there, and what is wrong in words for operators.
//!
//! Runs statements that others of this module wrote; decides nothing.

use std::time::Duration;

use config::Ephemeral;
use model::{Secret, quote_identifier};
use session::UpstreamFailure;
use wire::sqlstate::{self, SqlState};

use super::name::Instance;
use crate::secrets;
use crate::upstream::{self, LoginError, QueryError, QueryLimits, Row, Target, Upstream};

/// The first key of the advisory locks that gateways hold while they live ("Gate"); the second is the gateway's run.
pub(crate) const LOCK_CLASS: u32 = 0x4761_7465;

/// How long a new connection waits for the lock that a broken one before it may still hold.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// For a whole schema's GRANTs.
const LIMITS: QueryLimits =
    QueryLimits { rows_max: 1_000_000, bytes_max: 64 << 20, timeout: Duration::from_secs(60) };

/// Why a role can't be made, moved or dropped. All of it is for operators.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoleError {
    /// Operator: where the admin's login is kept.
    #[error(transparent)]
    Secret(#[from] secrets::SecretError),
    /// Operator: what is kept there.
    #[error("secret \"{0}\" {1}")]
    Url(String, &'static str),
    /// Operator: the admin can't log in.
    #[error("the admin can't log in: {}", .0.reason())]
    Login(LoginError),
    /// Operator: a role that was made can't log in.
    #[error("a role that was made can't log in; does pg_hba.conf let roles in that it does not name? {}", .0.reason())]
    Trial(LoginError),
    /// Server, or operator: a statement failed.
    #[error("{what}: {source}{mend}")]
    Statement {
        /// What was being done.
        what: &'static str,
        source: QueryError,
        /// How to mend it, where that is known.
        mend: String,
    },
    /// Operator: the server is a standby, or read-only.
    #[error(
        "the database is read-only (a standby, or default_transaction_read_only): roles can't be made there; let upstream lead to the primary"
    )]
    ReadOnly,
    /// Another connection holds this run's lock.
    #[error("the connection before still holds this gateway's lock")]
    Locked,
    /// The catalog.
    #[error("{0}")]
    Catalog(#[from] crate::catalog::LoadError),
    /// The system, or the server.
    #[error("{0}")]
    Other(&'static str),
    /// The audit.
    #[error("that a role is made can't be recorded: {0}")]
    Unrecorded(#[from] journal::JournalError),
}

impl RoleError {
    /// Returns the server's own SQLSTATE, if it gave one.
    pub(crate) fn sqlstate(&self) -> Option<SqlState> {
        match self {
            Self::Login(error) => error.sqlstate(),
            Self::Statement { source: QueryError::Refused { sqlstate, .. }, .. } => *sqlstate,
            Self::ReadOnly => Some(sqlstate::READ_ONLY_SQL_TRANSACTION),
            _ => None,
        }
    }

    pub(crate) fn failure(&self) -> UpstreamFailure {
        UpstreamFailure {
            reason: oidc::chain(self),
            sqlstate: self.sqlstate().map(|state| state.as_str().to_owned()),
        }
    }
}

/// See the module. Unusable after any error but a refusal by the server.
pub(crate) struct Link {
    pub(crate) upstream: Upstream,
    /// Who the admin is.
    pub(crate) admin: String,
    /// `pg_database.oid` of the database that it is connected to.
    pub(crate) database: u32,
    /// Whether a query failed in a way that leaves the connection unknown.
    pub(crate) broken: bool,
}

/// Logs in as the admin.
///
/// # Errors
/// [`RoleError::Secret`], [`RoleError::Url`], [`RoleError::Login`]: operator.
pub(crate) async fn log_in(
    ephemeral: &Ephemeral,
    target: &Target,
    limit: Duration,
) -> Result<Upstream, RoleError> {
    let url = secrets::resolve(&ephemeral.admin).await?;
    let credential = target.upstream().credential(url.expose());
    let (user, password) = credential.map_err(|why| RoleError::Url(ephemeral.admin.to_string(), why))?;
    let (user, password) = (Secret::new(user), password.map(Secret::new));
    let parameters = [("application_name".to_owned(), "gatepost".to_owned())];
    upstream::login(target, &user, password.as_ref(), &parameters, limit).await.map_err(RoleError::Login)
}

impl Link {
    /// Logs in and prepares the connection: nothing that it does needs to survive a crash of the server, since what is lost
    /// then was for sessions that are lost as well, and what comes back is swept.
    pub(crate) async fn open(
        ephemeral: &Ephemeral,
        target: &Target,
        limit: Duration,
    ) -> Result<Self, RoleError> {
        let upstream = log_in(ephemeral, target, limit).await?;
        let mut link = Self { upstream, admin: String::new(), database: 0, broken: false };
        // An admin's own settings must not change what statements mean.
        let settings = "SET search_path = pg_catalog; SET synchronous_commit = off; SET lock_timeout = '5s'";
        link.run("preparing the admin's connection", settings).await?;
        let rows = link
            .run(
                "asking who the admin is",
                "SELECT current_user, d.oid, pg_catalog.current_setting('transaction_read_only') \
                 FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()",
            )
            .await?;
        let Some([admin, database, read_only]) = rows.first().map(Vec::as_slice) else {
            return Err(RoleError::Other("the server did not say who the admin is"));
        };
        if text(read_only) == "on" {
            return Err(RoleError::ReadOnly);
        }
        link.admin = text(admin);
        link.database = text(database)
            .parse()
            .map_err(|_| RoleError::Other("the server did not say which database it is"))?;
        Ok(link)
    }

    /// Takes the lock that tells others that this run of the gateway lives.
    pub(crate) async fn hold(&mut self, instance: Instance) -> Result<(), RoleError> {
        let wait = format!("SET lock_timeout = '{}ms'", LOCK_TIMEOUT.as_millis());
        let lock = format!("{wait}; SELECT pg_catalog.pg_advisory_lock({LOCK_CLASS}, {})", instance.0);
        match self.run("taking the gateway's lock", &lock).await {
            Err(error) if error.sqlstate() == Some(sqlstate::LOCK_NOT_AVAILABLE) => Err(RoleError::Locked),
            other => other.map(drop),
        }
    }

    /// Runs statements; several are one transaction.
    pub(crate) async fn run(&mut self, what: &'static str, sql: &str) -> Result<Vec<Row>, RoleError> {
        let mut rows = Vec::new();
        let run = self.upstream.query_each(sql, LIMITS, |row| {
            rows.push(row);
            Ok::<(), QueryError>(())
        });
        match run.await {
            Ok(()) => Ok(rows),
            Err(source) => Err(self.wrong(what, source)),
        }
    }

    fn wrong(&mut self, what: &'static str, source: QueryError) -> RoleError {
        let QueryError::Refused { sqlstate, .. } = &source else {
            self.broken = true;
            return RoleError::Statement { what, source, mend: String::new() };
        };
        let admin = quote_identifier(&self.admin);
        let mend = match *sqlstate {
            Some(sqlstate::READ_ONLY_SQL_TRANSACTION) => return RoleError::ReadOnly,
            Some(sqlstate::INSUFFICIENT_PRIVILEGE) => format!(
                "; the admin {admin} lacks a right: \"gatepost check --connect\" prints the statements that give it"
            ),
            Some(sqlstate::UNDEFINED_OBJECT) if what == DROPPING => {
                "; if it is \"owner\" of the configuration that does not exist, make it or name another"
                    .to_owned()
            }
            _ => String::new(),
        };
        RoleError::Statement { what, source, mend }
    }
}

/// What dropping a role is called in errors.
pub(crate) const DROPPING: &str = "dropping a session's role";

/// Reads a value as text; what is NULL is empty.
pub(crate) fn text(value: &Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned()
}

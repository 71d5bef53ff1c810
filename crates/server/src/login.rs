//! Who the gateway is upstream: one login for each session, by the kind that the configuration says. Knows no protocol.

use std::time::{Duration, SystemTime};

use model::{Identity, ScramKeys, Secret};
use session::UpstreamFailure;
use wire::scram::ScramError;

use crate::roles;
use crate::secrets::{self, Credentials};
use crate::upstream::{self, LoginFault, Target, Upstream};

/// What is known of the session that a login is for. The default is the gateway itself.
#[derive(Default)]
pub(crate) struct Login {
    /// Run-time parameters for the startup packet.
    pub(crate) parameters: Vec<(String, String)>,
    /// For whom; `None` for the gateway's own questions.
    pub(crate) identity: Option<Box<Identity>>,
    /// When its credential ends.
    pub(crate) expires_at: Option<SystemTime>,
    /// Of a legacy account, which logs in as itself.
    pub(crate) keys: Option<Box<ScramKeys>>,
}

const APPLICATION_NAME: &str = "application_name";

/// The server takes no longer StartupMessage, in bytes (`MAX_STARTUP_PACKET_LENGTH`, libpq/pqcomm.h); less what else is in it.
const SETTINGS_BYTES_MAX: usize = 6_000;

/// `invalid_password` (PostgreSQL's errcodes.txt).
const INVALID_PASSWORD: &str = "28P01";

impl Login {
    /// Returns what goes into the StartupMessage: the client's parameters, and who it is as settings that row-level security can
    /// use. What is set there, RESET ALL and DISCARD ALL set again. Administrators of the database see the identity first in
    /// `application_name`, and behind it what the client calls itself.
    pub(crate) fn startup(&self) -> Vec<(String, String)> {
        let mut parameters = self.parameters.clone();
        let Some(identity) = &self.identity else { return parameters };
        match parameters.iter_mut().find(|(name, _)| name == APPLICATION_NAME) {
            Some((_, value)) => *value = format!("{identity} {value}"),
            None => parameters.push((APPLICATION_NAME.to_owned(), identity.to_string())),
        }
        let behalf = identity.on_behalf_of.as_ref().map(ToString::to_string).unwrap_or_default();
        let groups = serde_json::Value::from_iter(identity.groups.iter().map(String::as_str)).to_string();
        let mut left = SETTINGS_BYTES_MAX;
        for (name, value) in [
            ("gatepost.identity", identity.to_string()),
            ("gatepost.issuer", identity.issuer.clone()),
            ("gatepost.subject", identity.subject.clone()),
            ("gatepost.on_behalf_of", behalf),
            ("gatepost.groups", groups),
        ] {
            // SECURITY: a list that was cut would say something else; one that isn't there lets no rule hold.
            match left.checked_sub(name.len() + value.len() + 2) {
                Some(rest) => {
                    left = rest;
                    parameters.push((name.to_owned(), value));
                }
                None => tracing::warn!(
                    identity = identity.to_string(),
                    name,
                    "too long to be told to the database"
                ),
            }
        }
        parameters
    }
}

/// Puts back what the client called itself into what it is told of its parameters.
pub(crate) fn as_asked(parameters: &mut [(String, String)], login: &Login) {
    let asked = login.parameters.iter().find(|(name, _)| name == APPLICATION_NAME);
    if let Some((_, told)) = parameters.iter_mut().find(|(name, _)| name == APPLICATION_NAME) {
        *told = asked.map(|(_, value)| value.clone()).unwrap_or_default();
    }
}

pub(crate) fn failed(reason: String) -> UpstreamFailure {
    UpstreamFailure { reason, sqlstate: None }
}

/// Logs in: a legacy account as itself; for the gateway's own questions, and for sessions where all have one login, with the credential
/// that the configuration refers to, which is fetched now and wiped when this returns.
pub(crate) async fn log_in(
    database: &config::Database,
    target: &Target,
    login: &Login,
    limit: Duration,
) -> Result<Upstream, UpstreamFailure> {
    if let (Some(keys), Some(identity)) = (&login.keys, &login.identity) {
        return as_itself(target, identity, keys, &login.startup(), limit).await;
    }
    let (name, word) = match &database.login {
        config::Login::Static { user, password } => (user, password),
        config::Login::Ephemeral(ephemeral) => {
            return roles::log_in_as_admin(ephemeral, target, limit).await.map_err(|error| error.failure());
        }
        config::Login::Passthrough { .. } if login.identity.is_some() => {
            return Err(failed(
                "its login is passthrough: only legacy accounts can use it; give it another kind of login for tokens".to_owned(),
            ));
        }
        config::Login::Passthrough { questions: Some(config::Questions { user, password }) } => {
            (user, password)
        }
        config::Login::Passthrough { questions: None } => {
            return Err(failed(NO_QUESTIONS.to_owned()));
        }
    };
    let secret = |error: secrets::SecretError| failed(oidc::chain(&error));
    let Credentials { user, password, lease } =
        secrets::credentials(name, word.as_ref(), &database.upstream).await.map_err(secret)?;
    let first = log_in_as(target, &user, password.as_ref(), login, limit).await;
    let refused = |failure: &UpstreamFailure| failure.sqlstate.as_deref() == Some(INVALID_PASSWORD);
    let mut upstream = match first {
        // A credential that was made for this login is as new as can be.
        Err(failure) if refused(&failure) && lease.is_none() && !is_signed(database) => {
            let again =
                secrets::credentials(name, word.as_ref(), &database.upstream).await.map_err(secret)?;
            if again.is_same(&user, password.as_ref()) {
                return Err(failure);
            }
            tracing::info!(
                database = database.name,
                "the credential has changed meanwhile; logging in once more"
            );
            log_in_as(target, &again.user, again.password.as_ref(), login, limit).await?
        }
        first => first?,
    };
    upstream.lease = lease;
    Ok(upstream)
}

/// Whether the password is another one each time.
fn is_signed(database: &config::Database) -> bool {
    let config::Login::Static { password, .. } = &database.login else { return false };
    matches!(password, Some(config::SecretRef::AwsRdsIam(_)))
}

/// Logs in with these credentials.
pub(crate) async fn log_in_as(
    target: &Target,
    user: &Secret<String>,
    password: Option<&Secret<String>>,
    login: &Login,
    limit: Duration,
) -> Result<Upstream, UpstreamFailure> {
    upstream::login(target, user, password, &login.startup(), limit).await.map_err(refused)
}

/// Why nothing can be asked of a database that only legacy accounts use.
const NO_QUESTIONS: &str = "its login is passthrough, and the gateway has none of its own there; add user and password to login, for a role that only asks";

/// Logs in as a legacy account, by the keys of the exchange that it began with.
async fn as_itself(
    target: &Target,
    identity: &Identity,
    keys: &ScramKeys,
    startup: &[(String, String)],
    limit: Duration,
) -> Result<Upstream, UpstreamFailure> {
    let user = Secret::new(identity.subject.clone());
    upstream::login_with_keys(target, &user, keys, startup, limit).await.map_err(|error| {
        let stale = matches!(error.fault(), LoginFault::Scram(ScramError::OtherVerifier));
        let mut failure = refused(error);
        if stale {
            failure.reason.push_str("; the verifier is out of date: run \"gatepost legacy import\" again");
        }
        failure
    })
}

fn refused(error: upstream::LoginError) -> UpstreamFailure {
    UpstreamFailure {
        reason: error.reason(),
        sqlstate: error.sqlstate().map(|state| state.as_str().to_owned()),
    }
}

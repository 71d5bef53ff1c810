//! A second connection for the statement of a request, logged in as the session that waits is: the same kind of login, the same identity,
//! the same startup parameters. What it may do is decided by whoever holds it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use approval::Ask;
use model::{Identity, Method, Oid, Party, SessionId};
use policy::{Bundle, SessionFacts};
use session::{Asker, Examined, Examiner, Text};

use super::NotShown;
use crate::cancel;
use crate::connection::{current_catalog, log_in_for};
use crate::gateway::Gateway;
use crate::login::Login;
use crate::probe::{Probe, ProbeError};
use crate::roles::Lease;
use crate::serve::session_limits;
use crate::upstream::QueryError;

/// How long a role that is made for a preview can log in.
const ROLE_TIME: Duration = Duration::from_secs(600);
/// What administrators of the database see, beside the identity.
const APPLICATION_NAME: &str = "gatepost preview";

/// A connection to ask one thing about a request.
pub(super) struct Second {
    pub(super) probe: Probe,
    pub(super) bundle: Arc<Bundle>,
    pub(super) identity: Identity,
    limits: session::Limits,
    // INVARIANT: after the connection, so that the role goes when nobody is logged in as it.
    _lease: Option<Lease>,
}

/// Whose connection it is.
pub(super) struct Whom {
    pub(super) identity: Identity,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) until: SystemTime,
    session: Option<SessionId>,
    /// What rules may look at of its credential is known.
    claims_known: bool,
}

impl Whom {
    /// The live session that waits, if one does; else the requester as it was.
    pub(super) fn of(gateway: &Gateway, ask: &Ask) -> Self {
        let id = ask.session.as_deref().and_then(|id| u128::from_str_radix(id, 16).ok()).map(SessionId);
        let entry = id.and_then(|id| gateway.trust.sessions().into_iter().find(|entry| entry.id == id));
        let who = entry.as_ref().and_then(|entry| entry.who());
        let requester = &ask.requester;
        if let (Some(entry), Some(who)) = (&entry, who)
            && who.identity.issuer == requester.issuer
            && who.identity.subject == requester.subject
        {
            return Self {
                identity: who.identity.clone(),
                parameters: entry.startup().to_vec(),
                until: who.expires_at,
                session: id,
                claims_known: true,
            };
        }
        let behalf = requester.on_behalf_of.as_deref().and_then(|behalf| behalf.split_once(':'));
        Self {
            identity: Identity {
                issuer: requester.issuer.clone(),
                subject: requester.subject.clone(),
                name: requester.name.clone(),
                groups: requester.groups.clone(),
                attributes: requester.owner.iter().map(|owner| ("owner".to_owned(), owner.clone())).collect(),
                token_id: None,
                on_behalf_of: behalf.map(|(issuer, subject)| Party {
                    issuer: issuer.to_owned(),
                    subject: subject.to_owned(),
                }),
            },
            parameters: Vec::new(),
            until: SystemTime::now() + ROLE_TIME,
            session: None,
            claims_known: false,
        }
    }

    /// Somebody who has just proved who they are, and runs nothing yet.
    pub(super) fn present(identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            parameters: Vec::new(),
            until: SystemTime::now() + ROLE_TIME,
            session: None,
            claims_known: true,
        }
    }
}

pub(super) fn database(error: impl std::error::Error) -> NotShown {
    NotShown::Database(oidc::chain(&error))
}

impl Second {
    /// Logs in.
    pub(super) async fn open(
        gateway: &Arc<Gateway>,
        database_name: &str,
        whom: Whom,
    ) -> Result<Self, NotShown> {
        let missing = || NotShown::Impossible(format!("database \"{database_name}\" is not served any more"));
        let served = gateway.databases.get(database_name).cloned().ok_or_else(missing)?;
        let bundle = served.bundle();
        if whom.identity.issuer == Identity::LEGACY {
            let why = "a legacy account logs in with a password that the gateway doesn't keep, so there is no second connection";
            return Err(NotShown::Impossible(why.to_owned()));
        }
        if served.roles.is_some() && !whom.claims_known && !bundle.claims().is_empty() {
            let why = "what its role may do depends on claims of a credential that isn't there now";
            return Err(NotShown::Impossible(why.to_owned()));
        }
        let random = || cancel::random().map(|id| SessionId(u128::from_be_bytes(id)));
        let session = match whom.session {
            Some(session) => session,
            None => random().map_err(|error| NotShown::Gateway(error.to_string()))?,
        };
        let mut parameters = whom.parameters;
        parameters.retain(|(name, _)| name != "application_name");
        parameters.push(("application_name".to_owned(), APPLICATION_NAME.to_owned()));
        let login = Login {
            parameters,
            identity: Some(Box::new(whom.identity.clone())),
            expires_at: Some(whom.until.min(SystemTime::now() + ROLE_TIME)),
            keys: None,
        };
        let limit = gateway.live().config.limits.connect_timeout;
        let connecting = log_in_for(session, gateway, &served, &login, limit);
        let connected = tokio::time::timeout(limit, connecting).await;
        let late = |_| NotShown::Database(format!("no connection within {limit:?}"));
        let (mut upstream, lease) =
            connected.map_err(late)?.map_err(|failure| NotShown::Database(failure.reason))?;
        let catalog = current_catalog(gateway, &served, &mut upstream).await.map_err(database)?;
        Ok(Self {
            probe: Probe::over(upstream, catalog),
            bundle,
            identity: whom.identity,
            limits: session_limits(&gateway.live().config.limits),
            _lease: lease.map(|(lease, _)| lease),
        })
    }

    /// Runs statements of the gateway's own.
    pub(super) async fn run(&mut self, sql: &str) -> Result<Vec<crate::upstream::Row>, QueryError> {
        self.probe.upstream().query(sql).await
    }

    /// Finds out what a text touches, with these types of parameters.
    ///
    /// # Errors
    /// [`NotShown::Impossible`]: it can't be read, or the server refuses it.
    pub(super) async fn examine(&mut self, text: &str, types: &[Oid]) -> Result<Examined, NotShown> {
        let refused = |refusal: session::Refusal| NotShown::Impossible(refusal.to_string());
        let steps = match Text::read(text, self.limits).map_err(refused)? {
            Text::Steps(steps) => steps,
            Text::Unreadable(error) => return Err(NotShown::Impossible(error.to_string())),
        };
        let [step] = steps.as_slice() else {
            return Err(NotShown::Impossible("the text is not one statement".to_owned()));
        };
        let version = self.probe.upstream().version_major;
        let mut examiner =
            Examiner::typed(step, types, version, self.probe.catalog(), self.limits).map_err(refused)?;
        let answer = self.probe.run(&mut examiner).await.map_err(|error: ProbeError| database(error))?;
        answer.map_err(refused)
    }

    /// Finds out what the statement of a request touches, here.
    pub(super) async fn examine_asked(&mut self, ask: &Ask) -> Result<(Examined, Bounds), NotShown> {
        if ask.statement.runs.is_some() {
            let why = "it runs what its session has prepared or declared, which no other connection has";
            return Err(NotShown::Impossible(why.to_owned()));
        }
        let bounds = Bounds::of(ask)?;
        let examined = self.examine(&ask.statement.text, &bounds.types).await?;
        Ok((examined, bounds))
    }

    /// Checks that this is what approvers were asked about.
    pub(super) fn is_same(&self, ask: &Ask, examined: &Examined, bounds: &Bounds) -> Result<(), NotShown> {
        if ask.bundle.hash != hex::encode(self.bundle.hash()) {
            return Err(NotShown::Impossible("the policy has changed since it was asked".to_owned()));
        }
        let asker = asker(&self.identity, &ask.database);
        if !examined.is_what_was_asked(ask, &bounds.types, &self.bundle, asker) {
            let why = "its names mean something else on another connection: the session has changed its search_path, or has temporary objects";
            return Err(NotShown::Impossible(why.to_owned()));
        }
        Ok(())
    }

    /// Ends the connection in order.
    pub(super) async fn close(self) {
        self.probe.close().await;
    }
}

/// As a session over TLS from this host would be, now.
pub(super) fn asker<'a>(identity: &'a Identity, database: &'a str) -> Asker<'a> {
    Asker {
        identity,
        database,
        session: SessionFacts {
            application_name: APPLICATION_NAME,
            client_address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            tls: true,
            method: Method::Token,
        },
        now: SystemTime::now(),
    }
}

/// A request's parameters, to be bound.
pub(super) struct Bounds {
    pub(super) types: Vec<Oid>,
    pub(super) values: Vec<(i16, Option<Vec<u8>>)>,
}

impl Bounds {
    fn of(ask: &Ask) -> Result<Self, NotShown> {
        if ask.statement.pattern {
            let why = "it is asked for a pattern: any literals and parameters may stand where these do";
            return Err(NotShown::Impossible(why.to_owned()));
        }
        let parameters = &ask.statement.parameters;
        let value = |value: &approval::Value| {
            Some(match value {
                approval::Value::Null => (0, None),
                approval::Value::Text(text) => (0, Some(text.clone().into_bytes())),
                approval::Value::Binary(digits) => (1, Some(hex::decode(digits).ok()?)),
            })
        };
        let values: Option<Vec<_>> = parameters.iter().map(|parameter| value(&parameter.value)).collect();
        let values =
            values.ok_or_else(|| NotShown::Gateway("a parameter is kept in no known form".to_owned()))?;
        Ok(Self { types: parameters.iter().map(|parameter| Oid(parameter.type_oid)).collect(), values })
    }
}

/// How long is left of a time that began then.
pub(super) fn left(began: Instant, limit: Duration) -> Duration {
    limit.saturating_sub(began.elapsed())
}

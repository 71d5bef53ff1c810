//! One client connection: from accept to the session's shell. Knows which database and which rule it falls under.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::Event;
use identity::Presented;
use model::{ClientAddr, Method, Secret, SessionId};
use oidc::Freshness;
use rustls::pki_types::CertificateDer;
use session::{
    Credential, CredentialFailure, Discovery, Opening, Outbox, Session, UpstreamFailure, UpstreamReady,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use wire::backend::encode;
use wire::error::{ErrorFields, Severity};
use wire::scram::ChannelBinding;
use wire::sqlstate::{self, SqlState};
use wire::startup::{ProtocolVersion, Startup};

use crate::accept::{self, AcceptError, Negotiated, Opened, PlainText};
use crate::cancel::{self, CancelHandle, Registration};
use crate::gateway::{Gateway, Served};
use crate::login::{self, Login, failed, log_in};
use crate::recheck::Recheck;
use crate::roles::{Lease, Wanted};
use crate::rotation::{Certificate, Shown};
use crate::secrets;
use crate::shell::{Shell, Step};
use crate::stream::{ClientStream, UpstreamStream};
use crate::traces::{At, SessionTrace, To};
use crate::trust::Newcomer;
use crate::upstream::Upstream;
use crate::{catalog, tags};

/// What the background steps of a session need to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    session: SessionId,
    client: SocketAddr,
    version: ProtocolVersion,
    rule: Arc<config::AuthRule>,
    /// The user and the database that the client asked for.
    asked: Arc<(String, String)>,
    /// What the client showed in its TLS handshake, its own first.
    certificates: Arc<[CertificateDer<'static>]>,
}

/// Serves one connection to its end.
pub(crate) async fn serve(gateway: Arc<Gateway>, stream: TcpStream, client: SocketAddr) {
    let Ok(_permit) = gateway.connections.clone().try_acquire_owned() else {
        gateway.metrics.turned_away();
        refuse(
            &mut ClientStream::Plain(stream),
            sqlstate::TOO_MANY_CONNECTIONS,
            "sorry, too many clients already",
        )
        .await;
        return;
    };
    let timeout = gateway.live().config.limits.authentication_timeout;
    let began = Instant::now();
    let shown = gateway.tls.as_ref().map(Certificate::shown);
    let acceptor = shown.as_deref().map(|shown| &shown.acceptor);
    let opening = accept::negotiate(stream, acceptor, PlainText::OnLoopback);
    match tokio::time::timeout(timeout, opening).await {
        Ok(Ok(Negotiated::Session(opened))) => {
            let left = timeout.saturating_sub(began.elapsed());
            session(gateway, *opened, shown.as_deref(), (began, left)).await;
        }
        Ok(Ok(Negotiated::Cancel { mut stream, process_id, key })) => {
            let tell = |session| {
                if let Some(entry) = gateway.trust.session(session) {
                    entry.cancel();
                }
            };
            let outcome = gateway.cancels.cancel(Instant::now(), client.ip(), process_id, &key, tell).await;
            tracing::debug!(%client, ?outcome, "cancel request");
            // With TLS a client wants to see the end announced.
            let _ = stream.shutdown().await;
        }
        Ok(Err(AcceptError::Closed)) => {}
        Ok(Err(error)) => tracing::info!(%client, %error, "connection refused"),
        Err(_) => tracing::info!(%client, "connection dropped: it did not say in time what it wants"),
    }
}

async fn session(
    gateway: Arc<Gateway>,
    opened: Opened,
    shown: Option<&Shown>,
    (began, left): (Instant, Duration),
) {
    let Opened { mut stream, client, startup, version, tls, certificates } = opened;
    let address = client.0.ip().to_canonical();
    let live = gateway.live();
    let rule = live.config.auth_rule(startup.user(), startup.database(), address).cloned();
    let (rule, method) = match rule.map(|rule| (rule.method, rule)) {
        Some((config::AuthMethod::Accept(method), rule)) => (rule, method),
        Some((config::AuthMethod::Reject, _)) | None => {
            let text = "no [[auth]] rule of the gateway admits this connection";
            record_refusal(&gateway, client, &startup, text);
            refuse(&mut stream, sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, text).await;
            return;
        }
    };
    let Ok(id) = cancel::random() else {
        tracing::error!("the system gives no random bytes");
        return;
    };
    let served = gateway.databases.get(startup.database()).cloned();
    let recorder = gateway.recorder.as_ref().map(|recorder| {
        let (journal, gateway) = recorder.about().clone();
        session::Recorder { journal, gateway }
    });
    // SECURITY: whose policy wants sessions recorded or ended has none where nothing is recorded.
    let must = |served: &Arc<Served>| served.bundle().recording(&BTreeSet::new()).must;
    if recorder.is_none() && served.as_ref().is_some_and(must) {
        let text = "sessions of this database must be recorded, and this gateway records none";
        tracing::error!(database = startup.database(), "on_failure is \"stop\", and there is no [recording]");
        refuse(&mut stream, sqlstate::CANNOT_CONNECT_NOW, text).await;
        return;
    }
    let channel_binding = match (&tls, shown) {
        (Some(_), Some(shown)) => shown.binding.clone(),
        _ => ChannelBinding::Plaintext,
    };
    let asked = (startup.user().to_owned(), startup.database().to_owned());
    let rule = Arc::new(rule);
    let mut out = Outbox::default();
    let newcomer = Newcomer {
        id: SessionId(u128::from_be_bytes(id)),
        client,
        user: startup.user().to_owned(),
        database: startup.database().to_owned(),
        rule: rule.clone(),
        now: (Instant::now(), SystemTime::now()),
    };
    let trace = traced(&gateway, newcomer.id, began, rule.method.as_str(), served.as_deref());
    let opening = Opening {
        id: SessionId(u128::from_be_bytes(id)),
        client,
        tls,
        method,
        discovery: discovery(&gateway, &newcomer.rule),
        channel_binding,
        target: served.as_ref().map(|served| (served.database.clone(), served.bundle())),
        startup,
        sample: trace.as_ref().and_then(|trace| trace.sample()),
        recorder,
    };
    let enrolled = gateway.trust.enrol(newcomer);
    // Whoever is enrolled feels a changed rule; one that changed just before that was not looked at by anybody.
    if !Arc::ptr_eq(&live, &gateway.live()) {
        let text = "the gateway's configuration has just changed; try again";
        refuse(&mut stream, sqlstate::CANNOT_CONNECT_NOW, text).await;
        return;
    }
    let session = Session::new(opening, &mut out);
    let facts = Facts {
        session: SessionId(u128::from_be_bytes(id)),
        client: client.0,
        version,
        rule,
        asked: Arc::new(asked),
        certificates: certificates.into(),
    };
    let mut shell = Shell::new(gateway, served, session, out, stream, facts, enrolled).traced(trace);
    match tokio::time::timeout(left, shell.run_until_started()).await {
        Ok(_) => shell.run().await,
        Err(_) => shell.give_up("authentication took too long").await,
    }
}

/// Begins the trace of a session, if it has one.
fn traced(
    gateway: &Gateway,
    id: SessionId,
    began: Instant,
    method: &'static str,
    served: Option<&Served>,
) -> Option<Box<SessionTrace>> {
    let traces = gateway.traces.as_ref()?;
    let wall = SystemTime::now().checked_sub(began.elapsed()).unwrap_or_else(SystemTime::now);
    let to = served
        .map(|served| To { database: served.config.name.clone(), upstream: served.config.upstream.clone() });
    traces.session(id, At { began: (began, wall), method, to })
}

fn record_refusal(gateway: &Gateway, client: ClientAddr, startup: &Startup, reason: &str) {
    let session = SessionId(cancel::random().map_or(0, u128::from_be_bytes));
    tracing::info!(%session, %client, reason, "connection refused");
    let event = Event::AuthenticationFailed {
        session,
        client,
        user: Some(startup.user()),
        database: Some(startup.database()),
        method: Some("reject"),
        reason,
        issuer: None,
        subject: None,
    };
    if let Err(error) = gateway.record(&event) {
        tracing::error!(%error, "a refused connection can't be recorded");
    }
}

async fn refuse(stream: &mut ClientStream, state: SqlState, text: &str) {
    let mut bytes = Vec::new();
    encode::error_response(&mut bytes, &ErrorFields::new(Severity::Fatal, state, text));
    // A client that has gone already needs no answer.
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

/// The first issuer that the rule accepts is the one that clients are sent to.
fn discovery(gateway: &Gateway, rule: &config::AuthRule) -> Discovery {
    let live = gateway.live();
    let issuer = live
        .config
        .issuers
        .iter()
        .find(|issuer| issuer.kind == config::IssuerKind::Oidc && rule.accepts_issuer(&issuer.name));
    let url = issuer.and_then(|issuer| live.issuers.get(&issuer.name)).map(|i| i.discovery_url().to_owned());
    Discovery {
        openid_configuration: url.unwrap_or_default(),
        scope: issuer.map(|issuer| issuer.scope.clone()).unwrap_or_default(),
    }
}

impl Facts {
    /// Of which session.
    /// Whose connection it is.
    pub(crate) const fn session(&self) -> SessionId {
        self.session
    }

    /// How the client has to say who it is.
    pub(crate) fn method(&self) -> &'static str {
        self.rule.method.as_str()
    }

    /// Checks a token; runs beside the session.
    pub(crate) async fn verify(self, gateway: Arc<Gateway>, token: Secret<String>, method: Method) -> Step {
        let now = SystemTime::now();
        let verified = self.believed(&gateway, &token, method, Freshness::Remembered).await;
        let asked = verified.as_ref().ok().and_then(|verified| {
            let identity = verified.identity();
            let live = gateway.live();
            let introspection = live.issuers.get(&identity.issuer)?.introspection()?;
            Some((introspection.every, introspection.grace, identity.to_string()))
        });
        let recheck = asked.map(|(every, grace, who)| {
            Recheck::token(self.clone(), gateway, Arc::new(token), method, who, every, grace)
        });
        self.credential(verified, now, recheck)
    }

    pub(crate) async fn believed(
        &self,
        gateway: &Gateway,
        token: &Secret<String>,
        method: Method,
        freshness: Freshness,
    ) -> Result<identity::Verified, oidc::Failure> {
        let certificate = self.certificates.first().map(identity::thumbprint);
        let presented = Presented { method, certificate };
        let accepts = |issuer: &str| self.rule.accepts_issuer(issuer);
        gateway.live().issuers.verify_by(token, presented, freshness, accepts, SystemTime::now()).await
    }

    /// Checks what the client showed in its TLS handshake; runs beside the session.
    pub(crate) async fn verify_certificate(self, gateway: Arc<Gateway>) -> Step {
        let now = SystemTime::now();
        let verified = self.certified(&gateway).await;
        let recheck = Recheck::certificates(self.clone(), gateway);
        self.credential(verified, now, Some(recheck))
    }

    pub(crate) async fn certified(&self, gateway: &Gateway) -> Result<identity::Verified, oidc::Failure> {
        let accepts = |issuer: &str| self.rule.accepts_issuer(issuer);
        gateway.live().issuers.verify_certificate(&self.certificates, accepts, SystemTime::now()).await
    }

    fn credential(
        &self,
        verified: Result<identity::Verified, oidc::Failure>,
        now: SystemTime,
        recheck: Option<Recheck>,
    ) -> Step {
        let result = match verified {
            Ok(verified) => {
                let left = verified.expires_at().duration_since(now).unwrap_or_default();
                Ok(Credential { verified: Box::new(verified), expires: Instant::now() + left })
            }
            Err(failure) => {
                let unavailable = matches!(failure, oidc::Failure::Unavailable { .. });
                let reason = oidc::chain(&failure);
                tracing::info!(session = %self.session, client = %self.client, reason, "authentication failed");
                Err(CredentialFailure { reason, unavailable })
            }
        };
        Step::Verified(result, recheck.map(Box::new))
    }

    /// Finds what a legacy account's proof is checked by; runs beside the session.
    pub(crate) async fn find_verifier(self, gateway: Arc<Gateway>) -> Step {
        let (user, database) = &*self.asked;
        Step::Found(gateway.accounts.find(&gateway, user, database).await.map(Box::new))
    }

    /// Takes care that the verifier is fetched again.
    pub(crate) fn forget_verifier(&self, gateway: &Gateway) {
        let (user, database) = &*self.asked;
        gateway.accounts.forget(gateway, user, database);
    }

    /// Logs in upstream; runs beside the session.
    pub(crate) async fn connect(self, gateway: Arc<Gateway>, served: Arc<Served>, login: Login) -> Step {
        let limit = gateway.live().config.limits.connect_timeout;
        let connected = tokio::time::timeout(limit, self.login(&gateway, &served, &login, limit)).await;
        if login.keys.is_some() && !matches!(connected, Ok(Ok(_))) {
            self.forget_verifier(&gateway);
        }
        Step::Connected(match connected {
            Ok(connected) => connected.map(Box::new),
            Err(_) => Err(failed(format!("no connection within {limit:?}"))),
        })
    }

    async fn login(
        &self,
        gateway: &Arc<Gateway>,
        served: &Arc<Served>,
        login: &Login,
        limit: Duration,
    ) -> Result<Connected, UpstreamFailure> {
        let began = Instant::now();
        let (mut upstream, lease) = log_in_for(self.session, gateway, served, login, limit).await?;
        let role = lease.as_ref().map(|(_, leased)| (began, *leased));
        let lease = lease.map(|(lease, _)| lease);
        let catalog =
            current_catalog(gateway, served, &mut upstream).await.map_err(|e| failed(oidc::chain(&e)))?;
        let named = served.database.roles_named();
        let stands_for = lease.as_ref().map(|lease| &*lease.scope);
        let name_scope =
            catalog::name_scope(&mut upstream, stands_for).await.map_err(|e| failed(oidc::chain(&e)))?;
        let cancel_key = cancel::new_key(self.version).map_err(|e| failed(e.to_string()))?;
        let handle = Arc::new(CancelHandle::new(self.session, served.target.clone(), &upstream));
        let registration = gateway.cancels.register(cancel_key.clone(), handle.clone());
        login::as_asked(&mut upstream.parameters, login);
        let ready = UpstreamReady {
            parameters: upstream.parameters,
            process_id: upstream.process_id,
            cancel_key: cancel_key.expose().clone(),
            version_major: upstream.version_major,
            name_scope,
            alike_since: lease.as_ref().map(|_| named),
            catalog,
        };
        Ok(Connected {
            ready,
            stream: upstream.stream,
            early: upstream.leftover,
            handle,
            registration,
            lease,
            role,
            credential: upstream.lease,
        })
    }
}

/// Logs in upstream as whoever a session's identity is there, by the kind of login that the database has. Of a role that was made for it,
/// returns also when that was there.
pub(crate) async fn log_in_for(
    session: SessionId,
    gateway: &Arc<Gateway>,
    served: &Arc<Served>,
    login: &Login,
    limit: Duration,
) -> Result<(Upstream, Option<(Lease, Instant)>), UpstreamFailure> {
    // SECURITY: an account is itself upstream, whatever others log in as.
    let Some(roles) = served.roles.as_ref().filter(|_| login.keys.is_none()) else {
        return Ok((log_in(&served.config, &served.target, login, limit).await?, None));
    };
    let (Some(identity), Some(until)) = (&login.identity, login.expires_at) else {
        return Err(failed("a role is made only for somebody".to_owned()));
    };
    let wanted = Wanted { session, identity: Arc::new((**identity).clone()), until };
    let lease = roles.lease(gateway, served, wanted).await.map_err(|error| error.failure())?;
    let leased = Instant::now();
    let upstream = login::log_in_as(&served.target, &lease.role, Some(&lease.password), login, limit).await?;
    Ok((upstream, Some((lease, leased))))
}

/// A session's upstream side.
pub(crate) struct Connected {
    pub(crate) ready: UpstreamReady,
    pub(crate) stream: UpstreamStream,
    /// What the server has sent already.
    pub(crate) early: Vec<u8>,
    pub(crate) handle: Arc<CancelHandle>,
    pub(crate) registration: Registration,
    /// The role that it is logged in as, where it was made for this session.
    pub(crate) lease: Option<Lease>,
    /// When that was asked for, and when it was there.
    pub(crate) role: Option<(Instant, Instant)>,
    /// The lease of the login's credential, if that has one.
    pub(crate) credential: Option<secrets::Lease>,
}

/// Returns the catalog's snapshot, taking a new one on this connection if the last is out of date.
pub(crate) async fn current_catalog(
    gateway: &Gateway,
    served: &Served,
    connection: &mut Upstream,
) -> Result<Arc<session::Catalog>, catalog::LoadError> {
    let current = || served.database.past().filter(|_| !served.database.catalog_is_due(Instant::now()));
    if let Some(catalog) = current() {
        return Ok(catalog);
    }
    let _one = served.catalog.lock().await;
    if let Some(catalog) = current() {
        return Ok(catalog);
    }
    let (epoch, taken) = (served.database.epoch(), Instant::now());
    let before = served.database.past();
    let catalog = catalog::load(connection, before.as_deref()).await?;
    let catalog = tags::keep(served, &served.bundle(), catalog, epoch, taken);
    tags::watch(gateway, served, &catalog);
    Ok(catalog)
}

//! One client connection: from accept to the session's shell. Knows which database and which rule it falls under.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use model::{ClientAddr, Method, Secret, SessionId};
use session::{Credential, CredentialFailure, Discovery, Opening, Outbox, Session, UpstreamFailure, UpstreamReady};
use tokio::net::TcpStream;
use wire::backend::encode;
use wire::error::{ErrorFields, Severity};
use wire::sqlstate;
use wire::startup::{ProtocolVersion, Startup};

use crate::accept::{self, ClientStream, Negotiated};
use crate::gateway::{Gateway, Served};
use crate::shell::{Shell, Step};
use crate::{catalog, secrets, upstream};

/// What the background steps of a session need to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    client: SocketAddr,
    version: ProtocolVersion,
    rule: Arc<config::AuthRule>,
}

/// Serves one connection to its end.
pub(crate) async fn serve(gateway: Arc<Gateway>, stream: TcpStream, client: SocketAddr) {
    let Ok(permit) = gateway.connections.clone().try_acquire_owned() else {
        accept::refuse(stream, sqlstate::TOO_MANY_CONNECTIONS, "sorry, too many clients already").await;
        return;
    };
    let timeout = gateway.config.limits.authentication_timeout;
    let began = Instant::now();
    let negotiated = tokio::time::timeout(timeout, accept::negotiate(stream, gateway.tls.as_ref(), client)).await;
    match negotiated {
        Ok(Ok(Negotiated::Session { stream, startup, version, tls })) => {
            let left = timeout.saturating_sub(began.elapsed());
            session(gateway, stream, client, startup, version, tls, left).await;
        }
        Ok(Ok(Negotiated::Cancel { process_id, key })) => gateway.cancels.cancel(client.ip(), process_id, &key).await,
        Ok(Err(error)) => tracing::info!(%client, %error, "connection refused"),
        Err(_) => tracing::info!(%client, "connection dropped: it did not say in time what it wants"),
    }
    drop(permit);
}

async fn session(
    gateway: Arc<Gateway>,
    mut stream: ClientStream,
    client: SocketAddr,
    startup: Startup,
    version: ProtocolVersion,
    tls: Option<String>,
    left: std::time::Duration,
) {
    let rule = gateway.config.auth_rule(startup.user(), startup.database(), client.ip().to_canonical()).cloned();
    let method = match rule.as_ref().map(|rule| rule.method) {
        Some(config::AuthMethod::Token) => Method::Token,
        Some(config::AuthMethod::OAuthBearer) => Method::OAuthBearer,
        Some(config::AuthMethod::Reject) | None => {
            tracing::info!(%client, "connection refused by [[auth]]");
            let text = "no [[auth]] rule of the gateway admits this connection";
            refuse(&mut stream, text).await;
            return;
        }
    };
    let Some(rule) = rule else { return };
    // SECURITY: a token is a bearer credential; it never crosses a network in the clear.
    if tls.is_none() && !client.ip().to_canonical().is_loopback() {
        refuse(&mut stream, "connections from other hosts must use TLS").await;
        return;
    }
    let served = gateway.databases.get(startup.database()).cloned();
    let mut out = Outbox::default();
    let opening = Opening {
        id: SessionId(u128::from_be_bytes(random())),
        client: ClientAddr(client),
        tls,
        method,
        discovery: discovery(&gateway, &rule),
        target: served.as_ref().map(|served| (served.database.clone(), served.bundle())),
        startup,
    };
    let session = Session::new(opening, &mut out);
    let facts = Facts { client, version, rule: Arc::new(rule) };
    let mut shell = Shell::new(gateway, served, session, out, stream, facts);
    match tokio::time::timeout(left, shell.run_until_started()).await {
        Ok(_) => shell.run().await,
        Err(_) => shell.give_up("authentication took too long").await,
    }
}

async fn refuse(stream: &mut ClientStream, text: &str) {
    use tokio::io::AsyncWriteExt;
    let mut bytes = Vec::new();
    let error = ErrorFields::new(Severity::Fatal, sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, text);
    encode::error_response(&mut bytes, &error);
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

/// The first issuer that the rule accepts is the one that clients are sent to.
fn discovery(gateway: &Gateway, rule: &config::AuthRule) -> Discovery {
    let issuer = gateway.config.issuers.iter().find(|issuer| rule.accepts_issuer(&issuer.name));
    let url = issuer.and_then(|issuer| gateway.issuers.get(&issuer.name)).map(|i| i.discovery_url().to_owned());
    Discovery {
        openid_configuration: url.unwrap_or_default(),
        scope: issuer.map(|issuer| issuer.scope.clone()).unwrap_or_default(),
    }
}

/// Random bytes of the operating system's.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    crate::cancel::random()
}

impl Facts {
    /// Checks a token; runs beside the session.
    pub(crate) async fn verify(self, gateway: Arc<Gateway>, token: Secret<String>, method: Method) -> Step {
        let now = SystemTime::now();
        Step::Verified(match gateway.issuers.verify(&token, method, now).await {
            Ok(verified) if !self.rule.accepts_issuer(&verified.identity().issuer) => Err(CredentialFailure {
                reason: format!("issuer \"{}\" is not accepted by the [[auth]] rule", verified.identity().issuer),
                unavailable: false,
            }),
            Ok(verified) => {
                let left = verified.expires_at().duration_since(now).unwrap_or_default();
                Ok(Credential { verified, expires: Instant::now() + left })
            }
            Err(failure) => {
                let unavailable = matches!(failure, oidc::Failure::Unavailable { .. });
                let reason = oidc::chain(&failure);
                tracing::info!(client = %self.client, reason, "authentication failed");
                Err(CredentialFailure { reason, unavailable })
            }
        })
    }

    /// Logs in upstream; runs beside the session.
    pub(crate) async fn connect(
        self,
        gateway: Arc<Gateway>,
        served: Arc<Served>,
        parameters: Vec<(String, String)>,
    ) -> Step {
        let limit = gateway.config.limits.connect_timeout;
        let connected = tokio::time::timeout(limit, self.login(&gateway, &served, parameters)).await;
        Step::Connected(match connected {
            Ok(connected) => connected.map(Box::new),
            Err(_) => Err(UpstreamFailure { reason: format!("no connection within {limit:?}"), sqlstate: None }),
        })
    }

    async fn login(
        &self,
        gateway: &Gateway,
        served: &Served,
        parameters: Vec<(String, String)>,
    ) -> Result<(UpstreamReady, upstream::UpstreamStream, Vec<u8>, crate::cancel::Registration), UpstreamFailure> {
        let mut connection = log_in(&served.config, &parameters).await?;
        let failed = |what: String| UpstreamFailure { reason: what, sqlstate: None };
        let catalog = current_catalog(served, &mut connection).await.map_err(|e| failed(e.to_string()))?;
        let name_scope = catalog::name_scope(&mut connection).await.map_err(|e| failed(e.to_string()))?;
        let parts = connection.into_parts();
        let cancel_key = crate::cancel::new_key(self.version);
        let registration = gateway.cancels.register(
            parts.process_id,
            &cancel_key,
            served.config.upstream.clone(),
            parts.cancel_key,
        );
        let ready = UpstreamReady {
            parameters: parts.parameters,
            process_id: parts.process_id,
            cancel_key,
            version_major: parts.version_major,
            name_scope,
            catalog,
        };
        Ok((ready, parts.stream, parts.leftover, registration))
    }
}

/// Logs in with the credential that the configuration refers to; it is fetched now and wiped when this returns.
pub(crate) async fn log_in(
    database: &config::Database,
    parameters: &[(String, String)],
) -> Result<upstream::Upstream, UpstreamFailure> {
    let config::Login::Static { user, password } = &database.login;
    let secret = |error: secrets::SecretError| UpstreamFailure { reason: error.to_string(), sqlstate: None };
    let user = secrets::resolve(user).await.map_err(secret)?;
    let password = match password {
        Some(password) => Some(secrets::resolve(password).await.map_err(secret)?),
        None => None,
    };
    upstream::login(&database.upstream, &user, password.as_ref(), parameters)
        .await
        .map_err(|error| UpstreamFailure { reason: error.to_string(), sqlstate: error.sqlstate().map(str::to_owned) })
}

/// Returns the catalog's snapshot, taking a new one on this connection if the last is out of date.
pub(crate) async fn current_catalog(
    served: &Served,
    connection: &mut upstream::Upstream,
) -> Result<Arc<session::Catalog>, catalog::LoadError> {
    if let Some(catalog) = served.database.catalog(Instant::now()) {
        return Ok(catalog);
    }
    let _one = served.catalog.lock().await;
    if let Some(catalog) = served.database.catalog(Instant::now()) {
        return Ok(catalog);
    }
    let (epoch, taken) = (served.database.epoch(), Instant::now());
    let catalog = Arc::new(catalog::load(connection).await?);
    served.database.set_catalog(catalog.clone(), epoch, taken);
    Ok(catalog)
}

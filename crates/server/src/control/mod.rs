//! The gateway as those who administer it see it: sessions, blocks, and what issuers tell. Knows no HTTP, and no socket.
//!
//! Every act is recorded before it takes effect. One that can't be recorded is refused, but for those that take trust away: to
//! end sessions and to keep somebody out are done all the same, and whoever asked is told that there is no record.

mod approvals;
mod login;
mod metrics;
mod notify;
mod preview;
mod roles;
mod sessions;
mod views;
mod withdrawal;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use audit::Event;
use identity::Verified;
use model::{ClientAddr, Identity, Method, Secret};
use otlp::Parent;

pub use self::login::{Begun, Browser, LoggedIn, LoginRefused, Returned};
pub use self::roles::Roles;
pub use self::sessions::{Activity, Kill, Killed, Session, State, Term};
pub use self::withdrawal::{Fault, Heard, NotBelieved, NotHeard};
use crate::gateway::Gateway;
use crate::traces::RequestSpan;
pub use crate::trust::{Block, Kind, Selector, StateError};
use crate::{cancel, secrets, tls};

/// Of sessions, in one record; more are counted.
const RECORDED_MAX: usize = 1000;

/// A handle on a running gateway; cheap to copy.
#[derive(Clone)]
pub struct Control {
    gateway: Arc<Gateway>,
}

/// Why an act was refused, and nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Whoever asked.
    #[error("{0}")]
    Invalid(String),
    /// Whoever asked: there is no such thing, perhaps no more.
    #[error("there is no {0}")]
    Missing(String),
    /// Operator: the journal.
    #[error("it can't be recorded, so it is not done: {0}")]
    Unrecorded(#[from] journal::JournalError),
    /// Operator: the folder of `[state]`.
    #[error("it can't be kept, so it is not done: {0}")]
    Unkept(String),
}

impl Control {
    pub(crate) const fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }

    /// Returns who may do what over HTTP, as it is now.
    pub fn operators(&self) -> config::Operators {
        self.gateway.live().config.operators.clone()
    }

    /// Returns where HTTP is to be listened to.
    pub fn http(&self) -> &[SocketAddr] {
        &self.gateway.config.listen.http
    }

    /// Returns the folder for the local socket.
    pub fn state(&self) -> &std::path::Path {
        &self.gateway.config.state
    }

    /// Returns what answers handshakes of HTTP clients; `None` where there is no certificate.
    ///
    /// # Errors
    /// The operator's: certificate or key.
    pub async fn tls(&self) -> Result<Option<Arc<rustls::ServerConfig>>, String> {
        let Some(listen) = &self.gateway.config.listen.tls else { return Ok(None) };
        let key = secrets::resolve(&listen.key).await.map_err(|e| format!("listen.tls.key: {e}"))?;
        let certificate = std::fs::read(&listen.certificate)
            .map_err(|error| format!("{}: {error}", listen.certificate.display()))?;
        let config = tls::server(tls::ClientCertificates::NotAsked, &certificate, &key, b"http/1.1")
            .map_err(|e| oidc::chain(&e))?;
        Ok(Some(Arc::new(config)))
    }

    /// Tells a collector of spans, if there is one, of a request that has been answered.
    ///
    /// `route` has its variables unfilled; `parent` is `traceparent`, of a caller who was let in.
    pub fn trace_request(
        &self,
        (method, route, status): (&'static str, &'static str, u16),
        roles: Vec<&'static str>,
        took: Duration,
        parent: Option<&str>,
    ) {
        if let Some(traces) = &self.gateway.traces {
            let parent = parent.and_then(Parent::parse);
            traces.request(RequestSpan { method, route, status, roles, took, parent });
        }
    }

    /// Checks the token of somebody who wants to administer the gateway. Who is kept out of the databases is kept out here too.
    ///
    /// # Errors
    /// [`Refusal`]: why it is not believed, or counts for nothing; not for them.
    pub async fn admit(&self, token: &Secret<String>) -> Result<Identity, Refusal> {
        let now = SystemTime::now();
        let live = self.gateway.live();
        let verified = live.operators.verify(token, Method::Token, now).await.map_err(Refusal::Token)?;
        self.unless_blocked(&verified, now)
    }

    /// Checks the token of somebody who asks for what is their own: one for a database will do. It gives no role.
    ///
    /// # Errors
    /// [`Refusal`]: as of [`admit`](Self::admit).
    pub async fn admit_agent(&self, token: &Secret<String>) -> Result<Identity, Refusal> {
        let now = SystemTime::now();
        let live = self.gateway.live();
        let verified = live.issuers.verify(token, Method::Token, now).await.map_err(Refusal::Token)?;
        self.unless_blocked(&verified, now)
    }

    fn unless_blocked(&self, verified: &Verified, now: SystemTime) -> Result<Identity, Refusal> {
        match self.gateway.trust.blocked(verified, now) {
            Some(block) => Err(Refusal::Blocked(block.id)),
            None => Ok(verified.identity().clone()),
        }
    }

    /// Returns what somebody may do, as `[operators]` says now.
    pub fn roles(&self, identity: &Identity) -> Roles {
        Roles::of(&self.gateway.live().config.operators, identity)
    }

    /// Returns where people reach the gateway over HTTP.
    pub fn public_url(&self) -> Option<&config::PublicUrl> {
        self.gateway.config.listen.public_url.as_ref()
    }

    /// Records that somebody was refused; whoever it is gets no more than that anyway.
    pub fn note_refused(&self, act: &str, client: Option<SocketAddr>, by: Option<&str>, reason: &str) {
        tracing::info!(
            act,
            client = client.map(|it| it.to_string()),
            by,
            reason,
            "an administrative act is refused"
        );
        let event = Event::ControlRefused { act, client: client.map(ClientAddr), by, reason };
        self.record_or_go_on(&event, &mut Vec::new());
    }

    fn record_or_go_on(&self, event: &Event<'_>, failures: &mut Vec<String>) {
        if let Err(error) = self.gateway.record(event) {
            tracing::error!(%error, event = event.name(), "an administrative act can't be recorded");
            failures.push(format!("it could not be recorded: {error}"));
        }
    }

    async fn keep(&self, block: Block) -> Result<(), String> {
        let trust = self.gateway.trust.clone();
        match tokio::task::spawn_blocking(move || trust.keep(&block)).await {
            Ok(kept) => kept.map_err(|error| oidc::chain(&error)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Returns why clients should be sent elsewhere just now, if they should.
    pub fn not_ready(&self) -> Option<&'static str> {
        self.gateway.is_draining().then_some("the gateway is shutting down")
    }
}

/// Why somebody may not administer the gateway.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The token is not believed.
    #[error(transparent)]
    Token(oidc::Failure),
    /// It is, and its owner is kept out by this block.
    #[error("they are kept out by block {0}")]
    Blocked(String),
}

/// Draws a block's name.
fn name() -> Result<String, String> {
    cancel::random::<8>().map(hex::encode).map_err(|error| error.to_string())
}

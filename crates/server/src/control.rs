//! The gateway as those who administer it see it: sessions, blocks, and what issuers tell. Knows no HTTP, and no socket.
//!
//! Every act is recorded before it takes effect. One that can't be recorded is refused, but for those that take trust away: to
//! end sessions and to keep somebody out are done all the same, and whoever asked is told that there is no record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::Event;
use identity::{Told, Withdrawal};
use model::{ClientAddr, Identity, Method, Secret, SessionId};
pub use session::{Activity, State};

use crate::gateway::Gateway;
use crate::trust::Entry;
pub use crate::trust::{Block, Kind, Selector, StateError};
use crate::{cancel, secrets, tls};

/// How long sessions are given to say what they do; one that is in the middle of something says it next time.
const TELLING: Duration = Duration::from_millis(250);

/// Where an issuer doesn't say how long its tokens live at most, blocks of its subjects are kept for this long.
const TOKENS_LIVE_AT_MOST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Of sessions, in one record; more are counted.
const RECORDED_MAX: usize = 1000;

/// A handle on a running gateway; cheap to copy.
#[derive(Clone)]
pub struct Control {
    gateway: Arc<Gateway>,
}

/// A live session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id, as in the journal.
    pub id: SessionId,
    /// Where its client is.
    pub client: SocketAddr,
    /// The user that the client asked for.
    pub user: String,
    /// The database, likewise.
    pub database: String,
    /// When its client connected.
    pub since: SystemTime,
    /// Whose it is, once that is proven.
    pub identity: Option<Identity>,
    /// How that was proven.
    pub method: Option<&'static str>,
    /// When the credential ends.
    pub expires_at: Option<SystemTime>,
    /// The server process.
    pub backend_pid: Option<i32>,
    /// What it does; `None`: it did not say in time, or has just ended.
    pub activity: Option<Activity>,
}

/// Who is to be ended, and kept out.
#[derive(Clone, Debug)]
pub struct Kill {
    /// Which sessions.
    pub selector: Selector,
    /// Why: for the record, and for those who are ended.
    pub reason: String,
    /// Whether they are kept out, and for how long.
    pub block: Option<Term>,
}

/// For how long a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// This long from now.
    For(Duration),
    /// Until somebody removes it.
    UntilRemoved,
}

/// What came of a [`Kill`]. The sessions are ended, whatever else is said here.
#[derive(Debug)]
pub struct Killed {
    /// Who was told to end.
    pub sessions: Vec<SessionId>,
    /// The block that is in force now.
    pub block: Option<Block>,
    /// What did not work beside it, for whoever asked.
    pub failures: Vec<String>,
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

/// What became of what an issuer told.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// So many sessions end, and tokens from before are refused.
    Ended(usize),
    /// It had been heard before; nothing was done.
    Repeated,
    /// Nothing follows from it.
    Ignored,
}

/// A token of an issuer's that is not believed; its text is for operators.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotBelieved(String, Fault);

/// What is at fault, where the sender is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The issuer's keys can't be had: it is to try again.
    Unavailable,
    /// Its issuer.
    Issuer,
    /// Its audience.
    Audience,
    /// Its key or signature.
    Key,
    /// Something else about it.
    Other,
}

impl NotBelieved {
    /// Returns what is at fault.
    pub const fn fault(&self) -> Fault {
        self.1
    }
}

fn not_believed(failure: oidc::Failure) -> NotHeard {
    use identity::Rejection::{
        AmbiguousKey, BadSignature, UnknownIssuer, UnknownKey, UnsuitableKey, WrongAudience, WrongIssuer,
    };
    let fault = match &failure {
        oidc::Failure::Unavailable { .. } => Fault::Unavailable,
        oidc::Failure::Rejected(UnknownIssuer(_) | WrongIssuer { .. }) => Fault::Issuer,
        oidc::Failure::Rejected(WrongAudience { .. }) => Fault::Audience,
        oidc::Failure::Rejected(UnknownKey(_) | UnsuitableKey { .. } | AmbiguousKey | BadSignature) => {
            Fault::Key
        }
        oidc::Failure::Rejected(_)
        | oidc::Failure::Certificate(_)
        | oidc::Failure::NoAuthority
        | oidc::Failure::NotAccepted(_) => Fault::Other,
    };
    NotHeard::Token(NotBelieved(oidc::chain(&failure), fault))
}

/// Why an issuer was not listened to.
#[derive(Debug, thiserror::Error)]
pub enum NotHeard {
    /// Whoever sent it.
    #[error(transparent)]
    Token(NotBelieved),
    /// Operator: it is in force until the gateway ends; the issuer is to try again.
    #[error("it can't be kept: {0}")]
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

    /// Checks the token of somebody who wants to administer the gateway. Who is kept out of the databases is kept out here too.
    ///
    /// # Errors
    /// [`Refusal`]: why it is not believed, or counts for nothing; not for them.
    pub async fn admit(&self, token: &Secret<String>) -> Result<Identity, Refusal> {
        let now = SystemTime::now();
        let live = self.gateway.live();
        let verified = live.operators.verify(token, Method::Token, now).await.map_err(Refusal::Token)?;
        match self.gateway.trust.blocked(&verified, now) {
            Some(block) => Err(Refusal::Blocked(block.id)),
            None => Ok(verified.identity().clone()),
        }
    }

    /// Returns the live sessions, oldest first, with what each does now.
    pub async fn sessions(&self) -> Vec<Session> {
        let entries = self.gateway.trust.sessions();
        let asked: Vec<_> = entries.into_iter().map(|entry| (entry.ask(), entry)).collect();
        let until = tokio::time::Instant::now() + TELLING;
        let mut sessions = Vec::with_capacity(asked.len());
        for (answer, entry) in asked {
            let activity = tokio::time::timeout_at(until, answer).await.ok().and_then(Result::ok);
            sessions.push(session(&entry, activity));
        }
        sessions
    }

    /// Ends sessions, and keeps out whoever they belong to if that is asked for.
    ///
    /// # Errors
    /// [`ControlError::Invalid`]: a block of something that can't come back.
    pub async fn kill(&self, by: &str, kill: Kill) -> Result<Killed, ControlError> {
        let Kill { selector, reason, block } = kill;
        let now = SystemTime::now();
        let block = match block {
            Some(term) => Some(self.block_of(by, &selector, &reason, term, now)?),
            None => None,
        };
        let trust = self.gateway.trust.clone();
        // In force before anybody is ended: whoever comes back at once meets it.
        if let Some(block) = &block {
            trust.block(block.clone(), now);
        }
        let told = format!("ended by an operator: {reason}");
        let found = trust.condemn(std::slice::from_ref(&selector), None, &told, Instant::now());
        let sessions: Vec<_> = found.iter().map(|entry| entry.id).collect();
        let mut failures = Vec::new();
        // SECURITY: taking trust away does not wait for the journal to heal. Its own sessions' records will be missing likewise.
        let event = Event::SessionsEnded {
            by,
            selector: &selector.to_string(),
            reason: &reason,
            sessions: sessions.get(..RECORDED_MAX).unwrap_or(&sessions),
            block: block.as_ref().map(|block| block.id.as_str()),
        };
        self.record_or_go_on(&event, &mut failures);
        if let Some(block) = &block {
            let selector = block.selector.to_string();
            self.record_or_go_on(&added(block, &selector), &mut failures);
        }
        found.iter().for_each(|entry| entry.end(&told));
        tracing::info!(by, %selector, sessions = sessions.len(), "sessions are ended");
        if let Some(block) = block.clone()
            && let Err(error) = self.keep(block).await
        {
            failures.push(format!("the block holds until the gateway ends, but could not be kept: {error}"));
        }
        Ok(Killed { sessions, block, failures })
    }

    fn block_of(
        &self,
        by: &str,
        selector: &Selector,
        reason: &str,
        term: Term,
        now: SystemTime,
    ) -> Result<Block, ControlError> {
        let selector = match selector.kind {
            // A session never comes back; whoever it belongs to does.
            Kind::Session => {
                let sessions = self.gateway.trust.sessions();
                let entry = sessions.iter().find(|entry| entry.id.to_string() == selector.value);
                let entry = entry.ok_or_else(|| ControlError::Missing(selector.to_string()))?;
                let who = entry.who().ok_or_else(|| {
                    let what =
                        "the session is not yet anybody's, so nobody can be kept out; end it without a block";
                    ControlError::Invalid(what.to_owned())
                })?;
                Selector::new(Kind::Identity, who.identity.to_string())
            }
            _ => selector.clone(),
        };
        let until = match term {
            Term::UntilRemoved => None,
            Term::For(time) => Some(
                now.checked_add(time)
                    .ok_or_else(|| ControlError::Invalid("that time is out of range".to_owned()))?,
            ),
        };
        let id = name().map_err(ControlError::Unkept)?;
        let (reason, by) = (reason.to_owned(), by.to_owned());
        Ok(Block { id, selector, until, issued_until: None, reason, by, at: now })
    }

    /// Returns the blocks that are in force, oldest first.
    pub fn blocks(&self) -> Vec<Block> {
        self.gateway.trust.blocks(SystemTime::now())
    }

    /// Lifts a block.
    ///
    /// # Errors
    /// [`ControlError`]: it is in force as before.
    pub async fn unblock(&self, by: &str, id: &str) -> Result<(), ControlError> {
        let trust = self.gateway.trust.clone();
        let block = trust
            .find_block(id, SystemTime::now())
            .ok_or_else(|| ControlError::Missing(format!("block {id}")))?;
        let selector = block.selector.to_string();
        self.gateway.record(&Event::BlockRemoved { by, block: id, selector: &selector })?;
        let id = id.to_owned();
        let lifted = tokio::task::spawn_blocking(move || trust.unblock(&id)).await;
        match lifted {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ControlError::Unkept(oidc::chain(&error))),
            Err(error) => Err(ControlError::Unkept(error.to_string())),
        }
    }

    /// Takes an issuer's logout token (OpenID Connect Back-Channel Logout 1.0).
    ///
    /// # Errors
    /// [`NotHeard`]: see there.
    pub async fn logout(&self, token: &Secret<String>) -> Result<Heard, NotHeard> {
        let now = SystemTime::now();
        let live = self.gateway.live();
        let withdrawal = live.issuers.verify_logout(token, now).await.map_err(not_believed)?;
        self.withdraw("backchannel-logout", withdrawal, now).await
    }

    /// Takes a transmitter's security event token (RFC 8417).
    ///
    /// # Errors
    /// [`NotHeard`]: see there.
    pub async fn security_event(&self, token: &Secret<String>) -> Result<Heard, NotHeard> {
        let now = SystemTime::now();
        let live = self.gateway.live();
        match live.issuers.verify_event(token, now).await.map_err(not_believed)? {
            Told::Withdrawn(withdrawal) => self.withdraw("session-revoked", withdrawal, now).await,
            Told::Other { issuer, token_id, events } => {
                tracing::info!(
                    issuer,
                    token_id,
                    events = events.join(" "),
                    "nothing follows from a security event"
                );
                Ok(Heard::Ignored)
            }
        }
    }

    async fn withdraw(
        &self,
        kind: &'static str,
        withdrawal: Withdrawal,
        now: SystemTime,
    ) -> Result<Heard, NotHeard> {
        let Withdrawal { issuer, subject, session, at, token_id, forgettable } = withdrawal;
        if !self.gateway.trust.first_time(&issuer, &token_id, forgettable, now) {
            return Ok(Heard::Repeated);
        }
        let named = |kind: Kind, value: &String| Selector::new(kind, format!("{issuer}:{value}"));
        let mut selectors = Vec::new();
        match (&subject, &session) {
            (subject, Some(session)) => {
                selectors.push(named(Kind::IssuerSession, session));
                // A token that doesn't say which session it is of may be of this one.
                selectors.extend(subject.iter().map(|it| named(Kind::SubjectWithoutSession, it)));
            }
            (Some(subject), None) => selectors.push(named(Kind::Subject, subject)),
            (None, None) => {}
        }
        let live = self.gateway.live();
        let lifetime = live.config.issuers.iter().find(|it| it.name == issuer);
        let lifetime = lifetime.and_then(|it| it.token_lifetime_max).unwrap_or(TOKENS_LIVE_AT_MOST);
        let reason = format!("the issuer has ended the session ({kind})");
        let mut blocks = Vec::new();
        for selector in &selectors {
            let block = Block {
                id: name().map_err(NotHeard::Unkept)?,
                selector: selector.clone(),
                until: at.checked_add(lifetime),
                issued_until: Some(at),
                reason: reason.clone(),
                by: format!("issuer:{issuer}"),
                at: now,
            };
            self.gateway.trust.block(block.clone(), now);
            blocks.push(block);
        }
        let found = self.gateway.trust.condemn(&selectors, Some(at), &reason, Instant::now());
        let sessions: Vec<_> = found.iter().map(|entry| entry.id).collect();
        let event = Event::TrustEnded {
            issuer: &issuer,
            kind,
            subject: subject.as_deref(),
            issuer_session: session.as_deref(),
            token_id: &token_id,
            sessions: sessions.get(..RECORDED_MAX).unwrap_or(&sessions),
        };
        self.record_or_go_on(&event, &mut Vec::new());
        found.iter().for_each(|entry| entry.end(&reason));
        for block in blocks {
            if let Err(error) = self.keep(block).await {
                // Told again, it is to be heard again.
                self.gateway.trust.forget(&issuer, &token_id);
                return Err(NotHeard::Unkept(error));
            }
        }
        Ok(Heard::Ended(sessions.len()))
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

fn session(entry: &Entry, activity: Option<Activity>) -> Session {
    let who = entry.who();
    Session {
        id: entry.id,
        client: entry.client.0,
        user: entry.user.clone(),
        database: entry.database.clone(),
        since: entry.since,
        identity: who.map(|who| who.identity.clone()),
        method: who.map(|who| who.method),
        expires_at: who.map(|who| who.expires_at),
        backend_pid: entry.backend_pid(),
        activity,
    }
}

fn added<'a>(block: &'a Block, selector: &'a str) -> Event<'a> {
    Event::BlockAdded {
        by: &block.by,
        block: &block.id,
        selector,
        reason: &block.reason,
        until: block.until.map(Into::into),
        issued_until: block.issued_until.map(Into::into),
    }
}

/// Draws a block's name.
fn name() -> Result<String, String> {
    cancel::random::<8>().map(hex::encode).map_err(|error| error.to_string())
}

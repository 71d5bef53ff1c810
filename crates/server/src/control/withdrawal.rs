//! What issuers tell: that a session or a subject is no longer to be trusted. Judges no token.

use std::time::{Duration, Instant, SystemTime};

use audit::Event;
use identity::{Told, Withdrawal};
use model::Secret;

use super::{Control, RECORDED_MAX, name};
use crate::trust::{Block, Kind, Selector};

/// Where an issuer doesn't say how long its tokens live at most, blocks of its subjects are kept for this long.
const TOKENS_LIVE_AT_MOST: Duration = Duration::from_secs(30 * 24 * 3600);

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
        self.log_out_withdrawn(&issuer, subject.as_deref(), session.as_deref(), &reason).await;
        for block in blocks {
            if let Err(error) = self.keep(block).await {
                // Told again, it is to be heard again.
                self.gateway.trust.forget(&issuer, &token_id);
                return Err(NotHeard::Unkept(error));
            }
        }
        Ok(Heard::Ended(sessions.len()))
    }
}

//! Live sessions, and who is ended and kept out. Knows no HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use audit::Event;
use model::{Identity, SessionId};
pub use session::{Activity, State};

use super::{Control, ControlError, RECORDED_MAX, name};
use crate::trust::{Block, Entry, Kind, Selector};

/// How long sessions are given to say what they do; one that is in the middle of something says it next time.
const TELLING: Duration = Duration::from_millis(250);

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

impl Control {
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
        // Of a group or an issuer, a block is what ends logins: whoever has one is asked for at each request.
        if matches!(selector.kind, Kind::Identity)
            && let Err(error) = self.log_out_all(&selector.value, &told).await
        {
            failures.push(format!("logins with a browser could not be ended: {error}"));
        }
        tracing::info!(by, selector = selector.to_string(), sessions = sessions.len(), "sessions are ended");
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

//! The live sessions: who they are, and how each is told something. Knows no socket.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use identity::{Origin, Verified};
use model::{ClientAddr, Identity, SessionId};
use session::Activity;
use tokio::sync::{mpsc, oneshot};

use super::{Kind, Selector, Trust};

/// What one session is told. A session that is at work reads it between two steps.
pub(crate) enum Word {
    /// It must end, for this reason.
    End(String),
    /// Its client wants what it waits for to be cancelled.
    Cancel,
    /// It is asked what it does.
    Tell(oneshot::Sender<Activity>),
}

/// What is known of a session when it begins.
pub(crate) struct Newcomer {
    pub(crate) id: SessionId,
    pub(crate) client: ClientAddr,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) rule: Arc<config::AuthRule>,
    pub(crate) now: (Instant, SystemTime),
}

/// A live session.
pub(crate) struct Entry {
    pub(crate) id: SessionId,
    pub(crate) client: ClientAddr,
    pub(crate) user: String,
    pub(crate) database: String,
    /// The `[[auth]]` rule that it came in by.
    pub(crate) rule: Arc<config::AuthRule>,
    pub(crate) began: Instant,
    pub(crate) since: SystemTime,
    who: OnceLock<Who>,
    startup: OnceLock<Vec<(String, String)>>,
    backend_pid: AtomicI32,
    words: mpsc::UnboundedSender<Word>,
}

/// Whose a session is.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) identity: Identity,
    pub(crate) origin: Origin,
    pub(crate) method: &'static str,
    pub(crate) expires_at: SystemTime,
}

/// That some were ended, for those that were not yet anybody then.
pub(super) struct Kill {
    pub(super) at: Instant,
    pub(super) selectors: Vec<Selector>,
    pub(super) issued_until: Option<SystemTime>,
    pub(super) reason: String,
}

impl Entry {
    pub(super) fn new(newcomer: Newcomer) -> (Arc<Self>, mpsc::UnboundedReceiver<Word>) {
        let Newcomer { id, client, user, database, rule, now: (began, since) } = newcomer;
        let (words, receiver) = mpsc::unbounded_channel();
        let (who, startup, backend_pid) = (OnceLock::new(), OnceLock::new(), AtomicI32::new(0));
        let entry = Self { id, client, user, database, rule, began, since, who, startup, backend_pid, words };
        (Arc::new(entry), receiver)
    }

    pub(super) fn identify(&self, who: Who) {
        // A session is somebody once.
        let _known = self.who.set(who);
    }

    /// Returns whose it is, once that is proven.
    pub(crate) fn who(&self) -> Option<&Who> {
        self.who.get()
    }

    /// Notes the run-time parameters that it logs in upstream with.
    pub(crate) fn set_startup(&self, parameters: &[(String, String)]) {
        // A session logs in once.
        let _known = self.startup.set(parameters.to_vec());
    }

    /// Returns the run-time parameters that it has logged in upstream with.
    pub(crate) fn startup(&self) -> &[(String, String)] {
        self.startup.get().map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn set_backend_pid(&self, pid: i32) {
        self.backend_pid.store(pid, Ordering::Relaxed);
    }

    /// Returns the server process's id, once there is one.
    pub(crate) fn backend_pid(&self) -> Option<i32> {
        Some(self.backend_pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Ends the session.
    pub(crate) fn end(&self, reason: &str) {
        // Nobody hears it who has ended already.
        let _gone = self.words.send(Word::End(reason.to_owned()));
    }

    /// Passes on that its client has sent a CancelRequest.
    pub(crate) fn cancel(&self) {
        let _gone = self.words.send(Word::Cancel);
    }

    /// Asks the session what it does; the answer never comes from one that has ended.
    pub(crate) fn ask(&self) -> oneshot::Receiver<Activity> {
        let (answer, receiver) = oneshot::channel();
        let _gone = self.words.send(Word::Tell(answer));
        receiver
    }
}

impl Who {
    pub(super) fn of(verified: &Verified) -> Self {
        Self {
            identity: verified.identity().clone(),
            origin: verified.origin().clone(),
            method: verified.method().as_str(),
            expires_at: verified.expires_at(),
        }
    }

    /// Returns everything that a session of this one, with this id and database, is found by.
    pub(super) fn selectors(&self, id: SessionId, database: &str) -> Vec<Selector> {
        let Identity { issuer, subject, groups, token_id, on_behalf_of, .. } = &self.identity;
        let of_issuer = |kind: Kind, value: &str| Selector::new(kind, format!("{issuer}:{value}"));
        let mut selectors = unproven(id, database).to_vec();
        selectors.push(Selector::new(Kind::Issuer, issuer));
        selectors.push(of_issuer(Kind::Identity, subject));
        selectors.extend(groups.iter().map(|group| Selector::new(Kind::Group, group)));
        selectors.extend(token_id.iter().map(|id| Selector::new(Kind::TokenId, id)));
        // Whoever ends a person ends those who act for them.
        selectors.extend(on_behalf_of.iter().map(|party| Selector::new(Kind::Identity, party.to_string())));
        let mut subjects: Vec<&str> = self.origin.subjects.iter().map(String::as_str).collect();
        subjects.push(subject);
        subjects.extend(on_behalf_of.iter().filter(|it| it.issuer == *issuer).map(|it| it.subject.as_str()));
        subjects.sort_unstable();
        subjects.dedup();
        for subject in subjects {
            selectors.push(of_issuer(Kind::Subject, subject));
            if self.origin.session.is_none() {
                selectors.push(of_issuer(Kind::SubjectWithoutSession, subject));
            }
        }
        selectors.extend(self.origin.session.iter().map(|sid| of_issuer(Kind::IssuerSession, sid)));
        selectors
    }
}

/// What a session is found by before it is anybody.
fn unproven(id: SessionId, database: &str) -> [Selector; 2] {
    [Selector::new(Kind::Session, id.to_string()), Selector::new(Kind::Database, database)]
}

impl Kill {
    /// Whether it is about somebody with these selectors.
    pub(super) fn meets(&self, selectors: &[Selector], who: &Who) -> bool {
        issued_by(who.origin.issued_at, self.issued_until) && self.names(selectors)
    }

    fn names(&self, selectors: &[Selector]) -> bool {
        self.selectors.iter().any(|meant| selectors.contains(meant))
    }

    /// Whether it is about this session, as far as that is known.
    pub(super) fn means(&self, entry: &Entry) -> bool {
        match entry.who() {
            Some(who) => self.meets(&who.selectors(entry.id, &entry.database), who),
            None => self.names(&unproven(entry.id, &entry.database)),
        }
    }
}

/// Whether a credential was issued by then. One that doesn't say when, was.
pub(super) fn issued_by(issued_at: Option<SystemTime>, until: Option<SystemTime>) -> bool {
    match (issued_at, until) {
        (Some(issued), Some(until)) => issued <= until,
        (None, _) | (_, None) => true,
    }
}

/// A session's place in the registry; gone when dropped.
pub(crate) struct Enrolled {
    trust: Arc<Trust>,
    pub(crate) entry: Arc<Entry>,
    pub(crate) words: mpsc::UnboundedReceiver<Word>,
}

impl Enrolled {
    pub(super) const fn new(
        trust: Arc<Trust>,
        entry: Arc<Entry>,
        words: mpsc::UnboundedReceiver<Word>,
    ) -> Self {
        Self { trust, entry, words }
    }
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        self.trust.leave(self.entry.id);
    }
}

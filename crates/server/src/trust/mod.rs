//! Who is trusted for how long: the live sessions, the orders that end them, and the blocks that keep some from coming back.
//!
//! Knows identities and sessions; no protocol, no HTTP, and no policy. One lock holds it all. It is taken when a session begins, when it is
//! somebody, and when it ends; never for a statement.

mod blocks;
mod registry;
mod selector;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use identity::Verified;
use model::SessionId;
use parking_lot::Mutex;

pub use blocks::{Block, StateError};
pub(crate) use registry::{Enrolled, Entry, Newcomer, Who, Word};
pub use selector::{Kind, Selector};

use blocks::Kept;
use registry::Kill;

/// Kills are remembered for as long as a session may take to become somebody: one that was under way then ends too.
const KILLS_KEPT: Duration = Duration::from_secs(1300);

/// See the module.
pub(crate) struct Trust {
    inner: Mutex<Inner>,
    file: Arc<Mutex<blocks::File>>,
}

#[derive(Default)]
struct Inner {
    sessions: HashMap<SessionId, Arc<Entry>>,
    kills: Vec<Kill>,
    blocks: Kept,
    /// Tokens of issuers that were taken, until they can't be taken again.
    seen: HashMap<(String, String), SystemTime>,
}

/// Why somebody whose credential is good may not come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: String,
}

impl Trust {
    /// Opens what is kept in the folder.
    ///
    /// # Errors
    /// [`StateError`]: operator. SECURITY: without its blocks a gateway would let in whom it was told to keep out.
    pub(crate) fn open(folder: &Path, now: SystemTime) -> Result<Self, StateError> {
        let (file, blocks) = blocks::File::open(folder, now)?;
        let inner = Inner { blocks, ..Inner::default() };
        Ok(Self { inner: Mutex::new(inner), file: Arc::new(Mutex::new(file)) })
    }

    /// Enters a session that has begun and is not yet anybody.
    pub(crate) fn enrol(self: &Arc<Self>, newcomer: Newcomer) -> Enrolled {
        let (entry, words) = Entry::new(newcomer);
        self.inner.lock().sessions.insert(entry.id, entry.clone());
        Enrolled::new(self.clone(), entry, words)
    }

    fn leave(&self, id: SessionId) {
        self.inner.lock().sessions.remove(&id);
    }

    /// Notes whose a session is, if they may come in.
    ///
    /// Under the lock that kills and blocks take too: whoever is killed is either found by the kill, or refused here.
    pub(crate) fn identify(
        &self,
        entry: &Entry,
        verified: &Verified,
        now: SystemTime,
    ) -> Result<(), Refused> {
        self.identify_as(entry, Who::of(verified), now)
    }

    /// The same for somebody who was found out in another way than by a token.
    pub(crate) fn identify_as(&self, entry: &Entry, who: Who, now: SystemTime) -> Result<(), Refused> {
        let selectors = who.selectors(entry.id, &entry.database);
        let inner = self.inner.lock();
        if let Some(block) = inner.blocks.find(&selectors, who.origin.issued_at, now) {
            return Err(Refused { reason: block.told() });
        }
        let killed = inner.kills.iter().find(|kill| kill.at > entry.began && kill.meets(&selectors, &who));
        if let Some(kill) = killed {
            return Err(Refused { reason: kill.reason.clone() });
        }
        entry.identify(who);
        Ok(())
    }

    /// Returns the block that keeps out whoever has this credential, whatever database they want.
    pub(crate) fn blocked(&self, verified: &Verified, now: SystemTime) -> Option<Block> {
        self.blocks_out(&Who::of(verified), now)
    }

    /// The same of somebody who showed it earlier.
    pub(crate) fn blocks_out(&self, who: &Who, now: SystemTime) -> Option<Block> {
        let mut selectors = who.selectors(SessionId(0), "");
        selectors.retain(|selector| !matches!(selector.kind, Kind::Session | Kind::Database));
        self.inner.lock().blocks.find(&selectors, who.origin.issued_at, now).cloned()
    }

    /// Returns the block that keeps out somebody who is known by name only. One for credentials that were issued by some moment is not meant:
    /// whoever asks has proven who they are since, or is asked to.
    pub(crate) fn keeps_out(&self, who: &approval::Who, now: SystemTime) -> Option<String> {
        let approval::Who { issuer, subject, groups, .. } = who;
        let names = |selector: &Selector| match selector.kind {
            Kind::Identity | Kind::Subject => selector.value == format!("{issuer}:{subject}"),
            Kind::Group => groups.contains(&selector.value),
            Kind::Issuer => selector.value == *issuer,
            Kind::Session
            | Kind::TokenId
            | Kind::Database
            | Kind::SubjectWithoutSession
            | Kind::IssuerSession => false,
        };
        let blocks = self.blocks(now);
        blocks.into_iter().find(|it| it.issued_until.is_none() && names(&it.selector)).map(|block| block.id)
    }

    /// Returns a live session.
    pub(crate) fn session(&self, id: SessionId) -> Option<Arc<Entry>> {
        self.inner.lock().sessions.get(&id).cloned()
    }

    /// Returns all live sessions, oldest first.
    pub(crate) fn sessions(&self) -> Vec<Arc<Entry>> {
        let mut sessions: Vec<_> = self.inner.lock().sessions.values().cloned().collect();
        sessions.sort_by_key(|entry| (entry.began, entry.id));
        sessions
    }

    /// Finds those that any of the selectors means and whose credential was issued by `issued_until`, and makes sure that those are ended too
    /// that are not yet somebody. Call [`Entry::end`] for each.
    pub(crate) fn condemn(
        &self,
        selectors: &[Selector],
        issued_until: Option<SystemTime>,
        reason: &str,
        now: Instant,
    ) -> Vec<Arc<Entry>> {
        let kill = Kill { at: now, selectors: selectors.to_vec(), issued_until, reason: reason.to_owned() };
        let mut inner = self.inner.lock();
        let found = inner.sessions.values().filter(|entry| kill.means(entry)).cloned().collect();
        inner.kills.retain(|kill| now.saturating_duration_since(kill.at) < KILLS_KEPT);
        inner.kills.push(kill);
        found
    }

    /// Puts a block in force at once; [`Trust::keep`] makes it outlive the gateway.
    pub(crate) fn block(&self, block: Block, now: SystemTime) {
        self.inner.lock().blocks.add(block, now);
    }

    /// Writes down that a block is in force. Blocks on the disk.
    ///
    /// # Errors
    /// [`StateError`]: it is in force until the gateway ends.
    pub(crate) fn keep(&self, block: &Block) -> Result<(), StateError> {
        let all = || self.inner.lock().blocks.all();
        self.file.lock().add(block, all)
    }

    /// Returns a block that is in force.
    pub(crate) fn find_block(&self, id: &str, now: SystemTime) -> Option<Block> {
        self.blocks(now).into_iter().find(|block| block.id == id)
    }

    /// Lifts a block, on disk first: what a restart would bring back is not lifted. Blocks on the disk.
    ///
    /// # Errors
    /// [`StateError`]: it is in force as before.
    pub(crate) fn unblock(&self, id: &str) -> Result<(), StateError> {
        let mut file = self.file.lock();
        file.remove(id, || {
            let mut all = self.inner.lock().blocks.all();
            all.retain(|block| block.id != id);
            all
        })?;
        self.inner.lock().blocks.remove(id);
        Ok(())
    }

    /// Returns all blocks that are in force, oldest first.
    pub(crate) fn blocks(&self, now: SystemTime) -> Vec<Block> {
        let mut blocks = self.inner.lock().blocks.all();
        blocks.retain(|block| block.holds(now));
        blocks.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        blocks
    }

    /// Has a token of an issuer's count as not yet seen.
    pub(crate) fn forget(&self, issuer: &str, token_id: &str) {
        self.inner.lock().seen.remove(&(issuer.to_owned(), token_id.to_owned()));
    }

    /// Whether a token of an issuer's comes for the first time. Remembered until it is too old to be accepted.
    pub(crate) fn first_time(
        &self,
        issuer: &str,
        token_id: &str,
        forgettable: SystemTime,
        now: SystemTime,
    ) -> bool {
        /// A tenth of a kilobyte each.
        const SEEN_MAX: usize = 100_000;
        let mut inner = self.inner.lock();
        if inner.seen.len() >= SEEN_MAX {
            inner.seen.retain(|_, until| *until > now);
        }
        if inner.seen.len() >= SEEN_MAX {
            // What is forgotten too early can be told again, and means then what it meant before: what was issued by then.
            inner.seen.clear();
        }
        inner.seen.insert((issuer.to_owned(), token_id.to_owned()), forgettable).is_none_or(|it| it <= now)
    }
}

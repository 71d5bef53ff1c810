//! The one place where requests for approval are opened, decided, claimed and ended, whoever asks and by whichever channel.
//!
//! What may become of a request says crate `approval`; where it is kept, crate `store`. This room puts them in order: read, apply, record in
//! the journal, write by comparison, and read again where somebody else was faster. Knows no protocol, no socket, no policy.
//!
//! A claim is in the store before its session gets the grant, so a crash in between costs an approval and never gives two. What waits
//! here for each held statement is its number, its deadline and a task; texts are in the store.

mod acts;
mod asks;
mod delegations;
mod held;
mod records;
mod upkeep;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use approval::{Number, Request, Stamp};
use journal::{Journal, JournalError};
use parking_lot::Mutex;
use store::{Store, StoreError};
use tokio::sync::Notify;

pub use acts::ActRefused;
pub(crate) use acts::Deciding;
pub use asks::AskRefused;
pub(crate) use asks::Terms;
pub use delegations::{DelegationRefused, Lend};
pub(crate) use held::Asked;
use upkeep::Deadlines;

/// How often a comparison may fail before somebody is told to try again.
const TRIES_MAX: usize = 16;

/// After this long a request is looked at again that could not be seen.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Desk {
    store: Store,
    journal: Arc<Journal>,
    /// This run of the gateway.
    instance: String,
    /// Where the former run's name is kept.
    state: PathBuf,
    /// That name, until what it held is closed.
    former: Mutex<Option<String>>,
    /// Held statements of this gateway.
    waiting: Mutex<Deadlines>,
    /// A deadline that may be sooner than those before.
    sooner: Notify,
    /// Somebody waits no longer.
    fewer: Notify,
    /// One at a time looks whether there is room, and takes it.
    opening: tokio::sync::Mutex<()>,
    listener: Listener,
}

/// Is told of whatever happens to a request, right after it is in the store. It must not wait.
pub(crate) type Listener = Box<dyn Fn(&Request, Happened) + Send + Sync>;

/// What has happened to a request, for those who tell people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It was opened.
    Opened,
    /// Enough have approved, or somebody has denied it.
    Decided,
    /// It was used, or is over for another reason.
    Ended,
    /// Somebody has broken the glass.
    BreakGlass,
    /// Somebody has looked at a break-glass.
    Reviewed,
}

/// Why something could not be done, whoever asked for it: the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("the store of approvals does not answer")]
    Store(#[from] StoreError),
    #[error("it can't be recorded in the journal")]
    Journal(#[from] JournalError),
    #[error("others were faster, again and again")]
    Overtaken,
}

impl Desk {
    /// `instance` names this run of the gateway; in `state` the run before has left its own name.
    pub(crate) fn new(
        store: Store,
        journal: Arc<Journal>,
        (instance, state): (String, PathBuf),
        listener: Listener,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            journal,
            instance,
            state,
            former: Mutex::default(),
            waiting: Mutex::default(),
            sooner: Notify::new(),
            fewer: Notify::new(),
            opening: tokio::sync::Mutex::new(()),
            listener,
        })
    }

    /// Waits until the requests of sessions that have ended are closed, but not for ever.
    pub(crate) async fn drained(&self, limit: Duration) {
        let empty = async {
            loop {
                let fewer = self.fewer.notified();
                if self.waiting.lock().is_empty() {
                    return;
                }
                fewer.await;
            }
        };
        if tokio::time::timeout(limit, empty).await.is_err() {
            tracing::warn!(
                "requests for approval are left open; they are closed when the gateway starts again"
            );
        }
    }

    /// Tells those who tell people. It never waits.
    fn tell(&self, request: &Request, happened: Happened) {
        (self.listener)(request, happened);
    }

    fn wait_for(&self, number: Number, until: Stamp) -> Arc<Notify> {
        let bell = self.waiting.lock().add(number, until);
        self.sooner.notify_one();
        bell
    }

    /// Looks again in a moment: a store in PostgreSQL says when it is back, a file does not.
    fn look_again(&self, number: Number) {
        self.waiting.lock().ring_at(number, now().after(LOOK_AGAIN));
        self.sooner.notify_one();
    }

    fn wait_no_more(&self, number: Number) {
        self.waiting.lock().remove(number);
        self.fewer.notify_waiters();
    }
}

fn now() -> Stamp {
    SystemTime::now().into()
}

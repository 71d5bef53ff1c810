//! What the gateway shows of itself: what runs, what was refused, who did what to which data, which policy decided.
//!
//! Counts come from records of the journal that are read as they are written, statements from the journal itself; nothing here is on the way of a
//! statement. Knows no HTTP. What an asker may not see is left out here, by [`Sight`], and nowhere else.

mod audit_log;
mod bundles;
mod data;
mod health;
mod indexed;
mod live;
mod observed;
mod overview;
mod people;
mod series;
mod tally;
#[cfg(test)]
mod tests;
mod trial;
mod uses;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::{Seq, Time};
use journal::search::{Budget, Index};
use parking_lot::Mutex;
use policy::grants::Objects;

pub use self::audit_log::{AuditDetail, AuditPage, AuditQuery, AuditRow, DecidingRule, Masking, Touching};
pub(crate) use self::audit_log::{find as audit_find, page as audit_page};
pub use self::bundles::{
    ApproverView, BundleFile, BundleVersion, MembersView, PolicyDetail, PolicyInForce, PolicyTests, TagMask,
};
pub(crate) use self::bundles::{detail as policy_detail, in_force};
pub(crate) use self::data::Data;
pub use self::data::{ColumnView, DataPage, DataQuery, DatabaseView, RelationView};
pub(crate) use self::health::disk;
pub use self::health::{CertificateHealth, Health, IssuerHealth, JournalHealth, StoreHealth, UpstreamHealth};
pub use self::indexed::IndexHealth;
pub(crate) use self::indexed::{Indexed, follow};
pub use self::live::{Live, LiveEvent, LiveKind, LiveReceiver, Received};
pub(crate) use self::observed::Observed;
pub use self::overview::{
    ApprovalCounts, Incident, Overview, RefusedNow, RunningNow, SessionCounts, StatementCounts,
};
pub use self::people::{GrantView, IdentityDetail, IdentityPage, IdentityQuery, IdentityView, MayDo};
pub(crate) use self::people::{beyond, grant};
pub use self::series::{Counts, Point};
pub use self::trial::ExplainAs;
pub use self::uses::{ReaderView, UseView};
pub(crate) use self::watch::watch;

/// The time that one look at the journal may take.
const LOOK_TIME: Duration = Duration::from_millis(1500);
/// What it may read.
const LOOK_BYTES: u64 = 512 << 20;
/// Looks that may be under way at once: each has a thread.
const LOOKS_AT_ONCE: usize = 2;
/// Questions to databases that may be under way at once.
const QUESTIONS_AT_ONCE: usize = 2;

/// What somebody may see.
///
/// SECURITY: the one place that says so. Whoever may not see texts sees who, when, which relations, what became of it, and never what was
/// written in a statement or bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Counts, names and verdicts: a viewer.
    Counts,
    /// Texts and parameters of statements too: an auditor or an operator.
    Texts,
}

impl Sight {
    /// Passes on what only who sees texts may have.
    pub(crate) fn text<T>(self, text: T) -> Option<T> {
        match self {
            Self::Counts => None,
            Self::Texts => Some(text),
        }
    }
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Whoever asked.
    #[error("{0}")]
    Invalid(String),
    /// Whoever asked: there is no such thing.
    #[error("there is no {0}")]
    Missing(String),
    /// Whoever asked: their role is not enough for it.
    #[error("only who may see texts of statements may see this")]
    NotForThem,
    /// Operator: too much is asked for just now; to be tried again.
    #[error("too many are looking at the moment; try again")]
    Busy,
    /// Operator: the journal.
    #[error("the audit journal can't be read: {0}")]
    Journal(String),
    /// Operator: the database can't be asked.
    #[error("{0}")]
    Database(String),
}

impl From<journal::reader::ReadError> for ViewError {
    fn from(error: journal::reader::ReadError) -> Self {
        Self::Journal(oidc::chain(&error))
    }
}

/// What all views are made from.
pub(crate) struct Views {
    pub(crate) objects: ObjectsKept,
    pub(crate) index: Arc<Index>,
    /// `None`: there is to be none.
    pub(crate) indexed: Option<Arc<Indexed>>,
    pub(crate) observed: Arc<Mutex<Observed>>,
    pub(crate) live: Live,
    looks: tokio::sync::Semaphore,
    questions: tokio::sync::Semaphore,
}

impl Views {
    /// Makes views of the journal in a folder; nothing is known until [`watch`] runs. `last`: the last record before this run.
    pub(crate) fn new(journal: &std::path::Path, last: Seq, index: &config::Index) -> Self {
        let indexed = index.enabled.then(|| Arc::new(Indexed::new(&index.path, journal)));
        Self {
            objects: ObjectsKept::default(),
            index: Arc::new(Index::new(journal)),
            indexed,
            observed: Arc::new(Mutex::new(Observed::after(last.0))),
            live: Live::default(),
            looks: tokio::sync::Semaphore::new(LOOKS_AT_ONCE),
            questions: tokio::sync::Semaphore::new(QUESTIONS_AT_ONCE),
        }
    }

    /// Looks into the journal on a thread that may block.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Index, Budget) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, ViewError> {
        let permit = tokio::time::timeout(2 * LOOK_TIME, self.looks.acquire());
        let _permit = permit.await.map_err(|_| ViewError::Busy)?.map_err(|_| ViewError::Busy)?;
        let index = self.index.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let budget = Budget { until: Instant::now() + LOOK_TIME, bytes: LOOK_BYTES };
            look(&index, budget)
        });
        looked.await.map_err(|error| ViewError::Journal(error.to_string()))?
    }

    /// Waits for leave to ask a database something.
    pub(crate) async fn question(&self) -> Result<tokio::sync::SemaphorePermit<'_>, ViewError> {
        let permit = tokio::time::timeout(Duration::from_secs(5), self.questions.acquire());
        permit.await.map_err(|_| ViewError::Busy)?.map_err(|_| ViewError::Busy)
    }
}

/// What could be granted in databases, for the policies in force; as of a minute ago at most.
#[derive(Default)]
pub(crate) struct ObjectsKept(Mutex<HashMap<ObjectsKey, (Instant, Arc<Objects>)>>);

type ObjectsKey = (String, [u8; 32]);

/// How long an answer is used again.
const OBJECTS_AGE_MAX: Duration = Duration::from_secs(60);

impl ObjectsKept {
    pub(crate) fn get(&self, key: &ObjectsKey) -> Option<Arc<Objects>> {
        let mut kept = self.0.lock();
        kept.retain(|_, (at, _)| at.elapsed() < OBJECTS_AGE_MAX);
        kept.get(key).map(|it| it.1.clone())
    }

    pub(crate) fn keep(&self, key: ObjectsKey, objects: Arc<Objects>) {
        self.0.lock().insert(key, (Instant::now(), objects));
    }
}

/// A time as it is shown: RFC 3339 in UTC with microseconds.
pub(crate) fn shown(time: impl Into<Time>) -> String {
    time.into().to_string()
}

/// Now, likewise.
pub(crate) fn now() -> Time {
    Time::from(SystemTime::now())
}

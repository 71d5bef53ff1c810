//! What the sessions of one database share: its settings, its catalog, and what was learnt about statements.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::analysis::Analysis;
use crate::authorize::Judged;
use crate::catalog::Catalog;
use crate::limits::Limits;
use crate::memo::{Holder, Memo, Probe};
use crate::names::fresh;
use crate::usage::Usages;

/// How strongly the record of a read is kept before its result is released. Writes always wait for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It has left the process.
    #[default]
    Written,
    /// It is on disk.
    Sync,
}

/// What holds for all sessions of a database until the configuration changes.
pub struct Settings {
    /// The name that clients give.
    pub name: String,
    /// `false`: decide and record, refuse nothing.
    pub enforce: bool,
    /// `false`, with `enforce = false` only: mask nothing either.
    pub mask: bool,
    /// For reads.
    pub durability: Durability,
    /// Bounds of each session.
    pub limits: Limits,
    /// Keys of the `hash` mask and its kin.
    pub mask_keys: MaskKeys,
}

/// Keys of pseudonyms.
#[derive(Default)]
pub struct MaskKeys {
    /// For masks that name none. Without it such a mask refuses its statement.
    pub default: Option<mask::Key>,
    /// By the name that a bundle uses.
    pub named: HashMap<String, mask::Key>,
}

/// A database as its sessions see it.
pub struct Database {
    /// What was configured.
    pub settings: Settings,
    catalog: Mutex<Option<Snapshot>>,
    // What sessions were told of single objects since the snapshot has gone out of date.
    recent: Mutex<Option<Snapshot>>,
    // INVARIANT: only grows; an answer learnt under another epoch is not used.
    epoch: AtomicU64,
    // INVARIANT: only grows.
    roles_named: AtomicU64,
    analyses: Memo<Analysis>,
    judgements: Memo<Judged>,
    /// What identities have taken of their limits.
    pub usages: Usages,
}

struct Snapshot {
    catalog: Arc<Catalog>,
    epoch: u64,
    taken: Instant,
}

impl Snapshot {
    fn is_current(&self, epoch: u64, now: Instant) -> bool {
        self.epoch == epoch && now.saturating_duration_since(self.taken) < SNAPSHOT_AGE_MAX
    }
}

/// How old a snapshot may be: bounds how long a rename that did not pass through this gateway can go unnoticed.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(60);

/// Room for what is known of statement shapes, and again for what was decided about them, for each database.
const MEMO_BYTES_MAX: usize = 32 << 20;
/// Parts of a memo that are locked one by one.
const MEMO_SHARDS: usize = 8;

impl Database {
    /// Makes an empty one; its catalog is out of date from the start.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            catalog: Mutex::new(None),
            recent: Mutex::new(None),
            epoch: AtomicU64::new(1),
            roles_named: AtomicU64::new(0),
            analyses: Memo::new(MEMO_BYTES_MAX, MEMO_SHARDS),
            judgements: Memo::new(MEMO_BYTES_MAX, MEMO_SHARDS),
            usages: Usages::default(),
        }
    }

    /// Counts the changes of the catalog that passed through.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Objects were made, changed or dropped.
    pub fn catalog_changed(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts the definitions that passed through and named a role, which may have been given what others don't have.
    pub fn roles_named(&self) -> u64 {
        self.roles_named.load(Ordering::Acquire)
    }

    pub(crate) fn roles_were_named(&self) {
        self.roles_named.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns the snapshot if it is young and nothing is known to have changed since it was taken; else what other sessions have
    /// asked since then.
    pub fn catalog(&self, now: Instant) -> Option<Arc<Catalog>> {
        let epoch = self.epoch();
        let current = |snapshot: &Mutex<Option<Snapshot>>| {
            snapshot.lock().as_ref().filter(|s| s.is_current(epoch, now)).map(|s| s.catalog.clone())
        };
        current(&self.catalog).or_else(|| current(&self.recent))
    }

    /// Returns whether a new snapshot is due.
    pub fn catalog_is_due(&self, now: Instant) -> bool {
        !self.catalog.lock().as_ref().is_some_and(|s| s.is_current(self.epoch(), now))
    }

    /// Returns the last snapshot, however old: what was called so then.
    pub fn past(&self) -> Option<Arc<Catalog>> {
        self.catalog.lock().as_ref().map(|s| s.catalog.clone())
    }

    /// Keeps a snapshot that was begun at `taken`, when the epoch was `epoch`.
    pub fn set_catalog(&self, catalog: Arc<Catalog>, epoch: u64, taken: Instant) {
        let mut current = self.catalog.lock();
        if current.as_ref().is_none_or(|known| (known.epoch, known.taken) <= (epoch, taken)) {
            *current = Some(Snapshot { catalog, epoch, taken });
        }
    }

    /// Keeps what a session has asked, in that epoch and since that time, outside of any transaction, for all sessions.
    pub(crate) fn promote(&self, asked: &Catalog, epoch: u64, since: Instant) {
        if asked.is_empty() || epoch != self.epoch() {
            return;
        }
        let mut recent = self.recent.lock();
        match recent.as_mut().filter(|known| known.is_current(epoch, since)) {
            Some(known) => {
                Arc::make_mut(&mut known.catalog).merge(asked);
                // INVARIANT: as old as the oldest answer in it.
                known.taken = known.taken.min(since);
            }
            None => {
                let mut catalog = Catalog::default();
                catalog.merge(asked);
                *recent = Some(Snapshot { catalog: Arc::new(catalog), epoch, taken: since });
            }
        }
    }

    pub(crate) fn analysis(&self, probe: &Probe<'_>, holder: Holder, now: Instant) -> Option<Arc<Analysis>> {
        let known = self.analyses.get(probe, holder)?;
        (known.epoch == self.epoch() && fresh(known.asked, now)).then_some(known)
    }

    pub(crate) fn keep_analysis(&self, probe: &Probe<'_>, holder: Holder, analysis: &Arc<Analysis>) {
        self.analyses.put(probe, holder, analysis, analysis.bytes());
    }

    pub(crate) fn judged(&self, probe: &Probe<'_>, holder: Holder, now: Instant) -> Option<Arc<Judged>> {
        let known = self.judgements.get(probe, holder)?;
        (known.analysis.epoch == self.epoch() && fresh(known.analysis.asked, now)).then_some(known)
    }

    pub(crate) fn keep_judged(&self, probe: &Probe<'_>, holder: Holder, judged: &Arc<Judged>) {
        self.judgements.put(probe, holder, judged, judged.bytes());
    }
}

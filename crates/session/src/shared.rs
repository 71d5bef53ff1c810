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
    // INVARIANT: only grows; an answer learnt under another epoch is not used.
    epoch: AtomicU64,
    analyses: Memo<Analysis>,
    judgements: Memo<Judged>,
}

struct Snapshot {
    catalog: Arc<Catalog>,
    epoch: u64,
    taken: Instant,
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
            epoch: AtomicU64::new(1),
            analyses: Memo::new(MEMO_BYTES_MAX, MEMO_SHARDS),
            judgements: Memo::new(MEMO_BYTES_MAX, MEMO_SHARDS),
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

    /// Returns the snapshot if it is young and nothing is known to have changed since it was taken.
    pub fn catalog(&self, now: Instant) -> Option<Arc<Catalog>> {
        let snapshot = self.catalog.lock();
        snapshot
            .as_ref()
            .filter(|s| s.epoch == self.epoch() && now.saturating_duration_since(s.taken) < SNAPSHOT_AGE_MAX)
            .map(|s| s.catalog.clone())
    }

    /// Keeps a snapshot that was begun at `taken`, when the epoch was `epoch`.
    pub fn set_catalog(&self, catalog: Arc<Catalog>, epoch: u64, taken: Instant) {
        let mut current = self.catalog.lock();
        if current.as_ref().is_none_or(|known| (known.epoch, known.taken) <= (epoch, taken)) {
            *current = Some(Snapshot { catalog, epoch, taken });
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

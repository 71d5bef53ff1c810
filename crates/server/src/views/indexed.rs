//! The index of the journal: the thread that keeps it up to date, and how it stands.
//!
//! Not on the way of any statement. Where it is missing, late or damaged, searches read the journal; the index is made anew meanwhile.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use index::{Index, IndexError, Step, Writer};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

use crate::gateway::Gateway;

/// How often it looks whether something was written.
const PAUSE: Duration = Duration::from_millis(100);
/// After an error, until it is tried again.
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// The index, with what its thread says of it.
pub(crate) struct Indexed {
    pub(crate) index: Index,
    /// The record after the last that can be found.
    next: AtomicU64,
    suspect: AtomicBool,
    fault: Mutex<Option<String>>,
}

/// How the index of the journal is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct IndexHealth {
    /// Why it can't be kept up to date at present; searches read the journal then.
    pub fault: Option<String>,
    /// Records that it doesn't have yet.
    pub behind: u64,
}

impl Indexed {
    pub(super) fn new(path: &Path, journal: &Path) -> Self {
        let index = Index::new(path, journal);
        let next = index.status().map_or(1, |status| status.next.0);
        Self { index, next: AtomicU64::new(next), suspect: AtomicBool::new(false), fault: Mutex::new(None) }
    }

    /// Records that it doesn't have yet.
    pub(crate) fn behind(&self, written: u64) -> u64 {
        written.saturating_add(1).saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// Says how it stands.
    pub(crate) fn health(&self, written: u64) -> IndexHealth {
        IndexHealth { fault: self.fault.lock().clone(), behind: self.behind(written) }
    }

    /// Somebody found that it can't be right.
    pub(crate) fn doubt(&self, error: &IndexError) {
        if error.is_damage() && !self.suspect.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error = oidc::chain(error),
                "the index of the journal is damaged, and is made anew"
            );
        }
    }
}

/// Starts the thread, if there is to be an index. It ends with the gateway.
///
/// # Errors
/// The operating system gives no thread.
pub(crate) fn follow(gateway: &Arc<Gateway>) -> std::io::Result<()> {
    if gateway.views.indexed.is_none() {
        return Ok(());
    }
    let gateway = Arc::downgrade(gateway);
    std::thread::Builder::new().name("index".to_owned()).spawn(move || run(&gateway)).map(drop)
}

fn run(gateway: &Weak<Gateway>) {
    let mut writer: Option<Writer> = None;
    loop {
        let Some(gateway) = gateway.upgrade() else { return };
        let Some(indexed) = gateway.views.indexed.clone() else { return };
        let pause = match step(&indexed, &mut writer, &gateway) {
            Ok(Step::More) => {
                indexed.fault.lock().take();
                Duration::ZERO
            }
            Ok(Step::Idle) => {
                indexed.fault.lock().take();
                PAUSE
            }
            Err(error) => {
                let told = oidc::chain(&error);
                let before = indexed.fault.lock().replace(told.clone());
                if before.as_ref() != Some(&told) {
                    tracing::error!(
                        error = told,
                        "the index of the journal is not kept up to date; searches read the journal"
                    );
                }
                // A journal that can't be read on is no fault of the index.
                if !matches!(error, IndexError::Journal(_)) {
                    writer = None;
                }
                AFTER_ERROR
            }
        };
        drop(gateway);
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
}

fn step(indexed: &Indexed, writer: &mut Option<Writer>, gateway: &Gateway) -> Result<Step, IndexError> {
    let writer = match writer {
        Some(writer) => writer,
        None => writer.insert(Writer::open(indexed.index.path(), indexed.index.dir())?),
    };
    if indexed.suspect.swap(false, Ordering::Relaxed) {
        writer.make_anew("a search found it damaged".to_owned())?;
    }
    let step = match writer.step() {
        Err(error) if error.is_damage() => {
            writer.make_anew(error.to_string())?;
            Step::More
        }
        step => step?,
    };
    if let Some(why) = writer.made_anew() {
        tracing::warn!(why, "the index of the journal is made anew");
    }
    indexed.next.store(writer.written()?.0, Ordering::Relaxed);
    // The journal's own counter spares a look at the disk where nothing was written.
    let is_read = writer.position() > gateway.journal().written();
    Ok(if is_read { Step::Idle } else { step })
}

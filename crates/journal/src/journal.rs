//! Appending: records are linked under one lock and written by whoever comes first for everybody who waits.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use audit::{Anchor, Encoded, Event, JournalId, Seq, Time, TooLong};
use parking_lot::{Mutex, MutexGuard};

use crate::Fault;
use crate::disk::{Disk, RealDisk};
use crate::head::Head;
use crate::recover::{OpenError, Recovery, recover};
use crate::signing::{Bell, Leaves, Signer, Signing, SigningError};
use crate::sync::{Syncer, Wishes};
use crate::tail::Tail;

/// Records that may wait to be written before [`Journal::append`] writes them itself.
const PENDING_BYTES_MAX: usize = 16 << 20;

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory; made, readable by its owner alone, if it is not there.
    pub dir: PathBuf,
    /// A segment is closed before it would grow over this; one longer than this has a single batch.
    pub segment_bytes_max: u64,
    /// The longest that a written record waits for `fdatasync` where nobody asks for it.
    pub sync_interval: Duration,
}

impl Options {
    /// Segments of 64 MiB, synced every 100 ms.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), segment_bytes_max: 64 << 20, sync_interval: Duration::from_millis(100) }
    }
}

/// What the journal's thread tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Records up to and including this one are on disk.
    Durable(Seq),
    /// Records after [`Journal::durable`] could not be brought to disk: whoever waits for one must be refused.
    Failed(String),
}

/// Why a record is not kept. Whatever depends on it must be refused.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk: full, failing, gone. Later calls try again.
    #[error(
        "audit journal is not available: {0}; free space or mend the disk and statements are accepted again"
    )]
    Failed(Fault),
    /// The record itself.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// An open journal: the only writer of its directory. All methods may be called from any thread.
pub struct Journal {
    shared: Arc<Shared>,
    syncer: Option<Syncer>,
    signer: Mutex<Option<Signer>>,
    /// Held for as long as the journal is open.
    _lock: std::fs::File,
}

/// What appenders and the syncing thread share. Locks are taken in the order `syncing`, `tail`, `head`.
pub(crate) struct Shared {
    /// Held around every sync: two at once could each take the other's error for success.
    syncing: Mutex<()>,
    tail: Mutex<Tail>,
    head: Mutex<Head>,
    appended: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
    faulted: AtomicBool,
    pub(crate) wishes: Wishes,
    pub(crate) bell: Bell,
    /// How many records the last checkpoint covers, and why there is no newer one.
    pub(crate) signed: AtomicU64,
    pub(crate) signing_fault: Mutex<Option<String>>,
}

impl Journal {
    /// Opens the journal in `options.dir`, or starts one, and recovers what a crash left.
    ///
    /// `on_progress` is called from the journal's own thread, with no lock held.
    ///
    /// # Errors
    /// - [`OpenError::Locked`]: operator; another gateway writes there.
    /// - [`OpenError::Damaged`]: somebody changed records; what a crash leaves is mended, this is not.
    /// - [`OpenError::Io`]: the disk.
    pub fn open(
        options: Options,
        on_progress: Box<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<(Self, Recovery), OpenError> {
        Self::open_on(Arc::new(RealDisk), options, on_progress)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        on_progress: Box<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<(Self, Recovery), OpenError> {
        let sync_interval = options.sync_interval;
        let opened = recover(disk, options)?;
        let durable = opened.tail.durable.last.seq.0;
        let shared = Arc::new(Shared {
            syncing: Mutex::new(()),
            appended: AtomicU64::new(opened.head.last().seq.0),
            written: AtomicU64::new(durable),
            durable: AtomicU64::new(durable),
            faulted: AtomicBool::new(false),
            tail: Mutex::new(opened.tail),
            head: Mutex::new(opened.head),
            wishes: Wishes::default(),
            bell: Bell::default(),
            signed: AtomicU64::new(0),
            signing_fault: Mutex::new(None),
        });
        let syncer = Syncer::start(Arc::clone(&shared), sync_interval, on_progress)?;
        let signer = Mutex::new(None);
        Ok((Self { shared, syncer: Some(syncer), signer, _lock: opened.lock }, opened.recovery))
    }

    /// Numbers the event and links it to the chain; it is not yet written. A clock that went back a second or more is marked
    /// by a record of its own before it.
    ///
    /// # Errors
    /// - [`JournalError::Failed`]: disk; it failed before and still does. The event has no number.
    /// - [`JournalError::TooLong`][]: caller.
    pub fn append(&self, event: &Event<'_>, now: SystemTime) -> Result<Seq, JournalError> {
        thread_local! {
            static SCRATCH: RefCell<Encoded> = RefCell::new(Event::GatewayStopped { reason: "" }.encode());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            event.encode_into(scratch);
            self.append_encoded(scratch, now)
        })
    }

    /// As [`Self::append`], for an event that was encoded where it happened.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_encoded(&self, event: &Encoded, now: SystemTime) -> Result<Seq, JournalError> {
        let shared = &*self.shared;
        if shared.faulted.load(Ordering::Acquire) {
            shared.heal().map_err(JournalError::Failed)?;
        }
        let mut head = shared.head.lock();
        if head.pending_bytes() > PENDING_BYTES_MAX {
            drop(head);
            shared.write().map_err(JournalError::Failed)?;
            head = shared.head.lock();
        }
        let seq = head.append(Time::from(now), event)?;
        shared.appended.store(seq.0, Ordering::Release);
        Ok(seq)
    }

    /// Writes what is appended, by this thread or another, and returns once everything appended before the call has left the
    /// process. Returns the last record written.
    ///
    /// # Errors
    /// [`JournalError::Failed`]: disk; nothing is lost from memory, and numbers are not used again: the records are written
    /// when the disk lets them, but whoever waited for them must be refused now.
    pub fn write(&self) -> Result<Seq, JournalError> {
        self.shared.write().map_err(JournalError::Failed)
    }

    /// Returns the last record that has a number.
    pub fn appended(&self) -> Seq {
        Seq(self.shared.appended.load(Ordering::Acquire))
    }

    /// Returns the last record that has left the process.
    pub fn written(&self) -> Seq {
        Seq(self.shared.written.load(Ordering::Acquire))
    }

    /// Returns the last record that is on disk.
    pub fn durable(&self) -> Seq {
        Seq(self.shared.durable.load(Ordering::Acquire))
    }

    /// Returns the last record that is on disk with its hash: kept where the journal's writer can't reach, it proves later
    /// that nothing up to it was rewritten or cut off (see [`crate::verify_dir`]).
    pub fn anchor(&self) -> Anchor {
        self.shared.tail.lock().durable.last
    }

    /// Asks for records up to `seq` to be written and synced, together with whatever else waits. Answered by
    /// [`Progress::Durable`] of `seq` or later, or by [`Progress::Failed`], also where they are on disk already.
    pub fn want_durable(&self, seq: Seq) {
        self.shared.wishes.want(seq);
    }

    /// Returns why records can't be kept at present, if so.
    pub fn fault(&self) -> Option<Fault> {
        self.shared.tail.lock().fault.as_ref().map(|(fault, _)| fault.clone())
    }

    /// Has checkpoints signed from now on, the first at once, in a thread of its own, until [`Self::sign_off`].
    ///
    /// # Errors
    /// [`SigningError`]: the records aren't those that were signed before, or can't be read.
    pub fn sign(&self, signing: Signing) -> Result<(), SigningError> {
        let mut signer = self.signer.lock();
        if let Some(before) = signer.take() {
            before.stop(&self.shared);
            self.shared.bell.reset();
        }
        *signer = Some(Signer::start(Arc::clone(&self.shared), signing)?);
        Ok(())
    }

    /// Returns how many records the last checkpoint covers; 0 where nobody signs.
    pub fn signed(&self) -> Seq {
        Seq(self.shared.signed.load(Ordering::Acquire))
    }

    /// Returns why no checkpoint could be signed of late, if so.
    pub fn signing_fault(&self) -> Option<String> {
        self.shared.signing_fault.lock().clone()
    }

    /// Writes and syncs everything, has a last checkpoint signed, and signs no more.
    ///
    /// # Errors
    /// [`JournalError::Failed`]: disk; the last records may not be on it, and are not signed.
    pub fn sign_off(&self) -> Result<(), JournalError> {
        let Some(signer) = self.signer.lock().take() else { return Ok(()) };
        let synced = self.shared.write().and_then(|_| self.shared.sync());
        signer.stop(&self.shared);
        synced
            .and_then(|_| self.shared.write())
            .and_then(|_| self.shared.sync())
            .map_err(JournalError::Failed)?;
        Ok(())
    }

    /// Writes and syncs everything and ends, with a last checkpoint where some are signed.
    ///
    /// # Errors
    /// [`JournalError::Failed`]: disk; the last records may not be on it.
    pub fn close(mut self) -> Result<Seq, JournalError> {
        self.sign_off()?;
        if let Some(syncer) = self.syncer.take() {
            syncer.stop(&self.shared);
        }
        self.shared.write().and_then(|_| self.shared.sync()).map_err(JournalError::Failed)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = self.sign_off() {
            tracing::error!(%error, "audit journal closed without a last checkpoint");
        }
        if let Some(syncer) = self.syncer.take() {
            syncer.stop(&self.shared);
            if let Err(fault) = self.shared.write().and_then(|_| self.shared.sync()) {
                tracing::error!(%fault, "audit journal closed with records that are not on disk");
            }
        }
    }
}

impl Shared {
    pub(crate) fn dir(&self) -> PathBuf {
        self.tail.lock().dir.clone()
    }

    pub(crate) fn journal(&self) -> JournalId {
        self.tail.lock().journal
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn with_leaves<T>(&self, work: impl FnOnce(&mut Leaves) -> T) -> T {
        work(&mut self.head.lock().leaves)
    }

    /// Appends an event of the journal's own.
    pub(crate) fn append_own(&self, time: Time, event: &Event<'_>) -> Result<Seq, JournalError> {
        let mut head = self.head.lock();
        let seq = head.append(time, &event.encode())?;
        self.appended.store(seq.0, Ordering::Release);
        drop(head);
        self.write().map_err(JournalError::Failed)
    }

    /// Appends and writes a checkpoint, and an event after it.
    pub(crate) fn append_signed(
        &self,
        time: Time,
        note: &str,
        event: Option<&Event<'_>>,
    ) -> Result<Seq, JournalError> {
        let mut head = self.head.lock();
        let record = head.append_checkpoint(time, note)?;
        let mut last = record;
        if let Some(event) = event {
            last = head.append(time, &event.encode())?;
        }
        self.appended.store(last.0, Ordering::Release);
        drop(head);
        self.write().map_err(JournalError::Failed)?;
        Ok(record)
    }

    /// See [`Journal::write`].
    pub(crate) fn write(&self) -> Result<Seq, Fault> {
        let target = self.appended.load(Ordering::Acquire);
        loop {
            let written = self.written.load(Ordering::Acquire);
            if written >= target {
                return Ok(Seq(written));
            }
            let mut tail = self.tail.lock();
            if self.written.load(Ordering::Acquire) >= target {
                continue;
            }
            if tail.sync_failed {
                drop(tail);
                self.sync()?;
                continue;
            }
            {
                let mut head = self.head.lock();
                head.take_pending(&mut tail.backlog);
                tail.backlog_last = head.last();
            }
            if tail.wants_rotation() {
                drop(tail);
                self.rotate()?;
                continue;
            }
            self.write_backlog(&mut tail)?;
        }
    }

    fn write_backlog(&self, tail: &mut MutexGuard<'_, Tail>) -> Result<(), Fault> {
        let result = tail.write_backlog();
        self.faulted.store(tail.fault.is_some(), Ordering::Release);
        result?;
        self.written.store(tail.written.last.seq.0, Ordering::Release);
        self.mended(tail);
        self.wishes.dirty();
        Ok(())
    }

    /// Syncs what is written and returns the last record on disk. A file whose sync failed is left for a new one.
    pub(crate) fn sync(&self) -> Result<Seq, Fault> {
        let _syncing = self.syncing.lock();
        let (file, point) = {
            let mut tail = self.tail.lock();
            if tail.sync_failed {
                return self.replace(&mut tail);
            }
            if tail.durable.offset == tail.written.offset {
                return Ok(tail.durable.last.seq);
            }
            (Arc::clone(&tail.file), tail.written)
        };
        // Appenders go on writing meanwhile; they can't change the file, which takes the lock on `syncing`.
        let result = file.sync();
        let mut tail = self.tail.lock();
        match result {
            Ok(()) => {
                tail.synced(point);
                self.durable.store(point.last.seq.0, Ordering::Release);
                Ok(point.last.seq)
            }
            Err(error) => {
                self.sync_failed(&mut tail, &error);
                self.replace(&mut tail)
            }
        }
    }

    // SECURITY: after a failed fdatasync the kernel may call the same pages clean; asking again would answer "success" for
    // bytes that the disk never got.
    fn sync_failed(&self, tail: &mut MutexGuard<'_, Tail>, error: &std::io::Error) {
        tail.sync_failed = true;
        let fault = tail.failed("sync", error);
        self.faulted.store(true, Ordering::Release);
        tracing::error!(%fault, segment = tail.name.file(), "audit segment is left for a new one");
    }

    fn replace(&self, tail: &mut MutexGuard<'_, Tail>) -> Result<Seq, Fault> {
        tail.replace()?;
        self.durable.store(tail.durable.last.seq.0, Ordering::Release);
        self.mended(tail);
        Ok(tail.durable.last.seq)
    }

    fn rotate(&self) -> Result<(), Fault> {
        let _syncing = self.syncing.lock();
        let mut tail = self.tail.lock();
        if tail.sync_failed {
            self.replace(&mut tail)?;
        }
        if !tail.wants_rotation() {
            return Ok(());
        }
        if let Err(error) = tail.file.sync() {
            self.sync_failed(&mut tail, &error);
            self.replace(&mut tail)?;
            return Ok(());
        }
        let point = tail.written;
        tail.synced(point);
        self.durable.store(point.last.seq.0, Ordering::Release);
        let result = tail.rotate();
        self.faulted.store(tail.fault.is_some(), Ordering::Release);
        result
    }

    /// Notes that records are kept again, in the chain itself.
    fn mended(&self, tail: &mut MutexGuard<'_, Tail>) {
        let Some((Fault { operation, detail }, first)) = tail.fault.take() else { return };
        self.faulted.store(false, Ordering::Release);
        let mut head = self.head.lock();
        let last = tail.written.last.seq;
        let event = Event::JournalFaulted { operation, detail: &detail, first, last };
        match head.append_own(&event) {
            Ok(seq) => self.appended.store(seq.0, Ordering::Release),
            Err(error) => tracing::error!(%error, "audit journal could not note its own fault"),
        }
        drop(head);
        self.wishes.dirty();
    }

    /// Tries again what failed before.
    fn heal(&self) -> Result<(), Fault> {
        self.write()?;
        if self.tail.lock().sync_failed {
            self.sync()?;
        }
        Ok(())
    }
}

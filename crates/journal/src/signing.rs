//! Signs checkpoints of the journal: a thread that follows what is on disk, keeps the tree, and appends what it has signed. Nothing of
//! it is on a record's way but 32 bytes that are copied. Knows no key: who signs is given.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use audit::{Event, Hash, Integrity, JournalId, Seq, Time};
use checkpoint::{Checkpoint, Note, Signature, SigningKey, VerifierKey};
use parking_lot::{Condvar, Mutex};

use crate::journal::{JournalError, Shared};
use crate::tree::{Recorded, Tree, TreeError, leaf};

/// After a failure, how long until the next try.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Who signs: a key in memory, or somebody who is asked.
pub trait Sign: Send {
    /// Returns what checks the signatures.
    fn key(&self) -> &VerifierKey;

    /// Signs a text. May take its time; the journal doesn't wait.
    ///
    /// # Errors
    /// Why not, in words for the operator that hold no secret.
    fn sign(&self, text: &str) -> Result<Signature, String>;
}

impl Sign for SigningKey {
    fn key(&self) -> &VerifierKey {
        self.verifier()
    }

    fn sign(&self, text: &str) -> Result<Signature, String> {
        Ok(Self::sign(self, text))
    }
}

/// How checkpoints are made.
pub struct Signing {
    /// Who signs.
    pub key: Box<dyn Sign>,
    /// Who signed before, and hands over where the last checkpoint is of that key.
    pub previous: Option<Box<dyn Sign>>,
    /// A checkpoint is made when there are so many records that none covers,
    pub every: u64,
    /// and when one has waited so long.
    pub interval: Duration,
    /// What time it is.
    pub now: fn() -> SystemTime,
    /// Called from the thread, with no lock held.
    pub told: Box<dyn Fn(Told) + Send>,
}

/// What the thread tells.
#[derive(Clone, Debug)]
pub enum Told {
    /// A checkpoint was made and is in the journal.
    Signed(Recorded),
    /// None could be made: why. Tried again.
    Failed(String),
}

/// Returns what a journal is called in its checkpoints.
pub fn origin(journal: JournalId) -> String {
    format!("gatepost/{journal}")
}

/// Returns whether a checkpoint of the journal in this folder was ever signed.
///
/// # Errors
/// [`TreeError`]: the records can't be read.
pub fn is_signed(dir: &std::path::Path) -> Result<bool, TreeError> {
    Ok(crate::tree::last_checkpoint(dir)?.is_some())
}

/// Where leaves wait for the thread.
pub(crate) enum Leaves {
    /// Nobody signs.
    Off,
    /// The hashes of records that were appended since the thread looked, and the number of the first.
    Kept(u64, Vec<Hash>),
    /// There were more than memory should hold: the thread reads them from the segments.
    Lost,
}

/// 32 MiB.
const LEAVES_MAX: usize = if cfg!(test) { 100 } else { 1 << 20 };

impl Leaves {
    pub(crate) fn push(&mut self, seq: Seq, hash: Hash) {
        match self {
            Self::Off | Self::Lost => {}
            Self::Kept(first, kept) if kept.is_empty() => {
                *first = seq.0;
                kept.push(hash);
            }
            Self::Kept(_, kept) if kept.len() < LEAVES_MAX => kept.push(hash),
            Self::Kept(..) => *self = Self::Lost,
        }
    }

    /// Takes what is kept, with the number of the first; `None` where some is lost, and keeps on from here.
    fn take(&mut self) -> Option<(u64, Vec<Hash>)> {
        match std::mem::replace(self, Self::Kept(0, Vec::new())) {
            Self::Kept(first, kept) => Some((first, kept)),
            Self::Off | Self::Lost => None,
        }
    }
}

/// What wakes the thread.
pub(crate) struct Bell {
    /// The thread wants to know when this record is on disk.
    wanted: AtomicU64,
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Default)]
struct State {
    rung: bool,
    stop: bool,
}

impl Default for Bell {
    fn default() -> Self {
        Self { wanted: AtomicU64::new(u64::MAX), state: Mutex::default(), rung: Condvar::new() }
    }
}

impl Bell {
    /// Tells the thread, if it wants to know, that records up to `seq` are on disk.
    pub(crate) fn durable(&self, seq: Seq) {
        if seq.0 >= self.wanted.load(Ordering::Acquire) {
            self.wanted.store(u64::MAX, Ordering::Release);
            self.state.lock().rung = true;
            self.rung.notify_one();
        }
    }

    /// Makes it ready for another thread.
    pub(crate) fn reset(&self) {
        self.wanted.store(u64::MAX, Ordering::Release);
        *self.state.lock() = State::default();
    }

    fn stop(&self) {
        self.state.lock().stop = true;
        self.rung.notify_one();
    }

    /// Waits until `wanted` is on disk, until `deadline`, or for the end, which it returns as true.
    fn wait(&self, shared: &Shared, wanted: u64, deadline: Option<Instant>) -> bool {
        self.wanted.store(wanted, Ordering::Release);
        let mut state = self.state.lock();
        if shared.durable() < wanted {
            while !state.rung && !state.stop {
                match deadline {
                    None => self.rung.wait(&mut state),
                    Some(deadline) if self.rung.wait_until(&mut state, deadline).timed_out() => break,
                    Some(_) => {}
                }
            }
        }
        state.rung = false;
        state.stop
    }
}

/// The running thread.
pub(crate) struct Signer {
    thread: JoinHandle<()>,
}

impl Signer {
    /// Reads the tree, and starts. Everything appended before is on disk when this returns.
    pub(crate) fn start(shared: Arc<Shared>, signing: Signing) -> Result<Self, SigningError> {
        let thread = Thread::new(shared, signing)?;
        let spawned = std::thread::Builder::new().name("journal-sign".into()).spawn(move || thread.run());
        Ok(Self { thread: spawned.map_err(SigningError::Thread)? })
    }

    /// Makes a last checkpoint and ends.
    pub(crate) fn stop(self, shared: &Shared) {
        shared.bell.stop();
        if self.thread.join().is_err() {
            tracing::error!("the thread that signs the audit journal panicked");
        }
    }
}

/// Why checkpoints can't be made at all.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The records or the tree's files.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The disk.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The system.
    #[error("the thread that signs the audit journal can't be started")]
    Thread(#[source] std::io::Error),
}

struct Thread {
    shared: Arc<Shared>,
    signing: Signing,
    origin: String,
    tree: Tree,
    /// Leaves that are appended and perhaps not on disk, and the number of the first.
    ahead: (u64, VecDeque<Hash>),
    /// The size of the last checkpoint, and its own record.
    covered: u64,
    own: u64,
    /// Whether the last checkpoint is of the previous key, which hands over with the next.
    hands_over: bool,
}

impl Thread {
    fn new(shared: Arc<Shared>, signing: Signing) -> Result<Self, SigningError> {
        collect(&shared)?;
        let dir = shared.dir();
        let (tree, last) = Tree::load(&dir, shared.durable())?;
        let previous = signing.previous.as_ref().map(|previous| previous.key());
        let by = |key: &VerifierKey| {
            last.as_ref().is_some_and(|last| last.note.signatures().iter().any(|line| key.is_of(line)))
        };
        let ours = by(signing.key.key());
        let hands_over = !ours && previous.is_some_and(by);
        if let Some(last) = &last
            && !ours
            && !hands_over
        {
            let by =
                last.note.signatures().iter().map(|line| line.name.as_str()).collect::<Vec<_>>().join(", ");
            tracing::warn!(
                by,
                "the audit journal's checkpoints were signed by another key, which does not hand over to this one"
            );
        }
        let origin = origin(shared.journal());
        let (covered, own) = last.map_or((0, 0), |last| (last.checkpoint.size, last.record.0));
        shared.signed.store(covered, Ordering::Release);
        Ok(Self { shared, signing, origin, tree, ahead: (0, VecDeque::new()), covered, own, hands_over })
    }

    fn run(mut self) {
        // The first is made at once: whatever was found at the start is signed before much is added.
        let mut deadline = Some(Instant::now());
        let mut failed = false;
        loop {
            let uncovered = self.uncovered();
            let wanted = match (failed, uncovered) {
                (true, _) => u64::MAX,
                (false, true) => self.covered.saturating_add(self.signing.every.max(1)),
                (false, false) => self.first_uncovered(),
            };
            let until = deadline.filter(|_| uncovered || failed);
            let stop = self.shared.bell.wait(&self.shared, wanted, until);
            if let Err(error) = self.grow() {
                self.fail(&error.to_string());
                if stop {
                    return;
                }
                (failed, deadline) = (true, Some(Instant::now() + RETRY_AFTER));
                continue;
            }
            let now = Instant::now();
            if !self.uncovered() {
                (failed, deadline) = (false, None);
            } else if stop
                || deadline.is_some_and(|deadline| deadline <= now)
                || (!failed && self.tree.size().saturating_sub(self.covered) >= self.signing.every)
            {
                failed = self.checkpoint().map_err(|error| self.fail(&error)).is_err();
                deadline = failed.then(|| now + RETRY_AFTER);
            } else if deadline.is_none() {
                deadline = Some(now + self.signing.interval);
            }
            if stop {
                return;
            }
        }
    }

    fn fail(&self, reason: &str) {
        tracing::error!(reason, "the audit journal is not signed");
        if self.shared.signing_fault.lock().replace(reason.to_owned()).is_none() {
            let failed = Event::Integrity(Integrity::SigningFailed { reason });
            if let Err(error) = self.shared.append_own(Time::from((self.signing.now)()), &failed) {
                tracing::error!(%error, "nor can that be recorded");
            }
        }
        (self.signing.told)(Told::Failed(reason.to_owned()));
    }

    /// The first record that makes another checkpoint worth it; the last one's own record doesn't.
    fn first_uncovered(&self) -> u64 {
        let next = self.covered.saturating_add(1);
        if self.own == next { next.saturating_add(1) } else { next }
    }

    fn uncovered(&self) -> bool {
        self.tree.size() >= self.first_uncovered()
    }

    /// Adds to the tree what is on disk.
    fn grow(&mut self) -> Result<(), SigningError> {
        let durable = self.shared.durable();
        let (next, ahead) = &mut self.ahead;
        match self.shared.with_leaves(Leaves::take) {
            Some((first, taken)) => {
                if ahead.is_empty() {
                    *next = first;
                }
                ahead.extend(taken);
            }
            // Those that are kept from here on are behind a gap, which is read below.
            None => ahead.clear(),
        }
        while *next <= durable
            && let Some(hash) = ahead.pop_front()
        {
            // Some may have been read from the segments already, or have to be.
            if *next > self.tree.size().saturating_add(1) {
                self.tree.catch_up(next.saturating_sub(1))?;
            }
            if *next > self.tree.size() {
                self.tree.push(leaf(hash));
            }
            *next = next.saturating_add(1);
        }
        if ahead.is_empty() && self.tree.size() < durable {
            self.tree.catch_up(durable)?;
        }
        self.tree.flush()?;
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), String> {
        let Signing { key, previous, now, told, .. } = &self.signing;
        let previous = previous.as_ref().filter(|_| self.hands_over);
        let checkpoint = Checkpoint {
            origin: self.origin.clone(),
            size: self.tree.size(),
            root: self.tree.root(),
            next_key: previous.map(|_| key.key().clone()),
        };
        let text = checkpoint.to_string();
        let mut signatures = Vec::new();
        for signer in previous.into_iter().chain([key]) {
            let line = signer.sign(&text)?;
            // SECURITY: what signs outside may be set up with another key; its word would be found worthless by auditors only.
            if !signer.key().verifies(&text, &line) {
                return Err(format!("what signs does not sign with {}", signer.key()));
            }
            signatures.push(line);
        }
        let note = Note::new(text, signatures).map_err(|error| error.to_string())?;
        if let Some(previous) = previous {
            let (from, to) = (previous.key().to_string(), key.key().to_string());
            let event = Event::Integrity(Integrity::SigningKeyChanged {
                from: &from,
                to: &to,
                size: checkpoint.size,
            });
            self.shared.append_signed(Time::from(now()), &note.to_string(), Some(&event))
        } else {
            self.shared.append_signed(Time::from(now()), &note.to_string(), None)
        }
        .map(|record| {
            self.own = record.0;
            self.covered = checkpoint.size;
            self.shared.signed.store(checkpoint.size, Ordering::Release);
            *self.shared.signing_fault.lock() = None;
            self.hands_over = false;
            told(Told::Signed(Recorded { record, note, checkpoint }));
        })
        .map_err(|error| error.to_string())
    }
}

/// Has leaves kept from here on, and everything before written.
fn collect(shared: &Shared) -> Result<(), JournalError> {
    shared.with_leaves(|leaves| drop(leaves.take()));
    shared.write().and_then(|_| shared.sync()).map_err(JournalError::Failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, SystemTime};

    use audit::{Event, Start};
    use checkpoint::{SigningKey, Trust};

    use super::{Sign, Signing, Told, VerifierKey};
    use crate::examine::{Expected, examine};
    use crate::{Journal, Options};

    /// Signs when it is let.
    struct Slow(SigningKey, mpsc::Receiver<()>);

    impl Sign for Slow {
        fn key(&self) -> &VerifierKey {
            self.0.verifier()
        }

        fn sign(&self, text: &str) -> Result<checkpoint::Signature, String> {
            self.1.recv().map_err(|error| error.to_string())?;
            Ok(self.0.sign(text))
        }
    }

    #[test]
    fn what_is_appended_while_somebody_signs_slowly_is_read_from_the_segments() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(Options::new(dir.path()), Box::new(|_| {})).unwrap();
        let (key, (let_it, waits), (tell, told)) = (
            SigningKey::from_pem("k", &SigningKey::generate().unwrap()).unwrap(),
            mpsc::channel(),
            mpsc::channel(),
        );
        let trust = Trust::new([key.verifier().clone()]);
        let told_it = Box::new(move |told| drop(tell.send(told)));
        let signing = Signing {
            key: Box::new(Slow(key, waits)),
            previous: None,
            every: 1,
            interval: Duration::from_secs(3600),
            now: || SystemTime::UNIX_EPOCH,
            told: told_it,
        };
        let append = |n: usize| {
            for _ in 0..n {
                journal.append(&Event::GatewayStopped { reason: "" }, SystemTime::UNIX_EPOCH).unwrap();
            }
            journal.write().unwrap()
        };
        append(1);
        journal.sign(signing).unwrap();
        // More than wait in memory, twice, and some that do.
        for n in [250, 99, 300, 3] {
            append(n);
            let_it.send(()).unwrap();
            assert!(matches!(told.recv().unwrap(), Told::Signed(_)));
        }
        drop(let_it);
        let appended = journal.appended();
        assert!(appended.0 > 653);
        journal.close().unwrap();
        let known = Expected { start: Start::Genesis, anchors: Vec::new(), checkpoints: Vec::new(), trust };
        let found = examine(dir.path(), known).unwrap();
        assert!(found.is_whole(), "{:?}", found.findings);
        assert_eq!(found.believed, 4);
    }
}

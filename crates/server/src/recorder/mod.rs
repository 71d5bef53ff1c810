//! Recordings as files: takes what sessions give, and never has one wait.
//!
//! Each session hands its entries to one of a few threads, which write them into a file of the spool folder, a chunk at a time. What
//! waits for them is bounded by bytes; beyond that a session learns that it isn't recorded. Knows no message and no policy.

mod archive;
mod recover;
mod spool;
mod thread;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::SystemTime;

use audit::{Event, RecordingLost};
use journal::Journal;
use model::SessionId;
use parking_lot::Mutex;
use recording::{Entry, KeyError, Opening, Recipients, What};

pub(crate) use self::archive::Archiver;
use self::spool::{Spool, file_name};
use self::thread::{Batch, Job, Told};

/// Threads that compress, encrypt and write.
const THREADS: usize = 2;

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 128;

/// Why nothing can be recorded. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The folder.
    #[error("{0}: {1}")]
    Folder(PathBuf, std::io::Error),
    /// Two gateways can't share a folder.
    #[error("{0} is in use by another gateway; give each its own")]
    Locked(PathBuf),
    /// A recipient.
    #[error("[recording] recipients: {0}")]
    Key(#[from] KeyError),
    /// The operating system.
    #[error("a thread can't be started: {0}")]
    Thread(std::io::Error),
    /// The journal.
    #[error("what became of recordings can't be recorded: {0}")]
    Journal(#[from] journal::JournalError),
}

/// See the module.
pub(crate) struct Recorder {
    threads: Vec<(Sender<Job>, std::thread::JoinHandle<()>)>,
    /// Bytes that wait, of all sessions.
    waiting: Arc<AtomicU64>,
    backlog: u64,
    journal: Arc<Journal>,
    /// The journal's id and the gateway's name, for openings.
    about: (String, String),
    spool: Arc<Spool>,
}

impl Recorder {
    /// Closes what a gateway before this one left open, and begins.
    pub(crate) fn start(
        config: &config::Recording,
        (journal, journal_id): (Arc<Journal>, String),
        on_closed: impl Fn() + Clone + Send + 'static,
    ) -> Result<Self, RecordingError> {
        let recipients = match config.recipients.as_slice() {
            [] => None,
            names => Some(Recipients::parse(names)?),
        };
        let spool = Arc::new(Spool::open(&config.path)?);
        recover::all(&spool, &journal)?;
        let waiting = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::new();
        for number in 0..THREADS {
            let (sender, jobs) = channel();
            let thread = thread::Thread::new(
                (spool.clone(), recipients.clone()),
                (journal.clone(), waiting.clone()),
                on_closed.clone(),
            );
            let built = std::thread::Builder::new().name(format!("recorder {number}"));
            let joined = built.spawn(move || thread.run(&jobs)).map_err(RecordingError::Thread)?;
            threads.push((sender, joined));
        }
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let about = (journal_id, machine.trim().to_owned());
        Ok(Self { threads, waiting, backlog: config.backlog, journal, about, spool })
    }

    /// The journal's id and the gateway's name.
    pub(crate) fn about(&self) -> &(String, String) {
        &self.about
    }

    /// Where recordings are.
    pub(crate) fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// What a session gives its entries to.
    pub(crate) fn recorded(self: &Arc<Self>, session: SessionId) -> Recorded {
        Recorded { recorder: self.clone(), session, told: Arc::default(), state: State::Fresh, last: 0 }
    }

    fn thread(&self, session: SessionId) -> Option<&Sender<Job>> {
        let count = u128::try_from(self.threads.len()).unwrap_or(1).max(1);
        let place = usize::try_from(session.0 % count).unwrap_or_default();
        self.threads.get(place).map(|(sender, _)| sender)
    }

    fn send(&self, session: SessionId, job: Job) -> bool {
        self.thread(session).is_some_and(|thread| thread.send(job).is_ok())
    }

    /// Waits until everything that was taken is written.
    pub(crate) fn close(&self) {
        for (sender, _) in &self.threads {
            let (done, wait) = channel();
            if sender.send(Job::Finish(done)).is_ok() {
                // A thread that has gone has nothing more to write.
                let _gone = wait.recv();
            }
        }
    }
}

/// What a session was told when it gave its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// They will be written.
    On,
    /// They won't: it goes on unrecorded.
    Unrecorded,
    /// They won't, and it must end.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was given.
    Fresh,
    Recorded,
    /// Entries were left out, since too much waited.
    Gap,
    /// The disk failed: nothing more is recorded of it.
    Failed,
}

/// A session's end of the recorder.
pub(crate) struct Recorded {
    recorder: Arc<Recorder>,
    session: SessionId,
    /// What went wrong with its file.
    told: Told,
    state: State,
    /// The last statement that was given.
    last: u64,
}

impl Recorded {
    /// Takes entries, or says what becomes of a session whose entries can't be taken. Never waits for the disk but where it records that.
    pub(crate) fn take(
        &mut self,
        opening: Option<Box<Opening>>,
        mut entries: Vec<Entry>,
        must: bool,
    ) -> Taken {
        let statement = entries.iter().map(|entry| entry.statement).max().unwrap_or_default();
        if self.state != State::Failed
            && let Some(detail) = self.told.lock().take()
        {
            self.state = State::Failed;
            return self.lost("disk", &detail, must);
        }
        if self.state == State::Failed || (self.state == State::Fresh && opening.is_none()) {
            return if must { Taken::Stop } else { Taken::Unrecorded };
        }
        let bytes = entries.iter().map(weight).sum::<usize>() as u64;
        // Of what waits, half must have gone before a gap ends, or there would be many.
        let room = if self.state == State::Gap { self.recorder.backlog / 2 } else { self.recorder.backlog };
        let before = self.recorder.waiting.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > room && opening.is_none() {
            self.recorder.waiting.fetch_sub(bytes, Ordering::Relaxed);
            if self.state == State::Gap {
                return if must { Taken::Stop } else { Taken::Unrecorded };
            }
            self.state = State::Gap;
            return self.lost("backlog", "", must);
        }
        if self.state == State::Gap
            && let Some(first) = entries.first()
        {
            let gap = What::Gap { why: "backlog".to_owned() };
            entries.insert(0, Entry { at: first.at, statement: 0, what: gap });
        }
        let batch = Batch { session: self.session, opening, entries, bytes, told: self.told.clone() };
        if !self.recorder.send(self.session, Job::Batch(batch)) {
            self.recorder.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.state = State::Failed;
            return self.lost("recorder", "its thread has ended", must);
        }
        self.state = State::Recorded;
        self.last = self.last.max(statement);
        Taken::On
    }

    fn lost(&self, why: &str, detail: &str, must: bool) -> Taken {
        let then = if must { "stop" } else { "continue" };
        tracing::error!(session = %self.session, why, detail, then, "a session is not recorded");
        let file = file_name(self.session);
        let (session, statement) = (self.session, self.last);
        let lost = RecordingLost { session, file: &file, why, detail, statement, then };
        let journal = &self.recorder.journal;
        let said = journal.append(&Event::RecordingLost(lost), SystemTime::now());
        // SECURITY: neither recorded nor recorded as unrecorded: it can't go on.
        if must || said.and_then(|_| journal.write()).is_err() { Taken::Stop } else { Taken::Unrecorded }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if self.state != State::Fresh {
            // A thread that has gone has closed nothing: the next gateway does.
            let _gone = self.recorder.send(self.session, Job::End(self.session));
        }
    }
}

fn weight(entry: &Entry) -> usize {
    let text = |value: &Option<String>| value.as_ref().map_or(0, String::len);
    ENTRY_BYTES
        + match &entry.what {
            What::Sent(sent) => {
                sent.text.len()
                    + sent
                        .parameters
                        .iter()
                        .map(|value| text(value) + size_of::<Option<String>>())
                        .sum::<usize>()
            }
            What::Received(bytes) | What::CopyData(bytes) => bytes.len(),
            What::Hold(hold) => text(&hold.message),
            What::Gap { why } | What::Ended { why } => why.len(),
            What::Cut { .. } | What::CopyCut(_) | What::CancelRequested | What::Kept(_) => 0,
        }
}

/// A mutex of what was wrong first.
pub(crate) type Slot = Arc<Mutex<Option<String>>>;

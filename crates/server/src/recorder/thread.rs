//! One of the threads that write recordings. Knows files and the journal; no session waits for it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime};

use audit::{Event, RecordingAnchored, RecordingEnded, RecordingStarted};
use journal::Journal;
use model::SessionId;
use recording::{Entry, Opening, Recipients, Totals, What, Writer};

use super::Slot;
use super::spool::{Spool, file_name};

/// What was recorded is in the file at the latest after this: so much a kill of the gateway costs.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// So often the journal is told how far a recording has come, where it has.
const ANCHOR_AFTER: Duration = Duration::from_secs(10);

/// What went wrong with a session's file, for the session to find.
pub(super) type Told = Slot;

/// Entries of a session.
pub(super) struct Batch {
    pub(super) session: SessionId,
    /// With the first.
    pub(super) opening: Option<Box<Opening>>,
    pub(super) entries: Vec<Entry>,
    /// What they count for among what waits.
    pub(super) bytes: u64,
    pub(super) told: Told,
}

/// What there is to do.
pub(super) enum Job {
    Batch(Batch),
    /// The session is over.
    End(SessionId),
    /// Close everything, and say so.
    Finish(Sender<()>),
}

/// See the module.
pub(super) struct Thread<F> {
    spool: Arc<Spool>,
    recipients: Option<Recipients>,
    journal: Arc<Journal>,
    waiting: Arc<AtomicU64>,
    on_closed: F,
    files: HashMap<SessionId, Open>,
}

/// A recording that is being written.
struct Open {
    file: File,
    /// Bytes of whole frames: what a failed write leaves after them is cut off.
    whole: u64,
    writer: Writer,
    /// When the first entry came that isn't in the file.
    since: Option<Instant>,
    anchored: (Instant, u64),
    ended: bool,
    told: Told,
}

impl<F: Fn()> Thread<F> {
    pub(super) fn new(
        (spool, recipients): (Arc<Spool>, Option<Recipients>),
        (journal, waiting): (Arc<Journal>, Arc<AtomicU64>),
        on_closed: F,
    ) -> Self {
        Self { spool, recipients, journal, waiting, on_closed, files: HashMap::new() }
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv_timeout(self.patience()) {
                Ok(Job::Batch(batch)) => self.batch(batch),
                Ok(Job::End(session)) => self.end(session),
                Ok(Job::Finish(done)) => {
                    self.all();
                    // Whoever asked may have given up.
                    let _given_up = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.all(),
            }
            self.flush_due(Instant::now());
        }
    }

    /// How long nothing need be done.
    fn patience(&self) -> Duration {
        let first = self.files.values().filter_map(|open| open.since).min();
        let due = first.map(|since| (since + FLUSH_AFTER).saturating_duration_since(Instant::now()));
        due.unwrap_or(Duration::from_secs(3600))
    }

    fn all(&mut self) {
        let sessions: Vec<_> = self.files.keys().copied().collect();
        sessions.into_iter().for_each(|session| self.end(session));
    }

    fn batch(&mut self, batch: Batch) {
        let Batch { session, opening, entries, bytes, told } = batch;
        if let Some(opening) = opening
            && let Err(why) = self.begin(session, &opening, told.clone())
        {
            *told.lock() = Some(why);
        }
        if let Some(open) = self.files.get_mut(&session) {
            let mut done = Ok(());
            for entry in &entries {
                open.ended |= matches!(entry.what, What::Ended { .. });
                open.writer.push(entry);
                if open.writer.is_full() {
                    done = done.and_then(|()| open.flush());
                }
            }
            open.since = open.since.or_else(|| open.writer.has_entries().then(Instant::now));
            let ended = open.ended;
            if let Err(why) = done {
                self.fail(session, why);
            } else if ended {
                self.end(session);
            }
        }
        // What is counted as waiting is held until it has gone.
        drop(entries);
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn begin(&mut self, session: SessionId, opening: &Opening, told: Told) -> Result<(), String> {
        let mut bytes = Vec::new();
        let writer =
            Writer::begin(opening, self.recipients.clone(), &mut bytes).map_err(|e| e.to_string())?;
        let mut file = self.spool.create(session).map_err(|error| error.to_string())?;
        let recipients = self.recipients.as_ref().map_or(0, |recipients| recipients.names().len() as u64);
        let (name, hash) = (file_name(session), writer.totals().hash.to_string());
        let started =
            RecordingStarted { session, file: &name, kept: opening.kept.as_str(), recipients, hash: &hash };
        let written = file.write_all(&bytes).map_err(|error| error.to_string());
        if let Err(why) = written.and_then(|()| self.record(&Event::RecordingStarted(started))) {
            self.spool.close(session);
            return Err(why);
        }
        let whole = bytes.len() as u64;
        let anchored = (Instant::now(), 0);
        let open = Open { file, whole, writer, since: None, anchored, ended: false, told };
        self.files.insert(session, open);
        Ok(())
    }

    fn flush_due(&mut self, now: Instant) {
        let due = |open: &Open| open.since.is_some_and(|since| now >= since + FLUSH_AFTER);
        let sessions: Vec<_> =
            self.files.iter().filter(|(_, open)| due(open)).map(|(session, _)| *session).collect();
        for session in sessions {
            let Some(open) = self.files.get_mut(&session) else { continue };
            if let Err(why) = open.flush() {
                self.fail(session, why);
            } else {
                self.anchor(session, now);
            }
        }
    }

    fn anchor(&mut self, session: SessionId, now: Instant) {
        let Some(open) = self.files.get_mut(&session) else { return };
        let totals = open.writer.totals();
        let (when, chunks) = open.anchored;
        if totals.chunks == chunks || now < when + ANCHOR_AFTER {
            return;
        }
        open.anchored = (now, totals.chunks);
        if let Err(error) = open.file.sync_data() {
            return self.fail(session, error.to_string());
        }
        let (name, hash) = (file_name(session), totals.hash.to_string());
        let anchored = RecordingAnchored { session, file: &name, chunks: totals.chunks, hash: &hash };
        // The journal says for itself that it fails; the next anchor binds as much.
        let _later = self.record(&Event::RecordingAnchored(anchored));
    }

    /// Nothing more can be recorded of a session: the session is told when it comes again.
    fn fail(&mut self, session: SessionId, why: String) {
        let Some(open) = self.files.remove(&session) else { return };
        *open.told.lock() = Some(why);
        // What is whole stays, and is closed as what a crash leaves is.
        if let Err(error) = open.file.set_len(open.whole) {
            tracing::error!(%session, %error, "the end of a recording can't be cut off");
        }
        drop(open);
        self.close_as_recovered(session);
    }

    fn close_as_recovered(&self, session: SessionId) {
        self.spool.close(session);
        if let Err(error) =
            super::recover::one(&self.spool, &self.journal, session, "it could not be written")
        {
            tracing::error!(%session, error = oidc::chain(&error), "a recording is not closed; the gateway does so when it starts");
        }
    }

    fn end(&mut self, session: SessionId) {
        let Some(open) = self.files.remove(&session) else { return };
        let Open { mut file, whole, writer, told, .. } = open;
        let mut bytes = Vec::new();
        let finished = writer.finish(&mut bytes).map_err(|error| error.to_string()).and_then(|totals| {
            let written = file.write_all(&bytes).and_then(|()| file.sync_all());
            written.map(|()| totals).map_err(|error| error.to_string())
        });
        match finished {
            Ok(totals) => {
                self.spool.close(session);
                self.ended(session, &totals);
            }
            Err(why) => {
                *told.lock() = Some(why.clone());
                self.unfinished(session, &why);
                let _cut = file.set_len(whole);
                drop(file);
                self.close_as_recovered(session);
            }
        }
        (self.on_closed)();
    }

    /// What came last of a session that has ended could not be written: nobody else tells of it.
    fn unfinished(&self, session: SessionId, why: &str) {
        let file = file_name(session);
        let lost = audit::RecordingLost {
            session,
            file: &file,
            why: "disk",
            detail: why,
            statement: 0,
            then: "continue",
        };
        let _said = self.record(&Event::RecordingLost(lost));
    }

    fn ended(&self, session: SessionId, totals: &Totals) {
        let (file, hash) = (file_name(session), totals.hash.to_string());
        let Totals { hash: _, bytes, chunks, entries: _, rows_cut, bytes_cut } = *totals;
        let ended = RecordingEnded {
            session,
            file: &file,
            how: "closed",
            hash: &hash,
            bytes,
            chunks,
            rows_cut,
            bytes_cut,
            torn: 0,
        };
        if let Err(why) = self.record(&Event::RecordingEnded(ended)) {
            tracing::error!(%session, why, "that a recording is closed could not be recorded");
        }
    }

    fn record(&self, event: &Event<'_>) -> Result<(), String> {
        let said = self.journal.append(event, SystemTime::now());
        said.and_then(|_| self.journal.write()).map(drop).map_err(|error| error.to_string())
    }
}

impl Open {
    fn flush(&mut self) -> Result<(), String> {
        let mut bytes = Vec::new();
        self.since = None;
        self.writer.flush(&mut bytes).map_err(|error| error.to_string())?;
        self.file.write_all(&bytes).map_err(|error| error.to_string())?;
        self.whole += bytes.len() as u64;
        Ok(())
    }
}

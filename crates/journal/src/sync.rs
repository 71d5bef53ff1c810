//! The journal's thread: brings records to disk when somebody waits for them, and every so often when nobody does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use audit::Seq;
use parking_lot::{Condvar, Mutex};

use crate::journal::{Progress, Shared};

/// How often the thread tries again after a failure that nobody asks about.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What is wanted of the thread.
#[derive(Default)]
pub(crate) struct Wishes {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether `State::since` is set, to be asked without the lock by every write.
    dirty: AtomicBool,
}

#[derive(Default)]
struct State {
    wanted: Option<Seq>,
    dirty: bool,
    stop: bool,
}

/// Why the thread woke.
struct Task {
    wanted: Option<Seq>,
    stop: bool,
}

impl Wishes {
    pub(crate) fn want(&self, seq: Seq) {
        let mut state = self.state.lock();
        state.wanted = state.wanted.max(Some(seq));
        self.changed.notify_one();
    }

    /// Notes that something is written and not synced.
    pub(crate) fn dirty(&self) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.state.lock().dirty = true;
            self.changed.notify_one();
        }
    }

    fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_one();
    }

    /// Waits until somebody asks, or until `interval` after something became dirty.
    fn next(&self, interval: Duration) -> Task {
        let mut state = self.state.lock();
        let mut until = None;
        while state.wanted.is_none() && !state.stop {
            if !state.dirty {
                self.changed.wait(&mut state);
                continue;
            }
            let until = *until.get_or_insert_with(|| Instant::now() + interval);
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        // Cleared before the sync begins, so that what is written during it makes a new round.
        state.dirty = false;
        self.dirty.store(false, Ordering::Release);
        Task { wanted: state.wanted.take(), stop: state.stop }
    }
}

pub(crate) struct Syncer {
    thread: JoinHandle<()>,
}

impl Syncer {
    pub(crate) fn start(
        shared: Arc<Shared>,
        interval: Duration,
        on_progress: Box<dyn Fn(Progress) + Send + Sync>,
    ) -> std::io::Result<Self> {
        let body = move || run(&shared, interval, &*on_progress);
        Ok(Self { thread: std::thread::Builder::new().name("journal-sync".into()).spawn(body)? })
    }

    pub(crate) fn stop(self, shared: &Shared) {
        shared.wishes.stop();
        if self.thread.join().is_err() {
            tracing::error!("audit journal's thread panicked");
        }
    }
}

fn run(shared: &Shared, interval: Duration, on_progress: &(dyn Fn(Progress) + Send + Sync)) {
    let mut failing = false;
    loop {
        let task = shared.wishes.next(if failing { interval.max(RETRY_INTERVAL) } else { interval });
        match shared.write().and_then(|_| shared.sync()) {
            Ok(seq) => {
                failing = false;
                shared.bell.durable(seq);
                on_progress(Progress::Durable(seq));
            }
            Err(fault) => {
                if task.wanted.is_some() || !failing {
                    on_progress(Progress::Failed(fault.to_string()));
                }
                failing = true;
                // Tried again without being asked, so that the journal heals before the next statement.
                shared.wishes.dirty();
            }
        }
        if task.stop {
            return;
        }
    }
}

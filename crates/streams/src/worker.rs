//! One stream: reads the journal from where it stood, hands events to the sink, and writes down what has arrived. Knows no destination.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::{Hash, Seq, Time};
use config::{Stream, StreamBegin};
use journal::reader::Reader;
use tokio::sync::watch;

use crate::item::{Form, Mark};
use crate::position::{self, Standing};
use crate::sink::{Settled, Sink};
use crate::{Failure, Item, News, Outside};

/// Events that are handed over at once, and their bytes.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 1 << 20;
/// Records that are looked at in one step, whether or not they go by the stream.
const LOOK: usize = 10_000;
/// How long it sleeps where nothing tells it of more.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a position is written down.
const NOTED: Duration = Duration::from_secs(1);
/// After a failure, until it is tried again; doubled up to the second.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// The same where statements wait for it.
const AGAIN_MAX_REQUIRED: Duration = Duration::from_secs(1);

/// What tells a stream how much there is.
pub struct Feed {
    /// The journal's folder.
    pub journal: PathBuf,
    /// The last record that is on disk.
    ///
    /// SECURITY: what is not on disk may be gone after a crash, and its number used for another record.
    pub durable: Box<dyn Fn() -> Seq + Send>,
    /// Changes when there may be more.
    pub wake: watch::Receiver<u64>,
}

/// When a stream is to end: once everything up to the record is delivered, or at that time.
pub type Stop = Option<(Seq, Instant)>;

/// A stream that has not yet begun.
pub struct Worker {
    stream: Stream,
    feed: Feed,
    file: PathBuf,
    outside: Arc<dyn Outside>,
    stop: watch::Receiver<Stop>,
    standing: Standing,
    noted: Instant,
    /// Whether the standing changed since it was written down.
    changed: bool,
    failing: bool,
    /// Whether it was told how far the stream has come, after that was held against the journal.
    told: bool,
    journal: String,
}

/// What goes on between two failures.
struct Run {
    reader: Reader,
    sink: Sink,
    /// The last record that was read.
    read: Mark,
    /// Of a journal's first look: the record that must be the one that was delivered last.
    known: Option<Mark>,
}

enum Step {
    More,
    Idle,
}

const NOTHING: Mark = Mark { seq: Seq(0), hash: Hash([0; 32]) };

impl Worker {
    /// Makes one, with its position in `state`.
    pub fn new(
        stream: Stream,
        state: &Path,
        feed: Feed,
        outside: Arc<dyn Outside>,
        stop: watch::Receiver<Stop>,
    ) -> Self {
        let file = position::path(state, &stream.name);
        let standing = position::read(&file).unwrap_or_else(|error| {
            // What was delivered is delivered again, which is allowed.
            tracing::error!(stream = stream.name, %error, "the position of a stream is lost: it begins again");
            Some(Standing::default())
        });
        let standing = standing.unwrap_or_else(|| match stream.begin {
            StreamBegin::Start => Standing::default(),
            StreamBegin::Now => Standing { position: (feed.durable)().0, ..Standing::default() },
        });
        let (noted, journal) = (Instant::now(), String::new());
        Self {
            stream,
            feed,
            file,
            outside,
            stop,
            standing,
            noted,
            changed: true,
            failing: false,
            told: false,
            journal,
        }
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self) {
        let mut run = None;
        let mut again = AGAIN;
        loop {
            let step = self.step(&mut run).await;
            self.note();
            let stop = *self.stop.borrow();
            let over =
                stop.is_some_and(|(last, end)| Instant::now() >= end || Seq(self.standing.position) >= last);
            match step {
                Ok(_) if over => break,
                Ok(Step::More) => again = AGAIN,
                Ok(Step::Idle) => {
                    again = AGAIN;
                    self.wait(PAUSE).await;
                }
                Err(failure) => {
                    run = None;
                    self.failed(&failure);
                    if over {
                        break;
                    }
                    self.rest(again).await;
                    let most = if self.stream.required { AGAIN_MAX_REQUIRED } else { AGAIN_MAX };
                    again = (again * 2).min(most);
                }
            }
        }
        self.noted = self.noted.checked_sub(NOTED).unwrap_or(self.noted);
        self.note();
    }

    /// Waits until there may be more to do.
    async fn wait(&mut self, pause: Duration) {
        let sleep = tokio::time::sleep(pause);
        tokio::select! {
            () = sleep => {}
            changed = self.feed.wake.changed() => if changed.is_err() { tokio::time::sleep(pause).await },
            changed = self.stop.changed() => if changed.is_err() { tokio::time::sleep(pause).await },
        }
    }

    /// Waits before the next attempt.
    async fn rest(&mut self, pause: Duration) {
        if self.stop.borrow().is_some() {
            return tokio::time::sleep(pause.min(PAUSE)).await;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.stop.changed() => tokio::time::sleep(PAUSE).await,
        }
    }

    async fn step(&mut self, run: &mut Option<Run>) -> Result<Step, Failure> {
        let now = match run {
            Some(run) => run,
            None => {
                let opening =
                    tokio::time::timeout(self.stream.timeout, Sink::open(&self.stream, &*self.outside));
                let sink = opening.await.map_err(|_| self.late("connecting"))??;
                run.insert(self.begin(sink)?)
            }
        };
        let (items, more) = self.read(now)?;
        if !std::mem::replace(&mut self.told, true) {
            self.outside.told(&self.stream.name, News::Delivered(Seq(self.standing.position)));
        }
        if !items.is_empty() {
            let taking = tokio::time::timeout(self.stream.timeout, now.sink.take(&items, &self.journal));
            taking.await.map_err(|_| self.late("a delivery"))??;
        }
        let ending = self.stop.borrow().is_some();
        let settling = tokio::time::timeout(
            self.stream.timeout.max(now.sink.patience()),
            now.sink.settle(ending, &*self.outside),
        );
        let settled = settling.await.map_err(|_| self.late("a delivery"))??;
        let arrived = match settled {
            Settled::All => Some(now.read),
            Settled::Through(mark) => mark,
        };
        // Where events are gathered, taking them says nothing yet.
        if self.failing && arrived.is_some() {
            self.recovered();
        }
        if let Some(mark) = arrived.filter(|mark| mark.seq.0 > self.standing.position) {
            self.standing.position = mark.seq.0;
            self.standing.hash = mark.hash.to_string();
            self.changed = true;
            self.outside.told(&self.stream.name, News::Delivered(mark.seq));
        }
        self.standing.delivered += items.len() as u64;
        Ok(if more { Step::More } else { Step::Idle })
    }

    fn late(&self, what: &str) -> Failure {
        Failure::new(format!("{what} took longer than {} ms", self.stream.timeout.as_millis()))
    }

    /// Opens the journal where the stream stood.
    fn begin(&mut self, sink: Sink) -> Result<Run, Failure> {
        let unreadable = |error: &dyn std::error::Error| Failure::of("the journal can't be read", error);
        self.journal = journal::id(&self.feed.journal).map_err(|error| unreadable(&error))?.to_string();
        let stood = Seq(self.standing.position);
        if stood > (self.feed.durable)() {
            tracing::warn!(
                stream = self.stream.name,
                position = stood.0,
                "the journal is another than before: the stream begins again"
            );
            self.begin_again();
        }
        let stood = Seq(self.standing.position);
        let known = self.standing.hash.parse().ok().map(|hash| Mark { seq: stood, hash });
        let from = if known.is_some() { stood } else { stood.next() };
        let reader = Reader::open_from(&self.feed.journal, from).map_err(|error| unreadable(&error))?;
        let read = known.unwrap_or(Mark { seq: stood, ..NOTHING });
        Ok(Run { reader, sink, read, known })
    }

    /// SECURITY: what was delivered of another journal says nothing of this one: whoever waits for this stream waits.
    fn begin_again(&mut self) {
        self.standing = Standing::default();
        self.changed = true;
        self.outside.told(&self.stream.name, News::Delivered(Seq(0)));
    }

    /// Reads what there is, up to a batch; whether there is more.
    fn read(&mut self, run: &mut Run) -> Result<(Vec<Item>, bool), Failure> {
        let form = Form { stream: &self.stream, journal: &self.journal };
        let durable = (self.feed.durable)();
        let (mut items, mut bytes) = (Vec::new(), 0);
        for _ in 0..LOOK {
            if run.reader.position() > durable {
                return Ok((items, false));
            }
            let record =
                run.reader.read().map_err(|error| Failure::of("the journal can't be read", &error))?;
            let Some(record) = record else { return Ok((items, false)) };
            if let Some(known) = run.known.take() {
                if record.seq == known.seq && record.hash != known.hash {
                    tracing::warn!(
                        stream = self.stream.name,
                        "the journal is another than before: the stream begins again"
                    );
                    self.begin_again();
                    return Err(Failure::new(
                        "the journal is another than the one that was delivered; the stream begins again with its first record",
                    ));
                }
                if record.seq == known.seq {
                    continue;
                }
            }
            if record.seq > run.read.seq.next() {
                let (from, to) = (run.read.seq.next(), Seq(record.seq.0.saturating_sub(1)));
                self.outside.told(&self.stream.name, News::Gap { from, to });
            }
            run.read = Mark { seq: record.seq, hash: record.hash };
            if let Some(item) = form.item(&record) {
                bytes += item.line.len();
                items.push(item);
            }
            if items.len() >= BATCH || bytes >= BATCH_BYTES {
                break;
            }
        }
        Ok((items, true))
    }

    fn failed(&mut self, failure: &Failure) {
        let first = !std::mem::replace(&mut self.failing, true);
        let now = Time::from(SystemTime::now()).to_string();
        if first {
            self.standing.error_since = Some(now);
        }
        if self.standing.error.as_deref() != Some(&failure.0) {
            self.standing.error = Some(failure.0.clone());
            self.changed = true;
        }
        let waiting = Seq(self.standing.position).next();
        self.outside.told(&self.stream.name, News::Failed { reason: &failure.0, waiting, first });
    }

    fn recovered(&mut self) {
        self.failing = false;
        (self.standing.error, self.standing.error_since) = (None, None);
        self.changed = true;
        self.outside.told(&self.stream.name, News::Recovered(Seq(self.standing.position)));
    }

    /// Writes down how far the stream has come, now and then.
    fn note(&mut self) {
        if !self.changed || self.noted.elapsed() < NOTED {
            return;
        }
        self.noted = Instant::now();
        self.standing.at = Time::from(SystemTime::now()).to_string();
        match position::write(&self.file, &self.standing) {
            Ok(()) => self.changed = false,
            // Nothing is lost: what was delivered is delivered again after a restart.
            Err(error) => {
                tracing::error!(stream = self.stream.name, %error, "the position of a stream can't be written down")
            }
        }
    }
}

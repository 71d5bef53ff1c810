//! Runs the streams of audit events: gives them secrets and object stores, hears what becomes of them. Knows no destination.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use archive::Archive;
use audit::{Event, Seq};
use config::{Config, SecretRef};
use journal::Journal;
use model::Secret;
use parking_lot::Mutex;
use streams::{Feed, Later, News, Outside, Stop, Worker};
use tokio::sync::watch;

use crate::archives::Archives;
use crate::kept::Arrivals;
use crate::metrics::Page;
use crate::secrets;

pub use streams::{Standing, StandingError, standings};

/// What is known of a stream.
struct Known {
    name: String,
    required: bool,
    position: AtomicU64,
    failures: AtomicU64,
    failing: AtomicBool,
}

/// All streams of a gateway.
pub(crate) struct Outgoing {
    known: Arc<Vec<Known>>,
    stop: watch::Sender<Stop>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Outgoing {
    /// Starts a thread for each stream.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start(
        config: &Config,
        journal: &Arc<Journal>,
        arrivals: &Arc<Arrivals>,
    ) -> std::io::Result<Self> {
        let known = config.streams.iter().map(|stream| Known {
            name: stream.name.clone(),
            required: stream.required,
            position: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        });
        let known = Arc::new(known.collect::<Vec<_>>());
        let around = Arc::new(Around {
            archives: Archives::new(&config.object_stores),
            journal: journal.clone(),
            arrivals: arrivals.clone(),
            known: known.clone(),
        });
        let stop = watch::Sender::new(None);
        let mut threads = Vec::new();
        for stream in &config.streams {
            let durable = journal.clone();
            let feed = Feed {
                journal: config.journal.path.clone(),
                durable: Box::new(move || durable.durable()),
                wake: arrivals.wake(),
            };
            let worker = Worker::new(stream.clone(), &config.state, feed, around.clone(), stop.subscribe());
            let runtime = tokio::runtime::Handle::current();
            let thread = std::thread::Builder::new().name(format!("stream-{}", stream.name));
            threads.push(thread.spawn(move || runtime.block_on(worker.run()))?);
        }
        Ok(Self { known, stop, threads: Mutex::new(threads) })
    }

    /// Has every stream deliver what is there, for so long at most, and end.
    pub(crate) async fn drained(&self, journal: &Journal, limit: Duration) {
        let last = journal.appended();
        journal.want_durable(last);
        self.stop.send_replace(Some((last, Instant::now() + limit)));
        let threads = std::mem::take(&mut *self.threads.lock());
        let ended = tokio::task::spawn_blocking(move || {
            // One that hangs in a delivery ends with its timeout, or with the process.
            let end = Instant::now() + limit + Duration::from_secs(1);
            while Instant::now() < end && !threads.iter().all(JoinHandle::is_finished) {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let _ = ended.await;
    }

    /// Writes the numbers of all streams. `last`: the journal's last record.
    pub(crate) fn write(&self, page: &mut Page, last: Seq) {
        let number = |it: &AtomicU64| it.load(Ordering::Relaxed);
        let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Known) -> u64| {
            page.family(name, kind, help);
            for stream in &*self.known {
                page.sample(name, &[("stream", &stream.name)], value(stream));
            }
        };
        family(
            "gatepost_stream_lag_records",
            "gauge",
            "Records of the journal that have not gone by the stream yet.",
            &|it| last.0.saturating_sub(number(&it.position)),
        );
        family("gatepost_stream_failing", "gauge", "1: the last delivery by the stream failed.", &|it| {
            u64::from(it.failing.load(Ordering::Relaxed))
        });
        family("gatepost_stream_failures_total", "counter", "Deliveries by the stream that failed.", &|it| {
            number(&it.failures)
        });
    }
}

/// What streams have of the gateway.
struct Around {
    archives: Archives,
    journal: Arc<Journal>,
    arrivals: Arc<Arrivals>,
    known: Arc<Vec<Known>>,
}

impl Outside for Around {
    fn secret<'a>(&'a self, reference: &'a SecretRef) -> Later<'a, Result<Secret<String>, String>> {
        Box::pin(async move { secrets::resolve(reference).await.map_err(|error| oidc::chain(&error)) })
    }

    fn archive<'a>(&'a self, name: &'a str) -> Later<'a, Result<Archive, String>> {
        Box::pin(async move { self.archives.get(name).await.map_err(|error| oidc::chain(&error)) })
    }

    fn told(&self, stream: &str, news: News<'_>) {
        let Some(known) = self.known.iter().find(|it| it.name == stream) else { return };
        match news {
            News::Delivered(seq) => {
                known.position.store(seq.0, Ordering::Relaxed);
                if known.required {
                    self.arrivals.arrived(stream, seq);
                }
            }
            News::Failed { reason, waiting, first } => {
                known.failures.fetch_add(1, Ordering::Relaxed);
                known.failing.store(true, Ordering::Relaxed);
                if known.required {
                    // SECURITY: clients are told this, and not where the stream leads.
                    self.arrivals.failed("an audit stream that is required does not take it");
                }
                if first {
                    tracing::error!(stream, reason, "a stream of audit events does not get on");
                    self.note(&Event::StreamFailed { stream, reason, waiting });
                }
            }
            News::Recovered(delivered) => {
                known.failing.store(false, Ordering::Relaxed);
                tracing::info!(stream, "a stream of audit events gets on again");
                self.note(&Event::StreamRecovered { stream, delivered });
            }
            News::Gap { from: first, to: last } => {
                tracing::error!(
                    stream,
                    first = first.0,
                    last = last.0,
                    "records are gone that had not gone by a stream"
                );
                self.note(&Event::StreamGap { stream, first, last });
            }
        }
    }
}

impl Around {
    fn note(&self, event: &Event<'_>) {
        let noted = self.journal.append(event, SystemTime::now());
        if let Err(error) = noted.and_then(|_| self.journal.write()) {
            tracing::error!(%error, "what became of a stream can't be recorded");
        }
    }
}

//! A journal, and streams over it, as the gateway runs them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use archive::Archive;
use audit::{Event, Seq};
use config::{ObjectStore, SecretRef, Stream, StreamBegin, StreamFormat, StreamKind, StreamStatement};
use journal::{Journal, Options};
use model::{Pattern, Secret};
use streams::{Feed, Later, News, Outside, Standing, Stop, Worker, standings};
use testkit::process::poll;
use testkit::scratch::Scratch;
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What streams have of the outside: secrets by the name of their variable, one object store.
#[derive(Default)]
pub(crate) struct Around {
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) store: Option<ObjectStore>,
    pub(crate) heard: Mutex<Vec<String>>,
}

impl Outside for Around {
    fn secret<'a>(&'a self, reference: &'a SecretRef) -> Later<'a, Result<Secret<String>, String>> {
        let SecretRef::Env(name) = reference else { panic!("{reference}") };
        let found = self.secrets.get(name).map(|it| Secret::new(it.clone()));
        Box::pin(async move { found.ok_or_else(|| "is not set".to_owned()) })
    }

    fn archive<'a>(&'a self, _: &'a str) -> Later<'a, Result<Archive, String>> {
        let store = self.store.as_ref().unwrap();
        let keys: Vec<_> = store.secrets().iter().map(|_| Secret::new("key".to_owned())).collect();
        let opened = Archive::open(store, &keys).map_err(|error| error.to_string());
        Box::pin(async move { opened })
    }

    fn told(&self, _: &str, news: News<'_>) {
        self.heard.lock().unwrap().push(match news {
            News::Delivered(Seq(0)) => "nothing".to_owned(),
            News::Delivered(_) => return,
            News::Failed { reason, waiting, first } => format!("failed {first} {waiting}: {reason}"),
            News::Recovered(seq) => format!("recovered {seq}"),
            News::Gap { from, to } => format!("gap {from}-{to}"),
        });
    }
}

/// A journal in a folder of its own.
pub(crate) struct Bench {
    pub(crate) scratch: Scratch,
    pub(crate) journal: Option<Arc<Journal>>,
    pub(crate) runtime: Runtime,
    pub(crate) around: Arc<Around>,
}

/// A running stream.
pub(crate) struct Running {
    stop: watch::Sender<Stop>,
    thread: Option<JoinHandle<()>>,
    journal: Arc<Journal>,
}

pub(crate) fn stream(kind: StreamKind) -> Stream {
    Stream {
        name: "out".to_owned(),
        kind,
        format: StreamFormat::Gatepost,
        events: vec![Pattern::new("*")],
        statement: StreamStatement::Full,
        required: true,
        begin: StreamBegin::Start,
        timeout: Duration::from_secs(5),
        ca: None,
    }
}

impl Bench {
    pub(crate) fn new(what: &str, around: Around) -> Self {
        let scratch = Scratch::new(what);
        let journal = open(&scratch.path().join("journal"));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { scratch, journal: Some(journal), runtime, around: Arc::new(around) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub(crate) fn journal(&self) -> &Arc<Journal> {
        self.journal.as_ref().unwrap()
    }

    /// Writes records that say their number, and waits until they are on disk.
    pub(crate) fn records(&self, count: u64) -> Seq {
        let mut last = Seq(0);
        for _ in 0..count {
            let reason = format!("number {}", self.journal().appended().next());
            let event = Event::PolicyRefused { database: "shop", reason: &reason };
            last = self.journal().append(&event, std::time::SystemTime::now()).unwrap();
        }
        self.durable(last);
        last
    }

    pub(crate) fn durable(&self, last: Seq) {
        self.journal().want_durable(last);
        poll(SOON, || (self.journal().durable() >= last).then_some(())).unwrap();
    }

    pub(crate) fn run(&self, stream: Stream) -> Running {
        let journal = self.journal().clone();
        let durable = journal.clone();
        let feed = Feed {
            journal: self.path("journal"),
            durable: Box::new(move || durable.durable()),
            wake: watch::channel(0).1,
        };
        let stop = watch::Sender::new(None);
        let worker = Worker::new(stream, &self.path("state"), feed, self.around.clone(), stop.subscribe());
        let runtime = self.runtime.handle().clone();
        let thread = Some(std::thread::spawn(move || runtime.block_on(worker.run())));
        Running { stop, thread, journal }
    }

    pub(crate) fn standing(&self) -> Standing {
        let mut all = standings(&self.path("state"), ["out"].into_iter()).unwrap();
        all.pop().unwrap().1.unwrap_or_default()
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.around.heard.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn hears(&self, what: &str) {
        let found = poll(SOON, || self.heard().iter().any(|it| it.contains(what)).then_some(()));
        assert!(found.is_some(), "{what}: {:#?}", self.heard());
    }
}

impl Running {
    /// Has it deliver everything, and end.
    pub(crate) fn finish(mut self) {
        self.stop.send_replace(Some((self.journal.appended(), Instant::now() + SOON)));
        self.thread.take().unwrap().join().unwrap();
    }

    /// Ends it where it is; what was not written down is forgotten, as with SIGKILL.
    pub(crate) fn stop_at_once(mut self) {
        self.stop.send_replace(Some((Seq(u64::MAX), Instant::now())));
        self.thread.take().unwrap().join().unwrap();
    }
}

pub(crate) fn open(path: &Path) -> Arc<Journal> {
    Arc::new(Journal::open(Options::new(path), Box::new(|_| {})).unwrap().0)
}

/// The numbers of events in lines of JSON.
pub(crate) fn numbers(lines: &str) -> Vec<u64> {
    let value = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"))
    };
    lines.lines().map(|line| value(line)["seq"].as_u64().unwrap()).collect()
}

//! Tells approvers what happens to requests, by the channels of `[[notify]]`. Knows when and whom, not how a message looks or gets there.
//!
//! What is to be told is kept in the store first, so that it is told though a channel is down or the gateway has gone: at least once, with the same id each
//! time. A request waits whatever becomes of its messages.

mod calls;
mod deliver;
mod pace;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use approval::{Number, Request, Stamp, State};
use arc_swap::ArcSwap;
use audit::{Event, NotificationFailed, NotifyCallRefused};
use config::{Notify, NotifyEvent, NotifyKind, SlackWay};
use journal::Journal;
use model::Secret;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use store::{Delivery, Message, RequestFilter, Standing, Store, StoreError};
use tokio::sync::{mpsc, watch};

pub use calls::{Call, Called};

use crate::desk::Happened;
use crate::{cancel, secrets};

/// What waits to be kept in the store, should that be slow.
const SAID_MAX: usize = 10_000;
/// How often it is tried to keep it there.
const KEEP_TRIES: u32 = 5;
/// How often it is looked for channels that a changed configuration has brought, and for messages of other gateways.
const LOOK: Duration = Duration::from_secs(1);
/// Refused calls that are recorded, in a minute: whoever sends nonsense must not fill the disk.
const RECORDED_MAX: u32 = 120;
/// For how long what calls are signed with is remembered, so that a flood of them fetches no secrets.
const SIGNING_AGE: Duration = Duration::from_secs(30);

/// What became of telling a channel of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Notification {
    /// The channel.
    pub channel: String,
    /// What it is told: `opened`, `decided`, ...
    pub what: String,
    /// `queued`; `undelivered`: it failed, and is tried again; `delivered`; `given_up`; `unneeded`: it was over before it could be told.
    pub state: &'static str,
    /// How often it was tried.
    pub attempts: u64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was to be told, RFC 3339.
    pub at: String,
}

/// See the module.
pub(crate) struct Notices {
    store: Store,
    journal: Arc<Journal>,
    channels: ArcSwap<Vec<Notify>>,
    /// Where the console is, without a slash at its end.
    console: Option<String>,
    said: mpsc::Sender<Told>,
    heard: Mutex<Option<mpsc::Receiver<Told>>>,
    /// Counts what is to be sent.
    news: watch::Sender<u64>,
    recorded: Mutex<(Instant, u32)>,
    signing: Mutex<HashMap<String, Remembered>>,
}

/// A secret, and since when it is known.
type Remembered = (Instant, Arc<Secret<String>>);

/// Something that is to be kept in the store.
struct Told {
    number: Number,
    event: notifier::Event,
    channels: Vec<String>,
    body: String,
    at: Stamp,
}

/// Sends a test message by a channel. `console` is where the gateway's pages are.
///
/// # Errors
/// [`notifier::Failure`]: what happened, whose fault it is, and how to mend it.
pub async fn test(channel: &Notify, console: Option<&str>) -> Result<(), notifier::Failure> {
    let sender = notifier::Sender::new(channel)?;
    let secrets = deliver::fetch(channel).await?;
    let random = cancel::random::<8>().map(hex::encode).unwrap_or_default();
    let letter = notifier::Letter::test(&channel.name, console.map(|it| it.trim_end_matches('/')), now());
    let id = format!("msg_test_{random}");
    let message =
        notifier::Outgoing { letter: &letter, about: None, id: &id, thread: None, replaces: None, console };
    sender.send(&secrets, &message, now()).await.map(drop)
}

/// Says what is wrong with what a channel signs with, or is called with; nothing of the secret.
///
/// # Errors
/// The operator's.
pub async fn check_signing(channel: &Notify) -> Result<(), String> {
    let NotifyKind::Webhook { secret, answers, .. } = &channel.kind else { return Ok(()) };
    for reference in [Some(secret), answers.as_ref().map(|it| &it.secret)].into_iter().flatten() {
        // What is wrong with its place is told among the secrets.
        let Ok(secret) = secrets::resolve(reference).await else { continue };
        notifier::WebhookSecret::parse(&secret).map_err(|wrong| format!("secret \"{reference}\" {wrong}"))?;
    }
    Ok(())
}

impl Notices {
    pub(crate) fn new(
        store: Store,
        journal: Arc<Journal>,
        channels: Vec<Notify>,
        console: Option<String>,
    ) -> Arc<Self> {
        let (said, heard) = mpsc::channel(SAID_MAX);
        Arc::new(Self {
            store,
            journal,
            channels: ArcSwap::from_pointee(channels),
            console: console.map(|base| base.trim_end_matches('/').to_owned()),
            said,
            heard: Mutex::new(Some(heard)),
            news: watch::Sender::new(0),
            recorded: Mutex::new((Instant::now(), 0)),
            signing: Mutex::default(),
        })
    }

    /// Puts other channels in force.
    pub(crate) fn configure(&self, channels: Vec<Notify>) {
        self.channels.store(Arc::new(channels));
        self.signing.lock().clear();
        self.news.send_modify(|count| *count += 1);
    }

    /// Begins to send; ends with the process.
    pub(crate) fn start(self: &Arc<Self>) {
        if let Some(heard) = self.heard.lock().take() {
            tokio::spawn(self.clone().keep(heard));
        }
        tokio::spawn(self.clone().supervise());
        tokio::spawn(self.clone().catch_up());
    }

    /// Tells of what waits, should the gateway have gone before that was kept; of what is kept already nothing more comes.
    async fn catch_up(self: Arc<Self>) {
        let filter =
            RequestFilter { states: [Standing::Open].into(), limit: Some(1), ..RequestFilter::default() };
        let mut before = None;
        // One at a time: texts may be large.
        for _ in 0..SAID_MAX {
            match self.store.requests(&RequestFilter { before, ..filter.clone() }).await {
                Ok(page) => {
                    let Some(kept) = page.first() else { return };
                    self.announce(&kept.request, notifier::Event::Opened);
                    before = Some(kept.request.number);
                }
                Err(error) => {
                    tracing::warn!(error = oidc::chain(&error), "it is not known who is still to be told");
                    return;
                }
            }
        }
    }

    /// Tells whom it concerns what the desk has done.
    pub(crate) fn happened(&self, request: &Request, happened: Happened) {
        match (happened, &request.state) {
            (Happened::Opened, _) => self.announce(request, notifier::Event::Opened),
            (Happened::Decided, _) => self.announce(request, notifier::Event::Decided),
            (Happened::BreakGlass, _) => self.announce(request, notifier::Event::BreakGlass),
            (Happened::Ended, State::Ended(_)) => self.announce(request, notifier::Event::Ended),
            // That it was used follows from its approval, and who has reviewed it knows.
            (Happened::Ended | Happened::Reviewed, _) => {}
        }
    }

    /// Tells whom it concerns what has happened to a request. Never waits, and never fails: the request is what it is.
    fn announce(&self, request: &Request, event: notifier::Event) {
        let channels = self.channels.load();
        let channels = channels.iter().filter(|channel| concerns(channel, request, event));
        self.say(request.number, event, channels.map(|it| it.name.clone()).collect(), String::new());
    }

    fn say(&self, number: Number, event: notifier::Event, channels: Vec<String>, body: String) {
        if channels.is_empty() {
            return;
        }
        if self.said.try_send(Told { number, event, channels, body, at: now() }).is_err() {
            tracing::error!(%number, what = event.as_str(), "approvers are not told: too much waits for the store");
        }
    }

    /// Keeps what is to be told in the store.
    async fn keep(self: Arc<Self>, mut heard: mpsc::Receiver<Told>) {
        while let Some(told) = heard.recv().await {
            for channel in &told.channels {
                if let Err(error) = self.keep_one(channel, &told).await {
                    let (number, what) = (told.number, told.event.as_str());
                    let detail = format!("it can't be kept: {}", oidc::chain(&error));
                    tracing::error!(%number, channel, what, detail, "approvers are not told");
                    self.note_failed(number, channel, what, (0, "given_up"), &detail);
                }
            }
            self.news.send_modify(|count| *count += 1);
        }
    }

    async fn keep_one(&self, channel: &str, told: &Told) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            let kept = self.store.enqueue(channel, told.event.as_str(), told.number, &told.body, told.at);
            match kept.await {
                Ok(_) => return Ok(()),
                Err(error) if tries >= KEEP_TRIES || matches!(error, StoreError::Full { .. }) => {
                    return Err(error);
                }
                Err(_) => {
                    tries += 1;
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Has a task for each channel, so that none waits for another.
    async fn supervise(self: Arc<Self>) {
        let mut running: HashMap<String, tokio::task::JoinHandle<()>> = HashMap::new();
        loop {
            running.retain(|_, task| !task.is_finished());
            for channel in self.channels.load().iter() {
                if !running.contains_key(&channel.name) {
                    let task = tokio::spawn(self.clone().channel(channel.clone()));
                    running.insert(channel.name.clone(), task);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn configured(&self, name: &str) -> Option<Notify> {
        self.channels.load().iter().find(|channel| channel.name == name).cloned()
    }

    /// Returns what became of telling about a request.
    pub(crate) async fn of(&self, number: Number) -> Result<Vec<Notification>, StoreError> {
        Ok(self.store.messages_of(number).await?.into_iter().map(shown).collect())
    }

    fn note_failed(
        &self,
        number: Number,
        channel: &str,
        what: &str,
        (attempts, outcome): (u64, &str),
        detail: &str,
    ) {
        let failed = NotificationFailed { approval: number.0, channel, what, attempts, outcome, detail };
        self.note(&Event::NotificationFailed(failed));
    }

    /// Records a refused call, as long as there are not too many.
    fn note_call(&self, mut refused: NotifyCallRefused<'_>) {
        let mut recorded = self.recorded.lock();
        if recorded.0.elapsed() >= Duration::from_secs(60) {
            *recorded = (Instant::now(), 0);
        }
        recorded.1 = recorded.1.saturating_add(1);
        if recorded.1 > RECORDED_MAX + 1 {
            return;
        }
        if recorded.1 == RECORDED_MAX + 1 {
            refused.detail = "and more within this minute, which are not recorded";
        }
        self.note(&Event::NotifyCallRefused(refused));
    }

    /// Records what changes nothing: it is as it is, whether or not there is a record.
    fn note(&self, event: &Event<'_>) {
        let recorded = self.journal.append(event, SystemTime::now()).and_then(|_| self.journal.write());
        if let Err(error) = recorded {
            tracing::error!(%error, event = event.name(), "can't be recorded");
        }
    }

    /// Returns what calls to a channel are signed with.
    async fn signing(
        &self,
        channel: &str,
        reference: &config::SecretRef,
    ) -> Result<Arc<Secret<String>>, String> {
        if let Some((at, secret)) = self.signing.lock().get(channel)
            && at.elapsed() < SIGNING_AGE
        {
            return Ok(secret.clone());
        }
        let secret = Arc::new(secrets::resolve(reference).await.map_err(|error| oidc::chain(&error))?);
        self.signing.lock().insert(channel.to_owned(), (Instant::now(), secret.clone()));
        Ok(secret)
    }
}

/// Returns whether a channel is to be told that about a request.
fn concerns(channel: &Notify, request: &Request, event: notifier::Event) -> bool {
    let ask = &request.ask;
    channel.databases.iter().any(|pattern| pattern.matches(&ask.database))
        && (channel.groups.is_empty() || ask.needs.iter().any(|need| channel.groups.contains(&need.name)))
        && (takes(channel, event) || replaces(channel, event))
}

fn takes(channel: &Notify, event: notifier::Event) -> bool {
    let listed = |wanted| channel.events.contains(&wanted);
    match event {
        notifier::Event::Opened => listed(NotifyEvent::Opened),
        notifier::Event::Decided => listed(NotifyEvent::Decided),
        notifier::Event::Ended => listed(NotifyEvent::Ended),
        notifier::Event::BreakGlass => listed(NotifyEvent::BreakGlass),
        notifier::Event::Undelivered => listed(NotifyEvent::Undelivered),
        notifier::Event::Voted => false,
    }
}

/// Returns whether a message that is there is replaced then, so that no button stays that does nothing.
fn replaces(channel: &Notify, event: notifier::Event) -> bool {
    let bot = matches!(&channel.kind, NotifyKind::Slack { way: SlackWay::Bot { .. }, .. });
    bot && matches!(event, notifier::Event::Decided | notifier::Event::Ended | notifier::Event::BreakGlass)
}

fn shown(message: Message) -> Notification {
    let state = match message.delivery {
        Delivery::Delivered => "delivered",
        Delivery::GivenUp if message.error.as_deref() == Some(deliver::UNNEEDED) => "unneeded",
        Delivery::GivenUp => "given_up",
        Delivery::Waiting(_) if message.error.as_deref().is_none_or(|it| it == deliver::LATER) => "queued",
        Delivery::Waiting(_) => "undelivered",
    };
    Notification {
        channel: message.channel,
        what: message.kind,
        state,
        attempts: message.attempts,
        last_error: message.error.filter(|_| matches!(state, "undelivered" | "given_up")),
        at: audit::Time::from(SystemTime::from(message.made)).to_string(),
    }
}

fn is_open(request: &Request) -> bool {
    matches!(request.state, State::Open)
}

fn now() -> Stamp {
    SystemTime::now().into()
}

//! One channel: takes what is due from the store, sends it, and says what became of it.

use std::sync::Arc;
use std::time::Duration;

use approval::{Request, Stamp};
use audit::{Event as Record, Notified};
use config::{Notify, NotifyKind, SlackWay};
use notifier::{Event, Letter, Outgoing, Receipt, Secrets, Sender};
use store::{Delivery, Message, StoreError};

use super::pace::{Pace, Turn, backoff};
use super::{LOOK, Notices, concerns, is_open, now, takes};
use crate::{cancel, secrets};

/// Nobody else gets a message while it is tried: longer than a batch can take.
const LEASE: Duration = Duration::from_secs(180);
/// Of messages that are sent one by one, each within 11 s.
const BATCH: u32 = 10;
/// Of those that become one.
const DIGEST_BATCH: u32 = 1000;
/// What is no more of a request that waits is told for this long.
const TOLD_FOR: Duration = Duration::from_secs(24 * 3600);
/// After so many attempts it is recorded, and others are told.
const ALARM: u64 = 3;
/// How soon it is looked again whether another gateway has sent what is to be replaced.
const IN_FLIGHT: Duration = Duration::from_secs(5);

/// Errors that are none.
pub(super) const UNNEEDED: &str = "it was over before it could be told";
pub(super) const LATER: &str = "it waits for others, to be told in one message";
/// A receipt of a message that told of many.
const DIGEST: &str = "digest";

/// What became of a message.
enum Sent {
    Arrived(Option<String>),
    Unneeded,
    Later(Stamp),
    Failed(notifier::Failure),
}

/// What a channel's task carries along.
struct Way {
    sender: Sender,
    pace: Pace,
    failures_in_a_row: u32,
}

impl Notices {
    /// Sends by a channel until its configuration changes.
    pub(super) async fn channel(self: Arc<Self>, channel: Notify) {
        let mut news = self.news.subscribe();
        let mut way = match Sender::new(&channel) {
            Ok(sender) => Way { sender, pace: Pace::new(now()), failures_in_a_row: 0 },
            Err(failure) => {
                tracing::error!(channel = channel.name, %failure, "a channel can't be used");
                tokio::time::sleep(Duration::from_secs(60)).await;
                return;
            }
        };
        let mut down = false;
        while self.configured(&channel.name).as_ref() == Some(&channel) {
            match self.round(&mut way).await {
                Ok(0) => {
                    let _ = tokio::time::timeout(LOOK, news.changed()).await;
                }
                Ok(_) => down = false,
                Err(error) => {
                    if !down {
                        tracing::warn!(
                            channel = channel.name,
                            error = oidc::chain(&error),
                            "notifications wait for the store"
                        );
                    }
                    down = true;
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Sends what is due now, as far as one batch goes; returns how much that was.
    async fn round(&self, way: &mut Way) -> Result<usize, StoreError> {
        let name = way.sender.channel().name.clone();
        let mut batch = self.store.due(&name, now(), LEASE, BATCH).await?;
        let mut sized = batch.len();
        if sized == 0 {
            return Ok(0);
        }
        let secrets = fetch(way.sender.channel()).await;
        // A machine takes each event; people don't.
        if !matches!(way.sender.channel().kind, NotifyKind::Webhook { .. }) {
            let (opened, rest): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|it| it.kind == Event::Opened.as_str());
            batch = rest;
            match way.pace.turn(opened.len(), now()) {
                _ if opened.is_empty() => {}
                Turn::Each => batch.splice(0..0, opened).for_each(drop),
                Turn::Later(when) => {
                    for message in &opened {
                        self.store.failed(message, Some(when), LATER).await?;
                    }
                }
                Turn::Together => sized += self.together(way, &secrets, opened).await?,
            }
        }
        way.failures_in_a_row = 0;
        let mut last = None;
        for message in &batch {
            // Whatever is down is down for the others too; they wait without being tried.
            let sent = match &last {
                Some(failure) if way.failures_in_a_row >= 2 => {
                    Sent::Failed(notifier::Failure::clone(failure))
                }
                _ => self.one(way, &secrets, message).await?,
            };
            if let Sent::Failed(failure) = &sent {
                last = Some(failure.clone());
            }
            self.settle(way, message, sent).await?;
        }
        Ok(sized)
    }

    /// Tells of many requests in one message.
    async fn together(
        &self,
        way: &mut Way,
        secrets: &Result<Secrets, notifier::Failure>,
        mut messages: Vec<Message>,
    ) -> Result<usize, StoreError> {
        let name = way.sender.channel().name.clone();
        let more = self.store.due(&name, now(), LEASE, DIGEST_BATCH).await?;
        // Others of this channel that were lent with them are tried when the lease is given back.
        for message in more {
            match message.kind == Event::Opened.as_str() {
                true => messages.push(message),
                false => {
                    self.store
                        .failed(&message, Some(now()), message.error.as_deref().unwrap_or(LATER))
                        .await?;
                }
            }
        }
        // Texts may be large: only those that are named are held.
        let (mut open, mut more) = (Vec::new(), 0);
        let mut told = Vec::new();
        for message in messages {
            match self.store.request(message.number).await?.map(|kept| kept.request).filter(is_open) {
                Some(request) => {
                    match open.len() < notifier::DIGEST_MAX {
                        true => open.push(request),
                        false => more += 1,
                    }
                    told.push(message);
                }
                None => drop(self.store.failed(&message, None, UNNEEDED).await?),
            }
        }
        if told.is_empty() {
            return Ok(0);
        }
        let letter = Letter::digest(&open.iter().collect::<Vec<_>>(), more, self.console.as_deref(), now());
        let first = told.first().map_or(0, |message| message.id.0);
        let id = format!("digest_{first}_{}", told.len());
        let outgoing = Outgoing {
            letter: &letter,
            about: None,
            id: &id,
            thread: None,
            replaces: None,
            console: self.console.as_deref(),
        };
        let sent = match secrets {
            Ok(secrets) => way.sender.send(secrets, &outgoing, now()).await,
            Err(failure) => Err(failure.clone()),
        };
        if sent.is_ok() {
            way.pace.sent_digest(now());
        }
        for message in &told {
            let sent = match &sent {
                Ok(_) => Sent::Arrived(Some(DIGEST.to_owned())),
                Err(failure) => Sent::Failed(failure.clone()),
            };
            self.settle(way, message, sent).await?;
        }
        Ok(told.len())
    }

    /// Tries one message.
    async fn one(
        &self,
        way: &mut Way,
        secrets: &Result<Secrets, notifier::Failure>,
        message: &Message,
    ) -> Result<Sent, StoreError> {
        let channel = way.sender.channel().clone();
        let Some(event) = Event::parse(&message.kind) else { return Ok(Sent::Unneeded) };
        let Some(request) = self.store.request(message.number).await?.map(|kept| kept.request) else {
            return Ok(Sent::Unneeded);
        };
        let mut replaces = None;
        match event {
            Event::Opened | Event::Undelivered if !is_open(&request) => return Ok(Sent::Unneeded),
            Event::Opened | Event::Undelivered | Event::Voted => {}
            Event::Decided | Event::Ended | Event::BreakGlass => {
                match self.before(&channel, message).await? {
                    Before::Receipt(receipt) => replaces = Some(receipt),
                    Before::InFlight if message.attempts < 5 => {
                        return Ok(Sent::Later(now().after(IN_FLIGHT)));
                    }
                    Before::Digest if event != Event::BreakGlass => return Ok(Sent::Unneeded),
                    _ if !takes(&channel, event) => return Ok(Sent::Unneeded),
                    Before::Digest | Before::InFlight | Before::None => {}
                }
            }
        }
        let mut letter =
            Letter::of(event, &request, channel.statement, self.console.as_deref(), message.made);
        if event == Event::Undelivered {
            letter = letter.with("Not told", &message.body);
        }
        let binding: String = request.ask.binding.to_string().chars().take(16).collect();
        // Names the event wherever it arrives, also twice, and of whichever store its number is.
        let id = id(message, &request);
        let thread = format!("request_{}_{binding}", request.number);
        let outgoing = Outgoing {
            letter: &letter,
            about: Some((event, &request)),
            id: &id,
            thread: Some(&thread),
            replaces: replaces.as_ref(),
            console: self.console.as_deref(),
        };
        let sent = match secrets {
            Ok(secrets) => way.sender.send(secrets, &outgoing, now()).await,
            Err(failure) => Err(failure.clone()),
        };
        if replaces.is_none() {
            way.pace.sent(now());
        }
        Ok(match sent {
            Ok(receipt) => Sent::Arrived(receipt.and_then(|it| serde_json::to_string(&it).ok())),
            Err(failure) => Sent::Failed(failure),
        })
    }

    /// Finds the message that told this channel that the request waits.
    async fn before(&self, channel: &Notify, message: &Message) -> Result<Before, StoreError> {
        let all = self.store.messages_of(message.number).await?;
        let opened =
            all.into_iter().find(|it| it.channel == channel.name && it.kind == Event::Opened.as_str());
        Ok(match opened {
            None => Before::None,
            Some(opened) => match (opened.delivery, opened.receipt.as_deref()) {
                (Delivery::Delivered, Some(DIGEST)) => Before::Digest,
                (Delivery::Delivered, Some(receipt)) => {
                    serde_json::from_str(receipt).map_or(Before::None, Before::Receipt)
                }
                // Somebody is sending it.
                (Delivery::Waiting(next), _)
                    if opened.attempts > 0 && opened.error.is_none() && next > now() =>
                {
                    Before::InFlight
                }
                _ => Before::None,
            },
        })
    }

    /// Writes down what became of a message.
    async fn settle(&self, way: &mut Way, message: &Message, sent: Sent) -> Result<(), StoreError> {
        let (number, what) = (message.number, message.kind.as_str());
        let channel = &way.sender.channel().name;
        match sent {
            Sent::Arrived(receipt) => {
                way.failures_in_a_row = 0;
                let digest = receipt.as_deref() == Some(DIGEST);
                self.store.delivered(message, receipt.as_deref()).await?;
                let request = self.store.request(number).await?;
                let id = request.map(|kept| id(message, &kept.request)).unwrap_or_default();
                self.note(&Record::Notified(Notified {
                    approval: number.0,
                    channel,
                    what,
                    id: &id,
                    attempts: message.attempts,
                    digest,
                }));
            }
            Sent::Unneeded => drop(self.store.failed(message, None, UNNEEDED).await?),
            Sent::Later(when) => drop(self.store.failed(message, Some(when), LATER).await?),
            Sent::Failed(failure) => {
                way.failures_in_a_row += 1;
                let request = self.store.request(number).await?.map(|kept| kept.request);
                let random = cancel::random::<4>().map_or(u32::MAX / 2, u32::from_le_bytes);
                let wait = failure.retry_after.unwrap_or_default().max(backoff(message.attempts, random));
                let next = now().after(wait);
                let until = match (&request, Event::parse(what)) {
                    (Some(request), Some(Event::Opened | Event::Undelivered)) => request.until,
                    _ => message.made.after(TOLD_FOR),
                };
                let next = (next < until).then_some(next);
                self.store.failed(message, next, &failure.text).await?;
                let outcome = if next.is_some() { "retried" } else { "given_up" };
                tracing::warn!(%number, channel, what, attempts = message.attempts, outcome, reason = failure.text, "a notification did not arrive");
                if next.is_none() || message.attempts == ALARM {
                    self.note_failed(number, channel, what, (message.attempts, outcome), &failure.text);
                    if let Some(request) = request {
                        self.tell_others(&request, channel, what);
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells other channels that this one was not told.
    fn tell_others(&self, request: &Request, channel: &str, what: &str) {
        if what != Event::Opened.as_str() && what != Event::BreakGlass.as_str() {
            return;
        }
        let all = self.channels.load();
        let others = all.iter().filter(|it| it.name != channel && concerns(it, request, Event::Undelivered));
        let others = others.map(|it| it.name.clone()).collect();
        self.say(request.number, Event::Undelivered, others, channel.to_owned());
    }
}

/// What a channel was told before.
enum Before {
    Receipt(Receipt),
    Digest,
    InFlight,
    None,
}

fn id(message: &Message, request: &Request) -> String {
    let binding: String = request.ask.binding.to_string().chars().take(16).collect();
    format!("msg_{}_{}_{binding}", message.number, message.kind)
}

/// Fetches what a channel needs.
pub(super) async fn fetch(channel: &Notify) -> Result<Secrets, notifier::Failure> {
    let (first, second) = match &channel.kind {
        NotifyKind::Slack { way: SlackWay::Bot { token, .. }, .. } => (Some(token), None),
        NotifyKind::Slack { way: SlackWay::Webhook { url }, .. } => (Some(url), None),
        NotifyKind::Teams { webhook } => (Some(webhook), None),
        NotifyKind::Email(smtp) => {
            (smtp.login.as_ref().map(|(user, _)| user), smtp.login.as_ref().map(|(_, password)| password))
        }
        NotifyKind::Webhook { secret, .. } => (Some(secret), None),
    };
    let mut fetched = Secrets::default();
    for (reference, place) in [(first, &mut fetched.first), (second, &mut fetched.second)] {
        if let Some(reference) = reference {
            let found = secrets::resolve(reference).await;
            *place = Some(found.map_err(|error| notifier::Failure {
                text: oidc::chain(&error),
                whose: notifier::Whose::Operator,
                retry_after: None,
            })?);
        }
    }
    Ok(fetched)
}

//! The one task that keeps time: deadlines of what is held here, requests that nobody waits for, signs of life, and gateways that have gone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use approval::{Ended, Number, Stamp, Wait};
use store::{Change, RequestFilter, Standing};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;

use super::{Desk, Trouble, now};

/// How often a gateway shows that it lives, and looks after what is nobody's.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// A gateway that has not shown itself for this long has gone.
const SILENT_AFTER: Duration = Duration::from_secs(30);
/// Requests that are closed at one time.
const CLOSED_AT_ONCE: u32 = 100;
/// So many times in a row; the rest has time until the next sign of life.
const PAGES_MAX: usize = 20;
/// What names the run before, in the folder of `[state]`.
const FORMER: &str = "instance";

/// Who waits here, and until when.
#[derive(Default)]
pub(super) struct Deadlines {
    bells: HashMap<Number, (Stamp, Arc<Notify>)>,
    /// Those that have gone may still be in it.
    order: BinaryHeap<Reverse<(Stamp, Number)>>,
}

impl Deadlines {
    pub(super) fn add(&mut self, number: Number, until: Stamp) -> Arc<Notify> {
        let bell = Arc::new(Notify::new());
        self.bells.insert(number, (until, bell.clone()));
        self.order.push(Reverse((until, number)));
        bell
    }

    pub(super) fn ring_at(&mut self, number: Number, at: Stamp) {
        self.order.push(Reverse((at, number)));
    }

    pub(super) fn remove(&mut self, number: Number) {
        self.bells.remove(&number);
        // What has gone is forgotten before it outweighs what is there.
        if self.order.len() > 2 * self.bells.len() + 64 {
            let bells = &self.bells;
            self.order.retain(|Reverse((_, number))| bells.contains_key(number));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bells.is_empty()
    }

    fn ring(&self, number: Number) {
        if let Some((_, bell)) = self.bells.get(&number) {
            bell.notify_one();
        }
    }

    fn ring_all(&self) {
        self.bells.values().for_each(|(_, bell)| bell.notify_one());
    }

    /// Rings for all whose time is over; returns when the next one's is.
    fn ring_due(&mut self, now: Stamp) -> Option<Stamp> {
        while let Some(Reverse((until, number))) = self.order.peek().copied() {
            if until > now && self.bells.contains_key(&number) {
                return Some(until);
            }
            self.order.pop();
            self.ring(number);
        }
        None
    }
}

impl Desk {
    /// Runs as long as the gateway does.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut changes = self.store.changes();
        let mut beat = tokio::time::interval(BEAT_EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looking_after: Option<tokio::task::JoinHandle<()>> = None;
        self.look_for_former().await;
        loop {
            let now = now();
            let next = self.waiting.lock().ring_due(now);
            let until_next =
                next.map_or(BEAT_EVERY, |next| Duration::from_millis(next.0.saturating_sub(now.0)));
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(Change::Request { number, version: _ }) => self.waiting.lock().ring(number),
                    Ok(Change::Everything) | Err(RecvError::Lagged(_)) => self.waiting.lock().ring_all(),
                    Ok(Change::Delegations | Change::Outbox) => {}
                    Err(RecvError::Closed) => return,
                },
                () = self.sooner.notified() => {}
                () = tokio::time::sleep(until_next.min(BEAT_EVERY)) => {}
                // A store that is slow to answer delays nobody's deadline.
                _ = beat.tick() => {
                    if looking_after.as_ref().is_none_or(|task| task.is_finished()) {
                        let desk = self.clone();
                        looking_after = Some(tokio::spawn(async move { desk.look_after().await }));
                    }
                }
            }
        }
    }

    /// Says that this gateway lives, and closes what nobody else will.
    pub(super) async fn look_after(&self) {
        let done = async {
            self.store.beat(&self.instance, now()).await?;
            let former = self.former.lock().clone();
            if let Some(former) = former {
                self.lose(&former).await?;
                self.leave_name().await;
            }
            let silent = Stamp(now().0.saturating_sub(millis(SILENT_AFTER)));
            for instance in self.store.silent_since(silent).await? {
                if instance != self.instance {
                    tracing::warn!(instance, "a gateway has gone; what it held is closed");
                    self.lose(&instance).await?;
                }
            }
            for _ in 0..PAGES_MAX {
                let page = self.store.overdue(now(), CLOSED_AT_ONCE).await?;
                for kept in &page {
                    self.try_end(kept.request.number, |request| request.expire(now())).await?;
                }
                if page.len() < CLOSED_AT_ONCE as usize {
                    break;
                }
            }
            Ok::<_, Trouble>(())
        };
        if let Err(error) = done.await {
            tracing::warn!(error = oidc::chain(&error), "requests for approval can't be looked after");
        }
    }

    /// Closes what a gateway held that has gone. What nobody waited for stays.
    async fn lose(&self, instance: &str) -> Result<(), Trouble> {
        let mut before = None;
        loop {
            let filter = RequestFilter {
                states: [Standing::Open, Standing::Approved].into(),
                gateway: Some(instance.to_owned()),
                before,
                limit: Some(CLOSED_AT_ONCE),
                ..RequestFilter::default()
            };
            let page = self.store.requests(&filter).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.request.number);
            for kept in page {
                if let Wait::Held { .. } = kept.request.ask.wait {
                    self.try_end(kept.request.number, |request| request.end(Ended::Lost, now())).await?;
                }
            }
        }
        Ok(self.store.forget_instance(instance).await?)
    }

    /// Reads how the run before was called, whose sessions are no more: two gateways can't have the same folder.
    pub(super) async fn look_for_former(&self) {
        let former = tokio::fs::read_to_string(self.state.join(FORMER)).await.unwrap_or_default();
        match former.trim() {
            "" => self.leave_name().await,
            former => *self.former.lock() = Some(former.to_owned()),
        }
    }

    /// Leaves this run's name for the next. Not before what the last one held is closed, so that a crash in between loses neither.
    async fn leave_name(&self) {
        *self.former.lock() = None;
        let path = self.state.join(FORMER);
        if let Err(error) = tokio::fs::write(&path, &self.instance).await {
            // Then others close it when this one has been silent for long enough.
            tracing::warn!(path = %path.display(), %error, "can't be written");
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

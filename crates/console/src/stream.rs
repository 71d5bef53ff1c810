//! `/api/v1/events`: tells a client what happens, as server-sent events (WHATWG HTML, 9.2). Bounded for each; who is too slow is told to
//! look again. Knows no event from inside.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use axum::Extension;
use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::Frame;
use parking_lot::Mutex;
use serde_json::{Value, json};
use server::views::{LiveEvent, LiveReceiver, Received};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::caller::{Caller, Via};
use crate::guard::{App, answer};
use crate::listen::Lasting;

/// How often a client hears something, and how often it is asked whether it may still listen.
const BEAT: Duration = Duration::from_secs(10);
/// How soon a client should come back.
const RETRY_MS: u32 = 3000;
/// Events under way to one client; together with what the system buffers, all that a slow one costs.
const UNDERWAY_MAX: usize = 32;
/// How long a client may take to read on.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one stream lasts; then the client comes back, and is asked who it is again.
const LASTS: Duration = Duration::from_secs(900);
/// At one time, of one person.
const OF_ONE_MAX: usize = 8;
/// At one time, of all: the rest of the connections is for everything else.
const OF_ALL_MAX: usize = 160;

/// Who is being told.
pub(crate) struct Streams {
    open: Mutex<HashMap<String, usize>>,
    /// Distinguishes runs of the gateway, whose events are counted from 1.
    run: String,
}

impl Default for Streams {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { open: Mutex::default(), run: format!("{:x}", since.as_micros()) }
    }
}

impl Streams {
    /// Returns how many are being told.
    pub(crate) fn open(&self) -> usize {
        self.open.lock().values().sum()
    }
}

/// A place among those who are told; given back when dropped.
struct Place {
    app: App,
    by: String,
}

impl Place {
    fn take(app: &App, by: &str) -> Option<Self> {
        let mut open = app.streams.open.lock();
        if open.values().sum::<usize>() >= OF_ALL_MAX {
            return None;
        }
        let mine = open.entry(by.to_owned()).or_default();
        if *mine >= OF_ONE_MAX {
            return None;
        }
        *mine += 1;
        Some(Self { app: app.clone(), by: by.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.app.streams.open.lock();
        if let Some(mine) = open.get_mut(&self.by) {
            *mine = mine.saturating_sub(1);
            if *mine == 0 {
                open.remove(&self.by);
            }
        }
    }
}

/// `GET /events`.
pub(crate) async fn events(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(lasting): Extension<Lasting>,
    headers: HeaderMap,
) -> Response {
    let Some(place) = Place::take(&app, &caller.by) else {
        return answer(StatusCode::TOO_MANY_REQUESTS, "too many event streams are open");
    };
    let live = app.control.live();
    // First, so that nothing falls between the two.
    let receiver = live.subscribe();
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let now = format!("{}-{}", app.streams.run, live.last_id());
    let missed = last.is_some_and(|last| last != now);
    let (sender, chunks) = mpsc::channel(UNDERWAY_MAX);
    let teller = Teller { app, caller, sender, _place: place, _lasting: lasting.begin() };
    tokio::spawn(teller.run(receiver, now, missed));
    let content =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store, no-transform")];
    (content, Body::new(Chunks(chunks))).into_response()
}

/// Tells one client.
struct Teller {
    app: App,
    caller: Arc<Caller>,
    sender: mpsc::Sender<Bytes>,
    _place: Place,
    _lasting: Lasts,
}

/// The client has gone, or reads nothing.
struct Gone;

impl Teller {
    async fn run(self, receiver: LiveReceiver, id: String, missed: bool) {
        // A client that has gone needs no more.
        let _gone = self.tell_all(receiver, id, missed).await;
    }

    async fn tell_all(&self, mut receiver: LiveReceiver, id: String, missed: bool) -> Result<(), Gone> {
        let until = Instant::now() + LASTS;
        self.send(&format!(
            "retry: {RETRY_MS}\n{}",
            framed("hello", Some(&id), &json!({ "resync": missed }))
        ))
        .await?;
        if missed {
            self.send(&framed("resync", None, &json!({}))).await?;
        }
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        beat.reset();
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    if let Some(why) = self.ended(until).await {
                        return self.send(&framed("bye", None, &json!({ "why": why }))).await;
                    }
                    self.send(&framed("beat", None, &json!({}))).await?;
                }
                received = receiver.next() => match received {
                    Received::Event(event) => self.send(&self.event(&event)).await?,
                    Received::Resync => self.send(&framed("resync", None, &json!({}))).await?,
                    Received::End => return self.send(&framed("bye", None, &json!({ "why": "the gateway ends" }))).await,
                },
                () = self.sender.closed() => return Err(Gone),
            }
        }
    }

    fn event(&self, event: &LiveEvent) -> String {
        let id = format!("{}-{}", self.app.streams.run, event.id);
        let data = serde_json::to_value(event).unwrap_or_default();
        framed(event.kind.as_str(), Some(&id), &data)
    }

    /// Says why the client is to be told no more, if it is.
    async fn ended(&self, until: Instant) -> Option<&'static str> {
        if Instant::now() >= until {
            return Some("come back");
        }
        if self.app.control.not_ready().is_some() {
            return Some("the gateway is shutting down");
        }
        let Via::Browser(browser) = &self.caller.via else { return None };
        match self.app.control.browser_again(browser).await {
            Ok(Some(browser)) if self.app.control.roles(&browser.identity).viewer => None,
            Ok(_) => Some("logged out"),
            // SECURITY: who can't be looked up is told nothing.
            Err(_) => Some("logins can't be looked up"),
        }
    }

    async fn send(&self, text: &str) -> Result<(), Gone> {
        let sent = self.sender.send(Bytes::copy_from_slice(text.as_bytes()));
        match tokio::time::timeout(PATIENCE, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

/// Writes one event. JSON has no line ends within.
fn framed(name: &str, id: Option<&str>, data: &Value) -> String {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("event: {name}\n{id}data: {data}\n\n")
}

/// A body of what comes through a channel.
struct Chunks(mpsc::Receiver<Bytes>);

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// Keeps a connection from being closed for its age.
pub(crate) struct Lasts(Arc<AtomicUsize>);

impl Lasts {
    pub(crate) fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Lasts {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

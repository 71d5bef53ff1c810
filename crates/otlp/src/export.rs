//! Sends spans to a collector: in batches, beside everything else, again after a while if it is down, and not for ever. Knows no span from
//! inside.
//!
//! As in the [specification of OTLP/HTTP](https://opentelemetry.io/docs/specs/otlp/#otlphttp): 429, 502, 503, 504 and a broken connection
//! are tried again, everything else is not.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::Secret;
use parking_lot::Mutex;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::encode;
use crate::queue::{self, Counts, Entry};
use crate::span::Span;

/// Spans that may wait; one is about a kB.
const QUEUE_MAX: usize = 8192;
/// Of one request.
const BATCH_MAX: usize = 512;
/// How long a span waits for others, so that they are sent together.
const GATHER: Duration = Duration::from_secs(1);
/// How often a batch is tried.
const ATTEMPTS: u32 = 4;
/// Before a batch is tried for the second time; doubled each time after.
const WAIT: Duration = Duration::from_millis(500);
/// Nothing waits for longer, whatever the collector asks for.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long what is sent with each request is believed before it is fetched again.
const HEADERS_AGE: Duration = Duration::from_secs(300);
/// Of an answer, which says next to nothing; and what is nested in so few bytes is read on any stack.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Fetches what is sent with each request: names and secret values.
pub type Headers = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Fetched> + Send>> + Send + Sync>;

type Fetched = Result<Vec<(String, Secret<String>)>, String>;

/// Where spans go.
pub struct Settings {
    /// The URL that is posted to.
    pub endpoint: String,
    /// For one attempt.
    pub timeout: Duration,
    /// Certificates of authorities in PEM, beside the system's.
    pub ca: Option<Vec<u8>>,
    /// What all spans are of: `service.name` and the like.
    pub resource: Vec<(&'static str, String)>,
    /// What is sent with each request.
    pub headers: Headers,
}

/// Why nothing can be sent; the operator's to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(pub String);

/// Takes spans and has them sent.
pub struct Exporter {
    entry: Entry,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Exporter {
    /// Begins to send. Must be called within a runtime of tokio.
    ///
    /// # Errors
    /// [`SettingsError`]: the operator's; the authorities can't be read, or there is no HTTP client.
    pub fn start(settings: Settings) -> Result<Self, SettingsError> {
        let mut http = Client::builder()
            .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            // SECURITY: a redirect would take spans, and the secrets with them, elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(settings.timeout);
        if let Some(pem) = &settings.ca {
            let read = reqwest::Certificate::from_pem_bundle(pem).ok().filter(|all| !all.is_empty());
            let read = read.ok_or_else(|| SettingsError("it has no PEM certificates".to_owned()))?;
            http = http.tls_certs_merge(read);
        }
        let http = http.build().map_err(|error| SettingsError(format!("no HTTP client: {error}")))?;
        let (entry, groups) = queue::queue(QUEUE_MAX);
        let (stop, stopped) = watch::channel(false);
        let (counts, headers) = (entry.counts().clone(), None);
        let sender = Sender { http, settings, counts, headers, stopped, failing: false };
        let task = Mutex::new(Some(tokio::spawn(sender.run(groups))));
        Ok(Self { entry, stop, task })
    }

    /// Takes spans that belong together, all or none of them. Never waits: where too many wait already, they are dropped and counted.
    pub fn send(&self, spans: Vec<Span>) {
        self.entry.put(spans);
    }

    /// Returns what became of spans.
    pub fn counts(&self) -> &Arc<Counts> {
        self.entry.counts()
    }

    /// Sends what waits, for at most so long, and ends. What comes later is dropped.
    pub async fn close(&self, limit: Duration) {
        self.stop.send_replace(true);
        let Some(mut task) = self.task.lock().take() else { return };
        if timeout(limit, &mut task).await.is_err() {
            task.abort();
            tracing::warn!(spans = self.entry.counts().queued(), "spans are left unsent");
        }
    }
}

/// The side that they go out at.
struct Sender {
    http: Client,
    settings: Settings,
    counts: Arc<Counts>,
    headers: Option<(Instant, HeaderMap)>,
    stopped: watch::Receiver<bool>,
    /// The last batch was not taken, which has been said.
    failing: bool,
}

/// What became of one attempt.
enum Attempt {
    Taken(Response),
    Later(String, Option<Duration>),
    Never(String),
}

impl Sender {
    async fn run(mut self, mut groups: UnboundedReceiver<Vec<Span>>) {
        let mut stopped = self.stopped.clone();
        loop {
            let first = tokio::select! {
                biased;
                first = groups.recv() => first,
                _ = stopped.wait_for(|it| *it) => None,
            };
            // What came before the end is in the channel by now.
            let Some(mut batch) = first.or_else(|| groups.try_recv().ok()) else { return };
            let until = Instant::now() + GATHER;
            while batch.len() < BATCH_MAX {
                let next = tokio::select! {
                    biased;
                    next = timeout_at(until, groups.recv()) => next.ok().flatten(),
                    _ = stopped.wait_for(|it| *it) => groups.try_recv().ok(),
                };
                match next {
                    Some(spans) => batch.extend(spans),
                    None => break,
                }
            }
            self.deliver(&batch).await;
        }
    }

    /// Tries to send a batch, for some time.
    async fn deliver(&mut self, spans: &[Span]) {
        let body = encode::request(&self.settings.resource, spans);
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            let wait = match self.attempt(body.clone()).await {
                Attempt::Taken(answer) => {
                    let rejected = read(answer).await.map_or(0, |body| encode::rejected(&body));
                    self.counts.delivered(spans.len(), rejected);
                    if std::mem::take(&mut self.failing) {
                        tracing::info!("spans are taken again");
                    }
                    return;
                }
                Attempt::Later(reason, wanted) => {
                    last = reason;
                    wanted.unwrap_or_else(|| backoff(attempt)).min(WAIT_MAX)
                }
                Attempt::Never(reason) => {
                    last = reason;
                    break;
                }
            };
            // Who is down at the gateway's end is not waited for.
            if attempt + 1 == ATTEMPTS || timeout(wait, self.stopped.wait_for(|it| *it)).await.is_ok() {
                break;
            }
        }
        self.counts.gave_up(spans.len());
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(reason = last, "spans are dropped: they can't be delivered");
        }
    }

    async fn attempt(&mut self, body: Vec<u8>) -> Attempt {
        let headers = match self.headers().await {
            Ok(headers) => headers,
            Err(reason) => return Attempt::Later(reason, None),
        };
        let request = self.http.post(&self.settings.endpoint).headers(headers);
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Attempt::Later(chain(&error.without_url()), None),
        };
        let status = answer.status();
        if status.is_success() {
            return Attempt::Taken(answer);
        }
        let reason = format!("the collector answers {}", status.as_u16());
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let wanted = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                Attempt::Later(reason, wanted.and_then(|it| it.parse().ok()).map(Duration::from_secs))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                // It may have been replaced.
                match self.headers.take() {
                    Some((since, _)) if since.elapsed() > WAIT_MAX => Attempt::Later(reason, None),
                    _ => Attempt::Never(reason),
                }
            }
            _ => Attempt::Never(reason),
        }
    }

    async fn headers(&mut self) -> Result<HeaderMap, String> {
        if let Some((since, known)) = &self.headers
            && since.elapsed() < HEADERS_AGE
        {
            return Ok(known.clone());
        }
        let mut headers = HeaderMap::new();
        for (name, secret) in (self.settings.headers)().await? {
            let bad = || format!("the value of the header {name} is none that HTTP can send");
            let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| bad())?;
            value.set_sensitive(true);
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            headers.insert(name, value);
        }
        self.headers = Some((Instant::now(), headers.clone()));
        Ok(headers)
    }
}

/// How long to wait after so many attempts: longer each time, and not the same for all gateways.
fn backoff(attempt: u32) -> Duration {
    let nanoseconds =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let part = crate::context::mix(u64::from(nanoseconds)) % 256;
    let wait = WAIT.saturating_mul(1 << attempt.min(16));
    wait.mul_f64(0.75 + part as f64 / 512.0)
}

/// Reads an answer as far as it may be long.
async fn read(mut answer: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// Writes an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

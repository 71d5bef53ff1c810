//! What all requests share: where they come from, how often, how long; and what every answer carries. Knows no handler.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use serde_json::json;
use server::control::Control;
use url::{Host, Url};

use crate::api::STATEMENT_BYTES_MAX;
use crate::buckets::Buckets;
use crate::cookie::Cookies;
use crate::listen::Peer;
use crate::stream::Streams;

/// For one request, its body included.
const REQUEST: Duration = Duration::from_secs(20);

/// The same where the gateway asks a database first.
const SLOW_REQUEST: Duration = Duration::from_secs(90);

/// How many wrong tokens an address may show at once, and how soon it may show another.
const WRONG: (f64, f64) = (20.0, 0.5);
/// The same of logins that an address begins.
const LOGINS: (f64, f64) = (30.0, 0.5);
/// The same of acts, of one identity.
const ACTS: (f64, f64) = (60.0, 2.0);
/// The same of whatever it only reads.
const READS: (f64, f64) = (600.0, 40.0);
/// Refusals written to the journal, in a minute: whoever sends nonsense must not fill the disk.
const RECORDED_MAX: u32 = 120;

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
}

/// What handlers share.
pub(crate) struct Shared {
    pub(crate) control: Control,
    transport: Transport,
    wrong: Buckets<IpAddr>,
    pub(crate) logins: Buckets<IpAddr>,
    pub(crate) acts: Buckets<String>,
    pub(crate) reads: Buckets<String>,
    recorded: Mutex<(Instant, u32)>,
    pub(crate) streams: Streams,
}

pub(crate) type App = Arc<Shared>;

impl Shared {
    pub(crate) fn new(control: Control, transport: Transport) -> Self {
        let buckets = |(most, per_second): (f64, f64)| Buckets::new(most, per_second);
        Self {
            control,
            transport,
            wrong: buckets(WRONG),
            logins: buckets(LOGINS),
            acts: Buckets::new(ACTS.0, ACTS.1),
            reads: Buckets::new(READS.0, READS.1),
            recorded: Mutex::new((Instant::now(), 0)),
            streams: Streams::default(),
        }
    }

    /// Whether browsers reach the gateway over TLS, its own or a proxy's.
    fn is_secure(&self) -> bool {
        let url = self.control.public_url();
        url.map_or(self.transport == Transport::Tls, config::PublicUrl::is_https)
    }

    /// Returns which cookies browsers take.
    pub(crate) fn cookies(&self) -> Cookies {
        if self.is_secure() { Cookies::Secure } else { Cookies::Plain }
    }

    /// Returns the origins of the gateway's own pages.
    pub(crate) fn origins(&self) -> Vec<String> {
        self.control.public_url().map(config::PublicUrl::origin).into_iter().collect()
    }

    /// Records a refusal, as long as there are not too many of them.
    pub(crate) fn note(&self, act: &'static str, peer: Peer, by: Option<&str>, reason: &str) {
        let client = match peer {
            Peer::Network(address) => Some(address),
            Peer::Local { .. } => None,
        };
        let mut recorded = self.recorded.lock();
        if recorded.0.elapsed() >= Duration::from_secs(60) {
            *recorded = (Instant::now(), 0);
        }
        recorded.1 = recorded.1.saturating_add(1);
        if recorded.1 <= RECORDED_MAX {
            self.control.note_refused(act, client, by, reason);
        } else if recorded.1 == RECORDED_MAX + 1 {
            self.control.note_refused(
                act,
                client,
                None,
                "and more within this minute, which are not recorded",
            );
        }
    }

    /// Whether an address has shown too much that was wrong.
    pub(crate) fn is_guessing(&self, address: IpAddr) -> bool {
        self.wrong.is_full(&network(address), Instant::now())
    }

    /// Counts something wrong.
    pub(crate) fn guessed(&self, address: IpAddr) {
        self.wrong.count(network(address), Instant::now());
    }

    /// SECURITY: a page of another site can have its own name lead to this gateway's address, and is of the same origin then (DNS
    /// rebinding). Over TLS the certificate prevents that.
    fn is_for_us(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Ok(host) = host.to_str() else { return false };
        let url = self.control.public_url();
        if url.is_some_and(|url| url.authority().eq_ignore_ascii_case(host)) {
            return true;
        }
        match self.transport {
            // Where nothing is said of its names, they are the certificate's.
            Transport::Tls => url.is_none() || is_address(host),
            Transport::Plain => is_address(host),
        }
    }
}

/// Whether a host is written as an address, or is this one: no name that somebody else's DNS answers for.
fn is_address(host: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host}/")) else { return false };
    match url.host() {
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// One host usually has a whole /64 of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

/// Makes an answer that says what is wrong.
pub(crate) fn answer(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

/// Writes an error and its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What every answer carries that doesn't say otherwise: nothing here is for a browser's eyes, cache or frames.
const HEADERS: [(HeaderName, &str); 8] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What machines ask for by whatever name, and shows nothing or believes only what is signed.
const FOR_MACHINES: [&str; 5] =
    ["/healthz", "/readyz", "/metrics", "/backchannel-logout", "/security-events"];

/// Gives a request its time, and its answer what every answer carries.
pub(crate) async fn surround(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let machines = FOR_MACHINES.contains(&path.as_str()) || path.starts_with("/notify/");
    let foreign = matches!(peer, Peer::Network(_)) && !machines && !app.is_for_us(request.headers());
    // SECURITY: what is before the gateway may have read another length than this one, and what follows may be somebody else's request:
    // nothing that follows is read (RFC 9112 6.1).
    let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let mut response = if chunked && request.headers().contains_key(header::CONTENT_LENGTH) {
        answer(StatusCode::BAD_REQUEST, "a request has one length")
    } else if announces_too_much(request.headers()) {
        // Not a byte of it is waited for.
        answer(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
    } else if foreign {
        let text = "the gateway is not known by that name; set listen.public_url to where it is reached";
        answer(StatusCode::MISDIRECTED_REQUEST, text)
    } else if request.headers().get_all(ORIGIN).iter().count() > 1 {
        answer(StatusCode::BAD_REQUEST, "a request has one origin")
    } else {
        match tokio::time::timeout(allowance(&path), next.run(request)).await {
            Ok(response) => response,
            Err(_) => answer(StatusCode::REQUEST_TIMEOUT, "that took too long"),
        }
    };
    tracing::debug!(?peer, path, status = response.status().as_u16(), "HTTP request");
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        // The console's pages say for themselves what a browser may do with them.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if chunked {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if app.is_secure() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

/// Whether a body is announced that is too large for every route; each has its own limit beside that.
fn announces_too_much(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.is_some_and(|length: u64| length > STATEMENT_BYTES_MAX as u64)
}

/// Returns how long a request may take.
fn allowance(path: &str) -> Duration {
    let asks_a_database = ["/count-rows", "/plan", "/explain", "/test"].iter().any(|end| path.ends_with(end));
    if asks_a_database { SLOW_REQUEST } else { REQUEST }
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn an_address_is_no_name_that_somebody_else_answers_for() {
        for host in ["127.0.0.1", "127.0.0.1:8432", "[::1]:8432", "localhost:1", "10.1.2.3:443", "LOCALHOST"]
        {
            assert!(is_address(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "x.localhost",
            "",
            "a b",
            "@",
            "[::1",
        ] {
            assert!(!is_address(host), "{host}");
        }
    }
}

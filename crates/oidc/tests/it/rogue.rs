//! Against a server that does what no issuer should.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use oidc::dev::{DevKey, Grant, mint};
use oidc::{BadIssuer, IssuerConfig, Issuers};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

use crate::clock::HandClock;
use crate::{AUDIENCE, assert_unknown_key, config, unavailable, verify};

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// What the server does with a request for one path.
#[derive(Clone)]
enum Answer {
    Json(Value),
    Raw(String),
    /// A body without end, with or without a length said first.
    Endless(Option<u64>),
    /// Headers, then a byte every 20 ms.
    Drip,
    Silence,
    Close,
    /// Waits until it may go on.
    Held(Arc<Semaphore>, Value),
}

struct Rogue {
    url: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
    arrived: Arc<Notify>,
    key: DevKey,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rogue {
    /// Starts a server that behaves, until it is told not to.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = DevKey::generate().unwrap();
        let answers = Arc::new(Mutex::new(HashMap::new()));
        let (requests, arrived) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let (a, r, n) = (Arc::clone(&answers), Arc::clone(&requests), Arc::clone(&arrived));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (a, r, n) = (Arc::clone(&a), Arc::clone(&r), Arc::clone(&n));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let Some(path) = read_request(&mut stream).await else { return };
                    r.lock().unwrap().push(path.clone());
                    n.notify_one();
                    let answer = a.lock().unwrap().get(&path).cloned();
                    // The client may hang up on it; that is what it is for.
                    let _ = send(stream.into_inner(), answer).await;
                });
            }
        });
        let rogue = Self { url, answers, requests, arrived, key, task };
        rogue.set(DISCOVERY, Answer::Json(rogue.discovery(&format!("{}/jwks", rogue.url))));
        rogue.set("/jwks", Answer::Json(rogue.key.key_set()));
        rogue
    }

    fn discovery(&self, jwks_uri: &str) -> Value {
        json!({"issuer": self.url, "jwks_uri": jwks_uri})
    }

    fn set(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    fn count(&self, path: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|it| *it == path).count()
    }

    /// Waits until a path has been asked for so many times.
    async fn asked(&self, path: &str, times: usize) {
        while self.count(path) < times {
            self.arrived.notified().await;
        }
    }

    fn token(&self) -> String {
        self.token_by(&self.key)
    }

    fn token_by(&self, key: &DevKey) -> String {
        mint(key, &self.url, &Grant::new("agent", AUDIENCE), SystemTime::now()).unwrap().expose().clone()
    }

    fn config(&self) -> IssuerConfig {
        let mut config = config("rogue", &self.url);
        config.fetch_timeout = Duration::from_millis(300);
        config.limits.bytes_max = 64 * 1024;
        config
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let mut line = String::from("x");
    while !line.trim().is_empty() {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
    }
    first.split(' ').nth(1).map(str::to_owned)
}

async fn send(mut stream: TcpStream, answer: Option<Answer>) -> std::io::Result<()> {
    let json = |value: &Value| {
        let body = value.to_string();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    match answer {
        None => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await,
        Some(Answer::Json(value)) => stream.write_all(json(&value).as_bytes()).await,
        Some(Answer::Raw(text)) => stream.write_all(text.as_bytes()).await,
        Some(Answer::Close) => Ok(()),
        Some(Answer::Silence) => std::future::pending().await,
        Some(Answer::Held(gate, value)) => {
            let _permit = gate.acquire().await;
            stream.write_all(json(&value).as_bytes()).await
        }
        Some(Answer::Endless(length)) => {
            let head =
                length.map_or("transfer-encoding: chunked".to_owned(), |it| format!("content-length: {it}"));
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()).await?;
            let spaces = " ".repeat(0x4000);
            loop {
                let chunk = if length.is_some() { spaces.clone() } else { format!("4000\r\n{spaces}\r\n") };
                stream.write_all(chunk.as_bytes()).await?;
            }
        }
        Some(Answer::Drip) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn redirect(to: &str) -> Answer {
    Answer::Raw(format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"))
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

#[tokio::test]
async fn a_misbehaving_issuer_is_unavailable_for_its_own_reason() {
    type Misbehave = fn(&Rogue);
    let cases: &[(&str, Misbehave, &str)] = &[
        ("not found", |r| r.answers.lock().unwrap().clear(), "Status"),
        (
            "error",
            |r| r.set("/jwks", Answer::Raw("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n".into())),
            "Status",
        ),
        (
            "created",
            |r| r.set(DISCOVERY, Answer::Raw("HTTP/1.1 201 X\r\ncontent-length: 2\r\n\r\n{}".into())),
            "Status",
        ),
        ("redirect", |r| r.set(DISCOVERY, redirect("/elsewhere")), "Redirect"),
        ("keys redirect", |r| r.set("/jwks", redirect("http://169.254.169.254/keys")), "Redirect"),
        ("silence", |r| r.set(DISCOVERY, Answer::Silence), "Timeout"),
        ("keys silent", |r| r.set("/jwks", Answer::Silence), "Timeout"),
        ("drip", |r| r.set("/jwks", Answer::Drip), "Timeout"),
        ("hang up", |r| r.set("/jwks", Answer::Close), "Http"),
        ("no http", |r| r.set(DISCOVERY, Answer::Raw("SSH-2.0-OpenSSH\r\n".into())), "Http"),
        ("endless", |r| r.set(DISCOVERY, Answer::Endless(None)), "TooLong"),
        ("keys endless", |r| r.set("/jwks", Answer::Endless(Some(1 << 40))), "TooLong"),
        (
            "too long",
            |r| r.set("/jwks", Answer::Json(json!({"keys": [], "x": "x".repeat(70_000)}))),
            "TooLong",
        ),
        (
            "html",
            |r| r.set(DISCOVERY, Answer::Raw("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>".into())),
            "Discovery",
        ),
        ("list", |r| r.set(DISCOVERY, Answer::Json(json!([]))), "Discovery"),
        ("no jwks_uri", |r| r.set(DISCOVERY, Answer::Json(json!({"issuer": r.url}))), "Discovery"),
        (
            "no issuer",
            |r| r.set(DISCOVERY, Answer::Json(json!({"jwks_uri": format!("{}/jwks", r.url)}))),
            "Discovery",
        ),
        (
            "another issuer",
            |r| {
                r.set(
                    DISCOVERY,
                    Answer::Json(
                        json!({"issuer": "https://evil.example", "jwks_uri": format!("{}/jwks", r.url)}),
                    ),
                );
            },
            "WrongIssuer",
        ),
        (
            "a slash more",
            |r| {
                r.set(
                    DISCOVERY,
                    Answer::Json(
                        json!({"issuer": format!("{}/", r.url), "jwks_uri": format!("{}/jwks", r.url)}),
                    ),
                );
            },
            "WrongIssuer",
        ),
        (
            "keys over plain http",
            |r| r.set(DISCOVERY, Answer::Json(r.discovery("http://idp.example.com/jwks"))),
            "JwksUri",
        ),
        ("keys in a file", |r| r.set(DISCOVERY, Answer::Json(r.discovery("file:///etc/passwd"))), "JwksUri"),
        (
            "keys inline",
            |r| r.set(DISCOVERY, Answer::Json(r.discovery("data:application/json,{}"))),
            "JwksUri",
        ),
        ("keys relative", |r| r.set(DISCOVERY, Answer::Json(r.discovery("/jwks"))), "JwksUri"),
        (
            "keys with a password",
            |r| r.set(DISCOVERY, Answer::Json(r.discovery("https://u:p@127.0.0.1/"))),
            "JwksUri",
        ),
        (
            "cloud metadata",
            |r| r.set(DISCOVERY, Answer::Json(r.discovery("https://169.254.169.254/"))),
            "JwksUri",
        ),
        (
            "metadata, mapped",
            |r| r.set(DISCOVERY, Answer::Json(r.discovery("https://[::ffff:a9fe:a9fe]/"))),
            "JwksUri",
        ),
        (
            "metadata, decimal",
            |r| r.set(DISCOVERY, Answer::Json(r.discovery("https://2852039166/"))),
            "JwksUri",
        ),
        ("no address", |r| r.set(DISCOVERY, Answer::Json(r.discovery("https://0.0.0.0/"))), "JwksUri"),
        ("keys no set", |r| r.set("/jwks", Answer::Json(json!({"error": "x"}))), "KeySet"),
        (
            "keys twice",
            |r| {
                let body = r#"{"keys":[],"keys":[]}"#;
                r.set(
                    "/jwks",
                    Answer::Raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())),
                );
            },
            "KeySet",
        ),
    ];
    for (what, misbehave, expected) in cases {
        let rogue = Rogue::start().await;
        misbehave(&rogue);
        let issuers = Issuers::new(vec![rogue.config()]).unwrap();
        let result = within(what, verify(&issuers, &rogue.token())).await;
        assert_eq!(unavailable(result), *expected, "{what}");
        assert_eq!(rogue.count("/elsewhere"), 0, "{what}: a redirect was followed");
    }
}

#[tokio::test]
async fn a_misbehaving_refresh_leaves_the_known_keys_in_use() {
    let clock = HandClock::new();
    let rogue = Rogue::start().await;
    let issuers = Issuers::with_clock(vec![rogue.config()], clock.as_clock()).unwrap();
    let token = rogue.token();
    verify(&issuers, &token).await.unwrap();
    for answer in [
        Answer::Close,
        Answer::Endless(None),
        Answer::Raw("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{".into()),
    ] {
        rogue.set("/jwks", answer);
        clock.advance(IssuerConfig::REFRESH_FLOOR);
        // An unknown kid, to wait for the refresh.
        let other = DevKey::generate().unwrap();
        unavailable(within("refresh", verify(&issuers, &rogue.token_by(&other))).await);
        verify(&issuers, &token).await.unwrap();
    }
}

#[tokio::test]
async fn an_issuer_that_withdraws_all_keys_is_taken_at_its_word() {
    let clock = HandClock::new();
    let rogue = Rogue::start().await;
    let issuers = Issuers::with_clock(vec![rogue.config()], clock.as_clock()).unwrap();
    verify(&issuers, &rogue.token()).await.unwrap();
    rogue.set("/jwks", Answer::Json(json!({"keys": []})));
    clock.advance(IssuerConfig::REFRESH_FLOOR);
    let other = DevKey::generate().unwrap();
    assert_unknown_key(verify(&issuers, &rogue.token_by(&other)).await);
    assert_unknown_key(verify(&issuers, &rogue.token()).await);
}

#[tokio::test]
async fn a_known_key_waits_for_no_fetch_and_an_unknown_one_for_the_fetch_under_way() {
    let clock = HandClock::new();
    let rogue = Rogue::start().await;
    let mut config = rogue.config();
    config.fetch_timeout = Duration::from_secs(60);
    let issuers = Issuers::with_clock(vec![config], clock.as_clock()).unwrap();
    let token = rogue.token();
    verify(&issuers, &token).await.unwrap();

    let new = DevKey::generate().unwrap();
    let both = json!({"keys": [rogue.key.key_set()["keys"][0], new.key_set()["keys"][0]]});
    let gate = Arc::new(Semaphore::new(0));
    rogue.set("/jwks", Answer::Held(Arc::clone(&gate), both));
    clock.advance(IssuerConfig::KEYS_AGE);
    // Begins the refresh by age, and does not wait for it.
    within("a known key", verify(&issuers, &token)).await.unwrap();
    within("the refresh", rogue.asked("/jwks", 2)).await;

    let waiters: Vec<_> = (0..20)
        .map(|_| {
            let (issuers, token) = (issuers.clone(), rogue.token_by(&new));
            tokio::spawn(async move { verify(&issuers, &token).await.map(|_| ()) })
        })
        .collect();
    // One that gives up takes nobody with it.
    waiters[0].abort();
    for _ in 0..20 {
        within("a known key", verify(&issuers, &token)).await.unwrap();
    }
    assert!(waiters.iter().skip(1).all(|it| !it.is_finished()));
    gate.add_permits(1);
    for waiter in waiters.into_iter().skip(1) {
        within("a waiter", waiter).await.unwrap().unwrap();
    }
    assert_eq!(rogue.count("/jwks"), 2);
    assert_eq!(rogue.count(DISCOVERY), 2);
}

#[tokio::test]
async fn keys_are_refreshed_by_age_in_the_background() {
    let clock = HandClock::new();
    let rogue = Rogue::start().await;
    let issuers = Issuers::with_clock(vec![rogue.config()], clock.as_clock()).unwrap();
    let token = rogue.token();
    verify(&issuers, &token).await.unwrap();
    clock.advance(IssuerConfig::KEYS_AGE - Duration::from_secs(1));
    verify(&issuers, &token).await.unwrap();
    assert_eq!(rogue.count("/jwks"), 1);

    let gate = Arc::new(Semaphore::new(0));
    rogue.set("/jwks", Answer::Held(Arc::clone(&gate), json!({"keys": []})));
    clock.advance(Duration::from_secs(1));
    verify(&issuers, &token).await.unwrap();
    within("the refresh", rogue.asked("/jwks", 2)).await;
    gate.add_permits(1);
    // Waits for the flight, as an unknown kid does; then the withdrawn key is refused.
    let other = DevKey::generate().unwrap();
    assert_unknown_key(within("a waiter", verify(&issuers, &rogue.token_by(&other))).await);
    assert_unknown_key(verify(&issuers, &token).await);
    assert_eq!(rogue.count("/jwks"), 2);
}

#[tokio::test]
async fn an_issuer_that_comes_up_late_is_tried_again_soon_but_not_at_once() {
    let clock = HandClock::new();
    let rogue = Rogue::start().await;
    rogue.set(DISCOVERY, Answer::Close);
    let issuers = Issuers::with_clock(vec![rogue.config()], clock.as_clock()).unwrap();
    for _ in 0..50 {
        assert_eq!(unavailable(verify(&issuers, &rogue.token()).await), "Http");
    }
    assert_eq!(rogue.count(DISCOVERY), 1);
    rogue.set(DISCOVERY, Answer::Json(rogue.discovery(&format!("{}/jwks", rogue.url))));
    clock.advance(Duration::from_millis(999));
    unavailable(verify(&issuers, &rogue.token()).await);
    clock.advance(Duration::from_millis(1));
    verify(&issuers, &rogue.token()).await.unwrap();
}

#[tokio::test]
async fn another_issuers_token_never_makes_this_one_fetch() {
    let rogue = Rogue::start().await;
    let issuers = Issuers::new(vec![rogue.config()]).unwrap();
    let foreign =
        mint(&rogue.key, "https://evil.example", &Grant::new("agent", AUDIENCE), SystemTime::now()).unwrap();
    assert_eq!(crate::rejection(verify(&issuers, foreign.expose()).await), "UnknownIssuer");
    assert_eq!(rogue.count(DISCOVERY), 0);
}

#[test]
fn an_issuer_url_that_can_not_be_trusted_is_an_error() {
    let urls = [
        "http://idp.example.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "http://[::2]",
        "ftp://localhost",
        "https://user@idp.example.com",
        "https://idp.example.com?x=1",
        "https://idp.example.com#x",
        "idp.example.com",
        "",
        "https://169.254.169.254",
        "file:///etc",
    ];
    for url in urls {
        let result = Issuers::new(vec![config("corp", url)]);
        assert!(matches!(result, Err(BadIssuer::Url { .. })), "{url}: {result:?}");
    }
    for url in
        ["http://127.0.0.1:1", "http://[::1]:1/x", "http://localhost:1", "https://idp.example.com/tenant/"]
    {
        let issuers = Issuers::new(vec![config("corp", url)]).unwrap();
        let expected = format!("{}/.well-known/openid-configuration", url.trim_end_matches('/'));
        assert_eq!(issuers.get("corp").unwrap().discovery_url(), expected);
    }
    let twice = vec![config("a", "https://idp.example.com"), config("b", "https://idp.example.com")];
    assert!(matches!(Issuers::new(twice), Err(BadIssuer::Twice { .. })));
    let twice = vec![config("a", "https://idp.example.com"), config("a", "https://other.example.com")];
    assert!(matches!(Issuers::new(twice), Err(BadIssuer::Twice { .. })));
}

//! How long a browser's login counts, and for whom: time passes by what the store says of when it was; nobody waits.

use std::fs;
use std::path::Path;
use std::time::Duration;

use approval::Stamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::{BrowserSession, Location, Store};

use crate::http::request;
use crate::signer::{Signer, now};
use crate::stage::Gate;
use crate::visitor::{ORIGIN, ask, begin, change, claims, come_back, cookie, header, http, log_in, start};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The store of a running gateway, and the digest of a cookie in it.
struct Kept<'a> {
    gate: &'a Gate,
    digest: String,
}

impl<'a> Kept<'a> {
    fn new(gate: &'a Gate, session: &str) -> Self {
        let (_, id) = session.split_once('=').unwrap();
        Self { gate, digest: hex(&Sha256::digest(id)) }
    }

    fn with<T>(&self, act: impl AsyncFnOnce(&Store) -> T) -> T {
        let file = self.gate.gateway.home().join("data/state/store.db");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = Store::open(Location::Sqlite(file)).await.unwrap();
            act(&store).await
        })
    }

    fn get(&self) -> Option<(BrowserSession, Value)> {
        let found = self.with(async |store| store.browser_session(&self.digest, Stamp(0)).await.unwrap());
        found.map(|it| (it.clone(), serde_json::from_str(&it.document).unwrap()))
    }

    fn put(&self, mut session: BrowserSession, document: &Value) {
        session.document = document.to_string();
        assert!(self.with(async |store| store.replace_browser_session(&session).await.unwrap()));
    }

    /// Has everything been so much earlier.
    fn pass(&self, time: Duration, members: &[&str], expires: bool) {
        let (mut session, mut document) = self.get().expect("a login");
        let earlier = |stamp: u64| stamp - u64::try_from(time.as_millis()).unwrap();
        for member in members {
            document[*member] = earlier(document[*member].as_u64().unwrap()).into();
        }
        if expires {
            session.expires = Stamp(earlier(session.expires.0));
        }
        self.put(session, &document);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn status(gate: &Gate, session: &str) -> u16 {
    ask(gate, "GET /api/v1/me", session).status
}

const ALL: [&str; 3] = ["opened", "seen", "ends"];

#[test]
fn a_login_ends_when_nothing_is_done_with_it_and_at_the_latest_after_its_time() {
    let signer = Signer::start();
    let gate = start(&signer);
    let fresh = || log_in(&gate, &signer, "vera", &["lookers"]);

    // Idle for an hour is over; for less it is not, and then the hour begins anew.
    let session = fresh();
    let kept = Kept::new(&gate, &session);
    let before = kept.get().unwrap().0.expires;
    kept.pass(59 * MINUTE, &ALL, true);
    assert_eq!(status(&gate, &session), 200);
    let (after, document) = kept.get().unwrap();
    assert!(after.expires >= before, "{after:?} {before:?}");
    assert!(document["seen"].as_u64() > document["opened"].as_u64(), "{document}");
    kept.pass(59 * MINUTE, &ALL, true);
    assert_eq!(status(&gate, &session), 200);
    kept.pass(61 * MINUTE, &ALL, true);
    assert_eq!(status(&gate, &session), 401, "idle");
    assert_eq!(status(&gate, &session), 401);

    // The store isn't trusted to say when: a shorter time in the configuration holds at once.
    let session = fresh();
    let kept = Kept::new(&gate, &session);
    kept.pass(61 * MINUTE, &["seen"], false);
    assert_eq!(status(&gate, &session), 401);
    assert!(kept.get().is_none(), "it is gone");

    // Whoever never rests is asked again after eight hours, and not before.
    let session = fresh();
    let kept = Kept::new(&gate, &session);
    kept.pass(8 * HOUR - MINUTE, &["opened", "ends"], false);
    let me = ask(&gate, "GET /api/v1/me", &session).json();
    assert!(
        me["expires_at"].as_str() < me["idle_expires_at"].as_str()
            || me["expires_at"] == me["idle_expires_at"],
        "{me:#}"
    );
    kept.pass(2 * MINUTE, &["opened", "ends"], false);
    assert_eq!(status(&gate, &session), 401, "over");
    // Nor does it help that the end was written later.
    let session = fresh();
    let kept = Kept::new(&gate, &session);
    kept.pass(8 * HOUR + MINUTE, &["opened"], false);
    assert_eq!(status(&gate, &session), 401);
}

#[test]
fn an_issuer_ends_all_logins_of_somebody_or_one() {
    let signer = Signer::start();
    let gate = start(&signer);
    let end = |id: &str, whose: Value| {
        let mut claims = json!({ "aud": "gatepost", "exp": now() + 60, "jti": id, "events": { "http://schemas.openid.net/event/backchannel-logout": {} } });
        claims.as_object_mut().unwrap().extend(whose.as_object().unwrap().clone());
        let token = signer.sign(json!({ "typ": "logout+jwt" }), claims, "own");
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let told = request(http(&gate), "POST /backchannel-logout", &form, &format!("logout_token={token}"));
        assert_eq!(told.status, 200, "{}", told.body);
    };
    let (first, second) =
        (log_in(&gate, &signer, "vera", &["lookers"]), log_in(&gate, &signer, "vera", &["lookers"]));
    let other = log_in(&gate, &signer, "dora", &["dba"]);
    end("l-1", json!({ "sub": "vera" }));
    assert_eq!([&first, &second, &other].map(|it| status(&gate, it)), [401, 401, 200]);
    end("l-2", json!({ "sid": "sid-dora" }));
    assert_eq!(status(&gate, &other), 401);
    let by: Vec<_> = gate.events("logged_out", 2).iter().map(|it| it["logins"].clone()).collect();
    assert_eq!(by.iter().map(|it| it.as_u64().unwrap()).sum::<u64>(), 3, "{by:?}");
}

#[test]
fn a_cookie_that_somebody_knew_before_is_nobody_s_login_afterwards() {
    let signer = Signer::start();
    let gate = start(&signer);
    let chosen = format!("gatepost={}", "a".repeat(64));
    let again = |earlier: &str| {
        let begun = begin(&gate, "/");
        let token = signer.sign(json!({}), claims(&begun, "vera", &["lookers"], json!({})), "own");
        signer.answer(json!({ "id_token": token }));
        let line = format!("GET /login/callback?code=c&state={}&iss={}", begun.query["state"], signer.issuer);
        let cookies = format!("{}; {earlier}", begun.cookie);
        let answer = request(http(&gate), &line, &[("Cookie", &cookies)], "");
        assert_eq!(header(&answer, "location"), Some("/"), "{}", answer.head);
        cookie(&answer, "gatepost").unwrap()
    };
    // Planted before the login (fixation): it stays worth nothing.
    let session = again(&chosen);
    assert_ne!(session, chosen);
    assert_eq!((status(&gate, &chosen), status(&gate, &session)), (401, 200));
    // A login that was there before is over with the next one.
    let next = again(&session);
    assert_ne!(next, session);
    assert_eq!((status(&gate, &session), status(&gate, &next)), (401, 200));

    // Copied, and used after its owner has logged out: for reading, for acting, for logging out again.
    let csrf = ask(&gate, "GET /api/v1/me", &next).json()["csrf"].as_str().unwrap().to_owned();
    let other = log_in(&gate, &signer, "dora", &["dba"]);
    let kill = "POST /api/v1/sessions/kill";
    let body = json!({ "kind": "identity", "value": "corp:nobody-there" });
    assert_eq!(change(&gate, kill, &other, &csrf, ORIGIN, &body).status, 403, "another login's token");
    assert_eq!(change(&gate, "POST /logout", &next, &csrf, ORIGIN, &json!({})).status, 200);
    assert_eq!(status(&gate, &next), 401);
    assert_eq!(ask(&gate, "GET /api/v1/events", &next).status, 401);
    assert_eq!(change(&gate, kill, &next, &csrf, ORIGIN, &body).status, 401);
    let out = change(&gate, "POST /logout", &next, &csrf, ORIGIN, &json!({}));
    assert_eq!((out.status, &out.json()["logged_out"]), (200, &json!(false)));
    // What the gateway keeps of it can't be shown in its place.
    let digest = Kept::new(&gate, &other).digest;
    assert_eq!(status(&gate, &format!("gatepost={digest}")), 401);
    let (_, id) = other.split_once('=').unwrap();
    assert!(!holds(gate.gateway.home(), id.as_bytes()), "the cookie is on disk");
}

/// Whether a file below a folder has these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().map(Result::unwrap).any(|entry| {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            return holds(&entry.path(), bytes);
        }
        kind.is_file()
            && fs::read(entry.path()).is_ok_and(|text| text.windows(bytes.len()).any(|it| it == bytes))
    })
}

#[test]
fn neither_state_nor_nonce_serves_twice() {
    let signer = Signer::start();
    let gate = start(&signer);
    let begun = begin(&gate, "/");
    let token = signer.sign(json!({}), claims(&begun, "vera", &["lookers"], json!({})), "own");
    signer.answer(json!({ "id_token": token }));
    let good = come_back(&gate, &signer, &begun, &begun.query["state"]);
    assert_eq!(header(&good, "location"), Some("/"));
    // The same answer again, from the same browser, though the issuer would give the same token again.
    let replayed = come_back(&gate, &signer, &begun, &begun.query["state"]);
    assert_eq!(
        (header(&replayed, "location"), cookie(&replayed, "gatepost")),
        (Some("/?login=expired"), None)
    );
    // An ID token of one login in another (its nonce is not that one's).
    let other = begin(&gate, "/");
    signer.answer(json!({ "id_token": token }));
    let replayed = come_back(&gate, &signer, &other, &other.query["state"]);
    assert_eq!(
        (header(&replayed, "location"), cookie(&replayed, "gatepost")),
        (Some("/?login=failed"), None)
    );
    // That other one is spent by it.
    let token = signer.sign(json!({}), claims(&other, "vera", &["lookers"], json!({})), "own");
    signer.answer(json!({ "id_token": token }));
    let late = come_back(&gate, &signer, &other, &other.query["state"]);
    assert_eq!(header(&late, "location"), Some("/?login=expired"));
    assert_eq!(gate.events("logged_in", 1).len(), 1);
}

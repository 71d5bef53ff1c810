//! The development issuer, as any other issuer is used.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use oidc::Issuers;
use oidc::dev::{DevIssuer, DevIssuerError, DevKey, DevKeyError, DevSettings, Grant, mint};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{AUDIENCE, config, verify};

fn settings() -> DevSettings {
    DevSettings {
        audience: AUDIENCE.to_owned(),
        lifetime: Duration::from_secs(60),
        groups: BTreeMap::from([("ci".to_owned(), vec!["builders".to_owned()])]),
    }
}

/// Runs an issuer until the sender is dropped.
async fn start(key: DevKey) -> (String, oneshot::Sender<()>) {
    let issuer = DevIssuer::bind("127.0.0.1:0".parse().unwrap(), key, settings()).await.unwrap();
    let url = issuer.url().to_owned();
    assert!(issuer.banner().contains("DEVELOPMENT") && issuer.banner().contains(&url));
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(issuer.run(async move { drop(stopped.await) }));
    (url, stop)
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

async fn ask(request: RequestBuilder, form: &[(&str, &str)]) -> (StatusCode, Value) {
    let answer = request.form(form).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn it_gives_tokens_that_verify() {
    let (url, _stop) = start(DevKey::generate().unwrap()).await;
    assert!(url.ends_with("/dev"));
    let issuers = Issuers::new(vec![config("dev", &url)]).unwrap();
    let post = || client().post(format!("{url}/token"));
    let credentials = ("grant_type", "client_credentials");
    type Case<'a> = (RequestBuilder, Vec<(&'a str, &'a str)>, &'a str, &'a [&'a str]);
    let cases: [Case<'_>; 4] = [
        (
            post(),
            vec![credentials, ("sub", "alice"), ("groups", "a, b"), ("groups", "c")],
            "alice",
            &["a", "b", "c"],
        ),
        (post(), vec![credentials, ("client_id", "ci")], "ci", &["builders"]),
        (post().basic_auth("c%20i", Some("x")), vec![credentials], "c i", &[]),
        (post(), vec![credentials, ("sub", "bob"), ("client_id", "ci"), ("audience", AUDIENCE)], "bob", &[]),
    ];
    for (request, form, subject, groups) in cases {
        let (status, answer) = ask(request, &form).await;
        assert_eq!(
            (status, &answer["token_type"], &answer["expires_in"]),
            (StatusCode::OK, &json!("Bearer"), &json!(60))
        );
        let verified = verify(&issuers, answer["access_token"].as_str().unwrap()).await.unwrap();
        assert_eq!(verified.identity().subject, subject);
        assert_eq!(verified.identity().groups.iter().collect::<Vec<_>>(), groups);
    }
    for form in [
        vec![],
        vec![("grant_type", "password")],
        vec![credentials],
        vec![credentials, ("sub", "")],
        vec![credentials, ("sub", "a"), ("lifetime", "0")],
        vec![credentials, ("sub", "a"), ("lifetime", "86401")],
        vec![credentials, ("sub", "a"), ("lifetime", "x")],
    ] {
        let (status, answer) = ask(post(), &form).await;
        assert!(status == StatusCode::BAD_REQUEST && answer["error"].is_string(), "{form:?}: {answer}");
    }
}

#[tokio::test]
async fn its_device_flow_is_the_one_that_libpq_follows() {
    let (url, _stop) = start(DevKey::generate().unwrap()).await;
    let discovery: Value = client()
        .get(format!("{url}/.well-known/openid-configuration"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    // libpq (fe-auth-oauth-curl.c, check_for_device_flow) asks for these two.
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    assert!(discovery["grant_types_supported"].as_array().unwrap().contains(&json!(grant)));
    let endpoint = discovery["device_authorization_endpoint"].as_str().unwrap();
    let (status, device) = ask(client().post(endpoint), &[("client_id", "ci"), ("scope", "openid")]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(device["verification_uri"].is_string() && device["user_code"].is_string());
    let code = device["device_code"].as_str().unwrap();
    let token_endpoint = discovery["token_endpoint"].as_str().unwrap();
    let form = [("grant_type", grant), ("device_code", code), ("client_id", "ci")];
    let (status, answer) = ask(client().post(token_endpoint), &form).await;
    assert_eq!(status, StatusCode::OK);
    let issuers = Issuers::new(vec![config("dev", &url)]).unwrap();
    let verified = verify(&issuers, answer["access_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(verified.identity().to_string(), "dev:ci");
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let result = DevIssuer::bind(address.parse().unwrap(), DevKey::generate().unwrap(), settings()).await;
        assert!(matches!(result, Err(DevIssuerError::NotLoopback(_))), "{address}");
    }
}

#[tokio::test]
async fn a_page_in_a_browser_gets_no_token() {
    let (url, _stop) = start(DevKey::generate().unwrap()).await;
    let form = [("grant_type", "client_credentials"), ("sub", "root")];
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("host", "evil.example"),
        ("host", "127.0.0.1.evil.example:80"),
    ] {
        let answer =
            client().post(format!("{url}/token")).header(name, value).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}: {value}");
        assert!(!answer.text().await.unwrap().contains("access_token"));
    }
}

#[tokio::test]
async fn another_process_signs_with_the_same_key_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let (url, _stop) = start(DevKey::open_or_create(&path).unwrap()).await;
    let key = DevKey::open(&path).unwrap();
    let mut grant = Grant::new("agent", AUDIENCE);
    grant.groups = vec!["admins".to_owned()];
    grant.name = Some("An Agent".to_owned());
    grant.further.insert("iss".to_owned(), json!("https://evil.example"));
    let token = mint(&key, &url, &grant, SystemTime::now()).unwrap();
    let issuers = Issuers::new(vec![config("dev", &url)]).unwrap();
    let verified = verify(&issuers, token.expose()).await.unwrap();
    assert_eq!(verified.identity().name.as_deref(), Some("An Agent"));
    assert!(verified.identity().groups.contains("admins"));
    // Each token has an id of its own.
    let again = mint(&key, &url, &grant, SystemTime::now()).unwrap();
    let again = verify(&issuers, again.expose()).await.unwrap();
    assert_ne!(again.identity().token_id, verified.identity().token_id);
}

#[test]
fn a_key_file_is_private_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys");
    let id = DevKey::open_or_create(&keys).unwrap().id().to_owned();
    assert_eq!(DevKey::open_or_create(&keys).unwrap().id(), id);
    let entries: Vec<_> = std::fs::read_dir(&keys).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&keys), mode(&entries[0])), (0o700, 0o600));

    std::fs::set_permissions(&entries[0], std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(DevKey::open_or_create(&keys), Err(DevKeyError::Mode { mode: 0o640, .. })));
    std::fs::write(&entries[0], "-----BEGIN nonsense").unwrap();
    std::fs::set_permissions(&entries[0], std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(DevKey::open_or_create(&keys), Err(DevKeyError::Pem { .. })));
    std::fs::remove_file(&entries[0]).unwrap();
    std::os::unix::fs::symlink("/dev/null", &entries[0]).unwrap();
    assert!(matches!(DevKey::open_or_create(&keys), Err(DevKeyError::NotAFile { .. })));
    assert!(matches!(DevKey::open(&directory.path().join("none")), Err(DevKeyError::File { .. })));
}

#[test]
fn openers_at_once_get_one_key() {
    let directory = tempfile::tempdir().unwrap();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let path = directory.path().join("keys");
            std::thread::spawn(move || DevKey::open_or_create(&path).map(|key| key.id().to_owned()))
        })
        .collect();
    let ids: Vec<_> = threads.into_iter().map(|it| it.join().unwrap().unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

/// What a browser goes through, with what was typed; returns where it is sent.
async fn log_in(url: &str, request: &[(&str, &str)], typed: &[(&str, &str)]) -> (StatusCode, String) {
    let browser = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = browser
        .get(url::Url::parse_with_params(&format!("{url}/authorize"), request).unwrap())
        .send()
        .await
        .unwrap();
    if page.status() != StatusCode::OK {
        return (page.status(), page.text().await.unwrap());
    }
    assert_eq!(page.headers()["x-frame-options"], "DENY");
    let page = page.text().await.unwrap();
    assert!(page.contains("name=\"sub\"") && !page.contains("<script"), "{page}");
    let form: Vec<_> = request.iter().chain(typed).collect();
    let sent = browser.post(format!("{url}/authorize")).form(&form).send().await.unwrap();
    let to = sent.headers().get("location").map(|it| it.to_str().unwrap().to_owned());
    (sent.status(), to.unwrap_or_default())
}

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://127.0.0.1:8432/login/callback";

fn request<'a>() -> Vec<(&'a str, &'a str)> {
    vec![
        ("response_type", "code"),
        ("client_id", "gatepost-console"),
        ("redirect_uri", BACK),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "x&y"),
        ("nonce", "n-1"),
    ]
}

#[tokio::test]
async fn a_person_logs_in_by_its_page_and_a_code_counts_once() {
    let (url, _stop) = start(DevKey::generate().unwrap()).await;
    let (status, to) = log_in(&url, &request(), &[("sub", "grace"), ("groups", "support-leads")]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let to = url::Url::parse(&to).unwrap();
    assert!(to.as_str().starts_with(BACK));
    let query: BTreeMap<_, _> = to.query_pairs().into_owned().collect();
    assert_eq!((&*query["state"], &*query["iss"]), ("x&y", &*url));
    let exchange = |verifier: &'static str, client_id: &'static str| {
        let code = query["code"].clone();
        let token = format!("{url}/token");
        async move {
            let form = [
                ("grant_type", "authorization_code"),
                ("code", &*code),
                ("redirect_uri", BACK),
                ("client_id", client_id),
                ("code_verifier", verifier),
            ];
            ask(client().post(token), &form).await
        }
    };
    let (status, answer) = exchange(VERIFIER, "gatepost-console").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let issuers = Issuers::new(vec![config("dev", &url)]).unwrap();
    let verified = verify(&issuers, answer["access_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(verified.identity().to_string(), "dev:grace");
    let payload = answer["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let id = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).unwrap();
    let id: Value = serde_json::from_slice(&id).unwrap();
    assert_eq!(
        (&id["nonce"], &id["aud"], &id["groups"], &id["sub"]),
        (&json!("n-1"), &json!(["gatepost-console"]), &json!(["support-leads"]), &json!("grace"))
    );
    let (status, answer) = exchange(VERIFIER, "gatepost-console").await;
    assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    for (verifier, client_id) in [("another", "gatepost-console"), (VERIFIER, "another")] {
        let (_, to) = log_in(&url, &request(), &[("sub", "grace")]).await;
        let code = url::Url::parse(&to)
            .unwrap()
            .query_pairs()
            .find(|(name, _)| name == "code")
            .unwrap()
            .1
            .into_owned();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", BACK),
            ("client_id", client_id),
            ("code_verifier", verifier),
        ];
        let (status, answer) = ask(client().post(format!("{url}/token")), &form).await;
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    }
}

#[tokio::test]
async fn no_page_elsewhere_logs_in_or_gets_a_code() {
    let (url, _stop) = start(DevKey::generate().unwrap()).await;
    for (name, value) in [
        ("redirect_uri", "https://example.com/"),
        ("redirect_uri", "http://127.0.0.1.example.com/"),
        ("redirect_uri", "http://127.0.0.1@example.com/"),
        ("redirect_uri", "javascript:alert(1)//127.0.0.1"),
        ("response_type", "token"),
        ("code_challenge", ""),
        ("code_challenge_method", "plain"),
    ] {
        let request: Vec<_> =
            request().into_iter().map(|(n, v)| if n == name { (n, value) } else { (n, v) }).collect();
        let (status, to) = log_in(&url, &request, &[("sub", "grace")]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name}={value}: {to}");
    }
    let form: Vec<_> = request().into_iter().chain([("sub", "grace")]).collect();
    let authorize = format!("{url}/authorize");
    let posted = |name: &'static str, value: &'static str| {
        client().post(&authorize).header(name, value).form(&form).send()
    };
    for (name, value) in [("origin", "http://127.0.0.1:1"), ("origin", "null"), ("host", "example.com")] {
        assert_eq!(posted(name, value).await.unwrap().status(), StatusCode::FORBIDDEN, "{name}: {value}");
    }
    let markup: Vec<_> =
        request().into_iter().map(|(n, v)| if n == "state" { (n, "\"><b>") } else { (n, v) }).collect();
    let page = client()
        .get(url::Url::parse_with_params(&authorize, &markup).unwrap())
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains("&quot;&gt;&lt;b&gt;") && !page.contains("<b>"), "{page}");
}

//! Somebody at a browser, by hand: goes to the issuer and comes back, keeps cookies, and sends what a test wants sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testkit::postgres::Version;

use crate::http::{Answer, request};
use crate::signer::{Signer, now};
use crate::stage::{Gate, Setup, Shop, provider};

pub(crate) const ORIGIN: &str = "http://localhost:9";

pub(crate) fn start(signer: &Signer) -> Gate {
    let issuers = vec![("corp".into(), provider().issuer()), ("idp".into(), signer.issuer.clone())];
    let listen_keys = format!("http = \"127.0.0.1:0\"\npublic_url = \"{ORIGIN}\"");
    let sections = "[operators]\noperator = [\"corp:dba\", \"idp:dba\"]\nviewer = [\"corp:analysts\", \"idp:lookers\"]\napprover = \"idp:leads\"\nauditor = \"idp:auditors\"\n\
                    [console]\nissuer = \"idp\"\nclient_id = \"gatepost-console\"\n";
    Setup { issuers, tls: false, listen_keys, sections: sections.into(), ..Setup::default() }
        .start(Shop::new(Version::V15))
}

pub(crate) fn http(gate: &Gate) -> SocketAddr {
    gate.gateway.address("http").unwrap()
}

/// A browser's way to the issuer.
pub(crate) struct Begun {
    pub(crate) cookie: String,
    pub(crate) query: BTreeMap<String, String>,
}

pub(crate) fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let start = format!("{name}: ");
    answer.head.lines().find_map(|line| line.strip_prefix(start.as_str()))
}

pub(crate) fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let start = format!("set-cookie: {name}=");
    let line = answer.head.lines().find_map(|line| line.strip_prefix(start.as_str()))?;
    let value = line.split(';').next().unwrap();
    (!value.is_empty()).then(|| format!("{name}={value}"))
}

pub(crate) fn begin(gate: &Gate, to: &str) -> Begun {
    let answer = request(http(gate), &format!("GET /login?to={to}"), &[], "");
    assert_eq!(answer.status, 303, "{}", answer.body);
    let location = header(&answer, "location").unwrap();
    let (_, query) = location.split_once('?').unwrap();
    let decode = |text: &str| text.replace("%3a", ":").replace("%2f", "/").replace('+', " ");
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
    let query = pairs.map(|(name, value)| (name.to_owned(), decode(value))).collect();
    Begun { cookie: cookie(&answer, "gatepost-login").unwrap(), query }
}

pub(crate) fn claims(begun: &Begun, subject: &str, groups: &[&str], changes: Value) -> Value {
    let mut claims = json!({
        "aud": "gatepost-console", "sub": subject, "groups": groups, "exp": now() + 300, "nonce": begun.query["nonce"],
        "email": "a@example.com", "sid": format!("sid-{subject}"),
    });
    for (name, value) in changes.as_object().cloned().unwrap_or_default() {
        claims[name.as_str()] = value;
    }
    claims
}

pub(crate) fn come_back(gate: &Gate, signer: &Signer, begun: &Begun, state: &str) -> Answer {
    let line = format!("GET /login/callback?code=c-1&state={state}&iss={}", signer.issuer);
    request(http(gate), &line, &[("Cookie", &begun.cookie)], "")
}

/// Logs in, and returns the cookie.
pub(crate) fn log_in(gate: &Gate, signer: &Signer, subject: &str, groups: &[&str]) -> String {
    let begun = begin(gate, "/approvals/7");
    let id_token = signer.sign(json!({}), claims(&begun, subject, groups, json!({})), "own");
    signer.answer(json!({ "id_token": id_token, "token_type": "Bearer" }));
    let answer = come_back(gate, signer, &begun, &begun.query["state"]);
    assert_eq!((answer.status, header(&answer, "location")), (303, Some("/approvals/7")), "{}", answer.head);
    let form = signer.answer(json!({}));
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_str().unwrap()));
    assert_eq!(
        challenge.to_ascii_lowercase(),
        begun.query["code_challenge"],
        "PKCE (heads are read in lower case)"
    );
    assert_eq!(form["redirect_uri"], format!("{ORIGIN}/login/callback"));
    cookie(&answer, "gatepost").unwrap()
}

pub(crate) fn ask(gate: &Gate, line: &str, cookie: &str) -> Answer {
    request(http(gate), line, &[("Cookie", cookie)], "")
}

pub(crate) fn change(
    gate: &Gate,
    line: &str,
    cookie: &str,
    csrf: &str,
    origin: &str,
    body: &Value,
) -> Answer {
    let headers = [
        ("Cookie", cookie),
        ("X-CSRF-Token", csrf),
        ("Origin", origin),
        ("Content-Type", "application/json"),
    ];
    request(http(gate), line, &headers, &body.to_string())
}

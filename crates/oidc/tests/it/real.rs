//! Against the certified provider: what it signs is believed, and nothing else; its keys come and go.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oidc::{IssuerConfig, Issuers};
use serde_json::{Value, json};
use testkit::oidc::Provider;

use crate::clock::HandClock;
use crate::{assert_unknown_key, config, rejection, unavailable, verify};

const ES256: &str = "https://gatepost.test/es256";
const RS256: &str = "https://gatepost.test/rs256";

fn with_clock(configs: Vec<IssuerConfig>) -> (Issuers, HandClock) {
    let clock = HandClock::new();
    (Issuers::with_clock(configs, clock.as_clock()).unwrap(), clock)
}

/// Rewrites the header of a token, keeping payload and signature.
fn with_header(token: &str, change: impl FnOnce(&mut Value)) -> String {
    let (header, rest) = token.split_once('.').unwrap();
    let mut header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    change(&mut header);
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

/// Rewrites the payload of a token, keeping header and signature.
fn with_claim(token: &str, claim: &str, value: Value) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let mut payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    payload[claim] = value;
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(payload.to_string()), parts[2])
}

#[tokio::test]
async fn its_es256_and_rs256_tokens_are_believed_with_their_groups() {
    let provider = Provider::start();
    let issuers = Issuers::new(vec![config("corp", &provider.issuer())]).unwrap();
    for resource in [ES256, RS256] {
        let verified = verify(&issuers, &provider.token_for("analyst", resource)).await.unwrap();
        assert_eq!(verified.identity().to_string(), "corp:analyst");
        assert_eq!(verified.identity().groups.iter().collect::<Vec<_>>(), ["analysts", "readers"]);
        assert!(verified.identity().token_id.is_some());
    }
    let checkup = issuers.get("corp").unwrap().check().await.unwrap();
    assert_eq!(checkup.keys, [Some("es256-1".to_owned()), Some("rs256-1".to_owned())]);
    assert_eq!(checkup.jwks_uri, format!("{}/jwks", provider.issuer()));
}

#[tokio::test]
async fn its_tokens_in_every_wrong_kind_are_refused() {
    let provider = Provider::start();
    let stranger = Provider::start();
    let mut own = config("corp", &provider.issuer());
    own.rules.leeway = Duration::ZERO;
    let issuers = Issuers::new(vec![own]).unwrap();
    let good = provider.token_for("analyst", ES256);
    let foreign = stranger.token_for("analyst", ES256);
    let cases = [
        ("another audience", provider.token_for("analyst", "https://other.test/"), "WrongAudience"),
        ("a stranger's", foreign.clone(), "UnknownIssuer"),
        // The stranger's key has the same kid.
        ("a stranger's, relabelled", with_claim(&foreign, "iss", json!(provider.issuer())), "BadSignature"),
        ("more groups", with_claim(&good, "groups", json!(["admins"])), "BadSignature"),
        ("more time", with_claim(&good, "exp", json!(4_000_000_000_u64)), "BadSignature"),
        ("unsigned", with_header(&good, |h| h["alg"] = json!("none")), "AlgorithmNone"),
        ("shared secret", with_header(&good, |h| h["alg"] = json!("HS256")), "AlgorithmSymmetric"),
        ("another key", with_header(&good, |h| h["kid"] = json!("rs256-1")), "UnsuitableKey"),
        ("another algorithm", with_header(&good, |h| h["alg"] = json!("RS256")), "UnsuitableKey"),
        ("no kid", with_header(&good, |h| drop(h.as_object_mut().unwrap().remove("kid"))), "BadSignature"),
        ("crit", with_header(&good, |h| h["crit"] = json!(["x"])), "CriticalExtension"),
        ("not a token", "hunter2".to_owned(), "Malformed"),
        ("nothing", String::new(), "Malformed"),
    ];
    verify(&issuers, &good).await.unwrap();
    for (what, token, expected) in cases {
        assert_eq!(rejection(verify(&issuers, &token).await), expected, "{what}");
    }
    // Time is an argument: what is good now is not for ever.
    let later = std::time::SystemTime::now() + Duration::from_secs(301);
    let result = issuers.verify(&model::Secret::new(good), model::Method::Token, later).await;
    assert_eq!(rejection(result), "Expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_verifiers_at_once_cause_one_fetch() {
    let provider = Provider::start();
    let issuers = Issuers::new(vec![config("corp", &provider.issuer())]).unwrap();
    let token = provider.token_for("analyst", ES256);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (issuers, token) = (issuers.clone(), token.clone());
            tokio::spawn(async move { verify(&issuers, &token).await.map(|_| ()) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(provider.fetches(), (1, 1));
}

#[tokio::test]
async fn a_rotated_key_is_found_and_the_old_one_refused() {
    let provider = Provider::start();
    let (issuers, clock) = with_clock(vec![config("corp", &provider.issuer())]);
    let old = provider.token_for("analyst", RS256);
    verify(&issuers, &old).await.unwrap();
    provider.rotate();
    let new = provider.token_for("analyst", RS256);
    // The old key is not known to be gone yet, and the floor keeps the new one out.
    assert_unknown_key(verify(&issuers, &new).await);
    verify(&issuers, &old).await.unwrap();
    assert_eq!(provider.fetches(), (1, 1));

    clock.advance(IssuerConfig::REFRESH_FLOOR);
    verify(&issuers, &new).await.unwrap();
    assert_unknown_key(verify(&issuers, &old).await);
    assert_eq!(provider.fetches(), (2, 2));
}

#[tokio::test]
async fn a_flood_of_unknown_kids_causes_one_fetch_per_floor() {
    let provider = Provider::start();
    let (issuers, clock) = with_clock(vec![config("corp", &provider.issuer())]);
    let good = provider.token_for("analyst", ES256);
    verify(&issuers, &good).await.unwrap();
    let flood = |round: usize| {
        let tasks: Vec<_> = (0..200)
            .map(|i| {
                let token = with_header(&good, |header| header["kid"] = json!(format!("forged-{round}-{i}")));
                let issuers = issuers.clone();
                tokio::spawn(async move { verify(&issuers, &token).await })
            })
            .collect();
        async move {
            for task in tasks {
                assert_unknown_key(task.await.unwrap());
            }
        }
    };
    flood(0).await;
    assert_eq!(provider.fetches(), (1, 1), "within the floor of the first fetch");
    for round in 1..=3 {
        clock.advance(IssuerConfig::REFRESH_FLOOR);
        flood(round).await;
        let fetches = 1 + round as u64;
        assert_eq!(provider.fetches(), (fetches, fetches));
        verify(&issuers, &good).await.unwrap();
    }
}

#[tokio::test]
async fn known_keys_outlive_an_outage_up_to_a_limit() {
    let provider = Provider::start();
    let (issuers, clock) = with_clock(vec![config("corp", &provider.issuer())]);
    let good = provider.token_for("analyst", ES256);
    verify(&issuers, &good).await.unwrap();
    provider.stop();
    verify(&issuers, &good).await.unwrap();
    // Old enough to be refreshed, which fails.
    clock.advance(IssuerConfig::KEYS_AGE);
    verify(&issuers, &good).await.unwrap();
    // A kid that the gateway can't ask about is not held against the token.
    let unknown = with_header(&good, |header| header["kid"] = json!("new"));
    clock.advance(IssuerConfig::REFRESH_FLOOR);
    assert_eq!(unavailable(verify(&issuers, &unknown).await), "Http");
    clock.advance(IssuerConfig::KEYS_STALE - IssuerConfig::KEYS_AGE - IssuerConfig::REFRESH_FLOOR * 2);
    verify(&issuers, &good).await.unwrap();
    clock.advance(IssuerConfig::REFRESH_FLOOR);
    assert_eq!(unavailable(verify(&issuers, &good).await), "Http");
}

#[tokio::test]
async fn without_an_issuer_there_is_no_identity() {
    let provider = Provider::start();
    let (issuers, _clock) = with_clock(vec![config("corp", &provider.issuer())]);
    let good = provider.token_for("analyst", ES256);
    provider.stop();
    let failure = verify(&issuers, &good).await.unwrap_err();
    let text = oidc::chain(&failure);
    assert!(text.contains("\"corp\" is unavailable") && text.contains("openid-configuration"), "{text}");
    assert_eq!(unavailable(verify(&issuers, &good).await), "Http");
}

#[tokio::test]
async fn an_unchanged_issuer_keeps_its_keys_when_the_configuration_changes() {
    let provider = Provider::start();
    let url = provider.issuer();
    let issuers = Issuers::new(vec![config("corp", &url)]).unwrap();
    let good = provider.token_for("analyst", ES256);
    verify(&issuers, &good).await.unwrap();
    provider.stop();
    let more = vec![config("other", "https://idp.example.com"), config("corp", &url)];
    verify(&issuers.reconfigured(more).unwrap(), &good).await.unwrap();
    // Changed rules hold at once, and a changed issuer starts anew.
    let mut changed = config("corp", &url);
    changed.rules.audiences = vec!["other".to_owned()];
    assert_eq!(unavailable(verify(&issuers.reconfigured(vec![changed]).unwrap(), &good).await), "Http");
}

//! Tokens and key sets of every right and wrong kind, made here with real keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod actor;
mod certificate;
mod introspection;
mod keys;
mod scram;
mod token;

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{
    Algorithm, IssuerRules, KeySet, KeySetError, KeySetLimits, Rejection, Verified, peek, verify,
};
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use model::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example.com";

/// One signing key of each type.
struct Keys {
    rsa: EncodingKey,
    p256: EncodingKey,
    p256_other: EncodingKey,
    p384: EncodingKey,
    ed: EncodingKey,
    ed_public: Value,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    identity::init();
    let rsa = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let ec = |algorithm| {
        let pem = rcgen::KeyPair::generate_for(algorithm).unwrap().serialize_pem();
        EncodingKey::from_ec_pem(pem.as_bytes()).unwrap()
    };
    let ed = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    Keys {
        rsa: EncodingKey::from_rsa_pem(rsa.serialize_pem().as_bytes()).unwrap(),
        p256: ec(&rcgen::PKCS_ECDSA_P256_SHA256),
        p256_other: ec(&rcgen::PKCS_ECDSA_P256_SHA256),
        p384: ec(&rcgen::PKCS_ECDSA_P384_SHA384),
        ed: EncodingKey::from_ed_der(&ed.serialize_der()),
        ed_public: json!({
            "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": URL_SAFE_NO_PAD.encode(ed.public_key_raw()),
        }),
    }
});

fn jwk(key: &EncodingKey, algorithm: jsonwebtoken::Algorithm, further: Value) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
    let members = jwk.as_object_mut().unwrap();
    members.remove("alg");
    members.remove("use");
    members.extend(further.as_object().unwrap().clone());
    jwk
}

fn p256(further: Value) -> Value {
    jwk(&KEYS.p256, jsonwebtoken::Algorithm::ES256, further)
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), KeySetLimits::default()).unwrap()
}

/// The set of the whole file: `rsa`, `ec`, `ec384`, `ed`.
fn all_keys() -> KeySet {
    set(&[
        jwk(&KEYS.rsa, jsonwebtoken::Algorithm::RS256, json!({"kid": "rsa", "use": "sig"})),
        p256(json!({"kid": "ec", "alg": "ES256"})),
        jwk(&KEYS.p384, jsonwebtoken::Algorithm::ES384, json!({"kid": "ec384", "key_ops": ["verify"]})),
        KEYS.ed_public.clone(),
    ])
}

fn rules() -> IssuerRules {
    IssuerRules::new("corp", ISSUER, vec!["gatepost".to_owned()])
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "ec", "typ": "at+jwt"})
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "agent-1", "aud": ["other", "gatepost"], "exp": NOW + 300, "iat": NOW, "nbf": NOW,
        "groups": ["support", "readers"], "jti": "id-1",
    })
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn sign_text(signed: &str, key: &EncodingKey, algorithm: jsonwebtoken::Algorithm) -> String {
    identity::init();
    format!("{signed}.{}", jsonwebtoken::crypto::sign(signed.as_bytes(), key, algorithm).unwrap())
}

fn sign(header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    sign_text(&signed, &KEYS.p256, jsonwebtoken::Algorithm::ES256)
}

fn try_token(token: &str, rules: &IssuerRules, keys: &KeySet) -> Result<Verified, Rejection> {
    verify(token, rules, keys, Method::OAuthBearer, now())
}

/// The variant's name, which is what tells one wrong kind from another.
fn kind(rejection: &Rejection) -> String {
    format!("{rejection:?}").split(['(', ' ', '{']).next().unwrap().to_owned()
}

fn rejects(what: &str, token: &str, rules: &IssuerRules, keys: &KeySet, expected: &str) {
    let rejection = try_token(token, rules, keys).expect_err(what);
    assert_eq!(kind(&rejection), expected, "{what}: {rejection}");
    // What goes to the log is one line, and no usable part of the token.
    let text = rejection.to_string();
    assert!(!text.contains('\n') && text.len() < 500, "{what}: {text:?}");
    for part in token.split('.').filter(|part| part.len() > 20) {
        assert!(!text.contains(part), "{what}: {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_believed_and_none_panics(text in "\\PC{0,64}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,40}", 0..6)) {
        let keys = all_keys();
        prop_assert!(try_token(&text, &rules(), &keys).is_err());
        prop_assert!(try_token(&parts.join("."), &rules(), &keys).is_err());
    }

    #[test]
    fn no_unsigned_claims_are_believed(payload in "\\PC{0,64}", alg in "[A-Za-z0-9]{0,6}", signature in prop::collection::vec(any::<u8>(), 0..100)) {
        let header = json!({"alg": alg, "kid": "ec"});
        let mut claims = claims();
        claims["sub"] = json!(payload);
        let token = format!("{}.{}.{}", encode(&header), encode(&claims), URL_SAFE_NO_PAD.encode(&signature));
        prop_assert!(try_token(&token, &rules(), &all_keys()).is_err());
        let es256 = format!("{}.{}.{}", encode(&json!({"alg": "ES256", "kid": "ec"})), encode(&claims), URL_SAFE_NO_PAD.encode(&signature));
        prop_assert!(try_token(&es256, &rules(), &all_keys()).is_err());
    }

    #[test]
    fn any_key_set_text_is_read_or_refused_without_panic(text in "\\PC{0,200}") {
        let _ = KeySet::parse(text.as_bytes(), KeySetLimits::default());
    }
}

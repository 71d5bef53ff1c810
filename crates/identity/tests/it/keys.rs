//! Which key may verify which token.

use super::*;

#[test]
fn every_allowed_algorithm_verifies_and_only_with_its_own_key() {
    use jsonwebtoken::Algorithm as A;
    let cases = [
        (Algorithm::Rs256, A::RS256, "rsa", &KEYS.rsa),
        (Algorithm::Rs384, A::RS384, "rsa", &KEYS.rsa),
        (Algorithm::Rs512, A::RS512, "rsa", &KEYS.rsa),
        (Algorithm::Ps256, A::PS256, "rsa", &KEYS.rsa),
        (Algorithm::Ps384, A::PS384, "rsa", &KEYS.rsa),
        (Algorithm::Ps512, A::PS512, "rsa", &KEYS.rsa),
        (Algorithm::Es256, A::ES256, "ec", &KEYS.p256),
        (Algorithm::Es384, A::ES384, "ec384", &KEYS.p384),
        (Algorithm::EdDsa, A::EdDSA, "ed", &KEYS.ed),
    ];
    assert_eq!(cases.map(|case| case.0), {
        let mut all = Algorithm::ALL;
        all.sort();
        all
    });
    for (algorithm, library, kid, key) in cases {
        let token = |kid: Option<&str>| {
            let mut header = json!({"alg": algorithm.as_str()});
            if let Some(kid) = kid {
                header["kid"] = json!(kid);
            }
            sign_text(&format!("{}.{}", encode(&header), encode(&claims())), key, library)
        };
        assert_eq!(peek(&token(Some(kid))).unwrap().algorithm, algorithm);
        try_token(&token(Some(kid)), &rules(), &all_keys()).unwrap();
        // Without a kid there is one suitable key of each type here.
        try_token(&token(None), &rules(), &all_keys()).unwrap();
        for other in ["rsa", "ec", "ec384", "ed"].into_iter().filter(|it| *it != kid) {
            rejects("another key", &token(Some(other)), &rules(), &all_keys(), "UnsuitableKey");
        }
        let mut narrow = rules();
        narrow.algorithms.retain(|it| *it != algorithm);
        rejects("not in the list", &token(Some(kid)), &narrow, &all_keys(), "AlgorithmNotAllowed");
        // Of the same family, but another hash: the signature is over another digest.
        if kid == "rsa" {
            let header = json!({"alg": if library == A::RS256 { "RS512" } else { "RS256" }, "kid": kid});
            let signed = format!("{}.{}", encode(&header), encode(&claims()));
            rejects("relabelled", &sign_text(&signed, key, library), &rules(), &all_keys(), "BadSignature");
        }
    }
}

#[test]
fn a_key_brought_by_the_token_is_never_used() {
    let own = jwk(&KEYS.p256_other, jsonwebtoken::Algorithm::ES256, json!({"kid": "ec"}));
    let header = json!({
        "alg": "ES256", "kid": "ec", "jwk": own, "jku": "https://evil.example/keys", "x5u": "https://evil.example/c",
        "x5c": ["MIIB"],
    });
    let signed = format!("{}.{}", encode(&header), encode(&claims()));
    let forged = sign_text(&signed, &KEYS.p256_other, jsonwebtoken::Algorithm::ES256);
    rejects("own jwk", &forged, &rules(), &all_keys(), "BadSignature");
    // The members themselves do no harm: the issuer's key decides.
    let honest = sign_text(&signed, &KEYS.p256, jsonwebtoken::Algorithm::ES256);
    try_token(&honest, &rules(), &all_keys()).unwrap();
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    // RS/HS confusion: HMAC with the public key, in the forms in which attackers have it.
    let keys = [
        jwk(&KEYS.rsa, jsonwebtoken::Algorithm::RS256, json!({"kid": "rsa"})),
        json!({"kty": "oct", "kid": "secret", "k": URL_SAFE_NO_PAD.encode([7; 32]), "alg": "HS256"}),
        json!({"kty": "oct", "kid": "bare", "k": URL_SAFE_NO_PAD.encode([7; 32])}),
    ];
    let n = URL_SAFE_NO_PAD.decode(keys[0]["n"].as_str().unwrap()).unwrap();
    for (kid, secret) in [("rsa", n), ("secret", vec![7; 32]), ("bare", vec![7; 32])] {
        for (alg, expected) in [("HS256", "AlgorithmSymmetric"), ("RS256", "")] {
            let signed = format!("{}.{}", encode(&json!({"alg": alg, "kid": kid})), encode(&claims()));
            let key = EncodingKey::from_secret(&secret);
            let token = sign_text(&signed, &key, jsonwebtoken::Algorithm::HS256);
            let expected = match (expected, kid) {
                ("", "rsa") => "BadSignature",
                // The shared secrets of the set are not among its keys.
                ("", _) => "UnknownKey",
                (expected, _) => expected,
            };
            rejects("confusion", &token, &rules(), &set(&keys), expected);
        }
    }
}

#[test]
fn without_a_kid_exactly_one_key_must_suit() {
    let token = sign(&json!({"alg": "ES256"}), &claims());
    let other = |further| jwk(&KEYS.p256_other, jsonwebtoken::Algorithm::ES256, further);
    try_token(&token, &rules(), &set(&[p256(json!({}))])).unwrap();
    // The same key twice is one key.
    try_token(&token, &rules(), &set(&[p256(json!({"kid": "a"})), p256(json!({"kid": "a"}))])).unwrap();
    let two = set(&[p256(json!({"kid": "a"})), other(json!({"kid": "b"}))]);
    rejects("two suit", &token, &rules(), &two, "AmbiguousKey");
    let none = set(&[]);
    rejects("none suits", &token, &rules(), &none, "UnknownKey");
    assert!(try_token(&token, &rules(), &none).unwrap_err().is_unknown_key());
    // With a kid, keys without one don't count; and a kid that is two keys is none.
    let named = sign(&json!({"alg": "ES256", "kid": "a"}), &claims());
    rejects("unnamed", &named, &rules(), &set(&[p256(json!({}))]), "UnknownKey");
    let twice = set(&[p256(json!({"kid": "a"})), other(json!({"kid": "a"}))]);
    rejects("kid twice", &named, &rules(), &twice, "AmbiguousKey");
}

#[test]
fn keys_that_can_not_be_trusted_are_left_out() {
    let long = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
    let cases = [
        ("private", p256(json!({"kid": "k", "d": long(32)}))),
        ("use", p256(json!({"kid": "k", "use": "enc"}))),
        ("key_ops", p256(json!({"kid": "k", "key_ops": ["sign"]}))),
        ("its alg", p256(json!({"kid": "k", "alg": "ES384"}))),
        ("its alg", p256(json!({"kid": "k", "alg": "HS256"}))),
        ("its alg", p256(json!({"kid": "k", "alg": "ECDH-ES"}))),
        ("kid", p256(json!({"kid": 1}))),
        ("curve", p256(json!({"kid": "k", "crv": "secp256k1"}))),
        ("length", p256(json!({"kid": "k", "crv": "P-384"}))),
        ("length", p256(json!({"kid": "k", "x": long(31)}))),
        ("base64url", p256(json!({"kid": "k", "x": "?"}))),
        ("curve", json!({"kty": "OKP", "crv": "X25519", "x": long(32)})),
        ("modulus", json!({"kty": "RSA", "n": long(128), "e": "AQAB"})),
        ("modulus", json!({"kty": "RSA", "n": long(2049), "e": "AQAB"})),
        ("exponent", json!({"kty": "RSA", "n": long(256), "e": "AQ"})),
        ("exponent", json!({"kty": "RSA", "n": long(256), "e": "AAE"})),
        ("exponent", json!({"kty": "RSA", "n": long(256), "e": "BA"})),
        ("exponent", json!({"kty": "RSA", "n": long(256), "e": long(256)})),
        ("missing", json!({"kty": "RSA", "e": "AQAB"})),
        ("shared secret", json!({"kty": "oct", "k": long(32)})),
        ("kty", json!({"kty": "AKP"})),
        ("kty", json!({})),
    ];
    for (what, key) in cases {
        let keys = set(std::slice::from_ref(&key));
        assert!(keys.is_empty(), "{what}: {key}");
        assert!(keys.left_out()[0].contains(what), "{what}: {:?}", keys.left_out());
        // The others of the set stay usable.
        assert_eq!(set(&[key, p256(json!({"kid": "good"}))]).len(), 1);
    }
}

#[test]
fn a_document_that_is_no_key_set_is_an_error() {
    let parse = |text: &[u8]| KeySet::parse(text, KeySetLimits { bytes_max: 1000, keys_max: 3 });
    for text in ["[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#] {
        assert!(matches!(parse(text.as_bytes()), Err(KeySetError::Shape)), "{text}");
    }
    for text in ["", "<html>", r#"{"keys":[],"keys":[]}"#] {
        assert!(matches!(parse(text.as_bytes()), Err(KeySetError::Json(_))), "{text}");
    }
    assert!(matches!(parse(&[b' '; 1001]), Err(KeySetError::TooLong { .. })));
    assert!(matches!(parse(br#"{"keys":[{},{},{},{}]}"#), Err(KeySetError::TooManyKeys { .. })));
    // No keys is what an issuer says that has withdrawn them all.
    assert!(parse(br#"{"keys":[]}"#).unwrap().is_empty());
}

#[test]
fn a_point_off_its_curve_verifies_nothing() {
    let mut off = p256(json!({"kid": "ec"}));
    off["x"] = json!(URL_SAFE_NO_PAD.encode([1; 32]));
    rejects("off the curve", &sign(&header(), &claims()), &rules(), &set(&[off]), "BadSignature");
}

#[test]
fn a_key_for_one_algorithm_is_for_no_other() {
    let only = set(&[jwk(&KEYS.rsa, jsonwebtoken::Algorithm::RS256, json!({"kid": "rsa", "alg": "RS256"}))]);
    let token = |alg: &str, library| {
        let header = json!({"alg": alg, "kid": "rsa"});
        sign_text(&format!("{}.{}", encode(&header), encode(&claims())), &KEYS.rsa, library)
    };
    try_token(&token("RS256", jsonwebtoken::Algorithm::RS256), &rules(), &only).unwrap();
    let pss = token("PS256", jsonwebtoken::Algorithm::PS256);
    rejects("RSA, other padding", &pss, &rules(), &only, "UnsuitableKey");
}

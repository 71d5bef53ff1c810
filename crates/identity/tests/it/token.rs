//! What makes a token believed or refused, and what becomes of its claims.

use super::*;

#[test]
fn a_good_token_becomes_the_identity_that_the_rules_map() {
    let mut rules = rules();
    rules.groups_claim = "realm_access.roles".parse().unwrap();
    rules.attributes.insert("team".to_owned(), "https://example.com/team".parse().unwrap());
    rules.attributes.insert("level".to_owned(), "/a.b/level".parse().unwrap());
    rules.attributes.insert("absent".to_owned(), "absent".parse().unwrap());
    let mut claims = claims();
    claims["realm_access"] = json!({"roles": ["b", "a", "b"]});
    claims["https://example.com/team"] = json!("blue");
    claims["a.b"] = json!({"level": 3});
    claims["name"] = json!("Ágnes\u{200D}");
    let verified = try_token(&sign(&header(), &claims), &rules, &all_keys()).unwrap();
    let identity = verified.identity();
    assert_eq!(identity.to_string(), "corp:agent-1");
    assert_eq!(identity.name.as_deref(), Some("Ágnes\u{200D}"));
    assert_eq!(identity.groups.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b"]);
    let attributes: Vec<_> = identity.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(attributes, [("level", "3"), ("team", "blue")]);
    assert_eq!(identity.token_id.as_deref(), Some("id-1"));
    assert_eq!(verified.method(), Method::OAuthBearer);
    assert_eq!(verified.expires_at(), now() + Duration::from_secs(300));
}

/// Each case changes header or claims of a good token, which is then signed correctly.

#[test]
fn every_wrong_kind_is_refused_for_its_own_reason() {
    type Change = fn(&mut Value, &mut Value);
    let cases: &[(&str, Change, &str)] = &[
        ("none", |h, _| h["alg"] = json!("none"), "AlgorithmNone"),
        ("None", |h, _| h["alg"] = json!("nOnE"), "AlgorithmNone"),
        ("HS256", |h, _| h["alg"] = json!("HS256"), "AlgorithmSymmetric"),
        ("hs512", |h, _| h["alg"] = json!("hs512"), "AlgorithmSymmetric"),
        ("lower case", |h, _| h["alg"] = json!("es256"), "AlgorithmUnknown"),
        ("ES256K", |h, _| h["alg"] = json!("ES256K"), "AlgorithmUnknown"),
        ("ES512", |h, _| h["alg"] = json!("ES512"), "AlgorithmUnknown"),
        ("RSA-OAEP", |h, _| h["alg"] = json!("RSA-OAEP"), "AlgorithmUnknown"),
        ("alg missing", |h, _| drop(h.as_object_mut().unwrap().remove("alg")), "Malformed"),
        ("alg not text", |h, _| h["alg"] = json!(["ES256"]), "Malformed"),
        ("crit", |h, _| h["crit"] = json!(["exp"]), "CriticalExtension"),
        ("crit empty", |h, _| h["crit"] = json!([]), "CriticalExtension"),
        (
            "b64 by crit",
            |h, _| *h = json!({"alg": "ES256", "kid": "ec", "b64": false, "crit": ["b64"]}),
            "CriticalExtension",
        ),
        ("enc", |h, _| h["enc"] = json!("A256GCM"), "Encrypted"),
        ("nested", |h, _| h["cty"] = json!("JWT"), "Nested"),
        ("nested, long form", |h, _| h["cty"] = json!("application/jwt"), "Nested"),
        ("dpop proof", |h, _| h["typ"] = json!("dpop+jwt"), "WrongType"),
        ("logout token", |h, _| h["typ"] = json!("logout+jwt"), "WrongType"),
        ("typ not text", |h, _| h["typ"] = json!(1), "Malformed"),
        ("unknown kid", |h, _| h["kid"] = json!("nobody"), "UnknownKey"),
        ("kid as path", |h, _| h["kid"] = json!("../../../dev/null"), "UnknownKey"),
        ("kid as url", |h, _| h["kid"] = json!("https://evil.example/key"), "UnknownKey"),
        ("kid is sql", |h, _| h["kid"] = json!("x' UNION SELECT 'y\n"), "UnknownKey"),
        ("kid empty", |h, _| h["kid"] = json!(""), "UnknownKey"),
        ("kid not text", |h, _| h["kid"] = json!(1), "Malformed"),
        ("kid of another type", |h, _| h["kid"] = json!("rsa"), "UnsuitableKey"),
        ("iss of another", |_, c| c["iss"] = json!("https://evil.example"), "WrongIssuer"),
        ("iss with slash", |_, c| c["iss"] = json!("https://idp.example.com/"), "WrongIssuer"),
        ("iss in capitals", |_, c| c["iss"] = json!("https://IDP.example.com"), "WrongIssuer"),
        ("iss forged line", |_, c| c["iss"] = json!("x\nlevel=info all good"), "WrongIssuer"),
        ("iss missing", |_, c| drop(c.as_object_mut().unwrap().remove("iss")), "MissingClaim"),
        ("iss array", |_, c| c["iss"] = json!([ISSUER]), "BadClaim"),
        ("aud of another", |_, c| c["aud"] = json!("other"), "WrongAudience"),
        ("aud like ours", |_, c| c["aud"] = json!("gatepost2"), "WrongAudience"),
        ("aud in one string", |_, c| c["aud"] = json!("other gatepost"), "WrongAudience"),
        ("aud empty", |_, c| c["aud"] = json!([]), "WrongAudience"),
        ("aud missing", |_, c| drop(c.as_object_mut().unwrap().remove("aud")), "MissingClaim"),
        ("aud object", |_, c| c["aud"] = json!({"gatepost": true}), "BadClaim"),
        ("aud mixed", |_, c| c["aud"] = json!(["gatepost", 1]), "BadClaim"),
        ("azp not text", |_, c| c["azp"] = json!(1), "BadClaim"),
        ("exp missing", |_, c| drop(c.as_object_mut().unwrap().remove("exp")), "MissingClaim"),
        ("exp null", |_, c| c["exp"] = json!(null), "BadClaim"),
        ("exp text", |_, c| c["exp"] = json!("1900000000"), "BadClaim"),
        ("exp negative", |_, c| c["exp"] = json!(-1), "BadClaim"),
        ("exp beyond time", |_, c| c["exp"] = json!(u64::MAX), "BadClaim"),
        ("exp 1e300", |_, c| c["exp"] = json!(1e300), "BadClaim"),
        ("exp past", |_, c| c["exp"] = json!(NOW - 3600), "Expired"),
        ("exp just past the leeway", |_, c| c["exp"] = json!(NOW - 30), "Expired"),
        ("nbf ahead", |_, c| c["nbf"] = json!(NOW + 31), "NotYetValid"),
        ("nbf text", |_, c| c["nbf"] = json!("0"), "BadClaim"),
        ("iat ahead", |_, c| c["iat"] = json!(NOW + 31), "IssuedInFuture"),
        ("iat a fraction ahead", |_, c| c["iat"] = json!(NOW as f64 + 30.5), "IssuedInFuture"),
        ("iat boolean", |_, c| c["iat"] = json!(true), "BadClaim"),
        ("sub missing", |_, c| drop(c.as_object_mut().unwrap().remove("sub")), "MissingClaim"),
        ("sub null", |_, c| c["sub"] = json!(null), "MissingClaim"),
        ("sub number", |_, c| c["sub"] = json!(7), "BadClaim"),
        ("sub empty", |_, c| c["sub"] = json!(""), "BadClaim"),
        ("sub blank", |_, c| c["sub"] = json!("  \u{3000}"), "BadClaim"),
        ("sub newline", |_, c| c["sub"] = json!("alice\nbob"), "UnprintableClaim"),
        ("sub nul", |_, c| c["sub"] = json!("alice\0"), "UnprintableClaim"),
        ("sub escape", |_, c| c["sub"] = json!("\u{1b}[2Jalice"), "UnprintableClaim"),
        ("sub c1", |_, c| c["sub"] = json!("alice\u{9b}"), "UnprintableClaim"),
        ("sub bidi", |_, c| c["sub"] = json!("alice\u{202E}nimda"), "UnprintableClaim"),
        ("sub zero width", |_, c| c["sub"] = json!("al\u{200B}ice"), "UnprintableClaim"),
        ("sub tags", |_, c| c["sub"] = json!("alice\u{E0041}"), "UnprintableClaim"),
        ("sub long", |_, c| c["sub"] = json!("a".repeat(513)), "ClaimTooLong"),
        ("group newline", |_, c| c["groups"] = json!(["a", "b\n"]), "UnprintableClaim"),
        ("group empty", |_, c| c["groups"] = json!([""]), "BadClaim"),
        ("group number", |_, c| c["groups"] = json!(["a", 1]), "BadClaim"),
        ("groups object", |_, c| c["groups"] = json!({"admins": true}), "BadClaim"),
        ("groups nested", |_, c| c["groups"] = json!([["admins"]]), "BadClaim"),
        (
            "groups many",
            |_, c| c["groups"] = json!((0..257).map(|i| i.to_string()).collect::<Vec<_>>()),
            "TooManyGroups",
        ),
        ("name number", |_, c| c["name"] = json!(1), "BadClaim"),
        ("name newline", |_, c| c["name"] = json!("a\r\nb"), "UnprintableClaim"),
        ("jti number", |_, c| c["jti"] = json!(1), "BadClaim"),
        ("jti newline", |_, c| c["jti"] = json!("a\nb"), "UnprintableClaim"),
        ("dpop-bound", |_, c| c["cnf"] = json!({"jkt": "x"}), "BoundToKey"),
        ("certificate-bound", |_, c| c["cnf"] = json!({"x5t#S256": "x"}), "BoundToCertificate"),
    ];
    try_token(&sign(&header(), &claims()), &rules(), &all_keys()).expect("the token that the cases change");
    for (what, change, expected) in cases {
        let (mut header, mut claims) = (header(), claims());
        change(&mut header, &mut claims);
        rejects(what, &sign(&header, &claims), &rules(), &all_keys(), expected);
    }
}

#[test]
fn a_token_that_is_no_compact_jws_is_refused() {
    let good = sign(&header(), &claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, payload) = signed.split_once('.').unwrap();
    let raw = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let es256 = raw(r#"{"alg":"ES256","kid":"ec"}"#);
    let cases = [
        ("empty", String::new(), "Malformed"),
        ("one part", head.to_owned(), "Malformed"),
        ("two parts", signed.to_owned(), "Malformed"),
        ("no signature", format!("{signed}."), "Malformed"),
        ("four parts", format!("{good}.{signature}"), "Malformed"),
        ("jwe", format!("{good}.{signature}.{signature}"), "Encrypted"),
        ("six parts", format!("{good}.a.b.c"), "Malformed"),
        ("many dots", ".".repeat(10_000), "Malformed"),
        ("padding", format!("{good}="), "Malformed"),
        ("space", format!(" {good}"), "Malformed"),
        ("newline", format!("{good}\n"), "Malformed"),
        ("standard alphabet", format!("{signed}.{}", signature.replace(['-', '_'], "+") + "+"), "Malformed"),
        ("Bearer", format!("Bearer {good}"), "Malformed"),
        ("json form", json!({"payload": payload, "signatures": []}).to_string(), "Malformed"),
        ("header no json", format!("{}.{payload}.{signature}", raw("x")), "BadJson"),
        ("header array", format!("{}.{payload}.{signature}", raw("[]")), "Malformed"),
        ("payload text", format!("{es256}.{}.{signature}", raw("\"x\"")), "Malformed"),
        ("payload is a token", format!("{es256}.{}.{signature}", raw(&good)), "BadJson"),
        ("alg twice", format!("{}.{payload}.{signature}", raw(r#"{"alg":"none","alg":"ES256"}"#)), "BadJson"),
        ("sub twice", format!("{es256}.{}.{signature}", raw(r#"{"sub":"a","sub":"b"}"#)), "BadJson"),
        ("deep", format!("{es256}.{}.{signature}", raw(&"[".repeat(9000))), "BadJson"),
        ("signature cut", format!("{signed}.{}", &signature[..40]), "BadSignature"),
        ("signature long", format!("{signature}.{signature}.{signature}"), "BadJson"),
    ];
    for (what, token, expected) in cases {
        rejects(what, &token, &rules(), &all_keys(), expected);
    }
}

#[test]
fn length_is_checked_before_anything_else() {
    let rules = rules();
    let long = "!".repeat(rules.token_bytes_max + 1);
    rejects("over the rules", &long, &rules, &all_keys(), "TooLong");
    let longest = "!".repeat(identity::TOKEN_BYTES_MAX + 1);
    assert!(matches!(peek(&longest), Err(Rejection::TooLong { .. })));
    // Rules can't go beyond what the protocol carries.
    let mut lax = rules;
    lax.token_bytes_max = usize::MAX;
    rejects("over the protocol", &longest, &lax, &all_keys(), "TooLong");
}

#[test]
fn any_changed_character_of_a_token_is_noticed() {
    let token = sign(&header(), &claims());
    let keys = all_keys();
    for (index, character) in token.char_indices() {
        let replacement = if character == 'A' { 'B' } else { 'A' };
        let mut changed = token.clone();
        changed.replace_range(index..=index, &replacement.to_string());
        assert!(try_token(&changed, &rules(), &keys).is_err(), "character {index}");
    }
}

#[test]
fn times_have_the_stated_leeway_and_no_more() {
    let at = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        try_token(&sign(&header(), &claims), &rules(), &all_keys())
    };
    let until =
        |verified: Verified| verified.expires_at().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    // Past its end but within the leeway, it counts until the leeway ends.
    assert_eq!(until(at(&|c| c["exp"] = json!(NOW - 29)).unwrap()), NOW + 1);
    assert_eq!(until(at(&|c| c["exp"] = json!(NOW)).unwrap()), NOW + 30);
    assert_eq!(until(at(&|c| c["exp"] = json!(NOW + 1)).unwrap()), NOW + 1);
    assert_eq!(until(at(&|c| c["exp"] = json!(NOW as f64 + 2.9)).unwrap()), NOW + 2);
    at(&|c| c["nbf"] = json!(NOW + 30)).unwrap();
    at(&|c| c["iat"] = json!(NOW + 30)).unwrap();

    let mut strict = rules();
    strict.leeway = Duration::ZERO;
    let mut claims = claims();
    claims["exp"] = json!(NOW);
    rejects("on the second", &sign(&header(), &claims), &strict, &all_keys(), "Expired");
}

#[test]
fn age_and_lifetime_limits_need_iat_and_hold() {
    let keys = all_keys();
    let mut no_iat = claims();
    no_iat.as_object_mut().unwrap().remove("iat");
    try_token(&sign(&header(), &no_iat), &rules(), &keys).unwrap();

    let mut short = rules();
    short.lifetime_max = Some(Duration::from_secs(300));
    try_token(&sign(&header(), &claims()), &short, &keys).unwrap();
    short.lifetime_max = Some(Duration::from_secs(299));
    rejects("long-lived", &sign(&header(), &claims()), &short, &keys, "LivesTooLong");
    rejects("no iat", &sign(&header(), &no_iat), &short, &keys, "MissingClaim");

    let mut young = rules();
    young.age_max = Some(Duration::from_secs(60));
    rejects("no iat", &sign(&header(), &no_iat), &young, &keys, "MissingClaim");
    let verified = try_token(&sign(&header(), &claims()), &young, &keys).unwrap();
    assert_eq!(verified.expires_at(), now() + Duration::from_secs(90), "the age limit ends the session too");
    let mut old = claims();
    old["iat"] = json!(NOW - 90);
    rejects("old", &sign(&header(), &old), &young, &keys, "TooOld");
}

#[test]
fn authorized_parties_are_asked_for_where_they_are_listed() {
    let mut rules = rules();
    rules.authorized_parties = vec!["agent-cli".to_owned()];
    let check = |azp: Option<&str>, client: Option<&str>, good: bool| {
        let mut claims = claims();
        if let Some(it) = azp {
            claims["azp"] = json!(it);
        }
        if let Some(it) = client {
            claims["client_id"] = json!(it);
        }
        let token = sign(&header(), &claims);
        if good {
            try_token(&token, &rules, &all_keys()).unwrap();
        } else {
            rejects("azp", &token, &rules, &all_keys(), "WrongAuthorizedParty");
        }
    };
    check(Some("agent-cli"), None, true);
    check(None, Some("agent-cli"), true);
    check(Some("evil"), None, false);
    check(Some("evil"), Some("agent-cli"), false);
    check(None, None, false);
}

#[test]
fn rules_that_list_nothing_allow_nothing() {
    let token = sign(&header(), &claims());
    let mut no_audience = rules();
    no_audience.audiences.clear();
    rejects("no audience", &token, &no_audience, &all_keys(), "WrongAudience");
    let mut no_algorithm = rules();
    no_algorithm.algorithms.clear();
    rejects("no algorithm", &token, &no_algorithm, &all_keys(), "AlgorithmNotAllowed");
}

#[test]
fn a_string_of_groups_is_one_group_except_in_scope() {
    let groups = |path: &str, value: Value| {
        let mut rules = rules();
        rules.groups_claim = path.parse().unwrap();
        let mut claims = claims();
        claims[path] = value;
        let verified = try_token(&sign(&header(), &claims), &rules, &all_keys()).unwrap();
        verified.identity().groups.iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(groups("groups", json!("not admins")), ["not admins"]);
    assert_eq!(groups("scope", json!("read  write")), ["read", "write"]);
    assert_eq!(groups("scp", json!(["read it", "write"])), ["read it", "write"]);
    assert_eq!(groups("groups", json!(null)), [""; 0]);
    assert_eq!(groups("scope", json!("")), [""; 0]);
}

#[test]
fn peek_reads_what_chooses_issuer_and_key() {
    let unverified = peek(&sign(&header(), &claims())).unwrap();
    assert_eq!(unverified.issuer.as_deref(), Some(ISSUER));
    assert_eq!(unverified.key_id.as_deref(), Some("ec"));
    assert_eq!(unverified.algorithm, Algorithm::Es256);
}

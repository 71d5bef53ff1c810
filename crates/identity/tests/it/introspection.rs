//! What is made of answers about tokens (RFC 7662), in the shape of its section 2.2 and in every wrong one.

use identity::{check_introspection, is_self_contained, verify_introspection};

use super::*;

fn answer() -> Value {
    json!({
        "active": true, "client_id": "l238j323ds-23ij4", "username": "jdoe", "scope": "read write", "sub": "agent-1",
        "aud": "gatepost", "iss": ISSUER, "exp": NOW + 300, "iat": NOW, "groups": ["support"], "token_type": "Bearer",
    })
}

fn try_answer(answer: &Value) -> Result<Verified, Rejection> {
    verify_introspection(answer.to_string().as_bytes(), &rules(), Method::Token.into(), now())
}

#[test]
fn an_answer_is_judged_as_claims_are() {
    let verified = try_answer(&answer()).unwrap();
    assert_eq!(verified.identity().to_string(), "corp:agent-1");
    assert!(verified.identity().groups.contains("support"));
    assert_eq!(verified.expires_at(), now() + Duration::from_secs(300));
    let signed = try_token(&sign(&header(), &claims()), &rules(), &all_keys()).unwrap();
    assert_eq!(verified.origin(), signed.origin(), "what was issued before a logout is found either way");
    let mut silent = answer();
    silent.as_object_mut().unwrap().remove("iss");
    try_answer(&silent).expect("iss is optional: whoever answered is the issuer");
    type Change = fn(&mut Value);
    let cases: &[(&str, Change, &str)] = &[
        ("inactive", |a| a["active"] = json!(false), "Inactive"),
        ("active as text", |a| a["active"] = json!("true"), "BadClaim"),
        ("active as number", |a| a["active"] = json!(1), "BadClaim"),
        ("active null", |a| a["active"] = json!(null), "BadClaim"),
        ("nothing of it", |a| drop(a.as_object_mut().unwrap().remove("active")), "BadClaim"),
        ("not an object", |a| *a = json!([true]), "BadClaim"),
        ("another issuer's", |a| a["iss"] = json!("https://evil.example"), "WrongIssuer"),
        ("issuer of another type", |a| a["iss"] = json!([ISSUER]), "WrongIssuer"),
        ("for somebody else", |a| a["aud"] = json!("payroll"), "WrongAudience"),
        ("for nobody", |a| drop(a.as_object_mut().unwrap().remove("aud")), "MissingClaim"),
        ("expired", |a| a["exp"] = json!(NOW - 60), "Expired"),
        ("without end", |a| drop(a.as_object_mut().unwrap().remove("exp")), "MissingClaim"),
        ("not yet", |a| a["nbf"] = json!(NOW + 60), "NotYetValid"),
        ("nobody's", |a| drop(a.as_object_mut().unwrap().remove("sub")), "MissingClaim"),
        ("a forged line", |a| a["sub"] = json!("a\nb"), "UnprintableClaim"),
        ("bound to a key", |a| a["cnf"] = json!({"jkt": "x"}), "BoundToKey"),
        (
            "a foreign actor",
            |a| a["act"] = json!({"sub": "x", "iss": "https://evil.example"}),
            "ForeignActor",
        ),
    ];
    for (what, change, expected) in cases {
        let mut answer = answer();
        change(&mut answer);
        let rejection = try_answer(&answer).expect_err(what);
        assert_eq!(kind(&rejection), *expected, "{what}: {rejection}");
    }
    for text in ["", "true", "{\"active\":true,\"active\":false}", "{\"active\":true"] {
        assert!(
            verify_introspection(text.as_bytes(), &rules(), Method::Token.into(), now()).is_err(),
            "{text}"
        );
    }
}

#[test]
fn an_answer_about_a_token_must_be_about_this_one() {
    let verified = try_token(&sign(&header(), &claims()), &rules(), &all_keys()).unwrap();
    let check = |answer: Value| {
        check_introspection(answer.to_string().as_bytes(), &rules(), &verified, now())
            .map_err(|why| kind(&why))
    };
    check(answer()).unwrap();
    check(json!({"active": true})).expect("the least that an answer says");
    assert_eq!(check(json!({"active": false})).unwrap_err(), "Inactive");
    assert_eq!(check(json!({"active": true, "sub": "agent-2"})).unwrap_err(), "AnotherToken");
    assert_eq!(check(json!({"active": true, "sub": 1})).unwrap_err(), "AnotherToken");
    assert_eq!(check(json!({"active": true, "iss": "https://evil.example"})).unwrap_err(), "WrongIssuer");
    assert_eq!(check(json!({"active": true, "exp": NOW - 60})).unwrap_err(), "Expired");
    // Of an actor's token, the subject is whom it acts for.
    let mut delegated = claims();
    delegated["act"] = json!({"sub": "assistant"});
    let verified = try_token(&sign(&header(), &delegated), &rules(), &all_keys()).unwrap();
    let text = answer().to_string();
    check_introspection(text.as_bytes(), &rules(), &verified, now()).unwrap();
}

#[test]
fn what_says_nothing_by_itself_is_opaque() {
    for (token, own) in [
        ("a.b.c", true),
        ("a.b.c.d.e", true),
        ("abc", false),
        ("a.b", false),
        ("a.b.c.d", false),
        ("", false),
    ] {
        assert_eq!(is_self_contained(token), own, "{token}");
    }
}

proptest! {
    #[test]
    fn any_answer_is_judged_without_panic(text in "\\PC{0,100}|\\{\"active\":true,\"(sub|aud|exp|iss)\":[a-z0-9\"\\[\\]{}]{0,20}\\}") {
        prop_assert!(verify_introspection(text.as_bytes(), &rules(), Method::Token.into(), now()).is_err());
    }
}

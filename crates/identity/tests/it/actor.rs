//! Tokens of somebody who acts for somebody else (RFC 8693, section 4.1), in the shape of its figures 5 and 6.

use identity::Actor;
use model::Party;

use super::*;

fn delegated(act: Value) -> Value {
    let mut claims = claims();
    claims["sub"] = json!("user@example.net");
    claims["name"] = json!("A User");
    claims["act"] = act;
    claims
}

fn try_act(act: Value) -> Result<Verified, Rejection> {
    try_token(&sign(&header(), &delegated(act)), &rules(), &all_keys())
}

fn party(issuer: &str, subject: &str) -> Party {
    Party { issuer: issuer.to_owned(), subject: subject.to_owned() }
}

#[test]
fn who_acts_is_the_identity_and_for_whom_is_told() {
    for act in [json!({"sub": "agent-7"}), json!({"sub": "agent-7", "iss": ISSUER, "name": "Agent Seven"})] {
        let named = act.get("name").is_some();
        let verified = try_act(act).unwrap();
        let identity = verified.identity();
        assert_eq!(identity.to_string(), "corp:agent-7");
        assert_eq!(identity.on_behalf_of, Some(party("corp", "user@example.net")));
        // The user's name is not the agent's.
        assert_eq!(identity.name.as_deref(), named.then_some("Agent Seven"));
        assert!(identity.groups.contains("support"), "the token's groups");
        assert_eq!(verified.prior_actors(), []);
    }
}

#[test]
fn a_token_without_an_actor_acts_for_itself() {
    let verified = try_token(&sign(&header(), &claims()), &rules(), &all_keys()).unwrap();
    assert_eq!(verified.identity().on_behalf_of, None);
}

#[test]
fn actors_before_are_kept_and_grant_nothing() {
    let act = json!({"sub": "agent-7", "groups": ["dba"], "act": {
        "sub": "planner", "groups": ["dba"], "act": {"sub": "portal", "iss": "https://other.example"},
    }});
    let verified = try_act(act).unwrap();
    assert_eq!(verified.identity().subject, "agent-7");
    assert_eq!(verified.prior_actors(), [party("corp", "planner"), party("https://other.example", "portal")]);
    assert!(!verified.identity().groups.contains("dba"), "groups inside act are nobody's");
}

#[test]
fn an_actor_that_is_not_surely_the_issuers_own_is_refused() {
    let deep = |levels: usize| {
        (1..levels)
            .fold(json!({"sub": "innermost"}), |act, level| json!({"sub": level.to_string(), "act": act}))
    };
    assert_eq!(try_act(deep(8)).unwrap().prior_actors().len(), 7);
    let cases = [
        ("another's", json!({"sub": "a", "iss": "https://other.example"}), "ForeignActor"),
        ("our name for the issuer", json!({"sub": "a", "iss": "corp"}), "BadClaim"),
        ("almost the issuer", json!({"sub": "a", "iss": format!("{ISSUER}/")}), "ForeignActor"),
        ("issuer of another type", json!({"sub": "a", "iss": [ISSUER]}), "BadClaim"),
        ("no subject", json!({"iss": ISSUER}), "MissingClaim"),
        ("subject of another type", json!({"sub": 7}), "BadClaim"),
        ("empty subject", json!({"sub": " "}), "BadClaim"),
        ("forged line", json!({"sub": "a\nb"}), "UnprintableClaim"),
        ("text", json!("agent-7"), "BadClaim"),
        ("null", json!(null), "BadClaim"),
        ("list", json!([{"sub": "agent-7"}]), "BadClaim"),
        ("too deep", deep(9), "TooManyActors"),
        ("far too deep", deep(100), "TooManyActors"),
        ("a prior one without subject", json!({"sub": "a", "act": {}}), "MissingClaim"),
        ("a prior one of another type", json!({"sub": "a", "act": 1}), "BadClaim"),
        (
            "a prior one that forges a line",
            json!({"sub": "a", "act": {"sub": "b", "iss": "x:\n"}}),
            "UnprintableClaim",
        ),
        ("a long prior one", json!({"sub": "a", "act": {"sub": "b".repeat(513)}}), "ClaimTooLong"),
    ];
    for (what, act, expected) in cases {
        rejects(what, &sign(&header(), &delegated(act)), &rules(), &all_keys(), expected);
    }
}

#[test]
fn the_claim_that_names_agents_names_actors_too() {
    let mut rules = rules();
    rules.subject_claim = "client_id".parse().unwrap();
    let mut claims = delegated(json!({"sub": "agent-7", "client_id": "bot"}));
    claims["client_id"] = json!("portal");
    let verified = try_token(&sign(&header(), &claims), &rules, &all_keys()).unwrap();
    assert_eq!(verified.identity().to_string(), "corp:bot");
    assert_eq!(verified.identity().on_behalf_of, Some(party("corp", "portal")));
    claims["act"] = json!({"sub": "agent-7"});
    rejects("no such claim", &sign(&header(), &claims), &rules, &all_keys(), "MissingClaim");
}

#[test]
fn an_issuer_may_mean_something_else_by_act() {
    let token = sign(&header(), &delegated(json!("anything at all")));
    let mut rules = rules();
    rules.actor = Actor::Ignore;
    let verified = try_token(&token, &rules, &all_keys()).unwrap();
    assert_eq!(verified.identity().to_string(), "corp:user@example.net");
    assert_eq!(verified.identity().on_behalf_of, None);
    rules.actor = Actor::Refuse;
    rejects("refused", &token, &rules, &all_keys(), "HasActor");
    try_token(&sign(&header(), &claims()), &rules, &all_keys()).expect("only tokens that have it");
}

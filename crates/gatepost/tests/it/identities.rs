//! Identities that are more than a subject with groups: tokens in the shape of the issuers that make them, on their way through
//! a whole gateway, as docs/guide/identities.md shows them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testkit::client::{Connect, Message, Refused};
use testkit::http::{Signer, issuer};
use testkit::postgres::Version;
use testkit::scratch::Scratch;

use crate::stage::{Setup, Shop};

/// Returns the time in seconds since 1970, as claims have it.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Writes a bundle of these rules; the manifest declares the claims.
fn bundle(home: &Scratch, claims: &[&str], rules: &str) -> std::path::PathBuf {
    let manifest = format!("name = \"shop\"\nversion = \"1\"\nclaims = {claims:?}\n");
    home.write("bundle/bundle.toml", manifest);
    home.write("bundle/rules.cedar", rules);
    home.path().join("bundle")
}

fn refused(connect: &Connect) -> Message {
    match connect.try_open() {
        Err(Refused::Error(message)) => message,
        Err(Refused::Io(error)) => panic!("no answer: {error}"),
        Ok(_) => panic!("the client got in"),
    }
}

/// What a token of the tests' own issuers says, before it is made to look like somebody's.
fn plain(issuer: &str, subject: &str) -> Value {
    json!({"iss": issuer, "sub": subject, "aud": "gatepost", "iat": now(), "nbf": now(), "exp": now() + 300})
}

fn with(mut claims: Value, further: Value) -> Value {
    claims.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    claims
}

/// The worked example "On behalf of".
const BEHALF: &str = r#"
permit (principal in Group::"assistants", action in Action::"Read", resource in Schema::"shop.public")
when { principal has on_behalf_of && principal.on_behalf_of like "corp:*@support.example.com" };
"#;

#[test]
fn an_agent_that_acts_for_somebody_is_decided_and_recorded_with_both() {
    let signer = Signer::new("1");
    let corp = issuer(&signer);
    let home = Scratch::new("behalf");
    let gate = Setup {
        issuers: vec![("corp".into(), corp.url())],
        policy: bundle(&home, &[], BEHALF),
        ..Setup::default()
    }
    .start(Shop::new(Version::V15));
    let token = |subject: &str, act: Value| {
        let further = json!({"groups": ["assistants"], "act": act, "jti": format!("token for {subject}")});
        signer.sign(&with(plain(&corp.url(), subject), further))
    };
    let act = json!({"sub": "assistant-1", "act": {"sub": "portal"}});

    let mut ada = gate.connect_with(&token("ada@support.example.com", act.clone())).user("x").open();
    assert_eq!(ada.rows("SELECT name FROM customers WHERE id = 1"), "Bo Dahl");
    assert_eq!(ada.rows("SELECT current_setting('gatepost.on_behalf_of')"), "corp:ada@support.example.com");
    let record = gate.statement("SELECT name");
    assert_eq!(record["identity"]["subject"], "assistant-1");
    let party = json!({"issuer": "corp", "subject": "ada@support.example.com"});
    assert_eq!(record["identity"]["on_behalf_of"], party);
    let started = gate.audit(&["--event", "session_started"]).remove(0);
    assert_eq!(started["identity"]["on_behalf_of"], party);
    assert_eq!(started["prior_actors"], json!([{"issuer": "corp", "subject": "portal"}]));

    // The same agent for somebody else: another scope, though the shape of the statement is known by now.
    let mut bob = gate.connect_with(&token("bob@sales.example.com", act)).user("x").open();
    let answer = bob.query("SELECT name FROM customers WHERE id = 1");
    assert_eq!(crate::flight::sqlstate(&answer), "42501");
    // And for nobody at all.
    let alone = with(plain(&corp.url(), "assistant-1"), json!({"groups": ["assistants"]}));
    let mut alone = gate.connect_with(&signer.sign(&alone)).user("x").open();
    assert_eq!(crate::flight::sqlstate(&alone.query("SELECT name FROM customers WHERE id = 1")), "42501");

    gate.statements("SELECT name", 3);
    let found = |who: &str| gate.audit(&["--on-behalf-of", who, "--text", "SELECT name"]).len();
    assert_eq!(
        [found("ada@support.example.com"), found("corp:ada@support.example.com"), found("assistant-1")],
        [1, 1, 0]
    );
    assert_eq!(gate.audit(&["--identity", "corp:assistant-1", "--text", "SELECT name"]).len(), 3);

    let foreign = json!({"sub": "admin", "iss": "https://other.example"});
    refused(&gate.connect_with(&token("ada@support.example.com", foreign)).user("x"));
    let reason = gate.events("authentication_failed", 1)[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("actor is of issuer"), "{reason}");

    let explain = |behalf: &str| {
        let sql = "SELECT name FROM customers";
        let ran = gate.run(&[
            "policy",
            "explain",
            "--as",
            "corp:assistant-1",
            "--on-behalf-of",
            behalf,
            "--groups",
            "assistants",
            "--sql",
            sql,
        ]);
        assert_eq!(ran.status, Some(0), "{ran:#?}");
        ran.stdout
    };
    let said = explain("corp:ada@support.example.com");
    assert!(said.contains("on behalf of corp:ada@support.example.com") && said.contains("allow"), "{said}");
    assert!(explain("corp:bob@sales.example.com").contains("deny"));
}

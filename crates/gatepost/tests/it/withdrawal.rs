//! Trust that an issuer withdraws, or that the configuration does.

use std::fs;

use serde_json::{Value, json};
use testkit::client::{Connect, Message, Raw, Refused};
use testkit::postgres::Version;
use testkit::process::poll;
use wire::backend::tag;

use crate::http::{Answer, request};
use crate::signer::{Signer, now};
use crate::stage::{Gate, SOON, Setup, Shop, provider};

const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

fn start(signer: &Signer) -> Gate {
    let issuers = vec![("corp".into(), provider().issuer()), ("idp".into(), signer.issuer.clone())];
    let listen_keys = "http = \"127.0.0.1:0\"".into();
    Setup { issuers, tls: false, listen_keys, ..Setup::default() }.start(Shop::new(Version::V15))
}

fn refused(connect: &Connect) -> Message {
    match connect.try_open() {
        Err(Refused::Error(message)) => message,
        Err(Refused::Io(error)) => panic!("no answer: {error}"),
        Ok(_) => panic!("the client got in"),
    }
}

fn expect_end(raw: &mut Raw, reason: &str) {
    let mut last = None;
    while let Ok(Some(message)) = raw.try_receive() {
        last = Some(message).filter(|it| it.tag == tag::ERROR_RESPONSE);
    }
    let told = last.expect("the client is told");
    assert_eq!(told.field(b'C'), "57P01");
    assert!(told.field(b'M').contains(reason), "{}", told.field(b'M'));
}

/// An access token that was issued some seconds ago.
fn token(signer: &Signer, subject: &str, ago: u64, sid: Option<&str>) -> String {
    let mut further = json!({ "iat": now() - ago });
    if let Some(sid) = sid {
        further["sid"] = json!(sid);
    }
    signer.access(subject, &["support-agents"], further)
}

fn open(gate: &Gate, token: &str) -> Raw {
    gate.connect_with(token).user("x").open()
}

fn log_out(gate: &Gate, token: &str) -> Answer {
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let to = gate.gateway.address("http").unwrap();
    request(to, "POST /backchannel-logout", &headers, &format!("logout_token={token}"))
}

fn tell(gate: &Gate, token: &str) -> Answer {
    let headers = [("Content-Type", "application/secevent+jwt")];
    request(gate.gateway.address("http").unwrap(), "POST /security-events", &headers, token)
}

/// The claims of a good logout token, with changes; null takes one away.
fn logout_claims(changes: Value) -> Value {
    let mut claims = json!({
        "aud": "gatepost", "iat": now() - 5, "exp": now() + 60, "jti": format!("{changes}"), "sub": "alice", "events": { LOGOUT: {} }
    });
    merge(&mut claims, changes);
    claims
}

fn merge(claims: &mut Value, changes: Value) {
    let Value::Object(changes) = changes else { return };
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes {
        if value.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, value);
        }
    }
}

#[test]
fn a_logout_ends_what_was_issued_before_it_and_only_a_good_one_does() {
    let signer = Signer::start();
    let gate = start(&signer);
    let typ = json!({ "typ": "logout+jwt" });
    let old = token(&signer, "alice", 20, None);
    let (mut alice, mut bob) = (open(&gate, &old), open(&gate, &token(&signer, "bob", 20, None)));

    let wrong = [
        json!({ "aud": "payroll" }),
        json!({ "iat": now() - 3600, "exp": null }),
        json!({ "iat": now() - 3600 }),
        json!({ "iat": now() + 3600 }),
        json!({ "iat": "now" }),
        json!({ "exp": now() - 3600 }),
        json!({ "exp": null }),
        json!({ "sub": null }),
        json!({ "events": {} }),
        json!({ "events": { LOGOUT: true } }),
        json!({ "nonce": "n" }),
        json!({ "jti": null }),
        json!({ "iss": "https://elsewhere.example" }),
    ];
    for changes in &wrong {
        let bad = signer.sign(typ.clone(), logout_claims(changes.clone()), "own");
        assert_eq!(log_out(&gate, &bad).status, 400, "{changes}");
    }
    let forged = signer.sign(typ.clone(), logout_claims(json!({})), "stranger");
    let mistyped = signer.sign(json!({ "typ": "at+jwt" }), logout_claims(json!({})), "own");
    for (what, bad) in [("forged", &forged), ("mistyped", &mistyped), ("an access token", &old)] {
        assert_eq!(log_out(&gate, bad).status, 400, "{what}");
    }
    assert_eq!(alice.rows("SELECT 1"), "1", "none of them ended anything");
    assert_eq!(
        gate.events("control_refused", wrong.len() + 3).len(),
        wrong.len() + 3,
        "and each is recorded"
    );

    let good = signer.sign(typ.clone(), logout_claims(json!({})), "own");
    assert_eq!(log_out(&gate, &good).status, 200);
    expect_end(&mut alice, "the issuer has ended the session");
    assert_eq!(bob.rows("SELECT 1"), "1");
    assert_eq!(log_out(&gate, &good).status, 400, "once only");
    assert_eq!(refused(&gate.connect_with(&old).user("x")).field(b'C'), "28000");
    let mut again = open(&gate, &token(&signer, "alice", 0, None));
    assert_eq!(again.rows("SELECT 1"), "1", "who has logged in again is somebody again");
    let record = gate.events("trust_ended", 1).remove(0);
    assert_eq!(
        [&record["issuer"], &record["subject"], &record["kind"]],
        ["idp", "alice", "backchannel-logout"]
    );
    assert_eq!(record["sessions"].as_array().unwrap().len(), 1);

    // The same token in the other's place, even where nothing but its claims tells what it is.
    for header in [typ, json!({ "typ": "JWT" }), json!({})] {
        let claims = logout_claims(json!({ "sub": "carol", "groups": ["support-agents"] }));
        let logout = signer.sign(header, claims, "own");
        assert_eq!(refused(&gate.connect_with(&logout).user("x")).field(b'C'), "28000");
    }
}

#[test]
fn a_logout_of_one_session_leaves_the_others_of_that_subject() {
    let signer = Signer::start();
    let gate = start(&signer);
    let mut one = open(&gate, &token(&signer, "alice", 20, Some("s1")));
    let mut two = open(&gate, &token(&signer, "alice", 20, Some("s2")));
    let mut unknown = open(&gate, &token(&signer, "alice", 20, None));
    let logout = signer.sign(json!({ "typ": "logout+jwt" }), logout_claims(json!({ "sid": "s1" })), "own");
    assert_eq!(log_out(&gate, &logout).status, 200);
    expect_end(&mut one, "the issuer has ended the session");
    expect_end(&mut unknown, "the issuer has ended the session");
    assert_eq!(two.rows("SELECT 1"), "1");
}

#[test]
fn a_security_event_revokes_and_its_sender_is_told_what_was_wrong() {
    let signer = Signer::start();
    let gate = start(&signer);
    let typ = json!({ "typ": "secevent+jwt" });
    let subject = json!({ "format": "iss_sub", "iss": signer.issuer, "sub": "bob" });
    let claims = |changes: Value| {
        let mut claims = json!({
            "aud": "gatepost", "iat": now() - 5, "jti": format!("{changes}"), "sub_id": subject, "events": { REVOKED: {} }
        });
        merge(&mut claims, changes);
        claims
    };
    let old = token(&signer, "bob", 20, None);
    let mut bob = open(&gate, &old);
    let elsewhere = json!({ "format": "iss_sub", "iss": "https://elsewhere.example", "sub": "bob" });
    let wrong = [
        (signer.sign(typ.clone(), claims(json!({})), "stranger"), "invalid_key"),
        (signer.sign(typ.clone(), claims(json!({ "aud": "payroll" })), "own"), "invalid_audience"),
        (
            signer.sign(typ.clone(), claims(json!({ "iss": "https://elsewhere.example" })), "own"),
            "invalid_issuer",
        ),
        (signer.sign(typ.clone(), claims(json!({ "sub_id": elsewhere })), "own"), "invalid_issuer"),
        (signer.sign(typ.clone(), claims(json!({ "sub_id": null })), "own"), "invalid_request"),
        (signer.sign(typ.clone(), claims(json!({ "iat": now() - 90_000 })), "own"), "invalid_request"),
        (signer.sign(json!({}), claims(json!({})), "own"), "invalid_request"),
        (old.clone(), "invalid_request"),
    ];
    for (token, error) in wrong {
        let answer = tell(&gate, &token);
        assert_eq!((answer.status, &answer.json()["err"]), (400, &json!(error)));
    }
    let other =
        json!({ "events": { "https://schemas.openid.net/secevent/ssf/event-type/verification": {} } });
    assert_eq!(tell(&gate, &signer.sign(typ.clone(), claims(other), "own")).status, 202);
    assert_eq!(bob.rows("SELECT 1"), "1", "none of them ended anything");

    let good = signer.sign(typ, claims(json!({})), "own");
    assert_eq!(tell(&gate, &good).status, 202);
    expect_end(&mut bob, "the issuer has ended the session");
    assert_eq!(tell(&gate, &good).status, 202, "told again, it is acknowledged again");
    assert_eq!(gate.events("trust_ended", 1).len(), 1, "and done once");
    assert_eq!(refused(&gate.connect_with(&old).user("x")).field(b'C'), "28000");
    let mut again = open(&gate, &token(&signer, "bob", 0, None));
    assert_eq!(again.rows("SELECT 1"), "1");
}

#[test]
fn an_issuer_that_is_taken_out_of_the_configuration_is_trusted_no_more() {
    let signer = Signer::start();
    let gate = start(&signer);
    let token = token(&signer, "alice", 0, None);
    let mut alice = open(&gate, &token);
    let mut other = gate.open("support-agent");
    let path = gate.gateway.home().join("gatepost.toml");
    let whole = fs::read_to_string(&path).unwrap();

    fs::write(&path, format!("{whole}\n[limts]\n")).unwrap();
    let said = || gate.gateway.log().contains("the changed configuration is refused").then_some(());
    poll(SOON, said).expect("a broken file is refused");
    assert_eq!(alice.rows("SELECT 1"), "1", "and changes nothing");
    // What is back as it was is nothing new. (The command line reads this file too.)
    fs::write(&path, &whole).unwrap();
    let broken = gate.events("configuration_reloaded", 1).remove(0);
    assert!(
        broken["config_hash"].is_null() && broken["detail"].as_str().unwrap().contains("limts"),
        "{broken}"
    );

    let (before, rest) = whole.split_once("[[issuer]]\nname = \"idp\"").unwrap();
    let (_, after) = rest.split_once("[[database]]").unwrap();
    fs::write(&path, format!("{before}[[database]]{after}")).unwrap();
    expect_end(&mut alice, "issuer \"idp\" is no longer trusted");
    assert_eq!(refused(&gate.connect_with(&token).user("x")).field(b'C'), "28000");
    assert_eq!(other.rows("SELECT 1"), "1", "nobody else notices");

    fs::write(&path, format!("{whole}\n[[auth]]\nmatch = {{ user = \"support-agent\" }}\nmethod = \"reject\"\n[[auth]]\nmatch = {{}}\nmethod = \"token\"\n")).unwrap();
    expect_end(&mut other, "no [[auth]] rule");
    let back = || gate.connect_with(&token).user("x").try_open().ok();
    assert_eq!(poll(SOON, back).unwrap().rows("SELECT 1"), "1", "and what is put back is trusted again");
}

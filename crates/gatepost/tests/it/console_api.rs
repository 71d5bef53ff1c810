//! Logins with a browser, and what the HTTP API lets whom do; by hand, so that a test sends what it means to send.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Answer, request};
use crate::signer::{Signer, now};
use crate::stage::{repository, token};
use crate::visitor::{
    Begun, ORIGIN, ask, begin, change, claims, come_back, cookie, header, http, log_in, start,
};

#[test]
fn somebody_logs_in_acts_and_logs_out() {
    let signer = Signer::start();
    let gate = start(&signer);
    let session = log_in(&gate, &signer, "dora", &["dba"]);
    let me = ask(&gate, "GET /api/v1/me", &session).json();
    assert_eq!(me["identity"], "idp:dora");
    assert_eq!(me["roles"], json!(["viewer", "auditor", "operator"]));
    assert_eq!((&me["via"], &me["email"]), (&json!("browser"), &json!("a@example.com")));
    let csrf = me["csrf"].as_str().unwrap();
    let kill = "POST /api/v1/sessions/kill";
    let body = json!({ "kind": "identity", "value": "corp:nobody-there", "how": { "reason": "drill" } });
    // Another site's page, and one that doesn't know the token.
    assert_eq!(change(&gate, kill, &session, csrf, "https://evil.example", &body).status, 403);
    assert_eq!(change(&gate, kill, &session, csrf, "null", &body).status, 403);
    assert_eq!(change(&gate, kill, &session, "", ORIGIN, &body).status, 403);
    assert_eq!(change(&gate, kill, &session, "0".repeat(64).as_str(), ORIGIN, &body).status, 403);
    let plain =
        request(http(&gate), kill, &[("Cookie", &session), ("X-CSRF-Token", csrf)], &body.to_string());
    assert_eq!(plain.status, 403, "a browser says where it comes from");
    assert_eq!(change(&gate, kill, &session, csrf, ORIGIN, &body).status, 200);
    assert_eq!(gate.events("sessions_ended", 1)[0]["by"], "idp:dora");
    let record = &gate.events("logged_in", 1)[0];
    assert_eq!((&record["by"], &record["issuer_session"]), (&json!("idp:dora"), &json!("sid-dora")));

    assert_eq!(change(&gate, "POST /logout", &session, "", ORIGIN, &json!({})).status, 403);
    assert_eq!(ask(&gate, "GET /api/v1/me", &session).status, 200, "nobody else logs them out");
    assert_eq!(change(&gate, "POST /logout", &session, csrf, ORIGIN, &json!({})).status, 200);
    assert_eq!(ask(&gate, "GET /api/v1/me", &session).status, 401);
    assert_eq!(gate.events("logged_out", 1)[0]["reason"], "logout");
}

#[test]
fn what_is_wrong_with_a_login_lets_nobody_in() {
    let signer = Signer::start();
    let gate = start(&signer);
    let refused = |what: &str, answer: &Answer, word: &str| {
        assert_eq!(answer.status, 303, "{what}: {}", answer.body);
        assert_eq!(header(answer, "location"), Some(format!("/?login={word}").as_str()), "{what}");
        assert_eq!(cookie(answer, "gatepost"), None, "{what}");
    };
    for (what, changes, key, word) in [
        ("nonce", json!({ "nonce": "another" }), "own", "failed"),
        ("no nonce", json!({ "nonce": null }), "own", "failed"),
        ("audience", json!({ "aud": "gatepost" }), "own", "failed"),
        ("azp", json!({ "aud": ["gatepost-console", "x"], "azp": "x" }), "own", "failed"),
        ("no azp", json!({ "aud": ["gatepost-console", "x"] }), "own", "failed"),
        ("at_hash", json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" }), "own", "failed"),
        ("issuer", json!({ "iss": "https://idp.example" }), "own", "failed"),
        ("expired", json!({ "exp": now() - 120 }), "own", "failed"),
        ("old", json!({ "iat": now() - 3600 }), "own", "failed"),
        ("signature", json!({}), "stranger", "failed"),
        ("no role", json!({ "groups": ["everyone"] }), "own", "forbidden"),
    ] {
        let begun = begin(&gate, "/");
        let id_token = signer.sign(json!({}), claims(&begun, "eve", &["dba"], changes), key);
        signer.answer(json!({ "id_token": id_token, "access_token": "t", "token_type": "Bearer" }));
        refused(what, &come_back(&gate, &signer, &begun, &begun.query["state"]), word);
    }
}

#[test]
fn an_answer_counts_once_for_the_browser_that_asked() {
    let signer = Signer::start();
    let gate = start(&signer);
    let location = |answer: &Answer| header(answer, "location").unwrap().to_owned();
    let begun = begin(&gate, "/");
    let good = signer.sign(json!({}), claims(&begun, "dora", &["dba"], json!({})), "own");
    signer.answer(json!({ "id_token": good }));
    assert_eq!(location(&come_back(&gate, &signer, &begun, "made-up")), "/?login=expired");
    // Another browser, which has not begun it: whoever sent it there is not logged in, and it is spent.
    let other = begin(&gate, "/");
    let stolen = Begun { cookie: other.cookie.clone(), query: BTreeMap::new() };
    assert_eq!(location(&come_back(&gate, &signer, &stolen, &begun.query["state"])), "/?login=expired");
    assert_eq!(location(&come_back(&gate, &signer, &begun, &begun.query["state"])), "/?login=expired");

    // The answer of another issuer (RFC 9207), and one that doesn't say whose it is.
    for iss in ["&iss=https%3A%2F%2Fevil.example", ""] {
        let begun = begin(&gate, "/");
        let line = format!("GET /login/callback?code=c&state={}{iss}", begun.query["state"]);
        let answer = request(http(&gate), &line, &[("Cookie", &begun.cookie)], "");
        assert_eq!(location(&answer), "/?login=failed");
    }
    // The issuer refuses the code, as one that was used.
    let begun = begin(&gate, "/");
    signer.answer(json!({ "error": "invalid_grant" }));
    assert_eq!(location(&come_back(&gate, &signer, &begun, &begun.query["state"])), "/?login=failed");
    // No other site is led to after a login.
    for to in ["//evil.example", "/%5Cevil.example", "https:%2F%2Fevil.example", "/%0d%0aset-cookie:%20x=y"] {
        let begun = begin(&gate, to);
        let id_token = signer.sign(json!({}), claims(&begun, "dora", &["dba"], json!({})), "own");
        signer.answer(json!({ "id_token": id_token }));
        assert_eq!(location(&come_back(&gate, &signer, &begun, &begun.query["state"])), "/", "{to}");
    }
}

#[test]
fn a_login_ends_with_the_trust_that_it_came_from() {
    let signer = Signer::start();
    let gate = start(&signer);
    let dead = |session: &str| assert_eq!(ask(&gate, "GET /api/v1/me", session).status, 401);
    let session = log_in(&gate, &signer, "dora", &["dba"]);
    let logout = signer.sign(
        json!({ "typ": "logout+jwt" }),
        json!({ "aud": "gatepost", "exp": now() + 60, "jti": "l-1", "sid": "sid-dora", "events": { "http://schemas.openid.net/event/backchannel-logout": {} } }),
        "own",
    );
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let told = request(http(&gate), "POST /backchannel-logout", &form, &format!("logout_token={logout}"));
    assert_eq!(told.status, 200, "{}", told.body);
    dead(&session);

    let session = log_in(&gate, &signer, "vera", &["lookers"]);
    assert_eq!(ask(&gate, "GET /api/v1/blocks", &session).status, 200);
    let bearer = format!("Bearer {}", token("admin"));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let kill = json!({ "kind": "identity", "value": "idp:vera" }).to_string();
    assert_eq!(request(http(&gate), "POST /api/v1/sessions/kill", &headers, &kill).status, 200);
    dead(&session);
    // Made-up ones, and two at once.
    dead("gatepost=0123456789abcdef");
    let session = log_in(&gate, &signer, "vera", &["lookers"]);
    dead(&format!("{session}; gatepost=x"));
}

#[test]
fn every_route_is_for_whom_the_table_says() {
    let signer = Signer::start();
    let gate = start(&signer);
    let text = std::fs::read_to_string(repository("docs/reference/openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let served = ask(&gate, "GET /api/v1/openapi.json", &log_in(&gate, &signer, "v", &["lookers"])).json();
    assert_eq!(served, document, "the gateway serves what is documented");
    let people = [("viewer", "lookers"), ("approver", "leads"), ("auditor", "auditors"), ("operator", "dba")];
    let people = people.map(|(role, group)| {
        let session = log_in(&gate, &signer, role, &[group]);
        let csrf = ask(&gate, "GET /api/v1/me", &session).json()["csrf"].as_str().unwrap().to_owned();
        (role, session, csrf)
    });
    let may = |role: &str, needs: &str| match needs {
        "somebody" | "person" | "viewer" => true,
        "approver" => role != "viewer",
        "auditor" => matches!(role, "auditor" | "operator"),
        "operator" => role == "operator",
        other => panic!("{other}"),
    };
    for (path, operations) in document["paths"].as_object().unwrap() {
        let real = path.replace("{database}", "shop").replace("{act}", "approve").replace("{number}", "1");
        let real = real
            .replace("{id}", "none")
            .replace("{issuer}", "corp")
            .replace("{subject}", "x")
            .replace("{seq}", "1");
        for (verb, operation) in operations.as_object().unwrap() {
            let needs = operation["x-gatepost-needs"].as_str().unwrap();
            let line = format!("{} {real}", verb.to_uppercase());
            if path == "/api/v1/events" {
                continue;
            }
            assert_eq!(request(http(&gate), &line, &[], "").status, 401, "{line} without a login");
            for (role, session, csrf) in &people {
                let answer = change(&gate, &line, session, csrf, ORIGIN, &json!({}));
                let expected = may(role, needs);
                let by_role = answer.status == 403 && answer.body.contains("this needs the role");
                assert_eq!(!by_role, expected, "{line} as {role}: {} {}", answer.status, answer.body);
                assert!(!matches!(answer.status, 401 | 405 | 500), "{line} as {role}: {}", answer.status);
                if verb != "get" {
                    let answer = change(&gate, &line, session, "", ORIGIN, &json!({}));
                    assert_eq!(answer.status, 403, "{line} without the login's token");
                }
            }
        }
    }
}

#[test]
fn events_begin_with_hello_and_end_with_the_login() {
    let signer = Signer::start();
    let gate = start(&signer);
    let session = log_in(&gate, &signer, "vera", &["lookers"]);
    let mut stream = TcpStream::connect(http(&gate)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let host = http(&gate);
    write!(
        stream,
        "GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nLast-Event-ID: other-1\r\n\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut until = |what: &str| lines.by_ref().find(|line| line.contains(what)).is_some();
    assert!(until("text/event-stream") && until("event: hello") && until("\"resync\":true"));
    assert!(until("event: resync"), "it was told by another run of the gateway before");
    let _open = gate.open("support-agent");
    assert!(until("event: session"));
    let bearer = format!("Bearer {}", token("admin"));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let kill = json!({ "kind": "identity", "value": "idp:vera" }).to_string();
    assert_eq!(request(http(&gate), "POST /api/v1/sessions/kill", &headers, &kill).status, 200);
    assert!(until("event: bye") && until("logged out"));
}

#[test]
fn a_name_that_is_not_ours_is_answered_with_nothing() {
    let signer = Signer::start();
    let gate = start(&signer);
    let to = http(&gate);
    let asked = |host: &str, path: &str| {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    assert_eq!(asked("evil.example", "/login"), 421);
    assert_eq!(asked("127.0.0.1.evil.example", "/api/v1/me"), 421);
    assert_eq!(asked("localhost:9", "/api/v1/me"), 401);
    assert_eq!(asked(&to.to_string(), "/api/v1/me"), 401);
    assert_eq!(asked("probe.internal", "/healthz"), 200);
}

//! One of each event, and what their records say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use audit::{
    Chain, Completion, Decision, Durability, Encoded, Event, Fragment, Frame, HEADER_BYTES, IdentityForm,
    JournalId, MaskUse, Outcome, PARAMETER_BYTES_MAX, Parameter, Protocol, Refusal, Seq, SessionStarted,
    Statement, Time, Touch, TouchFacts, Verdict, render,
};
use model::{ClientAddr, Identity, SessionId};
use serde_json::Value;

const SESSION: SessionId = SessionId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

pub(crate) fn identity() -> Identity {
    Identity {
        issuer: "corp".into(),
        subject: "agent-7".into(),
        name: Some("Agent \"Seven\"\nroot".into()),
        groups: BTreeSet::from(["support".into(), "\u{1b}[2Jadmins".into()]),
        attributes: BTreeMap::from([("te\"am".into(), "blue\r".into())]),
        token_id: Some("jti-1".into()),
        on_behalf_of: None,
    }
}

fn client() -> ClientAddr {
    ClientAddr("[2001:db8::1]:5432".parse().unwrap())
}

fn decision() -> Fragment {
    Decision {
        kind: "select",
        touches: vec![Touch {
            action: "select",
            kind: "relation",
            name: "public.customers",
            columns: vec!["id", "email"],
            facts: TouchFacts::default(),
        }],
        rules: vec!["policy0"],
        masks: vec![MaskUse { column: "public.customers.email", mask: "email" }],
        approvers: vec!["support-leads"],
        facts: None,
    }
    .render()
}

pub(crate) fn statement<T>(text: &str, parameters: &[Parameter<'_>], then: impl FnOnce(Event<'_>) -> T) -> T {
    let form = IdentityForm(&identity()).render();
    then(Event::Statement(Statement {
        session: SESSION,
        statement: 3,
        identity: &form,
        client: client(),
        application_name: "psql\u{202e}",
        database: "app",
        protocol: Protocol::Extended,
        text,
        parameters,
        decision: &decision(),
        verdict: Verdict::Deny,
        refusal: Some(Refusal { sqlstate: "42501", message: "not \"visible\"" }),
        durability: Durability::Written,
        approval: None,
    }))
}

/// One of each event, in a fixed order with fixed content: the golden file is made of them.
pub(crate) fn each(mut give: impl FnMut(Event<'_>)) {
    let identity = identity();
    let form = IdentityForm(&identity).render();
    give(Event::GatewayStarted { version: "0.1.0", config_hash: "c0ffee" });
    give(Event::PolicyLoaded { database: "app", bundle: "app", version: "1", hash: "beef" });
    give(Event::PolicyRefused { database: "app", reason: "a.cedar:1: unexpected\n  ^" });
    give(Event::Connected {
        session: SESSION,
        client: client(),
        tls: Some("TLSv1.3 TLS13_AES_256_GCM_SHA384"),
    });
    give(Event::AuthenticationFailed {
        session: SESSION,
        client: client(),
        user: Some("postgres"),
        database: None,
        method: Some("token"),
        reason: "token expired at 12:00",
        issuer: Some("https://idp.example.com"),
        subject: None,
    });
    give(Event::SessionStarted(SessionStarted {
        session: SESSION,
        client: client(),
        identity: &identity,
        method: "oauthbearer",
        user: "app",
        database: "app",
        application_name: "psql",
        backend_pid: 4711,
        bundle: "app",
        bundle_version: "1",
        bundle_hash: "beef",
        expires_at: Some(Time(1_764_000_000_000_000_000)),
        prior_actors: &[],
    }));
    statement(
        "select *\nfrom t -- \u{1b}[31m",
        &[Parameter::Null, Parameter::Text(b"a\"\n"), Parameter::Binary(&[0, 255]), Parameter::Withheld(9)],
        &mut give,
    );
    for completion in
        [Completion::Completed("SELECT 2"), Completion::Failed("23505"), Completion::Lost("client gone")]
    {
        give(Event::Outcome(Outcome {
            session: SESSION,
            statement: 3,
            completion,
            rows: 2,
            bytes: 77,
            duration: Duration::from_micros(1234),
        }));
    }
    give(Event::Incident {
        session: Some(SESSION),
        statement: Some(3),
        identity: Some(&form),
        database: Some("app"),
        kind: "unseen_masked_column",
        detail: "column 2",
    });
    give(Event::Disconnected {
        session: SESSION,
        client: client(),
        identity: Some(&form),
        database: Some("app"),
        reason: "terminated",
        statements: 3,
        bytes: 77,
    });
    give(Event::ClockStepped { from: Time(2_000_000_000), to: Time(0) });
    give(Event::JournalRecovered { segment: "s", offset: 72, bytes: 9, sha256: "ab", kept_as: "s.torn" });
    give(Event::JournalFaulted { operation: "write", detail: "No space left", first: Seq(7), last: Seq(9) });
    give(Event::GatewayStopped { reason: "drained" });
}

#[test]
fn what_a_legacy_account_is_warned_of_is_on_record() {
    let identity = Identity { issuer: "legacy".into(), subject: "billing".into(), ..identity() };
    let form = IdentityForm(&identity).render();
    let event = Event::LegacyAccountEnds {
        session: SESSION,
        client: client(),
        identity: &form,
        database: "app",
        until: "2027-03-31",
        owner: Some("erp team"),
    };
    assert_eq!((event.code().0, event.name()), (55, "legacy_account_ends"));
    let encoded = event.encode();
    let record: Value = serde_json::from_slice(encoded.payload()).unwrap();
    assert_eq!(record["identity"]["subject"], "billing");
    assert_eq!((&record["until"], &record["owner"]), (&"2027-03-31".into(), &"erp team".into()));
}

/// A segment of one of each event, a second apart.
pub(crate) fn segment(chain: &mut Chain) -> Vec<u8> {
    let mut bytes = chain.header().to_bytes().to_vec();
    let mut second = 1_763_900_000;
    each(|event| {
        chain.append(Time(second * 1_000_000_000), &event.encode(), &mut bytes).unwrap();
        second += 1;
    });
    bytes
}

fn json(event: &Event<'_>) -> Value {
    let encoded = event.encode();
    let text = std::str::from_utf8(encoded.payload()).unwrap();
    assert!(!text.chars().any(|c| c.is_control() || "\u{202e}\u{2028}".contains(c)), "{text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_event_is_one_line_and_one_object_with_its_name() {
    let mut codes = BTreeSet::new();
    each(|event| {
        let value = json(&event);
        assert_eq!(value["event"], event.name());
        codes.insert((event.code().0, event.name()));
    });
    let distinct: BTreeSet<u16> = codes.iter().map(|(code, _)| *code).collect();
    assert_eq!(distinct.len(), codes.len(), "a code names one event");
    assert_eq!(codes.len(), 14, "each() gives one of each event");
}

#[test]
fn a_statement_keeps_text_and_parameters_exactly() {
    let text = "select '\u{0}\u{1b}\n', \u{202e} \"x\"";
    let long = "é".repeat(PARAMETER_BYTES_MAX);
    let parameters = [
        Parameter::Null,
        Parameter::Text(b"plain"),
        Parameter::Text(b"\xff"),
        Parameter::Binary(b"\x00\x01"),
        Parameter::Text(long.as_bytes()),
        Parameter::Withheld(12),
    ];
    let value = statement(text, &parameters, |event| json(&event));
    assert_eq!(value["text"], text);
    assert_eq!(value["application_name"], "psql\u{202e}");
    let written = &value["parameters"];
    assert_eq!(written[0], Value::Null);
    assert_eq!(written[1]["text"], "plain");
    assert_eq!(written[2]["hex"], "ff");
    assert_eq!(written[3]["hex"], "0001");
    assert_eq!(written[4]["text"], "é".repeat(PARAMETER_BYTES_MAX / 2));
    assert_eq!(written[4]["bytes"], 2 * PARAMETER_BYTES_MAX);
    assert_eq!(written[4]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(written[5]["withheld_bytes"], 12);
    assert_eq!(value["identity"]["subject"], "agent-7");
    assert_eq!(value["decision"]["touches"][0]["name"], "public.customers");
    assert_eq!(value["session"], "0123456789abcdef0123456789abcdef");
}

#[test]
fn what_is_rendered_once_is_a_fragment() {
    for fragment in [decision(), IdentityForm(&identity()).render()] {
        assert_eq!(Fragment::parse(fragment.as_str()), Ok(fragment));
    }
}

#[test]
fn encoding_again_leaves_nothing_of_the_event_before() {
    let mut encoded: Encoded = Event::GatewayStarted { version: &"v".repeat(900), config_hash: "" }.encode();
    let event = Event::GatewayStopped { reason: "drained" };
    event.encode_into(&mut encoded);
    assert_eq!(encoded.payload(), event.encode().payload());
    assert_eq!(encoded.payload(), br#"{"event":"gateway_stopped","reason":"drained"}"#);
}

#[test]
fn a_line_joins_a_statement_with_its_outcome() {
    let bytes = segment(&mut Chain::new(JournalId([7; 16])));
    let mut rest = &bytes[HEADER_BYTES..];
    let mut records = Vec::new();
    while let Ok(frame) = Frame::parse(rest) {
        records.push(frame.record);
        rest = &rest[frame.bytes..];
    }
    let line = render::json_line(&records[6], Some(render::Joined::Outcome(&records[7])));
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["seq"], 7);
    assert_eq!(value["time"], "2025-11-23T12:13:26.000000Z");
    assert_eq!(value["outcome"]["seq"], 8);
    assert_eq!(value["outcome"]["tag"], "SELECT 2");
    assert_eq!(value["outcome"]["duration_us"], 1234);
    assert!(value["outcome"].get("session").is_none());
    let alone = render::json_line(&records[6], Some(render::Joined::Missing));
    assert_eq!(serde_json::from_str::<Value>(&alone).unwrap()["outcome"], Value::Null);
    for record in &records {
        serde_json::from_str::<Value>(&render::json_line(record, None)).unwrap();
    }
}

#[test]
fn what_becomes_of_streams_is_an_event() {
    let text = |event: Event<'_>| {
        let encoded = event.encode();
        (encoded.code().0, String::from_utf8(encoded.payload().to_vec()).unwrap())
    };
    assert_eq!(
        text(Event::StreamFailed { stream: "siem", reason: "closed", waiting: audit::Seq(7) }),
        (110, r#"{"event":"stream_failed","stream":"siem","reason":"closed","waiting":7}"#.to_owned())
    );
    assert_eq!(
        text(Event::StreamRecovered { stream: "siem", delivered: audit::Seq(9) }),
        (111, r#"{"event":"stream_recovered","stream":"siem","delivered":9}"#.to_owned())
    );
    assert_eq!(
        text(Event::StreamGap { stream: "siem", first: audit::Seq(1), last: audit::Seq(3) }),
        (112, r#"{"event":"stream_gap","stream":"siem","first":1,"last":3}"#.to_owned())
    );
}

#[test]
fn what_was_done_to_trust_says_who_did_it() {
    let text = |event: Event<'_>| {
        let encoded = event.encode();
        (encoded.code().0, String::from_utf8(encoded.payload().to_vec()).unwrap())
    };
    let sessions = [model::SessionId(1)];
    let id = "00000000000000000000000000000001";
    assert_eq!(
        text(Event::SessionsEnded {
            by: "corp:oncall",
            selector: "group agents",
            reason: "drill",
            sessions: &sessions,
            block: None
        }),
        (
            60,
            format!(
                r#"{{"event":"sessions_ended","by":"corp:oncall","selector":"group agents","reason":"drill","sessions":["{id}"],"block":null}}"#
            )
        )
    );
    assert_eq!(
        text(Event::BlockAdded {
            by: "local:uid=0",
            block: "ab",
            selector: "identity corp:a",
            reason: "r",
            until: Some(Time(0)),
            issued_until: None
        }),
        (
            61,
            r#"{"event":"block_added","by":"local:uid=0","block":"ab","selector":"identity corp:a","reason":"r","until":"1970-01-01T00:00:00.000000Z","issued_until":null}"#.to_owned()
        )
    );
    assert_eq!(
        text(Event::BlockRemoved { by: "corp:oncall", block: "ab", selector: "identity corp:a" }),
        (
            62,
            r#"{"event":"block_removed","by":"corp:oncall","block":"ab","selector":"identity corp:a"}"#
                .to_owned()
        )
    );
    assert_eq!(
        text(Event::TrustEnded {
            issuer: "corp",
            kind: "session-revoked",
            subject: Some("a"),
            issuer_session: None,
            token_id: "j",
            sessions: &sessions
        }),
        (
            63,
            format!(
                r#"{{"event":"trust_ended","issuer":"corp","kind":"session-revoked","subject":"a","issuer_session":null,"token_id":"j","sessions":["{id}"]}}"#
            )
        )
    );
    assert_eq!(
        text(Event::ControlRefused { act: "kill", client: None, by: None, reason: "why" }),
        (64, r#"{"event":"control_refused","act":"kill","client":null,"by":null,"reason":"why"}"#.to_owned())
    );
    assert_eq!(
        text(Event::LoggedIn {
            by: "corp:a",
            client: None,
            issuer_session: Some("s"),
            roles: &["viewer", "approver"],
            until: std::time::SystemTime::UNIX_EPOCH.into()
        }),
        (
            90,
            r#"{"event":"logged_in","by":"corp:a","client":null,"issuer_session":"s","roles":["viewer","approver"],"until":"1970-01-01T00:00:00.000000Z"}"#
                .to_owned()
        )
    );
    assert_eq!(
        text(Event::LoggedOut { by: "corp:a", reason: "logout", logins: 2 }),
        (91, r#"{"event":"logged_out","by":"corp:a","reason":"logout","logins":2}"#.to_owned())
    );
    assert_eq!(
        text(Event::ConfigurationReloaded { config_hash: None, detail: "broken" }),
        (65, r#"{"event":"configuration_reloaded","config_hash":null,"detail":"broken"}"#.to_owned())
    );
}

//! HTTP and OpenTelemetry: what is sent, and what counts as arrived.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use approval::Stamp;
use config::{SecretRef, StreamKind};
use model::Secret;
use notifier::{WebhookHeaders, WebhookSecret};
use serde_json::{Value, json};
use testkit::http::{Answer, Request, Server};
use testkit::process::poll;

use crate::bench::{Around, Bench, SOON, numbers, stream};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A server that answers the nth request as it is told to, and what it was asked.
fn server(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> (Server, Arc<Mutex<Vec<Request>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    let server = Server::start(move |request| {
        let mut kept = kept.lock().unwrap();
        kept.push(request.clone());
        answer(kept.len())
    });
    (server, heard)
}

fn around() -> Around {
    let secrets = [("S".to_owned(), SECRET.to_owned()), ("A".to_owned(), "Bearer xyz".to_owned())];
    Around { secrets: secrets.into(), ..Around::default() }
}

fn url(server: &Server) -> String {
    format!("{}/in?x=1", server.url())
}

#[test]
fn what_arrives_over_http_is_signed_and_whole() {
    let (server, heard) = server(|_| Answer::status(204));
    let bench = Bench::new("http", around());
    bench.records(1200);
    bench
        .run(stream(StreamKind::Http { url: url(&server), secret: SecretRef::Env("S".to_owned()) }))
        .finish();
    let heard = heard.lock().unwrap();
    let all: Vec<u64> = heard.iter().flat_map(|request| numbers(&request.body)).collect();
    assert_eq!(all, (1..=1200).collect::<Vec<_>>());
    let secret = WebhookSecret::parse(&Secret::new(SECRET.to_owned())).unwrap();
    let now = Stamp::from(std::time::SystemTime::now());
    for request in heard.iter() {
        let headers = WebhookHeaders {
            id: Some(request.header("webhook-id")),
            timestamp: Some(request.header("webhook-timestamp")),
            signature: Some(request.header("webhook-signature")),
        };
        secret.verify(headers, request.body.as_bytes(), now).unwrap();
    }
    let journal = journal::id(&bench.path("journal")).unwrap();
    assert_eq!(heard[0].header("webhook-id"), format!("{journal}-1-500"));
    assert_eq!(heard[0].header("content-type"), "application/x-ndjson");
}

#[test]
fn what_was_not_taken_is_sent_again_in_order() {
    // Refused, never answered in time, redirected; then taken.
    let (server, heard) = server(|nth| match nth {
        1 => Answer::status(503),
        2 => Answer { delay: Duration::from_secs(2), ..Answer::status(204) },
        3 => Answer {
            headers: vec![("Location".to_owned(), "http://127.0.0.1:1/".to_owned())],
            ..Answer::status(302)
        },
        _ => Answer::status(204),
    });
    let bench = Bench::new("httpagain", around());
    bench.records(2);
    let sent = StreamKind::Http { url: url(&server), secret: SecretRef::Env("S".to_owned()) };
    let sent = config::Stream { timeout: Duration::from_millis(500), ..stream(sent) };
    let running = bench.run(sent);
    bench.hears("recovered");
    running.finish();
    let told: Vec<_> = bench.heard().into_iter().filter(|it| it != "nothing").collect();
    assert_eq!(told[0], "failed true 1: the answer has status 503");
    assert_eq!(told[1], "failed false 1: a delivery took longer than 500 ms");
    assert!(told[2].contains("status 302, a redirect, which is not followed"), "{told:?}");
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 4);
    assert!(heard.iter().all(|request| numbers(&request.body) == [1, 2]));
    assert!(heard.iter().all(|request| request.header("webhook-id") == heard[0].header("webhook-id")));
}

#[test]
fn logs_of_opentelemetry_carry_what_is_asked_for_most() {
    let (server, heard) = server(|_| Answer::json(&json!({"partialSuccess": {}})));
    let bench = Bench::new("otlp", around());
    bench.records(2);
    let headers = [("Authorization".to_owned(), SecretRef::Env("A".to_owned()))].into();
    bench.run(stream(StreamKind::Otlp { url: url(&server), headers })).finish();
    let heard = heard.lock().unwrap();
    assert_eq!(heard[0].header("authorization"), "Bearer xyz");
    let body: Value = serde_json::from_str(&heard[0].body).unwrap();
    let resource = &body["resourceLogs"][0];
    assert_eq!(
        resource["resource"]["attributes"][0],
        json!({"key": "service.name", "value": {"stringValue": "gatepost"}})
    );
    let records = resource["scopeLogs"][0]["logRecords"].as_array().unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["eventName"], "gatepost.policy_refused");
    assert_eq!(records[0]["severityText"], "WARN");
    assert!(records[0]["timeUnixNano"].as_str().unwrap().len() == 19);
    assert_eq!(numbers(records[1]["body"]["stringValue"].as_str().unwrap()), [2]);
    let attributes = records[1]["attributes"].as_array().unwrap();
    assert!(attributes.contains(&json!({"key": "gatepost.seq", "value": {"intValue": "2"}})));
    assert!(attributes.contains(&json!({"key": "db.namespace", "value": {"stringValue": "shop"}})));
}

#[test]
fn events_that_a_collector_rejects_are_not_given_up_silently() {
    let (server, heard) = server(|_| Answer::json(&json!({"partialSuccess": {"rejectedLogRecords": "1"}})));
    let bench = Bench::new("rejected", around());
    bench.records(2);
    let running = bench.run(stream(StreamKind::Otlp { url: url(&server), headers: Default::default() }));
    bench.hears("failed false 1: the collector has rejected 1 of 2 events");
    running.stop_at_once();
    assert_eq!(bench.standing().position, 0);
    assert!(poll(SOON, || (heard.lock().unwrap().len() > 1).then_some(())).is_some());
}

#[test]
fn a_secret_that_is_none_is_told_and_not_repeated() {
    let (server, _) = server(|_| Answer::status(204));
    let secrets = [("S".to_owned(), "hunter2".to_owned())].into();
    let bench = Bench::new("secret", Around { secrets, ..Around::default() });
    bench.records(1);
    let running =
        bench.run(stream(StreamKind::Http { url: url(&server), secret: SecretRef::Env("S".to_owned()) }));
    bench.hears("the secret must begin with whsec_");
    running.stop_at_once();
    assert!(!format!("{:?}{:?}", bench.heard(), bench.standing()).contains("hunter2"));
}

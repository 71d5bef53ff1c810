//! Spans through the exporter to a collector that reads them with OpenTelemetry's own types.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use model::Secret;
use otlp::{Exporter, Headers, Kind, Settings, Span, SpanIds, Status, TraceId, Value};
use testkit::collector::Collector;
use testkit::http::Answer;
use testkit::tls::Authority;

const SOON: Duration = Duration::from_secs(20);

fn headers(value: &'static str) -> Headers {
    Box::new(move || {
        Box::pin(async move { Ok(vec![("authorization".to_owned(), Secret::new(value.to_owned()))]) })
    })
}

fn settings(url: &str) -> Settings {
    Settings {
        endpoint: format!("{url}/v1/traces"),
        timeout: Duration::from_secs(5),
        ca: None,
        resource: vec![("service.name", "gatepost".to_owned())],
        headers: headers("Bearer t0ken"),
    }
}

fn span(ids: &mut SpanIds, name: &str) -> Span {
    let start = SystemTime::UNIX_EPOCH + Duration::new(1_800_000_000, 7);
    Span {
        trace: TraceId::new(5).unwrap(),
        id: ids.next_id(),
        parent: None,
        name: name.to_owned(),
        kind: Kind::Server,
        start,
        end: start + Duration::from_millis(3),
        attributes: vec![
            ("a.word", Value::Word("w")),
            ("a.name", Value::Name("näme".to_owned())),
            ("a.number", Value::Number(-3)),
            ("a.truth", Value::Truth(true)),
        ],
        events: vec![("half", start + Duration::from_millis(1))],
        links: vec![(TraceId::new(9).unwrap(), ids.next_id())],
        status: Status::Error,
    }
}

/// Until all that was sent has become something.
async fn settled(exporter: &Exporter) {
    let wait = async {
        while exporter.counts().queued() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("something becomes of it");
}

#[tokio::test]
async fn opentelemetry_s_own_types_read_what_was_meant() {
    let collector = Collector::start();
    let exporter = Exporter::start(settings(&collector.url())).unwrap();
    let mut ids = SpanIds::new(1);
    let outer = span(&mut ids, "outer");
    let inner =
        Span { parent: Some(outer.id), kind: Kind::Client, status: Status::Unset, ..span(&mut ids, "inner") };
    exporter.send(vec![outer.clone(), inner]);
    settled(&exporter).await;
    assert_eq!((exporter.counts().sent(), exporter.counts().undelivered()), (2, 0));
    let posted = collector.posted();
    let [posted] = posted.as_slice() else { panic!("{posted:#?}") };
    assert_eq!((posted.request.method.as_str(), posted.request.path.as_str()), ("POST", "/v1/traces"));
    assert_eq!(posted.request.header("content-type"), "application/x-protobuf");
    assert_eq!(posted.request.header("authorization"), "Bearer t0ken");
    assert_eq!(posted.resource["service.name"], "gatepost");
    let [first, second] = posted.spans.as_slice() else { panic!("{posted:#?}") };
    assert_eq!((first.name(), second.name()), ("outer", "inner"));
    assert_eq!((first.span.kind, second.span.kind), (2, 3));
    assert!(first.is_root() && second.is_in(first));
    assert_eq!(first.span.trace_id, outer.trace.to_bytes());
    assert_eq!(first.span.span_id, outer.id.to_bytes());
    assert_eq!(first.times(), (1_800_000_000_000_000_007, 1_800_000_000_003_000_007));
    let said = ["a.word", "a.name", "a.number", "a.truth"].map(|key| first.get(key));
    assert_eq!(said, ["w", "näme", "-3", "true"]);
    let (event, link) = (&first.span.events[0], &first.span.links[0]);
    assert_eq!((event.name.as_str(), event.time_unix_nano), ("half", 1_800_000_000_001_000_007));
    assert_eq!(link.trace_id, TraceId::new(9).unwrap().to_bytes());
    assert_eq!(first.span.status.as_ref().map(|it| (it.code, it.message.as_str())), Some((2, "")));
    assert_eq!(second.span.status.as_ref(), None);
    assert_eq!(first.span.flags, 1);
}

#[tokio::test]
async fn what_is_over_for_a_while_is_sent_again_and_what_is_wrong_is_not() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let collector = Collector::answering(Box::new(move |nth| {
        counted.fetch_add(1, Ordering::Relaxed);
        match nth {
            0 => Answer { headers: vec![("Retry-After".to_owned(), "0".to_owned())], ..Answer::status(503) },
            1 => Collector::takes(0),
            2 => Answer::status(400),
            _ => Collector::takes(1),
        }
    }));
    let exporter = Exporter::start(settings(&collector.url())).unwrap();
    let (mut ids, counts) = (SpanIds::new(1), exporter.counts().clone());
    let seen = || [counts.sent(), counts.undelivered(), counts.rejected(), counts.queue_full()];
    for (spans, after) in [(1, [1, 0, 0, 0]), (2, [1, 2, 0, 0]), (3, [3, 2, 1, 0])] {
        exporter.send((0..spans).map(|_| span(&mut ids, "it")).collect());
        settled(&exporter).await;
        assert_eq!(seen(), after);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn too_much_for_a_collector_that_hangs_is_dropped_whole_and_counted() {
    let collector =
        Collector::answering(Box::new(|_| Answer { delay: Duration::from_secs(3), ..Collector::takes(0) }));
    let exporter = Exporter::start(settings(&collector.url())).unwrap();
    let mut ids = SpanIds::new(1);
    let one = span(&mut ids, "it");
    for _ in 0..1000 {
        exporter.send(vec![one.clone(); 10]);
    }
    let counts = exporter.counts();
    assert!(counts.queued() <= 8192, "{counts:?}");
    assert!(counts.queue_full() >= 1800 && counts.queue_full().is_multiple_of(10), "{counts:?}");
    let began = std::time::Instant::now();
    exporter.close(Duration::from_millis(100)).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_end_sends_what_waits_and_what_comes_later_is_dropped() {
    let collector = Collector::start();
    let exporter = Exporter::start(settings(&collector.url())).unwrap();
    let mut ids = SpanIds::new(1);
    for _ in 0..1500 {
        exporter.send(vec![span(&mut ids, "it")]);
    }
    exporter.close(SOON).await;
    assert_eq!(collector.spans().len(), 1500);
    exporter.send(vec![span(&mut ids, "late")]);
    let counts = exporter.counts();
    assert_eq!((counts.sent(), counts.undelivered(), counts.queued()), (1500, 1, 0));
}

#[tokio::test]
async fn nobody_listens_and_nothing_waits_for_long_at_the_end() {
    let exporter = Exporter::start(settings("http://127.0.0.1:1")).unwrap();
    let mut ids = SpanIds::new(1);
    exporter.send(vec![span(&mut ids, "it")]);
    exporter.close(SOON).await;
    let counts = exporter.counts();
    assert_eq!((counts.sent(), counts.undelivered(), counts.queued()), (0, 1, 0));
}

#[tokio::test]
async fn a_collector_shows_a_certificate_of_the_authority_that_is_named() {
    let (authority, strangers) = (Authority::new("ours"), Authority::new("another"));
    let collector = Collector::start_tls(&authority.issue(&["127.0.0.1"]));
    let mut ids = SpanIds::new(1);
    for (ca, taken) in [(authority.certificate(), 1), (strangers.certificate(), 0)] {
        let settings = Settings { ca: Some(ca.as_bytes().to_vec()), ..settings(&collector.url()) };
        let exporter = Exporter::start(settings).unwrap();
        exporter.send(vec![span(&mut ids, "it")]);
        exporter.close(SOON).await;
        assert_eq!(exporter.counts().sent(), taken);
    }
    let none = Settings { ca: Some(b"no certificate".to_vec()), ..settings("https://127.0.0.1:1") };
    assert!(Exporter::start(none).is_err());
}

//! Files, and what holds of every stream: where it begins, what goes by it, what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use audit::{Event, Seq};
use config::{StreamBegin, StreamKind, StreamStatement};
use model::Pattern;
use serde_json::Value;
use testkit::process::poll;

use crate::bench::{Around, Bench, SOON, numbers, open, stream};

fn file(bench: &Bench) -> config::Stream {
    stream(StreamKind::File { path: bench.path("out/audit.jsonl"), rotate_bytes: 1 << 30, keep: 3 })
}

#[test]
fn each_event_is_a_line_and_the_position_outlives_the_gateway() {
    let bench = Bench::new("file", Around::default());
    let path = bench.path("out/audit.jsonl");
    bench.records(3);
    bench.run(file(&bench)).finish();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(numbers(&text), [1, 2, 3]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(line["journal"], journal::id(&bench.path("journal")).unwrap().to_string());
    assert_eq!(line["hash"].as_str().unwrap().len(), 64);

    bench.records(2);
    let standing = bench.standing();
    assert_eq!((standing.position, standing.delivered, standing.error), (3, 3, None));
    let running = bench.run(file(&bench));
    poll(SOON, || (fs::read_to_string(&path).unwrap().lines().count() == 5).then_some(())).unwrap();
    // While it runs.
    let last = bench.records(1);
    poll(SOON, || (fs::read_to_string(&path).unwrap().lines().count() == 6).then_some(())).unwrap();
    running.finish();
    assert_eq!(Seq(bench.standing().position), last);
    assert_eq!(bench.heard(), ["nothing"]);
}

#[test]
fn half_a_line_of_a_crash_is_written_anew() {
    let bench = Bench::new("torn", Around::default());
    let path = bench.path("out/audit.jsonl");
    bench.records(2);
    bench.run(file(&bench)).finish();
    bench.records(1);
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{whole}{{\"seq\":3,\"ti")).unwrap();
    bench.run(file(&bench)).finish();
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()), [1, 2, 3]);
    // A file that is one long half of a line.
    fs::write(&path, "x".repeat(200_000)).unwrap();
    bench.records(1);
    bench.run(file(&bench)).finish();
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()), [4]);
}

#[test]
fn a_lost_position_means_again_and_never_less() {
    let bench = Bench::new("again", Around::default());
    let path = bench.path("out/audit.jsonl");
    bench.records(2);
    bench.run(file(&bench)).finish();
    fs::write(bench.path("state/streams/out.json"), "{").unwrap();
    bench.run(file(&bench)).finish();
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()), [1, 2, 1, 2]);
}

#[test]
fn files_are_set_aside_and_others_may_do_it_too() {
    let bench = Bench::new("rotate", Around::default());
    let path = bench.path("out/audit.jsonl");
    let small = || stream(StreamKind::File { path: path.clone(), rotate_bytes: 1000, keep: 2 });
    bench.records(20);
    bench.run(small()).finish();
    let read = |name: &str| fs::read_to_string(bench.path(name)).unwrap();
    let mut all = [read("out/audit.jsonl.2"), read("out/audit.jsonl.1"), read("out/audit.jsonl")].concat();
    let kept = numbers(&all);
    assert_eq!(kept.last(), Some(&20));
    assert!(kept.windows(2).all(|pair| pair[1] == pair[0] + 1), "{kept:?}");
    assert!(!bench.path("out/audit.jsonl.3").exists());
    assert!(fs::metadata(&path).unwrap().len() <= 1000);

    let running = bench.run(file(&bench));
    bench.records(1);
    poll(SOON, || read("out/audit.jsonl").contains("\"seq\":21").then_some(())).unwrap();
    fs::rename(&path, bench.path("out/elsewhere")).unwrap();
    bench.records(1);
    poll(SOON, || fs::read_to_string(&path).ok()?.contains("\"seq\":22").then_some(())).unwrap();
    running.finish();
    all = read("out/elsewhere");
    assert!(all.ends_with('\n') && !all.contains("\"seq\":22"));
}

#[test]
fn what_is_not_asked_for_does_not_leave() {
    let bench = Bench::new("filter", Around::default());
    let path = bench.path("out/audit.jsonl");
    bench.records(2);
    let now = std::time::SystemTime::now();
    let stopped = Event::GatewayStopped { reason: "signal" };
    let last = bench.journal().append(&stopped, now).unwrap();
    bench.durable(last);
    let only = config::Stream { events: vec![Pattern::new("gateway_*")], ..file(&bench) };
    bench.run(only).finish();
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()), [3]);
    // What does not go by it has arrived all the same.
    assert_eq!((bench.standing().position, bench.standing().delivered), (3, 1));
}

#[test]
fn texts_of_statements_stay_where_they_are_not_to_leave() {
    let bench = Bench::new("texts", Around::default());
    let requested = audit::Statement {
        session: model::SessionId(7),
        statement: 1,
        identity: &audit::Fragment::parse("{\"issuer\":\"corp\",\"subject\":\"a\"}").unwrap(),
        client: model::ClientAddr("127.0.0.1:5".parse().unwrap()),
        application_name: "psql",
        database: "shop",
        protocol: audit::Protocol::Extended,
        text: "SELECT 'canary-text'",
        parameters: &[audit::Parameter::Text(b"canary-parameter")],
        decision: &audit::Fragment::parse("{\"kind\":\"read\"}").unwrap(),
        verdict: audit::Verdict::Allow,
        refusal: None,
        durability: audit::Durability::Durable,
        approval: None,
    };
    let last = bench.journal().append(&Event::Statement(requested), std::time::SystemTime::now()).unwrap();
    bench.durable(last);
    let path = bench.path("out/audit.jsonl");
    for format in [config::StreamFormat::Gatepost, config::StreamFormat::Ocsf] {
        let quiet = config::Stream {
            statement: StreamStatement::None,
            format,
            name: format.as_str().to_owned(),
            ..file(&bench)
        };
        bench.run(quiet).finish();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("shop") && !text.contains("canary"), "{text}");
        let full = config::Stream { format, name: "full".to_owned() + format.as_str(), ..file(&bench) };
        bench.run(full).finish();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("canary-text") && text.contains("canary-parameter"), "{text}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_stream_may_begin_now() {
    let bench = Bench::new("now", Around::default());
    bench.records(2);
    let late = || config::Stream { begin: StreamBegin::Now, ..file(&bench) };
    bench.run(late()).finish();
    bench.records(1);
    bench.run(late()).finish();
    assert_eq!(numbers(&fs::read_to_string(bench.path("out/audit.jsonl")).unwrap()), [3]);
}

#[test]
fn another_journal_is_noticed_and_delivered_whole() {
    let mut bench = Bench::new("other", Around::default());
    bench.records(3);
    bench.run(file(&bench)).finish();
    for count in [5, 1] {
        bench.journal = None;
        fs::remove_dir_all(bench.path("journal")).unwrap();
        fs::remove_file(bench.path("out/audit.jsonl")).unwrap();
        bench.journal = Some(open(&bench.path("journal")));
        bench.records(count);
        bench.run(file(&bench)).finish();
        let all: Vec<u64> = (1..=count).collect();
        assert_eq!(numbers(&fs::read_to_string(bench.path("out/audit.jsonl")).unwrap()), all);
        // Nobody is told that what the other journal had has arrived.
        assert!(bench.heard().iter().filter(|it| *it == "nothing").count() >= 2);
        bench.around.heard.lock().unwrap().truncate(1);
    }
}

#[test]
fn a_disk_that_does_not_take_it_is_told_and_healed() {
    let bench = Bench::new("healed", Around::default());
    bench.records(2);
    // A folder stands where the file should be.
    fs::create_dir_all(bench.path("out/audit.jsonl")).unwrap();
    let running = bench.run(file(&bench));
    bench.hears("failed true 1: ");
    bench.hears("failed false 1: ");
    let told = poll(SOON, || bench.standing().error).unwrap();
    assert!(told.contains("audit.jsonl"), "{told}");
    fs::remove_dir(bench.path("out/audit.jsonl")).unwrap();
    bench.hears("recovered 0");
    running.finish();
    assert_eq!(numbers(&fs::read_to_string(bench.path("out/audit.jsonl")).unwrap()), [1, 2]);
    assert_eq!(bench.standing().error, None);
}

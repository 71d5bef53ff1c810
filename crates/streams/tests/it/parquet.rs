//! Parquet in an object store, as DuckDB reads it.

use std::process::Command;
use std::time::Duration;

use audit::{Completion, Event, Outcome};
use config::{ObjectPlace, ObjectStore, S3Credentials, S3Keys, SecretRef, StreamKind};
use testkit::process::tools;
use testkit::s3::S3;

use crate::bench::{Around, Bench, stream};

fn store(endpoint: Option<String>, place: ObjectPlace) -> ObjectStore {
    ObjectStore { name: "cold".to_owned(), place, prefix: String::new(), endpoint, ca: None }
}

fn files() -> config::Stream {
    let (object_store, prefix) = ("cold".to_owned(), "audit/shop".to_owned());
    let kind = StreamKind::Parquet { object_store, prefix, interval: Duration::from_secs(3600) };
    config::Stream { required: false, ..stream(kind) }
}

/// What DuckDB answers, a line for each row.
fn duckdb(sql: &str) -> Vec<String> {
    let script = "import duckdb, sys\nfor row in duckdb.sql(sys.argv[1]).fetchall(): print('|'.join(str(it) for it in row))";
    let python = tools().join("streams/bin/python");
    let output = Command::new(python).args(["-c", script, sql]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn duckdb_reads_what_was_written_by_day() {
    let scratch = testkit::scratch::Scratch::new("cold");
    let folder = scratch.path().join("cold");
    let around =
        Around { store: Some(store(None, ObjectPlace::Folder(folder.clone()))), ..Around::default() };
    let bench = Bench::new("parquet", around);
    bench.records(3);
    // Two days before that: a clock that went back.
    let before = std::time::SystemTime::now() - Duration::from_secs(2 * 86_400);
    let outcome = Outcome {
        session: model::SessionId(7),
        statement: 4,
        completion: Completion::Completed("SELECT 5"),
        rows: 5,
        bytes: 99,
        duration: Duration::from_micros(1500),
    };
    let last = bench.journal().append(&Event::Outcome(outcome), before).unwrap();
    bench.durable(last);
    bench.run(files()).finish();
    let glob = format!("'{}/audit/shop/*/*.parquet'", folder.display());
    let count = duckdb(&format!(
        "SELECT count(*), count(DISTINCT date), min(seq), max(seq) FROM read_parquet({glob}, hive_partitioning = true)"
    ));
    // Beside those four, the journal's own note of its clock.
    assert_eq!(count, ["5|2|1|5"]);
    let row = duckdb(&format!(
        "SELECT event, session, statement, tag, rows, bytes, duration_us, sqlstate, json_extract_string(record, '$.tag') FROM {glob} WHERE event = 'outcome'"
    ));
    assert_eq!(row, [format!("outcome|{:032x}|4|SELECT 5|5|99|1500|None|SELECT 5", 7)]);
    let types = duckdb(&format!(
        "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {glob}) WHERE column_name IN ('time', 'seq', 'text')"
    ));
    assert_eq!(types, ["seq|BIGINT", "time|TIMESTAMP WITH TIME ZONE", "text|VARCHAR"]);
    let day = duckdb(&format!(
        "SELECT count(*) FROM read_parquet({glob}, hive_partitioning = true) WHERE CAST(date AS DATE) <> CAST(time AT TIME ZONE 'UTC' AS DATE)"
    ));
    assert_eq!(day, ["0"]);

    // Once more from the beginning, as after a crash that lost the position: nothing is there twice.
    std::fs::remove_file(bench.path("state/streams/out.json")).unwrap();
    bench.records(2);
    bench.run(files()).finish();
    assert_eq!(duckdb(&format!("SELECT count(*), count(DISTINCT seq) FROM {glob}")), ["7|7"]);
}

#[test]
fn files_are_gathered_and_a_store_that_is_down_loses_nothing() {
    let mut server = S3::start(&["lake"]);
    let keys = S3Keys {
        access_key_id: SecretRef::Env("I".to_owned()),
        secret_access_key: SecretRef::Env("K".to_owned()),
        session_token: None,
    };
    let credentials = S3Credentials::Keys(Box::new(keys));
    let place = ObjectPlace::S3 { bucket: "lake".to_owned(), region: "us-east-1".to_owned(), credentials };
    let around = Around { store: Some(store(Some(server.endpoint()), place)), ..Around::default() };
    let bench = Bench::new("lake", around);
    bench.records(2);
    server.stop();
    let running = bench.run(files());
    bench.records(2);
    // Gathered, and nowhere yet.
    assert_eq!(bench.standing().position, 0);
    server.go_on();
    running.finish();
    assert_eq!(bench.standing().position, 4);
    let listed = server.request("GET /lake?list-type=2");
    assert_eq!(listed.matches("<Key>").count(), 1, "{listed}");
    assert!(listed.contains("audit/shop/date=2"), "{listed}");
}

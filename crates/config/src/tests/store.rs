//! `[store]` and `[telemetry]`.

use std::path::Path;
use std::time::Duration;

use super::{check_line, parse, whole};
use crate::{Metrics, StorePlace, Telemetry};

#[test]
fn without_a_word_the_store_is_a_file_in_the_state() {
    let config = parse(&whole("[state]\npath = \"/var/lib/gatepost\"")).unwrap();
    assert_eq!(config.store.place, StorePlace::Sqlite(Path::new("/var/lib/gatepost/store.db").to_owned()));
    assert_eq!(config.store.keep, Duration::from_secs(90 * 24 * 3600));
    assert_eq!(config.telemetry, Telemetry { metrics: Metrics::Viewer, otlp: None });
    let config = parse(&whole("[store]\nurl = \"sqlite:here.db\"")).unwrap();
    assert_eq!(config.store.place, StorePlace::Sqlite(Path::new("/etc/gatepost/here.db").to_owned()));
}

#[test]
fn a_store_that_proves_nothing_is_refused() {
    let user = "user = \"env:U\"";
    for mode in ["disable", "require", "verify-ca"] {
        check_line(
            &whole(&format!("[store]\nurl = \"postgres://db.internal/x?sslmode={mode}\"\n{user}")),
            "gatepost.toml:2:7: error: the store must prove who it is: write sslmode=verify-full, or leave it out on this host",
        );
    }
    for good in ["db.internal/x", "127.0.0.1:5433", "localhost/x?sslmode=disable", "/x?host=/run/postgresql"]
    {
        let config = parse(&whole(&format!("[store]\nurl = \"postgres://{good}\"\n{user}"))).unwrap();
        assert!(matches!(config.store.place, StorePlace::Postgres { .. }), "{good}");
    }
}

#[test]
fn stores_that_make_no_sense_say_how_to_mend_it() {
    for (text, told) in [
        ("url = \"postgres://h/x\"", "1:1: error: [store] lacks \"user\" (secret reference)"),
        ("password = \"env:P\"", "2:12: error: \"password\" is not for a store in a file; remove it"),
        ("url = \"sqlite:\"", "2:7: error: \"url\" must be \"sqlite:PATH\", without \"//\", \"?\" and \"#\""),
        (
            "url = \"sqlite://x\"",
            "2:7: error: \"url\" must be \"sqlite:PATH\", without \"//\", \"?\" and \"#\"",
        ),
        ("keep = \"1h\"", "2:8: error: \"keep\" must be from 1d to 3650d"),
        (
            "url = \"mysql://h/x\"\nuser = \"env:U\"",
            "2:7: error: \"url\" must begin with postgres://; a file is \"sqlite:PATH\"",
        ),
    ] {
        check_line(&whole(&format!("[store]\n{text}")), &format!("gatepost.toml:{told}"));
    }
    let leak = parse(&whole("[store]\nurl = \"postgres://u:hunter2@h/x\"")).unwrap_err();
    assert!(!leak.contains("hunter2") && leak.contains("name them in \"user\" and \"password\""), "{leak}");
    let leak = parse(&whole("[store]\nurl = \"postgres://h/x\"\nuser = \"env:U\"\npassword = \"hunter2\""))
        .unwrap_err();
    assert!(!leak.contains("hunter2"), "{leak}");
}

#[test]
fn numbers_are_for_viewers_or_nobody_else() {
    check_line(
        &whole("[telemetry]\nmetrics = \"public\""),
        "gatepost.toml:2:11: error: metrics \"public\" is neither \"local\" nor \"viewer\"",
    );
    let config = parse(&whole("[telemetry]\nmetrics = \"local\"")).unwrap();
    assert_eq!(config.telemetry.metrics, Metrics::Local);
}

#[test]
fn spans_go_where_it_is_written_and_nowhere_in_the_clear() {
    let otlp = |text: &str| {
        let config = parse(&whole(&format!("[telemetry.otlp]\n{text}"))).unwrap();
        config.telemetry.otlp.unwrap()
    };
    let read = otlp("endpoint = \"http://127.0.0.1:4318/\"");
    assert_eq!(read.endpoint, "http://127.0.0.1:4318/v1/traces");
    assert_eq!((read.sample.get(), read.sample_statements.get()), (1.0, 1.0));
    assert_eq!((read.timeout, read.service.as_str()), (Duration::from_secs(10), "gatepost"));
    let read = otlp("endpoint = \"https://otel.internal/own/way\"\nsample = 0.000001\nsample_statements = 0");
    assert_eq!(read.endpoint, "https://otel.internal/own/way");
    assert_eq!((read.sample.get(), read.sample_statements.get()), (0.000_001, 0.0));
    let beside = "endpoint = \"https://o\"\n";
    for (text, told) in [
        ("sample = 1", "1:1: error: telemetry.otlp lacks \"endpoint\" (URL)"),
        (
            "endpoint = \"http://otel.internal:4318\"",
            "2:12: error: \"http://otel.internal:4318\" must be https; http is for loopback only",
        ),
        ("endpoint = \"grpc://o\"", "2:12: error: \"grpc://o\" must begin with https://"),
        (
            &format!("{beside}sample = 1.01"),
            "3:10: error: \"sample\" must be a share from 0 to 1, with at most six digits after the point",
        ),
        (
            &format!("{beside}sample = -0.5"),
            "3:10: error: \"sample\" must be a share from 0 to 1, with at most six digits after the point",
        ),
        (
            &format!("{beside}sample_statements = 1e-9"),
            "3:21: error: \"sample_statements\" must be a share from 0 to 1, with at most six digits after the point",
        ),
        (
            &format!("{beside}sample = nan"),
            "3:10: error: \"sample\" must be a share from 0 to 1, with at most six digits after the point",
        ),
        (&format!("{beside}timeout = \"2m\""), "3:11: error: \"timeout\" must be from 100ms to 1m"),
        (
            &format!("{beside}headers = {{ \"x y\" = \"env:X\" }}"),
            "3:11: error: \"x y\" in \"headers\" is no name of a header",
        ),
        (
            &format!("{beside}headers = {{ Host = \"env:X\" }}"),
            "3:11: error: the header \"host\" is the gateway's to write",
        ),
        (
            &format!("{beside}headers = {{ A = \"env:X\", a = \"env:Y\" }}"),
            "3:11: error: \"headers\" names one twice",
        ),
    ] {
        check_line(&whole(&format!("[telemetry.otlp]\n{text}")), &format!("gatepost.toml:{told}"));
    }
    let bearer = format!("{beside}headers = {{ authorization = \"Bearer hunter2\" }}");
    let leak = parse(&whole(&format!("[telemetry.otlp]\n{bearer}"))).unwrap_err();
    assert!(!leak.contains("hunter2"), "{leak}");
    let leak = parse(&whole("[telemetry.otlp]\nendpoint = \"https://u:hunter2@o\"")).unwrap_err();
    assert!(!leak.contains("hunter2"), "{leak}");
}

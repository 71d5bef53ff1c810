//! The bundle's limits at work: what is over one is stopped, everybody agrees that it failed, and nothing is left of it.

use std::fs;
use std::time::{Duration, Instant};

use testkit::client::{Message, Raw};
use testkit::postgres::Version;
use testkit::scratch::Scratch;
use wire::backend::tag;
use wire::frontend::encode;

use crate::flight::{Flight, sqlstate};
use crate::stage::{Gate, SOON, Setup, Shop, repository};

/// A gateway whose policy is the shop's with these limits for the group `dba`, in which the agent `admin` is.
fn limited(version: Version, limits: &str) -> Gate {
    let policy = Scratch::new("limited");
    for file in ["analysts.cedar", "dba.cedar", "support.cedar", "bundle.toml"] {
        let from = repository("examples/shop/policy/shop").join(file);
        let more = if file == "bundle.toml" { format!("\n[limits.dba]\n{limits}\n") } else { String::new() };
        policy.write(file, fs::read_to_string(&from).unwrap_or_else(|e| panic!("{from:?}: {e}")) + &more);
    }
    let setup = Setup { policy: policy.path().to_owned(), ..Setup::default() };
    let shop = Shop::new(version);
    shop.sql("CREATE TABLE heap (n int); GRANT ALL ON heap TO PUBLIC");
    setup.start(shop)
}

fn rows(messages: &[Message]) -> usize {
    messages.iter().filter(|message| matches!(message.tag, tag::DATA_ROW | tag::COPY_DATA)).count()
}

/// The status of the last ReadyForQuery.
fn status(messages: &[Message]) -> char {
    char::from(messages.last().unwrap().body[0])
}

/// SQLSTATE, rows, status.
fn what(messages: &[Message]) -> (String, usize, char) {
    (sqlstate(messages), rows(messages), status(messages))
}

fn is(found: &[Message], state: &str, rows: usize, status: char) {
    assert_eq!(what(found), (state.to_owned(), rows, status), "{found:#?}");
}

fn copy_in(raw: &mut Raw, lines: usize) -> Vec<Message> {
    let mut bytes = Vec::new();
    encode::query(&mut bytes, b"COPY heap FROM STDIN").unwrap();
    raw.send(&bytes);
    raw.until(tag::COPY_IN_RESPONSE);
    let mut bytes = Vec::new();
    for n in 0..lines {
        encode::copy_data(&mut bytes, format!("{n}\n").as_bytes()).unwrap();
    }
    encode::copy_done(&mut bytes);
    raw.send(&bytes);
    raw.until(tag::READY_FOR_QUERY)
}

fn rows_are_limited(version: Version) {
    let gate = limited(version, "rows_per_statement = 10");
    let mut raw = gate.open("admin");
    let series = |n: usize| format!("SELECT generate_series(1, {n})");
    is(&raw.query(&series(10)), "", 10, 'I');
    // Known by its shape now, and asked about before.
    is(&raw.query(&series(11)), "54000", 10, 'I');
    is(&raw.query(&series(300_000_000)), "54000", 10, 'I');
    let run = |sql: &str| Flight::default().run("", sql).sync();
    is(&run(&series(10)).answered(&mut raw), "", 10, 'I');
    is(&run(&series(11)).answered(&mut raw), "54000", 10, 'I');
    is(&run(&series(300_000_000)).answered(&mut raw), "54000", 10, 'I');
    // What would have been kept is not.
    let insert = |n: usize| format!("INSERT INTO heap SELECT generate_series(1, {n}) RETURNING n");
    for n in [11, 1_000] {
        is(&raw.query(&insert(n)), "54000", 10, 'I');
        is(&run(&insert(n)).answered(&mut raw), "54000", 10, 'I');
        is(&raw.query(&format!("{}; SELECT 1", insert(n))), "54000", 10, 'I');
        let pipeline = Flight::default().run("", "INSERT INTO heap VALUES (0)").run("", &series(n));
        let pipeline = pipeline.run("", "INSERT INTO heap VALUES (0)").sync();
        is(&pipeline.answered(&mut raw), "54000", 10, 'I');
    }
    assert_eq!(gate.shop.sql("SELECT count(*) FROM heap"), "0");
    is(&raw.query(&insert(10)), "", 10, 'I');
    is(&run(&insert(10)).answered(&mut raw), "", 10, 'I');
    assert_eq!(gate.shop.sql("SELECT count(*) FROM heap"), "20");
    // In a transaction it fails as any statement, and the client can end it.
    for text in [series(11), insert(11)] {
        for simple in [true, false] {
            is(&raw.query("BEGIN"), "", 0, 'T');
            is(&raw.query("INSERT INTO heap VALUES (1)"), "", 0, 'T');
            let found = if simple { raw.query(&text) } else { run(&text).answered(&mut raw) };
            is(&found, "54000", 10, 'E');
            is(&raw.query("SELECT 1"), "25P02", 0, 'E');
            is(&raw.query("COMMIT"), "", 0, 'I');
        }
    }
    assert_eq!(gate.shop.sql("SELECT count(*) FROM heap"), "20");
    // COPY, either way.
    let out = |n: usize, how: &str| format!("COPY (SELECT generate_series(1, {n})) TO STDOUT {how}");
    is(&raw.query(&out(10, "")), "", 10, 'I');
    is(&raw.query(&out(10, "(FORMAT csv, HEADER)")), "", 11, 'I');
    is(&raw.query(&out(11, "")), "54000", 10, 'I');
    is(&raw.query(&out(300_000_000, "(FORMAT binary)")), "54000", 10, 'I');
    is(&copy_in(&mut raw, 10), "", 0, 'I');
    is(&copy_in(&mut raw, 11), "54000", 0, 'I');
    assert_eq!(gate.shop.sql("SELECT count(*) FROM heap"), "30");
    // A cursor is one statement, however it is fetched.
    is(&raw.query("BEGIN; DECLARE c CURSOR FOR SELECT generate_series(1, 100)"), "", 0, 'T');
    is(&raw.query("FETCH 6 FROM c"), "", 6, 'T');
    is(&raw.query("FETCH ALL FROM c"), "54000", 4, 'E');
    raw.query("ROLLBACK");
    is(&raw.query("DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 100)"), "", 0, 'I');
    is(&raw.query("FETCH 10 FROM h"), "", 10, 'I');
    is(&raw.query("FETCH 1 FROM h"), "54000", 0, 'I');
    is(&raw.query("PREPARE p AS SELECT generate_series(1, $1)"), "", 0, 'I');
    is(&raw.query("EXECUTE p(10)"), "", 10, 'I');
    is(&raw.query("EXECUTE p(11)"), "54000", 10, 'I');
    // So is a portal.
    let mut bytes = Flight::default().query("BEGIN").parse("", &series(100)).bind("", &[], 0).bytes();
    for _ in 0..4 {
        encode::execute(&mut bytes, b"", 4).unwrap();
    }
    encode::sync(&mut bytes);
    raw.send(&bytes);
    raw.until(tag::READY_FOR_QUERY);
    is(&raw.until(tag::READY_FOR_QUERY), "54000", 10, 'E');
    raw.query("ROLLBACK");
    assert_eq!(raw.rows("SELECT 'goes on'"), "goes on");
    let stopped = gate.audit(&["--event", "statement", "--text", "generate_series(1, 300000000)"]);
    assert!(
        stopped.len() >= 3 && stopped.iter().all(|s| s["outcome"]["sqlstate"] == "54000"),
        "{stopped:#?}"
    );
    let events = gate.audit(&["--event", "limit_exceeded"]);
    let named = |event: &serde_json::Value| event["limit"] == "rows_per_statement" && event["group"] == "dba";
    assert!(events.len() > 20 && events.iter().all(named), "{events:#?}");
}

#[test]
fn rows_of_a_statement_are_limited_on_postgresql_15() {
    rows_are_limited(Version::V15);
}

#[test]
fn rows_of_a_statement_are_limited_on_postgresql_18() {
    rows_are_limited(Version::V18);
}

#[test]
fn bytes_are_limited_as_they_come_and_go() {
    let gate = limited(Version::V18, "bytes_per_statement = \"1 MB\"");
    let mut raw = gate.open("admin");
    is(&raw.query("SELECT repeat('x', 900000)"), "", 1, 'I');
    is(&raw.query("SELECT repeat('x', 1100000)"), "54000", 0, 'I');
    is(&raw.query("SELECT repeat('x', 100000) FROM generate_series(1, 1000)"), "54000", 9, 'I');
    let found = copy_in(&mut raw, 200_000);
    assert_eq!((sqlstate(&found), status(&found)), ("54000".to_owned(), 'I'));
    is(&copy_in(&mut raw, 1_000), "", 0, 'I');
    assert_eq!(gate.shop.sql("SELECT count(*) FROM heap"), "1000");
}

#[test]
fn sessions_and_statements_are_counted_by_identity_and_not_by_connection() {
    let gate = limited(Version::V18, "sessions = 2\nstatements_per_minute = 20");
    let mut first = gate.open("admin");
    let second = gate.open("admin");
    let refused = gate.connect("admin").try_open().err().unwrap();
    assert_eq!(refused.sqlstate(), "53300");
    // Others have limits of their own, or none.
    assert_eq!(gate.open("support-agent").rows("SELECT 1"), "1");
    drop(second);
    let mut second = testkit::process::poll(SOON, || gate.connect("admin").try_open().ok()).unwrap();
    is(&first.query("BEGIN"), "", 0, 'T');
    is(&second.query(&"SELECT 1;".repeat(10)), "", 10, 'I');
    for _ in 0..9 {
        is(&first.query("SELECT 1"), "", 1, 'T');
    }
    // Whatever else it is, and on whichever connection, is over the limit; but a transaction can be ended.
    is(&second.query("SELECT 1"), "53400", 0, 'I');
    is(&second.query("SELEC"), "53400", 0, 'I');
    is(&second.query(";"), "53400", 0, 'I');
    is(&Flight::default().run("", "SELECT 1").sync().answered(&mut second), "53400", 0, 'I');
    is(&first.query("SELECT 1"), "53400", 0, 'E');
    is(&first.query("ROLLBACK"), "", 0, 'I');
    is(&first.query("BEGIN"), "53400", 0, 'I');
    drop((first, second));
    let mut again = testkit::process::poll(SOON, || gate.connect("admin").try_open().ok()).unwrap();
    let refused = again.query("SELECT 1");
    is(&refused, "53400", 0, 'I');
    let error = refused.iter().find(|message| message.tag == tag::ERROR_RESPONSE).unwrap();
    assert!(error.field(b'M').contains("statements_per_minute = 20 of group \"dba\""), "{error:?}");
    assert!(error.field(b'H').starts_with("It resets in "), "{error:?}");
}

#[test]
fn a_day_is_shared_by_sessions_that_race_and_survives_the_gateway() {
    let mut gate = limited(Version::V18, "rows_per_day = 5000\nbytes_per_day = \"1 GB\"");
    let taken: usize = std::thread::scope(|scope| {
        let run = || {
            let mut raw = gate.open("admin");
            let mut taken = 0;
            loop {
                let found = raw.query("SELECT generate_series(1, 137)");
                taken += rows(&found);
                match sqlstate(&found).as_str() {
                    "" => {}
                    "53400" => return taken,
                    other => panic!("{other}"),
                }
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 5000);
    let mut raw = gate.open("admin");
    // What moves no row may go on, and what is refused is refused before it runs.
    is(&raw.query("INSERT INTO heap VALUES (1)"), "", 0, 'I');
    is(&raw.query("INSERT INTO heap VALUES (2) RETURNING n"), "53400", 0, 'I');
    assert_eq!(gate.shop.sql("SELECT count(*) FROM heap"), "1");
    drop(raw);
    gate.gateway.stop(SOON).unwrap();
    gate.restart();
    let refused = gate.open("admin").query("SELECT 1");
    let error = refused.iter().find(|message| message.tag == tag::ERROR_RESPONSE).unwrap();
    assert_eq!(error.field(b'C'), "53400", "{refused:#?}");
    assert!(error.field(b'H').starts_with("It resets at midnight UTC, in "), "{error:?}");
}

#[test]
fn time_is_limited_whatever_the_client_sets() {
    let limits = "statement_timeout = \"1s\"\nidle_in_transaction_timeout = \"1s\"\nidle_timeout = \"4s\"";
    let gate = limited(Version::V18, limits);
    let mut raw = gate.open("admin");
    raw.query("SET statement_timeout = 0; SET idle_session_timeout = 0");
    let began = Instant::now();
    is(&raw.query("SELECT pg_sleep(60)"), "57014", 0, 'I');
    is(&raw.query("BEGIN; SELECT pg_sleep(60)"), "57014", 0, 'E');
    is(&raw.query("ROLLBACK"), "", 0, 'I');
    is(&Flight::default().run("", "SELECT pg_sleep(60)").sync().answered(&mut raw), "57014", 0, 'I');
    assert!(began.elapsed() < Duration::from_secs(40));
    is(&raw.query("BEGIN"), "", 0, 'T');
    let ended = raw.until(tag::ERROR_RESPONSE).pop().unwrap();
    assert_eq!((ended.field(b'S'), ended.field(b'C')), ("FATAL".to_owned(), "25P03".to_owned()));
    let mut raw = gate.open("admin");
    let ended = raw.until(tag::ERROR_RESPONSE).pop().unwrap();
    assert_eq!((ended.field(b'S'), ended.field(b'C')), ("FATAL".to_owned(), "57P05".to_owned()));
    assert!(ended.field(b'M').contains("idle_timeout = 4 s of group \"dba\""), "{ended:?}");
    let limits: Vec<String> =
        gate.events("limit_exceeded", 5).iter().map(|e| e["limit"].to_string()).collect();
    assert!(limits.iter().any(|limit| limit.contains("idle_in_transaction_timeout")), "{limits:?}");
}

fn cost_is_limited(version: Version) {
    let gate = limited(version, "cost = { max = 50000, then = \"refuse\" }");
    let mut raw = gate.open("admin");
    let series = |n: usize| format!("SELECT count(*) FROM generate_series(1, {n})");
    is(&raw.query(&series(1000)), "", 1, 'I');
    // The same shape.
    is(&raw.query(&series(900_000_000)), "54000", 0, 'I');
    let with = |value: &str| {
        let text = "SELECT count(*) FROM generate_series(1, $1::int)";
        Flight::default().parse("", text).bind("", &[value], 0).execute().sync()
    };
    is(&with("1000").answered(&mut raw), "", 1, 'I');
    is(&with("900000000").answered(&mut raw), "54000", 0, 'I');
    is(&raw.query("BEGIN"), "", 0, 'T');
    is(&raw.query(&series(1000)), "", 1, 'T');
    is(&raw.query(&series(900_000_000)), "54000", 0, 'E');
    is(&raw.query("ROLLBACK"), "", 0, 'I');
    let many = 900_000_000;
    for text in [
        format!("INSERT INTO heap SELECT generate_series(1, {many})"),
        format!("EXPLAIN ANALYZE {}", series(many)),
        format!("COPY ({}) TO STDOUT", series(many)),
        format!("CREATE TABLE much AS SELECT generate_series(1, {many})"),
        format!("DECLARE c CURSOR WITH HOLD FOR {}", series(many)),
        format!("SELECT 1; {}", series(many)),
    ] {
        assert_eq!(sqlstate(&raw.query(&text)), "54000", "{text}");
    }
    assert_eq!(sqlstate(&raw.query(&format!("EXPLAIN {}", series(many)))), "");
    is(&raw.query("PREPARE p AS SELECT count(*) FROM generate_series(1, $1::int)"), "", 0, 'I');
    is(&raw.query("EXECUTE p(10)"), "", 1, 'I');
    is(&raw.query(&format!("EXECUTE p({many})")), "54000", 0, 'I');
    is(&raw.query("SET cpu_tuple_cost = 0"), "0A000", 0, 'I');
    is(&raw.query("SELECT set_config('cpu_operator_cost', '0', false)"), "0A000", 0, 'I');
    is(&raw.query("SELECT 1/0"), "22012", 0, 'I');
    is(&with("x").answered(&mut raw), "22P02", 0, 'I');
    assert_eq!(raw.rows("SELECT 'goes on'"), "goes on");
    let refused = gate.audit(&["--event", "limit_exceeded"]);
    assert!(refused.len() >= 10 && refused.iter().all(|event| event["limit"] == "cost"), "{refused:#?}");
}

#[test]
fn what_the_planner_expects_is_limited_on_postgresql_15() {
    cost_is_limited(Version::V15);
}

#[test]
fn what_the_planner_expects_is_limited_on_postgresql_18() {
    cost_is_limited(Version::V18);
}

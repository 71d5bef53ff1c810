//! The database behind the gateway: down, restarting, not what it says it is; and a client that leaves it working.

use testkit::client::{Message, Refused};
use testkit::postgres::Version;
use testkit::process::{free_port, poll};
use wire::backend::tag;

use crate::flight::{Flight, sqlstate};
use crate::flow::wait_until_blocked;
use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, SOON, Setup, Shop};

/// What a client is told that gets no further than the gateway, which must say nothing of how the database is reached.
fn turned_away(gate: &Gate) -> Message {
    let Err(Refused::Error(told)) = gate.connect("support-agent").try_open() else {
        panic!("a session without a database");
    };
    let port = gate.shop.cluster.port().to_string();
    for secret in [LOGIN, LOGIN_PASSWORD, port.as_str(), "127.0.0.1"] {
        assert!(!String::from_utf8_lossy(&told.body).contains(secret), "{told:?} names {secret}");
    }
    told
}

#[test]
fn a_database_that_can_not_be_reached_is_said_to_be_so_and_why_is_on_record() {
    let nobody = format!("postgres://127.0.0.1:{}/shop?sslmode=disable", free_port());
    let shop = Shop::new(Version::V15);
    let mistrusted = format!(
        "postgres://127.0.0.1:{}/{}?sslmode=verify-full&sslrootcert=ca.crt",
        shop.cluster.port(),
        shop.database
    );
    let in_the_clear =
        format!("postgres://127.0.0.1:{}/{}?sslmode=disable", shop.cluster.port(), shop.database);
    let wrong = vec![("SHOP_PASSWORD".to_owned(), "not it".to_owned())];
    for (what, setup, reason) in [
        ("nobody listens", Setup { upstream: Some(nobody), ..Setup::default() }, "refused"),
        ("another authority", Setup { upstream: Some(mistrusted), ..Setup::default() }, "certificate"),
        ("no TLS", Setup { upstream: Some(in_the_clear), ..Setup::default() }, "28000"),
        ("a wrong password", Setup { environment: wrong, ..Setup::default() }, "28P01"),
    ] {
        let gate = setup.start(Shop { cluster: shop.cluster, database: shop.database.clone() });
        let told = turned_away(&gate);
        assert_eq!(
            (told.field(b'S'), told.field(b'C')),
            ("FATAL".into(), "57P03".into()),
            "{what}: {told:?}"
        );
        let record = gate.events("upstream_failed", 1).remove(0);
        assert_eq!(record["identity"]["subject"], "support-agent", "{what}: {record}");
        let said = record["reason"].as_str().unwrap();
        assert!(said.contains("upstream") && said.contains(reason), "{what}: {said}");
        let log = gate.gateway.log();
        assert!(!log.contains(LOGIN_PASSWORD) && !log.contains("not it"), "{what}: {log}");
    }
}

#[test]
fn a_server_process_that_ends_ends_its_session_and_no_other() {
    for version in [Version::V15, Version::V18] {
        let gate = Gate::new(version);
        let mut other = gate.open("support-agent");
        let mut raw = gate.open("admin");
        raw.rows("BEGIN; UPDATE tickets SET status = 'waiting'");
        gate.shop.sql(&format!("SELECT pg_terminate_backend({})", raw.process_id));
        let told = raw.receive().expect("the server's word");
        assert_eq!((told.field(b'S'), told.field(b'C')), ("FATAL".into(), "57P01".into()));
        assert!(raw.receive().is_none());
        // In the middle of a statement too.
        let mut raw = gate.open("admin");
        Flight::default().query("SELECT pg_sleep(600)").to(&mut raw);
        let sleeping = format!("SELECT wait_event FROM pg_stat_activity WHERE pid = {}", raw.process_id);
        poll(SOON, || (gate.shop.sql(&sleeping) == "PgSleep").then_some(())).expect("it runs");
        gate.shop.sql(&format!("SELECT pg_terminate_backend({})", raw.process_id));
        assert_eq!(sqlstate(&raw.until(tag::READY_FOR_QUERY)), "57P01");
        let record = gate.statement("pg_sleep(600)");
        assert_eq!(record["outcome"]["sqlstate"], "57P01", "{record:#}");
        assert_eq!(other.rows("SELECT 'goes on'"), "goes on");
        assert_eq!(gate.open("admin").rows("SELECT 1"), "1");
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_result_leaves_nothing_running() {
    let gate = Gate::new(Version::V15);
    let mut reading = gate.open("admin");
    Flight::default().query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)").to(&mut reading);
    wait_until_blocked(&gate.shop, reading.process_id);
    let mut counting = gate.open("support-agent");
    Flight::default().query("SELECT count(*) FROM generate_series(1, 100000000000)").to(&mut counting);
    let pids = format!("{}, {}", reading.process_id, counting.process_id);
    let running = format!("SELECT count(*) FROM pg_stat_activity WHERE pid IN ({pids}) AND state = 'active'");
    poll(SOON, || (gate.shop.sql(&running) == "2").then_some(())).expect("both run");
    reading.hang_up();
    counting.hang_up();
    let left = format!("SELECT string_agg(query, ', ') FROM pg_stat_activity WHERE pid IN ({pids})");
    let ended = poll(SOON, || gate.shop.sql(&left).is_empty().then_some(()));
    assert!(ended.is_some(), "still there: {}", gate.shop.sql(&left));
    assert_eq!(gate.events("disconnected", 2).len(), 2);
    for text in ["SELECT repeat", "SELECT count"] {
        let outcome = gate.statement(text)["outcome"].clone();
        assert!(!outcome["lost"].is_null() || !outcome["sqlstate"].is_null(), "{text}: {outcome}");
    }
}

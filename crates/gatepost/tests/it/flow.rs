//! Large results and slow readers: what they cost the gateway, and that every byte arrives.

use std::fs;
use std::thread;
use std::time::Duration;

use testkit::postgres::Version;
use testkit::process::poll;
use wire::backend::tag;
use wire::frontend::encode;

use crate::flight::{Flight, sqlstate};
use crate::stage::{Gate, LOGIN, SOON, Setup, Shop};

/// How much more memory a session may make the gateway hold, whatever it does: buffers of both sides, a message of the
/// greatest size, and what the allocator keeps.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// Returns a field of `/proc/PID/status` in bytes.
fn memory(gate: &Gate, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gate.gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

/// Waits until a session's server process can't write any more, since nobody reads.
pub(crate) fn wait_until_blocked(shop: &Shop, pid: i32) {
    let sql = format!("SELECT wait_event FROM pg_stat_activity WHERE pid = {pid}");
    let blocked = || (shop.sql(&sql) == "ClientWrite").then_some(());
    poll(SOON, || {
        // Not just for a moment.
        blocked()?;
        thread::sleep(Duration::from_millis(200));
        blocked()
    })
    .expect("the server waits for the reader");
}

#[test]
fn a_slow_reader_of_a_large_result_costs_little_memory() {
    let gate = Gate::new(Version::V15);
    for (what, sql) in [
        ("plain", "SELECT repeat('x', 1000) FROM generate_series(1, 200000)"),
        ("masked", "SELECT email, repeat('x', 1000) FROM customers, generate_series(1, 1000)"),
        (
            "copied",
            "COPY (SELECT email, repeat('x', 1000) FROM customers, generate_series(1, 1000)) TO STDOUT",
        ),
    ] {
        let mut raw = gate.open("support-agent");
        raw.rows("SELECT 1");
        let before = memory(&gate, "VmRSS");
        Flight::default().query(sql).to(&mut raw);
        wait_until_blocked(&gate.shop, raw.process_id);
        let blocked = memory(&gate, "VmRSS");
        assert!(
            blocked < before + GROWTH_BYTES_MAX,
            "{what}: {} kB more while nobody reads",
            (blocked - before) / 1024
        );
        let (mut rows, mut bytes, mut most) = (0, 0, 0);
        loop {
            let message = match raw.try_receive() {
                Ok(message) => message.expect("no end before ReadyForQuery"),
                Err(error) => panic!("{what}: {error} after {rows} rows"),
            };
            bytes += message.body.len();
            match message.tag {
                tag::DATA_ROW | tag::COPY_DATA => rows += 1,
                tag::READY_FOR_QUERY => break,
                _ => {}
            }
            if rows % 20_000 == 0 {
                most = most.max(memory(&gate, "VmRSS"));
            }
        }
        assert_eq!(rows, 200_000, "{what}");
        assert!(bytes > 200_000_000);
        assert!(
            most < before + GROWTH_BYTES_MAX,
            "{what}: {} kB more while it is read",
            most.saturating_sub(before) / 1024
        );
    }
}

/// Returns how many bytes lie in the kernel's buffers of all connections to and from a port.
fn queued(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let end = format!(":{port:04X}");
    let mut total = 0;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields[1].ends_with(&end) || fields[2].ends_with(&end) {
            let (sent, received) = fields[4].split_once(':').unwrap();
            total += u64::from_str_radix(sent, 16).unwrap() + u64::from_str_radix(received, 16).unwrap();
        }
    }
    total
}

#[test]
fn the_end_of_a_result_reaches_a_reader_that_comes_late() {
    let gate = Gate::new(Version::V15);
    let port = gate.gateway.postgres().port();
    let ask = |rows: u64| {
        let mut raw = gate.open("support-agent");
        Flight::default()
            .query(&format!("SELECT repeat('x', 1000) FROM generate_series(1, {rows})"))
            .to(&mut raw);
        raw
    };
    // What the kernel holds of a result that nobody reads. Of one that is a little larger the last bytes find no room there:
    // they must leave when there is some, though nothing follows them.
    let raw = ask(100_000);
    wait_until_blocked(&gate.shop, raw.process_id);
    let held = queued(port);
    drop(raw);
    poll(SOON, || (queued(port) == 0).then_some(())).expect("the connection ends");
    for extra in (0..20).map(|step| step * 12_000) {
        let bytes = held.saturating_sub(60_000) + extra;
        let mut raw = ask(bytes / 1_036);
        let idle = format!("SELECT state FROM pg_stat_activity WHERE pid = {}", raw.process_id);
        poll(Duration::from_millis(300), || (gate.shop.sql(&idle) == "idle").then_some(()));
        loop {
            match raw.try_receive() {
                Ok(Some(message)) if message.tag == tag::READY_FOR_QUERY => break,
                Ok(Some(_)) => {}
                other => panic!("{bytes} bytes, of which the kernel holds {held}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_end_of_copied_data_reaches_a_server_that_comes_late() {
    let gate = Gate::new(Version::V15);
    gate.shop.sql(&format!(
        "CREATE TABLE pile (t text); GRANT ALL ON pile TO {LOGIN};
         CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;
         CREATE TRIGGER wait BEFORE INSERT ON pile FOR EACH ROW EXECUTE FUNCTION wait()"
    ));
    let line = [vec![b'x'; 999], b"\n".to_vec()].concat();
    let mut gatekeeper = gate.shop.cluster.connect(&gate.shop.database);
    // Sends so many lines to a server that doesn't look at them until nothing moves any more; returns what lies there then.
    let mut copy = |lines: u64| {
        gatekeeper.rows("SELECT pg_advisory_lock(1)");
        let mut raw = gate.open("admin");
        let server = format!("SELECT client_port FROM pg_stat_activity WHERE pid = {}", raw.process_id);
        let port = gate.shop.sql(&server).parse().unwrap();
        let mut bytes = Flight::default().query("COPY pile FROM STDIN").bytes();
        (0..lines).for_each(|_| encode::copy_data(&mut bytes, &line).unwrap());
        encode::copy_done(&mut bytes);
        thread::scope(|scope| {
            let copying = scope.spawn(move || {
                raw.send(&bytes);
                sqlstate(&raw.until(tag::READY_FOR_QUERY))
            });
            let mut last = 0;
            let still = || {
                thread::sleep(Duration::from_millis(100));
                let now = queued(port);
                (std::mem::replace(&mut last, now) == now && now > 0).then_some(now)
            };
            let held = poll(SOON, still).expect("a server that does not read");
            gatekeeper.rows("SELECT pg_advisory_unlock(1)");
            assert_eq!(copying.join().expect("all of it is taken"), "", "{lines} lines");
            held
        })
    };
    let held = copy(20_000);
    for extra in (0..20).map(|step| step * 12_000) {
        copy((held.saturating_sub(60_000) + extra) / 1_006);
    }
}

#[test]
fn a_huge_value_streams_through_and_is_refused_where_it_would_have_to_be_held() {
    let gate = Gate::new(Version::V15);
    gate.shop.sql("UPDATE customers SET notes = repeat('n', 70000000) WHERE id = 1");
    let mut raw = gate.open("support-agent");
    raw.rows("SELECT 1");
    let before = memory(&gate, "VmHWM");
    let bytes = raw.count("SELECT repeat('x', 100000000)");
    assert!(bytes > 100_000_000);
    let most = memory(&gate, "VmHWM");
    assert!(most < before + GROWTH_BYTES_MAX, "{} kB more", (most - before) / 1024);

    let mut other = gate.open("support-agent");
    let messages = other.query("SELECT notes FROM customers WHERE id = 1");
    assert!(messages.iter().any(|message| message.tag == tag::ERROR_RESPONSE), "{:?}", messages.len());
    assert!(!messages.iter().any(|message| message.tag == tag::DATA_ROW));
    assert_eq!(raw.rows("SELECT 'others go on'"), "others go on");
}

#[test]
fn copied_data_has_no_limit_but_the_databases() {
    let sections = "[limits]\nmessage_bytes_max = \"1 MiB\"\n".to_owned();
    let gate = Setup { sections, ..Setup::default() }.start(Shop::new(Version::V15));
    gate.shop.sql(&format!("CREATE TABLE pile (t text); GRANT ALL ON pile TO {LOGIN}"));
    let mut raw = gate.open("admin");
    let before = memory(&gate, "VmRSS");
    let mut bytes = Flight::default().query("COPY pile FROM STDIN").bytes();
    let line = [vec![b'x'; 20_000_000], b"\n".to_vec()].concat();
    for _ in 0..4 {
        encode::copy_data(&mut bytes, &line).unwrap();
        raw.send(&bytes);
        bytes.clear();
    }
    encode::copy_done(&mut bytes);
    raw.send(&bytes);
    assert_eq!(sqlstate(&raw.until(tag::READY_FOR_QUERY)), "");
    assert_eq!(gate.shop.sql("SELECT count(*), sum(length(t)) FROM pile"), "4|80000000");
    let after = memory(&gate, "VmRSS");
    assert!(after < before + GROWTH_BYTES_MAX, "{} kB more", (after - before) / 1024);
}

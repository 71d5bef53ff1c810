//! The evidence: kept before anything is answered, whatever happens to the disk or the process; found again; and not to
//! be changed unseen.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;
use testkit::client::{Raw, Refused};
use testkit::gatepost::Gateway;
use testkit::postgres::Version;
use testkit::process::poll;
use testkit::scratch::Scratch;
use wire::backend::tag;
use wire::frontend::encode;

use crate::flight::{Flight, sqlstate};
use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, SOON, Setup, Shop, binary};
use crate::telemetry::number;

/// Returns the newest segment of a journal.
fn segment(journal: &Path) -> PathBuf {
    let entries = fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "gpj")).collect();
    segments.sort();
    segments.pop().expect("a segment")
}

/// Limits how large any file of a process may become, as a full disk would.
fn limit_files(pid: u32, bytes: &str) {
    let fsize = format!("--fsize={bytes}:unlimited");
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &fsize]).status();
    assert!(status.expect("prlimit, of util-linux").success());
}

fn wait_until_kept(gate: &Gate) {
    let size = || fs::metadata(segment(&gate.gateway.home().join("journal"))).unwrap().len();
    let mut last = size();
    // Records that nobody waits for are written within the next tenth of a second.
    poll(SOON, || {
        thread::sleep(std::time::Duration::from_millis(200));
        let now = size();
        std::mem::replace(&mut last, now).eq(&now).then_some(())
    })
    .expect("a journal at rest");
}

#[test]
fn a_full_disk_refuses_statements_and_connections_until_there_is_room_again() {
    let home = Scratch::new("gatepost");
    let shop = Shop::new(Version::V15);
    let config = Setup::default().write(&home, shop.cluster, &shop.database);
    // Over the limit the kernel sends a signal that ends a process, unless it is ignored; a full disk sends none.
    let wrapped =
        home.write("gatepost.sh", format!("#!/bin/sh\ntrap '' XFSZ\nexec {} \"$@\"\n", binary().display()));
    fs::set_permissions(&wrapped, Permissions::from_mode(0o755)).unwrap();
    let environment = [("SHOP_USER", LOGIN), ("SHOP_PASSWORD", LOGIN_PASSWORD)];
    let gate = Gate::of(Gateway::start_in(home, &wrapped, &config, &environment), shop);

    let mut raw = gate.open("support-agent");
    let mut idle = gate.open("support-agent");
    assert_eq!(raw.rows("SELECT 'before'"), "before");
    wait_until_kept(&gate);
    let size = fs::metadata(segment(&gate.gateway.home().join("journal"))).unwrap().len();
    limit_files(gate.gateway.pid(), &(size + 100).to_string());

    let close = "UPDATE tickets SET status = 'closed' WHERE id = 1";
    assert_eq!(sqlstate(&raw.query("SELECT 'during'")), "58030");
    assert_eq!(gate.shop.sql("SELECT status FROM tickets WHERE id = 1"), "waiting");
    let write = idle.query(close);
    assert_eq!(sqlstate(&write), "58030", "{write:?}");
    assert_eq!(gate.shop.sql("SELECT status FROM tickets WHERE id = 1"), "waiting", "not forwarded");
    match gate.connect("support-agent").try_open() {
        Err(Refused::Error(message)) => assert_eq!(message.field(b'C'), "58030"),
        Err(Refused::Io(error)) => panic!("no word of why: {error}"),
        Ok(_) => panic!("a session that can't be recorded began"),
    }
    assert!(!gate.gateway.log().is_empty());
    let unrecorded = number(&gate, "gatepost_journal_unrecorded_total");
    assert!(unrecorded >= 3.0, "{unrecorded}");
    assert!(number(&gate, "gatepost_errors_total{fault=\"gateway\"}") >= unrecorded);
    assert_eq!(number(&gate, "gatepost_journal_faulted"), 1.0);

    limit_files(gate.gateway.pid(), "unlimited");
    let again = || {
        let mut raw = gate.connect("support-agent").try_open().ok()?;
        sqlstate(&raw.query(close)).is_empty().then_some(())
    };
    poll(SOON, again).expect("statements pass again");
    assert_eq!(gate.shop.sql("SELECT status FROM tickets WHERE id = 1"), "closed");
    poll(SOON, || (number(&gate, "gatepost_journal_faulted") == 0.0).then_some(()))
        .expect("no fault is left");
    assert_eq!(gate.statement("SELECT 'before'")["verdict"], "allow");
    let faults = gate.audit(&["--event", "journal_faulted"]);
    assert!(!faults.is_empty(), "that it could not be written is itself on record");
    let verified = gate.run(&["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{verified:#?}");
}

/// What a client did and was answered until its connection broke.
fn work(mut raw: Raw, me: usize, done: &AtomicUsize, stop: &AtomicBool) -> Vec<String> {
    let mut answered = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mark = format!("mark-{me}-{number}.");
        let (sql, first) = match number % 3 {
            0 => (format!("SELECT '{mark}'"), tag::ROW_DESCRIPTION),
            1 => (format!("INSERT INTO marks VALUES ('{mark}')"), tag::COMMAND_COMPLETE),
            _ => (format!("SELECT count(*), '{mark}' FROM orders"), tag::DATA_ROW),
        };
        let mut bytes = Vec::new();
        if number % 3 == 2 {
            bytes = Flight::default().parse("", &sql).bind("", &[], 0).execute().sync().bytes();
        } else {
            encode::query(&mut bytes, sql.as_bytes()).unwrap();
        }
        if raw.try_send(&bytes).is_err() {
            break;
        }
        // From the first byte of a result on, the record must be kept.
        loop {
            match raw.try_receive() {
                Ok(Some(message)) if message.tag == tag::READY_FOR_QUERY => break,
                Ok(Some(message)) if message.tag == first => {
                    answered.push(mark.clone());
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Some(message)) => assert_ne!(message.tag, tag::ERROR_RESPONSE, "{message:?}"),
                Ok(None) | Err(_) => return answered,
            }
        }
    }
    answered
}

#[test]
fn whatever_was_answered_before_a_kill_is_on_record_after_it() {
    let mut gate = Gate::new(Version::V18);
    gate.shop.sql(&format!("CREATE TABLE marks (mark text); GRANT ALL ON marks TO {LOGIN}"));
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    for kills in 1..=3 {
        let clients: Vec<Raw> = (0..4).map(|_| gate.open("admin")).collect();
        let enough = done.load(Ordering::Relaxed) + 150 * kills;
        let answered: BTreeSet<String> = thread::scope(|scope| {
            let (done, stop) = (&done, &stop);
            let threads: Vec<_> = clients
                .into_iter()
                .enumerate()
                .map(|(me, raw)| scope.spawn(move || work(raw, kills * 10 + me, done, stop)))
                .collect();
            let reached = poll(SOON, || (done.load(Ordering::Relaxed) >= enough).then_some(()));
            gate.gateway.kill();
            if reached.is_none() {
                stop.store(true, Ordering::Relaxed);
            }
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(answered.len() >= 100, "only {} statements were answered", answered.len());

        let verified = gate.run(&["audit", "verify"]);
        assert_eq!(verified.status, Some(0), "before it is opened again: {verified:#?}");
        gate.restart();
        let verified = gate.run(&["audit", "verify"]);
        assert_eq!(verified.status, Some(0), "{verified:#?}");
        assert!(verified.stdout.contains("whole"), "{verified:#?}");
        let texts: Vec<Value> = gate.audit(&["--event", "statement", "--text", "mark-"]);
        let recorded: String = texts.iter().map(|record| record["text"].as_str().unwrap()).collect();
        let missing: Vec<_> = answered.iter().filter(|mark| !recorded.contains(*mark)).collect();
        assert!(missing.is_empty(), "{} answered, and not on record: {missing:?}", answered.len());
        for mark in gate.shop.sql("SELECT mark FROM marks").lines() {
            assert!(recorded.contains(mark), "{mark} was written, and is not on record");
        }
    }
    assert_eq!(gate.audit(&["--event", "gateway_started"]).len(), 4);
}

#[test]
fn any_changed_byte_is_found_and_the_record_named() {
    let mut gate = Gate::new(Version::V15);
    let mut raw = gate.open("support-agent");
    for number in 0..5 {
        raw.rows(&format!("SELECT {number} AS evidence"));
    }
    drop(raw);
    gate.events("disconnected", 1);
    assert_eq!(gate.gateway.stop(SOON).and_then(|status| status.code()), Some(0));
    let original = segment(&gate.gateway.home().join("journal"));
    let bytes = fs::read(&original).unwrap();
    let folder = gate.gateway.home().join("tampered");
    fs::create_dir(&folder).unwrap();
    let tampered = folder.join(original.file_name().unwrap());
    let verify = |bytes: &[u8]| {
        fs::write(&tampered, bytes).unwrap();
        let ran = gate.run(&["audit", "verify", "--journal", "tampered", "--format", "json"]);
        let found: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"));
        (ran.status, found[0].clone())
    };
    assert_eq!(verify(&bytes).0, Some(0));
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let (status, found) = verify(&changed);
        assert_eq!((status, &found["standing"]), (Some(1), &"damaged".into()), "byte {at}: {found}");
        let said = found["found"].as_str().unwrap();
        assert!(said.contains("record") || said.contains("header"), "byte {at}: {said}");
    }
    // A record in the middle that says something else is named by its number.
    let text = "SELECT 3 AS evidence";
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    let record = gate.statement(text);
    let mut changed = bytes.clone();
    changed[at + 7] = b'4';
    let said = verify(&changed).1["found"].as_str().unwrap().to_owned();
    assert!(said.contains(&format!("at record {}", record["seq"])), "{said}");
    // One taken out leaves a hole, and one taken off the end is known by an anchor.
    let (status, found) = verify(&[&bytes[..at], &bytes[at + text.len()..]].concat());
    assert_eq!(status, Some(1), "{found}");
}

#[test]
fn records_are_found_by_identity_database_relation_verdict_time_and_text() {
    let gate = Gate::new(Version::V15);
    let mut support = gate.open("support-agent");
    let mut analyst = gate.open("analyst");
    support.rows("SELECT email FROM customers LIMIT 1");
    analyst.rows("SELECT status FROM orders LIMIT 1");
    support.query("SELECT id FROM customers WHERE ssn = 'x'");
    support.rows("SELECT E'colour\\x1b[31m\\n' AS Weird");
    gate.statement("Weird");
    gate.statement("status FROM orders");
    let count = |arguments: &[&str]| {
        let mut all = vec!["--event", "statement"];
        all.extend(arguments);
        gate.audit(&all).len()
    };
    assert_eq!(count(&[]), 4);
    for (arguments, expected) in [
        (vec!["--identity", "corp:support-agent"], 3),
        (vec!["--identity", "analyst"], 1),
        (vec!["--identity", "other:analyst"], 0),
        (vec!["--database", "shop"], 4),
        (vec!["--database", "payroll"], 0),
        (vec!["--relation", "public.customers"], 2),
        (vec!["--relation", "orders"], 1),
        (vec!["--relation", "private.orders"], 0),
        (vec!["--verdict", "mask"], 1),
        (vec!["--verdict", "deny"], 1),
        (vec!["--verdict", "allow", "--identity", "support-agent"], 1),
        (vec!["--text", "EMAIL from"], 1),
        (vec!["--since", "10m"], 4),
        (vec!["--until", "10m"], 0),
        (vec!["--since", "2026-01-01", "--until", "2026-01-02T00:00:00Z"], 0),
        (vec!["--last", "2"], 2),
    ] {
        assert_eq!(count(&arguments), expected, "{arguments:?}");
    }
    let session = gate.statement("Weird")["session"].as_str().unwrap().to_owned();
    assert_eq!(count(&["--session", &session]), 3);

    let json = gate.run(&["audit", "query", "--event", "statement", "--format", "json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(4));
    let table = gate.run(&["audit", "query", "--event", "statement"]);
    assert_eq!((table.status, table.stdout.lines().count()), (Some(0), 5), "{table:#?}");
    assert!(table.stdout.lines().skip(1).all(|line| line.contains("shop") && line.contains("statement")));
    for ran in [&table.stdout, &json.to_string()] {
        assert!(!ran.contains('\u{1b}'), "nothing steers the terminal");
    }
}

#[test]
fn two_gateways_do_not_share_a_journal() {
    let gate = Gate::new(Version::V15);
    let mut raw = gate.open("support-agent");
    let second = gate.run(&["serve", "-c", "gatepost.toml"]);
    assert_eq!(second.status, Some(1), "{second:#?}");
    assert!(second.stderr.contains("journal") && second.stderr.contains("another"), "{second:#?}");
    assert_eq!(raw.rows("SELECT 'the first goes on'"), "the first goes on");
    assert_eq!(gate.audit(&["--event", "gateway_started"]).len(), 1);
}

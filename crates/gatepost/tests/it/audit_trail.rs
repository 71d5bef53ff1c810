//! `gatepost audit` on a journal that was really written: finding, following, verifying, and telling damage from a crash.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use audit::Event;
use journal::{Journal, Options};

use crate::support::{Place, Ran};

/// The sixteenth of November 2026, 08:00 UTC.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_794_816_000)
}

fn loaded<'a>(database: &'a str, version: &'a str) -> Event<'a> {
    Event::PolicyLoaded { database, bundle: "bundle", version, hash: "00" }
}

/// A journal of three records: policies of `app`, `shop` and, a day later, a newer one of `app`.
fn journal(place: &Place) -> Journal {
    let (journal, _) = Journal::open(Options::new(place.path().join("journal")), Box::new(|_| {})).unwrap();
    journal.append(&loaded("app", "1"), start()).unwrap();
    journal.append(&loaded("shop", "1"), start() + Duration::from_secs(60)).unwrap();
    journal.append(&loaded("app", "2\u{1b}[31m"), start() + Duration::from_secs(86_400)).unwrap();
    journal.write().unwrap();
    journal
}

fn query(place: &Place, arguments: &[&str]) -> Ran {
    let mut all = vec!["audit", "query", "--journal", "journal", "--format", "jsonl"];
    all.extend(arguments);
    place.run(&all)
}

/// Returns the numbers of the records that a query gives.
fn numbers(ran: &Ran) -> Vec<u64> {
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    let record =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap();
    ran.stdout.lines().map(record).collect()
}

fn verify(place: &Place, arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let mut all = vec!["audit", "verify", "--journal", "journal", "--format", "json"];
    all.extend(arguments);
    let ran = place.run(&all);
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    (ran.status, found[0].clone())
}

fn segment(place: &Place) -> PathBuf {
    place.path().join("journal/00000000000000000001.gpj")
}

#[test]
fn records_are_found_by_database_and_time() {
    let place = Place::new();
    journal(&place).close().unwrap();
    assert_eq!(numbers(&query(&place, &[])), [1, 2, 3]);
    assert_eq!(numbers(&query(&place, &["--database", "app"])), [1, 3]);
    assert_eq!(numbers(&query(&place, &["--database", "app", "--last", "1"])), [3]);
    assert_eq!(numbers(&query(&place, &["--since", "2026-11-16T08:01:00Z", "--until", "2026-11-17"])), [2]);
    assert_eq!(numbers(&query(&place, &["--event", "statement"])), [0; 0]);

    let array = place.run(&["audit", "query", "--journal", "journal", "--format", "json"]);
    let array: serde_json::Value = serde_json::from_str(&array.stdout).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 3);
    let table = place.run(&["audit", "query", "--journal", "journal"]);
    assert_eq!(table.stdout.lines().count(), 4, "headings and a line for each");
    assert!(
        !table.stdout.contains('\u{1b}'),
        "what a record holds can't steer a terminal, and a pipe gets no colour"
    );
}

#[test]
fn tail_begins_with_old_records_and_goes_on_with_new_ones() {
    let place = Place::new();
    let journal = journal(&place);
    let mut tail = place
        .command(&[
            "audit",
            "tail",
            "--journal",
            "journal",
            "--format",
            "jsonl",
            "-n",
            "1",
            "--database",
            "app",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("{\"seq\":3,"));
    for database in ["shop", "app"] {
        journal.append(&loaded(database, "3"), start() + Duration::from_secs(90_000)).unwrap();
    }
    journal.write().unwrap();
    assert!(lines.next().unwrap().unwrap().starts_with("{\"seq\":5,"));
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn a_whole_journal_verifies_and_gives_an_anchor_that_a_shorter_one_fails() {
    let place = Place::new();
    journal(&place).close().unwrap();
    let (status, found) = verify(&place, &[]);
    assert_eq!((status, &found["standing"], &found["records"]), (Some(0), &"whole".into(), &3.into()));
    let anchor = found["anchor"].as_str().unwrap();
    assert_eq!(verify(&place, &["--anchor", anchor]).0, Some(0));

    // The third record's beginning only: what a crash leaves, or somebody who had something to hide.
    let file = OpenOptions::new().write(true).open(segment(&place)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let (status, found) = verify(&place, &[]);
    assert_eq!((status, &found["standing"], &found["last"]), (Some(0), &"unfinished".into(), &2.into()));
    let (status, found) = verify(&place, &["--anchor", anchor]);
    assert_eq!((status, &found["standing"]), (Some(1), &"damaged".into()));
}

#[test]
fn a_changed_byte_fails_verification_and_says_where() {
    let place = Place::new();
    journal(&place).close().unwrap();
    let mut file = OpenOptions::new().read(true).write(true).open(segment(&place)).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let at = bytes.windows(4).position(|window| window == b"shop").unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(b"shoq").unwrap();
    let (status, found) = verify(&place, &[]);
    assert_eq!((status, &found["standing"]), (Some(1), &"damaged".into()));
    let found = found["found"].as_str().unwrap();
    assert!(found.contains("at record 2"), "{found}");
    let query = query(&place, &[]);
    assert_eq!(query.status, Some(1), "a damaged journal is not shown as if it were whole");
    assert!(query.stdout.contains("{\"seq\":1,") && query.stderr.contains("damaged"), "{query:#?}");
}

#[test]
fn a_running_gateways_journal_verifies() {
    let place = Place::new();
    let journal = journal(&place);
    assert_eq!(verify(&place, &[]).0, Some(0));
    drop(journal);
    // The journal's folder is found through the configuration too.
    place.run(&["init", "."]);
    std::fs::create_dir_all(place.path().join("data")).unwrap();
    assert!(
        Command::new("cp")
            .args(["-r", "journal", "data/"])
            .current_dir(place.path())
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(place.run(&["audit", "verify"]).status, Some(0));
}

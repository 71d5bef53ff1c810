//! Records are kept, in order, by any number of threads, over any number of segments.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use audit::{Event, Seq, Start};
use journal::{Journal, OpenError, Options, Progress, verify_dir};

use crate::bench::{append, at, keep, open, options, records, segments, verified};

#[test]
fn a_journal_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let (journal, recovery) = open(dir.path());
        assert_eq!(recovery.last, Seq(round * 2));
        assert_eq!(recovery.cut, []);
        keep(&journal, "one");
        let anchor = journal.anchor();
        append(&journal, "two, written by close");
        assert_eq!(journal.close().unwrap(), Seq(round * 2 + 2));
        if anchor.seq > Seq(0) {
            verify_dir(dir.path(), Start::Genesis, &[anchor]).unwrap();
        }
    }
    assert_eq!(verified(dir.path()).records, 6);
    assert_eq!(records(dir.path()).len(), 6);
}

#[test]
fn only_one_process_writes_and_only_its_owner_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/journal");
    let (journal, _) = open(&path);
    assert!(matches!(Journal::open(options(&path), Box::new(|_| {})), Err(OpenError::Locked(_))));
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o700);
    assert_eq!(mode(segments(&path)[0].clone()), 0o600);
    drop(journal);
    open(&path);
}

#[test]
fn threads_share_writes_and_each_finds_its_record_written() {
    const THREADS: usize = 8;
    const EACH: usize = 300;
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 20_000, ..options(dir.path()) };
    let (sender, progress) = channel();
    let told = Box::new(move |progress| drop(sender.send(progress)));
    let journal = Arc::new(Journal::open(options, told).unwrap().0);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let journal = Arc::clone(&journal);
            std::thread::spawn(move || {
                let mut mine = Vec::new();
                for n in 0..EACH {
                    let seq = append(&journal, &format!("{thread}/{n}"));
                    if n % 3 == 0 {
                        journal.want_durable(seq);
                    } else {
                        assert!(journal.write().unwrap() >= seq);
                        assert!(journal.written() >= seq);
                    }
                    mine.push((seq, format!("\"{thread}/{n}\"")));
                }
                mine
            })
        })
        .collect();
    let mut all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    all.sort_unstable();
    let last = all.last().unwrap().0;
    journal.want_durable(last);
    while !progress.iter().any(|p| matches!(p, Progress::Durable(seq) if seq >= last)) {}
    assert!(journal.durable() >= last);

    assert!(segments(dir.path()).len() > 3);
    assert_eq!(verified(dir.path()).records, all.len() as u64);
    for (record, (seq, text)) in records(dir.path()).iter().zip(&all) {
        let record = record.as_record();
        assert_eq!(record.seq, *seq);
        assert!(std::str::from_utf8(record.payload).unwrap().contains(text));
    }
}

#[test]
fn what_is_written_is_synced_without_being_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, progress) = channel();
    let told = Box::new(move |progress| drop(sender.send(progress)));
    let options = Options { sync_interval: Duration::from_millis(5), ..options(dir.path()) };
    let (journal, _) = Journal::open(options, told).unwrap();
    for _ in 0..3 {
        let seq = keep(&journal, "x");
        assert_eq!(progress.recv().unwrap(), Progress::Durable(seq));
        assert_eq!(journal.durable(), seq);
    }
}

#[test]
fn a_clock_that_steps_back_is_marked() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let event = Event::GatewayStopped { reason: "" };
    for second in [100, 101, 50, 51, 51] {
        journal.append(&event, at(second)).unwrap();
    }
    journal.append(&event, at(51) - Duration::from_millis(5)).unwrap();
    journal.close().unwrap();
    // Also over a restart.
    let (journal, _) = open(dir.path());
    journal.append(&event, at(20)).unwrap();
    journal.close().unwrap();
    let stepped: Vec<_> = records(dir.path())
        .iter()
        .map(|record| (record.as_record().time.0, record.as_record().payload.to_vec()))
        .filter(|(_, payload)| payload.starts_with(b"{\"event\":\"clock_stepped\""))
        .map(|(time, payload)| (time / 1_000_000_000, String::from_utf8(payload).unwrap()))
        .collect();
    assert_eq!(stepped.len(), 2, "{stepped:?}");
    assert_eq!(stepped[0].0, 50);
    assert!(
        stepped[0].1.contains(r#""from":"1970-01-01T00:01:41.000000Z","to":"1970-01-01T00:00:50.000000Z""#)
    );
    assert_eq!(stepped[1].0, 20);
}

#[test]
fn a_record_longer_than_a_segment_gets_one_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 1000, ..options(dir.path()) };
    let (journal, _) = Journal::open(options, Box::new(|_| {})).unwrap();
    for length in [10, 5000, 10, 10, 400_000, 10] {
        keep(&journal, &"x".repeat(length));
    }
    drop(journal);
    assert_eq!(verified(dir.path()).records, 6);
    assert_eq!(records(dir.path()).len(), 6);
    assert_eq!(segments(dir.path()).len(), 5);
}

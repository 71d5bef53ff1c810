//! A crash at any byte loses nothing that was acknowledged; anything that is not a crash is refused.

use std::path::Path;

use audit::{Finding, Frame, HEADER_BYTES, Problem, Seq, Start};
use journal::{Journal, OpenError, Options, VerifyError, verify_dir};
use proptest::prelude::*;

use crate::bench::{append, copy, keep, open, options, records, segments, verified};

/// A journal of several segments, the last of which holds three records.
fn journal() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 400, ..options(dir.path()) };
    let (journal, _) = Journal::open(options, Box::new(|_| {})).unwrap();
    for n in 0..9 {
        keep(&journal, &format!("record {n}"));
    }
    journal.close().unwrap();
    assert_eq!(segments(dir.path()).len(), 3);
    dir
}

/// The offsets at which the records of a segment end.
fn ends(segment: &[u8]) -> Vec<usize> {
    let mut at = HEADER_BYTES;
    let mut all = vec![at];
    while let Ok(frame) = Frame::parse(&segment[at..]) {
        at += frame.bytes;
        all.push(at);
    }
    all
}

/// Opens what a crash left, and checks that it goes on from there.
fn check_recovers(dir: &Path, kept: u64, cut: Option<&[u8]>) {
    let (journal, recovery) = open(dir);
    assert_eq!(recovery.last, Seq(kept));
    match (cut, &recovery.cut[..]) {
        (None, []) => {}
        (Some(bytes), [one]) => {
            assert_eq!(std::fs::read(dir.join(&one.kept_as)).unwrap(), bytes);
            assert_eq!(one.bytes, bytes.len() as u64);
        }
        (_, cut) => panic!("{cut:?}"),
    }
    let seq = keep(&journal, "after");
    assert_eq!(seq.0, kept + 1 + recovery.cut.len() as u64);
    journal.close().unwrap();
    assert_eq!(verified(dir).records, seq.0);
    let records = records(dir);
    assert_eq!(records.len() as u64, seq.0);
    if !recovery.cut.is_empty() {
        let noted = records[records.len() - 2].as_record().payload.to_vec();
        assert!(String::from_utf8(noted).unwrap().starts_with(r#"{"event":"journal_recovered""#));
    }
}

#[test]
fn a_crash_at_any_byte_keeps_every_whole_record() {
    let clean = journal();
    let last = segments(clean.path()).pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    let ends = ends(&bytes);
    for length in 0..=bytes.len() {
        let crashed = copy(clean.path());
        let path = crashed.path().join(last.file_name().unwrap());
        std::fs::write(&path, &bytes[..length]).unwrap();
        let whole = ends.iter().rposition(|&end| end <= length);
        let kept = 6 + whole.unwrap_or(0) as u64;
        let end = whole.map_or(0, |at| ends[at]);
        let torn = (whole.is_none() || end < length).then(|| &bytes[end..length]);
        check_recovers(crashed.path(), kept, torn);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn garbage_after_a_crash_is_cut_off(
        at in 0usize..240,
        garbage in prop_oneof![prop::collection::vec(any::<u8>(), 1..200), (1usize..5000).prop_map(|n| vec![0; n])],
    ) {
        let crashed = journal();
        let last = segments(crashed.path()).pop().unwrap();
        let mut bytes = std::fs::read(&last).unwrap();
        let ends = ends(&bytes);
        let length = (HEADER_BYTES + at).min(bytes.len());
        bytes.truncate(length);
        bytes.extend_from_slice(&garbage);
        // Garbage that ends where the record would have is taken for a change, below; that it is the record is luck.
        prop_assume!(!ends.contains(&bytes.len()) && ends.contains(&length) || garbage.len() > 200 || garbage.len() < 20);
        prop_assume!(!ends.contains(&bytes.len()));
        std::fs::write(&last, &bytes).unwrap();
        let whole = ends.iter().rposition(|&end| end <= length).unwrap();
        check_recovers(crashed.path(), 6 + whole as u64, Some(&bytes[ends[whole]..]));
    }
}

#[test]
fn a_change_of_any_byte_fails_verification_and_is_not_taken_for_a_crash() {
    let clean = journal();
    for segment in segments(clean.path()) {
        let name = segment.file_name().unwrap();
        let bytes = std::fs::read(&segment).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(&segment, &changed).unwrap();
            let found = verify_dir(clean.path(), Start::Genesis, &[]);
            let Err(VerifyError::Found(Finding { segment: found, .. })) = found else {
                panic!("{name:?} {at}: {found:?}")
            };
            assert_eq!(*found, *name);
            // Opening looks at the last two segments.
            if !found.ends_with("01.gpj") {
                let opened = Journal::open(options(clean.path()), Box::new(|_| {}));
                assert!(matches!(opened, Err(OpenError::Damaged(_))), "{name:?} {at}");
            }
            let mut reader = journal::reader::open(clean.path()).unwrap();
            let read = std::iter::from_fn(|| match reader.read() {
                Ok(Some(_)) => Some(Ok(())),
                Ok(None) => None,
                Err(error) => Some(Err(error)),
            });
            // A reader takes a length that points behind the end for a record still being written.
            let shown = read.take_while(Result::is_ok).count();
            assert!(shown < 9, "{name:?} {at}");
        }
        std::fs::write(&segment, &bytes).unwrap();
    }
    assert_eq!(verified(clean.path()).records, 9);
}

#[test]
fn removed_and_renamed_segments_are_refused() {
    let all = journal();
    let names = segments(all.path());
    let middle = copy(all.path());
    std::fs::remove_file(middle.path().join(names[1].file_name().unwrap())).unwrap();
    assert!(matches!(
        Journal::open(options(middle.path()), Box::new(|_| {})),
        Err(OpenError::Damaged(Finding { problem: Problem::Missing { .. }, .. }))
    ));
    assert!(verify_dir(middle.path(), Start::Genesis, &[]).is_err());
    let renamed = copy(all.path());
    let path = renamed.path().join(names[2].file_name().unwrap());
    std::fs::rename(path, renamed.path().join("00000000000000000008.gpj")).unwrap();
    assert!(matches!(Journal::open(options(renamed.path()), Box::new(|_| {})), Err(OpenError::Damaged(_))));
    assert!(verify_dir(renamed.path(), Start::Genesis, &[]).is_err());
    let beheaded = copy(all.path());
    std::fs::remove_file(beheaded.path().join(names[0].file_name().unwrap())).unwrap();
    assert!(verify_dir(beheaded.path(), Start::Genesis, &[]).is_err());
    assert_eq!(verify_dir(beheaded.path(), Start::Retained, &[]).unwrap().records, 6);
}

#[test]
fn two_crashes_keep_both_torn_ends() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let (journal, recovery) = open(dir.path());
        assert_eq!(recovery.cut.len(), usize::from(round > 1));
        append(&journal, "x");
        journal.close().unwrap();
        let last = segments(dir.path()).pop().unwrap();
        let mut bytes = std::fs::read(&last).unwrap();
        bytes.extend_from_slice(b"torn");
        std::fs::write(&last, bytes).unwrap();
    }
    let torn = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().contains(".torn-"));
    assert_eq!(torn.count(), 2);
}

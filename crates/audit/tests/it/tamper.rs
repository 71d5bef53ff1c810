//! Whatever is done to a journal's bytes, verification says so.

use audit::{
    Anchor, Chain, Event, Finding, Frame, HEADER_BYTES, JournalId, Problem, Seq, Start, Time, verify,
};
use proptest::prelude::*;

use crate::events;

type Segments = Vec<(String, Vec<u8>)>;

/// Three segments: 16, 16 and 16 records.
fn journal() -> Segments {
    let mut chain = Chain::new(JournalId([1; 16]));
    (1..=3).map(|n| (format!("s{n}"), events::segment(&mut chain))).collect()
}

fn check(segments: &Segments) -> Result<audit::Report, Finding> {
    verify(segments.iter().map(|(n, b)| (n.as_str(), b)), Start::Genesis, &[])
}

/// The offsets at which the records of a segment start, and its end.
fn bounds(segment: &[u8]) -> Vec<usize> {
    let mut at = HEADER_BYTES;
    let mut all = vec![at];
    while let Ok(frame) = Frame::parse(&segment[at..]) {
        at += frame.bytes;
        all.push(at);
    }
    all
}

#[test]
fn an_untouched_journal_verifies() {
    let report = check(&journal()).unwrap();
    assert_eq!((report.records, report.segments, report.head.seq), (48, 3, Seq(48)));
}

#[test]
fn a_change_of_any_byte_is_found_where_it_is() {
    let clean = journal();
    for segment in 0..clean.len() {
        let bounds = bounds(&clean[segment].1);
        for at in 0..clean[segment].1.len() {
            let mut segments = clean.clone();
            segments[segment].1[at] ^= 1 << (at % 8);
            let found = check(&segments).unwrap_err();
            assert_eq!(found.segment, clean[segment].0, "byte {at}");
            let start = bounds.iter().rev().find(|&&start| start <= at).copied().unwrap_or(0);
            assert_eq!(found.offset, start as u64, "byte {at} of segment {segment}: {found}");
            assert!(!found.is_recoverable(), "byte {at} of segment {segment}: {found}");
        }
    }
}

#[test]
fn a_cut_at_any_byte_of_the_end_is_a_torn_tail_or_needs_an_anchor() {
    let clean = journal();
    let head = check(&clean).unwrap().head;
    let bounds = bounds(&clean[2].1);
    for length in 0..clean[2].1.len() {
        let mut segments = clean.clone();
        segments[2].1.truncate(length);
        match check(&segments) {
            Err(found) => {
                assert!(found.is_recoverable(), "{length}: {found}");
                assert!(!bounds.contains(&length));
            }
            Ok(report) => {
                assert!(bounds.contains(&length), "{length}");
                let anchored = verify(segments, Start::Genesis, &[head]).unwrap_err();
                assert_eq!(anchored.problem, Problem::EndsEarly(head));
                assert_eq!(anchored.seq, report.head.seq.next());
            }
        }
    }
}

#[test]
fn a_cut_before_the_last_segment_is_never_recoverable() {
    let clean = journal();
    for length in 0..clean[1].1.len() {
        let mut segments = clean.clone();
        segments[1].1.truncate(length);
        let found = check(&segments).unwrap_err();
        assert!(!found.is_recoverable(), "{length}: {found}");
    }
}

#[test]
fn zeros_and_garbage_after_a_cut_are_a_torn_tail() {
    let clean = journal();
    let bounds = bounds(&clean[2].1);
    let last = bounds[bounds.len() - 2];
    for length in last..clean[2].1.len() {
        for (count, byte) in [(60, 0), (4096, 0), (1, 0xff), (60, b'{'), (300, 0xa5)] {
            let mut segments = clean.clone();
            segments[2].1.truncate(length);
            segments[2].1.resize(length + count, byte);
            let found = check(&segments).unwrap_err();
            // Filled to the length that it states, a record is not torn but changed.
            let whole = length + count == clean[2].1.len() && byte != 0;
            assert_eq!(found.is_recoverable(), !whole, "{length}+{count}x{byte}: {found}");
        }
    }
}

#[test]
fn removed_reordered_repeated_and_inserted_records_are_told_apart() {
    let clean = journal();
    let bounds = bounds(&clean[1].1);
    let record = |n: usize| clean[1].1[bounds[n]..bounds[n + 1]].to_vec();
    let without = |n: usize| {
        let mut segments = clean.clone();
        segments[1].1.drain(bounds[n]..bounds[n + 1]);
        segments
    };
    let found = check(&without(3)).unwrap_err();
    assert_eq!(
        (found.problem, found.seq, found.offset),
        (Problem::Missing { found: Seq(21) }, Seq(20), bounds[3] as u64)
    );

    let mut swapped = without(3);
    let at = bounds[3] + record(4).len();
    swapped[1].1.splice(at..at, record(3));
    assert_eq!(check(&swapped).unwrap_err().problem, Problem::Missing { found: Seq(21) });

    let mut repeated = clean.clone();
    repeated[1].1.splice(bounds[4]..bounds[4], record(3));
    let found = check(&repeated).unwrap_err();
    assert_eq!((found.problem, found.seq), (Problem::Misplaced { found: Seq(20) }, Seq(21)));

    let mut forged = Chain::resume(JournalId([1; 16]), Seq(20), audit::Hash([9; 32]));
    let mut bytes = Vec::new();
    forged.append(Time(0), &Event::GatewayStopped { reason: "x" }.encode(), &mut bytes).unwrap();
    let mut inserted = without(3);
    inserted[1].1.splice(bounds[3]..bounds[3], bytes);
    let found = check(&inserted).unwrap_err();
    assert_eq!((found.problem, found.offset), (Problem::Unlinked, bounds[3] as u64));
}

#[test]
fn removed_reordered_and_foreign_segments_are_found() {
    let clean = journal();
    let mut missing = clean.clone();
    missing.remove(1);
    assert_eq!(check(&missing).unwrap_err().problem, Problem::Missing { found: Seq(33) });
    let mut beheaded = clean.clone();
    beheaded.remove(0);
    assert_eq!(check(&beheaded).unwrap_err().problem, Problem::Missing { found: Seq(17) });
    let report = verify(beheaded, Start::Retained, &[]).unwrap();
    assert_eq!((report.first, report.records), (Seq(17), 32));
    let mut swapped = clean.clone();
    swapped.swap(1, 2);
    assert_eq!(check(&swapped).unwrap_err().problem, Problem::Missing { found: Seq(33) });
    let mut foreign = clean;
    foreign[1].1 = events::segment(&mut Chain::new(JournalId([2; 16])));
    assert_eq!(check(&foreign).unwrap_err().problem, Problem::OtherJournal(JournalId([2; 16])));
    assert_eq!(check(&Vec::new()).unwrap_err().problem, Problem::Empty);
}

#[test]
fn a_chain_rewritten_as_a_whole_fails_against_an_anchor() {
    let clean = journal();
    let head = check(&clean).unwrap().head;
    let mut chain = Chain::new(JournalId([1; 16]));
    let mut bytes = chain.header().to_bytes().to_vec();
    for _ in 0..48 {
        chain.append(Time(0), &Event::GatewayStopped { reason: "all is well" }.encode(), &mut bytes).unwrap();
    }
    let rewritten = vec![("s1".to_owned(), bytes)];
    assert!(check(&rewritten).is_ok());
    let found = verify(rewritten, Start::Genesis, &[head]).unwrap_err();
    assert_eq!(found.problem, Problem::Rewritten(Anchor { seq: Seq(48), hash: head.hash }));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut segment = journal().remove(0).1;
        segment.extend_from_slice(&bytes);
        let found = verify([("s1", &segment)], Start::Genesis, &[]);
        prop_assert_eq!(found.is_ok(), bytes.is_empty());
        prop_assert!(verify([("s1", &bytes)], Start::Genesis, &[]).is_err());
    }
}

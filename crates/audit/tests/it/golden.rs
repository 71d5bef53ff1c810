//! The released format, kept for ever: this file was written once and must always read and verify the same.

use audit::{Anchor, Chain, Frame, HEADER_BYTES, JournalId, Report, SegmentHeader, Seq, Start, Time, verify};

use crate::events;

const GOLDEN: &[u8] = include_bytes!("../../testdata/v1.gpj");
const HEAD: &str = "7ed3f973ff09454121b43c6120298e7ddd4ac0610244685dcf89d9968dabc9a3";

#[test]
fn version_1_is_still_written_byte_for_byte() {
    let mut chain = Chain::new(JournalId(*b"golden journal 1"));
    let written = events::segment(&mut chain);
    assert_eq!(chain.head().to_string(), HEAD);
    assert!(written == GOLDEN, "the bytes of format version 1 have changed");
}

#[test]
fn version_1_is_still_verified() {
    let head = Anchor { seq: Seq(16), hash: HEAD.parse().unwrap() };
    let report = verify([("v1.gpj", GOLDEN)], Start::Genesis, &[head]).unwrap();
    let expected = Report {
        journal: JournalId(*b"golden journal 1"),
        first: Seq(1),
        head,
        records: 16,
        segments: 1,
        bytes: GOLDEN.len() as u64,
        times: Some((Time(1_763_900_000_000_000_000), Time(1_763_900_015_000_000_000))),
    };
    assert_eq!(report, expected);
}

#[test]
fn version_1_is_still_read() {
    let header = SegmentHeader::parse(GOLDEN).unwrap();
    assert_eq!(header.first, Seq(1));
    let mut rest = &GOLDEN[HEADER_BYTES..];
    let mut payloads = Vec::new();
    while !rest.is_empty() {
        let frame = Frame::parse(rest).unwrap();
        payloads.push(frame.record.payload);
        rest = &rest[frame.bytes..];
    }
    let lines: Vec<&[u8]> = include_bytes!("../../testdata/v1.jsonl").split(|&b| b == b'\n').collect();
    assert_eq!(payloads, lines[..16]);
}

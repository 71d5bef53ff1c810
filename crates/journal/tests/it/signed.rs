//! Checkpoints: made while records come, found again after whatever ends the process, and no record changed unseen.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use audit::{Problem, Seq, Start};
use checkpoint::{SigningKey, Trust, VerifierKey};
use journal::examine::{Examination, Expected, examine};
use journal::signing::{Signing, SigningError, Told};
use journal::{Journal, Options, TreeError};
use model::Secret;

use crate::bench::{copy, keep, options, segments};

pub(crate) fn key(name: &str) -> SigningKey {
    SigningKey::from_pem(name, &SigningKey::generate().unwrap()).unwrap()
}

/// The same key again.
pub(crate) struct Keys {
    pem: Secret<String>,
    name: &'static str,
}

impl Keys {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { pem: SigningKey::generate().unwrap(), name }
    }

    pub(crate) fn signer(&self) -> SigningKey {
        SigningKey::from_pem(self.name, &self.pem).unwrap()
    }

    pub(crate) fn public(&self) -> VerifierKey {
        self.signer().verifier().clone()
    }
}

fn clock() -> SystemTime {
    crate::bench::at(1)
}

pub(crate) fn signing(key: SigningKey, previous: Option<SigningKey>) -> (Signing, mpsc::Receiver<Told>) {
    let (tell, told) = mpsc::channel();
    let signing = Signing {
        key: Box::new(key),
        previous: previous.map(|key| Box::new(key) as Box<dyn journal::signing::Sign>),
        every: 100,
        interval: Duration::from_secs(3600),
        now: clock,
        told: Box::new(move |told| drop(tell.send(told))),
    };
    (signing, told)
}

/// Writes records and signs them: some checkpoints while they come, one at the end.
pub(crate) fn write(dir: &Path, keys: &Keys, records: u64) -> Seq {
    let options =
        Options { segment_bytes_max: 8_000, sync_interval: Duration::from_millis(1), ..options(dir) };
    let (journal, _) = Journal::open(options, Box::new(|_| {})).unwrap();
    let (signing, told) = signing(keys.signer(), None);
    journal.sign(signing).unwrap();
    for n in 0..records {
        keep(&journal, &format!("record {n}"));
        if n % 150 == 149 {
            assert!(matches!(told.recv().unwrap(), Told::Signed(_)));
        }
    }
    journal.close().unwrap()
}

pub(crate) fn expected(keys: &[&Keys]) -> Expected {
    let trust = Trust::new(keys.iter().map(|keys| keys.public()));
    Expected { start: Start::Genesis, anchors: Vec::new(), checkpoints: Vec::new(), trust }
}

pub(crate) fn examined(dir: &Path, keys: &Keys) -> Examination {
    examine(dir, expected(&[keys])).unwrap()
}

#[test]
fn every_record_is_signed_in_the_end_whenever_the_journal_was_closed() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), Keys::new("gateway"));
    for records in [0, 1, 1, 254, 255, 256, 257, 600, 3] {
        let last = write(dir.path(), &keys, records);
        let found = examined(dir.path(), &keys);
        assert!(found.is_whole(), "{:?}", found.findings);
        assert_eq!(found.head.seq, last);
        assert_eq!(found.believed, found.checkpoints);
        if let Some((record, size)) = found.signed {
            // Everything but what the last checkpoints are.
            assert_eq!(record, last);
            let after =
                crate::bench::records(dir.path()).into_iter().filter(|it| it.as_record().seq.0 > size);
            assert!(after.into_iter().all(|it| it.as_record().kind == audit::Kind::Checkpoint));
        }
    }
    // The tree's files are a shortcut: without them, and with damaged ones, the same is signed.
    for damage in ["tree-08", "tree-16"] {
        let path = dir.path().join(damage);
        std::fs::write(&path, [7; 96]).unwrap();
        write(dir.path(), &keys, 1);
        assert!(examined(dir.path(), &keys).is_whole());
        std::fs::remove_file(path).unwrap();
        write(dir.path(), &keys, 300);
        assert!(examined(dir.path(), &keys).is_whole());
    }
}

#[test]
fn a_checkpoint_comes_with_time_and_none_for_nothing() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), Keys::new("gateway"));
    let (journal, _) = Journal::open(options(dir.path()), Box::new(|_| {})).unwrap();
    let (signing, told) = signing(keys.signer(), None);
    journal.sign(Signing { every: 1_000_000, interval: Duration::from_millis(1), ..signing }).unwrap();
    for n in 0..5 {
        let seq = keep(&journal, "record");
        let Told::Signed(signed) = told.recv_timeout(Duration::from_secs(60)).unwrap() else { panic!() };
        // Each covers the checkpoint before, and the record.
        assert_eq!((signed.checkpoint.size, signed.record.0), (2 * n + 1, 2 * n + 2));
        assert_eq!(seq.0, 2 * n + 1);
    }
    journal.close().unwrap();
    assert!(told.try_recv().is_err());
}

/// A signed journal of some segments, without the tree's files unless they are asked for.
fn signed(keys: &Keys) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), keys, 700);
    dir
}

fn without_tree(dir: &Path) {
    for height in ["08", "16", "24", "32"] {
        std::fs::remove_file(dir.join(format!("tree-{height}"))).unwrap();
    }
}

/// Writes the journal anew with records that somebody chose, as one who has everything but the key.
fn forged(dir: &Path, change: impl Fn(u64, &mut Vec<u8>) -> bool) {
    let mut all = Vec::new();
    let mut reader = journal::reader::open(dir).unwrap();
    while let Some(record) = reader.read().unwrap() {
        let mut payload = record.payload.to_vec();
        if change(record.seq.0, &mut payload) {
            all.push((record.kind, payload));
        }
    }
    let first = segments(dir)[0].clone();
    let header = audit::SegmentHeader::parse(&std::fs::read(first).unwrap()).unwrap();
    for path in segments(dir) {
        std::fs::remove_file(path).unwrap();
    }
    let mut chain = audit::Chain::new(header.journal);
    let mut bytes = chain.header().to_bytes().to_vec();
    for (kind, payload) in all {
        let text = String::from_utf8(payload).unwrap();
        match kind {
            audit::Kind::Checkpoint => {
                chain.append_checkpoint(audit::Time(1_000_000_000), &text, &mut bytes).unwrap()
            }
            _ => {
                let reason = text.rsplit_once(":\"").unwrap().1.trim_end_matches("\"}").to_owned();
                let event = audit::Event::GatewayStopped { reason: &reason }.encode();
                chain.append(audit::Time(1_000_000_000), &event, &mut bytes).unwrap()
            }
        };
    }
    std::fs::write(dir.join("00000000000000000001.gpj"), bytes).unwrap();
}

#[test]
fn a_chain_that_is_rewritten_as_a_whole_is_found_and_where() {
    let keys = Keys::new("gateway");
    let clean = signed(&keys);
    type Change = fn(u64, &mut Vec<u8>) -> bool;
    let changes: [(&str, Change, u64); 3] = [
        (
            "changed",
            |seq, payload| {
                if seq == 333 {
                    *payload = String::from_utf8_lossy(payload).replace("record", "nothing").into_bytes();
                }
                true
            },
            333,
        ),
        ("removed", |seq, _| seq != 333, 333),
        (
            "inserted",
            |seq, payload| {
                if seq == 333 {
                    *payload = b"{\"event\":\"gateway_stopped\",\"reason\":\"never\"}".to_vec();
                }
                true
            },
            333,
        ),
    ];
    for (what, change, at) in changes {
        for tree in [true, false] {
            let copy = copy(clean.path());
            if !tree {
                without_tree(copy.path());
            }
            forged(copy.path(), change);
            let found = examined(copy.path(), &keys);
            let first = found.findings.first().unwrap_or_else(|| panic!("{what}"));
            let Problem::NotAsSigned { from, to } = first.problem else { panic!("{what}: {first}") };
            assert!(from.0 <= at && at <= to.0, "{what}: {first}");
            // Among the records between two checkpoints, and of one block where the tree is there.
            assert!(to.0 - from.0 < if tree { 256 } else { 400 }, "{what}: {first}");
            let before = found.signed.unwrap_or((Seq(0), 0)).1;
            assert!(before < at, "{what}: {before}");
            // Nor does a gateway go on with it.
            let opened = Journal::open(options(copy.path()), Box::new(|_| {})).unwrap().0;
            let refused = opened.sign(signing(keys.signer(), None).0);
            assert!(matches!(refused, Err(SigningError::Tree(TreeError::NotAsSigned { .. }))), "{what}");
        }
    }
}

#[test]
fn every_kind_of_tampering_is_named_with_its_record_and_the_rest_still_verifies() {
    let keys = Keys::new("gateway");
    let clean = signed(&keys);
    let names = segments(clean.path());
    assert!(names.len() > 4);
    let middle = std::fs::read(&names[2]).unwrap();
    let first = audit::SegmentHeader::parse(&middle).unwrap().first.0;
    let mut ends = vec![audit::HEADER_BYTES];
    while let Ok(frame) = audit::Frame::parse(&middle[*ends.last().unwrap()..]) {
        ends.push(ends.last().unwrap() + frame.bytes);
    }
    let part = |from: usize, to: usize| middle[ends[from]..ends[to]].to_vec();
    let all = ends.len() - 1;
    let head = middle[..ends[0]].to_vec();
    let with = |parts: &[Vec<u8>]| [vec![head.clone()], parts.to_vec()].concat().concat();
    let mut changed = middle.clone();
    changed[ends[5] + 70] ^= 1;
    let mut length = middle.clone();
    length[ends[5] + 4] ^= 1;
    let last = all as u64;
    type Case<'a> = (&'a str, Option<Vec<u8>>, u64, fn(&Problem) -> bool, u64);
    let cases: [Case<'_>; 10] = [
        ("a changed byte", Some(changed), 5, |p| *p == Problem::Changed, 1),
        ("a changed length", Some(length), 5, |p| *p == Problem::Changed, 1),
        (
            "a removed record",
            Some(with(&[part(0, 5), part(6, all)])),
            5,
            |p| matches!(p, Problem::Missing { .. }),
            1,
        ),
        (
            "two reordered records",
            Some(with(&[part(0, 5), part(6, 7), part(5, 6), part(7, all)])),
            5,
            |p| matches!(p, Problem::Missing { .. }),
            1,
        ),
        (
            "a repeated record",
            Some(with(&[part(0, 6), part(5, all)])),
            6,
            |p| matches!(p, Problem::Misplaced { .. }),
            0,
        ),
        (
            "a record of elsewhere",
            Some(with(&[part(0, 5), part(0, 1), part(5, all)])),
            5,
            |p| matches!(p, Problem::Misplaced { .. }),
            0,
        ),
        (
            "inserted bytes",
            Some(with(&[part(0, 5), vec![9; 100], part(5, all)])),
            5,
            |p| *p == Problem::Changed,
            0,
        ),
        (
            "a segment cut short",
            Some(middle[..ends[5] + 10].to_vec()),
            5,
            |p| *p == Problem::CutShort,
            last - 5,
        ),
        ("a segment of zeros", Some(vec![0; middle.len()]), 0, |p| matches!(p, Problem::Header(_)), last),
        ("a removed segment", None, 0, |p| matches!(p, Problem::Missing { .. }), last),
    ];
    for (what, bytes, at, problem, lost) in cases {
        let copy = copy(clean.path());
        let path = copy.path().join(names[2].file_name().unwrap());
        match bytes {
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        let found = examined(copy.path(), &keys);
        let finding = &found.findings[0];
        assert_eq!(finding.seq.0, first + at, "{what}: {finding}");
        assert!(problem(&finding.problem), "{what}: {finding}");
        let missing: u64 = found.holes.iter().map(|(from, to)| to.0 - from.0 + 1).sum();
        assert_eq!(missing, lost, "{what}: {:?}", found.holes);
        // The rest is what was signed: the tree's files stand for what is missing, and the signature for them.
        assert!(
            found.findings.iter().all(|it| !matches!(it.problem, Problem::NotAsSigned { .. })),
            "{what}: {:?}",
            found.findings
        );
        let (_, size) = found.signed.unwrap();
        assert!(size >= found.head.seq.0 - 2, "{what}");
        assert_eq!(found.records + missing, found.head.seq.0, "{what}");
    }
}

#[test]
fn an_end_that_is_cut_off_is_found_by_what_is_known_outside() {
    let keys = Keys::new("gateway");
    let clean = signed(&keys);
    let whole = examined(clean.path(), &keys);
    let outside = journal::reader::Reader::open_from(clean.path(), whole.signed.unwrap().0)
        .unwrap()
        .read()
        .unwrap()
        .map(|record| checkpoint::Note::parse(std::str::from_utf8(record.payload).unwrap()).unwrap());
    let copy = copy(clean.path());
    without_tree(copy.path());
    for path in segments(copy.path()).into_iter().skip(3) {
        std::fs::remove_file(path).unwrap();
    }
    // Nothing in the folder tells.
    let found = examined(copy.path(), &keys);
    assert!(found.is_whole());
    let known = Expected { checkpoints: outside.into_iter().collect(), ..expected(&[&keys]) };
    assert!(examine(clean.path(), known.clone()).unwrap().is_whole());
    let found = examine(copy.path(), known).unwrap();
    assert!(
        matches!(found.findings[..], [audit::Finding { problem: Problem::EndsBefore { .. }, .. }]),
        "{:?}",
        found.findings
    );
    // The tree's files tell too, where they are left.
    std::fs::copy(clean.path().join("tree-08"), copy.path().join("tree-08")).unwrap();
    assert!(!examined(copy.path(), &keys).is_whole());
}

#[test]
fn another_key_takes_over_only_with_the_word_of_the_one_before() {
    let (dir, first, second) = (tempfile::tempdir().unwrap(), Keys::new("first"), Keys::new("second"));
    write(dir.path(), &first, 200);
    let (journal, _) = Journal::open(options(dir.path()), Box::new(|_| {})).unwrap();
    journal.sign(signing(second.signer(), Some(first.signer())).0).unwrap();
    keep(&journal, "between");
    journal.close().unwrap();
    write(dir.path(), &second, 200);
    // Whoever has the first key needs no other; whoever has only the second knows that it is of all records.
    let found = examined(dir.path(), &first);
    assert!(found.is_whole(), "{:?}", found.findings);
    assert_eq!((found.believed, found.strange), (found.checkpoints, 0));
    assert_eq!(found.keys, [second.public().to_string()]);
    let found = examined(dir.path(), &second);
    assert!(found.is_whole() && found.strange > 0);
    assert!(found.signed.unwrap().1 >= found.head.seq.0 - 2);
    let records = crate::bench::records(dir.path());
    let told = |record: &&journal::reader::OwnedRecord| record.as_record().code.0 == 106;
    assert_eq!(records.iter().filter(told).count(), 1);
    // The old key, stolen, signs nothing any more.
    write(dir.path(), &first, 200);
    let found = examined(dir.path(), &first);
    assert!(matches!(found.findings[0].problem, Problem::NotACheckpoint(_)), "{:?}", found.findings);
    // A key that nobody handed over to is a stranger.
    let other = Keys::new("other");
    write(dir.path(), &other, 200);
    let found = examined(dir.path(), &second);
    assert_eq!(found.stranger.unwrap(), found_name(&other));
}

fn found_name(keys: &Keys) -> String {
    keys.public().to_string().splitn(3, '+').take(2).collect::<Vec<_>>().join("+")
}

#[test]
fn a_signer_that_fails_is_told_and_asked_again() {
    struct Failing(SigningKey, std::sync::atomic::AtomicBool);
    impl journal::signing::Sign for Failing {
        fn key(&self) -> &VerifierKey {
            self.0.verifier()
        }
        fn sign(&self, text: &str) -> Result<checkpoint::Signature, String> {
            if self.1.swap(true, std::sync::atomic::Ordering::SeqCst) {
                Ok(key("gateway").sign(text))
            } else {
                Err("the HSM is out".to_owned())
            }
        }
    }
    let (dir, keys) = (tempfile::tempdir().unwrap(), Keys::new("gateway"));
    let (journal, _) = Journal::open(options(dir.path()), Box::new(|_| {})).unwrap();
    let (signing, told) = signing(keys.signer(), None);
    journal
        .sign(Signing { key: Box::new(Failing(keys.signer(), false.into())), every: 1, ..signing })
        .unwrap();
    keep(&journal, "record");
    assert!(matches!(told.recv().unwrap(), Told::Failed(reason) if reason == "the HSM is out"));
    // A signature of another key than it says is none, and nothing is written of it.
    journal.close().unwrap();
    assert!(matches!(told.recv().unwrap(), Told::Failed(_)));
    assert_eq!(examined(dir.path(), &keys).checkpoints, 0);
}

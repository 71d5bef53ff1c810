//! What is written is read again; what is torn, changed, removed or put elsewhere is found; and the bytes of version 1 stay as they are.

use std::io::Cursor;
use std::time::Duration;

use model::SessionId;
use proptest::prelude::*;
use recording::{
    Column, Damage, Decision, Entry, Hold, Identities, Item, Kept, Mark, Opening, Reader, Recipients, Sent,
    Totals, What, Writer, recover, verify,
};

/// Made for these tests by age-keygen's own way.
const IDENTITY: &str = "AGE-SECRET-KEY-1YZR3CX95SDQEHEVMZDTRM4T0XFCUM0GQ55P9Q3U5U4WU9XT74X8S2KA73H";
const RECIPIENT: &str = "age1qggv4juk6j0mwjvezdf7k77ry3rn0ya96rk7gf8c6pt68kv4lpks3hu2mc";
const OTHER: &str = "age1r2x044gcxx9tn2lq6mvnxv6fw5yrdrt0g0vc7mkqzc6k0fl9pfhq2kunqg";

fn opening() -> Opening {
    Opening {
        session: SessionId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        journal: "00112233445566778899aabbccddeeff".to_owned(),
        gateway: "gateway-1".to_owned(),
        began: 1_790_000_000_000_000,
        kept: Kept::Results,
        identity: "corp:agent".to_owned(),
        on_behalf_of: Some("corp:alice".to_owned()),
        groups: vec!["agents".to_owned(), "night".to_owned()],
        database: "shop".to_owned(),
        application_name: "psql\u{1b}[2J".to_owned(),
        server_version: "18.1".to_owned(),
        rows_max: 1000,
        bytes_max: 1 << 20,
    }
}

fn at(micros: u64, statement: u64, what: What) -> Entry {
    Entry { at: Duration::from_micros(micros), statement, what }
}

fn error() -> Vec<u8> {
    b"E\x00\x00\x00\x0cC42P01\x00\x00".to_vec()
}

/// One of everything.
fn entries() -> Vec<Entry> {
    let sent = |text: &str, sqlstate: Option<&str>| {
        What::Sent(Box::new(Sent {
            text: text.to_owned(),
            parameters: vec![None, Some("x".to_owned()), Some("\\x00".to_owned())],
            parameter_types: vec![23, 25, 17],
            parameters_binary: vec![2],
            parameters_cut: 9,
            extended: true,
            offset: 17,
            columns: vec![Column { name: "id".to_owned(), type_oid: 23, format: 1 }],
            decision: Decision {
                verdict: if sqlstate.is_some() { "deny" } else { "mask" }.to_owned(),
                rules: vec!["r1".to_owned()],
                sqlstate: sqlstate.map(str::to_owned),
                approval: Some(7),
                masked: vec![0, 3],
            },
        }))
    };
    let hold = |state: &str, message: Option<&str>| {
        What::Hold(Hold { request: 7, state: state.to_owned(), message: message.map(str::to_owned) })
    };
    vec![
        at(10, 1, sent("SELECT 1", None)),
        at(11, 1, hold("waiting", None)),
        at(12, 1, hold("approved", Some("go on"))),
        at(20, 1, What::Received(b"C\x00\x00\x00\x0dSELECT 1\x00".to_vec())),
        at(21, 1, What::Cut { rows: 5, bytes: 4711 }),
        at(30, 2, sent("SELECT 2", Some("42501"))),
        at(31, 2, What::Received(error())),
        at(40, 3, What::Sent(Box::default())),
        at(41, 3, What::Received(error())),
        at(50, 3, What::CopyData(vec![0, 255])),
        at(51, 3, What::CopyCut(99)),
        at(60, 0, What::CancelRequested),
        at(61, 0, What::Gap { why: "backlog".to_owned() }),
        at(62, 0, What::Kept(Kept::Statements)),
        at(70, 0, What::Ended { why: "terminated".to_owned() }),
    ]
}

/// Writes them, a chunk for each so many.
fn written(entries: &[Entry], in_chunk: usize, recipients: Option<Recipients>) -> (Vec<u8>, Totals) {
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&opening(), recipients, &mut bytes).unwrap();
    for some in entries.chunks(in_chunk) {
        some.iter().for_each(|entry| writer.push(entry));
        writer.flush(&mut bytes).unwrap();
    }
    let totals = writer.finish(&mut bytes).unwrap();
    assert_eq!(totals.bytes, bytes.len() as u64);
    (bytes, totals)
}

/// What can be read, and how many holes there are.
fn read(bytes: &[u8], identities: Option<Identities>) -> (Vec<Entry>, Vec<Damage>) {
    let mut reader = Reader::open(Cursor::new(bytes), identities).unwrap();
    rest(&mut reader)
}

fn rest(reader: &mut Reader<Cursor<&[u8]>>) -> (Vec<Entry>, Vec<Damage>) {
    let (mut entries, mut holes) = (Vec::new(), Vec::new());
    while let Some(item) = reader.read().unwrap() {
        match item {
            Item::Entry(entry) => entries.push(entry),
            Item::Hole(hole) => holes.push(hole.why),
        }
    }
    (entries, holes)
}

#[test]
fn what_is_written_is_read_again() {
    let entries = entries();
    for in_chunk in [1, 4, 100] {
        let (bytes, totals) = written(&entries, in_chunk, None);
        let (found, holes) = read(&bytes, None);
        assert_eq!(found, entries);
        assert!(holes.is_empty(), "{holes:?}");
        assert_eq!((totals.rows_cut, totals.bytes_cut), (5, 4810));
        let reader = Reader::open(Cursor::new(&bytes[..]), None).unwrap();
        assert_eq!(*reader.opening(), opening());
        assert!(reader.is_closed());
        let counts = reader
            .index()
            .iter()
            .fold([0; 4], |sum: [u64; 4], chunk| std::array::from_fn(|kind| sum[kind] + chunk.marks[kind]));
        assert_eq!(counts, [3, 1, 1, 1], "{:?}", Mark::ALL);
        let verified = verify(Cursor::new(&bytes), |_, _| {}).unwrap().unwrap();
        assert_eq!((verified.hash, verified.chunks, verified.closed), (totals.hash, totals.chunks, true));
    }
}

#[test]
fn version_1_stays_as_it_is() {
    let golden = hex::decode(include_str!("v1.hex").split_whitespace().collect::<String>()).unwrap();
    let (found, holes) = read(&golden, None);
    assert_eq!((found, holes.len()), (entries(), 0));
    let verified = verify(Cursor::new(&golden), |_, _| {}).unwrap().unwrap();
    assert_eq!((verified.chunks, verified.closed), (3, true));
    // What zstd makes of a chunk may be another with its next version; what stands before the first one is ours alone.
    let (bytes, _) = written(&entries(), 6, None);
    let reader = Reader::open(Cursor::new(&golden[..]), None).unwrap();
    let first = usize::try_from(reader.index()[0].offset).unwrap();
    assert_eq!(bytes[..first], golden[..first], "a released format never changes: write version 2");
}

#[test]
fn only_recipients_read_and_every_chunk_is_a_message_of_age() {
    let entries = entries();
    let recipients = Recipients::parse(&[RECIPIENT.to_owned()]).unwrap();
    let (bytes, _) = written(&entries, 4, Some(recipients));
    let identities = || Identities::parse(&format!("# a comment\n{IDENTITY}\n")).unwrap();
    let (found, holes) = read(&bytes, Some(identities()));
    assert_eq!((found, holes.len()), (entries, 0));
    let (none, holes) = read(&bytes, None);
    assert!(none.is_empty() && holes.iter().all(|hole| matches!(hole, Damage::NeedsIdentity)), "{holes:?}");
    let others = Recipients::parse(&[OTHER.to_owned()]).unwrap();
    let (theirs, _) = written(&self::entries(), 4, Some(others));
    let (none, holes) = read(&theirs, Some(identities()));
    assert!(none.is_empty() && holes.iter().all(|hole| matches!(hole, Damage::Sealed(_))), "{holes:?}");
    // What was said and seen stands nowhere in the clear; whose it is, and when, does.
    let contains = |text: &str| bytes.windows(text.len()).any(|at| at == text.as_bytes());
    assert!(!contains("SELECT") && !contains("42501") && contains("corp:agent"));
    assert!(contains("age-encryption.org/v1"));
}

#[test]
fn a_torn_recording_is_read_and_closed_up_to_its_last_whole_chunk() {
    let entries = entries();
    let (whole, _) = written(&entries, 3, None);
    let index = Reader::open(Cursor::new(&whole[..]), None).unwrap().index().to_vec();
    let begins = usize::try_from(index[0].offset).unwrap();
    for cut in 0..whole.len() {
        let torn = &whole[..cut];
        if cut < begins {
            assert!(Reader::open(Cursor::new(torn), None).is_err(), "{cut}");
            continue;
        }
        let chunks = index.iter().filter(|chunk| chunk.offset + chunk.bytes <= cut as u64).count();
        let (found, holes) = read(torn, None);
        assert_eq!(found, entries[..(chunks * 3).min(entries.len())], "{cut}");
        assert!(holes.len() <= 1, "{cut}: {holes:?}");
        // As the gateway does when it starts again.
        let recovered = recover(Cursor::new(torn), None).unwrap().expect("it was not closed");
        let mut mended = torn[..usize::try_from(recovered.bytes).unwrap()].to_vec();
        let mut writer = recovered.writer;
        let ended = at(
            u64::try_from(recovered.last_at.as_micros()).unwrap(),
            0,
            What::Ended { why: "crash".to_owned() },
        );
        writer.push(&ended);
        let totals = writer.finish(&mut mended).unwrap();
        let verified = verify(Cursor::new(&mended), |_, _| {}).unwrap().unwrap();
        assert_eq!((verified.hash, verified.closed), (totals.hash, true), "{cut}");
        let (again, holes) = read(&mended, None);
        assert_eq!(again.len(), found.len() + 1);
        assert!(holes.is_empty());
    }
    assert!(recover(Cursor::new(&whole), None).unwrap().is_none());
}

#[test]
fn every_changed_byte_is_found_and_the_other_chunks_are_read() {
    let entries = entries();
    let (whole, _) = written(&entries, 3, None);
    let reader = Reader::open(Cursor::new(&whole[..]), None).unwrap();
    let (first, index) = (reader.index()[0].offset, reader.index().to_vec());
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 0x20;
        let verified = verify(Cursor::new(&changed), |_, _| {});
        let is_whole =
            matches!(&verified, Ok(Ok(found)) if found.closed && found.hash == verify_hash(&whole));
        // The trailer only says where the index is: it is no part of what happened.
        let in_trailer = place >= whole.len() - 20;
        assert!(!is_whole || in_trailer, "{place} of {}", whole.len());
        if (place as u64) < first {
            continue;
        }
        let (found, _) = read(&changed, None);
        let hit = index
            .iter()
            .filter(|chunk| (chunk.offset..chunk.offset + chunk.bytes).contains(&(place as u64)))
            .count();
        assert!(found.len() + 3 * hit >= entries.len(), "{place}: {} of {}", found.len(), entries.len());
        assert!(found.iter().all(|entry| entries.contains(entry)), "{place}");
    }
}

fn verify_hash(bytes: &[u8]) -> recording::ChainHash {
    verify(Cursor::new(bytes), |_, _| {}).unwrap().unwrap().hash
}

#[test]
fn removed_repeated_and_reordered_chunks_are_found() {
    let (whole, _) = written(&entries(), 3, None);
    let index = Reader::open(Cursor::new(&whole[..]), None).unwrap().index().to_vec();
    let range = |n: usize| index[n].offset as usize..(index[n].offset + index[n].bytes) as usize;
    let (start, end) = (range(0).start, range(index.len() - 1).end);
    let order = |chunks: &[usize]| {
        let mut bytes = whole[..start].to_vec();
        chunks.iter().for_each(|n| bytes.extend(&whole[range(*n)]));
        bytes.extend(&whole[end..]);
        bytes
    };
    assert!(verify(Cursor::new(order(&[0, 1, 2, 3, 4])), |_, _| {}).unwrap().is_ok());
    for tampered in [&[0, 2, 3, 4][..], &[0, 1, 1, 2, 3, 4], &[0, 2, 1, 3, 4], &[1, 2, 3, 4], &[0, 1, 2, 3]] {
        let found = verify(Cursor::new(order(tampered)), |_, _| {}).unwrap();
        assert!(
            matches!(found, Err(ref hole) if matches!(hole.why, Damage::Unlinked)),
            "{tampered:?}: {found:?}"
        );
    }
}

#[test]
fn seeking_goes_to_a_time_and_to_a_statement() {
    let entries = entries();
    for in_chunk in [1, 2, 5, 100] {
        let (bytes, _) = written(&entries, in_chunk, None);
        let mut reader = Reader::open(Cursor::new(&bytes[..]), None).unwrap();
        for from in [0, 11, 22, 45, 70] {
            reader.seek_time(Duration::from_micros(from)).unwrap();
            let expected: Vec<_> =
                entries.iter().filter(|entry| entry.at >= Duration::from_micros(from)).cloned().collect();
            assert_eq!(rest(&mut reader).0, expected, "{from} in {in_chunk}");
        }
        for statement in [1, 2, 3] {
            reader.seek_statement(statement).unwrap();
            let expected: Vec<_> =
                entries.iter().skip_while(|entry| entry.statement < statement).cloned().collect();
            assert_eq!(rest(&mut reader).0, expected, "{statement} in {in_chunk}");
        }
        reader.seek_time(Duration::from_secs(1)).unwrap();
        assert!(rest(&mut reader).0.is_empty());
    }
}

#[test]
fn a_recording_that_grows_is_followed() {
    let entries = entries();
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&opening(), None, &mut bytes).unwrap();
    writer.push(&entries[0]);
    writer.flush(&mut bytes).unwrap();
    let mut reader = Reader::open(Cursor::new(bytes.clone()), None).unwrap();
    assert!(matches!(reader.read().unwrap(), Some(Item::Entry(_))));
    assert!(reader.read().unwrap().is_none());
    assert_eq!((reader.index().len(), reader.is_closed()), (1, false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the bytes, reading ends and gives no more than was written.
    #[test]
    fn no_bytes_are_too_strange(noise in proptest::collection::vec((0usize..4096, any::<u8>()), 1..20), cut in 0usize..4096) {
        let (mut bytes, _) = written(&entries(), 2, None);
        for (place, byte) in noise {
            let length = bytes.len();
            bytes[place % length] = byte;
        }
        bytes.truncate(cut.max(1));
        if let Ok(mut reader) = Reader::open(Cursor::new(&bytes[..]), None) {
            let (found, _) = rest(&mut reader);
            prop_assert!(found.len() <= entries().len());
        }
        let _ = recover(Cursor::new(&bytes), None);
        let _ = verify(Cursor::new(&bytes), |_, _| {});
    }

    #[test]
    fn any_messages_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..5000), micros in 0u64..1 << 50, statement in any::<u64>()) {
        let entry = at(micros, statement, What::Received(bytes));
        let (file, _) = written(std::slice::from_ref(&entry), 1, None);
        prop_assert_eq!(read(&file, None).0, vec![entry]);
    }
}

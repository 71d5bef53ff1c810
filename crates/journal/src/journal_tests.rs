//! What the journal does when the disk fails it, on a disk that fails when told.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime};

use audit::{Event, Seq, Start};
use parking_lot::Mutex;

use crate::disk::{Disk, RealDisk, SegmentFile};
use crate::journal::{Journal, JournalError, Options, Progress};
use crate::reader::Reader;
use crate::verify_dir;

/// What a test makes fail; counts down, and fails from zero on.
#[derive(Default)]
struct Faults {
    /// Bytes that the disk still takes.
    room: Option<usize>,
    sync: Option<&'static str>,
    create: Option<&'static str>,
    set_len: Option<&'static str>,
    rename: Option<&'static str>,
    /// What each file is known to hold on disk: its bytes at its last good sync.
    durable: BTreeMap<PathBuf, Vec<u8>>,
    /// The present name of each open file.
    names: Vec<Name>,
}

type Name = Arc<Mutex<PathBuf>>;

#[derive(Clone, Default)]
struct FaultyDisk(Arc<Mutex<Faults>>);

struct FaultyFile {
    file: Arc<dyn SegmentFile>,
    name: Name,
    faults: Arc<Mutex<Faults>>,
}

fn check(fault: Option<&'static str>) -> io::Result<()> {
    fault.map_or(Ok(()), |words| Err(io::Error::other(words)))
}

impl FaultyDisk {
    fn wrap(&self, path: &Path, file: Arc<dyn SegmentFile>) -> Arc<dyn SegmentFile> {
        let name = Name::new(Mutex::new(path.to_owned()));
        self.0.lock().names.push(Arc::clone(&name));
        Arc::new(FaultyFile { file, name, faults: Arc::clone(&self.0) })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        check(self.0.lock().create)?;
        Ok(self.wrap(path, RealDisk.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(self.wrap(path, RealDisk.open(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        check(self.0.lock().rename)?;
        RealDisk.rename(from, to)?;
        let mut faults = self.0.lock();
        if let Some(bytes) = faults.durable.remove(from) {
            faults.durable.insert(to.to_owned(), bytes);
        }
        for name in faults.names.iter().filter(|name| *name.lock() == *from) {
            *name.lock() = to.to_owned();
        }
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
}

impl SegmentFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut faults = self.faults.lock();
        let take = faults.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if take == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // One byte short of everything, so that each write is a short one first.
        let take = if take > 1 { take - 1 } else { take };
        faults.room = faults.room.map(|room| room - take);
        self.file.write_at(&bytes[..take], offset)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        check(self.faults.lock().set_len)?;
        self.file.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        let mut faults = self.faults.lock();
        check(faults.sync)?;
        let path = self.name.lock().clone();
        faults.durable.insert(path.clone(), std::fs::read(path)?);
        self.file.sync()
    }
}

struct Bench {
    dir: tempfile::TempDir,
    disk: FaultyDisk,
    journal: Journal,
    progress: Receiver<Progress>,
}

impl Bench {
    fn new(segment_bytes_max: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let (sender, progress): (Sender<Progress>, _) = channel();
        // Nothing is synced that a test didn't ask for.
        let sync_interval = Duration::from_secs(3600);
        let options = Options { dir: dir.path().join("journal"), segment_bytes_max, sync_interval };
        let told = Box::new(move |progress| drop(sender.send(progress)));
        let (journal, _) = Journal::open_on(Arc::new(disk.clone()), options, told).unwrap();
        Self { dir, disk, journal, progress }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn append(&self, text: &str) -> Result<Seq, JournalError> {
        self.journal.append(&Event::GatewayStopped { reason: text }, SystemTime::UNIX_EPOCH)
    }

    fn keep(&self, text: &str) -> Seq {
        let seq = self.append(text).unwrap();
        assert!(self.journal.write().unwrap() >= seq);
        seq
    }

    fn sync(&self, seq: Seq) -> Progress {
        self.journal.want_durable(seq);
        self.progress.recv().unwrap()
    }

    fn payloads(&self) -> Vec<String> {
        let mut reader = Reader::open_from(&self.path(), Seq(0)).unwrap();
        let mut all = Vec::new();
        while let Some(record) = reader.read().unwrap() {
            all.push(String::from_utf8(record.payload.to_vec()).unwrap());
        }
        all
    }

    fn verify(&self) -> u64 {
        verify_dir(&self.path(), Start::Genesis, &[]).unwrap().records
    }
}

#[test]
fn a_full_disk_refuses_and_says_so_and_heals() {
    let bench = Bench::new(1 << 20);
    bench.keep("one");
    for room in [0, 1, 20, 70] {
        let before = bench.verify();
        bench.disk.0.lock().room = Some(room);
        let late = bench.append("late").unwrap();
        let error = bench.journal.write().unwrap_err().to_string();
        assert!(error.contains("write failed"), "{error}");
        assert!(bench.append("refused").is_err(), "while the disk is full nothing more is taken");
        assert!(bench.journal.written() < late);
        assert!(bench.journal.fault().is_some());
        assert_eq!(bench.verify(), before, "a part of a record is cut away");

        bench.disk.0.lock().room = None;
        let after = bench.append("after").unwrap();
        assert!(after > late, "a number is never used again");
        bench.journal.write().unwrap();
        assert!(bench.journal.fault().is_none());
        assert_eq!(bench.verify(), after.0);
        let payloads = bench.payloads();
        assert!(payloads.last().unwrap().contains("after"));
        assert!(
            payloads
                .iter()
                .any(|p| p.contains("journal_faulted") && p.contains(&format!("\"first\":{late}")))
        );
        assert!(!payloads.iter().any(|p| p.contains("refused")));
    }
}

#[test]
fn a_part_that_cant_be_cut_away_is_written_over() {
    let bench = Bench::new(1 << 20);
    bench.keep("one");
    bench.disk.0.lock().room = Some(30);
    bench.disk.0.lock().set_len = Some("no");
    bench.append("late").unwrap();
    bench.journal.write().unwrap_err();
    assert_eq!(bench.payloads().len(), 1, "a reader does not see it");
    bench.disk.0.lock().room = None;
    bench.keep("after");
    assert_eq!(bench.payloads().len(), 4);
    bench.verify();
}

#[test]
fn waiting_for_durability_is_answered_by_failure_while_the_disk_is_full() {
    let bench = Bench::new(1 << 20);
    bench.disk.0.lock().room = Some(0);
    let seq = bench.append("late").unwrap();
    assert!(matches!(bench.sync(seq), Progress::Failed(words) if words.contains("write failed")));
    bench.disk.0.lock().room = None;
    assert!(matches!(bench.sync(seq), Progress::Durable(durable) if durable >= seq));
    assert!(matches!(bench.sync(seq), Progress::Durable(_)), "answered also where it is durable already");
}

#[test]
fn after_a_failed_sync_only_another_file_counts() {
    for durable_before in [false, true] {
        let bench = Bench::new(1 << 20);
        if durable_before {
            let seq = bench.keep("synced");
            assert_eq!(bench.sync(seq), Progress::Durable(seq));
        }
        let seq = bench.keep("unsure");
        let mut reader = Reader::open_at_end(&bench.path()).unwrap();
        bench.disk.0.lock().sync = Some("pages lost");
        for _ in 0..2 {
            assert!(matches!(bench.sync(seq), Progress::Failed(words) if words.contains("pages lost")));
            assert!(bench.journal.durable() < seq);
            assert!(bench.append("refused").is_err());
        }
        assert_eq!(bench.payloads().len(), usize::from(durable_before) + 1, "still readable");
        bench.disk.0.lock().sync = None;
        assert_eq!(bench.sync(seq), Progress::Durable(seq));
        // Every record is in a file whose own sync succeeded.
        let after = bench.keep("after");
        assert!(matches!(bench.sync(after), Progress::Durable(durable) if durable >= after));
        let durable = bench.disk.0.lock().durable.clone();
        for name in crate::layout::segments(&bench.path()).unwrap() {
            let path = name.path(&bench.path());
            let held = std::fs::read(&path).unwrap();
            assert!(durable[&path].starts_with(&held), "{path:?} holds what no sync answered for");
        }
        assert_eq!(bench.verify(), after.0);
        assert!(bench.payloads().iter().any(|p| p.contains("journal_faulted") && p.contains("pages lost")));
        let seen = reader.read().unwrap().unwrap();
        assert_eq!(seen.seq, seq.next(), "a reader that was there shows each record once");
        while reader.read().unwrap().is_some() {}
        assert_eq!(reader.position(), after.next());
    }
}

#[test]
fn a_crash_between_replacing_and_cutting_keeps_each_record_once() {
    for fault in ["set_len", "rename"] {
        let bench = Bench::new(1 << 20);
        let first = bench.keep("synced");
        bench.sync(first);
        let last = bench.keep("unsure");
        {
            let mut faults = bench.disk.0.lock();
            faults.sync = Some("pages lost");
        }
        bench.sync(last);
        let old = std::fs::read_dir(bench.path()).unwrap().count();
        // The new segment is there under its name (or not yet), and the old one still has everything.
        let mut segments = crate::layout::segments(&bench.path()).unwrap();
        let old_segment = segments.pop().unwrap();
        assert!(segments.is_empty() && old >= 2);
        let bytes = std::fs::read(old_segment.path(&bench.path())).unwrap();
        let frame = audit::Frame::parse(&bytes[audit::HEADER_BYTES..]).unwrap();
        let (hash, end) = (frame.record.hash, audit::HEADER_BYTES + frame.bytes);
        let journal = audit::SegmentHeader::parse(&bytes).unwrap().journal;
        let header = audit::SegmentHeader { first: Seq(2), journal, previous: hash };
        let mut new = header.to_bytes().to_vec();
        new.extend_from_slice(&bytes[end..]);
        let name = crate::layout::SegmentName { first: Seq(2) };
        let to = if fault == "set_len" { name.path(&bench.path()) } else { name.unfinished(&bench.path()) };
        std::fs::write(to, new).unwrap();

        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(bench.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let (journal, recovery) = Journal::open(Options::new(copy.path()), Box::new(|_| {})).unwrap();
        assert_eq!(recovery.last, last, "{fault}");
        assert_eq!(recovery.cut.len(), 1);
        journal.close().unwrap();
        assert_eq!(verify_dir(copy.path(), Start::Genesis, &[]).unwrap().records, last.0 + 1);
    }
}

#[test]
fn a_segment_that_cant_be_made_refuses_and_heals() {
    let bench = Bench::new(300);
    bench.keep(&"x".repeat(200));
    bench.disk.0.lock().create = Some("no inodes");
    bench.append(&"y".repeat(200)).unwrap();
    let error = bench.journal.write().unwrap_err().to_string();
    assert!(error.contains("new segment failed: no inodes"), "{error}");
    assert!(bench.append("refused").is_err());
    bench.disk.0.lock().create = None;
    bench.keep("after");
    assert!(crate::layout::segments(&bench.path()).unwrap().len() > 1);
    assert_eq!(bench.verify(), 4);
}

#[test]
fn a_sync_that_fails_while_a_segment_is_closed_leaves_the_segment() {
    let bench = Bench::new(300);
    bench.keep(&"x".repeat(200));
    bench.disk.0.lock().sync = Some("pages lost");
    bench.append(&"y".repeat(200)).unwrap();
    assert!(bench.journal.write().unwrap_err().to_string().contains("pages lost"));
    bench.disk.0.lock().sync = None;
    bench.keep("after");
    assert_eq!(bench.verify(), 4);
}

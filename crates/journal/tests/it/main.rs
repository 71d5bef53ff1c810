//! The journal on a real file system: crashes, damage, threads, full disks, readers.

#[cfg(test)]
mod child;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod find;
#[cfg(test)]
mod keep;
#[cfg(test)]
mod search;
#[cfg(test)]
mod signed;

#[cfg(test)]
mod bench {
    //! What the tests share.

    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use audit::{Event, Seq, Start};
    use journal::reader::{self, OwnedRecord};
    use journal::{Journal, Options, Recovery, verify_dir};

    pub(crate) fn options(dir: &Path) -> Options {
        Options::new(dir)
    }

    pub(crate) fn open(dir: &Path) -> (Journal, Recovery) {
        Journal::open(options(dir), Box::new(|_| {})).unwrap()
    }

    pub(crate) fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    pub(crate) fn append(journal: &Journal, text: &str) -> Seq {
        journal.append(&Event::GatewayStopped { reason: text }, at(1)).unwrap()
    }

    pub(crate) fn keep(journal: &Journal, text: &str) -> Seq {
        let seq = append(journal, text);
        assert!(journal.write().unwrap() >= seq);
        seq
    }

    pub(crate) fn records(dir: &Path) -> Vec<OwnedRecord> {
        let mut reader = reader::open(dir).unwrap();
        let mut all = Vec::new();
        while let Some(record) = reader.read().unwrap() {
            all.push(OwnedRecord::from(&record));
        }
        all
    }

    pub(crate) fn verified(dir: &Path) -> audit::Report {
        verify_dir(dir, Start::Genesis, &[]).unwrap()
    }

    pub(crate) fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
        let mut all: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "gpj"))
            .collect();
        all.sort();
        all
    }

    pub(crate) fn copy(from: &Path) -> tempfile::TempDir {
        let to = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
        to
    }
}

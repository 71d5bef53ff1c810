//! Reads records from the journal by their numbers, checked link by link, a run of them at a time.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;

use audit::Seq;
use journal::reader::{OwnedRecord, Place, ReadError, Reader};

/// Runs that are kept: outcomes mostly stand close to their statements.
const RUNS_MAX: usize = 8;
/// Records of a run, at most.
const RUN_RECORDS: usize = 64;
/// Their bytes: what is beyond is read on its own.
const RUN_BYTES: usize = 4 << 20;

/// See the module.
pub(crate) struct Fetch {
    dir: PathBuf,
    runs: VecDeque<(Seq, HashMap<Seq, OwnedRecord>)>,
    /// Bytes that were read.
    pub(crate) bytes: u64,
}

impl Fetch {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, runs: VecDeque::new(), bytes: 0 }
    }

    /// Returns a record. `place` is where one of the records up to it begins.
    ///
    /// # Errors
    /// As [`Reader::read`]. A record that was removed with its segment is none.
    pub(crate) fn record(&mut self, seq: Seq, place: Place) -> Result<Option<OwnedRecord>, ReadError> {
        if let Some((_, run)) = self.runs.iter().find(|(first, _)| *first == place.seq)
            && let Some(record) = run.get(&seq)
        {
            return Ok(Some(record.clone()));
        }
        let mut reader = match Reader::resume(&self.dir, place) {
            Ok(reader) => reader,
            Err(ReadError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let (mut run, mut bytes, mut found) = (HashMap::new(), 0_usize, None);
        loop {
            let record = match reader.read() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                // What was changed stands behind it.
                Err(_) if found.is_some() => break,
                Err(error) => return Err(error),
            };
            bytes = bytes.saturating_add(record.payload.len());
            let is_it = record.seq == seq;
            if is_it {
                found = Some(OwnedRecord::from(&record));
            }
            if run.len() < RUN_RECORDS && bytes <= RUN_BYTES {
                run.insert(record.seq, OwnedRecord::from(&record));
            }
            if record.seq > seq || (is_it && (run.len() >= RUN_RECORDS || bytes > RUN_BYTES)) {
                break;
            }
            if is_it && seq.0.saturating_sub(place.seq.0) >= 60 {
                break;
            }
        }
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.runs.retain(|(first, _)| *first != place.seq);
        self.runs.push_front((place.seq, run));
        self.runs.truncate(RUNS_MAX);
        Ok(found)
    }
}

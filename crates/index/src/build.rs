//! Makes the index of the journal, and keeps it up to date. There is one writer for a file.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use audit::{Hash, JournalId, Problem, Seq};
use journal::reader::{self, Place, ReadError, Reader};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::batch::{Batch, split};
use crate::block::{self, bits};
use crate::posting::BLOCK_RECORDS;
use crate::{IndexError, file, sessions};

/// Records that one step reads.
const STEP_RECORDS: u64 = 1024;
/// What is collected is written when there is so much of it, at the end of a block,
const BATCH_RECORDS: u64 = 2 * BLOCK_RECORDS - 1024;
/// or at once: some 100 MB.
const BATCH_ENTRIES: usize = 6 << 20;
/// Where nothing more is to be read, it is written after this,
const PAUSE_MIN: Duration = Duration::from_millis(400);
/// and no more often than leaves nine tenths of the time to others.
const PAUSE_FACTOR: u32 = 9;
/// How often it looks whether the journal lost segments.
const RETENTION_PAUSE: Duration = Duration::from_secs(10);

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There may be more to read.
    More,
    /// All that there was has been read; it may not be written yet.
    Idle,
}

/// See the module.
pub struct Writer {
    path: PathBuf,
    dir: PathBuf,
    connection: Connection,
    _lock: File,
    batch: Batch,
    reader: Option<Reader>,
    /// Statements that the file says run.
    stored: HashSet<(u128, u64)>,
    written_at: Instant,
    took: Duration,
    retained_at: Option<Instant>,
    made_anew: Option<String>,
}

impl Writer {
    /// Opens the index of the journal in a folder; makes it anew where it is not of this journal, not of this version, or damaged.
    ///
    /// # Errors
    /// - [`IndexError::Busy`]: another process writes it.
    /// - [`IndexError::NotOurs`], [`IndexError::Io`], [`IndexError::Sqlite`]: operator.
    pub fn open(path: &Path, dir: &Path) -> Result<Self, IndexError> {
        let lock = file::lock(path)?;
        let (connection, made_anew) = file::open_to_write(path)?;
        let mut writer = Self {
            path: path.to_owned(),
            dir: dir.to_owned(),
            connection,
            _lock: lock,
            batch: Batch::default(),
            reader: None,
            stored: HashSet::new(),
            written_at: Instant::now(),
            took: Duration::ZERO,
            retained_at: None,
            made_anew,
        };
        match writer.load() {
            Ok(None) => {}
            Ok(Some(why)) => writer.make_anew(why)?,
            Err(error) if error.is_damage() => writer.make_anew(error.to_string())?,
            Err(error) => return Err(error),
        }
        Ok(writer)
    }

    /// Why it was made anew since this was asked last; `None`: it wasn't, or it was not there at all.
    pub const fn made_anew(&mut self) -> Option<String> {
        self.made_anew.take()
    }

    /// Forgets everything and begins with the first record.
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Sqlite`]: operator.
    pub fn make_anew(&mut self, why: String) -> Result<(), IndexError> {
        // The file that is open is let go of first.
        self.connection = Connection::open_in_memory()?;
        file::remove(&self.path)?;
        self.connection = file::open_to_write(&self.path)?.0;
        (self.batch, self.reader) = (Batch::default(), None);
        self.stored.clear();
        self.made_anew = Some(why);
        if let Some(journal) = reader::journal_id(&self.dir)? {
            put_state(&self.connection, "journal", &journal.0)?;
        }
        Ok(())
    }

    /// Takes up where the file ends. Returns why it can't be gone on with, if so.
    fn load(&mut self) -> Result<Option<String>, IndexError> {
        let journal = reader::journal_id(&self.dir)?;
        let known = state(&self.connection, "journal")?;
        if known.is_some() && known.as_deref() != journal.as_ref().map(|id| id.0.as_slice()) {
            return Ok(Some("it is of another journal".to_owned()));
        }
        if let (None, Some(JournalId(id))) = (&known, journal) {
            put_state(&self.connection, "journal", &id)?;
        }
        self.batch.running = load_running(&self.connection)?;
        self.stored = self.batch.running.keys().copied().collect();
        self.batch.next = next(&self.connection)?;
        match self.batch.next {
            Some(place) if !is_of(&self.dir, &self.connection, place)? => {
                Ok(Some("the journal does not go on where it ends".to_owned()))
            }
            _ => Ok(None),
        }
    }

    /// Returns the number of the record that is read next.
    pub fn position(&self) -> Seq {
        self.batch.next.map_or(Seq(1), |place| place.seq)
    }

    /// Returns the number of the record after the last that can be found.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn written(&self) -> Result<Seq, IndexError> {
        Ok(next(&self.connection)?.map_or(Seq(1), |place| place.seq))
    }

    /// Reads some records, and writes what was collected where it is time to.
    ///
    /// # Errors
    /// - [`IndexError::Damaged`]: it is to be made anew.
    /// - [`IndexError::Journal`]: the journal's end can't be read; what was read before is kept.
    /// - [`IndexError::Sqlite`], [`IndexError::Io`]: operator; another call may do better.
    pub fn step(&mut self) -> Result<Step, IndexError> {
        if state(&self.connection, "make_anew")?.is_some() {
            self.make_anew("it was asked for".to_owned())?;
        }
        let step = self.read()?;
        let is_idle = step == Step::Idle;
        let pause = PAUSE_MIN.max(self.took * PAUSE_FACTOR);
        let at_block_end = split(self.position()).1 < 64;
        let is_much = self.batch.entries > BATCH_ENTRIES
            || (self.batch.records >= BATCH_RECORDS
                && (at_block_end || self.batch.records >= 2 * BATCH_RECORDS));
        if is_much || (is_idle && self.batch.records > 0 && self.written_at.elapsed() >= pause) {
            self.commit()?;
        }
        if is_idle && self.retained_at.is_none_or(|at| at.elapsed() >= RETENTION_PAUSE) {
            self.retained_at = Some(Instant::now());
            self.forget_removed()?;
        }
        Ok(step)
    }

    fn read(&mut self) -> Result<Step, IndexError> {
        if self.reader.is_none() {
            self.reader = Some(open(&self.dir, self.batch.next)?);
        }
        for _ in 0..STEP_RECORDS {
            let Some(reader) = &mut self.reader else { break };
            match reader.read_placed() {
                Ok(Some((place, record))) => self.batch.take(place, &record),
                Ok(None) => return Ok(Step::Idle),
                Err(error) => {
                    self.reader = None;
                    return self.pass_over(error);
                }
            }
        }
        Ok(Step::More)
    }

    /// Goes on behind what can't be read, and remembers that.
    fn pass_over(&mut self, error: ReadError) -> Result<Step, IndexError> {
        let at = self.position();
        let why = match &error {
            ReadError::Damaged(finding) if matches!(finding.problem, Problem::Missing { .. }) => {
                "removed".to_owned()
            }
            ReadError::Damaged(finding) => finding.to_string(),
            ReadError::Io { .. } => return Err(error.into()),
        };
        let segments = reader::segments(&self.dir)?;
        // Its end is being written, or is torn: no segment follows yet.
        let Some(next) = segments.into_iter().find(|first| *first > at) else { return Err(error.into()) };
        self.connection.execute(
            "INSERT OR REPLACE INTO holes (first, next, why) VALUES (?1, ?2, ?3)",
            params![bits(at.0), bits(next.0), why],
        )?;
        self.batch.next = Some(Place { segment: next, offset: 0, seq: next, previous: Hash([0; 32]) });
        Ok(Step::More)
    }

    /// Writes what was collected; then it can be found.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn commit(&mut self) -> Result<(), IndexError> {
        let began = Instant::now();
        let transaction = self.connection.transaction()?;
        block::write(&transaction, &self.batch)?;
        sessions::write(&transaction, &self.batch.sessions, self.batch.restarted)?;
        write_running(&transaction, &self.batch, &self.stored)?;
        if let Some(place) = self.batch.next {
            put_next(&transaction, place)?;
        }
        transaction.commit()?;
        self.stored = self.batch.running.keys().copied().collect();
        self.batch.clear();
        (self.written_at, self.took) = (Instant::now(), began.elapsed());
        Ok(())
    }

    /// Removes what is said of records that are no longer there.
    fn forget_removed(&mut self) -> Result<(), IndexError> {
        let Some(first) = reader::segments(&self.dir)?.into_iter().next() else { return Ok(()) };
        let transaction = self.connection.transaction()?;
        block::remove_before(&transaction, split(first).0)?;
        transaction.execute("DELETE FROM sessions WHERE last < ?1", [bits(first.0)])?;
        transaction.execute("DELETE FROM holes WHERE next <= ?1", [bits(first.0)])?;
        Ok(transaction.commit()?)
    }
}

/// Has whoever writes an index make it anew, soon.
///
/// # Errors
/// [`IndexError::Sqlite`]: it can't be written to.
pub(crate) fn ask_anew(connection: &Connection) -> Result<(), IndexError> {
    put_state(connection, "make_anew", b"1")
}

pub(crate) fn is_asked_anew(connection: &Connection) -> Result<bool, IndexError> {
    Ok(state(connection, "make_anew")?.is_some())
}

pub(crate) fn open(dir: &Path, next: Option<Place>) -> Result<Reader, ReadError> {
    match next {
        None => Reader::open_from(dir, Seq(0)),
        Some(place) if place.offset == 0 => Reader::open_from(dir, place.seq),
        Some(place) => match Reader::resume(dir, place) {
            // The segment was removed: after it.
            Err(ReadError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                Reader::open_from(dir, place.seq)
            }
            opened => opened,
        },
    }
}

/// Reads records that follow what the index knows, for a search that is to find these too.
pub(crate) fn tail(dir: &Path, batch: &mut Batch, most: u64) -> Result<bool, ReadError> {
    let mut reader = open(dir, batch.next)?;
    while batch.records < most {
        match reader.read_placed() {
            Ok(Some((place, record))) => batch.take(place, &record),
            Ok(None) => return Ok(true),
            // What is behind damage is found when the writer has passed it over.
            Err(ReadError::Damaged(_)) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Whether the last record that the index knows is the one before `next` in this journal.
fn is_of(dir: &Path, connection: &Connection, next: Place) -> Result<bool, IndexError> {
    if next.offset == 0 {
        return Ok(true);
    }
    let mut from = None;
    for header in block::headers(connection)?.into_iter().rev().take(2) {
        let bytes = block::column(connection, header.block, crate::columns::Column::Places)?;
        let places = bytes.and_then(|bytes| crate::columns::decode_places(header.block, &bytes));
        let places = places.ok_or_else(|| block::damaged_column(header.block))?;
        from = from.or_else(|| places.last().copied());
    }
    let Some(from) = from else { return Ok(true) };
    let mut reader = match Reader::resume(dir, from) {
        Ok(reader) => reader,
        // It may have been removed since.
        Err(ReadError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(reader::segments(dir)?.first().is_none_or(|first| *first > from.seq));
        }
        Err(error) => return Err(error.into()),
    };
    loop {
        match reader.read() {
            Ok(Some(record)) if record.seq.next() == next.seq => return Ok(record.hash == next.previous),
            Ok(Some(_)) => {}
            Ok(None) | Err(ReadError::Damaged(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

fn state(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, IndexError> {
    let mut statement = connection.prepare_cached("SELECT value FROM state WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

fn put_state(connection: &Connection, name: &str, value: &[u8]) -> Result<(), IndexError> {
    let mut put = connection.prepare_cached("INSERT OR REPLACE INTO state (name, value) VALUES (?1, ?2)")?;
    put.execute(params![name, value])?;
    Ok(())
}

/// Reads how far the journal is known.
pub(crate) fn next(connection: &Connection) -> Result<Option<Place>, IndexError> {
    let Some(bytes) = state(connection, "next")? else { return Ok(None) };
    let places = crate::columns::decode_places(u64::MAX, &bytes);
    let place = places.and_then(|places| places.first().copied());
    place.map(Some).ok_or_else(|| IndexError::damaged("how far it goes is not what was written"))
}

fn put_next(connection: &Connection, place: Place) -> Result<(), IndexError> {
    put_state(connection, "next", &crate::columns::encode_places(u64::MAX, &[place]))
}

/// Reads the statements that have not ended.
pub(crate) fn load_running(
    connection: &Connection,
) -> Result<std::collections::BTreeMap<(u128, u64), Seq>, IndexError> {
    let mut statement = connection.prepare_cached("SELECT session, statement, seq FROM running")?;
    let rows = statement.query_map([], |row| {
        let session = u128::from_be_bytes(row.get(0)?);
        let number = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
        Ok(((session, number(1)?), Seq(number(2)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn write_running(
    transaction: &Transaction<'_>,
    batch: &Batch,
    stored: &HashSet<(u128, u64)>,
) -> Result<(), IndexError> {
    let mut put = transaction
        .prepare_cached("INSERT OR REPLACE INTO running (session, statement, seq) VALUES (?1, ?2, ?3)")?;
    let mut remove =
        transaction.prepare_cached("DELETE FROM running WHERE session = ?1 AND statement = ?2")?;
    for (key, seq) in batch.running.iter().filter(|(key, _)| !stored.contains(*key)) {
        put.execute(params![key.0.to_be_bytes(), bits(key.1), bits(seq.0)])?;
    }
    for key in stored.iter().filter(|key| !batch.running.contains_key(*key)) {
        remove.execute(params![key.0.to_be_bytes(), bits(key.1)])?;
    }
    Ok(())
}

//! How the index stands: what it covers, how far behind it is, what it could not read.

use audit::{Seq, Time};
use journal::reader::ReadError;

use crate::search::Index;
use crate::{IndexError, block, build, file, sessions};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The record after the last that it knows.
    pub next: Seq,
    /// Records that can be found; outcomes are found with their statements.
    pub records: u64,
    /// Sessions.
    pub sessions: u64,
    /// When the first of the records was.
    pub from: Option<Time>,
    /// When the last was.
    pub to: Option<Time>,
    /// Of the file, with its log.
    pub bytes: u64,
    /// What of the journal could not be read: from which record, to before which, and why; `removed`: it is not there any more.
    pub holes: Vec<(Seq, Seq, String)>,
}

impl Index {
    /// Counts the records that it doesn't have yet.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn behind(&self) -> Result<u64, IndexError> {
        let next = build::next(&file::open_to_read(self.path())?)?;
        let mut reader = build::open(self.dir(), next)?;
        let mut behind = 0;
        loop {
            match reader.read() {
                Ok(Some(_)) => behind += 1,
                Ok(None) | Err(ReadError::Damaged(_)) => return Ok(behind),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads all of it and compares it with what it says of itself.
    ///
    /// # Errors
    /// [`IndexError::Damaged`]: it is to be made anew.
    pub fn verify(&self) -> Result<(), IndexError> {
        let connection = file::open_to_read(self.path())?;
        connection.execute_batch("BEGIN")?;
        for header in block::headers(&connection)? {
            block::verify(&connection, &header)?;
        }
        sessions::verify(&connection)?;
        let whole: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if whole == "ok" { Ok(()) } else { Err(IndexError::damaged(whole)) }
    }

    /// Says how it stands.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn status(&self) -> Result<Status, IndexError> {
        let connection = file::open_to_read(self.path())?;
        let headers = block::headers(&connection)?;
        let sessions: i64 = connection.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))?;
        let mut holes = connection.prepare("SELECT first, next, why FROM holes ORDER BY first")?;
        let seq = |value: i64| Seq(value.cast_unsigned());
        let holes = holes.query_map([], |row| Ok((seq(row.get(0)?), seq(row.get(1)?), row.get(2)?)))?;
        Ok(Status {
            next: build::next(&connection)?.map_or(Seq(1), |place| place.seq),
            records: headers.iter().map(|header| header.docs).sum(),
            sessions: sessions.cast_unsigned(),
            from: headers.iter().filter(|it| it.docs > 0).map(|it| Time(it.earliest)).min(),
            to: headers.iter().filter(|it| it.docs > 0).map(|it| Time(it.latest)).max(),
            bytes: file::bytes(self.path()),
            holes: holes.collect::<Result<_, _>>()?,
        })
    }
}

//! What identities have taken since a time: rows and bytes, as the outcomes of their statements say. Reads JSON.

use std::collections::HashMap;
use std::path::Path;

use audit::{Record, Seq, Time};
use serde::Deserialize;

use crate::layout;
use crate::reader::{ReadError, Reader};

/// What somebody has taken from a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The database as clients name it.
    pub database: String,
    /// Of the identity.
    pub issuer: String,
    /// Of the identity.
    pub subject: String,
    /// Returned or copied.
    pub rows: u64,
    /// Of those rows.
    pub bytes: u64,
}

#[derive(Deserialize)]
struct Began {
    session: String,
    database: String,
    identity: Who,
}

#[derive(Deserialize)]
struct Who {
    issuer: String,
    subject: String,
}

#[derive(Deserialize)]
struct Ended {
    session: String,
    rows: u64,
    bytes: u64,
}

/// `session_started`, `statement` and `outcome` ([`audit::Event::code`]).
const SESSION_STARTED: u16 = 12;
const STATEMENT: u16 = 20;
const OUTCOME: u16 = 21;

/// Adds up what was taken since a time, by whom and from which database.
///
/// Rows count where they had bytes: what a statement only changed moved nowhere. A session that began, and a statement that was
/// decided, before the segment in which that time lies is not known to be anybody's.
///
/// # Errors
/// As [`Reader::read`].
pub fn taken(dir: &Path, since: Time) -> Result<Vec<Taken>, ReadError> {
    let mut reader = Reader::open_from(dir, segment_at(dir, since)?)?;
    let mut sums = Sums::default();
    while let Some(record) = reader.read()? {
        sums.add(&record, since);
    }
    Ok(sums.all)
}

#[derive(Default)]
struct Sums {
    all: Vec<Taken>,
    /// Indexes of `all`.
    known: HashMap<(String, String, String), usize>,
    sessions: HashMap<String, usize>,
}

impl Sums {
    fn add(&mut self, record: &Record<'_>, since: Time) {
        match record.code.0 {
            STATEMENT if session_of(record.payload).is_some_and(|id| self.sessions.contains_key(id)) => {}
            SESSION_STARTED | STATEMENT => {
                let Ok(began) = serde_json::from_slice::<Began>(record.payload) else { return };
                let Began { session, database, identity: Who { issuer, subject } } = began;
                let all = &mut self.all;
                let key = (database.clone(), issuer.clone(), subject.clone());
                let index = *self.known.entry(key).or_insert_with(|| {
                    all.push(Taken { database, issuer, subject, rows: 0, bytes: 0 });
                    all.len() - 1
                });
                self.sessions.insert(session, index);
            }
            OUTCOME if record.time >= since => {
                let Ok(ended) = serde_json::from_slice::<Ended>(record.payload) else { return };
                let index = self.sessions.get(&ended.session).copied();
                if let Some(taken) = index.and_then(|index| self.all.get_mut(index))
                    && ended.bytes > 0
                {
                    taken.rows = taken.rows.saturating_add(ended.rows);
                    taken.bytes = taken.bytes.saturating_add(ended.bytes);
                }
            }
            _ => {}
        }
    }
}

/// The session's number in a statement's canonical bytes, without reading them all.
fn session_of(payload: &[u8]) -> Option<&str> {
    let rest = payload.strip_prefix(br#"{"event":"statement","session":""#)?;
    std::str::from_utf8(rest.get(..32)?).ok()
}

/// The last segment that begins before a time.
fn segment_at(dir: &Path, since: Time) -> Result<Seq, ReadError> {
    let error = |error| ReadError::Io { path: dir.to_owned(), error };
    for name in layout::segments(dir).map_err(error)?.iter().rev() {
        let begins_before =
            Reader::open_from(dir, name.first)?.read()?.is_some_and(|first| first.time < since);
        if begins_before {
            return Ok(name.first);
        }
    }
    Ok(Seq(0))
}

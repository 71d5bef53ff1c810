//! Searching: from the newest block back, or on; what the blocks say may be there is read from the journal and compared.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use audit::{Seq, Time};
use journal::query::{Row, View};
use journal::reader::ReadError;
use journal::search::{Budget, From, Search};
use model::SessionId;

use crate::batch::join;
use crate::block::Header;
use crate::build;
use crate::look::Look;
use crate::sessions::{self, SessionRow, SessionSearch};
use crate::{Fingerprint, IndexError, file, terms};

/// What is looked for; a record must pass every part that is given.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// All but fingerprints. Its filter's limit counts for nothing here.
    pub search: Search,
    /// Of the statement's text.
    pub fingerprint: Option<Fingerprint>,
}

impl Asked {
    /// Whether the index knows what is asked for; outcomes on their own it doesn't.
    pub fn is_known(&self) -> bool {
        self.search.filter.event.as_deref() != Some("outcome")
    }

    /// Whether a record, with its outcome if it has one, is looked for.
    pub fn admits(&self, row: &Row) -> bool {
        let says = |fingerprint: Fingerprint| {
            View::of(&row.record()).text.is_some_and(|text| Fingerprint::of(&text) == fingerprint)
        };
        self.search.admits_row(row) && self.fingerprint.is_none_or(says)
    }
}

/// What one call found.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order of the journal, or, from the end, in the reverse. A statement stands where it was decided, with its outcome.
    pub rows: Vec<Row>,
    /// Where to go on, by [`From::Before`] or [`From::After`]; `None`: everything was searched.
    pub next: Option<Seq>,
    /// When what was looked at last was; `None`: nothing was.
    pub searched_to: Option<Time>,
    /// Records that may be looked for and can't be read any more: the journal was changed there.
    pub unreadable: Vec<Seq>,
}

/// An index, for whoever asks it.
#[derive(Clone, Debug)]
pub struct Index {
    path: PathBuf,
    dir: PathBuf,
}

impl Index {
    /// Names an index and the folder of its journal; opens nothing.
    pub fn new(path: impl Into<PathBuf>, dir: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), dir: dir.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of its journal.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Finds up to `limit` records, as far as the budget goes. What was written since the index was is found too.
    ///
    /// # Errors
    /// - [`IndexError::Missing`], [`IndexError::Behind`]: the journal itself is to be searched.
    /// - [`IndexError::Damaged`]: likewise, and the index is to be made anew.
    /// - [`IndexError::Sqlite`], [`IndexError::Io`], [`IndexError::Journal`]: operator.
    pub fn search(
        &self,
        asked: &Asked,
        from: From,
        limit: usize,
        budget: Budget,
    ) -> Result<Found, IndexError> {
        let look = Look::begin(self)?;
        let mut walk = Walk { look, asked, from, budget, found: Found::default(), without: Vec::new() };
        walk.blocks(&mut |_, rows| Ok(if rows.len() >= limit { Then::Enough } else { Then::On }))?;
        let Walk { look, mut found, .. } = walk;
        found.unreadable = look.unreadable;
        Ok(found)
    }

    /// Finds up to `limit` sessions, the newest first; with `asked`, those of which some record is looked for. As of the last step of whoever
    /// writes the index. Also returns where to go on.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn sessions(
        &self,
        search: &SessionSearch,
        asked: Option<&Asked>,
        limit: usize,
        budget: Budget,
    ) -> Result<(Vec<SessionRow>, Option<Seq>), IndexError> {
        let mut found: Vec<SessionRow> = Vec::new();
        let Some(asked) = asked else {
            let mut next = None;
            sessions::find(&file::open_to_read(&self.path)?, search, |row| {
                if found.len() >= limit {
                    next = found.last().map(|row| row.first);
                    return ControlFlow::Break(());
                }
                found.push(row);
                ControlFlow::Continue(())
            })?;
            return Ok((found, next));
        };
        let mut asked = asked.clone();
        let SessionSearch { session, identity, on_behalf_of, group, database, before, .. } = search;
        let filter = &mut asked.search.filter;
        filter.session = filter.session.or(*session);
        let texts = [
            (&mut filter.identity, identity),
            (&mut filter.on_behalf_of, on_behalf_of),
            (&mut filter.database, database),
            (&mut asked.search.group, group),
        ];
        for (narrowed, wanted) in texts {
            *narrowed = narrowed.take().or_else(|| wanted.clone());
        }
        let from = before.map_or(From::End, From::Before);
        let look = Look::begin(self)?;
        let mut walk =
            Walk { look, asked: &asked, from, budget, found: Found::default(), without: Vec::new() };
        walk.blocks(&mut |look, rows| {
            let session = rows.pop().and_then(|row| View::of(&row.record()).session());
            let Some(session) = session else { return Ok(Then::On) };
            let term = terms::of(terms::Kind::Session, &session.to_string());
            // It is told where it has the last record that is looked for: on an earlier page, perhaps.
            let was_told = match before {
                Some(before) => look.any_from(&asked, session, *before)?,
                None => false,
            };
            if !was_told {
                let one = SessionSearch { session: Some(session), before: None, ..search.clone() };
                sessions::find(&look.connection, &one, |row| {
                    found.push(row);
                    ControlFlow::Break(())
                })?;
            }
            Ok(if found.len() >= limit { Then::Enough } else { Then::Without(term) })
        })?;
        let next = walk.found.next;
        Ok((found, next))
    }

    /// Returns one session.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn session(&self, id: SessionId) -> Result<Option<SessionRow>, IndexError> {
        sessions::one(&file::open_to_read(&self.path)?, id)
    }

    /// Whether whoever writes it was asked to make it anew, and has not begun.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn is_asked_anew(&self) -> Result<bool, IndexError> {
        build::is_asked_anew(&file::open_to_read(&self.path)?)
    }

    /// Has whoever writes it make it anew, soon.
    ///
    /// # Errors
    /// [`IndexError::Missing`], [`IndexError::Sqlite`]: it can't be told.
    pub fn ask_anew(&self) -> Result<(), IndexError> {
        let connection = file::open_to_read(&self.path)?;
        connection.pragma_update(None, "query_only", "off")?;
        build::ask_anew(&connection)
    }
}

/// What is done after a record was found.
enum Then {
    On,
    Enough,
    /// Goes on, without records that have this term.
    Without(u64),
}

struct Walk<'a> {
    look: Look,
    asked: &'a Asked,
    /// Moves with what was looked at.
    from: From,
    budget: Budget,
    found: Found,
    /// Terms of records that are passed over.
    without: Vec<u64>,
}

type OnFound<'a> = &'a mut dyn FnMut(&mut Look, &mut Vec<Row>) -> Result<Then, IndexError>;

impl Walk<'_> {
    /// Goes through the blocks until that is enough.
    fn blocks(&mut self, on_found: OnFound<'_>) -> Result<(), IndexError> {
        let terms = terms::asked(&self.asked.search, self.asked.fingerprint);
        let is_back = self.is_back();
        let mut headers = self.look.headers.clone();
        if is_back {
            headers.reverse();
        }
        let first = self.look.first;
        for header in headers.iter().filter(|header| join(header.block, 32_767) >= first) {
            if !self.concerns(header.block) {
                continue;
            }
            if self.block(header, &terms, on_found)?.is_break() {
                return Ok(());
            }
            let (start, last) = (join(header.block, 0), join(header.block, 32_767));
            self.found.searched_to = Some(Time(if is_back { header.earliest } else { header.latest }));
            self.from = if is_back { From::Before(start) } else { From::After(last) };
            if self.budget.is_spent() {
                self.found.next = Some(if is_back { start } else { last });
                return Ok(());
            }
        }
        Ok(())
    }

    fn block(
        &mut self,
        header: &Header,
        terms: &[u64],
        on_found: OnFound<'_>,
    ) -> Result<ControlFlow<()>, IndexError> {
        let mut candidates = self.look.candidates(header, self.asked, terms)?;
        for term in &self.without {
            candidates.and_not(&self.look.posting(header.block, *term)?);
        }
        let mut positions = candidates.positions();
        if self.is_back() {
            positions.reverse();
        }
        for at in positions {
            let seq = join(header.block, at);
            if seq < self.look.first || !self.allows(seq) || !candidates.has(at) {
                continue;
            }
            if self.take(seq)? {
                match on_found(&mut self.look, &mut self.found.rows)? {
                    Then::On => {}
                    Then::Enough => {
                        self.found.next = Some(seq);
                        return Ok(ControlFlow::Break(()));
                    }
                    Then::Without(term) => {
                        candidates.and_not(&self.look.posting(header.block, term)?);
                        self.without.push(term);
                    }
                }
            }
            if self.budget.is_spent() {
                self.found.next = Some(seq);
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn is_back(&self) -> bool {
        matches!(self.from, From::End | From::Before(_))
    }

    fn concerns(&self, block: u64) -> bool {
        match self.from {
            From::End => true,
            From::Before(bound) => join(block, 0) < bound,
            From::After(bound) => join(block, 32_767) > bound,
        }
    }

    fn allows(&self, seq: Seq) -> bool {
        match self.from {
            From::End => true,
            From::Before(bound) => seq < bound,
            From::After(bound) => seq > bound,
        }
    }

    /// Reads a record and keeps it, if it is looked for.
    fn take(&mut self, seq: Seq) -> Result<bool, IndexError> {
        let before = self.look.fetch.bytes;
        let row = match self.look.row(seq) {
            Ok(row) => row,
            Err(IndexError::Journal(ReadError::Damaged(_))) => {
                self.look.unreadable.push(seq);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.budget.spend(self.look.fetch.bytes.saturating_sub(before));
        let Some(row) = row else { return Ok(false) };
        self.found.searched_to = Some(row.record().time);
        let admits = self.asked.admits(&row);
        if admits {
            self.found.rows.push(row);
        }
        Ok(admits)
    }
}

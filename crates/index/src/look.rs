//! The index as it is at one moment: which records may be looked for, and what they say.

use std::collections::{HashMap, HashSet};

use audit::{Seq, Time};
use journal::query::{Row, View};
use journal::reader::{self, Place, ReadError};
use journal::search::Search;
use model::SessionId;
use rusqlite::Connection;

use crate::batch::{Batch, join, split};
use crate::block::{self, Header};
use crate::columns::{self, Column};
use crate::fetch::Fetch;
use crate::posting::Bits;
use crate::search::{Asked, Index};
use crate::{IndexError, build, file, terms};

/// Records behind the index that a search reads itself. Where there are more, the index is being made.
const TAIL_MAX: u64 = 20_000;

/// The index as it is at one moment, with what the journal has beyond it.
pub(crate) struct Look {
    pub(crate) connection: Connection,
    tail: Batch,
    pub(crate) headers: Vec<Header>,
    /// Blocks that are in the file.
    stored: HashSet<u64>,
    /// Records before this one are no longer there.
    pub(crate) first: Seq,
    pub(crate) fetch: Fetch,
    /// Records that are asked for and can't be read.
    pub(crate) unreadable: Vec<Seq>,
    places: HashMap<u64, Vec<Place>>,
    outcomes: HashMap<u64, HashMap<u16, u64>>,
}

impl Look {
    pub(crate) fn begin(index: &Index) -> Result<Self, IndexError> {
        let connection = file::open_to_read(index.path())?;
        // Everything below is of one moment.
        connection.execute_batch("BEGIN")?;
        let mut tail = Batch::default();
        tail.next = build::next(&connection)?;
        tail.running = build::load_running(&connection)?;
        if !build::tail(index.dir(), &mut tail, TAIL_MAX)? {
            return Err(IndexError::Behind(TAIL_MAX));
        }
        let mut headers = block::headers(&connection)?;
        let stored = headers.iter().map(|header| header.block).collect();
        for (block, docs) in &tail.docs {
            let times = docs.iter().map(|doc| doc.time);
            let (earliest, latest) =
                (times.clone().min().unwrap_or(i64::MAX), times.max().unwrap_or(i64::MIN));
            match headers.binary_search_by_key(block, |it| it.block) {
                Ok(at) => {
                    if let Some(header) = headers.get_mut(at) {
                        header.earliest = header.earliest.min(earliest);
                        header.latest = header.latest.max(latest);
                    }
                }
                Err(at) => headers.insert(at, Header::new(*block, (earliest, latest))),
            }
        }
        for (block, ended) in &tail.ended {
            if let Ok(at) = headers.binary_search_by_key(block, |it| it.block)
                && let Some(header) = headers.get_mut(at)
            {
                header.rows_max = ended.iter().map(|it| it.rows).fold(header.rows_max, u64::max);
                header.duration_max = ended.iter().map(|it| it.duration).fold(header.duration_max, u64::max);
            }
        }
        let first = reader::segments(index.dir())?.first().copied().unwrap_or(Seq(0));
        let fetch = Fetch::new(index.dir().to_owned());
        Ok(Self {
            connection,
            tail,
            headers,
            stored,
            first,
            fetch,
            places: HashMap::new(),
            outcomes: HashMap::new(),
            unreadable: Vec::new(),
        })
    }

    pub(crate) fn posting(&self, block: u64, term: u64) -> Result<Bits, IndexError> {
        let mut bits = Bits::empty();
        let is_stored = self.stored.contains(&block);
        let known = if is_stored { block::posting(&self.connection, block, term)? } else { Vec::new() };
        let new = self.tail.postings.get(&(block, term));
        known.iter().chain(new.into_iter().flatten()).for_each(|at| bits.insert(*at));
        Ok(bits)
    }

    /// Reads columns of a block, those of the tail behind those of the file; the first is always [`Column::At`].
    fn columns<const N: usize>(&self, block: u64, names: [Column; N]) -> Result<[Vec<u64>; N], IndexError> {
        let mut read = [const { Vec::new() }; N];
        let is_stored = self.stored.contains(&block);
        for (name, values) in names.into_iter().zip(&mut read).filter(|_| is_stored) {
            let bytes = block::column(&self.connection, block, name)?;
            let known = bytes.and_then(|bytes| columns::decode(block, name, &bytes));
            *values = known.ok_or_else(|| block::damaged_column(block))?;
        }
        for doc in self.tail.docs.get(&block).into_iter().flatten() {
            for (name, values) in names.into_iter().zip(&mut read) {
                values.push(match name {
                    Column::At => u64::from(doc.at),
                    Column::Time => doc.time.cast_unsigned(),
                    Column::Outcome => doc.outcome,
                    Column::Rows => doc.rows,
                    Column::Duration => doc.duration,
                    Column::Text => doc.text,
                    Column::Places => 0,
                });
            }
        }
        let len = read.first().map_or(0, Vec::len);
        if read.iter().any(|column| column.len() != len) {
            return Err(block::damaged_column(block));
        }
        for ended in self.tail.ended.get(&block).into_iter().flatten() {
            let index = read.first().and_then(|at| at.binary_search(&u64::from(ended.at)).ok());
            for (name, values) in names.into_iter().zip(&mut read) {
                let Some(value) = index.and_then(|index| values.get_mut(index)) else { continue };
                match name {
                    Column::Outcome => *value = ended.outcome,
                    Column::Rows => *value = ended.rows,
                    Column::Duration => *value = ended.duration,
                    Column::At | Column::Time | Column::Text | Column::Places => {}
                }
            }
        }
        Ok(read)
    }

    /// Which records of a block may be looked for.
    pub(crate) fn candidates(
        &self,
        header: &Header,
        asked: &Asked,
        terms: &[u64],
    ) -> Result<Bits, IndexError> {
        let Header { block, earliest, latest, rows_max, duration_max, .. } = *header;
        let Search { filter, measure, .. } = &asked.search;
        let none = Bits::empty();
        let out_of_time = filter.since.is_some_and(|since| latest < since.0)
            || filter.until.is_some_and(|until| earliest >= until.0);
        let too_small = measure.rows_min.is_some_and(|min| rows_max <= min)
            || measure.duration_us_min.is_some_and(|min| duration_max <= min);
        if out_of_time || too_small {
            return Ok(none);
        }
        let mut found: Option<Bits> = None;
        for term in terms {
            let bits = self.posting(block, *term)?;
            match &mut found {
                None => found = Some(bits),
                Some(found) => found.and(&bits),
            }
            if found.as_ref().is_some_and(Bits::is_empty) {
                return Ok(none);
            }
        }
        let mut found = match found {
            Some(found) => found,
            None => {
                let [at] = self.columns(block, [Column::At])?;
                let mut all = Bits::empty();
                at.iter().filter_map(|at| u16::try_from(*at).ok()).for_each(|at| all.insert(at));
                all
            }
        };
        if let Some(text) = &filter.text {
            self.keep_texts(block, text, &mut found)?;
        }
        let straddles = filter.since.is_some_and(|since| earliest < since.0)
            || filter.until.is_some_and(|until| latest >= until.0);
        if straddles && !found.is_empty() {
            let [at, time] = self.columns(block, [Column::At, Column::Time])?;
            keep(&mut found, &at, &time, |time| {
                let time = Time(time.cast_signed());
                filter.since.is_none_or(|since| time >= since)
                    && filter.until.is_none_or(|until| time < until)
            });
        }
        if !measure.is_any() && !found.is_empty() {
            let [at, rows, took] = self.columns(block, [Column::At, Column::Rows, Column::Duration])?;
            // Of what has not ended, neither is known.
            keep(&mut found, &at, &rows, |rows| rows > 0 && measure.admits_rows(rows - 1));
            keep(&mut found, &at, &took, |took| took > 0 && measure.admits_duration(took - 1));
        }
        Ok(found)
    }

    /// Keeps records whose text may contain another.
    fn keep_texts(&self, block: u64, text: &str, found: &mut Bits) -> Result<(), IndexError> {
        let mut texts: Option<Bits> = None;
        for run in terms::letters_asked(text).unwrap_or_default() {
            let bits = self.posting(block, run)?;
            match &mut texts {
                None => texts = Some(bits),
                Some(texts) => texts.and(&bits),
            }
            if texts.as_ref().is_some_and(Bits::is_empty) {
                break;
            }
        }
        if let Some(texts) = &mut texts {
            texts.or(&self.posting(block, terms::ANY_TEXT)?);
            if texts.is_empty() {
                *found = Bits::empty();
                return Ok(());
            }
        }
        let [at, text] = self.columns(block, [Column::At, Column::Text])?;
        keep(found, &at, &text, |text| {
            let first = text.checked_sub(1).and_then(|at| u16::try_from(at).ok());
            first.is_some_and(|first| texts.as_ref().is_none_or(|texts| texts.has(first)))
        });
        Ok(())
    }

    /// Reads a record with its outcome. `None`: it was removed.
    pub(crate) fn row(&mut self, seq: Seq) -> Result<Option<Row>, IndexError> {
        let Some(record) = self.record(seq)? else { return Ok(None) };
        let view = View::of(&record.as_record());
        let mut row = Row::of(&record.as_record(), &view);
        if view.awaits_outcome() {
            let (block, at) = split(seq);
            let behind = self.outcome(block, at)?;
            if behind > 0 {
                self.join(&mut row, &view, Seq(seq.0.saturating_add(behind)))?;
            }
        }
        Ok(Some(row))
    }

    fn join(&mut self, row: &mut Row, view: &View, seq: Seq) -> Result<(), IndexError> {
        let outcome = match self.record(seq) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return Ok(()),
            Err(IndexError::Journal(ReadError::Damaged(_))) => {
                self.unreadable.push(seq);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let said = View::of(&outcome.as_record());
        if said.is_outcome() && said.session() == view.session() && said.statement == view.statement {
            row.join(&outcome.as_record());
        }
        Ok(())
    }

    fn outcome(&mut self, block: u64, at: u16) -> Result<u64, IndexError> {
        if !self.outcomes.contains_key(&block) {
            let [positions, outcomes] = self.columns(block, [Column::At, Column::Outcome])?;
            let known = positions.into_iter().zip(outcomes).filter(|(_, behind)| *behind > 0);
            let known = known.filter_map(|(at, behind)| Some((u16::try_from(at).ok()?, behind))).collect();
            self.outcomes.insert(block, known);
        }
        Ok(self.outcomes.get(&block).and_then(|it| it.get(&at)).copied().unwrap_or(0))
    }

    fn record(&mut self, seq: Seq) -> Result<Option<reader::OwnedRecord>, IndexError> {
        let (block, _) = split(seq);
        if !self.places.contains_key(&block) {
            let mut places = match block::column(&self.connection, block, Column::Places)? {
                Some(bytes) => {
                    columns::decode_places(block, &bytes).ok_or_else(|| block::damaged_column(block))?
                }
                None => Vec::new(),
            };
            places.extend(self.tail.places.get(&block).into_iter().flatten());
            self.places.insert(block, places);
        }
        let places = self.places.get(&block).map(Vec::as_slice).unwrap_or_default();
        let at = places.partition_point(|place| place.seq <= seq);
        let Some(place) = at.checked_sub(1).and_then(|at| places.get(at)).copied() else { return Ok(None) };
        Ok(self.fetch.record(seq, place)?)
    }

    /// Whether some record of a session from `from` on is looked for.
    pub(crate) fn any_from(
        &mut self,
        asked: &Asked,
        session: SessionId,
        from: Seq,
    ) -> Result<bool, IndexError> {
        let mut asked = asked.clone();
        asked.search.filter.session = Some(session);
        let terms = terms::asked(&asked.search, asked.fingerprint);
        let headers: Vec<Header> =
            self.headers.iter().filter(|it| it.block >= split(from).0).copied().collect();
        for header in headers {
            for at in self.candidates(&header, &asked, &terms)?.positions() {
                let seq = join(header.block, at);
                if seq >= from && self.readable(seq)?.is_some_and(|row| asked.admits(&row)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// As [`Self::row`], but for records that were changed.
    fn readable(&mut self, seq: Seq) -> Result<Option<Row>, IndexError> {
        match self.row(seq) {
            Err(IndexError::Journal(ReadError::Damaged(_))) => Ok(None),
            read => read,
        }
    }
}

/// Keeps positions of which the column says what is wanted.
fn keep(found: &mut Bits, at: &[u64], values: &[u64], is_wanted: impl Fn(u64) -> bool) {
    for (at, value) in at.iter().zip(values) {
        let Ok(at) = u16::try_from(*at) else { continue };
        if found.has(at) && !is_wanted(*value) {
            found.remove(at);
        }
    }
}

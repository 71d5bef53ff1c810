//! Goes through a journal from its end, or from a record on, block by block, and says how far it came.

use std::collections::HashMap;
use std::sync::Arc;

use audit::{Record, Seq, Time};

use super::index::{About, Block, Budget, Index, Key};
use crate::query::filter::{Filter, StatementKey, View};
use crate::query::row::Row;
use crate::reader::{ReadError, Reader};

/// What is looked for; a record must pass every part that is given.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Whose, where, what; its limit counts for nothing here.
    pub filter: Filter,
    /// What a client was told, or what the server said of the statement.
    pub sqlstate: Option<String>,
    /// A column that is touched: `schema.relation.column`, or `relation.column`.
    pub column: Option<String>,
    /// A rule that determined the verdict, by id.
    pub rule: Option<String>,
    /// The number of an approval request.
    pub approval: Option<u64>,
    /// A group of whoever did it.
    pub group: Option<String>,
    /// How much a statement gave, and how long it took.
    pub measure: Measure,
}

/// Of a statement that was forwarded and has ended; each end counts as within.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// So many rows at least.
    pub rows_min: Option<u64>,
    /// So many rows at most.
    pub rows_max: Option<u64>,
    /// So many microseconds at least.
    pub duration_us_min: Option<u64>,
    /// So many microseconds at most.
    pub duration_us_max: Option<u64>,
}

impl Measure {
    /// Whether nothing is asked of it.
    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// Whether rows are within.
    pub fn admits_rows(&self, rows: u64) -> bool {
        self.rows_min.is_none_or(|min| rows >= min) && self.rows_max.is_none_or(|max| rows <= max)
    }

    /// Whether a time is within.
    pub fn admits_duration(&self, us: u64) -> bool {
        self.duration_us_min.is_none_or(|min| us >= min) && self.duration_us_max.is_none_or(|max| us <= max)
    }

    fn admits(&self, outcome: &View) -> bool {
        self.is_any()
            || (outcome.rows.is_some_and(|rows| self.admits_rows(rows))
                && outcome.duration_us.is_some_and(|us| self.admits_duration(us)))
    }
}

impl Search {
    fn admits(&self, time: Time, view: &View) -> bool {
        let given = |want: &Option<String>, is: &Option<String>| {
            want.as_ref().is_none_or(|want| is.as_ref() == Some(want))
        };
        self.measure.is_any()
            && self.admits_but_for_outcome(time, view)
            && given(&self.sqlstate, &view.sqlstate)
    }

    /// Whether a record, with its outcome if it has one, is looked for.
    pub fn admits_row(&self, row: &Row) -> bool {
        let (record, outcome) = (row.record(), row.outcome().map(|outcome| View::of(&outcome)));
        let view = View::of(&record);
        let said = |view: &View| self.sqlstate.is_none() || view.sqlstate == self.sqlstate;
        self.admits_but_for_outcome(record.time, &view)
            && (said(&view) || outcome.as_ref().is_some_and(said))
            && (self.measure.is_any() || outcome.is_some_and(|outcome| self.measure.admits(&outcome)))
    }

    fn admits_but_for_outcome(&self, time: Time, view: &View) -> bool {
        let is_of = |group: &String| view.identity.as_ref().is_some_and(|who| who.groups.contains(group));
        self.filter.admits(time, view)
            && self.group.as_ref().is_none_or(is_of)
            && self.column.as_ref().is_none_or(|want| view.touches_column(want))
            && self.rule.as_ref().is_none_or(|want| view.rules().contains(want))
            && self.approval.is_none_or(|want| view.approval() == Some(want))
    }

    /// Whether this is the outcome of a statement that may be looked for: only there is what the server said.
    fn may_be_of(&self, view: &View) -> bool {
        self.filter.event.as_deref().is_none_or(|event| event == "statement")
            && self.needs_outcomes()
            && view.is_outcome()
            && (self.sqlstate.is_none() || view.sqlstate == self.sqlstate)
            && self.measure.admits(view)
    }

    fn needs_outcomes(&self) -> bool {
        self.sqlstate.is_some() || !self.measure.is_any()
    }

    /// Whether an outcome can be said to be looked for without its statement.
    fn asks_nothing_of_statements(&self) -> bool {
        let Self { filter, sqlstate: _, column, rule, approval, group, measure: _ } = self;
        let Filter { identity, on_behalf_of, database, relation, verdict, text, .. } = filter;
        let texts = [identity, on_behalf_of, database, relation, verdict, text, column, rule, group];
        texts.iter().all(|it| it.is_none()) && approval.is_none()
    }

    /// What a block must say to have something of it.
    fn keys(&self) -> Vec<Key> {
        let Self { filter, sqlstate, column, rule, approval, group: _, measure } = self;
        let Filter { identity, on_behalf_of, database, relation, verdict, session, event, .. } = filter;
        let session = session.map(|session| session.to_string());
        let mut keys = Vec::new();
        let mut key = |text: &Option<String>, about: fn(&str) -> About<'_>| {
            keys.extend(text.as_ref().map(|text| Key::of(about(text))));
        };
        key(&session, |it| About::Session(it));
        key(sqlstate, |it| About::Sqlstate(it));
        if sqlstate.is_some() {
            // The statement that an outcome is of may be anywhere before it.
            return keys;
        }
        if !measure.is_any() {
            keys.push(Key::of(About::Event("outcome")));
            return keys;
        }
        key(identity, |it| About::Identity(it));
        key(on_behalf_of, |it| About::Behalf(it));
        key(database, |it| About::Database(it));
        key(verdict, |it| About::Verdict(it));
        key(event, |it| About::Event(it));
        key(relation, |it| About::Relation(it));
        key(rule, |it| About::Rule(it));
        let relation = column.as_ref().and_then(|it| it.rsplit_once('.')).map(|it| it.0.to_owned());
        key(&relation, |it| About::Relation(it));
        keys.extend(approval.map(|number| Key::of(About::Approval(number))));
        keys
    }

    /// What a record's bytes must have to be looked at.
    fn needles(&self) -> Vec<Needle> {
        let Self { filter, sqlstate, .. } = self;
        let mut needles: Vec<Needle> =
            filter.session.iter().map(|session| Needle::Exact(session.to_string())).collect();
        needles.extend(sqlstate.as_ref().and_then(|it| Needle::exact(it)));
        if !self.needs_outcomes() {
            // `issuer:subject` stands in two members.
            let subject =
                filter.identity.as_ref().map(|it| it.rsplit_once(':').map_or(it.as_str(), |it| it.1));
            let group = self.group.as_deref();
            let (database, verdict) = (filter.database.as_deref(), filter.verdict.as_deref());
            let exact = [subject, database, verdict, self.rule.as_deref(), group];
            needles.extend(exact.into_iter().flatten().filter_map(Needle::exact));
            needles.extend(filter.text.as_deref().and_then(Needle::any_case));
        }
        needles
    }

    fn may_be_in(&self, earliest: Time, latest: Time) -> bool {
        let Filter { since, until, .. } = self.filter;
        since.is_none_or(|since| latest >= since) && until.is_none_or(|until| earliest < until)
    }
}

/// Where to begin, and which way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The newest record, and back.
    End,
    /// The record before this one, and back.
    Before(Seq),
    /// The record after this one, and on.
    After(Seq),
}

/// What one call found.
#[derive(Debug, Default)]
pub struct Page {
    /// In the order in which they were come upon. A statement is come upon where it was decided, or, where an SQLSTATE is looked for that the
    /// server gave, where it ended.
    pub rows: Vec<Row>,
    /// Where to go on, by [`From::Before`] or [`From::After`]; `None`: the journal's other end was reached.
    pub next: Option<Seq>,
    /// When what was looked at last was; `None`: nothing was.
    pub searched_to: Option<Time>,
    /// Statements that may have ended, which could not be found out in time.
    pub unjoined: Vec<Seq>,
}

/// A segment may be passed over by the times of its first record and of the next one's if these are so far out of what is wanted: clocks are
/// set back at times.
const CLOCK_SLACK_NS: i64 = 3600 * 1_000_000_000;

impl Index {
    /// Finds up to `limit` records, as far as the budget goes.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn search(
        &self,
        search: &Search,
        from: From,
        limit: usize,
        mut budget: Budget,
    ) -> Result<Page, ReadError> {
        let (keys, needles, page) = (search.keys(), search.needles(), Page::default());
        let mut walk = Walk { index: self, search, keys, needles, limit, from, page };
        let mut firsts = self.names()?;
        if from.is_back() {
            firsts.reverse();
        }
        walk.segments(&firsts, &mut budget)?;
        let mut page = walk.page;
        page.unjoined = self.join(&mut page.rows, &mut Budget::for_outcomes())?;
        Ok(page)
    }

    /// Returns one record, with its outcome, and whether its outcome was looked for to the end; `None`: there is none of that number, or the
    /// budget did not suffice to find it.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn record(&self, seq: Seq, mut budget: Budget) -> Result<Option<(Row, bool)>, ReadError> {
        let mut reader = match self.block_with(seq, &mut budget)? {
            Some(block) => Reader::resume(&self.dir, block.place)?,
            None => return Ok(None),
        };
        while let Some(record) = reader.read()? {
            if record.seq == seq {
                let mut rows = vec![Row::of(&record, &View::of(&record))];
                let unjoined = self.join(&mut rows, &mut budget)?;
                return Ok(rows.pop().map(|row| (row, unjoined.is_empty())));
            }
            if record.seq > seq {
                break;
            }
        }
        Ok(None)
    }

    fn block_with(&self, seq: Seq, budget: &mut Budget) -> Result<Option<Arc<Block>>, ReadError> {
        let Some(first) = self.names()?.into_iter().rfind(|first| *first <= seq) else { return Ok(None) };
        let (blocks, _) = self.blocks(first, budget)?;
        Ok(blocks.into_iter().find(|block| block.place.seq <= seq && seq < block.until))
    }

    /// Gives statements their outcomes, as far as the budget goes. Returns those of which it did not come to an end.
    fn join(&self, rows: &mut [Row], budget: &mut Budget) -> Result<Vec<Seq>, ReadError> {
        let mut wanted = Wanted::of(rows);
        let Some(from) = wanted.open.values().map(|open| open.seq).min() else { return Ok(Vec::new()) };
        let firsts = self.names()?;
        let start = firsts.iter().rposition(|first| *first <= from).unwrap_or(firsts.len());
        for first in firsts.into_iter().skip(start) {
            let (blocks, whole) = self.blocks(first, budget)?;
            for block in blocks.iter().filter(|block| block.until > from) {
                if wanted.open.is_empty() || (budget.is_spent() && wanted.may_end_in(block)) {
                    return Ok(wanted.left());
                }
                if wanted.may_end_in(block) {
                    self.each_of(block, &[], budget, |record, view| wanted.take(record, view, rows))?;
                }
            }
            if !whole {
                return Ok(wanted.left());
            }
        }
        Ok(Vec::new())
    }

    /// Finds a statement by its session and number, before a record; `None`: there is none, or it is too far away.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn statement(&self, session: &str, number: u64, before: Seq) -> Result<Option<Row>, ReadError> {
        let keys = [Key::of(About::Statement(session, number))];
        let needle = [Needle::Exact(session.to_owned())];
        let mut budget = Budget::for_outcomes();
        for first in self.names()?.into_iter().rev().filter(|first| *first < before) {
            for block in self.blocks(first, &mut budget)?.0.iter().rev() {
                if block.place.seq >= before || !block.may_hold(&keys) {
                    continue;
                }
                let mut found = None;
                self.each_of(block, &needle, &mut budget, |record, view| {
                    let is_it = view.is("statement") && view.statement == Some(number);
                    if is_it && view.session.as_deref() == Some(session) {
                        found = Some(Row::statement(record));
                    }
                })?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            if budget.is_spent() {
                break;
            }
        }
        Ok(None)
    }

    /// Reads a block, checks it, and gives what may have all the needles.
    fn each_of(
        &self,
        block: &Block,
        needles: &[Needle],
        budget: &mut Budget,
        mut each: impl FnMut(&Record<'_>, &View),
    ) -> Result<(), ReadError> {
        let mut reader = Reader::resume(&self.dir, block.place)?;
        while let Some(record) = reader.read()? {
            if record.seq >= block.until {
                break;
            }
            if needles.iter().all(|needle| needle.may_be_in(record.payload)) {
                each(&record, &View::of(&record));
            }
        }
        budget.spend(block.bytes);
        Ok(())
    }
}

impl From {
    const fn is_back(self) -> bool {
        matches!(self, Self::End | Self::Before(_))
    }

    fn allows(self, seq: Seq) -> bool {
        match self {
            Self::End => true,
            Self::Before(bound) => seq < bound,
            Self::After(bound) => seq > bound,
        }
    }
}

/// Bytes that a record must have; spares reading those as JSON that don't.
enum Needle {
    Exact(String),
    /// In lower case.
    AnyCase(String),
}

impl Needle {
    /// Takes a text that JSON writes as it is; of any other, nothing can be said.
    fn exact(text: &str) -> Option<Self> {
        is_plain(text).then(|| Self::Exact(text.to_owned()))
    }

    fn any_case(text: &str) -> Option<Self> {
        is_plain(text).then(|| Self::AnyCase(text.to_ascii_lowercase()))
    }

    fn may_be_in(&self, payload: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(payload) else { return true };
        match self {
            Self::Exact(needle) => text.contains(needle.as_str()),
            // Some letters beyond ASCII have lower case in it.
            Self::AnyCase(needle) => !text.is_ascii() || text.to_ascii_lowercase().contains(needle.as_str()),
        }
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'/'))
}

/// Statements whose outcomes are looked for.
struct Wanted {
    open: HashMap<StatementKey, Open>,
}

struct Open {
    seq: Seq,
    /// Of `rows`.
    at: usize,
    /// One of these is said where the statement ends.
    ends: [Vec<Key>; 2],
}

impl Wanted {
    fn of(rows: &[Row]) -> Self {
        let mut open = HashMap::new();
        for (at, row) in rows.iter().enumerate() {
            let record = row.record();
            let view = View::of(&record);
            let (Some(key), Some(session), Some(number)) = (view.key(), &view.session, view.statement) else {
                continue;
            };
            if view.awaits_outcome() && row.outcome().is_none() {
                let outcome = vec![Key::of(About::Outcome(session, number))];
                let gone = vec![Key::of(About::Session(session)), Key::of(About::Event("disconnected"))];
                open.insert(key, Open { seq: record.seq, at, ends: [outcome, gone] });
            }
        }
        Self { open }
    }

    fn may_end_in(&self, block: &Block) -> bool {
        let started = [Key::of(About::Event("gateway_started"))];
        let ends = |open: &Open| open.ends.iter().any(|keys| block.may_hold(keys));
        !self.open.is_empty() && (block.may_hold(&started) || self.open.values().any(ends))
    }

    fn take(&mut self, record: &Record<'_>, view: &View, rows: &mut [Row]) {
        if view.is_outcome() {
            let open = view.key().and_then(|key| self.open.remove(&key));
            if let Some(row) = open.and_then(|open| rows.get_mut(open.at)) {
                row.join(record);
            }
        } else if view.is("disconnected") {
            let session = view.session();
            self.open.retain(|key, open| Some(key.session) != session || open.seq > record.seq);
        } else if view.is("gateway_started") {
            // Nothing survives its gateway.
            self.open.retain(|_, open| open.seq > record.seq);
        }
    }

    fn left(&self) -> Vec<Seq> {
        self.open.values().map(|open| open.seq).collect()
    }
}

struct Walk<'a> {
    index: &'a Index,
    search: &'a Search,
    keys: Vec<Key>,
    needles: Vec<Needle>,
    limit: usize,
    /// Moves with what was looked at.
    from: From,
    page: Page,
}

impl Walk<'_> {
    /// Goes through segments in the order in which they are given.
    fn segments(&mut self, firsts: &[Seq], budget: &mut Budget) -> Result<(), ReadError> {
        let mut before: Option<Seq> = None;
        for (at, first) in firsts.iter().enumerate() {
            // The segment after it in the journal, where there is one.
            let after = if self.from.is_back() { before } else { firsts.get(at + 1).copied() };
            before = Some(*first);
            let beyond = match self.from {
                From::After(bound) => after.is_some_and(|after| after.0 <= bound.0.saturating_add(1)),
                From::End | From::Before(_) => !self.from.allows(*first),
            };
            if beyond || self.is_out_of_time(*first, after)? {
                continue;
            }
            let (mut blocks, whole) = self.index.blocks(*first, budget)?;
            if !whole && self.from.is_back() {
                // Its end isn't known yet; the next call finds more of it read.
                self.page.next = Some(self.stop_before(after));
                return Ok(());
            }
            if self.from.is_back() {
                blocks.reverse();
            }
            for block in blocks {
                if self.block(&block, budget)? {
                    return Ok(());
                }
            }
            if !whole {
                self.page.next = Some(self.came_to());
                return Ok(());
            }
        }
        Ok(())
    }

    /// Looks at a block; true where the call ends with it.
    fn block(&mut self, block: &Block, budget: &mut Budget) -> Result<bool, ReadError> {
        let last = Seq(block.until.0.saturating_sub(1));
        let concerns =
            if self.from.is_back() { self.from.allows(block.place.seq) } else { self.from.allows(last) };
        if !concerns {
            return Ok(false);
        }
        let may = block.may_hold(&self.keys) && self.search.may_be_in(block.earliest, block.latest);
        if may && self.look_at(block, budget)? {
            return Ok(true);
        }
        self.page.searched_to = Some(if self.from.is_back() { block.earliest } else { block.latest });
        self.from = if self.from.is_back() { From::Before(block.place.seq) } else { From::After(last) };
        if budget.is_spent() {
            self.page.next = Some(self.came_to());
            return Ok(true);
        }
        Ok(false)
    }

    /// Reads a block; true where the page is full.
    fn look_at(&mut self, block: &Block, budget: &mut Budget) -> Result<bool, ReadError> {
        let (search, from) = (self.search, self.from);
        let mut found: Vec<(Seq, Time, Found)> = Vec::new();
        self.index.each_of(block, &self.needles, budget, |record, view| {
            if !from.allows(record.seq) {
                return;
            }
            if search.admits(record.time, view) {
                found.push((record.seq, record.time, Found::Row(Row::of(record, view))));
            } else if search.may_be_of(view)
                && let (Some(session), Some(number)) = (&view.session, view.statement)
            {
                let outcome = Row::alone(record);
                found.push((record.seq, record.time, Found::OutcomeOf(session.clone(), number, outcome)));
            }
        })?;
        if from.is_back() {
            found.reverse();
        }
        for (seq, time, found) in found {
            let row = match found {
                Found::Row(row) => Some(row),
                Found::OutcomeOf(session, number, outcome) => {
                    match self.index.statement(&session, number, seq)? {
                        Some(mut statement) => self.admits_statement(&statement).then(|| {
                            statement.join(&outcome.record());
                            statement
                        }),
                        // Better alone than not at all, where nothing else is asked of its statement.
                        None => self.search.asks_nothing_of_statements().then_some(outcome),
                    }
                }
            };
            self.page.rows.extend(row);
            if self.page.rows.len() >= self.limit {
                self.page.next = Some(seq);
                self.page.searched_to = Some(time);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn admits_statement(&self, row: &Row) -> bool {
        let record = row.record();
        self.search.admits_but_for_outcome(record.time, &View::of(&record))
    }

    fn is_out_of_time(&self, first: Seq, after: Option<Seq>) -> Result<bool, ReadError> {
        let Filter { since, until, .. } = &self.search.filter;
        if since.is_none() && until.is_none() {
            return Ok(false);
        }
        let Some(begins) = self.index.begins(first)? else { return Ok(false) };
        let ends = after.map(|after| self.index.begins(after)).transpose()?.flatten();
        let late = until.is_some_and(|until| begins.0.saturating_sub(CLOCK_SLACK_NS) >= until.0);
        let early = since.is_some_and(|since| {
            ends.is_some_and(|ends| ends.max(begins).0.saturating_add(CLOCK_SLACK_NS) < since.0)
        });
        Ok(late || early)
    }

    fn stop_before(&self, after: Option<Seq>) -> Seq {
        match (self.from, after) {
            (From::Before(bound), Some(after)) => bound.min(after),
            (From::Before(bound), None) => bound,
            (From::End | From::After(_), Some(after)) => after,
            // What comes until then is newer than what was asked for.
            (From::End | From::After(_), None) => Seq(u64::MAX),
        }
    }

    const fn came_to(&self) -> Seq {
        match self.from {
            From::Before(bound) | From::After(bound) => bound,
            From::End => Seq(u64::MAX),
        }
    }
}

enum Found {
    Row(Row),
    /// Of the statement of this session with this number.
    OutcomeOf(String, u64, Row),
}

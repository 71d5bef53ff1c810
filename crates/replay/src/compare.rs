//! What a statement came to, then and now: how it ended, and digests of its rows. Knows the protocol's messages; no connection.
//!
//! Rows are compared column by column, by digests, so that a result of any size takes no memory. Columns that were masked can't be
//! compared with what another database holds, nor can rows that the recording doesn't have.

use sha2::{Digest as _, Sha256};
use wire::backend::{CommandComplete, CopyResponse, DataRow, RowDescription, tag};
use wire::error::ErrorFields;
use wire::frame::Frame;

use crate::lexer::first_words;
use crate::table::Column;

/// How a statement ended, and what it returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// CommandComplete's tag; `None` if it failed, or its end isn't known.
    pub tag: Option<String>,
    /// The SQLSTATE of the error that ended it.
    pub sqlstate: Option<String>,
    /// What its result has for columns; empty if it has none, or it isn't known.
    pub columns: Vec<String>,
    /// Rows, or messages of COPY, that are in `digests`.
    pub rows: u64,
    /// Rows that there were beside those: they are not kept.
    pub cut: u64,
    /// Of each column: its values, in order.
    pub digests: Vec<[u8; 32]>,
    /// Of each column: its values, in whatever order.
    pub sums: Vec<u128>,
    /// Columns that were masked, from 0.
    pub masked: Vec<usize>,
    /// It was masked, and it isn't known where.
    pub masked_somewhere: bool,
}

/// Makes an [`Outcome`] of messages.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    outcome: Outcome,
    digests: Vec<Sha256>,
    done: bool,
}

impl Tally {
    /// Begins, with the columns if they are known beforehand.
    pub fn new(columns: &[Column]) -> Self {
        let mut tally = Self::default();
        tally.describe(columns);
        tally
    }

    fn describe(&mut self, columns: &[Column]) {
        self.outcome.columns =
            columns.iter().map(|column| String::from_utf8_lossy(&column.name).into_owned()).collect();
    }

    /// Takes a message that the client of the statement receives.
    pub fn take(&mut self, message: Frame<'_>) {
        match message.tag {
            tag::ROW_DESCRIPTION => {
                if let Ok(description) = RowDescription::parse(message.body) {
                    self.describe(&Column::of(description));
                }
            }
            tag::DATA_ROW => {
                if let Ok(row) = DataRow::parse(message.body) {
                    self.outcome.rows += 1;
                    row.iter().enumerate().for_each(|(at, value)| self.value(at, value));
                }
            }
            tag::COPY_OUT_RESPONSE if CopyResponse::parse(message.body).is_ok() => {
                self.outcome.columns = vec!["COPY".to_owned()];
            }
            tag::COPY_DATA => {
                self.outcome.rows += 1;
                self.value(0, Some(message.body));
            }
            tag::COMMAND_COMPLETE => {
                if let Ok(complete) = CommandComplete::parse(message.body) {
                    self.outcome.tag = Some(String::from_utf8_lossy(complete.tag).into_owned());
                }
                self.done = true;
            }
            tag::EMPTY_QUERY_RESPONSE => {
                self.outcome.tag = Some(String::new());
                self.done = true;
            }
            tag::PORTAL_SUSPENDED => self.done = true,
            tag::ERROR_RESPONSE => {
                let state = ErrorFields::parse(message.body).ok().and_then(|fields| fields.sqlstate());
                self.outcome.sqlstate =
                    Some(state.map_or_else(|| "?".to_owned(), |it| it.as_str().to_owned()));
                self.done = true;
            }
            _ => {}
        }
    }

    /// Takes rows that are not kept.
    pub const fn cut(&mut self, rows: u64) {
        self.outcome.cut = self.outcome.cut.saturating_add(rows);
    }

    /// Returns whether it has ended.
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// Returns what it came to.
    pub fn finish(self) -> Outcome {
        let digests = self.digests.into_iter().map(|digest| digest.finalize().into()).collect();
        Outcome { digests, ..self.outcome }
    }

    fn value(&mut self, at: usize, value: Option<&[u8]>) {
        while self.digests.len() <= at {
            self.digests.push(Sha256::new());
            self.outcome.sums.push(0);
        }
        let (Some(digest), Some(sum)) = (self.digests.get_mut(at), self.outcome.sums.get_mut(at)) else {
            return;
        };
        // The length first, so that no two lists of values are one list of bytes; NULL has none that a value can have.
        let length = value.map_or(u64::MAX, |value| value.len() as u64).to_be_bytes();
        let one = Sha256::new().chain_update(length).chain_update(value.unwrap_or_default()).finalize();
        digest.update(one);
        let half = one.first_chunk::<16>().copied().unwrap_or_default();
        *sum = sum.wrapping_add(u128::from_be_bytes(half));
    }
}

/// How two outcomes differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// One failed, or both with different errors: SQLSTATEs, `None` where it succeeded.
    Sqlstate(Option<String>, Option<String>),
    /// They ended otherwise: CommandComplete's tags.
    Tag(Option<String>, Option<String>),
    /// Their columns have other names, or are more or fewer.
    Columns(Vec<String>, Vec<String>),
    /// They returned more rows, or fewer.
    Rows(u64, u64),
    /// These columns have other values.
    Values(Vec<String>),
    /// The values are the same, in another order.
    Order,
}

/// What comparing found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// None: as far as it can be told, it came to the same.
    pub differences: Vec<Difference>,
    /// What could not be compared, in words.
    pub unknown: Vec<String>,
}

/// Compares what a statement came to then and now.
pub fn compare(then: &Outcome, now: &Outcome) -> Comparison {
    let mut found = Comparison::default();
    if then.tag.is_none() && then.sqlstate.is_none() {
        found.unknown.push("how it ended".to_owned());
    } else if then.sqlstate != now.sqlstate {
        found.differences.push(Difference::Sqlstate(then.sqlstate.clone(), now.sqlstate.clone()));
        return found;
    } else if then.tag != now.tag {
        found.differences.push(Difference::Tag(then.tag.clone(), now.tag.clone()));
    }
    if then.sqlstate.is_some() {
        return found;
    }
    let (rows_then, rows_now) = (then.rows.saturating_add(then.cut), now.rows.saturating_add(now.cut));
    if rows_then != rows_now && then.tag == now.tag {
        found.differences.push(Difference::Rows(rows_then, rows_now));
    }
    if then.cut > 0 {
        found.unknown.push(format!("{} rows that are not in the recording", then.cut));
        return found;
    }
    if !then.columns.is_empty() && then.columns != now.columns {
        found.differences.push(Difference::Columns(then.columns.clone(), now.columns.clone()));
        return found;
    }
    values(then, now, &mut found);
    found
}

fn values(then: &Outcome, now: &Outcome, found: &mut Comparison) {
    if then.rows != now.rows {
        return;
    }
    let name = |at: usize| now.columns.get(at).cloned().unwrap_or_else(|| format!("column {}", at + 1));
    let (mut other, mut order) = (Vec::new(), false);
    let columns = then.digests.iter().zip(&now.digests).zip(then.sums.iter().zip(&now.sums)).enumerate();
    for (at, ((then_digest, now_digest), (then_sum, now_sum))) in columns {
        if then.masked.contains(&at) {
            found.unknown.push(format!("\"{}\", which was masked", name(at)));
        } else if then_digest != now_digest {
            if then_sum == now_sum {
                order = true;
            } else if then.masked_somewhere {
                found.unknown.push(format!("\"{}\", which may have been masked", name(at)));
            } else {
                other.push(name(at));
            }
        }
    }
    if !other.is_empty() {
        found.differences.push(Difference::Values(other));
    } else if order {
        found.differences.push(Difference::Order);
    }
}

/// What a statement does to transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Nothing.
    None,
    /// It begins one.
    Begin,
    /// It commits.
    Commit {
        /// And begins another.
        chain: Chain,
    },
    /// It rolls back, not to a savepoint.
    Rollback {
        /// And begins another.
        chain: Chain,
    },
    /// Two-phase commit.
    TwoPhase,
}

/// Whether another transaction follows at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// It does.
    Yes,
    /// It doesn't.
    No,
}

/// Returns what a statement does to transactions. Its words say it (`TransactionStmt`, parser/gram.y): no other statement begins so.
// SECURITY: what is run with the promise to roll it back must not commit, whatever stands before its first word.
pub fn control(text: &str) -> Control {
    let words = first_words(text);
    let words: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !matches!(*word, "WORK" | "TRANSACTION")).collect();
    let chain = if words.contains(&"CHAIN") && !words.contains(&"NO") { Chain::Yes } else { Chain::No };
    match words.as_slice() {
        ["BEGIN" | "START", ..] => Control::Begin,
        // `PREPARE TRANSACTION 'x'`: the word was taken out above, and a prepared statement has a name.
        ["PREPARE"] | ["COMMIT" | "ROLLBACK", "PREPARED", ..] => Control::TwoPhase,
        ["COMMIT" | "END", ..] => Control::Commit { chain },
        ["ROLLBACK", "TO", ..] => Control::None,
        ["ROLLBACK" | "ABORT", ..] => Control::Rollback { chain },
        _ => Control::None,
    }
}

#[cfg(test)]
mod tests;

//! Tables that are filled record by record, in bounded memory. Knows no events.

use std::collections::{BTreeMap, BTreeSet};

use audit::Time;

/// A table of a report.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name: a file's, and an anchor's in the page.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What its figures are, and what they can't say.
    pub note: String,
    /// Of its columns.
    pub headings: Vec<&'static str>,
    /// As many texts each as there are headings.
    pub rows: Vec<Vec<String>>,
    /// Records that it was made of.
    pub records: u64,
    /// Records that found no room in it: the table is not complete.
    pub left_out: u64,
    /// Command lines that print the records that it was made of.
    pub queries: Vec<String>,
}

/// What all tables of a report may keep together, in bytes.
const BUDGET: usize = 256 << 20;
/// What keeping a text costs beside its bytes, about.
const OVERHEAD: usize = 64;

/// Memory that is left.
pub(crate) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(BUDGET)
    }
}

impl Budget {
    #[cfg(test)]
    pub(crate) const fn of(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Takes room for texts, if there is enough.
    pub(crate) fn spend<'t>(&mut self, texts: impl IntoIterator<Item = &'t String>) -> bool {
        let cost = texts.into_iter().fold(OVERHEAD, |sum, text| sum + text.len() + OVERHEAD);
        let left = self.0.checked_sub(cost);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// Rows in the order of the records.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) left_out: u64,
}

impl Log {
    pub(crate) fn add(&mut self, row: Vec<String>, budget: &mut Budget) {
        if budget.spend(&row) { self.rows.push(row) } else { self.left_out += 1 }
    }
}

/// Records that have something in common, counted.
#[derive(Default)]
pub(crate) struct Tally {
    rows: BTreeMap<Vec<String>, Counted>,
    pub(crate) records: u64,
    pub(crate) left_out: u64,
}

struct Counted {
    counts: [u64; 2],
    columns: BTreeSet<String>,
    first: Time,
    last: Time,
}

impl Tally {
    /// Counts a record to one of two counts; `columns` are collected.
    pub(crate) fn add(
        &mut self,
        key: Vec<String>,
        which: usize,
        columns: impl IntoIterator<Item = String>,
        time: Time,
        budget: &mut Budget,
    ) {
        self.records += 1;
        if !self.rows.contains_key(&key) && !budget.spend(&key) {
            self.left_out += 1;
            return;
        }
        let new = || Counted { counts: [0; 2], columns: BTreeSet::new(), first: time, last: time };
        let counted = self.rows.entry(key).or_insert_with(new);
        if let Some(count) = counted.counts.get_mut(which) {
            *count += 1;
        }
        // The clock may have been set back.
        counted.first = counted.first.min(time);
        counted.last = counted.last.max(time);
        let mut complete = true;
        for column in columns {
            if !counted.columns.contains(&column) {
                complete &= budget.spend([&column]);
                if complete {
                    counted.columns.insert(column);
                }
            }
        }
        self.left_out += u64::from(!complete);
    }

    /// Gives the rows: the key, the columns if asked for, as many counts as asked for, first and last.
    pub(crate) fn into_rows(self, columns: bool, counts: usize) -> Vec<Vec<String>> {
        let row = |(key, counted): (Vec<String>, Counted)| {
            let Counted { counts: all, columns: names, first, last } = counted;
            let mut row = key;
            if columns {
                row.push(names.into_iter().collect::<Vec<_>>().join(", "));
            }
            row.extend(all.iter().take(counts).map(u64::to_string));
            row.extend([first.to_string(), last.to_string()]);
            row
        };
        self.rows.into_iter().map(row).collect()
    }
}

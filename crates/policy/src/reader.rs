//! Reads TOML tables key by key, and tells of everything that is wrong in them rather than of the first.
//!
//! Knows TOML and positions; not what the keys mean.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Problem, Source};

/// A key with its value, and where both stand.
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a str,
    pub(crate) key_range: Range<usize>,
    pub(crate) value: &'a Spanned<DeValue<'a>>,
}

/// A file being read, with what was found wrong so far.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a Source,
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// Parses a document; syntax errors are all reported.
    pub(crate) fn document<'t>(&mut self, text: &'t str) -> Option<Spanned<DeTable<'t>>> {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            self.wrong(error.span().unwrap_or(0..0), error.message().to_owned());
        }
        errors.is_empty().then_some(document)
    }

    /// Reports a problem and gives it back to add help to.
    pub(crate) fn wrong(&mut self, range: Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::at(self.source, range, message));
    }

    pub(crate) fn wrong_with_help(
        &mut self,
        range: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem::at(self.source, range, message).help(help));
    }

    /// Reports a word that is not one of those allowed.
    pub(crate) fn unknown(&mut self, range: Range<usize>, what: &str, word: &str, allowed: &[&str]) {
        let problem = Problem::at(self.source, range, format!("unknown {what} {word:?}"));
        self.problems.push(problem.help_nearest(word, allowed));
    }

    /// Returns the entries of a table whose keys are known, in the order of the file; reports the others.
    pub(crate) fn known<'t>(&mut self, table: &'t DeTable<'t>, allowed: &[&str]) -> Vec<Entry<'t>> {
        let mut entries = entries(table);
        entries.retain(|entry| {
            let known = allowed.contains(&entry.key);
            if !known {
                self.unknown(entry.key_range.clone(), "key", entry.key, allowed);
            }
            known
        });
        entries
    }

    pub(crate) fn table<'t>(&mut self, entry: &Entry<'t>) -> Option<&'t DeTable<'t>> {
        let table = entry.value.get_ref().as_table();
        if table.is_none() {
            self.mistyped(entry, "a table");
        }
        table
    }

    pub(crate) fn string<'t>(&mut self, entry: &Entry<'t>) -> Option<&'t str> {
        let text = entry.value.get_ref().as_str();
        if text.is_none() {
            self.mistyped(entry, "a string");
        }
        text
    }

    pub(crate) fn boolean(&mut self, entry: &Entry<'_>) -> Option<bool> {
        let truth = entry.value.get_ref().as_bool();
        if truth.is_none() {
            self.mistyped(entry, "true or false");
        }
        truth
    }

    /// Reads a whole number within a range, both ends included.
    pub(crate) fn integer(&mut self, entry: &Entry<'_>, least: u64, most: u64) -> Option<u64> {
        let Some(integer) = entry.value.get_ref().as_integer() else {
            self.mistyped(entry, "a whole number");
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number =
            number.and_then(|number| u64::try_from(number).ok()).filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.wrong(entry.value.span(), format!("{} must be from {least} to {most}", entry.key));
        }
        number
    }

    /// Reads an array of strings; one string alone stands for an array of it.
    pub(crate) fn strings<'t>(&mut self, entry: &Entry<'t>) -> Vec<(&'t str, Range<usize>)> {
        let value = entry.value.get_ref();
        if let Some(text) = value.as_str() {
            return vec![(text, entry.value.span())];
        }
        let Some(array) = value.as_array() else {
            self.mistyped(entry, "an array of strings");
            return Vec::new();
        };
        let mut strings = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => strings.push((text, item.span())),
                None => self.wrong(item.span(), format!("{} must be an array of strings", entry.key)),
            }
        }
        strings
    }

    fn mistyped(&mut self, entry: &Entry<'_>, wanted: &str) {
        let found = match entry.value.get_ref() {
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Float(_) | DeValue::Integer(_) => "a number",
            DeValue::String(_) => "a string",
        };
        self.wrong(entry.value.span(), format!("{} must be {wanted}, not {found}", entry.key));
    }
}

/// Returns all entries of a table in the order of the file.
pub(crate) fn entries<'t>(table: &'t DeTable<'t>) -> Vec<Entry<'t>> {
    let mut entries: Vec<_> =
        table.iter().map(|(key, value)| Entry { key: key.get_ref(), key_range: key.span(), value }).collect();
    entries.sort_by_key(|entry| entry.key_range.start);
    entries
}

/// Reads `30s`, `10m`, `2h` or `1d`.
pub(crate) fn duration(text: &str) -> Option<std::time::Duration> {
    let (number, seconds) = [("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(std::time::Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
}

/// Reads `50 MB`, `16 MiB` or a number of bytes, the space left to taste.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let units: [(&str, u64); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let units = units.into_iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, unit) = units.unwrap_or((text, 1));
    let number = number.trim_end_matches(' ');
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(unit)
}

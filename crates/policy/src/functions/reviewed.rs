//! Reads `reviewed.txt`, whose head says how it is written. Knows the file's form, not what a class means.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

use super::{Declared, FunctionClass};
use crate::resource::{FunctionSecurity, Volatility};

/// Functions that are in one class for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    class: FunctionClass,
    reason: Box<str>,
    allowances: Vec<Box<str>>,
    extension: bool,
}

impl Family {
    /// Returns the class.
    pub const fn class(&self) -> FunctionClass {
        self.class
    }

    /// Returns why its members are in that class.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns whether the reason says why members may be declared so (`volatile`, `unsafe`) though they need no permit.
    pub fn allows(&self, fact: &str) -> bool {
        self.allowances.iter().any(|allowed| **allowed == *fact)
    }

    fn header(&self) -> String {
        let extension = if self.extension { "extension " } else { "" };
        let allowances: String = self.allowances.iter().map(|word| format!(" {word}")).collect();
        format!("[{extension}{}{allowances}] {}", self.class, self.reason)
    }
}

/// One function: an overload that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    family: usize,
    facts: Box<str>,
    arguments: Box<str>,
}

impl Entry {
    /// Returns `pg_type.typname` of each argument, joined by commas.
    pub fn arguments(&self) -> &str {
        &self.arguments
    }

    /// Returns how `pg_proc` declares it: letters of volatility, then of languages.
    pub fn facts(&self) -> &str {
        &self.facts
    }

    /// Returns whether a function is declared as the one that was read.
    pub fn agrees(&self, function: &Declared<'_>) -> bool {
        let volatility = match function.volatility {
            Volatility::Immutable => 'i',
            Volatility::Stable => 's',
            Volatility::Volatile => 'v',
        };
        let language = self.facts.trim_start_matches(['i', 's', 'v']);
        self.facts.contains(volatility)
            && function.security == FunctionSecurity::Invoker
            && language == function.language.letter()
    }
}

/// All families and their members.
#[derive(Clone, Debug, Default)]
pub struct Review {
    head: String,
    families: Vec<Family>,
    functions: HashMap<String, Vec<Entry>>,
    extensions: HashMap<String, usize>,
}

/// What is wrong with a line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Counts from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Returns the list as shipped.
pub fn review() -> &'static Review {
    // SECURITY: a line that can't be read is no entry, so its functions are unknown; a test sees to it that there is none.
    static REVIEW: LazyLock<Review> = LazyLock::new(|| Review::parse(include_str!("reviewed.txt")).0);
    &REVIEW
}

static UNREAD: LazyLock<Family> = LazyLock::new(|| Family {
    class: FunctionClass::Unknown,
    reason: super::UNREAD.into(),
    allowances: Vec::new(),
    extension: false,
});

impl Review {
    /// Reads a file of that form, as far as it can be read.
    pub fn parse(text: &str) -> (Self, Vec<BadLine>) {
        let mut review = Self::default();
        let mut bad = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let read = if line.is_empty() {
                Ok(())
            } else if line.starts_with('#') {
                let _ = writeln!(review.head, "{line}");
                Ok(())
            } else if let Some(header) = line.strip_prefix('[') {
                review.begin(header)
            } else {
                review.member(line)
            };
            if let Err(what) = read {
                bad.push(BadLine { line: at + 1, what });
            }
        }
        (review, bad)
    }

    fn begin(&mut self, header: &str) -> Result<(), String> {
        let (words, reason) = header.split_once("] ").ok_or("a header is [CLASS] REASON")?;
        let mut words = words.split(' ').peekable();
        let extension = words.next_if_eq(&"extension").is_some();
        let word = words.next().unwrap_or_default();
        let class = FunctionClass::from_word(word).ok_or_else(|| format!("there is no class {word:?}"))?;
        let allowances = words.map(Into::into).collect();
        self.families.push(Family { class, reason: reason.into(), allowances, extension });
        Ok(())
    }

    fn member(&mut self, line: &str) -> Result<(), String> {
        let family = self.families.len().checked_sub(1).ok_or("a function stands before any header")?;
        if self.families.get(family).is_some_and(|family| family.extension) {
            return match self.extensions.insert(line.to_owned(), family) {
                Some(_) => Err(format!("{line} is listed twice")),
                None => Ok(()),
            };
        }
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let overloads = self.functions.entry(qualified(name)).or_default();
        let before = overloads.len();
        for word in words {
            let read = word.strip_suffix(')').and_then(|word| word.split_once('('));
            let (facts, arguments) = read.ok_or_else(|| format!("{word:?} is not FACTS(TYPES)"))?;
            if facts.is_empty() || !facts.chars().all(|letter| "isvqc".contains(letter)) {
                return Err(format!("{facts:?} are no facts"));
            }
            if overloads.iter().any(|entry| *entry.arguments == *arguments) {
                return Err(format!("{name}({arguments}) is listed twice"));
            }
            overloads.push(Entry { family, facts: facts.into(), arguments: arguments.into() });
        }
        if overloads.len() == before { Err(format!("{name} has no overload")) } else { Ok(()) }
    }

    /// Returns the overloads of a name that were read.
    pub fn overloads(&self, schema: &str, name: &str) -> &[Entry] {
        self.functions.get(&format!("{schema}.{name}")).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the family of an entry.
    pub fn family(&self, entry: &Entry) -> &Family {
        self.families.get(entry.family).unwrap_or(&UNREAD)
    }

    /// Returns the family of a well-known extension's function.
    pub fn extension(&self, name: &str) -> Option<&Family> {
        self.extensions.get(name).and_then(|family| self.families.get(*family))
    }

    /// Iterates over all functions with their qualified names, in no order.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.functions.iter().flat_map(|(name, entries)| entries.iter().map(|entry| (name.as_str(), entry)))
    }

    /// Adds a function that nobody has read, or one that is declared otherwise than when it was read.
    pub fn put(&mut self, name: &str, facts: &str, arguments: &str) {
        let unread = self.families.iter().position(|f| f.class == FunctionClass::Unknown);
        let unread = unread.unwrap_or_else(|| {
            self.families.push(UNREAD.clone());
            self.families.len() - 1
        });
        let overloads = self.functions.entry(name.to_owned()).or_default();
        match overloads.iter_mut().find(|entry| *entry.arguments == *arguments) {
            Some(entry) => {
                *entry = Entry { family: unread, facts: facts.into(), arguments: arguments.into() };
            }
            None => {
                overloads.push(Entry { family: unread, facts: facts.into(), arguments: arguments.into() });
            }
        }
    }

    /// Takes a function out that no version has any more.
    pub fn remove(&mut self, name: &str, arguments: &str) {
        if let Some(overloads) = self.functions.get_mut(name) {
            overloads.retain(|entry| *entry.arguments != *arguments);
        }
    }

    /// Writes the file.
    pub fn render(&self) -> String {
        let mut text = self.head.clone();
        for (at, family) in self.families.iter().enumerate() {
            let mut lines: Vec<String> = if family.extension {
                self.extensions.iter().filter(|(_, of)| **of == at).map(|(name, _)| name.clone()).collect()
            } else {
                let named = self.functions.iter().map(|(name, entries)| {
                    let mut overloads: Vec<String> = entries
                        .iter()
                        .filter(|entry| entry.family == at)
                        .map(|entry| format!(" {}({})", entry.facts, entry.arguments))
                        .collect();
                    overloads.sort_unstable();
                    (name, overloads.concat())
                });
                let named = named.filter(|(_, overloads)| !overloads.is_empty());
                named
                    .map(|(name, overloads)| {
                        format!("{}{overloads}", name.strip_prefix("pg_catalog.").unwrap_or(name))
                    })
                    .collect()
            };
            if lines.is_empty() {
                continue;
            }
            lines.sort_unstable();
            let _ = writeln!(text, "\n{}\n{}", family.header(), lines.join("\n"));
        }
        text
    }
}

fn qualified(name: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("pg_catalog.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("reviewed.txt");

    #[test]
    fn every_line_of_the_list_is_read_and_it_is_written_as_we_would_write_it() {
        let (review, bad) = Review::parse(FILE);
        assert_eq!(bad, []);
        assert!(review.functions().count() > 3_400);
        let written = review.render();
        let differs = written.lines().zip(FILE.lines()).find(|(ours, theirs)| ours != theirs);
        assert_eq!(differs, None, "`cargo xtask functions --update` writes it");
        assert_eq!(written.len(), FILE.len());
    }

    #[test]
    fn what_makes_no_sense_is_no_entry() {
        for (text, what) in [
            ("lower i(text)", "before any header"),
            ("[harmles] x\nlower i(text)", "no class"),
            ("[harmless] x\nlower", "no overload"),
            ("[harmless] x\nlower text", "not FACTS"),
            ("[harmless] x\nlower i(text) i(text)", "twice"),
            ("[harmless] x\nlower x(text)", "no facts"),
            ("[harmless] x\nlower i(text)\n[changes] y\nlower i(text)", "twice"),
        ] {
            let (_, bad) = Review::parse(text);
            assert!(bad.iter().any(|bad| bad.what.contains(what)), "{text}: {bad:?}");
        }
    }

    #[test]
    fn volatile_and_needing_no_permit_takes_a_stated_reason() {
        let review = review();
        for (name, entry) in review.functions() {
            let family = review.family(entry);
            if !family.class().acts() && entry.facts().contains('v') {
                assert!(family.allows("volatile") && !family.reason().is_empty(), "{name}");
            }
            assert!(family.class() != FunctionClass::Unknown || !family.reason().is_empty());
        }
    }

    #[test]
    fn what_takes_internal_arguments_is_internal() {
        let review = review();
        for (name, entry) in review.functions() {
            let internal = entry.arguments().split(',').any(|ty| ty == "internal");
            assert!(!internal || review.family(entry).class() == FunctionClass::Internal, "{name}");
        }
    }
}

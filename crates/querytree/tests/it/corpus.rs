//! The files of `testdata/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use querytree::ServerVersion;

/// What one version's server printed.
pub(crate) struct Corpus {
    pub(crate) major: u32,
    pub(crate) version: ServerVersion,
    /// By kind and number, as `relation 16384`.
    names: BTreeMap<String, String>,
    pub(crate) trees: BTreeMap<String, String>,
}

/// A file of cases.
pub(crate) struct File {
    path: PathBuf,
    pub(crate) cases: Vec<Case>,
}

/// A statement and what it touches.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) since: u32,
    pub(crate) statement: String,
    /// By the first version that it holds for.
    pub(crate) expected: BTreeMap<u32, String>,
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

impl Corpus {
    pub(crate) fn all() -> Vec<Self> {
        ServerVersion::ALL.into_iter().map(Self::of).collect()
    }

    fn of(version: ServerVersion) -> Self {
        let major = version.major();
        let path = testdata().join(format!("trees/{major}.txt"));
        let text = std::fs::read_to_string(&path).unwrap();
        let mut parts = text.split("\n=== ");
        let names = parts.next().unwrap().lines().map(|line| {
            let (kind, rest) = line.split_once(' ').unwrap();
            let words = if kind == "column" { 2 } else { 1 };
            let (numbers, name) = split_words(rest, words);
            (format!("{kind} {numbers}"), name.to_owned())
        });
        let names = names.collect();
        let trees = parts.map(|part| part.split_once('\n').unwrap());
        let trees = trees.map(|(name, tree)| (name.to_owned(), tree.to_owned())).collect();
        Self { major, version, names, trees }
    }

    pub(crate) fn tree(&self, name: &str) -> &str {
        self.trees.get(name).unwrap_or_else(|| panic!("no tree of {name} for {}", self.major))
    }

    pub(crate) fn name(&self, kind: &str, number: impl std::fmt::Display) -> String {
        let key = format!("{kind} {number}");
        self.names.get(&key).cloned().unwrap_or(key)
    }
}

fn split_words(text: &str, words: usize) -> (&str, &str) {
    let (at, _) = text.match_indices(' ').nth(words - 1).unwrap();
    let (words, rest) = text.split_at(at);
    (words, rest.trim_start_matches(' '))
}

/// Returns every file of cases.
pub(crate) fn cases() -> Vec<File> {
    let mut paths: Vec<_> =
        std::fs::read_dir(testdata().join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(File::read).collect()
}

impl File {
    fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap();
        let text = format!("\n{text}");
        let cases = text.split("\n=== ").skip(1).map(|part| {
            let (head, body) = part.split_once('\n').unwrap();
            let (name, since) = head.split_once(" from ").unwrap_or((head, "14"));
            let mut parts = body.split("\n--- ");
            let statement = parts.next().unwrap().trim_end_matches('\n').to_owned();
            let expected = parts.map(|part| {
                let (version, access) = part.split_once('\n').unwrap();
                (version.parse().unwrap(), format!("{}\n", access.trim_end_matches('\n')))
            });
            let expected = expected.collect();
            Case { name: name.to_owned(), since: since.parse().unwrap(), statement, expected }
        });
        let cases = cases.collect();
        Self { path, cases }
    }

    pub(crate) fn write(&self) {
        let mut text = String::new();
        for case in &self.cases {
            let since = if case.since == 14 { String::new() } else { format!(" from {}", case.since) };
            text += &format!("=== {}{since}\n{}\n", case.name, case.statement);
            for (version, access) in &case.expected {
                text += &format!("--- {version}\n{access}");
            }
        }
        std::fs::write(&self.path, text).unwrap();
    }
}

/// Keeps of each run of equal answers the first.
pub(crate) fn fold(found: Vec<(u32, String)>) -> BTreeMap<u32, String> {
    let mut folded: Vec<(u32, String)> = Vec::new();
    for (version, access) in found {
        if folded.last().is_none_or(|(_, last)| *last != access) {
            folded.push((version, access));
        }
    }
    folded.into_iter().collect()
}

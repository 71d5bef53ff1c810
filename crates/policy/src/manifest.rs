//! `bundle.toml`: what a bundle says beside its rules.
//!
//! Knows the file's keys and what they must be; not the rules, no catalog.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Range;

use model::Mask;
use serde::Serialize;
use toml::de::DeTable;

use crate::approvers::{self, ApproverGroup};
use crate::limits::{self, LimitTables};
use crate::problem::{Problem, Source};
use crate::reader::{self, Entry, Reader};
use crate::tags::{Tag, TagPattern};

/// The longest word that names something in a bundle, in bytes.
const WORD_BYTES_MAX: usize = 128;

/// How much of a session is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// Nothing beyond the audit.
    Off,
    /// What was asked.
    #[default]
    Statements,
    /// What was asked and answered.
    Results,
}

/// How a session is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RecordingTerms {
    /// How much.
    pub kept: Recording,
    /// Rows of one statement's result at the most.
    pub rows: u64,
    /// Bytes of one statement's result, of its parameters, and of the data that it copies in, each, at the most.
    pub bytes: u64,
    /// Whether the session ends where it can't be recorded; else it goes on, and that is recorded.
    pub must: bool,
}

impl Default for RecordingTerms {
    fn default() -> Self {
        Self { kept: Recording::default(), rows: 1000, bytes: 1 << 20, must: false }
    }
}

/// What `[recording]` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordingTable {
    terms: RecordingTerms,
    groups: BTreeMap<String, Recording>,
}

impl RecordingTable {
    /// Of several groups, what keeps most counts; it overrides the default, downwards too.
    pub(crate) fn of(&self, groups: &std::collections::BTreeSet<String>) -> RecordingTerms {
        let of_groups = groups.iter().filter_map(|group| self.groups.get(group)).max();
        RecordingTerms { kept: of_groups.copied().unwrap_or(self.terms.kept), ..self.terms }
    }
}

/// What `bundle.toml` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) claims: Vec<String>,
    pub(crate) tags: Vec<TagPattern>,
    pub(crate) masks: BTreeMap<String, Mask>,
    pub(crate) approvers: Vec<ApproverGroup>,
    pub(crate) limits: LimitTables,
    pub(crate) recording: RecordingTable,
}

const KEYS: &[&str] = &["name", "version", "claims", "tags", "masks", "approvers", "limits", "recording"];

impl Manifest {
    /// Reads the file, as far as it can be read; what is wrong goes to `problems`, what is odd to `warnings`.
    pub(crate) fn parse(source: &Source, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) -> Self {
        let mut manifest = Self::default();
        let mut reader = Reader { source, problems };
        let Some(document) = reader.document(&source.text) else { return manifest };
        let table = document.get_ref();
        for entry in reader.known(table, KEYS) {
            match entry.key {
                "name" => manifest.name = reader.word(&entry).unwrap_or_default().to_owned(),
                "version" => manifest.version = reader.word(&entry).unwrap_or_default().to_owned(),
                "claims" => manifest.claims = claims(&mut reader, &entry),
                "tags" => manifest.tags = tags(&mut reader, &entry),
                "masks" => manifest.masks = masks(&mut reader, &entry),
                "approvers" => manifest.approvers = approvers::approvers(&mut reader, &entry),
                "limits" => manifest.limits = LimitTables::read(&mut reader, &entry),
                _ => manifest.recording = recording(&mut reader, &entry).unwrap_or_default(),
            }
        }
        manifest.limits.check_approvers(&mut reader, table.get("limits"), &manifest.approvers);
        for key in ["name", "version"] {
            if !table.contains_key(key) {
                reader.wrong_with_help(
                    0..0,
                    format!("{key} is missing"),
                    format!("add {key} = \"...\" at the top"),
                );
            }
        }
        manifest.warn_of_masks_without_use(source, table, warnings);
        manifest
    }

    /// Returns every tag that `[tags]` or `[masks]` names.
    pub(crate) fn tag_words(&self) -> Vec<&str> {
        let tags = self.tags.iter().flat_map(|pattern| pattern.tags.iter().map(Tag::as_str));
        let mut words: Vec<_> = tags.chain(self.masks.keys().map(String::as_str)).collect();
        words.sort_unstable();
        words.dedup();
        words
    }

    pub(crate) fn approver_words(&self) -> Vec<&str> {
        self.approvers.iter().map(|approver| approver.name.as_str()).collect()
    }

    fn warn_of_masks_without_use(&self, source: &Source, table: &DeTable<'_>, warnings: &mut Vec<Problem>) {
        let Some(masks) = table.get("masks").and_then(|masks| masks.get_ref().as_table()) else { return };
        for entry in reader::entries(masks) {
            let used =
                self.tags.iter().any(|pattern| pattern.tags.iter().any(|tag| tag.as_str() == entry.key));
            if !used {
                let message = format!("no column has the tag {:?} that this mask is for", entry.key);
                warnings.push(Problem::at(source, entry.key_range, message));
            }
        }
    }
}

impl Reader<'_> {
    /// Reads a string that names something: not empty, not long, nothing that doesn't print.
    pub(crate) fn word<'t>(&mut self, entry: &Entry<'t>) -> Option<&'t str> {
        let text = self.string(entry)?;
        self.is_word(text, entry.value.span(), entry.key).then_some(text)
    }

    pub(crate) fn is_word(&mut self, text: &str, range: Range<usize>, what: &str) -> bool {
        let good = !text.is_empty()
            && text.len() <= WORD_BYTES_MAX
            && text.trim() == text
            && !text.chars().any(char::is_control);
        if !good {
            self.wrong(
                range,
                format!("{what} must be 1 to {WORD_BYTES_MAX} bytes that print, without space around"),
            );
        }
        good
    }
}

fn claims(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Vec<String> {
    let mut claims: Vec<String> = Vec::new();
    for (claim, range) in reader.strings(entry) {
        if claims.iter().any(|known| known == claim) {
            reader.wrong(range, format!("claim {claim:?} is named twice"));
        } else if reader.is_word(claim, range, "a claim") {
            claims.push(claim.to_owned());
        }
    }
    claims
}

fn tags(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Vec<TagPattern> {
    let mut patterns = Vec::new();
    for entry in reader.table(entry).map(reader::entries).unwrap_or_default() {
        let mut tags = Vec::new();
        for (tag, range) in reader.strings(&entry) {
            if reader.is_word(tag, range, "a tag") {
                tags.push(Tag(tag.to_owned()));
            }
        }
        match TagPattern::parse(entry.key, tags) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let help = "write schema.relation.column as in the catalog, in double quotes as one TOML key; \
                            * for any relation or any column; quote a part that holds a dot";
                reader.wrong_with_help(
                    entry.key_range,
                    format!("{:?} names no column: {error}", entry.key),
                    help,
                );
            }
        }
    }
    patterns
}

fn masks(reader: &mut Reader<'_>, entry: &Entry<'_>) -> BTreeMap<String, Mask> {
    let mut masks = BTreeMap::new();
    for entry in reader.table(entry).map(reader::entries).unwrap_or_default() {
        if reader.is_word(entry.key, entry.key_range.clone(), "a tag")
            && let Some(mask) = mask(reader, &entry)
        {
            masks.insert(entry.key.to_owned(), mask);
        }
    }
    masks
}

/// Reads a mask: a word, or a table with the word as `kind` and what else the kind has.
fn mask(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Mask> {
    let range = entry.value.span();
    let Some(table) = entry.value.get_ref().as_table() else {
        let kind = reader.string(entry)?;
        return mask_of_kind(reader, kind, range.clone(), range, Vec::new());
    };
    let entries = reader::entries(table);
    let Some(kind) = entries.iter().find(|entry| entry.key == "kind") else {
        let kinds = Mask::KINDS.join(", ");
        reader.wrong_with_help(range, "the mask has no kind", format!("add kind = \"...\", one of: {kinds}"));
        return None;
    };
    let (word, word_range) = (reader.string(kind)?, kind.value.span());
    let parameters = entries.into_iter().filter(|entry| entry.key != "kind").collect();
    mask_of_kind(reader, word, word_range, range, parameters)
}

fn mask_of_kind(
    reader: &mut Reader<'_>,
    kind: &str,
    kind_range: Range<usize>,
    range: Range<usize>,
    parameters: Vec<Entry<'_>>,
) -> Option<Mask> {
    let allowed: &[&str] = match kind {
        "null" | "redact" | "email" | "year" | "month" | "card" => &[],
        "constant" => &["value"],
        "partial" => &["keep_first", "keep_last", "fill"],
        "hash" => &["key", "digits"],
        "uuid" => &["key"],
        "round" => &["to"],
        "phone" => &["keep_last"],
        "ip" => &["v4", "v6"],
        _ => {
            reader.unknown(kind_range, "mask", kind, &Mask::KINDS);
            return None;
        }
    };
    let before = reader.problems.len();
    let mut given = Given::default();
    for entry in parameters {
        match entry.key {
            key if !allowed.contains(&key) => reader.unknown(entry.key_range.clone(), "key", key, allowed),
            "value" => given.value = reader.string(&entry).map(str::to_owned),
            "fill" => given.fill = fill(reader, &entry),
            "key" => given.key = reader.word(&entry).map(str::to_owned),
            key => {
                let (least, most) = match (kind, key) {
                    ("round", _) => (2, u64::from(u32::MAX)),
                    ("hash", _) => (4, 64),
                    ("ip", "v4") => (0, 31),
                    ("ip", _) => (0, 127),
                    ("phone", _) => (0, 4),
                    _ => (0, 1000),
                };
                if let Some(number) = reader.integer(&entry, least, most) {
                    given.numbers.insert(key.to_owned(), number);
                }
            }
        }
    }
    let spec = given.into_spec(kind);
    if spec.is_none() && reader.problems.len() == before {
        let needs = match kind {
            "constant" => "value = \"...\"",
            "round" => "to = 100",
            _ => "keep_last = 4",
        };
        reader.wrong_with_help(
            range,
            format!("mask {kind:?} says too little"),
            format!("write {{ kind = {kind:?}, {needs} }}"),
        );
    }
    if reader.problems.len() == before { spec } else { None }
}

fn fill(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<String> {
    let text = reader.string(entry)?;
    if (1..=FILL_MAX).contains(&text.chars().count()) && !text.contains(char::is_control) {
        return Some(text.to_owned());
    }
    reader.wrong(
        entry.value.span(),
        format!("fill must be 1 to {FILL_MAX} characters, none of them control characters"),
    );
    None
}

/// What stands for hidden characters in a `partial` that says nothing of it, and how long it may be.
const FILL: &str = "***";
const FILL_MAX: usize = 16;

/// Digits of a `hash` that says nothing of them: enough for millions of values.
const HASH_DIGITS: u8 = 16;

/// The parameters of a mask, as far as they were given.
#[derive(Default)]
struct Given {
    value: Option<String>,
    key: Option<String>,
    fill: Option<String>,
    numbers: BTreeMap<String, u64>,
}

impl Given {
    fn number<N: TryFrom<u64>>(&self, key: &str, default: N) -> N {
        self.numbers.get(key).and_then(|number| N::try_from(*number).ok()).unwrap_or(default)
    }

    /// Makes a mask of a known kind; `None` if something that it can't do without was not given.
    fn into_spec(self, kind: &str) -> Option<Mask> {
        Some(match kind {
            "null" => Mask::Null,
            "redact" => Mask::Redact,
            "email" => Mask::Email,
            "year" => Mask::Year,
            "month" => Mask::Month,
            "card" => Mask::Card,
            "constant" => Mask::Constant { value: self.value? },
            "hash" => {
                let digits = self.number("digits", HASH_DIGITS);
                Mask::Hash { key: self.key, digits }
            }
            "uuid" => Mask::Uuid { key: self.key },
            "round" => Mask::Round { to: NonZeroU32::new(self.number("to", 0))? },
            "phone" => Mask::Phone { keep_last: self.number("keep_last", 2) },
            "ip" => Mask::Ip { v4: self.number("v4", 24), v6: self.number("v6", 48) },
            "partial" => {
                let (keep_first, keep_last) = (self.number("keep_first", 0), self.number("keep_last", 0));
                if keep_first == 0 && keep_last == 0 {
                    return None;
                }
                Mask::Partial { keep_first, keep_last, fill: self.fill.unwrap_or_else(|| FILL.to_owned()) }
            }
            _ => return None,
        })
    }
}

const RECORDING_WORDS: &[&str] = &["off", "statements", "results"];

fn how_much(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<Recording> {
    match reader.string(field)? {
        "off" => Some(Recording::Off),
        "statements" => Some(Recording::Statements),
        "results" => Some(Recording::Results),
        word => {
            reader.unknown(field.value.span(), "recording", word, RECORDING_WORDS);
            None
        }
    }
}

fn recording(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<RecordingTable> {
    let mut table = RecordingTable::default();
    let known = &["default", "groups", "rows", "bytes", "on_failure"];
    for field in reader.table(entry).map(|table| reader.known(table, known)).unwrap_or_default() {
        match field.key {
            "default" => table.terms.kept = how_much(reader, &field)?,
            "groups" => {
                for group in reader.table(&field).map(reader::entries).into_iter().flatten() {
                    if let Some(kept) = how_much(reader, &group) {
                        table.groups.insert(group.key.to_owned(), kept);
                    }
                }
            }
            "rows" => table.terms.rows = reader.integer(&field, 0, u64::from(u32::MAX))?,
            "bytes" => table.terms.bytes = limits::bytes(reader, &field)?,
            _ => match reader.string(&field)? {
                "continue" => table.terms.must = false,
                "stop" => table.terms.must = true,
                word => {
                    reader.unknown(field.value.span(), "on_failure", word, &["continue", "stop"]);
                    return None;
                }
            },
        }
    }
    Some(table)
}

//! A bundle: what `bundle.toml` says, the rules, and the tests that they passed, as one value that never changes.
//!
//! Made from files already read. Knows no file system.

use std::collections::BTreeMap;

use model::{Identity, QualifiedName};
use sha2::{Digest, Sha256};

use crate::approvers::ApproverGroup;
use crate::cases::{self, SqlTest};
use crate::decision::RuleRef;
use crate::engine::{self, Engine, Inquiry, Supposition};
use crate::limits::Limits;
use crate::lint::Vocabulary;
use crate::manifest::{Manifest, RecordingTerms};
use crate::problem::{Problem, Source};
use crate::request::Request;
use crate::schema;
use crate::tags::{self, Tag, TagPattern};
use model::Mask;

/// A policy bundle that was loaded whole: read, checked, and tested.
pub struct Bundle {
    database: String,
    hash: [u8; 32],
    manifest: Manifest,
    schema_text: String,
    files: Files,
    engine: Engine,
    sql_tests: Vec<SqlTest>,
    resource_tests: usize,
    warnings: Vec<Problem>,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("name", &self.manifest.name)
            .field("version", &self.manifest.version)
            .field("database", &self.database)
            .field("hash", &hex::encode(self.hash))
            .finish_non_exhaustive()
    }
}

/// The files of a bundle by their paths within it.
pub(crate) type Files = BTreeMap<String, String>;

/// The name of the file that every bundle has.
pub(crate) const MANIFEST: &str = "bundle.toml";

impl Bundle {
    /// Makes a bundle of its files, or says everything that is wrong with them.
    pub(crate) fn from_files(files: &Files, database: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        if database.is_empty() || database.len() > 128 || database.chars().any(char::is_control) {
            problems.push(Problem::of(MANIFEST, format!("{database:?} can't be the name of a database")));
        }
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source { path: path.as_str().into(), text: text.as_str().into() })
            .collect();
        let manifest = match sources.iter().find(|source| &*source.path == MANIFEST) {
            Some(source) => Manifest::parse(source, &mut problems, &mut warnings),
            None => {
                let help = "a bundle needs one, with name = \"...\" and version = \"...\"";
                problems.push(Problem::of(MANIFEST, "there is no such file").help(help));
                return Err(problems);
            }
        };
        let manifest_is_whole = problems.is_empty();
        let rules: Vec<Source> =
            sources.iter().filter(|source| source.path.ends_with(".cedar")).cloned().collect();
        if rules.is_empty() {
            let help = "without rules nobody may do anything; write at least one .cedar file";
            problems.push(Problem::of("*.cedar", "there is no such file").help(help));
        }
        if let Some(source) = sources.iter().find(|source| &*source.path == MANIFEST) {
            manifest.limits.warn_of_strangers(source, &rules, &manifest.approvers, &mut warnings);
        }
        let schema_text = schema::text(&manifest.claims);
        let vocabulary = Vocabulary {
            database,
            tags: manifest.tag_words(),
            approvers: manifest.approver_words(),
            claims: manifest.claims.iter().map(String::as_str).collect(),
        };
        // rules refer to what the manifest declares: with a broken one, each would be wrong again
        let engine = if manifest_is_whole {
            engine::build(&rules, &schema_text, &vocabulary, &mut problems, &mut warnings)
        } else {
            None
        };
        let mut tests = Vec::new();
        for source in sources.iter().filter(|source| source.path.starts_with("tests/")) {
            tests.extend(cases::parse(source, &manifest, database, &mut problems));
        }
        let (Some(engine), true) = (engine, problems.is_empty()) else { return Err(problems) };
        let (resource_tests, sql_tests) = cases::partition(tests);
        let bundle = Self {
            database: database.to_owned(),
            hash: hash(files),
            manifest,
            schema_text,
            files: files.clone(),
            engine,
            sql_tests,
            resource_tests: resource_tests.len(),
            warnings,
        };
        let failures: Vec<Problem> = resource_tests.iter().flat_map(|test| test.run(&bundle)).collect();
        if failures.is_empty() { Ok(bundle) } else { Err(failures) }
    }

    /// Returns the bundle's own name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Returns the version that its authors gave it.
    pub fn version(&self) -> &str {
        &self.manifest.version
    }

    /// Returns the database that it was loaded for: the root of its names.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Returns the SHA-256 of all its files, names and contents: two bundles with one hash are one bundle.
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Returns the tags that the bundle gives a column by name, each once, in alphabetical order.
    pub fn tags(&self, relation: &QualifiedName, column: &str) -> Vec<&Tag> {
        tags::of(&self.manifest.tags, relation, column)
    }

    /// Returns `[tags]` as written, to be compared with a catalog: a pattern that matches no column is a mistake.
    pub fn tag_patterns(&self) -> &[TagPattern] {
        &self.manifest.tags
    }

    /// Returns the least revealing of the masks that tags have; `None` if none has one.
    pub fn mask_of<'t>(&self, tags: impl IntoIterator<Item = &'t str>) -> Option<&Mask> {
        tags.into_iter().filter_map(|tag| self.manifest.masks.get(tag)).min()
    }

    /// Returns the masks by tag.
    pub fn masks(&self) -> impl Iterator<Item = (&str, &Mask)> {
        self.manifest.masks.iter().map(|(tag, mask)| (tag.as_str(), mask))
    }

    /// Returns the approver groups in the order of the file.
    pub fn approvers(&self) -> &[ApproverGroup] {
        &self.manifest.approvers
    }

    /// Returns the limits that hold for an identity.
    pub fn limits(&self, identity: &Identity) -> Limits {
        self.manifest.limits.of(&identity.groups)
    }

    /// Returns whether what somebody takes in a day is limited.
    pub fn limits_days(&self) -> bool {
        self.manifest.limits.count_days()
    }

    /// Returns how sessions with these groups are recorded.
    pub fn recording(&self, groups: &std::collections::BTreeSet<String>) -> RecordingTerms {
        self.manifest.recording.of(groups)
    }

    /// Returns the claims that rules may look at.
    pub fn claims(&self) -> &[String] {
        &self.manifest.claims
    }

    /// Returns the tests that need a server to read their SQL; see [`run_sql_tests`](crate::run_sql_tests). The others were run at load.
    pub fn sql_tests(&self) -> &[SqlTest] {
        &self.sql_tests
    }

    /// Returns how many tests were run at load, all of which passed.
    pub const fn tests_passed(&self) -> usize {
        self.resource_tests
    }

    /// Returns the schema that its rules were checked against, as Cedar text.
    pub fn schema_text(&self) -> &str {
        &self.schema_text
    }

    /// Returns its files in the order of their paths: path within the bundle, and text.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Returns where a rule stands and its text, by its id; the gateway's own rules too.
    pub fn rule(&self, id: &str) -> Option<(&RuleRef, &str)> {
        self.engine.rule(id)
    }

    /// Returns what is odd about it, but no mistake for sure.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Returns whether the time can change a decision, so that one must not be kept for later.
    pub fn depends_on_time(&self) -> bool {
        self.engine.depends_on_time()
    }

    /// Asks what this identity could be allowed, whatever else a request will say.
    pub(crate) fn suppose<'a>(&'a self, identity: &model::Identity) -> Result<Supposition<'a>, String> {
        Supposition::new(&self.engine, &self.database, identity, &self.manifest.claims)
    }

    /// Digests what the rules can see of an identity.
    pub(crate) fn see(&self, identity: &model::Identity, digest: &mut Sha256) -> Result<(), String> {
        self.engine.see(&self.database, identity, &self.manifest.claims, digest)
    }

    pub(crate) fn inquire<'a>(&'a self, request: &'a Request<'a>) -> Result<Inquiry<'a, 'a>, String> {
        let tags = |relation: &QualifiedName, column: &str| -> Vec<String> {
            self.tags(relation, column).into_iter().map(|tag| tag.as_str().to_owned()).collect()
        };
        Inquiry::new(&self.engine, request, &self.manifest.claims, &tags)
    }
}

/// Digests files so that neither their order nor a shift of a byte from one to the next goes unseen.
fn hash(files: &Files) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(b"gatepost bundle 1\0");
    digest.update((files.len() as u64).to_be_bytes());
    for (path, text) in files {
        for piece in [path, text] {
            digest.update((piece.len() as u64).to_be_bytes());
            digest.update(piece.as_bytes());
        }
    }
    digest.finalize().into()
}

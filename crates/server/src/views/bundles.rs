//! The policies that decide, and those that did: versions, files, tests. Asks no database.

use audit::Time;
use journal::query::{Row, View};
use policy::{ApproverGroup, Bundle, Members};
use schemars::JsonSchema;
use serde::Serialize;

use super::observed::Version;
use super::shown;

/// A bundle that decides about a database.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PolicyInForce {
    /// The database as clients name it.
    pub database: String,
    /// The bundle's name.
    pub bundle: String,
    /// The version that it gives itself.
    pub version: String,
    /// SHA-256 of all its files, hex.
    pub hash: String,
    /// Since when it decides, RFC 3339; `None`: longer than counts go back.
    pub since: Option<String>,
    /// Whether what it refuses is refused, and not only recorded.
    pub enforced: bool,
    /// What is odd about it.
    pub warnings: usize,
    /// Why a newer one on disk is not in force, if the last that was read was refused.
    pub refused: Option<String>,
}

/// A bundle with everything in it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PolicyDetail {
    /// In short.
    pub policy: PolicyInForce,
    /// Its files.
    pub files: Vec<BundleFile>,
    /// Approver groups, as `policy explain` tells of them.
    pub approvers: Vec<ApproverView>,
    /// Limits for everybody, in words.
    pub limits: Vec<String>,
    /// Masks, by tag.
    pub masks: Vec<TagMask>,
    /// What is odd about it, with its place.
    pub warnings: Vec<String>,
    /// Tests that were run when it was loaded, all of which passed.
    pub tests_at_load: usize,
    /// Tests that ask the database; see `POST .../test`.
    pub tests_with_sql: usize,
    /// Versions that were loaded or refused, the latest first.
    pub versions: Vec<BundleVersion>,
}

/// An approver group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApproverView {
    /// As rules name it.
    pub name: String,
    /// Whose members may approve, in words: `a or b`, `a and b`.
    pub group: String,
    /// How many of them must; of `all`, of each.
    pub quorum: u32,
    /// How long a statement waits for them.
    pub hold_seconds: u64,
    /// The groups.
    pub members: MembersView,
    /// `refuse` or `hold`: what becomes of a statement within a transaction.
    pub in_transaction: &'static str,
    /// How long it waits there.
    pub hold_in_transaction_seconds: u64,
    /// An approval must say why.
    pub reason: bool,
    /// How long counting the rows may take; `None`: they aren't counted.
    pub count_rows_seconds: Option<u64>,
    /// The group that may have it run at once.
    pub break_glass: Option<String>,
    /// How long an approval may be used where nobody waits for it.
    pub use_within_seconds: u64,
}

/// Groups of identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MembersView {
    /// Members of any of them count.
    Any(Vec<String>),
    /// Each of them must approve.
    All(Vec<String>),
}

impl ApproverView {
    fn of(group: &ApproverGroup) -> Self {
        Self {
            name: group.name.clone(),
            group: group.members.to_string(),
            quorum: group.quorum,
            hold_seconds: group.hold.as_secs(),
            members: match &group.members {
                Members::Any(groups) => MembersView::Any(groups.clone()),
                Members::All(groups) => MembersView::All(groups.clone()),
            },
            in_transaction: group.in_transaction.as_str(),
            hold_in_transaction_seconds: group.hold_in_transaction.as_secs(),
            reason: group.reason,
            count_rows_seconds: group.count_rows.map(|limit| limit.as_secs()),
            break_glass: group.break_glass.clone(),
            use_within_seconds: group.use_within.as_secs(),
        }
    }
}

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BundleFile {
    /// Its path within the bundle.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The mask of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TagMask {
    /// The tag.
    pub tag: String,
    /// The mask's name.
    pub mask: String,
}

/// A bundle that was loaded, or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BundleVersion {
    /// The record's number: `/audit/{seq}`.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// The bundle's name.
    pub bundle: String,
    /// The version that it gives itself.
    pub version: String,
    /// SHA-256 of all its files, hex.
    pub hash: String,
    /// Why it was refused; `None`: it was put in force.
    pub refused: Option<String>,
}

/// What became of a bundle's tests.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PolicyTests {
    /// The version that was tested: the one in force.
    pub version: String,
    /// Its hash, hex.
    pub hash: String,
    /// Whether all of them passed.
    pub passed: bool,
    /// Tests that were run when it was loaded, all of which passed.
    pub at_load: usize,
    /// Tests that asked the database now.
    pub with_sql: usize,
    /// What failed, or why tests could not be run.
    pub failures: Vec<String>,
}

/// Shows what a record says of a bundle.
pub(super) fn version_of(row: &Row) -> BundleVersion {
    let record = row.record();
    let View { bundle, version, hash, reason, .. } = View::of(&record);
    BundleVersion {
        seq: record.seq.0,
        at: shown(record.time),
        bundle: bundle.unwrap_or_default(),
        version: version.unwrap_or_default(),
        hash: hash.unwrap_or_default(),
        refused: reason,
    }
}

impl Version {
    pub(super) fn shown(&self) -> BundleVersion {
        BundleVersion {
            seq: self.seq,
            at: shown(self.time),
            bundle: self.bundle.clone(),
            version: self.version.clone(),
            hash: self.hash.clone(),
            refused: self.refused.clone(),
        }
    }
}

/// Shows the bundle in force. `versions`: what is known of before, oldest first.
pub(crate) fn in_force<'a>(
    database: &config::Database,
    bundle: &Bundle,
    versions: impl DoubleEndedIterator<Item = &'a Version> + Clone,
) -> PolicyInForce {
    let hash = hex::encode(bundle.hash());
    let since: Option<Time> =
        versions.clone().rfind(|it| it.refused.is_none()).filter(|it| it.hash == hash).map(|it| it.time);
    let refused = versions.into_iter().next_back().and_then(|it| it.refused.clone());
    PolicyInForce {
        database: database.name.clone(),
        bundle: bundle.name().to_owned(),
        version: bundle.version().to_owned(),
        hash,
        since: since.map(shown),
        enforced: database.enforce,
        warnings: bundle.warnings().len(),
        refused,
    }
}

/// Shows everything in the bundle in force.
pub(crate) fn detail<'a>(
    database: &config::Database,
    bundle: &Bundle,
    versions: impl DoubleEndedIterator<Item = &'a Version> + Clone,
) -> PolicyDetail {
    let nobody = model::Identity {
        issuer: String::new(),
        subject: String::new(),
        name: None,
        groups: [].into(),
        attributes: [].into(),
        token_id: None,
        on_behalf_of: None,
    };
    PolicyDetail {
        policy: in_force(database, bundle, versions.clone()),
        files: bundle
            .files()
            .map(|(path, text)| BundleFile { path: path.to_owned(), text: text.to_owned() })
            .collect(),
        approvers: bundle.approvers().iter().map(ApproverView::of).collect(),
        limits: bundle.limits(&nobody).lines(),
        masks: bundle
            .masks()
            .map(|(tag, mask)| TagMask { tag: tag.to_owned(), mask: mask.kind().to_owned() })
            .collect(),
        warnings: bundle.warnings().iter().map(ToString::to_string).collect(),
        tests_at_load: bundle.tests_passed(),
        tests_with_sql: bundle.sql_tests().len(),
        versions: versions.rev().map(Version::shown).collect(),
    }
}

//! A bundle's own tests: who, doing what to what, must get which verdict.
//!
//! Two kinds of `[[test]]`: with `action` and `resource`, decided here at load; with `sql`, which a server must read first, so
//! somebody who can ask one runs them by [`run_sql_tests`]. Knows no server and no files.

mod parse;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use model::{Identity, Method};

use crate::approvers::{InTransaction, time};
use crate::bundle::Bundle;
use crate::decide::decide;
use crate::decision::{Decision, PartVerdict, Verdict};
use crate::path;
use crate::problem::{Problem, Source};
use crate::request::{Context, Request, SessionFacts, StatementFacts, Touch};
use crate::resource::Resource;

pub(crate) use parse::parse;

/// What a test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expectation {
    /// `allow`, `mask`, `hold` or `deny`. A statement is `mask` if it is allowed and a part is masked.
    verdict: String,
    /// The kind of mask, for resource tests.
    mask: Option<String>,
    /// The columns that come masked, all of them, for SQL tests.
    masked: Option<BTreeSet<String>>,
    approvers: Option<BTreeSet<String>>,
    /// How long it waits at most.
    hold: Option<Duration>,
    /// What becomes of it in an open transaction.
    in_transaction: Option<InTransaction>,
    /// Rules that must be among those that decide.
    rules: Vec<String>,
}

/// Who asks in a test, and in what session.
#[derive(Clone, Debug)]
struct Setting {
    identity: Identity,
    application_name: String,
    client_address: IpAddr,
    tls: bool,
    method: Method,
    now: SystemTime,
    approved_by: BTreeSet<String>,
    command: String,
    has_where: bool,
    row_locks: bool,
}

/// A test of either kind.
pub(crate) struct Case {
    place: Place,
    setting: Setting,
    expect: Expectation,
    subject: Subject,
}

struct Place {
    source: Source,
    range: Range<usize>,
    name: String,
}

enum Subject {
    Touches(Vec<Touch>),
    Sql(String),
}

/// A resource test: each touch on its own must get the verdict.
pub(crate) struct ResourceTest {
    place: Place,
    setting: Setting,
    expect: Expectation,
    touches: Vec<Touch>,
}

/// A test that gives SQL, which a server must read before it can be decided.
#[derive(Clone, Debug)]
pub struct SqlTest {
    name: String,
    file: String,
    line: usize,
    setting: Setting,
    expect: Expectation,
    sql: String,
}

impl SqlTest {
    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the statement.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Returns who asks.
    pub fn identity(&self) -> &Identity {
        &self.setting.identity
    }
}

/// What a server says that a statement touches.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// Everything that it touches.
    pub touches: Vec<Touch>,
    /// PostgreSQL's command tag.
    pub command: String,
    /// As [`StatementFacts::has_where`].
    pub has_where: bool,
    /// As [`StatementFacts::row_locks`].
    pub row_locks: bool,
}

/// A test that did not come out as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The file within the bundle, and the line.
    pub place: (String, usize),
    /// The test's name.
    pub test: String,
    /// What came out, against what should.
    pub message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: test {:?}: {}", self.place.0, self.place.1, self.test, self.message)
    }
}

/// Runs the tests that give SQL; `analyse` says what a statement touches, or why that can't be told (which fails the test).
pub fn run_sql_tests(
    bundle: &Bundle,
    mut analyse: impl FnMut(&SqlTest) -> Result<Analysis, String>,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    for test in bundle.sql_tests() {
        let failure = match analyse(test) {
            Ok(analysis) => {
                let mut setting = test.setting.clone();
                setting.command = analysis.command;
                setting.has_where = analysis.has_where;
                setting.row_locks = analysis.row_locks;
                let decision = setting.decide(bundle, &analysis.touches);
                let masked = masked_columns(&analysis.touches, &decision);
                test.expect.of_statement(&decision, &masked)
            }
            Err(error) => Some(format!("the statement can't be analysed: {error}")),
        };
        failures.extend(failure.map(|message| Failure {
            place: (test.file.clone(), test.line),
            test: test.name.clone(),
            message,
        }));
    }
    failures
}

fn masked_columns(touches: &[Touch], decision: &Decision) -> BTreeSet<String> {
    let masked = touches.iter().zip(&decision.parts).filter(|(_, part)| part.verdict.mask().is_some());
    masked
        .filter_map(|(touch, _)| match &touch.resource {
            Resource::Column { relation, column, .. } => {
                Some(path::join([relation.schema.as_str(), &relation.name, column]))
            }
            _ => None,
        })
        .collect()
}

impl Setting {
    fn decide(&self, bundle: &Bundle, touches: &[Touch]) -> Decision {
        let request = Request {
            identity: &self.identity,
            database: bundle.database(),
            context: Context {
                statement: StatementFacts {
                    command: &self.command,
                    has_where: self.has_where,
                    row_locks: self.row_locks,
                },
                session: SessionFacts {
                    application_name: &self.application_name,
                    client_address: self.client_address,
                    tls: self.tls,
                    method: self.method,
                },
                now: self.now,
                approved_by: &self.approved_by,
            },
            touches,
        };
        decide(bundle, &request)
    }
}

impl Expectation {
    /// Compares with the decision of a statement.
    fn of_statement(&self, decision: &Decision, masked: &BTreeSet<String>) -> Option<String> {
        let (verdict, approvers) = match &decision.verdict {
            Verdict::Allow if !masked.is_empty() => ("mask", BTreeSet::new()),
            Verdict::Hold { approvers } => {
                ("hold", approvers.iter().map(|group| group.name.clone()).collect())
            }
            Verdict::Allow | Verdict::Deny => (decision.verdict.as_str(), BTreeSet::new()),
        };
        let rules: BTreeSet<_> =
            decision.parts.iter().flat_map(|part| &part.rules).map(|rule| rule.id.clone()).collect();
        if let Some(expected) = &self.masked
            && expected != masked
        {
            return Some(format!("expected masked {}, got {}", list(expected), list(masked)));
        }
        let help = decision.parts.iter().flat_map(|part| &part.help).map(ToString::to_string).collect();
        self.compare(verdict, None, &approvers, &rules, help).or_else(|| self.of_terms(&decision.verdict))
    }

    /// Compares with the decision of one touch.
    fn of_touch(&self, decision: &Decision) -> Option<String> {
        let Some(part) = decision.parts.first() else { return Some("nothing was decided".to_owned()) };
        let approvers = match &part.verdict {
            PartVerdict::Hold { approvers, .. } => approvers.iter().cloned().collect(),
            PartVerdict::Allow | PartVerdict::Mask(_) | PartVerdict::Deny => BTreeSet::new(),
        };
        let mask = part.verdict.mask().map(|mask| mask.kind());
        let rules = part.rules.iter().map(|rule| rule.id.clone()).collect();
        let help = part.help.iter().map(ToString::to_string).collect();
        self.compare(part.verdict.as_str(), mask, &approvers, &rules, help)
            .or_else(|| self.of_terms(&decision.verdict))
    }

    /// Compares with the terms that it is held on: of several groups, the strictest.
    fn of_terms(&self, verdict: &Verdict) -> Option<String> {
        let Verdict::Hold { approvers } = verdict else { return None };
        let hold = approvers.iter().map(|group| group.hold).min();
        if let (Some(expected), Some(hold)) = (self.hold, hold)
            && expected != hold
        {
            return Some(format!("expected hold {}, got {}", time(expected), time(hold)));
        }
        let refused = approvers.iter().any(|group| group.in_transaction == InTransaction::Refuse);
        let got = if refused { InTransaction::Refuse } else { InTransaction::Hold };
        let expected = self.in_transaction.filter(|expected| *expected != got)?;
        Some(format!("expected in_transaction {}, got {}", expected.as_str(), got.as_str()))
    }

    fn compare(
        &self,
        verdict: &str,
        mask: Option<&str>,
        approvers: &BTreeSet<String>,
        rules: &BTreeSet<String>,
        help: BTreeSet<String>,
    ) -> Option<String> {
        let by = if rules.is_empty() { String::new() } else { format!(" by {}", list(rules)) };
        let why = if help.is_empty() { String::new() } else { format!(" ({})", list(&help)) };
        if self.verdict != verdict {
            return Some(format!("expected {}, got {verdict}{by}{why}", self.verdict));
        }
        if let Some(expected) = &self.mask
            && mask != Some(expected)
        {
            return Some(format!("expected mask {expected}, got {}", mask.unwrap_or("none")));
        }
        if let Some(expected) = &self.approvers
            && expected != approvers
        {
            return Some(format!("expected approvers {}, got {}", list(expected), list(approvers)));
        }
        let missing = self.rules.iter().find(|rule| !rules.contains(*rule))?;
        Some(format!("expected rule {missing:?} to decide, got {verdict}{by}"))
    }
}

fn list(words: &BTreeSet<String>) -> String {
    if words.is_empty() { "none".to_owned() } else { words.iter().cloned().collect::<Vec<_>>().join(", ") }
}

impl ResourceTest {
    /// Runs it; one problem for each touch that came out otherwise.
    pub(crate) fn run(&self, bundle: &Bundle) -> Vec<Problem> {
        let mut problems = Vec::new();
        for touch in &self.touches {
            let decision = self.setting.decide(bundle, std::slice::from_ref(touch));
            if let Some(message) = self.expect.of_touch(&decision) {
                let reference = crate::decide::reference(&touch.resource, bundle.database());
                let message =
                    format!("test {:?} failed: {} on {reference}: {message}", self.place.name, touch.action);
                problems.push(Problem::at(&self.place.source, self.place.range.clone(), message));
            }
        }
        problems
    }
}

/// Sorts tests by kind.
pub(crate) fn partition(cases: Vec<Case>) -> (Vec<ResourceTest>, Vec<SqlTest>) {
    let mut resource_tests = Vec::new();
    let mut sql_tests = Vec::new();
    for Case { place, setting, expect, subject } in cases {
        match subject {
            Subject::Touches(touches) => {
                resource_tests.push(ResourceTest { place, setting, expect, touches })
            }
            Subject::Sql(sql) => {
                let before = place.source.text.get(..place.range.start).unwrap_or_default();
                sql_tests.push(SqlTest {
                    name: place.name,
                    file: place.source.path.to_string(),
                    line: before.matches('\n').count() + 1,
                    setting,
                    expect,
                    sql,
                });
            }
        }
    }
    (resource_tests, sql_tests)
}

//! Journals with something of everything in them, and what reading all of them finds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use audit::{
    Completion, Decision, Durability, Event, Fragment, IdentityForm, Outcome, Protocol, Refusal,
    SessionStarted, Statement, Touch, Verdict,
};
use index::{Asked, Found, Index, Step, Writer};
use journal::query::{Filter, Row, View};
use journal::search::{Budget, From, Measure, Search};
use journal::{Journal, Options};
use model::{ClientAddr, Identity, Party, SessionId};

pub(crate) const RELATIONS: [&str; 4] = ["public.customers", "public.orders", "sales.orders", "hr.people"];

/// A folder with a journal and its index.
pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    journal: Option<Journal>,
    /// Statements that were written.
    pub(crate) written: u64,
}

pub(crate) fn at(n: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_millis(n * 7)
}

fn people() -> Vec<(SessionId, Identity)> {
    let person = |n: u64| {
        let identity = Identity {
            issuer: "corp".into(),
            subject: format!("agent-{n}"),
            name: None,
            groups: [format!("team-{}", n % 3), "everybody".to_owned()].into(),
            attributes: [].into(),
            token_id: None,
            on_behalf_of: (n == 2).then(|| Party { issuer: "crm".into(), subject: "ada".into() }),
        };
        (SessionId(0x1000 + u128::from(n)), identity)
    };
    (0..7).map(person).collect()
}

impl Scene {
    pub(crate) fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap(), journal: None, written: 0 };
        std::fs::create_dir(scene.dir()).unwrap();
        scene
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("index.db")
    }

    pub(crate) fn index(&self) -> Index {
        Index::new(self.path(), self.dir())
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer::open(&self.path(), &self.dir()).unwrap()
    }

    /// Closes the journal: a gateway ended.
    pub(crate) fn stop(&mut self) {
        if let Some(journal) = self.journal.take() {
            journal.close().unwrap();
        }
    }

    /// Appends statements, most of which end a little later.
    pub(crate) fn fill(&mut self, statements: u64) {
        let journal = self.journal.take().unwrap_or_else(|| {
            let options = Options { segment_bytes_max: 300_000, ..Options::new(self.dir()) };
            let (journal, _) = Journal::open(options, Box::new(|_| {})).unwrap();
            journal
                .append(&Event::GatewayStarted { version: "1", config_hash: "" }, at(self.written))
                .unwrap();
            people().iter().for_each(|(session, identity)| start(&journal, *session, identity, self.written));
            journal
        });
        let people: Vec<(SessionId, Fragment)> =
            people().iter().map(|(session, identity)| (*session, IdentityForm(identity).render())).collect();
        for n in self.written + 1..=self.written + statements {
            statement(&journal, &people, n);
            // Some end at once, some much later, some never.
            let ended =
                if n % 3 == 0 { Some(n) } else { n.checked_sub(40).filter(|n| n % 3 == 1 && n % 13 != 0) };
            if let Some(ended) = ended.filter(|ended| *ended > 0 && !is_refused(*ended)) {
                outcome(&journal, people[usize::try_from(ended % 7).unwrap()].0, ended, n);
            }
            if n % 50 == 0 {
                journal.write().unwrap();
            }
        }
        self.written += statements;
        journal.write().unwrap();
        self.journal = Some(journal);
    }

    /// Everything that there is, each statement with its outcome.
    pub(crate) fn all(&self) -> Vec<Row> {
        let (mut rows, mut running) = (Vec::new(), HashMap::new());
        let mut reader = journal::reader::open(&self.dir()).unwrap();
        while let Some(record) = reader.read().unwrap() {
            let view = View::of(&record);
            let key = (view.session(), view.statement);
            if view.is_outcome() {
                let row: Option<&mut Row> = running.remove(&key).and_then(|at: usize| rows.get_mut(at));
                // That of a statement of a gateway that has gone is nobody's.
                if let Some(row) = row {
                    row.join(&record);
                }
                continue;
            }
            if view.is("gateway_started") {
                running.clear();
            } else if view.awaits_outcome() {
                running.insert(key, rows.len());
            }
            rows.push(Row::of(&record, &view));
        }
        rows
    }
}

fn start(journal: &Journal, session: SessionId, identity: &Identity, n: u64) {
    let event = Event::SessionStarted(SessionStarted {
        session,
        client: ClientAddr("127.0.0.1:5000".parse().unwrap()),
        identity,
        method: "token",
        user: "agent",
        database: "shop",
        application_name: "psql",
        backend_pid: 7,
        bundle: "shop",
        bundle_version: "1",
        bundle_hash: "",
        expires_at: None,
        prior_actors: &[],
    });
    journal.append(&event, at(n)).unwrap();
}

fn is_refused(n: u64) -> bool {
    n.is_multiple_of(11)
}

fn statement(journal: &Journal, people: &[(SessionId, Fragment)], n: u64) {
    let (session, identity) = &people[usize::try_from(n % 7).unwrap()];
    let relation = RELATIONS[usize::try_from(n / 3 % 4).unwrap()];
    let columns = if n.is_multiple_of(5) { vec!["id", "email"] } else { vec!["id"] };
    let touches = vec![Touch {
        action: "select",
        kind: "relation",
        name: relation,
        columns,
        facts: audit::TouchFacts::default(),
    }];
    let rules = vec![if n.is_multiple_of(2) { "reads" } else { "more-reads" }];
    let decision = Decision { kind: "select", touches, rules, ..Decision::default() }.render();
    let text = match n {
        _ if n.is_multiple_of(97) => format!("SELECT id FROM {relation} WHERE note = 'Größe {n} ΣΑΣ'"),
        _ if n.is_multiple_of(4) => format!("SELECT id FROM {relation}"),
        _ => format!("SELECT id FROM {relation} WHERE id = {n}"),
    };
    let refused = is_refused(n);
    let event = Event::Statement(Statement {
        session: *session,
        statement: n,
        identity,
        client: ClientAddr("127.0.0.1:5000".parse().unwrap()),
        application_name: "psql",
        database: if n.is_multiple_of(9) { "crm" } else { "shop" },
        protocol: Protocol::Extended,
        text: &text,
        parameters: &[],
        decision: &decision,
        verdict: match n % 4 {
            _ if refused => Verdict::Deny,
            0 => Verdict::Mask,
            _ => Verdict::Allow,
        },
        refusal: refused.then_some(Refusal { sqlstate: "42501", message: "permission denied" }),
        durability: Durability::Written,
        approval: n.is_multiple_of(101).then_some(n),
    });
    journal.append(&event, at(n)).unwrap();
}

fn outcome(journal: &Journal, session: SessionId, n: u64, now: u64) {
    let failed = n.is_multiple_of(17);
    let event = Event::Outcome(Outcome {
        session,
        statement: n,
        completion: if failed { Completion::Failed("42P01") } else { Completion::Completed("SELECT 1") },
        rows: n % 100,
        bytes: n,
        duration: Duration::from_micros(n % 1000),
    });
    journal.append(&event, at(now)).unwrap();
}

/// Reads the journal to its end and writes all of it.
pub(crate) fn catch_up(writer: &mut Writer) {
    while writer.step().unwrap() == Step::More {}
    writer.commit().unwrap();
}

pub(crate) fn budget() -> Budget {
    Budget { until: Instant::now() + Duration::from_secs(600), bytes: u64::MAX }
}

/// One question of each kind, and some together.
pub(crate) fn questions() -> Vec<(&'static str, Asked)> {
    let some = |text: &str| Some(text.to_owned());
    let filter =
        |filter: Filter| Asked { search: Search { filter, ..Search::default() }, ..Asked::default() };
    let search = |search: Search| Asked { search, ..Asked::default() };
    let none = Filter::default;
    let time = |n| Some(audit::Time::from(at(n)));
    vec![
        ("everything", Asked::default()),
        ("an identity", filter(Filter { identity: some("corp:agent-3"), ..none() })),
        ("a subject", filter(Filter { identity: some("agent-3"), ..none() })),
        ("nobody", filter(Filter { identity: some("agent-33"), ..none() })),
        ("on behalf of", filter(Filter { on_behalf_of: some("ada"), ..none() })),
        ("a database", filter(Filter { database: some("crm"), ..none() })),
        ("a relation", filter(Filter { relation: some("sales.orders"), ..none() })),
        ("a relation by its name alone", filter(Filter { relation: some("orders"), ..none() })),
        ("a verdict", filter(Filter { verdict: some("deny"), ..none() })),
        ("a session", filter(Filter { session: Some(SessionId(0x1002)), ..none() })),
        ("an event", filter(Filter { event: some("session_started"), ..none() })),
        ("a time", filter(Filter { since: time(60), until: time(150), ..none() })),
        ("a text", filter(Filter { text: some("= 12"), ..none() })),
        ("a text in other letters", filter(Filter { text: some("GRÖSSE"), ..none() })),
        ("a text in other cases", filter(Filter { text: some("gRöße 9"), ..none() })),
        ("a text that is short", filter(Filter { text: some("7"), ..none() })),
        ("a text that is nowhere", filter(Filter { text: some("drop table"), ..none() })),
        ("a group", search(Search { group: some("team-1"), ..Search::default() })),
        ("a column", search(Search { column: some("orders.email"), ..Search::default() })),
        ("a rule", search(Search { rule: some("more-reads"), ..Search::default() })),
        ("an approval", search(Search { approval: Some(101), ..Search::default() })),
        ("what a client was told", search(Search { sqlstate: some("42501"), ..Search::default() })),
        ("what the server said", search(Search { sqlstate: some("42P01"), ..Search::default() })),
        (
            "rows",
            search(Search {
                measure: Measure { rows_min: Some(97), ..Measure::default() },
                ..Search::default()
            }),
        ),
        (
            "few rows",
            search(Search {
                measure: Measure { rows_max: Some(1), ..Measure::default() },
                ..Search::default()
            }),
        ),
        (
            "a duration",
            search(Search {
                measure: Measure {
                    duration_us_min: Some(95),
                    duration_us_max: Some(99),
                    ..Measure::default()
                },
                ..Search::default()
            }),
        ),
        (
            "several things",
            Asked {
                search: Search {
                    filter: Filter {
                        identity: some("agent-3"),
                        relation: some("orders"),
                        text: some("where"),
                        ..none()
                    },
                    group: some("everybody"),
                    ..Search::default()
                },
                fingerprint: None,
            },
        ),
        (
            "a fingerprint",
            Asked {
                search: Search::default(),
                fingerprint: Some(index::Fingerprint::of("SELECT id FROM hr.people WHERE id = 5")),
            },
        ),
    ]
}

/// Asks for page after page, and returns the numbers of what was found.
pub(crate) fn pages(index: &Index, asked: &Asked, limit: usize) -> Result<Vec<u64>, index::IndexError> {
    let (mut found, mut from) = (Vec::new(), From::End);
    loop {
        let Found { rows, next, unreadable, .. } = index.search(asked, from, limit, budget())?;
        assert!(unreadable.is_empty(), "{unreadable:?}");
        found.extend(rows.iter().map(|row| row.record().seq.0));
        match next {
            Some(next) => from = From::Before(next),
            None => return Ok(found),
        }
    }
}

/// Compares every answer with what reading everything finds.
pub(crate) fn check(scene: &Scene, limit: usize) {
    let all = scene.all();
    let index = scene.index();
    for (what, asked) in questions() {
        let wanted: Vec<u64> =
            all.iter().rev().filter(|row| asked.admits(row)).map(|row| row.record().seq.0).collect();
        assert_eq!(pages(&index, &asked, limit).unwrap(), wanted, "{what}");
    }
}

/// The same for a few questions, of a large journal.
pub(crate) fn check_some(scene: &Scene) {
    let all = scene.all();
    let some = [
        "nobody",
        "a text",
        "a text in other letters",
        "what the server said",
        "a duration",
        "several things",
    ];
    for (what, asked) in questions().into_iter().filter(|(what, _)| some.contains(what)) {
        let wanted: Vec<u64> =
            all.iter().rev().filter(|row| asked.admits(row)).map(|row| row.record().seq.0).collect();
        assert_eq!(pages(&scene.index(), &asked, usize::MAX).unwrap(), wanted, "{what}");
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}

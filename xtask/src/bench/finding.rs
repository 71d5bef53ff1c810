//! How long finding records among ten million statements takes. Makes a journal of its own, in a temporary folder.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use audit::{
    Completion, Decision, Durability, Event, Fragment, IdentityForm, Outcome, Protocol, Refusal,
    SessionStarted, Statement, Touch, TouchFacts, Verdict,
};
use index::{Asked, Fingerprint, Index, SessionSearch, Step, Writer};
use journal::query::Filter;
use journal::search::{Budget, From, Measure, Search};
use journal::{Journal, Options};
use model::{ClientAddr, Identity, SessionId};

pub(super) const HEADING: &str = "## Finding records";

/// Statements of one session.
const OF_SESSION: u64 = 500;
const AGENTS: u64 = 400;
const RELATIONS: u64 = 300;
/// How often each question is asked.
const ROUNDS: usize = 5;

/// Makes the journal and its index, asks, and returns the section of the report.
pub(super) fn section(statements: u64) -> String {
    let folder = testkit::scratch::Scratch::new("finding");
    let (dir, path) = (folder.path().join("journal"), folder.path().join("index.db"));
    std::fs::create_dir(&dir).expect("the journal's folder");
    eprintln!("bench: making a journal of {statements} statements");
    fill(&dir, statements);
    let began = Instant::now();
    let mut writer = Writer::open(&path, &dir).expect("an index");
    while writer.step().expect("the index") == Step::More {}
    writer.commit().expect("the index");
    let took = began.elapsed();
    drop(writer);
    let records = Index::new(&path, &dir).status().expect("the index").next.0 - 1;
    let (of_journal, of_index) = (bytes(&dir), bytes(&path));
    let mut out = format!(
        "{HEADING}\n\n`cargo xtask bench index`, {}: {statements} statements with their outcomes, {records} records, {} MiB of journal; {} sessions of {AGENTS} agents, {RELATIONS} relations; \
         a third of the texts differ in a number. The index is made in {:.0} s ({:.0} records a second, one thread) and has {} MiB. Each question is asked {ROUNDS} times, for the newest 50 unless it says otherwise; every \
         row that is found is read from the journal and compared. The first time nothing of the index is in SQLite's cache; the operating system may have it.\n\n\
         | question | rows | first, ms | median, ms |\n|---|---|---|---|\n",
        if cfg!(debug_assertions) { "an unoptimised build" } else { "a release build" },
        of_journal >> 20,
        statements / OF_SESSION,
        took.as_secs_f64(),
        (records as f64) / took.as_secs_f64(),
        of_index >> 20,
    );
    let index = Index::new(&path, &dir);
    for (what, asked, limit) in questions(statements) {
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let began = Instant::now();
            found = index.search(&asked, From::End, limit, budget()).expect("an answer").rows.len();
            times.push(began.elapsed());
        }
        line(&mut out, what, found, times);
    }
    let of_agent = SessionSearch { identity: Some("corp:agent-7".to_owned()), ..SessionSearch::default() };
    let failed = SessionSearch { errors_min: Some(30), ..SessionSearch::default() };
    let needle =
        Asked { search: search(Filter { text: some("needle"), ..Filter::default() }), fingerprint: None };
    for (what, wanted, asked) in [
        ("sessions of an identity", &of_agent, None),
        ("sessions with many errors", &failed, None),
        ("sessions with a rare text", &SessionSearch::default(), Some(&needle)),
    ] {
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let began = Instant::now();
            found = index.sessions(wanted, asked, 50, budget()).expect("an answer").0.len();
            times.push(began.elapsed());
        }
        line(&mut out, what, found, times);
    }
    out
}

fn line(out: &mut String, what: &str, found: usize, mut times: Vec<Duration>) {
    let first = times[0];
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    writeln!(out, "| {what} | {found} | {:.1} | {:.1} |", ms(first), ms(times[times.len() / 2]))
        .expect("a line");
}

fn budget() -> Budget {
    Budget { until: Instant::now() + Duration::from_secs(600), bytes: u64::MAX }
}

fn bytes(path: &Path) -> u64 {
    let of = |path: &Path| path.metadata().map_or(0, |it| it.len());
    match std::fs::read_dir(path) {
        Ok(files) => files.flatten().map(|file| of(&file.path())).sum(),
        Err(_) => of(path),
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn search(filter: Filter) -> Search {
    Search { filter, ..Search::default() }
}

fn questions(statements: u64) -> Vec<(&'static str, Asked, usize)> {
    let plain = |search: Search| Asked { search, fingerprint: None };
    let of = |filter: Filter| plain(search(filter));
    let none = Filter::default;
    let middle = |n: u64| Some(audit::Time::from(at(n)));
    let half = statements / 2;
    vec![
        ("the newest", Asked::default(), 50),
        ("an identity", of(Filter { identity: some("corp:agent-7"), ..none() }), 50),
        ("an identity that nobody is", of(Filter { identity: some("nobody"), ..none() }), 50),
        (
            "a group, refused",
            plain(Search { group: some("team-3"), ..search(Filter { verdict: some("deny"), ..none() }) }),
            50,
        ),
        ("a relation", of(Filter { relation: some("app.table_7"), ..none() }), 50),
        ("a relation that is seldom touched", of(Filter { relation: some("app.rare"), ..none() }), 50),
        (
            "an identity and a column",
            plain(Search {
                column: some("table_7.email"),
                ..search(Filter { identity: some("agent-7"), ..none() })
            }),
            50,
        ),
        ("an SQLSTATE of the server", plain(Search { sqlstate: some("42P01"), ..Search::default() }), 50),
        ("an SQLSTATE that never was", plain(Search { sqlstate: some("XX000"), ..Search::default() }), 50),
        (
            "a rule and a database",
            plain(Search { rule: some("rule-5"), ..search(Filter { database: some("crm"), ..none() }) }),
            50,
        ),
        (
            "many rows",
            plain(Search {
                measure: Measure { rows_min: Some(90_000), ..Measure::default() },
                ..Search::default()
            }),
            50,
        ),
        (
            "slow, of an identity",
            plain(Search {
                measure: Measure { duration_us_min: Some(900_000), ..Measure::default() },
                ..search(Filter { identity: some("agent-7"), ..none() })
            }),
            50,
        ),
        (
            "an hour in the middle, refused",
            of(Filter { since: middle(half), until: middle(half + 36_000), verdict: some("deny"), ..none() }),
            50,
        ),
        ("a session, all of it", of(Filter { session: Some(session(half)), ..none() }), 10_000),
        ("a rare text", of(Filter { text: some("needle"), ..none() }), 50),
        ("a text that is nowhere", of(Filter { text: some("drop table students"), ..none() }), 50),
        ("a number in a text", of(Filter { text: Some(format!("= {}", half - half % 3)), ..none() }), 50),
        (
            "a fingerprint, of an identity",
            Asked {
                search: search(Filter { identity: some("agent-7"), ..none() }),
                fingerprint: Some(Fingerprint::of(&text(3))),
            },
            50,
        ),
        ("1,000 refusals", of(Filter { verdict: some("deny"), ..none() }), 1000),
    ]
}

fn at(n: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_millis(n * 100)
}

fn session(n: u64) -> SessionId {
    // Forty sessions at a time.
    SessionId(0x5e55_0000_0000_u128 + u128::from(n / (OF_SESSION * 40) * 40 + n % 40))
}

fn text(n: u64) -> String {
    let table = n % RELATIONS;
    if n.is_multiple_of(1_000_003) {
        return format!("SELECT id FROM app.table_{table} WHERE note = 'needle {n}'");
    }
    if n.is_multiple_of(3) {
        return format!(
            "SELECT id, email, total FROM app.table_{table} WHERE customer_id = {n} AND total > 10 ORDER BY placed_at DESC LIMIT 20"
        );
    }
    format!(
        "SELECT id, email, total FROM app.table_{table} WHERE customer_id = $1 AND total > $2 ORDER BY placed_at DESC LIMIT 20"
    )
}

fn fill(dir: &Path, statements: u64) {
    let (journal, _) = Journal::open(Options::new(dir), Box::new(|_| {})).expect("a journal");
    let people: Vec<Identity> = (0..AGENTS).map(identity).collect();
    let forms: Vec<Fragment> = people.iter().map(|it| IdentityForm(it).render()).collect();
    let decisions: Vec<Fragment> = (0..=RELATIONS).map(decision).collect();
    for n in 0..statements {
        let id = session(n);
        let agent = (id.0 % u128::from(AGENTS)) as usize;
        if n % (OF_SESSION * 40) < 40 {
            begin(&journal, id, &people[agent], n);
        }
        let refused = n % 97 == 3;
        let shape = if n % 500_009 == 7 { RELATIONS } else { n % RELATIONS };
        let event = Event::Statement(Statement {
            session: id,
            statement: n,
            identity: &forms[agent],
            client: ClientAddr("127.0.0.1:5000".parse().expect("an address")),
            application_name: "agent",
            database: if n.is_multiple_of(7) { "crm" } else { "shop" },
            protocol: Protocol::Extended,
            text: &text(n),
            parameters: &[],
            decision: &decisions[shape as usize],
            verdict: if refused { Verdict::Deny } else { Verdict::Allow },
            refusal: refused.then_some(Refusal { sqlstate: "42501", message: "permission denied" }),
            durability: Durability::Written,
            approval: None,
        });
        journal.append(&event, at(n)).expect("a record");
        if !refused {
            let failed = n % 5003 == 1;
            let event = Event::Outcome(Outcome {
                session: id,
                statement: n,
                completion: if failed {
                    Completion::Failed("42P01")
                } else {
                    Completion::Completed("SELECT 20")
                },
                rows: if n % 200_003 == 5 { 95_000 } else { n % 100 },
                bytes: 900,
                duration: Duration::from_micros(if n % 20_011 == 5 { 950_000 } else { 300 + n % 4000 }),
            });
            journal.append(&event, at(n)).expect("a record");
        }
        if n.is_multiple_of(1000) {
            journal.write().expect("the journal");
        }
    }
    journal.close().expect("the journal");
}

fn begin(journal: &Journal, session: SessionId, identity: &Identity, n: u64) {
    let event = Event::SessionStarted(SessionStarted {
        session,
        client: ClientAddr("127.0.0.1:5000".parse().expect("an address")),
        identity,
        method: "token",
        user: "agent",
        database: "shop",
        application_name: "agent",
        backend_pid: 7,
        bundle: "shop",
        bundle_version: "1",
        bundle_hash: "",
        expires_at: None,
        prior_actors: &[],
    });
    journal.append(&event, at(n)).expect("a record");
}

fn decision(n: u64) -> Fragment {
    let name = if n == RELATIONS { "app.rare".to_owned() } else { format!("app.table_{n}") };
    let columns = |columns: &[&'static str]| columns.to_vec();
    let touch = |action, columns| Touch {
        action,
        kind: "relation",
        name: &name,
        columns,
        facts: TouchFacts::default(),
    };
    let touches = vec![
        touch("select", columns(&["id", "email", "total"])),
        touch("filter", columns(&["customer_id", "total", "placed_at"])),
    ];
    let rule = format!("rule-{}", n % 40);
    Decision { kind: "SELECT", touches, rules: vec!["gatepost:session", &rule], ..Decision::default() }
        .render()
}

fn identity(n: u64) -> Identity {
    Identity {
        issuer: "corp".into(),
        subject: format!("agent-{n}"),
        name: None,
        groups: [format!("team-{}", n % 20), "agents".to_owned()].into(),
        attributes: [].into(),
        token_id: None,
        on_behalf_of: None,
    }
}

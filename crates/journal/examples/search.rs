//! Says how long looks into a large journal take: `cargo run -p journal --example search -- 1000000`.
//!
//! Makes the journal in a temporary folder: half as many statements as records, and their outcomes, of 200 sessions and 50 agents.

#![expect(clippy::print_stdout, reason = "it is what it is for")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::{
    Completion, Decision, Durability, Event, Fragment, IdentityForm, Outcome, Protocol, Refusal, Seq,
    Statement, Time, Touch, Verdict,
};
use journal::query::Filter;
use journal::search::{Budget, Follower, From, Index, Search};
use journal::{Journal, Options};
use model::{ClientAddr, Identity, SessionId};

const SESSIONS: u64 = 200;
const AGENTS: u64 = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let records: u64 = std::env::args().nth(1).unwrap_or_else(|| "1000000".to_owned()).parse()?;
    let dir = tempfile::tempdir()?;
    let began = Instant::now();
    fill(dir.path(), records / 2)?;
    let bytes: u64 =
        std::fs::read_dir(dir.path())?.filter_map(|it| it.ok()?.metadata().ok()).map(|it| it.len()).sum();
    println!("made in {:?}: {records} records, {} MiB", began.elapsed(), bytes >> 20);

    let index = Index::new(dir.path());
    let (took, found) = pages(&index, &Search::default(), 50)?;
    println!("newest page, nothing known yet: {took:?} ({found} rows)");
    let (took, found) = pages(&index, &Search::default(), 50)?;
    println!("newest page: {took:?} ({found} rows)");

    let index = Arc::new(Index::new(dir.path()));
    let began = Instant::now();
    let mut follower = Follower::new(index.clone(), Time(0), u64::MAX)?;
    while follower.read(|_, _| {})? {}
    println!("reading all of it once, as a gateway does at its start: {:?}", began.elapsed());
    let rare = Filter { relation: Some("public.rare".to_owned()), ..Filter::default() };
    let session = Filter { session: Some(SessionId(7)), ..Filter::default() };
    let agent = Filter { identity: Some("agent-7".to_owned()), ..Filter::default() };
    let denied = Filter { verdict: Some("deny".to_owned()), ..Filter::default() };
    let nobody = Filter { identity: Some("nobody".to_owned()), ..Filter::default() };
    let text = Filter { text: Some("needle".to_owned()), ..Filter::default() };
    for (what, filter, limit) in [
        ("newest page", Filter::default(), 50),
        ("a filter that one record in 100000 passes, all of them", rare, usize::MAX),
        ("a session's newest 50 records", session.clone(), 50),
        ("a session's records, all of them", session, usize::MAX),
        ("an identity's newest 50", agent, 50),
        ("refusals' newest 50", denied, 50),
        ("an identity that nobody is", nobody, 50),
        ("a text, to the journal's end", text, usize::MAX),
    ] {
        let (took, found) = pages(&index, &Search { filter, ..Search::default() }, limit)?;
        println!("{what}: {took:?} ({found} rows)");
    }
    let began = Instant::now();
    let budget = Budget { until: began + Duration::from_secs(60), bytes: u64::MAX };
    let one = index.record(Seq(records / 3), budget)?;
    println!("one record by its number: {:?} ({})", began.elapsed(), one.is_some());
    Ok(())
}

/// Asks for pages until there are `limit` rows, or no more.
fn pages(index: &Index, search: &Search, limit: usize) -> Result<(Duration, usize), Box<dyn Error>> {
    let (began, mut found, mut from) = (Instant::now(), 0, From::End);
    loop {
        let budget = Budget { until: Instant::now() + Duration::from_secs(60), bytes: u64::MAX };
        let page = index.search(search, from, limit.min(500), budget)?;
        found += page.rows.len();
        match page.next {
            Some(next) if found < limit => from = From::Before(next),
            _ => return Ok((began.elapsed(), found)),
        }
    }
}

fn fill(dir: &std::path::Path, statements: u64) -> Result<(), Box<dyn Error>> {
    let (journal, _) = Journal::open(Options::new(dir), Box::new(|_| {}))?;
    let people: Vec<Fragment> = (0..AGENTS).map(|n| IdentityForm(&identity(n)).render()).collect();
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for n in 0..statements {
        let session = SessionId(u128::from(n % SESSIONS));
        let (refused, rare) = (n % 40 == 3, n % 50_000 == 7);
        let name = if rare { "public.rare" } else { "public.orders" };
        let columns = vec!["id", "customer_id", "total", "placed_at"];
        let touches = vec![Touch {
            action: "select",
            kind: "relation",
            name,
            columns,
            facts: audit::TouchFacts::default(),
        }];
        let decision =
            Decision { kind: "select", touches, rules: vec!["support-reads"], ..Decision::default() };
        let decision = decision.render();
        let text = format!(
            "SELECT id, customer_id, total, placed_at FROM orders WHERE customer_id = {n} AND total > 10 ORDER BY placed_at DESC LIMIT 20{}",
            if n % 100_000 == 9 { " -- needle" } else { "" }
        );
        let at = start + Duration::from_millis(n * 10);
        let event = Event::Statement(Statement {
            session,
            statement: n / SESSIONS + 1,
            identity: people.get(usize::try_from(n % AGENTS)?).ok_or("nobody")?,
            client: ClientAddr("127.0.0.1:5000".parse()?),
            application_name: "psql",
            database: "shop",
            protocol: Protocol::Extended,
            text: &text,
            parameters: &[],
            decision: &decision,
            verdict: if refused { Verdict::Deny } else { Verdict::Allow },
            refusal: refused.then_some(Refusal { sqlstate: "42501", message: "permission denied" }),
            durability: Durability::Written,
            approval: None,
        });
        journal.append(&event, at)?;
        if !refused {
            let event = Event::Outcome(Outcome {
                session,
                statement: n / SESSIONS + 1,
                completion: Completion::Completed("SELECT 20"),
                rows: 20,
                bytes: 900,
                duration: Duration::from_micros(800),
            });
            journal.append(&event, at)?;
        }
        if n % 500 == 0 {
            journal.write()?;
        }
    }
    journal.close()?;
    Ok(())
}

fn identity(n: u64) -> Identity {
    Identity {
        issuer: "corp".into(),
        subject: format!("agent-{n}"),
        name: None,
        groups: ["support-agents".to_owned()].into(),
        attributes: [].into(),
        token_id: None,
        on_behalf_of: None,
    }
}

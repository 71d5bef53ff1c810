//! The desk over a real store and a real journal, with several of it where there are several gateways.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use approval::{
    Act, Answer, Ask, Binding, BundleRef, Ended, Group, Members, Number, Refused, Review, Stamp, State,
    Statement, Wait, Who,
};
use config::{IssuerGroup, Operators};
use serde_json::Value;
use store::{Location, Password, Postgres, RequestFilter, Tls};
use testkit::postgres::{Cluster, Options, Version};
use testkit::scratch::Scratch;

use super::*;

/// How long something may take that has no reason to take long.
const SOON: Duration = Duration::from_secs(20);

struct Office {
    home: Scratch,
    desk: Arc<Desk>,
    operators: Operators,
}

fn journal(at: &Path) -> Arc<Journal> {
    let (journal, _) = Journal::open(journal::Options::new(at), Box::new(|_| {})).unwrap();
    Arc::new(journal)
}

async fn desk(home: &Path, name: &str) -> Arc<Desk> {
    let store = Store::open(Location::Sqlite(home.join("store.sqlite"))).await.unwrap();
    desk_over(store, home, name)
}

fn desk_over(store: Store, home: &Path, name: &str) -> Arc<Desk> {
    desk_in(store, home, name, &format!("state-{name}"))
}

fn desk_in(store: Store, home: &Path, name: &str, state: &str) -> Arc<Desk> {
    let state = home.join(state);
    std::fs::create_dir_all(&state).unwrap();
    let journal = journal(&home.join(format!("journal-{name}")));
    let desk = Desk::new(store, journal, (name.to_owned(), state), Box::new(|_, _| {}));
    tokio::spawn(desk.clone().keep());
    desk
}

impl Office {
    async fn open() -> Self {
        let home = Scratch::new("desk");
        let desk = desk(home.path(), "one").await;
        let group = |group: &str| IssuerGroup { issuer: "corp".to_owned(), group: group.to_owned() };
        let operators = Operators {
            approver: vec![group("approvers")],
            operator: vec![group("ops")],
            ..Operators::default()
        };
        Self { home, desk, operators }
    }

    fn path(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    async fn act_at(&self, desk: &Desk, number: Number, who: &Who, act: Act) -> Result<Request, ActRefused> {
        let blocked = |who: &Who| (who.subject == "blocked").then(|| "b1".to_owned());
        let deciding = Deciding { operators: &self.operators, blocked: &blocked };
        let said = approval::Said { reason: Some("because"), via: "test" };
        desk.act(number, who, act, said, &deciding).await
    }

    async fn act(&self, number: Number, who: &Who, act: Act) -> Result<Request, ActRefused> {
        self.act_at(&self.desk, number, who, act).await
    }

    async fn lend(&self, from: &Who, to: &str) -> Result<approval::Delegation, DelegationRefused> {
        let deciding = Deciding { operators: &self.operators, blocked: &|_| None };
        let until = now().after(Duration::from_secs(3600));
        let lend = Lend { to: to.to_owned(), groups: None, until, reason: "away".to_owned() };
        self.desk.lend(from, lend, &deciding).await
    }

    async fn state(&self, number: Number) -> Request {
        self.desk.store.request(number).await.unwrap().unwrap().request
    }

    /// Waits until a request is what the test says.
    async fn until(&self, number: Number, is: impl Fn(&Request) -> bool) -> Request {
        let found = async {
            loop {
                let request = self.state(number).await;
                if is(&request) {
                    return request;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(SOON, found).await {
            Ok(request) => request,
            Err(_) => panic!("it stays {:?}", self.state(number).await.state),
        }
    }

    /// Returns the events about requests that the first gateway has recorded: name, and what else matters of each.
    fn recorded(&self) -> Vec<String> {
        records(&self.path().join("journal-one")).iter().map(short).collect()
    }
}

fn records(journal: &Path) -> Vec<Value> {
    let mut records = Vec::new();
    for entry in std::fs::read_dir(journal).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "gpj") {
            continue;
        }
        let bytes = std::fs::read(path).unwrap();
        let mut rest = bytes.get(audit::HEADER_BYTES..).unwrap_or_default();
        while let Ok(frame) = audit::Frame::parse(rest) {
            records.push(serde_json::from_slice(frame.record.payload).unwrap());
            rest = rest.get(frame.bytes..).unwrap_or_default();
        }
    }
    records
}

fn short(record: &Value) -> String {
    let word = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let what = match record["event"].as_str().unwrap() {
        "approval_voted" | "break_glass" => word("verdict"),
        "approval_ended" => word("state"),
        "approval_refused" => word("reason"),
        "delegation" => word("what"),
        _ => String::new(),
    };
    format!("{} {what}", word("event")).trim().to_owned()
}

fn terms() -> Terms {
    Terms { open_max: 2000, each_max: 2000, public_url: Some("https://gate.example.com".to_owned()) }
}

fn who(subject: &str, groups: &[&str]) -> Who {
    Who {
        issuer: "corp".to_owned(),
        subject: subject.to_owned(),
        name: None,
        email: None,
        groups: groups.iter().map(ToString::to_string).collect(),
        owner: None,
        on_behalf_of: None,
    }
}

fn approver(subject: &str) -> Who {
    who(subject, &["approvers", "dba"])
}

const HELD: Wait = Wait::Held { in_transaction: false };

fn ask(session: &str, wait: Wait, quorum: u32) -> Ask {
    let dbas = Group {
        name: "dbas".to_owned(),
        members: Members::Any(vec!["dba".to_owned()]),
        quorum,
        reason_required: false,
        count_rows: None,
        break_glass: Some("oncall".to_owned()),
    };
    Ask {
        requester: who("agent", &["agents"]),
        database: "shop".to_owned(),
        session: Some(session.to_owned()),
        client: None,
        application_name: None,
        statement: Statement {
            text: "DELETE FROM tickets".to_owned(),
            runs: None,
            command: "DELETE".to_owned(),
            parameters: Vec::new(),
            pattern: false,
        },
        touches: Vec::new(),
        rules: Vec::new(),
        why: "delete needs approval".to_owned(),
        bundle: BundleRef { name: "shop".to_owned(), version: "1".to_owned(), hash: "00".to_owned() },
        binding: Binding::of(&[b"exact"]),
        pattern: None,
        needs: vec![dbas],
        wait,
        hold: Duration::from_secs(300),
        uses: 1,
        use_within: Duration::from_secs(3600),
        purpose: None,
    }
}

async fn answer(asked: &mut Asked) -> Answer {
    let next = std::future::poll_fn(|cx| asked.poll(cx));
    tokio::time::timeout(SOON, next).await.expect("an answer in time").expect("an answer")
}

async fn waiting(asked: &mut Asked) -> Number {
    match answer(asked).await {
        Answer::Waiting(waiting) => waiting.number,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_approved_goes_on_once_and_each_step_is_recorded_before_it() {
    let office = Office::open().await;
    let mut asked = office.desk.ask(ask("5e", HELD, 2), terms());
    let Answer::Waiting(told) = answer(&mut asked).await else { panic!() };
    assert_eq!(told.asked, ["dbas"]);
    assert_eq!(told.link.as_deref(), Some("https://gate.example.com/approvals/1"));
    office.act(told.number, &approver("alice"), Act::Approve).await.unwrap();
    let again = office.act(told.number, &approver("alice"), Act::Approve).await;
    assert!(matches!(again, Err(ActRefused::Refused(Refused::Counted))), "{again:?}");
    office.act(told.number, &approver("bob"), Act::Approve).await.unwrap();
    let Answer::Granted(grant) = answer(&mut asked).await else { panic!() };
    assert_eq!(grant.persons(), ["corp:alice", "corp:bob"]);
    assert_eq!(grant.binding(), Binding::of(&[b"exact"]));
    assert_eq!(office.state(told.number).await.state, State::Used);
    let expected = [
        "approval_requested",
        "approval_voted approve",
        "approval_refused counted",
        "approval_voted approve",
        "approval_ended approved",
        "approval_used",
    ];
    assert_eq!(office.recorded(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_group_has_approved_is_not_used_where_another_is_needed() {
    let office = Office::open().await;
    let number = waiting(&mut office.desk.ask(ask("5e", Wait::Async, 1), terms())).await;
    office.act(number, &approver("alice"), Act::Approve).await.unwrap();
    let mut for_others = ask("5e", Wait::Async, 1);
    for_others.needs[0].name = "owners".to_owned();
    let other = waiting(&mut office.desk.ask(for_others.clone(), terms())).await;
    assert_ne!(other, number);
    assert_eq!(waiting(&mut office.desk.ask(for_others, terms())).await, other);
    assert_eq!(office.state(number).await.state, State::Approved, "nothing of it is used up");
    let granted = answer(&mut office.desk.ask(ask("5e", Wait::Async, 1), terms())).await;
    assert!(matches!(granted, Answer::Granted(_)), "{granted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_reaches_who_asked_with_its_message() {
    let office = Office::open().await;
    let mut asked = office.desk.ask(ask("5e", HELD, 1), terms());
    let number = waiting(&mut asked).await;
    office.act(number, &approver("alice"), Act::Deny).await.unwrap();
    let Answer::Denied { by, message, .. } = answer(&mut asked).await else { panic!() };
    assert_eq!((by.as_str(), message.as_deref()), ("corp:alice", Some("because")));
    assert_eq!(office.recorded(), ["approval_requested", "approval_voted deny", "approval_ended denied"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_role_or_another_issuers_or_is_kept_out_decides_nothing_and_is_recorded() {
    let office = Office::open().await;
    let mut asked = office.desk.ask(ask("5e", HELD, 1), terms());
    let number = waiting(&mut asked).await;
    let foreign = Who { issuer: "partner".to_owned(), ..approver("alice") };
    for (by, expected) in [
        (who("alice", &["dba"]), "not_approver"),
        (foreign, "not_approver"),
        (approver("blocked"), "blocked"),
        (who("carol", &["approvers"]), "not_in_group"),
        (Who { groups: approver("x").groups, ..who("agent", &[]) }, "related"),
    ] {
        for act in [Act::Approve, Act::Deny] {
            assert_eq!(office.act(number, &by, act).await.unwrap_err().as_str(), expected, "{by}");
        }
    }
    let unknown = office.act(Number(99), &approver("alice"), Act::Approve).await.unwrap_err();
    assert_eq!(unknown.as_str(), "unknown");
    let refused = office.recorded().iter().filter(|it| it.starts_with("approval_refused")).count();
    assert_eq!(refused, 11);
    assert_eq!(office.state(number).await.state, State::Open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_goes_or_cancels_closes_what_it_asked() {
    let office = Office::open().await;
    let mut asked = office.desk.ask(ask("5e", HELD, 1), terms());
    let number = waiting(&mut asked).await;
    asked.withdraw(Ended::Cancelled);
    office.until(number, |it| it.state == State::Ended(Ended::Cancelled)).await;
    let late = office.act(number, &approver("alice"), Act::Approve).await.unwrap_err();
    assert_eq!(late.as_str(), "over");
    let mut asked = office.desk.ask(ask("5e", HELD, 1), terms());
    let number = waiting(&mut asked).await;
    drop(asked);
    office.until(number, |it| it.state == State::Ended(Ended::SessionEnded)).await;
    office.desk.drained(SOON).await;
    assert!(office.desk.waiting.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_ends_what_waits_and_what_nobody_waits_for() {
    let office = Office::open().await;
    let short = |session: &str, wait| Ask { hold: Duration::from_millis(300), ..ask(session, wait, 1) };
    let mut asked = office.desk.ask(short("5e", HELD), terms());
    let number = waiting(&mut asked).await;
    let Answer::Ended { why: Ended::Expired, .. } = answer(&mut asked).await else { panic!() };
    assert_eq!(office.state(number).await.state, State::Ended(Ended::Expired));
    let number = waiting(&mut office.desk.ask(short("5f", Wait::Async), terms())).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let late = office.act(number, &approver("alice"), Act::Approve).await.unwrap_err();
    assert_eq!(late.as_str(), "late");
    office.desk.look_after().await;
    assert_eq!(office.state(number).await.state, State::Ended(Ended::Expired));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_held_that_has_gone_is_lost_and_what_nobody_waited_for_stays() {
    let home = Scratch::new("desk");
    let first = desk(home.path(), "one").await;
    first.look_after().await;
    let mut held = first.ask(ask("5e", HELD, 1), terms());
    let lost = waiting(&mut held).await;
    let kept = waiting(&mut first.ask(ask("5f", Wait::Async, 1), terms())).await;
    // It is killed: nothing runs any more that could close it.
    std::mem::forget(held);
    let second = desk_in(first.store.clone(), home.path(), "two", "state-one");
    let state = |number| {
        let store = second.store.clone();
        async move { store.request(number).await.unwrap().unwrap().request.state }
    };
    second.look_for_former().await;
    second.look_after().await;
    assert_eq!(state(lost).await, State::Ended(Ended::Lost));
    assert_eq!(state(kept).await, State::Open);
    // And of one with another folder, when it has been silent for long enough.
    let now = now();
    let open = second.store.open_request(&ask("60", HELD, 1), "three", now, now.after(SOON)).await.unwrap();
    second.store.beat("three", Stamp(now.0 - 20_000)).await.unwrap();
    second.look_after().await;
    assert_eq!(state(open.number).await, State::Open);
    second.store.forget_instance("three").await.unwrap();
    second.store.beat("three", Stamp(now.0 - 40_000)).await.unwrap();
    second.look_after().await;
    assert_eq!(state(open.number).await, State::Ended(Ended::Lost));
    let ended = records(&home.path().join("journal-two"));
    assert!(ended.iter().filter(|it| it["state"] == "lost").count() >= 2, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_wait_is_let_through_when_it_asks_again_once() {
    let office = Office::open().await;
    let number = waiting(&mut office.desk.ask(ask("5e", Wait::Async, 1), terms())).await;
    assert_eq!(waiting(&mut office.desk.ask(ask("5f", Wait::Async, 1), terms())).await, number, "the same");
    let other = Ask { requester: who("agent2", &[]), ..ask("60", Wait::Async, 1) };
    assert_ne!(waiting(&mut office.desk.ask(other, terms())).await, number, "another's is another");
    office.act(number, &approver("alice"), Act::Approve).await.unwrap();
    let changed = Ask { binding: Binding::of(&[b"other"]), ..ask("61", Wait::Async, 1) };
    assert_ne!(waiting(&mut office.desk.ask(changed, terms())).await, number, "what differs is asked");
    let Answer::Granted(grant) = answer(&mut office.desk.ask(ask("5f", Wait::Async, 1), terms())).await
    else {
        panic!()
    };
    assert_eq!(grant.number(), number);
    let next = waiting(&mut office.desk.ask(ask("5f", Wait::Async, 1), terms())).await;
    assert_ne!(next, number, "used once");
    office.act(next, &approver("alice"), Act::Deny).await.unwrap();
    for _ in 0..2 {
        let told = answer(&mut office.desk.ask(ask("5f", Wait::Async, 1), terms())).await;
        let Answer::Denied { number, message, .. } = told else { panic!("{told:?}") };
        assert_eq!((number, message.as_deref()), (next, Some("because")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_is_used_as_often_as_it_was_approved_whoever_races() {
    let office = Office::open().await;
    let pattern = Binding::of(&[b"pattern"]);
    let mut before = Ask { uses: 3, binding: pattern, ..ask("", Wait::Before, 1) };
    (before.session, before.statement.pattern) = (None, true);
    let number = office.desk.ask_before(&before, &terms()).await.unwrap().number;
    office.act(number, &approver("alice"), Act::Approve).await.unwrap();
    let second = desk(&office.path(), "two").await;
    let mut all = Vec::new();
    for at in 0..8_usize {
        let desk = if at % 2 == 0 { office.desk.clone() } else { second.clone() };
        let exact = Binding::of(&[b"exact", &at.to_le_bytes()]);
        let ask = Ask { binding: exact, pattern: Some(pattern), ..ask(&at.to_string(), Wait::Async, 1) };
        all.push(tokio::spawn(async move {
            matches!(answer(&mut desk.ask(ask, terms())).await, Answer::Granted(_))
        }));
    }
    let mut granted = 0;
    for one in all {
        granted += usize::from(one.await.unwrap());
    }
    assert_eq!(granted, 3);
    assert_eq!(office.state(number).await.state, State::Used);
    let mut twice = Ask { uses: 2, ..ask("", Wait::Before, 1) };
    assert!(matches!(office.desk.ask_before(&twice, &terms()).await, Err(AskRefused::Invalid(_))));
    twice.uses = 0;
    assert!(matches!(office.desk.ask_before(&twice, &terms()).await, Err(AskRefused::Invalid(_))));
}

/// Two gateways with the same store: one wins, the other is told, and whoever decides where, it goes on.
async fn decide_at_both(office: &Office, second: &Desk) {
    for round in 0..12 {
        let mut asked = office.desk.ask(ask(&round.to_string(), HELD, 1), terms());
        let number = waiting(&mut asked).await;
        let (alice, bob) = (approver("alice"), approver("bob"));
        let (yes, no) = tokio::join!(
            office.act_at(&office.desk, number, &alice, Act::Approve),
            office.act_at(second, number, &bob, Act::Deny),
        );
        match (yes, no, answer(&mut asked).await) {
            (Ok(_), Err(ActRefused::Refused(Refused::Over(_))), Answer::Granted(_)) => {}
            (Err(ActRefused::Refused(Refused::Over("denied"))), Ok(_), Answer::Denied { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    let mut asked = office.desk.ask(ask("last", HELD, 1), terms());
    let number = waiting(&mut asked).await;
    office.act_at(second, number, &approver("bob"), Act::Approve).await.unwrap();
    assert!(matches!(answer(&mut asked).await, Answer::Granted(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_decide_at_once_at_two_gateways_one_wins_and_the_other_is_told() {
    let office = Office::open().await;
    let second = desk(&office.path(), "two").await;
    decide_at_both(&office, &second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_gateways_over_postgresql_likewise() {
    let hba = Some("host all all 127.0.0.1/32 trust".to_owned());
    let cluster = Cluster::start(Version::V15, Options { hba, ..Options::default() });
    cluster.psql("CREATE ROLE keeper LOGIN");
    cluster.fresh_database("control", "keeper");
    let open = async || {
        let place = Postgres {
            host: "127.0.0.1".to_owned(),
            port: cluster.port(),
            database: "control".to_owned(),
            user: "keeper".to_owned(),
            password: Password::none(),
            tls: Tls::Disable,
        };
        Store::open(Location::Postgres(place)).await.unwrap()
    };
    let mut office = Office::open().await;
    let home = office.path();
    office.desk = desk_over(open().await, &home, "first");
    let second = desk_over(open().await, &home, "second");
    decide_at_both(&office, &second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_whose_session_has_gone_is_recorded_and_not_given_again() {
    let office = Office::open().await;
    let mut asked = office.desk.ask(ask("5e", HELD, 1), terms());
    let number = waiting(&mut asked).await;
    office.act(number, &approver("alice"), Act::Approve).await.unwrap();
    office.until(number, |it| it.state == State::Used).await;
    // The grant is on its way, and nobody takes it.
    office.desk.drained(SOON).await;
    drop(asked);
    assert_eq!(office.recorded().last().unwrap(), "approval_ended undelivered");
    assert_ne!(waiting(&mut office.desk.ask(ask("5e", HELD, 1), terms())).await, number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_glass_runs_and_waits_for_review() {
    let office = Office::open().await;
    let mut asked = office.desk.ask(ask("5e", HELD, 2), terms());
    let number = waiting(&mut asked).await;
    let erin = who("erin", &["approvers", "oncall"]);
    office.act(number, &erin, Act::BreakGlass).await.unwrap();
    assert!(matches!(answer(&mut asked).await, Answer::Granted(_)));
    let due = RequestFilter { review_due: true, ..RequestFilter::default() };
    assert_eq!(office.desk.store.requests(&due).await.unwrap().len(), 1);
    assert_eq!(office.act(number, &erin, Act::Review).await.unwrap_err().as_str(), "own_break_glass");
    let reviewed = office.act(number, &approver("alice"), Act::Review).await.unwrap();
    assert_eq!((reviewed.review, reviewed.state), (Review::Done, State::Used));
    assert!(office.desk.store.requests(&due).await.unwrap().is_empty());
    let recorded = office.recorded();
    assert_eq!(recorded[1..4], ["break_glass break_glass", "approval_ended approved", "approval_used"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_is_lent_for_as_long_as_whoever_lends_it_has_it() {
    let office = Office::open().await;
    let deputy = who("deputy", &["approvers"]);
    assert!(office.lend(&who("alice", &["dba"]), "corp:deputy").await.is_err(), "she has no role");
    let lent = office.lend(&approver("alice"), "corp:deputy").await.unwrap();
    let open =
        || async { office.desk.ask_before(&ask("x", Wait::Before, 1), &terms()).await.unwrap().number };
    let number = open().await;
    let done = office.act(number, &deputy, Act::Approve).await.unwrap();
    assert_eq!(done.state, State::Approved);
    assert!(done.votes[0].delegated_by.as_ref().unwrap().is(&approver("alice")));
    // What alice has lost, she has lent no more.
    office.desk.store.seen(&who("alice", &["approvers"]), None, now()).await.unwrap();
    assert_eq!(office.act(open().await, &deputy, Act::Approve).await.unwrap_err().as_str(), "not_in_group");
    office.desk.store.seen(&approver("alice"), None, now()).await.unwrap();
    let eve = who("eve", &["approvers"]);
    let deciding = Deciding { operators: &office.operators, blocked: &|_| None };
    let theirs = office.desk.end_delegation(&eve, &lent.id, &deciding).await;
    assert!(matches!(theirs, Err(DelegationRefused::NotTheirs)));
    office.desk.end_delegation(&who("op", &["ops"]), &lent.id, &deciding).await.unwrap();
    assert_eq!(office.act(open().await, &deputy, Act::Approve).await.unwrap_err().as_str(), "not_in_group");
    assert!(office.desk.end_delegation(&approver("alice"), &lent.id, &deciding).await.is_err(), "it is over");
    let recorded = office.recorded();
    assert_eq!(recorded.iter().filter(|it| it.starts_with("delegation")).count(), 2, "{recorded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_can_not_be_reached_holds_nothing() {
    let home = Scratch::new("desk");
    // Nobody listens there: the port is given back as soon as it is known.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = Postgres {
        host: "127.0.0.1".to_owned(),
        port,
        database: "x".to_owned(),
        user: "x".to_owned(),
        password: Password::none(),
        tls: Tls::Disable,
    };
    let store = Store::open(Location::Postgres(nowhere)).await.unwrap();
    let desk = desk_over(store, home.path(), "one");
    let told = answer(&mut desk.ask(ask("5e", HELD, 1), terms())).await;
    let Answer::Failed(why) = told else { panic!("{told:?}") };
    assert_eq!(why, "the store of approvals does not answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_fails_lets_nothing_through_and_keeps_nothing_open() {
    let office = Office::open().await;
    let folder = office.path().join("journal-failing");
    // It has to begin another file soon, and can't.
    let options = journal::Options { segment_bytes_max: 1, ..journal::Options::new(&folder) };
    let (journal, _) = Journal::open(options, Box::new(|_| {})).unwrap();
    let state = (office.path().join("state-failing"), "failing".to_owned());
    std::fs::create_dir_all(&state.0).unwrap();
    let desk =
        Desk::new(office.desk.store.clone(), Arc::new(journal), (state.1, state.0), Box::new(|_, _| {}));
    tokio::spawn(desk.clone().keep());
    let mut asked = desk.ask(ask("5e", HELD, 1), terms());
    let number = waiting(&mut asked).await;
    std::fs::remove_dir_all(&folder).unwrap();
    for act in [Act::Approve, Act::Deny, Act::BreakGlass] {
        let who = who("erin", &["approvers", "dba", "oncall"]);
        let refused = office.act_at(&desk, number, &who, act).await.unwrap_err();
        assert!(matches!(refused, ActRefused::Unrecorded(_)), "{refused:?}");
    }
    assert_eq!(office.state(number).await.state, State::Open);
    // Approved where the journal works: it can't be let go here.
    office.act(number, &approver("alice"), Act::Approve).await.unwrap();
    let told = answer(&mut asked).await;
    assert!(matches!(&told, Answer::Failed(why) if why == "it can't be recorded in the journal"), "{told:?}");
    assert_eq!(office.state(number).await.state, State::Ended(Ended::Lost));
    let told = answer(&mut desk.ask(ask("5f", Wait::Async, 1), terms())).await;
    assert!(matches!(told, Answer::Failed(_)), "{told:?}");
    let open = RequestFilter { states: [store::Standing::Open].into(), ..RequestFilter::default() };
    assert_eq!(office.desk.store.count_requests(&open).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_is_bounded_for_one_and_in_all() {
    let office = Office::open().await;
    let few = Terms { open_max: 3, each_max: 2, ..terms() };
    let mut held = Vec::new();
    for at in 0..2 {
        let mut asked = office.desk.ask(ask(&at.to_string(), HELD, 1), few.clone());
        waiting(&mut asked).await;
        held.push(asked);
    }
    let refused = answer(&mut office.desk.ask(ask("2", HELD, 1), few.clone())).await;
    assert!(matches!(&refused, Answer::Failed(why) if why.contains("of this identity")), "{refused:?}");
    let other = || Ask { requester: who("agent2", &[]), ..ask("3", HELD, 1) };
    let mut third = office.desk.ask(other(), few.clone());
    waiting(&mut third).await;
    let refused = answer(&mut office.desk.ask(other(), few.clone())).await;
    assert!(matches!(&refused, Answer::Failed(why) if why.starts_with("3 requests")), "{refused:?}");
    let mut large = ask("4", HELD, 1);
    large.statement.text = "x".repeat(5 << 20);
    let refused = answer(&mut office.desk.ask(large, terms())).await;
    assert!(matches!(&refused, Answer::Failed(why) if why.contains("too large")), "{refused:?}");
    let only_before = Ask { hold: Duration::ZERO, ..ask("5", HELD, 1) };
    let refused = answer(&mut office.desk.ask(only_before, terms())).await;
    assert!(matches!(&refused, Answer::Failed(why) if why.contains("approved before")), "{refused:?}");
    // Room comes back.
    drop(held);
    office.desk.drained(Duration::from_millis(1)).await;
    let freed = async {
        while !matches!(
            answer(&mut office.desk.ask(ask("6", HELD, 1), few.clone())).await,
            Answer::Waiting(_)
        ) {}
    };
    tokio::time::timeout(SOON, freed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_are_held_at_once_and_each_is_told() {
    let office = Office::open().await;
    let began = SystemTime::now();
    let mut all = tokio::task::JoinSet::new();
    for at in 0..1000_u32 {
        let mut held = ask(&at.to_string(), HELD, 1);
        held.binding = Binding::of(&[&at.to_le_bytes()]);
        let desk = office.desk.clone();
        all.spawn(async move {
            let mut asked = desk.ask(held, terms());
            waiting(&mut asked).await;
            asked
        });
    }
    let mut held = all.join_all().await;
    let open = RequestFilter { limit: Some(100), ..RequestFilter::default() };
    assert_eq!(office.desk.store.requests(&open).await.unwrap().len(), 100, "a page");
    assert_eq!(office.desk.store.count_requests(&open).await.unwrap(), 1000);
    for at in 1..=1000_u64 {
        let act = if at % 2 == 0 { Act::Approve } else { Act::Deny };
        office.act(Number(at), &approver("alice"), act).await.unwrap();
    }
    let (mut yes, mut no) = (0, 0);
    for asked in &mut held {
        match answer(asked).await {
            Answer::Granted(_) => yes += 1,
            Answer::Denied { .. } => no += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((yes, no), (500, 500));
    eprintln!("a thousand: {:?}", began.elapsed().unwrap_or_default());
}
